"""Checks of chapter 09, sampling."""

import torch

from ddpm_lite import GaussianChain, ddpm_step, linear_schedule, mean_from_noise
from equations.checks import by_hand, equivalent, identity, matches

MEAN, STD = 0.3, 0.7
DATA = {"m": str(MEAN), "s": str(STD)}
RANDOM_X_0 = {"x_0": (MEAN, STD)}
ANY_MEAN = {"where": {"m": str(MEAN)}, "scalar": ["k_t"]}


def oracle(s):
    return GaussianChain(s, MEAN, STD)


def slope(s, v):
    return oracle(s).line()[0]


def one_step(s, v):
    """The sampler's step at each t, not clipped, with sigma_t^2 = beta_tilde_t."""
    noise = v("z'")
    steps = [
        ddpm_step(s, v.x_t[i : i + 1], int(t), int(t) - 1, v.z_hat[i : i + 1], noise[i : i + 1], clip=False)
        for i, t in enumerate(v.t)
    ]
    return torch.cat(steps)


def mean_after(s, v, x_t):
    """The mean that a step of the oracle leads to, from x_t = 0 or 1 in every pixel."""
    x = torch.full_like(v.x_t, x_t)
    return mean_from_noise(s, x, v.t, oracle(s)(x, v.t))


def sigma(s, v):
    """The root of beta, and 0 at the last step."""
    table = s.beta.sqrt().clone()
    table[1] = 0
    return table


def right_variance(s, v):
    """Precisions add: that of x_{t-1} by itself, and what x_t says of it."""
    u = s.alpha_bar[v.t - 1] * STD**2 + s.one_minus_alpha_bar[v.t - 1]
    return 1 / (1 / u + s.alpha[v.t] / s.beta[v.t])


def spikes(schedule, t, grid):
    """A pixel that is +1 (probability 0.3) or -1, by quadrature over x_{t-1} and x_t, each on the grid.

    Density of x_t, variance of x_{t-1} given x_t, variance of x_0 given x_t.
    """
    values, chances = torch.tensor([[1.0, -1.0], [0.3, 0.7]], dtype=torch.float64)

    def density(x, mean, variance):
        return torch.exp(-((x - mean) ** 2) / (2 * variance)) / (2 * torch.pi * variance).sqrt()

    share, alpha, beta = schedule.alpha_bar[t - 1], schedule.alpha[t], schedule.beta[t]
    before = (chances * density(grid[:, None], share.sqrt() * values, 1 - share)).sum(1)  # of x_{t-1}
    joint = before * density(grid[:, None], alpha.sqrt() * grid, beta)  # (x_t, x_{t-1})
    width = grid[1] - grid[0]
    weight = joint.sum(1)
    mean = (joint @ grid) / weight
    variance = (joint @ grid**2) / weight - mean**2
    share = schedule.alpha_bar[t]
    of_value = chances * density(grid[:, None], share.sqrt() * values, 1 - share)
    of_value = of_value / of_value.sum(1, keepdim=True)
    image = (of_value @ values**2) - (of_value @ values) ** 2
    return weight * width, variance, image


SPIKES = (linear_schedule(20, 0.005, 0.999), torch.linspace(-7, 7, 4001, dtype=torch.float64))


def check_reverse_variance():
    schedule, grid = SPIKES
    for t in (3, 8, 15):
        _, variance, image = spikes(schedule, t, grid)
        factor = schedule.alpha_bar[t - 1] * schedule.beta[t] ** 2 / (1 - schedule.alpha_bar[t]) ** 2
        inside = grid.abs() < 2.5
        torch.testing.assert_close(
            variance[inside], (schedule.beta_tilde[t] + factor * image)[inside], rtol=1e-6, atol=0
        )
    assert image.max() > 0.5  # the second term matters


def check_variance_bounds():
    schedule, grid = SPIKES
    for t in (3, 8, 15):
        density, variance, _ = spikes(schedule, t, grid)
        average = (density * variance).sum() * (grid[1] - grid[0])
        u = 1 - schedule.alpha_bar[t - 1] * (1 - 0.84)  # x_0 has the variance 1 - 0.4^2
        alpha, beta = schedule.alpha[t], schedule.beta[t]
        line = beta * u / (alpha * u + beta)
        assert schedule.beta_tilde[t] < average < line < beta
    assert spikes(schedule, 3, grid)[1].max() > beta.new_tensor(2) * schedule.beta[3]  # at single x_t it fails


