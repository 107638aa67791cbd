"""The displayed equations of the book, read from its notebooks."""

import re
from dataclasses import dataclass
from pathlib import Path

import notebooks

ROOT = Path(__file__).resolve().parents[2]

CODE = re.compile(r"^(?P<f>`{3,})(?!\{)[^\n]*\n.*?^(?P=f)\s*$|`[^`\n]+`", re.M | re.S)
DISPLAY = re.compile(
    r"\$\$(?P<dollars>.+?)\$\$[ \t]*(?:\((?P<label>[^)\s]+)\))?"
    r"|^[`:]{3,}\{math\}[^\n]*\n(?P<options>(?:[ \t]*:[\w-]+:[^\n]*\n)*)(?P<fenced>.*?)^[`:]{3,}\s*$",
    re.M | re.S,
)
OPTION = re.compile(r":label:\s*(\S+)")
TARGET = re.compile(r"^\(([\w-]+)\)=\s*$", re.M)


@dataclass(frozen=True)
class Display:
    """One displayed equation: where it stands, its label (or None) and its LaTeX."""

    chapter: str
    label: str | None
    tex: str


def in_text(text, chapter=""):
    """The displays of a Markdown text."""
    for found in DISPLAY.finditer(CODE.sub("", text)):
        label = found["label"]
        if found["fenced"] is not None and (option := OPTION.search(found["options"])):
            label = option[1]
        yield Display(chapter, label, (found["dollars"] or found["fenced"]).strip())


def in_notebook(path):
    """The displays of one notebook."""
    for cell in notebooks.read(Path(path))["cells"]:
        if cell["cell_type"] == "markdown":
            yield from in_text(cell["source"], Path(path).stem)


def in_book():
    """The displays of every notebook of the table of contents, in reading order."""
    return [display for path in notebooks.chapters(ROOT) for display in in_notebook(path)]


def chapters():
    """The notebooks of the table of contents."""
    return notebooks.chapters(ROOT)


def targets():
    """The names of (target)= lines, such as alg-training."""
    found = set()
    for path in chapters():
        for cell in notebooks.read(Path(path))["cells"]:
            if cell["cell_type"] == "markdown":
                found.update(TARGET.findall(cell["source"]))
    return found
