"""The dictionary of chapter 14, and the file that it reads line by line: their names are those of the libraries."""

import ast
import inspect
import re
import sys
import textwrap
from importlib.metadata import version
from pathlib import Path

import pytest
import rosetta
import torch
from libraries.row import (
    SHOWN,
    draw,
    import_peer,
)
from packaging.version import Version
from rosetta_pages import RECORD, find_cell

from ddpm_lite import (
    ddim_step,
    linear_schedule,
)
from ddpm_lite.process import predict_x_0, predict_z


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


def find_sources(library, folder):
    """The files of a library that its rows name."""
    named = {made["place"].partition(":")[0] for made in RECORD["rows"].values() if made["library"] == library}
    return [folder / name for name in named if (folder / name).is_file()]


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
