"""Every exercise: the stub is told "not yet", the folded solution is "correct", typical mistakes get their hint.

Of the notebook only those statements are run that an exercise needs, so nothing is plotted or trained here.
"""

import ast
import contextlib
import importlib
import io
import re
import symtable
from dataclasses import dataclass
from pathlib import Path

import notebooks
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXERCISE = re.compile(r"^[`:]{3,}\{exercise\}.*\n(?:\s*:.*\n)*?\s*:label:\s*(\S+)", re.MULTILINE)
SOLUTION = re.compile(r"^(?P<fence>[`:]{3,})\{solution\}\s*(?P<label>\S+)\n(?P<body>.*?)^(?P=fence)\s*$", re.M | re.S)
PYTHON = re.compile(r"^```python\n(.*?)^```\s*$", re.M | re.S)


@dataclass
class Exercise:
    """The parts of one exercise, and the code of the chapter that stands before it."""

    label: str
    before: list[ast.stmt]
    stub: str
    check: str
    solution: str = ""


def exercises(path):
    """The exercises of a notebook."""
    before, found, waiting, solutions = [], [], [], {}
    for cell in notebooks.read(path)["cells"]:
        source, tags = cell["source"], cell["metadata"].get("tags", [])
        if cell["cell_type"] == "markdown":
            waiting += EXERCISE.findall(source)
            solutions.update({m["label"]: "\n".join(PYTHON.findall(m["body"])) for m in SOLUTION.finditer(source)})
        elif "exercise" in tags:
            assert waiting, f"{path.name}: a stub with no exercise before it"
            found.append(Exercise(waiting.pop(0), list(before), source, ""))
        elif "check" in tags:
            found[-1].check = source
        else:
            before += ast.parse(source).body
    assert waiting == [], f"{path.name}: no stub cell, tagged exercise, for {waiting}"
    for exercise in found:
        exercise.solution = solutions[exercise.label]
    return found


def bound(statement):
    """The names that a statement gives a value to."""
    table = symtable.symtable(ast.unparse(statement), "cell", "exec")
    return {name.get_name() for name in table.get_symbols() if name.is_assigned() or name.is_imported()}


def used(code):
    """The names that code takes from around it: what its functions call, not their own variables."""
    names, tables = set(), [symtable.symtable(code, "cell", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        names |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and s.is_global()}
    return names


def prepared(exercise):
    """A namespace with what the exercise's code needs from the chapter, and with the stub and its check."""
    wanted = used(exercise.stub + "\n" + exercise.check + "\n" + exercise.solution)
    needed = []
    for statement in reversed(exercise.before):
        if bound(statement) & wanted:
            needed.insert(0, statement)
            wanted = wanted - bound(statement) | used(ast.unparse(statement))
    space = {}
    for code in (ast.Module(needed, []), exercise.stub):
        exec(compile(code, exercise.label, "exec"), space)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(exercise.check, exercise.label, "exec"), space)
    return space, printed.getvalue()


def verdict(exercise, space):
    """What the check cell prints, with the answers that are in the namespace now."""
    last = ast.parse(exercise.check).body[-1]
    assert ast.unparse(last).startswith("print(check_"), "the check cell ends with print(check_...(...))"
    return eval(compile(ast.Expression(last.value.args[0]), exercise.label, "eval"), space)


def typical_mistakes():
    """{label: {what is wrong: (answer, piece of the hint)}} of all chapters."""
    files = sorted((ROOT / "tests" / "exercises").glob("ch*.py"))
    tables = [importlib.import_module(f"exercises.{path.stem}").WRONG for path in files]
    return {label: wrong for table in tables for label, wrong in table.items()}


ALL = {exercise.label: exercise for path in notebooks.chapters(ROOT) for exercise in exercises(path)}
MISTAKES = typical_mistakes()

every_exercise = pytest.mark.parametrize("label", ALL)


@pytest.fixture(autouse=True)
def as_a_reader(plain):
    """No type checker: a reader's wrong answer meets the package as it is installed."""


@every_exercise
def test_stub_is_told_not_yet(label):
    _, printed = prepared(ALL[label])
    assert re.fullmatch(r"not yet: .+\n", printed)


@every_exercise
def test_solution_is_correct(label):
    space, _ = prepared(ALL[label])
    assert ALL[label].solution, "the solution has a ```python block with the function of the stub"
    exec(compile(ALL[label].solution, label, "exec"), space)
    assert verdict(ALL[label], space) == "correct"


@pytest.mark.parametrize(("label", "mistake"), [(label, name) for label in ALL for name in MISTAKES.get(label, {})])
def test_typical_mistake_gets_its_hint(label, mistake):
    space, _ = prepared(ALL[label])
    names = set().union(*(bound(statement) for statement in ast.parse(ALL[label].stub).body))
    answer, hint = MISTAKES[label][mistake]
    space.update(answer if isinstance(answer, dict) else dict.fromkeys(names, answer))
    told = verdict(ALL[label], space)
    assert told.startswith("not yet: ")
    assert hint in told


def test_every_exercise_has_typical_mistakes():
    assert {label for label in ALL if len(MISTAKES.get(label, {})) < 2} == set(), "at least two each"
    assert set(MISTAKES) - set(ALL) == set(), "mistakes in exercises that the book does not have"
