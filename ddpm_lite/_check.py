"""Checks of arguments, whose errors say in one line which argument, what was expected, what it got and what to do."""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from inspect import signature
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, overload

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.optim.swa_utils import AveragedModel

if TYPE_CHECKING:  # type checkers do not accept Python's own numbers as instances of these abstract classes
    Whole: TypeAlias = int
    Number: TypeAlias = float
else:  # at run time NumPy's numbers are accepted too
    Whole, Number = Integral, Real
Several = Sequence | np.ndarray  # several numbers
Time = Whole | Several | Int64[Tensor, "..."]  # one time for all images, or one for each
LARGEST = 2**63 - 1  # of the whole numbers that torch can hold


def fail(kind: type[Exception], argument: str, expected: str, got: str, advice: str = "") -> NoReturn:
    """Raise an exception of type `kind` with the one-line message that all errors of the package have."""
    got = " ".join(got.split())  # the repr of a tensor has several lines
    raise kind(f"{argument}: expected {expected}, got {got}" + (f"; {advice}" if advice else ""))


def describe(value: object) -> str:
    """Describe a value in one line: a tensor as `float32 tensor of shape (2, 1, 8, 8)`, others by their repr."""
    if isinstance(value, Tensor):
        kind = "" if value.layout == torch.strided else f"{str(value.layout).removeprefix('torch.')} "
        return f"{kind}{str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
    if isinstance(value, np.ndarray) and value.shape:
        return f"{value.dtype} array of shape {tuple(value.shape)}"
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({type(value).__name__})"


def to_number(value: object) -> object:
    """Return the number in a tensor or array without axes, and other values unchanged."""
    if isinstance(value, Tensor):
        return value.item() if value.ndim == 0 and not value.is_meta and value.layout == torch.strided else value
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


def check_whole(argument: str, value: object, low: int, high: float = math.inf) -> int:
    """Check a whole number of Python, NumPy or torch in low..high, and return it as an int; a bool is refused."""
    value = to_number(value)
    if isinstance(value, bool) or not isinstance(value, Whole) or not low <= value <= min(high, LARGEST):
        large = isinstance(value, Whole) and value > LARGEST
        span = f"in {low}..{min(high, LARGEST)}" if high < math.inf or large else f">= {low}"
        fail(ValueError, argument, f"a whole number {span}", describe(value))
    return int(value)


def check_real(argument: str, value: object, low: float, high: float, *, ends: str = "[]") -> float:
    """Check a finite number between low and high; `ends` says which of the two is included, as in "(]"."""
    value = to_number(value)
    if isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value):
        number = float(value)
        above = number > low if ends[0] == "(" else number >= low
        below = number < high if ends[1] == ")" else number <= high
        if above and below:
            return number
    fail(ValueError, argument, f"a number in {ends[0]}{low}, {high}{ends[1]}", describe(value))


def check_fields(config: object, fields: tuple[str, ...], check: Callable, *limits: object, **options) -> None:
    """Check fields of a frozen dataclass, and store Python's own numbers, which can be written to a file's header."""
    for field in fields:
        if getattr(config, field) is not None or getattr(type(config), field, 0) is not None:
            object.__setattr__(config, field, check(field, getattr(config, field), *limits, **options))


def check_choice(argument: str, value: object, *choices: str | bool) -> str | bool:
    """Check that the value is one of the choices, which are words, or True and False."""
    for choice in choices:
        if isinstance(value, type(choice) | np.bool_) and value == choice:
            return choice
    *first, last = ("True", "False") if choices == (False, True) else [f'"{choice}"' for choice in choices]
    fail(ValueError, argument, f"{', '.join(first)} or {last}", describe(value))


def check_bool(argument: str, value: object) -> bool:
    """Check that the value is True or False; numbers and words are refused, because bool("no") is True."""
    return bool(value) if isinstance(value, bool) else bool(check_choice(argument, value, False, True))


def check_variance(value: object) -> str:
    """Check the name of the table from which the variance sigma_t^2 of the reverse step is taken."""
    return str(check_choice("variance", value, "beta", "beta_tilde"))


