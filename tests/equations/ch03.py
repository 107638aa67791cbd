"""Checks of chapter 03, the posterior."""

import torch

from ddpm_lite import linear_schedule, posterior
from equations.checks import by_hand, gaussian, identity, matches

MU, F, C = r"\tilde{\mu}_t", "f(x_{t-1})", "C(x_t, x_0)"
POSTERIOR = r"q(x_{t-1} \mid x_t, x_0)"
MEAN, STD = 0.3, 0.5  # of Gaussian data, where a check needs q(x_0)
COARSE = {"T": 10, "beta_1": 0.04, "beta_T": 0.5}  # the chapter's ten steps


def column(table):
    return table[:, None]


def log_normal(x, mean, variance):
    return torch.distributions.Normal(mean, variance.sqrt()).log_prob(x)


def mu_tilde(s, v):
    return posterior(s, v.x_t, v.t, v.x_0)[0]


def three_terms(s, v):
    """The forward step, the prior and the evidence: (value, mean, variance) of each."""
    now, before = column(s.alpha_bar[v.t]), column(s.alpha_bar[v.t - 1])
    step = v.x_t, column(s.alpha[v.t]).sqrt() * v.x_prev, column(s.beta[v.t])
    return step, (v.x_prev, before.sqrt() * v.x_0, 1 - before), (v.x_t, now.sqrt() * v.x_0, 1 - now)


def joint(s, v):
    """log q(x_{t-1}, x_t | x_0), as the bivariate Gaussian with the covariance of two times of one path."""
    _, (_, mean_before, var_before), (_, mean_now, var_now) = three_terms(s, v)
    both = column(s.alpha[v.t]).sqrt() * var_before
    rows = torch.stack([torch.cat([var_before, both], 1), torch.cat([both, var_now], 1)], 1)
    pair = torch.distributions.MultivariateNormal(torch.stack([mean_before, mean_now], -1), rows[:, None])
    return pair.log_prob(torch.stack([v.x_prev, v.x_t], -1))


def exponent(s, v):
    """-2 log of the posterior, without what stands in front of the three Gaussians."""
    log = [log_normal(*term) + (2 * torch.pi * term[2]).log() / 2 for term in three_terms(s, v)]
    return -2 * (log[0] + log[1] - log[2])


def rest(s, v):
    """What the exponent is at x_{t-1} = 0."""
    (x_t, _, beta), (_, mean, variance), last = three_terms(s, v)
    return x_t**2 / beta + mean**2 / variance - (last[0] - last[1]) ** 2 / last[2]


def marginal(s, t):
    """Mean and variance of q(x_t), if x_0 is Gaussian."""
    return s.alpha_bar[t].sqrt() * MEAN, s.alpha_bar[t] * STD**2 + 1 - s.alpha_bar[t]


def reversed_step(s, t, x_t):
    """Mean and variance of q(x_{t-1} | x_t) for that data, by regression of x_{t-1} on x_t."""
    (mean_before, before), (mean_now, now) = marginal(s, t - 1), marginal(s, t)
    slope = s.alpha[t].sqrt() * before / now
    return mean_before + slope * (x_t - mean_now), before - slope**2 * now


def back_of_gaussian(s, v):
    rows = v.x_t.reshape(len(v.t), -1)  # also of a single pixel
    mean, variance = zip(*(reversed_step(s, int(t), x) for t, x in zip(v.t, rows, strict=True)), strict=True)
    return torch.stack(mean), column(torch.stack(variance))


def reversed_density(s, v):
    return log_normal(v.x_prev, *back_of_gaussian(s, v)).exp()


def marginal_density(s, v, back=0):
    mean, variance = marginal(s, v.t - back)
    return log_normal(v.x_prev if back else v.x_t, column(mean), column(variance)).exp()


OVER_IMAGES = {
    "given": [
        r"q(x_0 \mid x_t) = \frac{1}{n} q(x_t \mid x_0) q(x_0)",
        rf"q(x_0) = \mathcal{{N}}(x_0; {MEAN}, {STD**2})",
    ],
    "where": {"n": marginal_density},
    "first": 4,
    "schedules": ["coarse"],
}


