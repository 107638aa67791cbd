"""Self-attention of the first clothes network under different labels, with all maps on one scale."""

import json
from functools import cache

import numpy as np
import torch
import traitlets
from torch import Tensor

from ddpm_lite._check import check_whole
from ddpm_lite.attention import attention_weights
from ddpm_lite.condition import ConditionalUNet
from ddpm_lite.data import FASHION_WORDS
from ddpm_lite.process import q_sample
from ddpm_lite.schedule import Schedule
from ddpm_lite.viz.export_page import compute_checksum, encode
from ddpm_lite.viz.widgets import recorded, still
from ddpm_lite.viz.widgets.attention import attention_maps
from ddpm_lite.viz.widgets.base import Widget, grey, state
from ddpm_lite.viz.widgets.drawing import check_listed

RECORD = "results/widgets/label-attention.safetensors"
TIMES = (100, 600, 900)
LABELS = (2, 7, 8, 10)  # the last is "no label"
WORDS = tuple([*FASHION_WORDS, "no label"][label] for label in LABELS)
LAYERS = ("on the way down", "on the way up, 1 of 2", "on the way up, 2 of 2")  # those of 14 x 14 cells
SIDE = 14
RANK = 24  # numbers of each query and key that are kept of 64
WHITE = 0.05  # the weight that is drawn white, in every map
REACH = 2  # a cell is near the query if it is at most so many rows and columns away
ZOOM = 8  # enlarges a cell in the still figure, so that a frame fits around it


class LabelAttention(Widget):
    """Pick a query cell of a noisy pullover, and compare its attention weights under two labels.

    Args:
        t: one of TIMES.
        label, other: the labels to compare, of WORDS.
        layer: the number of the layer in LAYERS, from 0.
        row, column: those of the query cell, 0..13.

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "label-attention"
    press = "Pick a pixel, and switch the label"
    times = state(traitlets.List())
    words = state(traitlets.List())
    layers = state(traitlets.List())
    frame = state(traitlets.Int())
    label = state(traitlets.Int())
    other = state(traitlets.Int())
    layer = state(traitlets.Int())
    row = state(traitlets.Int())
    column = state(traitlets.Int())
    record = traitlets.Unicode().tag(sync=True)  # in Jupyter; a page loads it with the module

    def __init__(
        self,
        *,
        t: int = 600,
        label: str = "pullover",
        other: str = "sneaker",
        layer: int = 1,
        row: int = 7,
        column: int = 2,
    ):
        super().__init__(
            times=list(TIMES),
            words=list(WORDS),
            layers=list(LAYERS),
            frame=check_listed("t", t, TIMES),
            label=check_listed("label", label, WORDS),
            other=check_listed("other", other, WORDS),
            layer=check_whole("layer", layer, 0, len(LAYERS) - 1),
            row=check_whole("row", row, 0, SIDE - 1),
            column=check_whole("column", column, 0, SIDE - 1),
            record=write_record(),
        )

    def files(self) -> tuple[str, ...]:
        return (f"records/{self.name}",)

    def weights(self, label: int) -> np.ndarray:
        """Compute the weights of the chosen layer and time under the label with this number, (196, 196)."""
        return _expand(int(read_arrays()["which"][self.frame, self.layer, label]))

    def asked(self, label: int) -> np.ndarray:
        """Return the weights of the query cell, (196,), which sum to 1."""
        return self.weights(label)[self.row * SIDE + self.column]

    def tokens(self) -> np.ndarray:
        """Return the weights of the label's four tokens for the query cell, in the cross-attention that follows."""
        rows = read_arrays()["tokens"][self.frame, self.layer, self.label].astype(np.float64)
        row = rows[self.row * SIDE + self.column]
        return row / row.sum()

    def near(self, label: int) -> float:
        """Compute the share of the query's weight within REACH cells of it."""
        at = np.indices((SIDE, SIDE)).reshape(2, -1) - np.array([[self.row], [self.column]])
        return float(self.asked(label)[np.abs(at).max(axis=0) <= REACH].sum())

    def moved(self) -> float:
        """Compute which share of the query's weight lies elsewhere under the other label."""
        return float(compare_rows(self.asked(self.label), self.asked(self.other)))

    def still(self) -> str:
        picture = recorded.tile(read_arrays()["pictures"][None, None, self.frame]).repeat(4, axis=0).repeat(4, axis=1)
        panels, words = [_draw_frame(picture, self.row, self.column)], [f"Noisy pullover, t = {TIMES[self.frame]}"]
        alts = [f"{words[0]}; the query cell is framed"]
        for label in (self.label, self.other):
            cells = grey(2 * np.minimum(self.asked(label) / WHITE, 1) - 1).reshape(SIDE, SIDE)
            panels.append(_draw_frame(cells.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1), self.row, self.column))
            words.append(f"Weights, label {WORDS[label]}")
            alts.append(f"The query's weights under the label {WORDS[label]}; its largest is {self.place(label)}")
        return still.figures(panels, words, alts, size=200)

    def place(self, label: int) -> str:
        """Say how large the query's largest weight is, and where."""
        asked = self.asked(label)
        best = int(asked.argmax())
        return f"{asked[best]:.2g} at row {best // SIDE + 1}, column {best % SIDE + 1}"

    def sentence(self) -> str:
        return (
            f"Layer of 14 × 14 cells {LAYERS[self.layer]}, t = {TIMES[self.frame]}, white for a weight of {WHITE} or "
            f"more. If the network is told {WORDS[self.other]} instead of {WORDS[self.label]}, {self.moved():.2f} of "
            f"the weight of the framed query, row {self.row + 1}, column {self.column + 1}, goes to other cells."
        )


