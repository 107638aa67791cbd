"""Train the same network on 100 digits and on all 1,297, and record its losses on training and held-out digits.

    python studies/study_memorisation.py [--keep FOLDER]     (about eight minutes of one core)

The U-Net and the recipe of the chapter on training, but 3,000 steps of 64 images and one seed. Every 250 steps the
averaged network's loss is measured on its training digits and on the 500 held-out ones, with the same times and noises
each time. At the end it draws 100 digits in 50 steps of DDPM with beta_tilde, and the distance of each from the nearest
training digit of its run is recorded, beside that of the held-out digits. A run whose result lies in FOLDER is not
repeated. Writes book/results/memorisation.json.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
import train_digits
from torch import Tensor, nn

from ddpm_lite import Schedule, last, load_digits, respace, sample, train
from ddpm_lite.files.pixels import to_hex
from ddpm_lite.process import ddpm_loss

RECORD = train_digits.RESULTS / "memorisation.json"
SEEDS = (0,)
SIZES = (100, 1297)  # training digits; the first ones of load_digits("train")
STEPS = 3000
BATCH = 64
EVERY = 250  # steps from one measurement to the next
PROBES = 2000  # pairs of a time and a noise in a measurement
COUNT = 100  # digits drawn by each network
WALK = 50  # network evaluations for each of them
SHOWN = 8  # digits kept of each run


@torch.no_grad()
def fixed_loss(network: nn.Module, schedule: Schedule, x_0: Tensor) -> float:
    """Measure L_simple (eq-simple-loss) on these digits, equally often on each, with the same draws at every call."""
    x_0, generator = x_0.repeat(-(-PROBES // len(x_0)), 1, 1, 1)[:PROBES], torch.Generator().manual_seed(0)
    t = torch.randint(1, schedule.T + 1, (len(x_0),), generator=generator)
    z = torch.randn(x_0.shape, generator=generator)
    return float(ddpm_loss(network.eval(), schedule, x_0, t, z))


def distances(x: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Find the distance of each x from its nearest image, for pixels in [-1, 1], and the index of that image."""
    nearest = torch.cdist(x.flatten(1), images.flatten(1)).min(dim=1)
    return nearest.values, nearest.indices


def made(size: int, seed: int) -> dict:
    """Train one run; return its losses during training, and its samples at the end."""
    names, held_out = train_digits.recipe("digits"), load_digits("test")[0]
    images, schedule = names["images"][:size], names["schedule"]
    torch.manual_seed(seed)
    model, start = type(names["model"])(names["model"].config), time.process_time()
    config = replace(names["config"], steps=STEPS, batch_size=BATCH, seed=seed)
    points = []
    for state in train(model, schedule, images, config):
        if state.step % EVERY == 0:
            seen, unseen = (fixed_loss(state.ema_model, schedule, x) for x in (images, held_out))
            points.append({"step": state.step, "training": round(seen, 5), "held out": round(unseen, 5)})
            print(f"{size} digits, seed {seed}: {points[-1]}", flush=True)
    _, x_0 = last(sample(state.ema_model, respace(schedule, WALK), (COUNT, 1, 8, 8), seed=seed))
    far, which = distances(x_0, images)
    return {
        "digits": size,
        "seed": seed,
        "losses": points,
        "drawn": [round(float(d), 3) for d in far],
        "held out": [round(float(d), 3) for d in distances(held_out, images)[0]],
        "shown": to_hex(x_0[:SHOWN]),
        "nearest": which[:SHOWN].tolist(),
        "cpu_seconds": round(time.process_time() - start, 1),
    }


def main():
    """Train and sample the missing runs, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keep", type=Path, help="a folder for finished runs")
    folder = parser.parse_args().keep or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in SEEDS:
        for size in SIZES:
            path = folder / f"{size} {seed}.json"
            if not path.exists():
                path.write_text(json.dumps(made(size, seed)), encoding="utf8")
            rows.append(json.loads(path.read_text(encoding="utf8")))
    record = train_digits.circumstances("study_memorisation.py") | {
        "steps": STEPS,
        "batch_size": BATCH,
        "walk": WALK,
        "seeds": list(SEEDS),
        "cpu_seconds": round(sum(row["cpu_seconds"] for row in rows), 1),
        "rows": rows,
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    print(f"wrote {RECORD.relative_to(train_digits.ROOT)}")


if __name__ == "__main__":
    main()
