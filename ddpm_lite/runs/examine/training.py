"""Checks of what training does with images, times, noise, labels and weights."""

from collections.abc import Callable, Iterator
from copy import deepcopy

import torch
from torch import Tensor, nn

from ddpm_lite._check import check_call
from ddpm_lite.runs.examine.finding import Finding, check_noise
from ddpm_lite.runs.examine.listen import WEIGHT, Table

MEMORY = 0.05  # the largest share of the first weights in the average
KEPT = 0.9  # the least share of itself that a late average keeps in a step; 1 / (1 - 0.9) = 10 steps


def check_range(images: Tensor) -> Finding:
    """Images should fill [-1, 1], because noise of variance 1 and the sampler's clip expect them there."""
    low, high = float(images.min()), float(images.max())
    text = f"pixels from {low:.2f} to {high:.2f}"
    if high > 1.5 or low < -1.5:
        return Finding(False, "range of the images", f"{text}; scale bytes to [-1, 1]: x / 127.5 - 1")
    if low >= 0:
        return Finding(False, "range of the images", f"{text}; move them to [-1, 1]: 2 x - 1")
    dull = max(-low, high) <= 0.6  # a note, since a few dull images are no mistake
    return Finding(
        True, "range of the images", text + "; bytes fill [-1, 1] by x / 127.5 - 1" if dull else text, note=dull
    )


def check_batch(batch: Callable, x_0: Tensor, alpha_bar: Table, first: int) -> Iterator[Finding]:
    """Training should see all times, Gaussian noise, and x_t with the right weights (eq-forward-closed)."""
    check_call("batch", batch, "(x_0) -> (x_t, t, z)")
    T, seen = len(alpha_bar) - 1, set()
    for _ in range(-(-20 * T // len(x_0))):  # at 20 T draws, a time is missed with probability 2e-9
        x_t, t, z = batch(x_0)
        seen |= set(t.flatten().tolist())
    low, high = min(seen), max(seen)
    fine = (low, high) == (first, first + T - 1)
    text = f"training draws times {low:g}..{high:g}"
    yield Finding(fine, "times of training", text if fine else f"{text}; expected {first}..{first + T - 1}")

    yield check_noise("noise of training", torch.cat([batch(x_0)[2] for _ in range(8)]))

    time = (t.flatten().double() - first + 1).round().long().clamp(0, T)
    columns = torch.stack([x_0.flatten(1), z.flatten(1)], dim=2).double()
    weights = torch.linalg.lstsq(columns, x_t.flatten(1).double()[..., None]).solution[..., 0]
    right = torch.stack([alpha_bar[time].sqrt(), (1 - alpha_bar[time]).sqrt()], dim=1)
    off = (weights - right).abs().amax(dim=1)
    i = int(off.argmax())
    got, want = ([f"{float(number):.4g}" for number in row] for row in (weights[i], right[i]))
    text = f"at t = {int(t.flatten()[i])}, x_t is {got[0]} x_0 + {got[1]} z"
    fine = float(off[i]) <= WEIGHT
    advice = f"; expected {want[0]} and {want[1]}, the roots of alpha_bar_t and 1 - alpha_bar_t"
    yield Finding(fine, "forward jump", text if fine else text + advice)


def check_dropout(drop: Callable, p: float) -> Finding:
    """A share p of the labels should be replaced (eq-label-dropout)."""
    check_call("drop", drop, "(labels) -> labels")
    labels, n = torch.zeros(10_000, dtype=torch.int64), 10_000
    share = float((drop(labels.clone()) != labels).double().mean())
    fine = abs(share - p) <= 5 * (p * (1 - p) / n) ** 0.5 + 1e-9
    text = f"{share:.0%} of the labels are dropped"
    kept = "; labels are kept with probability p, not dropped" if abs(share - (1 - p)) < 0.02 else ""
    return Finding(fine, "dropped labels", text if fine else f"{text}; expected {p:.0%}{kept}")


def check_average(update: Callable, steps: int) -> Iterator[Finding]:
    """The average should forget the first weights and copy the buffers (eq-ema-memory, eq-ema-warmup)."""
    check_call("update", update, "(average, model, step) -> None")
    model = nn.Linear(1, 1, bias=False)
    model.register_buffer("table", torch.ones(1))
    with torch.no_grad():
        model.weight.fill_(1.0)  # weights that the training has reached at once
    average = deepcopy(model)
    for value in (*average.parameters(), *average.buffers()):
        value.data.zero_()
    for step in range(1, steps + 1):
        update(average, model, step)
    left = 1 - float(average.get_parameter("weight").detach())
    text = f"after {steps:,} steps {left:.0%} of the average are the first weights"
    fine = abs(left) <= MEMORY
    advice = "; it needs a warm-up, such as a decay of min(decay, (1 + step) / (10 + step))"
    late = max(steps, 1000)  # by then the warm-up is over
    average.get_parameter("weight").data.zero_()
    update(average, model, late)
    kept = 1 - float(average.get_parameter("weight").detach())
    if fine and kept < KEPT:
        fine, text = False, f"in step {late:,} it keeps {kept:.0%} of itself"
        advice = ", so it is nearly the last weights; the decay should be near 1"
    yield Finding(fine, "average of the weights", text if fine else text + advice)
    average.get_buffer("table").zero_()
    update(average, model, 1)
    copied = float(average.get_buffer("table"))
    text = f"after one step a buffer of 1 is {copied:.2g} in the average"
    advice = "; copy buffers, or keep tables out of the model"
    yield Finding(copied == 1, "buffers of the average", text if copied == 1 else text + advice)
