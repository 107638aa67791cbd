"""Quick checks: the answers that a page needs to judge one case of an exercise, taken from the chapter's check.

    PYTHONPATH=tests:tools:. python -m exercises.quick      write book/quick.json

A case of book/quick.toml is found by running the exercise's check on its solution while `compare` notes what it is
given: the right value, the mistakes and the tolerance. For a call, the solution gives the right value, and each wrong
answer of tests/exercises a mistake, with the hint that the check gives to it.
"""

import json
import tomllib

import torch

from ddpm_lite.schedule import Schedule
from exercises import test_exercises as all_exercises

BOOK = all_exercises.ROOT / "book"
ENTRIES = tomllib.loads((BOOK / "quick.toml").read_text(encoding="utf8"))
DIGITS = 5e-4  # a reader writes four digits


def solve(label):
    """A namespace in which the exercise is solved."""
    exercise = all_exercises.ALL[label]
    space, _ = all_exercises.prepared(exercise)
    exec(compile(exercise.solution, label, "exec"), space)
    return exercise, space


def pick(value, element=None):
    """One number of a value."""
    value = value.tolist() if hasattr(value, "tolist") else value
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return float(value if element is None else value[element])


def note_case(label, case, element=None):
    """The right value, mistakes and tolerances of one case of a check."""
    exercise, space = solve(label)
    noted = {}

    def compare(got, right, mistakes=None, *, case="", rtol=1e-4, atol=1e-6):
        noted.setdefault(case, (right, mistakes or {}, rtol, atol))
        return ""

    space["compare"] = compare
    all_exercises.verdict(exercise, space)
    right, mistakes, rtol, atol = noted[case]
    values = {words: pick(value, element) for words, value in mistakes.items()}
    return pick(right, element), values, rtol, atol


def note_call(label, call):
    """The right value of a call, and those of the wrong answers with their hints."""
    exercise, space = solve(label)
    space |= {"Schedule": Schedule, "torch": torch}
    right, mistakes = pick(eval(call, space)), {}
    name = call.partition("(")[0]
    for answer, _ in all_exercises.WRONG[label].values():
        told = all_exercises.try_answer(label, answer).removeprefix("not yet: ")
        try:
            value = pick(eval(call, space | {name: answer}))
        except Exception:
            continue  # an answer that is no number here
        hint = told.rpartition(": ")[2]
        if "off by" not in hint:
            mistakes.setdefault(hint, value)
    return right, mistakes, 1e-4, 1e-6


def record(label):
    """What a page needs to judge the quick check of an exercise; values rounded to ten digits."""
    entry = ENTRIES[label]
    if "call" in entry:
        right, mistakes, rtol, atol = note_call(label, entry["call"])
    else:
        right, mistakes, rtol, atol = note_case(label, entry["case"], entry.get("element"))
    limit = float(f"{atol + max(rtol, 0 if right == int(right) else DIGITS) * abs(right):.2g}")
    kept = {words: float(f"{value:.10g}") for words, value in mistakes.items() if abs(value - right) > 4 * limit}
    return {"ask": entry["ask"], "right": float(f"{right:.10g}"), "limit": limit, "mistakes": kept}


def main():
    found = {label: record(label) for label in ENTRIES}
    (BOOK / "quick.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
