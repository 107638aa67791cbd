"""Rows of smalldiffusion."""

from types import SimpleNamespace

import torch

from ddpm_lite import cosine_schedule, ddim_step, linear_schedule, respace
from ddpm_lite.process import ddpm_loss, q_sample
from ddpm_lite.unet import time_embedding
from libraries.diffusers_options import scaled_linear
from libraries.row import (
    FROM_0,
    LOGS,
    SEED,
    STEPS,
    TIMES,
    Network,
    Step,
    T,
    draw,
    give_guidance,
    import_peer,
    name_step,
    rows_of,
)

row = rows_of("smalldiffusion")


def small():
    return import_peer("smalldiffusion")


def sigma_of(schedule, t):
    """The noise level: the standard deviation of the noise after x_t is divided by sqrt(alpha_bar_t)."""
    return (schedule.one_minus_alpha_bar[t] / schedule.alpha_bar[t]).sqrt()


@row(
    "eq-noise-level",
    "diffusion.py: ScheduleDDPM",
    "`ScheduleDDPM().sigmas[t - 1]`",
    FROM_0,
    "noise_level[t]",
    equal=1e-4,
)
def small_sigmas():
    ours = sigma_of(linear_schedule(), torch.arange(T + 1))
    return small().ScheduleDDPM().sigmas[1:], ours[1:T], {"t": torch.arange(2, T + 1)}


@row(
    "eq-cosine-schedule",
    "diffusion.py: ScheduleCosine",
    "`ScheduleCosine().sigmas[t - 1]`",
    FROM_0,
    "noise_level[t]",
    LOGS,
    equal=1e-3,
)
def small_cosine():
    schedule, t = cosine_schedule(), torch.arange(1, T)
    return small().ScheduleCosine().sigmas[1:], sigma_of(schedule, t), {"schedule": schedule, "t": t + 1}, torch.log


@row(
    "eq-noise-level",
    "diffusion.py: ScheduleLDM",
    "`ScheduleLDM().sigmas[t - 1]`",
    FROM_0,
    "noise_level[t]",
    'ours has the betas of diffusers\' "scaled_linear"',
    equal=1e-4,
)
def small_latent():
    schedule, t = scaled_linear(), torch.arange(1, T)
    return small().ScheduleLDM().sigmas[1:], schedule.noise_level[t], {"schedule": schedule, "t": t + 1}


@row(
    "eq-noise-level",
    "diffusion.py: sigmas_from_betas",
    "`ScheduleDDPM().sigmas`, small entries",
    "rounding",
    "(1 / (1 - beta[1:].float()).cumprod(0) - 1).sqrt()",
    "the product is taken in float32, as in diffusers; the ratios to ours are compared, at the first nine times",
    equal=1e-6,
)
def small_float32():
    ours = linear_schedule().noise_level[1:]
    return small().ScheduleDDPM().sigmas, ours, {}, lambda x: (x / ours)[:9]


@row("eq-alpha-bar", "model.py: alpha", "`alpha(sigma)`", "name", "alpha_bar[t]", "their `alpha` is `alpha_bar`")
def small_alpha():
    schedule = linear_schedule()
    theirs = import_peer("smalldiffusion.model").alpha(sigma_of(schedule, TIMES))
    return theirs, schedule.alpha[TIMES], {"t": TIMES}


def small_model(net, *wrappers):
    """A network of ours as a model of theirs, which is given sigma instead of the time."""
    module, model = import_peer("smalldiffusion.model"), import_peer("libraries.wrap_smalldiffusion").TimeOfLevel
    for wrap in wrappers:
        model = getattr(module, wrap)(model)
    return model(net, (1, 4, 4))


def give_model():
    """A model of theirs around our stand-in for a network, for the setup of the step."""
    import_peer("smalldiffusion")
    return {"model": small_model(Network(), "Scaled")}


STEPS["smalldiffusion"] = Step(
    """\
from smalldiffusion import ScheduleDDPM, samples
from smalldiffusion.model import alpha

sigmas = ScheduleDDPM().sigmas[[t - 1, t - 2]]
sigma, sig_prev = sigmas  # not for t = 1: entry -1 is the last one
x = x_t / alpha(sigma).sqrt()
eps = model.predict_eps(x, sigma)
x_s = next(samples(model, sigmas, mu=0.5, xt=x, batchsize=len(x)))
""",
    (
        (
            "sigma",
            "schedule.noise_level[t]",
            "The noise level is their time. Entry `t - 1` of their table is ours at `t`.",
        ),
        ("alpha(sigma)", "schedule.alpha_bar[t]", "Their `alpha` is this book's `alpha_bar`."),
        (
            "1 - alpha(sigma) / alpha(sig_prev)",
            "schedule.beta[t]",
            "No betas are stored. A ratio near 1 costs digits in float32.",
        ),
        ("x", "x_0 + schedule.noise_level[t] * z", "Their variable: the image plus noise, not scaled down."),
        ("eps", "z_hat", "What the network answers is the noise, as here."),
        ("x - sigma * eps", "predict_x_0(schedule, x_t, t, z_hat)", "No division is needed, and nothing is clipped."),
        (
            "alpha(sig_prev).sqrt() * x_s",
            "ddpm_step(schedule, x_t, t, t - 1, z_hat, noise, clip=False)",
            "`mu=0.5` gives a step of DDPM. The root turns their variable into ours.",
        ),
    ),
    give_model,
)


