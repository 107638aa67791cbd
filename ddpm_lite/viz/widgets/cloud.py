"""A cloud of points in the plane: forward into noise, and back under the exact z."""

import numpy as np
import torch
import traitlets

from ddpm_lite._check import check_whole, describe, fail
from ddpm_lite.oracle import GaussianMixture
from ddpm_lite.schedule import linear_schedule
from ddpm_lite.viz.widgets.base import (
    Widget,
    beta_bytes,
    float_bytes,
    module,
    noise_bytes,
    read_alpha_bar,
    read_noise,
    state,
)

WAYS = ("forward", "back")
REACH = 3.5  # the picture shows [-3.5, 3.5] in both directions


class Cloud(Widget):
    """Points drawn from a mixture of round blobs in the plane, at time t of the way forward or of the way back.

    Forward, every point keeps its own noise (eq-forward-closed). The way back starts from the same x_T and takes
    every step of the schedule (eq-ddpm-step) with the mixture's exact z and the posterior's variance.

    Args:
        mixture: the data, blobs in the plane, with their schedule; None is three blobs and the paper's schedule.
        t: the time, 0..T.
        direction: "forward" or "back".
        arrows: draw needles along the score of q(x_t).
        points: how many, 10..2000.
        seed: of the points and of all noise.

    Raises:
        ValueError, TypeError: one line names the argument.
    """

    name = "cloud"
    _esm = module("cloud")
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

    def __init__(
        self,
        mixture: GaussianMixture | None = None,
        *,
        t: int = 0,
        direction: str = "forward",
        arrows: bool = False,
        points: int = 300,
        seed: int = 1,
    ):
        mixture = three_blobs() if mixture is None else mixture
        if not isinstance(mixture, GaussianMixture):
            fail(TypeError, "mixture", "a GaussianMixture", type(mixture).__name__)
        if mixture.means.shape[1:] != (2,):
            fail(ValueError, "mixture", "blobs in the plane, means of shape (K, 2)", describe(mixture.means))
        if direction not in WAYS:
            fail(ValueError, "direction", '"forward" or "back"', f"{direction!r}")
        if not isinstance(arrows, bool):
            fail(TypeError, "arrows", "True or False", f"{arrows!r}")
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
        )

    def score(self, x: np.ndarray, t: int) -> np.ndarray:
        """The gradient of log q(x_t) at points (N, 2), as the page computes it (eq-oracle-mixture, eq-score-from-z)."""
        share = read_alpha_bar(self.beta)[t]
        table = np.frombuffer(self.blobs, "<f4").astype(np.float64).reshape(-1, 4)
        variance = share * table[:, 2] ** 2 + 1 - share  # (K,)
        pull = (np.asarray(x)[:, None] - np.sqrt(share) * table[:, :2]) / variance[:, None]  # (N, K, 2)
        logs = np.log(table[:, 3] / variance) - (pull**2).sum(axis=2) * variance / 2
        weight = np.exp(logs - logs.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        return -(weight[..., None] * pull).sum(axis=1)

    def at(self, t: int, direction: int | None = None) -> np.ndarray:
        """The points (N, 2) at time t, as the page computes them."""
        if self.direction if direction is None else direction:
            return self.walk()[t]
        share = read_alpha_bar(self.beta)[t]
        x_0 = np.frombuffer(self.x_0, "<f4").astype(np.float64)
        return (np.sqrt(share) * x_0 + np.sqrt(1 - share) * read_noise(self.noise)).reshape(-1, 2)

    def walk(self) -> list[np.ndarray]:
        """All states of the way back; entry t holds the points (N, 2) at time t."""
        beta, bar = np.frombuffer(self.beta, "<f4").astype(np.float64), read_alpha_bar(self.beta)
        states = [self.at(self.T, 0)]
        for t in range(self.T, 0, -1):
            x = states[-1]
            sigma = np.sqrt(beta[t] * (1 - bar[t - 1]) / (1 - bar[t]))
            mean = (x + beta[t] * self.score(x, t)) / np.sqrt(1 - beta[t])
            states.append(mean + sigma * self.fresh(t))
        return states[::-1]

    def fresh(self, t: int) -> np.ndarray:
        """The noise (N, 2) that the way back adds when it leaves time t: two uniform numbers make two Gaussian ones."""
        one, two = _uniform(2 * self.points * t + np.arange(2 * self.points), self.seed).reshape(-1, 2).T
        radius, angle = np.sqrt(-2 * np.log(one)), 2 * np.pi * two
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)

    def still(self) -> str:
        middle = self.T // 5
        times = (self.T, middle, 0) if self.direction else (0, middle, self.T)
        states = self.walk() if self.direction else {t: self.at(t) for t in times}
        return f'<div class="dw-row">{"".join(_panel(states[t], f"t = {t}") for t in times)}</div>'

    def sentence(self) -> str:
        if self.direction:
            return (
                f"{self.points} points of pure noise walk back under the exact z, from t = {self.T} to t = 0: they end "
                f"in the {self.K} blobs of the data."
            )
        return (
            f"{self.points} points of {self.K} blobs, from t = 0 to t = {self.T}: the blobs move to the middle, get "
            "wider, and end as one round cloud."
        )


def three_blobs() -> GaussianMixture:
    """The three blobs of the chapter on the mean."""
    means = torch.tensor([[-1.2, -0.6], [1.0, -0.9], [0.2, 1.1]])
    return GaussianMixture(linear_schedule(), means, torch.tensor([0.15, 0.25, 0.20]))


def _uniform(i: np.ndarray, seed: int) -> np.ndarray:
    """Numbers i of a stream in (0, 1), the same in Python and in the page: a hash, the last lines of MurmurHash3."""
    h = (i + (seed + 1) * 0x9E3779B9).astype(np.uint32)
    h = (h ^ (h >> 16)) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> 13)) * np.uint32(0xC2B2AE35)
    return ((h ^ (h >> 16)).astype(np.float64) + 0.5) / 2**32


def _panel(x: np.ndarray, caption: str, size: int = 180) -> str:
    """A scatter plot in SVG, rounded to tenths of a pixel."""
    spots = (x * [1, -1] / REACH + 1) * size / 2
    path = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in spots)
    svg = (
        f'<svg role="img" aria-label="The points at {caption}" width="{size}" viewBox="0 0 {size} {size}">'
        f'<path class="dw-line dw-dot dw-1" d="{path}"></path></svg>'
    )
    return f'<figure class="dw-figure">{svg}<figcaption>{caption}</figcaption></figure>'
