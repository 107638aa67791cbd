"""Steps and whole walks against diffusers' schedulers and the equations; the loop's promises."""

import time
from functools import partial

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from ddpm_lite import (
    UNet,
    UNetConfig,
    cosine_schedule,
    ddim_step,
    ddpm_step,
    linear_schedule,
    mean_from_noise,
    predict_x_0,
    predict_z,
    q_sample,
    respace,
    sample,
)
from ddpm_lite.process import posterior

PAPER = linear_schedule()
COARSE = linear_schedule(20, 0.005, 0.999)
X = torch.zeros(2, 1, 3, 3)
SMALL = linear_schedule(30, 0.005, 0.5)
TIMES = [1, 2, 4, 100, 500, 999, 1000]


def exact(scheduler):
    """A scheduler of diffusers with tables in float64, not float32, so that its equations are what differs."""
    scheduler.betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    scheduler.alphas = 1 - scheduler.betas
    scheduler.alphas_cumprod = torch.cumprod(scheduler.alphas, 0)
    scheduler.one = scheduler.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    return scheduler


def exact_ddpm(variance, clip, **options):
    kind = {"beta": "fixed_large", "beta_tilde": "fixed_small"}[variance]
    return exact(DDPMScheduler(variance_type=kind, clip_sample=clip, **options))


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
@pytest.mark.parametrize("t", TIMES)
def test_step_is_diffusers_step(t, variance, clip, generator, monkeypatch):
    x_t, z_hat, noise = torch.randn(3, 4, 1, 8, 8, generator=generator, dtype=torch.float64)
    module = "diffusers.schedulers.scheduling_ddpm.randn_tensor"
    monkeypatch.setattr(module, lambda *args, **kwargs: noise)
    theirs = exact_ddpm(variance, clip).step(z_hat, t - 1, x_t).prev_sample
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


