"""Every exercise: the stub is told "not yet", the folded solution is "correct", typical mistakes get their hint,
right answers written in another way are accepted, and nothing that a reader may write ends in a traceback.

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

from exercises import TO_DO

ROOT = Path(__file__).resolve().parents[2]
EXERCISE = re.compile(r"^[`:]{3,}\{exercise\}.*\n(?P<options>(?:\s*:\w+:.*\n)+)", re.MULTILINE)
OPTION = re.compile(r"^\s*:(\w+):\s*(.*?)\s*$", re.MULTILINE)
IN_WORDS = {"predict", "explain"}  # classes of exercises that have no stub and no check
LEAST_WRONG, LEAST_RIGHT, LEAST_WORDS = 8, 4, 20
SOLUTION = re.compile(r"^(?P<fence>[`:]{3,})\{solution\}\s*(?P<label>\S+)\n(?P<body>.*?)^(?P=fence)\s*$", re.M | re.S)
PYTHON = re.compile(r"^```python\n(.*?)^```\s*$", re.M | re.S)


@dataclass
class Exercise:
    """The parts of one exercise, and the code of the chapter that stands before it."""

    chapter: str
    label: str
    before: list[ast.stmt]
    stub: str
    check: str
    solution: str = ""
    folded: bool = False


def exercises(path):
    """The exercises of a notebook that have a stub, and {label: (class, model answer)} of the others."""
    before, found, waiting, solutions, in_words = [], [], [], {}, {}
    for cell in notebooks.read(path)["cells"]:
        source, tags = cell["source"], cell["metadata"].get("tags", [])
        if cell["cell_type"] == "markdown":
            for options in (dict(OPTION.findall(m["options"])) for m in EXERCISE.finditer(source)):
                if options.get("class") in IN_WORDS:
                    in_words[options["label"]] = options["class"]
                else:
                    waiting.append(options["label"])
            solutions.update({m["label"]: m["body"] for m in SOLUTION.finditer(source)})
        elif "exercise" in tags:
            assert waiting, f"{path.name}: a stub with no exercise before it"
            found.append(Exercise(path.stem, waiting.pop(0), list(before), source, ""))
        elif "check" in tags:
            found[-1].check = source
            found[-1].folded = "hide-input" in tags and cell["metadata"].get("jupyter", {}).get("source_hidden", False)
        else:
            before += ast.parse(source).body
    assert waiting == [], f"{path.name}: no stub cell, tagged exercise, for {waiting}"
    for exercise in found:
        exercise.solution = "\n".join(PYTHON.findall(solutions[exercise.label]))
    return found, {label: (kind, solutions[label]) for label, kind in in_words.items()}


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
    starts = re.match(r"print\((judge\()?check_", ast.unparse(last))
    assert starts, "the check cell ends with print(judge(check_..., ...))"
    return eval(compile(ast.Expression(last.value.args[0]), exercise.label, "eval"), space)


def answers(name):
    """WRONG or RIGHT of all chapters in one dictionary."""
    files = sorted((ROOT / "tests" / "exercises").glob("ch*.py"))
    tables = [getattr(importlib.import_module(f"exercises.{path.stem}"), name, {}) for path in files]
    return {label: table[label] for table in tables for label in table}


def complaints(exercise):
    """What an exercise still lacks."""
    found = []
    if len(WRONG.get(exercise.label, {})) < LEAST_WRONG:
        found.append(f"fewer than {LEAST_WRONG} wrong answers")
    if len(RIGHT.get(exercise.label, {})) < LEAST_RIGHT:
        found.append(f"fewer than {LEAST_RIGHT} right answers")
    if not exercise.folded:
        found.append("the check is not folded: tag hide-input, and jupyter.source_hidden in the metadata")
    if "print(judge(" not in exercise.check:
        found.append("the check does not end with print(judge(check_..., ...))")
    return [f"{exercise.label}: {text}" for text in found]


# An appendix that has an exercise of its chapter: those in words are in the chapter.
APPENDED = {"mistakes_measured": "15_bug_detective"}


def lacking(chapter):
    """What the exercises of a chapter still lack."""
    found = [text for exercise in ALL.values() if exercise.chapter == chapter for text in complaints(exercise)]
    kinds = {kind for page in (chapter, APPENDED.get(chapter, chapter)) for kind, _ in PLAIN[page].values()}
    return found + [f"no exercise of the class {kind}" for kind in sorted(IN_WORDS - kinds)]


FOUND = {path.stem: exercises(path) for path in notebooks.chapters(ROOT)}
ALL = {exercise.label: exercise for with_stub, _ in FOUND.values() for exercise in with_stub}
PLAIN = {chapter: in_words for chapter, (_, in_words) in FOUND.items()}
CHAPTERS = sorted({exercise.chapter for exercise in ALL.values()})
WRONG, RIGHT = answers("WRONG"), answers("RIGHT")


def not_a_function():
    raise RuntimeError("it broke")


BROKEN = {
    "returns None": (lambda *a, **k: None, "None"),
    "returns a text": (lambda *a, **k: "some text", ""),
    "returns an object": (lambda *a, **k: object(), ""),
    "returns nan": (lambda *a, **k: float("nan"), ""),
    "returns an empty list": (lambda *a, **k: [], ""),
    "raises": (lambda *a, **k: not_a_function(), "it broke"),
    "takes no argument": (lambda: 0.0, "TypeError"),
    "is a number": (0.5, "expected a function"),
}

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


def try_answer(label, answer):
    """What the check says to an answer."""
    space, _ = prepared(ALL[label])
    names = set().union(*(bound(statement) for statement in ast.parse(ALL[label].stub).body))
    space.update(answer if isinstance(answer, dict) else dict.fromkeys(names, answer))
    return verdict(ALL[label], space)


def listed(table):
    return [(label, name) for label in ALL for name in table.get(label, {})]


@pytest.mark.parametrize(("label", "mistake"), listed(WRONG))
def test_typical_mistake_gets_its_hint(label, mistake):
    answer, hint = WRONG[label][mistake]
    told = try_answer(label, answer)
    assert told.startswith("not yet: ")
    assert hint in told


@pytest.mark.parametrize(("label", "name"), listed(RIGHT))
def test_right_answer_is_accepted_however_it_is_written(label, name):
    assert try_answer(label, RIGHT[label][name]) == "correct"


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("label", [label for label in ALL if ALL[label].chapter not in TO_DO])
def test_broken_answer_gets_a_sentence(label, kind):
    answer, piece = BROKEN[kind]
    told = try_answer(label, answer)
    assert told.startswith("not yet: ")
    assert piece in told


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_exercises_are_complete(chapter):
    if chapter in TO_DO:
        assert lacking(chapter), "nothing is missing: take the chapter off TO_DO"
    else:
        assert lacking(chapter) == []


@pytest.mark.parametrize("label", [label for plain in PLAIN.values() for label in plain])
def test_exercise_in_words_has_a_model_answer(label):
    solution = next(plain[label][1] for plain in PLAIN.values() if label in plain)
    assert len(solution.split()) >= LEAST_WORDS


def test_answers_belong_to_exercises():
    assert set(WRONG) | set(RIGHT) <= set(ALL)
    assert set(CHAPTERS) >= TO_DO
