"""Wrong and right answers to the exercises of the page of 200 lines."""

import numpy as np
import torch


def by_tensors(pull):
    """An answer that works with tensors and returns lists."""

    def answer(A, B, G):
        A, B, G = (torch.tensor(rows, dtype=torch.float64) for rows in (A, B, G))
        return tuple(gradient.tolist() for gradient in pull(A, B, G))

    return answer


def by_loops(A, B, G):
    """Each entry by its own sum."""
    to_A = [[0.0] * len(B) for _ in A]
    to_B = [[0.0] * len(B[0]) for _ in B]
    for i, row in enumerate(G):
        for j, g in enumerate(row):
            for k in range(len(B)):
                to_A[i][k] += g * B[k][j]
                to_B[k][j] += A[i][k] * g
    return to_A, to_B


def by_autograd(A, B, G):
    A, B = (torch.tensor(rows, dtype=torch.float64, requires_grad=True) for rows in (A, B))
    return torch.autograd.grad(A @ B, (A, B), torch.tensor(G, dtype=torch.float64))


WRONG = {
    "ex-micro-1": {
        "nothing done": (lambda A, B, G: (A, B), "this is A itself"),
        "the wrong sign": (by_tensors(lambda A, B, G: (-G @ B.T, -A.T @ G)), "the sign is turned around"),
        "the wrong sign of B": (by_tensors(lambda A, B, G: (G @ B.T, -A.T @ G)), "to B: the sign is turned around"),
        "B left as it is": (by_tensors(lambda A, B, G: (G @ B.T, B)), "this is B itself"),
        "changed places": (by_tensors(lambda A, B, G: (A.T @ G, G @ B.T)), "shape"),
        "each transposed": (by_tensors(lambda A, B, G: (B @ G.T, G.T @ A)), "shape"),
        "twice": (by_tensors(lambda A, B, G: (2 * G @ B.T, 2 * A.T @ G)), "off by"),
        "a mean": (by_tensors(lambda A, B, G: (G @ B.T, A.T @ G / len(A))), "off by"),
        "one matrix only": (by_tensors(lambda A, B, G: (G @ B.T,)), "2 values"),
    },
    "ex-micro-2": {
        "no factor": (lambda z_hat, z: (z_hat - z) / z.numel(), "has a factor 2"),
        "the other sign": (lambda z_hat, z: 2 * (z - z_hat) / z.numel(), "the sign is turned around"),
        "of the sum": (lambda z_hat, z: 2 * (z_hat - z), "the loss is a mean"),
        "the error": (lambda z_hat, z: z_hat - z, "the error itself"),
        "over pixels": (lambda z_hat, z: 2 * (z_hat - z) / z.shape[1], "there are several images"),
        "over images": (lambda z_hat, z: 2 * (z_hat - z) / z.shape[0], "an image has several pixels"),
        "squares": (lambda z_hat, z: (z_hat - z) ** 2 / z.numel(), "take their derivative"),
        "without z": (lambda z_hat, z: 2 * z_hat / z.numel(), "does z have a part"),
        "four": (lambda z_hat, z: 4 * (z_hat - z) / z.numel(), "a factor 2 too many"),
        "one number": (lambda z_hat, z: (2 * (z_hat - z)).mean(), "shape"),
    },
}
RIGHT = {
    "ex-micro-1": {
        "tensors": by_tensors(lambda A, B, G: (G @ B.T, A.T @ G)),
        "transposed at the end": by_tensors(lambda A, B, G: ((B @ G.T).T, (G.T @ A).T)),
        "loops": by_loops,
        "autograd": by_autograd,
        "numpy": lambda A, B, G: (np.array(G) @ np.array(B).T, np.array(A).T @ np.array(G)),
    },
    "ex-micro-2": {
        "the mean of ones": lambda z_hat, z: 2 * (z_hat - z) * torch.ones_like(z) / (z.shape[0] * z.shape[1]),
        "a half below": lambda z_hat, z: (z_hat - z) / (0.5 * z.numel()),
        "in two terms": lambda z_hat, z: 2 / z.numel() * z_hat - 2 / z.numel() * z,
        "numpy": lambda z_hat, z: 2 * (z_hat.numpy() - z.numpy()) / z.numpy().size,
    },
}
