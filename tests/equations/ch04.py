"""Checks of chapter 04, the mean in terms of the noise."""

import torch

from ddpm_lite import (
    GaussianMixture,
    linear_schedule,
    mean_from_noise,
    posterior,
    predict_x_0,
    predict_z,
    q_sample,
    score_from_z,
    velocity,
    x_0_from_v,
    z_from_mean,
    z_from_v,
)
from equations.checks import by_hand, identity, matches

MU, X_0_HAT, Z_HAT = r"\tilde{\mu}_t", r"\hat{x}_0", r"\hat{z}"


def mu_tilde(s, v):
    return posterior(s, v.x_t, v.t, v.x_0)[0]


def z_of_path(s, v):
    """The noise that leads from x_0 to x_t in one jump."""
    return predict_z(s, v.x_t, v.t, v.x_0)


def v_of_path(s, v):
    return velocity(s, v.x_0, v.t, z_of_path(s, v))


def blobs(s):
    means = torch.tensor([[-0.8, 0.3, 0.1], [0.6, -0.2, 0.9]])
    return GaussianMixture(s, means, torch.tensor([0.3, 0.5]), torch.tensor([0.4, 0.6]))


def score_by_autograd(s, v):
    """The gradient of the log density of a mixture, at the path."""
    x_t = v.x_t.clone().requires_grad_()
    return torch.autograd.grad(blobs(s).log_density(x_t, v.t).sum(), x_t)[0]


def mean_noise(s, v):
    return blobs(s)(v.x_t, v.t)


def mean_image(s, v):
    """E[x_0 | x_t] of the mixture: each blob's own estimate by regression, weighed by Bayes' rule."""
    means, stds, weights = (
        torch.tensor(values, dtype=torch.float32).double()  # as `blobs` stores them
        for values in ([[-0.8, 0.3, 0.1], [0.6, -0.2, 0.9]], [0.3, 0.5], [0.4, 0.6])
    )
    signal, noise = s.alpha_bar[v.t].sqrt()[:, None], s.one_minus_alpha_bar[v.t][:, None]
    logs, images = [], []
    for mean, std, weight in zip(means, stds, weights, strict=True):
        variance = signal**2 * std**2 + noise
        off = v.x_t - signal * mean
        logs.append(weight.log() - (off**2 / variance + variance.log()).sum(1) / 2)
        images.append(mean + signal * std**2 / variance * off)
    shares = torch.stack(logs).softmax(0)[..., None]
    return (shares * torch.stack(images)).sum(0)


def score_average():
    """Each line of eq-score-average, for a density of one pixel, as sums over a fine grid of x_0."""
    s = linear_schedule()
    x_0 = torch.linspace(-4, 4, 8_001, dtype=torch.float64)
    width = x_0[1] - x_0[0]
    density = torch.exp(-((x_0**2 - 1) ** 2) / 0.1)  # two peaks; not Gaussian
    density = density / (density * width).sum()
    for t in (30, 300, 900):
        signal, variance = s.alpha_bar[t].sqrt(), s.one_minus_alpha_bar[t]

        def forward(x, signal=signal, variance=variance):
            normal = torch.exp(-((x - signal * x_0) ** 2) / (2 * variance))
            return normal / (2 * torch.pi * variance).sqrt()

        def q(x, forward=forward):
            return (forward(x) * density * width).sum()

        x_t = torch.tensor(0.4, dtype=torch.float64)
        h = 1e-4
        score = (q(x_t + h).log() - q(x_t - h).log()) / (2 * h)
        line_1 = (q(x_t + h) - q(x_t - h)) / (2 * h) / q(x_t)
        slope = (forward(x_t + h) - forward(x_t - h)) / (2 * h)
        line_2 = (slope * density * width).sum() / q(x_t)
        given_x_t = forward(x_t) * density / q(x_t)
        line_3 = (score_from_z(s, (x_t - signal * x_0) / variance.sqrt(), t) * given_x_t * width).sum()
        expected = score.expand(3)
        torch.testing.assert_close(torch.stack([line_1, line_2, line_3]), expected, rtol=1e-5, atol=1e-6)


