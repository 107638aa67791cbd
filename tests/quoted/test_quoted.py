"""The book's sentences quote numbers that the chapter computes, and the rest is listed with its reason."""

import json
import math
import re
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from pybtex.database import parse_file

from ddpm_lite import cosine_schedule, linear_schedule

from . import compare, read

LEDGER = json.loads((Path(__file__).parent / "by_hand.json").read_text(encoding="utf8"))
CHAPTERS = dict(read.chapters())
BIBLIOGRAPHY = parse_file(str(read.ROOT / "book" / "references.bib")).entries
KINDS = {"computed", "cited", "given"}
LINEAR = linear_schedule(T=1000)
NAMES = {
    "T": 1000,
    "total": sum,
    "most": max,
    "zip": zip,
    "math": math,
    "mean": lambda values: statistics.mean(values),
    "record": lambda name: json.loads((read.ROOT / "book/results" / f"{name}.json").read_text(encoding="utf8")),
    "linear": linear_schedule,
    "first": lambda holds: next(T for T in range(2, 10**5) if holds(T)),
    "alpha_bars": lambda schedule: [float(value) for value in schedule.alpha_bar],
    "cosine": cosine_schedule(T=1000),
    "weak": linear_schedule(T=1000, beta_T=0.002),
    **{table: [float(value) for value in getattr(LINEAR, table)] for table in ("beta", "alpha", "alpha_bar", "snr")},
} | {name: getattr(math, name) for name in ("sqrt", "log", "log2", "exp", "pi", "erfc", "ceil")}

every_chapter = pytest.mark.parametrize("name", CHAPTERS)


def notebook(*cells):
    """Cells as a notebook stores them: a text is Markdown, a pair is code and what it prints."""
    return [
        {"cell_type": "markdown", "source": cell}
        if isinstance(cell, str)
        else {"cell_type": "code", "source": cell[0], "outputs": [{"text": cell[1]}]}
        for cell in cells
    ]


@every_chapter
def test_each_number_of_the_prose_is_computed_in_the_chapter_or_listed(name):
    found = {number.written for number, source in compare.compare(CHAPTERS[name], name) if source is None}
    listed = {entry["number"] for entry in LEDGER.get(name, [])}
    quoted = {n.written: f"cell {n.cell}: {n.sentence[:90]}" for n in read.quoted(CHAPTERS[name], name)}
    assert found == listed, (
        f"print these near their sentence, or list them in tests/quoted/by_hand.json: "
        f"{ {number: quoted[number] for number in found - listed} }; take these out of it: {listed - found}"
    )


@every_chapter
def test_what_the_list_computes_is_what_the_sentence_says(name):
    numbers = {number.written: number for number in read.quoted(CHAPTERS[name], name)}
    for entry in LEDGER.get(name, []):
        assert entry["kind"] in KINDS, entry
        assert entry["why"].strip(), entry
        if entry["kind"] == "computed":
            value = read.Fraction(float(eval(entry["why"], {"__builtins__": {}} | NAMES)))
            assert numbers[entry["number"]].agrees(value), f"{entry}: {float(value)}"


@every_chapter
def test_a_number_of_others_comes_from_a_source_that_the_chapter_cites(name):
    text = "\n".join("".join(cell["source"]) for cell in CHAPTERS[name] if cell["cell_type"] == "markdown")
    keys = {key for found in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text) for key in found.split(",")}
    cited = {"{} ({})".format(*read.name_source(BIBLIOGRAPHY[key])) for key in keys}
    for entry in LEDGER.get(name, []):
        if entry["kind"] == "cited":
            assert re.match(r".+? \(\d{4}[a-z]?\)", entry["why"])[0] in cited, entry


def test_a_changed_number_is_noticed_more_often_than_not():
    """One more or less in the last digit: short numbers agree with something nearby by chance, long ones hardly."""
    noticed = {True: [], False: []}
    for name, cells in CHAPTERS.items():
        sections = [section for section, _, _ in read.sections(cells)]
        values = read.values(cells)
        for number in read.quoted(cells, name):
            if compare.source(number, sections, *values) is None:
                continue
            for change in (-number.unit, number.unit):
                wrong = replace(number, value=number.value + change)
                noticed[number.digits >= 2].append(compare.source(wrong, sections, *values) is None)
    shares = {several: sum(found) / len(found) for several, found in noticed.items()}
    print("noticed:", {("two digits or more" if k else "one digit"): round(v, 3) for k, v in shares.items()})
    assert shares[True] > 0.7
    assert shares[False] > 0.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The loss falls to 0.125 after 2,000 steps.", ["0.125", "2,000"]),
        ("It keeps 92 % of them, and $-0.57$ on average.", ["92 %", "-0.57"]),
        ("In chapter 13 of 2020, four columns of 8 rows: $x_{15}$ and `x = 17`.", []),
        ("See [the loss](05.ipynb#33), {cite}`ho2020` and {eq}`eq-44`.", []),
        ("$$a = 0.25$$ (eq-a)", []),
        ("Versions such as 2.11.0 and names such as float32 are no quantities.", []),
        ("**Time:** about 45 minutes to read.", []),
    ],
)
def test_what_is_a_number(text, expected):
    assert [number.written for number in read.quoted(notebook(text), "made up")] == expected


@pytest.mark.parametrize(
    ("prose", "source"),
    [
        ("The mean is 0.25.", "near"),  # the cell prints 0.2512
        ("The mean is 0.26.", None),
        ("That is 25 % of all.", "near"),  # a share
        ("The walk has 640 steps.", "setting"),  # far away, but set by the code
        ("It prints 77.", None),  # far away
        ("It prints 77.125.", "chapter"),
    ],
)
def test_where_a_number_comes_from(prose, source):
    far = [("steps = 640", "77.125 and 77")] + ["## A section"] + ["words"] * 6
    cells = notebook(*far, ("print(mean)", "0.2512"), prose)
    ((_, found),) = compare.compare(cells, "made up")
    assert found == source


def test_a_record_that_a_chapter_reads_is_a_source():
    parameters = json.loads((read.ROOT / "book/results/digits.json").read_text())["parameters"]
    cells = notebook(
        ('run = read_record("results/digits.json")', ""), *["words"] * 6, f"It has {parameters:,} weights."
    )
    assert [source for _, source in compare.compare(cells, "made up")] == ["record"]


def test_the_list_names_only_chapters():
    assert set(LEDGER) <= set(CHAPTERS)
