"""Evaluation of a model: sample images, measure them and images of known quality alike, and record the results."""

import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import overload

import torch
from torch import Tensor

from ddpm_lite._check import fail
from ddpm_lite.condition import ConditionalUNet, ZModel, guided
from ddpm_lite.data import load_digits, load_fashion_mnist
from ddpm_lite.evaluate import class_agreement, features_of, floors, load_features, measure
from ddpm_lite.files.pixels import from_bytes
from ddpm_lite.files.records import name_processor
from ddpm_lite.files.weights import find_network, get_encoder, get_unet
from ddpm_lite.sampler import last, sample
from ddpm_lite.schedule import Schedule
from ddpm_lite.unet import UNet

AT_ONCE = 250  # images that are sampled together
SETS = {(1, 8): "digits", (1, 28): "fashion"}  # by channels and size
CLEAR = 3  # the distance of noise is at least this many times that of real images, or the distance means nothing
COLUMNS = ("frechet", "kernel", "precision", "recall", "nearest", "agreement")


def find_data_set(channels: int, size: int) -> str:
    """Find the data set with images of this shape.

    Raises:
        ValueError: there is no feature network for such images.
    """
    if (channels, size) not in SETS:
        expected = "a model of grey images of 8x8 (digits) or 28x28 pixels (fashion)"
        fail(ValueError, "model", expected, f"{size}x{size} with {channels} channels")
    return SETS[channels, size]


def load_real_images(name: str, folder: Path | None = None) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Load held-out images in [-1, 1], and training images (uint8 for Fashion-MNIST), with their labels."""
    if name == "digits":
        return load_digits("test"), load_digits("train")
    images, labels = load_fashion_mnist("test", folder=folder)
    return (from_bytes(images), labels), load_fashion_mnist("train", folder=folder)


def report(
    model: UNet | ConditionalUNet | ZModel,
    schedule: Schedule,
    step: Callable[..., Tensor],
    count: int,
    seeds: tuple[int, ...],
    *,
    scale: float = 0.0,
    folder: Path | None = None,
    watch: Callable[[Iterator, int], Iterator] = lambda states, total: states,
) -> dict:
    """Evaluate a model: a row for each seed, their mean and spread, and those of `floors` for the same count and seeds.

    Args:
        model: a model of one of the data sets; if it takes labels, they are used in turn.
        schedule: the schedule to sample with.
        step: the step of the sampler.
        count: images of each row, from 4 to the number of training images.
        seeds: one or more.
        scale: guidance weight.
        folder: the folder of the data set's files.
        watch: wraps the sampler's states, for a progress bar.

    Raises:
        ValueError: a model of other images, another count, or a scale for a model without labels.
    """
    start, cpu, network = time.perf_counter(), time.process_time(), find_network(model)
    encoder = get_encoder(network)
    config = get_unet(network).config
    shape = (config.in_channels, config.sample_size, config.sample_size)
    name = find_data_set(*shape[:2])
    if scale and encoder is None:
        fail(ValueError, "--scale", "0, because this model has no labels", f"{scale:g}")
    net, ((held_out, truth), (training, known)) = load_features(name), load_real_images(name, folder)
    if not 4 <= count <= len(training):
        fail(ValueError, "--count", f"4..{len(training)}, the number of training images", f"{count}")
    labels = torch.arange(count) % encoder.labels if encoder is not None else None
    weights = hash_weights(model)
    chosen = guided(model, scale, encoder.none) if scale and encoder is not None else model
    device, seen, rows = next(model.parameters()).device, features_of(net, held_out), []
    for seed in seeds:
        begun = time.perf_counter()
        images = draw_images(chosen, schedule, step, (count, *shape), labels, seed, device, watch)
        seconds = time.perf_counter() - begun
        rows.append({"seed": seed, **measure(net, images, seen, training, labels), "seconds": round(seconds, 1)})
    tables = [floors(net, held_out, training, count, seed, known) for seed in seeds]
    known_worth = {name: summarise([table[name] for table in tables]) for name in tables[0]}
    mean, spread = summarise(rows)
    # Unlike the elapsed time, processor time does not depend on what else the machine does.
    times = {"seconds": round(time.perf_counter() - start, 1), "cpu_seconds": round(time.process_time() - cpu, 1)}
    found = {
        "data": name,
        "count": count,
        "held_out": len(held_out),
        "accuracy": class_agreement(net, held_out, truth),
        "weights": weights,
        "rows": rows,
        "mean": mean,
        "spread": spread,
        "floors": {name: mean for name, (mean, _) in known_worth.items()},
        "floors_spread": {name: spread for name, (_, spread) in known_worth.items()},
    }
    return round_numbers(found | times)


def draw_images(
    model: Callable[..., Tensor],
    schedule: Schedule,
    step: Callable[..., Tensor],
    shape: tuple[int, ...],
    labels: Tensor | None,
    seed: int,
    device: torch.device | str = "cpu",
    watch: Callable[[Iterator, int], Iterator] = lambda states, total: states,
) -> Tensor:
    """Sample images in [-1, 1], some hundred at a time, each part with its own seed."""
    groups, images = -(-shape[0] // AT_ONCE), []
    for group, some in enumerate(torch.arange(shape[0]).split(AT_ONCE)):
        context = None if labels is None else labels[some].to(device)
        size, own = (len(some), *shape[1:]), seed * groups + group
        states = sample(model, schedule, size, step=step, seed=own, device=device, context=context)
        _, x_0 = last(watch(states, schedule.T + 1))
        images.append(x_0.float().cpu().clamp(-1, 1))
    return torch.cat(images)


def summarise(rows: list[dict[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Compute the mean and standard deviation of each column; with one row there is no deviation."""
    columns = {column: torch.tensor([row[column] for row in rows]).double() for column in COLUMNS if column in rows[0]}
    spread = {column: float(values.std()) for column, values in columns.items()} if len(rows) > 1 else {}
    return {column: float(values.mean()) for column, values in columns.items()}, spread


