"""Checks of the sampler, which is run with a model of our own (`listen`)."""

from collections import Counter
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ddpm_lite._check import check_call
from ddpm_lite.runs.examine.finding import Finding, check_gaussian
from ddpm_lite.runs.examine.listen import HEARD, SHARE, WEIGHT, Step, Table, name_slip, read_steps, undo_range, walk
from ddpm_lite.runs.examine.tables import SIGNAL

UNHEARD = 0.02  # a step's noise that PyTorch did not draw, at most; rounding of float16 tables is below it


def check_sampler(
    sampler: Callable, shape: tuple, alpha_bar: Table, first: int, by_mode: bool = False
) -> Iterator[Finding]:
    """The sampler should start from noise, tell the right times, and take steps with the right weights.

    `by_mode` says that the program's model answers otherwise in training mode, so the sampler should leave this mode.
    """
    check_call("sampler", sampler, "(model, shape) -> x_0")
    given = sampler
    calls, heard, x_0 = walk(sampler, shape, alpha_bar, first, 0.5)
    if k := undo_range(calls, heard, x_0):
        x_0, text = x_0 / k - 1, f"the sampler returns {k:g} (x + 1), not its last state x; "
        text += "bytes are rounded, so it is not tested: return x" if k > 1 else "the next lines are about x"
        yield Finding(True, "range of the samples", text, note=True)
        if k > 1:
            return

        def sampler(model: Callable, shape: tuple) -> Tensor:
            return given(model, shape) / k - 1

    T = len(alpha_bar) - 1
    steps = [step for step in read_steps(calls, heard, x_0, alpha_bar, first) if 0 <= step.s < step.t <= T]
    yield check_start(calls, heard, alpha_bar)
    yield check_times([call.time for call in calls], T, first)
    if by_mode:
        yield check_mode([call.training for call in calls])
    if again := check_again(steps):  # x_t is soon nearly this noise, so their weights cannot be told apart
        yield again
        return
    weights = check_weights(steps, alpha_bar)
    yield weights
    yield check_noise(steps, alpha_bar, heard[calls[0].heard :])
    yield check_last(steps, alpha_bar)
    if len(shape) == 4 and weights.fine:
        yield check_clip(sampler, shape, alpha_bar, first, steps)


def check_times(times: list[float], T: int, first: int) -> Finding:
    """Only times of the training should be told (alg-sampling); a walk in steps of one time should leave none out."""
    low, high = first, first + T - 1
    text = f"the model is told {times[0]:g}..{times[-1]:g}"
    if not (low <= times[-1] and times[0] <= high):
        return Finding(False, "times of sampling", f"{text}; training had {high}..{low}")
    # a note, since diffusers' leading spacing does this, too: 999 steps of 1000 leave out the last time
    short = T // 2 < len(times) < T and times[0] - times[-1] == len(times) - 1
    return Finding(True, "times of sampling", f"{text}; training had {high}..{low}" if short else text, note=short)


def check_mode(training: list[bool]) -> Finding:
    """Dropout and batch norm should be in eval mode; a note, because `eval` may be called before the sampler."""
    if not any(training):
        return Finding(True, "mode of sampling", "the model is called in eval mode")
    text = "a model in training mode is left in it by the sampler, and answers otherwise there"
    return Finding(True, "mode of sampling", f"{text}; call model.eval() in the sampler, or before it", note=True)


