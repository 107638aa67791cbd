"""Pixels in the range of the equations, [-1, 1], and as the bytes of files and screens, 0 (black) to 255 (white)."""

import numpy as np
import torch
from jaxtyping import Float, Float32, Num, UInt8
from torch import Tensor

from ddpm_lite._check import check_images, to_tensor

HALF = 127.5  # half the range of a byte: what 1 is worth in [-1, 1]


def from_bytes(pixels: UInt8[Tensor, "..."], dtype: torch.dtype = torch.float32) -> Float[Tensor, "..."]:
    """Convert bytes 0..255 of any shape to floats in [-1, 1]."""
    return pixels.to(dtype) / HALF - 1


def to_bytes(x: Float[Tensor, "..."]) -> UInt8[Tensor, "..."]:
    """Clamp floats of any shape to [-1, 1], and round them to the nearest bytes 0..255."""
    return ((x.clamp(-1, 1) + 1) * HALF).round().to(torch.uint8)


def from_hex(text: str, shape: tuple[int, ...] = (1, 8, 8)) -> Float32[Tensor, "N ..."]:
    """Convert bytes in hexadecimal, as records have them, to images of this shape in [-1, 1]."""
    return from_bytes(torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)).reshape(-1, *shape)


def to_hex(x: Float[Tensor, "..."]) -> str:
    """Convert floats of any shape to bytes in hexadecimal, in order."""
    return to_bytes(x).numpy().tobytes().hex()


def to_floats(
    images: Num[Tensor, "N C H W"] | Num[np.ndarray, "N C H W"], argument: str = "training"
) -> Float32[Tensor, "N C H W"]:
    """Convert images to floats in [-1, 1] on the CPU: bytes are scaled, and floats are checked.

    Raises:
        ValueError, TypeError: floats outside [-1, 1], whole numbers other than bytes, neither a tensor nor an array.
    """
    images = to_tensor(argument, images).cpu()
    if images.dtype == torch.uint8:
        return from_bytes(images)
    check_images(argument, images)
    return images.float()
