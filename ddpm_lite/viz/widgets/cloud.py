"""A cloud of points in the plane: forward into noise, and back with the exact z."""

import numpy as np
import torch
import traitlets
from torch import Tensor

from ddpm_lite._check import check_whole, describe, fail
from ddpm_lite.oracle import GaussianMixture
from ddpm_lite.sampler import ddpm_step, sample
from ddpm_lite.schedule import Schedule, linear_schedule
from ddpm_lite.viz.noise import gaussians, stream
from ddpm_lite.viz.widgets.base import (
    Widget,
    beta_bytes,
    float_bytes,
    jump,
    noise_bytes,
    read_noise,
    read_schedule,
    state,
)

WAYS = ("forward", "back")
REACH = 3.5  # the plot shows [-3.5, 3.5] in both directions


class Cloud(Widget):
    """Points from a mixture of isotropic Gaussians in the plane, at time t of the forward or the reverse process.

    In the forward process every point has its own fixed noise (eq-forward-closed). Sampling starts from the same x_T
    and takes every step of the schedule (eq-ddpm-step) with the mixture's exact z and the posterior's variance.

    Args:
        mixture: the data in the plane, with their schedule; None is three Gaussians and the paper's schedule.
        t: the time, 0..T.
        direction: "forward" or "back".
        arrows: draw arrows along the score of q(x_t).
        simple: leave out the controls of the direction and the arrows, for readers who do not know the terms yet.
        points: the number of points, 10..2000.
        seed: the seed of the points and of all noise.

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "cloud"
    T = state(traitlets.Int())
    K = state(traitlets.Int())
    points = state(traitlets.Int())
    seed = state(traitlets.Int())
    beta = state(traitlets.Bytes())
    blobs = state(traitlets.Bytes())
    x_0 = state(traitlets.Bytes())
    noise = state(traitlets.Bytes())
    t = state(traitlets.Int())
    direction = state(traitlets.Int())
    arrows = state(traitlets.Bool())
    simple = state(traitlets.Int())

    def __init__(
        self,
        mixture: GaussianMixture | None = None,
        *,
        t: int = 0,
        direction: str = "forward",
        arrows: bool = False,
        simple: bool = False,
        points: int = 300,
        seed: int = 1,
    ):
        mixture = three_blobs() if mixture is None else mixture
        if not isinstance(mixture, GaussianMixture):
            fail(TypeError, "mixture", "a GaussianMixture", type(mixture).__name__)
        if mixture.means.shape[1:] != (2,):
            fail(ValueError, "mixture", "a mixture in the plane, with means of shape (K, 2)", describe(mixture.means))
        if direction not in WAYS:
            fail(ValueError, "direction", '"forward" or "back"', f"{direction!r}")
        for name, value in (("arrows", arrows), ("simple", simple)):
            if not isinstance(value, bool):
                fail(TypeError, name, "True or False", f"{value!r}")
        rng = np.random.default_rng(check_whole("seed", seed, 0, 10**6))
        check_whole("points", points, 10, 2000)
        table = torch.cat([mixture.means, mixture.stds[:, None], mixture.weights[:, None]], dim=1).cpu().numpy()
        blob = rng.choice(len(table), points, p=table[:, 3])
        x_0 = table[blob, :2] + table[blob, 2:3] * rng.standard_normal((points, 2))
        super().__init__(
            T=mixture.schedule.T,
            K=len(table),
            points=points,
            seed=seed,
            beta=beta_bytes("mixture.schedule", mixture.schedule),
            blobs=float_bytes(table),
            x_0=float_bytes(x_0),
            noise=noise_bytes(rng.standard_normal((points, 2))),
            t=check_whole("t", t, 0, mixture.schedule.T),
            direction=WAYS.index(direction),
            arrows=arrows,
            simple=int(simple),
        )

    def mixture(self) -> GaussianMixture:
        """Decode the data and the schedule as the page has them."""
        table = torch.from_numpy(np.frombuffer(self.blobs, "<f4").astype(np.float64).reshape(-1, 4))
        return GaussianMixture(read_schedule(self.beta), table[:, :2], table[:, 2], table[:, 3])

    def at(self, t: int, direction: int | None = None) -> np.ndarray:
        """Compute the points (N, 2) at time t, as the page does."""
        if self.direction if direction is None else direction:
            return self.walk()[t]
        x_0 = np.frombuffer(self.x_0, "<f4")
        return jump(read_schedule(self.beta), x_0, t, read_noise(self.noise)).reshape(-1, 2)

    def walk(self) -> list[np.ndarray]:
        """Compute all states of sampling (alg-sampling); entry t has the points (N, 2) at time t."""

        def step(schedule: Schedule, x_t: Tensor, t: int, s: int, z_hat: Tensor, _: Tensor) -> Tensor:
            return ddpm_step(schedule, x_t, t, s, z_hat, torch.from_numpy(self.fresh(t)), clip=False)

        mixture, x_T = self.mixture(), torch.from_numpy(self.at(self.T, 0))
        walk = sample(mixture, mixture.schedule, tuple(x_T.shape), step=step, x_T=x_T, dtype=torch.float64)
        return [x_t.numpy() for _, x_t in walk][::-1]

    def fresh(self, t: int) -> np.ndarray:
        """Compute the noise (N, 2) of the step from time t; two uniform numbers make two Gaussian ones."""
        uniform = stream((self.seed + 1) * 0x9E3779B9 & 0xFFFFFFFF)
        u, v = uniform(2 * self.points * t + np.arange(2 * self.points)).reshape(-1, 2).T
        return gaussians(u, v)

    def still(self) -> str:
        middle = self.T // 5
        times = (self.T, middle, 0) if self.direction else (0, middle, self.T)
        states = self.walk() if self.direction else {t: self.at(t) for t in times}
        return f'<div class="dw-row">{"".join(_draw_panel(states[t], f"t = {t}") for t in times)}</div>'

    def sentence(self) -> str:
        if self.direction:
            return (
                f"{self.points} points of pure noise go back with the exact z, from t = {self.T} to t = 0: they end "
                f"in the {self.K} blobs of the data."
            )
        return (
            f"{self.points} points of {self.K} blobs, from t = 0 to t = {self.T}: the blobs move to the middle, get "
            "wider, and end as one round cloud."
        )


def three_blobs() -> GaussianMixture:
    """Make the three blobs of the chapter on the mean."""
    means = torch.tensor([[-1.2, -0.6], [1.0, -0.9], [0.2, 1.1]])
    return GaussianMixture(linear_schedule(), means, torch.tensor([0.15, 0.25, 0.20]))


def _draw_panel(x: np.ndarray, caption: str, size: int = 180) -> str:
    """Draw a scatter plot in SVG, rounded to tenths of a pixel."""
    spots = (x * [1, -1] / REACH + 1) * size / 2
    path = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in spots)
    svg = (
        f'<svg role="img" aria-label="The points at {caption}" width="{size}" viewBox="0 0 {size} {size}">'
        f'<path class="dw-line dw-dot dw-1" d="{path}"></path></svg>'
    )
    return f'<figure class="dw-figure">{svg}<figcaption>{caption}</figcaption></figure>'
