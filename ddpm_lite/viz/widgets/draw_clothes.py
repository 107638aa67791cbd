"""Clothes, sampled in the page from the network that the README's pictures come from."""

import numpy as np
import traitlets
from torch import Tensor

from ddpm_lite._check import check_whole, fail
from ddpm_lite.data import FASHION_WORDS
from ddpm_lite.sampler import last
from ddpm_lite.viz.export_page import count_labels
from ddpm_lite.viz.widgets import recorded
from ddpm_lite.viz.widgets.base import grey, state
from ddpm_lite.viz.widgets.drawing import Drawing, check_listed, check_network, walk_as_page

VIEWS = ("one", "kinds", "between")
SCALES = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0)
STEPS = (10, 25, 50)
SHARES = 12  # how many parts the quarter turn between two noises has
STOPS = 7  # pictures from one noise to the other


class DrawClothes(Drawing):
    """Clothes of a kind, guided, by DDIM at leading times (eq-guidance, eq-ddim-step, eq-leading, eq-mix-starts).

    Args:
        pictures: those of the still figure, uint8 (1, columns, C, H, W); None computes them, which takes some seconds.
        network: one of NETWORKS, with labels.
        view: "one" picture, the same noise in all "kinds", or pictures "between" two noises.
        label: the kind, 0..9, for which FASHION_WORDS has the words.
        scale: w, one of SCALES.
        seed: the seed of the noise, 0..99.
        other: the seed of another noise, 0..99.
        share: how many twelfths of a quarter turn the noise is turned towards the other, 0..12.
        steps: 10, 25 or 50.

    Raises:
        ValueError: a wrong argument; the message names it.
    """

    name = "draw-clothes"
    press = "Draw clothes here, from the trained network"
    words = state(traitlets.List())
    scales = state(traitlets.List())
    choices = state(traitlets.List())
    stops = state(traitlets.Int())
    view = state(traitlets.Int())
    label = state(traitlets.Int())
    chosen = state(traitlets.Int())
    other = state(traitlets.Int())
    share = state(traitlets.Int())
    steps = state(traitlets.Int())

    def __init__(
        self,
        pictures: np.ndarray | None = None,
        *,
        network: str = "fashion",
        view: str = "kinds",
        label: int = 8,
        scale: float = 1.0,
        seed: int = 0,
        other: int = 1,
        share: int = 0,
        steps: int = 25,
    ):
        labels = count_labels(check_network(network))
        if not labels:
            fail(ValueError, "network", "a network with labels", repr(network))
        checked = {
            "view": check_listed("view", view, VIEWS),
            "label": check_whole("label", label, 0, labels - 1),
            "chosen": check_listed("scale", scale, SCALES),
            "other": check_whole("other", other, 0, 99),
            "share": check_whole("share", share, 0, SHARES),
            "steps": check_listed("steps", steps, STEPS),
            "words": list(FASHION_WORDS) if network == "fashion" else [str(number) for number in range(labels)],
        }
        super().__init__(pictures, network, seed, scales=list(SCALES), choices=list(STEPS), stops=STOPS, **checked)

    def draw_pictures(self) -> np.ndarray:
        return grey(self.drawn())[None]

    def drawn(self) -> Tensor:
        """Compute what the page shows with the present settings, (pictures, C, H, W)."""
        labels, turns = [self.label], [self.share / SHARES]
        if VIEWS[self.view] == "kinds":
            labels, turns = list(range(self.labels)), turns * self.labels
        elif VIEWS[self.view] == "between":
            labels, turns = labels * STOPS, [stop / (STOPS - 1) for stop in range(STOPS)]
        walk = walk_as_page(
            self.network,
            labels,
            steps=STEPS[self.steps],
            seeds=[self.seed] * len(labels),
            scale=SCALES[self.chosen],
            spacing="leading",  # at t = T nothing is left of the image under the cosine schedule
            towards=self.other,
            turns=turns,
        )
        return last(walk)[1]

    def pixel(self) -> int:
        return 2 * recorded.tile(self.pictures).shape[1]

    def caption(self) -> str:
        if VIEWS[self.view] == "kinds":
            return f"From left to right: {', '.join(self.words)}"
        if VIEWS[self.view] == "between":
            return f"From the noise of seed {self.seed}, on the left, to that of seed {self.other}"
        return f"Seed {self.seed}"

    def sentence(self) -> str:
        how = f"sampled at w = {SCALES[self.chosen]:g} in {STEPS[self.steps]} steps"
        if VIEWS[self.view] == "kinds":
            return f"A picture of each kind of clothes, all from the same noise, {how}."
        what = self.words[self.label]
        if VIEWS[self.view] == "between":
            return f"{STOPS} pictures for the label {what} from noises between two, {how}."
        return f"A picture for the label {what}, {how}."
