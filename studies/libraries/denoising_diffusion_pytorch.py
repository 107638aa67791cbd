"""Rows of denoising-diffusion-pytorch."""

from functools import partial
from types import SimpleNamespace

import torch
from torch import nn

from ddpm_lite import cosine_schedule, ddpm_step, linear_schedule, respace
from ddpm_lite.process import ddpm_loss, posterior, predict_x_0, predict_z, q_sample, velocity, x_0_from_v
from ddpm_lite.schedule import TABLES
from ddpm_lite.trainer import ema_decay
from libraries.row import (
    EXACT,
    FROM_0,
    NAMES,
    NO_COUNTERPART,
    ROWS,
    SEED,
    STEPS,
    TIMES,
    Network,
    Step,
    T,
    average,
    draw,
    give_guidance,
    guide,
    import_peer,
    noise_like,
    rows_of,
    translate,
    walk_of_weight,
)
from libraries.wrap_denoising_diffusion_pytorch import ShiftedNet

row = rows_of("denoising-diffusion-pytorch")
LUCID = "denoising_diffusion_pytorch.py"
CLASS = f"{LUCID}: GaussianDiffusion"


def lucid():
    return import_peer("denoising_diffusion_pytorch.denoising_diffusion_pytorch")


def import_all():
    """The package itself, for the setup of the step, and the network that it asks, with its own times."""
    import_peer("denoising_diffusion_pytorch")
    return {"shifted_net": ShiftedNet(Network(), 1)}


STEPS["denoising-diffusion-pytorch"] = Step(
    """\
from denoising_diffusion_pytorch import GaussianDiffusion

diffusion = GaussianDiffusion(
    shifted_net, image_size=4,
    objective="pred_noise", beta_schedule="linear",
)
k = torch.full((len(x_t),), t - 1)
x_0_hat = diffusion.predict_start_from_noise(x_t, k, z_hat)
""",
    (
        ("diffusion.alphas_cumprod[t - 1]", "schedule.alpha_bar[t]", "Their time is ours minus 1."),
        ("diffusion.q_sample(x_0, k, z)", "q_sample(schedule, x_0, t, z)", "`k` holds their time of each image."),
        ("x_0_hat", "predict_x_0(schedule, x_t, t, z_hat)", "`p_sample` clips it, but this function does not."),
        (
            "diffusion.q_posterior(x_0_hat, x_t, k)[0]",
            "posterior(schedule, x_t, t, x_0_hat)[0]",
            "The mean of the step. They give the image first, we give `x_t` first.",
        ),
        (
            "diffusion.p_sample(x_t, t - 1)[0]",
            "ddpm_step(schedule, x_t, t, t - 1, z_hat, noise)",
            "`p_sample` asks the network itself, and draws the fresh noise.",
        ),
    ),
    import_all,
)


def diffusion(**options):
    options = {"objective": "pred_noise", "beta_schedule": "linear", **options}
    return lucid().GaussianDiffusion(Network(0), image_size=4, **options)


def give_tables():
    """Their tables and ours by name, and all our times."""
    schedule = linear_schedule()
    return dict(diffusion().named_buffers()) | {name: getattr(schedule, name) for name in TABLES} | {"t": ALL}


