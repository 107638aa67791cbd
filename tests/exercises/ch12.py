"""Wrong and right answers to the exercises of chapter 12."""

import numpy as np
import torch

from ddpm_lite.evaluate import frechet_distance, nearest


def too_near(limit_of, closer=lambda d, limit: d < limit, count=lambda flags: float(flags.double().mean())):
    """A share_too_near with its own limit, sign and way of counting."""

    def share_too_near(drawn, held_out, training):
        distance = nearest(drawn, training)[0]
        return count(closer(distance, limit_of(distance, nearest(held_out, training)[0])))

    return share_too_near


def hurried(means, spreads):
    """A hurried_distance made of these two parts."""

    def hurried_distance(a, b):
        return float(means((a.mean(0) - b.mean(0)).square().sum()) + spreads(a, b))

    return hurried_distance


def right_spread(a, b):
    return (a.std(0) - b.std(0)).square().sum()


def infinity_by_least_squares(n_1, d_1, n_2, d_2):
    """The intercept of the line through both points, over 1 / N."""
    slope, intercept = np.polyfit([1 / n_1, 1 / n_2], [d_1, d_2], 1)
    return intercept


def infinity_through_c(n_1, d_1, n_2, d_2):
    c = (d_1 - d_2) / (1 / n_1 - 1 / n_2)
    return d_1 - c / n_1


def share_by_hand(drawn, held_out, training):
    """Distances by cdist, as a root mean square; the share by counting."""

    def least(x):
        return torch.cdist(x.flatten(1), training.flatten(1)).amin(1) / x[0].numel() ** 0.5

    limit = torch.quantile(least(held_out), 0.05)
    return sum(bool(d < limit) for d in least(drawn)) / len(drawn)


def hurried_from_one_feature_at_a_time(a, b):
    return sum(frechet_distance(a[:, [i]], b[:, [i]]) for i in range(a.shape[1]))


def hurried_with_population_deviations(a, b):
    spread = [x.std(0, unbiased=False) for x in (a, b)]
    return (a.mean(0) - b.mean(0)).pow(2).sum() + (spread[0] - spread[1]).pow(2).sum()


