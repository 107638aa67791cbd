"""A small U-Net for the page to train: what it computes, how its weights begin, and the digits that it learns from.

The page and PyTorch begin with the same weights from a seed. They are drawn as PyTorch draws those of a new network,
from uniform numbers that both compute alike (viz/noise.py), so the file of the network holds no weights.
"""

import json
from dataclasses import asdict
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from ddpm_lite._check import check_whole
from ddpm_lite.condition import ConditionalUNet, LabelEncoder
from ddpm_lite.data import load_digits
from ddpm_lite.schedule import linear_schedule
from ddpm_lite.unet import UNet, UNetConfig
from ddpm_lite.viz.export_page import FORMS, compute_checksum, encode, record_network
from ddpm_lite.viz.noise import gaussians, mix, stream

NAME = "digits-untrained"
CONFIG = UNetConfig(sample_size=8, channels=(16, 32), blocks=1, attention_levels=(1,), context_dim=16)
LABELS = 10
HELD_OUT = 3  # the number of the held-out digit whose estimates the page shows
WEIGHTS = 4  # the purpose of the weights' random numbers; train.js has those of the others
DARKEST = ord("A")  # the character of a pixel without ink; each of the 16 levels above it is the next letter


def keyed(seed: int, purpose: int, i: int):
    """Return the uniform sequence for a seed, a purpose and a number, as `keyed` of js/shared/train.js does."""
    first = int(mix(np.array([8 * seed + purpose + 1], np.uint32))[0])
    return stream(int(mix(np.array([(first + i) % 2**32], np.uint32))[0]))


def make_untrained(seed: int = 0) -> ConditionalUNet:
    """Make the network with the page's first weights.

    Args:
        seed: of the weights, 0..99.
    """
    check_whole("seed", seed, 0, 99)
    model = _make_network()
    with torch.no_grad():
        for number, (weight, (kind, size)) in enumerate(
            zip(model.state_dict().values(), _describe_first(model), strict=True)
        ):
            weight.copy_(_draw_weight(weight, kind, size, keyed(seed, WEIGHTS, number)))
    return model


def _make_network() -> ConditionalUNet:
    """Make the network with weights of its own, and leave PyTorch's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        return ConditionalUNet(UNet(CONFIG), LabelEncoder(LABELS, CONFIG.context_dim or 0))


def _draw_weight(weight: Tensor, kind: str, size: float, uniform) -> Tensor:
    """Draw the first values of a weight, which are constant, uniform in [-size, size], or normal."""
    if kind == "constant":
        return torch.full_like(weight, size)
    i = np.arange(weight.numel())
    if kind == "uniform":
        values = size * (2 * uniform(i) - 1)
    else:
        values = size * gaussians(uniform(2 * i), uniform(2 * i + 1))[:, 0]
    return torch.from_numpy(values).to(weight.dtype).reshape(weight.shape)


def _describe_first(model: nn.Module) -> list[tuple[str, float]]:
    """Say for each weight of a new model how PyTorch draws it: a kind, and a size."""
    found = []
    for name, weight in model.state_dict().items():
        module = model.get_submodule(name.rpartition(".")[0])
        if isinstance(module, nn.GroupNorm) or not weight.any():
            found.append(("constant", float(weight.flatten()[0])))
        elif isinstance(module, nn.Embedding):
            found.append(("normal", 1.0))
        elif isinstance(module, nn.Linear | nn.Conv2d):
            found.append(("uniform", module.weight[0].numel() ** -0.5))
        else:
            raise TypeError(f"model: expected layers whose first weights are known, got {name}")
    return found


@cache
def write_untrained() -> str:
    """Write the script for pages: as `export_page` does, but with "first" instead of weights, and with the digits.

    "first" has a kind and a size for each weight; "images" a letter for each pixel, "A" to "Q"; "answers" the labels;
    "held_out" one digit that is not among them.
    """
    model = _make_network()
    images, labels = load_digits("train")
    held_out, _ = load_digits("test")
    content = {
        "form": FORMS["float16"],
        "name": NAME,
        "config": asdict(CONFIG),
        "labels": LABELS,
        "beta": encode(linear_schedule().beta.numpy(), "<f8"),
        **record_network(model),
        "float16": "",
        "first": _describe_first(model),
        "images": _spell_pixels(images),
        "answers": "".join(map(str, labels.tolist())),
        "held_out": _spell_pixels(held_out[HELD_OUT]),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"window.ddpmWidgets.file({json.dumps(NAME)},{compute_checksum(text)},'{text}');\n"


def _spell_pixels(images: Tensor) -> str:
    """Write a letter for each of the 17 levels from -1 to 1."""
    levels = (8 * (images.flatten() + 1)).round().to(torch.uint8).numpy()
    return (levels + DARKEST).astype(np.uint8).tobytes().decode("ascii")