ALL = torch.arange(1, T + 1)
NAMES["denoising-diffusion-pytorch"] = Step(
    "",
    (
        ("betas[t - 1]", "beta[t]", "Variance of one step forward."),
        ("alphas_cumprod[t - 1]", "alpha_bar[t]", "Their time is ours minus 1."),
        ("alphas_cumprod_prev[t - 1]", "alpha_bar[t - 1]", "`prev` is one time earlier."),
        ("sqrt_alphas_cumprod[t - 1]", "alpha_bar[t] ** 0.5", "Weight of $x_0$ in {eq}`eq-forward-closed`."),
        ("sqrt_one_minus_alphas_cumprod[t - 1]", "one_minus_alpha_bar[t] ** 0.5", "Weight of $z$ there."),
        ("sqrt_recip_alphas_cumprod[t - 1]", "alpha_bar[t] ** -0.5", "Weight of $x_t$ in {eq}`eq-x0-from-z`."),
        ("sqrt_recipm1_alphas_cumprod[t - 1]", "noise_level[t]", "Weight of $z$ there, with a minus."),
        (
            "posterior_mean_coef1[t - 1]",
            "alpha_bar[t - 1] ** 0.5 * beta[t] / one_minus_alpha_bar[t]",
            "Weight of $x_0$ in {eq}`eq-posterior-mean`.",
        ),
        (
            "posterior_mean_coef2[t - 1]",
            "alpha[t] ** 0.5 * one_minus_alpha_bar[t - 1] / one_minus_alpha_bar[t]",
            "Weight of $x_t$ there.",
        ),
        ("posterior_variance[t - 1]", "beta_tilde[t]", "{eq}`eq-posterior-variance`"),
        (
            "posterior_log_variance_clipped[t - 1]",
            "torch.clamp(beta_tilde[t], min=1e-20).log()",
            "The variance is clipped, because 0 has no logarithm.",
        ),
    ),
    give_tables,
)


@row(
    "eq-linear-schedule",
    f"{LUCID}: linear_beta_schedule",
    "`linear_beta_schedule(1000)[t - 1]`",
    FROM_0,
    "beta[t]",
    equal=EXACT,
)
def lucid_beta():
    return lucid().linear_beta_schedule(T)[1:], linear_schedule().beta[1:T], {"t": torch.arange(2, T + 1)}


@row(
    "eq-linear-schedule",
    f"{LUCID}: linear_beta_schedule",
    "`linear_beta_schedule(200)`",
    "own rule",
    "linear_schedule(200, 5e-4, 0.1).beta[1:]",
    "both ends are multiplied by 1000 / T, so that fewer steps add about the same noise",
    equal=EXACT,
)
def lucid_beta_200():
    return lucid().linear_beta_schedule(200), linear_schedule(200).beta[1:], {}


@row(
    "eq-cosine-schedule",
    f"{LUCID}: cosine_beta_schedule",
    "`cosine_beta_schedule(1000)[t - 1]`",
    FROM_0,
    "beta[t]",
    equal=EXACT,
)
def lucid_cosine():
    schedule = cosine_schedule()
    names = {"schedule": schedule, "t": torch.arange(2, T + 1)}
    return lucid().cosine_beta_schedule(T)[1:], schedule.beta[1:T], names


@row(
    "eq-linear-schedule",
    f"{CLASS}.__init__",
    "`sigmoid_beta_schedule(1000)`, the default",
    NO_COUNTERPART,
    "Schedule(torch.cat([0 * betas[:1], betas])).alpha_bar[1:]",
    "a sigmoid; copy their betas",
    equal=EXACT,
)
def lucid_default_schedule():
    betas = lucid().sigmoid_beta_schedule(T)
    return (1 - betas).cumprod(0), linear_schedule().alpha_bar[1:], {"betas": betas}


def at_times(method, function, *names):
    """Their method and our function at the same index, our t, and the images that both are given, by these names."""
    index, (first, second) = TIMES[:-1], (x[:-1] for x in draw(2))
    named = dict(zip(names, (first, second), strict=True))
    theirs, ours = method(first, index, second), function(linear_schedule(), first, index, second)
    return theirs, ours, {**named, "t": index + 1}


@row(
    "eq-forward-closed",
    f"{CLASS}.q_sample",
    "`q_sample(x_start, t - 1, noise)`",
    FROM_0,
    "q_sample(schedule, x_start, t, noise)",
)
def lucid_q_sample():
    return at_times(diffusion().q_sample, q_sample, "x_start", "noise")


@row(
    "eq-x0-from-z",
    f"{CLASS}.predict_start_from_noise",
    "`predict_start_from_noise(x_t, t - 1, noise)`",
    FROM_0,
    "predict_x_0(schedule, x_t, t, noise)",
)
def lucid_x_0():
    return at_times(diffusion().predict_start_from_noise, predict_x_0, "x_t", "noise")


