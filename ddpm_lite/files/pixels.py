"""Pixels as the maths sees them, in [-1, 1], and as a file or a screen keeps them: bytes, 0 black and 255 white."""

import numpy as np
import torch
from jaxtyping import Float, Float32, Num, UInt8
from torch import Tensor

from ddpm_lite._check import check_images, to_tensor


def from_bytes(pixels: UInt8[Tensor, "..."], dtype: torch.dtype = torch.float32) -> Float[Tensor, "..."]:
    """Bytes 0..255 as numbers in [-1, 1]; any shape."""
    return pixels.to(dtype) / 127.5 - 1


def to_bytes(x: Float[Tensor, "..."]) -> UInt8[Tensor, "..."]:
    """Numbers in [-1, 1] as the nearest bytes 0..255; what lies outside is cut off, as a screen does it. Any shape."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def to_floats(
    images: Num[Tensor, "N C H W"] | Num[np.ndarray, "N C H W"], argument: str = "training"
) -> Float32[Tensor, "N C H W"]:
    """Images on the CPU, in [-1, 1]: bytes are scaled, floats are looked at.

    Raises:
        ValueError, TypeError: floats beyond [-1, 1], whole numbers other than bytes, neither a tensor nor an array.
    """
    images = to_tensor(argument, images).cpu()
    if images.dtype == torch.uint8:
        return from_bytes(images)
    check_images(argument, images)
    return images.float()
