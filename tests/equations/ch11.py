"""Checks of chapter 11, fewer steps."""

import torch

from ddpm_lite import GaussianChain, ddim_step, linear_schedule, predict_x_0, predict_z, q_sample, respace
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
    matches("eq-leap-try", "x_s", known, where={**LEAP, "c": old_noise}),
    identity("eq-leap-variance", given=["eq-leap-try"], where=S, scalar=["c"], positive=[r"\sigma"]),
    matches("eq-leap-old-noise", "c", old_noise, where=LEAP),
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
    matches("eq-mix-starts", "x_T", mixed, where={r"\lambda": str(LAMBDA), "a": first_start, "b": second_start}),
    identity(
        "eq-mix-variance",
        given=["eq-mix-starts"],
        where={r"\lambda": str(LAMBDA)},
        random={"a": (0.0, 1.0), "b": (0.0, 1.0)},
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
]

EQUIVALENT = []
