"""Wrong and right answers to the exercises of chapter 11."""

import numpy as np
import torch

from ddpm_lite import Schedule, respace


def leap_with(*, sigma=None, old=None, pale=None, image=None, fresh=1):
    """The right leap, but for the parts that are given."""

    def answer(schedule, x_t, t, s, z_hat, noise, eta):
        now, then = schedule.alpha_bar[t], schedule.alpha_bar[s]
        deviation = eta * ((1 - then) / (1 - now)).sqrt() * (1 - now / then).sqrt()
        x_0_hat = (image or (lambda x, z, now: (x - (1 - now).sqrt() * z) / now.sqrt()))(x_t, z_hat, now)
        rest = (old or (lambda then, now, dev: 1 - then - dev**2))(then, now, deviation)
        share = (pale or (lambda then, now: then.sqrt()))(then, now)
        kept = torch.as_tensor(rest).clamp(min=0).sqrt() * z_hat
        return share * x_0_hat + kept + fresh * (sigma or (lambda f: f))(deviation) * noise

    return answer


def leap_by_floats(schedule, x_t, t, s, z_hat, noise, eta):
    now, then = float(schedule.alpha_bar[t]), float(schedule.alpha_bar[s])
    variance = eta**2 * (1 - then) / (1 - now) * (1 - now / then)
    x_0_hat = now**-0.5 * x_t - (1 / now - 1) ** 0.5 * z_hat
    return then**0.5 * x_0_hat + max(1 - then - variance, 0) ** 0.5 * z_hat + variance**0.5 * noise


def leap_sorted(schedule, x_t, t, s, z_hat, noise, eta):
    """The factors of x_t, of z_hat and of the noise."""
    now, then = schedule.alpha_bar[t], schedule.alpha_bar[s]
    sigma = eta * ((1 - then) / (1 - now) * (1 - now / then)) ** 0.5
    width = (1 - then - sigma**2).clamp(min=0) ** 0.5 - (then * (1 - now) / now) ** 0.5
    return (then / now) ** 0.5 * x_t + width * z_hat + sigma * noise


def along(schedule, times, *, own_times=True, table=None):
    alpha_bar = (schedule.alpha_bar if table is None else table)[times]
    beta = torch.zeros(len(times), dtype=torch.float64)
    beta[1:] = 1 - alpha_bar[1:] / alpha_bar[:-1]
    return Schedule(beta, torch.tensor(times)) if own_times else Schedule(beta)


def squares(schedule, steps, power=2):
    return [round(schedule.T * (k / steps) ** power) for k in range(steps + 1)]


def one_beta_each(schedule, steps):
    """The betas of the chosen times, as if each leap were one step."""
    times = torch.tensor(squares(schedule, steps))
    return Schedule(schedule.beta[times], times)


def climb(at="to", change=None, end=True):
    """Walk up, asking at the time of this index; `change` is what the network's noise is multiplied by."""

    @torch.no_grad()
    def encode(model, way, x_0):
        signal, noise = way.alpha_bar.sqrt(), way.one_minus_alpha_bar.sqrt()
        u = x_0
        for k in range(1, way.T + 1):
            t = {"to": int(way.times[k]), "index": k, "from": k - 1}[at]
            z_hat = model(u * signal[k - 1], torch.full((len(x_0),), t))
            width = noise[k] / signal[k] - noise[k - 1] / signal[k - 1]
            u = u + (change or (lambda width, level: width))(width, noise[k] / signal[k]) * z_hat
        return u * signal[-1] if end else u

    return encode


@torch.no_grad()
def climb_in_x(model, way, x_0):
    """The DDIM step with its two times exchanged, in x itself; the time by its name."""
    x = x_0
    for k in range(1, way.T + 1):
        now, then = way.alpha_bar[k - 1], way.alpha_bar[k]
        z_hat = model(x, t=torch.full((len(x_0),), int(way.times[k])))
        x = then.sqrt() * (x - (1 - now).sqrt() * z_hat) / now.sqrt() + (1 - then).sqrt() * z_hat
    return x


@torch.no_grad()
def climb_with_whole_times(model, way, x_0):
    x = x_0.clone()
    for s, t, low, high in zip(way.alpha_bar[:-1], way.alpha_bar[1:], way.times[:-1], way.times[1:], strict=True):
        assert low < high
        x = (t / s).sqrt() * x + ((1 - t).sqrt() - (t * (1 - s) / s).sqrt()) * model(x, int(high))
    return x


@torch.no_grad()
def descend(model, way, x_0):
    for k in range(way.T, 0, -1):
        model(x_0, int(way.times[k]))
    return x_0


