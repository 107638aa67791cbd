"""A small network that learns in the page: an MLP for points in the plane, beside the exact z of its data."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor, nn

from ddpm_lite._check import check_whole, describe, fail
from ddpm_lite.oracle import GaussianMixture
from ddpm_lite.process import ddpm_loss
from ddpm_lite.schedule import linear_schedule
from ddpm_lite.trainer import ema_decay
from ddpm_lite.viz.widgets import recorded
from ddpm_lite.viz.widgets.base import Widget, module, noise_bytes, read_noise, state

SHAPES = ("ring", "spiral", "mixture")
DEVIATIONS = (0.12, 0.1, 0.2, 0.1)  # of the blobs of each shape, and of points of the reader's own
WAYS = ("DDIM", "DDPM")
STEPS, BATCH, RATE = 3000, 128, 0.01  # those of mlp.js
WAVES = (0.5, 1.0, 2.0, 4.0)
CLOCK = tuple(k * math.pi / 2 for k in (1, 2, 4, 8))
REACH = 3.0  # the pictures show [-3, 3] in both directions


class Learner(Widget):
    """An MLP z_theta(x_t, t) that the page trains by Algorithm 1, and the exact z of the same data (eq-oracle-mixture).

    A ring or a spiral is a row of many small round blobs, so that its exact z is known.

    Args:
        data: "ring", "spiral" or "mixture"; or points (N, 2) in [-2.5, 2.5], each a small blob of its own.
        seed: of the first weights and of all that is random, 0..99.
        way: how the samples at the end are drawn, "DDIM" or "DDPM".
        t: the time at which arrows are drawn first, 1..1000.
        steps: of a whole training, 1..20,000.
        stages: for the still figure, {steps: samples (N, 2) after so many steps}; None shows the data alone.

    Raises:
        ValueError, TypeError: one line names the argument.
    """

    name = "learner"
    live = ("mlp", "learner")
    press = "Load the small network"
    _esm = module("live/mlp", "live/learner")
    T = state(traitlets.Int())
    ends = state(traitlets.List())
    counts = state(traitlets.List())
    deviations = state(traitlets.List())
    centres = state(traitlets.Bytes())
    data = state(traitlets.Int())
    points = state(traitlets.List())
    seed = state(traitlets.Int())
    way = state(traitlets.Int())
    t = state(traitlets.Int())
    steps = state(traitlets.Int())

    def __init__(
        self,
        data: "str | Sequence | np.ndarray | Tensor" = "spiral",
        *,
        seed: int = 0,
        way: str = "DDIM",
        t: int = 200,
        steps: int = STEPS,
        stages: dict[int, np.ndarray] | None = None,
    ):
        if isinstance(data, str) and data not in SHAPES:
            fail(ValueError, "data", f"one of {', '.join(SHAPES)}, or points (N, 2)", f"{data!r}")
        if way not in WAYS:
            fail(ValueError, "way", '"DDIM" or "DDPM"', f"{way!r}")
        named = isinstance(data, str)
        centres = [_centres(shape) for shape in SHAPES]
        super().__init__(
            T=1000,
            ends=[1e-4, 0.02],
            counts=[len(one) for one in centres],
            deviations=list(DEVIATIONS),
            centres=noise_bytes(np.concatenate(centres)),
            data=SHAPES.index(data) if named else len(SHAPES),
            points=[] if named else _points(data),
            seed=check_whole("seed", seed, 0, 99),
            way=WAYS.index(way),
            t=check_whole("t", t, 1, 1000),
            steps=check_whole("steps", steps, 1, 20_000),
        )
        self.stages = {} if stages is None else stages

    @classmethod
    def from_record(cls, path: str | Path, **options) -> "Learner":
        """The widget with the still figure that `python studies/record_widgets.py` recorded; options as above."""
        arrays, _ = recorded.read_record(path, cls.name)
        samples = read_noise(arrays["samples"].astype("<i2").tobytes()).reshape(arrays["samples"].shape)
        return cls(stages=dict(zip(arrays["steps"].tolist(), samples, strict=True)), **options)

    def mixture(self) -> GaussianMixture:
        """The data as the page knows them: equally likely blobs, with the paper's schedule."""
        places = read_noise(self.centres).reshape(-1, 2)
        first = sum(self.counts[: self.data])
        own = self.data == len(SHAPES)
        means = np.array(self.points) if own else places[first : first + self.counts[self.data]]
        means = torch.from_numpy(means)
        return GaussianMixture(linear_schedule(), means, torch.full((len(means),), self.deviations[self.data]))

    def draws(self, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        """What step number `steps` (from 0) draws in the page: x_0 (128, 2), t (128,) and z (128, 2)."""
        mixture = self.mixture()
        u = stream(self.seed, 1)(np.arange(6 * BATCH) + 6 * BATCH * steps).reshape(BATCH, 6)
        t = 1 + np.floor(self.T * u[:, 0]).astype(np.int64)
        centre = mixture.means.numpy()[np.floor(len(mixture.means) * u[:, 1]).astype(np.int64)]
        x_0 = centre + self.deviations[self.data] * _gaussians(u[:, 2], u[:, 3])
        return tuple(torch.from_numpy(a) for a in (x_0, t, _gaussians(u[:, 4], u[:, 5])))

    def training(self) -> "Iterator[tuple[int, float, PlaneNetwork]]":
        """What the page does in a whole training: their number, the loss, and the network with averaged weights."""
        model, average = PlaneNetwork(self.seed), PlaneNetwork(self.seed)
        schedule = linear_schedule()
        optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
        for step in range(1, self.steps + 1):
            optimizer.param_groups[0]["lr"] = RATE * min(1, step / 50) * (1 - (step - 1) / self.steps)
            loss = ddpm_loss(model, schedule, *self.draws(step - 1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            decay = ema_decay(step, decay=1.0)
            with torch.no_grad():
                for old, new in zip(average.parameters(), model.parameters(), strict=True):
                    old.lerp_(new, 1 - decay)
            yield step, float(loss.detach()), average

    def still(self) -> str:
        sets = {f"after {steps} steps": samples for steps, samples in self.stages.items()}
        data = self.mixture().sample(80, torch.Generator().manual_seed(0)).numpy() if self.data < 3 else self.points
        panels = [_panel(np.asarray(x), caption) for caption, x in {**sets, "the data": data}.items()]
        return f'<div class="dw-row">{"".join(panels)}</div>'

    def sentence(self) -> str:
        if not self.stages:
            return "Data for a small network: it can be trained in the page, where scripts run."
        steps = list(self.stages)
        return (
            f"Samples from a small network after {', '.join(map(str, steps[:-1]))} and {steps[-1]} steps of training, "
            "and the data: the more it has learnt, the closer its samples come to the data's line."
        )


class PlaneNetwork(nn.Module):
    """The page's MLP, float64: sines and cosines of place and time, two hidden layers with SiLU, two numbers out.

    Args:
        seed: of the weights, 0..99; those of the last layer start at 0.
    """

    def __init__(self, seed: int = 0):
        super().__init__()
        sizes, start, uniform = (4 * len(WAVES) + 2 * len(CLOCK), 64, 64, 2), 0, stream(seed, 0)
        self.layers = nn.ModuleList(nn.Linear(a, b).double() for a, b in zip(sizes, sizes[1:], strict=False))
        for layer in self.layers:
            nn.init.zeros_(layer.bias)
            nn.init.zeros_(layer.weight)
        for layer in self.layers[:-1]:
            i = 2 * np.arange(start, start + layer.weight.numel())
            z = _gaussians(uniform(i), uniform(i + 1))[:, 0] / layer.in_features**0.5
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(z).reshape(layer.weight.T.shape).T)
            start += layer.weight.numel() + layer.bias.numel()

    def forward(self, x_t: Tensor, t: "int | Tensor", context: None = None) -> Tensor:
        """z_hat for points (N, 2) at time t, a number or (N,)."""
        place = x_t[:, None] * torch.tensor(WAVES, dtype=torch.float64)[:, None]  # (N, waves, 2)
        time = (
            torch.as_tensor(t, dtype=torch.float64).expand(len(x_t))[:, None]
            / 1000
            * torch.tensor(CLOCK, dtype=torch.float64)
        )
        h = torch.cat([_both(place).flatten(1), _both(time).flatten(1)], dim=1)
        for layer in self.layers[:-1]:
            h = nn.functional.silu(layer(h))
        return self.layers[-1](h)


def stream(seed: int, purpose: int):
    """Numbers i of a stream in (0, 1), the same in Python and in the page: a hash, the last lines of MurmurHash3."""
    key = _mix(np.array([8 * seed + purpose + 1], np.uint32))
    return lambda i: (_mix((np.asarray(i) + int(key[0])).astype(np.uint32)) + 0.5) / 2**32


def _mix(h: np.ndarray) -> np.ndarray:
    h = (h ^ (h >> 16)) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> 13)) * np.uint32(0xC2B2AE35)
    return h ^ (h >> 16)


