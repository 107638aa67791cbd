"""What a visitor of the repository reads first: links that lead somewhere, commands and folders that are there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md"]
TEXTS += sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("ddpm_lite/pretrained/*.md"))
README = (ROOT / "README.md").read_text(encoding="utf8")
TARGETS = set(re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf8"), re.M)[1].split())


def read(name):
    """A text, with its code and without."""
    text = (ROOT / name).read_text(encoding="utf8")
    return text, re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", re.sub(r"^(`{3,}).*?^\1", "", text, flags=re.M | re.S))


def name_anchor(heading):
    """The anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_to_files_and_headings_that_are_there(name):
    words = read(name)[1]
    for target in re.findall(r"\]\(([^)\s]+)\)", words):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", read(path.relative_to(ROOT))[1], re.M)
            assert anchor in map(name_anchor, headings), target


@pytest.mark.parametrize("name", TEXTS)
def test_every_picture_says_what_it_shows(name):
    for words, _ in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", read(name)[1]):
        assert len(words) > 40


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_commands_are_there(name):
    text = read(name)[0]
    for line in re.findall(r"^make ([a-z -]+)", text, re.M) + re.findall(r"`make ([a-z -]+)`", text):
        assert set(line.split()) <= TARGETS, line
    for path in re.findall(r"\.venv/bin/python ((?:tools|studies|benchmarks)/[\w.]+)", text):
        assert (ROOT / path).is_file(), path


def test_readme_names_every_folder():
    table = README.partition("## What is where")[2]
    named = {
        name.rstrip("/") for row in re.findall(r"^\| (`.+?) \|", table, re.M) for name in re.findall("`([^`]+)`", row)
    }
    for name in named:
        assert (ROOT / name).exists(), name
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    # In an archive, which has no history, all folders are those of the project.
    listed = done.stdout.splitlines() or [path.relative_to(ROOT).as_posix() for path in ROOT.glob("*/*")]
    folders = {path.partition("/")[0] for path in listed if "/" in path}
    assert {"book", "tests", ".github"} <= folders
    assert folders - named == set()
    inside = {
        f"ddpm_lite/{path.parent.name}" for path in ROOT.glob("ddpm_lite/*/*") if path.parent.name != "__pycache__"
    }
    assert inside - named == {"ddpm_lite/_check"}