CHECKS = [
    identity("eq-signal-part", given=["eq-forward-closed"]),
    matches("eq-x0-from-z", "x_0", lambda s, v: predict_x_0(s, v.x_t, v.t, v.z)),
    matches("eq-z-from-x0", "z", lambda s, v: predict_z(s, v.x_t, v.t, v.x_0)),
    matches("eq-mean-insert", MU, mu_tilde, given=["eq-z-from-x0"]),
    identity("eq-root-ratio"),
    matches("eq-mean-sorted", MU, mu_tilde, given=["eq-z-from-x0"]),
    identity("eq-one-denominator"),
    identity("eq-noise-balance"),
    identity("eq-weight-cancelled"),
    identity("eq-weight-z"),
    matches("eq-mean-from-noise", MU, lambda s, v: mean_from_noise(s, v.x_t, v.t, v.z)),
    matches("eq-mean-model", r"\mu_\theta(x_t, t)", lambda s, v: mean_from_noise(s, v.x_t, v.t, v.z_hat)),
    matches(
        "eq-z-from-mean",
        "z",
        lambda s, v: z_from_mean(s, v.x_t, v.t, mu_tilde(s, v)),
        where={MU: mu_tilde},
    ),
    identity("eq-log-forward-density", pixels=1),
    identity("eq-score-given-image"),
    matches(
        "eq-score-from-z",
        r"\nabla_{x_t} \log q(x_t \mid x_0)",
        lambda s, v: score_from_z(s, z_of_path(s, v), v.t),
        where={"z": z_of_path},
    ),
    matches("eq-z-from-score", "z", z_of_path),
    by_hand(
        "eq-score-average",
        r"""\begin{aligned}
        \nabla_{x_t} \log q(x_t) &= \frac{1}{q(x_t)} \nabla_{x_t} q(x_t) \\
        &= \frac{1}{q(x_t)} \int \nabla_{x_t} q(x_t \mid x_0) \, q(x_0) \, dx_0 \\
        &= \int \nabla_{x_t} \log q(x_t \mid x_0) \, q(x_0 \mid x_t) \, dx_0
        \end{aligned}""",
        score_average,
        "where its gradients end, only the sense tells",
    ),
    matches(
        "eq-score-of-density",
        r"\nabla_{x_t} \log q(x_t)",
        score_by_autograd,
        where={r"\mathbb{E}[z \mid x_t]": mean_noise},
    ),
    matches(
        "eq-tweedie",
        r"\mathbb{E}[x_0 \mid x_t]",
        mean_image,
        where={r"\mathbb{E}[z \mid x_t]": mean_noise, r"\nabla_{x_t} \log q(x_t)": score_by_autograd},
        last=-4,  # at the end x_t holds so little of x_0 that rounding is multiplied by thousands
    ),
    matches("eq-v", "v", lambda s, v: velocity(s, v.x_0, v.t, v.z)),
    identity("eq-turn-back-x0", given=["eq-forward-closed", "eq-v"]),
    identity("eq-turn-back-z", given=["eq-forward-closed", "eq-v"]),
    matches(
        "eq-x0-from-v",
        "x_0",
        lambda s, v: x_0_from_v(s, v.x_t, v.t, v_of_path(s, v)),
        where={"v": v_of_path},
    ),
    matches("eq-z-from-v", "z", lambda s, v: z_from_v(s, v.x_t, v.t, v_of_path(s, v)), where={"v": v_of_path}),
    matches("eq-x0-hat", X_0_HAT, lambda s, v: predict_x_0(s, v.x_t, v.t, v(Z_HAT))),
    identity(
        "eq-x0-error",
        where={
            X_0_HAT: lambda s, v: predict_x_0(s, v.x_t, v.t, v(Z_HAT)),
            "x_0": lambda s, v: predict_x_0(s, v.x_t, v.t, v.z),
        },
    ),
    identity(
        "eq-mean-error",
        where={
            r"\hat{\mu}_t": lambda s, v: mean_from_noise(s, v.x_t, v.t, v(Z_HAT)),
            MU: lambda s, v: mean_from_noise(s, v.x_t, v.t, v.z),
        },
    ),
    identity(
        "eq-x0-error-from-v",
        where={
            X_0_HAT: lambda s, v: x_0_from_v(s, v.x_t, v.t, v(Z_HAT)),
            "x_0": lambda s, v: x_0_from_v(s, v.x_t, v.t, v.z),
            r"\hat{v}": lambda s, v: v(Z_HAT),
            "v": lambda s, v: v.z,
        },
    ),
    identity(
        "eq-z-error-from-v",
        where={
            Z_HAT: lambda s, v: z_from_v(s, v.x_t, v.t, v(Z_HAT)),
            "z": lambda s, v: z_from_v(s, v.x_t, v.t, v.z),
            r"\hat{v}": lambda s, v: v(Z_HAT),
            "v": lambda s, v: v.z,
        },
    ),
    matches("eq-mean-from-both", MU, lambda s, v: posterior(s, q_sample(s, v.x_0, v.t, v.z), v.t, v.x_0)[0]),
]
