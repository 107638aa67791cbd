"""Train the digits model that the package ships, by the recipe of the chapter on training, and record the run.

    python tools/train_digits.py      (a minute or two on two cores)

The recipe is read from the chapter: its cells tagged `recipe` make the data, the schedule, the model and the
config. Writes ddpm_lite/pretrained/digits.safetensors (the running average, float16), book/results/digits.json, and
the README's picture, book/images/digits-path.png.
"""

import json
import os
import platform
import subprocess
import time
from pathlib import Path

import nbformat
import torch

from ddpm_lite import checkpoint, load_pretrained, sample, train
from ddpm_lite.viz import plots

ROOT = Path(__file__).resolve().parent.parent
CHAPTER = ROOT / "book" / "08_training.ipynb"
RECORD = ROOT / "book" / "results" / "digits.json"
PICTURE = ROOT / "book" / "images" / "digits-path.png"


def recipe():
    """The names that the chapter's recipe cells define: images, schedule, model, config."""
    names = {}
    for cell in nbformat.read(CHAPTER, as_version=4).cells:
        if "recipe" in cell.metadata.get("tags", []):
            exec(compile(cell.source, f"{CHAPTER.name}:{cell.id}", "exec"), names)
    return names


def processor():
    """What /proc/cpuinfo or the platform calls this processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def draw():
    """Eight digits on their way from noise, drawn by the file that was written."""
    model, schedule = load_pretrained("digits")
    path = dict(sample(model, schedule, shape=(8, 1, 8, 8), seed=0))
    PICTURE.parent.mkdir(exist_ok=True)
    plots.image_rows({f"t = {t}": path[t] for t in (1000, 400, 250, 150, 60, 0)}).savefig(PICTURE)


def main():
    """Train, save, record, draw."""
    names = recipe()
    start, losses = time.perf_counter(), []
    for state in train(names["model"], names["schedule"], names["images"], names["config"]):
        losses.append(round(state.loss, 5))
        if state.step % 50 == 0:
            print(f"step {state.step} of {names['config'].steps}: loss {sum(losses[-50:]) / 50:.4f}", flush=True)
    seconds = time.perf_counter() - start
    checkpoint.PRETRAINED.mkdir(exist_ok=True)
    checkpoint.save(
        checkpoint.PRETRAINED / "digits.safetensors", state.ema_model, names["schedule"], dtype=torch.float16
    )
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    record = {
        "command": "python tools/train_digits.py",
        "hardware": f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, no GPU",
        "torch": torch.__version__.split("+")[0],
        "commit": commit.stdout.strip(),
        "config": vars(names["config"]),
        "unet": vars(state.ema_model.config),
        "schedule": repr(names["schedule"]),
        "parameters": sum(p.numel() for p in state.ema_model.parameters()),
        "images_seen": names["config"].steps * names["config"].batch_size,
        "seconds": round(seconds, 1),
        "loss_last_100": round(sum(losses[-100:]) / len(losses[-100:]), 5),
        "losses": losses,
    }
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    draw()
    print(f"{seconds:.0f} s; wrote {RECORD.relative_to(ROOT)} and ddpm_lite/pretrained/digits.safetensors")


if __name__ == "__main__":
    main()
