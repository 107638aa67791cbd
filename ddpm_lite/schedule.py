"""The noise schedule: beta_t, how much noise each step adds, and everything that follows from it.

    alpha_t     = 1 - beta_t                                       (eq-alpha)
    alpha_bar_t = alpha_1 alpha_2 ... alpha_t                      (eq-alpha-bar)
    beta_tilde  = beta_t (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t) (eq-posterior-variance)
    snr_t       = alpha_bar_t / (1 - alpha_bar_t)                  (eq-snr)
    noise_level = sqrt(1 - alpha_bar_t) / sqrt(alpha_bar_t)        (eq-noise-level), the sigma of EDM
    flow_time   = noise_level_t / (1 + noise_level_t)              (eq-straight-time), the time of flow matching

The code's t is the book's t: a table has T + 1 entries, entry t belongs to time t, and entry 0 is the clean
image (beta[0] = 0, alpha_bar[0] = 1). So t - 1 is always a valid index, and neither end needs a special case.
"""

from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, TypeAlias

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import pad

from ddpm_lite._check import (
    Number,
    Several,
    Whole,
    check_choice,
    check_levels,
    check_place,
    check_real,
    check_rising,
    check_schedule,
    check_whole,
    describe,
    fail,
    to_table,
)

if TYPE_CHECKING:  # __post_init__ converts whatever is given to tensors
    Table: TypeAlias = Tensor
    Times: TypeAlias = Tensor
else:
    Table = Float[Tensor, "entries"] | Several
    Times = Int64[Tensor, "entries"] | None
TABLES = ("beta", "alpha", "alpha_bar", "one_minus_alpha_bar", "beta_tilde", "snr", "noise_level", "flow_time")


