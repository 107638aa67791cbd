"""The exact z of a Gaussian mixture, compared with torch.distributions, autograd, integrals and regression."""

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from ddpm_lite import GaussianChain, GaussianMixture, linear_schedule, q_sample

PAPER = linear_schedule()
TIMES = [1, 2, 10, 100, 500, 1000]
PLANE = GaussianMixture(
    PAPER,
    means=torch.tensor([[-0.8, 0.1], [0.5, 0.7], [0.4, -0.6]]),
    stds=torch.tensor([0.1, 0.25, 0.05]),
    weights=torch.tensor([0.5, 0.2, 0.3]),
)
LINE = GaussianMixture(PAPER, torch.tensor([[-0.7], [0.2], [0.8]]), torch.tensor([0.1, 0.2, 0.05]))


def torch_mixture(mixture, t):
    """q(x_t) as torch.distributions builds it."""
    alpha_bar = mixture.schedule.alpha_bar[t]
    std = (alpha_bar * mixture.stds**2 + 1 - alpha_bar).sqrt()[:, None].expand(mixture.means.shape)
    blobs = Independent(Normal(alpha_bar.sqrt() * mixture.means, std), 1)
    return MixtureSameFamily(Categorical(mixture.weights), blobs)


@pytest.mark.parametrize("mixture", [PLANE, LINE], ids=["2-D", "1-D"])
@pytest.mark.parametrize("t", TIMES)
def test_density_and_score(mixture, t, generator):
    density = torch_mixture(mixture, t)
    n = mixture.means.shape[1]
    x_t = (3 * torch.randn(200, n, generator=generator, dtype=torch.float64)).requires_grad_()
    log_density = density.log_prob(x_t)
    (gradient,) = torch.autograd.grad(log_density.sum(), x_t)
    torch.testing.assert_close(mixture.log_density(x_t, t), log_density, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(mixture.score(x_t, t), gradient, rtol=1e-9, atol=1e-9)
    noise = (1 - PAPER.alpha_bar[t]).sqrt()
    torch.testing.assert_close(mixture(x_t, t), -noise * gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("x", [-1.5, -0.2, 0.3, 0.75])
def test_z_is_the_integral_over_all_images(t, x):
    """E[z | x_t] by its definition: every x_0 on a fine grid, weighted by p(x_0) q(x_t | x_0)."""
    x_0 = torch.linspace(-3, 3, 600_001, dtype=torch.float64)
    blobs = Normal(LINE.means.flatten(), LINE.stds)
    prior = MixtureSameFamily(Categorical(LINE.weights), blobs).log_prob(x_0)
    signal, noise = PAPER.alpha_bar[t].sqrt(), (1 - PAPER.alpha_bar[t]).sqrt()
    weight = (prior + Normal(signal * x_0, noise).log_prob(torch.tensor(x, dtype=torch.float64))).softmax(0)
    expected = (weight * (x - signal * x_0) / noise).sum()
    got = LINE(torch.tensor([[x]], dtype=torch.float64), t).squeeze()
    torch.testing.assert_close(got, expected, rtol=1e-7, atol=1e-9)


def test_one_blob_is_the_gaussian_chain(generator):
    mixture = GaussianMixture(PAPER, torch.full((1, 4), 0.3), torch.tensor([0.2]))
    chain = GaussianChain(PAPER, float(mixture.means[0, 0]), float(mixture.stds[0]))
    x_t = torch.randn(100, 4, generator=generator, dtype=torch.float64)
    t = torch.randint(1, 1001, (100,), generator=generator)
    torch.testing.assert_close(mixture(x_t, t), chain(x_t, t), rtol=1e-12, atol=1e-12)


def test_a_t_per_point_is_that_t(generator):
    x_t = torch.randn(len(TIMES), 2, generator=generator, dtype=torch.float64)
    together = PLANE(x_t, torch.tensor(TIMES))
    alone = torch.cat([PLANE(x_t[i : i + 1], t) for i, t in enumerate(TIMES)])
    torch.testing.assert_close(together, alone, rtol=1e-13, atol=1e-13)


def test_far_from_every_blob_it_stays_finite():
    x_t = torch.tensor([[1e4, -1e4]])
    for t in TIMES:
        assert torch.isfinite(PLANE(x_t, t)).all()
        assert torch.isfinite(PLANE.log_density(x_t, t)).all()


def test_images_are_points_too(generator):
    means = torch.rand(5, 1, 4, 4, generator=generator) * 2 - 1
    images = GaussianMixture(PAPER, means, torch.full((5,), 0.1))
    flat = GaussianMixture(PAPER, means.flatten(1), torch.full((5,), 0.1))
    x_t = torch.randn(3, 1, 4, 4, generator=generator)
    torch.testing.assert_close(images(x_t, 300), flat(x_t.flatten(1), 300).reshape(x_t.shape))
    assert images(x_t, 300).dtype == torch.float32
    assert images.sample(7, generator).shape == (7, 1, 4, 4)


def test_samples_have_the_mixture_s_moments(generator):
    n = 200_000
    x_0 = PLANE.sample(n, generator, dtype=torch.float64)
    weights = PLANE.weights[:, None]
    mean = (weights * PLANE.means).sum(0)
    variance = (weights * (PLANE.means**2 + PLANE.stds[:, None] ** 2)).sum(0) - mean**2
    assert ((x_0.mean(0) - mean).abs() < 5 * (variance / n).sqrt()).all()
    assert ((x_0.var(0) / variance - 1).abs() < 5 * (3 / n) ** 0.5).all()
    again = PLANE.sample(n, torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(x_0, again)


def test_no_straight_line_does_better(generator):
    """The best z beats the best line, and its error is orthogonal to it: E[z z_hat] = E[z_hat^2]."""
    n, t = 200_000, 150
    x_0 = LINE.sample(n, generator, dtype=torch.float64)
    z = torch.randn(n, 1, generator=generator, dtype=torch.float64)
    x_t = q_sample(PAPER, x_0, t, z)
    z_hat = LINE(x_t, t)
    columns = torch.cat([x_t, torch.ones_like(x_t)], dim=1)
    line = columns @ torch.linalg.lstsq(columns, z).solution
    assert (z - z_hat).square().mean() < 0.97 * (z - line).square().mean()
    assert abs(((z - z_hat) * z_hat).mean()) < 5 / n**0.5


@pytest.mark.parametrize("t", TIMES)
def test_least_loss_of_gaussian_data_is_the_integral(t):
    chain = GaussianChain(PAPER, 0.3, 0.2)
    alpha_bar = PAPER.alpha_bar[t]
    density = Normal(alpha_bar.sqrt() * 0.3, (alpha_bar * 0.2**2 + 1 - alpha_bar).sqrt())
    x_t = torch.linspace(-8, 8, 200_001, dtype=torch.float64)
    explained = torch.trapezoid(density.log_prob(x_t).exp() * chain(x_t[:, None], t).squeeze(1) ** 2, x_t)
    assert chain.least_loss()[t].item() == pytest.approx(1 - explained.item(), abs=1e-8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(3), torch.ones(3)), "means: expected finite means of shape"),
        ((torch.full((2, 1), torch.nan), torch.ones(2)), "means: expected finite means"),
        ((torch.zeros(2, 1), torch.ones(3)), "stds: expected 2 finite numbers > 0, one per component"),
        ((torch.zeros(2, 1), torch.zeros(2)), "stds: expected 2 finite numbers > 0"),
        ((torch.zeros(2, 1), torch.ones(2), torch.ones(2)), "weights: expected a sum of 1, got 2; divide"),
        ((torch.zeros(2, 1), torch.ones(2), torch.tensor([1.5, -0.5])), "weights: expected 2 finite"),
    ],
)
def test_bad_mixtures_get_one_line(plain, arguments, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(PAPER, *arguments)


def test_points_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"x_t: expected points of the data's shape \(2,\), got float32"):
        PLANE(torch.zeros(4, 3), 1)
    with pytest.raises(ValueError, match="t: expected a whole number in 1..1000, got 0"):
        PLANE(torch.zeros(4, 2), 0)
