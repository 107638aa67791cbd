"""Rows of azula."""

import math

import torch
from torch import nn

from ddpm_lite import cosine_schedule, ddim_step, linear_schedule, respace
from ddpm_lite.condition import guided
from ddpm_lite.process import ddpm_loss, q_sample, x_0_from_v
from ddpm_lite.schedule import Schedule
from libraries.row import (
    NO_COUNTERPART,
    SEED,
    STEPS,
    TIMES,
    Network,
    Step,
    T,
    draw,
    import_peer,
    name_step,
    noise_like,
    rows_of,
)

row = rows_of("azula")


def azula(name):
    return import_peer(f"azula.{name}")


def azula_denoiser(net):
    """A network that predicts z, as a denoiser of theirs, which predicts x_0; in float64."""
    return import_peer("libraries.wrap_azula").NoiseDenoiser(net)


def weights_of_azula():
    """Our schedule under their interface: t in [0, 1] gives the weights of image and noise."""
    return import_peer("libraries.wrap_azula").Weights()


def step_of_azula(name, t=500, s=480, **options):
    x, schedule, net = draw(1, torch.float64)[0], linear_schedule(), Network()
    sampler = getattr(azula("sample"), name)(azula_denoiser(net), silent=True, **options)
    place_t, place_s = (torch.tensor(k / T, dtype=torch.float64) for k in (t, s))
    torch.manual_seed(SEED)
    theirs = sampler.step(x, place_t, place_s)
    torch.manual_seed(SEED)
    return theirs, (schedule, x, t, s, net(x, torch.full((len(x),), t)), torch.randn_like(x))


def give_denoiser():
    """Our stand-in for a network as a denoiser of theirs, with our schedule under their interface."""
    return {"denoiser": azula_denoiser(Network())}


STEPS["azula"] = Step(
    """\
from azula.sample import DDPMSampler

sampler = DDPMSampler(denoiser)
time, time_s = torch.tensor([t / T, (t - 1) / T])
alpha_t, sigma_t = denoiser.schedule(time)
alpha_s, _ = denoiser.schedule(time_s)
mean = denoiser(x_t, time).mean
""",
    (
        ("alpha_t ** 2", "schedule.alpha_bar[t]", "Their `alpha` is the root of this book's `alpha_bar`."),
        ("1 - (alpha_t / alpha_s) ** 2", "schedule.beta[t]", "Their schedules have no betas."),
        ("sigma_t / alpha_t", "schedule.noise_level[t]", "Their `sigma` is the weight of the noise in `x_t`."),
        (
            "mean",
            "predict_x_0(schedule, x_t, t, z_hat)",
            "A denoiser answers with a distribution; its mean is the image.",
        ),
        ("(x_t - alpha_t * mean) / sigma_t", "z_hat", "They give no noise; it follows from the mean."),
        (
            "sampler.step(x_t, time, time_s)",
            "ddpm_step(schedule, x_t, t, t - 1, z_hat, noise, clip=False)",
            "Times are fractions of `T`. Nothing is clipped.",
        ),
    ),
    give_denoiser,
)


@row(
    "eq-linear-schedule",
    "noise.py: VPSchedule",
    "`VPSchedule()`",
    NO_COUNTERPART,
    "Schedule(torch.cat([0 * alpha[:1], 1 - (alpha[1:] / alpha[:-1]) ** 2])).alpha_bar",
    "the logarithm of `alpha` is a multiple of the squared time; copy its numbers, also those at t = 0",
)
def azula_schedule():
    alpha = azula("noise").VPSchedule().alpha(torch.arange(T + 1, dtype=torch.float64) / T)
    return alpha.square(), linear_schedule().alpha_bar, {"alpha": alpha}


