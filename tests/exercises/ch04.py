"""Typical wrong answers to the exercises of chapter 04."""

import torch

from ddpm_lite import mean_from_noise, predict_z, x_0_from_v, z_from_v


def both(weight_x_0, weight_z):
    """An answer to the first exercise, from its two weights."""
    return lambda schedule, x_0, t, z: weight_x_0(schedule, t) * x_0 + weight_z(schedule, t) * z


def right_x_0(schedule, t):
    return schedule.alpha_bar[t - 1].sqrt()


def right_z(schedule, t):
    rest = schedule.one_minus_alpha_bar
    return schedule.alpha[t].sqrt() * rest[t - 1] / rest[t].sqrt()


def error_ratio(schedule, t):
    return float((schedule.alpha_bar[t] / schedule.one_minus_alpha_bar[t]).sqrt())


WRONG = {
    "ex-mean-1": {
        "the image keeps its weight in x_t": (
            both(lambda s, t: s.alpha_bar[t].sqrt(), right_z),
            "the mean belongs to t - 1",
        ),
        "all the noise of t - 1 is kept": (
            both(right_x_0, lambda s, t: s.one_minus_alpha_bar[t - 1].sqrt()),
            "the weight of z is wrong",
        ),
        "the noise has the wrong sign": (both(right_x_0, lambda s, t: -right_z(s, t)), "sign"),
        "the weight of x_0 is that of the posterior mean": (
            both(lambda s, t: right_x_0(s, t) * s.beta[t] / s.one_minus_alpha_bar[t], right_z),
            "the weight of x_0 is wrong",
        ),
    },
    "ex-mean-2": {
        "v is used as noise": (mean_from_noise, "as if it were z"),
        "the image instead of the mean": (x_0_from_v, "this is x_0"),
        "v's sign is flipped": (
            lambda s, x_t, t, v: mean_from_noise(s, x_t, t, z_from_v(s, x_t, t, -v)),
            "the mean is off",
        ),
        "v is used as the image": (
            lambda s, x_t, t, v: mean_from_noise(s, x_t, t, predict_z(s, x_t, t, v)),
            "the mean is off",
        ),
    },
    "ex-mean-3": {
        "the factor is turned over": (
            lambda s, t, level=2 / 255: level / error_ratio(s, t),
            "grey levels",
        ),
        "the root is lost": (
            lambda s, t, level=2 / 255: level * error_ratio(s, t) ** 2,
            "grey levels",
        ),
        "the level is built in": (
            lambda s, t, level=2 / 255: 2 / 255 * error_ratio(s, t),
            "a coarser level",
        ),
        "the scale is 0 to 1": (lambda s, t, level=2 / 255: level / 2 * error_ratio(s, t), "0.5 grey levels"),
        "not a number": (lambda s, t, level=2 / 255: torch.nan, "not a number"),
    },
}
