"""Random numbers that are the same in Python and in a page: every generator has one function here and one in js/.

`stream` gives any number of a sequence without those before it: uniform ones, of which `gaussians` makes normal ones.
`normals` draws in order, and Python's numbers equal the page's to the last bit.
"""

from collections.abc import Callable

import numpy as np

from ddpm_lite._check import check_whole


def stream(key: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function of i, whole numbers of any shape, that gives number i of a sequence in (0, 1).

    Args:
        key: 0..2^32 - 1, which sequence.

    Source: A. Appleby, the finalizer of MurmurHash3.
    """
    return lambda i: (mix((np.asarray(i) + key).astype(np.uint32)) + 0.5) / 2**32


def mix(h: np.ndarray) -> np.ndarray:
    """Hash uint32 numbers of any shape: every bit of the input changes about half of the output."""
    h = (h ^ (h >> 16)) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> 13)) * np.uint32(0xC2B2AE35)
    return h ^ (h >> 16)


def gaussians(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Turn uniform numbers u and v in (0, 1), (N,) each, into pairs of independent standard normal ones, (N, 2).

    Source: Box and Muller (1958).
    """
    radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * v
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def normals(seed: int, count: int) -> np.ndarray:
    """`count` numbers from N(0, 1), float64, to the last bit those of `normals` in js/shared/science.js.

    Args:
        seed: 0..2^32 - 1. A longer draw from the same seed begins with the shorter one.
        count: >= 0.

    Whole numbers come from sfc32, and Marsaglia's polar method makes pairs of normal numbers of them. Both languages
    round +, -, *, / and the square root alike, but not the logarithm, so that one is a series here.

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
            radius = float(np.sqrt(-2 * _log(s) / s))
            made += [v * radius, w * radius]
    return np.array(made[:count])


def _log(x: float) -> float:
    """The logarithm of x in (0, 1), from operations that every language rounds alike."""
    power = 0
    while x < 0.75:
        x, power = x * 2, power + 1
    q = (x - 1) / (x + 1)  # in (-1/7, 1/7]
    square, total = q * q, 0.0
    for k in range(21, 0, -2):
        total = total * square + 1 / k
    return 2 * q * total - power * 0.6931471805599453
