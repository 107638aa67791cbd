"""Prior, likelihood and posterior of one pixel."""

import numpy as np
import torch
import traitlets

from ddpm_lite._check import check_real, check_whole, fail
from ddpm_lite.process import posterior, q_step
from ddpm_lite.schedule import Schedule, linear_schedule
from ddpm_lite.viz.widgets import still
from ddpm_lite.viz.widgets.base import Widget, beta_bytes, jump, read_schedule, state

Gaussian = tuple[float, float]  # mean and variance


class PosteriorExplorer(Widget):
    """The three Gaussians of Bayes' rule over x_{t-1}: q(x_{t-1} | x_0), q(x_t | x_{t-1}) and q(x_{t-1} | x_t, x_0).

    Args:
        schedule: the forward process, of two steps or more; None is the paper's.
        x_0: the clean pixel, in [-1, 1].
        z: the noise in x_t, in [-3, 3]; x_t follows from it by eq-forward-closed.
        t: the time, 2..T. At t = 1 prior and posterior are the single point x_0.
        view: 0 shows six standard deviations of the posterior to both sides, 1 all values that x_t may have.
        wrong_index: also show the posterior with alpha_bar_t instead of alpha_bar_{t-1} in the prior's exponent.

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "posterior-explorer"
    T = state(traitlets.Int())
    beta = state(traitlets.Bytes())
    x_0 = state(traitlets.Float())
    z = state(traitlets.Float())
    t = state(traitlets.Int())
    view = state(traitlets.Int())
    wrong_index = state(traitlets.Bool())

    def __init__(
        self,
        schedule: Schedule | None = None,
        *,
        x_0: float = 0.5,
        z: float = 1.0,
        t: int = 6,
        view: int = 0,
        wrong_index: bool = False,
    ):
        schedule = linear_schedule() if schedule is None else schedule
        beta = beta_bytes("schedule", schedule)
        if schedule.T < 2:
            fail(ValueError, "schedule", "two steps or more", repr(schedule))
        if not isinstance(wrong_index, bool):
            fail(TypeError, "wrong_index", "True or False", f"{wrong_index!r}")
        super().__init__(
            T=schedule.T,
            beta=beta,
            x_0=check_real("x_0", x_0, -1, 1),
            z=check_real("z", z, -3, 3),
            t=check_whole("t", t, 2, schedule.T),
            view=check_whole("view", view, 0, 1),
            wrong_index=wrong_index,
        )

    def gaussians(self) -> dict[str, Gaussian]:
        """Compute mean and variance of each Gaussian, as the page does."""
        schedule, t = read_schedule(self.beta), self.t
        x_t, x_0 = (torch.tensor([value], dtype=torch.float64) for value in (self.x_t(), self.x_0))
        one, none = torch.ones_like(x_0), torch.zeros_like(x_0)
        # x_t = scale x_{t-1} + spread z, so that given x_t, x_{t-1} = (x_t - spread z) / scale (eq-forward-step)
        scale, spread = float(q_step(schedule, one, t, none)), float(q_step(schedule, none, t, one))
        # The mistake is 1 - alpha_bar_t instead of 1 - alpha_bar_{t-1}, so the closed form to t precedes the step.
        wrong = Schedule(torch.tensor([0.0, self._compute_deviation(t) ** 2, spread**2], dtype=torch.float64))
        mean, variance = posterior(schedule, x_t, t, x_0)
        wrong_mean, wrong_variance = posterior(wrong, x_t, 2, x_0)
        return {
            "prior": (float(jump(schedule, self.x_0, t - 1, 0)), self._compute_deviation(t - 1) ** 2),
            "likelihood": (self.x_t() / scale, (spread / scale) ** 2),
            "posterior": (float(mean), float(variance)),
            "wrong index": (float(wrong_mean), float(wrong_variance)),
        }

    def _compute_deviation(self, t: int) -> float:
        """Compute the standard deviation of x_t, given x_0."""
        return float(jump(read_schedule(self.beta), 0, t, 1))

    def x_t(self) -> float:
        """Compute the noisy pixel (eq-forward-closed)."""
        return float(jump(read_schedule(self.beta), self.x_0, self.t, self.z))

    def ends(self) -> tuple[float, float]:
        """Compute the two ends of the axis, as they are when t or the view has changed."""
        if self.view:
            half = float(jump(read_schedule(self.beta), 1, self.t, 3))
            return -half, half
        mean, variance = self.gaussians()["posterior"]
        half = 6 * variance**0.5
        return mean - half, mean + half

    def still(self) -> str:
        found = self.gaussians()
        x = np.linspace(*self.ends(), 161)
        peak = found["posterior"][1] ** 0.5
        names = [name for name in found if self.wrong_index or name != "wrong index"]
        ys = {name: _compute_density(x, *found[name]) * peak for name in names}
        return still.curves(x, ys, alt=self.sentence(), xlabel="value at t - 1", y=(0, 1))

    def sentence(self) -> str:
        found = self.gaussians()
        mean, variance = found["posterior"]
        words = (
            f"Prior, likelihood and posterior of one pixel at t = {self.t}: the posterior lies between the other two "
            f"and is narrower than both. Its mean is {mean:.4g}, its variance {variance:.4g}."
        )
        if self.wrong_index:
            words += (
                f" With the wrong index the variance is {100 * (found['wrong index'][1] / variance - 1):.2g} % larger."
            )
        return words


def _compute_density(x, mean, variance):
    return np.exp(-((x - mean) ** 2) / (2 * variance)) / variance**0.5
