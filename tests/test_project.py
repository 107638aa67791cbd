"""The files that install, pin and publish the project agree with one another; nothing is fetched."""

import re
import tomllib
from functools import partial
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def pins():
    """{name: version} of constraints.txt; a line that is no exact pin is an error."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf8").splitlines()
    found = {}
    for line in lines:
        if line and not line.startswith("#"):
            assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line), line
            name, version = line.split("==")
            found[canonicalize_name(name)] = Version(version)
    return found


def test_conda_environment_is_a_thin_shell():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf8"))
    assert environment["channels"] == ["conda-forge"]
    *conda, pip = environment["dependencies"]
    names = {re.split(r"[=<>]", item)[0]: item for item in conda}
    assert set(names) == {"python", "pip"}
    version = names["python"].split("=")[1]
    assert SpecifierSet(PROJECT["requires-python"]).contains(version)

    constraint, editable = pip["pip"]
    assert (ROOT / constraint.removeprefix("-c ")).is_file()
    wanted = re.fullmatch(r"-e \.\[([\w,]+)\]", editable).group(1)
    assert set(wanted.split(",")) <= set(EXTRAS)


def test_every_dependency_is_pinned_to_a_version_it_allows():
    pinned = pins()
    wanted = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        if name == PROJECT["name"]:
            assert requirement.extras <= set(EXTRAS)
        else:
            assert requirement.specifier.contains(pinned[name]), str(requirement)


def test_version_is_said_once_more_in_the_citation_only():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["title"] == yaml.safe_load((ROOT / "_config.yml").read_text("utf8"))["title"]


def test_ci_runs_what_a_desk_runs():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf8"))
    steps = [step.get("run") for step in workflow["jobs"]["test"]["steps"]]
    assert ".ci/run" in steps
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf8")


def test_ci_covers_every_python_and_system_that_is_promised():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf8"))["jobs"]
    (whole,) = (
        step["with"]["python-version"] for step in jobs["test"]["steps"] if "setup-python" in step.get("uses", "")
    )
    others = jobs["unit"]["strategy"]["matrix"]["include"]
    said = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", line)]
    assert sorted({whole, *(one["python"] for one in others)}) == sorted(said)
    assert {one["os"] for one in others} == {"ubuntu-latest", "macos-latest", "windows-latest"}
    assert Version(min(said, key=Version)) == Version(PROJECT["requires-python"].removeprefix(">="))
    (lowest,) = (
        step["with"]["python-version"] for step in jobs["lowest"]["steps"] if "setup-python" in step.get("uses", "")
    )
    assert lowest == min(said, key=Version)
    # The pages are published only where the whole gate was green, with or without the other forms of the book.
    assert jobs["publish"]["needs"] == ["test", "pages"]
    (forms,) = (step for step in jobs["pages"]["steps"] if step.get("id") == "forms")
    assert forms["continue-on-error"]
    assert "needs" not in jobs["pages"]


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/workflows/*.yml")), ids=lambda path: path.stem)
def test_workflows_call_what_is_there(path):
    text = path.read_text(encoding="utf8")
    for name in re.findall(r"(?:^|\s)((?:\.ci|tools)/[\w./-]+)", text, re.M):
        assert (ROOT / name).is_file(), name
    targets = set(re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text("utf8"), re.M)[1].split())
    jobs = yaml.safe_load(text)["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    for line in "\n".join(step.get("run", "") for step in steps).splitlines():
        if line.startswith("make "):
            asked = {word for word in line.split()[1:] if not word.startswith("-")}
            assert asked
            assert asked <= targets, line
    for name, job in jobs.items():
        assert 0 < job["timeout-minutes"] <= 90, name
        needs = job.get("needs", [])
        assert {needs} if isinstance(needs, str) else set(needs) <= set(jobs), name
    passed_on = {
        kind: {step["with"]["name"] for step in steps if f"{kind}-artifact@" in step.get("uses", "")}
        for kind in ("actions/upload", "actions/download")
    }
    assert passed_on["actions/download"] <= passed_on["actions/upload"]


def test_scripts_of_ci_can_be_run():
    assert (ROOT / ".ci/unit").stat().st_mode & 0o111


def test_the_step_of_contributing_is_of_second_order():
    """It runs as written there; on Gaussian data it comes far nearer to the exact end than DDIM's, of first order."""
    import torch

    from ddpm_lite import GaussianChain, ddim_step, last, linear_schedule, respace, sample

    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf8")
    (code,) = (
        block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "def straight_heun_step" in block
    )
    names = {}
    exec(code, names)
    schedule = linear_schedule()
    oracle, a = GaussianChain(schedule, 0.3, 0.6), schedule.alpha_bar[-1]
    x_T = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    exact = 0.3 + 0.6 * (x_T - a.sqrt() * 0.3) / (a * 0.36 + 1 - a).sqrt()
    errors = []
    for step in (names["straight_heun_step"], partial(ddim_step, clip=False)):
        walk = sample(oracle, respace(schedule, 200), x_T.shape, step=step, x_T=x_T, dtype=torch.float64)
        errors.append((last(walk)[1] - exact).abs().max().item())
    assert errors[0] < 0.1 * errors[1], errors


def test_no_two_files_of_tests_have_one_name():
    """Outside of packages pytest knows a file by its name alone, and collects only the first of two."""
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if not (path.parent / "__init__.py").exists()]
    assert len({path.name for path in files}) == len(files) > 50
