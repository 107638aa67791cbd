"""Add the model of a Fashion-MNIST run to those that come with the package, and record the run.

    OMP_NUM_THREADS=1 python -m ddpm_lite train fashion --out runs/fashion
    python studies/ship_fashion.py runs/fashion

The second command takes the newest checkpoint, also while the first is still running. Writes
ddpm_lite/pretrained/fashion.safetensors (the running average, float16) and book/results/fashion.json. The recipe is
the preset's; if the run had fewer or more steps, the record's command says so.
"""

import argparse
import json
from pathlib import Path

import torch
import train_digits
from ship import ship

from ddpm_lite.files import weights
from ddpm_lite.files.records import name_processor
from ddpm_lite.runs.folder import verify
from ddpm_lite.runs.presets import PRESETS

NAME = "fashion"


def read_metrics(folder, step):
    """Read the run's metrics up to a step, one dictionary for every few steps."""
    with open(folder / "metrics.jsonl", encoding="utf8") as file:
        lines = [json.loads(line) for line in file]
    return [line for line in lines if line["step"] <= step]


def record(folder):
    """Return the model of a run's newest checkpoint, its schedule, and the record of the run."""
    newest = verify(folder)
    manifest = json.loads(weights.check_seal(newest)["run"])
    lines, config, step = read_metrics(folder, manifest["step"]), manifest["config"], manifest["step"]
    recipe = {key: value for key, value in vars(PRESETS[NAME].config).items() if key != "steps"}
    assert {key: config[key] for key in recipe} == recipe, "the run has another recipe than the preset"
    steps = "" if step == PRESETS[NAME].config.steps else f" --config.steps {step}"
    every = [line["step"] - before for line, before in zip(lines, [0, *(line["step"] for line in lines)], strict=False)]
    rates = [line["images_per_second"] for line in lines]
    seconds = sum(count * config["batch_size"] / rate for count, rate in zip(every, rates, strict=True))
    losses = [line["loss"] for line in lines]
    model, schedule = weights.load(newest)
    return (
        model,
        schedule,
        train_digits.circumstances("ship_fashion.py runs/fashion")
        | {
            "train": f"OMP_NUM_THREADS=1 python -m ddpm_lite train {NAME} --out runs/fashion{steps}",
            "hardware": f"{name_processor()}, one thread, beside other work; no GPU",
            "config": config | {"steps": step},
            "unet": vars(model.unet.config),
            "schedule": repr(schedule),
            "parameters": sum(p.numel() for p in model.parameters()),
            "images_seen": step * config["batch_size"],
            "seconds": round(seconds),
            "loss_last_100": round(sum(losses[-100:]) / len(losses[-100:]), 5),
            "loss_every": every[0],
            "losses": [round(loss, 5) for loss in losses],
        },
    )


def main():
    """Ship the model and write its record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="the folder of the run")
    model, schedule, about = record(parser.parse_args().folder)
    shipped = weights.PRETRAINED / f"{NAME}.safetensors"
    weights.save(shipped, model, schedule, dtype=torch.float16)
    ship(shipped.name, shipped.read_bytes())
    (train_digits.RESULTS / f"{NAME}.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf8")
    print(f"step {about['config']['steps']}; wrote {shipped.name} and book/results/{NAME}.json")


if __name__ == "__main__":
    main()
