"""Checks of models: how they can be called, how a U-Net is made, what they return, and what training needs."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from inspect import signature
from typing import overload

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.optim.swa_utils import AveragedModel

from ddpm_lite._check.tensors import COUNTED, check_alike, check_span, to_table
from ddpm_lite._check.values import (
    LARGEST,
    Several,
    check_bool,
    check_fields,
    check_kind,
    check_real,
    check_whole,
    describe,
    fail,
)


@overload
def unwrap(model: nn.Module) -> nn.Module: ...
@overload
def unwrap(model: object) -> object: ...
def unwrap(model: object) -> object:
    """Return the network inside torch.compile, DataParallel, DistributedDataParallel and AveragedModel."""
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)
    while isinstance(model, nn.Module) and (isinstance(model, wrappers) or "_orig_mod" in model._modules):
        model = model.module if isinstance(model, wrappers) else model._modules["_orig_mod"]
    return model


def check_call(argument: str, call: object, contract: str, *, advice: str = "") -> tuple[str, ...]:
    """Check that a callable fits a contract such as "(state) -> None"; return the names of its parameters."""
    if not callable(call):
        fail(TypeError, argument, f"a callable {contract}", describe(call))
    call = call.forward if isinstance(call, nn.Module) else call
    try:
        parameters = signature(call)
    except (ValueError, TypeError):  # a function in C has none
        if isinstance(call, partial):  # an option that the function inside lacks
            fail(TypeError, argument, f"a callable {contract}", describe(call))
        return ()
    names = contract[1 : contract.index(")")].split(", ")
    try:
        parameters.bind(*names, **{"ask": None} if "ask" in parameters.parameters else {})
    except TypeError:
        got = f"{getattr(call, '__qualname__', type(call).__name__)}({', '.join(parameters.parameters)})"
        fail(TypeError, argument, f"a callable {contract}", got, advice)
    return tuple(parameters.parameters)


def check_model(model: object) -> None:
    """Check by its signature that a model can be called as (x_t, t, context)."""
    if not torch.compiler.is_compiling():
        network, contract = unwrap(model), "(x_t, t, context) -> z_hat"
        advice = "give it these three parameters, the last as context=None"
        check_call("model", network, contract, advice=advice)
        traced = getattr(network.forward, "schema", None) if isinstance(network, torch.jit.ScriptModule) else None
        if traced is not None and len(traced.arguments) < 4:  # self, and what it was traced with
            got = f"a traced model of ({', '.join(argument.name for argument in traced.arguments[1:])})"
            fail(
                TypeError, "model", f"a callable {contract}", got, "wrap it: lambda x_t, t, context=None: model(x_t, t)"
            )


def check_step(step: object) -> tuple[str, ...]:
    """Check a step of the sampler by its signature; return the names of its parameters."""
    return check_call("step", step, "(schedule, x_t, t, s, z_hat, noise) -> x_s")


def check_output(z_hat: object, x_t: Tensor, argument: str = "the model's output") -> Tensor:
    """Check that the output of a model, or of a step, is a tensor with the shape and device of x_t."""
    if not isinstance(z_hat, Tensor):
        theirs = hasattr(z_hat, "sample")  # the output class of diffusers
        advice = "pass a diffusers network as from_diffusers(model)" if theirs else ""
        fail(TypeError, argument, "a tensor of x_t's shape", type(z_hat).__name__, advice)
    check_alike(argument, z_hat, "x_t", x_t)
    return z_hat


def check_heads(channels: object, head_dim: object, groups: object, eps: object, context_dim: object) -> list:
    """Check the arguments of `MultiHeadAttention`; return them, with one head as wide as all channels."""
    channels = check_whole("channels", channels, 1)
    head_dim = channels if head_dim is None else check_whole("head_dim", head_dim, 1)
    groups, eps = check_whole("groups", groups, 1), check_real("eps", eps, 0, 1, ends="(]")
    for name, part in (("head_dim", head_dim), ("groups", groups)):
        if channels % part:
            fail(ValueError, name, f"a divisor of the {channels} channels", f"{part}")
    context_dim = None if context_dim is None else check_whole("context_dim", context_dim, 1)
    return [channels, head_dim, groups, eps, context_dim]


def check_architecture(config) -> None:
    """Check the fields of a `UNetConfig`, and store them as Python's own numbers."""
    whole = ("sample_size", "in_channels", "blocks", "groups", "head_dim", "context_dim")
    check_fields(config, whole, check_whole, 1)
    check_fields(config, ("freq_shift", "downsample_padding"), check_whole, 0, 1)
    check_fields(config, ("middle_attention",), check_bool)
    check_fields(config, ("dropout",), check_real, 0, 1, ends="[)")
    check_fields(config, ("norm_eps",), check_real, 0, 1, ends="(]")
    check_fields(config, ("channels",), check_widths, config.groups, config.head_dim)
    check_fields(config, ("attention_levels",), check_levels, len(config.channels))
    shrink = 2 ** (len(config.channels) - 1)
    if config.sample_size % shrink:
        halvings = f"{len(config.channels)} levels halve it {len(config.channels) - 1} times"
        expected, got = f"a multiple of {shrink}, because {halvings}", f"{config.sample_size}"
        fail(ValueError, "sample_size", expected, got, "pad the images or use fewer levels")


