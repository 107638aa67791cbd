"""The terms of the bound, compared with torch.distributions, numeric integrals and the paper's numbers."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from ddpm_lite import (
    GaussianChain,
    bound_terms,
    bound_weight,
    decoder_nll,
    gaussian_kl,
    linear_schedule,
    mean_from_noise,
    posterior,
    prior_bits_per_dim,
    q_sample,
)

PAPER = linear_schedule()
NOTE = linear_schedule(beta_T=0.002)


def double(number):
    return torch.tensor(number, dtype=torch.float64)


def draw(*shape, generator):
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_gaussian_kl_is_that_of_torch_distributions(generator):
    means = draw(2, 200, generator=generator)
    stds = draw(2, 200, generator=generator).exp()
    expected = kl_divergence(Normal(means[0], stds[0]), Normal(means[1], stds[1]))
    got = gaussian_kl(means[0], stds[0] ** 2, means[1], stds[1] ** 2)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


def test_gaussian_kl_is_the_integral():
    x = torch.linspace(-40, 40, 400_001, dtype=torch.float64)
    first, second = Normal(double(0.7), double(1.5)), Normal(double(-0.4), double(2.0))
    log_p, log_q = first.log_prob(x), second.log_prob(x)
    integral = torch.trapezoid(log_p.exp() * (log_p - log_q), x)
    assert gaussian_kl(0.7, 1.5**2, -0.4, 2.0**2).item() == pytest.approx(integral.item(), abs=1e-8)


def test_gaussian_kl_of_equals_is_zero_and_takes_plain_numbers():
    assert gaussian_kl(0.3, 0.5, 0.3, 0.5).item() == 0
    assert gaussian_kl(torch.zeros(3), 1.0, 1.0, 1.0).tolist() == [0.5] * 3


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_gaussian_kl_refuses_what_is_no_variance(wrong):
    with pytest.raises(ValueError, match="variance_2: expected finite values > 0, got"):
        gaussian_kl(0.0, 1.0, 0.0, wrong)
    with pytest.raises(ValueError, match="variance_1: expected finite values > 0, got float32 tensor"):
        gaussian_kl(0.0, torch.tensor([1.0, wrong]), 0.0, 1.0)


def test_weights_of_the_paper():
    """facts: sigma^2 = beta; high at both ends, lowest in between."""
    weight = bound_weight(PAPER)
    known = {1: 0.50005, 2: 0.27269, 10: 0.07372, 100: 0.010081, 500: 0.0055034, 1000: 0.010204}
    for t, value in known.items():
        assert weight[t].item() == pytest.approx(value, rel=1e-4)
    assert weight[0] == 0
    assert weight[1:].diff().sign().unique().tolist() == [-1, 1]


@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
@pytest.mark.parametrize("t", [2, 3, 100, 500, 1000])
def test_weight_turns_the_error_of_z_into_the_divergence(variance, t, generator):
    x_0, z, z_hat = (draw(4, 3, generator=generator) for _ in range(3))
    x_t = q_sample(PAPER, x_0, t, z)
    sigma_2 = getattr(PAPER, variance)[t]
    true = posterior(PAPER, x_t, t, x_0)[0]
    learnt = mean_from_noise(PAPER, x_t, t, z_hat)
    divergence = kl_divergence(Normal(learnt, sigma_2.sqrt()), Normal(true, sigma_2.sqrt())).sum(1)
    weighted = bound_weight(PAPER, variance)[t] * (z - z_hat).square().sum(1)
    torch.testing.assert_close(weighted, divergence, rtol=1e-8, atol=0)


@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
def test_terms_are_the_divergences_of_the_steps(variance, generator):
    """Of one number: mu_tilde and a mean from a wrong noise, under both variances, for every t."""
    x_t, z, z_hat = torch.randn(3, PAPER.T, 1, generator=generator, dtype=torch.float64)
    t = torch.arange(1, PAPER.T + 1)
    learnt, true = (mean_from_noise(PAPER, x_t, t, noise).flatten() for noise in (z_hat, z))
    of_path, of_step = (table[1:].sqrt() for table in (PAPER.beta_tilde, getattr(PAPER, variance)))
    expected = kl_divergence(Normal(true[1:], of_path[1:]), Normal(learnt[1:], of_step[1:]))
    terms = bound_terms(PAPER, [0.0, *(z - z_hat).square().flatten().tolist()], variance)
    torch.testing.assert_close(terms[2:], expected, rtol=1e-8, atol=1e-15)
    assert terms[:2].tolist() == [0, 0]


def test_terms_need_an_error_for_each_time():
    with pytest.raises(ValueError, match=r"errors: expected T \+ 1 = 1001 of them, for t = 0..T, got .*1000"):
        bound_terms(PAPER, torch.ones(1000))


def test_weight_with_beta_tilde_is_a_difference_of_signal_to_noise_ratios():
    """Kingma et al. (2021): (snr_{t-1} - snr_t) / 2 for an error of x_0, which is that of z over snr_t."""
    expected = (PAPER.snr[1:-1] - PAPER.snr[2:]) / 2 / PAPER.snr[2:]
    weight = bound_weight(PAPER, "beta_tilde")
    torch.testing.assert_close(weight[2:], expected, rtol=1e-9, atol=0)
    assert weight[1] == math.inf


def test_weight_knows_two_variances():
    with pytest.raises(ValueError, match="""variance: expected "beta" or "beta_tilde", got 'sigma'"""):
        bound_weight(PAPER, "sigma")


def test_prior_bits_of_both_schedules():
    assert prior_bits_per_dim(PAPER) == pytest.approx(9.70e-6, rel=1e-3)
    assert prior_bits_per_dim(NOTE) == pytest.approx(0.142, abs=5e-4)


def test_prior_bits_are_the_mean_divergence_over_pixels():
    x_0 = torch.linspace(-1, 1, 200_001, dtype=torch.float64)  # uniform in [-1, 1]: E[x_0^2] = 1/3
    alpha_bar = NOTE.alpha_bar[-1]
    each = kl_divergence(Normal(alpha_bar.sqrt() * x_0, (1 - alpha_bar).sqrt()), Normal(0.0, 1.0))
    assert prior_bits_per_dim(NOTE) == pytest.approx(each.mean().item() / math.log(2), rel=1e-4)


def test_prior_bits_refuse_a_negative_moment():
    with pytest.raises(ValueError, match=r"second_moment: expected a number in \[0, .*, got -0.1"):
        prior_bits_per_dim(PAPER, -0.1)


LEVELS = torch.linspace(-1, 1, 256, dtype=torch.float64)


@pytest.mark.parametrize("mean", [-1.2, -1.0, -0.3, 0.0, 0.996, 1.0])
@pytest.mark.parametrize("std", [0.00738, 0.01, 0.3])
def test_grey_levels_share_all_the_mass(mean, std):
    nll = decoder_nll(LEVELS, torch.full_like(LEVELS, mean), std)
    assert (-nll).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_mass_of_a_grey_level_is_the_integral_over_its_bin():
    mean, std, level = double(-0.31), 0.05, LEVELS[80]
    x = torch.linspace(float(level) - 1 / 255, float(level) + 1 / 255, 20_001, dtype=torch.float64)
    mass = torch.trapezoid(Normal(mean, double(std)).log_prob(x).exp(), x)
    nll = decoder_nll(level, mean, std)
    assert nll.item() == pytest.approx(-mass.log().item(), rel=1e-9)


def test_far_tails_stay_finite_and_symmetric():
    """At 100 standard deviations two cumulative probabilities are 0 - 0; the logarithm is not."""
    left = decoder_nll(double([-1.0]), double([1.0]), 0.02)
    right = decoder_nll(double([1.0]), double([-1.0]), 0.02)
    torch.testing.assert_close(left, right)
    nearest_edge = (2 - 1 / 255) / 0.02
    tail = nearest_edge**2 / 2 + math.log(nearest_edge * (2 * math.pi) ** 0.5)
    assert left.item() == pytest.approx(tail, rel=1e-4)


def test_decoder_checks_its_numbers():
    with pytest.raises(ValueError, match=r"std: expected a number in \(0, "):
        decoder_nll(LEVELS, LEVELS, 0.0)
    with pytest.raises(ValueError, match="levels: expected a whole number >= 2, got 1"):
        decoder_nll(LEVELS, LEVELS, 0.1, levels=1)


@pytest.mark.parametrize(("variance", "gap"), [("beta", 0.1), ("beta_tilde", 1.0)])
def test_whole_bound_of_gaussian_data(variance, gap):
    """All terms, in closed form: at least the exact -log p_theta(x_0), which is at least the entropy."""
    schedule = linear_schedule(100, 1e-3, 0.2)
    oracle = GaussianChain(schedule, 0.3, 0.2)
    sigma_2 = getattr(schedule, variance).clone()
    sigma_2[1] = schedule.beta[1]  # beta_tilde_1 = 0 is no density
    error = oracle.least_loss()
    prior = prior_bits_per_dim(schedule, 0.3**2 + 0.2**2) * math.log(2)
    middle = bound_weight(schedule, variance) * error
    middle[2:] += gaussian_kl(0.0, schedule.beta_tilde[2:], 0.0, sigma_2[2:])
    last = bound_weight(schedule)[1] * error[1] + 0.5 * torch.log(2 * torch.pi * sigma_2[1])
    bound = (prior + middle[2:].sum() + last).item()

    means, variances = oracle.reverse_moments(variance)
    mean, var = means[0], variances[0] + sigma_2[1]
    exact = 0.5 * (torch.log(2 * torch.pi * var) + (0.2**2 + (mean - 0.3) ** 2) / var).item()
    entropy = 0.5 * math.log(2 * math.pi * math.e * 0.2**2)
    assert entropy <= exact <= bound
    assert bound - entropy < gap
