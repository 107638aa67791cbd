"""A trained network as a script that a page can load, for a browser that computes what PyTorch computes.

    python -m ddpm_lite export-page digits --out digits.js

What the network does is not written down a second time. Its forward pass runs once, and the PyTorch functions that it
calls are written down in their order, with what they were given; viz/js/shared/unet.js plays them back. It knows a
dozen functions (SPELT below). A network that calls another one is refused by that function's name.
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

FORM = 1  # of the file; the page refuses another


def export_page(name: str, model: UNet | ConditionalUNet, schedule: Schedule) -> str:
    """The script: weights as float16 in base64, the list of functions, and the schedule in float64.

    It hands host.js a name, a checksum, and JSON: "config"; "labels", how many; "beta"; "inputs", "weights" and
    "constants" with their shapes, the time embedding's frequencies among the last; "operations"; "float16", the
    weights, and "sha256", of their bytes. Equal networks give equal scripts.

    Args:
        name: what the page calls it.
        model: a U-Net without a context, or with a label encoder.
        schedule: the one that it was trained with.

    Raises:
        ValueError: a network that calls a PyTorch function which the page does not know, weights beyond float16.
    """
    model = halved(model)
    content = {
        "form": FORM,
        "name": name,
        "config": asdict(get_unet(model).config),
        "labels": count_labels(model),
        "beta": _base64(schedule.beta.cpu().numpy(), "<f8"),
        **_network(model),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"window.ddpmWidgets.file({json.dumps(name)},{checksum(text)},'{text}');\n"


def text_of(script: str) -> tuple[int, str]:
    """The checksum and the JSON in a script of `export_page`."""
    _, written, text = script.split(",", 2)
    return int(written), text.removeprefix("'").removesuffix("');\n")


def count_labels(model: UNet | ConditionalUNet) -> int:
    """How many labels a network knows; 0 if it takes none."""
    return model.encoder.labels if isinstance(model, ConditionalUNet) else 0


def checksum(text: str) -> int:
    """FNV-1a, 32 bits, of ASCII text: finds a damaged file. Against a forged one no sum inside it could help."""
    value = 0x811C9DC5
    for byte in text.encode("ascii"):
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def _base64(values: np.ndarray, dtype: str) -> str:
    return b64encode(np.ascontiguousarray(values).astype(dtype).tobytes()).decode()


def halved(model: UNet | ConditionalUNet) -> UNet | ConditionalUNet:
    """A copy in float32, with weights rounded to float16: what the page computes with.

    Raises:
        ValueError: not a U-Net that the page can have, or weights beyond float16.
    """
    unet = get_unet(model)
    if not isinstance(unet, UNet):
        fail(ValueError, "model", "a UNet or a ConditionalUNet", type(model).__name__)
    if unet is model and unet.config.context_dim:
        fail(
            ValueError, "model", "a ConditionalUNet, as its context has to come from labels", "a UNet with context_dim"
        )
    model = deepcopy(model).cpu().eval()
    for name, weight in model.state_dict().items():
        rounded = weight.half().float()
        if not torch.isfinite(rounded).all():
            fail(ValueError, name, "weights within float16's 65504", "larger ones, or NaN")
        weight.copy_(rounded)
    return model


# What the page knows: PyTorch's functions by name, and how a call is written down, as (operation, tensors, settings).
# Parameters with a default here must have that value, as the page has no other.


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


def _same(input, *shape):
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
    **dict.fromkeys(("reshape", "flatten", "unflatten", "float", "to"), _same),
    **{name: _elementwise(name) for name in ("sin", "cos", "add", "sub", "mul")},
}
OPERATIONS = SPELT.keys() - {"__getitem__", "dropout", "flatten", "unflatten", "float", "to"}  # what unet.js has


def _tensors(value: object) -> list[Tensor]:
    """The tensors in a value, a list, a tuple or a dict."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for part in value for tensor in _tensors(part)]
    return [value] if isinstance(value, Tensor) else []


