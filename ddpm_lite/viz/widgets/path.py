"""The path from one start to its end, step by step: the straight guess, Euler's method and Heun's."""

import numpy as np
import torch
import traitlets
from torch import Tensor

from ddpm_lite._check import check_real, check_whole, fail
from ddpm_lite.oracle import GaussianMixture
from ddpm_lite.process import predict_x_0
from ddpm_lite.sampler import ddim_step, heun_step, sample
from ddpm_lite.schedule import Schedule, linear_schedule, respace
from ddpm_lite.viz.widgets import still
from ddpm_lite.viz.widgets.base import Widget, float_bytes, jump, state

METHODS = ("Euler", "Heun")
REACH = 1.5  # of the start, and of the plot


class PathStepper(Widget):
    """One point of a mixture of two Gaussians on a line, and its path along the probability-flow ODE (eq-flow).

    The plot shows x_t over the sum of the weights of x_0 and noise, because in this scale a step of Euler's method,
    which is DDIM's (eq-ddim-euler), is a straight line towards its estimate of x_0.

    Args:
        x_T: the start, in [-1.5, 1.5].
        steps: the number of steps, 1..20.
        method: "Euler" or "Heun".
        taken: the steps that are taken at the beginning, 0..steps.

    Raises:
        ValueError: an argument that is not among these; the message names it.
    """

    name = "path-stepper"
    press = "Take the steps yourself"
    T = state(traitlets.Int())
    ends = state(traitlets.List())
    blobs = state(traitlets.Bytes())
    x_T = state(traitlets.Float())
    steps = state(traitlets.Int())
    method = state(traitlets.Int())
    taken = state(traitlets.Int())

    def __init__(self, x_T: float = -0.4, *, steps: int = 8, method: str = "Euler", taken: int = 0):
        if method not in METHODS:
            fail(ValueError, "method", '"Euler" or "Heun"', f"{method!r}")
        # Of each component: its place in the plane, of which the widget uses the first axis, deviation and weight
        blobs = [[-0.8, 0.0, 0.12, 0.4], [0.7, 0.0, 0.12, 0.6]]
        super().__init__(
            T=1000,
            ends=[1e-4, 0.02],
            blobs=float_bytes(np.array(blobs)),
            x_T=check_real("x_T", x_T, -REACH, REACH),
            steps=check_whole("steps", steps, 1, 20),
            method=METHODS.index(method),
            taken=check_whole("taken", taken, 0, steps),
        )

    def mixture(self) -> GaussianMixture:
        """Decode the data and the schedule as the page has them."""
        table = torch.from_numpy(np.frombuffer(self.blobs, "<f4").astype(np.float64).reshape(-1, 4))
        return GaussianMixture(linear_schedule(), table[:, :1], table[:, 2], table[:, 3])

    def walk(self, steps: int | None = None, method: int | None = None) -> list[tuple[int, float]]:
        """Compute the times and places of a walk in so many steps, from x_T to x_0."""
        mixture = self.mixture()
        way = respace(mixture.schedule, self.steps if steps is None else steps)
        heun = self.method if method is None else method
        x_T = torch.tensor([[self.x_T]], dtype=torch.float64)
        states = sample(mixture, way, (1, 1), step=_heun if heun else _euler, x_T=x_T, dtype=torch.float64)
        return [(t, float(x)) for t, x in states]

    def guess(self, t: int, x_t: float) -> float:
        """Compute the estimate of x_0 at x_t, where the straight line ends."""
        mixture, x, times = self.mixture(), torch.tensor([[x_t]], dtype=torch.float64), torch.tensor([t])
        return float(predict_x_0(mixture.schedule, x, times, mixture(x, times)))

    def place(self, t: int, x: float) -> tuple[float, float]:
        """Compute where the plot has x_t: the share of the noise, and x_t over the sum of both weights."""
        schedule = linear_schedule()
        signal, noise = float(jump(schedule, 1, t, 0)), float(jump(schedule, 0, t, 1))
        return noise / (signal + noise), x / (signal + noise)

    def still(self) -> str:
        exact = np.array([self.place(*point) for point in self.walk(self.T, 1)])[:: self.T // 100]
        walk = np.array([self.place(*point) for point in self.walk()])
        start, end = exact[0], self.guess(self.T, self.x_T)
        across = exact[:, 0]
        lines = {
            "straight guess from the start": np.interp(across, [0, start[0]], [end, start[1]]),
            f"{METHODS[self.method]}, {self.steps} steps": np.interp(across, *walk[::-1].T),
            "path of the ODE": exact[:, 1],
        }
        return still.curves(
            across, lines, alt=self.sentence(), xlabel="share of noise, from x_T to x_0", y=(-REACH, REACH)
        )

    def sentence(self) -> str:
        end, walked = self.walk(self.T, 1)[-1][1], self.walk()[-1][1]
        return (
            f"From x_T = {self.x_T:g} the path of the ODE bends and ends at {end:.2f}. The straight guess from the "
            f"start ends at {self.guess(self.T, self.x_T):.2f}, and {METHODS[self.method]}'s method with {self.steps} "
            f"steps, which guesses anew at each of them, at {walked:.2f}."
        )


def _euler(schedule: Schedule, x_t: Tensor, t: int, s: int, z_hat: Tensor, noise: Tensor) -> Tensor:
    return ddim_step(schedule, x_t, t, s, z_hat, noise, clip=False)


def _heun(schedule: Schedule, x_t: Tensor, t: int, s: int, z_hat: Tensor, noise: Tensor, *, ask) -> Tensor:
    return heun_step(schedule, x_t, t, s, z_hat, noise, ask=ask, clip=False)
