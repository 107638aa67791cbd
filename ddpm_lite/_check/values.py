"""The form that all errors have, and checks of single values: numbers, words, paths, seeds, devices, schedules."""

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from errno import ENAMETOOLONG
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:  # type checkers do not accept Python's own numbers as instances of these abstract classes
    Whole: TypeAlias = int
    Number: TypeAlias = float
else:  # at run time NumPy's numbers are accepted too
    Whole, Number = Integral, Real
Several = Sequence | np.ndarray  # several numbers
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


def check_kind(argument: str, value: object, kind: Any) -> Any:
    """Check that a value is an instance of a class, and return it."""
    if not isinstance(value, kind):
        fail(TypeError, argument, f"a {getattr(kind, '__name__', kind)}", describe(value))
    return value


def check_pair(argument: str, value: object) -> tuple[float, float]:
    """Check a mean and a variance >= 0."""
    if not isinstance(value, list | tuple | Tensor | np.ndarray) or getattr(value, "ndim", 1) != 1 or len(value) != 2:
        fail(TypeError, argument, "a mean and a variance", describe(value))
    return check_real(argument, value[0], -1e12, 1e12), check_real(argument, value[1], 0, 1e12)


def to_path(argument: str, value: object) -> Path:
    """Convert a string or a path-like object to a Path, with a leading ~ expanded."""
    if not isinstance(value, str | os.PathLike):
        fail(TypeError, argument, "a path", describe(value))
    name = os.fsdecode(value)
    if not name:
        fail(ValueError, argument, "a path", "an empty string", 'this folder is "."')
    try:
        os.lstat(name)
    except ValueError as error:  # a null character, or one that no file's name can have
        fail(ValueError, argument, "a path", f"{describe(name)} ({error})")
    except OSError as error:
        if error.errno == ENAMETOOLONG:
            fail(ValueError, argument, "a path", f"{describe(name)} ({error.strerror})")
    return expand_home(Path(name))


def expand_home(path: Path) -> Path:
    """Expand a leading ~, which a shell leaves alone inside quotes and after `=`."""
    return path.expanduser() if path.parts[:1] == ("~",) else path


def check_shape(shape: object) -> tuple[int, ...]:
    """Check a shape of at least one axis, with whole numbers >= 1; the first is the number of images."""
    sizes: tuple[object, ...] = ()
    if isinstance(shape, Iterable) and not isinstance(shape, str) and getattr(shape, "ndim", True):
        sizes = tuple(shape)
    if not sizes:
        fail(TypeError, "shape", "one number for each axis, such as (16, 1, 8, 8)", describe(shape))
    return tuple(check_whole("shape", size, 1) for size in sizes)


def check_seeds(seed: Whole | Several | Tensor, count: int) -> int | list[int]:
    """Check a seed: one whole number for a batch, or a sequence with one for each of its images.

    The CPU's generator uses 32 bits of its seed, so larger ones are mixed into that many; smaller ones stay.
    """

    def fold(own: object) -> int:
        own = check_whole("seed", own, 0, LARGEST)
        return own if own < 2**32 else int(np.random.SeedSequence(own).generate_state(1)[0])

    if isinstance(seed, list | tuple | range) or isinstance(seed, Tensor | np.ndarray) and seed.ndim:
        seeds = [fold(own) for own in seed]
        if len(seeds) != count:
            fail(ValueError, "seed", f"one whole number, or {count}, one for each image", f"{len(seeds)} numbers")
        return seeds
    return fold(seed)


def to_words(argument: str, names: object, least: int = 0) -> list[list[str]]:
    """Split each name into its words, in small letters, without punctuation; `least` is how many it has to have."""
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        fail(TypeError, argument, "a list of names", describe(names), "write [name] for a single one")
    words = [re.findall(r"[\w#*]+", name.lower()) for name in names]
    few = [name for name, parts in zip(names, words, strict=True) if len(parts) < least]
    if few or not words:
        fail(ValueError, argument, "at least one name, and words in each", repr(few[0]) if few else "none")
    return words


def to_numbers(names: list[list[str]], known: Mapping[str, int], length: int) -> list[list[int]]:
    """Number the words of each name, and fill up with 0; unknown words and longer names are refused."""
    for word in (word for name in names for word in name if word not in known):
        near = get_close_matches(word, known, 3)
        fail(ValueError, "names", "words that the encoder knows", repr(word), f"near it are {near}" if near else "")
    for name in names:
        if len(name) > length:
            fail(ValueError, "names", f"at most {length} words in a name", f"{len(name)} in {' '.join(name)!r}")
    return [[known[word] for word in name] + [0] * (length - len(name)) for name in names]


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


def check_states(states: Any) -> Iterable:
    """Check that a value can be walked through, and is no image, word or dictionary."""
    if not hasattr(states, "__iter__") or isinstance(
        states, str | bytes | dict | set | Tensor | np.ndarray | np.generic
    ):
        fail(TypeError, "states", "the states that sample or train yields", describe(states))
    return states