@dataclass(frozen=True, eq=False)
class Schedule:
    """The table beta_0 .. beta_T of the noise variance added at each step, and the tables that follow from it.

    Args:
        beta: (T + 1,) float64, beta[0] = 0 and every other entry in (0, 1).
        times: (T + 1,) int64, the times that the network was trained with; None is 0..T. `respace` sets others.

    Raises:
        ValueError: a wrong shape, an entry outside (0, 1), or not finite; the message names the entry.

    Source: Ho, Jain, Abbeel (2020), section 2. The tables are float64: in float32 the running product and
    1 - alpha_bar lose up to four of their seven digits at small t.
    """

    beta: Table
    times: Times = None  # type: ignore[assignment] # None is replaced by 0..T

    def __post_init__(self):
        beta = to_table("beta", self.beta)
        if beta.ndim != 1 or len(beta) < 2 or not beta.is_floating_point():
            fail(ValueError, "beta", "a float tensor of T + 1 >= 2 entries", describe(beta))
        beta = beta.double()
        if beta[0] != 0:
            fail(ValueError, "beta[0]", "0 (time 0 is the clean image)", f"{beta[0]:g}", "put a 0 in front")
        wrong = (~((beta > 0) & (beta < 1))).nonzero().flatten()[1:]
        if len(wrong):
            t = int(wrong[0])
            fail(ValueError, f"beta[{t}]", "a finite number in (0, 1)", f"{float(beta[t]):g}")
        times = torch.arange(len(beta)) if self.times is None else to_table("times", self.times).cpu()
        if times.shape != beta.shape or (times % 1 != 0).any() or times[0] != 0 or (times.diff() <= 0).any():
            fail(ValueError, "times", f"{len(beta)} increasing whole numbers from 0", describe(self.times))
        object.__setattr__(self, "beta", beta)
        object.__setattr__(self, "times", times.long())

    @property
    def T(self) -> int:
        """The number of steps."""
        return len(self.beta) - 1

    @cached_property
    def alpha(self) -> Float[Tensor, "entries"]:
        """alpha_t = 1 - beta_t, the share of the variance that remains after a step (eq-alpha)."""
        return 1 - self.beta

    @cached_property
    def alpha_bar(self) -> Float[Tensor, "entries"]:
        """alpha_bar_t = alpha_1 ... alpha_t, the share of the image's variance left at t (eq-alpha-bar)."""
        return torch.cumprod(self.alpha, dim=0)

    @cached_property
    def one_minus_alpha_bar(self) -> Float[Tensor, "entries"]:
        """1 - alpha_bar_t, the variance of the noise in x_t; computed so that no digits are lost at small t."""
        return torch.log1p(-self.beta).cumsum(dim=0).expm1().abs()

    @cached_property
    def beta_tilde(self) -> Float[Tensor, "entries"]:
        """The posterior variance, 0 at t = 1 by the formula itself (eq-posterior-variance)."""
        return pad(self.beta[1:] * self.one_minus_alpha_bar[:-1] / self.one_minus_alpha_bar[1:], (1, 0))

    @cached_property
    def snr(self) -> Float[Tensor, "entries"]:
        """The signal-to-noise ratio alpha_bar_t / (1 - alpha_bar_t), infinite at t = 0 (eq-snr)."""
        return self.alpha_bar / self.one_minus_alpha_bar

    @cached_property
    def noise_level(self) -> Float[Tensor, "entries"]:
        """nu_t, the deviation of the noise in x_t / sqrt(alpha_bar_t), which EDM calls sigma (eq-noise-level)."""
        return self.snr.rsqrt()

    @cached_property
    def flow_time(self) -> Float[Tensor, "entries"]:
        """tau_t, the noise's share of the two factors of x_t: flow matching's time, 0 for images (eq-straight-time)."""
        return 1 / (1 + self.snr.sqrt())

    @cached_property
    def numbers(self) -> SimpleNamespace:
        """The tables and times as lists of Python floats, which a sampler can read without synchronising a device."""
        return SimpleNamespace(**{name: getattr(self, name).tolist() for name in (*TABLES, "times")})

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> "Schedule":
        """Copy the schedule to a device; each table is computed in float64 first and rounded once."""
        device = check_place(device, dtype, meta=True)
        if self.beta.device == device and self.beta.dtype == dtype:
            return self
        copy = object.__new__(Schedule)
        copy.__dict__.update({name: getattr(self, name).to(device, dtype) for name in TABLES})
        copy.__dict__.update(times=self.times, numbers=self.numbers)  # these stay on the CPU, in full precision
        return copy

    def at(self, device: torch.device | str) -> "Schedule":
        """Return the schedule itself if it is on the device, else a float32 copy, which is made once and cached."""
        device = device if isinstance(device, torch.device) else check_place(device, torch.float32, meta=True)
        if self.beta.device == device:
            return self
        copies = self.__dict__.setdefault("_copies", {})
        if device not in copies:
            copies[device] = self.to(device)
        return copies[device]

    def __repr__(self) -> str:
        beta, last = self.beta, int(self.times[-1])
        respaced = "" if last == self.T else f", times={int(self.times[1])}..{last}"
        return f"Schedule(T={self.T}, beta_1={float(beta[1]):.6g}, beta_T={float(beta[-1]):.6g}{respaced})"


def linear_schedule(T: Whole = 1000, beta_1: Number = 1e-4, beta_T: Number = 0.02) -> Schedule:
    """beta grows by equal steps from beta_1 to beta_T (eq-linear-schedule).

    Args:
        T: number of steps, >= 1. With T = 1 the only step is beta_1.
        beta_1, beta_T: first and last noise variance, in (0, 1).

    Raises:
        ValueError: T < 1, or a beta outside (0, 1) or not finite.

    Source: Ho et al. (2020), section 4: T = 1000, 1e-4 to 0.02. These betas belong to this T: with T = 100 they give
    alpha_bar_T = 0.364, so x_T is far from N(0, I) and sampling starts from the wrong distribution. Scale both by
    1000 / T.
    """
    T = check_whole("T", T, 1)
    beta_1, beta_T = check_real("beta_1", beta_1, 0, 1, ends="()"), check_real("beta_T", beta_T, 0, 1, ends="()")
    return Schedule(pad(torch.linspace(beta_1, beta_T, T, dtype=torch.float64), (1, 0)))


