"""Wrong and right answers to the exercises of chapter 05."""

import math

import numpy as np
import torch
from torch.distributions import Normal, kl_divergence

from ddpm_lite import GaussianMixture, bound_weight, gaussian_kl


def kl(mean_1, std_1, mean_2, std_2, *, logs=1.0, constant=1.0, below=None, distance=torch.square):
    """The right divergence, in nats for each pixel, or one with a part that is wrong."""
    ratio = (std_1 / std_2) ** 2
    below = std_2 if below is None else below
    return distance(mean_1 - mean_2) / (2 * below**2) + (ratio - constant - logs * math.log(ratio)) / 2


def bits(nats):
    return nats.mean() / math.log(2)


def lightest(weight):
    """An answer to the first exercise from a wrong weight of the times 1..T."""
    return lambda s: 1 + int(weight(s.beta[1:], s.alpha[1:], s.alpha_bar[1:], s.one_minus_alpha_bar[1:]).argmin())


def image_weight(schedule, t):
    return (schedule.snr[t - 1] - schedule.snr[t]) / 2


def v_weight(schedule, t):
    return image_weight(schedule, t) / (1 + schedule.snr[t])


def parts(schedule, t):
    return schedule.alpha_bar[t].sqrt(), schedule.one_minus_alpha_bar[t]


def decided(schedule, x_t, t):
    a, v = parts(schedule, t)
    return (x_t - a * x_t.sign()) / v.sqrt()


def average(schedule, x_t, t):
    """The right E[x_0 | x_t]."""
    a, v = parts(schedule, t)
    return torch.tanh(a * x_t / v)


def with_image(x_0):
    """An answer to the last exercise, from a wrong average of x_0."""

    def answer(schedule, x_t, t):
        a, v = parts(schedule, t)
        return (x_t - a * x_0(x_t, a, v)) / v.sqrt()

    return answer


def right_z(schedule, x_t, t):
    a, v = parts(schedule, t)
    return (x_t - a * average(schedule, x_t, t)) / v.sqrt()


