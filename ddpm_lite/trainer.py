"""Algorithm 1: draw an image, a time and a noise, and learn to predict the noise. `train` is a generator of states.

All randomness is stateless: step 700 is the same whether the run was stopped at 699 or not. The order of the images
follows from (seed, epoch). From (seed, step) follow t, z, which labels are dropped and which images are flipped, drawn
for the whole batch in this order. A batch may be cut into parts, over processes and one after another: each takes its
slice of these draws, so that the loss stays the same to rounding. Only the dropout inside the network is drawn where
it is used, from (seed, step, part) with the parts of all processes counted from 0; part 0 carries on after the batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ddpm_lite._check import check_images, check_real, check_whole, describe, explain_lack_of_memory, fail
from ddpm_lite.condition import drop_labels
from ddpm_lite.pixels import from_bytes
from ddpm_lite.process import ddpm_loss
from ddpm_lite.schedule import Schedule


@dataclass(frozen=True)
class TrainConfig:
    """How to train, checked when it is made.

    Args:
        steps: optimiser steps, >= 1.
        batch_size: images a step, over all processes.
        lr: learning rate of Adam after its warm-up.
        warmup: steps over which the learning rate grows from 0 to lr.
        grad_clip: largest norm of the gradient.
        ema_decay: the average's decay, in [0, 1), reached from below: early steps are forgotten sooner.
        seed: everything random follows from it.
        label_dropout: share of labels to drop, so that guidance has an unlabelled model too; 0 drops none.
        flip: mirror every other image, left to right, by chance. Not for digits.
        accumulation: parts that a process cuts its batch into, one after another; less memory for the same loss.
        mixed_precision: "no", or "bf16" for a network that computes in bfloat16; weights and loss stay as they are.
        compile: hand the network to torch.compile. Minutes at the start; worth it on a GPU.

    Raises:
        ValueError: the one line names the field.

    Source: Ho et al. (2020), appendix B, and its code (warm-up and clipping are only there): lr 2e-4,
    warmup 5000, batch_size 128, grad_clip 1, ema_decay 0.9999, flip, steps 800,000 for CIFAR-10. Dropping labels: Ho
    and Salimans (2022), Algorithm 1.
    """

    steps: int
    batch_size: int = 128
    lr: float = 2e-4
    warmup: int = 0
    grad_clip: float = 1.0
    ema_decay: float = 0.9999
    seed: int = 0
    label_dropout: float = 0.1
    flip: bool = False
    accumulation: int = 1
    mixed_precision: str = "no"
    compile: bool = False

    def __post_init__(self):
        for field, low in (("steps", 1), ("batch_size", 1), ("warmup", 0), ("seed", 0)):
            check_whole(field, getattr(self, field), low)
        check_whole("accumulation", self.accumulation, 1, self.batch_size)
        for field in ("flip", "compile"):
            if not isinstance(getattr(self, field), bool):
                fail(ValueError, field, "True or False", describe(getattr(self, field)))
        if self.mixed_precision not in ("no", "bf16"):
            fail(ValueError, "mixed_precision", '"no" or "bf16"', f"{self.mixed_precision!r}")
        check_real("lr", self.lr, 0, 1, ends="(]")
        check_real("grad_clip", self.grad_clip, 0, float("inf"), ends="()")
        check_real("ema_decay", self.ema_decay, 0, 1, ends="[)")
        check_real("label_dropout", self.label_dropout, 0, 1)


class TrainState:
    """What a step leaves behind: its number, its loss, the network, its running average, and Adam with its moments."""

    def __init__(self, step: int, loss: Tensor, model: nn.Module, ema: AveragedModel, optimizer: torch.optim.Adam):
        self.step = step
        self.model = model
        self.ema = ema
        self.optimizer = optimizer
        self._loss = loss

    @property
    def ema_model(self) -> nn.Module:
        """The network with the averaged weights: the one to sample from."""
        return self.ema.module

    @property
    def loss(self) -> float:
        """The step's loss, that of the whole batch."""
        return self._loss.item()

    def __repr__(self) -> str:
        return f"TrainState(step={self.step}, loss={self.loss:.4f})"


class Diverged(ArithmeticError):
    """The loss or the gradient is not finite; raised before optimiser and average have seen it.

    `step` is the step that failed, and `t` holds the times of its batch.
    """

    def __init__(self, step: int, loss: float, norm: float, t: Tensor):
        times = sorted(t.tolist())
        some = ", ".join(map(str, times[:12])) + (f" and {len(times) - 12} more" if len(times) > 12 else "")
        got = f"loss {loss} and a gradient of norm {norm} (t was {some})"
        advice = "the weights are still those of the step before; try a lower lr, a longer warmup or no bf16"
        super().__init__(f"step {step}: expected a finite loss and gradient, got {got}; {advice}")
        self.step, self.t = step, t


