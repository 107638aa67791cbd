"""Compute the book's equations with other people's libraries, and record how far each is from ours, and why.

    python studies/rosetta.py            print every row
    python studies/rosetta.py --record   write book/results/rosetta.json as well

A row of the table is a function in the folder `libraries`, which has a room for each of them. It computes the same
quantity with a library and with this package, as one would compare them at first sight: with equal arguments. Where
that differs, it computes ours once more, with the one change that `translation` names. All numbers come from the
libraries themselves; nothing of theirs is copied. Their versions are those of constraints.txt, and the test of the
record computes the rows with whatever version is installed.
"""

import argparse
import json
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch
from libraries.row import ROWS, SEED, Row
from torch import Tensor

RECORD = Path(__file__).resolve().parent.parent / "book" / "results" / "rosetta.json"
LIBRARIES = {
    "diffusers": "diffusers",
    "denoising-diffusion-pytorch": "denoising_diffusion_pytorch",
    "smalldiffusion": "smalldiffusion",
    "azula": "azula",
}
for module in LIBRARIES.values():  # each room enters its rows
    import_module(f"libraries.{module}")


def off(theirs: Tensor, ours: Tensor) -> float:
    """The largest difference, as a share of our largest number."""
    theirs, ours = (torch.as_tensor(x).detach().double() for x in (theirs, ours))
    if theirs.shape != ours.shape:
        raise ValueError(f"theirs: expected shape {tuple(ours.shape)}, got {tuple(theirs.shape)}")
    return float((theirs - ours).abs().max() / ours.abs().max())


def compare(entry: Row) -> dict:
    """What the record has of a row: the difference at first sight, and after the translation."""
    torch.manual_seed(SEED)
    theirs, ours, translated = entry.compute()
    made = {name: getattr(entry, name) for name in ("equation", "library", "place", "theirs", "why", "translation")}
    made["difference"] = off(theirs, ours)
    made["after"] = None if translated is None else off(theirs, translated)
    made["tolerance"] = entry.equal
    return made


def find_versions() -> dict[str, str]:
    """{library: version} of those that are installed."""
    return {name: version(name) for name, module in LIBRARIES.items() if find_spec(module) is not None}


def compare_all() -> dict:
    """The record: versions, and every row whose library is installed."""
    versions = find_versions()
    rows = {key: compare(entry) for key, entry in ROWS.items() if entry.library in versions}
    return {"command": "python studies/rosetta.py --record", "versions": versions, "rows": rows}


def main():
    """Compute, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--record", action="store_true", help="write book/results/rosetta.json")
    parser.add_argument("--json", action="store_true", help="print the record instead of a table")
    options = parser.parse_args()
    record = compare_all()
    text = json.dumps(record, indent=1) + "\n"
    if options.record:
        RECORD.write_text(text, encoding="utf8")
    if options.json:
        print(text)
        return
    for key, made in record["rows"].items():
        after = "" if made["after"] is None else f"{made['after']:.0e}"
        print(f"{key:30} {made['difference']:.0e}  {after:6} {made['why']}")


if __name__ == "__main__":
    main()
