"""What the appendix says of the schedulers and pipelines of diffusers, in the libraries themselves."""

import itertools
import math
import re
from pathlib import Path

import pytest
import rosetta
import torch
from equations import source
from libraries.diffusers_options import DEVIATION, answer_exactly, measure_options
from libraries.row import (
    STEP_TIME,
    T,
    draw,
    import_peer,
)
from libraries.scales import find_default
from packaging.version import Version
from rosetta_pages import RECORD, find_cell

from ddpm_lite import (
    cosine_schedule,
    ddim_step,
    ddpm_step,
    linear_schedule,
    respace,
    schedule_from_levels,
)
from ddpm_lite.process import predict_x_0, q_sample, velocity


@pytest.mark.parametrize(
    ("name", "options"), [("PNDMScheduler", {"skip_prk_steps": True}), ("DPMSolverMultistepScheduler", {})]
)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_step_of_these_schedulers_uses_earlier_answers(name, options):
    """The same state, time and answer, after other answers."""
    ends = []
    for sign in (1, -1):
        scheduler = getattr(pytest.importorskip("diffusers"), name)(**options)
        scheduler.set_timesteps(10)
        x, z_hat, _ = draw()
        for i, k in enumerate(scheduler.timesteps[:6]):
            last = scheduler.step(z_hat if i == 5 else sign * z_hat, k, x).prev_sample
        ends.append(last)
    assert rosetta.off(*ends) > 1e-3


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_heun_asks_more_often_than_it_steps():
    scheduler = pytest.importorskip("diffusers").HeunDiscreteScheduler()
    scheduler.set_timesteps(10)
    assert len(scheduler.timesteps) == 19


def test_other_clips_of_diffusers_are_told_apart_as_the_text_says():
    """A limit of 2 leaves what is below it; dynamic thresholding divides each image by one number."""
    make, (x_t, z_hat, _) = pytest.importorskip("diffusers").DDPMScheduler, draw()
    ours = predict_x_0(linear_schedule(), x_t, STEP_TIME, z_hat)
    wide = make(clip_sample_range=2.0).step(z_hat, STEP_TIME - 1, x_t).pred_original_sample
    assert rosetta.off(wide, ours.clamp(-2, 2)) < 1e-5
    options = {"thresholding": True, "dynamic_thresholding_ratio": 0.95, "sample_max_value": 1.5}
    dynamic = make(**options).step(z_hat, STEP_TIME - 1, x_t).pred_original_sample
    assert dynamic.abs().max() <= 1
    for theirs, image in zip(dynamic, ours, strict=True):
        inside = theirs.abs() < 0.999
        ratios = theirs[inside] / image[inside]
        assert ratios.max() < 0.9
        assert (ratios.max() - ratios.min()).item() < 1e-4


