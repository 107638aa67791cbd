"""A cloud of points, guided towards one of three overlapping classes with the exact noise."""

from functools import partial

import numpy as np
import torch
import traitlets
from torch import Tensor

from ddpm_lite._check import check_real, check_whole
from ddpm_lite.condition import guided
from ddpm_lite.oracle import GaussianMixture
from ddpm_lite.sampler import ddim_step, sample
from ddpm_lite.schedule import linear_schedule, respace
from ddpm_lite.viz.widgets.base import Widget, float_bytes, noise_bytes, read_noise, state

NAMES = ("top", "lower left", "lower right")
SPREAD = 0.6  # the standard deviation of each class; their means lie on the unit circle
STEPS, POINTS = 50, 200
REACH = 4  # the plot shows [-4, 4] in both directions


class GuidanceCloud(Widget):
    """Points that DDIM draws with guidance (eq-guidance), where both answers of the network are known exactly.

    The data are three classes, isotropic Gaussians in the plane that overlap; asked for one of them, 200 points walk
    from the same noise in 50 steps. The circles are the true density of the class.

    Args:
        w: the strength of the guidance, in [-1, 8]; 0 is the class itself, -1 all classes.
        label: the number of the class, 0..2.
        seed: the seed of the noise x_T.

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "guidance-cloud"
    press = "Insist yourself"
    T = state(traitlets.Int())
    ends = state(traitlets.List())
    steps = state(traitlets.Int())
    points = state(traitlets.Int())
    names = state(traitlets.List())
    blobs = state(traitlets.Bytes())
    start = state(traitlets.Bytes())
    w = state(traitlets.Float())
    label = state(traitlets.Int())

    def __init__(self, w: float = 2.0, *, label: int = 0, seed: int = 4):
        rng = np.random.default_rng(check_whole("seed", seed, 0, 10**6))
        angles = np.pi * (0.5 + 2 * np.arange(3) / 3)
        blobs = np.stack([np.cos(angles), np.sin(angles), np.full(3, SPREAD), np.full(3, 1 / 3)], axis=1)
        super().__init__(
            T=1000,
            ends=[1e-4, 0.02],
            steps=STEPS,
            points=POINTS,
            names=list(NAMES),
            blobs=float_bytes(blobs),
            start=noise_bytes(rng.standard_normal((POINTS, 2))),
            w=check_real("w", w, -1, 8),
            label=check_whole("label", label, 0, len(NAMES) - 1),
        )

    def table(self) -> np.ndarray:
        """Decode the classes as the page has them, (3, 4): x, y, standard deviation and share of each."""
        return np.frombuffer(self.blobs, "<f4").astype(np.float64).reshape(-1, 4)

    def walk(self, w: float | None = None, label: int | None = None) -> list[np.ndarray]:
        """Compute all states of the guided walk, as the page does: (points, 2) each, from x_T to the end."""
        schedule, table = linear_schedule(), torch.from_numpy(self.table())
        each = [GaussianMixture(schedule, row[None, :2], row[2:3]) for row in table]
        every = GaussianMixture(schedule, table[:, :2], table[:, 2], table[:, 3] / table[:, 3].sum())

        def answer(x_t: Tensor, t: Tensor, context: Tensor) -> Tensor:
            """The exact noise: a context of 0 to 2 is a class, and 3 says nothing."""
            told = torch.stack([model(x_t, t) for model in (*each, every)])
            return told[context, torch.arange(len(x_t))]

        insistent = guided(answer, self.w if w is None else w, none=len(each))
        x_T = torch.from_numpy(read_noise(self.start).reshape(-1, 2))
        context = torch.full((len(x_T),), self.label if label is None else label)
        way, step = respace(schedule, self.steps), partial(ddim_step, clip=False)
        states = sample(insistent, way, tuple(x_T.shape), step=step, x_T=x_T, context=context, dtype=torch.float64)
        return [x.numpy() for _, x in states]

    def measure(self, w: float | None = None) -> tuple[float, float, int]:
        """Measure the ends of the walk.

        Returns:
            Their mean, as a distance from the middle towards the class; their standard deviation; how many of them lie
            nearer to the mean of another class, where that class is likelier, as all spread alike.
        """
        x, means = self.walk(w)[-1], self.table()[:, :2]
        nearest = ((x[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
        spread = float(x.var(axis=0).mean() ** 0.5)
        towards = means[self.label] / np.linalg.norm(means[self.label])
        return float((x @ towards).mean()), spread, int((nearest != self.label).sum())

    def still(self) -> str:
        shown = sorted({0.0, self.w, 8.0})
        return f'<div class="dw-row">{"".join(self._draw_panel(w) for w in shown)}</div>'

    def _draw_panel(self, w: float, size: int = 200) -> str:
        """Draw the ends over the class's density, in SVG; rounded to tenths of a pixel."""
        scale = size / (2 * REACH)
        spots = np.round((self.walk(w)[-1] * [1, -1] + REACH) * scale, 6)
        rings = ""
        for k, (x, y, deviation, _) in enumerate(self.table()):
            kind = "dw-exact" if k == self.label else "dw-exact dw-dash"
            place = f'cx="{(REACH + x) * scale:.1f}" cy="{(REACH - y) * scale:.1f}"'
            radii = (deviation * scale, 2 * deviation * scale)
            rings += "".join(f'<circle class="dw-line {kind}" {place} r="{r:.1f}"></circle>' for r in radii)
        dots = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in spots)
        caption = f"w = {w:g}".replace("-", "\u2212")
        svg = (
            f'<svg role="img" aria-label="The ends at {caption} over the classes" width="{size}" '
            f'viewBox="0 0 {size} {size}">{rings}<path class="dw-line dw-dot dw-2" d="{dots}"></path></svg>'
        )
        return f'<figure class="dw-figure">{svg}<figcaption>{caption}</figcaption></figure>'

    def sentence(self) -> str:
        (near, wide, astray), (far, narrow, left) = self.measure(0.0), self.measure()
        return (
            f"{self.points} points, asked for the class {self.names[self.label]!r}; its circles reach to one and two "
            f"deviations, those of the other classes are dashed. At w = 0, {astray} points end where another class is "
            f"likelier, and at w = {self.w:g} there are {left}; meanwhile their deviation changes from {wide:.2f} to "
            f"{narrow:.2f}, and their mean from {near:.2f} to {far:.2f} from the middle, where that of the class is 1."
        )
