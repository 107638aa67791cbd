"""Wrong and right answers to the exercises of chapter 13."""

import numpy as np
import torch


def work(C_in, C_out, n):
    """The right answer."""
    return 18 * (C_in + C_out) * C_out * n + (2 * C_in * C_out * n if C_in != C_out else 0)


def parts_with(bytes_of_weight, up=True):
    """The batch cut by a rule for the memory, with so many bytes for each weight."""

    def answer(P, A, B, memory):
        at_a_time = (memory - bytes_of_weight * P) // A
        return -(-B // at_a_time) if up else B // at_a_time

    return answer


WRONG = {
    "ex-scaling-1": {
        "multiplications only": (lambda C_in, C_out, n: work(C_in, C_out, n) // 2, "two operations"),
        "a window of one pixel": (lambda C_in, C_out, n: 2 * (C_in + C_out) * C_out * n, "a window of 3 by 3"),
        "one pixel": (lambda C_in, C_out, n: work(C_in, C_out, 1), "for every pixel"),
        "nothing across": (lambda C_in, C_out, n: 18 * (C_in + C_out) * C_out * n, "get across"),
        "always across": (
            lambda C_in, C_out, n: 18 * (C_in + C_out) * C_out * n + 2 * C_in * C_out * n,
            "nothing is needed",
        ),
        "both from C_in to C_out": (lambda C_in, C_out, n: 36 * C_in * C_out * n, "times what it should be"),
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
        "the mean of means": (lambda sizes: [1.0 for _ in sizes], "counts more than others"),
        "shares, and a mean after them": (
            lambda sizes: [b / sum(sizes) for b in sizes],
            "the loss is 0.500 times what it should be",
        ),
        "sizes": (list, "times what it should be"),
        "turned over": (lambda sizes: [sum(sizes) / b / len(sizes) for b in sizes], "counts more than others"),
        "one factor": (lambda sizes: [1.0], "1 factors for 2 devices"),
    },
}

RIGHT = {
    "ex-scaling-1": {"a float": lambda *a: float(work(*a))},
    "ex-scaling-2": {"a float": lambda *a: float(parts_with(20)(*a))},
    "ex-scaling-3": {
        "float32": lambda sizes: torch.tensor(sizes, dtype=torch.float32) / sum(sizes) * len(sizes),
        "an array": lambda sizes: np.array(sizes) / np.mean(sizes),
    },
}
