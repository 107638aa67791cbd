"""Measure the benefits and costs of guidance, and record them for the chapter on conditioning.

    python studies/study_guidance.py     (about thirteen minutes)

Samples with the shipped model digits-by-label at several scales, with and without clipping, and with a second model
that is trained here by the same recipe, but without dropping labels. The measures are defined in the chapter, in its
cells tagged `measure`. Writes book/results/guidance.json; all seeds are 0.
"""

import hashlib
import json
import time
from dataclasses import replace
from functools import partial

import torch
import train_digits

from ddpm_lite import ddpm_step, guided, last, load_pretrained, sample
from ddpm_lite.files import weights
from ddpm_lite.files.pixels import to_hex

NAME = "digits-by-label"
RECORD = train_digits.RESULTS / "guidance.json"
SHOWN = 10  # images kept of each row, one of each label


def draw(model, schedule, measure, scale, count, **options):
    """Make a row of the record: `count` images at this scale, with labels 0 to 9 in turn."""
    asked = torch.arange(count) % 10
    start, step = time.perf_counter(), partial(ddpm_step, **options)
    network = guided(model, scale, model.none)
    _, x_0 = last(sample(network, schedule, (count, 1, 8, 8), step=step, seed=0, context=asked))
    row = {"scale": scale, "images": count, **measure(x_0, asked), "seconds": round(time.perf_counter() - start, 1)}
    row["outside"] = round(float((x_0.abs() > 1.05).double().mean()), 4)
    print(row, flush=True)
    return row | {"shown": to_hex(x_0[:SHOWN])}


def never_dropped():
    """Train the recipe's model without dropping labels, so that "no label" keeps its random initial tokens."""
    names = train_digits.recipe(NAME)
    names["config"] = replace(names["config"], label_dropout=0.0)
    return last(train_digits.run(names)).ema_model


def main():
    """Sample, measure, write."""
    start = time.perf_counter()
    measure = train_digits.recipe(NAME, "recipe", "measure")["measure"]
    model, schedule = load_pretrained(NAME)
    row = partial(draw, schedule=schedule, measure=measure)
    rows = {
        "scales": [row(model, scale=w, count=500 if w == 0 else 100) for w in (0, 0.5, 1, 2, 4, 8)],
        "without clipping": [row(model, scale=w, count=20, clip=False) for w in (0, 8)],
    }
    unaware = never_dropped()
    rows["never dropped"] = [row(unaware, scale=w, count=50) for w in (0, 1, 4)]
    shipped = weights.PRETRAINED / f"{NAME}.safetensors"
    record = train_digits.circumstances("study_guidance.py") | {
        "weights_sha256": hashlib.sha256(shipped.read_bytes()).hexdigest(),
        "seed": 0,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time(), 1),
        **rows,
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    print(f"{record['seconds']:.0f} s; wrote {RECORD.relative_to(train_digits.ROOT)}")


if __name__ == "__main__":
    main()
