"""The command that examines a model: a line for each check."""

from pathlib import Path

import numpy as np
import torch

from ddpm_lite._check import check_whole, fail
from ddpm_lite.cli.options import Examine
from ddpm_lite.files.pixels import from_bytes
from ddpm_lite.files.weights import find_network, get_unet
from ddpm_lite.runs.examine.program import examine
from ddpm_lite.runs.models import open_model
from ddpm_lite.sampler import STEPS, last, sample
from ddpm_lite.schedule import respace


def examine_model(asked: Examine) -> int:
    """Check a model, its schedule and a sampler; return 1 if something is wrong."""
    model, schedule = open_model(asked.model)
    check_whole("--steps", asked.steps, 1, schedule.T)
    walk = schedule if asked.steps == schedule.T else respace(schedule, asked.steps)
    config = get_unet(find_network(model)).config
    shape = (4, config.in_channels, config.sample_size, config.sample_size)
    images = None if asked.images is None else load_array(asked.images)

    def draw(own, shape):
        return last(sample(own, walk, shape, step=STEPS[asked.sampler]))[1]

    well = True
    for found in examine(schedule, model=model, images=images, sampler=draw, shape=shape, trained=True):
        print(found, flush=True)
        well = well and found.fine
    return 0 if well else 1


def load_array(path: Path) -> torch.Tensor:
    """Load images as the network gets them; bytes are scaled to [-1, 1]."""
    if path.suffix != ".npy" or not path.is_file():
        fail(FileNotFoundError, "--images", "an existing file that ends in .npy", f"{str(path)!r}")
    images = torch.from_numpy(np.load(path)[:1000])
    return from_bytes(images) if images.dtype == torch.uint8 else images.float()
