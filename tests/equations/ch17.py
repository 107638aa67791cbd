"""Checks of chapter 17, noise in continuous time."""

import numpy as np
import sympy
import torch

from ddpm_lite import mean_from_noise
from equations.ch11 import LEAP
from equations.ch16 import AVERAGE, BELL, CLOCKS, MEANS, PATH, PLACES, SHARES, SPREAD, STDS, S, score_hat, straight
from equations.checks import by_hand, definition, equivalent, identity, matches

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(24)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def vanishes(expression):
    assert sympy.simplify(expression) == 0


def bump(x):
    """A smooth function, its two derivatives."""
    return np.sin(2 * x) + x**3, 2 * np.cos(2 * x) + 3 * x**2, -4 * np.sin(2 * x) + 6 * x


def mixture(y, root):
    """Density and score of the mixture at places y, where the weight of the image is `root`."""
    variance = root**2 * STDS**2 + 1 - root**2
    away = y[:, None] - root * MEANS
    each = SHARES * np.exp(-(away**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    return each.sum(1), (each * -away / variance).sum(1) / each.sum(1)


def quantiles(root, ranks):
    grid = np.linspace(-5, 5, 400_001)
    below = np.cumsum(mixture(grid, root)[0]) * (grid[1] - grid[0])
    return np.interp(ranks, below, grid)


def check_flow_of_sde():
    """Particles at the quantiles of one time, moved by the ODE, are at the quantiles of another, both ways."""
    b, ranks, steps = 1.0, np.array([0.05, 0.2, 0.31, 0.5, 0.9]), 4000
    start, end = 1.5, 0.3
    for first, last in ((start, end), (end, start)):
        x, times = quantiles(np.exp(-b * first / 2), ranks), np.linspace(first, last, steps + 1)
        for t, after in zip(times, times[1:], strict=False):
            x = x + (after - t) * -b / 2 * (x + mixture(x, np.exp(-b * t / 2))[1])
        assert abs(x - quantiles(np.exp(-b * last / 2), ranks)).max() < 2e-3


def check_reverse_step():
    """A step back of each eta gives the density before it, up to h^2: E[phi] of a mixture, by quadrature."""
    b, t = 1.0, 0.8
    for eta in (0.0, 0.5, 1.0, 1.3):
        errors = []
        for h in (0.02, 0.01):
            root, before = np.exp(-b * t / 2), np.exp(-b * (t - h) / 2)
            grid = np.linspace(-6, 6, 6001)
            density, score = mixture(grid, root)
            mean = grid + b * h / 2 * (grid + (1 + eta**2) * score)
            moved = np.array([bump(mean + eta * np.sqrt(b * h) * z)[0] for z in NODES])
            found = (density * (WEIGHTS @ moved)).sum() * (grid[1] - grid[0])
            exact = (mixture(grid, before)[0] * bump(grid)[0]).sum() * (grid[1] - grid[0])
            errors.append(abs(found - exact))
        assert 3 < errors[0] / errors[1] < 5, (eta, errors)


def check_reverse_sde(*etas):
    """The density of the forward process, backwards in time, moves averages as drift and noise of each SDE do."""
    b, t, h = 1.3, 0.8, 1e-3
    grid = np.linspace(-6, 6, 6001)
    width = grid[1] - grid[0]
    phi, slope, curvature = bump(grid)

    def mean_at(time):
        return (mixture(grid, np.exp(-b * time / 2))[0] * phi).sum() * width

    rate = (mean_at(t - h) - mean_at(t + h)) / (2 * h)
    density, score = mixture(grid, np.exp(-b * t / 2))
    f = -b / 2 * grid
    for eta in etas:
        drift = -f + (1 + eta**2) * b / 2 * score if len(etas) > 1 else b * (grid / 2 + score)
        expected = (density * (drift * slope + eta**2 * b / 2 * curvature)).sum() * width
        assert abs(rate - expected) < 1e-5 * abs(expected), (eta, rate, expected)


# ---- along the straight path


def check_path_reverse():
    """The table of paths by SymPy, then averages under the SDE along the straight path, for each eta."""
    c, x_0, z, speed = sympy.symbols("c x_0 z b", positive=True)
    bar = sympy.exp(-speed * c)  # DDPM's, at a constant rate
    sin, cos, tan = sympy.sin(c), sympy.cos(c), sympy.tan(c)
    nu = sympy.sqrt(1 - bar) / sympy.sqrt(bar)
    v = sympy.sqrt(bar) * z - sympy.sqrt(1 - bar) * x_0
    turned = cos * z - sin * x_0
    rows = [  # weights; drift as a multiple of the place, rate, velocity, score
        (sympy.sqrt(bar), sympy.sqrt(1 - bar), -speed / 2, speed, speed / (2 * nu) * v, -z / sympy.sqrt(1 - bar)),
        (cos, sin, -tan, 2 * tan, turned, -(cos * x_0 + sin * z) - turned / tan),
        (sympy.Integer(1), c, sympy.Integer(0), 2 * c, z, (x_0 - (x_0 + c * z)) / c**2),
        (1 - c, c, -1 / (1 - c), 2 * c / (1 - c), z - x_0, -((1 - c) * x_0 + c * z + (1 - c) * (z - x_0)) / c),
    ]
    for a, k, drift, rate, slope, score in rows:
        vanishes(a.diff(c) / a - drift)
        vanishes(2 * k**2 * sympy.log(k / a).diff(c) - rate)
        vanishes(a.diff(c) * x_0 + k.diff(c) * z - slope)
        vanishes(-z / k - score)
    tau, h, grid = 0.6, 1e-4, np.linspace(-6, 6, 6001)
    for eta in (0.0, 0.7, 1.0, 1.4):
        gain = eta**2 * tau / (1 - tau)
        assert error_back(tau, h, grid, lambda U, score, gain=gain: -U + gain * score, gain) < 1e-5
        if eta:
            assert error_back(tau, h, grid, lambda U, score, gain=gain: -U + 2 * gain * score, gain) > 0.01


def check_flow_sde():
    """Averages under the flow's SDE, for each g and at two times."""
    for tau in (0.3, 0.8):
        for g in (0.0, 0.5, 1.0, 4.0):
            grid = np.linspace(-6, 6, 6001)

            def drift(U, score, tau=tau, g=g, grid=grid):
                return -(U + g * (grid + (1 - tau) * U))

            assert error_back(tau, 1e-4, grid, drift, g * tau) < 1e-5
            if g:
                assert error_back(tau, 1e-4, grid, drift, 2 * g * tau) > 0.01


def error_back(tau, h, grid, drift, half_rate):
    """How far the change of E[phi] backwards in tau differs from what drift and half the rate of the noise give."""
    phi, slope, curvature = bump(grid)
    width = grid[1] - grid[0]

    def mean_at(time):
        return (straight(grid, time)[0] * phi).sum() * width

    density, U = straight(grid, tau)
    score = np.gradient(np.log(density), width, edge_order=2)
    expected = (density * (drift(U, score) * slope + half_rate * curvature)).sum() * width
    rate = (mean_at(tau - h) - mean_at(tau + h)) / (2 * h)
    return abs(rate / expected - 1)


# ---- what is read from the page


def image_weights(s, v):
    """Any positive weights of the image, one for each time."""
    return 1 + torch.sin(torch.arange(s.T + 1, dtype=torch.float64)) / 2


def by_score(s, v):
    """The mean of the package's step, whose network is read as a score."""
    return mean_from_noise(s, v.x_t, v.t, v.z_hat)


# Two Gaussians in three pixels, with the means -A and A in each: the density of the x of the SDE at the time t, for a
# constant rate b.
MOVING = {
    "given": [
        r"f = -\frac{b}{2} x",
        f"p = {BELL % ('0.3', 'x + A')} + {BELL % ('0.7', 'x - A')}",
        "V = A^2 S + 1 - A^2",
        r"A = \exp\left(-\frac{b t}{2}\right)",
    ],
    "vector": ["x"],
    "positive": ["b", "t", "S"],
}
# Two such blobs in two pixels, and any function of the place.
TESTED = [
    r"\phi(x) = \phi",
    r"\phi = \lVert x \rVert^2 + \cos\left(\lVert x + 1 \rVert^2\right) \exp\left(-\lVert x \rVert^2\right)",
    *(line.replace(r"V \sqrt{V}", r"2 \pi V") for line in MOVING["given"]),
]

# MOVING, with a time r that runs backwards from 9.
BACKWARDS = MOVING | {"given": [*MOVING["given"], "t = 9 - r"], "positive": ["b", "r", "S"]}


def bells(place, mean, shift, variance):
    """LaTeX of the density of two Gaussians in two pixels, around shift + mean and shift - mean in each."""
    bell = r"\exp\left(-\frac{\lVert %s - %s %s %s \rVert^2}{2 \left(%s\right)}\right)"
    one, two = (bell % (place, shift, sign, mean, variance) for sign in "-+")
    return rf"\frac{{1}}{{2 \pi \left({variance}\right)}} \left(0.7 {one} + 0.3 {two}\right)"


# The density p of the forward process, and a wrong one, w, of which A is the velocity.
TWO_DENSITIES = [
    r"f = -\frac{b}{2} x",
    f"p = {bells('x', 'a', '0', 'a^2 S + 1 - a^2')}",
    r"a = \exp\left(-\frac{b \left(4 - r\right)}{2}\right)",
    r"w = \frac{1}{2 \pi u} \exp\left(-\frac{\lVert x - m \rVert^2}{2 u}\right)",
    r"m = \frac{r^2}{8}",
    r"u = \frac{1}{2} + \frac{r}{4}",
]
LOST = {"scalar": [r"\eta"], "positive": ["b", "r", "S"], "pixels": 2}
# The gradient R, and the error of the score with which w moves as it does: by r / 4, and by 1 / (8 u) away from m.
ERRORS = [
    r"R = \nabla \log p - \nabla \log w",
    r"e = \frac{2}{\left(1 + \eta^2\right) b} \left("
    r"\frac{r}{4} + \frac{x - m}{8 u} + f + \frac{\eta^2 b}{2} \nabla \log w\right) - \nabla \log p",
    *TWO_DENSITIES,
]


# The variance of Gaussian data on the way back, and an error of the mean that was 1 at the quotient a^2 / V = 1.
FORGOTTEN = {
    "given": [
        r"\delta = \sqrt{V} \exp\left(-\frac{\eta^2}{2} \log \frac{a^2}{V}\right)",
        "V = a^2 S + 1 - a^2",
        r"a = \exp\left(-\frac{b \left(4 - r\right)}{2}\right)",
    ],
    "scalar": [r"\eta"],
    "positive": ["b", "r", "S"],
}

CHECKS = [
    identity("eq-small-root"),
    identity("eq-step-change", given=["eq-forward-step"]),
    definition("eq-sde", r"d x = -\frac{b}{2} x \, d t + \sqrt{b} \, d W", "names the limit of eq-step-change"),
    identity("eq-alpha-bar-limit", within=5e-5, last=-930, schedules=["paper"]),
    identity("eq-test-function", given=TESTED, densities={"x": "p"}, vector=["x"], positive=["b", "t", "S"], pixels=2),
    identity("eq-fokker-planck", **MOVING),
    identity("eq-score-times-density", **MOVING),
    identity("eq-fokker-planck-score", **MOVING),
    by_hand(
        "eq-flow-of-sde",
        r"\frac{d x}{d t} = -\frac{b}{2} \left(x + \nabla \log p\right)",
        check_flow_of_sde,
        "a differential equation, solved for an exact mixture",
    ),
    identity("eq-fokker-planck-back", **BACKWARDS),
    identity("eq-reverse-density", **BACKWARDS, scalar=[r"\eta"]),
    by_hand(
        "eq-reverse-family",
        r"d x = \left(-f + \frac{\left(1 + \eta^2\right) b}{2} \nabla \log p\right) d r"
        r" + \eta \sqrt{b} \, d W",
        lambda: check_reverse_sde(0.0, 0.5, 1.0, 1.4),
        "averages of a function under a stochastic differential equation, for an exact mixture",
    ),
    definition(
        "eq-langevin",
        r"d x = \frac{\eta^2 b}{2} \nabla \log p \, d r + \eta \sqrt{b} \, d W",
        "names the two terms that eta adds to the ODE in eq-reverse-family",
    ),
    identity("eq-langevin-rest", **BACKWARDS, scalar=[r"\eta"]),
    by_hand(
        "eq-reverse-sde",
        r"d x = b \left(\frac{x}{2} + \nabla \log p\right) d r + \sqrt{b} \, d W",
        lambda: check_reverse_sde(1.0),
        "averages of a function under a stochastic differential equation, for an exact mixture",
    ),
    by_hand(
        "eq-reverse-step",
        r"x_{t-h} \approx x + \frac{b h}{2} \left(x + \left(1 + \eta^2\right) \nabla \log p\right)"
        r" + \eta \sqrt{b h} z'",
        check_reverse_step,
        "a step whose error is of the second order, measured for an exact mixture",
    ),
    matches(
        "eq-mean-from-score",
        r"\mu_\theta(x_t, t)",
        by_score,
        where={r"s_\theta(x_t, t)": score_hat},
    ),
    identity("eq-eta-room", where=LEAP, first=3),  # so that s > 0: else both roots are 0
    identity("eq-eta-shift", where={**LEAP, r"s_\theta(x_t, t)": score_hat}),
    # The flux of a density under drift and noise, divided by the density.
    identity(
        "eq-two-velocities",
        given=[
            r"A = \frac{1}{w} \left(C w - \frac{\eta^2 b}{2} \nabla w\right)",
            r"B = \frac{1}{p} \left(D p - \frac{\eta^2 b}{2} \nabla p\right)",
            r"C = D + \frac{\left(1 + \eta^2\right) b}{2} e",
            r"D = -f + \frac{\left(1 + \eta^2\right) b}{2 p} \nabla p",
            *TWO_DENSITIES,
        ],
        vector=["x", "e"],
        **LOST,
    ),
    identity("eq-kl-change", given=TWO_DENSITIES, vector=["x"], **LOST),
    identity("eq-kl-velocities", given=["eq-two-velocities", *ERRORS], vector=["x"], densities={"x": "p"}, **LOST),
    identity("eq-kl-noise", given=ERRORS, vector=["x"], densities={"x": "p"}, **LOST),
    identity("eq-kl-square", vector=["e", "R"], scalar=[r"\eta"]),
    # With eta = 1 and data N(0, 1), the error 3 m / 4 moves the mean of w at the rate b m / 4: nearly the bound.
    identity(
        "eq-kl-bound",
        given=[
            r"p = \frac{1}{2 \pi} \exp\left(-\frac{\lVert x \rVert^2}{2}\right)",
            r"w = \frac{1}{2 \pi} \exp\left(-\frac{\lVert x - m \rVert^2}{2}\right)",
            r"e = \frac{3}{4} m",
            r"m = \exp\left(\frac{b r}{4}\right)",
            "b = 3",
        ],
        vector=["x"],
        positive=["r"],
        pixels=2,
        densities={"x": "p"},
    ),
    identity("eq-forget-mean", **FORGOTTEN),
    identity("eq-forget-variance", **FORGOTTEN),
    identity("eq-forget", **FORGOTTEN),
    identity(
        "eq-path-step",
        given=[r"x_t = a_t x_0 + a_t \nu_t z", r"x_s = a_s x_0 + a_s \nu_s z"],
        where=S,
        tables={**CLOCKS, "a": image_weights},
        in_distribution=True,
    ),
    # The variance k^2 of the noise grows by what the drift does to it, 2 k^2 a' / a, and by b.
    identity("eq-path-rate", given=[r"b = 2 k k' - 2 k^2 \frac{a'}{a}", *PATH], positive=["c"]),
    definition(
        "eq-path-sde",
        r"d x = \frac{a'}{a} x \, d c + k \sqrt{\frac{2 \nu'}{\nu}} \, d W",
        "names the limit of eq-path-step",
    ),
    # The place a y, moved by the ODE of y over nu; the means are any numbers.
    identity(
        "eq-same-ode",
        given=[
            r"\mathbb{E}[z \mid x] = n",
            r"\mathbb{E}[x_0 \mid x] = i",
            r"\frac{d x}{d c} = a' y + a \nu' n",
            r"y = \frac{x}{a}",
            "x = a i + k n",
            *PATH,
        ],
        vector=["n", "i"],
        positive=["c"],
    ),
    identity(
        "eq-place-rate",
        given=[
            r"\mathbb{E}[z \mid x] = n",
            r"\frac{d x}{d c} = \frac{a'}{a} x + k \frac{\nu'}{\nu} n",
            r"\frac{d y}{d c} = \nu' n",
            *PATH,
        ],
        vector=["n", "x"],
        positive=["c"],
    ),
    by_hand(
        "eq-path-reverse",
        r"d x = \left(-V + \eta^2 k^2 \frac{\nu'}{\nu} \nabla \log p\right) d r"
        r" + \eta k \sqrt{\frac{2 \nu'}{\nu}} \, d W",
        check_path_reverse,
        "the table of paths, and averages under a stochastic differential equation, for an exact mixture of one pixel",
    ),
    identity("eq-flow-score", given=[AVERAGE, PLACES, SPREAD], vector=["m"], positive=["S", r"\tau"]),
    by_hand(
        "eq-flow-sde",
        r"d m = -\left(U + g \left(m + \left(1 - \tau\right) U\right)\right) d r + \sqrt{2 g \tau} \, d W",
        check_flow_sde,
        "averages under a stochastic differential equation, for an exact mixture of one pixel",
    ),
]

EQUIVALENT = [
    equivalent(
        "eq-kl-change", "+ -> -, 1st", "the integral of p stays 1, so the one of its change is 0 with either sign"
    ),
    equivalent("eq-path-step", "+ -> -, 1st", "the noise is symmetric: minus z' has the same distribution"),
]
