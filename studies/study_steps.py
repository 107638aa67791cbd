"""Measure the quality of digits drawn in few steps, and record it for the chapter on fewer steps.

    python studies/study_steps.py     (about a quarter of an hour on one idle core)

Samples 500 digits from the shipped model `digits` for each kind of step, spacing and number of steps, and measures
their distance from the 500 held-out digits. The distance and the kinds of step are those of the chapter, in its cells
tagged `measure`. Short trailing walks are sampled with three seeds, the others with one. Rows that are already in the
record are not sampled again, if they are of the same weights. Writes
book/results/steps.json.
"""

import hashlib
import json
import time

import torch
import train_digits

from ddpm_lite import last, load_pretrained, respace, sample
from ddpm_lite.files import weights

CHAPTER = train_digits.ROOT / "book" / "11_fewer_steps.ipynb"
RECORD = train_digits.RESULTS / "steps.json"
COUNT = 500  # images drawn for each row
STEPS = {"trailing": (5, 10, 20, 50, 100, 200, 1000), "leading": (5, 10, 20, 50, 100, 200)}
SEEDS = (0, 1, 2)
AGAIN = {"trailing": (5, 10, 20, 50)}  # walks that are sampled with every seed, not only with the first


def row(chapter, model, schedule, kind, spacing, steps, seed):
    """Sample and measure one kind of walk."""
    start = time.perf_counter()
    walk = respace(schedule, steps, spacing)
    _, x_0 = last(sample(model, walk, (COUNT, 1, 8, 8), step=chapter["kinds"][kind], seed=seed))
    found = {
        "kind": kind,
        "spacing": spacing,
        "steps": steps,
        "seed": seed,
        "distance": round(chapter["distance"](x_0, chapter["unseen"]), 5),
        "seconds": round(time.perf_counter() - start, 1),
    }
    print(found, flush=True)
    return found


def main():
    """Sample, measure, write."""
    start = time.perf_counter()
    chapter = train_digits.recipe(CHAPTER, "measure")
    model, schedule = load_pretrained("digits")
    shipped = weights.PRETRAINED / "digits.safetensors"
    sha256 = hashlib.sha256(shipped.read_bytes()).hexdigest()
    before = json.loads(RECORD.read_text(encoding="utf8")) if RECORD.exists() else {}
    known = before if before.get("weights_sha256") == sha256 else {"rows": [], "cpu_seconds": 0.0}
    held = {(r["kind"], r["spacing"], r["steps"], r["seed"]): r for r in known["rows"]}
    plan = [
        (kind, spacing, steps, seed)
        for seed in SEEDS
        for spacing, numbers in (STEPS if seed == SEEDS[0] else AGAIN).items()
        for steps in numbers
        for kind in chapter["kinds"]
    ]
    rows = [held[each] if each in held else row(chapter, model, schedule, *each) for each in plan]
    generator = torch.Generator().manual_seed(0)
    subsets = [torch.randperm(len(chapter["images"]), generator=generator)[:COUNT] for _ in range(20)]
    chance = sorted(chapter["distance"](chapter["images"][subset], chapter["unseen"]) for subset in subsets)
    record = train_digits.circumstances("study_steps.py") | {
        "weights_sha256": sha256,
        "seeds": list(SEEDS),
        "images": COUNT,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(known["cpu_seconds"] + time.process_time(), 1),
        "real": {"median": round(chance[10], 5), "least": round(chance[0], 5), "most": round(chance[-1], 5)},
        "rows": rows,
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    print(f"{record['seconds']:.0f} s; wrote {RECORD.relative_to(train_digits.ROOT)}")


if __name__ == "__main__":
    main()
