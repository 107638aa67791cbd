"""The step back for an unknown image: two humps, and what becomes of them with more steps."""

import numpy as np
import torch
import traitlets

from ddpm_lite._check import check_real, check_whole, fail
from ddpm_lite.oracle import GaussianChain, GaussianMixture
from ddpm_lite.process import posterior, predict_x_0
from ddpm_lite.schedule import Schedule, linear_schedule
from ddpm_lite.viz.widgets import still
from ddpm_lite.viz.widgets.base import Widget, beta_bytes, jump, read_schedule, state

LENGTHS = (4, 10, 20, 50, 100, 200, 500, 1000)
CENTRES, STD = (-1.0, 1.0), 0.2
UNITS = np.linspace(-4, 4, 321)  # the axis: standard deviations from the mean


class TwoHumps(Widget):
    """q(x_s | x_t) for data of two humps, exactly, beside the Gaussian with its mean and variance (eq-reverse-average).

    The data are N(-1, 0.2^2) and N(1, 0.2^2), equally probable. The noise follows the paper's schedule, and a chain of
    T steps goes from t back to s = t - 1000 / T, or to 0.

    Args:
        T: the steps of the chain, one of `LENGTHS`.
        t: the time on the paper's scale, 1..1000.
        x_t: the noisy pixel, in [-2, 2].

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "two-humps"
    beta = state(traitlets.Bytes())
    lengths = state(traitlets.Tuple())
    centres = state(traitlets.Tuple())
    std = state(traitlets.Float())
    chosen = state(traitlets.Int())
    t = state(traitlets.Int())
    x_t = state(traitlets.Float())

    def __init__(self, *, T: int = 10, t: int = 200, x_t: float = 0.1):
        if T not in LENGTHS:
            fail(ValueError, "T", f"one of {', '.join(map(str, LENGTHS))}", f"{T!r}")
        super().__init__(
            beta=beta_bytes("schedule", linear_schedule()),
            lengths=LENGTHS,
            centres=CENTRES,
            std=STD,
            chosen=LENGTHS.index(T),
            t=check_whole("t", t, 1, 1000),
            x_t=check_real("x_t", x_t, -2, 2),
        )

    def s(self) -> int:
        """The time that one step back leads to."""
        return max(0, self.t - 1000 // self.lengths[self.chosen])

    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Compute weight, mean and variance of each hump of q(x_s | x_t); all are Gaussians."""
        schedule, s = read_schedule(self.beta), self.s()
        kept, noise = (float(jump(schedule, *pair)) for pair in ((1, s, 0), (0, s, 1)))
        step = 1 - (float(jump(schedule, 1, self.t, 0)) / kept) ** 2
        # One jump to s, which is none at s = 0, and then the step to t
        way = Schedule(torch.tensor([0.0, *([noise**2] if s else []), step], dtype=torch.float64))
        x_t, zero, one = (torch.tensor([value], dtype=torch.float64) for value in (self.x_t, 0, 1))
        weight_x_0 = float(posterior(way, zero, way.T, one)[0])
        logs, means, variances = [], [], []
        for centre in self.centres:
            chain = GaussianChain(way, mean=centre, std=self.std)
            # The average image of this hump and, in units of x_0, how far it is from being known
            image = predict_x_0(way, x_t, way.T, chain(x_t, way.T))
            unit = float(predict_x_0(way, zero, way.T, one))
            unknown = unit**2 * float(chain.least_loss()[way.T])
            mean, variance = posterior(way, x_t, way.T, image)
            means.append(float(mean))
            variances.append(float(variance) + weight_x_0**2 * unknown)
            hump = GaussianMixture(way, torch.tensor([[centre]]), torch.tensor([self.std]))
            logs.append(float(hump.log_density(x_t[None], way.T)))
        weights = np.exp(np.array(logs) - max(logs))
        return weights / weights.sum(), np.array(means), np.array(variances)

    def values(self) -> dict[str, float]:
        """Compute mean, variance and kurtosis of q(x_s | x_t), and the share of it that the Gaussian misses."""
        weights, means, variances = self.parts()
        mean = float(weights @ means)
        off = means - mean
        variance = float(weights @ (variances + off**2))
        fourth = float(weights @ (off**4 + 6 * off**2 * variances + 3 * variances**2))
        exact, bell = self.curves()
        return {
            "mean": mean,
            "variance": variance,
            "kurtosis": fourth / variance**2,
            "missed": float(np.abs(exact - bell).sum() * (UNITS[1] - UNITS[0]) / 2),
        }

    def curves(self) -> tuple[np.ndarray, np.ndarray]:
        """Compute q(x_s | x_t) and its Gaussian at `UNITS`, as densities of what the axis shows."""
        weights, means, variances = self.parts()
        mean = weights @ means
        deviation = (weights @ (variances + (means - mean) ** 2)) ** 0.5
        x = (mean + UNITS * deviation)[:, None]
        humps = weights * np.exp(-((x - means) ** 2) / (2 * variances)) / (2 * np.pi * variances) ** 0.5
        return deviation * humps.sum(axis=1), np.exp(-(UNITS**2) / 2) / (2 * np.pi) ** 0.5

    def still(self) -> str:
        exact, bell = self.curves()
        label = "standard deviations from the mean"
        ys = {"exact step back": exact, "Gaussian with its mean and variance": bell}
        return still.curves(UNITS, ys, alt=self.sentence(), xlabel=label, y=(0, 0.8))

    def sentence(self) -> str:
        found = self.values()
        return (
            f"One step back from x_t = {self.x_t:g}, from t = {self.t} to {self.s()}, as a chain of "
            f"{self.lengths[self.chosen]} steps takes it: the kurtosis of the exact density is {found['kurtosis']:.2f} "
            "(3 for a Gaussian), and the Gaussian of the same mean and variance misses "
            f"{100 * found['missed']:.0f} % of it."
        )
