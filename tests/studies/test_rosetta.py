"""The table of other libraries: every row is computed again with what is installed, and compared with the record."""

import ast
import dataclasses
import inspect
import itertools
import json
import math
import re
import statistics
import subprocess
import sys
import textwrap
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock, patch

import pytest
import rosetta
import torch
from equations import source
from libraries.denoising_diffusion_pytorch import walk_of_lucid
from libraries.diffusers_options import DEVIATION, answer_exactly, measure_options
from libraries.row import (
    LOOPS,
    NO_COUNTERPART,
    REASONS,
    SHOWN,
    STEP_TIME,
    STEPS,
    Network,
    Step,
    T,
    average,
    compute_step,
    draw,
    give_guidance,
    import_peer,
    translate,
)
from libraries.scales import find_default
from packaging.version import Version

from ddpm_lite import (
    cosine_schedule,
    ddim_step,
    ddpm_step,
    linear_schedule,
    precondition,
    respace,
    schedule_from_levels,
)
from ddpm_lite.data import load_digits
from ddpm_lite.files.records import read_record
from ddpm_lite.files.weights import load_pretrained
from ddpm_lite.process import ddpm_loss, predict_x_0, predict_z, q_sample, velocity

ROOT = Path(__file__).resolve().parents[2]
RECORD = read_record("results/rosetta.json")
PINS = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf8"), re.M))
PEERS = ("azula", "denoising-diffusion-pytorch", "einops", "ema-pytorch", "smalldiffusion")


