"""Sampling in the page from the same noise, with few steps and with many."""

from functools import partial

import numpy as np
import torch
import traitlets
from torch import Tensor

from ddpm_lite.sampler import last
from ddpm_lite.viz.widgets import recorded
from ddpm_lite.viz.widgets.base import grey, state
from ddpm_lite.viz.widgets.drawing import SAMPLERS, STEPS, VARIANCES, Drawing, check_listed, number_label, walk_as_page


class FewerSteps(Drawing):
    """Samples from the same noise with 10, 50, 200 and 1000 steps (eq-ddim-step).

    Args:
        pictures: those of the still figure, uint8 (1, 4, C, H, W); None computes them, which takes a while.
        network: one of NETWORKS.
        label: the digit, for a network with labels; None is "no label".
        seed: the seed of the noise, 0..99.
        sampler: "ddim" or "ddpm".
        variance: "beta_tilde" or "beta", for DDPM.

    Raises:
        ValueError: a wrong argument; the message names it.
    """

    name = "fewer-steps"
    press = "Sample here, with few and many steps"
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
        way = check_listed("sampler", sampler, SAMPLERS)
        way += way and check_listed("variance", variance, VARIANCES)
        super().__init__(pictures, network, seed, choices=list(STEPS), label=number_label(label, network), sampler=way)

    def draw_pictures(self) -> np.ndarray:
        return grey(self.drawn())[None]

    def drawn(self) -> Tensor:
        """Compute what the page shows with the present settings, (4, C, H, W)."""
        sampler, variance = SAMPLERS[min(self.sampler, 1)], VARIANCES[self.sampler == 2]
        walk = partial(walk_as_page, self.network, [self.label], seeds=[self.seed], sampler=sampler, variance=variance)
        return torch.cat([last(walk(steps=steps))[1] for steps in self.choices])

    def pixel(self) -> int:
        return 12 * recorded.tile(self.pictures).shape[1]

    def caption(self) -> str:
        return f"From left to right: {', '.join(map(str, self.choices))} steps"

    def sentence(self) -> str:
        few = ", ".join(map(str, self.choices[:-1]))
        return f"Four digits from the same noise, sampled in {few} and {self.choices[-1]} steps."