REVERSE_VARIANCE = (
    r"\operatorname{Var}(x_{t-1} \mid x_t) = \tilde{\beta}_t"
    r" + \frac{\bar{\alpha}_{t-1} \beta_t^2}{\left(1 - \bar{\alpha}_t\right)^2} \operatorname{Var}(x_0 \mid x_t)"
)
VARIANCE_BOUNDS = (
    r"\tilde{\beta}_t \le \mathbb{E}\left[\operatorname{Var}(x_{t-1} \mid x_t)\right]"
    r" \le \frac{\beta_t u}{\alpha_t u + \beta_t} \le \beta_t"
)

CHECKS = [
    # one t after the other, so not on a thousand of them
    matches(
        "eq-ddpm-step",
        "x_{t-1}",
        one_step,
        tables={r"\sigma": lambda s, v: s.beta_tilde.sqrt()},
        schedules=["coarse", "cosine"],
    ),
    identity("eq-pair-covariance", given=["eq-forward-step"], random={"x_{t-1}": (0.0, 1.0)}),
    by_hand("eq-reverse-variance", REVERSE_VARIANCE, check_reverse_variance, "a variance given x_t is a quadrature"),
    by_hand("eq-variance-bounds", VARIANCE_BOUNDS, check_variance_bounds, "inequalities, for one law of x_0"),
    identity("eq-variance-ratio"),
    identity("eq-oracle-mean", given=["eq-forward-closed"], where=DATA, random=RANDOM_X_0),
    identity("eq-oracle-variance", given=["eq-forward-closed"], where=DATA, random=RANDOM_X_0),
    identity("eq-oracle-covariance", given=["eq-forward-closed"], random=RANDOM_X_0),
    matches("eq-oracle-rest", "r", lambda s, v: v.z - oracle(s)(v.x_t, v.t), where=DATA, tables={"k": slope}),
    identity(
        "eq-oracle-uncorrelated",
        given=["eq-oracle-rest", "eq-forward-closed"],
        random=RANDOM_X_0,
        **ANY_MEAN,
    ),
    matches(
        "eq-oracle-slope",
        "k_t",
        lambda s, v: slope(s, v)[v.t],
        given=["eq-forward-closed"],
        where=DATA,
        random=RANDOM_X_0,
    ),
    matches("eq-oracle-gaussian", r"\mathbb{E}[z \mid x_t]", lambda s, v: oracle(s)(v.x_t, v.t), where=DATA),
    identity(
        "eq-oracle-step",
        given=["eq-ddpm-step", r"z_\theta(x_t, t) = k_t \left(x_t - \sqrt{\bar{\alpha}_t} m\right)"],
        positive=[r"\sigma_t"],
        **ANY_MEAN,
    ),
    identity(
        "eq-oracle-line",
        where={
            "c_t": lambda s, v: mean_after(s, v, 1.0) - mean_after(s, v, 0.0),
            "b_t": lambda s, v: mean_after(s, v, 0.0),
            **DATA,
        },
        tables={"k": slope},
    ),
    identity(
        "eq-oracle-chain",
        given=["eq-oracle-line"],
        where=DATA,
        tables={
            "M": lambda s, v: oracle(s).reverse_moments("beta")[0],
            "V": lambda s, v: oracle(s).reverse_moments("beta")[1],
            "k": slope,
            r"\sigma": sigma,
        },
    ),
    matches(
        "eq-right-variance",
        r"\sigma_t^2",
        right_variance,
        where={"u": r"\bar{\alpha}_{t-1} s^2 + 1 - \bar{\alpha}_{t-1}", **DATA},
    ),
]

EQUIVALENT = [
    equivalent("eq-pair-covariance", "x_{t - 1} -> x_t, 2nd", "x_{t-1} has variance 1 here, and then x_t has it too"),
]
