"""The best small model of clothes for a fixed budget of processor time: one idea at a time, all judged alike.

    python studies/speedrun.py --speed                           measure the seconds of a step, one thread (minutes)
    python studies/speedrun.py --only decay v --minutes 15       train on this processor, evaluate, write one file each
    python studies/speedrun.py --device cuda --graph --jobs 12 --seeds 0 1     as many steps as the budget buys on a CPU
    python studies/speedrun.py --climb --device cuda --graph     add the best idea to the best so far, again and again
    python studies/speedrun.py --best 2 --minutes 75 --seeds 0 1 2 --keep          train the best of those for longer
    python studies/speedrun.py --record                          gather the files into book/results/speedrun.json

The meter: Fashion-MNIST, the package's features, COUNT images for each of three sampling seeds, 50 network evaluations
an image, against the 10,000 held-out images. The budget is processor time of the training alone, on one thread. On a
GPU a run gets the steps that the budget buys on the processor of `--speed`, so its result is that of the same steps,
and its file says so. An idea is a name in IDEAS; "decay+v" is both. A run whose file exists is not repeated.
"""

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from itertools import pairwise, product
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ddpm_lite import (
    Schedule,
    TrainConfig,
    UNetConfig,
    bound_weight,
    cosine_schedule,
    ddim_step,
    ddpm_loss,
    ddpm_step,
    guided,
    last,
    linear_schedule,
    load_fashion_mnist,
    min_snr_weight,
    predict_z,
    respace,
    sample,
    z_model,
)
from ddpm_lite.evaluate import features_of, load_features, measure
from ddpm_lite.files.pixels import from_bytes
from ddpm_lite.files.records import name_processor
from ddpm_lite.files.weights import save, write_whole
from ddpm_lite.process import per_image
from ddpm_lite.runs.presets import network
from ddpm_lite.trainer import batch_indices, ema_decay, learning_rate, update_ema

RESULTS = Path(__file__).resolve().parent.parent / "book" / "results"
RECORD, SPEED = RESULTS / "speedrun.json", RESULTS / "speedrun-speed.json"
COUNT, WALK, SAMPLING_SEEDS = 1000, 50, (0, 1, 2)
MINUTES = 15.0
LABELS = 10
STEPS = {"ddpm": ddpm_step, "ddpm, beta": partial(ddpm_step, variance="beta"), "ddim": ddim_step}


@dataclass(frozen=True)
class Recipe:
    """All that an idea may change; the defaults are the recipe of the model that the package shipped first.

    Args:
        schedule: "linear" or "cosine".
        target: what the network predicts: "z", "v", "x_0" or, with EDM's preconditioning, "edm".
        weight: of the loss at t: "equal" for the error of z, "own" for that of the target, "min-snr" or "bound".
        times: "uniform"; "stratified", one t from each of B equal parts of 1..T; "log-normal", as in EDM.
        noises: how many noises are drawn for each image; the nearest to the image is used (immiscible diffusion).
        optimizer: "adam", "adamw" or "muon".
        lr, lr_decay, warmup, betas, batch_size, label_dropout, flip: of the optimiser and the data.
        ema: decays of the averages; the best of them is kept, and all are recorded.
        channels, blocks, attention_levels, head_dim: of the U-Net.
        scale, sampler: guidance weight and step of the sampling.
        bf16: the network computes in bfloat16, in training only.
        channels_last: the layout of the images in memory.
    """

    schedule: str = "linear"
    target: str = "z"
    weight: str = "equal"
    times: str = "uniform"
    noises: int = 1
    optimizer: str = "adam"
    lr: float = 2e-3
    lr_decay: str = "no"
    warmup: int = 100
    betas: tuple[float, float] = (0.9, 0.999)
    batch_size: int = 32
    label_dropout: float = 0.1
    flip: bool = False
    ema: tuple[float, ...] = (0.999,)
    channels: tuple[int, ...] = (32, 64, 64)
    blocks: int = 1
    attention_levels: tuple[int, ...] = (1, 2)
    head_dim: int | None = None
    scale: float = 0.0
    sampler: str = "ddpm"
    bf16: bool = False
    channels_last: bool = False

    def unet(self) -> UNetConfig:
        """Return the architecture."""
        levels, head_dim = self.attention_levels, self.head_dim
        return UNetConfig(28, 1, self.channels, self.blocks, levels, head_dim=head_dim, context_dim=32)

    def config(self, steps: int, seed: int) -> TrainConfig:
        """Return the settings as the package's trainer has them."""
        names = ("batch_size", "lr", "lr_decay", "warmup", "label_dropout", "flip")
        return TrainConfig(steps, seed=seed, **{name: getattr(self, name) for name in names})

    def parts(self) -> dict[str, str]:
        """Name all that the time of each part of a step depends on."""
        shape = f"{'-'.join(map(str, self.channels))} x{self.blocks}, attention {list(self.attention_levels)}"
        heads = f", heads of {self.head_dim}" if self.head_dim else ""
        kind = f"{'bf16' if self.bf16 else 'fp32'}{', channels last' if self.channels_last else ''}"
        return {
            "draw": f"batch {self.batch_size}, {self.noises} noises",
            "network": f"{shape}{heads}, batch {self.batch_size}, {kind}",
            "update": f"{shape}, {'muon' if self.optimizer == 'muon' else 'adam'}",
            "average": shape,
        }