def two_images(s, v):
    """x_0 = -1 or 1: their weights given x_t, and the means and the variance of x_{t-1} for each, by precisions."""
    before, now = s.alpha_bar[v.t - 1], s.alpha_bar[v.t]
    weight = torch.stack([log_normal(v.x_t, sign * column(now.sqrt()), column(1 - now)) for sign in (-1, 1)])
    variance = column(1 / (s.alpha[v.t] / s.beta[v.t] + 1 / (1 - before)))
    step = column(s.alpha[v.t].sqrt() / s.beta[v.t]) * v.x_t
    means = torch.stack([variance * (step + sign * column(before.sqrt() / (1 - before))) for sign in (-1, 1)])
    return weight.softmax(0), means, variance


def image_mean(s, v):
    weight, _, _ = two_images(s, v)
    return weight[1] - weight[0]


def image_variance(s, v):
    weight, _, _ = two_images(s, v)
    return 4 * weight[0] * weight[1]


def back_mean(s, v):
    weight, means, _ = two_images(s, v)
    return (weight * means).sum(0)


def from_image(s, v):
    """The part of the variance of x_{t-1} that comes from not knowing the image."""
    weight, means, _ = two_images(s, v)
    return weight[0] * weight[1] * (means[1] - means[0]) ** 2


def back_variance(s, v):
    return two_images(s, v)[2] + from_image(s, v)


def wide_share(s, v):
    """r_t for Gaussian data of standard deviation 30, where it is near its bound, by precisions."""
    before = s.alpha_bar[v.t - 1] * 30**2 + 1 - s.alpha_bar[v.t - 1]
    return column(1 / (s.alpha[v.t] / s.beta[v.t] + 1 / before) / s.beta_tilde[v.t] - 1)


def image_moments(s, v):
    """Mean and variance of q(x_0 | x_t) for Gaussian data, by regression of x_0 on x_t."""
    mean, variance = marginal(s, v.t)
    slope = s.alpha_bar[v.t].sqrt() * STD**2 / variance
    left_over = STD**2 * (1 - s.alpha_bar[v.t]) / variance
    return MEAN + column(slope) * (v.x_t.reshape(len(v.t), -1) - column(mean)), column(left_over)


def image_density(s, v):
    return log_normal(v.x_0, *image_moments(s, v)).exp()


def back_curves(s, t, x_t):
    """For two images: a grid of x_{t-1}, their weights, and the posterior of each, its mean and variance."""
    x = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    images = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    forward = log_normal(torch.tensor(x_t), s.alpha_bar[t].sqrt() * images, s.one_minus_alpha_bar[t])
    mean, variance = posterior(s, torch.full_like(images, x_t), t, images)
    return x, forward.softmax(0), log_normal(x, mean, variance).exp(), mean, variance


def divergence(x, first, second):
    return (first * (first / second).log()).sum(-1) * (x[1] - x[0])


def targets():
    """eq-reverse-target, for two images and a model's step that is no Gaussian either."""
    for t, x_t in ((3, 0.1), (7, -0.6)):
        s = linear_schedule(**COARSE)
        x, share, known, mean, variance = back_curves(s, t, x_t)
        step_back = (share * known).sum(0)
        wide, narrow = torch.tensor(2.0), torch.tensor(1.5)
        model = 0.4 * log_normal(x, 0.2, wide).exp() + 0.6 * log_normal(x, -0.5, narrow).exp()
        constant = (share[:, 0] * divergence(x, known, step_back)).sum()
        assert constant > 0.01
        each = (share[:, 0] * divergence(x, known, model)).sum()
        torch.testing.assert_close(each, constant + divergence(x, step_back, model))
        # eq-reverse-kl, which its own check reads with Gaussian data
        gauss = log_normal(x, (share * mean).sum(), variance).exp()
        half = 2 * (s.snr[t - 1] - s.snr[t]) * share.prod()
        assert divergence(x, step_back, gauss) <= half
        assert divergence(x, step_back, gauss) > half / 2 or t > 3  # the coarse step is near the bound


def gaussian_share(s, v):
    """r_t for Gaussian data, by precisions: what x_{t-1} has less of without the image, over what remains."""
    image, noise = s.alpha_bar[v.t - 1] * STD**2, 1 - s.alpha_bar[v.t - 1]
    less = image / (noise * (image + noise))  # 1 / noise - 1 / (image + noise)
    return column(less / (s.alpha[v.t] / s.beta[v.t] + 1 / (image + noise)))


