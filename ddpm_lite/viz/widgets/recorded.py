"""Helpers for widgets that show a trained model's outputs, which are recorded because processors round differently.

A record is a safetensors file of bytes, whose header has the weights, seed and command that made it.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ddpm_lite._check import check_float, check_whole, describe, fail
from ddpm_lite.files import pixels
from ddpm_lite.files.records import find_record
from ddpm_lite.viz.widgets.base import grey

COMMAND = "python studies/record_widgets.py"


def read_widget_record(path: str | Path, widget: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the arrays of a record, and its header.

    Args:
        path: the path of the record.
        widget: the name of the widget that it has to be for.

    Raises:
        FileNotFoundError, ValueError: no such record; the message names the command that makes it.
    """
    from safetensors import SafetensorError, safe_open

    path = find_record(path)
    expected, advice = f"a record for {widget}", f"make it with `{COMMAND}`"
    if not path.is_file():
        fail(FileNotFoundError, "path", expected, f"no file at {str(path)!r}", advice)
    try:
        with safe_open(path, framework="np") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError:
        fail(ValueError, "path", expected, f"a damaged file, {path.name!r}", advice)
    if header.get("widget") != widget:
        fail(ValueError, "path", expected, f"{path.name!r}, which is for another widget", advice)
    return arrays, header


def as_tensor(argument: str, x: np.ndarray | Tensor, axes: str) -> Tensor:
    """Convert x to finite floating-point numbers on the CPU, with as many axes as `axes` names."""
    if not isinstance(x, Tensor | np.ndarray):
        fail(TypeError, argument, f"a tensor or an array ({axes})", type(x).__name__)
    x = torch.from_numpy(np.array(x)) if isinstance(x, np.ndarray) else x.detach().cpu()
    check_float(argument, x)
    if x.ndim != len(axes.split(", ")) or x.numel() == 0:
        fail(ValueError, argument, f"shape ({axes})", describe(x))
    if not torch.isfinite(x).all():
        fail(ValueError, argument, "finite values", "NaN or infinity")
    return x


def as_pictures(argument: str, x: np.ndarray | Tensor, axes: str) -> Tensor:
    """Convert x to images, (..., C, H, W) with one channel or three; values outside [-1, 1] are clipped on screen."""
    x = as_tensor(argument, x, axes)
    if x.shape[-3] not in (1, 3):
        fail(ValueError, argument, "one channel or three", describe(x))
    return x


def from_bytes(x: np.ndarray) -> Tensor:
    """Convert grey levels 0..255 to numbers in [-1, 1], in float64."""
    return pixels.from_bytes(torch.from_numpy(np.array(x)), torch.float64)


def tile(x: np.ndarray | Tensor) -> np.ndarray:
    """Tile images (rows, columns, C, H, W) on one sheet with grey lines between: uint8 (H', W') or (H', W', 3)."""
    x = grey(x) if not isinstance(x, np.ndarray) or x.dtype != np.uint8 else x
    rows, columns, C, H, W = x.shape
    sheet = np.full((rows * (H + 1) - 1, columns * (W + 1) - 1, C), 128, np.uint8)
    for i, j in np.ndindex(rows, columns):
        sheet[i * (H + 1) : i * (H + 1) + H, j * (W + 1) : j * (W + 1) + W] = x[i, j].transpose(1, 2, 0)
    return sheet[..., 0] if C == 1 else sheet


def check_times(times: Sequence[int], frames: int, *, falling: bool = False) -> list[int]:
    """Check the times: one whole number for each frame, increasing or decreasing."""
    times = [check_whole("times", t, 0) for t in times]
    if len(times) != frames:
        fail(ValueError, "times", f"{frames} numbers, one for each frame", f"{len(times)}")
    if times != sorted(set(times), reverse=falling):
        fail(ValueError, "times", "decreasing numbers" if falling else "increasing numbers", f"{times}")
    return times
