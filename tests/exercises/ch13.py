"""Wrong and right answers to the exercises of chapter 13."""

import math
from fractions import Fraction

import numpy as np
import torch


def work(C_in, C_out, n):
    """The right answer."""
    return 18 * (C_in + C_out) * C_out * n + (2 * C_in * C_out * n if C_in != C_out else 0)


def block(window=9, across=1, second=lambda C_in, C_out: C_out * C_out):
    """The work with another window, another way across or another second convolution."""

    def answer(C_in, C_out, n):
        skip = 2 * across * C_in * C_out * n if C_in != C_out else 0
        return 2 * window * (C_in * C_out + second(C_in, C_out)) * n + skip

    return answer


def parts_with(bytes_of_weight, up=True):
    """The batch cut by a rule for the memory, with so many bytes for each weight."""

    def answer(P, A, B, memory):
        at_a_time = (memory - bytes_of_weight * P) // A
        return -(-B // at_a_time) if up else B // at_a_time

    return answer


WRONG = {
    "ex-scaling-1": {
        "multiplications only": (lambda C_in, C_out, n: work(C_in, C_out, n) // 2, "two operations"),
        "a window of one pixel": (block(window=1), "a window of 3 by 3"),
        "one pixel": (lambda C_in, C_out, n: work(C_in, C_out, 1), "for every pixel"),
        "n squared": (lambda C_in, C_out, n: work(C_in, C_out, n) * n, "every pair of pixels"),
        "nothing across": (block(across=0), "get across"),
        "always across": (
            lambda C_in, C_out, n: 18 * (C_in + C_out) * C_out * n + 2 * C_in * C_out * n,
            "nothing is needed",
        ),
        "a wide window across": (block(across=9), "a convolution of 1 by 1"),
        "one convolution": (block(second=lambda C_in, C_out: 0), "there are two convolutions"),
        "both from C_in to C_out": (block(second=lambda C_in, C_out: C_in * C_out), "the second convolution"),
        "the second from C_in to C_in": (
            block(second=lambda C_in, C_out: C_in * C_in),
            "not from C to C",
        ),
        "across to C_in channels": (
            lambda C_in, C_out, n: block(across=0)(C_in, C_out, n) + (2 * C_in * C_in * n if C_in != C_out else 0),
            "to C' channels",
        ),
        "training": (lambda C_in, C_out, n: 3 * work(C_in, C_out, n), "not training"),
    },
    "ex-scaling-2": {
        "the weights alone": (parts_with(4), "what does each weight bring"),
        "weight and gradient": (parts_with(8), "what does each weight bring"),
        "the average forgotten": (parts_with(16), "what does each weight bring"),
        "a part of an image": (lambda P, A, B, memory: -(-A * B // (memory - 20 * P)), "that is too much"),
        "rounded down": (parts_with(20, up=False), "that is too much"),
        "one too many": (lambda *sizes: parts_with(20)(*sizes) + 1, "one part less would fit"),
        "one image at a time": (lambda P, A, B, memory: B, "one part less would fit"),
        "a share of the bytes": (lambda P, A, B, memory: (20 * P + A * B) / memory, "no number of parts"),
    },
    "ex-scaling-3": {
        "the mean of means": (lambda sizes: [1.0 for _ in sizes], "the mean of means"),
        "shares, and a mean after them": (lambda sizes: [b / sum(sizes) for b in sizes], "shares alone"),
        "sizes": (list, "the sizes themselves"),
        "turned over": (lambda sizes: [sum(sizes) / b / len(sizes) for b in sizes], "turned over"),
        "one factor": (lambda sizes: [1.0], "the shape is (1,)"),
        "the number of devices": (lambda sizes: [len(sizes)] * len(sizes), "the number of devices alone"),
        "divided by the size": (lambda sizes: [len(sizes) / b for b in sizes], "do not divide"),
        "shares of the largest": (lambda sizes: [b / max(sizes) for b in sizes], "not of the largest part"),
        "the number of devices below": (lambda sizes: [b / len(sizes) for b in sizes], "b / m"),
        "not divided": (lambda sizes: [len(sizes) * b for b in sizes], "a share is wanted"),
        "a square": (lambda sizes: [len(sizes) * (b / sum(sizes)) ** 2 for b in sizes], "a square too many"),
        "the others": (lambda sizes: [len(sizes) * (1 - b / sum(sizes)) for b in sizes], "the shares of the others"),
        "the last left out": (
            lambda sizes: [len(sizes) * b / sum(sizes) for b in sizes[:-1]] + [0.0],
            "off by up to",
        ),
    },
}


def by_network(C_in, C_out, n):
    """Two operations for each weight of a convolution and each pixel, counted in real layers."""
    layers = [torch.nn.Conv2d(C_in, C_out, 3, bias=False), torch.nn.Conv2d(C_out, C_out, 3, bias=False)]
    if C_in != C_out:
        layers.append(torch.nn.Conv2d(C_in, C_out, 1, bias=False))
    return 2 * n * sum(layer.weight.numel() for layer in layers)


def by_search(P, A, B, memory):
    """Part after part, until the largest fits."""
    parts = 1
    while math.ceil(B / parts) * A + 20 * P > memory:
        parts += 1
    return parts


RIGHT = {
    "ex-scaling-1": {
        "a float": lambda *a: float(work(*a)),
        "by the layers": by_network,
        "float32": lambda C_in, C_out, n: torch.tensor(work(C_in, C_out, n), dtype=torch.float32),
        "sorted by C_out": lambda C_in, C_out, n: 2 * C_out * n * (9 * C_out + (9 + (C_in != C_out)) * C_in),
        "an array": lambda C_in, C_out, n: np.array([work(C_in, C_out, n)]),
    },
    "ex-scaling-2": {
        "a float": lambda *a: float(parts_with(20)(*a)),
        "by search": by_search,
        "math": lambda P, A, B, memory: math.ceil(B / math.floor((memory - 20 * P) / A)),
        "a tensor": lambda P, A, B, memory: torch.tensor(B / ((memory - 20 * P) // A)).ceil(),
        "an integer of numpy": lambda P, A, B, memory: np.int64(parts_with(20)(P, A, B, memory)),
    },
    "ex-scaling-3": {
        "float32": lambda sizes: torch.tensor(sizes, dtype=torch.float32) / sum(sizes) * len(sizes),
        "an array": lambda sizes: np.array(sizes) / np.mean(sizes),
        "a tuple": lambda sizes: tuple(b * len(sizes) / sum(sizes) for b in sizes),
        "tensors": lambda sizes: [torch.tensor(b * len(sizes) / sum(sizes)) for b in sizes],
        "fractions": lambda sizes: [float(Fraction(b * len(sizes), sum(sizes))) for b in sizes],
    },
}
