"""The table of other libraries: every row is computed again with what is installed, and compared with the record."""

import ast
import dataclasses
import math
import re
import statistics
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from unittest.mock import Mock

import pytest
import rosetta
import torch
from equations import source
from libraries.row import (
    LOOPS,
    NO_COUNTERPART,
    REASONS,
    SHOWN,
    average,
    compute_step,
    give_guidance,
    import_peer,
    translate,
)
from libraries.scales import find_default
from packaging.version import Version
from rosetta_pages import RECORD, ROOT

from ddpm_lite import (
    linear_schedule,
)

PINS = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf8"), re.M))

PEERS = ("azula", "denoising-diffusion-pytorch", "einops", "ema-pytorch", "smalldiffusion")


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


def test_weights_of_the_training_step_are_below_1_and_at_1():
    """Times with an SNR above 5 and below it; with one kind alone the line would show nothing."""
    *_, (theirs, ours) = compute_step(LOOPS["diffusers"])
    for weights in (theirs, ours):
        assert (weights < 0.9).sum() >= 3
        assert (weights == 1).sum() >= 2


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


def test_what_is_missing_is_still_missing_after_an_import(monkeypatch):
    """Other tests ask whether torchvision is there, and a stand-in that was left behind would answer."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "smalldiffusion"]:
        monkeypatch.delitem(sys.modules, name)  # else nothing is imported
    assert import_peer("smalldiffusion").ScheduleDDPM
    assert not isinstance(sys.modules.get("torchvision"), Mock)
