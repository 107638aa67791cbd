"""Export a trained network as a script for web pages, in which the browser computes what PyTorch computes.

    python -m ddpm_lite export-page digits --out digits.js

The network is not implemented a second time. Its forward pass runs once, and the PyTorch functions that it calls are
recorded in order with their arguments; viz/js/shared/unet.js executes this list. It supports a dozen functions (SPELT
below), and a network that calls another one is refused with that function's name.

A small network's weights are float16. Those of a large one would make a file of several MB, so each row of a matrix,
the weights of one output, is rounded to the 89 multiples k s with k = -44..44 of a step s of its own. The number k is
one printable character of the file; s, and the weights of biases and norms, are float16.
"""

import hashlib
import inspect
import json
from base64 import b64encode
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ddpm_lite._check import fail
from ddpm_lite.condition import ConditionalUNet
from ddpm_lite.files.weights import get_unet
from ddpm_lite.sampler import evaluating
from ddpm_lite.schedule import Schedule
from ddpm_lite.unet import UNet

FORMS = {"float16": 1, "levels": 2}  # the versions of the file format by the kind of weights; pages refuse others
LARGE = 500_000  # a network with more weights gets levels; in float16 its file would have more than 1.3 MB
# The levels from the least to the greatest; no character ends a text of a script, or stands for another.
LEVELS = "".join(sign for sign in map(chr, range(33, 127)) if sign not in "\"'\\<`")
MOST = len(LEVELS) // 2


