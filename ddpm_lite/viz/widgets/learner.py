"""A small network that is trained in the page: an MLP for points in the plane, beside the exact z of its data."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor

from ddpm_lite._check import check_whole, describe, fail
from ddpm_lite.oracle import GaussianMixture
from ddpm_lite.schedule import linear_schedule
from ddpm_lite.viz.widgets import recorded
from ddpm_lite.viz.widgets.base import Widget, noise_bytes, read_noise, state

SHAPES = ("ring", "spiral", "mixture")
DEVIATIONS = (
    0.12,
    0.1,
    0.2,
    0.1,
)  # standard deviations of the components of each shape, and of the reader's own points
WAYS = ("DDIM", "DDPM")
STEPS = 3000  # of a training run, by default
REACH = 3.0  # the plots show [-3, 3] in both directions


class Learner(Widget):
    """An MLP z_theta(x_t, t) that the page trains by Algorithm 1, and the exact z of the same data (eq-oracle-mixture).

    A ring or a spiral is a chain of many small isotropic Gaussians, so that its exact z is known.

    Args:
        data: "ring", "spiral" or "mixture"; or points (N, 2) in [-2.5, 2.5], each of them a small Gaussian.
        seed: the seed of the initial weights and of everything random, 0..99.
        way: the sampler of the final samples, "DDIM" or "DDPM".
        t: the first time for which arrows are drawn, 1..1000.
        steps: the number of training steps, 1..20,000.
        stages: for the still figure, {steps: samples (N, 2) after that many steps}; None shows only the data.

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "learner"
    press = "Load the small network"
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
        centres = [_place_centres(shape) for shape in SHAPES]
        super().__init__(
            T=1000,
            ends=[1e-4, 0.02],
            counts=[len(one) for one in centres],
            deviations=list(DEVIATIONS),
            centres=noise_bytes(np.concatenate(centres)),
            data=SHAPES.index(data) if named else len(SHAPES),
            points=[] if named else _check_points(data),
            seed=check_whole("seed", seed, 0, 99),
            way=WAYS.index(way),
            t=check_whole("t", t, 1, 1000),
            steps=check_whole("steps", steps, 1, 20_000),
        )
        self.stages = {} if stages is None else stages

    @classmethod
    def from_record(cls, path: str | Path, **options) -> "Learner":
        """Make the widget with a still figure recorded by `python studies/record_widgets.py`; options as above."""
        arrays, _ = recorded.read_widget_record(path, cls.name)
        samples = read_noise(arrays["samples"].astype("<i2").tobytes()).reshape(arrays["samples"].shape)
        return cls(stages=dict(zip(arrays["steps"].tolist(), samples, strict=True)), **options)

    def mixture(self) -> GaussianMixture:
        """Decode the data as the page has them: equally likely components, with the paper's schedule."""
        places = read_noise(self.centres).reshape(-1, 2)
        first = sum(self.counts[: self.data])
        own = self.data == len(SHAPES)
        centres = np.array(self.points) if own else places[first : first + self.counts[self.data]]
        means = torch.from_numpy(centres)
        return GaussianMixture(linear_schedule(), means, torch.full((len(means),), self.deviations[self.data]))

    def still(self) -> str:
        sets = {f"after {steps} steps": samples for steps, samples in self.stages.items()}
        data = self.mixture().sample(80, torch.Generator().manual_seed(0)).numpy() if self.data < 3 else self.points
        panels = [_draw_panel(np.asarray(x), caption) for caption, x in {**sets, "the data": data}.items()]
        return f'<div class="dw-row">{"".join(panels)}</div>'

    def sentence(self) -> str:
        if not self.stages:
            return "Data for a small network, which can be trained in the page if scripts are allowed."
        steps = list(self.stages)
        return (
            f"Samples from a small network after {', '.join(map(str, steps[:-1]))} and {steps[-1]} steps of training, "
            "and the data: with more training, the samples come closer to the line of the data."
        )


def _place_centres(shape: str) -> np.ndarray:
    """Compute the centres of a shape's components, (K, 2)."""
    if shape == "mixture":
        angle, radius = 2 * np.pi * (np.arange(5) + 0.25) / 5, 1.6
    elif shape == "ring":
        angle, radius = 2 * np.pi * np.arange(64) / 64, 1.5
    else:  # a spiral of one and a half turns, with equal steps along it
        share = np.sqrt((np.arange(80) + 0.5) / 80)
        return np.stack([2.0 * share * np.cos(3 * np.pi * share), 2.0 * share * np.sin(3 * np.pi * share)], axis=1)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _check_points(data) -> list[list[float]]:
    """Check the reader's own points, and round them for the page."""
    try:
        points = np.asarray(data, dtype=np.float64)
    except (TypeError, ValueError):
        fail(TypeError, "data", f"one of {', '.join(SHAPES)}, or points (N, 2)", describe(data))
    if points.ndim != 2 or points.shape[1] != 2 or not 1 <= len(points) <= 60:
        fail(ValueError, "data", "1 to 60 points, shape (N, 2)", f"shape {points.shape}")
    if not (np.abs(points) <= 2.5).all():
        fail(ValueError, "data", "points in [-2.5, 2.5]", "other points, or NaN")
    return points.round(2).tolist()


def _draw_panel(x: np.ndarray, caption: str, size: int = 150) -> str:
    """Draw a scatter plot in SVG, in whole pixels, without the points outside it."""
    spots = np.rint((x * [1, -1] / REACH + 1) * size / 2).astype(int)
    inside = ((spots >= 0) & (spots <= size)).all(axis=1)
    path = "".join(f"M{a} {b}h0" for a, b in spots[inside])
    svg = (
        f'<svg role="img" aria-label="Points: {caption}" width="{size}" viewBox="0 0 {size} {size}">'
        f'<path class="dw-line dw-dot dw-{1 if caption == "the data" else 2}" d="{path}"></path></svg>'
    )
    return f'<figure class="dw-figure">{svg}<figcaption>{caption}</figcaption></figure>'
