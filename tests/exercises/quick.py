"""Quick checks: the answers that a page needs to judge an exercise, taken from the chapter's check.

    PYTHONPATH=tests:tools:. python -m exercises.quick      write book/quick.json

A number: a case of book/quick.toml is found by running the exercise's check on its solution while `compare` notes what
it is given: the right value, the mistakes and the tolerance. For a call, the solution gives the right value, and each
wrong answer of tests/exercises a mistake, with the hint that the check gives to it.

A choice: the check runs on each of the lines, which are code, and says which is right and what is wrong with the
others. A prediction has no check in Jupyter; there a record says which choice is right.

A formula: it is read as the book's displays are, made a function, and handed to the check, and so are wrong ones, for
their hints.
"""

import json
import math
import tomllib
from contextlib import contextmanager
from functools import cache

import sympy
import torch
from equations import latex, symbols

from ddpm_lite.files.records import read_record
from ddpm_lite.schedule import Schedule
from ddpm_lite.viz.exercises import compare
from exercises import test_exercises as all_exercises

BOOK = all_exercises.ROOT / "book"
ENTRIES = tomllib.loads((BOOK / "quick.toml").read_text(encoding="utf8"))


@cache
def solve_once(label):
    """A namespace in which the exercise is solved."""
    exercise = all_exercises.ALL[label]
    space, _ = all_exercises.prepared(exercise)
    exec(compile(exercise.solution, label, "exec"), space)
    return exercise, space


@contextmanager
def solve(label):
    """The exercise, and a namespace in which it is solved, which is afterwards as it was."""
    exercise, space = solve_once(label)
    kept = dict(space)
    try:
        yield exercise, space
    finally:
        space.clear()
        space.update(kept)


def pick(value, element=None):
    """One number of a value."""
    value = value.tolist() if hasattr(value, "tolist") else value
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return float(value if element is None else value[element])


def note_case(label, case, element=None):
    """The right value, mistakes and tolerances of one case of a check."""
    noted = {}

    def note(got, right, mistakes=None, *, case="", rtol=1e-4, atol=1e-6):
        noted.setdefault(case, (right, mistakes or {}, rtol, atol))
        return ""

    with solve(label) as (exercise, space):
        space["compare"] = note
        all_exercises.verdict(exercise, space)
    right, mistakes, rtol, atol = noted[case]
    values = {words: pick(value, element) for words, value in mistakes.items()}
    return pick(right, element), values, rtol, atol


def note_call(label, call):
    """The right value of a call, and those of the wrong answers with their hints."""
    with solve(label) as (_, space):
        space |= {"Schedule": Schedule, "torch": torch}
        right, mistakes = pick(eval(call, space)), {}
        found = dict(space)
    name = call.partition("(")[0]
    for answer, _ in all_exercises.WRONG[label].values():
        try:
            value = pick(eval(call, found | {name: answer}))
        except Exception:
            continue  # an answer that is no number here
        hint = ask_check(label, answer)
        if "off by" not in hint:
            mistakes.setdefault(hint, value)
    return right, mistakes, 1e-4, 1e-6


def read_formula(line):
    """A function `(tables, t, s=None, **letters)` that computes a formula; tables are a schedule, or its alpha_bar."""
    found = latex.read(symbols.tokens(line))
    names = sorted(found.free_symbols, key=str)
    compute = sympy.lambdify(names, found, [{"sqrt": lambda value: torch.as_tensor(value, dtype=torch.float64) ** 0.5}])

    def formula(tables, t, s=None, **letters):
        bar = getattr(tables, "alpha_bar", tables).double()
        known = {r"\bar{\alpha}_{t}": bar[t], r"\bar{\alpha}_{t-1}": bar[t - 1], r"\alpha_{t}": bar[t] / bar[t - 1]}
        known |= {r"\beta_{t}": 1 - bar[t] / bar[t - 1]} | letters
        if s is not None:
            known[r"\bar{\alpha}_{s}"] = bar[s]
        return compute(*(known[letters_to_names.get(name.name, name.name)] for name in names))

    letters_to_names = {"x_{0}": "x_0", "x_{t}": "x_t"}
    return formula


def ask_check(label, answer):
    """The hint of an exercise's check to an answer, without the case: "" if it is correct."""
    with solve(label) as (exercise, space):
        names = set().union(*map(all_exercises.bound, all_exercises.ast.parse(exercise.stub).body))
        space.update(dict.fromkeys(names, answer))
        space["compare"] = lambda *values, case="", **options: compare(*values, **options)
        told = all_exercises.verdict(exercise, space)
    return "" if told == "correct" else told.removeprefix("not yet: ")


def record_choice(label, entry):
    """What is said to each choice, "" to the right one."""
    if "ranges" in entry:
        value = eval(entry["value"], {"record": read_record(entry["record"])})
        says = [
            "" if low <= value <= high else f"it is {'more' if value > high else 'less'}"
            for low, high in entry["ranges"]
        ]
    else:
        lines = [entry["answer"].replace("CHOICE", choice) for choice in entry["choices"]]
        says = [ask_check(label, eval(line, {"torch": torch})) for line in lines]
        says = ["this gives another result" if "off by" in words else words for words in says]
    return {"choices": entry["choices"], "says": says, "code": "answer" in entry}


def record_formula(label, entry):
    """The right formula, and wrong ones with the hint of the check."""

    def says(line):
        return ask_check(label, eval(entry["answer"], {"formula": read_formula(line), "torch": torch}))

    assert says(entry["right"]) == "", f"{label}: the check refuses the formula"
    hints = {line: says(line) for line in entry["wrong"]}
    named = {line: words for line, words in hints.items() if "off by" not in words}
    slips = [{"line": line, "words": words + "." * (words[-1] != "?")} for line, words in named.items()]
    return {key: entry[key] for key in ("left", "right", "letters")} | {"slips": slips}


def round_answer(right, wrong):
    """How far a rounded answer may be off: by four digits, or by three if no mistake is near, 1.79 for 1.7889."""
    if right == int(right):
        return 0
    fourth, third = 5e-4 * abs(right), 0.5 * 10.0 ** (math.floor(math.log10(abs(right))) - 2)
    nearest = min(gap for value in wrong if (gap := abs(value - right)) > 4 * fourth)
    return max(fourth, min(third, nearest / 5))


def record(label):
    """What a page needs to judge the quick check of an exercise; numbers rounded to ten digits."""
    entry = ENTRIES[label]
    said = {"ask": entry["ask"], "hints": entry["hints"]}
    if "choices" in entry:
        return said | record_choice(label, entry)
    if "right" in entry:
        return said | record_formula(label, entry)
    if "call" in entry:
        right, mistakes, rtol, atol = note_call(label, entry["call"])
    else:
        right, mistakes, rtol, atol = note_case(label, entry["case"], entry.get("element"))
    limit = float(f"{atol + max(rtol * abs(right), round_answer(right, mistakes.values())):.2g}")
    kept = {words: float(f"{value:.10g}") for words, value in mistakes.items() if abs(value - right) > 4 * limit}
    return said | {"value": float(f"{right:.10g}"), "limit": limit, "mistakes": kept}


def main():
    found = {label: record(label) for label in ENTRIES}
    (BOOK / "quick.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
