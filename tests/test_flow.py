"""The same model as noise, score, velocity and flow: the dictionary of times, Heun's step, four samplers."""

import math
from functools import partial

import pytest
import torch
from diffusers import EDMEulerScheduler, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler

from ddpm_lite import (
    GaussianChain,
    GaussianMixture,
    Schedule,
    cosine_schedule,
    ddim_step,
    ddpm_loss,
    flow_from_z,
    heun_step,
    last,
    linear_schedule,
    load_pretrained,
    precondition,
    predict_x_0,
    q_sample,
    respace,
    sample,
    schedule_from_levels,
    score_from_z,
    velocity,
    x_0_from_v,
    z_from_flow,
    z_model,
)

PAPER = linear_schedule()
ALL = torch.arange(1, 1001)
BLOBS = GaussianMixture(
    PAPER, torch.tensor([[-0.6, 0.1], [0.5, 0.4]]), torch.tensor([0.15, 0.1]), torch.tensor([0.3, 0.7])
)


def same(got, expected, within=1e-9):
    torch.testing.assert_close(got, expected, rtol=within, atol=within)


@pytest.fixture
def point(generator):
    """One random (x_0, z, x_t) for each t in 1..T, float64."""
    x_0, z = torch.randn(2, 1000, 5, generator=generator, dtype=torch.float64)
    return x_0, z, q_sample(PAPER, x_0, ALL, z)


# ---- the dictionary of times


def test_noise_levels_are_the_sigmas_of_diffusers():
    sigmas = EulerDiscreteScheduler(beta_start=1e-4, beta_end=0.02).sigmas.flip(0).double()  # from 0 up, as our times
    torch.testing.assert_close(PAPER.noise_level, sigmas, rtol=3e-4, atol=1e-6)


def test_the_three_scales_of_time_agree_one_by_one():
    for t in (1, 260, 1000):
        alpha_bar = math.prod(1 - 1e-4 - (0.02 - 1e-4) * i / 999 for i in range(t))
        signal, noise = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
        assert PAPER.noise_level[t].item() == pytest.approx(noise / signal, rel=1e-9)
        assert PAPER.flow_time[t].item() == pytest.approx(noise / (signal + noise), rel=1e-9)
    assert PAPER.noise_level[0] == 0
    assert PAPER.flow_time[0] == 0
    same(PAPER.flow_time / (1 - PAPER.flow_time), PAPER.noise_level)
    assert PAPER.numbers.flow_time == PAPER.flow_time.tolist()


@pytest.mark.parametrize("schedule", [PAPER, cosine_schedule(100), linear_schedule(20, 0.005, 0.999)], ids=str)
def test_levels_give_the_schedule_back(schedule):
    same(schedule_from_levels(schedule.noise_level).beta, schedule.beta, 1e-12)
    assert schedule_from_levels(schedule.noise_level.tolist()).T == schedule.T


def test_tiny_levels_keep_their_digits():
    levels = [0, 1e-7, 3e-7]
    found = schedule_from_levels(levels)
    torch.testing.assert_close(found.noise_level, torch.tensor(levels, dtype=torch.float64), rtol=1e-12, atol=0)


def test_levels_of_a_schedule_at_chosen_times_are_a_walk():
    times = respace(PAPER, 7).times
    found = schedule_from_levels(PAPER.noise_level[times], times)
    same(found.beta, respace(PAPER, 7).beta, 1e-12)
    assert found.times.tolist() == times.tolist()


@pytest.mark.parametrize(
    "levels", [[0.1, 1.0], [0.0], [0.0, 2.0, 1.0], [0.0, 1.0, math.inf], [0.0, math.nan], [[0.0, 1.0]], 3.0], ids=str
)
def test_bad_levels_get_one_line(levels, plain):
    with pytest.raises(ValueError, match="^levels: expected ") as error:
        schedule_from_levels(levels)
    assert "\n" not in str(error.value)


# ---- what a network may predict


def test_the_slope_of_the_straight_path(point):
    x_0, z, x_t = point
    u = flow_from_z(PAPER, x_t, ALL, z)
    torch.testing.assert_close(u, z - x_0, rtol=1e-9, atol=1e-9)
    same(z_from_flow(PAPER, x_t, ALL, u), z)
    tau = PAPER.flow_time[1:, None]
    straight = x_t / (PAPER.alpha_bar.sqrt() + PAPER.one_minus_alpha_bar.sqrt())[1:, None]
    same(straight, x_0 + tau * u)