@row(
    "eq-simple-loss",
    "model.py: ModelMixin.get_loss",
    "`get_loss(x0, sigma, eps)`",
    "scaled x_t",
    "ddpm_loss(lambda x_t, t, c: net(x_t / root[t], t), schedule, x_0, t, z)",
    "their network gets the variable that is not scaled down (`root` is `alpha_bar.sqrt()` in the shape of images); "
    "wrapped in their `Scaled` it gets our `x_t`",
    equal=1e-4,
)
def small_loss():
    x_0, z = draw(2)
    schedule, net = linear_schedule(), Network()
    sigma = sigma_of(schedule, TIMES).float().reshape(-1, 1, 1, 1)
    theirs = small_model(net).get_loss(x_0, sigma, z)
    names = {"net": net, "x_0": x_0, "t": TIMES, "z": z, "root": schedule.alpha_bar.sqrt().float().reshape(-1, 1, 1, 1)}
    return theirs, ddpm_loss(net, schedule, x_0, TIMES, z), names


@row(
    "eq-forward-closed",
    "model.py: ModelMixin.get_loss",
    "what the network gets in `get_loss(x0, sigma, eps)`",
    "scaled x_t",
    "q_sample(schedule, x0, t, eps) / root[t]",
    "there is no function for it; `root` is `alpha_bar.sqrt()` in the shape of images",
    equal=1e-4,
)
def small_q_sample():
    x_0, z = draw(2)
    schedule, seen = linear_schedule(), []
    sigma = sigma_of(schedule, TIMES).float().reshape(-1, 1, 1, 1)
    small_model(lambda x, t, c: seen.append(x) or x).get_loss(x_0, sigma, z)
    root = schedule.alpha_bar.sqrt().float().reshape(-1, 1, 1, 1)
    return seen[0], q_sample(schedule, x_0, TIMES, z), {"x0": x_0, "t": TIMES, "eps": z, "root": root}


@row(
    "eq-v",
    "model.py: PredV",
    "`get_loss` of `PredV`, with `Scaled`",
    "target",
    "(velocity(schedule, x_0, t, z) - net(x_t, t)).square().mean()",
    "the error of `v`, without a weight",
    equal=1e-4,
)
def small_v():
    x_0, z = draw(2)
    schedule, net = linear_schedule(), Network()
    sigma = sigma_of(schedule, TIMES).float().reshape(-1, 1, 1, 1)
    theirs = small_model(net, "Scaled", "PredV").get_loss(x_0, sigma, z)
    names = {"net": net, "x_0": x_0, "x_t": q_sample(schedule, x_0, TIMES, z), "t": TIMES, "z": z}
    return theirs, ddpm_loss(net, schedule, x_0, TIMES, z), names


@row(
    "eq-z-from-x0",
    "model.py: PredX0",
    "`predict_eps(x, sigma)` of `PredX0`, with `Scaled`",
    "target",
    "predict_z(schedule, x_t, t, net(x_t, t))",
    "the network's answer is `x_0`",
    equal=1e-4,
)
def small_x_0():
    x_t, schedule, net = draw(1)[0], linear_schedule(), Network()
    sigma = sigma_of(schedule, TIMES).float().reshape(-1, 1, 1, 1)
    x = x_t / schedule.alpha_bar[TIMES].sqrt().float().reshape(-1, 1, 1, 1)
    theirs = small_model(net, "Scaled", "PredX0").predict_eps(x, sigma)
    return theirs, net(x_t, TIMES), {"net": net, "x_t": x_t, "t": TIMES}


@row(
    "eq-weighted-noise-loss",
    "model.py: PredX0",
    "`get_loss` of `PredX0`, with `Scaled`",
    "target",
    'ddpm_loss(z_model(net, schedule, "x_0"), schedule, x_0, t, z, weight=1 / snr)',
    "the error of `x_0`, without a weight",
    equal=1e-4,
)
def small_loss_x_0():
    x_0, z = draw(2)
    schedule, net = linear_schedule(), Network()
    sigma = sigma_of(schedule, TIMES).float().reshape(-1, 1, 1, 1)
    theirs = small_model(net, "Scaled", "PredX0").get_loss(x_0, sigma, z)
    return theirs, ddpm_loss(net, schedule, x_0, TIMES, z), {"net": net, "x_0": x_0, "t": TIMES, "z": z}


