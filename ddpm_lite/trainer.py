"""Algorithm 1, training: draw an image, a time and a noise, and learn to predict the noise. `train` yields states.

All randomness is stateless: step 700 is the same whether or not the run was stopped after step 699. The order of the
images follows from (seed, epoch). From (seed, step) follow t, z, which labels are dropped and which images are flipped,
drawn for the whole batch in this order. A batch may be divided into parts, over processes and by gradient accumulation;
each part takes its slice of these draws, so the loss stays the same up to rounding. Only dropout inside the network is
drawn where it is used, from (seed, step, part), with the parts of all processes numbered from 0. Part 0 continues the
random numbers that were drawn for the batch.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ddpm_lite._check import (
    Whole,
    check_bool,
    check_choice,
    check_fields,
    check_gradient,
    check_kind,
    check_processes,
    check_rate,
    check_real,
    check_trainable,
    check_whole,
    describe,
    explain_lack_of_memory,
    fail,
    tabulate_weight,
    unwrap,
)
from ddpm_lite.condition import drop_labels
from ddpm_lite.data import Images, TrainingImages, check_labels
from ddpm_lite.process import ddpm_loss
from ddpm_lite.schedule import Schedule


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training run, checked on construction.

    Args:
        steps: optimiser steps, >= 1.
        batch_size: images in each step, over all processes.
        lr: learning rate of Adam after its warm-up.
        warmup: steps over which the learning rate grows from 0 to lr.
        grad_clip: largest norm of the gradient.
        ema_decay: decay of the weights' exponential moving average, in [0, 1); smaller in the first steps.
        seed: all random numbers follow from it.
        label_dropout: the probability of dropping a label, so that the model also learns the unconditional noise that
            guidance needs; 0 drops none.
        flip: mirror each image left to right with probability 1/2. Not for digits.
        accumulation: gradient accumulation: how many parts each process divides its batch into, to save memory. The
            loss is the same.
        mixed_precision: "no", or "bf16" to run the network in bfloat16; the weights and the loss keep their precision.
        compile: pass the network to torch.compile. This takes minutes at the start and pays off on a GPU.
        lr_decay: "no", or "cosine" for a learning rate that falls to 0 over all steps.

    Raises:
        ValueError: a field out of range; the message names it.

    Source: Ho et al. (2020), appendix B, and its code, for CIFAR-10: lr 2e-4, batch_size 128, ema_decay 0.9999, flip,
    steps 800,000; warmup 5000 and grad_clip 1 are in the code only. Dropping labels: Ho and Salimans (2022),
    Algorithm 1.
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
    lr_decay: str = "no"

    def __post_init__(self):
        check_fields(self, ("steps", "batch_size"), check_whole, 1)
        check_fields(self, ("warmup", "seed"), check_whole, 0)
        check_fields(self, ("accumulation",), check_whole, 1, self.batch_size)
        check_fields(self, ("flip", "compile"), check_bool)
        check_fields(self, ("mixed_precision",), check_choice, "no", "bf16")
        check_fields(self, ("lr_decay",), check_choice, "no", "cosine")
        check_fields(self, ("lr",), check_real, 0, 1, ends="(]")
        check_fields(self, ("grad_clip",), check_real, 0, math.inf, ends="()")
        check_fields(self, ("ema_decay",), check_real, 0, 1, ends="[)")
        check_fields(self, ("label_dropout",), check_real, 0, 1)


class TrainState:
    """The state after a step: its number and loss, the network, the average of its weights, and the optimiser."""

    def __init__(self, step: int, loss: Tensor, model: nn.Module, ema: AveragedModel, optimizer: torch.optim.Adam):
        self.step = step
        self.model = model
        self.ema = ema
        self.optimizer = optimizer
        self._loss = loss

    @property
    def ema_model(self) -> nn.Module:
        """The network with the averaged weights, which is the one to sample from."""
        return self.ema.module

    @property
    def loss(self) -> float:
        """The loss of the step, over the whole batch."""
        return self._loss.item()

    def __repr__(self) -> str:
        return f"TrainState(step={self.step}, loss={self.loss:.4f})"


class Diverged(ArithmeticError):
    """The loss or the gradient is not finite; raised before the optimiser and the average are updated.

    `step` is the step that failed, and `t` has the times of its batch.
    """

    def __init__(self, step: int, loss: float, norm: float, t: Tensor):
        times = sorted(t.tolist())
        some = ", ".join(map(str, times[:12])) + (f" and {len(times) - 12} more" if len(times) > 12 else "")
        got = f"loss {loss} and a gradient of norm {norm} (t was {some})"
        advice = "the weights are still those of the step before; try a lower lr, a longer warmup or no bf16"
        super().__init__(f"step {step}: expected a finite loss and gradient, got {got}; {advice}")
        self.step, self.t = step, t


def make_first_state(model: nn.Module) -> TrainState:
    """Make the state of step 0, before any training. The average starts as a copy of the model."""
    loss, optimizer = torch.tensor(math.nan), torch.optim.Adam(model.parameters())
    return TrainState(0, loss, model, AveragedModel(model).eval(), optimizer)


def train(
    model: nn.Module,
    schedule: Schedule,
    images: Images | TrainingImages,
    config: TrainConfig,
    *,
    labels: Int64[Tensor, "N"] | np.ndarray | Sequence | None = None,
    none: Whole | None = None,
    accelerator=None,
    start: TrainState | None = None,
    weight: Callable[[Schedule], Tensor] | None = None,
    lr: Callable[[int], float] | None = None,
) -> Iterator[TrainState]:
    """Train the model, and yield a state after each step and its update of the EMA (alg-training).

    Args:
        model: (x_t, t, context) -> z_hat, with t an int64 tensor (B,). It is trained in place, on its device, in
            float32 or float64. `z_model` adapts a network of v or x_0. The model may be compiled, or in a
            DataParallel; the states hold the network inside.
        schedule: the forward process.
        images: the data set, in any container that `TrainingImages` takes: (N, C, H, W), floats in [-1, 1] or uint8;
            points (N, d) in any range. From a memory map or a Dataset, only the batch is read.
        config: the settings.
        labels: one per image, 0..none-1; the model gets them as its context.
        none: the number that means "no label", as in `ConditionalUNet.none`.
        accelerator: an `accelerate.Accelerator`, which then chooses device, mixed precision and processes.
        start: an earlier state of this model, from which training continues as if it had not been interrupted.
        weight: schedule -> a table of T + 1 weights, by which the error at t is multiplied (eq-weighted-noise-loss):
            `bound_weight`, `min_snr_weight`, or `lambda s: 1 / s.alpha_bar`, which turns the error of z into that of v.
        lr: step -> the learning rate of that step, instead of the config's.

    Yields:
        TrainState, one for each step up to config.steps; you may stop at any of them. All states hold the same model
        and average, which the next step changes, so copy the weights that you want to keep: a state from
        `list(train(...))` has the last weights.

    Raises:
        ValueError, TypeError: an argument that is not as above, or does not fit the others; a learning rate in the
        optimiser that was changed from outside. Diverged: a loss that is not finite. torch.OutOfMemoryError: the
        message says what to halve.

    Source: Ho et al. (2020), Algorithm 1.
    """
    given, model = model, unwrap(model)
    check_run(given, schedule, config, start)
    data = images if isinstance(images, TrainingImages) else TrainingImages(images)
    if config.flip and len(data.shape) != 3:
        fail(ValueError, "flip", "False for data other than images (C, H, W)", f"True with shape {data.shape}")
    none = none if none is None else check_whole("none", none, 1)
    labels = labels if labels is None else check_labels(labels, data.N, none, config.label_dropout)
    n, rate, lr = check_processes(config, accelerator), None, check_rate(lr)
    weights = tabulate_weight(weight, schedule)

    network = wrap_model(given, config, accelerator)  # moves the model to the accelerator's device
    like = next(p for p in model.parameters() if p.requires_grad)
    schedule = schedule.to(like.device) if like.device.type != "cpu" else schedule  # on the CPU it stays in float64
    weights, labels = (x if x is None else x.to(like.device) for x in (weights, labels))
    state = start or make_first_state(model)
    ema, optimizer = state.ema, state.optimizer
    draw = partial(draw_batch, data, labels, none, schedule, config, network, accelerator, like)

    with explain_lack_of_memory(config.batch_size, n * config.accumulation, n):
        for step in range(state.step + 1, config.steps + 1):
            model.train()
            rate = set_rate(optimizer, learning_rate(config, step) if lr is None else lr(step), rate)
            optimizer.zero_grad()
            loss = like.new_zeros(())
            for x_0, t, z, context, share in draw(step):
                part = ddpm_loss(network, schedule, x_0, t, z, context, weights)
                (check_gradient(part) * share).backward()
                loss = loss + part.detach() * share
            loss = loss if n == 1 else accelerator.reduce(loss, "mean")
            norm = nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
            # The only synchronisation of a step: a loss that is not finite must not reach the weights or the average.
            # A NaN in one process is in the gradient of all. The device idles only until the optimiser is queued.
            if not torch.isfinite(loss + norm):
                raise Diverged(step, loss.item(), norm.item(), draw_times(schedule, config, step, like.device))
            optimizer.step()
            update_ema(ema, model, ema_decay(step, config.ema_decay))
            yield TrainState(step, loss, model, ema, optimizer)


def draw_batch(data, labels, none, schedule, config, network, accelerator, like: Tensor, step: int) -> Iterator[tuple]:
    """Draw the batch of a step, and yield x_0, t, z, context and the share of the loss for each part, like `like`.

    Each of n processes gets `accumulation` parts of the batch. DDP averages the gradients over the processes, hence the
    factor n in a share. The state of torch's generator is restored after the last part.
    """
    rank, n = (0, 1) if accelerator is None else (accelerator.process_index, accelerator.num_processes)
    B, parts, device, dtype = config.batch_size, config.accumulation, like.device, like.dtype
    index = batch_indices(data.N, config, step)
    with fork_randomness(config.seed, step, 0, device):
        t = torch.randint(1, schedule.T + 1, (B,), device=device)
        z = torch.randn(B, *data.shape, dtype=dtype, device=device)
        context = None if labels is None else labels[index.to(device)]
        if context is not None and config.label_dropout > 0:
            context = drop_labels(context, none, config.label_dropout)
        flip = torch.rand(B, device=device) < 0.5 if config.flip else None
        for part in range(rank * parts, (rank + 1) * parts):
            if part > 0:
                _reseed(config.seed, step, part, device)
            own = slice(B * part // (n * parts), B * (part + 1) // (n * parts))
            x_0 = data.take(index[own], device, dtype)
            if flip is not None:
                x_0 = torch.where(flip[own, None, None, None], x_0.flip(3), x_0)
            last = part == (rank + 1) * parts - 1
            with nullcontext() if n == 1 or last else accelerator.no_sync(network):
                yield x_0, t[own], z[own], None if context is None else context[own], n * (own.stop - own.start) / B


def draw_times(schedule: Schedule, config: TrainConfig, step: int, device: torch.device) -> Int64[Tensor, "B"]:
    """Draw the times of a step's whole batch again; they are the first numbers that the step draws."""
    with fork_randomness(config.seed, step, 0, device):
        return torch.randint(1, schedule.T + 1, (config.batch_size,), device=device)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return lr * min(1, step / warmup), and with "cosine" that times g_step (eq-cosine-decay).

    Source: Loshchilov and Hutter (2017), "SGDR", equation 5, with one period.
    """
    decay = (1 + math.cos(math.pi * (step - 1) / config.steps)) / 2 if config.lr_decay == "cosine" else 1.0
    return config.lr * min(1.0, step / max(1, config.warmup)) * decay


def set_rate(optimizer: torch.optim.Optimizer, rate: float, before: float | None) -> float:
    """Set the learning rate of a step, but raise an error if it was changed from outside since it was `before`."""
    for group in optimizer.param_groups:
        if before is not None and group["lr"] != before:
            advice = "pass a function of the step as train(..., lr=...)"
            fail(ValueError, "lr", f"{before:g}, as the trainer set it", f"{group['lr']!r} in the optimiser", advice)
        group["lr"] = rate
    return rate


class _Network(nn.Module):
    """The model as the trainer calls it, in bfloat16 if requested. accelerate alters only this wrapper."""

    def __init__(self, model: nn.Module, bf16: bool):
        super().__init__()
        self.model, self.bf16 = model, bf16

    def forward(self, x_t: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        if not self.bf16:
            return self.model(x_t, t, context)
        with torch.autocast(x_t.device.type, torch.bfloat16):
            return self.model(x_t, t, context).to(x_t.dtype)  # the loss is computed in the precision of x_t


def wrap_model(model: nn.Module, config: TrainConfig, accelerator) -> Callable[..., Tensor]:
    """Return the model as the loop calls it: on its device, in the config's precision, and compiled if requested."""
    if accelerator is not None:
        network = accelerator.prepare(_Network(unwrap(model), False))
    else:
        network = _Network(model, config.mixed_precision == "bf16")
    return torch.compile(network) if config.compile else network


