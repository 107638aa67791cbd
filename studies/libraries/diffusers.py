"""Rows of diffusers."""

import math
from importlib import import_module

import torch
from torch import nn

from ddpm_lite import cosine_schedule, ddim_step, linear_schedule, respace
from ddpm_lite.process import flow_from_z, predict_x_0, q_sample, velocity, x_0_from_v, z_from_flow
from ddpm_lite.trainer import ema_decay
from ddpm_lite.unet import time_embedding
from libraries.row import (
    EDM,
    EXACT,
    FLOWS,
    FROM_0,
    LEVELS,
    LOGS,
    SEED,
    STEPS,
    TIMES,
    Step,
    T,
    average,
    draw,
    give_guidance,
    guide,
    name_step,
    rows_of,
    walk_of_weight,
)

row = rows_of("diffusers")
STEPS["diffusers"] = Step(
    """\
from diffusers import DDPMScheduler

scheduler = DDPMScheduler()
out = scheduler.step(z_hat, t - 1, x_t)
""",
    (
        ("scheduler.alphas_cumprod[t - 1]", "schedule.alpha_bar[t]", "Their time is ours minus 1."),
        (
            "(1 / scheduler.alphas_cumprod[t - 1] - 1).sqrt()",
            "schedule.noise_level[t]",
            "diffusers has no table of it.",
        ),
        ("scheduler.betas[t - 1]", "schedule.beta[t]", "The variance of one step forward."),
        (
            "scheduler.add_noise(x_0, z, torch.tensor([t - 1]))",
            "q_sample(schedule, x_0, t, z)",
            "In their call the noise comes before the time.",
        ),
        (
            "out.pred_original_sample",
            "predict_x_0(schedule, x_t, t, z_hat).clamp(-1, 1)",
            "The estimate is clipped, unless you give `clip_sample=False`.",
        ),
        ("scheduler._get_variance(t - 1)", "schedule.beta_tilde[t]", "The smaller variance, which is the default."),
        (
            "out.prev_sample",
            "ddpm_step(schedule, x_t, t, t - 1, z_hat, noise)",
            "`step` draws the fresh noise itself.",
        ),
    ),
    dict,
)


LEVELS["diffusers"] = Step(
    """\
from diffusers import EulerDiscreteScheduler

euler = EulerDiscreteScheduler()
euler.set_timesteps(timesteps=[t - 1, s - 1])
x = x_0 + schedule.noise_level[t] * z
time = euler.timesteps[0]
given = euler.scale_model_input(x, time)
out = euler.step(z_hat, time, x)
spaced = EulerDiscreteScheduler()
spaced.set_timesteps(50)
leading = EulerDiscreteScheduler(timestep_spacing="leading")
leading.set_timesteps(50)
""",
    (
        ("euler.sigmas", "schedule.noise_level[[t, s, 0]]", "The 0 belongs to no time; the last step goes to it."),
        ("given", "x_t", "The input of the network, at their time `t - 1`."),
        ("out.pred_original_sample", "predict_x_0(schedule, x_t, t, z_hat)", "Nothing is clipped."),
        (
            "schedule.alpha_bar[s].sqrt() * out.prev_sample",
            "ddim_step(schedule, x_t, t, s, z_hat, noise, clip=False)",
            "In this variable, DDIM is Euler's method. The root turns it into ours.",
        ),
        (
            "spaced.init_noise_sigma",
            "schedule.noise_level[T]",
            "What the first noise is multiplied by, with the default spacing.",
        ),
        ("spaced.timesteps", "torch.linspace(T - 1, 0, 50)", "Their times, not rounded: the second is 978.61."),
        (
            "spaced.sigmas[1]",
            "0.3878 * schedule.noise_level[979] + 0.6122 * schedule.noise_level[980]",
            "Between the levels of our t = 979 and 980.",
        ),
        (
            "leading.init_noise_sigma",
            "(1 + schedule.noise_level[981] ** 2).sqrt()",
            "With *leading*, another factor; the first time is our t = 981.",
        ),
    ),
    lambda: {"s": 480, "ddim_step": ddim_step},
)


