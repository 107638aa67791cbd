"""Checks of chapter 05, the training objective."""

import math
from functools import cache

import torch
from torch.distributions import Normal, kl_divergence

from ddpm_lite import (
    GaussianChain,
    GaussianMixture,
    bound_weight,
    decoder_nll,
    gaussian_kl,
    mean_from_noise,
    posterior,
    predict_x_0,
    predict_z,
    prior_bits_per_dim,
)
from equations import values
from equations.checks import by_hand, definition, equivalent, identity, matches

MU, MU_MODEL, Z_HAT, SIGMA = r"\tilde{\mu}_t", r"\mu_\theta(x_t, t)", r"\hat{z}", r"\sigma_t"

# A model's step for the checks of the telescope: any Gaussian will do.
STEP = r"\mathcal{N}(x_{t-1}; \frac{3}{4} x_t, \beta_t)"
MODEL = {
    r"p_\theta(x_{t-1} \mid x_t)": STEP,
    r"p_\theta(x_0 \mid x_1)": STEP.replace("x_{t-1}", "x_0").replace("_t", "_1"),
    "p(x_T)": r"\mathcal{N}(x_T; 0, 1)",
}
# A variance of the step back that is neither beta nor beta-tilde.
BETWEEN = r"\sqrt{\frac{1}{2} \left(\beta_t + \tilde{\beta}_t\right)}"

# Gaussian data of standard deviation s, with z' for the image: x_t, and the best noise, a multiple of it.
X_T = r"\left(\sqrt{\bar{\alpha}_t} s z' + \sqrt{1 - \bar{\alpha}_t} z\right)"
BEST = rf"\frac{{\sqrt{{1 - \bar{{\alpha}}_t}}}}{{\bar{{\alpha}}_t s^2 + 1 - \bar{{\alpha}}_t}} {X_T}"
SOME = rf"\frac{{1}}{{3}} {X_T} - \frac{{1}}{{5}} {X_T}^2"


def column(table):
    return table[:, None]


def log_normal(x, mean, variance):
    return Normal(mean, torch.as_tensor(variance, dtype=torch.float64).sqrt()).log_prob(x)


def path(v):
    return torch.from_numpy(v.path)


def log_model_path(s, v):
    """log p_theta(x_{0:T}) of MODEL, for each pixel."""
    x = path(v)
    steps = log_normal(x[:-1], 0.75 * x[1:], column(s.beta[1:])).sum(0)
    return (steps + log_normal(x[-1], 0.0, 1.0)).expand(len(v.t), -1)


def log_forward_path(s, v):
    """log q(x_{1:T} | x_0), for each pixel."""
    x = path(v)
    steps = log_normal(x[1:], column(s.alpha[1:]).sqrt() * x[:-1], column(s.beta[1:])).sum(0)
    return steps.expand(len(v.t), -1)


PATHS = MODEL | {
    r"p_\theta(x_{0:T})": lambda s, v: log_model_path(s, v).exp(),
    r"q(x_{1:T} \mid x_0)": lambda s, v: log_forward_path(s, v).exp(),
}


def z_of_path(s, v):
    return predict_z(s, v.x_t, v.t, v.x_0)


def mu_model(s, v):
    return mean_from_noise(s, v.x_t, v.t, v.z_hat)


def between(s, v):
    return (s.beta[v.t] + s.beta_tilde[v.t]) / 2


def step_divergence(s, v):
    """Of the posterior from the model's step, by torch.distributions, summed over pixels."""
    mean, variance = posterior(s, v.x_t, v.t, v.x_0)
    model = Normal(mu_model(s, v), column(between(s, v)).sqrt())
    return kl_divergence(Normal(mean, variance.sqrt()), model).sum(1)


MIDDLE = {SIGMA: BETWEEN, MU: lambda s, v: posterior(s, v.x_t, v.t, v.x_0)[0], MU_MODEL: mu_model}


