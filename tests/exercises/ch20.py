"""Wrong and right answers to the exercise of chapter 20."""

import torch


def gaps(x_0, z_0, x_1, z_1, taus):
    """The distances at the given flow times."""
    return torch.stack([((1 - tau) * (x_0 - x_1) + tau * (z_0 - z_1)).norm() for tau in taus])


def best_time(x_0, z_0, x_1, z_1, low=0.0, high=1.0):
    """The flow time of the least distance."""
    d, change = x_0 - x_1, z_0 - z_1 - x_0 + x_1
    size = change @ change
    return (-(d @ change) / size).clamp(low, high) if size else torch.zeros((), dtype=d.dtype)


def by_parabola(*pairs):
    return gaps(*pairs, [best_time(*pairs)])[0]


def by_three_times(*pairs):
    """The ends, and the minimum of the parabola where it lies between them."""
    free = best_time(*pairs, low=-1e9, high=1e9)
    return gaps(*pairs, [0, 1, *([free] if 0 < free < 1 else [])]).min()


def by_halving(*pairs):
    """The distance is convex in the flow time, so the better third can be kept."""
    low, high = 0.0, 1.0
    for _ in range(100):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        one, other = gaps(*pairs, [left, right])
        low, high = (low, right) if one < other else (left, high)
    return float(gaps(*pairs, [low, high]).min())


def by_least_squares(x_0, z_0, x_1, z_1):
    change = (z_0 - z_1 - x_0 + x_1)[:, None]
    tau = torch.linalg.pinv(change) @ -(x_0 - x_1)
    return gaps(x_0, z_0, x_1, z_1, [tau.clamp(0, 1)])[0]


WRONG = {
    "ex-straight-distance": {
        "not limited": (lambda *p: gaps(*p, [best_time(*p, -1e9, 1e9)])[0], "is not limited"),
        "squared": (lambda *p: by_parabola(*p) ** 2, "square of the distance"),
        "the time": (best_time, "this is the flow time"),
        "half-way": (lambda *p: gaps(*p, [0.5])[0], "half-way"),
        "at the images": (lambda *p: gaps(*p, [0])[0], "at the images"),
        "at the noises": (lambda *p: gaps(*p, [1])[0], "at the noises"),
        "the ends": (lambda *p: gaps(*p, [0, 1]).min(), "between the ends"),
        "absolute values": (
            lambda x_0, z_0, x_1, z_1: (
                (x_0 - x_1 + best_time(x_0, z_0, x_1, z_1) * (z_0 - z_1 - x_0 + x_1)).abs().sum()
            ),
            "not their absolute values",
        ),
        "the mean": (lambda *p: by_parabola(*p) / len(p[0]) ** 0.5, "mean over the pixels"),
        "two flow times": (
            lambda x_0, z_0, x_1, z_1: torch.cdist(
                *(((1 - t) * x + t * z) for t in [torch.linspace(0, 1, 101)[:, None]] for x, z in [(x_0, z_0)]),
                *(((1 - t) * x + t * z) for t in [torch.linspace(0, 1, 101)[:, None]] for x, z in [(x_1, z_1)]),
            ).min(),
            "different flow times",
        ),
        "divided by 0": (
            lambda x_0, z_0, x_1, z_1: gaps(
                x_0,
                z_0,
                x_1,
                z_1,
                [((x_0 - x_1) @ (x_0 - x_1 - z_0 + z_1) / (x_0 - x_1 - z_0 + z_1).square().sum()).clamp(0, 1)],
            )[0],
            "not a number",
        ),
    }
}
RIGHT = {
    "ex-straight-distance": {
        "parabola": by_parabola,
        "three times": by_three_times,
        "halving": by_halving,
        "least squares": by_least_squares,
    }
}
