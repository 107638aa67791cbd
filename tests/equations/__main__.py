"""Check equations from the shell, while a chapter is being written.

python -m equations [labels] [--corrupt] [--notebook FILE]     with tests and tools on PYTHONPATH
python -m equations [labels] --answers     write into answers.json, which the pages of checks show
"""

import argparse
import time
from pathlib import Path

from . import answers, checks, source, symbols
from .corruptions import corruptions

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("labels", nargs="*", help="only these (or what begins like them)")
parser.add_argument("--corrupt", action="store_true", help="also make typos, and name those that are not noticed")
parser.add_argument("--notebook", help="read the displays of this notebook instead of the whole book")
parser.add_argument(
    "--answers", action="store_true", help="write down what the checks find, without labels those of the whole book"
)
options = parser.parse_args()
if options.answers:
    if unknown := set(options.labels) - {check.label for check in checks.collected("CHECKS")}:
        parser.error(f"no check in tests/equations: {', '.join(sorted(unknown))}")
    answers.write(options.labels)
    parser.exit()

displays = source.in_book()
if options.notebook is not None:
    displays = [d for d in displays if d.chapter != Path(options.notebook).stem] + list(
        source.in_notebook(options.notebook)
    )
book = {display.label: display.tex for display in displays}
entries = {check.label: check for check in checks.collected("CHECKS")}
harmless = {(entry.label, entry.corruption) for entry in checks.collected("EQUIVALENT")}
for display in displays:
    label, tex = display.label, display.tex
    if options.notebook is not None and display.chapter != Path(options.notebook).stem:
        continue
    if options.labels and not (label or "").startswith(tuple(options.labels)):
        continue
    if label not in entries:
        print("NO CHECK  ", label or tex)
        continue
    start = time.perf_counter()
    try:
        outcome = entries[label].run(book, symbolic=True)
        print("holds     ", label, f"{outcome.links} links, {outcome.symbolic} as formulas,", end=" ")
    except checks.WRONG as error:
        print("WRONG     ", label, f"{type(error).__name__}: {error}")
        continue
    print(f"{time.perf_counter() - start:.2f} s")
    if options.corrupt and entries[label].from_source:
        typos, noticed = list(corruptions(tex)), 0
        for name, wrong in typos:
            try:
                entries[label].run({**book, label: wrong})
                print("  harmless" if (label, name) in harmless else "  SURVIVES", name)
            except checks.WRONG as error:
                noticed += 1
                if isinstance(error, symbols.NotUnderstood):
                    print("  unreadable", name, "|", error)
        print(f"  {noticed} of {len(typos)} typos noticed")