@row(
    "eq-trailing",
    "diffusion.py: Schedule.sample_sigmas",
    "`sample_sigmas(50)`",
    "own rule",
    "noise_level[respace(schedule, 50).times.clamp(min=1)].flip(0)",
    "the last level is that of t = 1, so a little noise stays in the image; the last two levels are compared",
    equal=1e-4,
)
def small_times():
    schedule = linear_schedule()
    levels, times = sigma_of(schedule, torch.arange(T + 1)), respace(schedule, 50).times.flip(0)
    return small().ScheduleDDPM().sample_sigmas(50), levels[times], {}, lambda x: x[-2:]


def step_of_small(mu, t=500, s=480):
    """One step of theirs from t to s, and what ours is given for the same."""
    schedule, net = linear_schedule(), Network()
    x = draw(1)[0]
    scale_t = schedule.alpha_bar[t].sqrt()
    sigmas = torch.stack([sigma_of(schedule, t), sigma_of(schedule, s)]).float()
    torch.manual_seed(SEED)
    place = SimpleNamespace(device=torch.device("cpu"))
    model, start = small_model(net, "Scaled"), x / scale_t.float()
    (theirs,) = small().samples(model, sigmas, gam=1, mu=mu, batchsize=len(x), xt=start, accelerator=place)
    torch.manual_seed(SEED)
    given = (schedule, x, t, s, net(x, torch.full((len(x),), t)), torch.randn(x.shape))
    return theirs, given


@row(
    "eq-ddim-still",
    "diffusion.py: samples",
    "`samples(..., gam=1, mu=0)`",
    "scaled x_t",
    "ddim_step(schedule, x_t, t, s, z_hat, noise, clip=False) / alpha_bar[s].sqrt()",
    equal=1e-4,
)
def small_ddim():
    theirs, given = step_of_small(0.0)
    return theirs, ddim_step(*given, clip=False), name_step(given)


@row(
    "eq-ddpm-step",
    "diffusion.py: samples",
    "`samples(..., gam=1, mu=0.5)`",
    "scaled x_t",
    "ddim_step(schedule, x_t, t, s, z_hat, noise, eta=1, clip=False) / alpha_bar[s].sqrt()",
    equal=1e-4,
)
def small_ddpm():
    theirs, given = step_of_small(0.5)
    return theirs, ddim_step(*given, eta=1, clip=False), name_step(given)


@row(
    "eq-guidance",
    "model.py: ModelMixin.predict_eps_cfg",
    "`cfg_scale`",
    translation="guided(model, cfg_scale, none)(x_t, t, c)",
)
def small_guidance():
    z_c, z_none, x = draw()
    mixin = import_peer("smalldiffusion.model").ModelMixin
    both = torch.cat([z_c, z_none])
    model = SimpleNamespace(cond_embed=SimpleNamespace(null_cond=0), predict_eps=lambda *_, **__: both)
    theirs = mixin.predict_eps_cfg(model, x, torch.tensor(1.0), torch.ones(len(x), dtype=torch.int64), 3.0)
    return theirs, None, {**give_guidance(), "cfg_scale": 3.0}


@row(
    "eq-time-embedding",
    "model.py: get_sigma_embeds",
    "`get_sigma_embeds(batch, sigma)`",
    "clock",
    "torch.stack([angle.sin(), angle.cos()], 1)",
    "sine and cosine of one `angle` only, half of the logarithm of `noise_level[t]`",
    equal=1e-4,
)
def small_embedding():
    schedule = linear_schedule()
    theirs = import_peer("smalldiffusion.model").get_sigma_embeds(len(TIMES), sigma_of(schedule, TIMES))
    return theirs, time_embedding(TIMES - 1, 4)[:, ::2], {"angle": schedule.noise_level[TIMES].log() / 2}


@row(
    "eq-time-embedding",
    "model.py: timestep_embedding",
    "`timestep_embedding(position, width)`",
    "embedding",
    "time_embedding(position, 32, freq_shift=0).roll(16, 1)",
    "cosines come first, and the slowest frequency is higher",
    equal=1e-4,
)
def small_embedding_of_flow():
    theirs = import_peer("smalldiffusion.model").timestep_embedding(TIMES - 1, 32)
    return theirs, time_embedding(TIMES - 1, 32), {"position": TIMES - 1}