@row(
    "eq-z-from-x0",
    f"{CLASS}.predict_noise_from_start",
    "`predict_noise_from_start(x_t, t - 1, x0)`",
    FROM_0,
    "predict_z(schedule, x_t, t, x0)",
)
def lucid_z():
    return at_times(diffusion().predict_noise_from_start, predict_z, "x_t", "x0")


@row(
    "eq-v", f"{CLASS}.predict_v", "`predict_v(x_start, t - 1, noise)`", FROM_0, "velocity(schedule, x_start, t, noise)"
)
def lucid_v():
    return at_times(diffusion().predict_v, velocity, "x_start", "noise")


@row(
    "eq-x0-from-v",
    f"{CLASS}.predict_start_from_v",
    "`predict_start_from_v(x_t, t - 1, v)`",
    FROM_0,
    "x_0_from_v(schedule, x_t, t, v)",
)
def lucid_x_0_from_v():
    return at_times(diffusion().predict_start_from_v, x_0_from_v, "x_t", "v")


def posterior_of_lucid(part):
    method = diffusion().q_posterior
    both = lambda x_t, t, x_0: method(x_0, x_t, t)[part], lambda *given: posterior(*given)[part]
    return at_times(*both, "x_t", "x_start")


@row(
    "eq-posterior-mean",
    f"{CLASS}.q_posterior",
    "`q_posterior(x_start, x_t, t - 1)[0]`",
    FROM_0,
    "posterior(schedule, x_t, t, x_start)[0]",
    "they give `x_start` first, we give `x_t` first",
)
def lucid_posterior_mean():
    return posterior_of_lucid(0)


@row(
    "eq-posterior-variance",
    f"{CLASS}.q_posterior",
    "`q_posterior(x_start, x_t, t - 1)[1]`",
    FROM_0,
    "posterior(schedule, x_t, t, x_start)[1]",
)
def lucid_posterior_variance():
    return posterior_of_lucid(1)


@row(
    "eq-ddpm-step",
    f"{CLASS}.p_sample",
    "`p_sample(x_t, t - 1)`",
    translation="ddpm_step(schedule, x_t, t, t - 1, z_hat, noise)",
)
def lucid_step():
    x_t, t = draw(1)[0], 500
    torch.manual_seed(SEED)
    theirs, _ = diffusion().p_sample(x_t, t - 1)
    z_hat = Network()(x_t, torch.full((len(x_t),), t))
    return theirs, None, {"x_t": x_t, "t": t, "z_hat": z_hat, "noise": noise_like(x_t)}


def walk_of_lucid(steps, **options):
    """Their DDIM from x_T to x_0, the times at which it asks the network, and the names of our walk."""
    other = diffusion(sampling_timesteps=steps, auto_normalize=False, **options)
    torch.manual_seed(SEED)
    theirs = other.sample(batch_size=6)
    return theirs, torch.tensor(other.model.asked), {"net": Network(), "shape": theirs.shape, "partial": partial}


@row(
    "eq-ddim-still",
    f"{CLASS}.ddim_sample",
    "`ddim_sample(shape)` with ten steps",
    translation="last(sample(net, respace(schedule, 10), shape, step=ddim_step))[1]",
    equal=1e-4,
)
def lucid_ddim():
    theirs, _, names = walk_of_lucid(10)
    return theirs, None, names


@row(
    "eq-ddim-sigma",
    f"{CLASS}.ddim_sample",
    "`ddim_sample(shape)` with two steps and `ddim_sampling_eta=1.0`",
    translation="last(sample(net, respace(schedule, 2), shape, step=partial(ddim_step, eta=1)))[1]",
    equal=1e-4,
)
def lucid_ddim_eta():
    theirs, _, names = walk_of_lucid(2, ddim_sampling_eta=1.0)
    return theirs, None, names


@row(
    "eq-trailing",
    f"{CLASS}.ddim_sample",
    "times of `ddim_sample` with 30 steps, plus 1",
    "own rule",
    "torch.arange(30, 0, -1) * T // 30",
    "where 30 does not divide 1000, they cut the fraction off, and we round",
    equal=EXACT,
)
def lucid_times():
    _, asked, _ = walk_of_lucid(30)
    return asked, respace(linear_schedule(), 30).times[1:].flip(0), {}