class _Listener(TorchFunctionMode):
    """Writes down every call of a PyTorch function that gives a tensor."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if _tensors(result):
            self.calls.append((function.__name__, args, kwargs or {}, result))
        return result


def _network(model: UNet | ConditionalUNet) -> dict:
    """What the network computes: values, numbered inputs first, then weights, constants and results; operations.

    An operation is [name, numbers of its operands, shape of its result, settings]; the first makes the first result.
    """
    config = get_unet(model).config
    size = config.in_channels, config.sample_size, config.sample_size
    inputs = {"x_t": torch.zeros(1, *size), "t": torch.ones(1, dtype=torch.int64)}
    if isinstance(model, ConditionalUNet):
        inputs["label"] = torch.zeros(1, dtype=torch.int64)
    with evaluating(model), torch.no_grad(), _Listener() as heard:
        output = model(*inputs.values())
    calls = _needed(heard.calls, list(inputs.values()), output)
    weights = model.state_dict(keep_vars=True)
    numbers = {id(tensor): i for i, tensor in enumerate((*inputs.values(), *weights.values()))}
    spelt = [(*_spelt(call), call[-1]) for call in calls]
    results = {id(result) for *_, result in spelt}
    constants: list[Tensor] = []
    for _, operands, _, _ in spelt:
        for operand in operands:  # the tensors are alive in `spelt`, so that an id means one of them
            if id(operand) not in numbers and id(operand) not in results:
                numbers[id(operand)] = len(inputs) + len(weights) + len(constants)
                constants.append(operand)
    operations = []
    for name, operands, settings, result in spelt:
        operations.append([name, [numbers[id(operand)] for operand in operands], list(result.shape), settings])
        numbers[id(result)] = len(inputs) + len(weights) + len(constants) + len(operations) - 1
    halves = np.concatenate([weight.detach().numpy().ravel() for weight in weights.values()]).astype("<f2")
    return {
        "inputs": [[name, list(tensor.shape)] for name, tensor in inputs.items()],
        "weights": [[name, list(tensor.shape)] for name, tensor in weights.items()],
        "float16": _base64(halves, "<f2"),
        "sha256": hashlib.sha256(halves.tobytes()).hexdigest(),
        "constants": [[list(tensor.shape), _base64(tensor.double().numpy(), "<f8")] for tensor in constants],
        "operations": operations,
        "output": numbers[id(output)],
    }


def _needed(calls: list[tuple], inputs: list[Tensor], output: Tensor) -> list[tuple]:
    """The calls on the way from the inputs to the output. What depends on no input is a constant, not a call."""
    changing, wanted, kept = {id(tensor) for tensor in inputs}, {id(output)}, []
    for _, args, kwargs, result in calls:
        if any(id(tensor) in changing for tensor in _tensors([args, kwargs])):
            changing |= {id(tensor) for tensor in _tensors(result)}
    for call in reversed(calls):
        made = {id(tensor) for tensor in _tensors(call[-1])}
        if made & wanted & changing:
            kept.append(call)
            wanted |= {id(tensor) for tensor in _tensors(call[1:3])}
    return kept[::-1]


def _spelt(call: tuple) -> tuple[str, list[Tensor], dict]:
    """A call as the page plays it back.

    Raises:
        ValueError: the page does not know the function, or not with these arguments.
    """
    name, args, kwargs, result = call
    spell, known = SPELT.get(name), f"a network of the functions that shared/unet.js knows: {', '.join(sorted(SPELT))}"
    if spell is None or not isinstance(result, Tensor):
        fail(ValueError, "model", known, f"a call of {name}")
    try:
        bound = inspect.signature(spell).bind(*args, **kwargs)
        other = [k for k, v in bound.signature.parameters.items() if _changed(v, bound.arguments.get(k, v.default))]
        operation, operands, settings = spell(*bound.args, **bound.kwargs)
    except TypeError:
        other = ["such arguments"]
    if other or operation not in OPERATIONS or any(operand is None for operand in operands):
        words = ", ".join(other) or "these tensors"
        fail(ValueError, "model", known, f"a call of {name} with {words}")
    tensors = [o if isinstance(o, Tensor) else torch.tensor(float(o)) for o in operands]
    to_whole = not result.is_floating_point() and any(o.is_floating_point() for o in tensors if o.ndim)
    if to_whole or operation == "reshape" and result.numel() != tensors[0].numel():
        fail(ValueError, "model", known, f"a call of {name} that is no mere reshaping")
    return operation, tensors, settings


def _changed(parameter: inspect.Parameter, value: object) -> bool:
    """Whether an argument that the page has no use for differs from the value that it must have."""
    return parameter.default is not parameter.empty and value != parameter.default
