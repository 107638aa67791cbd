"""What the trainer does when memory runs out: one line that says which setting to halve, or half as many at a time."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ddpm_lite._check import fail


def is_lack_of_memory(error: Exception) -> bool:
    """Whether memory ran out: a device says so by the kind of error, the processor in words, NumPy in its way."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def more_parts(parts: int, batch_size: int, processes: int, step: int, *, allowed: bool) -> int:
    """Twice as many parts of a batch, if that is allowed; else the line that says what to set."""
    size = -(-batch_size // (processes * parts))
    got = f"no memory left at step {step} with {size} images at a time"
    if 2 * parts * processes > batch_size:
        advice = "use smaller images or a smaller network"
        fail(torch.OutOfMemoryError, "batch_size", "parts that fit in memory", got, advice)
    if not allowed:
        advice = f"set accumulation={2 * parts} (half as many at a time, the same loss), or halve batch_size"
        fail(torch.OutOfMemoryError, "accumulation", "parts that fit in memory", got, advice)
    warnings.warn(f"{got}: going on with accumulation={2 * parts}, the same loss", stacklevel=3)
    return 2 * parts


@contextmanager
def room_for_adam(step: int) -> Iterator[None]:
    """Here no batch takes any room, so a smaller one would not help; nor can half a step be done once more."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_lack_of_memory(error):
            raise
        got, advice = f"no memory left for Adam's averages at step {step}", "use a smaller network, with half the width"
        fail(torch.OutOfMemoryError, "model", "a network that fits in memory with all that training keeps", got, advice)
