"""Checks of chapter 11, fewer steps."""

import torch

from ddpm_lite import (
    GaussianChain,
    GaussianMixture,
    ddim_step,
    linear_schedule,
    mean_from_noise,
    predict_x_0,
    predict_z,
    q_sample,
    respace,
)
from equations.checks import by_hand, gaussian, identity, matches

ETA, LAMBDA = 0.6, 0.7
MEAN, STD = 0.3, 0.7
A, B = torch.tensor([[0.4, -1.1, 0.9], [1.3, 0.2, -0.6]], dtype=torch.float64)


def earlier(s, v):
    """A time s < t for each t: about the half of it."""
    return (v.t - 1) // 2


def leap(s, v, x_t, z_hat, noise, eta=ETA, to=earlier):
    """The package's step from each t to its s; one t after the other."""
    pairs = zip(v.t.tolist(), to(s, v).tolist(), strict=True)
    rows = [
        ddim_step(s, x_t[i : i + 1], t, before, z_hat[i : i + 1], noise[i : i + 1], eta=eta, clip=False)
        for i, (t, before) in enumerate(pairs)
    ]
    return torch.cat(rows)


def unit(v, value=1.0):
    """One pixel, the same for each t."""
    return torch.full((len(v.t), 1), value, dtype=torch.float64)


def known(s, v):
    """x_s from the true image and the true noise in x_t."""
    return leap(s, v, q_sample(s, v.x_0, v.t, v.z), v.z, v("z'"))


def sigma(s, v):
    """What the package puts on fresh noise."""
    return leap(s, v, unit(v, 0.0), unit(v, 0.0), unit(v))


def sigma_1(s, v):
    """The same with eta = 1, to the neighbour t - 1."""
    return leap(s, v, unit(v, 0.0), unit(v, 0.0), unit(v), eta=1.0, to=neighbour)


def most(s, v):
    """The variance of fresh noise with eta = 1: that of the leap's posterior."""
    return leap(s, v, unit(v, 0.0), unit(v, 0.0), unit(v), eta=1.0) ** 2


def neighbour(s, v):
    return v.t - 1


def old_noise(s, v):
    """What the package leaves of the noise in x_t, if the image is 0."""
    return leap(s, v, q_sample(s, unit(v, 0.0), v.t, unit(v)), unit(v), unit(v, 0.0))


def middle(s, v):
    """The mean of x_s, if x_t and x_0 are known."""
    return leap(s, v, v.x_t, predict_z(s, v.x_t, v.t, v.x_0), torch.zeros_like(v.x_t))


def variance(s, v):
    return sigma(s, v) ** 2


def as_seen(s, v):
    return leap(s, v, v.x_t, v.z_hat, v("z'"))


def still(s, v):
    return leap(s, v, v.x_t, v.z_hat, v("z'"), eta=0.0)


def in_mind(s, v):
    return predict_x_0(s, v.x_t, v.t, v.z_hat)


def leap_beta(s, v):
    """One minus the product of the alphas on the way."""
    return torch.stack([1 - s.alpha[a + 1 : b + 1].prod() for a, b in zip(earlier(s, v), v.t, strict=True)])


def oracle(s):
    return GaussianChain(s, MEAN, STD)


def after(s, v, x_t):
    """Where the oracle's step leads from x_t = 0 or 1, with no fresh noise."""
    x = unit(v, x_t)
    return leap(s, v, x, oracle(s)(x, v.t), unit(v, 0.0))


def factor(s, v):
    return after(s, v, 1.0) - after(s, v, 0.0)


def offset(s, v):
    return after(s, v, 0.0)


def factor_1(s, v):
    x, y = unit(v), unit(v, 0.0)
    z, y_z = oracle(s)(x, v.t), oracle(s)(y, v.t)
    return leap(s, v, x, z, y, to=neighbour) - leap(s, v, y, y_z, y, to=neighbour)


def offset_1(s, v):
    y = unit(v, 0.0)
    return leap(s, v, y, oracle(s)(y, v.t), y, to=neighbour)


def sigma_neighbour(s, v):
    return leap(s, v, unit(v, 0.0), unit(v, 0.0), unit(v), to=neighbour)


def mixed(s, v):
    angle = torch.tensor(LAMBDA, dtype=torch.float64)
    return (angle.cos() * A + angle.sin() * B).expand(len(v.t), -1)


def first_start(s, v):
    return A.expand(len(v.t), -1)


def second_start(s, v):
    return B.expand(len(v.t), -1)


def means(s, v):
    return oracle(s).ddim_moments(ETA)[0]


def variances(s, v):
    return oracle(s).ddim_moments(ETA)[1]


def slope(s, v):
    return oracle(s).line()[0]


