"""Wrong and right answers to the exercises of chapter 16."""

import numpy as np
import torch


def image(m, tau, p, width=None, shift=None):
    """The mean of x_0 given m."""
    width, shift = tau if width is None else width, 1 - tau if shift is None else shift
    high, low = (torch.exp(-((m - shift * x) ** 2) / (2 * width**2)) for x in (1, -1))
    return (p * high - (1 - p) * low) / (p * high + (1 - p) * low)


def by_tanh(m, tau, p):
    return (m - torch.tanh((1 - tau) * m / tau**2 + np.log(p / (1 - p)) / 2)) / tau


def by_softmax(m, tau, p):
    values = torch.tensor([1.0, -1.0], dtype=m.dtype)
    logs = torch.tensor([p, 1 - p], dtype=m.dtype).log() - (m[:, None] - (1 - tau) * values) ** 2 / (2 * tau**2)
    slopes = (m[:, None] - (1 - tau) * values) / tau - values  # z - x_0 of each
    return (logs.softmax(1) * slopes).sum(1)


def by_sigmoid(m, tau, p):
    high = torch.sigmoid(2 * (1 - tau) * m / tau**2 + np.log(p / (1 - p)))
    return (m - (2 * high - 1)) / tau


def one_by_one(m, tau, p):
    """The smaller exponent is taken off both."""
    found = []
    for place in m.tolist():
        logs = [np.log(q) - (place - (1 - tau) * x) ** 2 / (2 * tau**2) for q, x in ((p, 1), (1 - p, -1))]
        high, low = np.exp(np.array(logs) - max(logs))
        found.append((place - (high - low) / (high + low)) / tau)
    return found


WRONG = {
    "ex-flows-2": {
        "the prior's mean": (lambda m, tau, p: (m - (2 * p - 1)) / tau, "without looking at m"),
        "a variance": (lambda m, tau, p: (m - image(m, tau, p, width=tau**0.5)) / tau, "is a standard deviation"),
        "the probability of 1": (lambda m, tau, p: (m - (1 + image(m, tau, p)) / 2) / tau, "which is 2 p - 1"),
        "fixed centres": (lambda m, tau, p: (m - image(m, tau, p, shift=1)) / tau, "no longer at 1 and -1"),
        "no share": (lambda m, tau, p: (m - image(m, tau, 0.5)) / tau, "share is not used"),
        "turned around": (lambda m, tau, p: (m - image(m, tau, 1 - p)) / tau, "changed places"),
        "no half": (
            lambda m, tau, p: (m - torch.tanh(2 * (1 - tau) * m / tau**2 + np.log(p / (1 - p)))) / tau,
            "half the logarithm",
        ),
        "no 2": (lambda m, tau, p: (m - image(m, tau, p, shift=(1 - tau) / 2)) / tau, "differ by 4 (1 - tau) m"),
        "odds twice": (
            lambda m, tau, p: (m - torch.tanh((1 - tau) * m / tau**2 + np.log(p / (1 - p)))) / tau,
            "is halved too",
        ),
        "no half in the exponent": (
            lambda m, tau, p: (m - image(m, tau, p, shift=2 * (1 - tau))) / tau,
            "the factor 1/2",
        ),
        "the image added": (lambda m, tau, p: (m + image(m, tau, p)) / tau, "take the mean image off"),
        "the image": (image, "this is the mean image"),
        "the noise": (lambda m, tau, p: (m - (1 - tau) * image(m, tau, p)) / tau, "this is the mean noise"),
        "the other sign": (lambda m, tau, p: (image(m, tau, p) - m) / tau, "mean of x_0 - z"),
        "not divided": (lambda m, tau, p: m - image(m, tau, p), "divide by it"),
        "the other time": (lambda m, tau, p: (m - image(m, tau, p)) / (1 - tau), "takes the time tau"),
        "the nearest": (lambda m, tau, p: (m - m.sign()) / tau, "nearest image"),
        "both densities": (lambda m, tau, p: (m - image(m, tau, p)) / tau, "their ratio is infinite"),
    },
}
RIGHT = {
    "ex-flows-2": {
        "tanh": by_tanh,
        "sigmoid": by_sigmoid,
        "softmax over both": by_softmax,
        "one by one": one_by_one,
    },
}