def check_widths(argument: str, channels: object, groups: int, head_dim: int | None) -> tuple[int, ...]:
    """Check the width of each level, and return them as a tuple."""
    if not isinstance(channels, tuple | list) or not channels:
        fail(ValueError, argument, "a tuple with one width per level", describe(channels))
    widths = tuple(check_whole(argument, width, 4) for width in channels)
    for width in widths:
        if width % groups:
            fail(ValueError, argument, f"multiples of groups={groups}", f"{width}")
        if head_dim is not None and width % head_dim:
            fail(ValueError, "head_dim", f"a divisor of every width, {widths}", f"{head_dim}")
    if widths[0] % 2:
        fail(ValueError, f"{argument}[0]", "an even width (half sines, half cosines)", f"{widths[0]}")
    return widths


def check_levels(argument: str, asked: object, count: int) -> tuple[int, ...] | str:
    """Check "every", or the levels with self-attention, and return these as a tuple."""
    if isinstance(asked, str) and asked == "every":
        return "every"
    try:
        return tuple(check_whole(argument, level, 0, count - 1) for level in check_kind(argument, asked, tuple | list))
    except (TypeError, ValueError):
        fail(ValueError, argument, f'"every" or a tuple of levels in 0..{count - 1}', describe(asked))


def check_input(config, weights: Tensor, x_t: Tensor, t: Tensor, context: Tensor | None) -> None:
    """Check the input of a U-Net with this config and weights."""
    advice = "use x_t.to(...) or model.to(...)"
    if x_t.dtype != weights.dtype and not torch.is_autocast_enabled(x_t.device.type):
        fail(TypeError, "x_t", f"{weights.dtype}, as the weights are", describe(x_t), advice)
    if x_t.device != weights.device:
        fail(ValueError, "x_t", f"a tensor on {weights.device}, where the weights are", f"{x_t.device}", advice)
    C, shrink = config.in_channels, 2 ** (len(config.channels) - 1)
    if x_t.ndim != 4 or x_t.shape[1] != C or x_t.shape[2] % shrink or x_t.shape[3] % shrink:
        expected = f"shape (B, {C}, H, W) with H and W multiples of {shrink}"
        fail(ValueError, "x_t", expected, describe(x_t), advise_shape(tuple(x_t.shape), C))
    check_span("t", t, "every t >= 1", 1, LARGEST, COUNTED)
    dim = config.context_dim
    if dim is None and context is not None:
        fail(ValueError, "context", "None, as the config has no context_dim", describe(context))
    if dim and (not isinstance(context, Tensor) or context.ndim != 3 or context.shape[0::2] != (x_t.shape[0], dim)):
        fail(ValueError, "context", f"shape ({len(x_t)}, tokens, {dim}), a row for each image", describe(context))


def advise_shape(shape: tuple[int, ...], C: int) -> str:
    """Say how images of a shape become images that a U-Net with C channels takes."""
    if len(shape) == 3:
        return "give grey images their channel, x[:, None], and one image its batch, x[None]"
    if len(shape) == 4 and shape[1] != C:
        moved = "put the channels first, x.permute(0, 3, 1, 2)"
        return moved if shape[3] == C else f"make the network with in_channels={shape[1]}"
    return "pad the images or use fewer levels" if len(shape) == 4 else "this network is for images"


def check_encoder(unet, encoder) -> None:
    """Check that the label encoder's tokens have the width of the U-Net's context."""
    for name, part, field, kind in (("unet", unet, "config", "UNet"), ("encoder", encoder, "width", "LabelEncoder")):
        if not hasattr(part, field):
            fail(TypeError, name, f"a {kind}", type(part).__name__)
    if unet.config.context_dim != encoder.width:
        fail(ValueError, "encoder", f"width {unet.config.context_dim}, the U-Net's context_dim", f"{encoder.width}")


