"""The page of notation says what every letter of every displayed equation means, and says it once.

A machine can see which letters a chapter displays, not what they mean; so a meaning is held by there being one.
"""

import re
from pathlib import Path

import notebooks
import pytest
from equations.source import in_notebook

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = [path for path in notebooks.chapters() if path.stem[:2].isdigit()]
APPENDED = {"14_other_peoples_code": ("solvers", "cases")}  # pages whose letters are in the row of a chapter
every_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
PAGE = (ROOT / "book" / "notation.md").read_text(encoding="utf8")
MATH = re.compile(r"\$([^$]+)\$")

# What every reader of mathematics knows, what is free in each derivation, and what counts.
STANDARD = {
    r"\exp",
    r"\log",
    r"\cos",
    r"\sin",
    r"\tan",
    r"\tanh",
    r"\min",
    r"\sum",
    r"\prod",
    r"\int",
    r"\partial",
    r"\pi",
}
FREE = {"a", "b", "f", "g", "u"}
COUNTING = {"i", "j"}

# What is no letter: names of functions, layout, the d of dx, the q of an expectation under q, and (p || q).
NO_LETTERS = re.compile(
    r"\\(?:left|right)(?![a-zA-Z])"
    r"|\\(?:text|begin|end)\{[^}]*\}|\\operatorname\{(?!Var|Cov)\w+\}|\\mathrm\{[a-z]\w*\}|\\\\\[\w+\]"
    r"|\\(?:frac|sqrt|cdot|c?dots|q?quad|mid|leq?|geq?|ne|approx|propto|in|to|sim|times|underbrace|top|infty|pm)(?![a-zA-Z])"
    r"|\\[lr](?:Vert|floor)(?![a-zA-Z])"
    r"|\\,\s*d\s*(?=[a-z])|(?<=\{)d\s+(?=[a-z\\])|(?<![a-zA-Z\\])d(?=[xyzu](?![a-zA-Z]))"
    r"|(?<=\\mathbb\{E\})_\{?q\}?|\(\s*[pq] \\,\\\|\\, [pq]\s*\)"
)
LETTER = re.compile(
    r"D_\{\\mathrm\{KL\}\}"
    r"|\\(?:tilde|hat|bar|mathbf|mathbb|mathcal|mathrm|operatorname)\s*\{?\\?[a-zA-Z]+\}?"
    r"|[pq](?:_\\(?:theta|sigma))?(?=\s*\()"
    r"|\\[a-zA-Z]+|[a-zA-Z]'*"
)
DENSITIES = {"q": r"q(\cdot)", r"q_\sigma": r"q(\cdot)", "p": r"p(\cdot)", r"p_\theta": r"p_\theta(\cdot)"}


def letters(tex):
    """The letters of a formula. Accents and primes belong to a letter; an index is a letter of its own."""
    tex, found = NO_LETTERS.sub(" ", tex), set()
    for match in LETTER.finditer(tex):
        letter = re.sub(r"\s|(?<=[a-z])\{(?=\w+\}$)", lambda part: part[0].strip(), match[0])
        density = re.match(r"\s*\(", tex[match.end() :]) and letter in DENSITIES
        found.add(DENSITIES[letter] if density else letter)
    return found


def rows(heading):
    """The cells of the table under a heading, row by row."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table[2:]]


def everywhere():
    """The letters that have one meaning in the whole book."""
    cells = [row[1] for heading in ("Time and schedule", "Images and noise") for row in rows(heading)]
    cells += [row[0] for row in rows("Distributions")]
    return {letter for cell in cells for tex in MATH.findall(cell) for letter in letters(tex)} - STANDARD


def local():
    """{chapter: its own letters, as listed}"""
    return {int(number): MATH.findall(text) for number, text in rows("Letters of one chapter")}


def displayed(path):
    """The letters of the displayed equations of a chapter, and of a page that is appended to it."""
    pages = [path, *(path.with_name(f"{name}.ipynb") for name in APPENDED.get(path.stem, ()))]
    return {letter for page in pages for display in in_notebook(page) for letter in letters(display.tex)}


@pytest.mark.parametrize(
    ("tex", "found"),
    [
        (r"\bar{\alpha}_t = \prod_{s=1}^{t} \alpha_s", {r"\bar{\alpha}", r"\alpha", "s", "t", r"\prod"}),
        (
            r"D_{\mathrm{KL}}(p \,\|\, q) = \int p(x) \log q(x) \, dx",
            {r"D_{\mathrm{KL}}", r"p(\cdot)", r"q(\cdot)", "x", r"\int", r"\log"},
        ),
        (r"L = \left(1 - p\right) L_c + \mathbb{E}_{q}\left[z'\right]", {"L", "p", "c", r"\mathbb{E}", "z'"}),
        (r"\frac{d y}{d \nu} = p_\theta\left(y\right) d", {"y", r"\nu", r"p_\theta(\cdot)", "d"}),
    ],
)
def test_letters_are_read_from_a_formula(tex, found):
    assert letters(tex) == found


@every_chapter
def test_every_displayed_letter_has_a_meaning(path):
    known = everywhere() | set(local()[int(path.stem[:2])]) | STANDARD | FREE | COUNTING
    assert displayed(path) - known == set(), "say in book/notation.md what it means"


@every_chapter
def test_a_chapters_own_letters_are_displayed_there(path):
    assert set(local()[int(path.stem[:2])]) - displayed(path) == set()


def test_no_letter_has_two_meanings():
    assert everywhere() & FREE == set()
    for chapter, own in local().items():
        assert len(own) == len(set(own)), chapter
        assert set(own) & (everywhere() | FREE | COUNTING) == set(), chapter


def test_every_chapter_has_a_row_and_every_letter_a_place():
    assert sorted(local()) == [int(path.stem[:2]) for path in CHAPTERS]
    used = set().union(*map(displayed, CHAPTERS))
    assert everywhere() - used == set()