def measure_maps(model: ConditionalUNet, schedule: Schedule, x_0: Tensor, noise: Tensor) -> dict[str, np.ndarray]:
    """Compute the arrays of the record from the network, on x_0 and noise (1, C, H, W).

    Maps that are the same under several labels are kept once: `which` (times, layers, labels) has their numbers.
    """
    kept: list[Tensor] = []
    which = np.zeros((len(TIMES), len(LAYERS), len(LABELS)), np.int64)
    tokens = np.zeros((*which.shape, SIDE * SIDE, model.encoder.tokens), np.uint8)
    pictures = [q_sample(schedule, x_0, t, noise) for t in TIMES]
    for i, j, n in np.ndindex(which.shape):
        own, cross = (
            attention_maps(model, pictures[i], TIMES[i], torch.tensor([LABELS[n]]), cross=cross)[_name(j)][0, 0]
            for cross in (False, True)
        )
        tokens[i, j, n] = (255 * cross).round().byte().numpy()
        same = [number for number, weights in enumerate(kept) if torch.equal(weights, own)]
        which[i, j, n] = same[0] if same else len(kept)
        kept += [] if same else [own]
    queries, keys, scale = (np.stack(parts) for parts in zip(*map(shrink_scores, kept), strict=True))
    return {
        "pictures": grey(torch.cat(pictures)),
        "queries": queries,
        "keys": keys,
        "scale": scale,
        "which": which,
        "tokens": tokens,
    }


def shrink_scores(weights: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find short queries and keys that have nearly the given weights (queries, keys), which are positive.

    The logarithms of a row are its scores up to a constant, which softmax ignores (eq-softmax-shift). The singular
    value decomposition approximates them by products of RANK numbers, each kept as a byte and a scale.

    Returns:
        queries (queries, RANK) and keys (keys, RANK), int8, and what each of their products is multiplied by, (RANK,).
    """
    scores = weights.double().log()
    scores = scores - scores.mean(dim=1, keepdim=True)
    u, size, v = torch.linalg.svd(scores)
    q, q_scale = _round_columns(u[:, :RANK] * size[:RANK].sqrt())
    # The keys that fit these rounded queries best, in the sense of least squares.
    k, k_scale = _round_columns(torch.linalg.lstsq(q * q_scale, scores).solution.T)
    return q.char().numpy(), k.char().numpy(), (q_scale * k_scale).float().numpy()


def compare_rows(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Compute the share of the weight that lies elsewhere, half the sum of the differences, along the last axis."""
    return np.asarray(np.abs(one - other).sum(axis=-1) / 2)


@cache
def read_arrays() -> dict[str, np.ndarray]:
    """Read the record that `python studies/record_widgets.py label-attention` wrote."""
    return recorded.read_widget_record(RECORD, LabelAttention.name)[0]


@cache
def write_record() -> str:
    """Write the record as JSON for the page: bytes in base64, and how much weight moves on average over all queries."""
    arrays = read_arrays()
    bytes_of = {"pictures": "u1", "queries": "i1", "keys": "i1", "scale": "<f4", "tokens": "u1"}
    which = arrays["which"]
    moved = [[[[_mean_moved(a, b) for b in row] for a in row] for row in frame] for frame in which.tolist()]
    content = {name: encode(arrays[name], kind) for name, kind in bytes_of.items()}
    about = {"which": which.tolist(), "moved": moved, "side": SIDE, "rank": RANK, "white": WHITE, "reach": REACH}
    return json.dumps(content | about, sort_keys=True, separators=(",", ":"))


def write_page_file() -> str:
    """Write the script of the record for pages."""
    text = write_record()
    return f"window.ddpmWidgets.file({json.dumps(LabelAttention.name)},{compute_checksum(text)},'{text}');\n"


def _name(layer: int) -> str:
    return f"{SIDE} × {SIDE}, {LAYERS[layer]}"


@cache
def _expand(number: int) -> np.ndarray:
    """Compute a map, (196, 196), from its short queries and keys."""
    arrays = read_arrays()
    q, k = (torch.from_numpy(arrays[name][number]).double() for name in ("queries", "keys"))
    q = q * torch.from_numpy(arrays["scale"][number]).double() * RANK**0.5  # attention_weights divides by this root
    return attention_weights(q, k).numpy()


@cache
def _mean_moved(one: int, other: int) -> float:
    return round(float(compare_rows(_expand(one), _expand(other)).mean()), 4)


def _round_columns(x: Tensor) -> tuple[Tensor, Tensor]:
    """Round each column to whole multiples, -127..127, of a scale of its own; return the multiples and the scales."""
    scale = x.abs().amax(dim=0) / 127
    return (x / scale).round(), scale


def _draw_frame(picture: np.ndarray, row: int, column: int) -> np.ndarray:
    """Draw a white and a black frame around the query's cell."""
    for inset, colour in ((0, 255), (1, 0)):
        part = picture[
            row * ZOOM + inset : (row + 1) * ZOOM - inset, column * ZOOM + inset : (column + 1) * ZOOM - inset
        ]
        part[[0, -1]] = colour
        part[:, [0, -1]] = colour
    return picture