@torch.no_grad()
def jump(model, way, x_0):
    """The closed form with the network's noise at T: one leap."""
    z_hat = [model(x_0, int(t)) for t in way.times[1:]][-1]
    return way.alpha_bar[-1].sqrt() * x_0 + way.one_minus_alpha_bar[-1].sqrt() * z_hat


def heun_with(second="right", mean=lambda a, b: (a + b) / 2, width_of=lambda w: w, scale=True):
    """Heun's step, but for the parts that are given."""

    def answer(model, schedule, x_t, t, s):
        now, then = schedule.alpha_bar[t].sqrt(), schedule.alpha_bar[s].sqrt()
        width = width_of((1 / then**2 - 1).sqrt() - (1 / now**2 - 1).sqrt())
        slope = model(x_t, torch.full((len(x_t),), t))
        there = then * (x_t / now + width * slope)
        if s > 0:
            where, when = {
                "right": (there, s),
                "at t": (there, t),
                "at x_t": (x_t, s),
                "unscaled": (there / then, s),
            }[second]
            slope = mean(slope, model(where, torch.full((len(x_t),), when)))
        end = x_t / now + width * slope
        return then * end if scale else end

    return answer


def heun_in_y(model, schedule, x_t, t, s):
    """In the image's own unit, with floats, and in float32."""

    def level(k):
        return float((1 / schedule.alpha_bar[k] - 1) ** 0.5)

    y = x_t / schedule.alpha_bar[t] ** 0.5
    one = model(x_t, t)
    if s:
        two = model((y + (level(s) - level(t)) * one) * schedule.alpha_bar[s] ** 0.5, s)
        one = 0.5 * one + 0.5 * two
    return ((y + (level(s) - level(t)) * one) * schedule.alpha_bar[s] ** 0.5).float()


def heun_by_ddim(model, schedule, x_t, t, s):
    """Two DDIM steps from the same place, with the slopes of both ends, averaged."""
    from ddpm_lite import ddim_step

    first = model(x_t, t=torch.full((len(x_t),), t))
    one = ddim_step(schedule, x_t, t, s, first, torch.zeros_like(x_t), clip=False)
    if s == 0:
        return one
    second = model(one, t=torch.full((len(x_t),), s))
    two = ddim_step(schedule, x_t, t, s, second, torch.zeros_like(x_t), clip=False)
    return (one + two) / 2


def euler(model, schedule, x_t, t, s):
    now, then = schedule.alpha_bar[t].sqrt(), schedule.alpha_bar[s].sqrt()
    width = (1 / then**2 - 1).sqrt() - (1 / now**2 - 1).sqrt()
    return then * (x_t / now + width * model(x_t, torch.full((len(x_t),), t)))