EDM["diffusers"] = Step(
    """\
from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler
from diffusers import EulerDiscreteScheduler
from ddpm_lite import precondition, schedule_from_levels

n, t, s = 18, 9, 8

def space(low, high):
    roots = torch.linspace(high ** (1 / 7), low ** (1 / 7), n)
    return torch.cat([roots ** 7, torch.zeros(1)])

way = schedule_from_levels(space(0.002, 80).flip(0))
nu, root = way.noise_level[t], way.alpha_bar.sqrt()
c_skip, c_out, c_in = precondition(nu)
y = x_0 + nu * z
x_t = root[t] * y

edm = EDMEulerScheduler()
edm.set_timesteps(n)
time = edm.timesteps[n - t]
given = edm.scale_model_input(y, time)
F = unet(given, time)
out = edm.step(F, time, y)
D = out.pred_original_sample
solver = EDMDPMSolverMultistepScheduler()
solver.set_timesteps(n)
first = solver.step(F, solver.timesteps[n - t], y)
karras = EulerDiscreteScheduler(use_karras_sigmas=True)
karras.set_timesteps(n)
options = {"sigma_data": 1.0, "prediction_type": "v_prediction"}
of_v = EDMEulerScheduler(**options)
""",
    (
        ("edm.sigmas", "space(0.002, 80)", "From 80 to 0.002, with evenly spaced seventh roots; then 0."),
        ("edm.init_noise_sigma", "(1 + way.noise_level[n] ** 2).sqrt()", "In EDM's paper it is 80 itself."),
        ("time", "nu.log() / 4", "The time of the network and of `step`."),
        ("given", "c_in * y", "{eq}`eq-edm-in`; with the default `sigma_data=0.5` it is not $x_t$."),
        ("D", "c_skip * y + c_out * F", "{eq}`eq-edm-denoiser`, computed by `step`."),
        (
            "root[s] * out.prev_sample",
            "ddim_step(way, x_t, t, s, (y - D) / nu, noise, clip=False)",
            "Euler's method again, which is DDIM.",
        ),
        (
            "root[s] * first.prev_sample",
            "ddim_step(way, x_t, t, s, (y - D) / nu, noise, clip=False)",
            "Its first step is the same. Later steps also use the answer of the step before.",
        ),
        (
            "of_v.precondition_outputs(y, z_hat, nu)",
            "x_0_from_v(way, x_t, t, z_hat)",
            "With these two options, the answer, here `z_hat`, is taken for $v$.",
        ),
        (
            "karras.sigmas",
            "space(schedule.noise_level[1], schedule.noise_level[T])",
            "The same rule, from the level of our $T$ to that of $t = 1$.",
        ),
    ),
    lambda: {"ddim_step": ddim_step, "x_0_from_v": x_0_from_v, "unet": lambda x, time: torch.sin(3 * x) * (1 + time)},
)