def check_start(calls: list, heard: list[Tensor], alpha_bar: Table) -> Finding:
    """The walk should start at T, from Gaussian noise of variance 1 (alg-sampling)."""
    start, t, T = calls[0].x_t, calls[0].t, len(alpha_bar) - 1
    found = check_gaussian("start of the walk", start)
    drawn = [z.double().cpu() for z in heard[: calls[0].heard] if z.shape == start.shape][-1:]
    if found.fine and len(start) > 1 and torch.equal(start, start[:1].expand_as(start)):
        return Finding(False, found.check, "all images start from the same noise; draw x_T of the whole shape")
    if found.fine and drawn:  # then its scale is known exactly, and not only up to chance
        scale = float((start * drawn[0]).sum() / drawn[0].square().sum())
        if torch.allclose(start, scale * drawn[0], atol=1e-4) and abs(scale - 1) > WEIGHT:
            return Finding(False, found.check, f"{scale:.3g} times the noise that is drawn; expected the noise itself")
    if found.fine and 1 <= t < T and alpha_bar[t] > SIGNAL:
        text = f"pure noise at t = {calls[0].time:g}, where alpha_bar is {float(alpha_bar[t]):.2g}"
        return Finding(False, found.check, f"{text}; start at T = {T}, as in training")
    return found


def _noise_after(step: Step, alpha_bar: Table) -> float:
    """The variance of old and fresh noise after a step; 1 - alpha_bar_s is right (eq-leap-variance)."""
    return step.weight_x_t**2 * float(1 - alpha_bar[step.t]) + step.sigma**2


def check_weights(steps: list[Step], alpha_bar: Table) -> Finding:
    """In a step from t to s, the image's weight should become sqrt(alpha_bar_s) (eq-leap-mean)."""
    if not steps:
        return Finding(False, "weights of a step", "the first step gives numbers that are infinite or NaN")
    reached = {step: step.weight_x_t * float(alpha_bar[step.t]) ** 0.5 + step.weight_x_0 for step in steps}
    # six standard errors: a walk has hundreds of weights, and none of them should be wrong by chance
    off = {step: abs(found - float(alpha_bar[step.s]) ** 0.5) - 6 * step.error for step, found in reached.items()}
    share = {step: error / _weigh_image(step, alpha_bar) for step, error in off.items()}
    step, least = max(off, key=lambda each: off[each]), max(share, key=lambda each: share[each])
    if off[step] <= WEIGHT and share[least] <= SHARE:
        doubt = max(step.doubt for step in steps)
        error = max(off[step], doubt if doubt > UNHEARD else 1e-6)
        return Finding(True, "weights of a step", f"right to {error:.0e} in {len(steps)} steps")
    # the clip bends most steps of some samplers, so all are asked but those that are right as a whole, as DDIM's may be
    noise_off = {step: abs(_noise_after(step, alpha_bar) - float(1 - alpha_bar[step.s])) - step.doubt for step in steps}
    asked = (each for each in steps if max(off[each], noise_off[each]) > WEIGHT or share[each] > SHARE)
    named = Counter(filter(None, (name_slip(each, alpha_bar) for each in asked)))
    slip = named.most_common(1)[0][0] if named else "compare its tables with those of the training"
    want = f"{float(alpha_bar[step.s]) ** 0.5:.3g}"
    text = f"at t = {step.t} the weight of the image becomes {reached[step]:.3g}, expected {want}; {slip}"
    if off[step] <= WEIGHT:  # both would be the same in three digits
        text = f"at t = {least.t} the image gets a weight that is off by {share[least]:.1%} of x_0_hat's; {slip}"
    return Finding(False, "weights of a step", text)


def _weigh_image(step: Step, alpha_bar: Table) -> float:
    """The right weight of x_0_hat in a step of DDPM (eq-posterior-mean); that of DDIM is at least half of it."""
    now, before = float(alpha_bar[step.t]), float(alpha_bar[step.s])
    return before**0.5 * (1 - now / before) / (1 - now)


def check_again(steps: list[Step]) -> Finding | None:
    """Each step should add noise of its own (alg-sampling); None if it does."""
    used = Counter(step.noise for step in steps if step.sigma > HEARD and step.noise >= 0)
    if max(used.values(), default=0) < 2:
        return None
    text = "several steps add the same noise, so it adds up; draw fresh noise in each; the weights are not tested"
    return Finding(False, "noise of a step", text)


