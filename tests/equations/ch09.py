"""Checks of chapter 09, sampling."""

import torch

from ddpm_lite import GaussianChain, ddpm_step, mean_from_noise
from equations.checks import equivalent, identity, matches

MEAN, STD = 0.3, 0.7
DATA = {"m": str(MEAN), "s": str(STD)}
RANDOM_X_0 = {"x_0": (MEAN, STD)}
ANY_MEAN = {"where": {"m": str(MEAN)}, "scalar": ["k_t"]}


def oracle(s):
    return GaussianChain(s, MEAN, STD)


def slope(s, v):
    return oracle(s).line()[0]


def one_step(s, v):
    """The sampler's step at each t, not clipped, with sigma_t^2 = beta_tilde_t."""
    noise = v("z'")
    steps = [
        ddpm_step(s, v.x_t[i : i + 1], int(t), int(t) - 1, v.z_hat[i : i + 1], noise[i : i + 1], clip=False)
        for i, t in enumerate(v.t)
    ]
    return torch.cat(steps)


def mean_after(s, v, x_t):
    """The mean that a step of the oracle leads to, from x_t = 0 or 1 in every pixel."""
    x = torch.full_like(v.x_t, x_t)
    return mean_from_noise(s, x, v.t, oracle(s)(x, v.t))


def sigma(s, v):
    """The root of beta, and 0 at the last step."""
    table = s.beta.sqrt().clone()
    table[1] = 0
    return table


def right_variance(s, v):
    """Precisions add: that of x_{t-1} by itself, and what x_t says of it."""
    u = s.alpha_bar[v.t - 1] * STD**2 + s.one_minus_alpha_bar[v.t - 1]
    return 1 / (1 / u + s.alpha[v.t] / s.beta[v.t])


CHECKS = [
    # one t after the other, so not on a thousand of them
    matches(
        "eq-ddpm-step",
        "x_{t-1}",
        one_step,
        tables={r"\sigma": lambda s, v: s.beta_tilde.sqrt()},
        schedules=["coarse", "cosine"],
    ),
    identity("eq-pair-covariance", given=["eq-forward-step"], random={"x_{t-1}": (0.0, 1.0)}),
    identity("eq-variance-ratio"),
    identity("eq-oracle-mean", given=["eq-forward-closed"], where=DATA, random=RANDOM_X_0),
    identity("eq-oracle-variance", given=["eq-forward-closed"], where=DATA, random=RANDOM_X_0),
    identity("eq-oracle-covariance", given=["eq-forward-closed"], random=RANDOM_X_0),
    matches("eq-oracle-rest", "r", lambda s, v: v.z - oracle(s)(v.x_t, v.t), where=DATA, tables={"k": slope}),
    identity(
        "eq-oracle-uncorrelated",
        given=["eq-oracle-rest", "eq-forward-closed"],
        random=RANDOM_X_0,
        **ANY_MEAN,
    ),
    matches(
        "eq-oracle-slope",
        "k_t",
        lambda s, v: slope(s, v)[v.t],
        given=["eq-forward-closed"],
        where=DATA,
        random=RANDOM_X_0,
    ),
    matches("eq-oracle-gaussian", r"\mathbb{E}[z \mid x_t]", lambda s, v: oracle(s)(v.x_t, v.t), where=DATA),
    identity(
        "eq-oracle-step",
        given=["eq-ddpm-step", r"z_\theta(x_t, t) = k_t \left(x_t - \sqrt{\bar{\alpha}_t} m\right)"],
        positive=[r"\sigma_t"],
        **ANY_MEAN,
    ),
    identity(
        "eq-oracle-line",
        where={
            "c_t": lambda s, v: mean_after(s, v, 1.0) - mean_after(s, v, 0.0),
            "b_t": lambda s, v: mean_after(s, v, 0.0),
            **DATA,
        },
        tables={"k": slope},
    ),
    identity(
        "eq-oracle-chain",
        given=["eq-oracle-line"],
        where=DATA,
        tables={
            "M": lambda s, v: oracle(s).reverse_moments("beta")[0],
            "V": lambda s, v: oracle(s).reverse_moments("beta")[1],
            "k": slope,
            r"\sigma": sigma,
        },
    ),
    matches(
        "eq-right-variance",
        r"\sigma_t^2",
        right_variance,
        where={"u": r"\bar{\alpha}_{t-1} s^2 + 1 - \bar{\alpha}_{t-1}", **DATA},
    ),
]

EQUIVALENT = [
    equivalent("eq-pair-covariance", "x_{t - 1} -> x_t, 2nd", "x_{t-1} has variance 1 here, and then x_t has it too"),
]
