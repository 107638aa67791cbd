"""Random numbers that are the same in Python and in JavaScript; every generator here has a counterpart in js/.

`stream` computes any number of a uniform sequence without those before it, and `gaussians` turns these into normal
numbers. `normals` draws normal numbers in order, which are bit for bit the same in both languages.
"""

from collections.abc import Callable

import numpy as np

from ddpm_lite._check import check_whole


def stream(key: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of i, whole numbers of any shape, whose value is number i of a uniform sequence in (0, 1).

    Args:
        key: 0..2^32 - 1, the number of the sequence.

    Source: A. Appleby, the finalizer of MurmurHash3.
    """
    return lambda i: (mix((np.asarray(i) + key).astype(np.uint32)) + 0.5) / 2**32


def mix(h: np.ndarray) -> np.ndarray:
    """Hash uint32 numbers of any shape: every bit of the input changes about half of the output."""
    h = (h ^ (h >> 16)) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> 13)) * np.uint32(0xC2B2AE35)
    return h ^ (h >> 16)


def gaussians(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Turn uniform numbers u and v in (0, 1), (N,) each, into pairs of independent standard normal numbers, (N, 2).

    Source: Box and Muller (1958).
    """
    radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * v
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def normals(seed: int, count: int) -> np.ndarray:
    """Draw `count` numbers from N(0, 1), float64, bit for bit those of `normals` in js/shared/science.js.

    Args:
        seed: 0..2^32 - 1. A longer draw from the same seed begins with the shorter one.
        count: >= 0.

    Marsaglia's polar method makes pairs of normal numbers from the whole numbers of sfc32. Both languages round
    +, -, *, / and the square root alike, but not the logarithm, which is therefore computed by a series.

    Source: C. Doty-Humphrey, PractRand (sfc32); Marsaglia and Bray (1964).
    """
    mask = 0xFFFFFFFF
    a, b, c, d = 0x9E3779B9, 0x243F6A88, check_whole("seed", seed, 0, mask), 1

    def uniform() -> float:  # in (-1, 1), and never 0
        nonlocal a, b, c, d
        word = (a + b + d) & mask
        d = (d + 1) & mask
        a, b, c = b ^ (b >> 9), (c + (c << 3)) & mask, (((c << 21) & mask | c >> 11) + word) & mask
        return (word + 0.5) / 2147483648 - 1

    for _ in range(12):
        uniform()
    made: list[float] = []
    while len(made) < check_whole("count", count, 0):
        v, w = uniform(), uniform()
        s = v * v + w * w
        if s < 1:
            radius = float(np.sqrt(-2 * _compute_log(s) / s))
            made += [v * radius, w * radius]
    return np.array(made[:count])


def _compute_log(x: float) -> float:
    """Compute the logarithm of x in (0, 1) from operations that every language rounds alike."""
    power = 0
    while x < 0.75:
        x, power = x * 2, power + 1
    q = (x - 1) / (x + 1)  # in (-1/7, 1/7]
    square, total = q * q, 0.0
    for k in range(21, 0, -2):
        total = total * square + 1 / k
    return 2 * q * total - power * 0.6931471805599453
