"""What the options of diffusers' schedulers change: rows, and one option after the other on the same inputs."""

import inspect

import torch
from torch import Tensor
from torch.nn.functional import pad

from ddpm_lite import ddim_step, ddpm_step, linear_schedule, respace
from ddpm_lite.process import posterior, predict_x_0, q_sample
from ddpm_lite.schedule import Schedule
from libraries.diffusers import DDIM, DDPM, ddim_scheduler, ddpm_scheduler, step_of_diffusers
from libraries.row import FROM_0, SEED, TIMES, T, draw, name_step, rows_of

row = rows_of("diffusers")
ENDS = 0.00085, 0.012  # Stable Diffusion's; the test compares them with the library's own constant


def scaled_linear() -> Schedule:
    """Our schedule with betas that are linear in the root ("scaled_linear")."""
    roots = torch.linspace(*(end**0.5 for end in ENDS), T, dtype=torch.float64)
    return Schedule(pad(roots.square(), (1, 0)))


@row(
    "eq-linear-schedule",
    DDPM,
    '`betas` of "scaled_linear"',
    "own rule",
    "torch.linspace(beta_1 ** 0.5, beta_T ** 0.5, T).square()",
    "the root of `beta` grows by equal steps, in Stable Diffusion from `beta_1 = 0.00085` to `beta_T = 0.012`; "
    "before the translation, ours is the linear schedule between the same ends",
)
def diffusers_scaled_linear():
    theirs = ddpm_scheduler(beta_schedule="scaled_linear", beta_start=ENDS[0], beta_end=ENDS[1]).betas
    return theirs, linear_schedule(T, *ENDS).beta[1:], {"beta_1": ENDS[0], "beta_T": ENDS[1]}


@row(
    "eq-alpha-bar",
    "schedulers/scheduling_ddim.py: rescale_zero_terminal_snr",
    "`rescale_betas_zero_snr=True`",
    "own rule",
    "((root[t] - root[T]) * root[1] / (root[1] - root[T])) ** 2",
    "`root` is `alpha_bar.sqrt()`, shifted so that nothing of the image is left at T; `beta[T]` becomes 1",
)
def diffusers_zero_snr():
    theirs, alpha_bar = ddpm_scheduler(rescale_betas_zero_snr=True).alphas_cumprod, linear_schedule().alpha_bar
    return theirs, alpha_bar[1:], {"root": alpha_bar.sqrt(), "t": torch.arange(1, T + 1)}


@row(
    "eq-x0-from-z",
    f"{DDPM}.step",
    "`pred_original_sample` with `thresholding=True`",
    "clip",
    "predict_x_0(schedule, x_t, t, z_hat).clamp(-1, 1)",
    "with the default limit of 1 it is the same clip",
)
def diffusers_threshold():
    _, given, theirs = step_of_diffusers(ddpm_scheduler(thresholding=True), {}, noise=True)
    return theirs, predict_x_0(given[0], given[1], 500, given[4]), name_step(given)


def step_that_predicts(kind, name):
    """A step of theirs whose network predicts `kind`, ours with its answer as noise, and the answer by its own name."""
    theirs, given, _ = step_of_diffusers(ddpm_scheduler(prediction_type=kind), {}, noise=True)
    return theirs, ddpm_step(*given), {**name_step(given), name: given[4]}


@row(
    "eq-ddpm-step",
    f"{DDPM}.step",
    '`prediction_type="v_prediction"`',
    "target",
    "ddpm_step(schedule, x_t, t, t - 1, z_from_v(schedule, x_t, t, v), noise)",
    "the network's answer is `v`",
    equal=1e-4,
)
def diffusers_v_step():
    return step_that_predicts("v_prediction", "v")


@row(
    "eq-ddpm-step",
    f"{DDPM}.step",
    '`prediction_type="sample"`',
    "target",
    "ddpm_step(schedule, x_t, t, t - 1, predict_z(schedule, x_t, t, x_0_hat), noise)",
    "the network's answer is `x_0_hat`",
    equal=1e-4,
)
def diffusers_x_0_step():
    return step_that_predicts("sample", "x_0_hat")


