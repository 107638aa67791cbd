"""Each equation against a float64 rewrite from the paper, against diffusers, and against drawn samples."""

import pytest
import torch
from diffusers import DDPMScheduler

from ddpm_lite import (
    ddpm_loss,
    linear_schedule,
    mean_from_noise,
    posterior,
    predict_x_0,
    predict_z,
    q_sample,
    q_step,
)

PAPER = linear_schedule()
TIMES = [1, 2, 3, 250, 500, 999, 1000]


def draw(*shape, generator, dtype=torch.float64):
    return torch.randn(shape, generator=generator, dtype=dtype)


@pytest.mark.parametrize("t", TIMES)
def test_q_sample_is_the_closed_form_in_float64(t, generator):
    x_0, z = draw(2, 4, 1, 3, 3, generator=generator)
    alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)[t - 1]
    expected = alpha_bar**0.5 * x_0 + (1 - alpha_bar) ** 0.5 * z
    torch.testing.assert_close(q_sample(PAPER, x_0, t, z), expected, rtol=1e-12, atol=1e-12)


def test_one_t_per_image_equals_one_image_at_a_time(generator):
    x, y = draw(2, len(TIMES), 1, 3, 3, generator=generator)
    for function in (q_step, q_sample, predict_x_0, predict_z, mean_from_noise):
        together = function(PAPER, x, torch.tensor(TIMES), y)
        alone = [function(PAPER, x[i : i + 1], t, y[i : i + 1]) for i, t in enumerate(TIMES)]
        torch.testing.assert_close(together, torch.cat(alone))
    mean, variance = posterior(PAPER, x, torch.tensor(TIMES), y)
    assert mean.shape == x.shape
    assert variance.shape == (len(TIMES), 1, 1, 1)


def test_many_steps_and_one_jump_have_the_same_moments():
    """t single steps: the mean shrinks by sqrt(alpha), the variance follows alpha v + beta; exactly."""
    mean, variance = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    zero, one = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    for t in range(1, PAPER.T + 1):
        mean = q_step(PAPER, mean, t, zero)
        variance = q_step(PAPER, zero, t, one) ** 2 + q_step(PAPER, one, t, zero) ** 2 * variance
        assert abs(mean - q_sample(PAPER, one, t, zero)) < 1e-12
        assert abs(variance - q_sample(PAPER, zero, t, one) ** 2) < 1e-12


@pytest.mark.parametrize("t", [1, 100, 500, 1000])
def test_q_sample_has_the_mean_and_variance_it_promises(t, generator):
    n = 400_000
    x_0 = torch.full((n, 1), 0.7, dtype=torch.float64)
    x_t = q_sample(PAPER, x_0, t, draw(n, 1, generator=generator))
    variance = 1 - PAPER.alpha_bar[t]
    # 5 standard errors of a mean and of a variance of Gaussians
    assert abs(x_t.mean() - 0.7 * PAPER.alpha_bar[t].sqrt()) < 5 * (variance / n).sqrt()
    assert abs(x_t.var() / variance - 1) < 5 * (2 / n) ** 0.5


@pytest.mark.parametrize("t", TIMES)
def test_x_0_and_z_come_back(t, generator):
    x_0, z = draw(2, 4, 1, 3, 3, generator=generator)
    x_t = q_sample(PAPER, x_0, t, z)
    torch.testing.assert_close(predict_x_0(PAPER, x_t, t, z), x_0, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(predict_z(PAPER, x_t, t, x_0), z, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("t", [2, 3, 10, 500, 1000])
def test_posterior_is_bayes_rule_on_a_grid(t):
    """q(x_{t-1} | x_t, x_0) by multiplying likelihood and prior on a fine grid, with no formula of ours."""
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    alpha_bars = torch.cumprod(1 - betas, 0)
    beta, before, now = betas[t - 1], alpha_bars[t - 2], alpha_bars[t - 1]
    x_0 = torch.full((1, 1), 0.4, dtype=torch.float64)
    x_t = now.sqrt() * x_0 + 1.5 * (1 - now).sqrt()
    centre, spread = before.sqrt() * x_0, (1 - before).sqrt()
    grid = torch.linspace(float(centre - 12 * spread), float(centre + 12 * spread), 400_001).double()
    prior = torch.distributions.Normal(centre.squeeze(), spread).log_prob(grid)
    likelihood = torch.distributions.Normal((1 - beta).sqrt() * grid, beta.sqrt()).log_prob(x_t.squeeze())
    weight = (prior + likelihood).softmax(0)
    mean = (weight * grid).sum()
    variance = (weight * (grid - mean) ** 2).sum()
    mu_tilde, beta_tilde = posterior(PAPER, x_t, t, x_0)
    assert mu_tilde.item() == pytest.approx(mean.item(), rel=1e-6)
    assert beta_tilde.item() == pytest.approx(variance.item(), rel=1e-6)


def test_posterior_at_the_first_step_is_x_0_itself(generator):
    x_0, x_t = draw(2, 4, 1, 3, 3, generator=generator)
    mu_tilde, beta_tilde = posterior(PAPER, x_t, 1, x_0)
    torch.testing.assert_close(mu_tilde, x_0, rtol=1e-12, atol=1e-12)
    assert beta_tilde.item() == 0


@pytest.mark.parametrize("t", TIMES)
def test_mean_from_noise_is_the_posterior_mean_of_the_implied_image(t, generator):
    x_t, z_hat = draw(2, 4, 1, 3, 3, generator=generator)
    mean, _ = posterior(PAPER, x_t, t, predict_x_0(PAPER, x_t, t, z_hat))
    torch.testing.assert_close(mean_from_noise(PAPER, x_t, t, z_hat), mean, rtol=1e-9, atol=1e-9)


def test_add_noise_as_in_diffusers(generator):
    x_0, z = draw(2, len(TIMES), 3, 4, 4, generator=generator, dtype=torch.float32)
    t = torch.tensor(TIMES)
    theirs = DDPMScheduler().add_noise(x_0, z, t - 1)
    torch.testing.assert_close(q_sample(PAPER, x_0, t, z), theirs, rtol=1e-4, atol=1e-4)


def test_float32_images_lose_nothing_to_the_tables(generator):
    """The coefficients are rounded once: what is left is the rounding of the images' own arithmetic."""
    x_0, z = draw(2, len(TIMES), 1, 8, 8, generator=generator)
    t = torch.tensor(TIMES)
    exact = q_sample(PAPER, x_0, t, z)
    for schedule in (PAPER, PAPER.to("cpu", torch.float32)):
        single = q_sample(schedule, x_0.float(), t, z.float())
        assert single.dtype == torch.float32
        assert (single.double() - exact).abs().max() < 1e-6


def test_loss_is_the_mean_squared_error_of_the_noise(generator):
    x_0, z = draw(2, 4, 1, 3, 3, generator=generator)
    t = torch.tensor([1, 10, 100, 1000])
    seen = {}

    def model(x_t, t, context):
        seen.update(x_t=x_t, t=t, context=context)
        return torch.full_like(x_t, 0.5)

    loss = ddpm_loss(model, PAPER, x_0, t, z, context="label")
    torch.testing.assert_close(loss, ((z - 0.5) ** 2).mean())
    torch.testing.assert_close(seen["x_t"], q_sample(PAPER, x_0, t, z))
    assert seen["t"] is t
    assert seen["context"] == "label"
