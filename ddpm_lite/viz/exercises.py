"""Helpers for the check cells of the chapters: run a reader's answer safely, and compare it with the right one.

A check is a function that takes the answer and returns "correct" or "not yet: ..." with a hint. `judge` runs it so that
no answer ends in a traceback, and `compare` finds the known mistake that a wrong number comes from.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddpm_lite._check import describe


class _UnusableAnswer(Exception):
    """The answer cannot be compared; the message is a sentence for the reader."""


def judge(check: Callable[[Callable], str], answer: Any, outputs: int = 1) -> str:
    """Run `check` on an answer; None, a wrong type or an exception gives a sentence instead of a traceback.

    The check gets the answer's numbers, lists and arrays as tensors, floating-point ones in float64. If the function
    has to return several values, `outputs` is their number. Tensors are passed as copies, so an answer may change them.
    """
    name = getattr(answer, "__name__", "your answer")
    if not callable(answer):
        return f"not yet: expected a function, got {_show(answer)}"

    def call_safely(*arguments: Any, **keywords: Any) -> Any:
        copies = [a.clone() if isinstance(a, Tensor) else a for a in arguments]
        try:
            result = answer(*copies, **keywords)
        except Exception as error:
            raise _UnusableAnswer(f"{name} raises {_extract_first_line(error)}{_explain(error)}") from None
        if result is None:
            raise _UnusableAnswer(f"{name} returns None; does it end with a return?")
        result = _to_tensors(tuple(result) if outputs > 1 and isinstance(result, list) else result)
        if outputs > 1 and not (isinstance(result, tuple | list | Tensor) and _count_values(result) == outputs):
            raise _UnusableAnswer(f"{name} should return {outputs} values, as in `return a, b`, got {_show(result)}")

        return result

    try:
        return check(call_safely)
    except _UnusableAnswer as sentence:
        return f"not yet: {sentence}"
    except Exception as error:
        return f"not yet: the check cannot use what {name} returns: {_extract_first_line(error)}"


def compare(
    got: Any,
    right: Any,
    mistakes: Mapping[str, Any] | None = None,
    *,
    case: str = "",
    rtol: float = 1e-4,
    atol: float = 1e-6,
) -> str:
    """Compare a result with the right one, and return a hint, or "" if it is right.

    `mistakes` maps the sentence about each known mistake to the value that it leads to. Values count as equal if they
    differ by at most `atol + rtol * max(abs(right))` everywhere; axes of length 1 are ignored. `case` names the input,
    as in "t = 5".
    """
    start = f"not yet: {case}: " if case else "not yet: "
    right, got = _to_tensors(right).double(), _to_tensors(got)
    if not isinstance(got, Tensor):
        return f"{start}expected {_describe_kind(right)}, got {_show(got)}"
    got = got.double()
    if got.squeeze().shape != right.squeeze().shape:
        return f"{start}the shape is {tuple(got.shape)}, expected {_describe_kind(right)}"
    if not bool(got.isfinite().all()):
        return f"{start}the result is not a number"
    got, right = got.squeeze(), right.squeeze()
    limit = atol + rtol * (right.abs().max() if right.numel() else 0.0)

    def is_near(value: Any) -> bool:
        value = _to_tensors(value).double().squeeze()
        return value.shape in (got.shape, ()) and bool(((got - value).abs() <= limit).all())

    if is_near(right):
        return ""
    for sentence, value in (mistakes or {}).items():
        if is_near(value):
            return start + sentence
    return f"{start}the result is off by up to {float((got - right).abs().max()):.2g}"


def _to_tensors(value: Any) -> Any:
    """Convert numbers, lists and arrays to tensors, floating-point ones in float64; leave anything else as it is."""
    if isinstance(value, tuple):
        return tuple(_to_tensors(part) for part in value)
    if isinstance(value, list) and any(isinstance(part, Tensor) for part in value):
        parts = [_to_tensors(part) for part in value]
        same = all(isinstance(part, Tensor) and part.shape == parts[0].shape for part in parts)
        return torch.stack([part.double() for part in parts]) if same else parts
    if not isinstance(value, Tensor):
        try:
            value = torch.as_tensor(np.array(value))
        except (TypeError, ValueError, RuntimeError):
            return value
    value = value.detach().cpu()
    return value.double() if value.is_floating_point() else value


def _explain(error: Exception) -> str:
    """What to do if a function or a method of PyTorch was given a plain number."""
    if "must be Tensor, not" in str(error) or "'float' object has no attribute" in str(error):
        return "; it was given a plain number, not a tensor: use ** 0.5 for a root, or the function of `math`"
    return ""


def _count_values(value: Any) -> int:
    return 0 if isinstance(value, Tensor) and value.ndim == 0 else len(value)


def _describe_kind(right: Tensor) -> str:
    return "one number" if right.ndim == 0 else f"numbers of shape {tuple(right.shape)}"


def _show(value: Any) -> str:
    text = describe(value)
    return text if len(text) < 80 else f"an object of type {type(value).__name__}"


def _extract_first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
