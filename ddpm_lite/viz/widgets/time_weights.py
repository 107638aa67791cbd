"""Which times a weight trains: weights, floor and the network's loss over t, and the bound as a stack of its terms."""

import math
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
import traitlets

from ddpm_lite._check import fail
from ddpm_lite.bound import bound_terms, bound_weight, min_snr_weight
from ddpm_lite.files.records import read_record
from ddpm_lite.schedule import Schedule, linear_schedule
from ddpm_lite.viz.widgets.base import Widget, float_bytes, state

DATA = ("digits, shipped network", "three blobs, small networks")
WEIGHTS = ("simple", "bound", "min-SNR")
RANGES = ((1, 1), (2, 10), (11, 100), (101, 1000))
# The times that a reader can point at; they contain the ends of the ranges.
TIMES = sorted({round(10 ** (i / 14)) for i in range(43)})


class TimeWeights(Widget):
    """Weights of the squared error over t, and each range's share of the sum (eq-weighted-noise-loss).

    The digits' network was trained with the simple loss; of the blobs' small networks each with the weight that is
    shown. Sums are over all times, in Python; the page gets them up to each of TIMES.

    Args:
        bits: the record of `python studies/study_bits.py`.
        weights: the record of `python studies/study_weights.py`.
        data: shown first, one of DATA.
        weight: shown first, one of WEIGHTS.
        t: shown first, one of TIMES.

    Raises:
        FileNotFoundError: a record is missing; the message names the command that makes it.
        ValueError: an argument that is not among these; the message names it.
    """

    name = "time-weights"
    press = "Weigh the times yourself"
    data = state(traitlets.Int())
    weight = state(traitlets.Int())
    at = state(traitlets.Int())
    times = state(traitlets.List())
    curves = state(traitlets.Bytes())
    sums = state(traitlets.Bytes())
    ends = state(traitlets.List())

    def __init__(
        self,
        bits: str | Path = "results/bits.json",
        weights: str | Path = "results/weights.json",
        *,
        data: str = DATA[0],
        weight: str = WEIGHTS[0],
        t: int = 10,
    ):
        for argument, value, choices in (("data", data, DATA), ("weight", weight, WEIGHTS), ("t", t, TIMES)):
            if isinstance(value, bool) or value not in choices:
                fail(ValueError, argument, f"one of {', '.join(map(repr, choices))}", repr(value))
        found, trained = read_record(bits)["models"]["digits"], read_record(weights)
        tables = weigh_times(linear_schedule())
        nets = [[a + b for a, b in zip(trained["least"], trained[w], strict=True)] for w in WEIGHTS]
        floors = [trained["digits' covariance"], trained["least"]]
        upto = [_add_up(tables[w]) for w in WEIGHTS]
        upto += [_add_up(tables[w], net) for w, net in zip(WEIGHTS * 2, [found["errors"]] * 3 + nets, strict=True)]
        upto += [_add_up(tables[w], trained[w]) for w in WEIGHTS]
        errors = torch.tensor([0, *found["errors"]], dtype=torch.float64)
        middle = bound_terms(linear_schedule(), errors) / math.log(2)
        terms = [found["beta"]["L_0"], *middle[2:].tolist()]
        upto.append(_add_up(terms))
        chosen = [t - 1 for t in TIMES]
        super().__init__(
            data=DATA.index(data),
            weight=WEIGHTS.index(weight),
            at=TIMES.index(t),
            times=list(TIMES),
            curves=float_bytes(
                np.array([*(tables[w] for w in WEIGHTS), *floors, found["errors"], *nets, terms])[:, chosen]
            ),
            sums=float_bytes(np.array(upto)[:, chosen]),
            ends=[found["beta"]["L_0"], found["beta"]["L_T"]],
        )

    def rows(self) -> dict[str, np.ndarray]:
        """Decode the sums up to each of TIMES, by what is added up."""
        names = [f"weight, {w}" for w in WEIGHTS]
        names += [f"{data}, {w}" for data in ("digits", "blobs") for w in WEIGHTS]
        names += [f"above, {w}" for w in WEIGHTS] + ["bits"]
        table = np.frombuffer(self.sums, "<f4").astype(np.float64).reshape(len(names), -1)
        return dict(zip(names, table, strict=True))

    def shares(self, row: str) -> list[float]:
        """Compute the share of each of RANGES in the sum over all times."""
        upto = self.rows()[row]
        ends = [0.0, *(float(upto[TIMES.index(last)]) for _, last in RANGES)]
        return [(high - low) / ends[-1] for low, high in zip(ends[:-1], ends[1:], strict=True)]

    def still(self) -> str:
        """Draw a stack for each weight: how the weighted loss of the digits' network is divided among the ranges."""
        left, width, high, parts = 70, 280, 26, []
        for number, name in enumerate(WEIGHTS):
            top, at = 8 + number * (high + 12), float(left)
            parts.append(f'<text x="{left - 6}" y="{top + 17}" text-anchor="end">{name}</text>')
            for kind, share in enumerate(self.shares(f"digits, {name}"), start=1):
                wide = float(np.round(np.round(width * share, 6), 1))
                box = f"{at:.1f} {top} {at + wide:.1f} {top} {at + wide:.1f} {top + high} {at:.1f} {top + high}"
                parts.append(f'<polygon class="dw-bars dw-{kind}" points="{box}"></polygon>')
                if wide > 34:
                    words = f"{round(100 * share)} %"
                    parts.append(f'<text x="{at + wide / 2:.1f}" y="{top + 17}" text-anchor="middle">{words}</text>')
                at += wide
        names = "".join(f'<span class="dw-key dw-{i}">{words}</span>' for i, words in enumerate(_name_ranges(), 1))
        svg = f'<svg class="dw-plot" role="img" aria-label="{self.sentence()}" viewBox="0 0 360 122">{"".join(parts)}'
        return f'{svg}</svg><div class="dw-row">{names}</div>'

    def sentence(self) -> str:
        parts = []
        for name in WEIGHTS:
            first, second, *_ = self.shares(f"digits, {name}")
            parts.append(f"{round(100 * (first + second))} % with the weight {name}")
        return f"Of the digits' loss, the times up to 10 contribute {parts[0]}, {parts[1]} and {parts[2]}."


def weigh_times(schedule: Schedule) -> dict[str, list[float]]:
    """Compute each weight of WEIGHTS for t = 1..T."""
    tables = torch.ones_like(schedule.beta), bound_weight(schedule), min_snr_weight(schedule)
    return {name: table[1:].tolist() for name, table in zip(WEIGHTS, tables, strict=True)}


def _add_up(weights: list[float], errors: list[float] | None = None) -> list[float]:
    """Add up weights, or weighted errors, from t = 1 on; Python's sums are the same on every processor."""
    products = weights if errors is None else [w * error for w, error in zip(weights, errors, strict=True)]
    return list(accumulate(products))


def _name_ranges() -> list[str]:
    """Describe the ranges in words."""
    return [f"t = {low}" if low == high else f"{low} to {high}" for low, high in RANGES]