@row(
    "eq-alpha-bar",
    "noise.py: VPSchedule",
    "`VPSchedule().alpha(t / T)`",
    "name",
    "alpha_bar[t].sqrt()",
    "their `alpha` is the square root of `alpha_bar`, here in a `Schedule` with the numbers of `VPSchedule`",
    equal=1e-9,
)
def azula_alpha():
    """The weight of the image in the x_t that their loss gives to the network, beside our alpha_bar."""
    x_0, vp = draw(1, torch.float64)[0], azula("noise").VPSchedule()
    # The same noise twice: the difference is the image's part.
    weights = ((see_input(vp, x_0) - see_input(vp, 0 * x_0)) * x_0).sum((1, 2, 3)) / x_0.square().sum((1, 2, 3))
    schedule = take_over(vp, lambda alpha, _: alpha.square())
    return weights, schedule.alpha_bar[TIMES], {"schedule": schedule, "t": TIMES}


def see_input(theirs, x_0):
    """The x_t that their loss gives to the network."""
    seen = []
    model = azula("denoise").SimpleDenoiser(nn.Identity(), theirs)
    model.forward = lambda x_t, t: seen.append(x_t) or azula("denoise").DiracPosterior(mean=x_t)
    torch.manual_seed(SEED)
    model.loss(x_0, TIMES.double() / T)
    return seen[0]


def take_over(theirs, find_alpha_bar):
    """Our schedule with their numbers from t = 1 on: `find_alpha_bar` gives them from their two weights."""
    alpha_bar = find_alpha_bar(*theirs(torch.arange(T + 1, dtype=torch.float64) / T))
    alpha_bar[0] = 1  # theirs may begin with a little noise
    return Schedule(torch.cat([torch.zeros(1, dtype=torch.float64), 1 - alpha_bar[1:] / alpha_bar[:-1]]))


@row(
    "eq-noise-balance",
    "noise.py: VPSchedule",
    "`VPSchedule().sigma(t / T)`",
    "own rule",
    "(one_minus_alpha_bar[t] + 1e-6).sqrt()",
    "`one_minus_alpha_bar` is that of a `Schedule` with the numbers of `VPSchedule`; theirs adds a constant under the "
    "root, so `x_t` has a little more than variance 1; the ratios to ours are compared, at the first eight times",
    equal=1e-9,
)
def azula_sigma():
    vp, t = azula("noise").VPSchedule(), torch.arange(1, 9)
    schedule = take_over(vp, lambda alpha, _: alpha.square())
    ours = schedule.one_minus_alpha_bar[t].sqrt()
    return vp.sigma(t.double() / T), ours, {"schedule": schedule, "t": t}, lambda x: x / ours


@row(
    "eq-trailing",
    "sample.py: Sampler.timesteps",
    "`timesteps` of 50 steps",
    "clock",
    "respace(schedule, 50).times.flip(0) / T",
    "time goes from 1 to 0",
    equal=1e-6,
)
def azula_times():
    theirs = azula("sample").DDIMSampler(azula_denoiser(None), steps=50).timesteps
    ours = respace(linear_schedule(), 50).times.flip(0)
    return theirs, ours, {}


@row(
    "eq-ddpm-step",
    "sample.py: DDPMSampler.step",
    "`DDPMSampler.step(x_t, t / T, s / T)`, one step",
    translation="ddpm_step(schedule, x_t, t, t - 1, z_hat, noise, clip=False)",
    equal=1e-9,
)
def azula_ddpm():
    theirs, given = step_of_azula("DDPMSampler", 500, 499)
    return theirs, None, name_step(given)


@row(
    "eq-ddim-step",
    "sample.py: DDPMSampler.step",
    "`DDPMSampler.step(x_t, t / T, s / T)`, a longer step",
    "option",
    "ddim_step(schedule, x_t, t, s, z_hat, noise, eta=1, clip=False)",
    "their DDPM may go to any `s`, which is DDIM with `eta=1`",
    equal=1e-9,
)
def azula_ddpm_leap():
    theirs, given = step_of_azula("DDPMSampler")
    return theirs, ddim_step(*given, clip=False), name_step(given)


@row(
    "eq-ddim-still",
    "sample.py: DDIMSampler.step",
    "`DDIMSampler(denoiser)`",
    translation="ddim_step(schedule, x_t, t, s, z_hat, noise, clip=False)",
    equal=1e-9,
)
def azula_ddim():
    theirs, given = step_of_azula("DDIMSampler")
    return theirs, None, name_step(given)