@dataclass(frozen=True)
class Idea:
    """An idea in a few words, and the fields of the recipe that it changes."""

    about: str
    changes: dict = field(default_factory=dict)


IDEAS = {
    "base": Idea("the recipe of the first shipped model"),
    "decay": Idea("the learning rate falls to 0 along a cosine", {"lr_decay": "cosine"}),
    "ema": Idea("averages of other lengths, the best chosen afterwards", {"ema": (0.0, 0.99, 0.995, 0.998, 0.999)}),
    "min-snr": Idea("min-SNR weights, gamma = 5", {"weight": "min-snr"}),
    "bound": Idea("the weights of the variational bound", {"weight": "bound"}),
    "v": Idea("the network predicts v, and its own error is the loss", {"target": "v", "weight": "own"}),
    "x_0": Idea("the network predicts x_0, with the loss of v", {"target": "x_0", "weight": "velocity"}),
    "edm": Idea("EDM's preconditioning and weights, uniform t", {"target": "edm", "weight": "own"}),
    "log-normal": Idea("t with a log-normal sigma, as in EDM", {"times": "log-normal"}),
    "edm-full": Idea(
        "EDM's preconditioning, weights and log-normal sigma",
        {"target": "edm", "weight": "own", "times": "log-normal"},
    ),
    "stratified": Idea("one t from each of 32 equal parts of 1..T", {"times": "stratified"}),
    "immiscible": Idea("the nearest of 8 noises for each image", {"noises": 8}),
    "cosine": Idea("the cosine schedule of beta", {"schedule": "cosine"}),
    "lr-1e-3": Idea("half the learning rate", {"lr": 1e-3}),
    "lr-4e-3": Idea("twice the learning rate", {"lr": 4e-3}),
    "beta2": Idea("Adam with betas 0.9 and 0.99", {"betas": (0.9, 0.99)}),
    "adamw": Idea("AdamW, weight decay 0.01", {"optimizer": "adamw"}),
    "muon": Idea("Muon for the matrices, Adam for the rest", {"optimizer": "muon"}),
    "batch-16": Idea("batches of 16, twice the steps", {"batch_size": 16}),
    "batch-64": Idea("batches of 64, half the steps", {"batch_size": 64}),
    "coarse-attention": Idea("attention at 7x7 only", {"attention_levels": (2,)}),
    "middle-attention": Idea("attention only between the two paths", {"attention_levels": ()}),
    "narrow-top": Idea("widths 16, 64, 128: little at 28x28, much at 7x7", {"channels": (16, 64, 128)}),
    "wide-bottom": Idea("widths 32, 64, 128", {"channels": (32, 64, 128)}),
    "wide": Idea("widths 48, 96, 96", {"channels": (48, 96, 96)}),
    "narrow": Idea("widths 16, 32, 64", {"channels": (16, 32, 64)}),
    "two-blocks": Idea("two blocks at each level", {"blocks": 2}),
    "heads": Idea("attention in heads of width 16", {"head_dim": 16}),
    "keep-labels": Idea("no label is dropped", {"label_dropout": 0.0}),
    "flip": Idea("half of the images are mirrored", {"flip": True}),
    "guidance": Idea("guidance of weight 0.25 in sampling", {"scale": 0.25}),
    "ddim": Idea("the same 50 times with DDIM", {"sampler": "ddim"}),
    "beta": Idea("DDPM steps with the variance beta", {"sampler": "ddpm, beta"}),
    "bf16": Idea("the network in bfloat16", {"bf16": True}),
    "channels-last": Idea("channels last in memory", {"channels_last": True}),
}


