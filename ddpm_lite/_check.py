"""One-line errors: which argument, what was expected, what was got, what to do."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def fail(kind: type[Exception], argument: str, expected: str, got: str, advice: str = "") -> None:
    """Raise `kind` with the house's one-line message."""
    raise kind(f"{argument}: expected {expected}, got {got}" + (f"; {advice}" if advice else ""))


def describe(value: object) -> str:
    """A tensor as `float32 tensor of shape (2, 1, 8, 8)`, anything else by its repr."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
    return f"{value!r} ({type(value).__name__})"


def check_whole(argument: str, value: object, low: int, high: float = math.inf) -> int:
    """A whole number in low..high (bool is not a number here)."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        span = f"a whole number >= {low}" if high == math.inf else f"a whole number in {low}..{high}"
        fail(ValueError, argument, span, describe(value))
    return value


def check_real(argument: str, value: object, low: float, high: float, *, ends: str = "[]") -> float:
    """A finite number between low and high; `ends` says which ends belong, as in "(]"."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    above = number and (value > low if ends[0] == "(" else value >= low)
    below = number and (value < high if ends[1] == ")" else value <= high)
    if not (above and below):
        fail(ValueError, argument, f"a number in {ends[0]}{low}, {high}{ends[1]}", describe(value))
    return float(value)


def check_t(t: "int | Tensor", x: Tensor, T: int, argument: str = "t") -> None:
    """t is one whole number in 1..T, or one int64 per image of x, on x's device.

    The values of a tensor are looked at on the CPU only: on a GPU the look would stop the queue.
    """
    if not isinstance(t, Tensor):
        check_whole(argument, t, 1, T)
        return
    expected = f"a whole number in 1..{T} or an int64 tensor of shape ({x.shape[0]},), one t per image"
    if t.dtype != torch.int64:
        fail(TypeError, argument, expected, describe(t), "use t.long()")
    if t.shape != x.shape[:1]:
        fail(ValueError, argument, expected, describe(t))
    if t.device != x.device:
        fail(ValueError, argument, f"t on {x.device}, where x is", f"{t.device}", "use t.to(x.device)")
    if t.device.type == "cpu" and t.numel() and not (t.min() >= 1 and t.max() <= T):
        fail(
            ValueError,
            argument,
            f"every t in 1..{T}",
            f"values in {int(t.min())}..{int(t.max())}",
            "this package counts t as the equations do, from 1 to T",
        )


def check_float(argument: str, x: Tensor) -> None:
    """x holds floating-point numbers; whole-number images get the scaling to use."""
    if not x.is_floating_point():
        fail(
            TypeError,
            argument,
            "a floating-point tensor with values about [-1, 1]",
            describe(x),
            "for uint8 images use x.float() / 127.5 - 1",
        )


def check_alike(argument: str, value: Tensor, other_name: str, other: Tensor) -> None:
    """value has the shape and device of other, so that no silent broadcasting happens."""
    check_float(argument, value)
    if value.shape != other.shape:
        fail(ValueError, argument, f"the shape of {other_name}, {tuple(other.shape)}", describe(value))
    if value.device != other.device:
        fail(ValueError, argument, f"{other_name}'s device, {other.device}", f"{value.device}")


def check_images(argument: str, x: Tensor) -> None:
    """x is a data set of images: float, (N, C, H, W), finite, in [-1, 1]. Looks at every value: call once."""
    check_float(argument, x)
    if x.ndim != 4 or x.numel() == 0:
        fail(ValueError, argument, "a non-empty tensor of shape (N, C, H, W)", describe(x))
    if not torch.isfinite(x).all():
        bad = int((~torch.isfinite(x)).flatten(1).any(dim=1).nonzero()[0])
        fail(ValueError, argument, "finite values", f"NaN or infinity in image {bad}")
    low, high = float(x.min()), float(x.max())
    if low < -1.001 or high > 1.001:
        fail(
            ValueError,
            argument,
            "values in [-1, 1]",
            f"values in [{low:g}, {high:g}]",
            "scale them: from [0, 1] by 2 * x - 1, from [0, 255] by x / 127.5 - 1",
        )


@contextmanager
def explain_lack_of_memory(batch_size: int, parts: int, processes: int) -> Iterator[None]:
    """When memory runs out while batches in so many parts, over all processes, are learnt: one line on what to halve.

    A device says so by the kind of error, the processor in words, NumPy in its own way.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        lack = isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)
        if not lack:
            raise
        got = f"no memory left with {-(-batch_size // parts)} images at a time"
        smaller = "use a smaller network, with half the width, or smaller images"
        if 2 * parts <= batch_size:
            halve = f"set accumulation={2 * parts // processes} (half as many at a time, the same loss)"
            smaller = f"{halve}, halve batch_size, or {smaller}"
        raise torch.OutOfMemoryError(f"accumulation: expected parts that fit in memory, got {got}; {smaller}") from None
