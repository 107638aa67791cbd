"""Typical wrong answers to the exercises of chapter 12."""

from ddpm_lite.evaluate import nearest


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


WRONG = {
    "ex-evaluation-1": {
        "the mean of both": (lambda n_1, d_1, n_2, d_2: (d_1 + d_2) / 2, "would lie below both"),
        "the mean, weighted": (
            lambda n_1, d_1, n_2, d_2: (n_1 * d_1 + n_2 * d_2) / (n_1 + n_2),
            "would lie below both",
        ),
        "the weights exchanged": (lambda n_1, d_1, n_2, d_2: (n_2 * d_1 - n_1 * d_2) / (n_2 - n_1), "become"),
        "as if the second had twice as many": (lambda n_1, d_1, n_2, d_2: 2 * d_2 - d_1, "become"),
    },
    "ex-evaluation-2": {
        "farther, not nearer": (
            too_near(lambda own, real: real.quantile(0.05), closer=lambda d, limit: d > limit),
            "all are too near",
        ),
        "the median": (too_near(lambda own, real: real.median()), "one in twenty"),
        "the drawn images' own quantile": (too_near(lambda own, real: own.quantile(0.05)), "all are too near"),
        "a number, not a share": (
            too_near(lambda own, real: real.quantile(0.05), count=lambda flags: int(flags.sum())),
            "is no share",
        ),
    },
    "ex-evaluation-3": {
        "variances for standard deviations": (
            hurried(lambda d: d, lambda a, b: (a.var(0) - b.var(0)).square().sum()),
            "3 times the standard deviations",
        ),
        "the length, not its square": (hurried(lambda d: d.sqrt(), right_spread), "moved by 3 and 4"),
        "means only": (hurried(lambda d: d, lambda a, b: 0), "3 times the standard deviations"),
        "spreads only": (hurried(lambda d: 0, right_spread), "moved by 3 and 4"),
        "spreads added, not subtracted": (
            hurried(lambda d: d, lambda a, b: (a.std(0) + b.std(0)).square().sum()),
            "away from itself",
        ),
    },
}
