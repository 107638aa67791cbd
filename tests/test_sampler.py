"""A step against diffusers' scheduler and the equations; the loop's promises."""

from functools import partial

import pytest
import torch
from diffusers import DDPMScheduler

from ddpm_lite import UNet, UNetConfig, ddpm_step, linear_schedule, mean_from_noise, predict_x_0, sample
from ddpm_lite.process import posterior

PAPER = linear_schedule()
SMALL = linear_schedule(30, 0.005, 0.5)
TIMES = [1, 2, 4, 100, 500, 999, 1000]


def exact_diffusers(variance, clip):
    """diffusers' scheduler with its float32 tables replaced by float64 ones, so that its equations are what differs."""
    scheduler = DDPMScheduler(
        variance_type={"beta": "fixed_large", "beta_tilde": "fixed_small"}[variance], clip_sample=clip
    )
    scheduler.betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    scheduler.alphas = 1 - scheduler.betas
    scheduler.alphas_cumprod = torch.cumprod(scheduler.alphas, 0)
    scheduler.one = torch.tensor(1.0, dtype=torch.float64)
    return scheduler


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
@pytest.mark.parametrize("t", TIMES)
def test_step_is_diffusers_step(t, variance, clip, generator, monkeypatch):
    x_t, z_hat, noise = torch.randn(3, 4, 1, 8, 8, generator=generator, dtype=torch.float64)
    module = "diffusers.schedulers.scheduling_ddpm.randn_tensor"
    monkeypatch.setattr(module, lambda *args, **kwargs: noise)
    theirs = exact_diffusers(variance, clip).step(z_hat, t - 1, x_t).prev_sample
    ours = ddpm_step(PAPER, x_t, t, t - 1, z_hat, noise, variance=variance, clip=clip)
    # at t = 1 both add no noise; diffusers floors fixed_small's variance at 1e-20
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("t", TIMES)
def test_without_clipping_it_is_algorithm_2(t, generator):
    x_t, z_hat, noise = torch.randn(3, 4, 1, 3, 3, generator=generator, dtype=torch.float64)
    sigma = PAPER.beta_tilde[t].sqrt()
    expected = mean_from_noise(PAPER, x_t, t, z_hat) + sigma * noise
    torch.testing.assert_close(ddpm_step(PAPER, x_t, t, t - 1, z_hat, noise, clip=False), expected)


def test_clipping_bounds_the_image_not_the_step(generator):
    x_t, z_hat, noise = torch.randn(3, 4, 1, 3, 3, generator=generator, dtype=torch.float64)
    t = 900
    x_0_hat = predict_x_0(PAPER, x_t, t, z_hat)
    assert x_0_hat.abs().max() > 10  # far outside: this is why the paper's code clips
    expected = posterior(PAPER, x_t, t, x_0_hat.clamp(-1, 1))[0]
    torch.testing.assert_close(ddpm_step(PAPER, x_t, t, t - 1, z_hat, torch.zeros_like(x_t)), expected)


@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
def test_the_last_step_adds_no_noise(variance, generator):
    x_t, z_hat, noise = torch.randn(3, 2, 1, 3, 3, generator=generator)
    step = partial(ddpm_step, PAPER, x_t, 1, 0, z_hat, variance=variance)
    assert torch.equal(step(noise=noise), step(noise=7 * noise))


def small_model():
    torch.manual_seed(0)
    model = UNet(UNetConfig(8, 1, (8, 16), blocks=1, dropout=0.5))
    torch.nn.init.normal_(model.conv_out.weight, std=0.1)
    return model


def test_the_loop_hands_out_every_time_once():
    states = list(sample(small_model(), SMALL, (2, 1, 8, 8)))
    assert [t for t, _ in states] == list(range(30, -1, -1))
    assert all(x.shape == (2, 1, 8, 8) for _, x in states)
    assert not states[-1][1].requires_grad


def test_same_seed_same_images_and_another_seed_others():
    model = small_model()
    *_, (_, first) = sample(model, SMALL, (2, 1, 8, 8), seed=1)
    torch.randn(5)  # what others draw in between does not matter
    *_, (_, again) = sample(model, SMALL, (2, 1, 8, 8), seed=1)
    *_, (_, other) = sample(model, SMALL, (2, 1, 8, 8), seed=2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_dropout_is_off_while_sampling_and_back_on_afterwards():
    model = small_model().train()
    *_, (_, x_0) = sample(model, SMALL, (2, 1, 8, 8))
    *_, (_, calm) = sample(model.eval(), SMALL, (2, 1, 8, 8))
    assert torch.equal(x_0, calm)
    model.train()
    walk = sample(model, SMALL, (2, 1, 8, 8))
    next(walk), next(walk)
    assert model.training  # stopped half way, nothing is left switched off


def test_a_start_of_ones_own_is_where_it_starts(generator):
    x_T = torch.randn(2, 1, 8, 8, generator=generator)
    (t, first), *_ = sample(small_model(), SMALL, (2, 1, 8, 8), x_T=x_T)
    assert t == 30
    assert torch.equal(first, x_T)


def test_any_callable_is_a_model():
    *_, (_, x_0) = sample(lambda x_t, t, context: 0 * x_t + 0.1, SMALL, (2, 3))
    assert x_0.shape == (2, 3)
