"""Typical wrong answers to the exercises of chapter 01."""

import math

import torch

WRONG = {
    "ex-images-keep-variance": {
        "deviations added": (lambda a: 1 - a, "standard deviations do not add"),
        "variance taken for standard deviation": (lambda a: 1 - a**2, "variance of the noise"),
        "a root too many": (lambda a: (1 - a) ** 0.5, "is not 1"),
        "right at one place only": (lambda a: 0.8, "try a = 1"),
    },
    "ex-images-draw": {
        "variance taken for standard deviation": (
            lambda mean, variance, n: mean + variance * torch.randn(n),
            "not the standard deviation",
        ),
        "uniform noise": (lambda mean, variance, n: mean + variance**0.5 * torch.rand(n), "around 0"),
        "uniform noise, centred": (
            lambda mean, variance, n: mean + variance**0.5 * (2 * torch.rand(n) - 1),
            "what does a factor do",
        ),
        "uniform noise with the right variance": (
            lambda mean, variance, n: mean + (12 * variance) ** 0.5 * (torch.rand(n) - 0.5),
            "no bell",
        ),
        "mean forgotten": (lambda mean, variance, n: variance**0.5 * torch.randn(n), "the mean is wrong"),
    },
    "ex-images-kl": {
        "mean over pixels": (
            lambda mu, v: 0.5 * (v - 1 - math.log(v)) + 0.5 * (mu**2).mean(),
            "this is their mean",
        ),
        "the other direction": (
            lambda mu, v: 0.5 * mu.numel() * (1 / v - 1 + math.log(v)) + 0.5 * (mu**2).sum() / v,
            "other direction",
        ),
        "a half lost": (lambda mu, v: mu.numel() * (v - 1 - math.log(v)) + (mu**2).sum(), "factor 1/2"),
        "variance taken for standard deviation": (
            lambda mu, v: 0.5 * mu.numel() * (v**2 - 1 - 2 * math.log(v)) + 0.5 * (mu**2).sum(),
            "is 0.25 a variance",
        ),
        "the shape forgotten": (lambda mu, v: 0.5 * (mu**2).sum(), "is 0.25 a variance"),
        "the constant forgotten": (
            lambda mu, v: 0.5 * mu.numel() * (v - math.log(v)) + 0.5 * (mu**2).sum(),
            "pure noise",
        ),
    },
}
