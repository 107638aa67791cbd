"""Algorithm 1: draw an image, a time and a noise, and learn to tell the noise. `train` is a generator of states.

All randomness is stateless. The order of the images follows from (seed, epoch), and t, z and what is dropped from
(seed, step, rank): step 700 is the same whether the run was stopped at 699 or not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ddpm_lite._check import check_images, check_real, check_whole, describe, fail
from ddpm_lite.condition import drop_labels
from ddpm_lite.process import ddpm_loss
from ddpm_lite.schedule import Schedule


@dataclass(frozen=True)
class TrainConfig:
    """How to train, checked when it is made.

    Args:
        steps: optimiser steps, >= 1.
        batch_size: images a step.
        lr: learning rate of Adam after its warm-up.
        warmup: steps over which the learning rate grows from 0 to lr.
        grad_clip: largest norm of the gradient.
        ema_decay: the average's decay, in [0, 1), reached from below: early steps are forgotten sooner.
        seed: everything random follows from it.
        label_dropout: share of labels to drop, so that guidance has an unlabelled model too; 0 drops none.

    Raises:
        ValueError: the one line names the field.

    Source: Ho et al. (2020), appendix B, and its code (warm-up and clipping are only there): lr 2e-4,
    warmup 5000, batch_size 128, grad_clip 1, ema_decay 0.9999, steps 800,000 for CIFAR-10. Dropping labels: Ho and
    Salimans (2022), Algorithm 1.
    """

    steps: int
    batch_size: int = 128
    lr: float = 2e-4
    warmup: int = 0
    grad_clip: float = 1.0
    ema_decay: float = 0.9999
    seed: int = 0
    label_dropout: float = 0.1

    def __post_init__(self):
        for field, low in (("steps", 1), ("batch_size", 1), ("warmup", 0), ("seed", 0)):
            check_whole(field, getattr(self, field), low)
        check_real("lr", self.lr, 0, 1, ends="(]")
        check_real("grad_clip", self.grad_clip, 0, float("inf"), ends="(]")
        check_real("ema_decay", self.ema_decay, 0, 1, ends="[)")
        check_real("label_dropout", self.label_dropout, 0, 1)


class TrainState:
    """What a step leaves behind: its number, its loss, the network, and the network's running average."""

    def __init__(self, step: int, loss: Tensor, model: nn.Module, ema_model: nn.Module):
        self.step = step
        self.model = model
        self.ema_model = ema_model
        self._loss = loss

    @property
    def loss(self) -> float:
        """The step's loss. Reading it waits for the device, so on a GPU read it now and then, not always."""
        return self._loss.item()

    def __repr__(self) -> str:
        return f"TrainState(step={self.step}, loss={self.loss:.4f})"


def train(
    model: nn.Module,
    schedule: Schedule,
    images: Float[Tensor, "N C H W"],
    config: TrainConfig,
    *,
    labels: Int64[Tensor, "N"] | None = None,
    none: int | None = None,
    rank: int = 0,
) -> Iterator[TrainState]:
    """Train the model and hand out a state after each step, the EMA's included (alg-training).

    Args:
        model: (x_t, t, context) -> z_hat; trained in place, on the device it is on.
        schedule: the forward process.
        images: (N, C, H, W) in [-1, 1], all of them.
        config: how.
        labels: one per image, 0..none-1; the model gets them as its context.
        none: the number that stands for a dropped label, as in `ConditionalUNet.none`.
        rank: number of this process among several; each draws its own t and z, and drops its own labels.

    Yields:
        TrainState, config.steps times. Stop whenever you like.

    Raises:
        ValueError, TypeError: images that are not finite floats in [-1, 1] of shape (N, C, H, W); labels that do
        not fit them, or are to be dropped when `none` is not said.

    Source: Ho et al. (2020), Algorithm 1.
    """
    check_images("images", images)
    parameter = next(model.parameters(), None)
    if parameter is None:
        fail(ValueError, "model", "a module with parameters to train", describe(model))
    device = parameter.device
    schedule, images = schedule.to(device) if device.type != "cpu" else schedule, images.to(device)
    if labels is not None:
        labels = _checked(labels, len(images), none, config.label_dropout).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    ema = AveragedModel(model).eval()

    for step in range(1, config.steps + 1):
        model.train()
        optimizer.param_groups[0]["lr"] = config.lr * min(1.0, step / max(1, config.warmup))
        batch = batch_indices(len(images), config, step).to(device)
        x_0, context = images[batch], None if labels is None else labels[batch]
        with randomness_of(config.seed, step, rank, device):
            t = torch.randint(1, schedule.T + 1, (len(x_0),), device=device)
            z = torch.randn_like(x_0)
            if labels is not None and config.label_dropout > 0:
                context = drop_labels(context, none, config.label_dropout)
            loss = ddpm_loss(model, schedule, x_0, t, z, context)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
        optimizer.step()
        update_ema(ema, model, ema_decay(step, config.ema_decay))
        yield TrainState(step, loss.detach(), model, ema.module)


def _checked(labels: Tensor, N: int, none: int | None, p: float) -> Tensor:
    """Labels that fit N images; their values are looked at here, once."""
    if labels.dtype != torch.int64 or labels.shape != (N,):
        fail(ValueError, "labels", f"an int64 tensor of shape ({N},), one label per image", describe(labels))
    if none is None and p > 0:
        advice = "give the model's, none=model.none, or set label_dropout=0"
        fail(ValueError, "none", "the number that stands for a dropped label", "None", advice)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or (none is not None and high > check_whole("none", none, 1)):
        span = "labels >= 0" if none is None else f"labels in 0..{none - 1}"
        fail(ValueError, "labels", span, f"values in {low}..{high}")
    return labels


def ema_decay(step: int, decay: float) -> float:
    """min(decay, (1 + step) / (10 + step)): the average looks back over about a tenth of the run (eq-ema-warmup)."""
    return min(decay, (1 + step) / (10 + step))


def update_ema(ema: AveragedModel, model: nn.Module, decay: float) -> None:
    """average <- decay average + (1 - decay) model, over the parameters only (eq-ema)."""
    averages, values = list(ema.module.parameters()), [p.detach() for p in model.parameters()]
    get_ema_multi_avg_fn(decay)(averages, values, None)


def batch_indices(N: int, config: TrainConfig, step: int) -> Int64[Tensor, "batch"]:
    """Which images step (from 1) sees: one long row of epochs, each a new order of all N, cut into batches."""
    positions = np.arange((step - 1) * config.batch_size, step * config.batch_size)
    epochs, places = positions // N, positions % N
    orders = {int(e): _epoch_order(N, config.seed, int(e)) for e in np.unique(epochs)}
    return torch.from_numpy(np.array([orders[int(e)][p] for e, p in zip(epochs, places, strict=True)]))


@lru_cache(maxsize=4)
def _epoch_order(N: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(N)


@contextmanager
def randomness_of(seed: int, step: int, rank: int, device: torch.device) -> Iterator[None]:
    """torch's random numbers as (seed, step, rank) gives them; afterwards they are as they were before."""
    key = int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0])
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(key)
        yield
