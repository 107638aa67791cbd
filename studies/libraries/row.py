"""A row of the table, and what all rooms need: the inputs, a network, our guidance."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn

from ddpm_lite.condition import guided

EXACT, FLOAT32 = 1e-10, 2e-5  # what "equal" means: for libraries that compute in float64, and in float32
T, SEED = 1000, 0
TIMES = torch.tensor([1, 2, 250, 500, 750, 1000])
FROM_0 = "their t counts from 0, so an entry of their tables belongs to our t one later"


@dataclass(frozen=True)
class Row:
    """One line of the table; `compute` returns theirs, ours, and ours after the translation, or None."""

    key: str
    equation: str
    library: str
    place: str
    theirs: str
    why: str
    translation: str
    equal: float
    compute: Callable[[], tuple[Tensor, Tensor, Tensor | None]]


ROWS: dict[str, Row] = {}


def rows_of(library: str):
    """Return the decorator that enters a function as a row of this library."""

    def row(equation: str, place: str, theirs: str, why: str = "", translation: str = "", equal: float = FLOAT32):
        """Which equation, where in the library, what they call it, why it differs, and the translation."""

        def enter(compute):
            key = compute.__name__
            ROWS[key] = Row(key, equation, library, place, theirs, why, translation, equal, compute)
            return compute

        return enter

    return row


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
    for missing in ("torchvision", "pytorch_fid"):
        if missing not in sys.modules and find_spec(missing) is None:
            for part in ("", ".transforms", ".utils", ".fid_score", ".inception"):
                sys.modules[missing + part] = MagicMock()
    return import_module(name)


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


def guide(scale):
    """Our guidance of two given estimates, the first with the label."""
    z_c, z_none, x = draw()

    def model(x, t, context):
        return torch.where((context == 1).reshape(-1, 1, 1, 1), z_c.repeat(2, 1, 1, 1), z_none.repeat(2, 1, 1, 1))

    ones = torch.ones(len(x), dtype=torch.int64)
    return guided(model, scale, 0)(x, ones, ones)
