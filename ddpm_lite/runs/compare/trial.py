"""Try translations: call the other program with our inputs, and keep those with which the numbers agree."""

from collections.abc import Callable, Iterable, Iterator
from itertools import product
from math import sqrt
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ddpm_lite._check import describe, fail, to_table
from ddpm_lite.process import predict_x_0, q_sample
from ddpm_lite.runs.compare import translations as known
from ddpm_lite.schedule import Schedule

AGREE, EARLY = 1e-5, 1e-3  # largest difference relative to our largest number; the second up to T / 4, for float32
MISSING = 0.05  # largest relative difference of 1 minus an entry, of which float32 keeps three digits


class Comparison(NamedTuple):
    """What one check found, printed as one line: the outcome is equal, translated, open or different."""

    check: str
    outcome: str
    text: str

    def __str__(self) -> str:
        return f"{self.check}: {self.outcome}: {self.text}"


Found = tuple[Comparison, list[known.Reading]]  # and all that is possible after it


class Inputs(NamedTuple):
    """What both programs get for a step from t to s."""

    t: int
    s: int
    x_0: Tensor
    z: Tensor
    x_t: Tensor
    z_hat: Tensor
    x_0_hat: Tensor
    noise: Tensor


class Gap(NamedTuple):
    """A relative difference, where it was found, and the largest that counts as rounding."""

    where: str
    size: float
    limit: float


class Refusal(Exception):
    """The other program cannot be called in this way, or a translation does not apply."""


class _Draw(TorchFunctionMode):
    """Replaces what PyTorch draws, where it has the shape of our noise."""

    DRAWS = (torch.randn, torch.randn_like, torch.normal, Tensor.normal_)

    def __init__(self, noise: Tensor):
        super().__init__()
        self.noise = noise

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        return result.copy_(self.noise) if func in self.DRAWS and result.shape == self.noise.shape else result


def make_inputs(schedule: Schedule, pairs: list[tuple[int, int]], shape: tuple[int, ...]) -> list[Inputs]:
    """Draw an image, its noise, an estimate of that and fresh noise for each step; the global generator stays."""
    found, generator = [], torch.Generator().manual_seed(0)
    for t, s in pairs:
        z, error, noise = torch.randn(3, *shape, generator=generator, dtype=torch.float64)
        x_0 = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
        x_t, z_hat = q_sample(schedule, x_0, t, z), z + 0.3 * error
        found.append(Inputs(t, s, x_0, z, x_t, z_hat, predict_x_0(schedule, x_t, t, z_hat), noise))
    return found


def ask(part: str, call: Callable, like: Tensor, *given, noise: Tensor | None = None) -> Tensor:
    """Call a part of the other program with copies; what it draws with PyTorch is our noise, or 0."""
    copies = [value.clone() if isinstance(value, Tensor) else value for value in given]
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), _Draw(like * 0 if noise is None else noise):
            answer = call(*copies)
    except Exception as error:
        raise Refusal(f"{type(error).__name__}: {error}") from error
    if not isinstance(answer, Tensor | np.ndarray) or answer.shape != like.shape:
        fail(TypeError, part, f"an answer of shape {tuple(like.shape)}", describe(answer))
    return to_numbers(part, answer)


def to_numbers(part: str, value: object) -> Tensor:
    """What was given as a float64 tensor on the CPU."""
    return to_table(part, value).double().cpu()


def compare_numbers(where: str, theirs: Tensor, ours: Tensor, limit: float) -> Gap:
    """The largest difference, relative to the largest of our numbers."""
    size = float((theirs - ours).abs().max() / ours.abs().max().clamp(min=1e-12))
    return Gap(where, size if size == size else float("inf"), limit)


