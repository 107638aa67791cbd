"""Train U-Nets without one of their parts, and two that predict x_0 or v; record losses and samples.

    python studies/study_ablations.py [--keep FOLDER]     (about ten minutes of one core)

Unlabelled digits, the linear schedule with T = 1000, 300 steps of 64 images, three seeds. Each network draws 300 digits
in 50 steps of DDPM with beta_tilde, and its loss is measured on held-out digits, as an error of z. A run whose digits
lie in FOLDER is not repeated. Writes book/results/digits-ablations.json.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import study_training
import torch
import torch.nn.functional as F
import train_digits
from safetensors.torch import load_file, save_file
from torch import nn

from ddpm_lite import (
    UNet,
    UNetConfig,
    last,
    linear_schedule,
    load_digits,
    respace,
    sample,
    time_embedding,
    velocity,
)
from ddpm_lite.evaluate import load_features
from ddpm_lite.files.pixels import to_hex
from ddpm_lite.process import z_from_v

RECORD = train_digits.RESULTS / "digits-ablations.json"
SEEDS = (0, 1, 2)
STEPS = 300  # of training
BATCH = 64
COUNT = 300  # digits drawn by each network
WALK = 50  # network evaluations for each of them
SHOWN = 10  # digits kept of each row


class Ablated(UNet):
    """A U-Net whose `position` maps t to the input of the time embedding, with or without skip connections."""

    def __init__(self, config: UNetConfig, position: Callable, skips: bool):
        super().__init__(config)
        self.position, self.skips = position, skips

    def forward(self, x_t, t, context=None):
        t = torch.as_tensor(t).expand(len(x_t))
        emb = self.time_embedding(time_embedding(self.position(t), self.config.channels[0]))
        kept = [self.conv_in(x_t)]
        for down in self.down_blocks:
            kept += down(kept[-1], emb, None)
        h = self.mid_block(kept[-1], emb, None)
        if not self.skips:
            kept = [torch.zeros_like(each) for each in kept]
        for up in self.up_blocks:
            h = up(h, kept, emb, None)
        return self.conv_out(F.silu(self.conv_norm_out(h)))


@dataclass(frozen=True)
class Row(study_training.Row):
    """The settings in which the networks of a row differ from the others."""

    position: Callable = lambda t: t - 1
    skips: bool = True
    channels: tuple[int, ...] = (16, 32)

    def network(self) -> UNet:
        """Build a new network."""
        levels, middle = self.attention, self.attention == "every"
        config = UNetConfig(8, channels=self.channels, blocks=1, attention_levels=levels, middle_attention=middle)
        return Ablated(config, self.position, self.skips)


def v_simple(schedule, x_0, x_t, t, z, answer):
    """The loss of a network of v = sqrt(alpha-bar) z - sqrt(1 - alpha-bar) x_0, with equal weights for all t."""
    return (velocity(schedule, x_0, t, z) - answer).square().mean()


TO_Z = study_training.TO_Z | {"v": z_from_v}
LINEAR = linear_schedule()
ROWS = {
    "whole": Row(LINEAR),
    "no time": Row(LINEAR, position=torch.zeros_like),
    "t / T": Row(LINEAR, position=lambda t: (t - 1) / LINEAR.T),
    "no skips": Row(LINEAR, skips=False),
    "one level": Row(LINEAR, channels=(32,), attention=()),
    "x_0": Row(LINEAR, tells="x_0", loss=study_training.x_0_simple),
    "v": Row(LINEAR, tells="v", loss=v_simple),
}


def drawn(row: Row, network: nn.Module, seed: int):
    """Sample from a network on a re-spaced schedule."""

    def model(x_t, t, context=None):
        t = torch.as_tensor(t).expand(len(x_t))
        return TO_Z[row.tells](row.schedule, x_t, t, network(x_t, t))

    network.eval()
    _, x_0 = last(sample(model, respace(row.schedule, WALK), (COUNT, 1, 8, 8), seed=seed))
    return x_0


def made(name: str, seed: int, folder: Path) -> dict:
    """Train one run; return the digits drawn with its averaged weights, its held-out loss and its seconds."""
    path = folder / f"{name.replace('/', 'over')} {seed}.safetensors"
    if not path.exists():
        names, row = train_digits.recipe("digits"), ROWS[name]
        torch.manual_seed(seed)
        start = time.process_time()
        config = replace(names["config"], steps=STEPS, batch_size=BATCH, seed=seed)
        state = study_training.trained(row, names["images"], config)
        network = state.ema_model
        found = {
            "loss": torch.tensor(study_training.held_out_loss(row, network)),
            "ema": drawn(row, network, seed),
            "parameters": torch.tensor(sum(p.numel() for p in network.parameters())),
        }
        save_file(found | {"seconds": torch.tensor(time.process_time() - start)}, path)
        print(f"{name}, seed {seed}: loss {float(found['loss']):.4f}", flush=True)
    return load_file(path)


def main():
    """Train and sample the missing runs, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keep", type=Path, help="a folder for what is drawn")
    folder = parser.parse_args().keep or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    study_training.TO_Z.update(TO_Z)  # because its held_out_loss uses it
    net, start, rows, seconds = load_features("digits"), time.perf_counter(), [], 0.0
    (images, _), (reference, _) = load_digits("train"), load_digits("test")
    for seed in SEEDS:
        for name in ROWS:
            digits = made(name, seed, folder)
            seconds += float(digits["seconds"])
            x_0 = digits["ema"].clamp(-1, 1)
            found = study_training.judged(net, x_0, reference, images)
            row = {"row": name, "seed": seed, "loss": round(float(digits["loss"]), 5)}
            row |= {"parameters": int(digits["parameters"])}
            row |= {key: round(value, 5) for key, value in found.items()}
            print(row, flush=True)
            rows.append(row | {"shown": to_hex(x_0[:SHOWN])})
    record = train_digits.circumstances("study_ablations.py") | {
        "images": COUNT,
        "reference": len(reference),
        "steps": STEPS,
        "batch_size": BATCH,
        "walk": WALK,
        "seeds": list(SEEDS),
        "cpu_seconds": round(seconds, 1),
        "rows": rows,
        "seconds": round(time.perf_counter() - start, 1),
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    print(f"wrote {RECORD.relative_to(train_digits.ROOT)}")


if __name__ == "__main__":
    main()