@pytest.fixture(scope="module")
def computed():
    """All rows, in a process of its own: some libraries want modules that are replaced there by empty ones."""
    command = [sys.executable, str(ROOT / "studies" / "rosetta.py"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def judge(made):
    """What a row says: equal at once, equal after its translation, a schedule that is taken over, or neither."""
    if made["reason"] == NO_COUNTERPART:
        return "another schedule" if made["difference"] > 0.1 and made["after"] <= made["tolerance"] else "different"
    if made["difference"] <= made["tolerance"]:
        return "equal"
    return "translated" if made["after"] is not None and made["after"] <= made["tolerance"] else "different"


@pytest.mark.parametrize("key", RECORD["rows"])
def test_row_is_as_recorded(key, computed):
    recorded = RECORD["rows"][key]
    library = recorded["library"]
    if Version(computed["versions"][library]) < Version(RECORD["versions"][library]):
        pytest.skip(f"{library} {computed['versions'][library]} is older than the record's")
    made = computed["rows"][key]
    for name in ("equation", "library", "place", "theirs", "reason", "translation", "why", "tolerance"):
        assert made[name] == recorded[name], f"{name}: python studies/rosetta.py --record"
    said = {"": "equal", NO_COUNTERPART: "another schedule"}.get(recorded["reason"], "translated")
    assert judge(made) == judge(recorded) == said
    if recorded["reason"]:  # a difference that means something is the same everywhere; rounding is not
        assert made["difference"] == pytest.approx(recorded["difference"], rel=0.05)


def test_every_library_is_installed_where_the_tests_run():
    for name in ("diffusers", *PEERS):
        try:
            version(name)
        except PackageNotFoundError:
            pytest.fail(f"{name} is missing: run tools/setup.sh")


def test_pins_of_the_libraries_are_those_of_the_benchmark_and_of_the_record():
    wanted = (ROOT / "benchmarks" / "requirements.txt").read_text(encoding="utf8")
    for name, pin in re.findall(r"^([\w.-]+)==(\S+)$", wanted, re.M):
        assert PINS[name] == pin
    assert set(PEERS) <= set(PINS)
    assert {name: PINS[name] for name in RECORD["versions"]} == RECORD["versions"]


def test_setup_installs_the_libraries():
    text = (ROOT / "tools" / "setup.sh").read_text(encoding="utf8")
    (line,) = re.findall(r"pip install [^\n]*--no-deps[^\n]*\\\n\s+(azula[^|]*)\|\|", text)
    assert tuple(line.split()) == PEERS


def test_table_is_large_and_names_equations_of_the_book():
    rows = RECORD["rows"].values()
    assert sum(made["reason"] != NO_COUNTERPART for made in rows) >= 60
    assert {made["reason"] for made in rows} - {""} == set(RECORD["reasons"]) == set(REASONS)
    assert set(RECORD["rows"]) == set(rosetta.ROWS)
    assert {made["library"] for made in rows} == set(rosetta.LIBRARIES) == set(RECORD["versions"])
    assert {made["equation"] for made in rows} <= {display.label for display in source.in_book()}
    for made in rows:
        assert re.fullmatch(r"[\w/.]+\.py: \w+(\.\w+)?( \(ema-pytorch\))?", made["place"]), made["place"]
        assert bool(made["reason"]) == (made["after"] is not None)
        assert made["reason"] or not made["why"]
        ast.parse(made["translation"], mode="eval")  # what a reader shall write is code


def test_a_translation_is_run_as_it_is_printed():
    """What the table shows is what is computed: a call that lacks an argument, or three dots, raises."""
    names = give_guidance()
    assert translate("guided(model, 2, none)(x_t, t, c)", names).shape == names["x_t"].shape
    with pytest.raises(ValueError, match="expected labels"):
        translate("guided(model, 2, none)(x_t, t)", names)
    with pytest.raises(TypeError):
        translate("ddim_step(..., clip=False)", names)
    t, beta = torch.arange(5), linear_schedule().beta
    assert torch.equal(translate("beta[t + 1]", {"t": t}), beta[1:6])
    assert translate("step / 2", {"step": range(3)}).tolist() == [0, 0.5, 1]
    entry = dataclasses.replace(
        rosetta.ROWS["lucid_beta"], translation="beta[t + 1]", compute=lambda: (beta[1:6], beta[:5], {"t": t})
    )
    assert judge(rosetta.compare(entry)) == "translated"
    assert judge(rosetta.compare(dataclasses.replace(entry, translation="beta[t + 2]"))) == "different"


def test_the_call_of_an_equal_row_is_what_is_compared():
    t, beta = torch.arange(5), linear_schedule().beta
    entry = dataclasses.replace(rosetta.ROWS["lucid_step"], compute=lambda: (beta[1:6], None, {"t": t}))
    for call, outcome in (("beta[t + 1]", "equal"), ("beta[t + 2]", "different")):
        made = rosetta.compare(dataclasses.replace(entry, translation=call))
        assert (judge(made), made["after"]) == (outcome, None)


PLACES = [(kind, library) for kind in SHOWN for library in RECORD[kind]]


def test_each_library_has_a_step():
    assert {kind: set(RECORD[kind]) for kind in SHOWN} == {kind: set(steps) for kind, steps in SHOWN.items()}
    assert set(RECORD["steps"]) == set(rosetta.LIBRARIES)
    assert all(SHOWN.values())


@pytest.mark.parametrize(("kind", "library"), PLACES)
def test_every_line_of_a_step_gives_the_same_numbers_on_both_sides(kind, library, computed):
    recorded, step = RECORD[kind][library], computed[kind][library]
    if Version(computed["versions"][library]) < Version(RECORD["versions"][library]):
        pytest.skip(f"{library} {computed['versions'][library]} is older than the record's")
    assert step["setup"] == recorded["setup"], "python studies/rosetta.py --record"
    assert len(recorded["lines"]) >= 5
    for line, kept in zip(step["lines"], recorded["lines"], strict=True):
        assert {**line, "difference": None} == {**kept, "difference": None}, "python studies/rosetta.py --record"
        bound = 3e-5 if line["theirs"].startswith("1 - alpha(") else 1e-5  # the ratio of two float32 numbers near 1
        assert max(line["difference"], kept["difference"]) < bound, line


PAGES = ("14_other_peoples_code.ipynb", "rosetta.ipynb")


def find_cell(name):
    """A cell of chapter 14 or of its appendix."""
    pages = [json.loads((ROOT / "book" / page).read_text(encoding="utf8")) for page in PAGES]
    (cell,) = (cell for page in pages for cell in page["cells"] if cell["id"] == name)
    return cell


def find_dictionary():
    """The tables of the dictionary: {library: {what it names: its code}}."""
    source = find_cell("dictionary")["source"] + find_cell("dictionary-more")["source"]
    found = {}
    for row in (line.strip("| \n").split(" | ") for line in source if line.startswith("| ")):
        if row[0] == "this book":
            heads = row
        else:
            for head, code in zip(heads[1:], row[1:], strict=True):
                found.setdefault(head, {})[row[0]] = code
    return found


TABLES = {r"\bar{\alpha}_t": "alpha_bar", r"\nu_t": "noise_level", r"\beta_t": "beta", r"\tilde{\beta}_t": "beta_tilde"}


@pytest.mark.parametrize("library", rosetta.LIBRARIES)
def test_tables_of_the_dictionary_are_computed(library):
    """Each expression that the dictionary gives for a table of ours is a line whose two sides were compared."""
    lines = [line for kind in SHOWN if library in RECORD[kind] for line in RECORD[kind][library]["lines"]]
    computed = {(line["theirs"], line["ours"].removeprefix("schedule.")) for line in lines}
    computed = {(re.sub(r"\b(scheduler|diffusion)\.", "", theirs), ours) for theirs, ours in computed}
    said = {"".join(re.findall(r"\$(.*?)\$", what)): code for what, code in find_dictionary()[library].items()}
    shown = {(code[0], f"{TABLES[what]}[t]") for what in TABLES if (code := re.findall("^`(.*?)`", said[what]))}
    assert len(shown) >= 3
    assert shown <= computed, shown - computed


def test_names_of_the_dictionary_are_in_the_libraries(computed):
    """Each word of code in a column is in the source of that library."""
    columns = find_dictionary()
    assert set(columns) == set(rosetta.LIBRARIES)
    for library, column in columns.items():
        if Version(computed["versions"][library]) < Version(RECORD["versions"][library]):
            continue
        folder = Path(rosetta.find_spec(rosetta.LIBRARIES[library]).origin).parent
        text = "\n".join(path.read_text(encoding="utf8") for path in find_sources(library, folder))
        words = {
            word
            for code in re.findall("`(.*?)`", " ".join(column.values()))
            for word in re.findall(r"\b[A-Za-z]\w+", code)
        }
        assert len(words) >= 6, library
        assert [word for word in sorted(words) if not re.search(rf"\b{word}\b", text)] == [], library


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


def find_sources(library, folder):
    """The files of a library that its rows name."""
    named = {made["place"].partition(":")[0] for made in RECORD["rows"].values() if made["library"] == library}
    return [folder / name for name in named if (folder / name).is_file()]


def test_places_are_in_the_libraries(computed):
    """Each file and function that a row names exists in the version of the record."""
    for made in RECORD["rows"].values():
        file, _, name = made["place"].partition(": ")
        package = rosetta.LIBRARIES[made["library"]]
        if "ema-pytorch" in name:
            package, name = "ema_pytorch", name.partition(" ")[0]
        if Version(computed["versions"][made["library"]]) < Version(RECORD["versions"][made["library"]]):
            continue
        text = (Path(rosetta.find_spec(package).origin).parent / file).read_text(encoding="utf8")
        for part in name.split("."):
            assert re.search(rf"^\s*(def|class) {part}\b", text, re.M), made["place"]


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
    ("library", "equation"), [(name, eq) for name in rosetta.ABSENT for eq in rosetta.ABSENT[name]]
)
def test_what_a_library_has_not_is_not_in_its_source(library, equation):
    """Plugins, which hold code for particular trained networks, do not count."""
    assert {name: list(words) for name, words in rosetta.ABSENT.items()} == RECORD["absent"]
    assert all(made["equation"] != equation for made in RECORD["rows"].values() if made["library"] == library)
    folder = Path(rosetta.find_spec(rosetta.LIBRARIES[library]).origin).parent
    files = [path for path in folder.rglob("*.py") if "plugins" not in path.relative_to(folder).parts]
    assert files
    words = re.compile(rosetta.ABSENT[library][equation], re.IGNORECASE)
    assert [path.name for path in files if words.search(path.read_text(encoding="utf8"))] == []


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


def test_weights_of_the_training_step_are_below_1_and_at_1():
    """Times with an SNR above 5 and below it; with one kind alone the line would show nothing."""
    *_, (theirs, ours) = compute_step(LOOPS["diffusers"])
    for weights in (theirs, ours):
        assert (weights < 0.9).sum() >= 3
        assert (weights == 1).sum() >= 2


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


@pytest.mark.parametrize("library", rosetta.WRAPPED)
def test_code_around_our_network_is_printed_as_it_is_run(library):
    """The chapter prints the file that the rows import, from its first import to its end."""
    code = RECORD["wrappers"][library]
    package = rosetta.LIBRARIES[library]
    path = ROOT / "studies" / "libraries" / f"wrap_{package}.py"
    _, body = path.read_text(encoding="utf8").split('"""\n\n', 1)
    assert code == body, "python studies/rosetta.py --record"
    assert max(map(len, code.splitlines())) <= 72
    assert library == "denoising-diffusion-pytorch" or re.search(rf"^from {package}\b", code, re.M)


def test_lucid_takes_our_network_in_the_printed_class_only():
    """A walk and a loss, with what the set-up of the step prints; a function has not what the class asks for."""
    step = STEPS["denoising-diffusion-pytorch"]
    code = RECORD["wrappers"]["denoising-diffusion-pytorch"]
    names = {}
    exec(code, names)
    x_t, z_hat, _ = draw()
    asked = []

    def net(x, t):
        asked.extend(t.tolist())
        return x

    given = {"x_t": x_t, "z_hat": z_hat, "t": STEP_TIME, "torch": torch}
    given["shifted_net"] = names["ShiftedNet"](net, 1)
    import_peer("denoising_diffusion_pytorch")
    exec(step.setup, given)
    diffusion = given["diffusion"]
    diffusion.p_sample(x_t, STEP_TIME - 1)
    assert set(asked) == {STEP_TIME}
    assert diffusion(torch.rand(2, 1, 4, 4)).ndim == 0
    with pytest.raises(AttributeError, match="channels"):
        exec(step.setup, given | {"shifted_net": lambda x, k: net(x, k + 1)})


def test_guidance_of_smalldiffusion_wants_a_network_with_an_embedding_of_labels():
    model = import_peer("smalldiffusion.model")
    from libraries.wrap_smalldiffusion import TimeOfLevel

    x, sigma, c = torch.randn(3, 2), torch.tensor(1.0), torch.zeros(3, dtype=torch.int64)
    with pytest.raises(AttributeError, match="cond_embed"):
        TimeOfLevel(Network(), (2,)).predict_eps_cfg(x, sigma, c, 2.0)
    assert model.ConditionalMLP().predict_eps_cfg(x, sigma, c, 2.0).shape == x.shape
    for name in ("unet.Unet", "dit.DiT"):
        module, made = name.split(".")
        parameters = inspect.signature(getattr(import_peer(f"smalldiffusion.model_{module}"), made)).parameters
        assert "cond_embed" in parameters


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


def test_guided_class_adds_its_offset_noise_in_q_sample():
    module = import_peer("denoising_diffusion_pytorch.classifier_free_guidance")
    given, zeros = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    net = module.Unet(dim=8, num_classes=2, dim_mults=(1,), channels=1)
    module.GaussianDiffusion(net, image_size=4, offset_noise_strength=0.1).q_sample(zeros, torch.tensor([5, 5]), given)
    assert given.abs().max() > 0


def test_offset_noise_is_added_to_the_noise_that_was_given():
    step = STEPS["denoising-diffusion-pytorch"]
    setup = step.setup.replace("image_size=4", "image_size=4, offset_noise_strength=0.1")
    setup += "before = z.clone()\ndiffusion(x_0, times=k, noise=z)\n"
    ((z, before),) = compute_step(dataclasses.replace(step, setup=setup, lines=(("z", "before", ""),)))
    assert rosetta.off(z, before) > 0.01


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


def test_lines_with_few_digits_subtract_in_float32_or_take_a_sine():
    """Ten lines, by what costs them digits in float32: eight differences and two sines."""
    differences = {"diffusers_variance", "diffusers_ddpm_step_large", "diffusers_snr", "diffusers_learnt"}
    differences |= {"lucid_ddim_eta", "lucid_average", "small_cosine", "small_times"}
    sines = {"lucid_embedding", "azula_embedding"}
    left = {
        key: made["difference"] if made["after"] is None else made["after"]
        for key, made in RECORD["rows"].items()
        if made["reason"] != NO_COUNTERPART
    }
    assert {key for key, share in left.items() if share > 1e-6} == differences | sines
    assert (len(differences), len(sines)) == (8, 2)
    assert max(left.values()) < 1e-4


def test_average_of_ema_pytorch_loses_its_digits_in_a_decay_of_float32():
    """With the decay rounded to float32 before it is subtracted from 1, as there, our average is theirs."""
    theirs, _, names = rosetta.ROWS["lucid_average"].compute()

    def round_decay(k):
        after = torch.tensor(float(k - 101))
        return 1 if k % 10 != 1 else (1 - (1 + after) ** (-2 / 3)).clamp(max=0.995).item() if after > 0 else 0

    assert rosetta.off(theirs, average(names["weights"], round_decay)) < 1e-12


def test_bounds_are_those_of_the_text():
    bounds = [made["tolerance"] for made in RECORD["rows"].values() if made["reason"] != NO_COUNTERPART]
    assert (min(bounds), max(bounds), statistics.mode(bounds)) == (1e-10, 1e-3, 1e-4)
    above = {key for key, made in RECORD["rows"].items() if made["tolerance"] > 1e-4}
    assert above == {"diffusers_snr", "small_cosine"}


LUCID, GUIDED = "denoising_diffusion_pytorch.py", "classifier_free_guidance.py"
DEFAULTS = [
    ("diffusers", "schedulers/scheduling_ddpm.py", "DDPMScheduler", "clip_sample", True),
    ("diffusers", "schedulers/scheduling_ddpm.py", "DDPMScheduler", "variance_type", "fixed_small"),
    ("diffusers", "schedulers/scheduling_ddpm.py", "DDPMScheduler", "prediction_type", "epsilon"),
    ("diffusers", "schedulers/scheduling_ddim.py", "DDIMScheduler", "clip_sample", True),
    ("diffusers", "schedulers/scheduling_ddim.py", "DDIMScheduler", "sample_max_value", 1.0),
    ("diffusers", "schedulers/scheduling_edm_euler.py", "EDMEulerScheduler", "sigma_data", 0.5),
    ("diffusers", "schedulers/scheduling_edm_euler.py", "EDMEulerScheduler", "prediction_type", "epsilon"),
    ("denoising_diffusion_pytorch", GUIDED, "GaussianDiffusion.p_sample", "clip_denoised", True),
    ("denoising_diffusion_pytorch", GUIDED, "GaussianDiffusion.ddim_sample", "clip_denoised", True),
    ("smalldiffusion", "diffusion.py", "samples", "mu", 0.0),
    ("azula", "denoise.py", "SimpleDenoiser.loss", "max_weight", 1e4),
    ("denoising_diffusion_pytorch", LUCID, "GaussianDiffusion", "objective", "pred_v"),
    ("denoising_diffusion_pytorch", LUCID, "GaussianDiffusion", "beta_schedule", "sigmoid"),
    ("denoising_diffusion_pytorch", LUCID, "GaussianDiffusion", "ddim_sampling_eta", 0.0),
    ("denoising_diffusion_pytorch", LUCID, "Trainer", "ema_decay", 0.995),
    ("denoising_diffusion_pytorch", LUCID, "Trainer", "ema_update_every", 10),
    ("denoising_diffusion_pytorch", GUIDED, "GaussianDiffusion", "objective", "pred_noise"),
    ("denoising_diffusion_pytorch", GUIDED, "GaussianDiffusion", "beta_schedule", "cosine"),
    ("denoising_diffusion_pytorch", GUIDED, "GaussianDiffusion", "ddim_sampling_eta", 1.0),
    ("denoising_diffusion_pytorch", GUIDED, "GaussianDiffusion.sample", "rescaled_phi", 0.7),
    ("denoising_diffusion_pytorch", GUIDED, "GaussianDiffusion.p_sample", "rescaled_phi", 0.7),
    ("denoising_diffusion_pytorch", GUIDED, "GaussianDiffusion.p_sample", "cond_scale", 6.0),
    ("ema_pytorch", "ema_pytorch.py", "EMA", "update_every", 10),
    ("ema_pytorch", "ema_pytorch.py", "EMA", "update_after_step", 100),
]


@pytest.mark.parametrize(("package", "file", "function", "option", "value"), DEFAULTS)
def test_defaults_are_those_of_the_text(package, file, function, option, value):
    function = function if "." in function or function.islower() else f"{function}.__init__"
    assert find_default(package, file, function, {option}) == (option, value)


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


def test_classes_of_flows_of_smalldiffusion_are_those_of_the_text():
    """The state of their loss at the weight `sigma` of the noise, its level, and the answer without an error."""
    model = import_peer("smalldiffusion.model")
    flows = import_peer("smalldiffusion.diffusion")
    x_0, z, _ = draw()

    class Answer(torch.nn.Module, model.ModelMixin):
        def __init__(self):
            super().__init__()
            self.asked = []

        def forward(self, x, sigma, cond=None):
            self.asked.append(x)
            return z - x_0

    net, sigma = model.PredFlow(Answer)(), torch.tensor(0.3)
    assert net.get_loss(x_0, sigma, z) == 0
    (state,) = net.asked
    assert torch.allclose(state, (1 - sigma) * x_0 + sigma * z)
    assert torch.allclose(state / (1 - sigma), x_0 + sigma / (1 - sigma) * z, atol=1e-6)
    for schedule in (flows.ScheduleFlow(), flows.ScheduleLogNormalFlow()):
        assert 0 < schedule.sigmas.min() < schedule.sigmas.max() == 1
        assert schedule.sample_batch(x_0).max() <= 1


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


def test_five_lines_of_the_guess_agree_as_its_solution_says():
    asked = ("diffusers_ddpm_step", "diffusers_x_0", "lucid_beta_200", "small_guidance", "azula_eta")
    assert [judge(RECORD["rows"][key]) == "equal" for key in asked] == [True, False, False, True, False]


def test_average_of_the_rows_is_a_weighted_mean():
    weights = torch.tensor([1.0, 2.0, 4.0])
    assert average(weights, lambda k: 1 - k / 4).item() == pytest.approx(((1 * 0.75 + 2 * 0.25) + 4) / 2)
    assert average(weights, lambda k: 0).item() == 4
    assert average(weights, lambda k: 1).item() == 1


def test_a_difference_is_measured_against_the_largest_number():
    assert rosetta.off(torch.tensor([1.0, 4.0]), torch.tensor([1.0, 5.0])) == pytest.approx(0.2)
    assert math.isclose(rosetta.off(torch.tensor(2.0), torch.tensor(2.0)), 0)
    with pytest.raises(ValueError, match="theirs"):
        rosetta.off(torch.zeros(2), torch.ones(3))


def test_what_is_missing_is_still_missing_after_an_import():
    """Other tests ask whether torchvision is there, and a stand-in that was left behind would answer."""
    pytest.importorskip("smalldiffusion")
    import_peer("smalldiffusion")
    assert not isinstance(sys.modules.get("torchvision"), Mock)


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


def import_plugin(name):
    """A plugin of azula, without what it downloads with."""
    with patch.dict(sys.modules, {"gdown": Mock()}):
        return import_peer(f"azula.plugins.{name}")


def test_plugin_of_azula_clips_the_mean_if_asked():
    from libraries.wrap_azula import Weights

    class Answer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x, k, y=None):
            return x

    adm, schedule, t = import_plugin("adm"), linear_schedule(), torch.arange(1, T + 1)
    denoiser = adm.AblatedDenoiser(Answer(), Weights()).eval()
    x_t = 2 * torch.ones(T, 1, 1, 1)
    mean = denoiser(x_t, t / T).mean
    assert rosetta.off(mean, predict_x_0(schedule, x_t, t, x_t)) < 1e-5
    clipped = adm.AblatedDenoiser(Answer(), Weights(), clip_mean=True)
    assert clipped.eval()(x_t, t / T).mean.abs().max() == 1
    assert clipped.train()(x_t, t / T).mean.abs().max() > 1
    assert inspect.signature(adm.make_model).parameters["clip_mean"].default is True
    assert inspect.signature(adm.AblatedDenoiser).parameters["clip_mean"].default is False


