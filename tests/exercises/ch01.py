"""Wrong and right answers to the exercises of chapter 01."""

import math

import numpy as np
import torch
from torch.distributions import Normal, kl_divergence


def noise(factor, draw=torch.randn):
    """An answer to `draw` from the factor of the noise, as a function of the variance."""
    return lambda mean, variance, n: mean + factor(variance) * draw(n)


def kl(bracket=lambda v: v - 1 - math.log(v), factor=0.5, d=None):
    return lambda mu, v: factor * (mu.numel() if d is None else d) * bracket(v) + factor * (mu**2).sum()


WRONG = {
    "ex-images-keep-variance": {
        "deviations added": (lambda a: 1 - a, "standard deviations do not add"),
        "variance taken for standard deviation": (lambda a: 1 - a**2, "variance of the noise"),
        "a not squared": (lambda a: (1 - a) ** 0.5, "comes out of a variance squared"),
        "right at one place only": (lambda a: 0.8, "a = 0.28"),
        "the negative root": (lambda a: -((1 - a**2) ** 0.5), "negative"),
        "sign of the share": (lambda a: (1 + a**2) ** 0.5, "add up to 1"),
        "the image's weight": (lambda a: a, "weight of the image"),
        "standard noise": (lambda a: 1.0, "z alone has variance 1"),
        "a root too many": (lambda a: (1 - a**2) ** 0.25, "off by"),
        "the root of each part": (lambda a: [1 - a], "standard deviations do not add"),
    },
    "ex-images-draw": {
        "variance taken for standard deviation": (noise(lambda v: v), "used as a standard deviation"),
        "uniform noise": (noise(lambda v: v**0.5, torch.rand), "is it uniform"),
        "uniform noise, centred": (
            noise(lambda v: v**0.5, lambda n: 2 * torch.rand(n) - 1),
            "uniform numbers have another variance",
        ),
        "uniform noise with the right variance": (
            noise(lambda v: (12 * v) ** 0.5, lambda n: torch.rand(n) - 0.5),
            "not Gaussian",
        ),
        "mean forgotten": (lambda mean, variance, n: variance**0.5 * torch.randn(n), "mean is not used"),
        "variance forgotten": (noise(lambda v: 1.0), "variance is not used"),
        "a root too many": (noise(lambda v: v**0.25), "taken twice"),
        "mean scaled too": (lambda mean, variance, n: (mean + torch.randn(n)) * variance**0.5, "only added"),
        "mean subtracted": (lambda mean, variance, n: variance**0.5 * torch.randn(n) - mean, "wrong sign"),
        "divided instead of multiplied": (noise(lambda v: v**-0.5), "divided by the deviation"),
        "half of them": (lambda mean, variance, n: mean + variance**0.5 * torch.randn(n // 2), "got 50,000"),
        "always a thousand": (lambda mean, variance, n: mean + variance**0.5 * torch.randn(1000), "got 1,000"),
        "each number twice": (
            lambda mean, variance, n: (mean + variance**0.5 * torch.randn(n // 2)).repeat(2),
            "come twice",
        ),
    },
    "ex-images-kl": {
        "mean over pixels": (lambda mu, v: kl()(mu, v) / mu.numel(), "this is their mean"),
        "the other direction": (
            lambda mu, v: 0.5 * mu.numel() * (1 / v - 1 + math.log(v)) + 0.5 * (mu**2).sum() / v,
            "other direction",
        ),
        "a half lost": (kl(factor=1), "factor 1/2 is missing"),
        "variance taken for standard deviation": (
            kl(lambda v: v**2 - 1 - 2 * math.log(v)),
            "used as a standard deviation",
        ),
        "standard deviation taken for variance": (
            kl(lambda v: v**0.5 - 1 - math.log(v) / 2),
            "used as the variance",
        ),
        "the shape forgotten": (lambda mu, v: 0.5 * (mu**2).sum(), "depends on the variance is missing"),
        "the mean forgotten": (lambda mu, v: kl()(0 * mu, v), "depends on the mean is missing"),
        "the constant forgotten": (kl(lambda v: v - math.log(v)), "pure noise"),
        "d forgotten": (kl(d=1), "once for each pixel"),
        "sign of the logarithm": (kl(lambda v: v - 1 + math.log(v)), "sign of the logarithm"),
        "bits": (lambda mu, v: kl()(mu, v) / math.log(2), "in bits"),
        "a half lost at the mean": (lambda mu, v: kl()(mu, v) + 0.5 * (mu**2).sum(), "of the mean lacks"),
        "a half lost at the variance": (lambda mu, v: kl()(mu, v) + kl()(0 * mu, v), "of the variance lacks"),
        "the sum squared": (lambda mu, v: kl()(0 * mu, v) + 0.5 * mu.sum() ** 2, "squares the sum"),
        "d for both parts": (lambda mu, v: mu.numel() * kl(d=1)(mu, v), "variance only"),
        "one number for each pixel": (lambda mu, v: (v - 1 - math.log(v) + mu**2) / 2, "expected one number"),
        "d built in": (kl(d=3), "off by"),
    },
}

RIGHT = {
    "ex-images-keep-variance": {
        "math": lambda a: math.sqrt(1 - a * a),
        "float32": lambda a: torch.tensor(1 - a**2, dtype=torch.float32).sqrt(),
        "a list": lambda a: [(1 - a**2) ** 0.5],
        "an array": lambda a: np.sqrt(np.array([1 - a**2])),
        "factored": lambda a: ((1 - a) * (1 + a)) ** 0.5,
        "a keyword with a default": lambda a=0.5, power=2: (1 - a**power) ** (1 / power),
    },
    "ex-images-draw": {
        "torch.normal": lambda mean, variance, n: torch.normal(mean, variance**0.5, (n,)),
        "a distribution": lambda mean, variance, n: Normal(mean, variance**0.5).sample((n,)),
        "float32": lambda mean, variance, n: torch.randn(n, dtype=torch.float32) * variance**0.5 + mean,
        "an array": lambda mean, variance, n: np.random.default_rng(0).normal(mean, variance**0.5, n),
        "a list": lambda mean, variance, n: (mean + variance**0.5 * torch.randn(n)).tolist(),
        "a column": lambda mean, variance, n: mean + variance**0.5 * torch.randn(n, 1),
    },
    "ex-images-kl": {
        "from torch": lambda mu, variance: kl_divergence(Normal(mu, variance**0.5), Normal(0.0, 1.0)).sum(),
        "float32": lambda mu, variance: kl()(mu.float(), variance),
        "an array": lambda mu, variance: kl()(mu, variance).numpy(),
        "a list of one": lambda mu, variance: [float(kl()(mu, variance))],
        "pixel by pixel": lambda mu, variance: sum(
            (m * m + variance - 1 - math.log(variance)) / 2 for m in mu.flatten()
        ),
        "the mean times d": lambda mu, v: (mu**2 + v - 1 - math.log(v)).mean() * mu.numel() / 2,
    },
}