@row(
    "eq-ddim-sigma",
    "sample.py: DDIMSampler.step",
    "`DDIMSampler(denoiser, eta=0.25)`",
    "name",
    "ddim_step(schedule, x_t, t, s, z_hat, noise, eta=eta ** 0.5, clip=False)",
    "their `eta` multiplies the variance, ours the standard deviation",
    equal=1e-9,
)
def azula_eta():
    theirs, given = step_of_azula("DDIMSampler", eta=0.25)
    return theirs, ddim_step(*given, eta=0.25, clip=False), {**name_step(given), "eta": 0.25}


@row(
    "eq-ddim-euler",
    "sample.py: EulerSampler.step",
    "`EulerSampler(denoiser)`",
    translation="ddim_step(schedule, x_t, t, s, z_hat, noise, clip=False)",
    equal=1e-9,
)
def azula_euler():
    theirs, given = step_of_azula("EulerSampler")
    return theirs, None, name_step(given)


@row(
    "eq-guidance",
    "guidance/cfg.py: CFGDenoiser",
    "`guidance`",
    "target",
    "predict_x_0(schedule, x_t, t, guided(model, w, none)(x_t, t, c))",
    "the guided `x_0` is returned, not the guided `z`; one follows from the other, because the weights `1 + w` and "
    "`-w` add up to 1",
    equal=1e-9,
)
def azula_guidance():
    x, t = draw(1, torch.float64)[0], torch.full((len(TIMES),), 500)

    def net(x, t, context):
        return Network()(x, t) * torch.as_tensor(1.0 + context, dtype=x.dtype).reshape(-1, 1, 1, 1)

    cfg = azula("guidance.cfg").CFGDenoiser(azula_denoiser(net))
    theirs = cfg(
        x, torch.tensor(0.5, dtype=torch.float64), positive={"label": 1}, negative={"label": 0}, guidance=3.0
    ).mean
    ones = torch.ones(len(x), dtype=torch.int64)
    return theirs, guided(net, 3.0, 0)(x, t, ones), {"model": net, "w": 3.0, "none": 0, "x_t": x, "t": t, "c": ones}


@row(
    "eq-weighted-noise-loss",
    "denoise.py: KarrasDenoiser.loss",
    "`KarrasDenoiser.loss(x, t / T)`",
    "target",
    "ddpm_loss(net, schedule, x_0, t, z, weight=1 / alpha_bar)",
    "the error of `x_0` times `snr + 1`, which is that of `v`",
    equal=1e-6,
)
def azula_loss():
    return compare_losses("KarrasDenoiser")


def compare_losses(name):
    """The loss of one of their denoisers, with our network and schedule, and our simple loss with the same noise."""
    x_0, schedule, net = draw(1, torch.float64)[0], linear_schedule(), Network()
    torch.manual_seed(SEED)
    theirs = getattr(azula("denoise"), name).loss(azula_denoiser(net), x_0, TIMES / T)
    z = noise_like(x_0)
    return theirs, ddpm_loss(net, schedule, x_0, TIMES, z), {"net": net, "x_0": x_0, "t": TIMES, "z": z}


@row(
    "eq-weighted-noise-loss",
    "denoise.py: SimpleDenoiser.loss",
    "`SimpleDenoiser.loss(x, t / T)`",
    "target",
    "ddpm_loss(net, schedule, x_0, t, z, weight=1 / alpha_bar)",
    "the error of `x_0` times `snr + 1`, but at most `max_weight`, 10,000, which is the weight of our t = 1",
    equal=1e-6,
)
def azula_simple_loss():
    return compare_losses("SimpleDenoiser")


