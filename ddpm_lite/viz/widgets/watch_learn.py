"""A small U-Net that learns digits in the page, by Algorithm 1, from random weights."""

from pathlib import Path

import numpy as np
import traitlets

from ddpm_lite._check import check_bool, check_whole, fail
from ddpm_lite.viz.export_page import split_script
from ddpm_lite.viz.untrained import NAME, write_untrained
from ddpm_lite.viz.widgets import recorded, still
from ddpm_lite.viz.widgets.base import Widget, state

RATES = (5e-4, 2e-3, 4e-3, 2e-2)  # those of js/live/watch-it-learn.js
STEPS, EVERY = 300, 25


class WatchLearn(Widget):
    """A U-Net for 8x8 digits that the page trains (alg-training), with its loss, its samples and its estimates.

    Args:
        stages: for the still figure, {steps: ten samples after that many, uint8 (10, 1, 8, 8)}.
        seed: the seed of the initial weights and of everything that training draws, 0..99.
        rate: the learning rate, one of RATES.
        told: whether the network is told the time.
        average: whether samples are drawn with the average of the weights.
        steps: the number of training steps, 1..10,000, each with 32 images.
        every: after how many steps samples are drawn.

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "watch-it-learn"
    press = "Train a network here"
    network = state(traitlets.Unicode())
    seed = state(traitlets.Int())
    rate = state(traitlets.Int())
    told = state(traitlets.Bool())
    average = state(traitlets.Bool())
    steps = state(traitlets.Int())
    every = state(traitlets.Int())

    def __init__(
        self,
        stages: dict[int, np.ndarray] | None = None,
        *,
        seed: int = 0,
        rate: float = 4e-3,
        told: bool = True,
        average: bool = True,
        steps: int = STEPS,
        every: int = EVERY,
    ):
        if rate not in RATES:
            fail(ValueError, "rate", f"one of {', '.join(map(str, RATES))}", f"{rate!r}")
        super().__init__(
            network=NAME,
            seed=check_whole("seed", seed, 0, 99),
            rate=RATES.index(rate),
            told=check_bool("told", told),
            average=check_bool("average", average),
            steps=check_whole("steps", steps, 1, 10_000),
            every=check_whole("every", every, 1, 10_000),
        )
        self.stages = {} if stages is None else stages
        self.on_msg(_send_network)

    @classmethod
    def from_record(cls, path: str | Path, **options) -> "WatchLearn":
        """Make the widget with the figure that `python studies/page_lesson.py` recorded; options as above."""
        arrays, _ = recorded.read_widget_record(path, cls.name)
        return cls(dict(zip(arrays["steps"].tolist(), arrays["pictures"], strict=True)), **options)

    def files(self) -> tuple[str, ...]:
        return (f"networks/{self.network}",)

    def still(self) -> str:
        if not self.stages:
            return ""
        rows = recorded.tile(np.stack(list(self.stages.values())))
        caption = f"From top to bottom: after {_list(self.stages)} steps"
        return still.figures([rows], [caption], [self.sentence()], 4 * rows.shape[1])

    def sentence(self) -> str:
        if not self.stages:
            return "A network that can be trained in the page if scripts are allowed."
        return (
            f"Samples for the digits 0 to 9, from the same noise, after {_list(self.stages)} steps of training: "
            "noise becomes strokes, and strokes become digits."
        )


def _list(stages: dict[int, np.ndarray]) -> str:
    """List the steps, with "and" before the last."""
    *first, end = map(str, stages)
    return f"{', '.join(first)} and {end}" if first else end


def _send_network(widget: WatchLearn, content: object, buffers: object) -> None:
    """Send the network to the page in Jupyter, which requests it when it first needs it."""
    if content == "network":
        written, text = split_script(write_untrained())
        widget.send({"sum": written, "text": text})
