"""The same noise, walked back in the page in few steps and in many."""

from functools import partial

import numpy as np
import torch
import traitlets
from torch import Tensor

from ddpm_lite.viz.widgets import recorded
from ddpm_lite.viz.widgets.base import grey, state
from ddpm_lite.viz.widgets.drawing import SAMPLERS, STEPS, VARIANCES, Drawing, choice_of, label_of, page_walk


class FewerSteps(Drawing):
    """The same noise walked back in 10, 50, 200 and 1000 steps (eq-ddim-step).

    Args:
        pictures: of the still figure, uint8 (1, 4, C, H, W); None draws them now, which takes a while.
        network: one of NETWORKS.
        label: which digit, for a network that is told labels; None tells it none.
        seed: of the noise, 0..99.
        sampler: "ddim" or "ddpm"; variance: "beta_tilde" or "beta", for DDPM.

    Raises:
        ValueError: one line names the argument.
    """

    name = "fewer-steps"
    press = "Walk back here, in few steps and in many"
    choices = state(traitlets.List())
    label = state(traitlets.Int())
    sampler = state(traitlets.Int())

    def __init__(
        self,
        pictures: np.ndarray | None = None,
        *,
        network: str = "digits",
        label: int | None = None,
        seed: int = 3,
        sampler: str = "ddim",
        variance: str = "beta_tilde",
    ):
        way = choice_of("sampler", sampler, SAMPLERS)
        way += way and choice_of("variance", variance, VARIANCES)
        super().__init__(pictures, network, seed, choices=list(STEPS), label=label_of(label, network), sampler=way)

    def draw_pictures(self) -> np.ndarray:
        return grey(self.drawn())[None]

    def drawn(self) -> Tensor:
        """What the page draws with the settings of now, (4, C, H, W)."""
        sampler, variance = SAMPLERS[min(self.sampler, 1)], VARIANCES[self.sampler == 2]
        walk = partial(page_walk, self.network, [self.label], seeds=[self.seed], sampler=sampler, variance=variance)
        ends = []
        for steps in self.choices:
            *_, (_, x_0) = walk(steps=steps)
            ends.append(x_0)
        return torch.cat(ends)

    def pixel(self) -> int:
        return 12 * recorded.tiles(self.pictures).shape[1]

    def caption(self) -> str:
        return f"From left to right: {', '.join(map(str, self.choices))} steps"

    def sentence(self) -> str:
        few = ", ".join(map(str, self.choices[:-1]))
        return f"Four digits from the same noise, drawn in {few} and {self.choices[-1]} steps."
