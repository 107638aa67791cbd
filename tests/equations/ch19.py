"""Checks of chapter 19, output and loss."""

import numpy as np
import torch

from ddpm_lite import linear_schedule, precondition, predict_x_0
from equations.ch16 import CLOCKS, levels, u_hat, u_of_path, z_of_path
from equations.checks import by_hand, identity


def check_flow_bounds():
    """Gaussian data of variance s^2, whose least squared error of the noise is s^2 / (s^2 + nu^2)."""
    logs = np.linspace(-16, 16, 200_001)
    nu = np.exp(logs)
    for s in (0.5, 1.3):
        error = s**2 / (s**2 + nu**2)
        weighted = np.trapezoid(nu * error, logs)
        parts = (error[1:] + error[:-1]) / 2 * np.diff(logs)
        above = np.append(np.cumsum(parts[::-1])[::-1], 0.0)  # the bound from each level on
        # For a Gaussian it is known: the variance of y, with and without the noise.
        inner = slice(50_000, 150_000)
        np.testing.assert_allclose(above[inner], np.log(1 + s**2 / nu[inner] ** 2) / 2, rtol=1e-3)
        summed = np.trapezoid(above, nu)
        np.testing.assert_allclose([weighted, summed], np.pi * s / 2, rtol=1e-3)
        assert abs(np.trapezoid(np.append(0.0, np.cumsum(parts)), nu) / summed - 1) > 1  # the bound below it is another
        assert abs(np.trapezoid(above, logs) / summed - 1) > 1  # and so is another weight


