"""Checks of chapter 13, scaling up: operations, bytes and parts of a batch, counted in code."""

from functools import lru_cache

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from ddpm_lite.schedule import linear_schedule
from ddpm_lite.trainer import TrainConfig, train
from ddpm_lite.unet import UNet, UNetConfig
from equations.checks import identity, matches


def everywhere(count):
    """A number that is counted when it is asked for, the same for every t."""
    return lambda s, v: torch.full((len(v.t),), float(count()), dtype=torch.float64)


def operations(work):
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


@lru_cache
def work_of_convolution():
    """A window of 5 by 5, 7 channels in, 11 out, a map of 6 by 4 pixels."""
    conv, h = nn.Conv2d(7, 11, 5, padding=2), torch.zeros(1, 7, 6, 4)
    return operations(lambda: conv(h))


CHAIN = nn.Sequential(*(layer for _ in range(3) for layer in (nn.Conv2d(4, 4, 3, padding=1), nn.SiLU())))
IMAGES, STEPS = 6, 13


@lru_cache
def work_forward():
    return operations(lambda: CHAIN(torch.zeros(1, 4, 8, 8)))


@lru_cache
def work_of_training():
    """Steps of a chain of layers; the input wants a gradient too, so that no layer is the first."""
    x = torch.zeros(IMAGES, 4, 8, 8, requires_grad=True)
    return STEPS * operations(lambda: CHAIN(x).sum().backward())


def days_of_work(work, speed):
    """In hours, minutes and seconds."""
    minute = 60 * speed
    day = 24 * 60 * minute
    return work / day


def share_of_sampling(s, v):
    """Forward passes of sampling, over those that a step for each image of the training would be worth."""
    passes = sum(128 * (1 + 2) for _ in range(800))  # one forward, and two of its size backward
    return torch.full((len(v.t),), 50 * s.T / passes, dtype=torch.float64)


@lru_cache
def state():
    """After one step of a tiny training."""
    torch.manual_seed(0)
    model = UNet(UNetConfig(8, 1, (8,), blocks=1, attention_levels=(), middle_attention=False))
    images = torch.zeros(4, 1, 8, 8)
    return next(train(model, linear_schedule(), images, TrainConfig(steps=1, batch_size=2)))


def numbers(model):
    return sum(p.numel() for p in model.parameters())


@lru_cache
def bytes_of_weights():
    """What a real state keeps for its weights: each tensor's own bytes."""
    model, ema, adam = state().model, state().ema_model, state().optimizer.state
    moments = [adam[p][name] for p in model.parameters() for name in ("exp_avg", "exp_avg_sq")]
    kept = [*model.parameters(), *(p.grad for p in model.parameters()), *moments, *ema.parameters()]
    return sum(value.nbytes for value in kept)


@lru_cache
def bytes_put_aside(images):
    """What a forward pass keeps for the way back; each piece of memory once, and no weights."""
    model, pieces = state().model, {}
    own = {p.data_ptr() for p in model.parameters()}

    def note(tensor):
        pieces[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        model(torch.zeros(images, 1, 8, 8), 500)
    return sum(piece.nbytes() for place, piece in pieces.items() if place not in own)


def activations_of_one():
    """By how much more four images leave behind than three."""
    return bytes_put_aside(4) - bytes_put_aside(3)


CUT, WHOLE = 7, 20


def losses(s, v):
    """The loss of each image, one for each index."""
    numbers = torch.randn(s.T + 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return numbers.square()


def loss_of_parts(s, v):
    """The mean losses of the part up to CUT and of the part after it, at index 1 and 2."""
    table, images = torch.zeros(s.T + 1, 1, dtype=torch.float64), losses(s, v)
    table[1], table[2] = images[1 : CUT + 1].mean(), images[CUT + 1 : WHOLE + 1].mean()
    return table


def loss_of_whole(s, v):
    return losses(s, v)[1 : WHOLE + 1].mean().expand(len(v.t))


def sizes(s, v):
    """1, 2, 3, 4, 1, 2, ... images in a part."""
    return (torch.arange(s.T + 1, dtype=torch.float64) % 4 + 1)[:, None]


def images_of_parts(s, v):
    """The losses of all images, part by part."""
    draw = {"dtype": torch.float64, "generator": torch.Generator().manual_seed(2)}
    return [torch.rand(int(size), **draw) for size in sizes(s, v)[1:, 0]]


def means(s, v):
    return torch.stack([torch.zeros(()).double(), *(part.mean() for part in images_of_parts(s, v))])[:, None]


def images_up_to(s, v):
    """B: the images of the parts 1..m, for m = t."""
    return sizes(s, v)[1:, 0].cumsum(0)[v.t - 1]


def loss_up_to(s, v):
    """L: the mean loss of all images of the parts 1..m, for m = t."""
    total = torch.stack([part.sum() for part in images_of_parts(s, v)]).cumsum(0)
    return total[v.t - 1] / images_up_to(s, v)


PARTS = {"tables": {"b": sizes, "L": means}, "where": {"m": lambda s, v: v.t, "B": images_up_to, "L": loss_up_to}}


def powers(s, v):
    return (v.t - 1) % 21 - 10


def gap_of_bfloat16(s, v):
    """From 2^p to the next number that torch has."""
    start = (2.0 ** powers(s, v)).bfloat16()
    above = (start.view(torch.int16) + 1).view(torch.bfloat16)
    return above.double() - start.double()


def share_of_noise(s, v):
    """The noise level's share, if image and noise level together are 1."""
    level = s.snr[v.t] ** -0.5
    return level / (1 + level)


CHECKS = [
    matches(
        "eq-conv-flops",
        "F",
        everywhere(work_of_convolution),
        where={"k": "5", "C": "7", "C'": "11", "n": "24"},
    ),
    matches(
        "eq-training-flops",
        "W",
        everywhere(work_of_training),
        where={"F": everywhere(work_forward), "B": str(IMAGES), "S": str(STEPS)},
        within=1e-3,
    ),
    matches(
        "eq-training-days",
        "D",
        everywhere(lambda: days_of_work(77_760_000, 100)),
        where={"W": "77760000", "r": "100"},
    ),
    matches(
        "eq-sampling-share",
        r"\rho",
        share_of_sampling,
        where={"N": "50", "F": "9", "B": "128", "S": "800"},
    ),
    matches(
        "eq-training-memory",
        "M",
        everywhere(bytes_of_weights),
        where={"P": everywhere(lambda: numbers(state().model))},
    ),
    matches(
        "eq-step-memory",
        "M",
        everywhere(lambda: bytes_of_weights() + bytes_put_aside(9)),
        where={
            "P": everywhere(lambda: numbers(state().model)),
            "A": everywhere(activations_of_one),
            "b": "9",
        },
    ),
    matches(
        "eq-batch-two-parts",
        "L",
        loss_of_whole,
        where={"b": str(CUT), "B": str(WHOLE)},
        tables={r"\ell": losses, "L": loss_of_parts},
    ),
    identity("eq-batch-parts", kind="matches", **PARTS),
    identity("eq-batch-devices", kind="matches", **PARTS),
    identity("eq-conv-intensity", positive=["k", "C", "C'", "n", "b"]),
    matches("eq-bfloat-gap", "g", gap_of_bfloat16, where={"p": powers}),
    matches("eq-straight-time", r"\tau_t", share_of_noise),
    identity("eq-straight-path", given=["eq-forward-closed", "eq-straight-time"]),
]
