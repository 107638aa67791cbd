"""Wrong and right answers to the exercises of chapter 04."""

import numpy as np
import torch

from ddpm_lite import mean_from_noise, posterior, predict_z, q_sample, x_0_from_v, z_from_v


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


def from_z(z_hat):
    """An answer to the second exercise, from what it takes for the noise."""
    return lambda s, x_t, t, v: mean_from_noise(s, x_t, t, z_hat(s, x_t, t, v))


def scaled(factor):
    """The right mean times a factor of the schedule."""
    return lambda s, x_t, t, v: factor(s, t) * from_z(z_from_v)(s, x_t, t, v)


WRONG = {
    "ex-mean-1": {
        "no root below": (
            both(right_x_0, lambda s, t: (s.alpha[t] * s.one_minus_alpha_bar[t - 1]).sqrt()),
            "enters without a root",
        ),
        "no root of alpha": (both(right_x_0, lambda s, t: right_z(s, t) / s.alpha[t].sqrt()), "no root of alpha"),
        "the image keeps its weight in x_t": (
            both(lambda s, t: s.alpha_bar[t].sqrt(), right_z),
            "the mean belongs to t - 1",
        ),
        "x_t itself": (
            both(lambda s, t: s.alpha_bar[t].sqrt(), lambda s, t: s.one_minus_alpha_bar[t].sqrt()),
            "this is x_t",
        ),
        "all the noise of t - 1 is kept": (
            both(right_x_0, lambda s, t: s.one_minus_alpha_bar[t - 1].sqrt()),
            "only a part of the noise",
        ),
        "all the noise of t is kept": (
            both(right_x_0, lambda s, t: s.one_minus_alpha_bar[t].sqrt()),
            "not kept whole",
        ),
        "the noise has the wrong sign": (both(right_x_0, lambda s, t: -right_z(s, t)), "sign"),
        "the weight of x_0 is that of the posterior mean": (
            both(lambda s, t: right_x_0(s, t) * s.beta[t] / s.one_minus_alpha_bar[t], right_z),
            "x_t holds some of x_0 too",
        ),
        "a root lost": (both(lambda s, t: s.alpha_bar[t - 1], right_z), "x_0 lacks a root"),
        "a root lost below": (
            both(right_x_0, lambda s, t: right_z(s, t) / s.one_minus_alpha_bar[t].sqrt()),
            "lacks a root below",
        ),
        "a root of alpha too many": (
            both(right_x_0, lambda s, t: right_z(s, t) * s.alpha[t].sqrt()),
            "too many",
        ),
        "z ignored": (both(right_x_0, lambda s, t: 0), "z is not used"),
        "x_0 ignored": (both(lambda s, t: 0, right_z), "x_0 is not used"),
        "exchanged": (both(right_z, right_x_0), "changed places"),
        "index t + 1": (lambda s, x_0, t, z: both(right_x_0, right_z)(s, x_0, min(t + 1, s.T), z), "off by"),
    },
    "ex-mean-2": {
        "v is used as noise": (mean_from_noise, "as if it were z"),
        "the image instead of the mean": (x_0_from_v, "this is x_0"),
        "the noise instead of the mean": (z_from_v, "this is z"),
        "v's sign is flipped": (from_z(lambda s, x_t, t, v: z_from_v(s, x_t, t, -v)), "sign of v"),
        "v is used as the image": (from_z(predict_z), "as if it were x_0"),
        "v ignored": (lambda s, x_t, t, v: s.alpha[t].sqrt() * x_t, "v is not used"),
        "only scaled back": (lambda s, x_t, t, v: x_t / s.alpha[t].sqrt(), "only scaled back"),
        "weights of z exchanged": (
            from_z(lambda s, x_t, t, v: s.alpha_bar[t].sqrt() * x_t + s.one_minus_alpha_bar[t].sqrt() * v),
            "changed places",
        ),
        "roots lost": (
            from_z(lambda s, x_t, t, v: s.one_minus_alpha_bar[t] * x_t + s.alpha_bar[t] * v),
            "lack their roots",
        ),
        "not divided by the root of alpha": (scaled(lambda s, t: s.alpha[t].sqrt()), "is missing"),
        "divided by alpha": (scaled(lambda s, t: s.alpha[t] ** -0.5), "not by its root"),
        "the root below lost": (
            lambda s, x_t, t, v: (x_t - s.beta[t] * z_from_v(s, x_t, t, v)) / s.alpha[t].sqrt(),
            "below the beta",
        ),
        "the noise taken off whole": (lambda s, x_t, t, v: x_t - z_from_v(s, x_t, t, v), "without its size"),
        "the time is off by one": (lambda s, x_t, t, v: from_z(z_from_v)(s, x_t, t - 1, v), "off by"),
    },
    "ex-mean-3": {
        "the factor is turned over": (lambda s, t, level=2 / 255: level / error_ratio(s, t), "turned over"),
        "the root is lost": (lambda s, t, level=2 / 255: level * error_ratio(s, t) ** 2, "lacks a root"),
        "the level is built in": (lambda s, t, level=2 / 255: 2 / 255 * error_ratio(s, t), "built in"),
        "the level is forgotten": (lambda s, t, level=2 / 255: error_ratio(s, t), "level is not used"),
        "the scale is 0 to 1": (lambda s, t, level=2 / 255: level / 2 * error_ratio(s, t), "not from 0 to 1"),
        "twice": (lambda s, t, level=2 / 255: 2 * level * error_ratio(s, t), "twice too much"),
        "negative": (lambda s, t, level=2 / 255: -level * error_ratio(s, t), "no sign"),
        "the error of the image": (lambda s, t, level=2 / 255: level, "error of x_0"),
        "only the image's weight": (
            lambda s, t, level=2 / 255: level * float(s.alpha_bar[t].sqrt()),
            "1 - alpha_bar is missing",
        ),
        "alpha for alpha_bar": (
            lambda s, t, level=2 / 255: level * float((s.alpha[t] / s.beta[t]).sqrt()),
            "not alpha_bar",
        ),
        "off by one": (lambda s, t, level=2 / 255: level * float(s.snr[t - 1].sqrt()), "belongs to t - 1"),
        "not a number": (lambda s, t, level=2 / 255: torch.nan, "not a number"),
        "another default": (lambda s, t, level=1 / 255: level * error_ratio(s, t), "without a level"),
    },
}