def check_noise(steps: list[Step], alpha_bar: Table, heard: list[Tensor]) -> Finding:
    """The variance of old and fresh noise should be 1 - alpha_bar_s (eq-leap-variance), or sigma_t^2 up to beta_t."""
    if not steps:
        return Finding(True, "noise of a step", "no step can be read, so it is not tested")
    if heard and not (drawn := check_gaussian("noise of a step", torch.cat([z.flatten() for z in heard]))).fine:
        return drawn._replace(text=f"fresh noise has {drawn.text}")
    worst, text = 0.0, ""
    for step in (step for step in steps if step.s > 0):
        now, rest = float(alpha_bar[step.t]), float(1 - alpha_bar[step.t])
        beta, goal = 1 - now / float(alpha_bar[step.s]), float(1 - alpha_bar[step.s])
        slack = 0.01 * beta + step.doubt
        found, right = _noise_after(step, alpha_bar), (1 - beta) ** 0.5 * goal / rest
        larger = abs(step.weight_x_t - right) < WEIGHT and goal < found <= goal + beta - beta * goal / rest + slack
        if (off := (abs(found - goal) - slack) / goal) > worst and not larger:
            worst = off
            squared = min(abs(step.sigma - variance) for variance in (beta, beta * goal / rest)) < 0.02 * beta
            slip = "the variance was taken for the standard deviation" if squared else name_slip(step, alpha_bar)
            text = f"at t = {step.t} noise of deviation {found**0.5:.3g} results, expected {goal**0.5:.3g}"
            text += f"; {slip}" if slip else ""
    if not text and max((step.doubt for step in steps), default=0.0) > UNHEARD:
        text = "steps add noise that was not drawn by PyTorch, so it is not tested; draw it with torch.randn"
        return Finding(True, "noise of a step", text, note=True)
    return Finding(not text, "noise of a step", text or "old and fresh noise have the right variance")


def check_last(steps: list[Step], alpha_bar: Table) -> Finding:
    """The last step should add no noise (alg-sampling); noise that it leaves is a note, as some programs want it so."""
    if not steps or steps[-1].s != 0:
        return Finding(False, "last step", "the states are infinite or NaN before it")
    last = steps[-1]
    left = abs(last.weight_x_t) * float(1 - alpha_bar[last.t]) ** 0.5
    if last.sigma < HEARD + last.doubt and left > WEIGHT + last.doubt:
        text = f"adds no noise, but leaves noise of deviation {left:.2g}; alpha_bar before the first noise is 1"
        return Finding(True, "last step", text, note=True)
    if last.sigma < HEARD + last.doubt:
        return Finding(True, "last step", "adds no noise")
    text = f"adds noise of deviation {last.sigma:.2g} to the image"
    if last.t > 1 and len(steps) > 1 and steps[-2].t == last.t + 1:
        text += f"; it is the step from t = {last.t}, so the walk stops before t = 1"
    return Finding(False, "last step", text)


def check_clip(sampler: Callable, shape: tuple, alpha_bar: Table, first: int, steps: list[Step]) -> Finding:
    """Images are clipped to [-1, 1] on the way in the paper's code, but not in Algorithm 2: a note, not a mistake."""
    calls, heard, x_0 = walk(sampler, shape, alpha_bar, first, 3.0)
    weights = {step.t: step.weight_x_0 for step in read_steps(calls, heard, x_0, alpha_bar, first)}
    largest = float(x_0.abs().max())
    text = f"an x_0_hat of 3 ends as {largest:.2g}"
    advice = "; where data are images, clip x_0_hat to [-1, 1] before the mean"
    if largest >= 1.5:
        return Finding(True, "clip", text + advice, note=True)
    kept = [weights[step.t] / step.weight_x_0 for step in steps if step.s > 0 and step.weight_x_0 > WEIGHT]
    if kept and min(kept) > 0.9:  # the estimates of 3 keep their whole weight, so only the last image is clipped
        return Finding(True, "clip", f"{text}, but only the final image is clipped{advice}", note=True)
    return Finding(True, "clip", text)
