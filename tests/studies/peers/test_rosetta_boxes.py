"""The boxes of "The checks in detail": calls, limits and targets are what the libraries give."""

import dataclasses
import itertools
import re
from functools import partial
from types import SimpleNamespace
from unittest.mock import Mock, patch

import pytest
import rosetta
import torch
from libraries.denoising_diffusion_pytorch import walk_of_lucid
from libraries.diffusers_options import DEVIATION, answer_exactly
from libraries.row import (
    STEP_TIME,
    STEPS,
    Network,
    Step,
    T,
    compute_step,
    draw,
    import_peer,
)
from rosetta_pages import find_cell

from ddpm_lite import (
    ddim_step,
    ddpm_step,
    linear_schedule,
    precondition,
)
from ddpm_lite.data import load_digits
from ddpm_lite.files.weights import load_pretrained
from ddpm_lite.process import ddpm_loss, predict_x_0, q_sample, velocity

CALLS = {  # whose method a call of the chapter's box is; what it gives in ours, for the checks 3, 6 and 7
    "diffusers": ("scheduler", "q_sample(schedule, x_0, t, z)", True, "{step}"),
    "denoising-diffusion-pytorch": ("diffusion", "q_sample(schedule, x_0, t, z)", True, "{step}"),
    "smalldiffusion": ("", "x_0 + schedule.noise_level[t] * z", False, "{still} / schedule.alpha_bar[t - 1].sqrt()"),
    "azula": ("", "q_sample(schedule, x_0, t, z)", False, "{step}"),
}


def find_calls():
    """The box below the list of checks: {library: {number of the check: code}}."""
    cell, found = find_cell("checks-detail"), {}
    for line in cell["source"]:
        if row := re.match(r"\| (?:\*\*(.*):\*\* )?(\d)\. .* \| .*`(.*)` \|$", line):
            library = row[1] or library
            found.setdefault(library, {})[int(row[2])] = row[3]
    return found


@pytest.mark.parametrize("library", rosetta.LIBRARIES)
def test_calls_of_the_box_give_our_numbers(library):
    """The calls for the checks of the image, the estimate and the next state, run as they are printed."""
    owner, noisy, clips, state = CALLS[library]
    clip = "" if clips else ", clip=False"
    still = f"ddim_step(schedule, x_t, t, t - 1, z_hat, noise{clip})"
    state = state.format(still=still, step=f"ddpm_step(schedule, x_t, t, t - 1, z_hat, noise{clip})")
    estimate = "predict_x_0(schedule, x_t, t, z_hat)" + ".clamp(-1, 1)" * clips
    said = find_calls()[library]
    calls = {check: f"{owner}.{code}" if owner else code for check, code in said.items() if check in (3, 6, 7)}
    lines = tuple((calls[check], ours, "") for check, ours in ((3, noisy), (6, estimate), (7, state)))
    step = STEPS[library]
    setup = step.setup + "from ddpm_lite import ddim_step\n"
    for theirs, ours in compute_step(dataclasses.replace(step, setup=setup, lines=lines)):
        assert rosetta.off(theirs, ours) < 1e-5


LOSSES = {  # a line of the setup; our call, which the box or the table of losses names
    "diffusers": (
        "k, add_noise, z_hat = torch.full((len(x_0),), t - 1), scheduler.add_noise, None",
        "ddpm_loss(net, schedule, x_0, k + 1, z)",
    ),
    "denoising-diffusion-pytorch": (
        "images, forward = (x_0 + 1) / 2, diffusion.forward",
        "ddpm_loss(net, schedule, 2 * images - 1, k + 1, z)",
    ),
    "smalldiffusion": ("get_loss = model.get_loss", "ddpm_loss(net, schedule, x_0, torch.full((len(x_0),), t), z)"),
    "azula": (
        "loss, time = KarrasDenoiser(v_net, denoiser.schedule).loss, time.expand(len(x_0))",
        "ddpm_loss(net, schedule, x_0, torch.full((len(x_0),), t), torch.randn_like(x_0),"
        " weight=1 / schedule.alpha_bar)",
    ),
}


