"""Compute the book's equations with other people's libraries, and record how far each is from ours, and why.

    python studies/rosetta.py            print every row
    python studies/rosetta.py --record   write book/results/rosetta.json as well

A row of the table is a function here. It computes the same quantity with a library and with this package, as one would
compare them at first sight: with equal arguments. Where that differs, it computes ours once more, with the one change
that `translation` names. All numbers come from the libraries themselves; nothing of theirs is copied. Their versions
are those of constraints.txt, and the test of the record computes the rows with whatever version is installed.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn

from ddpm_lite import cosine_schedule, ddim_step, ddpm_step, last, linear_schedule, respace, sample
from ddpm_lite.condition import guided
from ddpm_lite.files.pixels import from_bytes
from ddpm_lite.process import (
    ddpm_loss,
    posterior,
    predict_x_0,
    predict_z,
    q_sample,
    velocity,
    x_0_from_v,
    z_from_v,
)
from ddpm_lite.schedule import Schedule
from ddpm_lite.trainer import ema_decay
from ddpm_lite.unet import time_embedding

RECORD = Path(__file__).resolve().parent.parent / "book" / "results" / "rosetta.json"
LIBRARIES = {
    "diffusers": "diffusers",
    "denoising-diffusion-pytorch": "denoising_diffusion_pytorch",
    "smalldiffusion": "smalldiffusion",
    "azula": "azula",
}
EXACT, FLOAT32 = 1e-10, 2e-5  # what "equal" means: for libraries that compute in float64, and in float32
T, SEED = 1000, 0
TIMES = torch.tensor([1, 2, 250, 500, 750, 1000])


@dataclass(frozen=True)
class Row:
    """One line of the table; `compute` returns theirs, ours, and ours after the translation, or None."""

    key: str
    equation: str
    library: str
    place: str
    theirs: str
    why: str
    translation: str
    equal: float
    compute: Callable[[], tuple[Tensor, Tensor, Tensor | None]]


ROWS: dict[str, Row] = {}


def row(equation: str, library: str, place: str, theirs: str, why: str = "", translation: str = "", equal=FLOAT32):
    """Enter a function as a row: which equation, where in which library, what they call it, why it differs."""

    def enter(compute):
        key = compute.__name__
        ROWS[key] = Row(key, equation, library, place, theirs, why, translation, equal, compute)
        return compute

    return enter


def off(theirs: Tensor, ours: Tensor) -> float:
    """The largest difference, as a share of our largest number."""
    theirs, ours = (torch.as_tensor(x).detach().double() for x in (theirs, ours))
    if theirs.shape != ours.shape:
        raise ValueError(f"theirs: expected shape {tuple(ours.shape)}, got {tuple(theirs.shape)}")
    return float((theirs - ours).abs().max() / ours.abs().max())


def compare(entry: Row) -> dict:
    """What the record has of a row: the difference at first sight, and after the translation."""
    torch.manual_seed(SEED)
    theirs, ours, translated = entry.compute()
    made = {name: getattr(entry, name) for name in ("equation", "library", "place", "theirs", "why", "translation")}
    made["difference"] = off(theirs, ours)
    made["after"] = None if translated is None else off(theirs, translated)
    made["tolerance"] = entry.equal
    return made


def draw(count: int = 3, dtype=torch.float32) -> list[Tensor]:
    """Images of one time each, (6, 1, 4, 4), from the seed."""
    generator = torch.Generator().manual_seed(SEED)
    return [torch.randn(len(TIMES), 1, 4, 4, generator=generator, dtype=torch.float64).to(dtype) for _ in range(count)]


def noise_like(x: Tensor) -> Tensor:
    """The noise that a library draws first after the seed is set."""
    torch.manual_seed(SEED)
    return torch.randn_like(x)


def import_peer(name: str) -> ModuleType:
    """Import a module of a library; what it asks for and does not need here, torchvision for one, may be missing."""
    for missing in ("torchvision", "pytorch_fid"):
        if missing not in sys.modules and find_spec(missing) is None:
            for part in ("", ".transforms", ".utils", ".fid_score", ".inception"):
                sys.modules[missing + part] = MagicMock()
    return import_module(name)


# --- diffusers ------------------------------------------------------------------------------------------------------


def ddpm_scheduler(**options):
    from diffusers import DDPMScheduler

    return DDPMScheduler(**options)


def ddim_scheduler(**options):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(**options)
    scheduler.set_timesteps(T)
    return scheduler


DDPM, DDIM = "schedulers/scheduling_ddpm.py: DDPMScheduler", "schedulers/scheduling_ddim.py: DDIMScheduler"
FROM_0 = "their t counts from 0, so an entry of their tables belongs to our t one later"


@row("eq-linear-schedule", "diffusers", DDPM, "betas", FROM_0, "beta[t + 1] for their betas[t]")
def diffusers_beta():
    beta, theirs = linear_schedule().beta, ddpm_scheduler().betas
    return theirs[1:], beta[1:T], beta[2:]


@row("eq-alpha-bar", "diffusers", DDPM, "alphas_cumprod", FROM_0, "alpha_bar[t + 1] for their alphas_cumprod[t]")
def diffusers_alpha_bar():
    alpha_bar, theirs = linear_schedule().alpha_bar, ddpm_scheduler().alphas_cumprod
    return theirs[:-1], alpha_bar[: T - 1], alpha_bar[1:T]


@row(
    "eq-forward-closed",
    "diffusers",
    DDPM,
    "1 - alphas_cumprod",
    "they multiply a thousand factors in float32 and then subtract from 1: at t = 1 about half of the digits are left",
    "1 - (1 - beta[1:].float()).cumprod(0)",
    1e-6,
)
def diffusers_float32():
    schedule = linear_schedule()
    theirs, rounded = 1 - ddpm_scheduler().alphas_cumprod, 1 - (1 - schedule.beta[1:].float()).cumprod(0)
    ours = schedule.one_minus_alpha_bar[1:]
    return (theirs / ours)[:9], torch.ones(9), (rounded / ours)[:9]


@row("eq-cosine-schedule", "diffusers", DDPM, 'betas of "squaredcos_cap_v2"', FROM_0, "beta[t + 1]")
def diffusers_cosine():
    beta, theirs = cosine_schedule().beta, ddpm_scheduler(beta_schedule="squaredcos_cap_v2").betas
    return theirs[1:], beta[1:T], beta[2:]


@row("eq-forward-closed", "diffusers", f"{DDPM}.add_noise", "add_noise(x_0, noise, t)", FROM_0, "t - 1 for our t")
def diffusers_q_sample():
    x_0, z, _ = draw()
    times = TIMES[:-1]
    scheduler, schedule, x_0, z = ddpm_scheduler(), linear_schedule(), x_0[:-1], z[:-1]
    theirs, ours = scheduler.add_noise(x_0, z, times), q_sample(schedule, x_0, times, z)
    return theirs, ours, q_sample(schedule, x_0, times + 1, z)


def step_of_diffusers(scheduler, call, t=500, noise=False):
    """Their step at our t, ours with the same noise, and their estimate of x_0."""
    x_t, z_hat, fresh = draw()
    fresh = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(SEED)) if noise else fresh
    extra = {"generator": torch.Generator().manual_seed(SEED)} if noise else {}
    out = scheduler.step(z_hat, t - 1, x_t, **extra, **call)
    return out.prev_sample, (linear_schedule(), x_t, t, t - 1, z_hat, fresh), out.pred_original_sample


@row(
    "eq-x0-from-z",
    "diffusers",
    f"{DDPM}.step",
    "pred_original_sample",
    "clip_sample is on by default, and limits the estimate to [-1, 1]",
    "predict_x_0(...).clamp(-1, 1)",
)
def diffusers_x_0():
    _, given, theirs = step_of_diffusers(ddpm_scheduler(), {}, noise=True)
    ours = predict_x_0(given[0], given[1], 500, given[4])
    return theirs, ours, ours.clamp(-1, 1)


@row(
    "eq-posterior-variance",
    "diffusers",
    f"{DDPM}._get_variance",
    '"fixed_small"',
    "at t = 1 theirs is 1e-20, not 0, because its logarithm is taken",
    "beta_tilde.clamp(min=1e-20)",
    1e-3,
)
def diffusers_variance():
    scheduler, table = ddpm_scheduler(), linear_schedule().beta_tilde
    theirs = torch.stack([scheduler._get_variance(int(t) - 1) for t in TIMES])
    ours = table[TIMES]
    logs = [torch.log(x.double().clamp(min=1e-300)) for x in (theirs, ours, ours.clamp(min=1e-20))]
    return logs[0], logs[1], logs[2]


@row(
    "eq-posterior-variance",
    "diffusers",
    f"{DDPM}._get_variance",
    '"fixed_small" at t = 4',
    "float32 tables: the variance is a quotient of two small differences",
    "beta_tilde from alpha_bar in float32",
    1e-6,
)
def diffusers_variance_4():
    theirs, schedule = ddpm_scheduler()._get_variance(3), linear_schedule()
    before, now = (1 - schedule.beta[1:].float()).cumprod(0)[2:4]
    return theirs, schedule.beta_tilde[4], (1 - before) / (1 - now) * (1 - now / before)


@row("eq-ddpm-step", "diffusers", f"{DDPM}.step", "step(model_output, t, sample)", "", "", 1e-4)
def diffusers_ddpm_step():
    theirs, given, _ = step_of_diffusers(ddpm_scheduler(), {}, noise=True)
    return theirs, ddpm_step(*given), None


@row(
    "eq-ddpm-step",
    "diffusers",
    f"{DDPM}.step",
    'variance_type="fixed_large"',
    "the default of both is the smaller variance",
    'ddpm_step(..., variance="beta")',
    1e-4,
)
def diffusers_ddpm_step_large():
    theirs, given, _ = step_of_diffusers(ddpm_scheduler(variance_type="fixed_large"), {}, t=20, noise=True)
    return theirs, ddpm_step(*given), ddpm_step(*given, variance="beta")


@row("eq-ddim-step", "diffusers", f"{DDIM}.step", "step(model_output, t, sample)", "", "", 1e-4)
def diffusers_ddim_step():
    theirs, given, _ = step_of_diffusers(ddim_scheduler(clip_sample=False), {})
    return theirs, ddim_step(*given, clip=False), None


@row(
    "eq-ddim-step",
    "diffusers",
    f"{DDIM}.step",
    "clip_sample=True, the default",
    "they clip the estimated image and keep the old noise, so the two no longer add up to x_t",
    "ask theirs with use_clipped_model_output=True",
    1e-4,
)
def diffusers_ddim_clipped():
    scheduler = ddim_scheduler()
    theirs, given, _ = step_of_diffusers(scheduler, {})
    again, _, _ = step_of_diffusers(scheduler, {"use_clipped_model_output": True})
    ours = ddim_step(*given)
    return theirs, ours, theirs + ours - again


@row("eq-ddim-sigma", "diffusers", f"{DDIM}.step", "eta=1.0", "the default of both is 0", "ddim_step(..., eta=1)", 1e-4)
def diffusers_ddim_eta():
    theirs, given, _ = step_of_diffusers(ddim_scheduler(clip_sample=False), {"eta": 1.0}, noise=True)
    return theirs, ddim_step(*given, clip=False), ddim_step(*given, eta=1, clip=False)


@row(
    "eq-leading",
    "diffusers",
    f"{DDIM}.set_timesteps",
    'timesteps, spaced "leading"',
    "their default starts at 980 of 0..999 and ours at 1000 of 1..1000",
    'respace(schedule, 50, "leading").times - 1',
    EXACT,
)
def diffusers_times():
    scheduler = ddim_scheduler()
    scheduler.set_timesteps(50)
    ours, leading = (respace(linear_schedule(), 50, name).times[1:].flip(0) for name in ("trailing", "leading"))
    return scheduler.timesteps, ours, leading - 1


@row("eq-v", "diffusers", f"{DDPM}.get_velocity", "get_velocity(x_0, noise, t)", FROM_0, "t - 1 for our t")
def diffusers_velocity():
    x_0, z, _ = (x[:-1] for x in draw())
    times, schedule = TIMES[:-1], linear_schedule()
    theirs = ddpm_scheduler().get_velocity(x_0, z, times)
    return theirs, velocity(schedule, x_0, times, z), velocity(schedule, x_0, times + 1, z)


@row("eq-snr", "diffusers", "training_utils.py: compute_snr", "compute_snr(scheduler, t)", FROM_0, "snr[t + 1]", 1e-3)
def diffusers_snr():
    snr, times = linear_schedule().snr, TIMES[:-1]
    theirs = import_module("diffusers.training_utils").compute_snr(ddpm_scheduler(), times)
    return theirs.log(), snr[times].log(), snr[times + 1].log()


EMBEDDING = "models/embeddings.py: get_timestep_embedding"


@row("eq-time-embedding", "diffusers", EMBEDDING, "get_timestep_embedding(t, width)", "", "", 1e-4)
def diffusers_embedding():
    positions = TIMES - 1
    theirs = import_module("diffusers.models.embeddings").get_timestep_embedding(positions, 32)
    return theirs, time_embedding(positions, 32), None


@row(
    "eq-time-frequency",
    "diffusers",
    EMBEDDING,
    "flip_sin_to_cos=True, downscale_freq_shift=0, as UNet2DModel has by default",
    "cosines come first, and the slowest clock is faster than 1/10000",
    "time_embedding(positions, 32, freq_shift=0).roll(16, 1)",
    1e-4,
)
def diffusers_embedding_of_unet():
    positions = TIMES - 1
    function = import_module("diffusers.models.embeddings").get_timestep_embedding
    theirs = function(positions, 32, flip_sin_to_cos=True, downscale_freq_shift=0)
    return theirs, time_embedding(positions, 32), time_embedding(positions, 32, freq_shift=0).roll(16, 1)


def diffusers_decays(**options):
    average = import_module("diffusers.training_utils").EMAModel([nn.Parameter(torch.zeros(1))], **options)
    return torch.tensor([average.get_decay(k) for k in range(2, 200)], dtype=torch.float64)


@row(
    "eq-ema-warmup",
    "diffusers",
    "training_utils.py: EMAModel.get_decay",
    "get_decay(step)",
    "their warm-up is one step behind: step 1 copies the weights",
    "ema_decay(step - 1, 0.9999)",
    EXACT,
)
def diffusers_ema():
    ours = torch.tensor([ema_decay(k, 0.9999) for k in range(1, 200)], dtype=torch.float64)
    return diffusers_decays(), ours[1:], ours[:-1]


@row(
    "eq-ema-warmup",
    "diffusers",
    "training_utils.py: EMAModel.get_decay",
    "use_ema_warmup=True",
    "another warm-up, with an exponent of 2/3",
    "1 - step ** (-2 / 3)",
    EXACT,
)
def diffusers_ema_power():
    steps = torch.arange(2, 200, dtype=torch.float64)
    ours = torch.tensor([ema_decay(k, 0.9999) for k in range(2, 200)], dtype=torch.float64)
    return diffusers_decays(use_ema_warmup=True), ours, 1 - steps ** (-2 / 3)


def guide_by_diffusers(**options):
    guidance = import_module("diffusers.guiders").ClassifierFreeGuidance(guidance_scale=3.0, **options)
    z_c, z_none, _ = draw()
    return guidance.forward(z_c, z_none).pred


def guide(scale):
    """Our guidance of two given estimates, the first with the label."""
    z_c, z_none, x = draw()

    def model(x, t, context):
        return torch.where((context == 1).reshape(-1, 1, 1, 1), z_c.repeat(2, 1, 1, 1), z_none.repeat(2, 1, 1, 1))

    ones = torch.ones(len(x), dtype=torch.int64)
    return guided(model, scale, 0)(x, ones, ones)


@row(
    "eq-guidance-forms",
    "diffusers",
    "guiders/classifier_free_guidance.py: ClassifierFreeGuidance",
    "guidance_scale",
    "their scale starts from the estimate without a label, so it is ours + 1",
    "guided(model, guidance_scale - 1, none)",
)
def diffusers_guidance():
    return guide_by_diffusers(), guide(3.0), guide(2.0)


@row(
    "eq-guidance",
    "diffusers",
    "guiders/classifier_free_guidance.py: ClassifierFreeGuidance",
    "use_original_formulation=True",
)
def diffusers_guidance_original():
    return guide_by_diffusers(use_original_formulation=True), guide(3.0), None


# --- denoising-diffusion-pytorch --------------------------------------------------------------------------------------

LUCID = "denoising_diffusion_pytorch.py"
CLASS = f"{LUCID}: GaussianDiffusion"


def lucid():
    return import_peer("denoising_diffusion_pytorch.denoising_diffusion_pytorch")


class Network(nn.Module):
    """A stand-in for a network: a function of x_t and t, with what GaussianDiffusion asks of a U-Net."""

    channels, out_dim, self_condition = 1, 1, False

    def __init__(self, t_from: int = 1):
        super().__init__()
        self.asked: list[int] = []
        self.t_from = t_from

    def forward(self, x, t, *others, **named):
        t = t + 1 - self.t_from
        self.asked += t[:1].tolist()
        return torch.sin(3 * x) * (0.5 + t.reshape(-1, 1, 1, 1) / 2000)


def diffusion(**options):
    options = {"objective": "pred_noise", "beta_schedule": "linear", **options}
    return lucid().GaussianDiffusion(Network(0), image_size=4, **options)


@row(
    "eq-linear-schedule",
    "denoising-diffusion-pytorch",
    f"{LUCID}: linear_beta_schedule",
    "linear_beta_schedule(1000)",
    FROM_0,
    "beta[t + 1]",
    EXACT,
)
def lucid_beta():
    beta = linear_schedule().beta
    return lucid().linear_beta_schedule(T)[1:], beta[1:T], beta[2:]


@row(
    "eq-linear-schedule",
    "denoising-diffusion-pytorch",
    f"{LUCID}: linear_beta_schedule",
    "linear_beta_schedule(200)",
    "both ends are multiplied by 1000 / T, so that a shorter walk adds the same noise in all",
    "linear_schedule(200, 5e-4, 0.1)",
    EXACT,
)
def lucid_beta_200():
    return lucid().linear_beta_schedule(200), linear_schedule(200).beta[1:], linear_schedule(200, 5e-4, 0.1).beta[1:]


@row(
    "eq-cosine-schedule",
    "denoising-diffusion-pytorch",
    f"{LUCID}: cosine_beta_schedule",
    "cosine_beta_schedule(1000)",
    FROM_0,
    "beta[t + 1]",
    EXACT,
)
def lucid_cosine():
    beta = cosine_schedule().beta
    return lucid().cosine_beta_schedule(T)[1:], beta[1:T], beta[2:]


@row(
    "eq-linear-schedule",
    "denoising-diffusion-pytorch",
    f"{CLASS}.__init__",
    "the default, sigmoid_beta_schedule(1000)",
    "a schedule that this book does not have",
    "Schedule of the same betas",
    EXACT,
)
def lucid_default_schedule():
    betas = lucid().sigmoid_beta_schedule(T)
    theirs = (1 - betas).cumprod(0)
    ours = Schedule(torch.cat([torch.zeros(1, dtype=torch.float64), betas]))
    return theirs, linear_schedule().alpha_bar[1:], ours.alpha_bar[1:]


def at_times(method, function, first, second):
    """Their method at t, and our function at the same t and at the one after."""
    t, schedule = TIMES[:-1], linear_schedule()
    first, second = first[:-1], second[:-1]
    return method(first, t, second), *(function(schedule, first, time, second) for time in (t, t + 1))


@row(
    "eq-forward-closed",
    "denoising-diffusion-pytorch",
    f"{CLASS}.q_sample",
    "q_sample(x_start, t, noise)",
    FROM_0,
    "t - 1 for our t",
)
def lucid_q_sample():
    return at_times(diffusion().q_sample, q_sample, *draw(2))


@row(
    "eq-x0-from-z",
    "denoising-diffusion-pytorch",
    f"{CLASS}.predict_start_from_noise",
    "predict_start_from_noise(x_t, t, noise)",
    FROM_0,
    "t - 1 for our t",
)
def lucid_x_0():
    return at_times(diffusion().predict_start_from_noise, predict_x_0, *draw(2))


@row(
    "eq-z-from-x0",
    "denoising-diffusion-pytorch",
    f"{CLASS}.predict_noise_from_start",
    "predict_noise_from_start(x_t, t, x0)",
    FROM_0,
    "t - 1 for our t",
    1e-3,
)
def lucid_z():
    return at_times(diffusion().predict_noise_from_start, predict_z, *draw(2))


@row(
    "eq-v",
    "denoising-diffusion-pytorch",
    f"{CLASS}.predict_v",
    "predict_v(x_start, t, noise)",
    FROM_0,
    "t - 1 for our t",
)
def lucid_v():
    return at_times(diffusion().predict_v, velocity, *draw(2))


@row(
    "eq-x0-from-v",
    "denoising-diffusion-pytorch",
    f"{CLASS}.predict_start_from_v",
    "predict_start_from_v(x_t, t, v)",
    FROM_0,
    "t - 1 for our t",
)
def lucid_x_0_from_v():
    return at_times(diffusion().predict_start_from_v, x_0_from_v, *draw(2))


def posterior_of_lucid(part):
    x_t, x_0 = draw(2)
    method = diffusion().q_posterior
    return at_times(lambda x_t, t, x_0: method(x_0, x_t, t)[part], lambda *given: posterior(*given)[part], x_t, x_0)


@row(
    "eq-posterior-mean",
    "denoising-diffusion-pytorch",
    f"{CLASS}.q_posterior",
    "q_posterior(x_start, x_t, t), the first result",
    FROM_0,
    "t - 1 for our t; note the order of the images",
)
def lucid_posterior_mean():
    return posterior_of_lucid(0)


@row(
    "eq-posterior-variance",
    "denoising-diffusion-pytorch",
    f"{CLASS}.q_posterior",
    "q_posterior(x_start, x_t, t), the second result",
    FROM_0,
    "t - 1 for our t",
)
def lucid_posterior_variance():
    return posterior_of_lucid(1)


@row(
    "eq-ddpm-step",
    "denoising-diffusion-pytorch",
    f"{CLASS}.p_sample",
    "p_sample(x, t)",
    FROM_0,
    "p_sample at t - 1 is ddpm_step from t; both clip",
)
def lucid_step():
    x, schedule, model = draw(1)[0], linear_schedule(), Network()
    torch.manual_seed(SEED)
    theirs, _ = diffusion().p_sample(x, 499)
    steps = []
    for t in (499, 500):
        torch.manual_seed(SEED)
        steps.append(ddpm_step(schedule, x, t, t - 1, model(x, torch.full((len(x),), t)), torch.randn_like(x)))
    return theirs, *steps


def walk_of_lucid(steps):
    """Their DDIM from x_T to x_0 and ours, each with the times at which it asks the network."""
    other = diffusion(sampling_timesteps=steps, auto_normalize=False)
    torch.manual_seed(SEED)
    theirs = other.sample(batch_size=6)
    torch.manual_seed(SEED)
    x_T = torch.randn(6, 1, 4, 4)

    def ours(schedule):
        model = Network()
        walk = sample(model, schedule, x_T.shape, step=ddim_step, x_T=x_T)
        return last(walk)[1], torch.tensor(model.asked)

    return theirs, torch.tensor(other.model.asked), ours


@row(
    "eq-ddim-still",
    "denoising-diffusion-pytorch",
    f"{CLASS}.ddim_sample",
    "ten steps, from noise to the image",
    "",
    "",
    1e-3,
)
def lucid_ddim():
    theirs, _, ours = walk_of_lucid(10)
    return theirs, ours(respace(linear_schedule(), 10))[0], None


@row(
    "eq-trailing",
    "denoising-diffusion-pytorch",
    f"{CLASS}.ddim_sample",
    "times of 30 steps",
    "where 30 does not divide 1000, they cut the fraction off and we round",
    "times of floor(i T / 30)",
    EXACT,
)
def lucid_times():
    _, asked, ours = walk_of_lucid(30)
    cut = torch.arange(30, 0, -1) * T // 30
    return asked, ours(respace(linear_schedule(), 30))[1], cut


def loss_of_lucid(objective):
    x_0, z = draw(2)
    times, other = TIMES - 1, diffusion(objective=objective)
    theirs = other.p_losses(x_0, times, noise=z)
    return theirs, x_0, z, other


@row("eq-simple-loss", "denoising-diffusion-pytorch", f"{CLASS}.p_losses", 'objective="pred_noise"', "", "", 1e-4)
def lucid_loss():
    theirs, x_0, z, _ = loss_of_lucid("pred_noise")
    return theirs, ddpm_loss(Network(), linear_schedule(), x_0, TIMES, z), None


@row(
    "eq-simple-loss",
    "denoising-diffusion-pytorch",
    f"{CLASS}.p_losses",
    'objective="pred_v", the default',
    "the network predicts v, whose squared error is that of z divided by alpha_bar; their weight is alpha_bar",
    "ddpm_loss of the noise that the network's v implies",
    1e-4,
)
def lucid_loss_v():
    theirs, x_0, z, _ = loss_of_lucid("pred_v")
    schedule, net = linear_schedule(), Network()

    def z_of(x_t, t, context=None):
        return z_from_v(schedule, x_t, t, net(x_t, t))

    return theirs, ddpm_loss(net, schedule, x_0, TIMES, z), ddpm_loss(z_of, schedule, x_0, TIMES, z)


@row(
    "eq-time-embedding",
    "denoising-diffusion-pytorch",
    f"{LUCID}: SinusoidalPosEmb",
    "SinusoidalPosEmb(width)(t)",
    "",
    "",
    1e-4,
)
def lucid_embedding():
    return lucid().SinusoidalPosEmb(32)((TIMES - 1).float()), time_embedding(TIMES - 1, 32), None


@row(
    "eq-forward-closed",
    "denoising-diffusion-pytorch",
    f"{CLASS}.forward",
    "normalize(img)",
    "images are expected in [0, 1] and scaled inside",
    "2 img - 1",
    EXACT,
)
def lucid_range():
    raw = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    img = raw.float() / 255
    return diffusion().normalize(img), img, from_bytes(raw)


@row(
    "eq-ema-warmup",
    "denoising-diffusion-pytorch",
    "ema_pytorch.py: EMA.get_current_decay (ema-pytorch)",
    "EMA(model, beta=0.9999)",
    "it copies the weights for 100 steps, then warms up with an exponent of 2/3",
    "1 - (step - 100) ** (-2 / 3)",
    1e-6,
)
def lucid_ema():
    average = import_peer("ema_pytorch").EMA(nn.Linear(1, 1), beta=0.9999)
    steps, theirs = range(102, 300), []
    for k in steps:
        average.step.fill_(k)
        theirs.append(average.get_current_decay())
    ours = torch.tensor([ema_decay(k, 0.9999) for k in steps], dtype=torch.float64)
    return torch.tensor(theirs), ours, 1 - (torch.tensor(steps, dtype=torch.float64) - 100) ** (-2 / 3)


def guide_by_lucid(**options):
    module = import_peer("denoising_diffusion_pytorch.classifier_free_guidance")
    z_c, z_none, _ = draw()

    def forward(cond_drop_prob):
        return z_none if cond_drop_prob else z_c

    return module.Unet.forward_with_cond_scale(SimpleNamespace(forward=forward), cond_scale=3.0, **options)[0]


GUIDES = "classifier_free_guidance.py: Unet.forward_with_cond_scale"


@row(
    "eq-guidance-forms",
    "denoising-diffusion-pytorch",
    GUIDES,
    "cond_scale, remove_parallel_component=False",
    "their scale is ours + 1",
    "guided(model, cond_scale - 1, none)",
)
def lucid_guidance():
    return guide_by_lucid(remove_parallel_component=False), guide(3.0), guide(2.0)


@row(
    "eq-guidance",
    "denoising-diffusion-pytorch",
    GUIDES,
    "cond_scale, by default",
    "by default only the part of the difference counts that is orthogonal to the estimate with the label",
    "subtract w times the projection of the difference on z_c",
    1e-4,
)
def lucid_guidance_default():
    z_c, z_none, _ = draw()
    gap, along = (z_c - z_none).flatten(1).double(), z_c.flatten(1).double()
    part = (gap * along).sum(1, True) / along.square().sum(1, True) * along
    return guide_by_lucid(), guide(2.0), guide(2.0) - 2 * part.reshape(z_c.shape)


# --- smalldiffusion ---------------------------------------------------------------------------------------------------

SCALED = (
    "it divides x_t by sqrt(alpha_bar_t), so that x = x_0 + sigma z with sigma = sqrt((1 - alpha_bar_t) / alpha_bar_t)"
)


def small():
    return import_peer("smalldiffusion")


def sigma_of(schedule, t):
    """The noise level: the standard deviation of the noise after x_t is divided by sqrt(alpha_bar_t)."""
    return (schedule.one_minus_alpha_bar[t] / schedule.alpha_bar[t]).sqrt()


@row(
    "eq-noise-level",
    "smalldiffusion",
    "diffusion.py: ScheduleDDPM",
    "ScheduleDDPM().sigmas",
    FROM_0,
    "noise level at t + 1",
    1e-4,
)
def small_sigmas():
    ours = sigma_of(linear_schedule(), torch.arange(T + 1))
    return small().ScheduleDDPM().sigmas[1:], ours[1:T], ours[2:]


@row(
    "eq-cosine-schedule",
    "smalldiffusion",
    "diffusion.py: ScheduleCosine",
    "ScheduleCosine().sigmas",
    FROM_0,
    "noise level at t + 1",
    1e-2,
)
def small_cosine():
    ours = sigma_of(cosine_schedule(), torch.arange(T + 1)).log()
    return small().ScheduleCosine().sigmas.log()[1:], ours[1:T], ours[2:]


@row(
    "eq-alpha-bar",
    "smalldiffusion",
    "model.py: alpha",
    "alpha(sigma)",
    "their alpha is this book's alpha_bar",
    "alpha_bar[t]",
)
def small_alpha():
    schedule = linear_schedule()
    theirs = import_peer("smalldiffusion.model").alpha(sigma_of(schedule, TIMES))
    return theirs, schedule.alpha[TIMES], schedule.alpha_bar[TIMES]


def small_model(net, *wrappers):
    """A network of ours as a model of theirs, which is given sigma instead of the time."""
    module = import_peer("smalldiffusion.model")
    levels = sigma_of(linear_schedule(), torch.arange(T + 1))

    class Model(nn.Module, module.ModelMixin):
        input_dims = (1, 4, 4)

        def forward(self, x, sigma, cond=None):
            t = (levels - torch.as_tensor(sigma).double().reshape(-1, 1)).abs().argmin(1).expand(len(x))
            return net(x, t)

    for wrap in wrappers:
        Model = getattr(module, wrap)(Model)
    return Model()


@row(
    "eq-simple-loss",
    "smalldiffusion",
    "model.py: ModelMixin.get_loss",
    "get_loss(x0, sigma, eps) of a plain model",
    SCALED,
    "the network of Scaled is asked with x_t again",
    1e-4,
)
def small_loss():
    x_0, z = draw(2)
    schedule, net = linear_schedule(), Network()
    sigma = sigma_of(schedule, TIMES).float().reshape(-1, 1, 1, 1)
    plain, scaled = (small_model(net, *wraps).get_loss(x_0, sigma, z) for wraps in ((), ("Scaled",)))
    ours = ddpm_loss(net, schedule, x_0, TIMES, z)
    return plain, ours, ours + plain - scaled


@row(
    "eq-v",
    "smalldiffusion",
    "model.py: PredV",
    "the loss of PredV, with Scaled",
    "the network predicts v, and the error is that of v",
    "the mean of (velocity(...) - net(...))^2",
    1e-4,
)
def small_v():
    x_0, z = draw(2)
    schedule, net = linear_schedule(), Network()
    sigma = sigma_of(schedule, TIMES).float().reshape(-1, 1, 1, 1)
    theirs = small_model(net, "Scaled", "PredV").get_loss(x_0, sigma, z)
    error = velocity(schedule, x_0, TIMES, z) - net(q_sample(schedule, x_0, TIMES, z), TIMES)
    return theirs, ddpm_loss(net, schedule, x_0, TIMES, z), error.square().mean()


@row(
    "eq-trailing",
    "smalldiffusion",
    "diffusion.py: Schedule.sample_sigmas",
    "sample_sigmas(50)",
    "the last level is that of t = 1: a walk ends with this little noise in the image",
    "the times of respace(schedule, 50), with 1 for 0",
    1e-4,
)
def small_times():
    schedule = linear_schedule()
    levels, times = sigma_of(schedule, torch.arange(T + 1)), respace(schedule, 50).times.flip(0)
    theirs = small().ScheduleDDPM().sample_sigmas(50)
    return theirs[-2:], levels[times][-2:], levels[times.clamp(min=1)][-2:]


def step_of_small(mu, t=500, s=480):
    """One step of theirs from t to s, and what ours needs for the same."""
    schedule, net = linear_schedule(), Network()
    x = draw(1)[0]
    scale_t, scale_s = (schedule.alpha_bar[k].sqrt() for k in (t, s))
    sigmas = torch.stack([sigma_of(schedule, t), sigma_of(schedule, s)]).float()
    torch.manual_seed(SEED)
    place = SimpleNamespace(device=torch.device("cpu"))
    model, start = small_model(net, "Scaled"), x / scale_t.float()
    (theirs,) = small().samples(model, sigmas, gam=1, mu=mu, batchsize=len(x), xt=start, accelerator=place)
    torch.manual_seed(SEED)
    given = (schedule, x, t, s, net(x, torch.full((len(x),), t)), torch.randn(x.shape))
    return theirs, given, scale_s


@row(
    "eq-ddim-still",
    "smalldiffusion",
    "diffusion.py: samples",
    "samples(..., gam=1, mu=0)",
    SCALED,
    "ddim_step(..., clip=False) / sqrt(alpha_bar_s)",
    1e-4,
)
def small_ddim():
    theirs, given, scale = step_of_small(0.0)
    ours = ddim_step(*given, clip=False)
    return theirs, ours, ours / scale


@row(
    "eq-ddpm-step",
    "smalldiffusion",
    "diffusion.py: samples",
    "samples(..., gam=1, mu=0.5)",
    SCALED,
    "ddim_step(..., eta=1, clip=False) / sqrt(alpha_bar_s)",
    1e-4,
)
def small_ddpm():
    theirs, given, scale = step_of_small(0.5)
    ours = ddim_step(*given, eta=1, clip=False)
    return theirs, ours, ours / scale


@row("eq-guidance", "smalldiffusion", "model.py: ModelMixin.predict_eps_cfg", "cfg_scale")
def small_guidance():
    z_c, z_none, x = draw()
    mixin = import_peer("smalldiffusion.model").ModelMixin
    both = torch.cat([z_c, z_none])
    model = SimpleNamespace(cond_embed=SimpleNamespace(null_cond=0), predict_eps=lambda *_, **__: both)
    theirs = mixin.predict_eps_cfg(model, x, torch.tensor(1.0), torch.ones(len(x), dtype=torch.int64), 3.0)
    return theirs, guide(3.0), None


@row(
    "eq-time-embedding",
    "smalldiffusion",
    "model.py: get_sigma_embeds",
    "get_sigma_embeds(batch, sigma)",
    "one clock, not many: sine and cosine of log(sigma) / 2",
    "sine and cosine of -log(snr) / 4",
    1e-4,
)
def small_embedding():
    schedule = linear_schedule()
    theirs = import_peer("smalldiffusion.model").get_sigma_embeds(len(TIMES), sigma_of(schedule, TIMES))
    angle = -schedule.snr[TIMES].log() / 4
    return theirs, time_embedding(TIMES - 1, 4)[:, ::2], torch.stack([angle.sin(), angle.cos()], 1)


@row(
    "eq-time-embedding",
    "smalldiffusion",
    "model.py: timestep_embedding",
    "timestep_embedding(t, width)",
    "cosines come first, and the slowest clock is faster than 1/10000",
    "time_embedding(positions, 32, freq_shift=0).roll(16, 1)",
    1e-4,
)
def small_embedding_of_flow():
    theirs = import_peer("smalldiffusion.model").timestep_embedding(TIMES - 1, 32)
    return theirs, time_embedding(TIMES - 1, 32), time_embedding(TIMES - 1, 32, freq_shift=0).roll(16, 1)


# --- azula ------------------------------------------------------------------------------------------------------------


def azula(name):
    return import_peer(f"azula.{name}")


def schedule_of(azula_alpha):
    """A Schedule of this package with the alpha_bar that is the square of their alpha."""
    alpha_bar = azula_alpha.square()
    return Schedule(torch.cat([torch.zeros(1, dtype=torch.float64), 1 - alpha_bar[1:] / alpha_bar[:-1]]))


class AsAzula:
    """Our schedule under azula's interface: t in [0, 1] gives the weights of image and noise."""

    def __init__(self):
        self.schedule = linear_schedule()

    def __call__(self, t):
        place = (torch.as_tensor(t) * T).round().long()
        return self.schedule.alpha_bar[place].sqrt(), self.schedule.one_minus_alpha_bar[place].sqrt()


