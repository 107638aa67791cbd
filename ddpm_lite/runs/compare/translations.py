"""What other programs are known to do: options for each subject, the book's own first, and what each makes of ours."""

from math import inf, log
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ddpm_lite.process import flow_from_z, score_from_z, velocity
from ddpm_lite.schedule import Schedule, cosine_schedule, linear_schedule, precondition, respace


class Option(NamedTuple):
    """One way to do it: how a finding names it, "" where ours is not worth a word, and a function or a number."""

    name: str
    use: Any


Reading = dict[str, Option]  # what is known of the other program: one option for each subject


def mix_edm(level: Tensor, x_0: Tensor, z: Tensor, std: float = 0.5) -> Tensor:
    """What EDM's network predicts (eq-edm-target); for data with a deviation of 1 it is -v."""
    c_skip, c_out, _ = precondition(level, std)
    return (x_0 - c_skip * (x_0 + level * z)) / c_out


QUANTITIES = [
    Option("alpha_bar_t", lambda own: own.alpha_bar),
    Option("alpha_t", lambda own: own.alpha),
    Option("beta_t", lambda own: own.beta),
    Option("the root of alpha_bar_t", lambda own: own.alpha_bar.sqrt()),
    Option("the noise level nu_t", lambda own: own.noise_level),
    Option("the signal-to-noise ratio", lambda own: own.snr),
    Option("the logarithm of the signal-to-noise ratio", lambda own: own.snr.log()),
    Option("half the logarithm of the signal-to-noise ratio", lambda own: own.snr.log() / 2),
    Option("1 - alpha_bar_t", lambda own: own.one_minus_alpha_bar),
    Option("the root of 1 - alpha_bar_t", lambda own: own.one_minus_alpha_bar.sqrt()),
    Option("beta_tilde_t", lambda own: own.beta_tilde),
    Option("the flow time tau_t", lambda own: own.flow_time),
    Option("1 - tau_t", lambda own: 1 - own.flow_time),
]
NEAR_ONE = "alpha_bar_t", "alpha_t", "the root of alpha_bar_t"
CLOCKS = "the noise level nu_t", "the flow time tau_t", "1 - tau_t"
SCALES = [  # their image is x_t times this factor, a function of the weights of image and noise
    Option("image x_t", lambda signal, rest: 1.0),
    Option("image x_0 + nu_t z", lambda signal, rest: 1 / signal),
    Option("image of a flow", lambda signal, rest: 1 / (signal + rest)),
]
RANGES = [
    Option("", lambda x: x),
    Option("x_0 in [0, 1]", lambda x: (x + 1) / 2),
]
ESTIMATES = [RANGES[0], Option("x_0_hat in [0, 1]", RANGES[1].use)]
TARGETS: list[Option] = [  # from the schedule, x_t, t, x_0_hat, z_hat and the scale of their image
    Option("answer z", lambda own, x, t, x_0, z, c: z),
    Option("answer v", lambda own, x, t, x_0, z, c: velocity(own, x_0, t, z)),
    Option("answer -v", lambda own, x, t, x_0, z, c: -velocity(own, x_0, t, z)),
    Option("answer x_0", lambda own, x, t, x_0, z, c: x_0),
    Option("answer score", lambda own, x, t, x_0, z, c: score_from_z(own, z, t) / c),
    Option("answer -z", lambda own, x, t, x_0, z, c: -z),
    Option("answer z - x_0", lambda own, x, t, x_0, z, c: flow_from_z(own, x, t, z)),
    Option("answer x_0 - z", lambda own, x, t, x_0, z, c: -flow_from_z(own, x, t, z)),
    Option("answer F of EDM with sigma_data = 0.5", lambda own, x, t, x_0, z, c: mix_edm(own.noise_level[t], x_0, z)),
]
UNCLIPPED = Option("not clipped", None)
KEPT = [Option("z_hat computed again", False), Option("old z_hat kept", True)]
UNTOUCHED = [Option("", False)]  # without a clip the two are the same
SCALES_OF_GUIDANCE = [  # the weight of the estimate with the label
    Option("scale w", lambda w: 1 + w),
    Option("scale w + 1", lambda w: w),
    Option("scale w, answers exchanged", lambda w: -w),
    Option("scale w + 1, answers exchanged", lambda w: 1 - w),
]


