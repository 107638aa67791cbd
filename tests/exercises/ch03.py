"""Wrong and right answers to the exercises of chapter 03."""

import numpy as np
import torch

from ddpm_lite import GaussianChain, posterior
from ddpm_lite.schedule import Schedule


def combined(mean=lambda m, a, n, b: (m * a + n * b) / (a + b), variance=lambda v, w: v * w / (v + w)):
    """An answer to the first exercise, from its mean (precisions a, b) and its variance."""
    return lambda m, v, n, w: (mean(m, 1 / v, n, 1 / w), variance(v, w))


def before(schedule, t, s):
    return schedule.alpha_bar[t - 1] * s**2 + schedule.one_minus_alpha_bar[t - 1]


def reverse(prior):
    """An answer to the second exercise, from the variance of x_{t-1} that it takes."""
    return lambda schedule, t, s: 1 / (schedule.alpha[t] / schedule.beta[t] + 1 / prior(schedule, t, s))


right_reverse = reverse(before)


def jump(alpha=None, root=None, beta=None, mean=None, variance=None):
    """An answer to the third exercise: the right one, or with one part wrong; each is a function (schedule, t, s)."""

    def answer(schedule, x_t, t, s, x_0):
        a = ratio(schedule, t, s) if alpha is None else alpha(schedule, t, s)
        b = 1 - ratio(schedule, t, s) if beta is None else beta(schedule, t, s)
        r = schedule.alpha_bar[s].sqrt() if root is None else root(schedule, t, s)
        rest_s, rest_t = schedule.one_minus_alpha_bar[s], schedule.one_minus_alpha_bar[t]
        found = a.sqrt() * rest_s / rest_t * x_t + r * b / rest_t * x_0
        spread = (1 - ratio(schedule, t, s)) * rest_s / rest_t
        return (
            found if mean is None else mean(schedule, x_t, t, s, x_0),
            spread if variance is None else variance(schedule, t, s),
        )

    return answer


def ratio(schedule, t, s):
    return schedule.alpha_bar[t] / schedule.alpha_bar[s]


def by_precisions_alone(schedule, x_t, t, s, x_0):
    """Right for s >= 1; at s = 0 it divides by 0."""
    alpha = ratio(schedule, t, s)
    likelihood, prior = alpha / (1 - alpha), 1 / schedule.one_minus_alpha_bar[s]
    mean = (likelihood * x_t / alpha.sqrt() + prior * schedule.alpha_bar[s].sqrt() * x_0) / (likelihood + prior)
    return mean, 1 / (likelihood + prior)


def one_right_variance(schedule, x_t, t, s, x_0):
    mean, variance = jump()(schedule, x_t, t, s, x_0)
    wrong = torch.full_like(x_t, 7.0)
    wrong[0, 0] = variance
    return mean, wrong


