"""Train small networks that differ in one setting, and measure their samples for the chapter on evaluation.

    python studies/study_training.py [--keep FOLDER]     (about 30 minutes of one core)

Unlabelled digits, the U-Net and the recipe of the chapter on training, but 300 steps. Each row is trained with three
seeds, and each network draws 500 digits in 100 steps of DDPM with beta_tilde. With --keep, the digits are kept in
FOLDER, and a run whose digits are already there is not repeated. With --rows, only these rows are made, and added to
the others in the record. Writes book/results/digits-training.json.
"""

import argparse
import json
import shlex
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import train_digits
from safetensors.torch import load_file, save_file
from torch import nn

from ddpm_lite import (
    Schedule,
    TrainConfig,
    UNet,
    UNetConfig,
    bound_weight,
    cosine_schedule,
    last,
    linear_schedule,
    load_digits,
    min_snr_weight,
    posterior,
    predict_z,
    q_sample,
    respace,
    sample,
    z_from_mean,
)
from ddpm_lite.evaluate import frechet_distance, load_features, measure
from ddpm_lite.process import per_image
from ddpm_lite.trainer import batch_indices, ema_decay, fork_randomness, learning_rate, make_first_state, update_ema

RECORD = train_digits.RESULTS / "digits-training.json"
SEEDS = (0, 1, 2)
COUNT = 500  # digits drawn by each network
WALK = 100  # network evaluations for each of them
STEPS = 300  # of training


def z_simple(schedule, x_0, x_t, t, z, answer):
    """The loss of a network that predicts z: L_simple (eq-simple-loss)."""
    return (z - answer).square().mean()


def z_bound(schedule, x_0, x_t, t, z, answer):
    """The loss of z with the bound's weight for each t (eq-weighted-noise-loss)."""
    return (per_image(bound_weight(schedule)[t], z) * (z - answer).square()).mean()


def z_min_snr(schedule, x_0, x_t, t, z, answer):
    """The loss of z with min-SNR weights, gamma = 5."""
    return (per_image(min_snr_weight(schedule)[t], z) * (z - answer).square()).mean()


def x_0_simple(schedule, x_0, x_t, t, z, answer):
    """The loss of a network that predicts the image, with equal weights for all t."""
    return (x_0 - answer).square().mean()


def mu_simple(schedule, x_0, x_t, t, z, answer):
    """The loss of a network that predicts the mean of the step back, with equal weights for all t."""
    return (posterior(schedule, x_t, t, x_0)[0] - answer).square().mean()


def mu_bound(schedule, x_0, x_t, t, z, answer):
    """The loss of the mean of the step back with the bound's weight for each t (eq-middle-means)."""
    error = (posterior(schedule, x_t, t, x_0)[0] - answer).square()
    return (per_image(1 / (2 * schedule.beta[t]), error) * error).mean()


TO_Z = {  # converts the network's output to z, which samplers need
    "z": lambda schedule, x_t, t, answer: answer,
    "x_0": predict_z,
    "mu": z_from_mean,
}


@dataclass(frozen=True)
class Row:
    """The settings in which the networks of a row differ from the others."""

    schedule: Schedule = linear_schedule(100, 1e-3, 0.2)
    tells: str = "z"
    loss: Callable = z_simple
    attention: tuple[int, ...] | str = "every"
    lr_decay: str = "no"

    def network(self) -> UNet:
        """Build a new network."""
        levels, middle = self.attention, self.attention == "every"
        return UNet(UNetConfig(8, channels=(16, 32), blocks=1, attention_levels=levels, middle_attention=middle))


ROWS = {
    "base": Row(),
    "linear, T = 1000": Row(linear_schedule()),
    "cosine, T = 1000": Row(cosine_schedule()),
    "beta_T = 0.002": Row(linear_schedule(beta_T=0.002)),
    "x_0": Row(tells="x_0", loss=x_0_simple),
    "z, bound": Row(loss=z_bound),
    "mu, bound": Row(tells="mu", loss=mu_bound),
    "mu": Row(tells="mu", loss=mu_simple),
    "no attention": Row(attention=()),
    "cosine decay": Row(lr_decay="cosine"),
    "min-SNR": Row(loss=z_min_snr),
}
BOTH = ("base", "cosine decay")  # rows that are also sampled with the last weights, besides their average


def recipe(row: Row, seed: int) -> TrainConfig:
    """Return the recipe of the chapter on training, with the row's settings."""
    config = train_digits.recipe("digits")["config"]
    return replace(config, steps=STEPS, seed=seed, lr_decay=row.lr_decay)


