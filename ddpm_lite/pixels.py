"""Pixels as the maths sees them, in [-1, 1], and as a file or a screen keeps them: bytes, 0 black and 255 white."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def from_bytes(pixels: UInt8[Tensor, "..."], dtype: torch.dtype = torch.float32) -> Float[Tensor, "..."]:
    """Bytes 0..255 as numbers in [-1, 1]; any shape."""
    return pixels.to(dtype) / 127.5 - 1


def to_bytes(x: Float[Tensor, "..."]) -> UInt8[Tensor, "..."]:
    """Numbers in [-1, 1] as the nearest bytes 0..255; what lies outside is cut off, as a screen does it. Any shape."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