def joint_covariance(s, v):
    """Of x_{t-1} and x_t for a given x_0, from the precisions of the prior and of the forward step."""
    alpha, beta = s.alpha[v.t], s.beta[v.t]
    cross = -alpha.sqrt() / beta
    before = alpha / beta + 1 / (1 - s.alpha_bar[v.t - 1])
    precision = torch.stack([torch.stack([before, cross], -1), torch.stack([cross, 1 / beta], -1)], -2)
    return column(torch.linalg.inv(precision)[:, 0, 1])


TARGET = r"""
\begin{aligned}
& \mathbb{E}_{q(x_0 \mid x_t)}\left[ D_{\mathrm{KL}}\left(q(x_{t-1} \mid x_t, x_0)
    \,\|\, p_\theta(x_{t-1} \mid x_t)\right) \right] \\[6pt]
&= \mathbb{E}\left[ \log q(x_{t-1} \mid x_t, x_0) - \log p_\theta(x_{t-1} \mid x_t) \mid x_t \right] \\[6pt]
&= \mathbb{E}\left[ \log q(x_{t-1} \mid x_t, x_0) - \log q(x_{t-1} \mid x_t) \mid x_t \right] \\[6pt]
&\quad {} + \mathbb{E}\left[ \log q(x_{t-1} \mid x_t) - \log p_\theta(x_{t-1} \mid x_t) \mid x_t \right] \\[6pt]
&= \mathbb{E}_{q(x_0 \mid x_t)}\left[ D_{\mathrm{KL}}\left(q(x_{t-1} \mid x_t, x_0)
    \,\|\, q(x_{t-1} \mid x_t)\right) \right] \\[6pt]
&\quad {} + D_{\mathrm{KL}}\left(q(x_{t-1} \mid x_t)
    \,\|\, p_\theta(x_{t-1} \mid x_t)\right)
\end{aligned}
"""

# The image is not known, and the data are Gaussian: x_0 is its mean, given x_t, plus noise.
IMAGE = r"\left(m_2 + \sqrt{v_2} z''\right)"
FROM_IMAGE = (
    r"\frac{\sqrt{\alpha_t} (1 - \bar{\alpha}_{t-1})}{1 - \bar{\alpha}_t} x_t"
    rf" + \frac{{\sqrt{{\bar{{\alpha}}_{{t-1}}}} \beta_t}}{{1 - \bar{{\alpha}}_t}} {IMAGE}"
)
UNKNOWN = {
    MU: FROM_IMAGE,
    POSTERIOR: rf"\mathcal{{N}}(x_{{t-1}}; {FROM_IMAGE}, \tilde{{\beta}}_t)",
    r"q(x_{t-1} \mid x_t)": r"\mathcal{N}(x_{t-1}; m_1, v_1)",
    r"p_\theta(x_{t-1} \mid x_t)": r"\mathcal{N}(x_{t-1}; m_1, \tilde{\beta}_t)",
    r"\mathbb{E}[x_{t-1} \mid x_t]": "m_1",
    r"\operatorname{Var}(x_0 \mid x_t)": "v_2",
    "m_1": lambda s, v: back_of_gaussian(s, v)[0],
    "v_1": lambda s, v: back_of_gaussian(s, v)[1],
    "m_2": lambda s, v: image_moments(s, v)[0],
    "v_2": lambda s, v: image_moments(s, v)[1],
    "r_t": gaussian_share,
}

