"""Change one token of the tutorial at a time, and count how many changes chapter 15's two tools report.

    python studies/study_mutations.py     four minutes; adds the counts to book/results/mistakes.json

The changes are made by rules and not chosen: a whole number is raised by 1 and another doubled, a sign or an operation
becomes its opposite, and a few names become others that are easily mistaken for them. Settings, the cosine schedule,
which the program does not use, and changes that are no Python or no change are left out. With the checklist a change
ends in the message of an assertion, in another error of Python, or passes, and with `examine` likewise.
"""

import io
import json
import re
import sys
import tokenize
import types
from collections import Counter
from contextlib import redirect_stdout

import mistakes
import study_mistakes
import torch
from study_flow import name_commit

from ddpm_lite import examine, linear_schedule
from ddpm_lite.files.weights import write_whole

BOOK = study_mistakes.RESULTS.parent
sys.path.insert(0, str(BOOK))

import checklist  # noqa: E402

PAGES = ("15_bug_detective.ipynb", "mistakes_measured.ipynb", "failing_training.ipynb")
CELLS = ("12", "14", "left")
ENDS = "assertion", "error", "passed"
OPPOSITES = ("+-", "*/", "<>", ("now", "before"), ("sin", "cos"), ("z_with", "z_without"))
SWAPS = {a: b for pair in OPPOSITES for a, b in (tuple(pair), tuple(pair)[::-1])}
SWAPS |= {"**": "*", "randn": "rand", "randn_like": "rand_like", "cumprod": "cumsum"}


def find_cell(name):
    """A cell of chapter 15 or of its appendices, its source as one text."""
    books = [json.loads((BOOK / page).read_text(encoding="utf8")) for page in PAGES]
    (cell,) = (cell for book in books for cell in book["cells"] if cell["id"] == name)
    return {**cell, "source": "".join(cell["source"])}


def run_chapter():
    """The checklist's names, and those of some functions of the chapter, without figures and records."""
    names = vars(checklist) | {"torch": torch, "linear_schedule": linear_schedule}
    for key in CELLS:
        source = find_cell(f"detective-{key}")["source"]
        with redirect_stdout(io.StringIO()):
            exec(source, names)
    return names


def change(token):
    """What replaces a token, or None."""
    if token.type != tokenize.NUMBER:
        return SWAPS.get(token.string)
    value = float(token.string)
    return str(int(value) + 1) if token.string.replace("_", "").isdigit() else repr(2 * value)


def list_mutants(source=mistakes.SOURCE):
    """The line and the changed line, and the whole changed program."""
    lines = source.splitlines(keepends=True)
    begins = {
        name: i
        for i, line in enumerate(lines)
        for name in ("NONE", "def make_cosine", "def make_tables")
        if line.startswith(name)
    }
    unused = range(begins["def make_cosine"], begins["def make_tables"])
    right = compile(source, "", "exec")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        (row, start), (_, end) = token.start, token.end
        new = change(token)
        if new is None or row - 1 <= begins["NONE"] or row - 1 in unused:
            continue
        old = lines[row - 1]
        wrong = old[:start] + new + old[end:]
        changed = "".join([*lines[: row - 1], wrong, *lines[row:]])
        try:
            if compile(changed, "", "exec") == right:
                continue
        except SyntaxError:
            continue
        yield old.strip(), wrong.strip(), changed


def ask_checklist(changed):
    """How a changed program ends: with the message of an assertion, the name of another error, or None."""
    names = {"__name__": "tutorial"}
    try:
        exec(compile(changed, "<mutant>", "exec"), names)
        checklist.check_all(names)
    except AssertionError as found:
        return "assertion", re.split(r"(?:, t =)? \d", str(found))[0]  # without its numbers
    except Exception as found:
        return "error", type(found).__name__
    return "passed", None


def ask_examine(changed):
    """WRONG, note, passed, or stopped."""
    names = {"__name__": "tutorial"}
    torch.manual_seed(0)
    images = torch.randint(0, 256, (80, 1, 8, 8)).float()
    try:
        exec(compile(changed, "<mutant>", "exec"), names)
        found = list(examine(**mistakes.list_parts(types.SimpleNamespace(**names), images)))
    except Exception:
        return "stopped"
    if not all(each.fine for each in found):
        return "WRONG"
    return "note" if any(each.note for each in found) else "passed"


def count():
    """How the changed programs end in both tools, and each by name, with the message or the error."""
    mutants = list(list_mutants())
    found = [(old, wrong, *ask_checklist(changed)) for old, wrong, changed in mutants]
    lists = {end: [[old, wrong, what] for old, wrong, how, what in found if how == end] for end in ENDS}
    counts = {"changes": len(mutants), "checklist": {end: len(rows) for end, rows in lists.items()}}
    counts["examine"] = dict(sorted(Counter(ask_examine(changed) for *_, changed in mutants).items()))
    return counts | lists  # those that pass are judged by hand in the appendix


def main():
    target = study_mistakes.RESULTS / "mistakes.json"
    table = json.loads(target.read_text(encoding="utf8"))
    made = {"command": "python studies/study_mutations.py", "commit": name_commit()}
    table["mutations"] = made | count()
    write_whole(target, (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode())


if __name__ == "__main__":
    main()
