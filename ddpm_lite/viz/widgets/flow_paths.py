"""A particle of an exact mixture along the flow, and in a few straight steps."""

from functools import lru_cache, partial

import numpy as np
import torch
import traitlets

from ddpm_lite._check import check_real, check_whole
from ddpm_lite.oracle import GaussianMixture
from ddpm_lite.sampler import ddim_step, sample
from ddpm_lite.schedule import schedule_from_levels
from ddpm_lite.viz.widgets import still
from ddpm_lite.viz.widgets.base import Widget, jump, state

MEANS, STDS, SHARES = (-0.6, 0.5), (0.15, 0.1), (0.3, 0.7)
FIRST, MOST, CLOSE = 0.999, 40, 100  # the flow time of the start, the largest number of steps, and that of the curve


class FlowPaths(Widget):
    """From noise to data by the average slope: the curve, and Euler's steps along it (eq-flow-ode, eq-step-flow).

    Args:
        start: the place of the particle among the noise, in [-2, 2].
        steps: how many straight steps, 1..40.

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "flow-paths"
    press = "Move a particle yourself"
    means = state(traitlets.List())
    stds = state(traitlets.List())
    shares = state(traitlets.List())
    first = state(traitlets.Float())
    start = state(traitlets.Float())
    steps = state(traitlets.Int())

    def __init__(self, *, start: float = -0.4, steps: int = 4):
        super().__init__(
            means=list(MEANS),
            stds=list(STDS),
            shares=list(SHARES),
            first=FIRST,
            start=check_real("start", start, -2, 2),
            steps=check_whole("steps", steps, 1, MOST),
        )

    def path(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """The flow times, from the data up, and the places there; DDIM's steps along even flow times are Euler's."""
        return _walk(round(self.start, 6), steps)

    def still(self) -> str:
        grid = np.linspace(0, FIRST, 121)
        names = {"flow": CLOSE, f"{self.steps} straight steps": self.steps}
        lines = {name: np.interp(grid, *self.path(steps)) for name, steps in names.items()}
        return still.curves(grid, lines, alt=self.sentence(), xlabel="flow time", y=(-2, 2))

    def sentence(self) -> str:
        end, there = (self.path(steps)[1][0] for steps in (CLOSE, self.steps))
        return (
            f"A particle of two blobs starts at {self.start:g} among the noise. The flow takes it along a curve to "
            f"about {end:.2f}; {self.steps} straight steps along the average slope take it to {there:.2f}."
        )


@lru_cache(maxsize=64)
def _walk(start: float, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Flow times and places of a walk, both from time 0 up."""
    times = np.linspace(0, FIRST, steps + 1)
    schedule = schedule_from_levels(torch.from_numpy(times / (1 - times)))
    blobs = GaussianMixture(schedule, torch.tensor(MEANS)[:, None], torch.tensor(STDS), torch.tensor(SHARES))
    scale = [float(jump(schedule, 1, k, 0) + jump(schedule, 0, k, 1)) for k in range(steps + 1)]
    step, x_T = partial(ddim_step, clip=False), torch.tensor([[start * scale[-1]]], dtype=torch.float64)
    walk = dict(sample(blobs, schedule, (1, 1), step=step, x_T=x_T, dtype=torch.float64))
    return times, np.array([float(walk[k]) / scale[k] for k in range(steps + 1)])