WRONG = {
    "ex-posterior-combine": {
        "variances added": (combined(variance=lambda v, w: v + w), "variances add in a sum"),
        "variances averaged": (combined(variance=lambda v, w: (v + w) / 2), "average of the variances"),
        "standard deviation returned": (combined(variance=lambda v, w: (v * w / (v + w)) ** 0.5), "standard deviation"),
        "variance of the plain average": (combined(variance=lambda v, w: (v + w) / 4), "average of two numbers"),
        "a quarter of the product": (combined(variance=lambda v, w: v * w / 4), "quarter of the product"),
        "the product": (combined(variance=lambda v, w: v * w), "this is the product"),
        "precision returned": (combined(variance=lambda v, w: 1 / v + 1 / w), "this is the precision"),
        "the better one": (combined(variance=min), "narrower one alone"),
        "deviations for variances": (
            combined(variance=lambda v, w: 1 / (v**-0.5 + w**-0.5) ** 2),
            "not over its root",
        ),
        "the geometric mean": (combined(variance=lambda v, w: (v * w) ** 0.5), "geometric mean"),
        "the wider one": (combined(variance=max), "as wide as the wider one"),
        "halved instead of divided": (combined(lambda m, a, n, b: (m * a + n * b) / 2), "not by two"),
        "squared precisions": (
            combined(lambda m, a, n, b: (m * a**2 + n * b**2) / (a**2 + b**2)),
            "not by their squares",
        ),
        "half of it": (combined(variance=lambda v, w: v * w / (v + w) / 2), "half of it"),
        "means averaged": (combined(lambda m, a, n, b: (m + n) / 2), "plain average"),
        "weighed by variance": (combined(lambda m, a, n, b: (m / a + n / b) / (1 / a + 1 / b)), "nearer to the wider"),
        "weighed by one over the deviation": (
            combined(lambda m, a, n, b: (m * a**0.5 + n * b**0.5) / (a**0.5 + b**0.5)),
            "not over its root",
        ),
        "not divided": (combined(lambda m, a, n, b: m * a + n * b), "sum of the precisions"),
        "one mean ignored": (combined(lambda m, a, n, b: m), "second mean is not used"),
        "the other mean ignored": (combined(lambda m, a, n, b: n), "first mean is not used"),
        "sign of a mean": (combined(lambda m, a, n, b: (m * a - n * b) / (a + b)), "wrong sign"),
        "means added": (combined(lambda m, a, n, b: m + n), "means add in a sum"),
        "results exchanged": (lambda m, v, n, w: combined()(m, v, n, w)[::-1], "return the mean first"),
        "variances taken for deviations": (lambda m, v, n, w: combined()(m, v**2, n, w**2), "do not square them"),
        "deviations in and out": (
            lambda m, v, n, w: (combined()(m, v**2, n, w**2)[0], combined()(m, v**2, n, w**2)[1] ** 0.5),
            "no squares or roots",
        ),
    },
    "ex-posterior-gaussian-data": {
        "the data's variance alone": (
            reverse(lambda schedule, t, s: schedule.alpha_bar[t - 1] * s**2 + 1e-12),
            "noise in x_(t-1) is missing",
        ),
        "index t for t - 1": (
            reverse(lambda schedule, t, s: schedule.alpha_bar[t] * s**2 + schedule.one_minus_alpha_bar[t]),
            "the prior belongs to t - 1",
        ),
        "s forgotten": (lambda schedule, t, s: schedule.beta_tilde[t], "s is not used"),
        "the step forward": (lambda schedule, t, s: schedule.beta[t], "step forward"),
        "alpha_bar forgotten": (
            reverse(lambda schedule, t, s: s**2 + schedule.one_minus_alpha_bar[t - 1]),
            "is scaled; by what",
        ),
        "a root for the image's variance": (
            reverse(
                lambda schedule, t, s: schedule.alpha_bar[t - 1].sqrt() * s**2 + schedule.one_minus_alpha_bar[t - 1]
            ),
            "already a variance",
        ),
        "s taken for a variance": (
            reverse(lambda schedule, t, s: schedule.alpha_bar[t - 1] * s + schedule.one_minus_alpha_bar[t - 1]),
            "s is a standard deviation",
        ),
        "a mix of both ends": (
            lambda schedule, t, s: schedule.beta_tilde[t] + s**2 * (schedule.beta[t] - schedule.beta_tilde[t]),
            "no sum of precisions",
        ),
        "a line between both ends": (
            lambda schedule, t, s: (1 - s) * schedule.beta_tilde[t] + s * schedule.beta[t],
            "no sum of precisions",
        ),
        "the prior alone": (before, "before x_t is seen"),
        "the precision": (lambda schedule, t, s: 1 / right_reverse(schedule, t, s), "this is the precision"),
        "a root": (lambda schedule, t, s: right_reverse(schedule, t, s).sqrt(), "standard deviation"),
        "alpha_bar squared": (
            reverse(lambda schedule, t, s: schedule.alpha_bar[t - 1] ** 2 * s**2 + schedule.one_minus_alpha_bar[t - 1]),
            "squared only once",
        ),
        "alpha lost in the precision of the step": (
            lambda schedule, t, s: 1 / (1 / schedule.beta[t] + 1 / before(schedule, t, s)),
            "not 1 / beta",
        ),
    },
    "ex-posterior-jump": {
        "the last step's alpha": (jump(alpha=lambda p, t, s: p.alpha[t], beta=lambda p, t, s: p.beta[t]), "last step"),
        "the wrong index": (jump(root=lambda p, t, s: p.alpha_bar[t].sqrt()), "wrong index"),
        "index t - 1": (jump(root=lambda p, t, s: p.alpha_bar[t - 1].sqrt()), "index t - 1"),
        "a root lost": (jump(root=lambda p, t, s: p.alpha_bar[s]), "lacks a root"),
        "the other root lost": (jump(alpha=lambda p, t, s: ratio(p, t, s) ** 2), "weight of x_t lacks a root"),
        "the last step's beta": (jump(beta=lambda p, t, s: p.beta[t]), "the last step's beta"),
        "x_t and x_0 exchanged": (
            lambda schedule, x_t, t, s, x_0: jump()(schedule, x_0, t, s, x_t),
            "changed places",
        ),
        "a single step": (lambda schedule, x_t, t, s, x_0: posterior(schedule, x_t, t, x_0), "single step"),
        "the prior's mean": (
            jump(mean=lambda p, x_t, t, s, x_0: p.alpha_bar[s].sqrt() * x_0),
            "before x_t is seen",
        ),
        "variance of the last step": (
            jump(variance=lambda p, t, s: p.beta[t] * p.one_minus_alpha_bar[s] / p.one_minus_alpha_bar[t]),
            "the last step's beta",
        ),
        "variance of a single step": (jump(variance=lambda p, t, s: p.beta_tilde[t]), "single step"),
        "noise of the jump forward": (jump(variance=lambda p, t, s: 1 - ratio(p, t, s)), "jump forward"),
        "a standard deviation": (
            jump(variance=lambda p, t, s: jump()(p, torch.zeros(1), t, s, torch.zeros(1))[1].sqrt()),
            "standard deviation",
        ),
        "noise in x_s": (jump(variance=lambda p, t, s: p.one_minus_alpha_bar[s]), "before x_t is seen"),
        "mean only": (lambda schedule, x_t, t, s, x_0: jump()(schedule, x_t, t, s, x_0)[0], "should return 2"),
        "one variance right, five wrong": (one_right_variance, "off by up to"),
        "a single step's variance for each pixel": (
            jump(variance=lambda p, t, s: p.beta_tilde[t].expand(3, 2)),
            "variance of a single step",
        ),
        "precisions at s = 0": (
            by_precisions_alone,
            "t = 6, s = 0, the mean: the result is not a number; 1 - alpha_bar_0",
        ),
    },
}


