"""Measure the clothes network with the weights that pages have, beside its own weights.

    python studies/study_rounded.py [--folder FOLDER]    (about ten minutes on one idle core)

`python -m ddpm_lite export-page fashion` rounds each row of a matrix to 89 levels, so that a page loads 1.2 MB instead
of 5. Here PyTorch samples with the same rounded weights, by the sampler and from the seed of the first row of
book/results/evaluate-fashion.json, and measures the images like those. Writes book/results/rounded.json. FOLDER is
where Fashion-MNIST is.
"""

import argparse
import json
from pathlib import Path

import torch
import train_digits

from ddpm_lite import ddpm_step, load_pretrained, respace
from ddpm_lite.cli.report import COLUMNS, hash_weights, report
from ddpm_lite.files.records import read_record
from ddpm_lite.viz.export_page import export_page, round_as_page

NAME = "fashion"
RECORD = train_digits.RESULTS / "rounded.json"
WHOLE = train_digits.RESULTS / "evaluate-fashion.json"
COUNT, STEPS, SEED = 1000, 50, 0


def measure_rounding(model, rounded):
    """Measure how much of the weights the rounding takes away: the norm of the differences over that of the weights."""
    both = zip(model.state_dict().values(), rounded.state_dict().values(), strict=True)
    changed = sum(float((before.cpu() - after).double().square().sum()) for before, after in both)
    return (changed / sum(float(weight.double().square().sum()) for weight in model.state_dict().values())) ** 0.5


def measure_network(count=COUNT, steps=STEPS, folder=None):
    """Sample with the rounded weights, and measure the images."""
    model, schedule = load_pretrained(NAME)
    rounded = round_as_page(model)
    found = report(rounded, respace(schedule, steps), ddpm_step, count, (SEED,), folder=folder)
    (row,) = found["rows"]
    return {
        "model": NAME,
        "weights": hash_weights(model),
        "rounded_weights": found["weights"],
        "bytes": len(export_page(NAME, model, schedule)),
        "rounding": round(measure_rounding(model, rounded), 5),
        "sampler": "ddpm",
        "steps": steps,
        "count": count,
        "rounded": row,
        "seconds": found["seconds"],
        "cpu_seconds": found["cpu_seconds"],
    }


def main():
    """Sample, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, help="the folder of Fashion-MNIST's files")
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    record = train_digits.circumstances("study_rounded.py") | measure_network(folder=folder)
    whole = read_record(WHOLE)
    assert (whole["weights"], whole["steps"], whole["count"]) == (record["weights"], STEPS, COUNT)
    record["whole"] = whole["rows"][SEED]
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    for name in COLUMNS:
        print(f"{name:10} {record['whole'][name]:9.4f} with the whole weights, {record['rounded'][name]:9.4f} rounded")
    print(f"{record['seconds']:.0f} s; wrote {RECORD.relative_to(train_digits.ROOT)}")


if __name__ == "__main__":
    main()