@overload
def tabulate_weight(weight: None, schedule) -> None: ...
@overload
def tabulate_weight(weight: Callable | Tensor | Several, schedule) -> Tensor: ...
def tabulate_weight(weight: Callable | Tensor | Several | None, schedule) -> Tensor | None:
    """Compute the weights of t = 0..T, of which entry 0 is unused, and check them once."""
    if (
        weight is None
        or isinstance(weight, Tensor)
        and weight.shape == (schedule.T + 1,)
        and weight.device.type != "cpu"
    ):
        return weight  # checked before it was moved there
    if callable(weight):
        check_call("weight", weight, "(schedule) -> weights")
        weight = weight(schedule)
    table = weight if isinstance(weight, str) else to_table("weight", weight)
    if isinstance(table, str) or table.shape != (schedule.T + 1,):
        expected = f"a function of the schedule that returns T + 1 = {schedule.T + 1} weights, such as bound_weight"
        fail(ValueError, "weight", expected, describe(table))
    if not (torch.isfinite(table[1:]) & (table[1:] >= 0)).all():
        fail(ValueError, "weight", "finite weights >= 0", f"{table[1:].min():g} to {table[1:].max():g}")
    return table


def check_loss(model: object, weight: Callable | Tensor | Several | None, schedule) -> Tensor | None:
    """Check the model and the weights of `ddpm_loss`; return the weights as a table."""
    check_model(model)
    return tabulate_weight(weight, schedule)


def check_gradient(loss: Tensor) -> Tensor:
    """Check that a loss can be differentiated, and return it."""
    if not loss.requires_grad:
        expected, got = "a tensor with a gradient to the parameters", "one without"
        advice = "use no detach() or no_grad() in the model, nor train under torch.no_grad()"
        fail(ValueError, "the model's output", expected, got, advice)
    return loss


def check_rate(lr: Callable | None) -> Callable[[int], float] | None:
    """Wrap a learning rate, a function of the step, so that each value is checked."""
    if lr is None:
        return None
    check_call("lr", lr, "(step) -> learning rate")

    def rate(step: int) -> float:
        return check_real("lr", lr(step), 0, math.inf)

    rate(1)  # refused at once, before there is a folder
    return rate


def check_trainable(model: object) -> None:
    """Check that the model has parameters to train, in a precision sufficient for Adam and a running average."""
    if isinstance(model, nn.parallel.DistributedDataParallel):
        advice = "pass model.module and accelerator=Accelerator(), which divides each batch among the processes"
        fail(TypeError, "model", "the network itself", "a DistributedDataParallel", advice)
    parameters = [p for p in model.parameters() if p.requires_grad] if isinstance(model, nn.Module) else []
    if not parameters:
        fail(ValueError, "model", "a module with parameters to train", describe(model))
    check_model(model)
    if parameters[0].is_meta or isinstance(parameters[0], UninitializedParameter):
        got, advice = (
            "weights that are not made yet",
            "call a lazy module once; use to_empty for one on the meta device",
        )
        fail(ValueError, "model", "weights that hold numbers", got, advice)
    if parameters[0].is_inference():
        advice = "copy the model outside of it, copy.deepcopy(model)"
        fail(ValueError, "model", "weights that can be trained", "some made in torch.inference_mode()", advice)
    if parameters[0].dtype not in (torch.float32, torch.float64):
        advice = 'use model.float(), with TrainConfig(mixed_precision="bf16") to compute in half precision'
        fail(ValueError, "model", "weights in float32 or float64", f"{parameters[0].dtype}", advice)


def check_processes(config, accelerator) -> int:
    """Check that the accelerator does what the config asks for, and return the number of processes."""
    if accelerator is None:
        return 1
    if not hasattr(accelerator, "num_processes"):
        fail(TypeError, "accelerator", "an accelerate.Accelerator", describe(accelerator))
    n, theirs = accelerator.num_processes, accelerator.mixed_precision
    if theirs != config.mixed_precision:
        advice = f"use Accelerator(mixed_precision={config.mixed_precision!r})"
        fail(ValueError, "accelerator", f"mixed_precision {config.mixed_precision!r}", f"{theirs!r}", advice)
    if n * config.accumulation > config.batch_size:
        expected = f"at least {n * config.accumulation}, one image for each part of each of {n} processes"
        fail(ValueError, "batch_size", expected, f"{config.batch_size}")
    return n


@contextmanager
def explain_lack_of_memory(batch_size: int, parts: int, processes: int) -> Iterator[None]:
    """Turn an out-of-memory error in the training loop into one line that says what to halve.

    A GPU raises a class of its own, PyTorch's CPU allocator a RuntimeError with its name in it, NumPy a MemoryError.

    Args:
        batch_size: images in a batch.
        parts: how many parts the batch is cut into, over all processes.
        processes: how many processes share the batch.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        lack = isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)
        if not lack:
            raise
        got = f"no memory left with {-(-batch_size // parts)} images at a time"
        smaller = "use a smaller network, with half the width, or smaller images"
        if 2 * parts <= batch_size:
            halve = f"set accumulation={2 * parts // processes} (half as many images at a time, the same loss)"
            smaller = f"{halve}, halve batch_size, or {smaller}"
        raise torch.OutOfMemoryError(f"accumulation: expected parts that fit in memory, got {got}; {smaller}") from None
