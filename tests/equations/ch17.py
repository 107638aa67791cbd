"""Checks of chapter 17, noise on the way back."""

import numpy as np
import sympy
import torch

from ddpm_lite import mean_from_noise
from equations.ch11 import LEAP
from equations.ch16 import (
    AVERAGE,
    CLOCKS,
    MEANS,
    MOVING,
    NODES,
    PLACES,
    SHARES,
    SPREAD,
    STDS,
    WEIGHTS,
    S,
    bump,
    mixture,
    score_hat,
    straight,
    vanishes,
)
from equations.checks import by_hand, definition, equivalent, identity, matches


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


# ---- a wrong density, and a wrong score


def lost(eta, t=0.8, b=1.3):
    """Densities w and p on a grid, the gradient Q of log(w / p), the error e of a score, and the velocities A and B."""
    grid = np.linspace(-7, 7, 14_001)
    p, score = mixture(grid, np.exp(-b * t / 2))
    w = np.exp(-((grid - 0.2) ** 2) / 1.2) / np.sqrt(1.2 * np.pi)
    own, e, f = (0.2 - grid) / 0.6, 0.4 * np.sin(2 * grid) + 0.1, -b / 2 * grid
    A = -f + (1 + eta**2) * b / 2 * (score + e) - eta**2 * b / 2 * own
    B = -f + (1 + eta**2) * b / 2 * score - eta**2 * b / 2 * score
    return grid, w, p, own - score, e, A, B


def check_two_velocities():
    """Averages of a function move by A as by drift and noise with the wrong score, and by B as back in time."""
    t, b, h = 0.8, 1.3, 1e-3
    for eta in (0.0, 0.6, 1.4):
        grid, w, p, _, e, A, B = lost(eta)
        phi, slope, curvature = bump(grid)
        drift = b / 2 * grid + (1 + eta**2) * b / 2 * (mixture(grid, np.exp(-b * t / 2))[1] + e)
        rate = (w * (drift * slope + eta**2 * b / 2 * curvature)).mean()
        assert abs((w * A * slope).mean() / rate - 1) < 1e-6, eta
        assert eta == 0 or abs((w * (A - eta**2 * b / 2 * grid) * slope).mean() / rate - 1) > 0.01
        before, after = ((mixture(grid, np.exp(-b * time / 2))[0] * phi).mean() for time in (t - h, t + h))
        assert abs((p * B * slope).mean() / ((before - after) / (2 * h)) - 1) < 1e-5, eta


def kl_rates(eta, t=0.8, b=1.3, h=1e-4):
    """How fast the divergence of w from p changes: measured, by its three terms, by two velocities, by the noise."""
    grid, w, p, Q, e, A, B = lost(eta)
    width = grid[1] - grid[0]
    moved, changed = (-np.gradient(velocity * density, width) for velocity, density in ((A, w), (B, p)))

    def divergence(sign):
        there, right = w + sign * h * moved, mixture(grid, np.exp(-b * (t - sign * h) / 2))[0]
        inside = there > 1e-12
        return (there[inside] * np.log(there[inside] / right[inside])).sum() * width

    measured = (divergence(1) - divergence(-1)) / (2 * h)
    terms = (moved * np.log(w / p) + moved - w / p * changed).sum() * width
    velocities = (w * (A - B) * Q).sum() * width
    noise = b / 2 * (w * ((1 + eta**2) * e * Q - eta**2 * Q**2)).sum() * width
    return measured, terms, velocities, noise, b / 2 * (w * (e * Q - eta**2 * Q**2)).sum() * width


def check_kl(place):
    for eta in (0.0, 0.6, 1.4):
        rates = kl_rates(eta)
        assert abs(rates[place] / rates[0] - 1) < 1e-3, (eta, rates)
        assert eta == 0 or abs(rates[-1] / rates[0] - 1) > 0.05, (eta, rates)  # the error without the factor of noise