def azula_denoiser(net):
    """A network that predicts z, as a denoiser of theirs, which predicts x_0; in float64."""

    class Denoiser(azula("denoise").Denoiser):
        def __init__(self):
            super().__init__()
            self.schedule = AsAzula()

        def forward(self, x_t, t, label=1, **named):
            places = (torch.as_tensor(t) * T).round().long().expand(len(x_t))
            x_0_hat = predict_x_0(self.schedule.schedule, x_t, places, net(x_t, places, label))
            return azula("denoise").DiracPosterior(mean=x_0_hat)

    return Denoiser()


def step_of_azula(name, t=500, s=480, **options):
    x, schedule, net = draw(1, torch.float64)[0], linear_schedule(), Network()
    sampler = getattr(azula("sample"), name)(azula_denoiser(net), silent=True, **options)
    place_t, place_s = (torch.tensor(k / T, dtype=torch.float64) for k in (t, s))
    torch.manual_seed(SEED)
    theirs = sampler.step(x, place_t, place_s)
    torch.manual_seed(SEED)
    return theirs, (schedule, x, t, s, net(x, torch.full((len(x),), t)), torch.randn_like(x))


@row(
    "eq-alpha-bar",
    "azula",
    "noise.py: VPSchedule",
    "VPSchedule().alpha(t), t in [0, 1]",
    "their alpha is the square root of alpha_bar, a smooth function of the time, not a product",
    "schedule_of(alpha).alpha_bar.sqrt()",
    EXACT,
)
def azula_alpha():
    alpha = azula("noise").VPSchedule().alpha(torch.arange(T + 1, dtype=torch.float64) / T)
    return alpha, linear_schedule().alpha_bar, schedule_of(alpha).alpha_bar.sqrt()


