"""A row of the table, a step line by line, and what all rooms need: the inputs, a network, our guidance."""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import ddpm_lite
from ddpm_lite import ddpm_step, linear_schedule, process
from ddpm_lite.condition import guided, z_model
from ddpm_lite.process import posterior, predict_x_0, q_sample
from ddpm_lite.schedule import TABLES
from ddpm_lite.trainer import ema_decay, update_ema
from ddpm_lite.unet import time_embedding

EXACT, FLOAT32 = 1e-10, 2e-5  # what "equal" means: for libraries that compute in float64, and in float32
T, SEED, STEP_TIME = 1000, 0, 500  # the last is the time of the step that is followed line by line
OURS = {f.__name__: f for f in (ddpm_step, posterior, predict_x_0, q_sample)}  # for the lines of a step
BOOK = vars(ddpm_lite) | vars(process)  # what a translation may call
BOOK |= {"torch": torch, "T": T, "guided": guided, "z_model": z_model, "ema_decay": ema_decay}
BOOK |= {"time_embedding": time_embedding}
TIMES = torch.tensor([1, 2, 250, 500, 750, 1000])
FROM_0, NO_COUNTERPART = "time from 0", "no counterpart"
LOGS = "the logarithms are compared"  # of numbers that span many powers of ten
REASONS = {
    FROM_0: "Their time is ours minus 1, because their tables have no entry for the clean image.",
    "own rule": "A detail of the library, which the line names.",
    "option": "Ours does it too, but not by default.",
    "target": "What is compared or combined is `v` or `x_0`, not the noise.",
    "name": "The word means another quantity than in this book.",
    "scaled x_t": "Their variable is `x_t / alpha_bar[t].sqrt()`, the image plus noise that is not scaled down.",
    "clock": "Their time goes from 0 to 1, or is a noise level.",
    "warm-up": "The decay of the running average increases by another formula, or a step later.",
    "clip": "The estimated image is limited to the range of pixels.",
    "rounding": "Numbers in float32 are subtracted that are nearly equal.",
    "w + 1": "Guidance starts from the estimate without the label, so the scale is ours plus 1.",
    "embedding": "Other frequencies, and the cosines before the sines. Keep what the weights were trained with.",
    NO_COUNTERPART: "A schedule that this book does not have. Our `Schedule` can be made from its numbers.",
}


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `compute` returns theirs, ours at first sight, or None if that is the translation itself, and the names that the
    translation needs besides those of the book. A fourth item is the function of each number that is compared, a
    logarithm for one.
    """

    key: str
    equation: str
    library: str
    place: str
    theirs: str
    reason: str
    translation: str
    why: str
    equal: float
    compute: Callable[[], tuple]


@dataclass(frozen=True)
class Step:
    """One step in a library: code to prepare it, lines of theirs, ours and a note, and what else is given."""

    setup: str
    lines: tuple[tuple[str, str, str], ...]
    given: Callable[[], dict]


ROWS: dict[str, Row] = {}
STEPS: dict[str, Step] = {}
LOOPS: dict[str, Step] = {}  # a step of the training
NAMES: dict[str, Step] = {}  # tables that a library stores, at all times
LEVELS: dict[str, Step] = {}  # a step in the variable that is not scaled down
EDM: dict[str, Step] = {}  # a step there with a network in EDM's scales
FLOWS: dict[str, Step] = {}  # a step along the straight path
SHOWN = {"steps": STEPS, "loops": LOOPS, "names": NAMES, "levels": LEVELS, "edm": EDM, "flows": FLOWS}


def rows_of(library: str):
    """Return the decorator that enters a function as a row of this library."""

    def row(equation, place, theirs, reason="", translation="", why="", equal=FLOAT32):
        """Which equation, where in the library, what they call it; why it differs; our call that gives their number."""

        def enter(compute):
            key = compute.__name__
            ROWS[key] = Row(key, equation, library, place, theirs, reason, translation, why, equal, compute)
            return compute

        return enter

    return row


def translate(translation: str, names: dict):
    """Run a translation as the table prints it, for each step where `names` has a range of them."""
    schedule = names.get("schedule", linear_schedule())
    known = BOOK | {name: getattr(schedule, name) for name in TABLES} | {"schedule": schedule} | names
    if isinstance(names.get("step"), range):
        return torch.tensor([eval(translation, {**known, "step": k}) for k in names["step"]], dtype=torch.float64)
    return eval(translation, known)


def compute_step(step: Step):
    """Yield theirs and ours of each line, both after the same seed, at t = STEP_TIME."""
    schedule, t = linear_schedule(), STEP_TIME
    x_0, z, _ = draw()
    x_t = q_sample(schedule, x_0, t, z)
    names = {"torch": torch, "T": T, "t": t, "schedule": schedule, "x_0": x_0, "z": z, "x_t": x_t} | OURS
    names |= {"z_hat": Network()(x_t, torch.full((len(x_t),), t)), "noise": noise_like(x_t)}
    names |= step.given()
    torch.manual_seed(SEED)
    exec(step.setup, names)
    for codes in step.lines:
        sides = []
        for code in codes[:2]:
            torch.manual_seed(SEED)
            sides.append(eval(code, names))
        yield tuple(sides)


def draw(count: int = 3, dtype=torch.float32) -> list[Tensor]:
    """Images of one time each, (6, 1, 4, 4), from the seed."""
    generator = torch.Generator().manual_seed(SEED)
    return [torch.randn(len(TIMES), 1, 4, 4, generator=generator, dtype=torch.float64).to(dtype) for _ in range(count)]


def noise_like(x: Tensor) -> Tensor:
    """The noise that a library draws first after the seed is set."""
    torch.manual_seed(SEED)
    return torch.randn_like(x)


def import_peer(name: str) -> ModuleType:
    """Import a module of a library; what it asks for and does not need here, torchvision for one, may be missing."""
    with suppress(ModuleNotFoundError):  # diffusers asks whether torchvision is there, and must not be told so
        return import_module(name)
    absent = [one for one in ("torchvision", "pytorch_fid") if one not in sys.modules and find_spec(one) is None]
    parts = ("", ".transforms", ".utils", ".fid_score", ".inception")
    stands = {one + part: MagicMock() for one in absent for part in parts}
    sys.modules.update(stands)
    try:
        return import_module(name)
    finally:  # code that asks later whether torchvision is there must not be told so
        for stand in stands:
            del sys.modules[stand]


class Network(nn.Module):
    """A stand-in for a network: a function of x_t and t, with what a library asks of a U-Net."""

    channels, out_dim, self_condition = 1, 1, False

    def __init__(self, t_from: int = 1):
        super().__init__()
        self.asked: list[int] = []
        self.t_from = t_from

    def forward(self, x, t, *others, **named):
        t = t + 1 - self.t_from
        self.asked += t[:1].tolist()
        return torch.sin(3 * x) * (0.5 + t.reshape(-1, 1, 1, 1) / 2000)


def walk_of_weight(steps: int) -> Tensor:
    """A weight before the training and after each step."""
    return torch.randn(steps + 1, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64).cumsum(0)


def average(weights: Tensor, decay: Callable[[int], float]) -> Tensor:
    """Our running average of a weight: it starts from the first and takes in the k-th with decay(k) (eq-ema)."""
    model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    nn.init.constant_(model.weight, weights[0].item())
    ema = AveragedModel(model)
    for k, weight in enumerate(weights[1:].tolist(), start=1):
        nn.init.constant_(model.weight, weight)
        update_ema(ema, model, decay(k))
    return ema.module.weight.detach()


BOOK["average"] = average


def name_step(given) -> dict:
    """The arguments of a step by their names in the book."""
    return dict(zip(("schedule", "x_t", "t", "s", "z_hat", "noise"), given, strict=True))


def give_guidance() -> dict:
    """A model that answers with two given estimates, the first with the label, and what it is called with."""
    z_c, z_none, x = draw()

    def model(x, t, context):
        return torch.where((context == 1).reshape(-1, 1, 1, 1), z_c.repeat(2, 1, 1, 1), z_none.repeat(2, 1, 1, 1))

    ones = torch.ones(len(x), dtype=torch.int64)
    return {"model": model, "none": 0, "x_t": x, "t": ones, "c": ones}


def guide(scale):
    """Our guidance of the two estimates."""
    return translate("guided(model, scale, none)(x_t, t, c)", {**give_guidance(), "scale": scale})