@row(
    "eq-ddpm-step",
    f"{DDPM}.step",
    "`DDPMScheduler.step` after `set_timesteps(50)`",
    "option",
    'ddpm_step(respace(schedule, 50, "leading"), x_t, 26, 25, z_hat, noise)',
    "from our t = 501, the 26th of the 50 times, to 481; before the translation, ours goes to 500",
    equal=1e-4,
)
def diffusers_fewer_steps():
    scheduler = ddpm_scheduler()
    scheduler.set_timesteps(50)
    theirs, given, _ = step_of_diffusers(scheduler, {}, t=501, noise=True)
    return theirs, ddpm_step(*given), name_step(given)


@row(
    "eq-posterior-mean",
    f"{DDPM}.step",
    "`prev_sample` of `DDPMScheduler.step`, minus the noise",
    "clip",
    "posterior(schedule, x_t, t, predict_x_0(schedule, x_t, t, z_hat).clamp(-1, 1))[0]",
    "the mean has no function of its own: `step` computes it, from the clipped image",
    equal=1e-4,
)
def diffusers_posterior():
    scheduler = ddpm_scheduler()
    theirs, given, _ = step_of_diffusers(scheduler, {}, noise=True)
    schedule, x_t, t, _, z_hat, noise = given
    ours = posterior(schedule, x_t, t, predict_x_0(schedule, x_t, t, z_hat))[0]
    return theirs - scheduler._get_variance(t - 1).sqrt() * noise, ours, name_step(given)


def times_of(**options):
    """The times of 50 steps, theirs, and ours of both spacings as they count."""
    scheduler, schedule = ddim_scheduler(**options), linear_schedule()
    scheduler.set_timesteps(50)
    spaced = {name: respace(schedule, 50, name).times[1:].flip(0) for name in ("trailing", "leading")}
    return scheduler.timesteps, spaced["trailing"], spaced["leading"]


@row(
    "eq-trailing",
    f"{DDIM}.set_timesteps",
    '`timesteps`, spaced "trailing"',
    FROM_0,
    "respace(schedule, 50).times[1:].flip(0) - 1",
    "of up to 100 steps, for all numbers but 48, 61 and 96",
    equal=1e-10,
)
def diffusers_trailing():
    theirs, trailing, _ = times_of(timestep_spacing="trailing")
    return theirs, trailing, {}


@row(
    "eq-trailing",
    f"{DDIM}.set_timesteps",
    '`timesteps`, spaced "linspace"',
    "own rule",
    "torch.linspace(T - 1, 0, 50).round()",
    "from the last time to the first, both included; their steps still go down by `T // 50`",
    equal=1e-10,
)
def diffusers_linspace():
    theirs, trailing, _ = times_of(timestep_spacing="linspace")
    return theirs, trailing, {}


@row(
    "eq-leading",
    f"{DDIM}.set_timesteps",
    "`timesteps` with `steps_offset=1`",
    "own rule",
    'respace(schedule, 50, "leading").times[1:].flip(0)',
    "each time is one later than without it, so the last is our t = 2",
    equal=1e-10,
)
def diffusers_offset():
    theirs, _, leading = times_of(steps_offset=1)
    return theirs, leading - 1, {}


@row(
    "eq-ddim-still",
    f"{DDIM}.step",
    "last `DDIMScheduler.step` with `set_alpha_to_one=False`",
    "own rule",
    "ddim_step(schedule, x_t, 2, 1, z_hat, noise, clip=False)",
    "it arrives at the noise of our t = 1 and not at 0, so a little noise stays in the image; from our t = 2",
    equal=1e-4,
)
def diffusers_last_step():
    scheduler = ddim_scheduler(clip_sample=False, set_alpha_to_one=False)
    scheduler.set_timesteps(50)
    x_t, z_hat, noise = draw()
    given = linear_schedule(), x_t, 2, 0, z_hat, noise
    return scheduler.step(z_hat, 1, x_t).prev_sample, ddim_step(*given, clip=False), name_step(given)