@row(
    "eq-noise-balance",
    "azula",
    "noise.py: VPSchedule",
    "VPSchedule().sigma(t)",
    "sigma^2 is 1 - alpha^2 + sigma_min^2, so x_t has a little more than variance 1",
    "(one_minus_alpha_bar + 1e-6).sqrt()",
    1e-9,
)
def azula_sigma():
    vp, t = azula("noise").VPSchedule(), torch.arange(T + 1, dtype=torch.float64) / T
    rest = schedule_of(vp.alpha(t)).one_minus_alpha_bar
    return vp.sigma(t)[1:9] / rest[1:9].sqrt(), torch.ones(8), (rest[1:9] + 1e-6).sqrt() / rest[1:9].sqrt()


@row(
    "eq-trailing",
    "azula",
    "sample.py: Sampler.timesteps",
    "timesteps of 50 steps",
    "time runs from 1 to 0",
    "times / T",
    1e-6,
)
def azula_times():
    theirs = azula("sample").DDIMSampler(azula_denoiser(None), steps=50).timesteps
    ours = respace(linear_schedule(), 50).times.flip(0)
    return theirs, ours, ours / T


@row("eq-ddpm-step", "azula", "sample.py: DDPMSampler.step", "step(x_t, t, s), s = t - 1/T", "", "", 1e-9)
def azula_ddpm():
    theirs, given = step_of_azula("DDPMSampler", 500, 499)
    return theirs, ddpm_step(*given, clip=False), None


