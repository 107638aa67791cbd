"""Change one token of the tutorial at a time, and count how many changes fail a line of chapter 15's checklist.

    python studies/study_mutations.py     two minutes; adds the counts to book/results/mistakes.json

The changes are made by rules and not chosen: a whole number is raised by 1 and another doubled, a sign or an operation
becomes its opposite, and a few names become others that are easily mistaken for them. Settings, the cosine schedule,
which the program does not use, and changes that are no Python or no change are left out. A change is "stopped" if the
program or the preparation of the checklist stops with an error. The changes that are not are passed to the short
checklist and to `examine` as well, of which the counts of reports are recorded.
"""

import inspect
import io
import json
import linecache
import tokenize
import types
from collections import Counter
from contextlib import redirect_stdout

import mistakes
import study_mistakes
import torch

from ddpm_lite import examine, linear_schedule

PAGES = ("15_bug_detective.ipynb", "mistakes_measured.ipynb", "failing_training.ipynb")
SHORT = tuple(
    f"short-{name}" for name in ("schedule", "batch", "network", "training", "step", "sampler", "mode", "all")
)
CELLS = ("12", "14", "left", "fake", "solve", *SHORT, "checklist")
OPPOSITES = ("+-", "*/", "<>", ("now", "before"), ("sin", "cos"), ("z_with", "z_without"))
SWAPS = {a: b for pair in OPPOSITES for a, b in (tuple(pair), tuple(pair)[::-1])}
SWAPS |= {"**": "*", "randn": "rand", "randn_like": "rand_like", "cumprod": "cumsum"}


def find_cell(name):
    """A cell of chapter 15 or of its appendices, its source as one text."""
    books = [json.loads((study_mistakes.RESULTS.parent / page).read_text(encoding="utf8")) for page in PAGES]
    (cell,) = (cell for book in books for cell in book["cells"] if cell["id"] == name)
    return {**cell, "source": "".join(cell["source"])}


def run_chapter():
    """The names that the functions of the chapter and the complete checklist define, without figures and records."""
    names = {"inspect": inspect, "torch": torch, "linear_schedule": linear_schedule}
    for key in CELLS:
        source = find_cell(f"detective-{key}")["source"]
        file = f"<{key} of chapter 15>"  # inspect.getsource finds it by this name
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        with redirect_stdout(io.StringIO()):
            exec(compile(source, file, "exec"), names)
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


def try_mutant(changed, find_failing):
    """The question that fails, "stopped", or None if all lines pass."""
    names = {"__name__": "tutorial"}
    try:
        exec(compile(changed, "<mutant>", "exec"), names)
        return find_failing(names)
    except Exception:
        return "stopped"


def ask_short(changed, check_all):
    """Whether an assertion of the short checklist fails."""
    names = {"__name__": "tutorial"}
    exec(compile(changed, "<mutant>", "exec"), names)
    try:
        check_all(**names)
    except AssertionError:
        return True
    except Exception:
        return False
    return False


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
    """How many changes stop, fail and pass, and which pass, and fail, with the first question that fails."""
    names = run_chapter()
    mutants = list(list_mutants())
    found = [(old, wrong, try_mutant(changed, names["find_failing"])) for old, wrong, changed in mutants]
    runs = [mutant[2] for mutant, each in zip(mutants, found, strict=True) if each[2] != "stopped"]
    passed = [[old, wrong] for old, wrong, said in found if said is None]
    failing = [list(each) for each in found if each[2] not in (None, "stopped")]
    stopped = len(found) - len(passed) - len(failing)
    counts = {"changes": len(found), "stopped": stopped, "failed": len(failing)}
    counts["short"] = sum(ask_short(changed, names["check_all"]) for changed in runs)
    counts["examine"] = dict(sorted(Counter(map(ask_examine, runs)).items()))
    return counts | {"passed": passed, "failing": failing}  # both are judged by hand in the chapter


def main():
    target = study_mistakes.RESULTS / "mistakes.json"
    table = json.loads(target.read_text(encoding="utf8"))
    table["mutations"] = {"command": "python studies/study_mutations.py"} | count()
    target.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