WRONG = {
    "ex-objective-1": {
        "entry 0 is counted": (lambda s: int(bound_weight(s).argmin()), "0 is not a time"),
        "the index is off by one": (lambda s: int(bound_weight(s)[1:].argmin()), "next to your"),
        "one too late": (lambda s: min(s.T, int(bound_weight(s)[1:].argmin()) + 2), "next to your"),
        "the weight is thought to fall all the way": (lambda s: s.T, "next to your"),
        "the heaviest time": (lambda s: 1, "next to your"),
        "right for one schedule": (lambda s: 349, "next to your|not a time"),
        "half way": (lambda s: s.T // 2, "next to your"),
        "alpha for alpha_bar": (lightest(lambda b, a, bar, rest: b / (2 * a * (1 - a))), "next to your"),
        "the bar is not taken from 1": (lightest(lambda b, a, bar, rest: b / (2 * a * bar)), "next to your"),
        "turned over": (lightest(lambda b, a, bar, rest: rest / b), "next to your"),
        "squared below": (lightest(lambda b, a, bar, rest: b / (2 * a * rest**2)), "next to your"),
        "beta squared": (lightest(lambda b, a, bar, rest: b**2 / (2 * a * rest)), "next to your"),
        "not whole": (lambda s: 1.5, "is not a time"),
    },
    "ex-objective-2": {
        "nats": (lambda a, s, b, r: kl(a, s, b, r).mean(), "nats"),
        "divided twice": (lambda a, s, b, r: bits(kl(a, s, b, r)) / math.log(2), "divide by log 2 once"),
        "standard deviation for variance": (
            lambda a, s, b, r: bits(kl(a, s**0.5, b, r**0.5)),
            "used as a variance",
        ),
        "turned round": (lambda a, s, b, r: bits(kl(b, r, a, s)), "changed places"),
        "summed": (lambda a, s, b, r: kl(a, s, b, r).sum() / math.log(2), "the sum over the pixels"),
        "equal variances assumed": (
            lambda a, s, b, r: bits((a - b).square() / (2 * r**2)),
            "variances is missing",
        ),
        "equal means assumed": (lambda a, s, b, r: bits(kl(a, s, a, r)), "means is missing"),
        "the logarithm alone in bits": (
            lambda a, s, b, r: (a - b).square().mean() / (2 * r**2) + (s**2 / r**2 - 1) / 2 - math.log2(s / r),
            "only the logarithm",
        ),
        "averaged before the square": (
            lambda a, s, b, r: bits(kl(a.mean(), s, b.mean(), r)),
            "not before",
        ),
        "a half lost at the means": (
            lambda a, s, b, r: bits(kl(a, s, b, r) + (a - b).square() / (2 * r**2)),
            "means lacks",
        ),
        "half forgotten": (lambda a, s, b, r: 2 * bits(kl(a, s, b, r)), "factor 1/2"),
        "logarithm of the deviations": (lambda a, s, b, r: bits(kl(a, s, b, r, logs=0.5)), "not of the deviations"),
        "sign of the logarithm": (lambda a, s, b, r: bits(kl(a, s, b, r, logs=-1.0)), "sign of the logarithm"),
        "no minus one": (lambda a, s, b, r: bits(kl(a, s, b, r, constant=0.0)), "divergence 0"),
        "the first variance below": (lambda a, s, b, r: bits(kl(a, s, b, r, below=s)), "that of the second"),
        "no square": (lambda a, s, b, r: bits(kl(a, s, b, r, distance=torch.abs)), "absolute value"),
        "one number for each pixel": (lambda a, s, b, r: kl(a, s, b, r) / math.log(2), "expected one number"),
    },
    "ex-objective-3": {
        "the weight of the noise": (lambda s, t: bound_weight(s, "beta_tilde")[t], "the noise's error"),
        "the weight of the image": (image_weight, "the image's error"),
        "the difference the other way": (lambda s, t: -v_weight(s, t), "negative"),
        "the half is lost": (lambda s, t: 2 * v_weight(s, t), "factor 2"),
        "the factor not squared": (
            lambda s, t: image_weight(s, t) * s.one_minus_alpha_bar[t].sqrt(),
            "comes out squared",
        ),
        "squared twice": (lambda s, t: image_weight(s, t) * s.one_minus_alpha_bar[t] ** 2, "a root already"),
        "divided": (lambda s, t: image_weight(s, t) / s.one_minus_alpha_bar[t], "do not divide"),
        "the factor in the noise": (lambda s, t: image_weight(s, t) * s.alpha_bar[t], "not in the image"),
        "the factor of t - 1": (lambda s, t: image_weight(s, t) * s.one_minus_alpha_bar[t - 1], "at t - 1"),
        "the other variance": (lambda s, t: bound_weight(s)[t] * s.alpha_bar[t], "sigma_t^2 = beta_t"),
        "the noise with the image's factor": (
            lambda s, t: bound_weight(s, "beta_tilde")[t] * s.one_minus_alpha_bar[t],
            "wrong factor",
        ),
        "alpha-bars": (lambda s, t: (s.alpha_bar[t - 1] - s.alpha_bar[t]) / 2, "of the alpha_bars"),
        "back to the noise": (lambda s, t: image_weight(s, t) * s.snr[t], "back to the noise"),
        "the step after": (
            lambda s, t: (s.snr[t] - (s.snr[t + 1] if t < s.T else 0)) / (2 * (1 + s.snr[t])),
            "from t to t - 1",
        ),
        "logarithms": (lambda s, t: (s.snr[t - 1] / s.snr[t]).log() / (2 * (1 + s.snr[t])), "not their logarithms"),
        "the mean of both": (lambda s, t: (s.snr[t - 1] + s.snr[t]) / (2 * (1 + s.snr[t])), "off by"),
    },
    "ex-objective-4": {
        "the nearer value": (decided, "average over both"),
        "the best line": (lambda s, x_t, t: s.one_minus_alpha_bar[t].sqrt() * x_t, "the best line"),
        "the image": (average, "this is the average of x_0"),
        "standard deviation for variance": (
            with_image(lambda x, a, v: torch.tanh(a * x / v.sqrt())),
            "not by its root",
        ),
        "the root of alpha-bar is lost": (
            with_image(lambda x, a, v: torch.tanh(a**2 * x / v)),
            "weighed by the root",
        ),
        "no weight in the tanh": (with_image(lambda x, a, v: torch.tanh(x / v)), "weight of the image is missing"),
        "a factor 2 too many": (with_image(lambda x, a, v: torch.tanh(2 * a * x / v)), "factor 2"),
        "no variance": (with_image(lambda x, a, v: torch.tanh(a * x)), "variance is missing"),
        "the other sign of the image": (with_image(lambda x, a, v: -torch.tanh(a * x / v)), "sign of x_0"),
        "the probability": (
            with_image(lambda x, a, v: torch.sigmoid(2 * a * x / v)),
            "probability of bright",
        ),
        "the other sign": (lambda s, x_t, t: -right_z(s, x_t, t), "opposite sign"),
        "the image not scaled": (
            lambda s, x_t, t: (x_t - average(s, x_t, t)) / s.one_minus_alpha_bar[t].sqrt(),
            "not scaled when",
        ),
        "divided by the variance": (
            lambda s, x_t, t: right_z(s, x_t, t) / s.one_minus_alpha_bar[t].sqrt(),
            "root of the variance",
        ),
        "not divided": (lambda s, x_t, t: right_z(s, x_t, t) * s.one_minus_alpha_bar[t].sqrt(), "not scaled to"),
    },
}
# For T = 50 the time 349 is no time; for the others it is next to a lighter one.
WRONG["ex-objective-1"]["right for one schedule"] = (lambda s: 349, "next to your")


def by_bayes(schedule, x_t, t):
    """With both likelihoods written out."""
    a, v = parts(schedule, t)
    bright, dark = (torch.exp(-((x_t - sign * a) ** 2) / (2 * v)) for sign in (1, -1))
    return (x_t - a * (bright - dark) / (bright + dark)) / v.sqrt()


def two_narrow_blobs(schedule, x_t, t):
    both = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    return GaussianMixture(schedule, both, torch.full((2,), 1e-4))(x_t, t)


RIGHT = {
    "ex-objective-1": {
        "from the package": lambda s: 1 + int(bound_weight(s)[1:].argmin()),
        "a loop": lambda schedule: min(
            range(1, schedule.T + 1),
            key=lambda t: float(schedule.beta[t] / schedule.alpha[t] / schedule.one_minus_alpha_bar[t]),
        ),
        "a tensor": lambda s: 1 + bound_weight(s)[1:].argmin(),
        "a list of one": lambda s: [1 + int(bound_weight(s)[1:].argmin())],
        "numpy": lambda s: np.argmin((s.beta[1:] / s.alpha[1:] / (1 - s.alpha_bar[1:])).numpy()) + 1,
    },
    "ex-objective-2": {
        "torch's own": lambda a, s, b, r: bits(kl_divergence(Normal(a, s), Normal(b, r))),
        "the package's": lambda mean_1, std_1, mean_2, std_2: bits(gaussian_kl(mean_1, std_1**2, mean_2, std_2**2)),
        "float64": lambda a, s, b, r: bits(kl(a.double(), s, b.double(), r)),
        "log2": lambda a, s, b, r: (
            ((a - b) ** 2).mean() / (2 * r**2 * math.log(2)) + (s**2 / r**2 - 1) / math.log(4) - math.log2(s / r)
        ),
        "an array": lambda a, s, b, r: np.mean(kl(a, s, b, r).numpy()) / np.log(2),
        "a list of one": lambda a, s, b, r: [float(bits(kl(a, s, b, r)))],
    },
    "ex-objective-3": {
        "not simplified": lambda s, t: bound_weight(s, "beta_tilde")[t] * s.snr[t] * s.one_minus_alpha_bar[t],
        "through the noise": lambda s, t: bound_weight(s, "beta_tilde")[t] * s.alpha_bar[t],
        "float": lambda s, t: float(v_weight(s, t)),
        "from alpha-bar": lambda schedule, t: (
            (schedule.alpha_bar[t - 1] - schedule.alpha_bar[t]) / (2 * schedule.one_minus_alpha_bar[t - 1])
        ),
        "float32": lambda s, t: v_weight(s, t).float(),
        "an array": lambda s, t: np.array([v_weight(s, t)]),
    },
    "ex-objective-4": {
        "Bayes' rule": by_bayes,
        "two narrow blobs": two_narrow_blobs,
        "float32": lambda schedule, x_t, t: right_z(schedule, x_t.float(), t).float(),
        "an array": lambda schedule, x_t, t: np.asarray(right_z(schedule, x_t, t)),
        "flat": lambda schedule, x_t, t: right_z(schedule, x_t.flatten(), t),
        "a list": lambda schedule, x_t, t: right_z(schedule, x_t, t).tolist(),
    },
}