# A network that halves what it gets: a simple one that depends on the noise.
SAID = r"z_\theta(\sqrt{\bar{\alpha}_t} x_0 + \sqrt{1 - \bar{\alpha}_t} z, t)"
HALF = r"\frac{1}{2} \left(\sqrt{\bar{\alpha}_t} x_0 + \sqrt{1 - \bar{\alpha}_t} z\right)"


def simple_loss(s, v):
    """E[(z - x_t / 2)^2], summed over pixels: the weight of z squared, and the image's part."""
    signal, noise = column(s.alpha_bar[v.t]).sqrt(), column(1 - s.alpha_bar[v.t]).sqrt()
    return ((1 - noise / 2) ** 2 + (signal * v.x_0 / 2) ** 2).sum(1)


# ---- what is no formula for SymPy


@cache
def two_steps():
    """The bound of a chain of two steps and one pixel, every integral a sum over a grid of (x_1, x_2)."""
    alpha, beta = (0.7, 0.4), (0.3, 0.6)
    x_0 = torch.tensor(0.6, dtype=torch.float64)
    line = torch.linspace(-9, 9, 601, dtype=torch.float64)
    area = (line[1] - line[0]) ** 2
    x_1, x_2 = torch.meshgrid(line, line, indexing="ij")
    q_1, q_2 = log_normal(x_1, alpha[0] ** 0.5 * x_0, beta[0]), log_normal(x_2, alpha[1] ** 0.5 * x_1, beta[1])
    p_2, p_1 = log_normal(x_2, 0.0, 1.0), log_normal(x_1, 0.5 * x_2 + 0.1, 0.5)
    p_0 = log_normal(x_0, 0.8 * x_1 - 0.1, 0.2)
    q, p = q_1 + q_2, p_0 + p_1 + p_2

    def average(value):
        return (q.exp() * value * area).sum()

    # The model is linear, so its x_0 is Gaussian, and its mean and variance are known.
    mean_1, var_1 = 0.1, 0.5**2 + 0.5
    exact = log_normal(x_0, 0.8 * mean_1 - 0.1, 0.8**2 * var_1 + 0.2)
    torch.testing.assert_close((p.exp() * area).sum().log(), exact)  # eq-model-image
    torch.testing.assert_close(average((p - q).exp()).log(), exact)  # eq-insert-forward
    bound = average(q - p)
    assert -exact <= bound  # eq-bound
    given_image = p - exact  # log p(x_1, x_2 | x_0)
    torch.testing.assert_close(bound, -exact + average(q - given_image))  # eq-bound-gap
    assert average(q - given_image) > 0

    bar = alpha[0] * alpha[1]
    var = beta[1] * beta[0] / (1 - bar)  # the posterior of x_1, from its precision and from its mean
    back = (alpha[1] ** 0.5 / beta[1] * x_2 + alpha[0] ** 0.5 / beta[0] * x_0) * var
    prior = average(log_normal(x_2, bar**0.5 * x_0, 1 - bar) - p_2)
    middle = average(log_normal(x_1, back, var) - p_1)
    torch.testing.assert_close(bound, prior + middle + average(-p_0))  # eq-bound-terms
    assert prior > 0
    assert middle > 0
    # eq-expectation-step: first x_2 from q(x_2 | x_0), then x_1 from the posterior
    q_2_alone, given = log_normal(line, bar**0.5 * x_0, 1 - bar).exp(), log_normal(x_1, back, var)
    inner = (given.exp() * (given - p_1)).sum(0) * area**0.5  # for each x_2
    torch.testing.assert_close((q_2_alone * inner).sum() * area**0.5, middle)
    exact_inner = kl_divergence(Normal(back[0], var**0.5), Normal(0.5 * line + 0.1, 0.5**0.5))
    torch.testing.assert_close((q_2_alone * exact_inner).sum() * area**0.5, middle)
    # eq-vae-bound: x_1, x_2 as one hidden variable
    torch.testing.assert_close(-average((p - q).exp()).log(), -exact)
    assert -average((p - q).exp()).log() <= average(q - p)