FLOWS["diffusers"] = Step(
    """\
from diffusers import FlowMatchEulerDiscreteScheduler
from ddpm_lite import schedule_from_levels

n, t, s = 28, 20, 19

def shift(tau, by):
    return by * tau / (1 + (by - 1) * tau)

flow = FlowMatchEulerDiscreteScheduler(shift=3.0)
flow.set_timesteps(n)
tau, tau_s = flow.sigmas[n - t], flow.sigmas[n - s]
time = flow.timesteps[n - t]
m = flow.scale_noise(x_0, time[None], z)
u = unet(m, time)
after = flow.step(u, time, m).prev_sample
dynamic = {"use_dynamic_shifting": True}
flux = FlowMatchEulerDiscreteScheduler(**dynamic)

taus = flow.sigmas[1:].flip(0)  # at tau = 1, no level is finite
way = schedule_from_levels(taus / (1 - taus))
x_t = q_sample(way, x_0, t, z)
z_hat = z_from_flow(way, x_t, t, u)
""",
    (
        (
            "flow.sigmas[:-1]",
            "shift(torch.linspace(1, shift(0.001, 3), n), 3)",
            "The flow times $\\tau$, {eq}`eq-straight-time`, from 1. The lowest is shifted twice. Last comes a 0.",
        ),
        ("tau", "way.flow_time[t]", "A weight of the noise, not a noise level: that is $\\frac{\\tau}{1 - \\tau}$."),
        ("time", "1000 * tau", "What `step` is given, and Stable Diffusion 3; FLUX is given `tau`."),
        ("m", "(1 - tau) * x_0 + tau * z", "The straight path, {eq}`eq-straight-path`."),
        (
            "m / ((1 - tau) ** 2 + tau ** 2).sqrt()",
            "x_t",
            "Its point, divided by the root of the sum of the squared weights.",
        ),
        (
            "u",
            "flow_from_z(way, x_t, t, z_hat)",
            "The answer, {eq}`eq-flow-slope`; our $z_\\theta$ follows from it by {eq}`eq-z-from-flow`.",
        ),
        (
            "m - tau * u",
            "predict_x_0(way, x_t, t, z_hat)",
            "The estimate, which `step` does not return. Nothing is clipped.",
        ),
        ("after", "m + (tau_s - tau) * u", "Euler's step along the path."),
        (
            "after / ((1 - tau_s) ** 2 + tau_s ** 2).sqrt()",
            "ddim_step(way, x_t, t, s, z_hat, noise, clip=False)",
            "The same step in our variable: it is DDIM.",
        ),
        (
            "flux.time_shift(1.15, 1.0, taus)",
            "shift(taus, math.exp(1.15))",
            "With `use_dynamic_shifting=True`, `mu` is the logarithm of the shift. "
            "FLUX's pipeline shifts `np.linspace(1, 1 / n, n)`.",
        ),
    ),
    lambda: {
        "ddim_step": ddim_step,
        "flow_from_z": flow_from_z,
        "z_from_flow": z_from_flow,
        "math": math,
        "unet": lambda x, time: torch.sin(3 * x) * (1 + time / 2000),
    },
)


def ddpm_scheduler(**options):
    from diffusers import DDPMScheduler

    return DDPMScheduler(**options)


def ddim_scheduler(**options):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(**options)
    scheduler.set_timesteps(T)
    return scheduler


DDPM, DDIM = "schedulers/scheduling_ddpm.py: DDPMScheduler", "schedulers/scheduling_ddim.py: DDIMScheduler"


@row("eq-linear-schedule", DDPM, "`betas[t - 1]`", FROM_0, "beta[t]")
def diffusers_beta():
    beta, theirs = linear_schedule().beta, ddpm_scheduler().betas
    return theirs[1:], beta[1:T], {"t": torch.arange(2, T + 1)}


@row("eq-alpha-bar", DDPM, "`alphas_cumprod[t - 1]`", FROM_0, "alpha_bar[t]")
def diffusers_alpha_bar():
    alpha_bar, theirs = linear_schedule().alpha_bar, ddpm_scheduler().alphas_cumprod
    return theirs[:-1], alpha_bar[: T - 1], {"t": torch.arange(1, T)}


@row(
    "eq-forward-closed",
    DDPM,
    "`1 - alphas_cumprod`",
    "rounding",
    "1 - (1 - beta[1:].float()).cumprod(0)",
    "a product of factors in float32, subtracted from 1, so that at t = 1 half of the digits are left; the ratios to "
    "ours are compared, at the first nine times",
    equal=1e-6,
)
def diffusers_float32():
    ours = linear_schedule().one_minus_alpha_bar[1:]
    return 1 - ddpm_scheduler().alphas_cumprod, ours, {}, lambda x: (x / ours)[:9]