def floor_squares(schedule, steps):
    return along(schedule, [schedule.T * k**2 // steps**2 for k in range(steps + 1)])


def square_walk(schedule, steps):
    return along(schedule, squares(schedule, steps))


def square_walk_in_arrays(schedule, steps):
    times = np.rint(schedule.T * np.arange(steps + 1) ** 2 / steps**2).astype(np.int64)
    table = schedule.alpha_bar.numpy()[times]
    beta = np.concatenate([[0.0], 1 - table[1:] / table[:-1]])
    return Schedule(torch.from_numpy(beta), torch.from_numpy(times))


def square_walk_by_products(schedule, steps):
    """The betas from products of the alphas on the way."""
    times = squares(schedule, steps)
    beta = [0.0] + [float(1 - schedule.alpha[a + 1 : b + 1].prod()) for a, b in zip(times, times[1:], strict=False)]
    return Schedule(torch.tensor(beta, dtype=torch.float64), torch.tensor(times))


WRONG = {
    "ex-steps-1": {
        "variance for standard deviation": (leap_with(sigma=lambda f: f**2), "used as a variance"),
        "fresh noise on top of all the old": (leap_with(old=lambda then, now, f: 1 - then), "on top of all the old"),
        "alpha-bar of t for that of s": (leap_with(pale=lambda then, now: now.sqrt()), "as at t, not as at s"),
        "the root over alpha-bar forgotten": (leap_with(pale=lambda then, now: then), "root of alpha_bar_s"),
        "the noise of t stays": (leap_with(old=lambda then, now, f: 1 - now - f**2), "as belongs to t"),
        "no fresh noise": (leap_with(fresh=0), "fresh noise is missing"),
        "no old noise": (leap_with(old=lambda then, now, f: 0.0), "old noise is missing"),
        "sigma not squared": (leap_with(old=lambda then, now, f: 1 - then - f), "under the root"),
        "x_t taken for the image": (leap_with(image=lambda x, z, now: x), "not yet the image"),
        "fresh noise subtracted": (leap_with(fresh=-1), "subtracted"),
        "eta is always 1": (lambda s, x, t, u, z, n, eta: leap_with()(s, x, t, u, z, n, 1.0), "eta is not used"),
        "noise put in": (leap_with(image=lambda x, z, now: (x + (1 - now).sqrt() * z) / now.sqrt()), "off by"),
    },
    "ex-steps-2": {
        "the times forgotten": (
            lambda schedule, steps: along(schedule, squares(schedule, steps), own_times=False),
            "does not know its times",
        ),
        "even times": (respace, "even times"),
        "one beta for each leap": (one_beta_each, "beta of one step"),
        "squares the wrong way round": (
            lambda schedule, steps: along(schedule, [schedule.T - t for t in reversed(squares(schedule, steps))]),
            "the wrong way",
        ),
        "rounded down": (floor_squares, "rounded down"),
        "cubes": (lambda schedule, steps: along(schedule, squares(schedule, steps, 3)), "k cubed"),
        "ten steps only": (lambda schedule, steps: square_walk(schedule, 10), "25 steps have 26 times"),
        "the times, no schedule": (squares, "a Schedule is wanted"),
        "0 left out": (lambda schedule, steps: square_walk(schedule, steps - 1), "10 steps have 11 times"),
        "alpha for alpha-bar": (
            lambda schedule, steps: along(schedule, squares(schedule, steps), table=schedule.alpha_bar.sqrt()),
            "alpha_bar",
        ),
    },
    "ex-steps-3": {
        "asked at the step's number": (climb("index"), "the network is asked at"),
        "asked where it comes from": (climb("from"), "the network is asked at"),
        "down, not up": (descend, "the walk goes down"),
        "in one leap": (jump, "off by"),
        "the noise taken off, not put on": (climb(change=lambda width, level: -width), "taken off, not put on"),
        "the end not scaled back": (climb(end=False), "scaled back"),
        "the level, not the difference": (climb(change=lambda width, level: level), "difference of two"),
        "never asked": (lambda model, way, x_0: x_0, "never asked"),
        "the image itself": (
            lambda model, way, x_0: [model(x_0, torch.full((3,), int(t))) for t in way.times[1:]] and x_0,
            "the image itself",
        ),
        "half the width": (climb(change=lambda width, level: width / 2), "off by"),
    },
    "ex-steps-4": {
        "Euler": (euler, "Euler's step"),
        "asked at t again": (heun_with("at t"), "at t, not at s"),
        "asked at x_t": (heun_with("at x_t"), "taken at x_t"),
        "asked with y": (heun_with("unscaled"), "divided by its factor"),
        "the end alone": (heun_with(mean=lambda a, b: b), "end alone"),
        "the sum": (heun_with(mean=lambda a, b: a + b), "are added"),
        "no factor at the end": (heun_with(scale=False), "not multiplied"),
        "the other sign": (heun_with(width_of=lambda w: -w), "off by"),
        "the image itself": (lambda model, schedule, x_t, t, s: x_t, "off by"),
        "half a step": (heun_with(width_of=lambda w: w / 2), "off by"),
    },
}

RIGHT = {
    "ex-steps-1": {
        "floats": leap_by_floats,
        "sorted by factors": leap_sorted,
        "float32": lambda s, x, t, u, z, n, eta: leap_with()(s, x, t, u, z, n, eta).float(),
        "an array": lambda s, x, t, u, z, n, eta: leap_with()(s, x, t, u, z, n, eta).numpy(),
    },
    "ex-steps-2": {
        "a list of times": square_walk,
        "arrays": square_walk_in_arrays,
        "products of alphas": square_walk_by_products,
        "keywords": lambda schedule, steps=10: along(schedule, times=squares(schedule, steps)),
    },
    "ex-steps-3": {
        "a tensor of times": climb(),
        "in x, t by keyword": climb_in_x,
        "whole times": climb_with_whole_times,
        "float32": lambda model, way, x_0: climb()(model, way, x_0).float(),
    },
    "ex-steps-4": {
        "the mean of slopes": heun_with(),
        "the mean of places": heun_by_ddim,
        "in y, whole times, float32": heun_in_y,
        "an array": lambda model, schedule, x_t, t, s: heun_with()(model, schedule, x_t, t, s).numpy(),
    },
}