def first_state(model: nn.Module) -> TrainState:
    """Step 0: nothing learnt yet. The average starts as a copy of the model."""
    return TrainState(
        0, torch.tensor(float("nan")), model, AveragedModel(model).eval(), torch.optim.Adam(model.parameters())
    )


def train(
    model: nn.Module,
    schedule: Schedule,
    images: Float[Tensor, "N C H W"] | UInt8[Tensor, "N C H W"] | UInt8[np.ndarray, "N C H W"],
    config: TrainConfig,
    *,
    labels: Int64[Tensor, "N"] | None = None,
    none: int | None = None,
    accelerator=None,
    start: TrainState | None = None,
) -> Iterator[TrainState]:
    """Train the model and hand out a state after each step, the EMA's included (alg-training).

    Args:
        model: (x_t, t, context) -> z_hat; trained in place, on the device it is on.
        schedule: the forward process.
        images: (N, C, H, W), all of them: floats in [-1, 1]; or uint8 in 0..255, a quarter of the memory, scaled
            batch by batch; or a NumPy array of uint8 such as `np.load(file, mmap_mode="r")`, of which only the batch
            is read.
        config: how.
        labels: one per image, 0..none-1; the model gets them as its context.
        none: the number that stands for a dropped label, as in `ConditionalUNet.none`.
        accelerator: an `accelerate.Accelerator`, which then decides on device, mixed precision and processes.
        start: an earlier state of this model, to go on from; the steps after it are as if nothing had happened.

    Yields:
        TrainState, one for each step up to config.steps. Stop whenever you like.

    Raises:
        ValueError, TypeError: images that are not as above; labels that do not fit them, or are to be dropped when
        `none` is not said; an accelerator or a start that does not fit. Diverged: a loss that is not finite.
        torch.OutOfMemoryError: the one line says what to halve.

    Source: Ho et al. (2020), Algorithm 1.
    """
    check_data(images)
    parameter = next(model.parameters(), None)
    if parameter is None:
        fail(ValueError, "model", "a module with parameters to train", describe(model))
    if start is not None and start.model is not model:
        fail(ValueError, "start", "a state of this model", "a state of another", "give model=start.model")
    if labels is not None:
        labels = check_labels(labels, len(images), none, config.label_dropout)
    n = check_processes(config, accelerator)

    network = wrap_model(model, config, accelerator)  # moves the model to the accelerator's device
    device = next(model.parameters()).device
    schedule = schedule.to(device) if device.type != "cpu" else schedule
    data = _Data(images, labels, none, device)
    state = start or first_state(model)
    ema, optimizer = state.ema, state.optimizer

    with explain_lack_of_memory(config.batch_size, n * config.accumulation, n):
        for step in range(state.step + 1, config.steps + 1):
            model.train()
            optimizer.param_groups[0]["lr"] = config.lr * min(1.0, step / max(1, config.warmup))
            optimizer.zero_grad()
            loss = 0.0
            for x_0, t, z, context, share in draw_batch(data, schedule, config, step, network, accelerator):
                part = ddpm_loss(network, schedule, x_0, t, z, context)
                (part * share).backward()
                loss = loss + part.detach() * share
            loss = loss if n == 1 else accelerator.reduce(loss, "mean")
            norm = nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
            # The one wait for the device in a step: nothing may touch the average before this is known, and a NaN in
            # one process is in the gradient of all. The device idles until the optimiser is queued, not a whole step.
            if not torch.isfinite(loss + norm):
                raise Diverged(step, loss.item(), norm.item(), draw_times(schedule, config, step, device))
            optimizer.step()
            update_ema(ema, model, ema_decay(step, config.ema_decay))
            yield TrainState(step, loss, model, ema, optimizer)