def check_schedule(value: object, argument: str = "schedule"):
    """Check that the value is a Schedule, by one of its methods, because this module imports nothing of ours."""
    if not hasattr(value, "at") or isinstance(value, type):
        fail(TypeError, argument, "a Schedule, such as linear_schedule(1000)", describe(value))
    return value


def check_whole_schedule(value: object, owner: str):
    """Check that the value is a Schedule which `respace` did not shorten; `owner` is what was trained with it."""
    schedule = check_schedule(value)
    if int(schedule.times[-1]) != schedule.T:
        expected, got = f"the schedule that {owner} was trained with", f"a re-spaced one, {schedule!r}"
        fail(ValueError, "schedule", expected, got)
    return schedule


def check_pair(argument: str, value: object) -> tuple[float, float]:
    """Check a mean and a variance >= 0."""
    if not isinstance(value, list | tuple | Tensor | np.ndarray) or getattr(value, "ndim", 1) != 1 or len(value) != 2:
        fail(TypeError, argument, "a mean and a variance", describe(value))
    return check_real(argument, value[0], -1e12, 1e12), check_real(argument, value[1], 0, 1e12)


def to_table(argument: str, value: object) -> Tensor:
    """Convert a tensor, an array or a sequence of numbers to a tensor; Python's floats stay in float64."""
    try:
        table = torch.as_tensor(value, dtype=None if hasattr(value, "dtype") else torch.float64).detach()
    except (TypeError, ValueError, RuntimeError):
        table = None
    if table is None or table.is_complex():
        fail(TypeError, argument, "a tensor, an array or a sequence of numbers", describe(value))
    return check_dense(argument, table)


def check_finite(argument: str, x: Tensor) -> Tensor:
    """Check that no value is NaN or infinite, and return the tensor."""
    if not torch.isfinite(x).all():
        fail(ValueError, argument, "finite values", "NaN or infinity")
    return x