def test_the_loss_of_flow_matching_is_a_weighted_loss_of_the_noise(point):
    x_0, z, x_t = point

    def network(x, t, context=None):
        return torch.sin(x) * t[:, None] / 500

    model, weight = z_model(network, PAPER, "flow"), (1 - PAPER.flow_time) ** -2
    loss = ddpm_loss(model, PAPER, x_0, ALL, z, weight=weight)
    torch.testing.assert_close(loss, (z - x_0 - network(x_t, ALL)).square().mean(), rtol=1e-9, atol=0)


# ---- EDM's scales of input and output


@pytest.mark.parametrize("std", [0.5, 0.71, 2])
def test_the_scales_are_those_of_diffusers(std, generator):
    theirs = EDMEulerScheduler(sigma_data=std)
    levels, y, f = 80 * torch.rand(3, 50, generator=generator, dtype=torch.float64)
    c_skip, c_out, c_in = precondition(levels, std)
    same(c_skip * y + c_out * f, theirs.precondition_outputs(y, f, levels))
    same(c_in * y, theirs.precondition_inputs(y, levels))


def test_the_defaults_are_edms_and_any_shape_will_do():
    for level in (0.0, 0.002, 80):
        mine = precondition(level)
        assert [c.shape for c in mine] == [()] * 3
        expected = 0.25 / (level**2 + 0.25), level * 0.5 / math.sqrt(level**2 + 0.25), 1 / math.sqrt(level**2 + 0.25)
        assert [float(c) for c in mine] == pytest.approx(expected)
    assert precondition([[1, 2, 3]])[0].shape == (1, 3)


def test_no_other_skip_amplifies_an_error_less():
    """c_out is the deviation of what the skip leaves of x_0; a search over skips finds no smaller one."""
    for level, std in ((0.05, 0.5), (0.7, 0.5), (3.0, 1.3)):
        c_skip, c_out, _ = precondition(level, std)
        skips = torch.linspace(-0.5, 1.5, 200_001, dtype=torch.float64)
        left = ((1 - skips).square() * std**2 + skips.square() * level**2).sqrt()
        assert float(left.min()) == pytest.approx(float(c_out), rel=1e-6)
        assert float(skips[left.argmin()]) == pytest.approx(float(c_skip), abs=2e-5)


def test_at_deviation_1_the_network_of_edm_is_that_of_v(point):
    _, z, x_t = point
    v = torch.tanh(x_t) + z  # any network
    c_skip, c_out, c_in = (c[1:, None] for c in precondition(PAPER.noise_level, 1))
    y = x_t / PAPER.alpha_bar[1:, None].sqrt()
    same(c_in * y, x_t)
    same(c_skip * y + c_out * -v, x_0_from_v(PAPER, x_t, ALL, v))


@pytest.mark.parametrize("levels", [-0.1, [0.1, math.nan], math.inf, torch.tensor([1.0, -1.0])], ids=str)
def test_bad_levels_of_the_scales_get_one_line(levels):
    with pytest.raises(ValueError, match="^levels: expected finite numbers >= 0, got ") as error:
        precondition(levels)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("std", [0, -1, math.nan])
def test_a_bad_deviation_gets_one_line(std):
    with pytest.raises(ValueError, match="^std: expected a number in "):
        precondition(1.0, std)


# ---- Heun's step


@pytest.mark.parametrize(("t", "s"), [(1000, 900), (700, 300), (60, 20), (2, 1)])
def test_heuns_step_is_algorithm_1_of_edm(t, s, generator):
    """In EDM's variables y = x / sqrt(alpha_bar) and sigma, with the denoiser D; Karras et al. (2022)."""
    x_t = torch.randn(6, 2, generator=generator, dtype=torch.float64)
    sigma = [math.sqrt(1 / float(PAPER.alpha_bar[i]) - 1) for i in (t, s)]

    def denoiser(y, i):
        x = y * PAPER.alpha_bar[i].sqrt()
        return predict_x_0(PAPER, x, i, BLOBS(x, i))

    y = x_t / PAPER.alpha_bar[t].sqrt()
    slope = (y - denoiser(y, t)) / sigma[0]
    euler = y + (sigma[1] - sigma[0]) * slope
    slope = (slope + (euler - denoiser(euler, s)) / sigma[1]) / 2
    expected = (y + (sigma[1] - sigma[0]) * slope) * PAPER.alpha_bar[s].sqrt()
    got = heun_step(PAPER, x_t, t, s, BLOBS(x_t, t), torch.full_like(x_t, math.nan), ask=BLOBS, clip=False)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