def check_square():
    """The completed square, for vectors of five numbers; with another factor in its bracket it fails."""
    for eta, (e, Q) in zip((0.3, 1.0, 1.7), np.random.default_rng(0).standard_normal((3, 2, 5)), strict=True):
        left = (1 + eta**2) * e @ Q - eta**2 * Q @ Q
        first = (1 + eta**2) ** 2 / (4 * eta**2) * e @ e
        rights = [first - ((eta * Q - factor * e) ** 2).sum() for factor in ((1 + eta**2) / (2 * eta), 1 / (2 * eta))]
        assert abs(left - rights[0]) < 1e-12
        assert abs(left - rights[1]) > 1e-3


# ---- the density along the ODE


def check_divergence_product():
    """The product rule in each of two pixels; with the other sign of the gradient's term it fails."""
    x, y = sympy.symbols("x y")
    p, *V = (sympy.Function(name)(x, y) for name in ("p", "V_1", "V_2"))
    left = sum((v * p).diff(pixel) for v, pixel in zip(V, (x, y), strict=True))
    spread = sum(v.diff(pixel) for v, pixel in zip(V, (x, y), strict=True))
    along = sum(v * p.diff(pixel) for v, pixel in zip(V, (x, y), strict=True))
    vanishes(left - p * spread - along)
    assert sympy.simplify(left - p * spread + along) != 0


def check_log_density_path():
    """Each line for two pixels, as the mixture of two blobs in the plane moves by its probability-flow ODE."""
    b, t, h = 1.3, 0.8, 1e-4
    means, stds = np.array([[-0.6, 0.3], [0.5, -0.2]]), np.array([0.3, 0.2])

    def log_p(x, time):
        root = np.exp(-b * time / 2)
        variance = root**2 * stds**2 + 1 - root**2
        away = ((x - root * means) ** 2).sum(-1)
        return np.log((SHARES * np.exp(-away / (2 * variance)) / (2 * np.pi * variance)).sum())

    def gradient(function, x, step=1e-4):
        return np.array([(function(x + step * one) - function(x - step * one)) / (2 * step) for one in np.eye(2)])

    def V(x):
        return -b / 2 * (x + gradient(lambda y: log_p(y, t), x))

    for x in np.array([[0.4, -0.3], [-0.9, 0.8]]):
        density = np.exp(log_p(x, t))
        spread = sum(gradient(lambda y, i=i: V(y)[i], x)[i] for i in (0, 1))
        flux = sum(gradient(lambda y, i=i: V(y)[i] * np.exp(log_p(y, t)), x)[i] for i in (0, 1))
        slope = gradient(lambda y: np.exp(log_p(y, t)), x)
        change = (np.exp(log_p(x, t + h)) - np.exp(log_p(x, t - h))) / (2 * h)
        along = (log_p(x + h * V(x), t + h) - log_p(x - h * V(x), t - h)) / (2 * h)
        lines = [
            (log_p(x, t + h) - log_p(x, t - h)) / (2 * h) + V(x) @ slope / density,
            (change + V(x) @ slope) / density,
            (-flux + V(x) @ slope) / density,
            -spread,
        ]
        assert max(abs(line - along) for line in lines) < 1e-4 * abs(along), (along, lines)
        assert abs(spread - along) > 0.1