def cosine_schedule(T: Whole = 1000, s: Number = 0.008, beta_max: Number = 0.999) -> Schedule:
    """alpha_bar_t falls like a squared cosine, and beta_t follows from the ratio of neighbours (eq-cosine-schedule).

    Args:
        T: number of steps, >= 1.
        s: offset, > 0, that keeps beta_1 from being tiny.
        beta_max: upper bound on beta_t, in (0, 1), reached at the last steps.

    Raises:
        ValueError: T < 1, or s or beta_max out of range.

    Source: Nichol and Dhariwal (2021), equation 17.
    """
    T = check_whole("T", T, 1)
    s, beta_max = check_real("s", s, 0, 1, ends="()"), check_real("beta_max", beta_max, 0, 1, ends="()")
    time = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos((time + s) / (1 + s) * torch.pi / 2) ** 2
    return Schedule(pad((1 - f[1:] / f[:-1]).clamp(max=beta_max), (1, 0)))


def schedule_from_levels(levels: Table, times: Times = None) -> Schedule:  # type: ignore[assignment]
    """The schedule with these noise levels: beta_t = (nu_t^2 - nu_{t-1}^2) / (1 + nu_t^2), by eq-alpha-bar-from-level.

    Args:
        levels: nu_0 .. nu_T, increasing from 0: EDM's sigma, or tau / (1 - tau) for flow matching's time tau.
        times: (T + 1,), the times that the network was trained with; None is 0..T. With `schedule.noise_level[times]`
            as levels, the walk takes any times of a schedule.

    Raises:
        ValueError: levels that do not increase from 0 or are not finite.

    Source: eq-noise-level, solved for alpha_bar. No digits are lost at small levels.
    """
    table = check_rising(levels)
    return Schedule(pad(table.square().diff() / (1 + table[1:].square()), (1, 0)), times)


def precondition(levels: Tensor | Several | Number, std: Number = 0.5) -> tuple[Float[Tensor, "..."], ...]:
    """EDM's scales c_skip, c_out and c_in (eq-edm-skip, eq-edm-out, eq-edm-in), for any noise levels.

    With y = x_0 + level z and a network F, the image is estimated as c_skip y + c_out F(c_in y) (eq-edm-denoiser).

    Args:
        levels: nu, which EDM calls sigma, >= 0, of any shape.
        std: the standard deviation of the data, EDM's sigma_data, > 0.

    Returns:
        Three float64 tensors of the levels' shape. With std = 1 they are those of v, with the other sign.

    Raises:
        ValueError: a level that is negative or not finite, or std <= 0.

    Source: Karras et al. (2022), "Elucidating the design space of diffusion-based generative models", appendix B.6.
    """
    level, std = check_levels(levels), check_real("std", std, 0, 1e6, ends="(]")
    total = level.square() + std**2
    return std**2 / total, level * std / total.sqrt(), total.rsqrt()


def respace(schedule: Schedule, steps: Whole, spacing: str = "trailing") -> Schedule:
    """Choose fewer, longer steps: alpha_bar at the chosen times, and the betas between them (eq-leap-beta).

    Args:
        schedule: the schedule that the model was trained with.
        steps: how many steps to walk, 1..T.
        spacing: "trailing" goes down from T by T / steps, rounded (eq-trailing); "leading" goes up from 1 by T // steps
            (eq-leading), so that it ends with a short step from 1 to 0 and, in general, starts below T.

    Returns:
        A schedule of `steps` steps. Its `times` are the original times, which `sample` passes to the model.

    Raises:
        ValueError: steps outside 1..T, or an unknown spacing.

    Source: Song, Meng, Ermon (2021), "Denoising diffusion implicit models", section 4.2; the spacings are named as in
    diffusers, whose t is ours - 1. If `steps` does not divide T, diffusers evaluates the network at the same times, but
    each of its steps goes down by T // steps and so misses the next of these times; ours arrives at it.
    """
    steps = check_whole("steps", steps, 1, check_schedule(schedule).T)
    count = torch.arange(steps + 1)
    if check_choice("spacing", spacing, "trailing", "leading") == "trailing":
        chosen = torch.round(count.double() * schedule.T / steps).long()
    else:
        chosen = (count - 1) * (schedule.T // steps) + 1
        chosen[0] = 0
    alpha_bar = torch.tensor(schedule.numbers.alpha_bar, dtype=torch.float64)[chosen]  # exact, also for a float32 copy
    return Schedule(pad(1 - alpha_bar[1:] / alpha_bar[:-1], (1, 0)), schedule.times[chosen])