def list_indices(schedule: Schedule, whole: bool = False) -> list[Option]:
    """What our time t is in their counting; only whole numbers can be entries of a table."""
    T, table = schedule.T, schedule.numbers
    found = [
        Option("index t", lambda t: t),
        Option("index t - 1", lambda t: t - 1),
        Option("index t + 1", lambda t: t + 1),
        Option("index T - t", lambda t: T - t),
        Option("index T - t - 1", lambda t: T - t - 1),
        Option("index T - t + 1", lambda t: T - t + 1),
        Option("time t / T", lambda t: t / T),
        Option("time nu_t", lambda t: table.noise_level[t]),
        Option("time tau_t", lambda t: table.flow_time[t]),
        Option("time 1 - tau_t", lambda t: 1 - table.flow_time[t]),
        Option("time 1000 tau_t", lambda t: 1000 * table.flow_time[t]),
        Option("time log(nu_t) / 4", lambda t: log(table.noise_level[t]) / 4 if t else -inf),
    ]
    return found[:6] if whole else found


def list_schedules(schedule: Schedule) -> dict[str, Schedule]:
    """The other schedules that are named if a table is none of ours."""
    T, root = schedule.T, schedule.alpha_bar.sqrt()
    root = torch.cat([root[:1], (root[1:] - root[-1]) * root[1] / (root[1] - root[-1])])
    betas = {"ours, rescaled to a last SNR of 0,": 1 - (root[1:] / root[:-1]).square()}
    for first, last in ((float(schedule.beta[1]), float(schedule.beta[-1])), (0.00085, 0.012)):
        name = f"scaled-linear betas from {first:g} to {last:g}"
        betas[name] = torch.linspace(first**0.5, last**0.5, T, dtype=torch.float64).square()
    kept = {name: beta.nan_to_num(0.5).clamp(1e-9, 1 - 1e-9) for name, beta in betas.items()}
    found = {name: Schedule(pad(beta, (1, 0))) for name, beta in kept.items()}
    found |= {f"linear_schedule({T})": linear_schedule(T), f"cosine_schedule({T})": cosine_schedule(T)}
    if T > 20:
        found[f"linear_schedule({T}, {0.1 / T:g}, {20 / T:g})"] = linear_schedule(T, 0.1 / T, 20 / T)
    return found