def draw_batch(data, schedule: Schedule, config: TrainConfig, step: int, network: nn.Module, accelerator) -> Iterator:
    """The batch of a step in parts: x_0, t, z, context, and the part's share of the loss.

    Each of n processes gets `accumulation` parts of the batch. DDP takes the mean of the processes' gradients, hence
    the factor n in a share. Random numbers are torch's own again when the last part is done.
    """
    rank, n = (0, 1) if accelerator is None else (accelerator.process_index, accelerator.num_processes)
    B, parts, device = config.batch_size, config.accumulation, data.device
    index = batch_indices(data.N, config, step)
    with randomness_of(config.seed, step, 0, device):
        t = torch.randint(1, schedule.T + 1, (B,), device=device)
        z = torch.randn(B, *data.shape, dtype=data.dtype, device=device)
        context = data.context(index, config.label_dropout)
        flip = torch.rand(B, device=device) < 0.5 if config.flip else None
        for part in range(rank * parts, (rank + 1) * parts):
            if part > 0:
                _reseed(config.seed, step, part, device)
            own = slice(B * part // (n * parts), B * (part + 1) // (n * parts))
            x_0 = data.take(index[own])
            if flip is not None:
                x_0 = torch.where(flip[own, None, None, None], x_0.flip(3), x_0)
            last = part == (rank + 1) * parts - 1
            with nullcontext() if n == 1 or last else accelerator.no_sync(network):
                yield x_0, t[own], z[own], None if context is None else context[own], n * (own.stop - own.start) / B


def draw_times(schedule: Schedule, config: TrainConfig, step: int, device: torch.device) -> Int64[Tensor, "B"]:
    """The times of a step's whole batch, once more: the first numbers that it draws."""
    with randomness_of(config.seed, step, 0, device):
        return torch.randint(1, schedule.T + 1, (config.batch_size,), device=device)


class _Data:
    """The images and labels of a batch, on the device."""

    def __init__(self, images: Tensor | np.ndarray, labels: Tensor | None, none: int | None, device: torch.device):
        self.N, self.shape, self.device = len(images), images.shape[1:], device
        self.images = images if isinstance(images, np.ndarray) else images.to(device)
        self.dtype = torch.float32 if images.dtype in (torch.uint8, np.uint8) else images.dtype
        self.labels, self.none = None if labels is None else labels.to(device), none

    def take(self, index: Int64[Tensor, "B"]) -> Float[Tensor, "B C H W"]:
        """These images, as floats in [-1, 1]."""
        if isinstance(self.images, np.ndarray):
            rows, back = np.unique(index.numpy(), return_inverse=True)  # a file is read from front to back
            x = torch.from_numpy(self.images[rows][back])
            x = (x.pin_memory() if self.device.type == "cuda" else x).to(self.device, non_blocking=True)
        else:
            x = self.images[index.to(self.device)]
        return from_bytes(x) if x.dtype == torch.uint8 else x

    def context(self, index: Int64[Tensor, "B"], p: float) -> Int64[Tensor, "B"] | None:
        """Their labels, each dropped with probability p."""
        if self.labels is None:
            return None
        labels = self.labels[index.to(self.device)]
        return drop_labels(labels, self.none, p) if p > 0 else labels


class _Network(nn.Module):
    """The model as the trainer calls it: in bfloat16 if so asked. What accelerate alters is this shell alone."""

    def __init__(self, model: nn.Module, bf16: bool):
        super().__init__()
        self.model, self.bf16 = model, bf16

    def forward(self, x_t: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        if not self.bf16:
            return self.model(x_t, t, context)
        with torch.autocast(x_t.device.type, torch.bfloat16):
            return self.model(x_t, t, context).to(x_t.dtype)  # the loss is computed with all digits


def wrap_model(model: nn.Module, config: TrainConfig, accelerator) -> nn.Module:
    """The model as the loop calls it: on its device, in the precision that was asked for, compiled if that was."""
    network = _Network(model, config.mixed_precision == "bf16" and accelerator is None)
    network = network if accelerator is None else accelerator.prepare(network)
    return torch.compile(network) if config.compile else network


def check_processes(config: TrainConfig, accelerator) -> int:
    """How many processes there are, after a look whether what the accelerator does is what the config asks for."""
    if accelerator is None:
        return 1
    n, theirs = accelerator.num_processes, accelerator.mixed_precision
    if theirs != config.mixed_precision:
        advice = f"make it Accelerator(mixed_precision={config.mixed_precision!r})"
        fail(ValueError, "accelerator", f"mixed_precision {config.mixed_precision!r}", f"{theirs!r}", advice)
    if n * config.accumulation > config.batch_size:
        expected = f"at least {n * config.accumulation}, an image for each part of {n} processes"
        fail(ValueError, "batch_size", expected, f"{config.batch_size}")
    return n


def check_data(images: Tensor | np.ndarray) -> None:
    """Floats in [-1, 1] or uint8, (N, C, H, W); the values of a float tensor are looked at here, once."""
    if isinstance(images, Tensor) and images.dtype != torch.uint8:
        return check_images("images", images)
    if images.ndim != 4 or 0 in images.shape or images.dtype not in (torch.uint8, np.uint8):
        got = describe(images) if isinstance(images, Tensor) else f"{images.dtype} array of shape {images.shape}"
        fail(ValueError, "images", "non-empty uint8 images of shape (N, C, H, W)", got)


def check_labels(labels: Tensor, N: int, none: int | None, p: float) -> Tensor:
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
def randomness_of(seed: int, step: int, part: int, device: torch.device) -> Iterator[None]:
    """torch's random numbers as (seed, step, part) gives them; afterwards they are as they were before."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        _reseed(seed, step, part, device)
        yield


def _reseed(seed: int, step: int, part: int, device: torch.device) -> None:
    key = int(np.random.SeedSequence([seed, step, part]).generate_state(1, np.uint64)[0])
    # torch.manual_seed turns to every kind of device there might be, which a small step on a CPU would feel
    (torch.default_generator if device.type == "cpu" else torch).manual_seed(key)
