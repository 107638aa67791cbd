"""Checks of chapter 01, images and Gaussians."""

import numpy as np
import torch
from torch.distributions import Normal

from ddpm_lite.bound import gaussian_kl
from equations.checks import by_hand, equivalent, identity, matches
from equations.latex import Chain

X, Y = (0.3, 0.7), (-0.2, 1.1)  # mean and standard deviation of a random x and y: no special values
MOMENTS = {r"\mu": "0.3", r"\sigma": "0.7", r"\nu": "-0.2", r"\tau": "1.1"}
# What two images and a variance are, where a check compares with a function that must know them.
IMAGES = {r"\mu": "x_0", r"\nu": "x_t", r"\sigma": r"\sqrt{\beta_t}", r"\tau": r"\sqrt{\alpha_t}"}

BELLS = [
    "p(x) = p",
    "q(x) = q",
    r"p = \mathcal{N}(x; \mu, \sigma^2)",
    r"q = \mathcal{N}(x; \nu, \tau^2)",
]


def kl(first, second):
    """The left side of the KL of two Gaussians with these variances."""
    return rf"D_{{\mathrm{{KL}}}}\left(\mathcal{{N}}(\mu, {first}) \,\|\, \mathcal{{N}}(\nu, {second})\right)"


def grid(reach=12.0):
    x = np.linspace(-reach, reach, 60_001)
    return x, x[1] - x[0]


def bell(x, mean, variance):
    return Normal(mean, torch.tensor(variance, dtype=torch.float64).sqrt()).log_prob(torch.as_tensor(x)).exp().numpy()


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def plus_one(chains):
    """One more on every side: 0 has no relative error."""
    return [Chain([side + 1 for side in chain.sides], chain.relations) for chain in chains]


def product():
    """Pixels drawn on their own, against PyTorch's multivariate Gaussian."""
    x, mu, variance = torch.tensor([0.3, -1.0, 0.8]), torch.tensor([0.1, 0.5, -0.4]), 0.7
    whole = torch.distributions.MultivariateNormal(mu, variance * torch.eye(3)).log_prob(x).exp()
    torch.testing.assert_close(Normal(mu, variance**0.5).log_prob(x).exp().prod(), whole)


def mixed():
    """Noise with 2 d equally probable values, whose covariance matrix is exactly the identity, mixed by a matrix."""
    z = torch.cat([torch.eye(3), -torch.eye(3)]).double() * 3**0.5
    m, A = torch.tensor([0.3, -1.0, 0.8]).double(), torch.tensor([[1.0, 0.2, 0.0], [0.5, -0.7, 0.3], [0.1, 0.4, 2.0]])
    return m, A.double(), m + z @ A.double().T


def mixed_density():
    """The formula and the product for a diagonal matrix, against PyTorch's densities; mixing stretches by det A."""
    m, A, x = mixed()
    for S in (A @ A.T, torch.diag(A.diagonal().square())):
        off = x - m
        exponent = -(off @ S.inverse() * off).sum(1) / 2
        formula = exponent.exp() / ((2 * torch.pi) ** 3 * S.det()).sqrt()
        known = torch.distributions.MultivariateNormal(m, S).log_prob(x).exp()
        torch.testing.assert_close(formula, known)
    torch.testing.assert_close(formula, Normal(m, S.diagonal().sqrt()).log_prob(x).exp().prod(1))
    z = (x - m) @ A.inverse().T
    stretched = Normal(0.0, 1.0).log_prob(z).sum(1).exp() / A.det().abs()
    torch.testing.assert_close(stretched, torch.distributions.MultivariateNormal(m, A @ A.T).log_prob(x).exp())


def mixed_covariance():
    """The mean of the products over all values, against the product of the matrices."""
    m, A, x = mixed()
    torch.testing.assert_close(x.mean(0), m)
    torch.testing.assert_close((x - m).T @ (x - m) / len(x), A @ A.T)


def both(s, v):
    """The KL of whole images that IMAGES speaks of."""
    x_0, x_t = (x.reshape(len(v.t), -1) for x in (v.x_0, v.x_t))
    return gaussian_kl(x_0, s.beta[v.t][:, None], x_t, s.alpha[v.t][:, None]).sum(1)


def drawn(s, v):
    """The number of N(x_0, beta) with as much area to its left as the standard Gaussian has left of z."""
    return Normal(v.x_0, s.beta[v.t].sqrt()[:, None]).icdf(Normal(0.0, 1.0).cdf(v.z))