def losses_of_lucid(objective):
    """Their loss, and our simple loss with the names that it is given."""
    x_0, z = draw(2)
    names = {"net": Network(), "x_0": x_0, "t": TIMES, "z": z}
    theirs = diffusion(objective=objective).p_losses(x_0, TIMES - 1, noise=z)
    return theirs, ddpm_loss(names["net"], linear_schedule(), x_0, TIMES, z), names


@row(
    "eq-simple-loss",
    f"{CLASS}.p_losses",
    '`objective="pred_noise"`',
    translation="ddpm_loss(net, schedule, x_0, t, z)",
    equal=1e-4,
)
def lucid_loss():
    theirs, _, names = losses_of_lucid("pred_noise")
    return theirs, None, names


@row(
    "eq-simple-loss",
    f"{CLASS}.p_losses",
    '`objective="pred_v"`, the default',
    "target",
    'ddpm_loss(z_model(net, schedule, "v"), schedule, x_0, t, z)',
    "the error of `v`, weighted so that it is that of `z`",
    equal=1e-4,
)
def lucid_loss_v():
    return losses_of_lucid("pred_v")


@row(
    "eq-simple-loss",
    f"{CLASS}.p_losses",
    '`objective="pred_x0"`',
    "target",
    'ddpm_loss(z_model(net, schedule, "x_0"), schedule, x_0, t, z)',
    "the error of `x_0`, weighted by the SNR, so that it is that of `z`",
    equal=1e-4,
)
def lucid_loss_x_0():
    return losses_of_lucid("pred_x0")


@row(
    "eq-time-embedding",
    f"{LUCID}: SinusoidalPosEmb",
    "`SinusoidalPosEmb(width)(position)`",
    translation="time_embedding(position, width)",
    equal=1e-4,
)
def lucid_embedding():
    return lucid().SinusoidalPosEmb(32)((TIMES - 1).float()), None, {"position": TIMES - 1, "width": 32}


@row(
    "eq-forward-closed",
    f"{CLASS}.forward",
    "`normalize(img)`",
    "own rule",
    "2 * img - 1",
    "images are expected in [0, 1] and scaled inside",
    equal=EXACT,
)
def lucid_range():
    raw = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    img = raw.float() / 255
    return diffusion().normalize(img), img, {"img": img}


@row(
    "eq-ema-warmup",
    "ema_pytorch.py: EMA.get_current_decay (ema-pytorch)",
    "`EMA(model, beta=0.995)`, as in their `Trainer`",
    "warm-up",
    "min(0.995, 1 - (step - 100) ** (-2 / 3)) if step > 100 else 0",
    "the weights are copied for 100 steps; then 1 minus a power of the step, up to 0.995, which is reached at step "
    "2,929",
    equal=1e-6,
)
def lucid_ema():
    average = import_peer("ema_pytorch").EMA(nn.Linear(1, 1), beta=0.995)
    steps, theirs = range(1, 4000, 7), []
    for k in steps:
        average.step.fill_(k)
        theirs.append(average.get_current_decay())
    return torch.tensor(theirs), torch.tensor([ema_decay(k, 0.995) for k in steps]), {"step": steps}


@row(
    "eq-ema",
    "ema_pytorch.py: EMA.update (ema-pytorch)",
    "`EMA(model, beta=0.995).update()`",
    "warm-up",
    "average(weights, lambda k: min(0.995, 1 - max(1, k - 100) ** (-2 / 3)) if k % 10 == 1 else 1)",
    "the same average with their decay, which copies the weights where it is 0 and leaves the average where it is 1; "
    "4,000 steps",
    equal=1e-5,
)
def lucid_average():
    weights, model = walk_of_weight(4000), nn.Linear(1, 1, bias=False, dtype=torch.float64)
    nn.init.constant_(model.weight, weights[0].item())
    theirs = import_peer("ema_pytorch").EMA(model, beta=0.995)
    for weight in weights[1:].tolist():
        nn.init.constant_(model.weight, weight)
        theirs.update()
    return theirs.ema_model.weight, average(weights, lambda k: ema_decay(k, 0.995)), {"weights": weights}


