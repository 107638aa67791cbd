"""Train a digits model that the package ships, by the recipe of its chapter, and record the run.

    python studies/train_digits.py digits             of the chapter on training; a minute or two on two cores
    python studies/train_digits.py digits-by-label    of the chapter on conditioning; about two minutes

The recipe is read from the chapter: its cells tagged `recipe` make the data, the schedule, the model and the
config. Writes ddpm_lite/pretrained/NAME.safetensors (the running average, float16) and book/results/NAME.json; for
`digits` also the README's picture, book/images/digits-path.png.
"""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path

import nbformat
import torch
from ship import ship

from ddpm_lite import ConditionalUNet, load_pretrained, sample, train
from ddpm_lite.files import weights
from ddpm_lite.files.records import name_processor
from ddpm_lite.viz import plots

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = {
    "digits": ROOT / "book" / "08_training.ipynb",
    "digits-by-label": ROOT / "book" / "10_conditioning_and_guidance.ipynb",
}
RESULTS = ROOT / "book" / "results"
PICTURE = ROOT / "book" / "images" / "digits-path.png"


def recipe(name, *tags):
    """Run the cells of a chapter with one of these tags, by default `recipe`, and return their names.

    name: the model that the chapter trains, or the chapter's file.
    """
    chapter, names = CHAPTERS.get(name) or Path(name), {}
    for cell in nbformat.read(chapter, as_version=4).cells:
        if set(tags or ("recipe",)) & set(cell.metadata.get("tags", [])):
            exec(compile(cell.source, f"{chapter.name}:{cell.id}", "exec"), names)
    return names


def run(names):
    """Train by the recipe, with labels if its model takes them; yield the states."""
    model, labels = names["model"], {}
    if isinstance(model, ConditionalUNet):
        labels = {"labels": names["labels"], "none": model.none}
    return train(model, names["schedule"], names["images"], names["config"], **labels)


def circumstances(script):
    """Describe the command, the hardware and the versions, which a reader needs to repeat a record."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "command": f"python studies/{script}",
        "hardware": f"{name_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, no GPU",
        "torch": torch.__version__.split("+")[0],
        "commit": commit.stdout.strip(),
    }


def draw():
    """Sample eight digits with the file that was written, and draw their path from noise."""
    model, schedule = load_pretrained("digits")
    path = dict(sample(model, schedule, shape=(8, 1, 8, 8), seed=0))
    PICTURE.parent.mkdir(exist_ok=True)
    plots.image_rows({f"t = {t}": path[t] for t in (1000, 400, 250, 150, 60, 0)}).savefig(PICTURE)


def main():
    """Train, save, record, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", nargs="?", default="digits", choices=CHAPTERS)
    name = parser.parse_args().name
    names = recipe(name)
    start, cpu, losses = time.perf_counter(), time.process_time(), []
    for state in run(names):
        losses.append(round(state.loss, 5))
        if state.step % 50 == 0:
            print(f"step {state.step} of {names['config'].steps}: loss {sum(losses[-50:]) / 50:.4f}", flush=True)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    model, shipped = state.ema_model, weights.PRETRAINED / f"{name}.safetensors"
    weights.save(shipped, model, names["schedule"], dtype=torch.float16)
    ship(shipped.name, shipped.read_bytes())
    record = (
        circumstances(f"train_digits.py {name}")
        | {
            "config": vars(names["config"]),
            "unet": vars(weights.get_unet(model).config),
            "schedule": repr(names["schedule"]),
            "parameters": sum(p.numel() for p in model.parameters()),
            "images_seen": names["config"].steps * names["config"].batch_size,
            "seconds": round(seconds, 1),
            "cpu_seconds": round(cpu, 1),  # of all threads, so it does not depend on what else the machine does
            "loss_last_100": round(sum(losses[-100:]) / len(losses[-100:]), 5),
            "losses": losses,
        }
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    if name == "digits":
        draw()
    print(f"{seconds:.0f} s; wrote book/results/{name}.json and {shipped.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
