"""Compare another program with this book's, check by check, in the order of the list in chapter 14."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ddpm_lite._check import (
    Number,
    Several,
    check_call,
    check_real,
    check_shape,
    check_whole,
    check_whole_schedule,
    describe,
    fail,
)
from ddpm_lite.runs.compare import translations as known
from ddpm_lite.runs.compare.step import check_step
from ddpm_lite.runs.compare.trial import (
    AGREE,
    EARLY,
    MISSING,
    Comparison,
    Found,
    Gap,
    Inputs,
    Refusal,
    add_other,
    ask,
    clip_image,
    compare_numbers,
    give,
    limit_at,
    make_inputs,
    place,
    spread,
    to_numbers,
    try_options,
)
from ddpm_lite.schedule import Schedule, linear_schedule


def compare_program(
    schedule: Schedule,
    *,
    table: Tensor | Several | None = None,
    times: Tensor | Several | None = None,
    noisy: Callable[..., Tensor] | None = None,
    estimate: Callable[..., Tensor] | None = None,
    step: Callable[..., Tensor] | None = None,
    guide: Callable[..., Tensor] | None = None,
    eta: Number = 0.0,
    pairs: Sequence[tuple[int, int]] | None = None,
    shape: Sequence[int] = (4, 1, 8, 8),
) -> Iterator[Comparison]:
    """Compare the parts of another program with the book's, and yield a `Comparison` for each check.

    Each part that is given gets the same inputs as ours, in the order of the list of chapter 14. If the numbers differ,
    known translations are tried, alone and together. One that makes them agree is named, and kept for the checks that
    follow; if several do, all are named, and later checks may decide. If none does, that is the last line; what fits
    this part by itself is then named. A difference without a translation may be a mistake, as `examine` looks for. The
    parts get float64 tensors on the CPU, and each time as one number.

    Args:
        schedule: the schedule with which both programs should work.
        table: the program's table, of alpha_bar or another quantity; without it, ours is taken as its schedule.
        times: the times at which its sampler asks the network, from the first on, without the end that it walks to;
            times that come several times in a row are compared once, and said.
        noisy: (x_0, z, k) -> its noisy image, where k is the program's own time, or the index of its table.
        estimate: (x, k, answer) -> its estimate of the image, from its noisy image and the network's answer.
        step: (x, k, to, answer, noise) -> its next state; without `noise`, what PyTorch draws in the call is replaced.
        guide: (answer with the label, answer without, scale) -> the guided answer.
        eta: what `step` is called with, as in `ddim_step`; 1 for a step of DDPM.
        pairs: the steps (t, s) to compare, in our times; with one length t - s, a step that ignores `to` is not seen.
        shape: the shape of the images.

    Raises:
        ValueError, TypeError: a part that cannot be called in this way, or returns something else.

    Source: the list of checks in chapter 14, and its limits: differences below 1e-5 of the largest number are rounding,
    up to t = T / 4 below 1e-3; what an entry near 1 lacks of 1 may be off by 5 %.
    """
    T, eta = check_whole_schedule(schedule, "the program").T, check_real("eta", eta, 0, 1)
    n = max(T // 50, 1)
    chosen = [(max(t, 1), max(t - jump, 0)) for t, jump in ((T // 2, n), (T * 4 // 5, 2 * n), (min(2 * n, T), n))]
    steps = list(dict.fromkeys(check_pair(pair, T) for pair in (chosen if pairs is None else pairs)))
    inputs = make_inputs(schedule, steps, check_shape(shape))
    checks: dict[str, tuple[Any, Callable[..., Iterator[Found]]]] = {
        "table": (table, check_table),
        "times": (times, check_times),
        "noisy": (noisy, partial(check_noisy, inputs=inputs)),
        "estimate": (estimate, partial(check_estimate, inputs=inputs)),
        "step": (step, partial(check_step, inputs=inputs, eta=eta)),
        "guide": (guide, partial(check_guide, inputs=inputs)),
    }
    given = [(part, check) for part, check in checks.values() if part is not None]
    if not given:
        fail(ValueError, "compare_program", f"at least one of {', '.join(checks)}", "none")
    readings: list[known.Reading] = [{}]
    for part, check in given:
        for number, (found, fitting) in enumerate(check(schedule, part, readings)):
            if fitting:
                yield found
                readings = fitting
                continue
            if readings != [{}] and number == 0:
                found = add_other(found, "by itself", check(schedule, part, [{}]))
            if table is None and callable(part) and part is not guide:
                found = found._replace(text=f"{found.text}; without `table`, its schedule is taken to be ours")
            yield found
            return


def check_pair(pair: object, T: int) -> tuple[int, int]:
    """Check one step (t, s) with s < t."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        fail(TypeError, "pairs", "pairs of times, as in [(500, 480)]", describe(pair))
    t = check_whole("pairs", pair[0], 1, T)
    return t, check_whole("pairs", pair[1], 0, t - 1)


