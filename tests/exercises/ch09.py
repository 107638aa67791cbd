"""Wrong and right answers to the exercises of chapter 09."""

import math

import numpy as np
import torch


def step_with(*, minus=1, front=None, root=None, sigma=None, last_noise=False, fresh=1):
    """The right step, but for the parts that are given, each a function of the schedule and t."""

    def answer(s, x_t, t, z_hat, noise):
        under = (root or (lambda s, t: s.one_minus_alpha_bar[t]))(s, t)
        ahead = (front or (lambda s, t: s.alpha[t]))(s, t)
        deviation = (sigma or (lambda s, t: s.beta[t].sqrt()))(s, t)
        mean = (x_t - minus * s.beta[t] / under.sqrt() * z_hat) / ahead.sqrt()
        return mean + fresh * deviation * noise * (t > 1 or last_noise)

    return answer


def start_with(mean=lambda share, m: share**0.5 * m, variance=lambda share, std: share * std**2 + 1 - share):
    def answer(s, m, std):
        share = float(s.alpha_bar[-1])
        return mean(share, m), variance(share, std)

    return answer


def line(beta, alpha, u):
    return beta * u / (alpha * u + beta)


def variance_with(u=lambda s, t, std: s.alpha_bar[t - 1] * std**2 + s.one_minus_alpha_bar[t - 1], after=lambda v: v):
    return lambda s, t, std: after(line(s.beta[t], s.alpha[t], u(s, t, std)))


def step_in_place(s, x_t, t, z_hat, noise):
    x_t -= s.beta[t] / (1 - s.alpha_bar[t]).sqrt() * z_hat
    x_t /= s.alpha[t].sqrt()
    return x_t if t == 1 else x_t + s.beta[t].sqrt() * noise


def step_with_floats(s, x_t, t, z_hat, noise):
    alpha, beta, share = (float(table[t]) for table in (s.alpha, s.beta, s.alpha_bar))
    mean = alpha**-0.5 * (x_t.float() - beta / math.sqrt(1 - share) * z_hat.float())
    return mean + math.sqrt(beta) * float(t != 1) * noise.float()


def step_by_the_image(s, x_t, t, z_hat, noise):
    """Through x_0-hat and the posterior mean."""
    now, then = s.alpha_bar[t], s.alpha_bar[t - 1]
    x_0 = (x_t - (1 - now).sqrt() * z_hat) / now.sqrt()
    mean = (then.sqrt() * s.beta[t] * x_0 + s.alpha[t].sqrt() * (1 - then) * x_t) / (1 - now)
    return mean + (s.beta[t].sqrt() * noise if t > 1 else 0)


def start_by_the_chain(s, m, std):
    """Mean and variance, one forward step after the other."""
    mean, variance = m, std**2
    for alpha, beta in zip(s.alpha[1:].tolist(), s.beta[1:].tolist(), strict=True):
        mean, variance = alpha**0.5 * mean, alpha * variance + beta
    return mean, variance


def variance_by_total_variance(s, t, std):
    """beta_tilde, and what the uncertainty of x_0 adds."""
    share = s.alpha_bar[t]
    image = std**2 * (1 - share) / (share * std**2 + 1 - share)
    factor = s.alpha_bar[t - 1].sqrt() * s.beta[t] / (1 - share)
    return s.beta_tilde[t] + factor**2 * image