CHECKS = [
    identity(
        "eq-reverse-bayes",
        where={
            r"q(x_{t-1} \mid x_t)": reversed_density,
            "q(x_{t-1})": lambda s, v: marginal_density(s, v, back=1),
            "q(x_t)": marginal_density,
        },
        first=2,
    ),
    # Not for the smallest t, where x_0 is known so well that the nodes of the integral are too far apart.
    matches("eq-marginal", "q(x_t)", marginal_density, **OVER_IMAGES),
    matches("eq-reverse-average", r"q(x_{t-1} \mid x_t)", reversed_density, **OVER_IMAGES),
    identity(
        "eq-image-bayes",
        where={
            r"q(x_0 \mid x_t)": image_density,
            "q(x_0)": lambda s, v: log_normal(v.x_0, MEAN, torch.full_like(v.x_0, STD**2)).exp(),
            "q(x_t)": marginal_density,
        },
    ),
    # Bayes' rule
    identity("eq-bayes", where={r"q(x_{t-1}, x_t \mid x_0)": lambda s, v: joint(s, v).exp()}, first=2),
    matches(
        "eq-markov",
        r"q(x_t \mid x_{t-1}, x_0)",
        lambda s, v: (joint(s, v) - log_normal(*three_terms(s, v)[1])).exp(),
        first=2,
    ),
    gaussian(
        "eq-likelihood",
        r"q(x_t \mid x_{t-1})",
        lambda s, v: three_terms(s, v)[0][1],
        lambda s, v: s.beta[v.t],
    ),
    gaussian(
        "eq-prior",
        r"q(x_{t-1} \mid x_0)",
        lambda s, v: three_terms(s, v)[1][1],
        lambda s, v: 1 - s.alpha_bar[v.t - 1],
    ),
    gaussian(
        "eq-evidence",
        r"q(x_t \mid x_0)",
        lambda s, v: three_terms(s, v)[2][1],
        lambda s, v: 1 - s.alpha_bar[v.t],
    ),
    # the exponent
    identity("eq-three-exponents", of="x_{t-1}", given=["eq-exponent"], first=2),
    matches("eq-exponent", F, exponent, first=2),
    identity("eq-expand-likelihood"),
    identity("eq-expand-prior", first=2),
    matches("eq-rest", C, rest, first=2),
    matches("eq-collected", F, exponent, given=["eq-rest"], first=2),
    identity("eq-rest-is-a-factor", scalar=["g(x_{t-1})", C]),
    # the square
    identity("eq-general-exponent", vector=["x", r"\mu"], positive=[r"\sigma"]),
    identity("eq-match-square", first=2),
    identity("eq-match-line", where={MU: mu_tilde}, first=2),
    identity("eq-posterior-precision", first=2),
    identity("eq-posterior-variance"),
    matches("eq-mean-unsolved", MU, mu_tilde, first=2),
    identity("eq-weight-x-t"),
    identity("eq-weight-x-0", first=2),
    matches("eq-posterior-mean", MU, mu_tilde),
    gaussian("eq-posterior", POSTERIOR, mu_tilde, lambda s, v: s.beta_tilde[v.t], where={MU: mu_tilde}),
    matches("eq-two-witnesses", MU, mu_tilde, first=2),
    matches("eq-rest-closed", C, rest, where={MU: mu_tilde}, first=2),
    identity("eq-front-factor", first=2),
    # the way back when the image is not known
    matches(
        "eq-reverse-sum",
        "x_{t-1}",
        lambda s, v: mu_tilde(s, v) + column(s.beta_tilde[v.t].sqrt()) * v("z'"),
    ),
    matches(
        "eq-reverse-mean",
        r"\mathbb{E}[x_{t-1} \mid x_t]",
        back_mean,
        where={r"\mathbb{E}[x_0 \mid x_t]": image_mean},
        first=2,
    ),
    matches(
        "eq-step-back-variance",
        r"\operatorname{Var}(x_{t-1} \mid x_t)",
        back_variance,
        where={r"\operatorname{Var}(x_0 \mid x_t)": image_variance},
        first=2,
    ),
    identity("eq-reverse-share", first=2),
    matches(
        "eq-reverse-ratio",
        "r_t",
        lambda s, v: from_image(s, v) / two_images(s, v)[2],
        where={r"\operatorname{Var}(x_0 \mid x_t)": image_variance},
        first=2,
    ),
    by_hand("eq-reverse-target", TARGET, targets, "averages over images are not parsed"),
    identity("eq-reverse-kl", where=UNKNOWN, first=2, pixels=1),
    matches("eq-reverse-bound", r"\mathbb{E}[r_t]", wide_share, first=2),
    # both ends
    identity("eq-first-variance"),
    identity(
        "eq-first-mean",
        where={r"\tilde{\mu}_1": lambda s, v: posterior(s, v("x_1")[:1], 1, v.x_0[:1])[0].expand(len(v.t), -1)},
    ),
    identity("eq-posterior-variance-ratio"),
    # three checks
    identity("eq-consistent-mean"),
    identity("eq-consistent-variance"),
    matches("eq-consistent-covariance", r"\operatorname{Cov}(x_{t-1}, x_t \mid x_0)", joint_covariance, first=2),
]
