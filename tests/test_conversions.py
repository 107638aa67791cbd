"""Conversions between x_0, z, the mean, the score and v, compared with diffusers, autograd and a rotation."""

import pytest
import torch
from diffusers import DDPMScheduler
from torch.distributions import Normal

from ddpm_lite import (
    linear_schedule,
    mean_from_noise,
    posterior,
    predict_x_0,
    predict_z,
    q_sample,
    score_from_z,
    velocity,
    x_0_from_v,
    z_from_mean,
    z_from_score,
    z_from_v,
)

PAPER = linear_schedule()
ALL = torch.arange(1, 1001)


@pytest.fixture
def point(generator):
    """One random (x_0, z, x_t) for each t in 1..T, float64."""
    x_0 = torch.rand(1000, 5, generator=generator, dtype=torch.float64) * 2 - 1
    z = torch.randn(1000, 5, generator=generator, dtype=torch.float64)
    return x_0, z, q_sample(PAPER, x_0, ALL, z)


def same(got, expected):
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


def test_family_goes_round(point):
    x_0, z, x_t = point
    v, mean = velocity(PAPER, x_0, ALL, z), posterior(PAPER, x_t, ALL, x_0)[0]
    to_z = {
        "x_0": predict_z(PAPER, x_t, ALL, x_0),
        "mean": z_from_mean(PAPER, x_t, ALL, mean),
        "score": z_from_score(PAPER, score_from_z(PAPER, z, ALL), ALL),
        "v": z_from_v(PAPER, x_t, ALL, v),
    }
    for back in to_z.values():
        same(back, z)
    same(predict_x_0(PAPER, x_t, ALL, z), x_0)
    same(x_0_from_v(PAPER, x_t, ALL, v), x_0)
    same(mean_from_noise(PAPER, x_t, ALL, z), mean)


def test_velocity_is_a_turn_of_the_plane(point):
    """(x_t, v) is (x_0, z) turned by the angle whose cosine is sqrt(alpha_bar_t): lengths stay."""
    x_0, z, x_t = point
    v = velocity(PAPER, x_0, ALL, z)
    angle = torch.arccos(PAPER.alpha_bar[1:].sqrt())
    pair = torch.stack([x_0, z], dim=-1)[..., None]
    turn = torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()], dim=-1).reshape(-1, 1, 2, 2)
    same(torch.stack([x_t, v], dim=-1), (turn @ pair).squeeze(-1))
    same(x_t**2 + v**2, x_0**2 + z**2)


@pytest.mark.parametrize("t", [1, 2, 250, 500, 1000])
def test_velocity_is_that_of_diffusers(point, t):
    x_0, z, x_t = (value.float() for value in point)
    theirs = DDPMScheduler(1000, clip_sample=False, prediction_type="v_prediction")
    times = torch.full((1000,), t - 1)
    v = velocity(PAPER, x_0, t, z)
    torch.testing.assert_close(v, theirs.get_velocity(x_0, z, times), rtol=2e-4, atol=2e-4)
    x_t = q_sample(PAPER, x_0, t, z)
    torch.testing.assert_close(
        x_0_from_v(PAPER, x_t, t, v), theirs.step(v, t - 1, x_t).pred_original_sample, rtol=2e-4, atol=2e-4
    )


def test_score_is_the_gradient_of_the_log_density(point):
    x_0, z, x_t = point
    x_t = x_t.clone().requires_grad_()
    mean = PAPER.alpha_bar[1:].sqrt()[:, None] * x_0
    std = (1 - PAPER.alpha_bar[1:]).sqrt()[:, None]
    (gradient,) = torch.autograd.grad(Normal(mean, std).log_prob(x_t).sum(), x_t)
    torch.testing.assert_close(score_from_z(PAPER, z, ALL), gradient, rtol=1e-8, atol=1e-8)


def test_float32_and_one_t_for_all(point):
    x_0, z, x_t = (value.float() for value in point)
    for got in (velocity(PAPER, x_0, 7, z), z_from_v(PAPER, x_t, 7, z), score_from_z(PAPER, z, 7)):
        assert got.dtype == torch.float32
        assert got.shape == x_0.shape


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: z_from_mean(PAPER, x, 1, x[:1]), "mean: expected the shape of x_t"),
        (lambda x: score_from_z(PAPER, x, 0), "t: expected a whole number in 1..1000, got 0"),
        (lambda x: z_from_score(PAPER, x, 1001), "t: expected a whole number in 1..1000, got 1001"),
        (lambda x: velocity(PAPER, x, 1, x[:, :1]), "z: expected the shape of x_0"),
        (lambda x: x_0_from_v(PAPER, x, 1, x[:, :1]), "v: expected the shape of x_t"),
        (lambda x: z_from_v(PAPER, x, 1, x[:, :1]), "v: expected the shape of x_t"),
    ],
)
def test_bad_input_gets_one_line(plain, call, message):
    with pytest.raises(ValueError, match=message) as error:
        call(torch.zeros(3, 4))
    assert "\n" not in str(error.value)
