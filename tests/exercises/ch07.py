"""Wrong and right answers to the exercises of chapter 07."""

import numpy as np
import torch


def scores(q, k, power=0.5):
    return q @ k.T / q.shape[1] ** power


def masked(q, k, v, keep, fill=float("-inf"), power=0.5, axis=1):
    return scores(q, k, power).masked_fill(~keep, fill).softmax(dim=axis) @ v


def attention_in_loops(q, k, v):
    rows = []
    for query in q:
        weights = torch.stack([(query * key).sum() / len(query) ** 0.5 for key in k]).exp()
        rows.append(sum(w * value for w, value in zip(weights / weights.sum(), v, strict=True)))
    return torch.stack(rows)


def attention_in_numpy(q, k, v):
    s = q.numpy() @ k.numpy().T / np.sqrt(q.shape[1])
    w = np.exp(s - s.max(axis=1, keepdims=True))
    return w / w.sum(axis=1, keepdims=True) @ v.numpy()


def kept_by_index(q, k, v, keep):
    return scores(q, k[keep]).softmax(dim=1) @ v[keep]


def kept_by_product(q, k, v, keep):
    w = scores(q, k).exp() * keep
    return w / w.sum(dim=1, keepdim=True) @ torch.where(keep[:, None], v, 0.0)


def heads_by_slices(x, heads):
    d = x.shape[2] // heads
    return torch.stack([x[..., i * d : (i + 1) * d] for i in range(heads)], dim=1)


def side(bytes_left, batch):
    return int((bytes_left / 4 / batch) ** 0.25 + 1e-9)


def side_by_halving(bytes_left, batch):
    low, high = 1, 10**6
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if 4 * batch * middle**4 <= bytes_left else (low, middle)
    return low


