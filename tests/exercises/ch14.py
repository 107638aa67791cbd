"""Wrong and right answers to the exercises of chapter 14."""

from types import SimpleNamespace

import numpy as np
import torch

from ddpm_lite import ddim_step, linear_schedule
from ddpm_lite.process import predict_x_0, score_from_z, velocity

SCHEDULE = linear_schedule()


def other_step(x, k, to, answer):
    """The step of the other program, which the chapter's cell calls `other.step`."""
    now, then = SCHEDULE.alpha_bar[k + 1], SCHEDULE.alpha_bar[to + 1]
    x_0_hat, noise = now.sqrt() * x - (1 - now).sqrt() * answer, (1 - now).sqrt() * x + now.sqrt() * answer
    return then.sqrt() * x_0_hat + (1 - then).sqrt() * noise


other = SimpleNamespace(step=other_step)
stored = other.step  # as a reader may keep it, before the check


def given(answer):
    """The answer, beside the program that it calls."""
    return {"my_step": answer, "other": other}


def find_v(x, t, z):
    """The answer that the other program expects."""
    return velocity(SCHEDULE, predict_x_0(SCHEDULE, x, t, z), t, z)


def call_in_vain(x, t, s, z):
    """Our own step, beside a call of theirs whose result is not used."""
    other.step(x, t - 1, s - 1, find_v(x, t, z))
    return ddim_step(SCHEDULE, x, t, s, z, 0 * x, clip=False)


def look_up(sigma):
    """The roots of alpha_bar at the nearest time, and at that on the other side of the level."""
    levels = SCHEDULE.noise_level
    above = int((levels >= sigma).nonzero()[0])
    nearest, beside = sorted((above - 1, above), key=lambda t: abs(levels[t] - sigma))
    return SCHEDULE.alpha_bar[nearest].sqrt(), SCHEDULE.alpha_bar[beside].sqrt()


def divide_in_place(x, sigma):
    x /= (1 + sigma**2) ** 0.5
    return x


def padded(table, first=1.0):
    return torch.cat([torch.full_like(table[:1], first), table])


