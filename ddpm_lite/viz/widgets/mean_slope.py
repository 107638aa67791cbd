"""All pairs whose lines pass through one place, and the mean of their slopes."""

import numpy as np
import torch
import traitlets

from ddpm_lite._check import check_real
from ddpm_lite.oracle import GaussianMixture
from ddpm_lite.process import flow_from_z
from ddpm_lite.schedule import schedule_from_levels
from ddpm_lite.viz.widgets import still
from ddpm_lite.viz.widgets.base import Widget, jump, state
from ddpm_lite.viz.widgets.flow_paths import MEANS, SHARES, STDS

COUNT, GRID = 20, np.linspace(-1.4, 1.0, 601)  # lines that are drawn, and images at which the density is computed


class MeanSlope(Widget):
    """The pairs through one place, their mean slope, and the path of the particle there (eq-marginal-slope).

    Args:
        m: the place, in [-1.5, 1.5].
        tau: the flow time, in [0.05, 0.95].

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "mean-slope"
    press = "Move the place yourself"
    means = state(traitlets.List())
    stds = state(traitlets.List())
    shares = state(traitlets.List())
    m = state(traitlets.Float())
    tau = state(traitlets.Float())

    def __init__(self, *, m: float = 0.0, tau: float = 0.5):
        super().__init__(
            means=list(MEANS),
            stds=list(STDS),
            shares=list(SHARES),
            m=check_real("m", m, -1.5, 1.5),
            tau=check_real("tau", tau, 0.05, 0.95),
        )

    def slope(self) -> float:
        """The mean slope U at the place, from the exact mean of the noise."""
        nu = self.tau / (1 - self.tau)
        schedule = schedule_from_levels(torch.tensor([0.0, nu], dtype=torch.float64))
        blobs = GaussianMixture(schedule, torch.tensor(MEANS)[:, None], torch.tensor(STDS), torch.tensor(SHARES))
        total = float(jump(schedule, 1, 1, 0) + jump(schedule, 0, 1, 1))  # the sum of the weights: x_t is m times it
        x_t = torch.tensor([[self.m * total]], dtype=torch.float64)
        return float(flow_from_z(schedule, x_t, 1, blobs(x_t, 1)))

    def share(self) -> float:
        """The probability that a pair through the place has its image in the left blob, by Bayes' rule."""
        a = 1 - self.tau
        spread = np.array([(a * std) ** 2 + self.tau**2 for std in STDS])
        off = self.m - a * np.array(MEANS)
        likely = np.array(SHARES) * np.exp(-(off**2) / (2 * spread)) / np.sqrt(spread)
        return float(likely[0] / likely.sum())

    def images(self) -> np.ndarray:
        """The images of twenty equally likely pairs through the place, from the left to the right."""
        noise = (self.m - (1 - self.tau) * GRID) / self.tau
        density = np.exp(-(noise**2) / 2) * sum(
            p / s * np.exp(-(((GRID - mean) / s) ** 2) / 2) for mean, s, p in zip(MEANS, STDS, SHARES, strict=True)
        )
        below = np.cumsum(density) / density.sum()
        return np.interp((np.arange(COUNT) + 0.5) / COUNT, below, GRID)

    def path(self, times: np.ndarray) -> np.ndarray:
        """Where the particle is at these flow times: it keeps its rank among all particles (eq-flow-ode)."""
        grid = np.linspace(-6, 6, 12_001)

        def rank(places, tau):
            spread = [np.hypot((1 - tau) * std, tau) for std in STDS]
            units = [(places - (1 - tau) * mean) / s for mean, s in zip(MEANS, spread, strict=True)]
            return sum(p * torch.special.ndtr(torch.from_numpy(u)).numpy() for p, u in zip(SHARES, units, strict=True))

        own = rank(np.array([self.m]), self.tau)[0]
        return np.array([np.interp(own, rank(grid, tau), grid) for tau in times])

    def still(self) -> str:
        times = np.linspace(0, 1, 61)

        def line(slope):
            return self.m + (times - self.tau) * slope

        ends = (self.m - self.images()) / self.tau
        pairs = {"a pair from the left": line(ends[1]), "a pair from the right": line(ends[-2])}
        lines = {"mean slope": line(self.slope()), "path of the particle": self.path(times)} | pairs
        rounded = {name: np.round(line, 6) for name, line in lines.items()}
        at = (round(self.tau, 6), round(self.m, 6))
        return still.curves(times, rounded, alt=self.sentence(), xlabel="flow time", y=(-1.6, 1.6), mark=at)

    def sentence(self) -> str:
        end = self.m - self.tau * self.slope()
        return (
            f"Through the place {self.m:g} at the flow time {self.tau:g} pass the lines of many pairs, of which "
            f"{self.share():.0%} come from the left blob. Their mean slope is {self.slope():.2f}, and its line ends at "
            f"{end:.2f}."
        )