def times_of(spacing, time):
    """The display in code, for many T and S, against the package."""

    def check():
        for T in (20, 999, 1000):
            schedule = linear_schedule(T, 1e-4, 0.02)
            for S in (1, 2, 7, 10, 16, T):
                expected = [0] + [time(k, T, S) for k in range(1, S + 1)]
                assert respace(schedule, S, spacing).times.tolist() == expected

    return check


# ---- the probability-flow ODE

LEVEL_DENSITY = [r"g = g(y, \nu)", "eq-level-density"]
IMAGE = r"\exp\left(-\frac{\left(y %s 1\right)^2}{2 \nu^2}\right)"
SHARE = [rf"0.3 {IMAGE % '+'}", rf"0.7 {IMAGE % '-'}"]  # of -1 and of 1
TWO_IMAGES = [
    r"\mathbb{E}[z \mid y] = \frac{1}{p \nu^2} \left("
    rf"{SHARE[0]} \left(y + 1\right) + {SHARE[1]} \left(y - 1\right)\right)",
    rf"p = \frac{{1}}{{\nu}} \left({SHARE[0]} + {SHARE[1]}\right)",
]


def levels(s, v):
    return (1 / s.snr).sqrt()


def check_flow():
    """Particles at the quantiles of one level, moved by the ODE, lie at the quantiles of another."""
    schedule = linear_schedule(4000, 2e-5, 0.01)
    means, stds = torch.tensor([[-0.6], [0.5]], dtype=torch.float64), torch.tensor([0.3, 0.2], dtype=torch.float64)
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    blobs = GaussianMixture(schedule, means, stds, weights)
    nu = (1 / schedule.snr[1:]).sqrt()
    grid = torch.linspace(-9, 9, 200_001, dtype=torch.float64)

    def quantiles(level):
        bells = torch.distributions.Normal(means, (stds**2 + level**2).sqrt()[:, None])
        ranks = torch.tensor([0.05, 0.2, 0.31, 0.5, 0.9], dtype=torch.float64)
        return grid[torch.searchsorted(weights @ bells.cdf(grid), ranks)]

    start, end = 1200, 300
    y = quantiles(nu[start - 1])[:, None]
    for t in range(start, end, -1):
        slope = blobs(y * schedule.alpha_bar[t].sqrt(), torch.full((len(y),), t))
        y = y + (nu[t - 2] - nu[t - 1]) * slope
    torch.testing.assert_close(y[:, 0], quantiles(nu[end - 1]), rtol=0, atol=2e-3)


def factors(step):
    """What every step of a walk of the oracle multiplies an error by, t = 1..T."""
    schedule = linear_schedule()
    pixel = GaussianChain(schedule, MEAN, STD)
    ends = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    found = []
    for t in range(1, schedule.T + 1):
        x = step(schedule, ends, t, pixel(ends, t))
        found.append(float(x[1] - x[0]))
    share = schedule.alpha_bar[1:]
    return torch.tensor(found, dtype=torch.float64).cumprod(0), share, share * STD**2 + 1 - share


def check_error_still():
    product, _, variance = factors(lambda s, x, t, z: ddim_step(s, x, t, t - 1, z, 0 * x, clip=False))
    assert (product / (STD / variance.sqrt()) - 1).abs().max() < 0.01  # Euler's method with 1000 steps


def check_error_fresh():
    product, share, variance = factors(lambda s, x, t, z: mean_from_noise(s, x, t, z))
    torch.testing.assert_close(product, share.sqrt() * STD**2 / variance, rtol=1e-9, atol=0)


def check_error_ratio():
    still, share, variance = factors(lambda s, x, t, z: ddim_step(s, x, t, t - 1, z, 0 * x, clip=False))
    fresh = factors(lambda s, x, t, z: mean_from_noise(s, x, t, z))[0]
    assert (fresh / still / (share * STD**2 / variance).sqrt() - 1).abs().max() < 0.01


FLOW = [
    identity("eq-noise-level", given=["eq-forward-closed"], tables={r"\nu": levels}),
    matches("eq-level-density", r"g(y, \nu)", r"\mathcal{N}(y; x_0, \nu^2)", scalar=["y", "x_0"], positive=[r"\nu"]),
    identity("eq-level-change", given=LEVEL_DENSITY, scalar=["y", "x_0"], positive=[r"\nu"]),
    identity("eq-level-flux", given=LEVEL_DENSITY, scalar=["y", "x_0"], positive=[r"\nu"]),
    # The images are -1, with the probability 0.3, and 1; the mean of z by Bayes' rule.
    identity("eq-continuity", given=TWO_IMAGES, scalar=["y"], positive=[r"\nu"]),
    by_hand(
        "eq-flow",
        r"\frac{d y}{d \nu} = \mathbb{E}[z \mid y]",
        check_flow,
        "a differential equation, solved for an exact mixture",
    ),
    by_hand(
        "eq-error-still",
        r"e_0 = \frac{\sqrt{v}}{\sqrt{\bar{\alpha}_t v + 1 - \bar{\alpha}_t}} e_t",
        check_error_still,
        "a limit of small steps",
    ),
    by_hand(
        "eq-error-fresh",
        r"e_0 = \frac{\sqrt{\bar{\alpha}_t} v}{\bar{\alpha}_t v + 1 - \bar{\alpha}_t} e_t",
        check_error_fresh,
        "a product over all steps",
    ),
    by_hand(
        "eq-error-ratio",
        r"\rho_t = \frac{\sqrt{\bar{\alpha}_t v}}{\sqrt{\bar{\alpha}_t v + 1 - \bar{\alpha}_t}}",
        check_error_ratio,
        "the quotient of two products over all steps",
    ),
]