def tangent():
    """The line is above the logarithm everywhere and touches it at 1: a corrupted line does one or the other not."""
    y = torch.linspace(0.01, 30, 10_001, dtype=torch.float64)
    assert (y.log() <= y - 1 + 1e-12).all()
    assert math.log(1.0) == 1.0 - 1


def jensen():
    Y = torch.rand(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.01
    assert -Y.mean().log() < -Y.log().mean()
    assert -torch.full((3,), 0.7).mean().log() <= -torch.full((3,), 0.7).log().mean() + 1e-7


def decoder(s, v):
    return decoder_nll(v.x_0, v(r"\mu_\theta(x_1, 1)"), 0.3)


def step_divergence_of_image(s, v):
    """Of the posterior from a model's step of the same variance, by torch.distributions, summed over pixels."""
    mean, variance = posterior(s, v.x_t, v.t, v.x_0)
    return kl_divergence(Normal(mean, variance.sqrt()), Normal(mu_model(s, v), variance.sqrt())).sum(1)


@cache
def areas():
    """One Gaussian number: the sum of the middle terms, of 100,000 steps, against integrals and the logarithm."""
    std, T = 0.5, 100_000
    u = torch.logspace(4, -4, T, dtype=torch.float64)
    bar = u / (1 + u)
    beta = 1 - bar[1:] / bar[:-1]  # of t = 2 .. T
    tilde = (1 - bar[:-1]) / (1 - bar[1:]) * beta
    noise = bar * std**2 / (bar * std**2 + 1 - bar)  # the least loss of z at each u
    terms = beta**2 / (2 * tilde * (1 - beta) * (1 - bar[1:])) * noise[1:]
    g = noise * (1 - bar) / bar
    area = -torch.trapezoid(g, u) / 2
    torch.testing.assert_close(terms.sum(), area, rtol=1e-3, atol=0)  # eq-snr-area
    torch.testing.assert_close(area, -torch.trapezoid(std**2 / (1 + std**2 * u), u) / 2)
    ends = (1 + std**2 * u[0]) / (1 + std**2 * u[-1])
    torch.testing.assert_close(area, ends.log() / 2, rtol=1e-6, atol=0)  # eq-snr-area-gaussian
    by_logarithm = -torch.trapezoid(u * g, u.log()) / 2
    torch.testing.assert_close(area, by_logarithm, rtol=1e-6, atol=0)  # eq-log-snr-area


# ---- mixtures: the same numbers for a symbol of the page and for the package

K = 3
BLOB = {"m_k": 0.4, "s_k": 0.3, r"\omega_k": 0.6}  # one blob, where k is not summed over


def numbers(head, positive=False):
    """What the checks give to head_1 .. head_K (they draw a table, and its first rows do not depend on T)."""
    table = torch.from_numpy(values.dice(head, (K + 1, 1)))[1:, 0]
    return table.exp() if positive else table


def mixture(s):
    omega = numbers(r"\omega", positive=True)
    return GaussianMixture(s, numbers("m")[:, None], numbers("s", positive=True), omega / omega.sum())


def points(v):
    """x_t of one pixel, as points of a line."""
    return v.x_t.reshape(-1, 1)


def unnormalised_density(s, v):
    return mixture(s).log_density(points(v), v.t).exp() * numbers(r"\omega", positive=True).sum()


def one_blob(s, v):
    mean, variance = column(s.alpha_bar[v.t]).sqrt() * 0.4, column(s.alpha_bar[v.t] * 0.3**2 + 1 - s.alpha_bar[v.t])
    return log_normal(points(v), mean, variance).exp()


def two_blobs(s, v):
    means, stds = torch.tensor([[0.4], [-0.2]]).double(), torch.tensor([0.3, 0.5]).double()
    weights = torch.tensor([0.6, 0.4]).double()
    return GaussianMixture(s, means, stds, weights).log_density(points(v), v.t).exp()


def share(s, v):
    return 0.6 * one_blob(s, v) / column(two_blobs(s, v))


def two_values(s, v):
    """E[x_0 | x_t] for x_0 = -1 or 1, by Bayes' rule."""
    mean, variance = column(s.alpha_bar[v.t]).sqrt(), column(1 - s.alpha_bar[v.t])
    both = torch.stack([log_normal(v.x_t, -mean, variance), log_normal(v.x_t, mean, variance)]).softmax(0)
    return both[1] - both[0]


def constant(number):
    return lambda s, v: torch.full((len(v.t),), number, dtype=torch.float64)


ONE_BLOB = {symbol: constant(number) for symbol, number in BLOB.items()}
SUMMED = {"scalar": ["m_k"], "positive": ["s_k", r"\omega_k"], "pixels": 1, "where": {"K": str(K)}}
CHECKS = [
    identity("eq-model-path", where=PATHS, schedules=["coarse"]),
    definition(
        "eq-model-step",
        r"""p_\theta(x_{t-1} \mid x_t)
        = \mathcal{N}\left(x_{t-1}; \mu_\theta(x_t, t), \sigma_t^2 \mathbf{I}\right)""",
        "the form of the model's step is a choice",
    ),
    by_hand(
        "eq-model-image",
        r"p_\theta(x_0) = \int p_\theta(x_{0:T}) \, dx_{1:T}",
        two_steps,
        "an integral over paths is not parsed",
    ),
    identity("eq-forward-path", where=PATHS, schedules=["coarse"]),
    by_hand(
        "eq-insert-forward",
        r"""\begin{aligned}
        p_\theta(x_0) &= \int q(x_{1:T} \mid x_0) \frac{p_\theta(x_{0:T})}{q(x_{1:T} \mid x_0)} \, dx_{1:T} \\
        &= \mathbb{E}_{q}\left[ \frac{p_\theta(x_{0:T})}{q(x_{1:T} \mid x_0)} \right]
        \end{aligned}""",
        two_steps,
        "an integral over paths is not parsed",
    ),
    by_hand(
        "eq-tangent",
        r"\log u \le u - 1",
        tangent,
        "an inequality stays true when it is made weaker; that it is tight at 1 is not in the formula",
    ),
    by_hand(
        "eq-jensen",
        r"-\log\left(\mathbb{E}[Y]\right) \le -\mathbb{E}[\log Y]",
        jensen,
        "Y is any positive random number, and an inequality stays true when it is made weaker",
    ),
    by_hand(
        "eq-bound",
        r"""-\log p_\theta(x_0)
        \le \mathbb{E}_{q}\left[ -\log \frac{p_\theta(x_{0:T})}{q(x_{1:T} \mid x_0)} \right] = L""",
        two_steps,
        "an average over paths is not parsed",
    ),
    by_hand(
        "eq-bound-gap",
        r"""\begin{aligned}
        L &= -\log p_\theta(x_0) + \mathbb{E}_{q}\left[ \log \frac{q(x_{1:T} \mid x_0)}
        {p_\theta(x_{1:T} \mid x_0)} \right] \\
        &= -\log p_\theta(x_0)
        + D_{\mathrm{KL}}\left(q(x_{1:T} \mid x_0) \,\|\, p_\theta(x_{1:T} \mid x_0)\right)
        \end{aligned}""",
        two_steps,
        "an average over paths is not parsed",
    ),
    by_hand(
        "eq-vae-bound",
        r"""\begin{aligned}
        -\log p_\theta(x_0) &= -\log \mathbb{E}_{q}\left[ \frac{p(y) p_\theta(x_0 \mid y)}{q(y \mid x_0)} \right] \\
        &\le \mathbb{E}_{q}\left[ -\log \frac{p(y) p_\theta(x_0 \mid y)}{q(y \mid x_0)} \right]
        \end{aligned}""",
        two_steps,
        "an average over a hidden variable is not parsed",
    ),
    # the telescope
    identity("eq-bound-sum", where=PATHS, schedules=["coarse"]),
    identity("eq-step-turned", first=2),
    identity("eq-term-split", where=MODEL, first=2),
    identity("eq-telescope"),
    identity("eq-bound-sorted", where=PATHS, schedules=["coarse"]),
    by_hand(
        "eq-expectation-step",
        r"""\begin{aligned}
        & \mathbb{E}_{q}\left[ \log \frac{q(x_{t-1} \mid x_t, x_0)}{p_\theta(x_{t-1} \mid x_t)} \right] \\
        &= \mathbb{E}_{q(x_t \mid x_0)}\left[ \mathbb{E}_{q(x_{t-1} \mid x_t, x_0)}\left[
        \log \frac{q(x_{t-1} \mid x_t, x_0)}{p_\theta(x_{t-1} \mid x_t)} \right] \right] \\
        &= \mathbb{E}_{q(x_t \mid x_0)}\left[
        D_{\mathrm{KL}}\left(q(x_{t-1} \mid x_t, x_0) \,\|\, p_\theta(x_{t-1} \mid x_t)\right) \right]
        \end{aligned}""",
        two_steps,
        "averages over different densities are not parsed",
    ),
    by_hand(
        "eq-bound-terms", r"L = L_T + \sum_{t=2}^{T} L_{t-1} + L_0", two_steps, "its terms are averages over paths"
    ),
    matches(
        "eq-bound-prior",
        "L_T",
        lambda s, v: (
            kl_divergence(
                Normal(s.alpha_bar[-1].sqrt() * v.x_0, (1 - s.alpha_bar[-1]).sqrt()),
                Normal(torch.zeros(1).double(), torch.ones(1).double()),
            )
            .sum(1)
            .expand(len(v.t))
        ),
        where={"p(x_T)": MODEL["p(x_T)"]},
    ),
    matches(
        "eq-bound-middle",
        "L_{t-1}",
        step_divergence,
        where={
            r"p_\theta(x_{t-1} \mid x_t)": rf"\mathcal{{N}}(x_{{t-1}}; {MU_MODEL}, ({BETWEEN})^2)",
            MU_MODEL: mu_model,
        },
        first=2,
    ),
    matches(
        "eq-bound-last",
        "L_0",
        lambda s, v: -log_normal(path(v)[0], 0.75 * path(v)[1], s.beta[1]).expand(len(v.t), -1),
        where=MODEL,
    ),
    # Gaussians
    identity("eq-gaussian-log-ratio", scalar=["x", "m_1", "m_2"], positive=["v_1", "v_2"]),
    identity("eq-distance-from-elsewhere", scalar=["m_1", "m_2"], positive=["v_1"]),
    identity("eq-kl-gaussians", scalar=["m_1", "m_2"], positive=["v_1", "v_2"], pixels=1),
    identity("eq-kl-same-variance", scalar=["m_1", "m_2"], positive=["v"], pixels=1),
    matches("eq-middle-means", "L_{t-1}", step_divergence, given=["eq-middle-constant"], where=MIDDLE, first=2),
    matches(
        "eq-middle-constant",
        "c_t",
        lambda s, v: v.pixels * gaussian_kl(0.0, s.beta_tilde[v.t], 0.0, between(s, v)),
        where={SIGMA: BETWEEN},
        first=2,
    ),
    identity(
        "eq-mean-difference",
        where={MU: lambda s, v: mean_from_noise(s, v.x_t, v.t, v.z), MU_MODEL: mu_model},
    ),
    matches(
        "eq-bound-weight",
        "w_t",
        lambda s, v: bound_weight(s, "beta_tilde")[v.t],
        where={SIGMA: r"\sqrt{\tilde{\beta}_t}"},
        first=2,
    ),
    matches(
        "eq-weighted-noise-loss",
        "L_{t-1}",
        step_divergence,
        given=["eq-bound-weight", "eq-middle-constant"],
        where={SIGMA: BETWEEN, "z": z_of_path},
        first=2,
    ),
    matches("eq-simple-loss", r"L_{\mathrm{simple}}", simple_loss, where={SAID: HALF}),
    # the two ends
    matches(
        "eq-prior-bits",
        "L_T",
        lambda s, v: constant(v.pixels * math.log(2) * prior_bits_per_dim(s, 0.6**2))(s, v),
        random={"x_0": (0.0, 0.6)},
    ),
    matches(
        "eq-last-gaussian",
        r"p_\theta(x_0 \mid x_1)",
        lambda s, v: log_normal(v.x_0, v(r"\mu_\theta(x_1, 1)"), 0.3**2).sum(1).exp(),
        where={r"\sigma_1": r"\frac{3}{10}"},
    ),
    # Two pixels, neither of which is black or white: there the package's interval is open.
    matches("eq-decoder", r"-\log p_\theta(x_0 \mid x_1)", decoder, where={r"\sigma_1": r"\frac{3}{10}"}, pixels=2),
    # the least loss
    identity("eq-square-split", vector=["f"]),
    identity("eq-pythagoras", where={Z_HAT: BEST, "f": SOME}, positive=["s"]),
    identity("eq-least-loss", where={Z_HAT: BEST}, positive=["s"]),
    identity("eq-line-loss", given=["eq-forward-closed"], scalar=["a"], random={"x_0": (0.3, 0.5)}),
    identity("eq-left-over", given=["eq-forward-closed"], scalar=["a"], random={"x_0": (0.3, 0.5)}),
    identity("eq-least-loss-gaussian", where={Z_HAT: BEST}, positive=["s"]),
    matches(
        "eq-blob-variance",
        r"\tau_k",
        lambda s, v: s.alpha_bar[v.t] * 0.3**2 + s.one_minus_alpha_bar[v.t],
        where=ONE_BLOB,
    ),
    matches(
        "eq-blob-noise",
        r"\hat{z}_k",
        lambda s, v: GaussianChain(s, 0.4, 0.3)(v.x_t, v.t),
        given=["eq-blob-variance"],
        where=ONE_BLOB,
    ),
    matches("eq-mixture-density", "q(x_t)", unnormalised_density, given=["eq-blob-variance"], **SUMMED),
    matches(
        "eq-blob-share",
        r"\rho_k",
        share,
        given=["eq-blob-variance"],
        where=ONE_BLOB | {"q(x_t)": two_blobs},
        pixels=1,
    ),
    matches(
        "eq-oracle-mixture",
        r"\mathbb{E}[z \mid x_t]",
        lambda s, v: mixture(s)(points(v), v.t),
        given=["eq-blob-share", "eq-blob-noise", "eq-blob-variance"],
        **SUMMED | {"where": {"K": str(K), "q(x_t)": unnormalised_density}},
    ),
    # the bound as an area
    identity("eq-snr-weight", first=2),
    matches(
        "eq-snr-term",
        "L_{t-1}",
        step_divergence_of_image,
        where={r"\hat{x}_0": lambda s, v: predict_x_0(s, v.x_t, v.t, v.z_hat)},
        first=2,
    ),
    by_hand(
        "eq-snr-area",
        r"\sum_{t=2}^{T} L_{t-1} \to \frac{1}{2} \int_{\mathrm{SNR}_T}^{\mathrm{SNR}_1} g(u) \, du",
        areas,
        "a limit of many steps",
    ),
    identity("eq-snr-area-gaussian", positive=["s"]),
    identity("eq-log-snr-area", given=[r"g(u) = \frac{\exp\left(-u\right)}{1 + u}"], positive=["u"]),
    # the exercises
    identity("eq-v-weight", first=2),
    matches("eq-two-values", r"\mathbb{E}[x_0 \mid x_t]", two_values),
]

EQUIVALENT = [
    equivalent("eq-distance-from-elsewhere", "+ -> -, 1st", "z and -z have the same distribution"),
    equivalent("eq-simple-loss", "x_0 -> x_t, 1st", "below the E stands what it runs over; it changes no value"),
]