def check_dense(argument: str, x: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """Check that a tensor holds a number in each place: not sparse, nor on the meta device if needed elsewhere."""
    if x.layout != torch.strided or x.is_meta and torch.device(device).type != "meta":
        advice = "use x.to_dense()" if x.layout != torch.strided else ""
        fail(ValueError, argument, "a dense tensor that holds numbers", f"{describe(x)} on {x.device}", advice)
    return x


def to_values(**values: object) -> list[Tensor]:
    """Convert numbers, arrays and sequences to float64 tensors; tensors stay as they are, gradients included."""
    tables = {name: to_table(name, value) for name, value in values.items()}
    for name, table in tables.items():
        if table.dtype == torch.bool:
            fail(TypeError, name, "numbers", describe(values[name]))
        try:
            torch.broadcast_shapes(*(other.shape for other in tables.values()))
        except RuntimeError:
            shapes = ", ".join(str(tuple(other.shape)) for other in tables.values())
            fail(ValueError, name, "shapes that broadcast", shapes)
    return [value if isinstance(value, Tensor) else tables[name] for name, value in values.items()]


def to_whole_numbers(argument: str, value: object, device: torch.device | str | None = None) -> Tensor:
    """Convert a list, tuple or array of whole numbers to an int64 tensor on the device; None is where they are."""
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        tensor = None
    if tensor is None or tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        fail(TypeError, argument, "whole numbers, as an int64 tensor or a sequence", describe(value))
    return check_dense(argument, tensor).to(device or tensor.device, torch.int64)


def check_label_values(labels: object, N: int, classes: int, *, every: bool = False) -> Tensor:
    """Check N labels in 0..classes - 1, and return an int64 tensor; with `every`, each label has to occur."""
    labels = to_whole_numbers("labels", labels, "cpu")
    if labels.shape != (N,):
        fail(ValueError, "labels", f"shape ({N},), one for each image", f"{tuple(labels.shape)}")
    found = labels.unique().tolist()
    if not 0 <= found[0] <= found[-1] < classes:
        fail(ValueError, "labels", f"every label in 0..{classes - 1}", f"values in {found[0]}..{found[-1]}")
    if every and len(found) < classes:
        fail(ValueError, "labels", f"each of 0..{classes - 1} at least once", f"{found}")
    return labels


def to_tensor(argument: str, images: object) -> Tensor:
    """Convert images to a tensor; an array is copied, because it may be a memory map of a file."""
    if not isinstance(images, Tensor | np.ndarray):
        fail(TypeError, argument, "images as a tensor or an array", describe(images))
    return torch.from_numpy(np.array(images)) if isinstance(images, np.ndarray) else images


def to_times(t: object, x: Tensor) -> Tensor:
    """Convert t to the tensor (B,) on x's device that models take; a single number is repeated for all images."""
    check_batch("x_t", x)
    t = t if isinstance(t, Tensor) and t.ndim else to_number(t)
    if isinstance(t, str) or not hasattr(t, "__len__"):
        return torch.full((len(x),), check_whole("t", t, 1), device=x.device)
    t = t if isinstance(t, Tensor) else to_whole_numbers("t", t, x.device)
    if t.dtype != torch.int64 or t.shape != x.shape[:1]:
        fail(ValueError, "t", f"a whole number or an int64 tensor of shape ({len(x)},)", describe(t))
    return t


@overload
def to_context(context: Tensor | Several, device: torch.device | str) -> Tensor: ...
@overload
def to_context(context: None, device: torch.device | str) -> None: ...
def to_context(context: object, device: torch.device | str) -> object:
    """Move a context to the device; a sequence or an array of labels becomes an int64 tensor."""
    if isinstance(context, Tensor):
        return check_dense("context", context, device).to(device)
    labels = isinstance(context, Sequence) and not isinstance(context, str) or hasattr(context, "dtype")
    return to_whole_numbers("context", context, device) if labels else context


def to_labels(context: object, device: torch.device | str) -> Tensor:
    """Convert a context of labels to a tensor on the device, and refuse anything else."""
    found = to_context(context, device)  # type: ignore[call-overload] # what it is, is seen here
    if not isinstance(found, Tensor) or found.ndim == 0:
        fail(TypeError, "context", "labels, one for each image", describe(context))
    return found


def to_path(argument: str, value: object) -> Path:
    """Convert a string or a path-like object to a Path."""
    if not isinstance(value, str | os.PathLike):
        fail(TypeError, argument, "a path", describe(value))
    if not os.fspath(value):
        fail(ValueError, argument, "a path", "an empty string", 'this folder is "."')
    return Path(value)


def check_shape(shape: object) -> tuple[int, ...]:
    """Check a shape of at least one axis, with whole numbers >= 1; the first is the number of images."""
    sizes: tuple[object, ...] = ()
    if isinstance(shape, Iterable) and not isinstance(shape, str) and getattr(shape, "ndim", True):
        sizes = tuple(shape)
    if not sizes:
        fail(TypeError, "shape", "one number for each axis, such as (16, 1, 8, 8)", describe(shape))
    return tuple(check_whole("shape", size, 1) for size in sizes)


def check_seeds(seed: Whole | Several | Tensor, count: int) -> int | list[int]:
    """Check a seed: one whole number for a batch, or a sequence with one for each of its images."""
    if isinstance(seed, list | tuple | range) or isinstance(seed, Tensor | np.ndarray) and seed.ndim:
        seeds = [check_whole("seed", own, 0, 2**63 - 1) for own in seed]
        if len(seeds) != count:
            fail(ValueError, "seed", f"one whole number, or {count}, one for each image", f"{len(seeds)} numbers")
        return seeds
    return check_whole("seed", seed, 0, 2**63 - 1)


def check_t(t: object, x: Tensor, T: int, argument: str = "t", *, every: bool = False) -> "int | Tensor":
    """Check that t is one whole number in 1..T, or one for each image of x, on x's device.

    The values of a tensor are checked on the CPU only, because reading them on a GPU would synchronise the device.

    Args:
        every: return an int64 tensor (B,) in any case, as models take it.
    """
    t = to_number(t)
    check_batch("x_t", x)
    if isinstance(t, Whole):
        t = check_whole(argument, t, 1, T)
        return to_times(t, x) if every else t
    expected = f"a whole number in 1..{T} or an int64 tensor of shape ({x.shape[0]},), one t per image"
    if not isinstance(t, Tensor):
        if isinstance(t, str) or not hasattr(t, "__len__"):
            fail(ValueError, argument, f"a whole number in 1..{T}", describe(t))
        t = to_whole_numbers(argument, t, x.device)
    if t.dtype != torch.int64:
        fail(TypeError, argument, expected, describe(t), "use t.long()")
    if t.shape != x.shape[:1]:
        fail(ValueError, argument, expected, describe(t))
    if t.device != x.device:
        fail(ValueError, argument, f"t on {x.device}, where x is", f"{t.device}", "use t.to(x.device)")
    check_span(argument, t, f"every t in 1..{T}", 1, T, COUNTED)
    return t


COUNTED = "this package counts t as the equations do, from 1 to T"


def check_span(argument: str, values: Tensor, expected: str, low: int, high: int, advice: str = "") -> None:
    """Check that all values lie in low..high, wherever they can be read at once.

    Reading them on a GPU would synchronise the device, a compiler cannot trace a branch on values, and torch.func.vmap
    has none to read.
    """
    if values.device.type == "cpu" and values.numel() and not torch.compiler.is_compiling():
        try:
            least, most = map(int, values.aminmax())
        except RuntimeError:
            return
        if not low <= least <= most <= high:
            fail(ValueError, argument, expected, f"values in {least}..{most}", advice)


def check_batch(argument: str, x: Any) -> None:
    """Check that x is a floating-point tensor whose first axis is the batch."""
    check_float(argument, x)
    if x.ndim == 0:
        fail(ValueError, argument, "a tensor whose first axis is the batch", describe(x))


def check_float(argument: str, x: Any) -> None:
    """Check that x is a floating-point tensor; for images of whole numbers, the error says how to scale them."""
    if not isinstance(x, Tensor):
        fail(TypeError, argument, "a floating-point tensor", describe(x), "convert an array with torch.as_tensor")
    if not x.is_floating_point():
        fail(
            TypeError,
            argument,
            "a floating-point tensor with values about [-1, 1]",
            describe(x),
            "for uint8 images use x.float() / 127.5 - 1",
        )
    if x.layout != torch.strided:
        check_dense(argument, x, "meta")


def check_alike(argument: str, value: Tensor, other_name: str, other: Tensor) -> None:
    """Check that value has the shape and device of other, so that nothing is broadcast silently."""
    check_float(argument, value)
    if value.shape != other.shape:
        fail(ValueError, argument, f"the shape of {other_name}, {tuple(other.shape)}", describe(value))
    if value.device != other.device:
        fail(ValueError, argument, f"{other_name}'s device, {other.device}", f"{value.device}")


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


def check_place(device: object, dtype: object, *, meta: bool = False) -> torch.device:
    """Check that this machine has the device and that dtype is a floating-point type; return the device."""
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        fail(TypeError, "dtype", "a type of floats, such as torch.float32", describe(dtype))
    expected = 'a device that this machine has, such as "cpu"'
    if not isinstance(device, str | int | torch.device) or isinstance(device, bool):
        fail(TypeError, "device", expected, describe(device))
    try:
        place = torch.empty(0, device=device).device
    except (RuntimeError, TypeError, ValueError, AssertionError, NotImplementedError):
        fail(ValueError, "device", expected, describe(device))
    if place.type == "meta" and not meta:
        fail(ValueError, "device", expected, "the meta device, where tensors hold no numbers")
    return place


def check_attention(q: Tensor, k: Tensor, *values: Tensor) -> None:
    """Check that queries and keys have one width, and that there is a value for each key."""
    for name, value in zip("qkv", (q, k, *values), strict=False):
        check_float(name, value)
        if value.ndim < 2:
            fail(ValueError, name, "shape (..., tokens, width)", describe(value))
        if value.shape[:-2] != q.shape[:-2]:
            fail(ValueError, name, f"the batch axes of q, {tuple(q.shape[:-2])}", describe(value))
        if (value.dtype, value.device) != (q.dtype, q.device):
            fail(TypeError, name, f"{q.dtype} on {q.device}, as q is", f"{value.dtype} on {value.device}")
    if q.shape[-1] != k.shape[-1]:
        fail(ValueError, "k", f"the width of q, {q.shape[-1]}", describe(k))
    for v in values:
        if k.shape[-2] != v.shape[-2]:
            fail(ValueError, "v", f"one for each of {k.shape[-2]} keys", describe(v))


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


def check_tokens(h: Tensor, context: Tensor | None, channels: int, context_dim: int | None) -> None:
    """Check the input of `MultiHeadAttention`."""
    check_float("h", h)
    if h.ndim != 4 or h.shape[1] != channels:
        fail(ValueError, "h", f"shape (B, {channels}, H, W)", describe(h))
    expected = "None in self-attention" if context_dim is None else f"(B, tokens, {context_dim})"
    if (context is None) != (context_dim is None):
        fail(ValueError, "context", expected, describe(context))
    if context is not None:
        check_float("context", context)
        if context.ndim != 3 or context.shape[0] != h.shape[0] or context.shape[2] != context_dim:
            fail(ValueError, "context", expected, describe(context))


def check_nll(x_0: Tensor, mean: Tensor, std: object, levels: object) -> tuple[float, int]:
    """Check the arguments of `decoder_nll`, and return the last two."""
    check_float("x_0", x_0)
    check_alike("mean", mean, "x_0", x_0)
    return check_real("std", std, 0, 1e12, ends="(]"), check_whole("levels", levels, 2)


def check_kind(argument: str, value: object, kind: Any) -> Any:
    """Check that a value is an instance of a class, and return it."""
    if not isinstance(value, kind):
        fail(TypeError, argument, f"a {getattr(kind, '__name__', kind)}", describe(value))
    return value


def check_positions(t: Tensor, width: object, freq_shift: object) -> tuple[int, int]:
    """Check positions (B,), and the width and shift of their embedding; return these two."""
    if not isinstance(t, Tensor) or t.ndim != 1 or t.is_complex() or t.dtype == torch.bool:
        fail(TypeError, "t", "an int64 tensor of shape (B,)", describe(t))
    width = check_whole("width", width, 4, 2**20)
    if width % 2:
        fail(ValueError, "width", "an even number >= 4", f"{width}")
    return width, check_whole("freq_shift", freq_shift, 0, 1)


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
        fail(ValueError, "x_t", expected, describe(x_t), "pad the images or use fewer levels")
    check_span("t", t, "every t >= 1", 1, LARGEST, COUNTED)
    dim = config.context_dim
    if dim is None and context is not None:
        fail(ValueError, "context", "None, as the config has no context_dim", describe(context))
    if dim and (not isinstance(context, Tensor) or context.ndim != 3 or context.shape[0::2] != (x_t.shape[0], dim)):
        fail(ValueError, "context", f"shape ({len(x_t)}, tokens, {dim}), a row for each image", describe(context))


def check_encoder(unet, encoder) -> None:
    """Check that the label encoder's tokens have the width of the U-Net's context."""
    for name, part, field, kind in (("unet", unet, "config", "UNet"), ("encoder", encoder, "width", "LabelEncoder")):
        if not hasattr(part, field):
            fail(TypeError, name, f"a {kind}", type(part).__name__)
    if unet.config.context_dim != encoder.width:
        fail(ValueError, "encoder", f"width {unet.config.context_dim}, the U-Net's context_dim", f"{encoder.width}")


def check_loss(model: object, weight: Callable | Tensor | Several | None, schedule) -> Tensor | None:
    """Check the model and the weights of `ddpm_loss`; return the weights as a table."""
    check_model(model)
    return tabulate_weight(weight, schedule)


def check_none(none: object) -> int | Tensor:
    """Check the context that means "no label", a number or tokens, and return it."""
    if isinstance(none, Tensor) and none.ndim in (2, 3):
        check_float("none", none)
        return none
    if isinstance(to_number(none), bool) or not isinstance(to_number(none), Whole):
        fail(TypeError, "none", 'the number of "no label", or tokens (tokens, width)', describe(none))
    return check_whole("none", none, 0)


def repeat_none(none: int | Tensor, context: Tensor) -> Tensor:
    """Repeat the context that means "no label" for each image of a batch with this context."""
    if not isinstance(none, Tensor):
        return torch.full_like(context, none)
    if none.shape[-2:] != context.shape[1:] or none.ndim == 3 and len(none) not in (1, len(context)):
        expected = f"tokens of the context's shape, {tuple(context.shape[1:])} for all images"
        fail(ValueError, "none", expected, describe(none))
    return none.to(context).expand_as(context)


def check_mixture(means: object, stds: object, weights: object | None) -> dict[str, Tensor]:
    """Check the components of a `GaussianMixture`, and return them in float64."""
    found = {"means": to_table("means", means).double(), "stds": to_table("stds", stds).double()}
    if found["means"].ndim < 2 or not torch.isfinite(found["means"]).all():
        expected = "finite means of shape (K, n), one row per component"
        fail(ValueError, "means", expected, describe(means))
    K = len(found["means"])
    found["weights"] = torch.full((K,), 1 / K).double() if weights is None else to_table("weights", weights).double()
    for name in ("stds", "weights"):
        value = found[name]
        if value.shape != (K,) or not (torch.isfinite(value) & (value > 0)).all():
            fail(ValueError, name, f"{K} finite numbers > 0, one per component", f"{value.tolist()}")
    total = found["weights"].sum()
    if abs(total - 1) > 1e-6:
        fail(ValueError, "weights", "a sum of 1", f"{total:g}", "divide them by their sum")
    return found | {"weights": found["weights"] / total}


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


def check_rate(lr: Callable | None) -> Callable[[int], float] | None:
    """Wrap a learning rate, a function of the step, so that each value is checked."""
    if lr is None:
        return None
    check_call("lr", lr, "(step) -> learning rate")
    return lambda step: check_real("lr", lr(step), 0, math.inf)


def check_output(z_hat: object, x_t: Tensor, argument: str = "the model's output") -> Tensor:
    """Check that the output of a model, or of a step, is a tensor with the shape and device of x_t."""
    if not isinstance(z_hat, Tensor):
        theirs = hasattr(z_hat, "sample")  # the output class of diffusers
        advice = "pass a diffusers network as from_diffusers(model)" if theirs else ""
        fail(TypeError, argument, "a tensor of x_t's shape", type(z_hat).__name__, advice)
    check_alike(argument, z_hat, "x_t", x_t)
    return z_hat


def check_gradient(loss: Tensor) -> Tensor:
    """Check that a loss can be differentiated, and return it."""
    if not loss.requires_grad:
        expected, got = "a tensor with a gradient to the parameters", "one without"
        advice = "use no detach() or no_grad() in the model, nor train under torch.no_grad()"
        fail(ValueError, "the model's output", expected, got, advice)
    return loss


def check_states(states: Any) -> Iterable:
    """Check that a value can be walked through, and is no image, word or dictionary."""
    if not hasattr(states, "__iter__") or isinstance(
        states, str | bytes | dict | set | Tensor | np.ndarray | np.generic
    ):
        fail(TypeError, "states", "the states that sample or train yields", describe(states))
    return states


def check_images(argument: str, x: Tensor) -> None:
    """Check a data set: float images (N, C, H, W) in [-1, 1], or finite floats with another number of axes, >= 2.

    This reads every value, so call it once.
    """
    check_float(argument, x)
    if x.ndim < 2 or x.numel() == 0:
        fail(ValueError, argument, "a non-empty tensor of images (N, C, H, W) or points (N, d)", describe(x))
    if not torch.isfinite(x).all():
        bad = int((~torch.isfinite(x)).flatten(1).any(dim=1).nonzero()[0])
        fail(ValueError, argument, "finite values", f"NaN or infinity in image {bad}")
    low, high = (float(x.min()), float(x.max())) if x.ndim == 4 else (0.0, 0.0)
    if low < -1.001 or high > 1.001:
        fail(
            ValueError,
            argument,
            "values in [-1, 1]",
            f"values in [{low:g}, {high:g}]",
            "scale them: from [0, 1] by 2 * x - 1, from [0, 255] by x / 127.5 - 1",
        )


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
