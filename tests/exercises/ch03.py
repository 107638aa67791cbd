"""Typical wrong answers to the exercises of chapter 03."""


def precisions(schedule, t, prior):
    return schedule.alpha[t] / schedule.beta[t] + 1 / prior


def jump(schedule, x_t, t, s, x_0, alpha, root):
    """The posterior with `alpha` for the scaling of the jump and `root` in the weight of x_0."""
    noise_s, noise_t = schedule.one_minus_alpha_bar[s], schedule.one_minus_alpha_bar[t]
    mean = alpha.sqrt() * noise_s / noise_t * x_t + root * (1 - alpha) / noise_t * x_0
    return mean, (1 - alpha) * noise_s / noise_t


def ratio(schedule, t, s):
    return schedule.alpha_bar[t] / schedule.alpha_bar[s]


WRONG = {
    "ex-posterior-combine": {
        "variances added": (lambda m, v, n, w: ((m * w + n * v) / (v + w), v + w), "variances add in a sum"),
        "variances averaged": (lambda m, v, n, w: ((m + n) / 2, (v + w) / 2), "surer than the better"),
        "standard deviation returned": (
            lambda m, v, n, w: ((m / v + n / w) / (1 / v + 1 / w), (v * w / (v + w)) ** 0.5),
            "surer than the better",
        ),
        "variance of the plain average": (lambda m, v, n, w: ((m + n) / 2, v * w / 4), "no precision"),
        "means averaged": (lambda m, v, n, w: ((m + n) / 2, v * w / (v + w)), "nearer to the one"),
        "weighed by variance": (
            lambda m, v, n, w: ((m * v + n * w) / (v + w), v * w / (v + w)),
            "nearer to the one",
        ),
    },
    "ex-posterior-gaussian-data": {
        "the data's variance alone": (
            lambda schedule, t, s: 1 / precisions(schedule, t, schedule.alpha_bar[t - 1] * s**2 + 1e-9),
            "with s = 0",
        ),
        "index t for t - 1": (
            lambda schedule, t, s: (
                1 / precisions(schedule, t, schedule.alpha_bar[t] * s**2 + schedule.one_minus_alpha_bar[t])
            ),
            "with s = 0",
        ),
        "s forgotten": (lambda schedule, t, s: schedule.beta_tilde[t], "wider prior"),
        "alpha_bar forgotten": (
            lambda schedule, t, s: 1 / precisions(schedule, t, s**2 + schedule.one_minus_alpha_bar[t - 1]),
            "with s = 1",
        ),
        "s taken for a variance": (
            lambda schedule, t, s: (
                1 / precisions(schedule, t, schedule.alpha_bar[t - 1] * s + schedule.one_minus_alpha_bar[t - 1])
            ),
            "s = 0.5",
        ),
    },
    "ex-posterior-jump": {
        "the last step's alpha": (
            lambda schedule, x_t, t, s, x_0: jump(
                schedule, x_t, t, s, x_0, schedule.alpha[t], schedule.alpha_bar[s].sqrt()
            ),
            "s = 0",
        ),
        "the note's index": (
            lambda schedule, x_t, t, s, x_0: jump(
                schedule, x_t, t, s, x_0, ratio(schedule, t, s), schedule.alpha_bar[t].sqrt()
            ),
            "s = t - 1",
        ),
        "a root lost": (
            lambda schedule, x_t, t, s, x_0: jump(
                schedule, x_t, t, s, x_0, ratio(schedule, t, s), schedule.alpha_bar[s]
            ),
            "s = t - 1",
        ),
        "variance of the last step": (
            lambda schedule, x_t, t, s, x_0: (
                jump(schedule, x_t, t, s, x_0, ratio(schedule, t, s), schedule.alpha_bar[s].sqrt())[0],
                schedule.beta[t] * schedule.one_minus_alpha_bar[s] / schedule.one_minus_alpha_bar[t],
            ),
            "variance of a long jump",
        ),
    },
}