def make_recipe(name: str) -> Recipe:
    """Make the recipe of one idea, or of several joined by "+"; a later one wins over an earlier."""
    changes: dict = {}
    for part in name.split("+"):
        if part not in IDEAS:
            raise ValueError(f"idea: expected one of {', '.join(IDEAS)}, got {part!r}")
        changes |= IDEAS[part].changes
    return replace(Recipe(), **changes)


class Preconditioned(nn.Module):
    """A network F with EDM's preconditioning, as a model of z: x_0_hat = c_skip y + c_out F(c_in y).

    Source: Karras et al. (2022), table 1, with y = x_t / sqrt(alpha_bar), sigma^2 = (1 - alpha_bar) / alpha_bar.
    """

    SPREAD = 0.7  # sigma_data: the standard deviation of the pixels in [-1, 1]

    def __init__(self, model: nn.Module, schedule: Schedule):
        super().__init__()
        self.model, self.schedule, self.none = model, schedule, model.none

    def forward(self, x_t: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        schedule = self.schedule.at(x_t.device)
        sigma = per_image(schedule.snr[t].rsqrt(), x_t)
        total = (sigma.square() + self.SPREAD**2).sqrt()
        y = x_t / per_image(schedule.alpha_bar[t].sqrt(), x_t)
        x_0_hat = (self.SPREAD / total) ** 2 * y + sigma * self.SPREAD / total * self.model(y / total, t, context)
        return predict_z(schedule, x_t, t, x_0_hat)


def make_weights(recipe: Recipe, schedule: Schedule) -> Tensor | None:
    """Tabulate the factor by which the squared error of z at t is multiplied."""
    own = {
        "z": lambda s: torch.ones_like(s.beta),
        "v": lambda s: 1 / s.alpha_bar,
        "x_0": lambda s: 1 / s.snr,
        "edm": lambda s: 1 + 1 / (s.snr * Preconditioned.SPREAD**2),  # makes it the error of F
    }
    if recipe.weight == "equal":
        return None
    if recipe.weight == "bound":  # with mean 1, because gradients are clipped
        table = bound_weight(schedule)
        return table / table[1:].mean()
    others = {"own": own[recipe.target], "velocity": own["v"], "min-snr": min_snr_weight}
    return others[recipe.weight](schedule)


class Muon(torch.optim.Optimizer):
    """Gradient steps whose matrices are made nearly orthogonal; Adam belongs to all parameters that are no matrices.

    The momentum of each matrix, with a convolution's kernel flattened to (out, in * 3 * 3), is replaced by the nearest
    semi-orthogonal matrix, up to singular values between about 0.7 and 1.2. Equal shapes are stacked.

    Source: Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks".
    """

    def __init__(self, params, lr: float, momentum: float = 0.95, rounds: int = 5):
        super().__init__(params, {"lr": lr, "momentum": momentum, "rounds": rounds})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Take a step for every matrix that has a gradient."""
        for group in self.param_groups:
            shapes: dict[tuple[int, ...], list[nn.Parameter]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    shapes.setdefault(tuple(p.flatten(1).shape), []).append(p)
            for (rows, columns), matrices in shapes.items():
                gradient = torch.stack([p.grad.flatten(1) for p in matrices])
                velocity = self.state[matrices[0]].setdefault("velocity", torch.zeros_like(gradient))
                velocity.lerp_(gradient, 1 - group["momentum"])
                directions = orthogonalize(gradient.lerp(velocity, group["momentum"]), group["rounds"])  # Nesterov's
                for p, direction in zip(matrices, directions, strict=True):
                    p.sub_(direction.view_as(p), alpha=group["lr"] * max(1.0, rows / columns) ** 0.5)


def orthogonalize(matrices: Tensor, rounds: int = 5) -> Tensor:
    """Bring the singular values of each matrix (B, rows, columns) near 1, by an odd polynomial applied repeatedly."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(rounds):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


def make_optimizers(recipe: Recipe, model: nn.Module, device: torch.device) -> list[tuple]:
    """Make the optimisers, each with the factor of the learning rate that it uses."""
    fused, everything = device.type == "cuda", list(model.parameters())
    if recipe.optimizer == "adamw":
        return [(torch.optim.AdamW(everything, betas=recipe.betas, weight_decay=0.01, fused=fused), 1.0)]
    if recipe.optimizer == "adam":
        return [(torch.optim.Adam(everything, betas=recipe.betas, fused=fused), 1.0)]
    outer = ("conv_in", "conv_out", "encoder")  # pixels and labels are no hidden features
    hidden = [p for name, p in model.named_parameters() if p.ndim > 1 and not any(part in name for part in outer)]
    known = set(map(id, hidden))
    rest = [p for p in everything if id(p) not in known]
    return [(Muon(hidden, lr=0.0), 10.0), (torch.optim.Adam(rest, betas=recipe.betas, fused=fused), 1.0)]


class Draws:
    """The batches of a run: x_0 (in bytes), t, z and labels, the same on every device for the same seed."""

    def __init__(self, recipe: Recipe, config: TrainConfig, schedule: Schedule, images: Tensor, labels: Tensor):
        self.recipe, self.config, self.images, self.labels, self.T = recipe, config, images, labels, schedule.T
        self.generator = torch.Generator().manual_seed(config.seed)
        self.log_sigma = (schedule.snr[1:].log() / -2).contiguous()

    def __call__(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw the batch of a step, on the CPU."""
        rand = partial(torch.rand, generator=self.generator)
        randn = partial(torch.randn, generator=self.generator)
        index, B = batch_indices(len(self.images), self.config, step), self.config.batch_size
        pixels, labels = self.images[index], self.labels[index]
        if self.recipe.times == "log-normal":  # the time whose sigma is nearest from above
            t = torch.searchsorted(self.log_sigma, randn(B, dtype=torch.float64) * 1.2 - 1.2).clamp(max=self.T - 1) + 1
        else:
            places = rand(B, dtype=torch.float64)
            places = (torch.arange(B) + places) / B if self.recipe.times == "stratified" else places
            t = (places * self.T).long() + 1
        z = randn(self.recipe.noises, *pixels.shape)
        if self.recipe.noises > 1:
            # The nearest noise has the largest product with the image, up to the noises' own lengths.
            apart = (z - from_bytes(pixels)).flatten(2).square().sum(2)
            z = z[apart.argmin(0), torch.arange(B)]
        else:
            z = z[0]
        if self.config.flip:
            pixels = torch.where(rand(B)[:, None, None, None] < 0.5, pixels.flip(3), pixels)
        if self.config.label_dropout:
            labels = torch.where(rand(B) < self.config.label_dropout, LABELS, labels)
        return pixels, t, z, labels


class Replay:
    """The loss and its gradient as one CUDA graph, which is launched at once instead of kernel by kernel."""

    def __init__(self, work, model: nn.Module, batch):
        self.batch = [x.clone() for x in batch]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                model.zero_grad()
                work(*self.batch)
        torch.cuda.current_stream().wait_stream(side)
        model.zero_grad()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = work(*self.batch)

    def __call__(self, *batch) -> Tensor:
        """Compute the loss of the batch; the gradients replace those of the last call."""
        for kept, new in zip(self.batch, batch, strict=True):
            kept.copy_(new)
        self.graph.replay()
        return self.loss


class Run:
    """A training run, step by step.

    Args:
        recipe, steps, seed: what is trained.
        images, labels: the training set, bytes, on the CPU.
        device: where the network is.
        graph: replay the steps as a CUDA graph. compile: pass the network to torch.compile.
    """

    def __init__(self, recipe: Recipe, steps: int, seed: int, images, labels, device="cpu", graph=False, compile=False):
        torch.manual_seed(seed)
        self.recipe, self.device, self.graph = recipe, torch.device(device), graph and device != "cpu"
        self.config = recipe.config(steps, seed)
        self.schedule = {"linear": linear_schedule, "cosine": cosine_schedule}[recipe.schedule]()
        self.net = network(recipe.unet(), LABELS).to(self.device)
        if recipe.channels_last:
            self.net = self.net.to(memory_format=torch.channels_last)
        self.model = wrap(self.net, self.schedule, recipe.target)
        self.work = torch.compile(self.model) if compile else self.model
        weights = make_weights(recipe, self.schedule)
        self.weights = None if weights is None else weights.to(self.device, torch.float32)
        self.draw = Draws(recipe, self.config, self.schedule, images, labels)
        self.optimizers = make_optimizers(recipe, self.net, self.device)
        self.averages = {decay: AveragedModel(self.net).eval() for decay in recipe.ema}
        self.replay: Replay | None = None

    def differentiate(self, pixels: Tensor, t: Tensor, z: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss and its gradient."""
        x_0 = from_bytes(pixels)
        if self.recipe.channels_last:
            x_0 = x_0.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bf16, cache_enabled=not self.graph):
            loss = ddpm_loss(lambda *given: self.work(*given).float(), self.schedule, x_0, t, z, labels, self.weights)
        loss.backward()
        return loss.detach()

    def step(self, step: int) -> Tensor:
        """Take one step, and return its loss."""
        batch = [x.to(self.device, non_blocking=True) for x in self.draw(step)]
        if self.graph and self.replay is None:
            try:
                self.replay = Replay(self.differentiate, self.net, batch)
            except RuntimeError as error:  # slower, but the same
                print(f"no CUDA graph: {str(error).splitlines()[0]}", file=sys.stderr, flush=True)
                self.graph = False
        if self.replay is not None:
            loss = self.replay(*batch)
        else:
            self.net.zero_grad()
            loss = self.differentiate(*batch)
        self.update(step)
        self.average(step)
        return loss

    def update(self, step: int) -> None:
        """Clip the gradient, and change the weights."""
        nn.utils.clip_grad_norm_(self.net.parameters(), self.config.grad_clip)
        for optimizer, factor in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = factor * learning_rate(self.config, step)
            optimizer.step()

    def average(self, step: int) -> None:
        """Update the averages of the weights."""
        for decay, average in self.averages.items():
            update_ema(average, self.net, ema_decay(step, decay) if decay else 0.0)


def wrap(net: nn.Module, schedule: Schedule, target: str):
    """Make a model of z from the network of a recipe."""
    return Preconditioned(net, schedule) if target == "edm" else z_model(net, schedule, target)


def train(recipe: Recipe, steps: int, seed: int, images, labels, device="cpu", graph=False, compile=False) -> tuple:
    """Train; return the run and what it took."""
    run, losses = Run(recipe, steps, seed, images, labels, device, graph, compile), []
    start, cpu = time.perf_counter(), time.process_time()
    for step in range(1, steps + 1):
        losses.append(run.step(step).clone())
        if step % 100 == 0 and not torch.isfinite(losses[-1]):
            break
    loss = torch.stack(losses[-200:]).mean().item()  # waits for the device
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    took = {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "loss_last_200": round(loss, 5)}
    return run, took | {"diverged": not math.isfinite(loss)}


@cache
def judge(folder: Path | None):
    """Load the features' network, the held-out images' features, and the training images and labels."""
    net, (held_out, _) = load_features("fashion"), load_fashion_mnist("test", folder=folder)
    return net, features_of(net, from_bytes(held_out)), *load_fashion_mnist("train", folder=folder)


def draw_images(run: Run, average: nn.Module, seed: int, count: int, at_once: int) -> Tensor:
    """Sample images of all labels in turn, as `evaluate` does."""
    recipe, model = run.recipe, wrap(average, run.schedule, run.recipe.target)
    if recipe.scale:
        model = guided(model, recipe.scale, LABELS)
    context, parts = torch.arange(count) % LABELS, []
    for first in range(0, count, at_once):
        own = context[first : first + at_once]
        states = sample(
            model,
            respace(run.schedule, WALK),
            (len(own), 1, 28, 28),
            step=STEPS[recipe.sampler],
            seed=seed * 1_000_003 + first,
            context=own,
            device=run.device,
        )
        parts.append(last(states)[1].cpu().clamp(-1, 1))
    return torch.cat(parts)


def evaluate(run: Run, folder: Path | None, count: int, seeds) -> dict:
    """Measure samples of each average; return the rows of the best one, their mean and spread, and all distances."""
    net, reference, images, _ = judge(folder)
    at_once = 2000 if run.device.type == "cuda" else 250
    found = {}
    for decay, average in run.averages.items():
        rows = []
        for seed in seeds:
            drawn = draw_images(run, average.module, seed, count, at_once)
            row = measure(net, drawn, reference, images, torch.arange(count) % LABELS)
            rows.append({"seed": seed} | {key: float(f"{value:.5g}") for key, value in row.items()})
        found[decay] = rows
    means = {decay: summarize(rows)["mean"]["frechet"] for decay, rows in found.items()}
    best = min(means, key=lambda decay: means[decay])
    return {"ema": best, "frechet_by_ema": {str(d): m for d, m in means.items()}, "rows": found[best]} | summarize(
        found[best]
    )


def summarize(rows: list[dict]) -> dict:
    """Return mean and standard deviation of the rows' numbers."""
    columns = {key: torch.tensor([row[key] for row in rows]).double() for key in rows[0] if key != "seed"}
    spread = {key: float(f"{column.std().item():.5g}") for key, column in columns.items() if len(rows) > 1}
    return {"mean": {key: float(f"{column.mean().item():.5g}") for key, column in columns.items()}, "spread": spread}


def read_speed() -> dict:
    """Read the record of `--speed`: seconds of each part of a step, by what `Recipe.parts` names."""
    return json.loads(SPEED.read_text(encoding="utf8")) if SPEED.exists() else {"seconds": {}}


def look_up_seconds(recipe: Recipe) -> float | None:
    """Add up the seconds of a step, or return None if a part was never measured."""
    known = read_speed()["seconds"]
    found = {part: known.get(part, {}).get(key) for part, key in recipe.parts().items()}
    if None in found.values():
        return None
    return sum(seconds * (len(recipe.ema) if part == "average" else 1) for part, seconds in found.items())


def count_steps(recipe: Recipe, minutes: float) -> int:
    """Count the steps that the budget buys on the processor of `--speed`."""
    seconds = look_up_seconds(recipe)
    if seconds is None:
        raise ValueError(f"speed: expected times for {recipe.parts()}, got none; run --speed --only NAME first")
    return max(1, int(minutes * 60 / seconds))


# What `--speed` measures beside the ideas: networks that may be combined. Muon's time does not depend on bf16.
NETWORKS = [
    "+".join(names)
    for names in product(
        ("base", "narrow-top", "wide-bottom", "wide", "narrow"), ("base", "coarse-attention", "middle-attention")
    )
] + ["heads", "two-blocks", "batch-16", "batch-64", "channels-last"]
COMBINED = [*NETWORKS, *(f"{name}+muon+bf16" for name in NETWORKS)]


def measure_speed(names: list[str], folder: Path | None, rounds: int, steps: int) -> None:
    """Measure processor time of each part of a step, and keep the least, because other work only ever adds to it.

    What was measured before on such a processor counts too.
    """
    torch.set_num_threads(1)
    _, _, images, labels = judge(folder)
    machine = {
        "hardware": f"{name_processor()}, one thread, processor time, beside other work",
        "torch": torch.__version__.split("+")[0],
    }
    before = read_speed()
    found: dict[str, dict[str, float]] = before["seconds"] if machine.items() <= before.items() else {}
    costs = {str(recipe.parts()): recipe for recipe in map(make_recipe, names)}
    for _ in range(rounds):
        for recipe in costs.values():
            run, taken = Run(recipe, steps + 1, 0, images, labels), []
            for step in range(1, steps + 2):
                clock = [time.process_time()]
                batch = run.draw(step)
                clock.append(time.process_time())
                run.net.zero_grad()
                run.differentiate(*batch)
                clock.append(time.process_time())
                run.update(step)
                clock.append(time.process_time())
                run.average(step)
                clock.append(time.process_time())
                taken.append([b - a for a, b in pairwise(clock)])
            for (part, key), *seconds in zip(recipe.parts().items(), *taken[1:], strict=True):
                least = min(seconds) / (len(recipe.ema) if part == "average" else 1)
                table = found.setdefault(part, {})
                table[key] = round(min(least, table.get(key, math.inf)), 5)
            print(f"{sum(map(min, zip(*taken[1:], strict=True))):.3f} s  {recipe.parts()}", flush=True)
    tables = {part: dict(sorted(table.items())) for part, table in found.items()}
    about = {"command": "python studies/speedrun.py --speed"} | machine | {"seconds": tables}
    write_whole(SPEED, (json.dumps(about, indent=1) + "\n").encode())


def name_file(name: str, seed: int, minutes: float | None, steps: int | None, count: int) -> str:
    """Name the file of a run."""
    budget = f"{steps} steps" if steps else f"{minutes:g} min"
    return f"{name} {budget}, {count}, {seed}".replace(" ", "_")


def work(name: str, seed: int, options: argparse.Namespace) -> Path:
    """Train and evaluate one run, unless its file exists, and write its file."""
    minutes = None if options.steps else options.minutes
    path = options.out / f"{name_file(name, seed, minutes, options.steps, options.count)}.json"
    if path.exists():
        return path
    if options.device == "cpu" or options.jobs > 1:
        torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    recipe = make_recipe(name)
    steps = options.steps or count_steps(recipe, options.minutes)
    _, _, images, labels = judge(options.data)
    run, took = train(recipe, steps, seed, images, labels, options.device, options.graph, options.compile)
    speed = read_speed()
    about = {
        "idea": name,
        "seed": seed,
        "minutes": minutes,
        "steps": steps,
        "steps_from": "given" if options.steps else f"{minutes:g} minutes / {look_up_seconds(recipe):.4f} s a step",
        "speed": None if options.steps else f"{speed['hardware']}, torch {speed['torch']}",
        "device": torch.cuda.get_device_name() if options.device == "cuda" else f"{name_processor()}, one thread",
        "graph": options.graph,
        "compile": options.compile,
        "torch": torch.__version__.split("+")[0],
        "parameters": sum(p.numel() for p in run.net.parameters()),
        "images_seen": steps * recipe.batch_size,
        "recipe": asdict(recipe),
    }
    if not took["diverged"]:
        start, kept = time.perf_counter(), {"count": options.count}
        about |= kept | evaluate(run, options.data, options.count, options.sampling_seeds)
        about["evaluation_seconds"] = round(time.perf_counter() - start, 1)
        if options.keep and recipe.target != "edm":
            model = wrap(run.averages[about["ema"]].module.cpu(), run.schedule, recipe.target)
            save(path.with_suffix(".safetensors"), model, run.schedule, dtype=torch.float16)
    write_whole(path, (json.dumps(about | took, indent=1) + "\n").encode())
    result = "diverged" if took["diverged"] else describe(about["mean"])
    print(f"{name}, seed {seed}: {steps} steps in {took['seconds']} s, {result}", flush=True)
    return path


def describe(mean: dict) -> str:
    """Write the numbers of a row in words."""
    return ", ".join(f"{key} {mean[key]:.3f}" for key in ("frechet", "precision", "recall", "agreement", "nearest"))


class Workers:
    """Processes that share the device, or this one."""

    def __init__(self, options: argparse.Namespace):
        self.options, self.end = options, time.monotonic() + options.within
        context = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(options.jobs, context) if options.jobs > 1 else None

    def run(self, names: list[str], seeds) -> dict[str, float]:
        """Do all runs that there is time for; return the mean distance of each idea all of whose runs are done."""
        pairs, found = [(name, seed) for seed in seeds for name in names], {}
        if self.pool is None:
            for pair in pairs:
                if time.monotonic() < self.end:
                    found[pair] = work(*pair, self.options)
        else:
            waiting = {self.pool.submit(work, *pair, self.options): pair for pair in pairs}
            with contextlib.suppress(TimeoutError):
                left = None if self.end == math.inf else max(1.0, self.end - time.monotonic())
                for done in as_completed(waiting, left):
                    if done.exception() is None:
                        found[waiting[done]] = done.result()
                    else:
                        print(f"{waiting[done]}: {done.exception()!r}", file=sys.stderr, flush=True)
        means = {}
        for name in names:
            results = [json.loads(found[name, s].read_text(encoding="utf8")) for s in seeds if (name, s) in found]
            if len(results) == len(seeds):
                means[name] = sum(r["mean"]["frechet"] if "mean" in r else math.inf for r in results) / len(results)
        return means

    def close(self) -> None:
        """End the processes, also those that are still at work when the time is over."""
        if self.pool is not None:
            processes = list(getattr(self.pool, "_processes", {}).values())
            self.pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()


def climb(workers: Workers, start: str, ideas: list[str], seeds) -> None:
    """From a recipe, add the idea that lowers the distance most, as long as one does and there is time.

    Later rounds try only the ten ideas that were best in the first, because each round costs as many runs.
    """
    best, given = start, workers.options.steps
    distance = workers.run([best], seeds).get(best, math.inf)
    ideas = [idea for idea in ideas if IDEAS[idea].changes]
    while time.monotonic() < workers.end:
        taken = {key for part in best.split("+") for key in IDEAS[part].changes}
        names = {i: f"{best}+{i}".removeprefix("base+") for i in ideas if not taken & IDEAS[i].changes.keys()}
        names = {i: name for i, name in names.items() if given or look_up_seconds(make_recipe(name)) is not None}
        means = workers.run(list(names.values()), seeds)
        if not means or min(means.values()) >= distance:
            break
        ideas = sorted((i for i in names if names[i] in means), key=lambda i: means[names[i]])[:11]
        best, distance = names[ideas[0]], means[names[ideas[0]]]
        print(f"best: {best}, {distance:.3f}", flush=True)


def choose_best(folder: Path, number: int) -> list[str]:
    """Choose the combinations of the least mean distance among the runs of MINUTES in a folder."""
    found: dict[str, list[float]] = {}
    for run in gather([folder])["runs"]:
        if run["minutes"] == MINUTES and "mean" in run:
            found.setdefault(run["idea"], []).append(run["mean"]["frechet"])
    most = max(map(len, found.values()), default=0)
    means = {name: sum(each) / most for name, each in found.items() if len(each) == most}
    return sorted(means, key=lambda name: means[name])[:number]


def gather(folders: list[Path]) -> dict:
    """Gather the files of all runs, sorted by idea, budget and seed."""
    runs = [json.loads(path.read_text(encoding="utf8")) for folder in folders for path in sorted(folder.glob("*.json"))]
    runs.sort(key=lambda run: (run["minutes"] or 0, list_parts(run["idea"]), run["seed"]))
    return {
        "command": "python studies/speedrun.py --record",
        "speed": read_speed(),
        "walk": WALK,
        "ideas": {name: idea.about for name, idea in IDEAS.items()},
        "runs": runs,
    }


def list_parts(name: str) -> tuple:
    """Order combinations by their length, then as IDEAS is ordered."""
    parts = name.split("+")
    return len(parts), [list(IDEAS).index(part) for part in parts]


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", help="ideas, or several joined by +; default all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of the training")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="core-minutes of training")
    parser.add_argument("--steps", type=int, help="steps, instead of a budget")
    parser.add_argument("--count", type=int, default=COUNT, help="images for each sampling seed")
    parser.add_argument("--sampling-seeds", nargs="+", type=int, default=SAMPLING_SEEDS)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--graph", action="store_true", help="replay the steps as a CUDA graph")
    parser.add_argument("--compile", action="store_true", help="pass the network to torch.compile")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the device")
    parser.add_argument("--within", type=float, default=math.inf, help="stop after this many seconds")
    parser.add_argument("--data", type=Path, help="the folder of the four files of Fashion-MNIST")
    parser.add_argument("--out", type=Path, default=Path("runs/speedrun"), help="a file for each run goes here")
    parser.add_argument("--keep", action="store_true", help="keep the weights too")
    parser.add_argument("--climb", metavar="IDEA", nargs="?", const="base", help="combine ideas, from this one on")
    parser.add_argument(
        "--best", type=int, help=f"the so many best ideas among the runs of {MINUTES:g} minutes in --out"
    )
    parser.add_argument("--speed", action="store_true", help="measure the seconds of a step")
    parser.add_argument("--rounds", type=int, default=2, help="of --speed")
    parser.add_argument("--record", action="store_true", help="gather the files of --out")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> None:
    """Measure the speed, train and evaluate, or gather."""
    options = parse(words)
    ideas = options.only or (choose_best(options.out, options.best) if options.best else list(IDEAS))
    for name in (*ideas, *([options.climb] if options.climb else [])):
        make_recipe(name)  # raises at once for a name that is none
    if options.speed:
        names = options.only or [*IDEAS, *COMBINED]
        measure_speed(names, options.data, options.rounds, options.steps or 2)
        return
    if options.record:
        write_whole(RECORD, (json.dumps(gather([options.out]), indent=1) + "\n").encode())
        print(f"wrote {RECORD}")
        return
    if options.jobs > 1:
        os.environ["OMP_NUM_THREADS"] = "1"  # the processes inherit it
    options.out.mkdir(parents=True, exist_ok=True)
    workers = Workers(options)
    try:
        if options.climb:
            climb(workers, options.climb, ideas, options.seeds)
        else:
            workers.run(ideas, options.seeds)
    finally:
        workers.close()


if __name__ == "__main__":
    main()
