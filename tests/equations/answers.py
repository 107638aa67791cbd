"""What the checks answered: answers.json, which the book shows beside each check and the tests hold.

{label: {"links": equalities that hold, "proved": those that SymPy proved too, "typos": made, "noticed": of them}}
"""

import json
from collections.abc import Sequence
from pathlib import Path

from . import checks, source
from .corruptions import corruptions

FILE = Path(__file__).with_name("answers.json")


def read() -> dict[str, dict[str, int]]:
    """The stored answers, by label."""
    return json.loads(FILE.read_text(encoding="utf8"))


def write(labels: Sequence[str] = ()) -> None:
    """Run the checks of these labels, also on every typo, and store their answers; without labels all, in minutes."""
    book = {display.label: display.tex for display in source.in_book() if display.label}
    known, found = read(), {}
    for check in checks.collected("CHECKS"):
        if labels and check.label not in labels:
            found |= {check.label: known[check.label]} if check.label in known else {}
            continue
        outcome = check.run(book, symbolic=True)
        found[check.label] = {"links": outcome.links, "proved": outcome.symbolic}
        if check.from_source:
            typos = [wrong for _, wrong in corruptions(book[check.label])]
            noticed = sum(_fails(check, {**book, check.label: wrong}) for wrong in typos)
            found[check.label] |= {"typos": len(typos), "noticed": noticed}
    lines = (f"  {json.dumps(label)}: {json.dumps(answer)}" for label, answer in found.items())
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf8")


def _fails(check, book):
    try:
        check.run(book)
    except checks.WRONG:
        return True
    return False
