"""What is released, what is checked before, and the hooks and forms for contributors; nothing is fetched."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import check_release
import pytest
import yaml
from PIL import Image

import hatch_build

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]


def build(target, source, folder):
    """The path of the archive that hatchling makes of the tree in `source`."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (path,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The folder that the source distribution unpacks into."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", ROOT, folder)) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (top,) = (folder / "unpacked").iterdir()
    return top


def sources():
    """The files of the package, as paths from the root."""
    paths = [path for path in ROOT.glob("ddpm_lite/**/*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(ROOT).as_posix() for path in paths}


def records():
    """What chapters read, as paths below book."""
    paths = [path for path in ROOT.glob("book/results/**/*") if path.is_file()]
    return {path.relative_to(ROOT / "book").as_posix() for path in paths}


def test_wheel_holds_the_package_and_its_records_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name for name in names if ".dist-info/" not in name} == sources() | {
        f"ddpm_lite/{name}" for name in records()
    }
    assert sources()
    assert records()
    assert wheel.stat().st_size < 10e6
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_source_distribution_carries_nothing_that_needs_the_repository(unpacked):
    others = {
        "hatch_build.py",
        "README.md",
        "CHANGELOG.md",
        "CITATION.cff",
        "LICENSE",
        "LICENSE-TEXT",
        "pyproject.toml",
        "PKG-INFO",
    }
    found = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert found - {".gitignore"} == sources() | {f"book/{name}" for name in records()} | others


def test_wheel_from_the_source_distribution_is_the_wheel(unpacked, wheel, tmp_path):
    def content(path):
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist() if not name.endswith("RECORD")}

    assert content(build("wheel", unpacked, tmp_path)) == content(wheel)


def test_the_packages_page_has_no_broken_picture_and_no_dead_link(wheel):
    """What shows it knows the README alone, and not the files beside it."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        shown = archive.read(name).decode()
    readme = (ROOT / "README.md").read_text(encoding="utf8")
    relative = re.compile(r"\]\((?!https?:|#)([^)]+)\)")
    there = relative.findall(readme)
    assert "book/images/preview.png" in there
    assert "CONTRIBUTING.md" in there
    assert relative.findall(shown) == []
    assert "CONTRIBUTING.md explains how" in shown or PROJECT.get("urls")
    assert len(shown) > 0.9 * len(readme)
    # Once there is an address.
    full = hatch_build.describe(readme, "https://github.com/someone/ddpm-lite")
    assert relative.findall(full) == []
    for path in there:
        kind = "raw" if path.endswith(".png") else "blob"
        assert f"(https://github.com/someone/ddpm-lite/{kind}/main/{path})" in full
        assert (ROOT / path).is_file()


@pytest.mark.slow
def test_installed_wheel_draws_a_sneaker(wheel, tmp_path):
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(command, check=True, capture_output=True)
    program = site / ("Scripts" if sys.platform == "win32" else "bin") / "ddpm-lite"
    words = ["sample", "fashion", "--label", "sneaker", "--count", "2", "--steps", "5", "--out", "sneaker.png"]
    # Isolated, so that neither the working copy nor an editable install of it can be what runs.
    start = f"import sys; sys.path.insert(0, {str(site)!r}); sys.argv[0] = {str(program)!r}; "
    script = start + "import ddpm_lite; print(ddpm_lite.__file__); from ddpm_lite.cli.commands import start; start()"
    done = subprocess.run([sys.executable, "-I", "-c", script, *words], cwd=empty, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[0]) == site / "ddpm_lite" / "__init__.py"
    assert "ddpm_lite.cli.commands" in program.read_text(encoding="utf8")
    with Image.open(empty / "sneaker.png") as picture:
        assert len(set(picture.get_flattened_data())) > 50


@pytest.fixture
def copied(tmp_path):
    """The files that tell the version, with a changelog of a release."""
    for name in ("pyproject.toml", "ddpm_lite/__init__.py", "CITATION.cff", "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    path, released = tmp_path / "CHANGELOG.md", f"## {PROJECT['version']} (2026-01-02)"
    path.write_text(re.sub("^## .*", released, path.read_text("utf8"), count=1, flags=re.M), encoding="utf8")
    return tmp_path


def test_release_needs_one_version_everywhere(copied):
    tag = f"v{PROJECT['version']}"
    assert check_release.find_faults(tag, copied) == []
    assert [fault.partition(":")[0] for fault in check_release.find_faults("v9.9.9", copied)] == [
        "pyproject.toml",
        "ddpm_lite/__init__.py",
        "CITATION.cff",
        "CHANGELOG.md",
    ]


@pytest.mark.parametrize("name", ["ddpm_lite/__init__.py", "CITATION.cff", "CHANGELOG.md"])
def test_release_stops_at_a_file_that_was_forgotten(name, copied):
    path = copied / name
    path.write_text(path.read_text("utf8").replace(PROJECT["version"], "0.0.7"), encoding="utf8")
    (fault,) = check_release.find_faults(f"v{PROJECT['version']}", copied)
    assert fault.startswith(f"{name}: expected version {PROJECT['version']}")
    assert "0.0.7" in fault


def test_changelog_opens_with_the_version_of_the_package():
    headings = re.findall("^## (\\S+) ", (ROOT / "CHANGELOG.md").read_text("utf8"), re.M)
    assert headings[0] == PROJECT["version"]
    assert len(set(headings)) == len(headings)


def test_nothing_is_published_before_both_archives_drew():
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text("utf8"))["jobs"]
    build, draw, publish = (jobs[name] for name in ("build", "draw", "publish"))
    assert (draw["needs"], publish["needs"], jobs["forms"]["needs"]) == (
        "build",
        ["draw", "chapters"],
        ["draw", "chapters"],
    )
    assert any(step.get("run", "").startswith("python tools/check_release.py") for step in build["steps"])
    drawn = [step["run"] for step in draw["steps"] if "run" in step]
    assert "ddpm-lite sample fashion --label sneaker --out sneaker.png" in drawn
    assert not any("checkout" in step.get("uses", "") for step in draw["steps"])
    # Trusted publishing: an identity instead of a password, and for this one job.
    assert publish["permissions"] == {"id-token": "write"}
    assert not any("permissions" in job for job in (build, draw))
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text("utf8")


def test_hooks_run_the_tools_of_make_lint():
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text("utf8"), re.M)[1]
    made = set(re.findall(r"\$\(BIN\)/((?:ruff |python )?[\w./-]+)", recipe))
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf8"))["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]  # the environment's own tools: no second list of versions
    hooked = {re.match(r"\.venv/bin/((?:ruff |python )?[\w./-]+)", hook["entry"])[1] for hook in hooks[0]["hooks"]}
    assert hooked == made
    assert {hook["language"] for hook in hooks[0]["hooks"]} == {"system"}


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")), ids=lambda path: path.stem)
def test_forms_ask_for_what_an_answer_needs(path):
    form = yaml.safe_load(path.read_text("utf8"))
    if path.stem == "config":
        assert form == {"blank_issues_enabled": True}
        return
    assert {"name", "description", "body"} <= set(form)
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] and field["validations"]["required"] for field in fields)


def test_addresses_stand_in_one_place():
    urls = PROJECT.get("urls", {})
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf8"))
    assert citation.get("repository-code") == urls.get("Repository")
    assert citation.get("url") == urls.get("Documentation")
    settings = yaml.safe_load((ROOT / "_config.yml").read_text("utf8"))
    assert "repository" not in settings  # book/_ext takes it over
    assert not settings["html"].get("baseurl")
