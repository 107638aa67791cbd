"""A chapter that was downloaded on its own finds its records, in an empty folder with the installed package."""

import ast
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted(ROOT.glob("book/*.ipynb"))
SHORT = {"02_forward_process", "07_attention"}  # the others run with `make alone`, and before a release
READERS = {"read_record", "read_pictures", "find_record", "from_record"}  # these look in the package too
FILES = {"Path", "open", "read_text", "read_bytes", "load_file", "load"}  # these do not


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with what the wheel installs."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run_alone(site, script, folder):
    """Run a script in a folder, with the wheel's package in front of the one that is worked on."""
    start = f"import sys; sys.path.insert(0, {str(site)!r})\n"
    done = subprocess.run([sys.executable, "-I", "-c", start + script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def trees(path):
    """The parsed code cells of a chapter."""
    cells = nbformat.read(path, as_version=4).cells
    return [ast.parse(cell.source) for cell in cells if cell.cell_type == "code"]


def name_of(call):
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def read_by(tree):
    """The names of the functions that read a text with "results" in it, or a name that holds one."""
    held = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant | ast.JoinedStr) and says(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return {
        name_of(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for value in node.args
        if says(value) or (isinstance(value, ast.Name) and value.id in held)
    }


def says(node):
    texts = [node] if isinstance(node, ast.Constant) else getattr(node, "values", [])
    return any(isinstance(text, ast.Constant) and str(text.value).startswith("results") for text in texts)


def test_every_record_and_its_command_come_with_the_wheel(site, tmp_path):
    listed = set(json.loads((ROOT / "book/results/commands.json").read_text("utf8")))
    script = """
import json
from ddpm_lite.files.records import COMMANDS, PACKAGE, find_record, read_pictures, read_record
assert str(PACKAGE).startswith(sys.path[0]), PACKAGE
for name in read_record(f"results/{COMMANDS}"):
    (read_record if name.endswith(".json") else read_pictures)(f"results/{name}")
    assert find_record(f"results/{name}").is_relative_to(PACKAGE)
    print(name)
"""
    assert set(run_alone(site, script, tmp_path).split()) == listed


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapters_read_records_in_ways_that_look_in_the_package(path):
    for tree in trees(path):
        found = read_by(tree)
        assert not found & FILES, ast.unparse(tree)
        if any(says(node) for node in ast.walk(tree)):
            assert found & READERS, ast.unparse(tree)


def test_some_chapters_read_records():
    assert sum(any(read_by(tree) & READERS for tree in trees(path)) for path in CHAPTERS) >= 7


def test_a_record_in_the_folder_comes_first(tmp_path, monkeypatch):
    from ddpm_lite.files.records import find_record, read_record

    monkeypatch.chdir(tmp_path)
    shipped = read_record("results/steps.json")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "steps.json").write_text('{"mine": 1}')
    assert read_record("results/steps.json") == {"mine": 1} != shipped
    assert find_record("results/none.json") == Path("results/none.json")
    assert find_record("results") == Path("results")
    assert find_record("elsewhere/steps.json") == Path("elsewhere/steps.json")
    with pytest.raises(FileNotFoundError, match="^path: expected a recorded run"):
        read_record("results/none.json")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_file_that_a_chapter_names_is_a_record(path):
    """A file of the repository that is no record would be missing where there is only the wheel."""
    named = {node.value for tree in trees(path) for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    files = {text for text in named if isinstance(text, str) and is_file_here(text)}
    assert {text for text in files if not text.startswith("results/")} == set()


def is_file_here(text):
    return len(text) < 200 and text.isprintable() and any((ROOT / top / text).is_file() for top in ("", "book"))


def test_files_are_noticed():
    assert is_file_here("results/steps.json")
    assert is_file_here("images/clothes.png")
    assert is_file_here("../README.md")
    assert not is_file_here("results")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=pytest.mark.slow if path.stem in SHORT else pytest.mark.alone, id=path.stem)
        for path in CHAPTERS
    ],
)
def test_a_chapter_runs_alone(path, site):
    """By the script of the release, with the wheel's package in front of the one that is worked on."""
    command = [sys.executable, str(ROOT / "tools" / "run_alone.py"), str(path)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{path.stem}: ran to its end" in done.stdout