WRONG = {
    "ex-evaluation-1": {
        "the mean of both": (lambda n_1, d_1, n_2, d_2: (d_1 + d_2) / 2, "mean of both"),
        "the mean, weighted": (
            lambda n_1, d_1, n_2, d_2: (n_1 * d_1 + n_2 * d_2) / (n_1 + n_2),
            "weighted means",
        ),
        "the weights exchanged": (lambda n_1, d_1, n_2, d_2: (n_2 * d_1 - n_1 * d_2) / (n_2 - n_1), "exchanged"),
        "as if the second had twice as many": (lambda n_1, d_1, n_2, d_2: 2 * d_2 - d_1, "twice as many"),
        "the first": (lambda n_1, d_1, n_2, d_2: d_1, "this is d_1"),
        "the second": (lambda n_1, d_1, n_2, d_2: d_2, "this is d_2"),
        "c": (lambda n_1, d_1, n_2, d_2: (d_1 - d_2) / (1 / n_1 - 1 / n_2), "this is c"),
        "not divided": (lambda n_1, d_1, n_2, d_2: n_1 * d_1 - n_2 * d_2, "divide by the difference"),
        "divided by the sum": (lambda n_1, d_1, n_2, d_2: (n_1 * d_1 - n_2 * d_2) / (n_1 + n_2), "not by their sum"),
        "a sign": (lambda n_1, d_1, n_2, d_2: (n_1 * d_1 - n_2 * d_2) / (n_2 - n_1), "sign is turned"),
        "roots of N": (
            lambda n_1, d_1, n_2, d_2: (n_1**0.5 * d_1 - n_2**0.5 * d_2) / (n_1**0.5 - n_2**0.5),
            "over its root",
        ),
        "squares of N": (
            lambda n_1, d_1, n_2, d_2: (n_1**2 * d_1 - n_2**2 * d_2) / (n_1**2 - n_2**2),
            "its square",
        ),
    },
    "ex-evaluation-2": {
        "farther, not nearer": (
            too_near(lambda own, real: real.quantile(0.05), closer=lambda d, limit: d >= limit),
            "farther, not nearer",
        ),
        "the median": (too_near(lambda own, real: real.median()), "the median"),
        "the drawn images' own quantile": (too_near(lambda own, real: own.quantile(0.05)), "drawn images themselves"),
        "a number, not a share": (
            too_near(lambda own, real: real.quantile(0.05), count=lambda flags: int(flags.sum())),
            "a number of images",
        ),
        "the other end": (too_near(lambda own, real: real.quantile(0.95)), "95 % quantile"),
        "the nearest": (too_near(lambda own, real: real.min()), "nearest held-out"),
        "the mean": (too_near(lambda own, real: real.mean()), "the mean"),
        "a percentage": (
            too_near(lambda own, real: real.quantile(0.05), count=lambda flags: 100 * float(flags.double().mean())),
            "a percentage",
        ),
        "the 4 % quantile": (too_near(lambda own, real: real.quantile(0.04)), "off by"),
        "the 6 % quantile": (too_near(lambda own, real: real.quantile(0.06)), "off by"),
        "the limit of the chapter's held-out digits": (too_near(lambda own, real: 0.18), "a fixed limit of 0.18"),
        "a small limit": (too_near(lambda own, real: 0.05), "a fixed limit of 0.05"),
        "another fixed limit": (too_near(lambda own, real: 0.17), "off by"),
        "exact copies": (too_near(lambda own, real: 0, closer=lambda d, limit: d == limit), "only exact copies"),
        "every image": (lambda drawn, held_out, training: 1.0, "off by"),
        "one in twenty, always": (lambda drawn, held_out, training: 0.05, "held-out images"),
    },
    "ex-evaluation-3": {
        "variances for standard deviations": (
            hurried(lambda d: d, lambda a, b: (a.var(0) - b.var(0)).square().sum()),
            "variances where",
        ),
        "the length, not its square": (hurried(lambda d: d.sqrt(), right_spread), "not squared"),
        "means only": (hurried(lambda d: d, lambda a, b: 0), "spreads are missing"),
        "spreads only": (hurried(lambda d: 0, right_spread), "means are missing"),
        "spreads added, not subtracted": (
            hurried(lambda d: d, lambda a, b: (a.std(0) + b.std(0)).square().sum()),
            "are added",
        ),
        "the whole covariance": (frechet_distance, "full distance"),
        "a mean": (lambda a, b: hurried(lambda d: d, right_spread)(a, b) / a.shape[1], "a mean over"),
        "a root": (lambda a, b: hurried(lambda d: d, right_spread)(a, b) ** 0.5, "root of the whole"),
        "absolute values": (
            lambda a, b: float((a.mean(0) - b.mean(0)).abs().sum() + (a.std(0) - b.std(0)).abs().sum()),
            "not squares",
        ),
        "one deviation for all": (hurried(lambda d: d, lambda a, b: (a.std() - b.std()) ** 2), "all numbers together"),
        "absolute spreads": (hurried(lambda d: d, lambda a, b: (a.std(0) - b.std(0)).abs().sum()), "not absolute"),
        "a minus": (hurried(lambda d: d, lambda a, b: -right_spread(a, b)), "minus"),
        "one for each feature": (lambda a, b: (a.mean(0) - b.mean(0)) ** 2 + (a.std(0) - b.std(0)) ** 2, "shape"),
    },
}

RIGHT = {
    "ex-evaluation-1": {
        "least squares": infinity_by_least_squares,
        "through c": infinity_through_c,
        "float32": lambda n_1, d_1, n_2, d_2: torch.tensor((n_2 * d_2 - n_1 * d_1) / (n_2 - n_1)),
        "a list": lambda n_1, d_1, n_2, d_2: [(n_1 * d_1 - n_2 * d_2) / (n_1 - n_2)],
    },
    "ex-evaluation-2": {
        "by hand": share_by_hand,
        "at most the limit": too_near(lambda own, real: real.quantile(0.05), closer=lambda d, limit: d <= limit),
        "float64": too_near(lambda own, real: real.double().quantile(0.05)),
        "numpy": too_near(
            lambda own, real: float(np.quantile(real.numpy(), 0.05)), count=lambda flags: np.mean(flags.numpy())
        ),
    },
    "ex-evaluation-3": {
        "a feature at a time": hurried_from_one_feature_at_a_time,
        "population deviations": hurried_with_population_deviations,
        "float32": lambda a, b: hurried(lambda d: d, right_spread)(a.float(), b.float()),
        "numpy": lambda a, b: (
            ((a.numpy().mean(0) - b.numpy().mean(0)) ** 2).sum()
            + ((a.numpy().std(0, ddof=1) - b.numpy().std(0, ddof=1)) ** 2).sum()
        ),
    },
}
