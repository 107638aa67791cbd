"""Train a small model of clothes by a recipe of the speedrun, on a processor or a GPU, with the same draws on both."""

import math
import sys
import time
from functools import partial

import torch
from speedrun_ideas import Recipe
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ddpm_lite import (
    Schedule,
    TrainConfig,
    bound_weight,
    cosine_schedule,
    ddpm_loss,
    linear_schedule,
    min_snr_weight,
    predict_z,
    z_model,
)
from ddpm_lite.files.pixels import from_bytes
from ddpm_lite.process import per_image
from ddpm_lite.runs.presets import network
from ddpm_lite.trainer import batch_indices, ema_decay, learning_rate, update_ema

LABELS = 10


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

    def __init__(self, params, lr: float | Tensor, momentum: float = 0.95, rounds: int = 5):
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
                steps = directions * (group["lr"] * max(1.0, rows / columns) ** 0.5)
                torch._foreach_sub_(matrices, [step.view_as(p) for step, p in zip(steps, matrices, strict=True)])


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


def make_optimizers(recipe: Recipe, model: nn.Module, device: torch.device, in_graph: bool) -> list[tuple]:
    """Make the optimisers, each with the factor of the learning rate that it uses.

    In a CUDA graph the learning rate has to be a tensor, because a number would be recorded with its first value.
    """
    everything, rate = list(model.parameters()), partial(torch.zeros, (), device=device)
    options: dict = {"betas": recipe.betas, "fused": device.type == "cuda"}
    if in_graph:
        options |= {"capturable": True, "lr": rate()}
    if recipe.optimizer == "adamw":
        return [(torch.optim.AdamW(everything, weight_decay=0.01, **options), 1.0)]
    if recipe.optimizer == "adam":
        return [(torch.optim.Adam(everything, **options), 1.0)]
    outer = ("conv_in", "conv_out", "encoder")  # pixels and labels are no hidden features
    hidden = [p for name, p in model.named_parameters() if p.ndim > 1 and not any(part in name for part in outer)]
    known = set(map(id, hidden))
    rest = [p for p in everything if id(p) not in known]
    return [(Muon(hidden, lr=rate() if in_graph else 0.0), 10.0), (torch.optim.Adam(rest, **options), 1.0)]


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
    """The work of a step as one CUDA graph, which is launched at once instead of kernel by kernel."""

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
        """Do the work for this batch, and return its loss; the gradients replace those of the last call."""
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
        graph: "no"; on a GPU "loss" to replay the loss and its gradient as a CUDA graph, or "step" for the whole step.
        compile: pass the network to torch.compile.
    """

    def __init__(self, recipe: Recipe, steps: int, seed: int, images, labels, device="cpu", graph="no", compile=False):
        torch.manual_seed(seed)
        self.recipe, self.device, self.graph = recipe, torch.device(device), "no" if device == "cpu" else graph
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
        self.optimizers = make_optimizers(recipe, self.net, self.device, self.graph == "step")
        self.averages = {decay: AveragedModel(self.net).eval() for decay in recipe.ema}
        self.keeps = {decay: torch.zeros((), device=self.device) for decay in recipe.ema}
        self.replay: Replay | None = None

    def differentiate(self, pixels: Tensor, t: Tensor, z: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss and its gradient."""
        x_0 = from_bytes(pixels)
        if self.recipe.channels_last:
            x_0 = x_0.contiguous(memory_format=torch.channels_last)
        kept = self.graph == "no"  # weights in bf16 are kept between uses, which a graph must not do
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bf16, cache_enabled=kept):
            loss = ddpm_loss(lambda *given: self.work(*given).float(), self.schedule, x_0, t, z, labels, self.weights)
        loss.backward()
        return loss.detach()

    def change(self, *batch: Tensor) -> Tensor:
        """Do all of a step that can be in a CUDA graph."""
        loss = self.differentiate(*batch)
        self.update()
        for decay, average in self.averages.items():
            averages, values = ([p.detach() for p in net.parameters()] for net in (average.module, self.net))
            torch._foreach_mul_(averages, self.keeps[decay])
            torch._foreach_add_(averages, torch._foreach_mul(values, 1 - self.keeps[decay]))
        return loss

    def step(self, step: int) -> Tensor:
        """Take one step, and return its loss."""
        batch = [x.to(self.device, non_blocking=True) for x in self.draw(step)]
        if self.graph != "no" and self.replay is None:
            self.record(batch)
        self.set_rates(step)
        if self.graph == "step" and self.replay is not None:
            return self.replay(*batch)
        if self.replay is not None:
            loss = self.replay(*batch)
        else:
            self.net.zero_grad()
            loss = self.differentiate(*batch)
        self.update()
        self.average(step)
        return loss

    def record(self, batch: list[Tensor]) -> None:
        """Record the CUDA graph; if that fails, go on without one, which is slower but the same."""
        try:
            # All rates are 0, so the weights stay as they are in the steps that come before the recording.
            self.replay = Replay(self.change if self.graph == "step" else self.differentiate, self.net, batch)
        except RuntimeError as error:
            print(f"no CUDA graph: {str(error).splitlines()[0]}", file=sys.stderr, flush=True)
            self.graph = "no"
        for state in (state for optimizer, _ in self.optimizers for state in optimizer.state.values()):
            for value in state.values():
                value.zero_()

    def set_rates(self, step: int) -> None:
        """Set the learning rates, and how much the averages keep."""
        for optimizer, factor in self.optimizers:
            for group in optimizer.param_groups:
                rate = factor * learning_rate(self.config, step)
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate
        for decay, keep in self.keeps.items() if self.graph == "step" else ():
            keep.fill_(ema_decay(step, decay) if decay else 0.0)

    def update(self) -> None:
        """Clip the gradient, and change the weights."""
        nn.utils.clip_grad_norm_(self.net.parameters(), self.config.grad_clip)
        for optimizer, _ in self.optimizers:
            optimizer.step()

    def average(self, step: int) -> None:
        """Update the averages of the weights."""
        for decay, average in self.averages.items():
            update_ema(average, self.net, ema_decay(step, decay) if decay else 0.0)


def wrap(net: nn.Module, schedule: Schedule, target: str):
    """Make a model of z from the network of a recipe."""
    return Preconditioned(net, schedule) if target == "edm" else z_model(net, schedule, target)


def train(recipe: Recipe, steps: int, seed: int, images, labels, device="cpu", graph="no", compile=False) -> tuple:
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