def test_other_plugin_of_azula_takes_a_network_of_z():
    """Read in the source, because the module wants packages that are not installed everywhere."""
    folder = Path(rosetta.find_spec("azula").origin).parent / "plugins"
    text = (folder / "sd" / "__init__.py").read_text(encoding="utf8")
    assert 'prediction: str = "epsilon"' in text
    assert "torch.searchsorted(self.sigmas" in text
    users = [path.parent.name for path in folder.glob("*/__init__.py") if "clip_mean" in path.read_text("utf8")]
    assert users == ["adm"]


def test_schedules_of_azula_end_with_a_little_noise():
    noise = import_peer("azula.noise")
    for name in ("VPSchedule", "VESchedule", "CosineSchedule", "RectifiedSchedule", "DecaySchedule"):
        _, sigma = getattr(noise, name)()(torch.zeros(1))
        assert sigma.item() == pytest.approx(0.001, rel=1e-3), name


def test_guided_network_of_lucid_drops_labels_in_eval_mode():
    module = import_peer("denoising_diffusion_pytorch.classifier_free_guidance")
    torch.manual_seed(0)
    net = module.Unet(dim=8, num_classes=2, dim_mults=(1,), channels=1).eval()
    x, k, c = torch.randn(8, 1, 8, 8), torch.full((8,), 10), torch.ones(8, dtype=torch.int64)
    with torch.no_grad():
        one, two = net(x, k, c), net(x, k, c)
        same = [net(x, k, c, cond_drop_prob=0.0) for _ in range(2)]
    assert not torch.equal(one, two)
    assert torch.equal(*same)