def triple(generator, schedule=PAPER, pixels=5):
    """x_t, z_hat and fresh noise for every t, float64; z_hat is near the truth, so that x_0_hat is partly clipped."""
    t = torch.arange(1, schedule.T + 1)
    x_0, z, error, noise = torch.randn(4, schedule.T, 1, pixels, generator=generator, dtype=torch.float64)
    x_t = torch.cat([q_sample(schedule, x_0[k - 1], int(k), z[k - 1])[None] for k in t])
    return x_t, z + 0.01 * error, noise


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("schedule", [PAPER, COARSE, cosine_schedule()], ids=["paper", "coarse", "cosine"])
def test_ddim_with_eta_1_is_ddpm_at_every_time(schedule, clip, generator):
    x, z, n = triple(generator, schedule)
    for t in range(1, schedule.T + 1):
        step = (schedule, x[t - 1], t, t - 1, z[t - 1], n[t - 1])
        difference = (ddim_step(*step, eta=1.0, clip=clip) - ddpm_step(*step, clip=clip)).abs().max()
        assert difference < 2e-13, t


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
def test_fused_step_is_the_equations(variance, clip, generator):
    x, z, n = triple(generator)
    for t in range(1, 1001):
        x_t, z_hat, noise = x[t - 1], z[t - 1], n[t - 1]
        x_0_hat = predict_x_0(PAPER, x_t, t, z_hat)
        mean, _ = posterior(PAPER, x_t, t, x_0_hat.clamp(-1, 1) if clip else x_0_hat)
        sigma = getattr(PAPER, variance)[t].sqrt() if t > 1 else 0
        got = ddpm_step(PAPER, x_t, t, t - 1, z_hat, noise, variance=variance, clip=clip)
        torch.testing.assert_close(got, mean + sigma * noise, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_a_leap_is_the_papers_equation_12(eta, clip, generator):
    """From any t to any s: the image that z_hat implies, the way to x_t that remains, and fresh noise."""
    for t, s in [(1, 0), (2, 0), (2, 1), (20, 1), (500, 100), (1000, 0), (1000, 980), (1000, 999), (700, 350)]:
        x_t, z_hat, noise = torch.randn(3, 4, 1, 3, 3, generator=generator, dtype=torch.float64)
        now, then = PAPER.alpha_bar[t], PAPER.alpha_bar[s]
        x_0_hat = predict_x_0(PAPER, x_t, t, z_hat)
        if clip:
            x_0_hat = x_0_hat.clamp(-1, 1)
            z_hat, raw = predict_z(PAPER, x_t, t, x_0_hat), z_hat
        sigma = eta * ((1 - then) / (1 - now)).sqrt() * (1 - now / then).sqrt()
        expected = then.sqrt() * x_0_hat + (1 - then - sigma**2).clamp(min=0).sqrt() * z_hat + sigma * noise
        got = ddim_step(PAPER, x_t, t, s, raw if clip else z_hat, noise, eta=eta, clip=clip)
        torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_leaps_keep_the_marginals(eta):
    """With the true z in hand, x_s has the mean and variance of the forward process, whatever s and eta."""
    x_0 = torch.tensor([[0.7]], dtype=torch.float64)
    zero = torch.zeros_like(x_0)
    for t, s in [(2, 1), (1000, 999), (1000, 1), (600, 200), (50, 0)]:

        def leap(z, noise, t=t, s=s):
            return ddim_step(PAPER, q_sample(PAPER, x_0, t, z), t, s, z, noise, eta=eta, clip=False)

        mean = leap(zero, zero)
        variance = (leap(zero + 1, zero) - mean) ** 2 + (leap(zero, zero + 1) - mean) ** 2
        assert mean.item() == pytest.approx(PAPER.alpha_bar[s].sqrt().item() * 0.7, abs=1e-12)
        assert variance.item() == pytest.approx(PAPER.one_minus_alpha_bar[s].item(), abs=1e-12)


def test_with_eta_0_the_noise_is_not_looked_at(generator):
    x_t, z_hat = torch.randn(2, 2, 1, 3, 3, generator=generator)
    step = partial(ddim_step, PAPER, x_t, 700, 300, z_hat)
    assert torch.isfinite(step(torch.full_like(x_t, torch.nan))).all()
    assert not torch.equal(step(x_t, eta=0.1), step(0 * x_t, eta=0.1))


@pytest.mark.parametrize("step", [ddpm_step, partial(ddim_step, eta=0.5)], ids=["ddpm", "ddim"])
@pytest.mark.parametrize("clip", [True, False])
def test_a_step_leaves_its_arguments_alone_and_is_differentiable(step, clip, generator):
    given = torch.randn(3, 2, 1, 3, 3, generator=generator, dtype=torch.float64)
    x_t, z_hat, noise = (part.clone().requires_grad_() for part in given)
    walk = partial(step, PAPER, t=20, s=19, clip=clip)
    walk(x_t=x_t, z_hat=z_hat, noise=noise)
    assert torch.equal(torch.stack([x_t, z_hat, noise]), given)
    assert torch.autograd.gradcheck(lambda *xs: walk(x_t=xs[0], z_hat=xs[1], noise=xs[2]), (x_t, z_hat, noise))


def test_a_copy_of_the_schedule_steps_as_exactly(generator):
    """The copy for a device has rounded tables, but a step reads the exact numbers."""
    x_t, z_hat, noise = torch.randn(3, 2, 1, 3, 3, generator=generator, dtype=torch.float64)
    copy = PAPER.to("cpu", torch.float32)
    for t in TIMES:
        here, there = (ddim_step(own, x_t, t, t - 1, z_hat, noise, eta=0.5) for own in (PAPER, copy))
        assert torch.equal(here, there)


def test_half_precision_stays_half_precision(generator):
    x_t, z_hat, noise = torch.randn(3, 2, 1, 3, 3, generator=generator)
    for step in (ddpm_step, ddim_step):
        full = step(PAPER, x_t, 400, 399, z_hat, noise)
        half = step(PAPER, x_t.bfloat16(), 400, 399, z_hat.bfloat16(), noise.bfloat16())
        assert half.dtype == torch.bfloat16
        torch.testing.assert_close(half.float(), full, rtol=0.05, atol=0.05)


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


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("steps", [1, 5, 10, 16, 30, 50, 200, 250, 999, 1000])
def test_chosen_times_are_those_of_diffusers(steps, spacing):
    chosen = respace(PAPER, steps, spacing)
    assert (chosen.T, int(chosen.times[0])) == (steps, 0)
    for kind in (DDPMScheduler, DDIMScheduler):
        theirs = kind(timestep_spacing=spacing)
        theirs.set_timesteps(steps)
        # where T / steps is not whole, rounding can give diffusers' trailing list one time more, at its end
        assert chosen.times[1:].flip(0).tolist() == [int(t) + 1 for t in theirs.timesteps][:steps]


def test_fifty_of_a_thousand():
    assert respace(PAPER, 50).times[[1, 2, -2, -1]].tolist() == [20, 40, 980, 1000]
    assert respace(PAPER, 50, "leading").times[[1, 2, -2, -1]].tolist() == [1, 21, 961, 981]
    assert repr(respace(PAPER, 50, "leading")).endswith("times=1..981)")
    assert PAPER.times.tolist() == list(range(1001))


@pytest.mark.parametrize("schedule", [PAPER, cosine_schedule()], ids=["paper", "cosine"])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_re_spacing_keeps_alpha_bar(schedule, spacing):
    for steps in (1, 10, 333, 1000):
        chosen = respace(schedule, steps, spacing)
        torch.testing.assert_close(chosen.alpha_bar, schedule.alpha_bar[chosen.times], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(chosen.beta, schedule.beta, rtol=1e-11, atol=1e-15)


def test_re_spacing_twice_is_re_spacing():
    twice, once = respace(respace(PAPER, 100), 10), respace(PAPER, 10)
    assert torch.equal(twice.times, once.times)
    torch.testing.assert_close(twice.alpha_bar, once.alpha_bar, rtol=1e-12, atol=1e-15)


def test_the_model_is_asked_at_the_times_it_was_trained_with():
    asked = []

    def model(x_t, t, context):
        asked.append(t)
        return x_t

    handed_out = [t for t, _ in sample(model, respace(PAPER, 4), (2, 1), step=ddim_step)]
    assert [t.dtype for t in asked] == [torch.int64] * 4
    assert [t.tolist() for t in asked] == [[1000] * 2, [750] * 2, [500] * 2, [250] * 2]
    assert handed_out == [1000, 750, 500, 250, 0]
    assert all(type(t) is int for t in handed_out)


def bent(x_t, t, context=None):
    """A stand-in for a network: it depends on t, and is not linear in x_t."""
    t = t if isinstance(t, int) else t.to(x_t.dtype).reshape(-1, *[1] * (x_t.ndim - 1))
    return torch.sin(1.3 * x_t + 0.002 * t)


def their_walk(scheduler, steps, x_T, **options):
    """diffusers' own loop. Their t is ours - 1."""
    scheduler.set_timesteps(steps)
    x = x_T
    for t in scheduler.timesteps:
        x = scheduler.step(bent(x, int(t) + 1), t, x, **options).prev_sample
    return x


def same_noises(monkeypatch, shape, seed):
    """diffusers draws what `sample` draws: x_T first, then one noise for each step."""
    generator = torch.Generator().manual_seed(seed)
    x_T = torch.randn(shape, generator=generator, dtype=torch.float64)

    def draw(*args, **kwargs):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    for name in ("ddpm", "ddim"):
        monkeypatch.setattr(f"diffusers.schedulers.scheduling_{name}.randn_tensor", draw)
    return x_T


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("clip", [True, False])
def test_whole_ddim_walks_are_diffusers(eta, spacing, clip, monkeypatch):
    shape = (2, 1, 4, 4)
    options = {"eta": eta, "use_clipped_model_output": clip}
    for steps in (1, 10, 50, 250):
        walk = partial(sample, bent, respace(PAPER, steps, spacing), shape, seed=7)
        *_, (_, ours) = walk(step=partial(ddim_step, eta=eta, clip=clip), dtype=torch.float64)
        x_T = same_noises(monkeypatch, shape, 7)
        kind = DDIMScheduler(timestep_spacing=spacing, clip_sample=clip)
        torch.testing.assert_close(ours, their_walk(exact(kind), steps, x_T, **options), rtol=1e-9, atol=1e-9)
        if steps == 50:  # and with their own tables: what differs is float32
            x_T = same_noises(monkeypatch, shape, 7)
            kind = DDIMScheduler(timestep_spacing=spacing, clip_sample=clip)
            torch.testing.assert_close(ours, their_walk(kind, steps, x_T, **options), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("variance", "spacing"), [("beta_tilde", "leading"), ("beta_tilde", "trailing"), ("beta", "leading")]
)
def test_whole_ddpm_walks_with_fewer_steps_are_diffusers(variance, spacing, monkeypatch):
    shape = (2, 1, 4, 4)
    for steps in (1, 10, 30, 50):
        walk = partial(sample, bent, respace(PAPER, steps, spacing), shape, seed=7)
        *_, (_, ours) = walk(step=partial(ddpm_step, variance=variance), dtype=torch.float64)
        x_T = same_noises(monkeypatch, shape, 7)
        theirs = their_walk(exact_ddpm(variance, True, timestep_spacing=spacing), steps, x_T)
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)  # theirs floors beta_tilde at 1e-20


def test_diffusers_leaves_noise_in_the_image_where_ours_does_not(monkeypatch):
    """The one walk that differs: with beta and trailing times, their last step, from t = 20, adds its noise."""
    shape, steps = (1, 4000), 50
    walk = sample(bent, respace(PAPER, steps), shape, step=partial(ddpm_step, variance="beta"), dtype=torch.float64)
    *_, (_, ours) = walk
    x_T = same_noises(monkeypatch, shape, 0)
    theirs = their_walk(exact_ddpm("beta", True, timestep_spacing="trailing"), steps, x_T)
    assert (theirs - ours).std().item() == pytest.approx(PAPER.one_minus_alpha_bar[20].sqrt().item(), rel=0.05)


STEP = {"schedule": PAPER, "x_t": X, "t": 5, "s": 4, "z_hat": X, "noise": X}
BAD = {
    "ddpm: a leap": (ddpm_step, {"s": 3}, "s: expected t - 1 = 4, because a DDPM step goes back by one, got 3;"),
    "ddpm: variance": (ddpm_step, {"variance": 0.1}, 'variance: expected "beta" or "beta_tilde", got 0.1'),
    "ddim: forward": (ddim_step, {"s": 5}, "s: expected a whole number in 0..4, got 5 (int)"),
    "ddim: below 0": (ddim_step, {"s": -1}, "s: expected a whole number in 0..4, got -1 (int)"),
    "ddim: t = 0": (ddim_step, {"t": 0}, "t: expected a whole number in 1..1000, got 0 (int)"),
    "ddim: t beyond": (ddim_step, {"t": 1001}, "t: expected a whole number in 1..1000, got 1001 (int)"),
    "ddim: eta": (ddim_step, {"eta": 1.5}, "eta: expected a number in [0, 1], got 1.5 (float)"),
    "ddim: z_hat": (ddim_step, {"z_hat": X[:1]}, "z_hat: expected the shape of x_t, (2, 1, 3, 3), got float32 tensor"),
    "ddim: noise": (ddim_step, {"noise": X.long()}, "noise: expected a floating-point tensor"),
    "respace: too many": (respace, {"steps": 1001}, "steps: expected a whole number in 1..1000, got 1001 (int)"),
    "respace: none": (respace, {"steps": 0}, "steps: expected a whole number in 1..1000, got 0 (int)"),
    "respace: spacing": (respace, {"spacing": "even"}, 'spacing: expected "trailing" or "leading", got \'even\''),
}


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("name", BAD)
def test_bad_steps_get_one_line(name):
    function, change, message = BAD[name]
    given = {"schedule": PAPER, "steps": 5} if function is respace else STEP
    with pytest.raises((ValueError, TypeError)) as caught:
        function(**given | change)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (1, 3, 32, 32)], ids=str)
@pytest.mark.usefixtures("plain")
def test_a_step_takes_half_the_time_of_diffusers_at_most(shape):
    """Without the network, noise included on both sides; the measured share is about a sixth."""
    x, z = torch.randn(2, *shape)
    their_ddpm = DDPMScheduler()
    their_ddpm.set_timesteps(1000)
    generator = torch.Generator().manual_seed(0)

    def ours(step):
        return lambda t: step(PAPER, x, t, t - 1, z, torch.randn(shape, generator=generator))

    jobs = {
        "theirs": lambda t: their_ddpm.step(z, t - 1, x, generator=generator),
        "ddpm": ours(ddpm_step),
        "ddim": ours(partial(ddim_step, eta=1.0)),
    }
    seconds = {name: [] for name in jobs}
    for _ in range(7):  # in turn, so that a cold cache meets all
        for name, job in jobs.items():
            start = time.thread_time()  # of the processor: other programs do not count
            for t in range(1000, 900, -1):
                job(t)
            seconds[name].append(time.thread_time() - start)
    least = {name: min(values) for name, values in seconds.items()}
    assert least["ddpm"] < 0.5 * least["theirs"], least
    assert least["ddim"] < 0.5 * least["theirs"], least
