"""A row of digits for every label, sampled in the page at any guidance scale."""

import numpy as np
import traitlets
from torch import Tensor

from ddpm_lite._check import fail
from ddpm_lite.sampler import last
from ddpm_lite.viz.export_page import count_labels
from ddpm_lite.viz.widgets import recorded
from ddpm_lite.viz.widgets.base import grey, state
from ddpm_lite.viz.widgets.drawing import Drawing, check_listed, check_network, walk_as_page

SCALES = (-1.0, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0)


class GuidanceRows(Drawing):
    """A row of digits for every label, sampled at one guidance scale (eq-guidance).

    Args:
        pictures: those of the still figure, uint8 (labels, count, C, H, W); None computes them.
        network: one of NETWORKS, with labels.
        scale: w, one of SCALES.
        seed: the seed of the noise, 0..99; all labels get the same noise.
        steps: the number of DDIM steps, 10, 20 or 50.

    Raises:
        ValueError: a wrong argument; the message names it.
    """

    name = "guidance-rows"
    press = "Sample these digits here, at any scale"
    scales = state(traitlets.List())
    choices = state(traitlets.List())
    count = state(traitlets.Int())
    chosen = state(traitlets.Int())
    steps = state(traitlets.Int())

    def __init__(
        self,
        pictures: np.ndarray | None = None,
        *,
        network: str = "digits-by-label",
        scale: float = 2.0,
        seed: int = 0,
        steps: int = 20,
    ):
        choices = (10, 20, 50)
        checked = {"chosen": check_listed("scale", scale, SCALES), "steps": check_listed("steps", steps, choices)}
        if not count_labels(check_network(network)):
            fail(ValueError, "network", "a network with labels", repr(network))
        super().__init__(pictures, network, seed, scales=list(SCALES), choices=list(choices), count=4, **checked)

    def draw_pictures(self) -> np.ndarray:
        return grey(self.drawn())

    def drawn(self) -> Tensor:
        """Compute what the page shows with the present settings, (labels, count, C, H, W)."""
        labels = [label for label in range(self.labels) for _ in range(self.count)]
        seeds = [self.seed * self.count + column for _ in range(self.labels) for column in range(self.count)]
        walk = walk_as_page(
            self.network, labels, steps=self.choices[self.steps], seeds=seeds, scale=self.scales[self.chosen]
        )
        _, x_0 = last(walk)
        return x_0.unflatten(0, (self.labels, self.count))

    def pixel(self) -> int:
        return 4 * recorded.tile(self.pictures).shape[1]

    def caption(self) -> str:
        return f"Labels 0 to {self.labels - 1} from top to bottom, w = {self.scales[self.chosen]:g}"

    def sentence(self) -> str:
        return (
            f"{self.count} digits of each of the {self.labels} labels, one row for each label, sampled with guidance "
            f"at w = {self.scales[self.chosen]:g} in {self.choices[self.steps]} steps."
        )