def export_page(name: str, model: UNet | ConditionalUNet, schedule: Schedule, weights: str | None = None) -> str:
    """Write the script: weights in base64 or as characters, the list of functions, and the schedule in float64.

    It passes to the page a name, a checksum, and JSON with the fields "config"; "labels", their number; "beta";
    "inputs", "weights" and "constants" with their shapes, the last with the frequencies of the time embedding;
    "operations"; "float16", the weights; and "sha256", that of their bytes. In a file with "levels", the multiples of
    all matrices, "float16" has the steps of a matrix's rows instead of its weights. Equal networks give equal scripts.

    Args:
        name: the name of the network on pages.
        model: a U-Net without a context, or with a label encoder.
        schedule: the schedule that it was trained with.
        weights: "float16" or "levels"; None chooses by the number of weights.

    Raises:
        ValueError: a network that calls an unsupported PyTorch function, or weights outside float16's range.
    """
    kind = choose_weights(model, weights)
    model = round_as_page(model, kind)
    content = {
        "form": FORMS[kind],
        "name": name,
        "config": asdict(get_unet(model).config),
        "labels": count_labels(model),
        "beta": encode(schedule.beta.cpu().numpy(), "<f8"),
        **record_network(model),
        **_encode_weights(model, kind),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"window.ddpmWidgets.file({json.dumps(name)},{compute_checksum(text)},'{text}');\n"


def split_script(script: str) -> tuple[int, str]:
    """Split a script of `export_page` into its checksum and its JSON."""
    _, written, text = script.split(",", 2)
    return int(written), text.removeprefix("'").removesuffix("');\n")


def count_labels(model: UNet | ConditionalUNet) -> int:
    """Count the labels of a network; 0 if it takes none."""
    return model.encoder.labels if isinstance(model, ConditionalUNet) else 0


def compute_checksum(text: str) -> int:
    """Compute FNV-1a, 32 bits, of ASCII text, to detect a damaged file (a forged file could have the right sum)."""
    value = 0x811C9DC5
    for byte in text.encode("ascii"):
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def encode(values: np.ndarray, dtype: str) -> str:
    return b64encode(np.ascontiguousarray(values).astype(dtype).tobytes()).decode()


def choose_weights(model: UNet | ConditionalUNet, weights: str | None = None) -> str:
    """Choose how a page gets the weights, "float16" or "levels".

    Raises:
        ValueError: not a U-Net that pages support, or another kind of weights.
    """
    unet = get_unet(model)
    if not isinstance(unet, UNet):
        fail(ValueError, "model", "a UNet or a ConditionalUNet", type(model).__name__)
    if unet is model and unet.config.context_dim:
        fail(
            ValueError,
            "model",
            "a ConditionalUNet, because the context has to come from labels",
            "a UNet with context_dim",
        )
    if weights is None:
        return "levels" if sum(weight.numel() for weight in model.parameters()) > LARGE else "float16"
    if weights not in FORMS:
        fail(ValueError, "weights", f"one of {', '.join(FORMS)}, or None", repr(weights))
    return weights


def round_as_page(model: UNet | ConditionalUNet, weights: str | None = None) -> UNet | ConditionalUNet:
    """Copy a model, with the weights that the page has, stored in float32. Rounding twice changes nothing more.

    Raises:
        ValueError: not a U-Net that pages support, or weights outside float16's range.
    """
    kind = choose_weights(model, weights)
    model = deepcopy(model).cpu().eval()
    for name, weight in model.state_dict().items():
        if not torch.isfinite(weight.half()).all():
            fail(ValueError, name, "weights of at most 65504, the largest float16", "larger weights, or NaN")
        if kind == "levels" and weight.ndim > 1:
            multiples, step = _round_rows(weight)
            weight.copy_((multiples * step).reshape(weight.shape))
        else:
            weight.copy_(weight.half().float())
    return model


def _round_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row of a matrix to multiples of its own step: -MOST..MOST (rows, columns), and the steps (rows, 1)."""
    rows = weight.flatten(1)
    step = (rows.abs().amax(1, keepdim=True) / MOST).half().float()
    multiples = torch.where(step > 0, rows / step, 0.0).round().clamp(-MOST, MOST)
    return multiples, step


def _encode_weights(model: UNet | ConditionalUNet, kind: str) -> dict:
    """Encode the weights of a rounded model: the fields "float16" and, for rounded matrices, "levels"."""
    levels, halves = [], []
    for weight in model.state_dict().values():
        if kind == "levels" and weight.ndim > 1:
            multiples, step = _round_rows(weight)
            levels.append(multiples.numpy().ravel())
            halves.append(step.numpy().ravel())
        else:
            halves.append(weight.numpy().ravel())
    floats = np.concatenate(halves).astype("<f2")
    signs = np.frombuffer(LEVELS.encode(), np.uint8)[np.concatenate([np.empty(0), *levels]).astype(int) + MOST]
    digest = hashlib.sha256(floats.tobytes() + signs.tobytes()).hexdigest()
    encoded = {"float16": encode(floats, "<f2"), "sha256": digest}
    return encoded | ({"levels": signs.tobytes().decode()} if kind == "levels" else {})


# The supported PyTorch functions by name, and how a call is recorded: as (operation, tensors, settings). Parameters
# with a default here must have that value, because pages support no other.


def _conv2d(input, weight, bias, stride, padding, dilation=(1, 1), groups=1):
    return "conv2d", (input, weight, bias), {"stride": list(stride), "padding": list(padding)}


def _group_norm(input, num_groups, weight, bias, eps):
    return "group_norm", (input, weight, bias), {"groups": num_groups, "eps": eps}


def _attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    return "scaled_dot_product_attention", (query, key, value), {}


def _interpolate(
    input, scale_factor, size=None, mode="nearest", align_corners=None, recompute_scale_factor=None, antialias=False
):
    return "interpolate", (input,), {"scale": scale_factor}


def _pad(input, pad, mode="constant", value=None):
    return "pad", (input,), {"pad": list(pad)}


def _cat(tensors, dim):
    return "cat", tuple(tensors), {"axis": dim % tensors[0].ndim}


def _transpose(input, dim0, dim1):
    return "transpose", (input,), {"axes": [dim0 % input.ndim, dim1 % input.ndim]}


def _getitem(input, index):
    new_axes_only = all(i is None or i == slice(None) for i in (index if isinstance(index, tuple) else (index,)))
    return ("reshape" if new_axes_only else "__getitem__"), (input,), {}


def _dropout(input, p, training=False, inplace=False):
    return "reshape", (input,), {}


def _reshape(input, *shape):
    return "reshape", (input,), {}


def _linear(input, weight, bias):
    return "linear", (input, weight, bias), {}


def _embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False):
    return "embedding", (input, weight), {}


def _silu(input, inplace=False):
    return "silu", (input,), {}


def _elementwise(name: str) -> Callable:
    return lambda *operands: (name, operands, {})


SPELT: dict[str, Callable[..., tuple[str, tuple, dict]]] = {
    "conv2d": _conv2d,
    "group_norm": _group_norm,
    "silu": _silu,
    "linear": _linear,
    "embedding": _embedding,
    "scaled_dot_product_attention": _attention,
    "interpolate": _interpolate,
    "pad": _pad,
    "cat": _cat,
    "transpose": _transpose,
    "__getitem__": _getitem,
    "dropout": _dropout,
    **dict.fromkeys(("reshape", "flatten", "unflatten", "float", "to"), _reshape),
    **{name: _elementwise(name) for name in ("sin", "cos", "add", "sub", "mul")},
}
# Those that unet.js implements; the others only change a shape.
OPERATIONS = SPELT.keys() - {"__getitem__", "dropout", "flatten", "unflatten", "float", "to"}


def _list_tensors(value: object) -> list[Tensor]:
    """List the tensors in a value, a list, a tuple or a dict."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for part in value for tensor in _list_tensors(part)]
    return [value] if isinstance(value, Tensor) else []


class _Recorder(TorchFunctionMode):
    """Records every call of a PyTorch function that returns a tensor."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if _list_tensors(result):
            self.calls.append((function.__name__, args, kwargs or {}, result))
        return result


def record_network(model: UNet | ConditionalUNet) -> dict:
    """Record what the network computes: its values, numbered as inputs, weights, constants and results, and operations.

    An operation is [name, numbers of its operands, shape of its result, settings]; results are in their order.
    """
    config = get_unet(model).config
    size = config.in_channels, config.sample_size, config.sample_size
    inputs = {"x_t": torch.zeros(1, *size), "t": torch.ones(1, dtype=torch.int64)}
    if isinstance(model, ConditionalUNet):
        inputs["label"] = torch.zeros(1, dtype=torch.int64)
    with evaluating(model), torch.no_grad(), _Recorder() as recorder:
        output = model(*inputs.values())
    calls = _select_needed(recorder.calls, list(inputs.values()), output)
    weights = model.state_dict(keep_vars=True)
    numbers = {id(tensor): i for i, tensor in enumerate((*inputs.values(), *weights.values()))}
    spelt = [(*_spell(call), call[-1]) for call in calls]
    results = {id(result) for *_, result in spelt}
    constants: list[Tensor] = []
    for _, operands, _, _ in spelt:
        for operand in operands:  # `spelt` keeps the tensors alive, so ids are unique
            if id(operand) not in numbers and id(operand) not in results:
                numbers[id(operand)] = len(inputs) + len(weights) + len(constants)
                constants.append(operand)
    operations = []
    for name, operands, settings, result in spelt:
        operations.append([name, [numbers[id(operand)] for operand in operands], list(result.shape), settings])
        numbers[id(result)] = len(inputs) + len(weights) + len(constants) + len(operations) - 1
    return {
        "inputs": [[name, list(tensor.shape)] for name, tensor in inputs.items()],
        "weights": [[name, list(tensor.shape)] for name, tensor in weights.items()],
        "constants": [[list(tensor.shape), encode(tensor.double().numpy(), "<f8")] for tensor in constants],
        "operations": operations,
        "output": numbers[id(output)],
    }


def _select_needed(calls: list[tuple], inputs: list[Tensor], output: Tensor) -> list[tuple]:
    """Select the calls between the inputs and the output; results that depend on no input become constants."""
    changing, wanted, kept = {id(tensor) for tensor in inputs}, {id(output)}, []
    for _, args, kwargs, result in calls:
        if any(id(tensor) in changing for tensor in _list_tensors([args, kwargs])):
            changing |= {id(tensor) for tensor in _list_tensors(result)}
    for call in reversed(calls):
        made = {id(tensor) for tensor in _list_tensors(call[-1])}
        if made & wanted & changing:
            kept.append(call)
            wanted |= {id(tensor) for tensor in _list_tensors(call[1:3])}
    return kept[::-1]


def _spell(call: tuple) -> tuple[str, list[Tensor], dict]:
    """Convert a call to the form that pages execute.

    Raises:
        ValueError: pages do not support the function, or not with these arguments.
    """
    name, args, kwargs, result = call
    spell = SPELT.get(name)
    known = f"a network of the functions that shared/unet.js supports: {', '.join(sorted(SPELT))}"
    if spell is None or not isinstance(result, Tensor):
        fail(ValueError, "model", known, f"a call of {name}")
    try:
        bound = inspect.signature(spell).bind(*args, **kwargs)
        other = [k for k, v in bound.signature.parameters.items() if _is_changed(v, bound.arguments.get(k, v.default))]
        operation, operands, settings = spell(*bound.args, **bound.kwargs)
    except TypeError:
        other = ["such arguments"]
    if other or operation not in OPERATIONS or any(operand is None for operand in operands):
        words = ", ".join(other) or "these tensors"
        fail(ValueError, "model", known, f"a call of {name} with {words}")
    tensors = [o if isinstance(o, Tensor) else torch.tensor(float(o)) for o in operands]
    to_whole = not result.is_floating_point() and any(o.is_floating_point() for o in tensors if o.ndim)
    if to_whole or operation == "reshape" and result.numel() != tensors[0].numel():
        fail(ValueError, "model", known, f"a call of {name} that does more than reshape")
    return operation, tensors, settings


def _is_changed(parameter: inspect.Parameter, value: object) -> bool:
    """Say whether an argument that pages do not support differs from the value that it must have."""
    return parameter.default is not parameter.empty and value != parameter.default