def guide_by_lucid(**options):
    module = import_peer("denoising_diffusion_pytorch.classifier_free_guidance")
    z_c, z_none, _ = draw()

    def forward(cond_drop_prob):
        return z_none if cond_drop_prob else z_c

    return module.Unet.forward_with_cond_scale(SimpleNamespace(forward=forward), cond_scale=3.0, **options)[0]


GUIDES = "classifier_free_guidance.py: Unet.forward_with_cond_scale"


@row(
    "eq-guidance-forms",
    GUIDES,
    "`cond_scale` with `remove_parallel_component=False`",
    "w + 1",
    "guided(model, cond_scale - 1, none)(x_t, t, c)",
)
def lucid_guidance():
    names = {**give_guidance(), "cond_scale": 3.0}
    return guide_by_lucid(remove_parallel_component=False), guide(3.0), names


@row(
    "eq-guidance",
    GUIDES,
    "`cond_scale` with `remove_parallel_component=True`, the default",
    "own rule",
    "guided(model, w, none)(x_t, t, c) - w * along",
    "`along` is the part of the difference parallel to the estimate with the label, and `w` is `cond_scale - 1`",
    equal=1e-4,
)
def lucid_guidance_default():
    return guide_by_lucid(), guide(2.0), remove_part(2.0)


def remove_part(w):
    """What the translation of the guidance without the parallel part needs."""
    z_c, z_none, _ = draw()
    gap, along = (z_c - z_none).flatten(1).double(), z_c.flatten(1).double()
    part = (gap * along).sum(1, True) / along.square().sum(1, True) * along
    return {**give_guidance(), "w": w, "along": part.reshape(z_c.shape)}


@row(
    "eq-guidance",
    "classifier_free_guidance.py: Unet.forward_with_cond_scale",
    "`cond_scale` with `rescaled_phi=0.7`, as `sample` calls it",
    "own rule",
    "0.7 * spread(z_c) / spread(full) * full + 0.3 * full",
    "`full` is the translation of the line above, `z_c` the estimate with the label, and `spread` the standard "
    "deviation of each image",
    equal=1e-4,
)
def lucid_guidance_rescaled():
    return guide_by_lucid(rescaled_phi=0.7), guide(2.0), rescale(2.0)


def rescale(w):
    """What the translation of the rescaled guidance needs."""
    full = translate(ROWS["lucid_guidance_default"].translation, remove_part(w)).double()
    return {"full": full, "z_c": draw()[0].double(), "spread": lambda x: x.std((1, 2, 3), keepdim=True)}


@row(
    "eq-guidance",
    "classifier_free_guidance.py: GaussianDiffusion.p_sample",
    "`p_sample(x_t, t - 1, c)`",
    "own rule",
    "ddpm_step(schedule, x_t, t, t - 1, z_hat, noise)",
    "`z_hat` is the estimate of the line above with their default `cond_scale=6`; before the translation, ours has the "
    "guided estimate with `w = 5`",
    equal=1e-4,
)
def lucid_guided_step():
    module = import_peer("denoising_diffusion_pytorch.classifier_free_guidance")
    z_c, z_none, x_t = draw()

    class Guided(Network):
        random_or_learned_sinusoidal_cond = False
        forward_with_cond_scale = module.Unet.forward_with_cond_scale

        def forward(self, *_, cond_drop_prob):
            return z_none if cond_drop_prob else z_c

    diffusion = module.GaussianDiffusion(Guided(), image_size=4, timesteps=T, beta_schedule="linear")
    noise, schedule = noise_like(x_t), linear_schedule()
    torch.manual_seed(SEED)
    theirs = diffusion.p_sample(x_t, 499, torch.ones(len(x_t), dtype=torch.int64))[0]
    z_hat = translate(ROWS["lucid_guidance_rescaled"].translation, rescale(5.0))
    names = {"x_t": x_t, "t": 500, "z_hat": z_hat, "noise": noise}
    return theirs, ddpm_step(schedule, x_t, 500, 499, guide(5.0), noise), names