def list_assigned(function):
    """The names that a function assigns, in the order of its lines; the branches of one `if` count once."""

    def names_of(target):
        parts = target.elts if isinstance(target, ast.Tuple) else [target]
        return [part.value if isinstance(part, ast.Starred) else part for part in parts]

    def walk(body):
        for line in body:
            if isinstance(line, ast.Assign):
                yield from (name.id for target in line.targets for name in names_of(target))
            elif isinstance(line, ast.If):
                yield from dict.fromkeys([*walk(line.body), *walk(line.orelse)])

    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body
    return list(walk(tree.body))


def find_file_table():
    """The lines of the table of a file: what is assigned, what it is, and what is overlooked."""
    text = "".join(find_cell("file-text")["source"])
    return re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", text, re.M)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_names_of_a_file_are_assigned_in_the_order_of_the_table():
    """The chapter names the version; a later one may differ."""
    diffusers = import_peer("diffusers")
    assert f"of diffusers {RECORD['versions']['diffusers']}, in" in "".join(find_cell("file-text")["source"])
    if version("diffusers") != RECORD["versions"]["diffusers"]:
        pytest.skip("another version of diffusers than the record's")
    assert [name for name, *_ in find_file_table()] == list_assigned(diffusers.DDIMScheduler.step)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(("again", "eta"), [(False, 0.5), (True, 0.5), (False, 0.0)])