def test_limit_of_the_cosine_schedule_is_seen_in_the_last_entry_only():
    theirs = pytest.importorskip("diffusers").DDPMScheduler(beta_schedule="squaredcos_cap_v2").alphas_cumprod.double()
    t = torch.arange(1001, dtype=torch.float64)
    free = torch.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2
    free = (free / free[0])[1:]
    assert rosetta.off(theirs, free) < 1e-5
    assert (theirs / free - 1)[:-1].abs().max() < 1e-3
    assert theirs[-1] / free[-1] > 1e6
    assert theirs[-1] / cosine_schedule().alpha_bar[-1] == pytest.approx(1, abs=1e-3)


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
@pytest.mark.parametrize("name", ["HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "LCMScheduler"])
def test_betas_that_were_not_set_become_those_of_ddim(name):
    diffusers = pytest.importorskip("diffusers")
    other = getattr(diffusers, name)()
    swapped = diffusers.DDIMScheduler.from_config(other.config)
    assert torch.equal(swapped.alphas_cumprod, diffusers.DDIMScheduler().alphas_cumprod)
    assert rosetta.off(swapped.alphas_cumprod, other.alphas_cumprod) > 0.05
    mended = diffusers.DDIMScheduler.from_config(other.config, trained_betas=other.betas.tolist())
    assert rosetta.off(mended.alphas_cumprod, other.alphas_cumprod) < 1e-6


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_scheduler_of_a_flow_is_taken_for_one_with_linear_betas():
    diffusers = import_peer("diffusers")
    flow = diffusers.FlowMatchEulerDiscreteScheduler()
    assert [name for name in ("betas", "init_noise_sigma", "scale_model_input") if hasattr(flow, name)] == []
    swapped = diffusers.DDIMScheduler.from_config(flow.config)
    assert torch.equal(swapped.betas, diffusers.DDIMScheduler().betas)


@pytest.mark.parametrize("n", [7, 48, 60, 600])
def test_last_step_of_ddim_with_trailing_times_may_end_at_1(n):
    """Also with `set_alpha_to_one=True`, the default: its time is 0, not negative."""
    schedule, scheduler = linear_schedule(), import_peer("diffusers").DDIMScheduler(timestep_spacing="trailing")
    scheduler.set_timesteps(n)
    k = int(scheduler.timesteps[-1])
    assert k - T // n == 0
    x_t, z_hat, noise = draw()
    theirs = scheduler.step(z_hat, k, x_t, use_clipped_model_output=True).prev_sample
    ours = [ddim_step(schedule, x_t, k + 1, s, z_hat, noise) for s in (1, 0)]
    assert rosetta.off(theirs, ours[0]) < 1e-4
    assert rosetta.off(theirs, ours[1]) > 0.01


def test_trailing_times_are_ours_for_the_numbers_of_steps_of_the_text():
    schedule, scheduler, others = (
        linear_schedule(),
        import_peer("diffusers").DDIMScheduler(timestep_spacing="trailing"),
        {},
    )
    for n in [*range(1, 101), 125, 200, 250, 500, 1000]:
        scheduler.set_timesteps(n)
        theirs, ours = scheduler.timesteps.tolist(), (respace(schedule, n).times[1:].flip(0) - 1).tolist()
        if theirs != ours:
            others[n] = theirs, ours
    assert list(others) == [48, 61, 96]
    for n in (48, 96):
        assert sorted(abs(a - b) for a, b in zip(*others[n], strict=True)) == [0] * (n - 4) + [1] * 4
    assert others[61][0] == [*others[61][1], -1]


def test_linspace_changes_little_where_the_steps_arrive():
    """The walk of the options, with steps of our own from each time to the next."""
    own, (_, x, _), schedule = measure_options()["image"], draw(), linear_schedule()
    scheduler = import_peer("diffusers").DDIMScheduler(timestep_spacing="linspace")
    scheduler.set_timesteps(50)
    for k, to in itertools.pairwise([*scheduler.timesteps.tolist(), -1]):
        z_hat = answer_exactly(x, k)
        x_0_hat = predict_x_0(schedule, x, k + 1, z_hat).clamp(-1, 1)
        x = schedule.alpha_bar[to + 1].sqrt() * x_0_hat + schedule.one_minus_alpha_bar[to + 1].sqrt() * z_hat
    assert rosetta.off(x, own) == pytest.approx(0.0011, abs=5e-5)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_ancestral_steps_of_ltx_are_those_of_a_flow():
    """Without fresh noise; the class has neither betas nor a prediction type."""
    diffusers, (x, u, _) = import_peer("diffusers"), draw()
    flow, other = diffusers.FlowMatchEulerDiscreteScheduler(), diffusers.LTXEulerAncestralRFScheduler(eta=0.0)
    assert "prediction_type" not in other.config
    for scheduler in (flow, other):
        scheduler.set_timesteps(10)
    for time in flow.timesteps:
        theirs = [scheduler.step(u, time, x).prev_sample for scheduler in (flow, other)]
        assert rosetta.off(*theirs) < 1e-6


def test_scale_of_flux_goes_into_the_network():
    """Read in the source: its default, where it goes, and which option combines two answers."""
    folder = Path(rosetta.find_spec("diffusers").origin).parent
    text = (folder / "pipelines/flux/pipeline_flux.py").read_text(encoding="utf8")
    assert "guidance_scale: float = 3.5" in text
    assert re.search(
        r"if self.transformer.config.guidance_embeds:\n\s+guidance = torch.full\(\[1\], guidance_scale", text
    )
    assert "neg_noise_pred + true_cfg_scale * (noise_pred - neg_noise_pred)" in text
    assert "true_cfg_scale: float = 1.0" in text


def test_options_of_a_scheduler_change_what_is_recorded(computed):
    """Which numbers an option touches, by how much, and at which times the network is asked."""
    if Version(computed["versions"]["diffusers"]) < Version(RECORD["versions"]["diffusers"]):
        pytest.skip("diffusers is older than the record's")
    labels = {display.label for display in source.in_book()}
    assert len(RECORD["swaps"]) == len(computed["swaps"]) >= 12
    for made, kept in zip(computed["swaps"], RECORD["swaps"], strict=True):
        assert {**made, "changes": None} == {**kept, "changes": None}, "python studies/rosetta.py --record"
        for name, change in made["changes"].items():
            expected = kept["changes"][name]
            assert change == (expected and pytest.approx(expected, rel=0.05, abs=1e-5)), (made["option"], name)
        assert made["default"] != made["other"]
        assert set(re.findall("{eq}`(.*?)`", made["concerns"])) <= labels
        spaces = made["option"] in ("timestep_spacing", "steps_offset")
        assert (made["times"] != [980, 0]) == spaces
        assert (made["changes"]["x_0_hat"] is None) == (made["changes"]["x_s"] is None) == spaces
        assert (made["changes"]["image"] == 0) == (made["option"] == "thresholding")


def test_groups_of_options_are_those_of_the_text():
    """The sentences below the table of options, read from the record."""
    changes = {(swap["option"], swap["other"]): swap["changes"] for swap in RECORD["swaps"]}
    touched = {key: {name for name, change in made.items() if change} for key, made in changes.items()}
    betas = {"beta_schedule", "beta_end", "rescale_betas_zero_snr"}
    assert {option for (option, _), names in touched.items() if "x_t" in names} == betas
    spaced = [made["image"] for (option, _), made in changes.items() if option in ("timestep_spacing", "steps_offset")]
    assert len(spaced) == 3
    assert 0.01 < max(spaced) < 0.015
    assert touched["set_alpha_to_one", "False"] == {"image"}
    assert changes["set_alpha_to_one", "False"]["image"] < 1e-3
    assert touched["clip_sample", "False"] == {"x_0_hat", "x_s", "image"}
    assert touched["eta", "1.0"] == touched["use_clipped_model_output", "True"] == {"x_s", "image"}
    assert changes["use_clipped_model_output", "True"]["image"] < 1e-5
    assert touched["thresholding", "True"] == set()


def test_walk_of_the_options_asks_the_best_network():
    """The regression of the noise on x_t, from many draws."""
    generator = torch.Generator().manual_seed(0)
    x_0, z = torch.randn(2, 1_000_000, generator=generator)
    for t in (20, 300, 800):
        x_t = q_sample(linear_schedule(), DEVIATION * x_0, t, z)
        slope = (x_t * z).mean() / x_t.square().mean()
        assert answer_exactly(torch.ones(1), t - 1).item() == pytest.approx(slope.item(), rel=0.02, abs=0.005)


@pytest.mark.parametrize(
    ("file", "name", "spacing"),
    [("ddpm", "DDPM", "leading"), ("ddim", "DDIM", "leading"), ("euler_discrete", "EulerDiscrete", "linspace")],
)
def test_spacings_of_the_schedulers_are_those_of_the_text(file, name, spacing):
    place = f"schedulers/scheduling_{file}.py", f"{name}Scheduler.__init__"
    assert find_default("diffusers", *place, {"timestep_spacing"})[1] == spacing


def test_scales_of_guidance_are_the_defaults_in_the_source(computed):
    for made, kept in zip(computed["scales"], RECORD["scales"], strict=True):
        if Version(computed["versions"][made["library"]]) >= Version(RECORD["versions"][made["library"]]):
            assert made == kept, "python studies/rosetta.py --record"
        assert made["default"] - made["w"] == (made["library"] in ("diffusers", "denoising-diffusion-pytorch"))


def test_a_scale_of_one_does_what_the_record_says(computed):
    """The chapter warns of it for the version of the record; a later one may have mended it."""
    if computed["versions"]["denoising-diffusion-pytorch"] != RECORD["versions"]["denoising-diffusion-pytorch"]:
        pytest.skip("another version of denoising-diffusion-pytorch than the record's")
    assert computed["scale of 1"] == RECORD["scale of 1"]
    outcomes = [made["outcome"] for made in RECORD["scale of 1"]]
    assert outcomes == ["ValueError", "runs, each with the estimate of image 1", "ValueError"]


def test_last_step_of_diffusers_adds_noise_unless_its_time_is_0(computed):
    """The deviation of the noise, from many pixels of one step; with the smaller variance it is below a grey level."""
    if Version(computed["versions"]["diffusers"]) < Version(RECORD["versions"]["diffusers"]):
        pytest.skip("diffusers is older than the record's")
    for made, kept in zip(computed["last steps"], RECORD["last steps"], strict=True):
        assert {**made, "deviations": None} == {**kept, "deviations": None}, "python studies/rosetta.py --record"
        assert made["deviations"] == pytest.approx(kept["deviations"], rel=0.01, abs=1e-12)
        small, large = (kept["deviations"][name] for name in ("fixed_small", "fixed_large"))
        assert small < 1e-3 / 127.5
        assert (large > 1 / 127.5) == (small > 0) == (kept["last_time"] > 0)
    assert [kept["last_time"] for kept in RECORD["last steps"]] == [0, 19, 1]


def test_last_step_of_diffusers_adds_no_noise_with_linspace():
    scheduler = pytest.importorskip("diffusers").DDPMScheduler(timestep_spacing="linspace", variance_type="fixed_large")
    scheduler.set_timesteps(50)
    assert scheduler.timesteps[-1] == 0
    assert scheduler.step(torch.zeros(1, 1, 4, 4), 0, torch.zeros(1, 1, 4, 4)).prev_sample.std() == 0


@pytest.mark.parametrize(
    ("options", "t", "s"),
    [({}, 21, 1), ({"timestep_spacing": "trailing"}, 40, 20), ({"steps_offset": 1}, 22, 2)],
)
def test_step_before_the_last_adds_more_noise_than_belongs_there(options, t, s):
    """The chapter prints what is added and the excess from our own schedule; diffusers takes the same variance."""
    scheduler = pytest.importorskip("diffusers").DDPMScheduler(variance_type="fixed_large", **options)
    scheduler.set_timesteps(50)
    assert (scheduler.timesteps[-2:] + 1).tolist() == [t, s]
    variance, alpha_bar = float(scheduler._get_variance(t - 1)), linear_schedule().alpha_bar
    assert variance == pytest.approx(float(1 - alpha_bar[t] / alpha_bar[s]), rel=1e-3)
    assert variance > 2 * (1 - alpha_bar[s])
    smaller = variance * (1 - alpha_bar[s]) / (1 - alpha_bar[t])
    assert (variance - smaller) ** 0.5 > 9 * 2 / 255


def test_stable_diffusion_sets_the_options_that_the_text_names():
    """Read in the source, because the pipeline itself wants a large network."""
    folder = Path(rosetta.find_spec("diffusers").origin).parent
    text = (folder / "pipelines/stable_diffusion/pipeline_stable_diffusion.py").read_text(encoding="utf8")
    assert re.findall(r'new_config\["(\w+)"\] = (\w+)', text)[:2] == [("steps_offset", "1"), ("clip_sample", "False")]


def test_betas_made_of_another_table_give_a_ddim_to_compare_with():
    diffusers = pytest.importorskip("diffusers")
    theirs, (line,) = (
        diffusers.CogVideoXDDIMScheduler(),
        re.findall(r"`(1 - a / .*?)`", "".join(find_cell("scheduler-cases")["source"])),
    )
    betas = eval(line, {"torch": torch, "a": theirs.alphas_cumprod})
    config = dict(theirs.config)
    assert rosetta.off(diffusers.DDIMScheduler.from_config(config).alphas_cumprod, theirs.alphas_cumprod) > 0.1
    ours = diffusers.DDIMScheduler.from_config(config, trained_betas=betas.tolist(), clip_sample=False)
    assert rosetta.off(ours.alphas_cumprod, theirs.alphas_cumprod) < 1e-5
    x_t, z_hat, _ = draw()
    for scheduler in (theirs, ours):
        scheduler.set_timesteps(50)
    for k in (980, 500, 20, 0):
        assert rosetta.off(*(one.step(z_hat, k, x_t).prev_sample for one in (theirs, ours))) < 1e-5


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")  # theirs, with this numpy
def test_only_the_named_scheduler_has_betas_and_no_alpha_bar():
    """Those without betas are flows, EDM's or no diffusion; the chapter's advice takes the table of all others."""
    diffusers = pytest.importorskip("diffusers")
    text, without = "".join(find_cell("scheduler-cases")["source"]), []
    for name in sorted(name for name in dir(diffusers) if re.fullmatch(r"(?!Flax)\w+Scheduler", name)):
        try:
            scheduler = getattr(diffusers, name)()
        except (ImportError, TypeError):  # needs another library, or arguments
            continue
        if getattr(scheduler, "betas", None) is not None and not hasattr(scheduler, "alphas_cumprod"):
            without.append(name)
    assert without == re.findall(r"Not `(\w+)`", text) == ["IPNDMScheduler"]


def test_sizes_of_a_shift_are_those_of_the_text():
    """With the linear schedule a percent or less for most, a hundredth of a percent for a step, a third for z."""
    shifts = {key: made["difference"] for key, made in RECORD["rows"].items() if made["reason"] == "time from 0"}
    cosine = {"diffusers_cosine", "lucid_cosine", "small_cosine"}
    assert {key for key, change in shifts.items() if change > 0.3} == cosine | {"lucid_z", "lucid_posterior_mean"}
    linear = [change for key, change in shifts.items() if key not in cosine]
    assert sum(change < 0.0105 for change in linear) == len(linear) - 3
    assert shifts["diffusers_snr"] == pytest.approx(0.086, abs=5e-4)
    x_t, z_hat, noise = draw()
    steps = [ddpm_step(linear_schedule(), x_t, t, t - 1, z_hat, noise) for t in (500, 501)]
    step = rosetta.off(steps[1], steps[0])
    assert step == pytest.approx(1e-4, rel=0.2)
    assert step < min(shifts.values())


def test_variance_of_diffusers_is_that_of_the_chosen_times():
    """After `set_timesteps` with fewer steps it is that of a longer step, and only the chosen times have one."""
    scheduler, schedule = pytest.importorskip("diffusers").DDPMScheduler(), linear_schedule()
    assert float(scheduler._get_variance(500)) == pytest.approx(schedule.beta_tilde[501].item(), rel=1e-4)
    scheduler.set_timesteps(50)
    longer = respace(schedule, 50, "leading")
    (k,) = (longer.times == 501).nonzero().flatten().tolist()
    assert float(scheduler._get_variance(500)) == pytest.approx(longer.beta_tilde[k].item(), rel=1e-3)
    assert longer.beta_tilde[k] > 10 * schedule.beta_tilde[501]
    with pytest.raises(IndexError):
        scheduler._get_variance(501)


def test_smaller_variance_by_way_of_its_logarithm_is_the_smaller_variance():
    """Why `from_pretrained` opens a folder with "fixed_small_log"."""
    x, answer = torch.randn(2, 1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    steps = [
        pytest.importorskip("diffusers")
        .DDPMScheduler(variance_type=name)
        .step(answer, 499, x, generator=torch.Generator().manual_seed(1))
        .prev_sample
        for name in ("fixed_small_log", "fixed_small", "fixed_large")
    ]
    assert torch.allclose(*steps[:2], atol=1e-6)
    assert not torch.allclose(*steps[1:], atol=1e-6)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", ["PNDMScheduler", "EulerDiscreteScheduler"])
def test_ddim_in_place_of_another_scheduler_keeps_what_was_set(name):
    """Nothing else: a default of the other class, such as its spacing or no clip, becomes that of DDIM."""
    diffusers = import_peer("diffusers")
    options = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    other = getattr(diffusers, name)(**options, prediction_type="v_prediction")
    swapped = diffusers.DDIMScheduler.from_config(other.config)
    assert torch.equal(swapped.alphas_cumprod, other.alphas_cumprod)
    assert (swapped.config.prediction_type, swapped.config.steps_offset) == ("v_prediction", 1)
    assert (swapped.config.clip_sample, swapped.config.timestep_spacing) == (True, "leading")
    assert not diffusers.DDIMScheduler.from_config(other.config, clip_sample=False).config.clip_sample


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_euler_counts_in_noise_levels_and_scales_the_input_of_the_network():
    scheduler = pytest.importorskip("diffusers").EulerDiscreteScheduler()
    scheduler.set_timesteps(10)
    k, levels = int(scheduler.timesteps[3]), linear_schedule().noise_level
    times = scheduler.timesteps.round().long() + 1
    assert scheduler.sigmas[:-1].tolist() == pytest.approx(levels[times].tolist(), rel=1e-4)
    assert float(scheduler.init_noise_sigma) == pytest.approx(levels[1000].item(), rel=1e-4)
    x_0, z = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    x_t = scheduler.scale_model_input(x_0 + levels[k + 1].float() * z, scheduler.timesteps[3])
    assert torch.allclose(x_t, q_sample(linear_schedule(), x_0, k + 1, z), atol=1e-5)


@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "UniPCMultistepScheduler"])
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_state_of_the_other_schedulers_is_our_x_t(name):
    """Their first step is of the first order, which is DDIM."""
    scheduler, schedule = getattr(pytest.importorskip("diffusers"), name)(), linear_schedule()
    scheduler.set_timesteps(50)
    t, s = (scheduler.timesteps[:2] + 1).tolist()
    x_t, z_hat, noise = draw()
    assert scheduler.init_noise_sigma == 1
    assert torch.equal(scheduler.scale_model_input(x_t, t - 1), x_t)
    theirs = scheduler.step(z_hat, t - 1, x_t).prev_sample
    assert rosetta.off(theirs, ddim_step(schedule, x_t, t, s, z_hat, noise, clip=False)) < 1e-5


@pytest.mark.parametrize(("options", "sign"), [({}, -1), ({"prediction_type": "v_prediction"}, 1)])
def test_answer_of_a_network_of_edm_for_data_of_variance_1_is_a_velocity(options, sign):
    """With `sigma_data=1` the input of the network is our x_t; with 0.5 it is not, and neither answer is a noise."""
    make, (x_0, z, _) = pytest.importorskip("diffusers").EDMEulerScheduler, draw()
    for nu in (0.5, 1.0, 4.0):
        way, y = schedule_from_levels([0, nu]), x_0 + nu * z
        x_t, v = q_sample(way, x_0, 1, z), velocity(way, x_0, 1, z)
        scheduler = make(sigma_data=1.0, **options)
        assert rosetta.off(scheduler.precondition_inputs(y, nu), x_t) < 1e-5
        assert rosetta.off(scheduler.precondition_outputs(y, sign * v, nu), x_0) < 1e-4
        assert rosetta.off(make(**options).precondition_inputs(y, nu), x_t) > 1e-3
        for data in (0.5, 1.0):
            assert rosetta.off(make(sigma_data=data, **options).precondition_outputs(y, z, nu), x_0) > 0.01


def test_later_steps_of_the_multistep_scheduler_of_edm_use_the_answer_before():
    diffusers, (y, F, other) = pytest.importorskip("diffusers"), draw()
    ends = []
    for first in (F, other):
        scheduler = diffusers.EDMDPMSolverMultistepScheduler()
        scheduler.set_timesteps(18)
        scheduler.step(first, scheduler.timesteps[0], y)
        ends.append(scheduler.step(F, scheduler.timesteps[1], y).prev_sample)
    assert rosetta.off(*ends) > 1e-4


def test_latents_of_stable_diffusion_are_scaled():
    """Read in the source, where images become latents."""
    folder = Path(rosetta.find_spec("diffusers").origin).parent
    text = (folder / "pipelines/stable_diffusion/pipeline_stable_diffusion_img2img.py").read_text(encoding="utf8")
    assert "init_latents = self.vae.config.scaling_factor * init_latents" in text


def test_pipelines_of_diffusers_return_images_from_0_to_1_with_the_channels_last():
    """Read in the source of the two pipelines without labels."""
    folder = Path(rosetta.find_spec("diffusers").origin).parent / "pipelines"
    for name in ("ddpm", "ddim"):
        text = (folder / name / f"pipeline_{name}.py").read_text(encoding="utf8")
        assert "image = (image / 2 + 0.5).clamp(0, 1)" in text
        assert "image = image.cpu().permute(0, 2, 3, 1).numpy()" in text


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_euler_asks_between_the_times_with_noise_levels_between_their_neighbours():
    scheduler, levels = pytest.importorskip("diffusers").EulerDiscreteScheduler(), linear_schedule().noise_level
    scheduler.set_timesteps(50)
    assert scheduler.timesteps[:3].tolist() == pytest.approx([999, 978.61, 958.22], abs=0.005)
    between = 0.39 * levels[979] + 0.61 * levels[980]  # their 978 and 979
    assert scheduler.sigmas[1].item() == pytest.approx(between.item(), rel=1e-3)
    assert len(scheduler.sigmas) == 51
    assert scheduler.sigmas[-1] == 0


@pytest.mark.parametrize(("spacing", "missed"), [("leading", 0), ("trailing", 10), ("linspace", 29)])
def test_steps_of_ddim_that_miss_the_next_time(spacing, missed):
    """With 30 steps, which do not divide 1000."""
    scheduler = pytest.importorskip("diffusers").DDIMScheduler(timestep_spacing=spacing)
    scheduler.set_timesteps(30)
    gaps = scheduler.timesteps[:-1] - scheduler.timesteps[1:]
    assert int((gaps != 1000 // 30).sum()) == missed


def test_time_of_a_noise_level_is_found_again():
    """The lookup of the text, for the levels of smalldiffusion and for logarithms of them."""
    levels = linear_schedule().noise_level
    sigmas = levels.float().double()
    found = torch.stack([(levels - sigma).abs().argmin() for sigma in sigmas])
    assert torch.equal(found, torch.arange(1001))


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "UniPCMultistepScheduler"])
def test_scheduler_of_a_flow_with_betas_is_not_one_of_ddim(name):
    """Its tables are those of DDIM, its noisy image is that of a flow, and DDIM's step refuses its target."""
    diffusers, (x_0, z, _) = import_peer("diffusers"), draw()
    flow = getattr(diffusers, name)(use_flow_sigmas=True, prediction_type="flow_prediction")
    swapped = diffusers.DDIMScheduler.from_config(flow.config)
    assert torch.equal(swapped.alphas_cumprod, flow.alphas_cumprod)
    assert torch.equal(swapped.betas, flow.betas)
    flow.set_timesteps(10)
    swapped.set_timesteps(10)
    time, tau = flow.timesteps[4:5].expand(len(x_0)), flow.sigmas[4]
    noisy = flow.add_noise(x_0, z, time)
    assert rosetta.off(noisy, (1 - tau) * x_0 + tau * z) < 1e-5
    assert rosetta.off(noisy, swapped.add_noise(x_0, z, time.long())) > 0.1
    with pytest.raises(ValueError, match="prediction_type"):
        swapped.step(z, 500, x_0)


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_cases_for_a_scheduler_of_diffusers_are_those_of_the_text():
    """Which have no table of betas: flows, whose sigmas go from 1 to 0, and those of EDM."""
    diffusers = import_peer("diffusers")
    flows = [name for name in dir(diffusers) if re.fullmatch(r"Flow\w+Scheduler", name)]
    flows.append("LTXEulerAncestralRFScheduler")
    assert len(flows) >= 3
    for name in (*flows, "EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"):
        scheduler = getattr(diffusers, name)()
        assert not hasattr(scheduler, "betas"), name
        scheduler.set_timesteps(4)
        assert scheduler.sigmas[0] == (1 if name in flows else pytest.approx(80)), name
        assert scheduler.sigmas[-1] == 0


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("stable_diffusion/pipeline_stable_diffusion", "self._guidance_scale > 1 and"),
        ("stable_diffusion_xl/pipeline_stable_diffusion_xl", "self._guidance_scale > 1 and"),
        ("dit/pipeline_dit", "if guidance_scale > 1:"),
    ],
)
def test_pipelines_of_diffusers_guide_above_1_only(file, name):
    """Read in the source; without guidance, the network is given the label or the prompt alone."""
    folder = Path(rosetta.find_spec("diffusers").origin).parent / "pipelines"
    text = (folder / f"{file}.py").read_text(encoding="utf8")
    assert name in text
    if file.startswith("dit"):
        assert "if guidance_scale > 1 else class_labels" in text
    else:
        assert re.search(r"if self.do_classifier_free_guidance:\n\s+prompt_embeds = torch.cat", text)