def check_ddpm_product():
    """The steps of DDPM's schedule per unit of log nu, divided by T; the shorter the steps, the nearer."""
    gaps = []
    for length in (1000, 4000):
        schedule = linear_schedule(T=length, beta_1=0.1 / length, beta_T=20 / length)
        found = 2 * schedule.one_minus_alpha_bar[1:] / (length * schedule.beta[1:])
        steps = 1 / (length * torch.diff(schedule.noise_level[1:].log()))
        late = slice(length // 50, None)
        gaps.append(float((found[1:] / steps - 1)[late].abs().max()))
        assert float((found[1:] / 2 / steps - 1)[late].abs().min()) > 0.4  # without the 2 it is another
    assert gaps[0] < 0.05
    assert gaps[1] < gaps[0] / 3


def check_level_product():
    """Gaussian pixels, and the same with s^2 equal pixels for each: the losses of the best linear estimates."""
    logs = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    for s in (2, 3):
        same = torch.ones(s * s, s * s, dtype=torch.float64)

        def loss(product, covariance, logs=logs):
            variances = torch.linalg.eigvalsh(covariance).clamp(min=0)
            nu = logs.exp()
            error = (variances / (variances + nu[:, None] ** 2)).sum(1)  # of z, all pixels together
            return float(torch.trapezoid(product(nu) * error, logs))

        def logit_normal(nu):
            return (1 + nu) ** 2 * torch.distributions.Normal(0.0, 1.0).log_prob(nu.log()).exp()

        def density_alone(nu, s=s):
            return (1 + nu) ** 2 * torch.distributions.Normal(0.0, 1.0).log_prob((nu / s).log()).exp()

        small, large = 0.5 * same[:1, :1], 0.5 * same
        right = loss(logit_normal, small)
        np.testing.assert_allclose(loss(lambda nu, s=s: logit_normal(nu / s), large), right, rtol=1e-5)
        assert abs(loss(logit_normal, large) / right - 1) > 0.1  # unmoved, moved the other way, or only the density
        assert abs(loss(lambda nu, s=s: logit_normal(nu * s), large) / right - 1) > 0.1
        assert abs(loss(density_alone, large) / right - 1) > 0.1


# ---- EDM's network between its scales, for data with some standard deviation

STD = 0.7


def scale(place, std=STD):
    """c_skip, c_out or c_in of the package."""
    return lambda s, v: precondition(levels(s, v)[v.t], std)[place][:, None]


def image_hat(s, v):
    """What D is: the image that the network of the noise estimates."""
    return predict_x_0(s, v.x_t, v.t, v.z_hat)


def edm_hat(s, v):
    """What EDM's network returns, as an angle's sine and cosine of image and noise in units of their deviations."""
    turn = torch.atan2(levels(s, v)[v.t], torch.tensor(STD, dtype=torch.float64))[:, None]
    return turn.sin() * image_hat(s, v) / STD - turn.cos() * v.z_hat


def edm_target(s, v):
    """The same of the true image and noise."""
    turn = torch.atan2(levels(s, v)[v.t], torch.tensor(STD, dtype=torch.float64))[:, None]
    return turn.sin() * v.x_0 / STD - turn.cos() * z_of_path(s, v)


SIGMA, SKIP, OUT, IN = (r"\sigma_{\mathrm{data}}", *(rf"c_{{\mathrm{{{name}}}}}" for name in ("skip", "out", "in")))
F_TARGET, F_HAT = r"F_{\mathrm{target}}", r"F_\theta(c_{\mathrm{in}} y, \nu)"
EDM = {
    r"\nu": lambda s, v: levels(s, v)[v.t][:, None],
    SIGMA: lambda s, v: torch.full((len(v.t), 1), STD, dtype=torch.float64),
    SKIP: scale(0),
    OUT: scale(1),
    IN: scale(2),
    "y": lambda s, v: v.x_t / s.alpha_bar[v.t].sqrt()[:, None],
    F_HAT: edm_hat,
    F_TARGET: edm_target,
    r"D_\theta(y, \nu)": image_hat,
    r"\hat{z}": lambda s, v: v.z_hat,
    "z": z_of_path,
}

ANSWER = [
    "f = a x_0 + b z",
    r"\hat{f} = a \hat{x}_0 + b \hat{z}",
    r"x_0 = y - \nu z",
    r"\hat{x}_0 = y - \nu \hat{z}",
]

CHECKS = [
    # An answer of the network with two free weights, and an estimate of it, with the images that both imply.
    identity(
        "eq-answer-skip",
        given=[ANSWER[0], "z = \\frac{y - x_0}{\\nu}"],
        vector=["y", "x_0"],
        scalar=["a", "b"],
        positive=[r"\nu"],
    ),
    identity("eq-answer-noise", given=ANSWER, vector=["y", r"\hat{z}"], scalar=["a", "b"], positive=[r"\nu"]),
    identity("eq-answer-image", given=ANSWER, vector=["y", r"\hat{z}"], scalar=["a", "b"], positive=[r"\nu"]),
    identity("eq-edm-denoiser", where=EDM),
    identity("eq-edm-in", where=EDM),
    identity("eq-edm-target", where=EDM),
    identity("eq-edm-variance", where=EDM),
    identity("eq-edm-skip", where=EDM),
    identity("eq-edm-out", where=EDM),
    identity("eq-edm-v", where=EDM),
    identity("eq-edm-weight", where=EDM),
    identity(
        "eq-flow-error",
        where={
            r"\hat{z}": lambda s, v: v.z_hat,
            r"\hat{u}": u_hat,
            "z": z_of_path,
            "u": u_of_path,
        },
        tables=CLOCKS,
    ),
    identity("eq-flow-product", given=[r"\tau = \frac{\nu}{1 + \nu}"], positive=[r"\nu"]),
    by_hand(
        "eq-ddpm-product",
        r"\frac{1}{T} \frac{d t}{d \log \nu} \approx \frac{2 \left(1 - \bar{\alpha}_t\right)}{T \beta_t}",
        check_ddpm_product,
        "a derivative by the number of a step, near the ratio of differences",
    ),
    by_hand(
        "eq-level-product",
        r"P'(\nu') = P\left(\frac{\nu'}{s}\right)",
        check_level_product,
        "says which function a product has to be, for repeated pixels",
    ),
    identity(
        "eq-level-shift",
        given=[r"\tau' = \frac{\nu'}{1 + \nu'}", r"\nu' = s \nu", r"\nu = \frac{\tau}{1 - \tau}"],
        positive=["s", r"\tau"],
    ),
    # A place and two estimates of its noise, with the images that they imply.
    identity(
        "eq-bound-per-level",
        given=[r"\mathrm{SNR} = \frac{1}{\nu^2}", r"x_0 = y - \nu z", r"\hat{x}_0 = y - \nu \hat{z}"],
        vector=["y", r"\hat{z}"],
        positive=[r"\nu"],
    ),
    by_hand(
        "eq-flow-bounds",
        "\\begin{aligned}\n"
        r"&\int_0^\infty \nu \, \mathbb{E}[\lVert z - z_\theta \rVert^2] \, d \log \nu \\[6pt]"
        "\n"
        r"&= \int_0^\infty \left(\int_0^\nu \mathbb{E}[\lVert z - z_\theta \rVert^2] \, d \nu_0\right) d \log \nu"
        r" \\[6pt]"
        "\n"
        r"&= \int_0^\infty \left(\int_{\nu_0}^\infty \mathbb{E}[\lVert z - z_\theta \rVert^2] \, d \log \nu\right)"
        r" d \nu_0"
        "\n\\end{aligned}",
        check_flow_bounds,
        "integrals without end, taken for Gaussian data and its best network",
    ),
]