@pytest.mark.parametrize("library", rosetta.LIBRARIES)
def test_losses_of_the_box_are_called_as_printed(library):
    step, net = STEPS[library], Network()

    class NetworkOfV(torch.nn.Module):
        """What their denoiser expects, minus `v`, from our network of `z`."""

        def forward(self, x_t, *_, **__):
            z_hat = net(x_t, torch.full((len(x_t),), STEP_TIME))
            x_0_hat = predict_x_0(linear_schedule(), x_t, STEP_TIME, z_hat)
            return -velocity(linear_schedule(), x_0_hat, STEP_TIME, z_hat)

    def give():
        given = {"net": net, "ddpm_loss": ddpm_loss, "v_net": NetworkOfV(), "mse_loss": torch.nn.functional.mse_loss}
        given |= {"unet": lambda x, k: SimpleNamespace(sample=net(x, k + 1))}
        return step.given() | given | {"KarrasDenoiser": import_peer("azula.denoise").KarrasDenoiser}

    prepare, ours = LOSSES[library]
    calls = find_calls()[library]
    ((theirs, right),) = compute_step(Step(f"{step.setup}\n{prepare}", ((calls[5], ours, ""),), give))
    assert rosetta.off(theirs, right) < 1e-5


def test_what_is_drawn_or_exchanged_inside_the_loss_of_lucid():
    """An offset noise changes the loss from call to call; exchanged noises change the noisy images of a batch."""
    step = STEPS["denoising-diffusion-pytorch"]
    options = ("", ", offset_noise_strength=0.1", ", immiscible=True")
    gaps = {}
    for option in options:
        setup = step.setup.replace("image_size=4", f"image_size=4{option}") + "torch.manual_seed(1)\n"
        setup += "one, two = (diffusion.forward(x_0, times=k, noise=z) for _ in range(2))\n"
        lines = (
            ("one", "two", ""),
            ("diffusion.q_sample(x_0, k, z)", "q_sample(schedule, x_0, t, z)", ""),
            ("diffusion.q_sample(x_0[:1], k[:1], z[:1])", "q_sample(schedule, x_0[:1], t, z[:1])", ""),
        )
        sides = compute_step(dataclasses.replace(step, setup=setup, lines=lines))
        gaps[option] = [rosetta.off(*both) > 1e-5 for both in sides]
    assert list(gaps.values()) == [[False] * 3, [True, False, False], [False, True, False]]


def test_range_of_the_images_is_seen_by_the_loss_and_not_by_the_noisy_image():
    """Our images, whose middle is 0, where denoising-diffusion-pytorch expects numbers from 0 to 1."""
    names = {"net": Network(), "ddpm_loss": ddpm_loss}
    step = STEPS["denoising-diffusion-pytorch"]
    lines = (
        ("diffusion.q_sample(x_0, k, z)", "q_sample(schedule, x_0, t, z)", ""),
        ("diffusion.p_losses(x_0, k, noise=z)", "ddpm_loss(net, schedule, x_0, k + 1, z)", ""),
        ("diffusion.forward(x_0, times=k, noise=z)", "ddpm_loss(net, schedule, x_0, k + 1, z)", ""),
    )
    sides = [*compute_step(dataclasses.replace(step, lines=lines, given=lambda: step.given() | names))]
    noisy, inner, outer = (rosetta.off(*both) for both in sides)
    assert max(noisy, inner) < 1e-5
    assert outer > 1e-3


def test_an_answer_of_an_earlier_step_is_seen_in_the_walk_only():
    """smalldiffusion with `gam=2`: the first step and each step made alone are those of `gam=1`."""
    call = re.search(r"`(\[\*samples\(.*?\])`", "".join(find_cell("checks-detail")["source"]))[1]
    step, n = STEPS["smalldiffusion"], 10
    names = step.given()
    exec("from smalldiffusion import ScheduleDDPM, samples", names)
    sigmas = names["ScheduleDDPM"]().sample_sigmas(n)
    names |= {"sigmas": sigmas, "x": draw()[0][:1] * sigmas[0]}
    walk, other = (eval(call, {**names, "gam": gam}) for gam in (1, 2))
    assert rosetta.off(other[0], walk[0]) < 1e-5
    assert rosetta.off(other[1], walk[1]) > 1e-3
    single = re.sub("^next", "", find_calls()["smalldiffusion"][7])
    for i, x in enumerate(other[:-1], start=1):
        alone = {**names, "x": x, "sigma": sigmas[i], "sig_prev": sigmas[i + 1]}
        options = [next(eval(single.replace("xt=x", f"xt=x, gam={gam}"), alone)) for gam in (1, 2)]
        assert torch.equal(*options)
        assert rosetta.off(other[i], options[0]) > 1e-4


