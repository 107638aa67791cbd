"""Prior, likelihood and posterior of one pixel."""

import numpy as np
import traitlets

from ddpm_lite._check import check_real, check_whole, fail
from ddpm_lite.schedule import Schedule, linear_schedule
from ddpm_lite.viz.widgets import still
from ddpm_lite.viz.widgets.base import Widget, beta_bytes, module, read_alpha_bar, state

Bell = tuple[float, float]  # mean and variance


class PosteriorExplorer(Widget):
    """The three bells of Bayes' rule over x_{t-1}: q(x_{t-1} | x_0), q(x_t | x_{t-1}) and q(x_{t-1} | x_t, x_0).

    Args:
        schedule: the forward process, of two steps or more; None is the paper's.
        x_0: the clean pixel, in [-1, 1].
        z: the noise in x_t, in [-3, 3]; x_t follows from it by eq-forward-closed.
        t: the time, 2..T. At t = 1 prior and posterior are the single point x_0.
        view: 0 shows six deviations of the posterior to both sides, 1 five deviations of the prior.
        wrong_index: show the posterior with alpha_bar_t for alpha_bar_{t-1} in the prior's exponent, too.

    Raises:
        ValueError, TypeError: one line names the argument.
    """

    name = "posterior-explorer"
    _esm = module("posterior-explorer")
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

    def bells(self) -> dict[str, Bell]:
        """Mean and variance of each bell, as the page computes them."""
        bar, t = read_alpha_bar(self.beta), self.t

        def closed(s):
            return float(np.sqrt(bar[s]) * self.x_0), float(1 - bar[s])

        prior = closed(t - 1)
        alpha = 1 - float(np.frombuffer(self.beta, "<f4")[t])
        likelihood = self.x_t() / alpha**0.5, (1 - alpha) / alpha
        return {
            "prior": prior,
            "likelihood": likelihood,
            "posterior": _both(likelihood, prior),
            "wrong index": _both(likelihood, closed(t)),
        }

    def x_t(self) -> float:
        """The noisy pixel (eq-forward-closed)."""
        share = read_alpha_bar(self.beta)[self.t]
        return float(np.sqrt(share) * self.x_0 + np.sqrt(1 - share) * self.z)

    def ends(self) -> Bell:
        """The two ends of the axis."""
        bells = self.bells()
        mean, variance = bells["prior" if self.view else "posterior"]
        half = (5 if self.view else 6) * variance**0.5
        return mean - half, mean + half

    def still(self) -> str:
        bells = self.bells()
        x = np.linspace(*self.ends(), 161)
        peak = bells["posterior"][1] ** 0.5
        names = [name for name in bells if self.wrong_index or name != "wrong index"]
        ys = {name: _bell(x, *bells[name]) * peak for name in names}
        return still.curves(x, ys, alt=self.sentence(), xlabel="value at t - 1", y=(0, 1))

    def sentence(self) -> str:
        bells = self.bells()
        mean, variance = bells["posterior"]
        words = (
            f"Prior, likelihood and posterior of one pixel at t = {self.t}: the posterior lies between the other two "
            f"and is narrower than both. Its mean is {mean:.4g}, its variance {variance:.4g}."
        )
        if self.wrong_index:
            words += (
                f" With the wrong index the variance is {100 * (bells['wrong index'][1] / variance - 1):.2g} % larger."
            )
        return words


def _both(one: Bell, other: Bell) -> Bell:
    """Two bells multiplied: precisions add, and the mean is weighted by them (eq-match-square, eq-match-line)."""
    (m, v), (n, w) = one, other
    return (m * w + n * v) / (v + w), v * w / (v + w)


def _bell(x, mean, variance):
    return np.exp(-((x - mean) ** 2) / (2 * variance)) / variance**0.5