def check_log_density_ode():
    """The density of a particle of the mixture at both ends of a path over the noise level."""
    levels = np.geomspace(0.05, 20.0, 4001)

    def at(y, nu):
        """log p, the mean of z, and its slope by differences."""
        variance = STDS**2 + nu**2

        def mean(y):
            each = SHARES * np.exp(-((y - MEANS) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
            return np.log(each.sum()), (each * nu * (y - MEANS) / variance).sum() / each.sum()

        log_p, z = mean(y)
        return log_p, z, (mean(y + 1e-5)[1] - mean(y - 1e-5)[1]) / 2e-5

    for start in (0.4, -0.7):
        y, total = start, 0.0
        for nu, after in zip(levels, levels[1:], strict=False):
            width = after - nu
            _, z, slope = at(y, nu)
            _, z_after, slope_after = at(y + width * z, after)
            y, total = y + width * (z + z_after) / 2, total + width * (slope + slope_after) / 2
        first, last = at(start, levels[0])[0], at(y, levels[-1])[0]
        assert abs(first - last - total) < 1e-4, (first, last, total)
        assert abs(first - last + total) > 1


def check_rounding():
    """One pixel of a mixture: the probability of a grey value, and its bound, by quadrature."""
    nu = 0.01

    def density(y):
        return (SHARES * np.exp(-((y[..., None] - MEANS) ** 2) / (2 * STDS**2)) / np.sqrt(2 * np.pi) / STDS).sum(-1)

    for grey in (-0.75, 0.25, 0.5):
        cell = np.linspace(grey - 0.0625, grey + 0.0625, 2001)
        exact = -np.log(density(cell).mean() * 0.125)
        log_q = -(NODES**2) / 2 - np.log(2 * np.pi * nu**2) / 2
        log_p = WEIGHTS @ np.log(density(grey + nu * NODES))
        bound = -(1 + np.log(2 * np.pi * nu**2)) / 2 - log_p
        assert abs(WEIGHTS @ log_q - log_p - bound) < 1e-9
        assert exact < bound < exact + 3, (exact, bound)
        assert -bound - 2 * log_p < exact  # with the sign of the first term changed it is no bound


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


def scaled_mean(s, v):
    """The mean of DDPM's step, divided by the weight of the image at t - 1."""
    return mean_from_noise(s, v.x_t, v.t, v.z_hat) / s.alpha_bar[v.t - 1].sqrt()[:, None]


# The same, with a time r that runs backwards from 9.
BACKWARDS = MOVING | {"given": [*MOVING["given"], "t = 9 - r"], "positive": ["b", "r", "S"]}

# A path with weights that depend on a clock in no special way; primes are derivatives by the clock.
PATH = [
    r"a' = \frac{d a}{d c}",
    r"k' = \frac{d k}{d c}",
    r"\nu' = \frac{d \nu}{d c}",
    r"k = a \nu",
    r"a = \exp\left(-c\right) + \frac{1}{1 + c}",
    r"\nu = c^3 + c",
]

CHECKS = [
    identity("eq-fokker-planck-back", **BACKWARDS),
    identity("eq-reverse-density", **BACKWARDS, scalar=[r"\eta"]),
    by_hand(
        "eq-reverse-family",
        r"d x = \left(-f + \frac{\left(1 + \eta^2\right) b}{2} \nabla \log p\right) d r"
        r" + \eta \sqrt{b} \, d W",
        lambda: check_reverse_sde(0.0, 0.5, 1.0, 1.4),
        "averages of a function under a stochastic differential equation, for an exact mixture",
    ),
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
    by_hand(
        "eq-path-reverse",
        r"d x = \left(-V + \eta^2 k^2 \frac{\nu'}{\nu} \nabla \log p\right) d r"
        r" + \eta k \sqrt{\frac{2 \nu'}{\nu}} \, d W",
        check_path_reverse,
        "the table of paths, and averages under a stochastic differential equation, for an exact mixture of one pixel",
    ),
    identity("eq-level-step", tables=CLOCKS),
    matches(
        "eq-ancestral-ve",
        r"\frac{\mu_\theta(x_t, t)}{\sqrt{\bar{\alpha}_{t-1}}}",
        scaled_mean,
        where={r"s_\theta(x_t, t)": score_hat},
        tables=CLOCKS,
    ),
    identity("eq-flow-score", given=[AVERAGE, PLACES, SPREAD], vector=["m"], positive=["S", r"\tau"]),
    by_hand(
        "eq-flow-sde",
        r"d m = -\left(U + g \left(m + \left(1 - \tau\right) U\right)\right) d r + \sqrt{2 g \tau} \, d W",
        check_flow_sde,
        "averages under a stochastic differential equation, for an exact mixture of one pixel",
    ),
    by_hand(
        "eq-two-velocities",
        r"""\begin{aligned}
        A &= -f + \frac{\left(1 + \eta^2\right) b}{2} \left(\nabla \log p + e\right)
        - \frac{\eta^2 b}{2} \nabla \log w \\[6pt]
        B &= -f + \frac{\left(1 + \eta^2\right) b}{2} \nabla \log p - \frac{\eta^2 b}{2} \nabla \log p
        \end{aligned}""",
        check_two_velocities,
        "averages of a function of one pixel, under drift and noise and under a velocity alone",
    ),
    by_hand(
        "eq-kl-change",
        r"\frac{d}{d r} D_{\mathrm{KL}}(w \,\|\, p) = \int \left(\frac{\partial w}{\partial r} \log \frac{w}{p}"
        r" + \frac{\partial w}{\partial r} - \frac{w}{p} \frac{\partial p}{\partial r}\right) d x",
        lambda: check_kl(1),
        "a divergence of two densities of one pixel, by sums over a grid and a difference in time",
    ),
    by_hand(
        "eq-kl-velocities",
        r"\frac{d}{d r} D_{\mathrm{KL}}(w \,\|\, p) = \int w \left(A - B\right)^\top Q \, d x",
        lambda: check_kl(2),
        "a divergence of two densities of one pixel, by sums over a grid and a difference in time",
    ),
    by_hand(
        "eq-kl-noise",
        r"\frac{d}{d r} D_{\mathrm{KL}}(w \,\|\, p) = \frac{b}{2} \mathbb{E}\left["
        r"\left(1 + \eta^2\right) e^\top Q - \eta^2 \lVert Q \rVert^2\right]",
        lambda: check_kl(3),
        "a divergence of two densities of one pixel, by sums over a grid and a difference in time",
    ),
    by_hand(
        "eq-kl-square",
        r"\left(1 + \eta^2\right) e^\top Q - \eta^2 \lVert Q \rVert^2"
        r" = \frac{\left(1 + \eta^2\right)^2}{4 \eta^2} \lVert e \rVert^2"
        r" - \lVert \eta Q - \frac{1 + \eta^2}{2 \eta} e \rVert^2",
        check_square,
        "inner products of any vectors, in numbers",
    ),
    by_hand(
        "eq-divergence-product",
        r"\nabla \cdot \left(V p\right) = p \nabla \cdot V + V^\top \nabla p",
        check_divergence_product,
        "derivatives of any functions of two pixels, taken by SymPy",
    ),
    by_hand(
        "eq-log-density-path",
        r"""\begin{aligned}
        \frac{d}{d c} \log p(x, c) &= \frac{\partial}{\partial c} \log p
        + \left(\frac{d x}{d c}\right)^\top \nabla \log p \\[6pt]
        &= \frac{1}{p} \left(\frac{\partial p}{\partial c} + V^\top \nabla p\right) \\[6pt]
        &= \frac{1}{p} \left(-\nabla \cdot \left(V p\right) + V^\top \nabla p\right) \\[6pt]
        &= -\nabla \cdot V
        \end{aligned}""",
        check_log_density_path,
        "differences along a path, for an exact mixture of two pixels",
    ),
    by_hand(
        "eq-log-density-ode",
        r"\log p(y_1, \nu_1) = \log p(y_T, \nu_T)"
        r" + \int_{\nu_1}^{\nu_T} \nabla \cdot \mathbb{E}[z \mid y] \, d \nu",
        check_log_density_ode,
        "a differential equation, solved for an exact mixture of one pixel",
    ),
    by_hand(
        "eq-rounding-bound",
        r"""\begin{aligned}
        -\log P(x_0) &\le \mathbb{E}[\log q(y) - \log p(y)] \\[6pt]
        &= -\frac{d}{2} \left(1 + \log\left(2 \pi \nu_1^2\right)\right) - \mathbb{E}[\log p(y)]
        \end{aligned}""",
        check_rounding,
        "a bound, by quadrature for an exact mixture of one pixel",
    ),
]

EQUIVALENT = [
    equivalent("eq-path-step", "+ -> -, 1st", "the noise is symmetric: minus z' has the same distribution"),
]
