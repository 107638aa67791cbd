"""The exact Gaussian chain: the numbers known for it, and the samplers' own arithmetic against it."""

from functools import partial

import pytest
import torch

from ddpm_lite import GaussianChain, ddpm_step, linear_schedule, q_sample, sample

PAPER = linear_schedule()
COARSE = linear_schedule(20, 0.005, 0.999)


@pytest.mark.parametrize(
    ("std", "variance", "last_noise", "expected"),
    [
        (1.0, "beta", False, 0.9999),
        (1.0, "beta", True, 1.0),
        (1.0, "beta_tilde", False, 0.991067),
        (0.5, "beta", False, 0.250752),
        (0.5, "beta_tilde", False, 0.246125),
    ],
)
def test_variance_of_the_samples(std, variance, last_noise, expected):
    _, variances = GaussianChain(PAPER, 0.0, std).reverse_moments(variance, last_noise=last_noise)
    assert variances[0].item() == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (PAPER, 0.99999),
        (linear_schedule(200), 0.963),
        (linear_schedule(50), 0.725),
        (linear_schedule(beta_T=0.002), 0.881),
    ],
)
def test_share_of_the_mean_that_comes_back(schedule, expected):
    means, _ = GaussianChain(schedule, 1.0, 0.5).reverse_moments()
    assert means[0].item() == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(("variance", "std"), [("beta_tilde", 0.1275180526), ("beta", 0.2684249631)])
def test_coarse_chain_to_ten_digits(variance, std):
    means, variances = GaussianChain(COARSE, 0.3, 0.2).reverse_moments(variance)
    assert means[0].item() == pytest.approx(0.3, abs=1e-9)
    assert variances[0].sqrt().item() == pytest.approx(std, abs=1e-9)


def affine_of_step(schedule, model, t, variance, shift=0):
    """A step on Gaussian data is x -> a x + b + c noise; read a, b and c off the sampler itself."""
    points = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    z_hat = model(points, min(max(t + shift, 1), schedule.T))
    step = partial(ddpm_step, schedule, t=t, s=t - 1, clip=False, variance=variance)
    b, b_plus_a = step(x_t=points, z_hat=z_hat, noise=torch.zeros_like(points)).flatten()
    c = step(x_t=points, z_hat=z_hat, noise=torch.ones_like(points))[0, 0] - b
    return b_plus_a - b, b, c


def chain_of_steps(schedule, model, variance, shift=0):
    mean, var = torch.tensor(0.0).double(), torch.tensor(1.0).double()
    for t in range(schedule.T, 0, -1):
        a, b, c = affine_of_step(schedule, model, t, variance, shift)
        mean, var = a * mean + b, a**2 * var + c**2
    return mean.item(), var.sqrt().item()


@pytest.mark.parametrize("schedule", [COARSE, PAPER], ids=["T=20", "T=1000"])
@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
def test_ddpm_step_walks_the_exact_chain(schedule, variance):
    oracle = GaussianChain(schedule, 0.3, 0.2)
    means, variances = oracle.reverse_moments(variance)
    mean, std = chain_of_steps(schedule, oracle, variance)
    assert mean == pytest.approx(means[0].item(), abs=1e-9)
    assert std == pytest.approx(variances[0].sqrt().item(), abs=1e-9)


@pytest.mark.parametrize(("shift", "mean", "std"), [(1, 0.27559, 0.29336), (-1, 0.31656, 0.30335)])
def test_an_index_shifted_by_one_is_seen(shift, mean, std):
    """What a model asked at the wrong time would give: known numbers, far outside the bar of 1e-9."""
    got = chain_of_steps(COARSE, GaussianChain(COARSE, 0.3, 0.2), "beta", shift)
    assert got == pytest.approx((mean, std), abs=1e-5)


def test_alpha_bar_t_in_the_place_of_alpha_bar_t_minus_1_is_seen():
    """The note's slip, here in the weight of x_0 in the posterior mean: again known numbers."""
    oracle = GaussianChain(COARSE, 0.3, 0.2)
    slope, offset = oracle.line()
    signal, noise = COARSE.alpha_bar.sqrt(), COARSE.one_minus_alpha_bar.sqrt()
    right = COARSE.one_minus_alpha_bar
    weight_x_t = COARSE.alpha.sqrt() * right.roll(1) / right  # entry t holds time t - 1 over time t
    weight_x_0 = signal * COARSE.beta / COARSE.one_minus_alpha_bar
    mean, var = torch.tensor(0.0).double(), torch.tensor(1.0).double()
    for t in range(COARSE.T, 0, -1):
        x_0_slope, x_0_offset = (1 - noise[t] * slope[t]) / signal[t], -noise[t] * offset[t] / signal[t]
        factor = weight_x_t[t] + weight_x_0[t] * x_0_slope
        mean = factor * mean + weight_x_0[t] * x_0_offset
        var = factor**2 * var + (COARSE.beta[t] if t > 1 else 0)
    assert (mean.item(), var.sqrt().item()) == pytest.approx((0.28198, 0.26474), abs=1e-5)


def test_z_hat_is_the_regression_of_z_on_x_t(generator):
    n, t = 400_000, 300
    oracle = GaussianChain(PAPER, 0.4, 0.7)
    x_0 = 0.4 + 0.7 * torch.randn(n, 1, generator=generator, dtype=torch.float64)
    z = torch.randn(n, 1, generator=generator, dtype=torch.float64)
    x_t = q_sample(PAPER, x_0, t, z)
    columns = torch.cat([x_t, torch.ones_like(x_t)], dim=1)
    slope, offset = torch.linalg.lstsq(columns, z).solution.flatten()
    exact_slope, exact_offset = (table[t] for table in oracle.line())
    assert abs(slope - exact_slope) < 5 / n**0.5
    assert abs(offset - exact_offset) < 5 / n**0.5
    torch.testing.assert_close(oracle(x_t, t), exact_slope * x_t + exact_offset)


def test_samples_follow_the_chain(generator):
    """The whole loop, drawn: 20,000 numbers within five standard errors of the exact moments."""
    oracle = GaussianChain(COARSE, 0.3, 0.2)
    step = partial(ddpm_step, clip=False, variance="beta")
    *_, (s, x_0) = sample(oracle, COARSE, (20_000, 1), step=step, dtype=torch.float64, seed=3)
    means, variances = oracle.reverse_moments("beta")
    assert s == 0
    assert abs(x_0.mean() - means[0]) < 5 * (variances[0] / 20_000).sqrt()
    assert abs(x_0.var() / variances[0] - 1) < 5 * (2 / 20_000) ** 0.5