@pytest.mark.parametrize(("scale", "w"), [(0.0, -1), (0.5, -0.5), (1.0, 0), (3.0, 2)])
def test_guider_of_diffusers_goes_on_below_1(scale, w):
    z_c, z_none, _ = draw()
    made = import_peer("diffusers.guiders").ClassifierFreeGuidance(scale).forward(z_c, z_none).pred
    assert rosetta.off(made, z_c + w * (z_c - z_none)) < 1e-5


def test_shift_of_a_flow_is_that_of_the_text():
    """The lowest flow time is shifted twice by `set_timesteps`, and integers are refused."""
    make = pytest.importorskip("diffusers").FlowMatchEulerDiscreteScheduler
    flow, plain = make(shift=3.0), make()
    flow.set_timesteps(28)
    assert flow.sigmas[-2].item() == pytest.approx(0.0089, abs=5e-5)
    assert make(shift=3.0).sigmas[-1].item() == pytest.approx(0.0030, abs=5e-5)
    plain.set_timesteps(28)
    assert (flow.sigmas > 0.5).sum() > (plain.sigmas > 0.5).sum()
    assert flow.sigmas[-1] == 0
    assert "prediction_type" not in flow.config
    x_t, u, _ = draw()
    with pytest.raises(ValueError, match="integer"):
        flow.step(u, 500, x_t)


@pytest.mark.parametrize("file", ["stable_diffusion_3/pipeline_stable_diffusion_3", "flux/pipeline_flux"])
def test_pipelines_of_flows_name_the_scheduler_of_the_text(file):
    folder = Path(rosetta.find_spec("diffusers").origin).parent / "pipelines"
    assert "scheduler: FlowMatchEulerDiscreteScheduler" in (folder / f"{file}.py").read_text(encoding="utf8")
