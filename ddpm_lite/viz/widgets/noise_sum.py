"""Draws of a Gaussian as functions of its parameters, and the sum of two noises."""

import numpy as np
import traitlets

from ddpm_lite._check import check_real, check_whole, fail
from ddpm_lite.viz.widgets import still
from ddpm_lite.viz.widgets.base import Widget, histogram, noise_bytes, read_noise, state


class NoiseSum(Widget):
    """Points mu + sigma z + tau z' with z and z' that stay (eq-reparameterisation, eq-sum-normal).

    Args:
        mu: the mean, in [-2, 2].
        sigma, tau: the standard deviations of the two parts, in [0.1, 2] and [0, 2].
        same: use the noise of the first part in the second part too.
        points: the number of points, 10..5000.
        seed: the seed of their noise.

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "noise-sum"
    points = state(traitlets.Int())
    noise = state(traitlets.Bytes())
    mu = state(traitlets.Float())
    sigma = state(traitlets.Float())
    tau = state(traitlets.Float())
    same = state(traitlets.Bool())

    def __init__(
        self,
        *,
        mu: float = 0.5,
        sigma: float = 0.6,
        tau: float = 0.8,
        same: bool = False,
        points: int = 1500,
        seed: int = 4,
    ):
        if not isinstance(same, bool):
            fail(TypeError, "same", "True or False", f"{same!r}")
        rng = np.random.default_rng(check_whole("seed", seed, 0))
        super().__init__(
            points=check_whole("points", points, 10, 5000),
            noise=noise_bytes(rng.standard_normal((2, points))),
            mu=check_real("mu", mu, -2, 2),
            sigma=check_real("sigma", sigma, 0.1, 2),
            tau=check_real("tau", tau, 0, 2),
            same=same,
        )

    def values(self) -> np.ndarray:
        """Compute the points, as the page does."""
        z, other = read_noise(self.noise).reshape(2, -1)
        return self.mu + self.sigma * z + self.tau * (z if self.same else other)

    def deviation(self) -> float:
        """Compute the standard deviation of the sum: that of one Gaussian if both parts have the same noise."""
        return self.sigma + self.tau if self.same else (self.sigma**2 + self.tau**2) ** 0.5

    def still(self) -> str:
        edges, heights = histogram(self.values(), self.mu, self.deviation())
        middles = (edges[1:] + edges[:-1]) / 2
        bell = np.exp(-(((middles - self.mu) / self.deviation()) ** 2) / 2)
        label = "mu + sigma z + tau z'"
        ys = {"points": heights, "formula, with its peak at 1": bell}
        return still.curves(middles, ys, alt=self.sentence(), xlabel=label, y=(0, 1.2))

    def sentence(self) -> str:
        noises = "the same noise, twice" if self.same else "two independent noises"
        return (
            f"{self.points} sums of a mean {self.mu:g} and {noises}, with standard deviations {self.sigma:g} and "
            f"{self.tau:g}: they follow the Gaussian with standard deviation {self.deviation():.3g}."
        )
