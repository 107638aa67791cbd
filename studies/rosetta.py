"""Compute the book's equations with other people's libraries, and record how far each is from ours, and why.

    python studies/rosetta.py            print every row
    python studies/rosetta.py --record   write book/results/rosetta.json as well

A row of the table is a function in the folder `libraries`, which has a room for each of them. It computes the same
quantity with a library and with this package, as one would compare them at first sight: with equal arguments. Where
that differs, it computes ours once more, with the one change that `translation` names. Where it is equal, `translation`
is the call of ours that was compared. All numbers come from the libraries themselves; nothing of theirs is copied. A
row with the reason "no counterpart" is no comparison: it records how far a library's schedule is from ours. Besides,
each room has one step of DDPM, line by line. The versions are those of constraints.txt, and the test of the record
computes all of it with whatever version is installed.
"""

import argparse
import json
import math
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch
from libraries.diffusers_options import measure_last_steps, swap_options
from libraries.row import REASONS, ROWS, SEED, SHOWN, STEP_TIME, Row, Step, compute_step, translate
from libraries.scales import list_scales, try_scale_of_one
from torch import Tensor

RECORD = Path(__file__).resolve().parent.parent / "book" / "results" / "rosetta.json"
LIBRARIES = {
    "diffusers": "diffusers",
    "denoising-diffusion-pytorch": "denoising_diffusion_pytorch",
    "smalldiffusion": "smalldiffusion",
    "azula": "azula",
}
WRAPPED = "denoising-diffusion-pytorch", "smalldiffusion", "azula"  # these get our network in a class
AVERAGE = r"ema\b|moving.average"
# Equations that a library has no function for; the test looks for these words in its source.
ABSENT = {
    "smalldiffusion": {
        "eq-posterior-mean": "posterior",
        "eq-posterior-variance": "posterior",
        "eq-ema": AVERAGE,
        "eq-ema-warmup": AVERAGE,
    },
    "azula": {
        "eq-posterior-mean": r"q_posterior|posterior_mean",
        "eq-posterior-variance": r"q_posterior|posterior_var",
        "eq-ema": AVERAGE,
        "eq-ema-warmup": AVERAGE,
    },
}
for module in (*LIBRARIES.values(), "learnt_variance", "training_loop"):  # each room enters its rows
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
    theirs, ours, names, *view = entry.compute()
    (view,) = view or (torch.as_tensor,)
    made = {
        name: getattr(entry, name)
        for name in ("equation", "library", "place", "theirs", "reason", "translation", "why")
    }
    said = off(view(theirs), view(translate(entry.translation, names)))
    made["difference"] = said if ours is None else off(view(theirs), view(ours))
    made["after"] = None if ours is None else said
    made["tolerance"] = entry.equal
    return made


def compare_step(step: Step) -> dict:
    """The setup of a step, and its lines with the difference of the two sides."""
    pairs = zip(step.lines, compute_step(step), strict=True)
    lines = [
        dict(zip(("theirs", "ours", "note"), line, strict=True)) | {"difference": off(*both)} for line, both in pairs
    ]
    return {"setup": step.setup, "lines": lines}


def read_wrapper(library: str) -> str:
    """The code that gives a network of ours to a library, without the text at its head."""
    text = (Path(__file__).parent / "libraries" / f"wrap_{LIBRARIES[library]}.py").read_text(encoding="utf8")
    return text.split('"""\n\n', 1)[1]


def find_versions() -> dict[str, str]:
    """{library: version} of those that are installed."""
    return {name: version(name) for name, module in LIBRARIES.items() if find_spec(module) is not None}


def compare_all() -> dict:
    """The record: versions, and every row whose library is installed."""
    versions = find_versions()
    sorted_rows = sorted(ROWS.items(), key=lambda item: list(LIBRARIES).index(item[1].library))
    rows = {key: compare(entry) for key, entry in sorted_rows if entry.library in versions}
    record = {"command": "python studies/rosetta.py --record", "versions": versions, "reasons": REASONS}
    record["time"] = STEP_TIME
    for kind, steps in SHOWN.items():
        record[kind] = {name: compare_step(steps[name]) for name in versions if name in steps}
    record["swaps"] = swap_options() if "diffusers" in versions else []
    record["last steps"] = measure_last_steps() if "diffusers" in versions else []
    record["scale of 1"] = try_scale_of_one() if "denoising-diffusion-pytorch" in versions else []
    record["wrappers"] = {name: read_wrapper(name) for name in WRAPPED if name in versions}
    record["absent"] = {name: list(words) for name, words in ABSENT.items() if name in versions}
    return record | {"scales": list_scales(versions), "rows": rows}


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
        print(f"{key:30} {made['difference']:.0e}  {after:6} {made['reason']:15} {made['why']}")
    for kind in SHOWN:
        for name, step in record[kind].items():
            for line in step["lines"]:
                print(f"{name:30} {line['difference']:.0e}  {line['theirs']} | {line['ours']}")
    for swap in record["swaps"]:
        changes = " ".join(
            f"{name} {math.nan if change is None else change:.1e}" for name, change in swap["changes"].items()
        )
        print(f"{swap['option']}={swap['other']}: times {swap['times']} {changes}")
    for made in record["last steps"]:
        deviations = " ".join(f"{name} {deviation:.2g}" for name, deviation in made["deviations"].items())
        print(f"{made['option']}={made['value']}: last time {made['last_time']}, {deviations}")
    for scale in record["scales"]:
        print(f"{scale['library']:30} {scale['place']}: {scale['option']}={scale['default']:g}, w = {scale['w']:g}")
    for made in record["scale of 1"]:
        print(f"scale of 1, {made['images']} images: {made['outcome']}")


if __name__ == "__main__":
    main()
