"""CONTRIBUTING's equation with an exercise: in a notebook, as it is written there, it passes what chapters pass."""

import json
import re
from pathlib import Path

import pytest
from equations import checks, source
from equations.corruptions import corruptions

from exercises import test_exercises as rules

TEXT = (Path(__file__).resolve().parents[2] / "CONTRIBUTING.md").read_text(encoding="utf8")
SECTION = TEXT[TEXT.index("## Add an equation with an exercise") :].partition("\n## ")[0]
BLOCKS = re.findall(r"^(`{3,})(\w+)\n(.*?)^\1$", SECTION, flags=re.DOTALL | re.MULTILINE)
PYTHON = [code for _, language, code in BLOCKS if language == "python"]
TOLD, SOLUTION = (text for _, language, text in BLOCKS if language == "markdown")
STUB, CHECK, EQUATION, ANSWERS = PYTHON
FOLDED = {"tags": ["check", "hide-input"], "jupyter": {"source_hidden": True}}


def cell(kind, text, metadata):
    code = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {"cell_type": kind, "metadata": metadata, "source": text, "id": str(abs(hash(text)))[:8]} | code


@pytest.fixture
def notebook(tmp_path):
    """A notebook of the section's cells."""
    setup = "import torch\n\nfrom ddpm_lite.viz.exercises import compare, judge"
    cells = [
        cell("code", setup, {"tags": ["hide-input"]}),
        cell("markdown", TOLD, {}),
        cell("code", STUB, {"tags": ["exercise"]}),
        cell("code", CHECK, FOLDED),
        cell("markdown", SOLUTION, {}),
    ]
    path = tmp_path / "99_example.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), encoding="utf8")
    return path


def test_equation_holds_and_typos_are_noticed(notebook):
    (display,) = source.in_notebook(notebook)
    exec(EQUATION, space := dict(vars(checks)))
    (check,) = space["CHECKS"]
    book = {each.label: each.tex for each in source.in_book()} | {display.label: display.tex}
    assert check.run(book, symbolic=True).links == 1
    typos = list(corruptions(display.tex))
    for _, wrong in typos:
        with pytest.raises(checks.WRONG):
            check.run(book | {display.label: wrong})
    assert f"`{len(typos)} of {len(typos)} typos noticed`" in SECTION


@pytest.mark.usefixtures("plain")
def test_exercise_keeps_the_rules(notebook, monkeypatch):
    (exercise,), _ = rules.exercises(notebook)
    tables = {}
    exec(ANSWERS, tables)
    monkeypatch.setattr(rules, "WRONG", tables["WRONG"])
    monkeypatch.setattr(rules, "RIGHT", tables["RIGHT"])
    monkeypatch.setitem(rules.ALL, exercise.label, exercise)
    assert rules.complaints(exercise) == []
    rules.test_stub_is_told_not_yet(exercise.label)
    rules.test_solution_is_correct(exercise.label)
    for name in tables["WRONG"][exercise.label]:
        rules.test_typical_mistake_gets_its_hint(exercise.label, name)
    for name in tables["RIGHT"][exercise.label]:
        rules.test_right_answer_is_accepted_however_it_is_written(exercise.label, name)
    for kind in rules.BROKEN:
        rules.test_broken_answer_gets_a_sentence(exercise.label, kind)