def hash_weights(model: torch.nn.Module) -> str:
    """Compute the SHA-256 of the weights in float32, ordered by name, so that the file's layout does not matter."""
    state = sorted(model.state_dict().items())
    return hashlib.sha256(b"".join(value.float().cpu().numpy().tobytes() for _, value in state)).hexdigest()


@overload
def round_numbers(value: dict) -> dict: ...
@overload
def round_numbers(value: object) -> object: ...
def round_numbers(value: object) -> object:
    """Round every number in a record to five digits."""
    if isinstance(value, dict):
        return {key: round_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [round_numbers(inner) for inner in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def write_table(found: dict) -> str:
    """Write a report as lines of text."""
    rows = {f"seed {row['seed']}": row for row in found["rows"]}
    if found["spread"]:
        rows |= {"mean": found["mean"], "spread": found["spread"]}
    rows |= found["floors"]
    wide = max(map(len, rows))
    lines = [" " * wide + "".join(f"{column:>11}" for column in COLUMNS)]
    for name, row in rows.items():
        lines.append(f"{name:<{wide}}" + "".join(f"{row[c]:11.3f}" if c in row else " " * 11 for c in COLUMNS).rstrip())
    model, real, noise = (row["frechet"] for row in (found["mean"], found["floors"]["real"], found["floors"]["noise"]))
    if noise >= CLEAR * real > 0:
        lines.append(f"The Frechet distance is {model / real:.1f} times that of as many real images.")
    else:
        few = (
            f"{found['count']} images are too few: the distance of noise is {noise:.1f}, that of real images {real:.1f}"
        )
        lines.append(f"{few}, so the Frechet distance does not describe the model; use a larger --count.")
    lines.append(
        f"Agreement is with a classifier that labels {found['accuracy']:.1%} of the held-out images correctly."
    )
    return "\n".join(lines)


def describe_circumstances(device: torch.device) -> dict[str, str]:
    """Describe the hardware, the version of PyTorch and the commit, which a reader needs to judge a record."""
    if device.type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        hardware = f"{name_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, no GPU"
    return {"hardware": hardware, "torch": torch.__version__.split("+")[0], "commit": _find_commit()}


def _find_commit() -> str:
    """Find the commit of the package if it is in a working copy of its repository."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()
