"""Checks of tensors: images, times, labels and contexts, and the inputs of attention and of the oracles."""

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from ddpm_lite._check.values import Several, Whole, check_kind, check_real, check_whole, describe, fail, to_number

Time = Whole | Several | Int64[Tensor, "..."]  # one time for all images, or one for each
COUNTED = "this package counts t as the equations do, from 1 to T"


def check_float(argument: str, x: Any) -> None:
    """Check that x is a floating-point tensor; for images of whole numbers, the error says how to scale them."""
    if not isinstance(x, Tensor):
        fail(TypeError, argument, "a floating-point tensor", describe(x), "convert an array with torch.as_tensor")
    if not x.is_floating_point():
        kind = str(x.dtype).removeprefix("torch.")
        scale = {"bool": "x.float() * 2 - 1", "int16": "x.float() / 32768", "uint16": "x.float() / 32767.5 - 1"}
        kind = kind if kind in scale else "uint8"
        advice = f"for {kind} images use {scale.get(kind, 'x.float() / 127.5 - 1')}"
        fail(TypeError, argument, "a floating-point tensor with values about [-1, 1]", describe(x), advice)
    if x.layout != torch.strided:
        check_dense(argument, x, "meta")


def check_batch(argument: str, x: Any) -> None:
    """Check that x is a floating-point tensor whose first axis is the batch."""
    check_float(argument, x)
    if x.ndim == 0:
        fail(ValueError, argument, "a tensor whose first axis is the batch", describe(x))


def check_dense(argument: str, x: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """Check that a tensor holds a number in each place: not sparse, nor on the meta device if needed elsewhere."""
    if x.layout != torch.strided or x.is_meta and torch.device(device).type != "meta":
        advice = "use x.to_dense()" if x.layout != torch.strided else ""
        fail(ValueError, argument, "a dense tensor that holds numbers", f"{describe(x)} on {x.device}", advice)
    return x


def check_finite(argument: str, x: Tensor) -> Tensor:
    """Check that no value is NaN or infinite, and return the tensor."""
    if not torch.isfinite(x).all():
        fail(ValueError, argument, "finite values", "NaN or infinity")
    return x


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


def check_alike(argument: str, value: Tensor, other_name: str, other: Tensor) -> None:
    """Check that value has the shape and device of other, so that nothing is broadcast silently."""
    check_float(argument, value)
    if value.shape != other.shape:
        fail(ValueError, argument, f"the shape of {other_name}, {tuple(other.shape)}", describe(value))
    if value.device != other.device:
        fail(ValueError, argument, f"{other_name}'s device, {other.device}", f"{value.device}")


def check_images(argument: str, x: Tensor) -> tuple[float, float]:
    """Check a data set: float images (N, C, H, W) in [-1, 1], or finite floats with another number of axes, >= 2.

    This reads every value, so call it once.

    Returns:
        The smallest and the largest value of images, and 0 for others.
    """
    check_float(argument, x)
    check_dense(argument, x)
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
    return low, high


def to_table(argument: str, value: object) -> Tensor:
    """Convert a tensor, an array or a sequence of numbers to a tensor; Python's floats stay in float64."""
    value = value.copy() if isinstance(value, np.ndarray) else value  # PyTorch takes none that runs backwards
    try:
        table = torch.as_tensor(value, dtype=None if hasattr(value, "dtype") else torch.float64).detach()
    except (TypeError, ValueError, RuntimeError):
        table = None
    if table is None or table.is_complex():
        fail(TypeError, argument, "a tensor, an array or a sequence of numbers", describe(value))
    return check_dense(argument, table)


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


def check_stored(argument: str, images: object) -> Tensor | np.ndarray:
    """Check that images are a dense tensor or an array, and return them."""
    if not isinstance(images, Tensor | np.ndarray):
        fail(TypeError, argument, "images as a tensor or an array", describe(images))
    return check_dense(argument, images) if isinstance(images, Tensor) else images


def to_tensor(argument: str, images: object) -> Tensor:
    """Convert images to a tensor; an array is copied, because it may be a memory map of a file."""
    stored = check_stored(argument, images)
    return torch.from_numpy(np.array(stored)) if isinstance(stored, np.ndarray) else stored


def to_whole_numbers(argument: str, value: object, device: torch.device | str | None = None) -> Tensor:
    """Convert a list, tuple or array of whole numbers to an int64 tensor on the device; None is where they are."""
    value = value.copy() if isinstance(value, np.ndarray) else value  # PyTorch takes none that runs backwards
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        tensor = None
    if tensor is None or tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        items = value.ravel() if isinstance(value, np.ndarray) else value if isinstance(value, list | tuple) else ()
        advice = "number them: words = sorted(set(labels)), [words.index(word) for word in labels]"
        advice = advice if argument == "labels" and len(items) and isinstance(items[0], str) else ""
        fail(TypeError, argument, "whole numbers, as an int64 tensor or a sequence", describe(value), advice)
    return check_dense(argument, tensor).to(device or tensor.device, torch.int64)


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


def check_numbers(argument: str, labels: object) -> Tensor:
    """Check that labels are an int64 tensor of one dimension; their values are not read."""
    check_kind(argument, labels, Tensor)
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.ndim != 1:
        fail(ValueError, argument, "an int64 tensor of shape (B,)", describe(labels))
    return labels


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


def check_positions(t: Tensor, width: object, freq_shift: object) -> tuple[int, int]:
    """Check positions (B,), and the width and shift of their embedding; return these two."""
    if not isinstance(t, Tensor) or t.ndim != 1 or t.is_complex() or t.dtype == torch.bool:
        fail(TypeError, "t", "an int64 tensor of shape (B,)", describe(t))
    width = check_whole("width", width, 4, 2**20)
    if width % 2:
        fail(ValueError, "width", "an even number >= 4", f"{width}")
    return width, check_whole("freq_shift", freq_shift, 0, 1)


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


def check_levels(levels: object) -> Tensor:
    """Check noise levels of any shape, and return them in float64."""
    table = to_table("levels", levels).double()
    if not ((table >= 0) & table.isfinite()).all():
        fail(ValueError, "levels", "finite numbers >= 0", describe(levels))
    return table


def check_rising(levels: object) -> Tensor:
    """Check the noise levels of a schedule, and return them in float64."""
    table = to_table("levels", levels).double()
    if table.ndim != 1 or len(table) < 2 or table[0] != 0 or not ((table.diff() > 0) & table[1:].isfinite()).all():
        fail(ValueError, "levels", "at least 2 finite numbers that increase from 0", describe(levels))
    return table


def check_errors(errors: object, weight: Tensor) -> Tensor:
    """Check that there is an error for each entry of a table of weights, and return them as a tensor."""
    (error,) = to_values(errors=errors)
    if error.shape != weight.shape:
        fail(ValueError, "errors", f"T + 1 = {len(weight)} of them, for t = 0..T", describe(errors))
    return error


def check_nll(x_0: Tensor, mean: Tensor, std: object, levels: object) -> tuple[float, int]:
    """Check the arguments of `decoder_nll`, and return the last two."""
    check_float("x_0", x_0)
    check_alike("mean", mean, "x_0", x_0)
    return check_real("std", std, 0, 1e12, ends="(]"), check_whole("levels", levels, 2)


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