def trained(row: Row, images, config: TrainConfig):
    """Train, and return the last state. This is `train` with another loss: same draws, same step, same average."""
    state = make_first_state(row.network())
    for step in range(1, config.steps + 1):
        state.optimizer.param_groups[0]["lr"] = learning_rate(config, step)
        x_0 = images[batch_indices(len(images), config, step)]
        with fork_randomness(config.seed, step, 0, x_0.device):
            t = torch.randint(1, row.schedule.T + 1, (len(x_0),))
            z = torch.randn(x_0.shape)
        x_t = q_sample(row.schedule, x_0, t, z)
        state.optimizer.zero_grad()
        row.loss(row.schedule, x_0, x_t, t, z, state.model(x_t, t)).backward()
        nn.utils.clip_grad_norm_(state.model.parameters(), config.grad_clip)
        state.optimizer.step()
        update_ema(state.ema, state.model, ema_decay(step, config.ema_decay))
    return state


def drawn(row: Row, network: nn.Module, seed: int):
    """Sample from the network on a re-spaced schedule, at times that it was trained with."""

    def model(x_t, t, context=None):
        return TO_Z[row.tells](row.schedule, x_t, t, network(x_t, t))

    network.eval()
    _, x_0 = last(sample(model, respace(row.schedule, WALK), (COUNT, 1, 8, 8), seed=seed))
    return x_0


@torch.no_grad()
def held_out_loss(row: Row, network: nn.Module) -> float:
    """Measure the network's L_simple (eq-simple-loss) on held-out digits, with the same draws for every run."""
    x_0, generator = load_digits("test")[0].repeat(4, 1, 1, 1), torch.Generator().manual_seed(0)
    t = torch.randint(1, row.schedule.T + 1, (len(x_0),), generator=generator)
    z = torch.randn(x_0.shape, generator=generator)
    x_t = q_sample(row.schedule, x_0, t, z)
    return float((z - TO_Z[row.tells](row.schedule, x_t, t, network.eval()(x_t, t))).square().mean())


def made(name: str, seed: int, folder: Path) -> dict:
    """Train one run; return its digits with the averaged weights, "ema", or the "last" weights, losses and seconds."""
    path = folder / f"{name} {seed}.safetensors"
    if not path.exists():
        row, (images, _) = ROWS[name], load_digits("train")
        config = recipe(row, seed)  # after the chapter's cells, which set torch's seed
        torch.manual_seed(seed)
        start, found = time.process_time(), {}
        state = trained(row, images, config)
        for weights, network in {"ema": state.ema_model, "last": state.model}.items():
            found[f"{weights} loss"] = torch.tensor(held_out_loss(row, network))
            if weights == "ema" or name in BOTH:
                found[weights] = drawn(row, network, seed)
        found["seconds"] = torch.tensor(time.process_time() - start)
        save_file(found, path)
        print(f"{name}, seed {seed}: {found['seconds']:.0f} s", flush=True)
    return load_file(path)


def judged(net, x_0, reference, images) -> dict:
    """Make a row of `measure`, with two more numbers: a distance in pixels, and the share of the mean real image."""
    x, real = x_0.flatten(1), reference.flatten(1)
    share = (x.mean(0) @ real.mean(0)) / real.mean(0).square().sum()
    return measure(net, x_0, reference, images) | {"pixels": frechet_distance(x, real), "mean": float(share)}


def main():
    """Train and sample the missing runs, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keep", type=Path, help="a folder for what is drawn")
    parser.add_argument("--rows", nargs="+", choices=ROWS, help="these alone, put to those of the record")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    net, start, rows, seconds = load_features("digits"), time.perf_counter(), [], 0.0
    (images, _), (reference, _) = load_digits("train"), load_digits("test")
    for seed in SEEDS:
        for name in options.rows or ROWS:
            digits = made(name, seed, folder)
            seconds += float(digits["seconds"])
            for weights in ("ema", "last") if name in BOTH else ("ema",):
                found = judged(net, digits[weights].clamp(-1, 1), reference, images)
                row = {
                    "row": name,
                    "weights": weights,
                    "seed": seed,
                    "loss": round(float(digits[f"{weights} loss"]), 5),
                }
                rows.append(row | {key: round(value, 5) for key, value in found.items()})
                print(rows[-1], flush=True)
    words = [
        "study_training.py",
        *(["--rows", *options.rows] if options.rows else []),
    ]  # without FOLDER, which is private
    circumstances = train_digits.circumstances(shlex.join(words))
    if options.rows:  # add the new rows and their circumstances to the old ones
        record = json.loads(RECORD.read_text(encoding="utf8"))
        record["rows"] = [row for row in record["rows"] if row["row"] not in options.rows] + rows
        record["added"] = circumstances | {"rows": options.rows, "cpu_seconds": round(seconds, 1)}
        RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
        print(f"wrote {RECORD.relative_to(train_digits.ROOT)}")
        return
    record = circumstances | {
        "images": COUNT,
        "reference": len(reference),
        "steps": STEPS,
        "walk": WALK,
        "seeds": list(SEEDS),
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(seconds, 1),
        "rows": rows,
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    print(f"wrote {RECORD.relative_to(train_digits.ROOT)}")


if __name__ == "__main__":
    main()
