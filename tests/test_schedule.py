"""The tables against the paper's numbers, diffusers, and each other."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from ddpm_lite import Schedule, cosine_schedule, linear_schedule, q_sample, respace
from ddpm_lite.viz.exercises import compare

PAPER = linear_schedule()


def test_a_small_t_needs_scaled_betas():
    """The numbers of the docstring: a tenth of the steps leaves 36 % of the variance; ten times the betas do not."""
    assert float(linear_schedule(100).alpha_bar[-1]) == pytest.approx(0.364, abs=5e-4)
    assert float(linear_schedule(100, 1e-3, 0.2).alpha_bar[-1]) < 1e-4


@pytest.mark.parametrize("steps", [1, 7, 50, 1000])
def test_a_rounded_copy_is_re_spaced_as_exactly(steps):
    """A copy for a device has float32 tables; reading those would lose 3.6e-4 of a beta."""
    for schedule in (PAPER, cosine_schedule()):
        exact = respace(schedule, steps)
        for copy in (schedule.to("cpu", torch.float32), schedule.at(torch.device("meta"))):
            assert torch.equal(respace(copy, steps).beta, exact.beta)
            assert torch.equal(respace(copy, steps).times, exact.times)


def test_linear_schedule_has_the_papers_ends():
    assert PAPER.T == 1000
    assert PAPER.beta[0] == 0
    assert PAPER.beta[1].item() == pytest.approx(1e-4)
    assert PAPER.beta[1000].item() == pytest.approx(0.02)
    torch.testing.assert_close(PAPER.beta[1:].diff(), torch.full((999,), 0.0199 / 999, dtype=torch.float64))


@pytest.mark.parametrize(
    ("t", "alpha_bar"),
    [(0, 1.0), (1, 0.9999), (250, 0.52409), (500, 0.078587), (750, 3.3506e-3), (1000, 4.03583e-5)],
)
def test_alpha_bar_at_known_times(t, alpha_bar):
    assert PAPER.alpha_bar[t].item() == pytest.approx(alpha_bar, rel=2e-5)


def test_first_time_with_more_noise_than_signal():
    assert int((PAPER.alpha_bar < 0.5).nonzero()[0]) == 260


def test_beta_tilde_ends_by_the_formula_itself():
    assert PAPER.beta_tilde[1] == 0
    assert PAPER.beta_tilde[2].item() == pytest.approx(5.45319e-5, rel=1e-5)
    assert (PAPER.beta_tilde[2] / PAPER.beta[2]).item() == pytest.approx(0.4547, rel=1e-4)


def test_the_notes_schedule_leaves_59_percent_of_the_amplitude():
    note = linear_schedule(beta_T=0.002)
    assert note.alpha_bar[-1].item() == pytest.approx(0.3497, rel=1e-4)
    assert note.alpha_bar[-1].sqrt().item() == pytest.approx(0.5913, rel=1e-3)


def test_snr_falls_from_infinity():
    assert PAPER.snr[0] == float("inf")
    assert (PAPER.snr[1:].diff() < 0).all()
    torch.testing.assert_close(PAPER.snr[1:], PAPER.alpha_bar[1:] / (1 - PAPER.alpha_bar[1:]))


@pytest.mark.parametrize(("ours", "theirs"), [(linear_schedule, "linear"), (cosine_schedule, "squaredcos_cap_v2")])
def test_tables_agree_with_diffusers_to_its_float32(ours, theirs):
    schedule = ours()
    reference = DDPMScheduler(beta_schedule=theirs)
    torch.testing.assert_close(schedule.beta[1:].float(), reference.betas, rtol=2e-5, atol=1e-8)
    torch.testing.assert_close(schedule.alpha_bar[1:].float(), reference.alphas_cumprod, rtol=2e-3, atol=1e-7)


@pytest.mark.parametrize("schedule", [PAPER, cosine_schedule(), linear_schedule(50, 1e-9, 0.1)], ids=repr)
def test_the_noise_in_x_t_is_known_to_the_last_digits(schedule):
    """Against the product in exact fractions; 1 - alpha_bar in float64 would be 1e-12 off at small t, and 1e-8 here."""
    product, worst = Fraction(1), 0.0
    for t in range(1, 51):
        product *= 1 - Fraction(schedule.beta[t].item())
        exact = 1 - product
        worst = max(worst, abs(float((Fraction(schedule.one_minus_alpha_bar[t].item()) - exact) / exact)))
    assert worst < 1e-14
    assert schedule.one_minus_alpha_bar[0] == 0


def test_float32_copy_is_rounded_once_from_float64():
    copy = PAPER.to("cpu", torch.float32)
    for name in ("beta", "alpha", "alpha_bar", "one_minus_alpha_bar", "beta_tilde", "snr"):
        table = getattr(copy, name)
        assert table.dtype == torch.float32
        assert torch.equal(table, getattr(PAPER, name).float())
    # the subtraction in float32 would be 1e-4 wrong at t = 1; this is why the table exists
    assert abs((1 - copy.alpha_bar[1]) / PAPER.one_minus_alpha_bar[1] - 1) > 1e-5
    assert copy.T == 1000


def test_one_step_is_a_schedule_too():
    assert linear_schedule(1).beta.tolist() == [0.0, 1e-4]
    assert cosine_schedule(1).beta[1].item() == pytest.approx(0.999)


def test_schedule_is_frozen_and_keeps_float64():
    schedule = Schedule(torch.tensor([0.0, 0.1, 0.2]))
    assert schedule.beta.dtype == torch.float64
    with pytest.raises(AttributeError):
        schedule.beta = torch.zeros(2)
    assert repr(schedule).startswith("Schedule(T=2, beta_1=0.1")


def test_times_are_checked():
    beta = torch.tensor([0.0, 0.1, 0.2])
    assert Schedule(beta).times.tolist() == [0, 1, 2]
    assert Schedule(beta, torch.tensor([0, 5, 9])).times.tolist() == [0, 5, 9]
    for times in ([0, 1], [1, 2, 3], [0, 2, 2], [0.0, 1.0, 2.0]):
        with pytest.raises((ValueError, TypeError)):
            Schedule(beta, torch.tensor(times))


def test_array_that_runs_backwards_is_taken_as_it_reads():
    betas, times, x_0 = np.linspace(0.02, 0, 5)[::-1], np.array([3, 1])[::-1], torch.ones(2, 1)
    assert torch.equal(Schedule(betas).beta, Schedule(betas.tolist()).beta)
    assert torch.equal(q_sample(PAPER, x_0, times, 0 * x_0), q_sample(PAPER, x_0, [1, 3], 0 * x_0))
    assert compare(betas, torch.tensor(betas.tolist(), dtype=torch.float64), {}) == ""
