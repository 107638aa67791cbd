"""Typical wrong answers to the exercises of chapter 11."""

import torch

from ddpm_lite import Schedule, respace


def leap_with(*, sigma=None, old=None, pale=None):
    """The right leap, but for the parts that are given."""

    def answer(schedule, x_t, t, s, z_hat, noise, eta):
        now, then = schedule.alpha_bar[t], schedule.alpha_bar[s]
        fresh = eta * ((1 - then) / (1 - now)).sqrt() * (1 - now / then).sqrt()
        x_0_hat = (x_t - (1 - now).sqrt() * z_hat) / now.sqrt()
        rest = (old or (lambda then, now, fresh: 1 - then - fresh**2))(then, now, fresh)
        share = (pale or (lambda then, now: then.sqrt()))(then, now)
        return share * x_0_hat + rest.clamp(min=0).sqrt() * z_hat + (sigma or (lambda f: f))(fresh) * noise

    return answer


def along(schedule, times, *, own_times=True, table=None):
    alpha_bar = (schedule.alpha_bar if table is None else table)[times]
    beta = torch.zeros(len(times), dtype=torch.float64)
    beta[1:] = 1 - alpha_bar[1:] / alpha_bar[:-1]
    return Schedule(beta, torch.tensor(times)) if own_times else Schedule(beta)


def squares(schedule, steps):
    return [round(schedule.T * (k / steps) ** 2) for k in range(steps + 1)]


def one_beta_each(schedule, steps):
    """The betas of the chosen times, as if each leap were one step."""
    times = torch.tensor(squares(schedule, steps))
    return Schedule(schedule.beta[times], times)


def climb(at, change=None):
    """Walk up, asking at the time of this index; `change` is what the network's noise is multiplied by."""

    @torch.no_grad()
    def encode(model, way, x_0):
        signal, noise = way.alpha_bar.sqrt(), way.one_minus_alpha_bar.sqrt()
        u = x_0
        for k in range(1, way.T + 1):
            z_hat = model(u * signal[k - 1], int(way.times[k]) if at == "to" else k if at == "index" else k - 1)
            width = noise[k] / signal[k] - noise[k - 1] / signal[k - 1]
            u = u + (change or (lambda width, k: width))(width, k) * z_hat
        return u * signal[-1]

    return encode


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


WRONG = {
    "ex-steps-1": {
        "variance for standard deviation": (leap_with(sigma=lambda f: f**2), "fresh noise has the factor"),
        "fresh noise on top of all the old": (leap_with(old=lambda then, now, f: 1 - then), "z_hat has the factor"),
        "alpha-bar of t for that of s": (leap_with(pale=lambda then, now: now.sqrt()), "x_t has the factor"),
        "the root over alpha-bar forgotten": (leap_with(pale=lambda then, now: then), "x_t has the factor"),
        "the noise of t stays": (leap_with(old=lambda then, now, f: 1 - now - f**2), "z_hat has the factor"),
    },
    "ex-steps-2": {
        "the times forgotten": (
            lambda schedule, steps: along(schedule, squares(schedule, steps), own_times=False),
            "does not know its times",
        ),
        "even times": (respace, "the times are"),
        "one beta for each leap": (one_beta_each, "alpha_bar at 1000 is"),
        "squares the wrong way round": (
            lambda schedule, steps: along(schedule, [schedule.T - t for t in reversed(squares(schedule, steps))]),
            "the times are",
        ),
    },
    "ex-steps-3": {
        "asked at the step's number": (climb("index"), "the network is asked at"),
        "asked where it comes from": (climb("from"), "the network is asked at"),
        "down, not up": (descend, "the walk goes down"),
        "in one leap": (jump, "deviations become"),
        "the noise taken off, not put on": (climb("to", lambda width, k: -width), "deviations become"),
    },
}