@row("eq-cosine-schedule", DDPM, '`betas[t - 1]` of "squaredcos_cap_v2"', FROM_0, "beta[t]")
def diffusers_cosine():
    schedule, theirs = cosine_schedule(), ddpm_scheduler(beta_schedule="squaredcos_cap_v2").betas
    return theirs[1:], schedule.beta[1:T], {"schedule": schedule, "t": torch.arange(2, T + 1)}


@row(
    "eq-forward-closed",
    f"{DDPM}.add_noise",
    "`add_noise(x_0, noise, t - 1)`",
    FROM_0,
    "q_sample(schedule, x_0, t, noise)",
)
def diffusers_q_sample():
    x_0, z, _ = draw()
    times = TIMES[:-1]
    scheduler, schedule, x_0, z = ddpm_scheduler(), linear_schedule(), x_0[:-1], z[:-1]
    theirs, ours = scheduler.add_noise(x_0, z, times), q_sample(schedule, x_0, times, z)
    return theirs, ours, {"x_0": x_0, "t": times + 1, "noise": z}


def step_of_diffusers(scheduler, call, t=500, noise=False):
    """Their step at our t, ours with the same noise, and their estimate of x_0."""
    x_t, z_hat, fresh = draw()
    fresh = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(SEED)) if noise else fresh
    extra = {"generator": torch.Generator().manual_seed(SEED)} if noise else {}
    out = scheduler.step(z_hat, t - 1, x_t, **extra, **call)
    return out.prev_sample, (linear_schedule(), x_t, t, t - 1, z_hat, fresh), out.pred_original_sample


@row(
    "eq-x0-from-z",
    f"{DDPM}.step",
    "`pred_original_sample`",
    "clip",
    "predict_x_0(schedule, x_t, t, z_hat).clamp(-1, 1)",
    "`clip_sample` is on by default",
)
def diffusers_x_0():
    _, given, theirs = step_of_diffusers(ddpm_scheduler(), {}, noise=True)
    return theirs, predict_x_0(given[0], given[1], 500, given[4]), name_step(given)


@row(
    "eq-posterior-variance",
    f"{DDPM}._get_variance",
    '`_get_variance(t - 1)`, "fixed_small"',
    "own rule",
    "beta_tilde[t].clamp(min=1e-20)",
    "at t = 1 theirs is 1e-20, not 0, because some of their choices of the variance take its logarithm; compared by "
    "logarithm, for which our 0 is replaced by 1e-300",
    equal=1e-4,
)
def diffusers_variance():
    scheduler, table = ddpm_scheduler(), linear_schedule().beta_tilde
    theirs = torch.stack([scheduler._get_variance(int(t) - 1) for t in TIMES])
    return theirs, table[TIMES], {"t": TIMES}, lambda x: x.double().clamp(min=1e-300).log()


@row(
    "eq-posterior-variance",
    f"{DDPM}._get_variance",
    '`_get_variance(3)`, "fixed_small"',
    "rounding",
    "(1 - a[3]) / (1 - a[4]) * (1 - a[4] / a[3])",
    "`beta_tilde[4]` from small differences of `a`, which is `alpha_bar` in float32",
    equal=1e-6,
)
def diffusers_variance_4():
    theirs, schedule = ddpm_scheduler()._get_variance(3), linear_schedule()
    return theirs, schedule.beta_tilde[4], {"a": (1 - schedule.beta.float()).cumprod(0)}


@row(
    "eq-ddpm-step",
    f"{DDPM}.step",
    "`DDPMScheduler.step(z_hat, t - 1, x_t)`",
    translation="ddpm_step(schedule, x_t, t, t - 1, z_hat, noise)",
    equal=1e-4,
)
def diffusers_ddpm_step():
    theirs, given, _ = step_of_diffusers(ddpm_scheduler(), {}, noise=True)
    return theirs, None, name_step(given)