def list_walks(schedule: Schedule, n: int) -> list[Option]:
    """The times of a sampler with n steps, from the first; rules that give the same times are one option."""
    T = schedule.T
    leading = respace(schedule, n, "leading").times[1:].flip(0)
    rules = {
        "trailing": respace(schedule, n, "trailing").times[1:].flip(0),
        "leading": leading,
        "leading, one later": leading + 1,
        "linspace": torch.linspace(T, 1, n).round().long(),
        "linspace, not rounded": torch.linspace(T, 1, n, dtype=torch.float64),
        "trailing, rounded down": torch.linspace(-1, T - 1, n + 1).int()[1:].flip(0) + 1,
        "trailing, not rounded": torch.linspace(T, 0, n + 1, dtype=torch.float64)[:-1],
        f"linspace of {n + 1} without its end": (torch.linspace(T - 1, 0, n + 1, dtype=torch.float64).round() + 1)[:-1],
        f"leading of {n + 1} without its end": torch.arange(n, 0, -1) * (T // (n + 1)) + 1,
    }
    for first, final in dict.fromkeys((int(times[0]), int(times[-1])) for times in rules.values()):
        if 1 <= final < first <= T:
            name, times = f"at Karras's levels from {first} to {final}", list_karras(schedule, n, first, final)
            rules |= {name: times, f"{name}, rounded": (times - 1).round() + 1}
    named: dict[tuple, list[str]] = {}
    for end in ("", " from the other end"):
        for name, times in rules.items():
            named.setdefault(tuple((times.flip(0) if end else times).tolist()), []).append(name + end)
    found = []
    every = list(range(T, 0, -1))  # where n = T, nearly all rules are this one
    for own, (name, *same) in named.items():
        if list(own) in (every, every[::-1]):
            name, same = f"all, from {own[0]} to {own[-1]}", []
        found.append(Option(f"times {name}" + (f" (here the same as {'; '.join(same)})" if same else ""), own))
    return found


def list_karras(schedule: Schedule, n: int, first: int, final: int) -> Tensor:
    """The times of n levels whose seventh roots are evenly spaced, interpolated in the logarithm of the level."""
    level = schedule.noise_level
    roots = torch.linspace(float(level[first]) ** (1 / 7), float(level[final]) ** (1 / 7), n, dtype=torch.float64)
    times = np.arange(1, schedule.T + 1)
    return torch.from_numpy(np.interp(7 * roots.log().numpy(), level[1:].log().numpy(), times))


def list_clips(estimates: list[Tensor]) -> list[Option]:
    """No clip, the clip to [-1, 1], and the limits at which several of these estimates stop."""
    both = torch.cat([estimate.flatten() for estimate in estimates])
    low, high = float(both.min()), float(both.max())
    stops = [(both <= low + 1e-6 * abs(low)).sum() > 2, (both >= high - 1e-6 * abs(high)).sum() > 2]
    found = [UNCLIPPED, make_clip(-1.0, 1.0)]
    if all(stops):
        found.append(make_clip(float(f"{low:.6g}"), float(f"{high:.6g}")))
    return list({option.use: option for option in found}.values())


def make_clip(low: float, high: float) -> Option:
    """The option that clips the estimate to these limits."""
    return Option(f"clipped to [{low:g}, {high:g}]", (low, high))


def list_etas(eta: float) -> list[Option]:
    """What a step called with this eta may do, DDIM and DDPM among it; 0 and 1 do not show a square."""
    if eta in (0, 1):
        ends = [Option("eta = 0 (DDIM)", 0.0), Option("eta = 1 (DDPM)", 1.0)]
        return ends if eta == 0 else ends[::-1]
    others = {"its square": eta**2, "its root": eta**0.5, "DDIM": 0.0, "DDPM": 1.0}
    return [Option(f"eta = {eta:g}", eta), *(Option(f"eta = {e:.4g} ({name})", e) for name, e in others.items())]


def list_deviations(eta: float) -> list[Option]:
    """The deviation of a step's fresh noise, from that of eta = 1 and the larger one, sqrt(beta_t) for s = t - 1."""
    due = "none" if eta == 0 else f"deviation of eta = {eta:.4g}"
    found = [
        Option(due, lambda sigma, large: eta * sigma),
        Option("deviation sqrt(1 - alpha_bar_t / alpha_bar_s)", lambda sigma, large: large),
        Option("deviation of eta = 1", lambda sigma, large: sigma),
        Option("none", lambda sigma, large: 0.0),
        Option("the variance as deviation", lambda sigma, large: (eta * sigma) ** 2),
        Option("the larger variance as deviation", lambda sigma, large: large**2),
    ]
    if eta not in (0, 1):
        found.append(Option("eta squared in the deviation", lambda sigma, large: eta**2 * sigma))
        found.append(Option("the root of eta in the deviation", lambda sigma, large: eta**0.5 * sigma))
    same = {1.0: (2,), 0.0: (3, 4)}.get(eta, ())
    if eta == 0:
        found[1:] = [Option(f"{name}, though the step was found to have eta = 0", use) for name, use in found[1:]]
    return [option for place, option in enumerate(found) if place not in same]