def check_run(model: nn.Module, schedule: Schedule, config: TrainConfig, start: TrainState | None) -> None:
    """Check the types of the arguments of `train`, and that `start` is a state of the model."""
    check_kind("config", config, TrainConfig)
    check_kind("schedule", schedule, Schedule)
    check_trainable(model)
    if start is not None and not isinstance(start, TrainState):
        fail(TypeError, "start", "a TrainState", describe(start), "to continue from a folder, use fit")
    if start is not None and start.model is not unwrap(model):
        fail(ValueError, "start", "a state of this model", "a state of another model", "pass model=start.model")


def ema_decay(step: int, decay: float) -> float:
    """Return min(decay, (1 + step) / (10 + step)): an average over about the last tenth of the run (eq-ema-warmup)."""
    return min(decay, (1 + step) / (10 + step))


def update_ema(ema: AveragedModel, model: nn.Module, decay: float) -> None:
    """average <- decay average + (1 - decay) model, over the parameters (eq-ema); buffers are copied.

    Buffers hold running statistics, which are averages already, or counters and singular vectors, which must not be
    averaged.
    """
    pairs = [(a, p.detach()) for a, p in zip(ema.module.parameters(), model.parameters(), strict=True)]
    averages, values = zip(*[pair for pair in pairs if pair[0].is_floating_point()], strict=True)
    get_ema_multi_avg_fn(decay)(list(averages), list(values), None)
    for a, b in zip(ema.module.buffers(), model.buffers(), strict=True):
        a.detach().copy_(b)


def batch_indices(N: int, config: TrainConfig, step: int) -> Int64[Tensor, "batch"]:
    """Return the indices of the images of a step (from 1): epochs, each a permutation of all N, cut into batches."""
    positions = np.arange((step - 1) * config.batch_size, step * config.batch_size)
    epochs, places = positions // N, positions % N
    orders = {int(e): _permute(N, config.seed, int(e)) for e in np.unique(epochs)}
    return torch.from_numpy(np.array([orders[int(e)][p] for e, p in zip(epochs, places, strict=True)]))


@lru_cache(maxsize=4)
def _permute(N: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(N)


@contextmanager
def fork_randomness(seed: int, step: int, part: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generator from (seed, step, part) for a while, and restore its state afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        _reseed(seed, step, part, device)
        yield


def _reseed(seed: int, step: int, part: int, device: torch.device) -> None:
    key = int(np.random.SeedSequence([seed, step, part]).generate_state(1, np.uint64)[0])
    # torch.manual_seed also seeds every other kind of device, which takes longer than a small step on a CPU
    (torch.default_generator if device.type == "cpu" else torch).manual_seed(key)