def check_table(schedule: Schedule, table: object, readings: list, others: bool = True) -> Iterator[Found]:
    """Which quantity is it, and which entry belongs to t? If none fits, is its schedule another?"""
    theirs, T = to_numbers("table", table), schedule.T
    if theirs.ndim != 1 or not len(theirs):
        fail(ValueError, "table", f"one row of numbers, about T = {T} of them", describe(table))
    if abs((n := len(theirs)) - T) > 2:
        text = f"{n} entries, where the schedule has T = {T}, so make one with as many steps"
        yield add_schedules(Comparison("1. tables", "different", text), linear_schedule(n), table), []
        return
    options = {"table": known.QUANTITIES, "index": known.list_indices(schedule, whole=True)}

    def find_entries(reading: known.Reading) -> tuple[Tensor, Tensor, Tensor]:
        t = torch.arange(1, T + 1)
        entry = reading["index"].use(t)
        t, entry = t[(entry >= 0) & (entry < len(theirs))], entry[(entry >= 0) & (entry < len(theirs))]
        return t, theirs[entry], reading["table"].use(schedule)[t]

    def measure(reading: known.Reading) -> Iterator[Gap]:
        t, there, here = find_entries(reading)
        late = t > T // 4
        if not late.any():
            raise Refusal("no entries")
        yield compare_numbers(f"after t = {T // 4}", there[late], here[late], AGREE)
        if not late.all():
            yield compare_numbers(f"up to t = {T // 4}", there[~late], here[~late], EARLY)
        if reading["table"].name in known.NEAR_ONE:  # its first entries are told apart by their distance to 1
            off = ((there - here) / (1 - here)).abs().max()
            yield Gap("of the distance to 1", float(off), MISSING)

    found, readings = try_options(
        "1. tables", "*A table called alpha* and *Schedules*", readings, spread(options), measure
    )
    if readings:
        t, there, here = (each[-1] for each in find_entries(readings[0]))
        if t == T and others and abs(there - here) > EARLY * abs(here):
            text = f"{found.text}, but at T theirs is {there:.3g} and ours {here:.3g}, so compare before T"
            found = Comparison(found.check, "translated", text)
    if others and not readings:
        found = add_schedules(found, schedule, table)
    # a table of a clock does not say whether the functions are called with its entries or with their places
    yield found, [{"table": one["table"]} if one["table"].name in known.CLOCKS else one for one in readings]


def add_schedules(found: Comparison, like: Schedule, table: object) -> Comparison:
    """Add to a difference the other known schedules of this length whose table it is."""
    for name, own in known.list_schedules(like).items():
        found = add_other(found, f"with {name}", check_table(own, table, [{}], others=False))
    return found


def check_times(schedule: Schedule, times: object, readings: list) -> Iterator[Found]:
    """At which times is the network asked?"""
    theirs = to_numbers("times", times)
    if theirs.ndim != 1 or not 1 <= len(theirs) <= schedule.T:
        fail(ValueError, "times", f"1 to T = {schedule.T} numbers", describe(times))
    options = {"index": known.list_indices(schedule), "times": known.list_walks(schedule, len(theirs))}

    def measure(reading: known.Reading) -> Iterator[Gap]:
        try:
            ours = [reading["index"].use(t) for t in reading["times"].use]
        except (IndexError, TypeError) as error:  # a time between two entries, or after the last
            raise Refusal(str(error)) from error
        # Between whole times, they are interpolated in levels that a program may keep in float32.
        limit = 1e-6 if all(t == round(t) for t in map(float, reading["times"].use)) else AGREE
        yield compare_numbers("of the largest", theirs, torch.tensor(ours, dtype=torch.float64), limit)

    found, fitting = try_options("2. times", "*DDIM and the choice of times*", readings, spread(options), measure)
    kept, counts = theirs.unique_consecutive(return_counts=True)
    if not fitting and len(kept) < len(theirs):
        for again, others in check_times(schedule, kept, readings):
            if others:
                outcome = "translated" if again.outcome == "equal" else again.outcome
                found = Comparison(again.check, outcome, f"{describe_repeats(counts.tolist())}, {again.text}")
                fitting = others
    if not fitting and theirs[-1] <= 0 < len(theirs) - 1:
        found = add_other(found, "without its end", check_times(schedule, theirs[:-1], readings))
    yield found, fitting