def test_names_of_a_file_hold_what_the_table_says(again, eta):
    """The local names of a step from our t = 501 to 481, when it returns."""
    scheduler, schedule, t, s = import_peer("diffusers").DDIMScheduler(), linear_schedule(), 501, 481
    scheduler.set_timesteps(50)
    x_t, z_hat, fresh = draw()
    kept = {}

    def keep(frame, event, _):
        if event == "return" and frame.f_code is type(scheduler).step.__code__:
            kept.update(frame.f_locals)

    given = {"variance_noise": fresh} if eta else {}
    sys.setprofile(keep)
    try:
        scheduler.step(z_hat, t - 1, x_t, eta=eta, use_clipped_model_output=again, **given)
    finally:
        sys.setprofile(None)
    now, then = schedule.alpha_bar[t], schedule.alpha_bar[s]
    x_0_hat = predict_x_0(schedule, x_t, t, z_hat).clamp(-1, 1)
    noise = predict_z(schedule, x_t, t, x_0_hat) if again else z_hat
    sigma = eta * ((1 - then) / (1 - now)).sqrt() * (1 - now / then).sqrt()
    stays = (1 - then - sigma**2).sqrt() * noise
    ours = {
        "prev_timestep": torch.tensor(s - 1),
        "alpha_prod_t": now,
        "alpha_prod_t_prev": then,
        "beta_prod_t": 1 - now,
        "pred_original_sample": x_0_hat,
        "pred_epsilon": noise,
        "pred_sample_direction": stays,
        "prev_sample": then.sqrt() * x_0_hat + stays + sigma * fresh,
    }
    ours |= {"std_dev_t": sigma, "variance": sigma * fresh, "variance_noise": fresh} if eta else {}
    assert set(ours) | {"std_dev_t", "variance", "variance_noise"} == {name for name, *_ in find_file_table()}
    for name, number in ours.items():
        assert rosetta.off(kept[name], number) < 2e-5, name
    if again:
        still = ddim_step(schedule, x_t, t, s, z_hat, fresh, eta=eta)
        assert rosetta.off(kept["prev_sample"], still) < 1e-5
    assert scheduler.final_alpha_cumprod == 1
    ends = type(scheduler)(set_alpha_to_one=False)
    assert float(ends.final_alpha_cumprod) == pytest.approx(schedule.alpha_bar[1].item())