WRONG = {
    "ex-attention-1": {
        "not divided": (lambda q, k, v: scores(q, k, 0).softmax(dim=1) @ v, "not divided by the root"),
        "divided by d": (lambda q, k, v: scores(q, k, 1).softmax(dim=1) @ v, "divided by d"),
        "the width of the values": (
            lambda q, k, v: (q @ k.T / v.shape[1] ** 0.5).softmax(dim=1) @ v,
            "not the width of the values",
        ),
        "the number of keys": (lambda q, k, v: (q @ k.T / len(k) ** 0.5).softmax(dim=1) @ v, "number of keys"),
        "the number of queries": (lambda q, k, v: (q @ k.T / len(q) ** 0.5).softmax(dim=1) @ v, "number of queries"),
        "along the wrong axis": (lambda q, k, v: scores(q, k).softmax(dim=0) @ v, "along the queries"),
        "no softmax": (lambda q, k, v: scores(q, k) @ v, "no softmax"),
        "one softmax for all": (
            lambda q, k, v: scores(q, k).flatten().softmax(0).reshape(len(q), len(k)) @ v,
            "off by",
        ),
        "divided after the softmax": (lambda q, k, v: scores(q, k, 0).softmax(dim=1) @ v / q.shape[1] ** 0.5, "off by"),
        "no sum": (lambda q, k, v: scores(q, k).exp() @ v, "do not add up to 1"),
        "a sign": (lambda q, k, v: (-scores(q, k)).softmax(dim=1) @ v, "wrong sign"),
        "the mean": (lambda q, k, v: v.mean(0).expand(len(q), -1), "plain mean"),
        "shares of the absolute scores": (
            lambda q, k, v: torch.nn.functional.normalize(scores(q, k).abs(), p=1, dim=1) @ v,
            "off by",
        ),
        "queries and keys exchanged": (lambda q, k, v: scores(k, q).softmax(dim=1) @ q, "the shape is"),
    },
    "ex-attention-2": {
        "cut without moving": (lambda x, heads: x.reshape(len(x), heads, x.shape[1], -1), "mixed with channels"),
        "every third number": (lambda x, heads: x.unflatten(2, (-1, heads)).permute(0, 3, 1, 2), "every third"),
        "heads last": (lambda x, heads: x.unflatten(2, (heads, -1)), "third axis"),
        "heads reversed": (lambda x, heads: heads_by_slices(x, heads).flip(1), "heads are in the reverse"),
        "numbers reversed": (lambda x, heads: heads_by_slices(x, heads).flip(3), "numbers of a head"),
        "pixels reversed": (lambda x, heads: heads_by_slices(x, heads).flip(2), "the pixels are in"),
        "numbers before pixels": (
            lambda x, heads: x.transpose(1, 2).reshape(len(x), heads, x.shape[1], -1),
            "pixels and numbers are swapped",
        ),
        "the first head everywhere": (
            lambda x, heads: heads_by_slices(x, heads)[:, :1].repeat(1, heads, 1, 1),
            "every head has the first",
        ),
        "not cut": (lambda x, heads: x, "the shape is"),
    },
    "ex-attention-3": {
        "bytes forgotten": (lambda bytes_left, batch: int((bytes_left / batch) ** 0.25), "4 bytes"),
        "batch forgotten": (lambda bytes_left, batch: int((bytes_left / 4) ** 0.25 + 1e-9), "weights of its own"),
        "one weight for each pixel": (lambda bytes_left, batch: int((bytes_left / 4 / batch) ** 0.5), "s^2 tokens"),
        "rounded": (lambda bytes_left, batch: round((bytes_left / 4 / batch) ** 0.25), "does not fit"),
        "one too small": (lambda bytes_left, batch: side(bytes_left, batch) - 1, "would fit, too"),
        "one too large": (lambda bytes_left, batch: side(bytes_left, batch) + 1, "does not fit"),
        "no whole number": (lambda bytes_left, batch: (bytes_left / 4 / batch) ** 0.25, "not a whole number"),
        "tokens": (lambda bytes_left, batch: side(bytes_left, batch) ** 2, "number of tokens"),
        "bits": (lambda bytes_left, batch: int((bytes_left / 32 / batch) ** 0.25), "bits"),
    },
    "ex-attention-4": {
        "no mask": (lambda q, k, v, keep: scores(q, k).softmax(dim=1) @ v, "all keys are used"),
        "masked after the softmax": (lambda q, k, v, keep: scores(q, k).softmax(dim=1) * keep @ v, "no longer add up"),
        "a score of 0": (lambda *a: masked(*a, fill=0.0), "a score of 0"),
        "the value set to 0": (
            lambda q, k, v, keep: scores(q, k).softmax(dim=1) @ (v * keep[:, None]),
            "no longer add up",
        ),
        "the wrong ones left out": (lambda q, k, v, keep: masked(q, k, v, ~keep), "kept keys are left out"),
        "not divided": (lambda *a: masked(*a, power=0), "not divided"),
        "divided by d": (lambda *a: masked(*a, power=1), "divided by d"),
        "the wrong axis": (lambda *a: masked(*a, axis=0), "not a number"),
        "a score of -20": (lambda *a: masked(*a, fill=-20.0), "not exactly 0"),
        "20 less": (lambda q, k, v, keep: (scores(q, k) - 20.0 * ~keep).softmax(dim=1) @ v, "not exactly 0"),
        "the keys set to 0": (lambda q, k, v, keep: scores(q, k * keep[:, None]).softmax(dim=1) @ v, "a score of 0"),
        "one less": (lambda q, k, v, keep: (scores(q, k) - 1.0 * ~keep).softmax(dim=1) @ v, "too little"),
    },
}

RIGHT = {
    "ex-attention-1": {
        "loops": attention_in_loops,
        "numpy": attention_in_numpy,
        "float32": lambda q, k, v: scores(q.float(), k.float()).softmax(dim=1) @ v.float(),
        "torch's own": lambda q, k, v: torch.nn.functional.scaled_dot_product_attention(q[None], k[None], v[None])[0],
    },
    "ex-attention-2": {
        "slices": heads_by_slices,
        "unflatten": lambda x, heads: x.unflatten(2, (heads, -1)).transpose(1, 2),
        "chunks": lambda x, heads: torch.stack(x.chunk(heads, dim=2), dim=1),
        "numpy": lambda x, heads: np.stack(np.split(x.numpy(), heads, axis=2), axis=1),
    },
    "ex-attention-3": {
        "a root": side,
        "by halving": side_by_halving,
        "a float": lambda bytes_left, batch: float(side(bytes_left, batch)),
        "a tensor": lambda bytes_left, batch=1: torch.tensor(side(bytes_left, batch)),
    },
    "ex-attention-4": {
        "minus infinity": masked,
        "by index": kept_by_index,
        "by a product": kept_by_product,
        "float32": lambda q, k, v, keep: masked(q.float(), k.float(), v.float(), keep),
    },
}