@row(
    "eq-ddpm-step",
    f"{DDPM}.step",
    '`variance_type="fixed_large"`',
    translation='ddpm_step(schedule, x_t, t, t - 1, z_hat, noise, variance="beta")',
    equal=1e-4,
)
def diffusers_ddpm_step_large():
    theirs, given, _ = step_of_diffusers(ddpm_scheduler(variance_type="fixed_large"), {}, t=20, noise=True)
    return theirs, None, name_step(given)


@row(
    "eq-ddim-step",
    f"{DDIM}.step",
    "`DDIMScheduler.step` with `clip_sample=False`",
    translation="ddim_step(schedule, x_t, t, s, z_hat, noise, clip=False)",
    equal=1e-4,
)
def diffusers_ddim_step():
    theirs, given, _ = step_of_diffusers(ddim_scheduler(clip_sample=False), {})
    return theirs, None, name_step(given)


@row(
    "eq-ddim-step",
    f"{DDIM}.step",
    "`DDIMScheduler.step` with `clip_sample=True`, the default",
    "clip",
    "alpha_bar[s] ** 0.5 * x_0_hat.clamp(-1, 1) + (1 - alpha_bar[s]) ** 0.5 * z_hat",
    "they clip the image and keep the noise, which we compute again from the clipped image",
    equal=1e-4,
)
def diffusers_ddim_clipped():
    theirs, given, _ = step_of_diffusers(ddim_scheduler(), {})
    schedule, x_t, t, s, z_hat, _ = given
    return theirs, ddim_step(*given), {**name_step(given), "x_0_hat": predict_x_0(schedule, x_t, t, z_hat)}


@row(
    "eq-ddim-sigma",
    f"{DDIM}.step",
    "`eta=1.0` and `clip_sample=False`",
    translation="ddim_step(schedule, x_t, t, s, z_hat, noise, eta=1, clip=False)",
    equal=1e-4,
)
def diffusers_ddim_eta():
    theirs, given, _ = step_of_diffusers(ddim_scheduler(clip_sample=False), {"eta": 1.0}, noise=True)
    return theirs, None, name_step(given)


@row(
    "eq-leading",
    f"{DDIM}.set_timesteps",
    '`timesteps`, spaced "leading"',
    "option",
    'respace(schedule, 50, "leading").times[1:].flip(0) - 1',
    "of our times, their default starts at t = 981, ours at 1000",
    equal=EXACT,
)
def diffusers_times():
    scheduler = ddim_scheduler()
    scheduler.set_timesteps(50)
    return scheduler.timesteps, respace(linear_schedule(), 50).times[1:].flip(0), {}


@row("eq-v", f"{DDPM}.get_velocity", "`get_velocity(x_0, noise, t - 1)`", FROM_0, "velocity(schedule, x_0, t, noise)")
def diffusers_velocity():
    x_0, z, _ = (x[:-1] for x in draw())
    times, schedule = TIMES[:-1], linear_schedule()
    theirs = ddpm_scheduler().get_velocity(x_0, z, times)
    return theirs, velocity(schedule, x_0, times, z), {"x_0": x_0, "t": times + 1, "noise": z}


@row("eq-snr", "training_utils.py: compute_snr", "`compute_snr(scheduler, t - 1)`", FROM_0, "snr[t]", LOGS, equal=2e-4)
def diffusers_snr():
    snr, times = linear_schedule().snr, TIMES[:-1]
    theirs = import_module("diffusers.training_utils").compute_snr(ddpm_scheduler(), times)
    return theirs, snr[times], {"t": times + 1}, torch.log


EMBEDDING = "models/embeddings.py: get_timestep_embedding"


@row(
    "eq-time-embedding",
    EMBEDDING,
    "`get_timestep_embedding(position, width)`",
    translation="time_embedding(position, width)",
    equal=1e-4,
)
def diffusers_embedding():
    positions = TIMES - 1
    theirs = import_module("diffusers.models.embeddings").get_timestep_embedding(positions, 32)
    return theirs, None, {"position": positions, "width": 32}