WRONG = {
    "ex-rosetta-1": {
        "the last entry at time 0": (lambda a, t: a[t - 1], "this is the last entry"),
        "nothing left at time 0": (lambda a, t: padded(a, 0.0)[t], "nothing is left of the image"),
        "their index": (lambda a, t: a[t.clamp(max=len(a) - 1)], "one time later"),
        "their index, without a guard": (lambda a, t: a[t], "one time later"),
        "the first entry at time 0": (lambda a, t: a[(t - 1).clamp(min=0)], "this is the first entry"),
        "the wrong direction": (lambda a, t: a[(t + 1).clamp(max=len(a) - 1)], "the wrong direction"),
        "the noise": (lambda a, t: 1 - padded(a)[t], "the share of the noise"),
        "a root": (lambda a, t: padded(a)[t].sqrt(), "the root of alpha_bar"),
        "a square": (lambda a, t: padded(a)[t] ** 2, "the square of alpha_bar"),
        "a product of products": (lambda a, t: padded(a).cumprod(0)[t], "is a product already"),
        "backwards": (lambda a, t: padded(a).flip(0)[t], "backwards in time"),
        "their table": (lambda a, t: a, "shape"),
        "all times": (lambda a, t: padded(a), "whatever t is"),
    },
    "ex-rosetta-2": {
        "as it is": (lambda x, sigma: x + 0, "has variance 1 + sigma^2"),
        "the other way": (lambda x, sigma: x * (1 + sigma**2) ** 0.5, "do not divide"),
        "without the root": (lambda x, sigma: x / (1 + sigma**2), "is the root of alpha_bar"),
        "a sum of roots": (lambda x, sigma: x / (1 + sigma), "not the sum of the roots"),
        "a deviation for a variance": (lambda x, sigma: x / (1 + sigma) ** 0.5, "square it"),
        "the weight of the noise": (lambda x, sigma: x * sigma / (1 + sigma**2) ** 0.5, "the weight of the noise"),
        "the sign": (lambda x, sigma: -x / (1 + sigma**2) ** 0.5, "the other sign"),
        "the level alone": (lambda x, sigma: x / sigma, "the noise level alone"),
        "one minus": (lambda x, sigma: x * abs(1 - sigma**2) ** 0.5, "below 1"),
        "the nearest time": (lambda x, sigma: x * look_up(sigma)[0], "no table can be looked up"),
        "the time on its other side": (lambda x, sigma: x * look_up(sigma)[1], "no table can be looked up"),
        "looked up between the times": (
            lambda x, sigma: x * np.interp(sigma, SCHEDULE.noise_level, SCHEDULE.alpha_bar) ** 0.5,
            "no table can be looked up",
        ),
        "its own deviation": (lambda x, sigma: x / x.std(), "off by"),
        "one number": (lambda x, sigma: 1 / (1 + sigma**2) ** 0.5, "shape"),
    },
    "ex-rosetta-run": {
        "like ours": (lambda x, t, s, z: other.step(x, t, s, z), "begin with check 1"),
        "z as the answer": (lambda x, t, s, z: other.step(x, t - 1, s - 1, z), "what is the target"),
        "the index": (lambda x, t, s, z: other.step(x, t, s, find_v(x, t, z)), "see check 1 for the times"),
        "the index, also in v": (lambda x, t, s, z: other.step(x, t, s, find_v(x, t + 1, z)), "v at t + 1"),
        "where it goes": (lambda x, t, s, z: other.step(x, t - 1, s, find_v(x, t, z)), "where does it go"),
        "where it begins": (lambda x, t, s, z: other.step(x, t, s - 1, find_v(x, t, z)), "where does it begin"),
        "always 20 times": (
            given(lambda x, t, s, z: other.step(x, t - 1, t - 21, find_v(x, t, z))),
            "not always t - 20",
        ),
        "the direction": (lambda x, t, s, z: other.step(x, t + 1, s + 1, find_v(x, t, z)), "wrong direction"),
        "x_0": (lambda x, t, s, z: other.step(x, t - 1, s - 1, predict_x_0(SCHEDULE, x, t, z)), "not x_0"),
        "the sign": (lambda x, t, s, z: other.step(x, t - 1, s - 1, -find_v(x, t, z)), "other sign"),
        "the weights": (
            lambda x, t, s, z: other.step(x, t - 1, s - 1, velocity(SCHEDULE, z, t, predict_x_0(SCHEDULE, x, t, z))),
            "exchanged",
        ),
        "a sum for v": (
            lambda x, t, s, z: other.step(
                x, t - 1, s - 1, SCHEDULE.alpha_bar[t].sqrt() * z + (1 - SCHEDULE.alpha_bar[t]).sqrt() * x
            ),
            "not a z + b x_t",
        ),
        "their estimate of z": (
            lambda x, t, s, z: other.step(
                x,
                t - 1,
                s - 1,
                velocity(SCHEDULE, SCHEDULE.alpha_bar[t] ** 0.5 * x - (1 - SCHEDULE.alpha_bar[t]) ** 0.5 * z, t, z),
            ),
            "it gives no x_0_hat",
        ),
        "times reversed": (
            lambda x, t, s, z: other.step(x, SCHEDULE.T - t, SCHEDULE.T - s, find_v(x, t, z)),
            "are not reversed",
        ),
        "the first index only, and z": (lambda x, t, s, z: other.step(x, t - 1, s, z), "where does it go, and what"),
        "the second index only, and z": (lambda x, t, s, z: other.step(x, t, s - 1, z), "where does it begin, and"),
        "t and s exchanged": (
            lambda x, t, s, z: other.step(x, s - 1, t - 1, find_v(x, t, z)),
            "or t and s are exchanged",
        ),
        "t and s exchanged, also in v": (
            lambda x, t, s, z: other.step(x, s - 1, t - 1, find_v(x, s, z)),
            "exchanged, in v too",
        ),
        "v by the entry t of their table": (
            lambda x, t, s, z: other.step(
                x, t - 1, s - 1, velocity(SCHEDULE, predict_x_0(SCHEDULE, x, t, z), t + 1, z)
            ),
            "belongs to our t + 1",
        ),
        "their variable": (
            lambda x, t, s, z: other.step(x / SCHEDULE.alpha_bar[t].sqrt(), t - 1, s - 1, find_v(x, t, z)),
            "need not be scaled",
        ),
        "the estimate": (lambda x, t, s, z: predict_x_0(SCHEDULE, x, t, z), "not the next state"),
        "a clip": (lambda x, t, s, z: ddim_step(SCHEDULE, x, t, s, z, 0 * x), "clipped, as our step is"),
        "v from a clip": (
            lambda x, t, s, z: other.step(
                x, t - 1, s - 1, velocity(SCHEDULE, predict_x_0(SCHEDULE, x, t, z).clamp(-1, 1), t, z)
            ),
            "made from a clipped x_0_hat",
        ),
        "v from x_t": (lambda x, t, s, z: other.step(x, t - 1, s - 1, velocity(SCHEDULE, x, t, z)), "not from x_t"),
        "the score": (lambda x, t, s, z: other.step(x, t - 1, s - 1, score_from_z(SCHEDULE, z, t)), "not the score"),
        "v a time too early": (lambda x, t, s, z: other.step(x, t - 1, s - 1, find_v(x, t - 1, z)), "not to t - 1"),
        "v a time too late": (lambda x, t, s, z: other.step(x, t - 1, s - 1, find_v(x, t + 1, z)), "not to t + 1"),
        "v where the step ends": (lambda x, t, s, z: other.step(x, t - 1, s - 1, find_v(x, s, z)), "not to s"),
        "x_0_hat at t, v a time too early": (
            lambda x, t, s, z: other.step(
                x, t - 1, s - 1, velocity(SCHEDULE, predict_x_0(SCHEDULE, x, t, z), t - 1, z)
            ),
            "but for t - 1",
        ),
        "x_0_hat at t, v where the step ends": (
            lambda x, t, s, z: other.step(x, t - 1, s - 1, velocity(SCHEDULE, predict_x_0(SCHEDULE, x, t, z), s, z)),
            "but for s;",
        ),
        "z twice": (lambda x, t, s, z: other.step(x, t - 1, s - 1, 2 * find_v(x, t, z)), "off by"),
        "ours": (lambda x, t, s, z: ddim_step(SCHEDULE, x, t, s, z, 0 * x, clip=False), "is not used"),
        "stored, like ours": (given(lambda x, t, s, z: stored(x, t, s, z)), "begin with check 1"),
        "ours, and theirs thrown away": (given(call_in_vain), "is not used"),
    },
}
RIGHT = {
    "ex-rosetta-1": {
        "with where": lambda a, t: torch.where(t == 0, torch.ones_like(a[0]), a[(t - 1).clamp(min=0)]),
        "by lists": lambda a, t: [1.0 if k == 0 else float(a[k - 1]) for k in t.tolist()],
        "numpy": lambda a, t: np.concatenate([[1.0], a.numpy()])[t.numpy()],
        "padded": lambda a, t: torch.nn.functional.pad(a, (1, 0), value=1.0)[t],
    },
    "ex-rosetta-2": {
        "by alpha_bar": lambda x, sigma: x * (1 / (1 + sigma**2)) ** 0.5,
        "by the ratio": lambda x, sigma: x / sigma / (1 + 1 / sigma**2) ** 0.5,
        "by an angle": lambda x, sigma: x * np.cos(np.arctan(sigma)),
        "numpy": lambda x, sigma: x.numpy() / np.hypot(1, sigma),
        "in place": divide_in_place,
    },
    "ex-rosetta-run": {
        "by v": given(lambda x, t, s, z: other.step(x, t - 1, s - 1, find_v(x, t, z))),
        "from x_t and z": given(
            lambda x, t, s, z: other.step(
                x, t - 1, s - 1, (z - SCHEDULE.one_minus_alpha_bar[t].sqrt() * x) / SCHEDULE.alpha_bar[t].sqrt()
            )
        ),
        "stored": given(lambda x, t, s, z: stored(x, t - 1, s - 1, find_v(x, t, z))),
        "by keywords": given(lambda x, t, s, z: other.step(x=x, k=t - 1, to=s - 1, answer=find_v(x, t, z))),
        "numpy": given(lambda x, t, s, z: other.step(x, t - 1, s - 1, find_v(x, t, z)).numpy()),
    },
}