def test_methods_of_the_exercise_are_those_of_its_solution():
    """Where the mean is assigned, where the clip is, and whose logarithm the deviation comes from."""
    package = import_peer("denoising_diffusion_pytorch.denoising_diffusion_pytorch").GaussianDiffusion
    exercise, solution = "".join(find_cell("rosetta-read-exercise")["source"]).split("{solution}")
    assert f"[version {RECORD['versions']['denoising-diffusion-pytorch']}]" in exercise
    if version("denoising-diffusion-pytorch") != RECORD["versions"]["denoising-diffusion-pytorch"]:
        pytest.skip("another version of denoising-diffusion-pytorch than the record's")
    posterior, mean, sample = (
        (list_assigned(function), re.sub(r"\s+", " ", inspect.getsource(inspect.unwrap(function))))
        for function in (package.q_posterior, package.p_mean_variance, package.p_sample)
    )
    assert posterior[0] == ["posterior_mean", "posterior_variance", "posterior_log_variance_clipped"]
    assert re.search(
        r"posterior_mean_coef1, t, x_t.shape\) \* x_start \+ .*posterior_mean_coef2.* \* x_t ", posterior[1]
    )
    assert mean[0] == ["preds", "x_start", "model_mean", "posterior_variance", "posterior_log_variance"]
    assert mean[1].index("x_start.clamp_(-1., 1.)") < mean[1].index("self.q_posterior(")
    assert "clip_denoised = True)" in sample[1].split(":", 1)[1]
    assert "model_mean, _, model_log_variance, x_start = self.p_mean_variance(" in sample[1]
    assert "(0.5 * model_log_variance).exp() * noise" in sample[1]
    assert "torch.randn_like(x) if t > 0 else 0." in sample[1]
    for word in re.findall("`([A-Za-z_.0-9 =()*]+)`", solution):
        assert word in " ".join((posterior[1], mean[1], sample[1])), word
    (table,) = (line for line in RECORD["names"]["denoising-diffusion-pytorch"]["lines"] if "log_var" in line["theirs"])
    assert table["ours"] == "torch.clamp(beta_tilde[t], min=1e-20).log()"


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