@row(
    "eq-ddim-step",
    "azula",
    "sample.py: DDPMSampler.step",
    "step(x_t, t, s), a longer step",
    "DDPM may go to any s, which is DDIM with eta = 1",
    "ddim_step(..., eta=1, clip=False)",
    1e-9,
)
def azula_ddpm_leap():
    theirs, given = step_of_azula("DDPMSampler")
    return theirs, ddim_step(*given, clip=False), ddim_step(*given, eta=1, clip=False)


@row("eq-ddim-still", "azula", "sample.py: DDIMSampler.step", "DDIMSampler(denoiser)", "", "", 1e-9)
def azula_ddim():
    theirs, given = step_of_azula("DDIMSampler")
    return theirs, ddim_step(*given, clip=False), None


@row(
    "eq-ddim-sigma",
    "azula",
    "sample.py: DDIMSampler.step",
    "DDIMSampler(denoiser, eta=0.25)",
    "their eta multiplies the variance and ours the deviation",
    "ddim_step(..., eta=eta ** 0.5, clip=False)",
    1e-9,
)
def azula_eta():
    theirs, given = step_of_azula("DDIMSampler", eta=0.25)
    return theirs, ddim_step(*given, eta=0.25, clip=False), ddim_step(*given, eta=0.5, clip=False)