@row(
    "eq-time-frequency",
    EMBEDDING,
    "as `UNet2DModel` calls it: `flip_sin_to_cos=True`, `downscale_freq_shift=0`",
    "embedding",
    "time_embedding(position, 32, freq_shift=0).roll(16, 1)",
    "cosines come first, and the slowest frequency is higher",
    equal=1e-4,
)
def diffusers_embedding_of_unet():
    positions = TIMES - 1
    function = import_module("diffusers.models.embeddings").get_timestep_embedding
    theirs = function(positions, 32, flip_sin_to_cos=True, downscale_freq_shift=0)
    return theirs, time_embedding(positions, 32), {"position": positions}


def compare_decays(steps=range(1, 200), **options):
    """Their decay of each step, and ours."""
    average = import_module("diffusers.training_utils").EMAModel([nn.Parameter(torch.zeros(1))], **options)
    theirs, ours = ([decay(k) for k in steps] for decay in (average.get_decay, lambda k: ema_decay(k, 0.9999)))
    return torch.tensor(theirs), torch.tensor(ours), {"step": steps, "decay": 0.9999}


@row(
    "eq-ema-warmup",
    "training_utils.py: EMAModel.get_decay",
    "`get_decay(step)`",
    "warm-up",
    "ema_decay(step - 1, 0.9999) if step > 1 else 0",
    "at step n our decay of step n - 1; at step 1 the weights are copied",
    equal=1e-6,
)
def diffusers_ema():
    return compare_decays()


@row(
    "eq-ema-warmup",
    "training_utils.py: EMAModel.get_decay",
    "`use_ema_warmup=True`",
    "warm-up",
    "min(decay, 1 - step ** (-2 / 3))",
    "1 minus a power of the step, up to their `decay`, 0.9999 by default, which is reached at step 1,000,000",
    equal=1e-6,
)
def diffusers_ema_power():
    return compare_decays(range(1, 2_000_000, 4999), use_ema_warmup=True)


@row(
    "eq-ema",
    "training_utils.py: EMAModel.step",
    "`EMAModel(params).step(params)`",
    "warm-up",
    "average(weights, lambda k: ema_decay(k - 1, 0.9999) if k > 1 else 0)",
    "the same average with their decay; `average` is ours of 200 steps, with the decay of each step `k`",
    equal=1e-6,
)
def diffusers_average():
    weights, parameter = walk_of_weight(200), nn.Parameter(torch.zeros(1, 1, dtype=torch.float64))
    parameter.data.fill_(weights[0])
    theirs = import_module("diffusers.training_utils").EMAModel([parameter])
    for weight in weights[1:]:
        parameter.data.fill_(weight)
        theirs.step([parameter])
    return theirs.shadow_params[0], average(weights, lambda k: ema_decay(k, 0.9999)), {"weights": weights}


def guide_by_diffusers(**options):
    guidance = import_module("diffusers.guiders").ClassifierFreeGuidance(guidance_scale=3.0, **options)
    z_c, z_none, _ = draw()
    return guidance.forward(z_c, z_none).pred


@row(
    "eq-guidance-forms",
    "guiders/classifier_free_guidance.py: ClassifierFreeGuidance",
    "`guidance_scale`",
    "w + 1",
    "guided(model, guidance_scale - 1, none)(x_t, t, c)",
)
def diffusers_guidance():
    return guide_by_diffusers(), guide(3.0), {**give_guidance(), "guidance_scale": 3.0}


@row(
    "eq-guidance",
    "guiders/classifier_free_guidance.py: ClassifierFreeGuidance",
    "`use_original_formulation=True`",
    translation="guided(model, guidance_scale, none)(x_t, t, c)",
)
def diffusers_guidance_original():
    theirs = guide_by_diffusers(use_original_formulation=True)
    return theirs, None, {**give_guidance(), "guidance_scale": 3.0}