STEP = {"eta": 1.0, "use_clipped_model_output": True}  # arguments of `step` and not of the scheduler
SWAPS = (
    ("beta_schedule", "scaled_linear", "betas, linear in the root"),
    ("beta_end", 0.012, "betas, {eq}`eq-linear-schedule`"),
    ("rescale_betas_zero_snr", True, "betas, changed so that $\\bar{\\alpha}_T = 0$, {eq}`eq-alpha-bar`"),
    ("prediction_type", "v_prediction", "target, {eq}`eq-v`; $\\hat{x}_0$ by {eq}`eq-x0-from-v`"),
    ("prediction_type", "sample", "target $x_0$; $z_\\theta$ by {eq}`eq-z-from-x0`"),
    ("clip_sample", False, "the clip of {eq}`eq-x0-from-z`"),
    ("thresholding", True, "the clip, which with the default limit of 1 is the same"),
    ("timestep_spacing", "trailing", "times, {eq}`eq-trailing`"),
    ("timestep_spacing", "linspace", "times, from first to last; some steps miss the next one"),
    ("steps_offset", 1, "times, each one later"),
    ("set_alpha_to_one", False, "end of {eq}`eq-ddim-still`: $t = 1$, not 0"),
    ("eta", 1.0, "fresh noise, {eq}`eq-ddim-sigma`"),
    ("use_clipped_model_output", True, "$z$ again from the clipped image, {eq}`eq-z-from-x0`"),
)


DEVIATION = 0.5  # of the images whose exact network makes the walk; about one pixel in twenty is beyond the clip


def answer_exactly(x_t: Tensor, k: int) -> Tensor:
    """The noise that the best network predicts at their time k, where pixels are normal with mean 0 and DEVIATION."""
    schedule = linear_schedule()
    left, added = schedule.alpha_bar[k + 1].float(), schedule.one_minus_alpha_bar[k + 1].float()
    return added.sqrt() * x_t / (left * DEVIATION**2 + added)


def measure_options(**changed) -> dict[str, Tensor | None]:
    """What a DDIM scheduler of theirs computes in 50 steps with these options, and at its time 500 if it has one."""
    from diffusers import DDIMScheduler

    call = {name: changed.pop(name) for name in STEP if name in changed}
    scheduler = DDIMScheduler(**changed)
    scheduler.set_timesteps(50)
    x_0, z, answer = draw()
    made = {"x_t": scheduler.add_noise(x_0, z, TIMES - 1), "times": scheduler.timesteps, "x_0_hat": None, "x_s": None}
    if 500 in scheduler.timesteps:
        x_t = q_sample(linear_schedule(), x_0, 501, z)
        out = scheduler.step(answer, 500, x_t, generator=torch.Generator().manual_seed(SEED), **call)
        made |= {"x_0_hat": out.pred_original_sample, "x_s": out.prev_sample}
    x, fresh = z, torch.Generator().manual_seed(SEED)
    for k in scheduler.timesteps.tolist():
        x = scheduler.step(answer_exactly(x, k), k, x, generator=fresh, **call).prev_sample
    return made | {"image": x}


def change_of(own: Tensor, other: Tensor | None) -> float | None:
    """The largest change as a share of the largest pixel, or None where the other scheduler makes no such step."""
    return None if other is None else float((other - own).abs().max() / own.abs().max())


def swap_options() -> list[dict]:
    """For each option its default, the other value, and the largest change of each number as a share."""
    from diffusers import DDIMScheduler

    own, made = measure_options(), []
    for name, value, concerns in SWAPS:
        function = DDIMScheduler.step if name in STEP else DDIMScheduler.__init__
        other = measure_options(**{name: value})
        changes = {k: change_of(x, other[k]) for k, x in own.items() if k != "times"}
        default = inspect.signature(function).parameters[name].default
        times = [int(other["times"][i]) for i in (0, -1)]
        made.append({"option": name, "default": repr(default), "other": repr(value), "concerns": concerns})
        made[-1] |= {"changes": changes, "times": times}
    return made


def measure_last_steps() -> list[dict]:
    """The last of 50 times by spacing, and the deviation of the noise of the step from it, for two variances."""
    made = []
    for option, value in (("timestep_spacing", "leading"), ("timestep_spacing", "trailing"), ("steps_offset", 1)):
        kept = {"option": option, "value": value, "deviations": {}}
        for variance in ("fixed_small", "fixed_large"):
            scheduler = ddpm_scheduler(variance_type=variance, **{option: value})
            scheduler.set_timesteps(50)
            kept["last_time"] = int(scheduler.timesteps[-1])
            image, generator = torch.zeros(1, 1, 200, 200), torch.Generator().manual_seed(SEED)
            state = scheduler.step(image, kept["last_time"], image, generator=generator).prev_sample
            kept["deviations"][variance] = float(state.std())
        made.append(kept)
    return made
