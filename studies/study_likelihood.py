"""Measure the log density of held-out digits along the probability-flow ODE, for the chapter on the likelihood.

    python studies/study_likelihood.py     (about eight minutes on one idle core)

From a uniform place among those that are rounded to a digit, the ODE is followed by Heun's steps over the noise level,
from the smallest level to the largest, with the exact divergence of the shipped network `digits` (eq-log-density-ode).
The steps are even in the logarithm of the level, as far as the times of the schedule allow, and the divergence is
integrated over this logarithm by the trapezoid rule. (eq-rounding-bound) turns the log density into bits per dimension.
Writes book/results/likelihood.json: the bits of each digit and the two parts of its log density (of the noise at the
end, and the integral), in one row for each draw of the places. `fifty` has one draw of each digit, `ten` four of the
first ten, `finer` the first of these with more steps, `two` sixteen of the first two, and `sheet` sixteen of an image
that is black in all pixels. In `centre` the ODE starts from the digits themselves, each the centre of its places; in
`black` only the black pixels of ten digits are moved from there, and in `others` only the rest.
"""

import json
import math
import time

import torch
import train_digits
from torch.distributions import Normal

from ddpm_lite import load_digits, load_pretrained

RECORD = train_digits.RESULTS / "likelihood.json"
STEPS, FINER = 50, 100  # as asked for; some coincide
FIFTY, TEN, DRAWS, MANY = 50, 10, 4, 16  # how many of the first held-out digits, and draws of each
WIDTH = 2 / 16  # the distance of two of the 17 grey values
BATCH = 5  # digits at a time; each is repeated once for each pixel


def own_slopes(model, x, t):
    """Evaluate the network, and add up the slopes of each pixel's output with respect to this pixel of the input."""
    size = x[0].numel()
    copies = x.repeat_interleave(size, 0).requires_grad_()
    rows, pixels = torch.arange(len(copies)), torch.arange(size).repeat(len(x))
    z = model(copies, torch.full((len(copies),), t))
    (slopes,) = torch.autograd.grad(z.flatten(1)[rows, pixels].sum(), copies)
    return z[::size].detach(), slopes.flatten(1)[rows, pixels].reshape(len(x), size).sum(1)


def even_times(levels, steps):
    """Choose times 1..T whose noise levels are about evenly spaced in their logarithm."""
    logs = levels[1:].log()
    wanted = torch.linspace(float(logs[0]), float(logs[-1]), steps + 1)
    return sorted({1 + int((logs - each).abs().argmin()) for each in wanted})


def log_density(model, schedule, y, times):
    """Follow y from the first time to the last; the two parts of log p at its start: the end's and the integral."""
    nu, signal = schedule.noise_level, schedule.alpha_bar.sqrt()
    total = torch.zeros(len(y), dtype=torch.float64)

    def at(y, t):
        z, slopes = own_slopes(model, (signal[t] * y).to(y.dtype), t)
        return z, signal[t] * slopes

    for t, s in zip(times, times[1:], strict=False):
        width = nu[s] - nu[t]
        z, slopes = at(y, t)
        z_there, slopes_there = at((y + width * z).to(y.dtype), s)
        y = (y + width * (z + z_there) / 2).to(y.dtype)
        total += (nu[s] / nu[t]).log() * (nu[t] * slopes + nu[s] * slopes_there) / 2
    end = Normal(0.0, 1 / float(signal[times[-1]])).log_prob(y.double())
    return end.flatten(1).sum(1), total


def bits(log_p, width, size):
    """Minus log p in bits per dimension: over uniform places, in the mean a bound (eq-rounding-bound)."""
    return (-log_p / size - math.log(width)) / math.log(2)


def measure(model, schedule, places, steps):
    """Follow every place, and return what the record holds of it: rows of draws, in each a number for each digit."""
    times = even_times(schedule.noise_level, steps)
    parts = [log_density(model, schedule, y, times) for y in places.flatten(0, 1).split(BATCH)]
    end, integral = (torch.cat(each).reshape(places.shape[:2]) for each in zip(*parts, strict=True))
    each = bits(end + integral, WIDTH, places[0, 0].numel())
    print(len(times) - 1, "steps:", f"{each.mean():.3f}", flush=True)
    found = {"bits": each, "end": end, "integral": integral}
    rows = {name: [[round(float(n), 4) for n in row] for row in table] for name, table in found.items()}
    return {"steps_taken": len(times) - 1} | rows


def main():
    """Measure, write."""
    start = time.process_time()
    model, schedule = load_pretrained("digits")
    x_0 = load_digits("test")[0][:FIFTY]
    generator = torch.Generator().manual_seed(0)

    def move(images, draws):
        """Draw a uniform place in the cell of each image."""
        return images + WIDTH * (torch.rand((draws, *images.shape), generator=generator) - 0.5)

    places = move(x_0, DRAWS)
    ten, black = places[:1, :TEN], x_0[:TEN] == -1
    starts = {
        "fifty": places[:1],
        "ten": places[:, :TEN],
        "finer": ten,
        "centre": x_0[None],
        "black": torch.where(black, ten, x_0[:TEN]),
        "others": torch.where(black, x_0[:TEN], ten),
        "sheet": move(-torch.ones_like(x_0[:1]), MANY),
        "two": move(x_0[:2], MANY),
    }
    found = {name: measure(model, schedule, y, FINER if name == "finer" else STEPS) for name, y in starts.items()}
    record = train_digits.circumstances("study_likelihood.py") | {"seed": 0}
    record |= {"cpu_seconds": round(time.process_time() - start, 1), "found": found}
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    print(f"wrote {RECORD.relative_to(train_digits.ROOT)}")


if __name__ == "__main__":
    main()