@row("eq-ddim-euler", "azula", "sample.py: EulerSampler.step", "EulerSampler(denoiser)", "", "", 1e-9)
def azula_euler():
    theirs, given = step_of_azula("EulerSampler")
    return theirs, ddim_step(*given, clip=False), None


@row(
    "eq-guidance",
    "azula",
    "guidance/cfg.py: CFGDenoiser",
    "guidance",
    "the two estimates that are combined are of x_0, not of z",
    "predict_x_0 of the guided z_hat",
    1e-9,
)
def azula_guidance():
    x, schedule, t = draw(1, torch.float64)[0], linear_schedule(), torch.full((len(TIMES),), 500)

    def net(x, t, context):
        return Network()(x, t) * torch.as_tensor(1.0 + context, dtype=x.dtype).reshape(-1, 1, 1, 1)

    cfg = azula("guidance.cfg").CFGDenoiser(azula_denoiser(net))
    theirs = cfg(
        x, torch.tensor(0.5, dtype=torch.float64), positive={"label": 1}, negative={"label": 0}, guidance=3.0
    ).mean
    z_hat = guided(net, 3.0, 0)(x, t, torch.ones(len(x), dtype=torch.int64))
    return theirs, z_hat, predict_x_0(schedule, x, t, z_hat)


@row(
    "eq-weighted-noise-loss",
    "azula",
    "denoise.py: KarrasDenoiser.loss",
    "loss(x, t)",
    "the error of x_0 times snr + 1: that of z times 1 / alpha_bar, which is the error of v",
    "ddpm_loss(..., weight=1 / alpha_bar)",
    1e-6,
)
def azula_loss():
    x_0, schedule, net = draw(1, torch.float64)[0], linear_schedule(), Network()
    model = azula_denoiser(net)
    torch.manual_seed(SEED)
    theirs = azula("denoise").KarrasDenoiser.loss(model, x_0, TIMES / T)
    z = noise_like(x_0)
    weight = 1 / schedule.alpha_bar
    return theirs, ddpm_loss(net, schedule, x_0, TIMES, z), ddpm_loss(net, schedule, x_0, TIMES, z, weight=weight)


