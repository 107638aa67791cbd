"""Two noise steps compared with one jump."""

import numpy as np
import torch
import traitlets

from ddpm_lite._check import check_real, check_whole
from ddpm_lite.schedule import Schedule, linear_schedule
from ddpm_lite.viz.widgets import still
from ddpm_lite.viz.widgets.base import (
    Widget,
    beta_bytes,
    histogram,
    jump,
    noise_bytes,
    read_noise,
    read_schedule,
    state,
)


class MergeExplorer(Widget):
    """Points that go from x_0 to t in two noise steps, with a stop at s, and in one jump (eq-forward-closed).

    Args:
        schedule: the forward process; None is the paper's.
        x_0: the start of all points, in [-1, 1].
        s, t: the stop and the end, 0 <= s < t <= T.
        points: the number of points, 10..5000.
        seed: the seed of their noise.

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "merge-explorer"
    T = state(traitlets.Int())
    points = state(traitlets.Int())
    beta = state(traitlets.Bytes())
    noise = state(traitlets.Bytes())
    x_0 = state(traitlets.Float())
    s = state(traitlets.Int())
    t = state(traitlets.Int())

    def __init__(
        self,
        schedule: Schedule | None = None,
        *,
        x_0: float = 0.8,
        s: int = 100,
        t: int = 300,
        points: int = 1500,
        seed: int = 1,
    ):
        schedule = linear_schedule() if schedule is None else schedule
        beta = beta_bytes("schedule", schedule)
        check_whole("t", t, 1, schedule.T)
        super().__init__(
            T=schedule.T,
            points=check_whole("points", points, 10, 5000),
            beta=beta,
            noise=noise_bytes(np.random.default_rng(check_whole("seed", seed, 0)).standard_normal((3, points))),
            x_0=check_real("x_0", x_0, -1, 1),
            s=check_whole("s", s, 0, t - 1),
            t=t,
        )

    def walked(self) -> tuple[np.ndarray, np.ndarray]:
        """Compute the points at t after two steps and after one jump, as the page does."""
        schedule, z = read_schedule(self.beta), read_noise(self.noise).reshape(3, -1)
        from_s = Schedule(torch.cat([schedule.beta[:1], schedule.beta[self.s + 1 :]]))  # its time 0 is s
        two = jump(from_s, jump(schedule, self.x_0, self.s, z[0]), self.t - self.s, z[1])
        return two, jump(schedule, self.x_0, self.t, z[2])

    def still(self) -> str:
        edges, heights = self.histograms()
        names = dict(zip(("two steps", "one jump"), heights, strict=True))
        middles = (edges[1:] + edges[:-1]) / 2
        ylabel = "value at time t; the formula's peak is 1"
        return still.curves(middles, names, alt=self.sentence(), xlabel=ylabel, y=(0, 1.2))

    def histograms(self) -> tuple[np.ndarray, np.ndarray]:
        """Compute the edges of the bars and their heights, (2, 39); the peak of the formula's curve is 1."""
        schedule = read_schedule(self.beta)
        mean, spread = (float(jump(schedule, *pair)) for pair in ((self.x_0, self.t, 0), (0, self.t, 1)))
        (edges, two), (_, one) = (histogram(x, mean, spread) for x in self.walked())
        return edges, np.array([two, one])

    def sentence(self) -> str:
        return (
            f"{self.points} points that start at {self.x_0:g} and go to t = {self.t}, in two noise steps with a stop "
            f"at s = {self.s} and in one jump: the two outlines agree."
        )