@pytest.mark.parametrize("t", [1, 2, 3, 10, 11, 50, 250, 500, 1000])
def test_rounding_of_a_step_of_diffusers_is_below_the_limits(t):
    """The image and the step without noise, and the deviation of the noise: 0.001 up to t = 250, else 0.00001."""
    schedule, scheduler = linear_schedule(), pytest.importorskip("diffusers").DDPMScheduler()
    x_0, z, error = torch.randn(3, 1, 1, 4, 4, generator=torch.Generator().manual_seed(t))
    x_t, z_hat = q_sample(schedule, x_0, t, z), z + 0.01 * error
    with patch("torch.randn", lambda size, **_: torch.zeros(size)):
        theirs = scheduler.step(z_hat, t - 1, x_t).prev_sample
    ours = ddpm_step(schedule, x_t.double(), t, t - 1, z_hat.double(), 0 * z.double())
    gaps = [rosetta.off(theirs, ours), rosetta.off(scheduler.add_noise(x_0, z, torch.tensor([t - 1])), x_t)]
    if t > 1:
        gaps.append(float(scheduler._get_variance(t - 1) / schedule.beta_tilde[t]) ** 0.5 - 1)
    assert max(map(abs, gaps)) < (1e-3 if t <= 250 else 1e-5)


def test_rounding_in_an_estimate_near_noise_is_above_the_limit():
    schedule, scheduler = linear_schedule(), pytest.importorskip("diffusers").DDPMScheduler(clip_sample=False)
    x_0, z = torch.randn(2, 1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    x_t = q_sample(schedule, x_0.clamp(-1, 1), T, z)
    theirs = scheduler.step(z, T - 1, x_t).pred_original_sample
    assert rosetta.off(theirs, predict_x_0(schedule, x_t.double(), T, z.double())) > 1e-5
    assert schedule.alpha_bar[T].item() ** -0.5 == pytest.approx(157, abs=0.5)


@pytest.mark.parametrize("clip", [True, False])
def test_rounding_of_a_whole_walk_is_below_its_limit(clip):
    """A thousand steps of DDPM in float32 as diffusers makes them, and in float64 as ours."""
    schedule, scheduler = linear_schedule(), pytest.importorskip("diffusers").DDPMScheduler(clip_sample=clip)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 1, 8, 8, generator=generator)
    y, gaps = x.double(), []
    for t in range(T, 0, -1):
        noise = torch.randn(x.shape, generator=generator)
        with patch("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, drawn=noise, **__: drawn):
            x = scheduler.step(answer_exactly(x, t - 1), t - 1, x).prev_sample
        y = ddpm_step(schedule, y, t, t - 1, answer_exactly(y, t - 1), noise.double(), clip=clip)
        gaps.append(rosetta.off(x, y))
    assert 1e-5 < max(gaps) < 2e-4


def test_missed_times_hide_in_a_state_and_not_in_an_image():
    """The walk of 50 steps with *linspace* that the last check quotes."""
    scheduler = pytest.importorskip("diffusers").DDIMScheduler(timestep_spacing="linspace", clip_sample=False)
    scheduler.set_timesteps(50)
    times = [*scheduler.timesteps.tolist(), -1]
    assert times[1] - 20 == times[2] + 1
    x = y = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    gaps = []
    for k, to in itertools.pairwise(times):
        x = scheduler.step(answer_exactly(x, k), k, x).prev_sample
        y = ddim_step(linear_schedule(), y, k + 1, to + 1, answer_exactly(y, k), 0 * y, clip=False)
        gaps.append(rosetta.off(x, y))
    assert gaps[1] < 1e-6
    assert gaps[-1] == pytest.approx(0.016, abs=5e-4)


def test_steps_of_ddim_are_those_between_the_states_of_the_box():
    """The line for the states of a walk, run as it is printed, and our step from each to the next."""
    library, n = "denoising-diffusion-pytorch", 10
    (code,) = re.findall("`(states = .*?)`", "".join(find_cell("checks-detail")["source"]))
    step = STEPS[library]
    setup = step.setup.replace("image_size=4", f"image_size=4, sampling_timesteps={n}")
    assert setup != step.setup
    setup += f"from ddpm_lite import ddim_step\nn = {n}\n{code}\ntimes = {find_calls()[library][2]} + 1"
    walk = [*enumerate(range(T, 0, -T // n))]
    ours = "ddim_step(schedule, states[:, {0}], {1}, {1} - T // n, shifted_net(states[:, {0}], k - t + {1}), noise)"
    lines = [(f"states[:, {i + 1}]", ours.format(i, t), "") for i, t in walk]
    lines.append(("times", str([t for _, t in walk]), ""))
    for sides in compute_step(dataclasses.replace(step, setup=setup, lines=tuple(lines))):
        assert rosetta.off(*sides) < 1e-5


@pytest.mark.parametrize("library", rosetta.LIBRARIES)
def test_tables_of_the_box_are_ours(library):
    """The calls for the check of the tables: all entries from our t = 1, or five times where there is no table."""
    ours = {
        "smalldiffusion": "schedule.noise_level[1:]",
        "azula": "schedule.alpha_bar[[1, 2, T // 2, T - 1, T]]",
    }.get(library, "schedule.alpha_bar[1:]")
    owner, call = CALLS[library][0], find_calls()[library][1]
    line = (f"{owner}.{call}" if owner else call, ours, "")
    (sides,) = compute_step(dataclasses.replace(STEPS[library], lines=(line,)))
    assert rosetta.off(*sides) < 1e-5


def test_times_of_the_box_are_those_at_which_the_network_is_asked():
    said, n = {library: calls[2] for library, calls in find_calls().items()}, 30
    _, asked, _ = walk_of_lucid(n)
    assert len(asked) == n
    assert torch.equal(eval(said["denoising-diffusion-pytorch"], {"torch": torch, "T": 1000, "n": n}) + 1, asked)
    scheduler = import_peer("diffusers").DDIMScheduler()
    scheduler.set_timesteps(n)
    assert len(scheduler.timesteps) == n
    levels = import_peer("smalldiffusion").ScheduleDDPM()
    sigmas = eval(f"levels.{said['smalldiffusion']}", {"levels": levels, "n": n})
    assert len(sigmas) == n
    assert sigmas[0] == levels.sigmas[-1]
    sampler = import_peer("azula.sample").DDIMSampler(Mock(), steps=n)
    times = eval(f"sampler.{said['azula']}", {"sampler": sampler})
    assert (len(times), times[0].item()) == (n, 1)


def call_guidance(z_c, z_none, scale):
    """What the calls of the box for check 9 answer: {library: the guided estimate}."""
    said, (x_t,) = {library: calls[9] for library, calls in find_calls().items()}, draw(1)
    names = {"z_c": z_c, "z_none": z_none, "x_t": x_t, "x": x_t, "k": 0, "time": 0, "sigma": torch.tensor(1.0)}
    names |= {"c": torch.ones(len(x_t), dtype=torch.int64), "scale": scale}
    names["ClassifierFreeGuidance"] = import_peer("diffusers.guiders").ClassifierFreeGuidance
    cfg = import_peer("azula.guidance.cfg").CFGDenoiser

    def denoise(x_t, time, label=None):
        return SimpleNamespace(mean=z_none if label is None else z_c)

    names |= {"denoiser": denoise, "CFGDenoiser": lambda one: partial(cfg.forward, SimpleNamespace(denoiser=one))}
    unet = import_peer("denoising_diffusion_pytorch.classifier_free_guidance").Unet
    inner_unet = SimpleNamespace(forward=lambda *_, cond_drop_prob: z_none if cond_drop_prob else z_c)
    mixin = import_peer("smalldiffusion.model").ModelMixin
    both = torch.cat([z_c, z_none])
    small = SimpleNamespace(cond_embed=SimpleNamespace(null_cond=0), predict_eps=lambda *_, **__: both)
    names["predict_eps_cfg"] = partial(mixin.predict_eps_cfg, small)
    names["forward_with_cond_scale"] = partial(
        unet.forward_with_cond_scale, inner_unet, remove_parallel_component=False
    )
    made = {library: eval(code, names) for library, code in said.items()}
    pair = made["denoising-diffusion-pytorch"]
    if scale != 1:
        made["denoising-diffusion-pytorch"], other = pair
        assert torch.equal(other, z_none)
    return made


def test_guidance_of_the_box_is_called_as_printed():
    z_c, z_none, _ = draw()
    assert torch.equal(call_guidance(z_c, z_none, 1)["denoising-diffusion-pytorch"], z_c)
    for library, made in call_guidance(z_c, z_none, 3.0).items():
        weight = 2 if library in ("diffusers", "denoising-diffusion-pytorch") else 3
        assert rosetta.off(made, z_c + weight * (z_c - z_none)) < 1e-5, library


@pytest.mark.parametrize("library", rosetta.LIBRARIES)
@pytest.mark.parametrize("exchanged", [False, True])
def test_one_guided_estimate_shows_the_scale(library, exchanged):
    """The fraction of check 9 at a scale of 2, also with the two answers exchanged or another one without a label."""
    z_c, z_none, other = draw()
    one, two = (z_none, z_c) if exchanged else (z_c, z_none)
    plus_one = library in ("diffusers", "denoising-diffusion-pytorch")
    guided = call_guidance(one, two, 2.0)[library]
    check = "".join(find_cell("checks-detail")["source"]).split("9. **Guidance.**")[1]
    said = re.findall(r"^   - \*(.*):\* ", check, re.M)
    assert said == ["2", "3", "−1 or −2", "not one number"]
    ratio = {(True, False): 2, (False, False): 3, (True, True): -1, (False, True): -2}[plus_one, exchanged]
    assert rosetta.off(guided - z_none, ratio * (z_c - z_none)) < 1e-5
    ratios = (call_guidance(one, other, 2.0)[library] - z_none) / (z_c - z_none)
    assert ratios.std() > 0.1


def test_pixel_of_the_walk_that_is_clipped_once_stays_clipped():
    """So the last step sets it to the limit, whichever noise was kept before."""
    scheduler = import_peer("diffusers").DDIMScheduler()
    scheduler.set_timesteps(50)
    for again in (False, True):
        x, clipped = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 1, 64, 64)
        for k in scheduler.timesteps.tolist():
            out = scheduler.step(answer_exactly(x, k), k, x, use_clipped_model_output=again)
            now = (out.pred_original_sample.abs() == 1).float()
            assert (now >= clipped).all()
            x, clipped = out.prev_sample, now
        assert clipped.sum() > 50


FUNCTIONS = {"denoising-diffusion-pytorch": "randn_like", "azula": "randn_like"}


@pytest.mark.parametrize("library", rosetta.LIBRARIES)
def test_step_without_noise_is_made_as_the_text_says(library):
    """The function that draws the noise is replaced by zeros, and the last line of the step is ours without noise."""
    name = FUNCTIONS.get(library, "randn")

    real = getattr(torch, name)

    def draw_zeros(*shape, **options):
        if len(shape) > 1:  # a call of ours
            return real(*shape, **options)
        return torch.zeros_like(*shape) if name == "randn_like" else torch.zeros(*shape)

    step = STEPS[library]
    ours = step.lines[-1][1].replace(", noise", ", 0 * noise")
    assert ours != step.lines[-1][1]
    still = dataclasses.replace(step, lines=((step.lines[-1][0], ours, ""),))
    (drawn,) = compute_step(still)
    assert rosetta.off(*drawn) > 1e-3
    with patch(f"torch.{name}", draw_zeros):
        (drawn,) = compute_step(still)
    assert rosetta.off(*drawn) < 1e-5


def test_ddim_of_diffusers_is_given_the_noise():
    scheduler, schedule = pytest.importorskip("diffusers").DDIMScheduler(clip_sample=False), linear_schedule()
    scheduler.set_timesteps(1000)
    x_t, z_hat, noise = torch.randn(3, 1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    theirs = scheduler.step(z_hat, 499, x_t, eta=1.0, variance_noise=noise).prev_sample
    assert torch.allclose(theirs, ddpm_step(schedule, x_t, 500, 499, z_hat, noise, clip=False), atol=1e-5)


def find_targets():
    """The numbers of the box for check 4 at t = T and at t = 1, in the order of its targets."""
    box = "".join(find_cell("checks-detail")["source"]).split("how to find the target without an option")[1]
    (code,) = re.findall(r"print `(.*?)`", box)
    assert "| EDM's $F_\\theta$" in box
    printed = re.findall(r"^\| \S.*? \| (−?\d\.\d\d) \| (−?\d\.\d\d) \|$", box, re.M)
    assert len(set(printed)) == len(printed) == 9
    return code, [[float(row[column].replace("−", "-")) for row in printed] for column in (0, 1)]


def list_targets(t, x_0, z):
    """The targets in the order of the box, from an image and a noise, or from a network's estimates of them."""
    schedule = linear_schedule()
    v, nu = velocity(schedule, x_0, t, z), schedule.noise_level[t]
    c_skip, c_out, _ = precondition(nu)
    F = (x_0 - c_skip * (x_0 + nu * z)) / c_out
    return z, -z, x_0, v, -v, -z / schedule.one_minus_alpha_bar[t].sqrt(), z - x_0, x_0 - z, F


@pytest.mark.parametrize(("column", "t"), [(0, T), (1, 1)])
def test_targets_of_the_box_are_told_apart_at_the_ends(column, t):
    """For normal pixels with the exact answers, and for pixels of plus and minus 0.5 with the targets themselves.

    The mean of a target given x_t, times x_t, has the same mean as the target times x_t.
    """
    schedule, (code, numbers) = linear_schedule(), find_targets()
    x = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    z = answer_exactly(x, t - 1).double()
    for answer, said in zip(list_targets(t, predict_x_0(schedule, x, t, z), z), numbers[column], strict=True):
        assert eval(code, {"answer": answer, "x_t": x}).item() == pytest.approx(said, abs=0.006)
    generator = torch.Generator().manual_seed(0)
    x_0 = DEVIATION * (2 * torch.randint(0, 2, (1000, 1), generator=generator).double() - 1)
    z = torch.randn(1000, 1, generator=generator, dtype=torch.float64)
    z, x_0 = torch.cat([z, -z, z, -z]) / z.square().mean().sqrt(), torch.cat([x_0, x_0, -x_0, -x_0])
    x_t = q_sample(schedule, x_0, t, z)
    for answer, said in zip(list_targets(t, x_0, z), numbers[column], strict=True):
        assert eval(code, {"answer": answer, "x_t": x_t}).item() == pytest.approx(said, abs=0.006)


def test_network_of_the_digits_has_about_the_numbers_of_the_box():
    """Those of its noise, and at t = 1 those of all that follows from it; near t = T, its image has large errors."""
    model, schedule = load_pretrained("digits")
    x_0, (code, numbers) = load_digits("test")[0][:64], find_targets()
    z = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(0))
    for said, t in zip(numbers, (T, 1), strict=True):
        x_t = q_sample(schedule, x_0, t, z)
        with torch.no_grad():
            z_hat = model(x_t, torch.full((len(x_t),), t))
        assert eval(code, {"answer": z_hat, "x_t": x_t}).item() == pytest.approx(said[0], abs=0.03)
    answers = list_targets(t, predict_x_0(schedule, x_t, t, z_hat), z_hat)
    found = [eval(code, {"answer": answer, "x_t": x_t}).item() for answer in answers]
    assert found[5] < -1.2
    assert found[:5] + found[6:] == pytest.approx(said[:5] + said[6:], abs=0.03)


def test_a_shift_by_one_is_above_the_limit_where_the_list_is_gone_through():
    """Steps of DDIM by 20 and more between 250 and 500, with random states and answers; later it can be below it."""
    schedule = linear_schedule()

    def shift(t, s, seed):
        x, z_hat = torch.randn(2, 1, 1, 8, 8, generator=torch.Generator().manual_seed(seed)).double()
        x = schedule.alpha_bar[t].sqrt() * x.clamp(-1, 1) + schedule.one_minus_alpha_bar[t].sqrt() * z_hat
        ours, later = (ddim_step(schedule, x, t + k, s + k, z_hat, 0 * x, clip=False) for k in (0, 1))
        return rosetta.off(later, ours)

    least = min(shift(t, t - n, seed) for t in range(270, 501, 10) for n in (20, 50, 100) for seed in range(5))
    assert least > 3e-5
    assert "more than three times the limit" in "".join(find_cell("checks")["source"])
    assert min(shift(t, t - 20, seed) for t in (800, 900, 980) for seed in range(5)) < 1e-5