def describe_repeats(counts: list[int]) -> str:
    """Which times of a sampler come twice in a row, as in Heun's method and in PNDM."""
    first, *others = counts
    if set(others) == {2} and first <= 2:
        return "each time twice" if first == 2 else "each time but the first twice"
    if counts == [1, 2, *[1] * (len(counts) - 2)]:
        return "the second time twice"
    return "some times repeated"


def check_noisy(schedule: Schedule, noisy: Callable, readings: list, inputs: list[Inputs]) -> Iterator[Found]:
    """Is the noisy image our x_t, and in which range is x_0?"""
    check_call("noisy", noisy, "(x_0, z, k) -> x")
    options = {"index": known.list_indices(schedule), "scale": known.SCALES, "range": known.RANGES}

    def measure(reading: known.Reading) -> Iterator[Gap]:
        for own in inputs:
            k, scale = place(schedule, own.t, reading)
            theirs = ask("noisy", noisy, own.x_t, reading["range"].use(own.x_0), own.z, k)
            yield compare_numbers(f"at t = {own.t}", theirs, scale * own.x_t, limit_at(schedule, own.t))

    yield try_options("3. images", "*Adding and removing noise*", readings, spread(options), measure)


def check_estimate(schedule: Schedule, estimate: Callable, readings: list, inputs: list[Inputs]) -> Iterator[Found]:
    """Which answer does it expect, and is the estimate clipped?"""
    check_call("estimate", estimate, "(x, k, answer) -> estimate")
    options = {"index": known.list_indices(schedule), "scale": known.SCALES, "target": known.TARGETS}
    options["estimate"] = known.ESTIMATES
    cache: dict[tuple, Tensor] = {}

    def estimate_at(own: Inputs, reading: known.Reading) -> Tensor:
        key = own.t, *(reading[name].name for name in ("index", "scale", "target"))
        if key not in cache:
            cache[key] = ask("estimate", estimate, own.x_t, *give(schedule, own, reading))
        return cache[key]

    def extend(reading: known.Reading) -> Iterator[known.Reading]:
        for longer in spread(options)(reading):
            try:
                seen = [estimate_at(own, longer) for own in inputs]
            except Refusal:
                seen = [own.x_0_hat for own in inputs]
            if longer["estimate"] is known.ESTIMATES[1]:
                seen = [2 * image - 1 for image in seen]
            for clip in known.list_clips(seen):
                yield longer | {"clip": clip}

    def measure(reading: known.Reading) -> Iterator[Gap]:
        for own in inputs:
            ours = reading["estimate"].use(clip_image(own.x_0_hat, reading))
            yield compare_numbers(f"at t = {own.t}", estimate_at(own, reading), ours, limit_at(schedule, own.t))

    name, section = "4 and 6. estimate", "*Velocities* and *Adding and removing noise*"
    yield try_options(name, section, readings, extend, measure)


def check_guide(schedule: Schedule, guide: Callable, readings: list, inputs: list[Inputs]) -> Iterator[Found]:
    """Is the scale w or w + 1?"""
    check_call("guide", guide, "(with label, without, scale) -> answer")
    own = inputs[0]

    def measure(reading: known.Reading) -> Iterator[Gap]:
        for w in (2.0, 3.5):
            share = reading["guidance"].use(w)
            theirs = ask("guide", guide, own.z, own.z, own.noise, w)
            yield compare_numbers(f"at a scale of {w:g}", theirs, share * own.z + (1 - share) * own.noise, AGREE)

    options = {"guidance": known.SCALES_OF_GUIDANCE}
    yield try_options("9. guidance", "*Guidance*", readings, spread(options), measure)
