"""Checks of chapter 16, from DDPM to flows."""

import numpy as np
import torch

from ddpm_lite import (
    flow_from_z,
    heun_step,
    predict_x_0,
    predict_z,
    score_from_z,
    velocity,
    z_from_flow,
)
from equations.ch04 import blobs as images
from equations.ch04 import mean_image, mean_noise
from equations.ch11 import earlier
from equations.checks import by_hand, definition, identity, illustration, matches

MEANS, STDS, SHARES = np.array([-0.6, 0.5]), np.array([0.3, 0.2]), np.array([0.3, 0.7])


# ---- flow matching, for the mixture along the straight path


def straight(m, tau):
    """Density of m = (1 - tau) x_0 + tau z, and the mean of z - x_0 given m, for the mixture."""
    variance = (1 - tau) ** 2 * STDS**2 + tau**2
    away = m[:, None] - (1 - tau) * MEANS
    each = SHARES * np.exp(-(away**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    slope = (tau - (1 - tau) * STDS**2) / variance * away - MEANS  # regression of u on m, within a component
    return each.sum(1), (each * slope).sum(1) / each.sum(1)


def check_flow_ode():
    """Particles at the quantiles of one flow time, moved by U, are at the quantiles of another."""
    ranks, grid = np.array([0.05, 0.2, 0.31, 0.5, 0.9]), np.linspace(-6, 6, 400_001)

    def places(tau):
        return np.interp(ranks, np.cumsum(straight(grid, tau)[0]) * (grid[1] - grid[0]), grid)

    times = np.linspace(1.0, 0.0, 4001)
    m = places(1.0)
    for tau, after in zip(times, times[1:], strict=False):
        m = m + (after - tau) * straight(m, tau)[1]
    assert abs(m - places(0.0)).max() < 2e-3


def check_same_path():
    """Along chapter 11's path through y, m changes as both members say: a step to either side of the flow time."""

    def noise_given(y, nu):
        spread = STDS**2 + nu**2
        away = y[:, None] - MEANS
        each = SHARES * np.exp(-(away**2) / (2 * spread)) / np.sqrt(spread)
        return (each * nu / spread * away).sum(1) / each.sum(1)

    y, h = np.linspace(-3, 3, 25), 1e-5
    for tau in (0.1, 0.4, 0.8, 0.95):
        nu = tau / (1 - tau)
        z = noise_given(y, nu)
        x_0 = y - nu * z

        def move(to, nu=nu):
            steps = np.linspace(nu, to / (1 - to), 3)
            there = y
            for now, then in zip(steps, steps[1:], strict=False):  # midpoint rule
                middle = (now + then) / 2
                there = there + (then - now) * noise_given(there + (middle - now) * noise_given(there, now), middle)
            return (1 - to) * there

        slope = (move(tau + h) - move(tau - h)) / (2 * h)
        for member in (-y + z / (1 - tau), z - x_0):
            assert abs(slope - member).max() < 1e-6 * max(1, abs(slope).max())


def check_any_path():
    """Particles at the quantiles of one clock, moved by the mean of a' x_0 + k' z, are at those of another."""
    ranks, grid = np.array([0.05, 0.2, 0.31, 0.5, 0.9]), np.linspace(-12, 12, 400_001)

    def parts(x, a, k):
        variance = a**2 * STDS**2 + k**2
        away = x[:, None] - a * MEANS
        return SHARES * np.exp(-(away**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance), away / variance

    def mean_change(x, a, k, rate_a, rate_k):
        each, pull = parts(x, a, k)
        return (each * (rate_a * (MEANS + a * STDS**2 * pull) + rate_k * k * pull)).sum(1) / each.sum(1)

    paths = {  # the weights of image and noise and their slopes, and the ends of the clock
        "noise level": (lambda c: (1.0, c, 0.0, 1.0), (2.0, 0.2)),
        "angle": (lambda c: (np.cos(c), np.sin(c), -np.sin(c), np.cos(c)), (1.4, 0.2)),
        "flow time": (lambda c: (1 - c, c, -1.0, 1.0), (1.0, 0.1)),
        "none of these": (lambda c: (2 - c**2, np.exp(c), -2 * c, np.exp(c)), (0.7, 0.1)),
    }
    for name, (weights, (start, end)) in paths.items():

        def places(c, weights=weights):
            below = np.cumsum(parts(grid, *weights(c)[:2])[0].sum(1)) * (grid[1] - grid[0])
            return np.interp(ranks, below, grid)

        clock, x = np.linspace(start, end, 4001), places(start)
        for c, after in zip(clock, clock[1:], strict=False):
            x = x + (after - c) * mean_change(x, *weights(c))
        assert abs(x - places(end)).max() < 2e-3, name


# ---- what is read from the page


def z_of_path(s, v):
    return predict_z(s, v.x_t, v.t, v.x_0)


def u_of_path(s, v):
    return flow_from_z(s, v.x_t, v.t, z_of_path(s, v))


def levels(s, v):
    return (1 / s.snr).sqrt()


def flow_times(s, v):
    signal, noise = s.alpha_bar.sqrt(), s.one_minus_alpha_bar.sqrt()
    return noise / (signal + noise)


def angles(s, v):
    return torch.atan2(s.one_minus_alpha_bar.sqrt(), s.alpha_bar.sqrt())


def mean_slope(s, v):
    return flow_from_z(s, v.x_t, v.t, images(s)(v.x_t, v.t))


def score_hat(s, v):
    return score_from_z(s, v.z_hat, v.t)


def v_hat(s, v):
    return velocity(s, predict_x_0(s, v.x_t, v.t, v.z_hat), v.t, v.z_hat)


def u_hat(s, v):
    return flow_from_z(s, v.x_t, v.t, v.z_hat)


def ddim(s, v):
    """x_s of DDIM."""
    image, to = predict_x_0(s, v.x_t, v.t, v.z_hat), earlier(s, v)
    return q_sample_from_0(s, image, to, v.z_hat)


def q_sample_from_0(s, x_0, t, z):
    """The closed form, also at t = 0."""
    return s.alpha_bar[t].sqrt()[:, None] * x_0 + s.one_minus_alpha_bar[t].sqrt()[:, None] * z


def place(s, v):
    """x_t divided by the sum of its weights."""
    return v.x_t / (s.alpha_bar.sqrt() + s.one_minus_alpha_bar.sqrt())[v.t][:, None]


def place_after(s, v):
    """The same of x_s, after DDIM's step."""
    return ddim(s, v) / (s.alpha_bar.sqrt() + s.one_minus_alpha_bar.sqrt())[earlier(s, v)][:, None]


def second_guess(s, v):
    """What the network answers where DDIM's step arrives; any function of place and time."""
    return torch.tanh(ddim(s, v)) + earlier(s, v)[:, None].double() / s.T


def heun(s, v):
    rows = []
    for i, (t, to) in enumerate(zip(v.t.tolist(), earlier(s, v).tolist(), strict=True)):
        x, z = v.x_t[i : i + 1], v.z_hat[i : i + 1]
        rows.append(heun_step(s, x, t, to, z, 0 * x, ask=lambda there, at: torch.tanh(there) + at / s.T, clip=False))
    return torch.cat(rows)


def straight_heun(s, v):
    """Heun's method for the slope z - x_0 over the flow time, in the mix of image and noise."""
    to = earlier(s, v)
    signal, noise = s.alpha_bar.sqrt(), s.one_minus_alpha_bar.sqrt()
    total, tau = signal + noise, noise / (signal + noise)
    there, z = ddim(s, v), second_guess(s, v)
    slope = z - (there - noise[to][:, None] * z) / signal[to][:, None]
    leap = (tau[to] - tau[v.t])[:, None]
    return total[to][:, None] * (v.x_t / total[v.t][:, None] + leap * (u_hat(s, v) + slope) / 2)


S = {"s": earlier}
CLOCKS = {r"\nu": levels, r"\tau": flow_times, r"\lambda": angles}
DDIM = {**S, "x_s": ddim}
PLACES_OF_STEP = {
    **S,
    "m_t": place,
    "m_s": place_after,
    r"\hat{x}_0": lambda s, v: predict_x_0(s, v.x_t, v.t, v.z_hat),
    r"z_\theta": lambda s, v: v.z_hat,
    r"u_\theta": u_hat,
}

# A path with weights that depend on a clock in no special way; primes are derivatives by the clock.
PATH = [
    r"a' = \frac{d a}{d c}",
    r"k' = \frac{d k}{d c}",
    r"\nu' = \frac{d \nu}{d c}",
    r"k = a \nu",
    r"a = \exp\left(-c\right) + \frac{1}{1 + c}",
    r"\nu = c^3 + c",
]

# Two Gaussians in three pixels, with the means -A and A in each.
BELL = r"\frac{%s}{V \sqrt{V}} \exp\left(-\frac{\lVert %s \rVert^2}{2 V}\right)"
# The same blobs along the straight path: the density at m, and the average slope there by Bayes' rule.
AWAY = {-1: r"m + 1 - \tau", 1: r"m - 1 + \tau"}
PLACES = f"p = {BELL % ('0.3', AWAY[-1])} + {BELL % ('0.7', AWAY[1])}"
REGRESSION = r"\left(\frac{\tau - \left(1 - \tau\right) S}{V} \left(%s\right) %s 1\right)"
AVERAGE = (
    rf"U = \frac{{1}}{{p}} \left({BELL % ('0.3', AWAY[-1])} {REGRESSION % (AWAY[-1], '+')}"
    rf" + {BELL % ('0.7', AWAY[1])} {REGRESSION % (AWAY[1], '-')}\right)"
)
SPREAD = r"V = \left(1 - \tau\right)^2 S + \tau^2"

CHECKS = [
    identity("eq-clocks-of-weights", where={"m_t": place}, tables=CLOCKS),
    identity("eq-places-of-step", where=PLACES_OF_STEP, tables=CLOCKS),
    identity("eq-step-flow", where=PLACES_OF_STEP, tables=CLOCKS),
    identity("eq-alpha-bar-from-level", tables=CLOCKS),
    identity("eq-clocks", tables=CLOCKS),
    identity(
        "eq-v-slope",
        given=[r"x = \cos\left(\lambda\right) x_0 + \sin\left(\lambda\right) z"],
        scalar=[r"\lambda"],
    ),
    matches("eq-flow-slope", "u", u_of_path, where={"z": z_of_path}),
    matches(
        "eq-z-from-flow",
        "z",
        lambda s, v: z_from_flow(s, v.x_t, v.t, u_of_path(s, v)),
        where={"u": u_of_path},
    ),
    definition(
        "eq-marginal-slope",
        r"U(m, \tau) = \mathbb{E}[u \mid m]",
        "names the average slope",
    ),
    # Images from N(0.3, 0.49), for which the average slope U is a line.
    identity(
        "eq-flow-test",
        given=[
            r"\phi(m) = m^3 + m^2",
            r"u = z - x_0",
            r"U = \frac{\tau - 0.49 \left(1 - \tau\right)}{0.49 \left(1 - \tau\right)^2 + \tau^2}"
            r" \left(m - 0.3 \left(1 - \tau\right)\right) - 0.3",
        ],
        random={"x_0": (0.3, 0.7)},
        paths={"m": r"\left(1 - \tau\right) x_0 + \tau z"},
        vector=["m"],
        positive=[r"\tau"],
        pixels=1,
    ),
    identity("eq-flow-continuity", given=[AVERAGE, PLACES, SPREAD], vector=["m"], positive=["S", r"\tau"]),
    by_hand(
        "eq-flow-ode",
        r"\frac{d m}{d \tau} = U(m, \tau)",
        check_flow_ode,
        "a differential equation, solved for an exact mixture",
    ),
    by_hand(
        "eq-any-path",
        "\\begin{aligned}\n"
        r"\frac{d x}{d c} &= \mathbb{E}[a' x_0 + k' z \mid x] \\"
        "\n"
        r"&= a' \mathbb{E}[x_0 \mid x] + k' \mathbb{E}[z \mid x]"
        "\n\\end{aligned}",
        check_any_path,
        "a differential equation, solved for an exact mixture along four paths",
    ),
    # Given the place, u is its mean U plus a number a z whose mean is 0, for any a.
    identity("eq-flow-loss", given=["u = U + a z"], vector=["U", r"\hat{u}"], scalar=["a"]),
    matches(
        "eq-mean-slope-from-z",
        "U",
        mean_slope,
        where={r"\mathbb{E}[z \mid x_t]": mean_noise, r"\mathbb{E}[x_0 \mid x_t]": mean_image},
        last=-4,  # at the end x_t holds so little of x_0 that rounding is multiplied by thousands
    ),
    by_hand(
        "eq-flow-same-path",
        "\\begin{aligned}\n"
        r"\frac{d m}{d \tau} &= -y + \left(1 - \tau\right) \frac{1}{\left(1 - \tau\right)^2}"
        r" \mathbb{E}[z \mid y] \\[6pt]"
        "\n"
        r"&= -y + \frac{1}{1 - \tau} \mathbb{E}[z \mid y] \\[6pt]"
        "\n"
        r"&= \mathbb{E}[z \mid y] - \mathbb{E}[x_0 \mid y]"
        "\n\\end{aligned}",
        check_same_path,
        "a change along the paths of another ODE, measured for an exact mixture",
    ),
    identity("eq-step-v", where={**DDIM, r"v_\theta(x_t, t)": v_hat}, tables=CLOCKS),
    matches(
        "eq-heun-step",
        "x_s",
        heun,
        where={**S, r"z_\theta(\tilde{x}_s, s)": second_guess},
        tables=CLOCKS,
        first=3,  # so that s > 0: the last step is DDIM's
    ),
    matches(
        "eq-heun-flow",
        "x_s",
        straight_heun,
        where={**S, r"\tilde{x}_s": ddim, r"z_\theta(\tilde{x}_s, s)": second_guess},
        tables=CLOCKS,
    ),
]
ILLUSTRATIONS = [
    illustration(
        "\\begin{aligned}\n"
        r"\int \phi \frac{\partial p}{\partial \tau} \, d m &= \int \nabla \phi^\top U p \, d m \\[6pt]"
        "\n"
        r"&= -\int \phi \nabla \cdot \left(U p\right) d m"
        "\n\\end{aligned}",
        "integration by parts, whose result is the labelled equation after it",
    ),
]
