"""The exact Gaussian chain, compared with known numbers and with the samplers' own arithmetic."""

from functools import partial

import pytest
import torch

from ddpm_lite import (
    GaussianChain,
    GaussianMixture,
    cosine_schedule,
    ddim_step,
    ddpm_step,
    last,
    linear_schedule,
    q_sample,
    respace,
    sample,
)

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


STEPS = {
    "ddpm, beta": partial(ddpm_step, variance="beta"),
    "ddpm, beta_tilde": ddpm_step,
    "ddim, eta 0": ddim_step,
    "ddim, eta 0.5": partial(ddim_step, eta=0.5),
    "ddim, eta 1": partial(ddim_step, eta=1.0),
}


def computed(oracle, name, walk=None):
    """Mean and variance of the samples by the oracle's own recursion."""
    kind, option = name.split(", ")
    if kind == "ddpm":
        means, variances = oracle.reverse_moments(option, walk=walk)
    else:
        means, variances = oracle.ddim_moments(float(option.removeprefix("eta ")), walk=walk)
    return means[0].item(), variances[0].sqrt().item()


def arithmetic(walk, model, step):
    """The same from the sampler itself: on Gaussian data a step is x -> a x + b + c noise; read a, b and c off it."""
    mean, var = torch.tensor(0.0).double(), torch.tensor(1.0).double()
    zero_one = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    for t in range(walk.T, 0, -1):
        now = partial(step, walk, zero_one, t, t - 1, model(zero_one, int(walk.times[t])), clip=False)
        b, b_plus_a = now(torch.zeros_like(zero_one)).flatten()
        c = now(torch.ones_like(zero_one))[0, 0] - b
        a = b_plus_a - b
        mean, var = a * mean + b, a**2 * var + c**2
    return mean.item(), var.sqrt().item()


WALKS = {
    "T = 20": (COARSE, COARSE),
    "T = 1000": (PAPER, PAPER),
    "cosine": (cosine_schedule(100), cosine_schedule(100)),
    "5 of 20": (COARSE, respace(COARSE, 5)),
    "7 of 20, leading": (COARSE, respace(COARSE, 7, "leading")),
    "50 of 1000": (PAPER, respace(PAPER, 50)),
    "50 of 1000, leading": (PAPER, respace(PAPER, 50, "leading")),
    "30 of 1000": (PAPER, respace(PAPER, 30)),
    "1 of 1000": (PAPER, respace(PAPER, 1)),
}


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("walk", WALKS)
@pytest.mark.parametrize("name", STEPS)
def test_steps_walk_the_exact_chain(name, walk):
    schedule, walk = WALKS[walk]
    oracle = GaussianChain(schedule, 0.3, 0.2)
    assert arithmetic(walk, oracle, STEPS[name]) == pytest.approx(computed(oracle, name, walk), abs=1e-9)