def by_hand_from_v(schedule, x_t, t, v_hat):
    beta, bar, rest = schedule.beta[t], schedule.alpha_bar[t], schedule.one_minus_alpha_bar[t]
    root = schedule.alpha[t].sqrt()
    return root * x_t - beta / root * (bar / rest).sqrt() * v_hat


RIGHT = {
    "ex-mean-1": {
        "through x_t": lambda schedule, x_0, t, z: posterior(schedule, q_sample(schedule, x_0, t, z), t, x_0)[0],
        "through the noise": lambda schedule, x_0, t, z: mean_from_noise(schedule, q_sample(schedule, x_0, t, z), t, z),
        "float32": lambda schedule, x_0, t, z: both(right_x_0, right_z)(schedule, x_0.float(), t, z.float()).float(),
        "a list": lambda schedule, x_0, t, z: both(right_x_0, right_z)(schedule, x_0, t, z).tolist(),
        "an array": lambda schedule, x_0, t, z: (
            float(right_x_0(schedule, t)) * x_0.numpy() + float(right_z(schedule, t)) * z.numpy()
        ),
        "row by row": lambda schedule, x_0, t, z: torch.stack(
            [both(right_x_0, right_z)(schedule, row, t, noise) for row, noise in zip(x_0, z, strict=True)]
        ),
    },
    "ex-mean-2": {
        "by hand": by_hand_from_v,
        "through the image": lambda s, x_t, t, v: posterior(s, x_t, t, x_0_from_v(s, x_t, t, v))[0],
        "an array": lambda s, x_t, t, v: np.asarray(by_hand_from_v(s, x_t, t, v)),
        "a list": lambda s, x_t, t, v: by_hand_from_v(s, x_t, t, v).tolist(),
        "a batch of times": lambda schedule, x_t, t, v_hat: mean_from_noise(
            schedule,
            x_t,
            torch.full((len(x_t),), t),
            z_from_v(schedule, x_t, torch.full((len(x_t),), t), v_hat),
        ),
    },
    "ex-mean-3": {
        "from the ratio": lambda schedule, t, level=2 / 255: level * schedule.snr[t].sqrt(),
        "float32": lambda schedule, t, level=2 / 255: (level * schedule.snr[t].sqrt()).float(),
        "powers": lambda schedule, t, level=2 / 255: level * schedule.snr[t] ** 0.5,
        "numpy": lambda schedule, t, level=2 / 255: level * np.sqrt(float(schedule.snr[t])),
        "a list": lambda schedule, t, level=2 / 255: [level * error_ratio(schedule, t)],
        "two roots": lambda schedule, t, level=2 / 255: (
            level * schedule.alpha_bar[t].sqrt() / schedule.one_minus_alpha_bar[t].sqrt()
        ),
    },
}