def _gaussians(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Two uniform numbers make two Gaussian ones: (N, 2)."""
    radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * v
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _both(x: Tensor) -> Tensor:
    """Sine and cosine side by side in a new last axis."""
    return torch.stack([x.sin(), x.cos()], dim=-1)


def _centres(shape: str) -> np.ndarray:
    """Where the blobs of a shape are, (K, 2)."""
    if shape == "mixture":
        angle, radius = 2 * np.pi * (np.arange(5) + 0.25) / 5, 1.6
    elif shape == "ring":
        angle, radius = 2 * np.pi * np.arange(64) / 64, 1.5
    else:  # equal steps along the arm, one and a half turns
        share = np.sqrt((np.arange(80) + 0.5) / 80)
        angle, radius = 3 * np.pi * share, 2.0 * share
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _points(data) -> list[list[float]]:
    """Points of the reader's own as they travel, rounded."""
    try:
        points = np.asarray(data, dtype=np.float64)
    except (TypeError, ValueError):
        fail(TypeError, "data", f"one of {', '.join(SHAPES)}, or points (N, 2)", describe(data))
    if points.ndim != 2 or points.shape[1] != 2 or not 1 <= len(points) <= 60:
        fail(ValueError, "data", "1 to 60 points, shape (N, 2)", f"shape {points.shape}")
    if not (np.abs(points) <= 2.5).all():
        fail(ValueError, "data", "points in [-2.5, 2.5]", "others, or NaN")
    return points.round(2).tolist()


def _panel(x: np.ndarray, caption: str, size: int = 150) -> str:
    """A scatter plot in SVG, in whole pixels; points outside the picture are left out."""
    spots = np.rint((x * [1, -1] / REACH + 1) * size / 2).astype(int)
    inside = ((spots >= 0) & (spots <= size)).all(axis=1)
    path = "".join(f"M{a} {b}h0" for a, b in spots[inside])
    svg = (
        f'<svg role="img" aria-label="Points: {caption}" width="{size}" viewBox="0 0 {size} {size}">'
        f'<path class="dw-line dw-dot dw-{1 if caption == "the data" else 2}" d="{path}"></path></svg>'
    )
    return f'<figure class="dw-figure">{svg}<figcaption>{caption}</figcaption></figure>'