def try_options(
    check: str,
    section: str,
    readings: list[known.Reading],
    extend: Callable[[known.Reading], Iterable[known.Reading]],
    measure: Callable[[known.Reading], Iterator[Gap]],
) -> tuple[Comparison, list[known.Reading]]:
    """Extend what is known by each translation, and return those with which all differences are rounding.

    The first reading that `extend` gives is the book's own way. If no reading fits, the list is empty.
    """
    tried: list[tuple[known.Reading, list[Gap]]] = []
    own, refused = None, ""
    every = {str([option.name for option in one.values()]): one for known in readings for one in extend(known)}
    for reading in every.values():
        own, gaps = own or reading, []
        try:
            for gap in measure(reading):
                gaps.append(gap)
                if gap.size > gap.limit and reading is not own:  # the book's own way is measured to its end
                    break
            tried.append((reading, gaps))
        except Refusal as error:
            refused = refused or str(error)
    if not tried and readings != [{}]:
        return Comparison(check, "different", f"an error, {' '.join(refused.split())}"), []
    if not tried:
        advice = "it is called with float64 tensors, and with each time as one number"
        fail(ValueError, check, "an answer at one of the known indices", refused, advice)
    fitting = [reading for reading, gaps in tried if all(gap.size <= gap.limit for gap in gaps)]
    if not fitting:
        whole = [each for each in tried if len(each[1]) == len(tried[0][1])] or tried
        near, least = min(whole, key=lambda each: max(gap.size / gap.limit for gap in each[1]))
        gaps = tried[0][1]
        text = ", ".join(f"{say_percent(gap.size)} {gap.where}" for gap in gaps)
        if max(gap.size for gap in least) < 0.1 * max(gap.size for gap in gaps):
            text += f"; much nearer is {name_subjects(readings, [near])}"
        text += f"; see {section} in *Four libraries, line by line*, or it is a mistake: `examine` in chapter 15"
        return Comparison(check, "different", text), []
    outcome = "equal" if own is fitting[0] else "translated" if len(fitting) == 1 else "open"
    text = name_subjects(readings, fitting)
    if outcome != "equal":
        first, gaps = tried[0]
        before = say_percent(max(gap.size for gap in gaps)) if first is own else "an error"
        after = max(gap.size for reading, gaps in tried if reading is fitting[0] for gap in gaps)
        text += f" ({before} -> {100 * after:.3f} %)"
    return Comparison(check, outcome, text), fitting


def say_percent(share: float) -> str:
    """Write a share as percent, with three digits and no power of ten."""
    percent = float(f"{100 * share:.3g}")
    return f"{percent:,.0f} %" if percent >= 1000 else f"{percent:g} %"


def add_other(found: Comparison, how: str, check: Iterator[Found]) -> Comparison:
    """Add to a difference what this check finds in another way, if something fits."""
    other, fits = next(check)
    return found._replace(text=f"{found.text}; {how} it is {other.outcome}: {other.text}") if fits else found


def name_subjects(before: list[known.Reading], after: list[known.Reading]) -> str:
    """Name what a check adds to what was known, or settles of it; two options that fit are both named."""
    found = []
    for subject in after[0]:
        old = {reading[subject].name for reading in before if subject in reading}
        new = list(dict.fromkeys(reading[subject].name for reading in after))
        if new != [""] and set(new) != old:
            found.append(" or ".join(name or "as ours" for name in new))
    return ", ".join(found) if found else "no more to translate"


def spread(options: dict[str, list[known.Option]]) -> Callable[[known.Reading], Iterator[known.Reading]]:
    """Extend a reading by each combination of the options of those subjects that it leaves open."""

    def extend(reading: known.Reading) -> Iterator[known.Reading]:
        free = {name: some for name, some in options.items() if name not in reading}
        return (reading | dict(zip(free, combination, strict=True)) for combination in product(*free.values()))

    return extend


def limit_at(schedule: Schedule, t: int) -> float:
    """The largest relative difference that counts as rounding at t."""
    return EARLY if t <= schedule.T // 4 else AGREE


def place(schedule: Schedule, t: int, reading: known.Reading) -> tuple[float, float]:
    """Their index of our t, and the factor of x_t in their image."""
    table = schedule.numbers
    return reading["index"].use(t), reading["scale"].use(sqrt(table.alpha_bar[t]), sqrt(table.one_minus_alpha_bar[t]))


def give(schedule: Schedule, own: Inputs, reading: known.Reading) -> tuple[Tensor, float, Tensor]:
    """Their image, time and answer that belong to ours."""
    k, scale = place(schedule, own.t, reading)
    answer = reading["target"].use(schedule, own.x_t, own.t, own.x_0_hat, own.z_hat, scale)
    return scale * own.x_t, k, answer


def clip_image(x_0_hat: Tensor, reading: known.Reading) -> Tensor:
    """The estimate, clipped as this reading says."""
    return x_0_hat if reading["clip"].use is None else x_0_hat.clamp(*reading["clip"].use)
