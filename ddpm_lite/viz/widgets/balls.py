"""Precision and recall of a few points in the plane, with the balls that define them."""

import numpy as np
import torch
import traitlets
from torch import Tensor

from ddpm_lite._check import check_whole, fail
from ddpm_lite.evaluate import ball_radii, precision_recall
from ddpm_lite.viz.widgets.base import Widget, state

SITUATIONS = ("the same distribution", "one kind missing", "too typical", "too wide", "copies", "one real outlier")
AROUND = ("real", "drawn")
COUNT = 12  # points in each of the two sets
UNIT = 20  # the points are whole numbers of twentieths, so that the page compares distances without rounding
REACH = 3  # the plot shows [-3, 3] in both directions


class PrecisionBalls(Widget):
    """Twelve real and twelve drawn points, and the balls of one of the two sets (eq-among, eq-precision, eq-recall).

    Args:
        situation: the points at the beginning, one of SITUATIONS.
        around: the set whose balls are shown, "real" or "drawn".
        k: the neighbour to which a ball reaches, 1..6.

    Raises:
        ValueError: an argument that is not among these; the message names it.
    """

    name = "precision-balls"
    press = "Move the points"
    situations = state(traitlets.List())
    situation = state(traitlets.Int())
    points = state(traitlets.List())
    chosen = state(traitlets.Int())
    around = state(traitlets.Int())
    k = state(traitlets.Int())

    def __init__(self, situation: str = "one kind missing", *, around: str = "drawn", k: int = 3):
        for name, value, choices in (("situation", situation, SITUATIONS), ("around", around, AROUND)):
            if value not in choices:
                fail(ValueError, name, f"one of {', '.join(map(repr, choices))}", f"{value!r}")
        made = [_place_points(name) for name in SITUATIONS]
        number = SITUATIONS.index(situation)
        super().__init__(
            situations=[[name, places] for name, places in zip(SITUATIONS, made, strict=True)],
            situation=number,
            points=made[number],
            chosen=COUNT,
            around=AROUND.index(around),
            k=check_whole("k", k, 1, 6),
        )

    def sets(self) -> tuple[Tensor, Tensor]:
        """Decode the real and the drawn points, (12, 2) each, in twentieths."""
        real, drawn = torch.tensor(self.points, dtype=torch.float64).reshape(2, COUNT, 2)
        return real, drawn

    def measure(self) -> tuple[float, float]:
        """Compute precision and recall."""
        return precision_recall(*self.sets(), k=self.k)

    def still(self) -> str:
        return f'<div class="dw-row">{"".join(self._draw_panel(around) for around in (0, 1))}</div>'

    def _draw_panel(self, around: int, size: int = 220) -> str:
        """Draw both sets, and the balls of one, in SVG; rounded to tenths of a pixel."""
        sets, scale = [points.numpy() for points in self.sets()], size / (2 * REACH * UNIT)
        places = [np.round((points * [1, -1] + REACH * UNIT) * scale, 6) for points in sets]
        radii = np.round(ball_radii(self.sets()[around], self.k).numpy() * scale, 6)
        kind = f"dw-{around + 1}"
        balls = "".join(
            f'<circle class="dw-bars {kind}" cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" style="fill-opacity: 0.08"></circle>'
            for (x, y), r in zip(places[around], radii, strict=True)
        )
        style = "stroke-opacity: 1; stroke-width: 7; stroke-linecap:"
        dots = "".join(
            f'<path class="dw-line dw-dot dw-{i + 1}" style="{style} {cap}" '
            f'd="{"".join(f"M{x:.1f} {y:.1f}h0.1" for x, y in places[i])}"></path>'
            for i, cap in enumerate(("round", "square"))
        )
        words = f"The balls of the {AROUND[around]} points"
        share = self.measure()[around]
        caption = f"{words}: {('precision', 'recall')[around]} {share:.2f}"
        svg = (
            f'<svg role="img" aria-label="{words}, and both sets" width="{size}" viewBox="0 0 {size} {size}">'
            f"{balls}{dots}</svg>"
        )
        return f'<figure class="dw-figure">{svg}<figcaption>{caption}</figcaption></figure>'

    def sentence(self) -> str:
        inside = [round(COUNT * share) for share in self.measure()]
        return (
            f"Twelve real points, discs, and twelve drawn ones, squares: {inside[0]} drawn points lie in a ball "
            f"of a real point, and {inside[1]} real points in a ball of a drawn one. Each ball reaches to neighbour "
            f"{self.k} of its own set."
        )


def _place_points(situation: str) -> list[int]:
    """Place the real and then the drawn points, in twentieths: x and y of each in turn."""
    rng = np.random.default_rng(4)
    kinds = np.repeat([[-1.2, -0.8], [1.2, 0.9]], COUNT // 2, axis=0)
    real, again = (kinds + 0.45 * rng.standard_normal((COUNT, 2)) for _ in range(2))
    drawn = {
        "one kind missing": kinds[0] + (again - kinds),
        "too typical": kinds + 0.2 * (again - kinds),
        "too wide": kinds + 3 * (again - kinds),
        "copies": real,
    }.get(situation, again)
    if situation == "one real outlier":
        real[0] = [-2.6, 2.6]
        drawn = again + np.repeat([[0.0, 0.0], [-2.6, 0.6]], COUNT // 2, axis=0)
    both = np.concatenate([real, drawn])
    return np.rint(UNIT * both.clip(0.1 - REACH, REACH - 0.1)).astype(int).ravel().tolist()