@row(
    "eq-forward-closed",
    "denoise.py: SimpleDenoiser.loss",
    "what the network gets in `SimpleDenoiser.loss`",
    translation="q_sample(schedule, x_0, t, z)",
    equal=1e-9,
)
def azula_q_sample():
    x_0, seen = draw(1, torch.float64)[0], []
    net = nn.Linear(1, 1).double()
    net.forward = lambda x, c: seen.append(x) or x
    torch.manual_seed(SEED)
    azula("denoise").SimpleDenoiser(net, weights_of_azula()).loss(x_0, TIMES.double() / T)
    return seen[0], None, {"x_0": x_0, "t": TIMES, "z": noise_like(x_0)}


@row(
    "eq-forward-closed",
    "noise.py: RectifiedSchedule",
    "`x_t` with `RectifiedSchedule()`",
    "own rule",
    "q_sample(schedule, x_0, t, z) * c.sqrt()",
    "`c` is `alpha_t ** 2 + sigma_t ** 2`, in the shape of images; `schedule` is a `Schedule` whose `alpha_bar` is "
    "`alpha_t ** 2 / c`",
    equal=1e-9,
)
def azula_rectified():
    """The x_t that their loss makes, and that of a schedule of ours with the same noise levels."""
    x_0, rectified = draw(1, torch.float64)[0], azula("noise").RectifiedSchedule()
    schedule = take_over(rectified, lambda alpha, sigma: alpha.square() / (alpha.square() + sigma.square()))
    z = noise_like(x_0)
    alpha, sigma = rectified(TIMES.double() / T)
    c = (alpha**2 + sigma**2).reshape(-1, 1, 1, 1)
    names = {"schedule": schedule, "x_0": x_0, "t": TIMES, "z": z, "c": c}
    return see_input(rectified, x_0), q_sample(schedule, x_0, TIMES, z), names


@row(
    "eq-cosine-schedule",
    "noise.py: CosineSchedule",
    "`CosineSchedule().alpha(t / T)`",
    "own rule",
    "torch.cos(end * t / T)",
    "before the translation, ours is `alpha_bar.sqrt()` of `cosine_schedule`; theirs has no 0.008 in the angle, "
    "and `end` is the arccosine of 0.001",
)
def azula_cosine():
    t = torch.arange(T + 1)
    theirs = azula("noise").CosineSchedule().alpha(t.double() / T)
    return theirs, cosine_schedule().alpha_bar.sqrt(), {"t": t, "end": math.acos(1e-3)}


@row(
    "eq-x0-from-v",
    "denoise.py: KarrasDenoiser.forward",
    "`KarrasDenoiser(net, schedule)(x_t, t / T).mean`",
    "own rule",
    "x_0_from_v(schedule, x_t, t, -answer)",
    "with our schedule its network predicts `-v`",
    equal=1e-9,
)
def azula_v():
    x_t, answer = draw(2, torch.float64)
    net = nn.Linear(1, 1).double()
    net.forward = lambda x, c: answer
    theirs = azula("denoise").KarrasDenoiser(net, weights_of_azula())(x_t, TIMES.double() / T).mean
    return theirs, x_0_from_v(linear_schedule(), x_t, TIMES, answer), {"x_t": x_t, "t": TIMES, "answer": answer}


@row(
    "eq-time-embedding",
    "nn/layers.py: SineEncoding",
    "`SineEncoding(width)(position)`",
    translation="time_embedding(position, width)",
    equal=1e-4,
)
def azula_embedding():
    return azula("nn.layers").SineEncoding(32)((TIMES - 1).float()), None, {"position": TIMES - 1, "width": 32}


@row(
    "eq-snr",
    "denoise.py: SimpleDenoiser.forward",
    "what the network gets besides `x_t`, also from `KarrasDenoiser`",
    "clock",
    "noise_level[t].log()",
    "the network gets the logarithm of the noise level",
    equal=1e-9,
)
def azula_told():
    told = []
    net = nn.Linear(1, 1).double()
    net.forward = lambda x, c: told.append(c) or x
    for denoiser in (azula("denoise").SimpleDenoiser, azula("denoise").KarrasDenoiser):
        denoiser(net, weights_of_azula())(draw(1, torch.float64)[0], TIMES / T)
    return torch.cat(told), TIMES.double().repeat(2), {"t": TIMES.repeat(2)}