def by_precisions(schedule, x_t, t, s, x_0):
    """As the first exercise combines them."""
    return (x_0, torch.zeros(())) if s == 0 else by_precisions_alone(schedule, x_t, t, s, x_0)


def by_two_steps(schedule, x_t, t, s, x_0):
    """The posterior of a schedule with two steps."""
    beta = torch.stack([torch.tensor(0.0), 1 - schedule.alpha_bar[s], 1 - ratio(schedule, t, s)])
    return (x_0, 0.0) if s == 0 else posterior(Schedule(beta), x_t, 2, x_0)


RIGHT = {
    "ex-posterior-combine": {
        "precisions": lambda m, v, n, w: ((m / v + n / w) / (1 / v + 1 / w), 1 / (1 / v + 1 / w)),
        "as a correction": lambda m, v, n, w: (m + v / (v + w) * (n - m), v - v**2 / (v + w)),
        "tensors": lambda m, v, n, w: torch.tensor([(m * w + n * v) / (v + w), v * w / (v + w)]),
        "an array of float32": lambda m, v, n, w: np.array([(m * w + n * v) / (v + w), v * w / (v + w)], np.float32),
        "a list": lambda mean_1, variance_1, mean_2, variance_2: [
            (mean_1 * variance_2 + mean_2 * variance_1) / (variance_1 + variance_2),
            variance_1 * variance_2 / (variance_1 + variance_2),
        ],
    },
    "ex-posterior-gaussian-data": {
        "float": lambda schedule, t, s: float(right_reverse(schedule, t, s)),
        "float32": lambda schedule, t, s: right_reverse(schedule, t, s).float(),
        "regression": lambda schedule, t, s: (
            before(schedule, t, s)
            - schedule.alpha[t]
            * before(schedule, t, s) ** 2
            / (schedule.alpha[t] * before(schedule, t, s) + schedule.beta[t])
        ),
        "a ratio": lambda schedule, t, s: (
            schedule.beta[t] * before(schedule, t, s) / (schedule.alpha_bar[t] * s**2 + schedule.one_minus_alpha_bar[t])
        ),
        "a list": lambda schedule, t, s: [right_reverse(schedule, t, s).item()],
        "by total variance": lambda schedule, t, s: (
            schedule.beta_tilde[t]
            + (schedule.alpha_bar[t - 1].sqrt() * schedule.beta[t] / schedule.one_minus_alpha_bar[t]) ** 2
            * GaussianChain(schedule, 0.0, max(s, 1e-9)).least_loss()[t]
            / schedule.snr[t]
        ),
    },
    "ex-posterior-jump": {
        "precisions": by_precisions,
        "two steps": by_two_steps,
        "float32": lambda schedule, x_t, t, s, x_0: jump()(schedule, x_t.float(), t, s, x_0.float()),
        "arrays": lambda schedule, x_t, t, s, x_0: tuple(np.asarray(part) for part in jump()(schedule, x_t, t, s, x_0)),
        "a variance for each pixel": lambda schedule, x_t, t, s, x_0: (
            jump()(schedule, x_t, t, s, x_0)[0],
            jump()(schedule, x_t, t, s, x_0)[1].expand_as(x_t),
        ),
        "lists": lambda schedule, x_t, t, s, x_0: [
            jump()(schedule, x_t, t, s, x_0)[0].tolist(),
            jump()(schedule, x_t, t, s, x_0)[1].item(),
        ],
    },
}
