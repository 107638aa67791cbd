"""Measure digits drawn with different amounts of fresh noise, and record the distances for the chapter on fresh noise.

    python studies/study_fresh_noise.py            (about five minutes on one idle core)
    python studies/study_fresh_noise.py --when     (about two minutes: noise in a part of the steps only)

Samples 500 digits from the shipped model `digits-by-label`, the labels 0 to 9 in turn, by DDIM's step with each eta,
number of steps and seed. They are compared with the 500 held-out digits by the energy distance of the chapter on fewer
steps, in its cells tagged `measure`, and by the Fréchet distance in the features of the package. As a floor, sets of 50
training digits of each label are measured in the same way. Rows that are already in the record are not sampled again,
if they are of the same weights. Writes book/results/fresh-noise.json after each row.

With --when, digits are drawn in 50 steps that add the noise of eta = 1 in the first or the last half of the steps only,
or in the last ten. Writes book/results/fresh-noise-when.json.
"""

import argparse
import hashlib
import json
import time
from functools import partial

import study_steps
import torch
import train_digits

from ddpm_lite import ddim_step, last, load_digits, load_pretrained, respace, sample
from ddpm_lite.evaluate import features_of, frechet_distance, load_features
from ddpm_lite.files import weights

NAME = "digits-by-label"
RECORD = train_digits.RESULTS / "fresh-noise.json"
RECORD_WHEN = train_digits.RESULTS / "fresh-noise-when.json"
ETAS = (0.0, 0.5, 1.0)
STEPS = (10, 50, 250)
SEEDS = (0, 1, 2)
COUNT = 500  # images drawn for each row
FLOORS = 20  # sets of training digits
STEPS_WHEN = 50
SPANS = {"first half": (26, 50), "last half": (1, 25), "last ten": (1, 10)}  # times of the steps with noise


class Ruler:
    """Both distances of a set of images from the held-out digits."""

    def __init__(self):
        chapter = train_digits.recipe(study_steps.CHAPTER, "measure")
        self.energy, self.unseen = chapter["distance"], chapter["unseen"]
        self.net = load_features("digits")
        self.reference = features_of(self.net, self.unseen)

    def measure(self, images):
        """Compute the energy distance in pixels, and the Fréchet distance in features."""
        images = images.clamp(-1, 1)
        frechet = frechet_distance(features_of(self.net, images), self.reference)
        return {"energy": round(self.energy(images, self.unseen), 5), "frechet": round(frechet, 5)}


def step_in(span, schedule, x_t, t, s, z_hat, noise):
    """DDIM's step, with the noise of eta = 1 at the times of the span, both ends included, and none at others."""
    return ddim_step(schedule, x_t, t, s, z_hat, noise, eta=float(span[0] <= t <= span[1]))


def measure_walk(ruler, model, schedule, steps, step, seed, **kind):
    """Sample and measure one kind of walk."""
    start, walk = time.process_time(), respace(schedule, steps)
    how = {"step": step, "seed": seed, "context": torch.arange(COUNT) % 10}
    _, x_0 = last(sample(model, walk, (COUNT, 1, 8, 8), **how))
    seconds = round(time.process_time() - start, 1)
    found = {"steps": steps} | kind | {"seed": seed} | ruler.measure(x_0) | {"cpu_seconds": seconds}
    print(found, flush=True)
    return found


def measure_row(ruler, model, schedule, steps, eta, seed):
    """Sample and measure with one eta in all steps."""
    return measure_walk(ruler, model, schedule, steps, partial(ddim_step, eta=eta), seed, eta=eta)


def measure_when(ruler, model, schedule, sha256):
    """Sample and measure with noise in a part of the steps, and record it with the noise levels at its ends."""
    levels = respace(schedule, STEPS_WHEN).noise_level
    record = train_digits.circumstances("study_fresh_noise.py --when") | {"weights_sha256": sha256, "images": COUNT}
    record["spans"] = [
        {"when": name, "times": list(span), "levels": [round(float(levels[t]), 3) for t in span]}
        for name, span in SPANS.items()
    ]
    rows = [
        measure_walk(ruler, model, schedule, STEPS_WHEN, partial(step_in, span), seed, when=name)
        for name, span in SPANS.items()
        for seed in SEEDS
    ]
    RECORD_WHEN.write_text(json.dumps(record | {"rows": rows}, indent=1) + "\n", encoding="utf8")
    print(f"wrote {RECORD_WHEN.relative_to(train_digits.ROOT)}")


def measure_floors(ruler):
    """Measure sets of training digits, as many of each label."""
    images, labels = load_digits("train")
    generator, rows = torch.Generator().manual_seed(0), []
    for _ in range(FLOORS):
        mixed = torch.randperm(len(images), generator=generator)
        chosen = torch.cat([mixed[labels[mixed] == label][: COUNT // 10] for label in range(10)])
        rows.append(ruler.measure(images[chosen]))
    return rows


def main():
    """Sample, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--when", action="store_true", help="noise in a part of the steps only")
    when = parser.parse_args().when
    ruler = Ruler()
    model, schedule = load_pretrained(NAME)
    shipped = weights.PRETRAINED / f"{NAME}.safetensors"
    sha256 = hashlib.sha256(shipped.read_bytes()).hexdigest()
    if when:
        measure_when(ruler, model, schedule, sha256)
        return
    before = json.loads(RECORD.read_text(encoding="utf8")) if RECORD.exists() else {}
    rows = before["rows"] if before.get("weights_sha256") == sha256 else []
    done = {(row["steps"], row["eta"], row["seed"]) for row in rows}
    record = train_digits.circumstances("study_fresh_noise.py")
    record |= {"weights_sha256": sha256, "images": COUNT, "real": measure_floors(ruler), "rows": rows}
    for each in [(steps, eta, seed) for steps in STEPS for seed in SEEDS for eta in ETAS]:
        if each not in done:
            rows.append(measure_row(ruler, model, schedule, *each))
            RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    print(f"wrote {RECORD.relative_to(train_digits.ROOT)}")


if __name__ == "__main__":
    main()
