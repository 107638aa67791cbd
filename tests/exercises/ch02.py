"""Wrong and right answers to the exercises of chapter 02."""

import math

import numpy as np
import torch

from ddpm_lite import cosine_schedule, linear_schedule, respace
from ddpm_lite.schedule import Schedule


def first_at_most(table, limit):
    return int((table <= limit).nonzero()[0])


def shortest(limit, below=lambda left, limit: left < limit):
    T = 1
    while not below(linear_schedule(T).alpha_bar[T], limit):
        T += 1
    return T


def step(keep, add):
    """An answer to the first exercise from its two weights, each a function of beta_t."""
    return lambda x_prev, beta_t, z: keep(beta_t) * x_prev + add(beta_t) * z


def root_keep(beta):
    return (1 - beta) ** 0.5


def root_add(beta):
    return beta**0.5


def scaled(first, last):
    """An answer to the third exercise, from the factors of its two ends."""
    return lambda T: linear_schedule(T, 1e-4 * first(1000 / T), min(0.999, 0.02 * last(1000 / T)))


WRONG = {
    "ex-forward-1": {
        "variance taken for standard deviation": (step(root_keep, lambda b: b), "variance beta_t squared"),
        "no root on alpha": (step(lambda b: 1 - b, root_add), "alpha_t instead of its root"),
        "no roots": (step(lambda b: 1 - b, lambda b: b), "take their roots"),
        "the image keeps its size": (step(lambda b: 1, root_add), "not made paler"),
        "noise subtracted": (step(root_keep, lambda b: -root_add(b)), "noise is negative"),
        "image turned": (step(lambda b: -root_keep(b), root_add), "image is negative"),
        "weights exchanged": (step(root_add, root_keep), "changed places"),
        "one weight for both": (step(root_keep, root_keep), "both have the image's weight"),
        "the other weight for both": (step(root_add, root_add), "both have the noise's weight"),
        "half the noise": (step(root_keep, lambda b: root_add(b) / 2), "half of the noise"),
        "double the noise": (step(root_keep, lambda b: 2 * root_add(b)), "counted twice"),
        "no noise": (step(root_keep, lambda b: 0), "no noise is added"),
        "only noise": (step(lambda b: 0, root_add), "image is lost"),
        "noise of variance 1": (step(root_keep, lambda b: 1), "not scaled"),
        "constants whose squares sum to 1": (step(lambda b: 0.9, lambda b: 0.19**0.5), "beta_t = 0.64"),
        "other constants": (step(lambda b: 0.6, lambda b: 0.8), "off by"),
        "fresh noise of its own": (
            lambda x_prev, beta_t, z: (1 - beta_t) ** 0.5 * x_prev + beta_t**0.5 * torch.randn_like(x_prev),
            "off by",
        ),
    },
    "ex-forward-2": {
        "the paper's ramp cut off": (
            lambda limit: int((linear_schedule(1000).alpha_bar < limit).nonzero()[0]),
            "first betas of T = 1000",
        ),
        "one too few": (lambda limit: shortest(limit) - 1, "not below"),
        "one too many": (lambda limit: shortest(limit) + 1, "smaller T"),
        "right for one limit": (lambda limit: 911, "limit 0.01"),
        "twice as many as needed": (lambda limit: 2000, "smaller T"),
        "an amplitude for a variance": (lambda limit: shortest(limit**0.5), "not below"),
        "squared": (lambda limit: shortest(limit**2), "smaller T"),
        "no step": (lambda limit: 0, "not a number of steps"),
        "negative": (lambda limit: -shortest(limit), "not a number of steps"),
        "not whole": (lambda limit: shortest(limit) - 0.5, "not a number of steps"),
        "always a thousand": (lambda limit: 1000, "smaller T"),
    },
    "ex-forward-3": {
        "betas not scaled": (lambda T: linear_schedule(T), "% of the amplitude is left"),
        "only the last beta scaled": (scaled(lambda k: 1, lambda k: k), "beta_1 is not"),
        "only the last beta scaled, too far": (scaled(lambda k: 1, lambda k: 2 * k), "T = 1000"),
        "only the first beta scaled": (scaled(lambda k: k, lambda k: 1), "beta_T is not"),
        "a root too many": (scaled(lambda k: k**0.5, lambda k: k**0.5), "% of the amplitude is left"),
        "the factor turned over": (scaled(lambda k: 1 / k, lambda k: 1 / k), "% of the amplitude is left"),
        "different factors": (scaled(lambda k: k**0.5, lambda k: k * 1.05), "different factors"),
        "a bare table": (lambda T: torch.linspace(1e-4, 0.02, T), "return a Schedule"),
        "one step too many": (lambda T: linear_schedule(T + 1, 0.1 / T, 20 / T), "return a Schedule"),
        "always the paper's": (lambda T: linear_schedule(1000), "with T = 200, return a Schedule"),
        "another shape": (lambda T: cosine_schedule(T), "unequal amounts"),
        "every fifth time": (lambda T: respace(linear_schedule(1000), T), "unequal amounts"),
        "constant betas": (lambda T: linear_schedule(T, 10.05 / T, 10.05 / T), "different factors"),
        "too much noise": (lambda T: linear_schedule(T, 0.2 / T, 40 / T), "more noise than needed"),
    },
    "ex-forward-4": {
        "ratio taken for alpha-bar": (lambda s, snr: first_at_most(s.alpha_bar, snr), "is not a time"),
        "one too late": (lambda s, snr: first_at_most(s.snr, snr) + 1, "it is reached before"),
        "one too early": (lambda s, snr: first_at_most(s.snr, snr) - 1, "it is still"),
        "entry 0 left out": (
            lambda s, snr: int((s.alpha_bar[1:] <= snr / (1 + snr)).nonzero()[0]),
            "it is still",
        ),
        "roots, as of amplitudes": (lambda s, snr: first_at_most(s.snr, snr**2), "still"),
        "one minus": (lambda s, snr: first_at_most(s.alpha_bar, 1 / (1 + snr)), "it is reached before"),
        "the last time": (lambda s, snr: s.T, "it is reached before"),
        "the ratio is not used": (lambda s, snr: first_at_most(s.alpha_bar, 0.5), "it is reached before"),
        "the schedule is not used": (
            lambda s, snr: first_at_most(linear_schedule(1000).snr, snr),
            "schedule cosine",
        ),
        "half way": (lambda s, snr: s.T // 2, "it is reached before"),
        "between two times": (lambda s, snr: first_at_most(s.snr, snr) - 0.5, "is not a time"),
    },
}


def by_bisection(limit):
    low, high = 1, 4096
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if linear_schedule(middle).alpha_bar[-1] < limit else (middle + 1, high)
    return low


def by_numpy(limit):
    return next(T for T in range(1, 2000) if np.prod(1 - np.linspace(1e-4, 0.02, T)) < limit)


RIGHT = {
    "ex-forward-1": {
        "named alpha": lambda x_prev, beta_t, z: math.sqrt(1 - beta_t) * x_prev + math.sqrt(beta_t) * z,
        "float64": lambda x_prev, beta_t, z: step(root_keep, root_add)(x_prev.double(), beta_t, z.double()),
        "an array": lambda x_prev, beta_t, z: np.sqrt(1 - beta_t) * x_prev.numpy() + np.sqrt(beta_t) * z.numpy(),
        "a list": lambda x_prev, beta_t, z: step(root_keep, root_add)(x_prev, beta_t, z).tolist(),
        "in place": lambda x_prev, beta_t, z: x_prev.mul_((1 - beta_t) ** 0.5).add_(z, alpha=beta_t**0.5),
        "roots of tensors": lambda x_prev, beta_t, z: (
            torch.tensor(1 - beta_t).sqrt() * x_prev + torch.tensor(beta_t).sqrt() * z
        ),
    },
    "ex-forward-2": {
        "bisection": by_bisection,
        "numpy": by_numpy,
        "a tensor": lambda limit: torch.tensor([by_bisection(limit)]),
        "a float": lambda limit: float(by_bisection(limit)),
        "downwards": lambda limit: next(
            T for T in range(2000, 0, -1) if T == 1 or linear_schedule(T - 1).alpha_bar[-1] >= limit
        ),
    },
    "ex-forward-3": {
        "short": lambda T: linear_schedule(T, 0.1 / T, 20 / T),
        "with keywords": lambda T: linear_schedule(beta_T=20 / T, beta_1=0.1 / T, T=T),
        "a table of its own": lambda T: Schedule(
            torch.cat([torch.zeros(1), torch.linspace(0.1 / T, 20 / T, T, dtype=torch.float64)])
        ),
        "float32": lambda T: Schedule(torch.cat([torch.zeros(1), torch.linspace(0.1 / T, 20 / T, T)])),
    },
    "ex-forward-4": {
        "from the ratio": lambda s, snr: first_at_most(s.snr, snr),
        "a loop": lambda schedule, snr: next(
            t for t in range(1, schedule.T + 1) if schedule.alpha_bar[t] * (1 + snr) <= snr
        ),
        "counting": lambda schedule, snr: int((schedule.alpha_bar > snr / (1 + snr)).sum()),
        "a tensor": lambda schedule, snr: (schedule.alpha_bar <= snr / (1 + snr)).nonzero()[0],
        "float32 and numpy": lambda schedule, snr: np.argmax(
            schedule.alpha_bar.float().numpy() <= np.float32(snr / (1 + snr))
        ),
    },
}
