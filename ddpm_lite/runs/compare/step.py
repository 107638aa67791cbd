"""Compare a step: where it leads without noise, and how much noise it adds."""

from collections.abc import Callable, Iterator
from math import sqrt

import torch
from torch import Tensor

from ddpm_lite._check import check_call, fail
from ddpm_lite.process import predict_z
from ddpm_lite.runs.compare import translations as known
from ddpm_lite.runs.compare.trial import (
    EARLY,
    Found,
    Gap,
    Inputs,
    Refusal,
    ask,
    clip_image,
    compare_numbers,
    give,
    limit_at,
    place,
    spread,
    try_options,
)
from ddpm_lite.schedule import Schedule

NOISE = 1e-4  # what counts as rounding in a deviation, for programs whose variance is a difference of float32 numbers
ROUNDING = 4 * 2**-23  # of a variance, where alpha_bar and the state are float32, off by up to 2**-24 of numbers near 1
MEMORY = "; a step that uses earlier answers too cannot be compared by one step: compare its walk, as in chapter 14"
STEP = known.Option("step to s", lambda t, s: s)


def draws_noise(step: Callable) -> bool:
    """Does the step draw its noise itself, or is it an argument?"""
    try:
        check_call("step", step, "(x, k, to, answer) -> x")
    except TypeError:
        check_call("step", step, "(x, k, to, answer, noise) -> x", advice="or without the noise")
        return False
    return True


def check_step(schedule: Schedule, step: Callable, readings: list, inputs: list[Inputs], eta: float) -> Iterator[Found]:
    """Where does a step without noise lead, and how much noise is added?"""
    drawn = draws_noise(step)
    cache: dict[tuple, Tensor] = {}

    def step_from(own: Inputs, reading: known.Reading, noise: Tensor) -> Tensor:
        key = own.t, own.s, bool(noise.any()), *(reading[name].name for name in ("index", "scale", "target"))
        if key not in cache:
            x, k, answer = give(schedule, own, reading)
            given = (x, k, reading["index"].use(own.s), answer, *(() if drawn else (noise,)))
            cache[key] = state = ask("step", step, x, *given, noise=noise)
            if len(cache) == 1:  # once, a second call, with the generator in another state
                again = ask("step", lambda *same: (torch.rand(1), step(*same))[1], x, *given, noise=noise)
                if (again - state).abs().max() > EARLY * state.abs().max():
                    expected = "the same state when called again with the same inputs"
                    advice = "noise that PyTorch does not draw in the shape of x has to be its argument `noise`"
                    advice += ", and no call may change the next; a step with memory is compared by its walk"
                    fail(ValueError, "step", expected, "another", advice)
        return cache[key]

    options = {"index": known.list_indices(schedule), "scale": known.SCALES, "target": known.TARGETS}

    def extend(reading: known.Reading) -> Iterator[known.Reading]:
        for longer in spread(options)(reading):
            try:
                state = step_from(inputs[0], longer, inputs[0].noise * 0)
            except Refusal:
                state = inputs[0].x_t
            for one in list_steps(schedule, inputs[0], longer, state, known.list_etas(eta)):
                if one["end"] == STEP or any(one["end"].use(own.t, own.s) != own.s for own in inputs):
                    yield one

    def measure(reading: known.Reading) -> Iterator[Gap]:
        for own in inputs:
            ours, theirs = make_state(schedule, own, reading), step_from(own, reading, own.noise * 0)
            yield compare_numbers(f"at t = {own.t}", theirs, ours, limit_at(schedule, own.t))

    section = "*DDIM and the choice of times* and *The step back*"
    found, readings = try_options("7. step", section, readings, extend, measure)
    if not readings:
        found = found._replace(text=found.text + MEMORY)
    yield found, readings

    def measure_noise(reading: known.Reading) -> Iterator[Gap]:
        for own in inputs:
            s = reading["end"].use(own.t, own.s)
            sigma, larger = find_deviations(schedule, own.t, s)
            due = place(schedule, s, reading)[1] * reading["noise"].use(sigma, larger)
            added = step_from(own, reading, own.noise) - step_from(own, reading, own.noise * 0)
            where, limit = f"at t = {own.t}", max(limit_at(schedule, own.t), NOISE)
            if due:
                yield compare_numbers(where, added, due * own.noise, limit)
            else:
                yield compare_numbers(where, added + own.noise, own.noise, limit)

    def extend_noise(reading: known.Reading) -> Iterator[known.Reading]:
        return (reading | {"noise": option} for option in known.list_deviations(reading["eta"].use))

    yield try_options("8. fresh noise", "*The step back*", readings, extend_noise, measure_noise)