def test_heuns_last_step_is_ddims_and_does_not_ask(generator):
    x_t, z_hat, noise = torch.randn(3, 2, 1, 4, 4, generator=generator)

    def ask(x, s):
        raise AssertionError

    for clip in (True, False):
        got = heun_step(PAPER, x_t, 20, 0, z_hat, noise, ask=ask, clip=clip)
        torch.testing.assert_close(got, ddim_step(PAPER, x_t, 20, 0, z_hat, noise, clip=clip))


# ---- one network, four programs


def read_as(model, schedule, way, x_T, kind):
    """Sample with a network of z that is read as `kind`, in the variables in which that kind is usually written."""
    signal, noise = way.alpha_bar.sqrt(), way.one_minus_alpha_bar.sqrt()
    level, tau, angle = noise / signal, noise / (signal + noise), torch.atan2(noise, signal)
    x = x_T
    for k in range(way.T, 0, -1):
        t = int(way.times[k])
        z_hat = model(x, torch.full((len(x),), t))
        if kind == "score":
            score = score_from_z(schedule, z_hat, t) * signal[k]  # the gradient by y = x / signal
            y = x / signal[k] - (level[k - 1] - level[k]) * level[k] * score
            x = y * signal[k - 1]
        elif kind == "velocity":
            v = velocity(schedule, predict_x_0(schedule, x, t, z_hat), t, z_hat)
            turn = angle[k - 1] - angle[k]
            x = turn.cos() * x + turn.sin() * v
        else:
            mix = x / (signal + noise)[k] + (tau[k - 1] - tau[k]) * flow_from_z(schedule, x, t, z_hat)
            x = mix * (signal + noise)[k - 1]
        x = x.float()
    return x


def test_one_network_samples_the_same_images_as_noise_score_velocity_and_flow(generator):
    model, schedule = load_pretrained("digits")
    way, x_T = respace(schedule, 20), torch.randn(4, 1, 8, 8, generator=generator)
    step = partial(ddim_step, clip=False)
    _, x_0 = last(sample(model, way, x_T.shape, step=step, x_T=x_T))
    assert (x_0[0] - x_0[1]).abs().max() > 1  # images, and different ones
    with torch.no_grad():
        for kind in ("score", "velocity", "flow"):
            other = read_as(model, schedule, way, x_T, kind)
            assert (other - x_0).abs().max() < 1e-4, kind


def test_a_step_along_the_straight_path_is_that_of_diffusers(point):
    """Flow matching's Euler step of another library, from our time 700 to 300, is DDIM's."""
    x_0, z, _ = (each.float() for each in point)
    x_t = q_sample(PAPER, x_0, 700, z)
    z_hat = torch.tanh(x_t)  # any network
    totals = (PAPER.alpha_bar.sqrt() + PAPER.one_minus_alpha_bar.sqrt()).float()
    theirs = FlowMatchEulerDiscreteScheduler()
    theirs.set_timesteps(sigmas=PAPER.flow_time[[700, 300]].tolist())
    moved = theirs.step(flow_from_z(PAPER, x_t, 700, z_hat), theirs.timesteps[0], x_t / totals[700])
    ours = ddim_step(PAPER, x_t, 700, 300, z_hat, torch.zeros_like(x_t), clip=False)
    torch.testing.assert_close(moved.prev_sample * totals[300], ours, rtol=1e-4, atol=1e-4)


def test_a_straight_schedule_has_even_flow_times():
    tau = torch.arange(101, dtype=torch.float64) / 101
    schedule = schedule_from_levels(tau / (1 - tau))
    assert isinstance(schedule, Schedule)
    same(schedule.flow_time, tau, 1e-12)
    mean, variance = GaussianChain(schedule, 0.3, 0.5).ddim_moments()
    assert mean[0].item() == pytest.approx(0.3, abs=0.01)
    assert variance[0].sqrt().item() == pytest.approx(0.5, abs=0.02)
