"""Recorded runs: each has the command that makes it, and a book without one of them is not built."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import notebooks
import numpy as np
import pytest
from safetensors.numpy import save_file

from ddpm_lite.files.records import COMMANDS, find_version, read_pictures, read_record

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "book" / "results"
LISTED = json.loads((RESULTS / COMMANDS).read_text(encoding="utf8"))
READ = re.compile(r"[\w/-]+\.(?:json|safetensors)\b")


def test_every_record_that_a_chapter_reads_has_its_command():
    kept = {path.relative_to(RESULTS).as_posix() for path in RESULTS.rglob("*.*") if path.name != COMMANDS}
    read = set()
    for path in notebooks.chapters(ROOT):
        for cell in notebooks.read(path)["cells"]:
            found = READ.findall(cell["source"]) if cell["cell_type"] == "code" else []
            read |= {name for name in kept for word in found if word.endswith(name.rsplit("/", 1)[-1])}
    assert len(read) >= 4
    assert read - set(LISTED) == set()


def test_records_are_there_and_were_made_by_the_command():
    for name, command in LISTED.items():
        assert (RESULTS / name).is_file(), name
        if name.endswith(".json"):
            assert command.startswith(read_record(RESULTS / name)["command"].strip())  # that of digits is older


def test_commands_name_scripts_that_exist():
    for command in LISTED.values():
        _, script, *rest = command.split()
        assert (ROOT / script).is_file() or [script, rest[0]] == ["-m", "ddpm_lite"], command


def find_commits(record):
    """Every commit that a record names, also in its parts."""
    if isinstance(record, list):
        return set().union(*map(find_commits, record))
    if not isinstance(record, dict):
        return set()
    return ({record["commit"]} if "commit" in record else set()).union(*map(find_commits, record.values()))


def ask_git(*words):
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip()


def test_records_name_commits_of_the_history():
    """A commit that was rebased away says nothing to a reader. A shallow clone holds no history, and knows the form."""
    named = {path.name: find_commits(read_record(path)) for path in RESULTS.rglob("*.json")}
    assert sum(map(bool, named.values())) >= 20
    whole = ask_git("rev-parse", "--is-shallow-repository") == (0, "false")
    for name, commits in named.items():
        for commit in commits:
            assert re.fullmatch(r"[0-9a-f]{40}", commit), name
            assert not whole or ask_git("merge-base", "--is-ancestor", commit, "HEAD")[0] == 0, (name, commit)


def test_thirty_kills_are_recorded_and_changed_no_bit():
    record = read_record(RESULTS / "kill-and-resume.json")
    assert sum(record["kills"].values()) >= 30
    assert record["kills"]["inside a save"] >= 5
    assert set(record["sha256"]) == {"weights", "average", "moments"}
    assert all(found["killed"] == found["never stopped"] for found in record["sha256"].values())
    assert record["the losses are equal"] is True


def test_record_that_is_not_there_is_named_with_its_command(tmp_path):
    (tmp_path / COMMANDS).write_text('{"steps.json": "python studies/study_steps.py"}')
    with pytest.raises(FileNotFoundError, match=r"^path: .*/steps.json', which .*; make it again: python studies/stu"):
        read_record(tmp_path / "steps.json")
    with pytest.raises(
        FileNotFoundError, match=r"^path: expected a recorded run, got .*/other.json', which does not exist$"
    ):
        read_record(tmp_path / "other.json")


def test_pictures_come_back_in_their_range_and_missing_ones_are_named(tmp_path):
    save_file({"new": np.array([[[[0, 255, 51]]]], np.uint8), "times": np.array([3])}, tmp_path / "a.safetensors")
    pictures = read_pictures(tmp_path / "a.safetensors")
    assert list(pictures) == ["new"]
    assert pictures["new"].flatten().tolist() == pytest.approx([-1, 1, -0.6])
    (tmp_path / COMMANDS).write_text('{"widgets/b.safetensors": "python studies/record_widgets.py b"}')
    with pytest.raises(FileNotFoundError, match=r"b.safetensors', which .*; make it again: python studies/record_w"):
        read_pictures(tmp_path / "widgets" / "b.safetensors")


@pytest.mark.parametrize("gone", ["steps.json", "widgets/self-attention.safetensors"])
def test_book_without_a_record_is_not_built(tmp_path, gone):
    shutil.copytree(RESULTS, tmp_path / "results")
    conf = f"""
import sys
sys.path.insert(0, {str(ROOT / "book" / "_ext")!r})
extensions, html_theme = ["ddpm_book.records"], "basic"
ddpm_records = "results/{COMMANDS}"
"""
    (tmp_path / "conf.py").write_text(conf)
    (tmp_path / "index.rst").write_text("One\n===\n")

    def build():
        command = [sys.executable, "-m", "sphinx", "-q", ".", "out"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    whole = build()
    assert whole.returncode == 0, whole.stderr
    (tmp_path / "results" / gone).unlink()
    broken = build()
    assert broken.returncode != 0
    assert f"{gone} is missing: run {LISTED[gone]}" in broken.stderr


def test_a_package_that_runs_from_its_source_has_no_version():
    """A checkpoint names the versions it was made with; a source tree on the path has none for itself."""
    assert find_version("no such package") == "?"
    assert re.match(r"\d+\.\d+", find_version("torch"))