@row("eq-time-embedding", "azula", "nn/layers.py: SineEncoding", "SineEncoding(width)(position)", "", "", 1e-4)
def azula_embedding():
    return azula("nn.layers").SineEncoding(32)((TIMES - 1).float()), time_embedding(TIMES - 1, 32), None


@row(
    "eq-snr",
    "azula",
    "denoise.py: SimpleDenoiser.forward",
    "what the network is told of the time",
    "the logarithm of sigma / alpha, which is no time but a noise level",
    "-log(snr) / 2",
    1e-9,
)
def azula_told():
    told = []
    net = nn.Linear(1, 1).double()
    net.forward = lambda x, c: told.append(c) or x
    schedule = linear_schedule()
    azula("denoise").SimpleDenoiser(net, AsAzula())(draw(1, torch.float64)[0], TIMES / T)
    return told[0], TIMES.double(), -schedule.snr[TIMES].log() / 2


# ----------------------------------------------------------------------------------------------------------------------


def find_versions() -> dict[str, str]:
    """{library: version} of those that are installed."""
    return {name: version(name) for name, module in LIBRARIES.items() if find_spec(module) is not None}


def compare_all() -> dict:
    """The record: versions, and every row whose library is installed."""
    versions = find_versions()
    rows = {key: compare(entry) for key, entry in ROWS.items() if entry.library in versions}
    return {"command": "python studies/rosetta.py --record", "versions": versions, "rows": rows}


def main():
    """Compute, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--record", action="store_true", help="write book/results/rosetta.json")
    parser.add_argument("--json", action="store_true", help="print the record instead of a table")
    options = parser.parse_args()
    record = compare_all()
    text = json.dumps(record, indent=1) + "\n"
    if options.record:
        RECORD.write_text(text, encoding="utf8")
    if options.json:
        print(text)
        return
    for key, made in record["rows"].items():
        after = "" if made["after"] is None else f"{made['after']:.0e}"
        print(f"{key:30} {made['difference']:.0e}  {after:6} {made['why']}")


if __name__ == "__main__":
    main()