def list_parts(schedule: Schedule, own: Inputs, reading: known.Reading) -> tuple[Tensor, Tensor]:
    """The image and the noise of which the next state is made."""
    x_0_hat = clip_image(own.x_0_hat, reading)
    return x_0_hat, own.z_hat if reading["keep"].use else predict_z(schedule, own.x_t, own.t, x_0_hat)


def find_deviations(schedule: Schedule, t: int, s: int) -> tuple[float, float]:
    """The deviation of eta = 1 (eq-ddim-sigma), and the larger one."""
    table = schedule.numbers
    larger = 1 - table.alpha_bar[t] / table.alpha_bar[s]
    return sqrt(table.one_minus_alpha_bar[s] / table.one_minus_alpha_bar[t] * larger), sqrt(larger)


def make_state(schedule: Schedule, own: Inputs, reading: known.Reading) -> Tensor:
    """The next state without noise, in their variable (eq-ddim-step)."""
    s = reading["end"].use(own.t, own.s)
    if not 0 <= s < own.t:
        raise Refusal(f"no step from {own.t} to {s}")
    x_0_hat, z_hat = list_parts(schedule, own, reading)
    table, sigma = schedule.numbers, reading["eta"].use * find_deviations(schedule, own.t, s)[0]
    if sigma**2 > table.one_minus_alpha_bar[s] * (1 + EARLY):
        raise Refusal(f"no eta = {reading['eta'].use:g} from {own.t} to {s}")
    weight = sqrt(max(table.one_minus_alpha_bar[s] - sigma**2, 0.0))
    return place(schedule, s, reading)[1] * (sqrt(table.alpha_bar[s]) * x_0_hat + weight * z_hat)


def list_steps(
    schedule: Schedule, own: Inputs, reading: known.Reading, state: Tensor, etas: list[known.Option]
) -> Iterator[known.Reading]:
    """What the step may do: first what ours does, then all that its weights of image and noise leave possible."""
    clips = [known.make_clip(-1.0, 1.0), known.UNCLIPPED]
    clips = [reading["clip"], *(clip for clip in clips if clip != reading["clip"])] if "clip" in reading else clips
    for clip in clips:
        for keep in known.KEPT if clip.use else known.UNTOUCHED:
            longer = reading | {"clip": clip, "keep": keep, "end": STEP}
            if clip is clips[0] and keep is not known.KEPT[1]:
                yield longer | {"eta": etas[0]}
            columns = torch.stack([x.flatten() for x in list_parts(schedule, own, longer)], dim=1)
            image, noise = weights = torch.linalg.pinv(columns) @ state.flatten()
            if (columns @ weights - state.flatten()).abs().max() > EARLY * state.abs().max():
                continue
            solved = find_eta(schedule, own, longer, float(noise), etas)
            for eta in [*etas, *solved]:
                yield longer | {"eta": eta}
            for eta in [*etas, *solved]:
                for end in find_ends(schedule, own, longer, (float(image), float(noise)), eta.use):
                    yield longer | {"end": end, "eta": eta}


def find_eta(
    schedule: Schedule, own: Inputs, reading: known.Reading, weight: float, etas: list[known.Option]
) -> list[known.Option]:
    """The eta with which the noise has this weight in the state at s, unless rounding of a listed one explains it."""
    old = schedule.numbers.one_minus_alpha_bar[own.s] - (weight / place(schedule, own.s, reading)[1]) ** 2
    sigma, _ = find_deviations(schedule, own.t, own.s)
    eta = sqrt(max(old, 0.0)) / sigma if sigma else 0.0
    for one in etas:  # near 0, eta is the root of a small difference, so rounding alone can make it 0.001 and more
        if abs(eta - one.use) < EARLY or abs(eta**2 - one.use**2) * sigma**2 < ROUNDING:
            return []
    return [known.Option(f"eta = {eta:.4g}", eta)]


def find_ends(
    schedule: Schedule, own: Inputs, reading: known.Reading, weights: tuple[float, float], eta: float
) -> list[known.Option]:
    """The other time that these weights of image and noise belong to, counted from s and from t."""
    alpha_bar, rest, t = schedule.alpha_bar[: own.t], schedule.one_minus_alpha_bar[: own.t], own.t
    fresh = eta**2 * rest / schedule.one_minus_alpha_bar[t] * (1 - schedule.alpha_bar[t] / alpha_bar)
    scale = reading["scale"].use(alpha_bar.sqrt(), rest.sqrt())
    off = (scale * alpha_bar.sqrt() - weights[0]).abs() + (
        scale * (rest - fresh).clamp(min=0).sqrt() - weights[1]
    ).abs()
    end = int(off.argmin())
    later, back = end - own.s, own.t - end
    sign = "+" if later > 0 else "-"
    return [
        known.Option(f"step to s {sign} {abs(later)}", lambda t, s: s + later),
        known.Option(f"step to t - {back}", lambda t, s: t - back),
    ]
