"""Typical wrong answers to the exercises of chapter 07."""

import torch


def scores(q, k, power=0.5):
    return q @ k.T / q.shape[1] ** power


def kept_after(q, k, v, keep):
    """The mask comes too late: the weights of the others no longer add up to 1."""
    return scores(q, k).softmax(dim=1) * keep @ v


WRONG = {
    "ex-attention-1": {
        "not divided": (lambda q, k, v: scores(q, k, 0).softmax(dim=1) @ v, "the scores are too large"),
        "divided by d": (lambda q, k, v: scores(q, k, 1).softmax(dim=1) @ v, "the scores are too small"),
        "along the wrong axis": (lambda q, k, v: scores(q, k).softmax(dim=0) @ v, "the weights of a query add up to"),
        "no softmax": (lambda q, k, v: scores(q, k) @ v, "the weights of a query add up to"),
        "shares of the absolute scores": (
            lambda q, k, v: torch.nn.functional.normalize(scores(q, k).abs(), p=1, dim=1) @ v,
            "the weights are wrong",
        ),
        "queries and keys exchanged": (lambda q, k, v: scores(k, q).softmax(dim=1) @ q, "the shape is"),
    },
    "ex-attention-2": {
        "cut without moving": (
            lambda x, heads: x.reshape(x.shape[0], heads, x.shape[1], x.shape[2] // heads),
            "another pixel",
        ),
        "every third number": (
            lambda x, heads: x.unflatten(2, (-1, heads)).permute(0, 3, 1, 2),
            "the first head has not",
        ),
        "heads last": (lambda x, heads: x.unflatten(2, (heads, -1)), "the shape is"),
    },
    "ex-attention-3": {
        "bytes forgotten": (lambda bytes_left, batch: int((bytes_left / batch) ** 0.25), "times as much"),
        "batch forgotten": (lambda bytes_left, batch: int((bytes_left / 4) ** 0.25), "times as much"),
        "one weight for each pixel": (lambda bytes_left, batch: int((bytes_left / 4 / batch) ** 0.5), "times as much"),
        "one too small": (lambda bytes_left, batch: int((bytes_left / 4 / batch) ** 0.25) - 1, "would fit too"),
        "no whole number": (lambda bytes_left, batch: (bytes_left / 4 / batch) ** 0.25, "is not a side"),
    },
    "ex-attention-4": {
        "masked after the softmax": (kept_after, "the weights of a query add up to"),
        "a score of 0": (
            lambda q, k, v, keep: scores(q, k).masked_fill(~keep, 0).softmax(dim=1) @ v,
            "still has an influence",
        ),
        "the value set to 0": (
            lambda q, k, v, keep: scores(q, k).softmax(dim=1) @ (v * keep[:, None]),
            "the weights of a query add up to",
        ),
        "the wrong ones left out": (
            lambda q, k, v, keep: scores(q, k).masked_fill(keep, float("-inf")).softmax(dim=1) @ v,
            "still has an influence",
        ),
        "not divided": (
            lambda q, k, v, keep: scores(q, k, 0).masked_fill(~keep, float("-inf")).softmax(dim=1) @ v,
            "the kept weights are wrong",
        ),
    },
}