CHECKS = [
    identity("eq-rescale-variance", random={"u": (0.6, 0.2)}),
    # one number
    matches(
        "eq-normal-density",
        r"\mathcal{N}(x; \mu, \sigma^2)",
        lambda s, v: Normal(v.x_0, s.beta[v.t].sqrt()[:, None]).log_prob(v.x_prev).exp(),
        where={"x": "x_{t-1}", **IMAGES},
    ),
    identity("eq-mean", given=[r"p(x) = \mathcal{N}(x; \mu, \sigma^2)"], random={"x": X}, where=MOMENTS),
    identity("eq-variance-moments", random={"x": X}, where=MOMENTS),
    identity("eq-by-parts"),
    identity("eq-standard-moments", rewrite=plus_one),
    # scaling, shifting, adding
    identity("eq-affine-mean", scalar=["a", "b"], random={"x": X}),
    identity("eq-affine-variance", scalar=["a", "b"], random={"x": X}, where=MOMENTS),
    identity("eq-affine-exponent", scalar=["a", "b", r"\mu"], positive=[r"\sigma"], vector=["y"]),
    identity("eq-affine-normal", scalar=["a", "b"], random={"x": X}, where=MOMENTS),
    identity("eq-sum-mean", random={"x": X, "y": Y}),
    identity("eq-sum-distance", scalar=[r"\mu", r"\nu"], vector=["x", "y"]),
    identity("eq-sum-variance", random={"x": X, "y": Y}),
    matches("eq-convolution", "p(u)", r"\mathcal{N}(u; 0, a + b)", positive=["a", "b"], scalar=["u"]),
    identity("eq-sum-square", positive=["a", "b"], vector=["x", "u"]),
    identity("eq-sum-normal", random={"x": X, "y": Y}, where=MOMENTS),
    # many pixels
    by_hand(
        "eq-many-pixels",
        r"\mathcal{N}\left(x; \mu, \sigma^2 \mathbf{I}\right)"
        r" = \prod_{i=1}^{d} \mathcal{N}\left(x_i; \mu_i, \sigma^2\right)",
        product,
        "the parser knows pixels as columns, not by an index",
    ),
    matches(
        "eq-many-log",
        r"\log \mathcal{N}(x; \mu, \sigma^2 \mathbf{I})",
        lambda s, v: Normal(v.x_0, s.beta[v.t].sqrt()[:, None]).log_prob(v.x_prev).sum(1),
        where={"x": "x_{t-1}", **IMAGES},
    ),
    identity("eq-norm-mean"),
    identity("eq-fourth-moment"),
    identity("eq-norm-variance", pixels=1),
    # pixels that depend on each other
    identity("eq-covariance", where={"x": r"\mu + \sigma z", "y": r"\nu + \tau (0.6 z - 0.8 z')", **MOMENTS}),
    by_hand("eq-mixed-noise", "x = m + A z", mixed_covariance, "matrices are not parsed"),
    by_hand(
        "eq-mixed-covariance",
        r"""\begin{aligned}
        S &= \mathbb{E}\left[(x - m) (x - m)^\top\right] \\
        &= A \, \mathbb{E}\left[z z^\top\right] A^\top \\
        &= A A^\top
        \end{aligned}""",
        mixed_covariance,
        "matrices are not parsed",
    ),
    by_hand(
        "eq-normal-matrix",
        r"""\mathcal{N}(x; m, S) = \frac{1}{\sqrt{\left(2 \pi\right)^d \operatorname{det} S}}
        \exp\left( -\frac{1}{2} (x - m)^\top S^{-1} (x - m) \right)""",
        mixed_density,
        "matrices are not parsed",
    ),
    # drawing
    matches("eq-reparameterisation", "x", drawn, where=IMAGES),
    identity("eq-reparameterised-square", scalar=[r"\mu", r"\sigma"]),
    # two bells
    identity("eq-kl", given=BELLS, vector=["x"], where=MOMENTS, pixels=1),
    identity("eq-kl-positive", given=BELLS, vector=["x"], where=MOMENTS, pixels=1, rewrite=plus_one),
    identity("eq-log-ratio", scalar=[r"\mu", r"\nu"], positive=[r"\sigma", r"\tau"], vector=["x"]),
    identity("eq-wrong-distance", scalar=[r"\mu", r"\nu"], vector=["x"]),
    identity("eq-wrong-mean", random={"x": X}, where={**MOMENTS, r"\nu": "1.7"}),
    matches(
        "eq-kl-normal",
        kl(r"\sigma^2", r"\tau^2"),
        both,
        where=IMAGES,
        pixels=1,
    ),
    matches(
        "eq-kl-images",
        kl(r"\sigma^2 \mathbf{I}", r"\tau^2 \mathbf{I}"),
        both,
        where=IMAGES,
    ),
    matches(
        "eq-kl-equal-width",
        kl(r"\sigma^2 \mathbf{I}", r"\sigma^2 \mathbf{I}"),
        lambda s, v: gaussian_kl(v.x_0, s.beta[v.t][:, None], v.x_t, s.beta[v.t][:, None]).sum(1),
        where=IMAGES,
    ),
]

SHIFT = "a shift of either sign changes no variance"
MIRROR = "independent numbers: a difference has the same variance as the sum"
ONE_FACTOR = "one factor from its mean is enough: a constant added to the other multiplies a mean of 0"

EQUIVALENT = [
    equivalent("eq-convolution", "- -> +, 1st", "the density of x is symmetric: minus x has the same"),
    equivalent("eq-rescale-variance", "- -> +, 1st", SHIFT),
    equivalent("eq-affine-variance", "+ -> -, 1st", SHIFT),
    equivalent("eq-sum-variance", "+ -> -, 1st", MIRROR),
    equivalent("eq-norm-mean", "z_i -> z_{i - 1}, 1st", "every pixel's noise has the same distribution"),
    equivalent("eq-norm-variance", "z_i -> z_{i - 1}, 1st", "every pixel's noise has the same distribution"),
    equivalent("eq-reparameterised-square", "+ -> -, 1st", "z and -z have one distribution"),
    equivalent("eq-covariance", "- -> +, 1st", ONE_FACTOR),
    equivalent("eq-covariance", "- -> +, 2nd", ONE_FACTOR),
]