S = {"s": earlier}
LEAP = {**S, r"\sigma": sigma}
SEEN = r"\hat{x}_0 = \frac{1}{\sqrt{\bar{\alpha}_t}} \left(x_t - \sqrt{1 - \bar{\alpha}_t} z_\theta(x_t, t)\right)"
WIDTH = (  # what stands with z_theta
    r"\sqrt{1 - \bar{\alpha}_s - \sigma^2}"
    r" - \frac{\sqrt{\bar{\alpha}_s} \sqrt{1 - \bar{\alpha}_t}}{\sqrt{\bar{\alpha}_t}}"
)
WITH_BETA = (
    r"x_s = \sqrt{\bar{\alpha}_s} x_0 + \sqrt{1 - \bar{\alpha}_s - \tilde{\beta}_{\mathrm{leap}}} z"
    r" + \sqrt{\beta_{\mathrm{leap}}} z'"
)

CHECKS = [
    matches("eq-leap-try", "x_s", known, where={**LEAP, "u": old_noise}),
    identity("eq-leap-variance", given=["eq-leap-try"], where=S, scalar=["u"], positive=[r"\sigma"]),
    matches("eq-leap-old-noise", "u", old_noise, where=LEAP),
    matches("eq-leap", "x_s", known, where=LEAP),
    matches("eq-leap-middle", r"\mu_\sigma", middle, where=LEAP),
    gaussian(
        "eq-leap-density",
        r"q_\sigma(x_s \mid x_t, x_0)",
        mean=middle,
        variance=variance,
        given=["eq-leap-middle"],
        where=LEAP,
    ),
    identity("eq-leap-mean", given=["eq-leap"], where=LEAP),
    identity("eq-leap-marginal", given=["eq-leap"], where=LEAP),
    matches("eq-ddim-step", "x_s", as_seen, where={**LEAP, r"\hat{x}_0": in_mind}),
    matches("eq-ddim-sigma", r"\sigma", sigma, where={**S, r"\eta": str(ETA)}),
    identity("eq-ddim-sigma-neighbour", where={r"\sigma": sigma_1}),
    identity("eq-ddim-under-root"),
    identity("eq-ddim-weight-x-t"),
    identity("eq-ddim-weight-x-0"),
    matches("eq-ddim-still", "x_s", still, where={**S, r"\hat{x}_0": in_mind}),
    identity("eq-ddim-euler", given=["eq-ddim-still", SEEN], where=S),
    matches("eq-mix-starts", "x_T", mixed, where={r"\lambda": str(LAMBDA), "z": first_start, "z'": second_start}),
    identity(
        "eq-mix-variance",
        given=["eq-mix-starts"],
        where={r"\lambda": str(LAMBDA)},
        random={"z": (0.0, 1.0), "z'": (0.0, 1.0)},
    ),
    by_hand(
        "eq-trailing",
        r"t_k = \operatorname{round}\left(\frac{k T}{S}\right)",
        times_of("trailing", lambda k, T, S: round(k * T / S)),
        "rounding is no algebra",
    ),
    by_hand(
        "eq-leading",
        r"t_k = \left(k - 1\right) \left\lfloor \frac{T}{S} \right\rfloor + 1",
        times_of("leading", lambda k, T, S: (k - 1) * (T // S) + 1),
        "rounding is no algebra",
    ),
    identity("eq-leap-alpha", where=S, schedules=["coarse"]),
    matches("eq-leap-beta", r"\beta_{\mathrm{leap}}", leap_beta, where=S),
    matches("eq-ddim-sorted", "x_s", as_seen, where=LEAP),
    identity(
        "eq-ddim-line",
        where={"c": factor, "b": offset, "w": WIDTH, "m": str(MEAN), **LEAP},
        tables={"k": slope},
    ),
    identity(
        "eq-ddim-chain",
        where={"s": neighbour, "c": factor_1, "b": offset_1, r"\sigma": sigma_neighbour},
        tables={"M": means, "V": variances},
    ),
    identity(
        "eq-beta-excess",
        given=[WITH_BETA],
        where={**S, r"\beta_{\mathrm{leap}}": leap_beta, r"\tilde{\beta}_{\mathrm{leap}}": most},
    ),
    *FLOW,
]

EQUIVALENT = []
