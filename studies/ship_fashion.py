"""Add the weights of a run of the speedrun to those that come with the package, and record the run.

    OMP_NUM_THREADS=1 python studies/speedrun.py --only IDEA --steps 10000 --keep
    python studies/ship_fashion.py

The first command trains for over an hour, and measures the samples for another; book/results/fashion.json has the
IDEA that comes with the package. The second takes the run of the least distance among those in runs/speedrun whose
weights were kept, and writes ddpm_lite/pretrained/fashion.safetensors (the running average, float16) and
book/results/fashion.json.
"""

import argparse
import json
from pathlib import Path

import train_digits
from ship import ship
from speedrun_ideas import IDEAS

from ddpm_lite.files.weights import find_network, get_unet
from ddpm_lite.runs.models import open_model

NAME = "fashion"


def find_nearest(folder: Path) -> tuple[Path, dict]:
    """Find the weights of the least distance in a folder of the speedrun, and what is known of their run."""
    runs = [(path, json.loads(path.with_suffix(".json").read_text("utf8"))) for path in folder.glob("*.safetensors")]
    if not runs:
        raise SystemExit(f"FOLDER: expected weights that speedrun.py kept, got none in {folder}; train with --keep")
    return min(runs, key=lambda found: found[1]["mean"]["frechet"])


def record(path: Path, run: dict) -> dict:
    """Describe a run: its recipe, hardware and seconds, and the network and schedule of its weights."""
    model, schedule = open_model(path)
    recipe = run["recipe"]
    config = {name: recipe[name] for name in ("batch_size", "label_dropout", "lr", "optimizer", "warmup")}
    return train_digits.circumstances("ship_fashion.py") | {
        "train": f"OMP_NUM_THREADS=1 python studies/speedrun.py --only {run['idea']} --steps {run['steps']} --keep",
        "hardware": f"{run['device'].replace('(R)', '')}, beside other work; no GPU",
        "torch": run["torch"],
        "idea": run["idea"],
        "ideas": [IDEAS[part].about for part in run["idea"].split("+")],
        "config": config | {"ema_decay": run["ema"], "seed": run["seed"], "steps": run["steps"]},
        "unet": vars(get_unet(find_network(model)).config),
        "schedule": repr(schedule),
        "parameters": run["parameters"],
        "images_seen": run["images_seen"],
        "seconds": run["seconds"],
        "cpu_seconds": run["cpu_seconds"],
        "loss_last_200": run["loss_last_200"],
    }


def main() -> None:
    """Ship the weights and write their record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/speedrun"), help="default runs/speedrun")
    path, run = find_nearest(parser.parse_args().folder)
    about = record(path, run)
    ship(f"{NAME}.safetensors", path.read_bytes())
    (train_digits.RESULTS / f"{NAME}.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf8")
    print(f"{run['idea']}, {run['steps']:,} steps; wrote {NAME}.safetensors and book/results/{NAME}.json")


if __name__ == "__main__":
    main()
