"""Typical wrong answers to the exercises of chapter 05."""

import math

import torch

from ddpm_lite import bound_weight


def kl(mean_1, std_1, mean_2, std_2):
    """The right divergence, in nats for each pixel."""
    ratio = (std_1 / std_2) ** 2
    return (mean_1 - mean_2).square() / (2 * std_2**2) + (ratio - 1 - math.log(ratio)) / 2


def image_weight(schedule, t):
    return (schedule.snr[t - 1] - schedule.snr[t]) / 2


def decided(schedule, x_t, t):
    return (x_t - schedule.alpha_bar[t].sqrt() * x_t.sign()) / schedule.one_minus_alpha_bar[t].sqrt()


def with_tanh(argument):
    def answer(schedule, x_t, t):
        signal, variance = schedule.alpha_bar[t].sqrt(), schedule.one_minus_alpha_bar[t]
        return (x_t - signal * torch.tanh(argument(x_t, signal, variance))) / variance.sqrt()

    return answer


WRONG = {
    "ex-objective-1": {
        "entry 0 is counted": (lambda s: int(bound_weight(s).argmin()), "0 is not a time"),
        "the index is off by one": (lambda s: int(bound_weight(s)[1:].argmin()), "next to your"),
        "the weight is thought to fall all the way": (lambda s: s.T, "next to your"),
        "the heaviest time": (lambda s: 1, "next to your"),
    },
    "ex-objective-2": {
        "nats": (lambda a, s, b, r: kl(a, s, b, r).mean(), "nats"),
        "standard deviation for variance": (
            lambda a, s, b, r: kl(a, s**0.5, b, r**0.5).mean() / math.log(2),
            "used as a variance",
        ),
        "turned round": (lambda a, s, b, r: kl(b, r, a, s).mean() / math.log(2), "changed places"),
        "summed": (lambda a, s, b, r: kl(a, s, b, r).sum() / math.log(2), "the sum over the pixels"),
        "equal variances assumed": (
            lambda a, s, b, r: (a - b).square().mean() / (2 * r**2) / math.log(2),
            "variances is missing",
        ),
        "half forgotten": (lambda a, s, b, r: 2 * kl(a, s, b, r).mean() / math.log(2), "another number"),
    },
    "ex-objective-3": {
        "the weight of the noise": (lambda s, t: bound_weight(s, "beta_tilde")[t], "the noise's error"),
        "the difference the other way": (lambda s, t: -image_weight(s, t), "negative"),
        "the half is lost": (lambda s, t: 2 * image_weight(s, t), "factor 2"),
        "the other variance": (lambda s, t: bound_weight(s)[t] * s.snr[t], "sigma_t^2 = beta_t"),
        "divided by the ratio": (
            lambda s, t: bound_weight(s, "beta_tilde")[t] / s.snr[t],
            "another number",
        ),
    },
    "ex-objective-4": {
        "the nearer value": (decided, "average over both"),
        "the best line": (
            lambda s, x_t, t: s.one_minus_alpha_bar[t].sqrt() * x_t,
            "the best line",
        ),
        "standard deviation for variance": (with_tanh(lambda x, a, v: a * x / v.sqrt()), "off by up to"),
        "the root of alpha-bar is lost": (with_tanh(lambda x, a, v: a**2 * x / v), "off by up to"),
        "a factor 2 too many": (with_tanh(lambda x, a, v: 2 * a * x / v), "off by up to"),
    },
}
