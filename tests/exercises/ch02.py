"""Typical wrong answers to the exercises of chapter 02."""

import torch

from ddpm_lite import linear_schedule


def first_at_most(table, limit):
    return int((table <= limit).nonzero()[0])


WRONG = {
    "ex-forward-1": {
        "variance taken for standard deviation": (
            lambda x_prev, beta_t, z: (1 - beta_t) ** 0.5 * x_prev + beta_t * z,
            "variance beta_t squared",
        ),
        "no root on alpha": (
            lambda x_prev, beta_t, z: (1 - beta_t) * x_prev + beta_t**0.5 * z,
            "add up to",
        ),
        "the picture keeps its size": (lambda x_prev, beta_t, z: x_prev + beta_t**0.5 * z, "not made paler"),
        "noise subtracted": (
            lambda x_prev, beta_t, z: (1 - beta_t) ** 0.5 * x_prev - beta_t**0.5 * z,
            "negative",
        ),
        "weights exchanged": (
            lambda x_prev, beta_t, z: beta_t**0.5 * x_prev + (1 - beta_t) ** 0.5 * z,
            "changed places",
        ),
    },
    "ex-forward-2": {
        "the paper's ramp cut off": (
            lambda limit: int((linear_schedule(1000).alpha_bar < limit).nonzero()[0]),
            "ramp of T = 1000",
        ),
        "one too few": (lambda limit: {1e-4: 910, 1e-2: 453}[limit], "not below"),
        "twice as many as needed": (lambda limit: 2000, "a smaller T"),
    },
    "ex-forward-3": {
        "betas not scaled": (lambda T: linear_schedule(T), "% of the amplitude is left"),
        "only the last beta scaled, too far": (
            lambda T: linear_schedule(T, beta_T=min(0.99, 40 / T)),
            "more noise than needed",
        ),
        "a bare table": (lambda T: torch.linspace(1e-4, 0.02, T), "return a Schedule"),
    },
    "ex-forward-4": {
        "ratio taken for alpha-bar": (
            lambda s, snr: first_at_most(s.alpha_bar, snr),
            "is not a time",
        ),
        "one too late": (lambda s, snr: first_at_most(s.snr, snr) + 1, "it is reached before"),
        "one too early": (lambda s, snr: first_at_most(s.snr, snr) - 1, "it is still"),
        "roots, as of amplitudes": (lambda s, snr: first_at_most(s.snr, snr**2), "still"),
    },
}