def test_ddim_with_eta_1_is_the_chain_of_beta_tilde():
    oracle = GaussianChain(COARSE, 0.3, 0.2)
    for walk in (None, respace(COARSE, 6)):
        for ours, theirs in zip(oracle.ddim_moments(1.0, walk=walk), oracle.reverse_moments(walk=walk), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_walking_without_noise_moves_the_density_as_its_flow_does():
    """eta = 0 in ever smaller steps keeps x's distance from the mean in standard deviations: z-scores do not change."""
    schedule = linear_schedule(20_000, 1e-7, 1e-3)  # the same alpha_bar_T, 20 times finer
    oracle = GaussianChain(schedule, 0.3, 0.2)
    share = schedule.alpha_bar[-1].item()
    right = (share**0.5 * 0.3, share * 0.2**2 + 1 - share)  # where the forward process ends
    means, variances = oracle.ddim_moments(start=right)
    assert means[0].item() == pytest.approx(0.3, abs=1e-4)
    assert variances[0].sqrt().item() == pytest.approx(0.2, rel=1e-3)


def test_a_walk_along_another_schedule_is_refused():
    oracle = GaussianChain(PAPER)
    for other in (COARSE, respace(cosine_schedule(), 10), linear_schedule(2000)):
        with pytest.raises(ValueError, match="walk: expected .*, got Schedule"):
            oracle.ddim_moments(walk=other)


def asked_at(oracle, shift):
    return lambda x_t, t: oracle(x_t, min(max(t + shift, 1), oracle.schedule.T))


def wrong_before(schedule, x_t, t, s, z_hat, noise, *, eta=None, variance="beta", clip=False):
    """alpha_bar_t instead of alpha_bar_{t-1}: in DDPM's weight of x_0 (the note's slip), in DDIM's first term."""
    signal, rest = schedule.alpha_bar.sqrt(), schedule.one_minus_alpha_bar
    x_0_hat = (x_t - rest[t].sqrt() * z_hat) / signal[t]
    if eta is None:
        weights = schedule.alpha[t].sqrt() * rest[s] / rest[t], signal[t] * schedule.beta[t] / rest[t]
        return weights[0] * x_t + weights[1] * x_0_hat + (getattr(schedule, variance)[t].sqrt() * noise if s else 0)
    sigma_2 = eta**2 * schedule.beta_tilde[t]
    return signal[t] * x_0_hat + (rest[s] - sigma_2).sqrt() * z_hat + sigma_2.sqrt() * noise


def noise_at_the_end(schedule, x_t, t, s, z_hat, noise, *, clip=False):
    x_s = ddpm_step(schedule, x_t, t, s, z_hat, noise, variance="beta", clip=clip)
    return x_s if s else x_s + schedule.beta[1].sqrt() * noise


def variance_for_deviation(schedule, x_t, t, s, z_hat, noise, *, clip=False):
    x_s = ddpm_step(schedule, x_t, t, s, z_hat, 0 * noise, clip=clip)
    return x_s + schedule.beta_tilde[t] * noise


def wrong_variance(schedule, x_t, t, s, z_hat, noise, *, clip=False):
    """alpha_bar_t instead of beta_tilde_t."""
    return ddpm_step(schedule, x_t, t, s, z_hat, 0 * noise, clip=clip) + schedule.alpha_bar[t].sqrt() * noise


def scaled_z(step):
    """z too small by a fiftieth."""
    return lambda schedule, x_t, t, s, z_hat, noise, **options: step(
        schedule, x_t, t, s, 0.98 * z_hat, noise, **options
    )


# Mean and standard deviation where data N(0.3, 0.2^2) should come back; the first three are the numbers known for them.
WRONG = {
    "ddpm, beta: z asked at t + 1": (1, STEPS["ddpm, beta"], 0.27559, 0.29336),
    "ddpm, beta: z asked at t - 1": (-1, STEPS["ddpm, beta"], 0.31656, 0.30335),
    "ddpm, beta: alpha_bar_t for alpha_bar_{t-1}": (0, wrong_before, 0.28198, 0.26474),
    "ddpm, beta: noise at the last step": (0, noise_at_the_end, 0.3, (0.2684249631**2 + 0.005) ** 0.5),
    "ddpm, beta: z scaled by 0.98": (0, scaled_z(STEPS["ddpm, beta"]), None, None),
    "ddpm, beta_tilde: z asked at t + 1": (1, STEPS["ddpm, beta_tilde"], 0.27559, None),
    "ddpm, beta_tilde: z asked at t - 1": (-1, STEPS["ddpm, beta_tilde"], 0.31656, None),
    "ddpm, beta_tilde: variance for deviation": (0, variance_for_deviation, 0.3, None),
    "ddpm, beta_tilde: z scaled by 0.98": (0, scaled_z(STEPS["ddpm, beta_tilde"]), None, None),
    "ddpm, beta_tilde: alpha_bar_t for alpha_bar_{t-1}": (
        0,
        partial(wrong_before, variance="beta_tilde"),
        0.28198,
        None,
    ),
    "ddpm, beta_tilde: alpha_bar_t for beta_tilde_t": (0, wrong_variance, 0.3, None),
    "ddim, eta 0: z asked at t + 1": (1, STEPS["ddim, eta 0"], None, None),
    "ddim, eta 0: z asked at t - 1": (-1, STEPS["ddim, eta 0"], None, None),
    "ddim, eta 0: z scaled by 0.98": (0, scaled_z(STEPS["ddim, eta 0"]), None, None),
    "ddim, eta 0: alpha_bar_t for alpha_bar_s": (0, partial(wrong_before, eta=0.0), None, None),
    "ddim, eta 0.5: alpha_bar_t for alpha_bar_s": (0, partial(wrong_before, eta=0.5), None, None),
    "ddim, eta 1: alpha_bar_t for alpha_bar_s": (0, partial(wrong_before, eta=1.0), None, None),
}


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("schedule", [COARSE, PAPER], ids=["T=20", "T=1000"])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_samplers_are_seen(name, schedule):
    """Each is far outside the bar of 1e-9 that the right ones keep; at T = 20 with the numbers known for it."""
    oracle = GaussianChain(schedule, 0.3, 0.2)
    shift, step, *known = WRONG[name]
    got = arithmetic(schedule, asked_at(oracle, shift), step)
    right = computed(oracle, name.split(":")[0])
    far = max(abs(a - b) for a, b in zip(got, right, strict=True))
    assert far > (1e-3 if schedule is COARSE else 1e-7)
    if schedule is COARSE:
        for value, number in zip(got, known, strict=True):
            assert number is None or value == pytest.approx(number, abs=1e-5)


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
    s, x_0 = last(sample(oracle, COARSE, (20_000, 1), step=step, dtype=torch.float64, seed=3))
    means, variances = oracle.reverse_moments("beta")
    assert s == 0
    assert abs(x_0.mean() - means[0]) < 5 * (variances[0] / 20_000).sqrt()
    assert abs(x_0.var() / variances[0] - 1) < 5 * (2 / 20_000) ** 0.5


BLOBS = GaussianMixture(
    PAPER,
    means=torch.tensor([[-0.8, 0.1], [0.5, 0.7], [0.4, -0.6]]),
    stds=torch.tensor([0.1, 0.25, 0.05]),
    weights=torch.tensor([0.5, 0.2, 0.3]),
)


def sliced_wasserstein(x, y, directions=100):
    """Root mean squared distance of two clouds of equal size, each pushed onto lines in many directions."""
    generator = torch.Generator().manual_seed(5)
    lines = torch.nn.functional.normalize(torch.randn(x.shape[1], directions, generator=generator), dim=0)
    return ((x @ lines).sort(0).values - (y @ lines).sort(0).values).square().mean().sqrt().item()


def covariance_error(x, y):
    return (x.T.cov() - y.T.cov()).norm().item()


def test_the_bars_for_a_mixture_lie_between_chance_and_a_wrong_shape(generator):
    n = 20_000
    real, again = BLOBS.sample(n, generator), BLOBS.sample(n, generator)
    noise = torch.randn(n, 2, generator=generator)
    one_gaussian = real.mean(0) + noise @ torch.linalg.cholesky(real.T.cov()).T
    assert sliced_wasserstein(real, again) < 0.04
    assert covariance_error(real, again) < 0.02
    assert sliced_wasserstein(real, noise) > 0.5
    assert sliced_wasserstein(real, one_gaussian) > 0.2  # its covariance is right


@pytest.mark.slow
@pytest.mark.parametrize(("step", "steps"), [(ddpm_step, 1000), (ddim_step, 250)], ids=["ddpm", "ddim"])
@pytest.mark.usefixtures("plain")
def test_a_mixture_comes_back(step, steps, generator):
    n = 10_000  # by chance two draws of the data are about 0.04 apart
    _, x_0 = last(sample(BLOBS, respace(PAPER, steps), (n, 2), step=partial(step, clip=False), seed=3))
    real = BLOBS.sample(n, generator)
    assert sliced_wasserstein(real, x_0) <= 0.06
    assert covariance_error(real, x_0) <= 0.04
