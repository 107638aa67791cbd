"""The receptive field of the shipped network for digits: which pixels one pixel of its answer depends on."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch
import traitlets
from torch import Tensor, nn
from torch.autograd.functional import jacobian

from ddpm_lite._check import check_whole
from ddpm_lite.process import q_sample
from ddpm_lite.sampler import evaluating
from ddpm_lite.schedule import Schedule
from ddpm_lite.unet import UNet
from ddpm_lite.viz.export_page import compute_checksum, encode
from ddpm_lite.viz.widgets import recorded, still
from ddpm_lite.viz.widgets.base import Widget, grey, state
from ddpm_lite.viz.widgets.drawing import check_listed

RECORD = "results/widgets/receptive-field.safetensors"
TIMES = (50, 200, 500)  # those of the image, and those that the network is told
# What becomes zeros: numbers of the maps that are kept, where 0 and 1 are the fine ones, and 2 and 3 the coarse ones.
CUTS = {"all on": (), "coarse off": (2, 3), "fine off": (0, 1), "all off": (0, 1, 2, 3)}
SIDE = 8
LOW, HIGH = -3, 1  # powers of ten: an influence of 0.001 or less is drawn black, one of 10 white
MOST = 0.9  # the share of the influence for which pixels are counted
SHOWN = 3  # the number of the held-out digit that is shown
ZOOM = 8  # enlarges a pixel in the still figure, so that a frame fits around it


class ReceptiveField(Widget):
    """Point at a pixel of the answer z_hat, and see which pixels of x_t it depends on, with and without the skips.

    The influence of a pixel of x_t is the absolute value of the derivative of the chosen pixel of z_hat.

    Args:
        t: the time of the image, one of TIMES.
        told: the time that the network is told, one of TIMES; None is the right one.
        skips: one of CUTS.
        row, column: those of the pixel of the answer, 0..7.

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "receptive-field"
    press = "Point at a pixel"
    times = state(traitlets.List())
    cuts = state(traitlets.List())
    frame = state(traitlets.Int())
    told = state(traitlets.Int())
    skips = state(traitlets.Int())
    row = state(traitlets.Int())
    column = state(traitlets.Int())
    record = traitlets.Unicode().tag(sync=True)  # in Jupyter; a page loads it with the module

    def __init__(self, *, t: int = 200, told: int | None = None, skips: str = "all on", row: int = 4, column: int = 4):
        super().__init__(
            times=list(TIMES),
            cuts=list(CUTS),
            frame=check_listed("t", t, TIMES),
            told=check_listed("told", t if told is None else told, TIMES),
            skips=check_listed("skips", skips, list(CUTS)),
            row=check_whole("row", row, 0, SIDE - 1),
            column=check_whole("column", column, 0, SIDE - 1),
            record=write_record(),
        )

    def files(self) -> tuple[str, ...]:
        return (f"records/{self.name}",)

    def read(self, name: str) -> np.ndarray:
        """Return one array of the record for the present image, told time and skips."""
        return read_arrays()[name][self.frame, self.told, self.skips]

    def field(self) -> np.ndarray:
        """Return the influence of each pixel as it is drawn, uint8 (8, 8)."""
        return self.read("fields")[self.row * SIDE + self.column].reshape(SIDE, SIDE)

    def share(self) -> float:
        """Return which share of the influence on the chosen pixel the same pixel of the input has."""
        return float(self.read("shares")[self.row * SIDE + self.column])

    def mean_share(self) -> float:
        """Return the mean of this share over all pixels of the answer."""
        return float(self.read("shares").mean(dtype=np.float64))

    def count(self) -> int:
        """Return the smallest number of pixels that together have nine tenths of the influence."""
        return int(self.read("counts")[self.row * SIDE + self.column])

    def errors(self) -> tuple[float, float]:
        """Return the mean squared error of z_hat, for the digit that is shown and over 100 held-out digits."""
        one, all_of_them = self.read("errors").tolist()
        return one, all_of_them

    def still(self) -> str:
        panels = [_draw_frame(self.read("answers"), self.row, self.column)]
        captions, alts = (
            ["Answer of the network"],
            [f"The answer; row {self.row + 1}, column {self.column + 1} is framed"],
        )
        for skips, words in ((0, "All skips on"), (2, "Fine skips off")):
            other = self._switch(skips)
            panels.append(_draw_frame(other.field(), self.row, self.column))
            captions.append(f"{words}: same pixel {100 * other.share():.0f} %")
            alts.append(f"{words}: the influence of each pixel of the input on the framed one")
        return still.figures(panels, captions, alts, size=150)

    def _switch(self, skips: int) -> "ReceptiveField":
        """Return the same view with other skips."""
        options = {"t": TIMES[self.frame], "told": TIMES[self.told], "row": self.row, "column": self.column}
        return ReceptiveField(skips=list(CUTS)[skips], **options)

    def sentence(self) -> str:
        on, off = self._switch(0), self._switch(2)
        return (
            f"The influence of each pixel of the input on the framed pixel of the answer, at t = {TIMES[self.frame]}, "
            f"black for 0.001 or less and white for 10: with all skips, {100 * on.share():.0f} % of it comes from the "
            f"same pixel, and without the two fine skips {100 * off.share():.0f} %. The mean squared error of this "
            f"digit is {on.errors()[0]:.2f} and {off.errors()[0]:.2f}."
        )


