"""A small U-Net that learns the reader's own pictures in the page, and its samples beside the nearest of them."""

from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor

from ddpm_lite._check import check_whole, fail
from ddpm_lite.viz.untrained import NAME
from ddpm_lite.viz.widgets import recorded, still
from ddpm_lite.viz.widgets.base import Widget, state
from ddpm_lite.viz.widgets.watch_learn import _send_network

STEPS, EVERY, BATCH, RATE, SAMPLES = 250, 25, 16, 8e-3, 8
LIMIT = 0.25  # one pixel of 64 that goes from paper to ink moves a picture by 2 / 8
# Eight letters of 8x8 pixels, a byte for each row.
LETTERS = (
    "183c66667e666600 7c66667c66667c00 3c66606060663c00 786c6666666c7800 "
    "7e60607860607e00 7e60607860606000 3c66606e66663c00 6666667e66666600"
)
INK, PAPER = "Q", "A"
SETS = {"letters-3": "three letters", "letters-8": "eight letters", "digits-30": "30 digits"}


def spell_letters() -> list[str]:
    """Spell the eight letters as the page does, with 64 characters each."""
    rows = [f"{int(one, 16):064b}" for one in LETTERS.split()]
    return [row.replace("1", INK).replace("0", PAPER) for row in rows]


def read_letters() -> Tensor:
    """Return the eight letters as images, (8, 1, 8, 8) in [-1, 1]."""
    pixels = [[1.0 if pixel == INK else -1.0 for pixel in one] for one in spell_letters()]
    return torch.tensor(pixels).reshape(-1, 1, 8, 8)


class TeachYourOwn(Widget):
    """A set of 8x8 pictures that the reader draws, and a U-Net that learns it in the page (alg-training, eq-nearest).

    Args:
        record: for the still figure, the arrays of `python studies/page_set.py`.
        seed: the seed of the initial weights and of everything that training draws, 0..99.
        steps: the number of training steps, 1..10,000, each with BATCH pictures.
        every: after how many steps samples are drawn.
        limit: the distance from the nearest picture below which a sample is called a copy, in (0, 2).

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "teach-your-own"
    press = "Teach it your own pictures"
    network = state(traitlets.Unicode())
    letters = state(traitlets.List())
    seed = state(traitlets.Int())
    steps = state(traitlets.Int())
    every = state(traitlets.Int())
    batch = state(traitlets.Int())
    rate = state(traitlets.Float())
    limit = state(traitlets.Float())

    def __init__(
        self,
        record: dict[str, np.ndarray] | None = None,
        *,
        seed: int = 0,
        steps: int = STEPS,
        every: int = EVERY,
        limit: float = LIMIT,
    ):
        if not isinstance(limit, float) or not 0 < limit < 2:
            fail(ValueError, "limit", "a number in (0, 2)", repr(limit))
        super().__init__(
            network=NAME,
            letters=spell_letters(),
            seed=check_whole("seed", seed, 0, 99),
            steps=check_whole("steps", steps, 1, 10_000),
            every=check_whole("every", every, 1, 10_000),
            batch=BATCH,
            rate=RATE,
            limit=limit,
        )
        self.record = {} if record is None else record
        self.on_msg(_send_network)

    @classmethod
    def from_record(cls, path: str | Path, **options) -> "TeachYourOwn":
        """Make the widget with the figure that `python studies/page_set.py` recorded; options as above."""
        return cls(recorded.read_widget_record(path, cls.name)[0], **options)

    def files(self) -> tuple[str, ...]:
        return (f"networks/{self.network}",)

    def copies(self, name: str) -> int:
        """Count the samples of a recorded set that are nearer to one of its pictures than the limit."""
        return int((self.record[f"{name}-apart"] < self.limit).sum())

    def still(self) -> str:
        if not self.record:
            return ""
        rows = [np.stack([self.record[f"{name}-{kind}"] for kind in ("samples", "nearest")]) for name in SETS]
        sheets = [recorded.tile(pair) for pair in rows]
        captions = [f"{words}: samples, and below them the nearest of the set" for words in SETS.values()]
        alts = [
            f"Eight samples of a network that learnt {words}, above the nearest pictures." for words in SETS.values()
        ]
        return still.figures(sheets, captions, alts, 4 * sheets[0].shape[1])

    def sentence(self) -> str:
        if not self.record:
            return "A network that learns pictures of your own in the page, if scripts are allowed."
        told = [
            f"{self.copies(name)} of {SAMPLES} samples are nearer than {self.limit:g} to one of {words}"
            for name, words in SETS.items()
        ]
        return f"After {STEPS} steps each, {'; '.join(told)}."
