"""What identifies a run: its settings, its network and its images. A resumed run is compared with it, field by field.

folder/images.json    for a memory map: its file, size, time and SHA-256
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ddpm_lite._check import fail, tabulate_weight
from ddpm_lite.data import TrainingImages, cut_into_blocks
from ddpm_lite.files.weights import describe_network, write_whole
from ddpm_lite.schedule import Schedule
from ddpm_lite.trainer import TrainConfig

KNOWN = "images.json"
# What a resumed run may change: its length, and settings that do not change the loss.
MAY_CHANGE = {"steps", "accumulation", "compile"}


def describe_run(
    model: nn.Module,
    schedule: Schedule,
    images: TrainingImages,
    config: TrainConfig,
    labels: Tensor | None,
    weight: Callable | None,
    lr: Callable | None,
    folder: Path,
) -> dict:
    """Describe what identifies a run; a resumed run is compared with it field by field.

    Functions cannot be stored, so their values are: all weights, and the learning rates of steps 1, 2, 4, 8, ...

    Args:
        folder: where `keep_known` stored the SHA-256 of a memory map's images.
    """
    header = {key: json.loads(value) for key, value in describe_network(model, schedule).items()}
    network = header.pop("unet_config", {}) | header if header else {"class": type(model).__name__}
    data = {
        "number of images": images.N,
        "shape of images": list(images.shape),
        "type of images": images.dtype,
        "images": read_known(folder, images).get("sha256") or hash_images(images),
        "labels": None if labels is None else _hash(torch.as_tensor(labels)),
    }
    table = tabulate_weight(weight, schedule)
    rates = {} if lr is None else {2**k: float(lr(2**k)) for k in range(config.steps.bit_length())}
    return {
        "config": asdict(config),
        "network": network,
        "weights": {"type of weights": str(next(model.parameters()).dtype).removeprefix("torch.")},
        # In float32, because the last digits of float64 depend on the processor, and a run may move to another.
        "schedule": {"T": schedule.T, "schedule": _hash(schedule.beta.float())},
        "data": data,
        "weight": {"weight": None if table is None else _hash(table.float())},
        "lr": {"lr": None if lr is None else "a function"} | {f"lr of step {step}": r for step, r in rates.items()},
    }


def check_same(name: str, earlier: dict, about: dict) -> None:
    """Check that this run is the one that wrote the checkpoint; the error names the first difference."""
    about = json.loads(json.dumps(about))
    free = (
        MAY_CHANGE if about["config"]["lr_decay"] == "no" else MAY_CHANGE - {"steps"}
    )  # a cosine ends at the last step
    for group, settings in about.items():
        for key, value in settings.items():
            then = earlier.get(group, {}).get(key, "no such setting")
            later = key.startswith("lr of step ") and key not in earlier.get(group, {})  # beyond the steps of that run
            if then != value and not (group == "config" and key in free) and not later:
                advice = "use the earlier value, or another folder with start_from this one"
                fail(ValueError, key, f"{_cut(then)}, as in {name}", _cut(value), advice)


def _cut(value: object) -> str:
    """Write a value, without the middle if it is as long as all names of an encoder may be."""
    text = repr(value)
    return text if len(text) <= 240 else f"{text[:110]} ... {text[-110:]}"


def hash_images(images: TrainingImages) -> str:
    """Compute the SHA-256 of all images; of a Dataset, which may be slow to read, that of 64 evenly spaced images."""
    found, values = hashlib.sha256(), images.values
    for block in cut_into_blocks(values) if isinstance(values, Tensor | np.ndarray) else [images.read_some(64)]:
        found.update(np.ascontiguousarray(block.cpu().numpy() if isinstance(block, Tensor) else block).data)
    return found.hexdigest()[:16]


def describe_file(images: TrainingImages) -> dict:
    """Describe the file of a memory map by its size and modification time; {} if the images are not a whole file."""
    array = images.values
    if not isinstance(array, np.memmap) or not array.filename or not array.flags.c_contiguous:
        return {}
    stat = os.stat(array.filename)
    if array.offset + array.nbytes != stat.st_size:
        return {}
    return {"file": str(array.filename), "size": stat.st_size, "time": stat.st_mtime_ns}


def read_known(folder: Path, images: TrainingImages) -> dict:
    """Read what `keep_known` stored, if the file of the memory map has not changed since."""
    try:
        known = json.loads((folder / KNOWN).read_text(encoding="utf8"))
        return known if known == describe_file(images) | {"sha256": known["sha256"]} else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def keep_known(folder: Path, images: TrainingImages, about: dict) -> None:
    """Store the SHA-256 of a memory map's images, so that a large file is not read again at each start."""
    file = describe_file(images)
    if file and not read_known(folder, images):
        write_whole(folder / KNOWN, json.dumps(file | {"sha256": about["data"]["images"]}).encode())


def _hash(values: Tensor) -> str:
    return hashlib.sha256(np.ascontiguousarray(values.detach().cpu().numpy()).tobytes()).hexdigest()[:16]