@contextmanager
def cut_skips(model: UNet, places: tuple[int, ...]) -> Iterator[None]:
    """Let the way up of a model read zeros instead of the maps with these numbers, counted as they were kept."""

    def clear(_: nn.Module, inputs: tuple) -> None:
        kept = inputs[1]
        for place in places:
            kept[place] = torch.zeros_like(kept[place])

    hook = model.up_blocks[0].register_forward_pre_hook(clear)
    try:
        yield
    finally:
        hook.remove()


def measure_fields(model: UNet, schedule: Schedule, x_0: Tensor, noise: Tensor) -> dict[str, np.ndarray]:
    """Compute the arrays of the record from the network, on x_0 and noise (N, 1, 8, 8), of which one digit is shown.

    All but `noisy` and `noise` begin with the axes image's time, told time, skips.
    """
    axes = (len(TIMES), len(TIMES), len(CUTS))
    found: dict[str, np.ndarray] = {
        "fields": np.zeros((*axes, SIDE**2, SIDE**2), np.uint8),
        "shares": np.zeros((*axes, SIDE**2), np.float32),
        "counts": np.zeros((*axes, SIDE**2), np.uint8),
        "errors": np.zeros((*axes, 2), np.float32),
        "answers": np.zeros((*axes, SIDE, SIDE), np.uint8),
        "noisy": np.zeros((len(TIMES), SIDE, SIDE), np.uint8),
        "noise": grey(noise[SHOWN, 0] / 2),
    }
    for i, told, k in np.ndindex(axes):
        x_t = q_sample(schedule, x_0, TIMES[i], noise)
        with evaluating(model), cut_skips(model, list(CUTS.values())[k]):
            with torch.no_grad():
                z_hat = model(x_t, TIMES[told])
            slopes = jacobian(lambda x, t=TIMES[told]: model(x, t), x_t[SHOWN : SHOWN + 1])
        influence = slopes.reshape(SIDE**2, SIDE**2).abs().double()
        error = (noise - z_hat).square().mean(dim=(1, 2, 3))
        found["fields"][i, told, k] = encode_influence(influence)
        found["shares"][i, told, k] = (influence.diagonal() / influence.sum(dim=1)).numpy()
        found["counts"][i, told, k] = count_pixels(influence)
        found["errors"][i, told, k] = error[SHOWN], error.mean()
        found["answers"][i, told, k] = grey(z_hat[SHOWN, 0] / 2)
        found["noisy"][i] = grey(x_t[SHOWN, 0])
    return found


def encode_influence(influence: Tensor) -> np.ndarray:
    """Encode influences as bytes on a logarithmic scale, 0 for 0.001 or less and 255 for 10 or more."""
    powers = (influence.clamp(min=10.0**LOW).log10() - LOW) / (HIGH - LOW)
    return grey(2 * powers - 1)


def count_pixels(influence: Tensor) -> np.ndarray:
    """Count for each row the fewest entries whose sum is MOST of the row's sum."""
    largest_first = influence.sort(dim=1, descending=True).values
    share = largest_first.cumsum(dim=1) / influence.sum(dim=1, keepdim=True)
    return ((share < MOST).sum(dim=1) + 1).numpy().astype(np.uint8)


@cache
def read_arrays() -> dict[str, np.ndarray]:
    """Read the record that `python studies/record_widgets.py receptive-field` wrote."""
    return recorded.read_widget_record(RECORD, ReceptiveField.name)[0]


@cache
def write_record() -> str:
    """Write the record as JSON for the page, with all arrays in base64."""
    arrays = read_arrays()
    content = {name: encode(values, values.dtype.str.replace("|", "")) for name, values in sorted(arrays.items())}
    about = {"low": LOW, "high": HIGH, "most": MOST, "digits": 100}
    return json.dumps(content | about, sort_keys=True, separators=(",", ":"))


def write_page_file() -> str:
    """Write the script of the record for pages."""
    text = write_record()
    return f"window.ddpmWidgets.file({json.dumps(ReceptiveField.name)},{compute_checksum(text)},'{text}');\n"


def _draw_frame(pixels: np.ndarray, row: int, column: int) -> np.ndarray:
    """Enlarge the pixels, and draw a white and a black frame around one."""
    large = pixels.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    for inset, colour in ((0, 255), (1, 0)):
        part = large[row * ZOOM + inset : (row + 1) * ZOOM - inset, column * ZOOM + inset : (column + 1) * ZOOM - inset]
        part[[0, -1]] = colour
        part[:, [0, -1]] = colour
    return large