WRONG = {
    "ex-sampling-1": {
        "noise at the last step": (step_with(last_noise=True), "the finished image gets noise"),
        "variance for standard deviation": (step_with(sigma=lambda s, t: s.beta[t]), "deviation is the root"),
        "beta-tilde for beta": (step_with(sigma=lambda s, t: s.beta_tilde[t].sqrt()), "variance beta_tilde_t"),
        "noise added, not taken out": (step_with(minus=-1), "put in, not taken out"),
        "the network not used": (step_with(minus=0), "z_hat is not used"),
        "alpha-bar for alpha in front": (
            step_with(front=lambda s, t: s.alpha_bar[t]),
            "in front is the root of alpha_t",
        ),
        "alpha for alpha-bar under the root": (step_with(root=lambda s, t: s.beta[t]), "under the other root"),
        "the root in front forgotten": (
            step_with(front=lambda s, t: s.alpha[t] ** 2),
            "root of alpha_t in front is missing",
        ),
        "no fresh noise": (step_with(fresh=0), "fresh noise is missing"),
        "the noise inside the bracket": (
            step_with(sigma=lambda s, t: (s.beta[t] / s.alpha[t]).sqrt()),
            "divided by sqrt(alpha_t)",
        ),
        "the tables of t - 1": (lambda s, x, t, z, n: step_with()(s, x, max(t - 1, 1), z, n), "off by"),
        "noise taken away": (step_with(fresh=-1), "off by"),
    },
    "ex-sampling-2": {
        "the root of the share left out": (start_with(mean=lambda share, m: share * m), "its root belongs"),
        "the mean of the data": (start_with(mean=lambda share, m: m), "mean of the data"),
        "no mean": (start_with(mean=lambda share, m: 0.0), "has not vanished"),
        "pure noise": (start_with(variance=lambda share, std: 1.0), "variance of pure noise"),
        "standard deviation for variance": (
            start_with(variance=lambda share, std: (share * std**2 + 1 - share) ** 0.5),
            "return the variance",
        ),
        "the data's variance forgotten": (start_with(variance=lambda share, std: 1 - share), "is missing"),
        "deviation not squared": (
            start_with(variance=lambda share, std: share * std + 1 - share),
            "s where its square",
        ),
        "a root too many": (
            start_with(variance=lambda share, std: share**0.5 * std**2 + 1 - share),
            "alpha_bar where its square",
        ),
        "one value only": (lambda s, m, std: float(s.alpha_bar[-1]) ** 0.5 * m, "2 values"),
        "exchanged": (lambda s, m, std: start_with()(s, m, std)[::-1], "off by"),
        "at t = 1": (
            lambda s, m, std: (float(s.alpha[1]) ** 0.5 * m, 1 - float(s.alpha[1]) * (1 - std**2)),
            "the mean of the data",
        ),
    },
    "ex-sampling-3": {
        "always beta": (lambda s, t, std: s.beta[t], "data of variance 1 only"),
        "always beta-tilde": (lambda s, t, std: s.beta_tilde[t], "one image only"),
        "a straight mixture of the two": (
            lambda s, t, std: std**2 * s.beta[t] + (1 - std**2) * s.beta_tilde[t],
            "mixes the two variances",
        ),
        "deviation not squared": (variance_with(lambda s, t, std: 1 - s.alpha_bar[t - 1] * (1 - std)), "its square"),
        "the data's variance at time t": (
            variance_with(lambda s, t, std: 1 - s.alpha_bar[t] * (1 - std**2)),
            "at t - 1, not at t",
        ),
        "standard deviation for variance": (variance_with(after=lambda v: v**0.5), "return the variance"),
        "x_t not known": (lambda s, t, std: 1 - s.alpha_bar[t - 1] * (1 - std**2), "if x_t is not known"),
        "the noise forgotten": (variance_with(lambda s, t, std: s.alpha_bar[t - 1] * std**2), "noise is missing"),
        "beta forgotten below": (
            lambda s, t, std: s.beta[t] / s.alpha[t] + 0 * s.beta_tilde[t],
            "off by",
        ),
        "a constant": (lambda s, t, std: 0.01, "off by"),
    },
}

RIGHT = {
    "ex-sampling-1": {
        "in place": step_in_place,
        "floats and float32": step_with_floats,
        "through the image": step_by_the_image,
        "an array": lambda s, x, t, z, n: step_with()(s, x, t, z, n).numpy(),
        "a where": lambda s, x, t, z, n: step_with()(s, x, t, z, torch.where(torch.tensor(t) > 1, n, 0 * n)),
    },
    "ex-sampling-2": {
        "by the chain": start_by_the_chain,
        "tensors": lambda s, m, std: (s.alpha_bar[-1].sqrt() * m, 1 - s.alpha_bar[-1] * (1 - std**2)),
        "a list": lambda s, m, std: list(start_with()(s, m, std)),
        "an array": lambda s, m, std: np.array(start_with()(s, m, std)),
        "float32": lambda s, m, std: torch.tensor(start_with()(s, m, std), dtype=torch.float32),
    },
    "ex-sampling-3": {
        "precisions add": lambda s, t, std: (
            1 / (1 / (s.alpha_bar[t - 1] * std**2 + 1 - s.alpha_bar[t - 1]) + s.alpha[t] / s.beta[t])
        ),
        "by total variance": variance_by_total_variance,
        "a float": lambda s, t, std: float(variance_with()(s, t, std)),
        "float32": lambda s, t, std: variance_with()(s, t, std).float(),
        "variance minus what the line explains": lambda s, t, std: (
            lambda u: u - s.alpha[t] * u**2 / (s.alpha[t] * u + s.beta[t])
        )(1 - s.alpha_bar[t - 1] * (1 - std**2)),
    },
}
