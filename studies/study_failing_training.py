"""Train the tutorial with what makes a training fail, and record what one would print: loss, gradient, loss by time.

    python studies/study_failing_training.py     ten minutes of one core; writes book/results/failing-training.json

Each case changes a line of the program, the rate, the batch or the pixels, and trains for 400 steps with seed 0, so the
right program begins as in `study_mistakes.py`. Six more right runs have the same draws and other first weights, and say
how much is chance; so has a second run of two mistakes. Loss and norm of the gradient are recorded as means of 10
steps; the norm is that of the gradient which the optimiser gets. A training ends at the first loss or gradient that is
not finite. The loss by time is that of the network after the last step, not of its average, against the program's own
z: 100 held-out digits at each of the 200 times, with the same noise for all cases, as five means of 40 times each. Four
right runs and both runs of two mistakes go on to 1,000 steps, which says whether the loss by time still tells them
apart.
"""

import json
import math
import time
from copy import deepcopy
from dataclasses import dataclass

import mistakes
import study_mistakes
import torch

from ddpm_lite import load_digits
from ddpm_lite.cli.report import describe_circumstances
from ddpm_lite.files.pixels import to_bytes
from ddpm_lite.files.records import name_processor

RECORD = study_mistakes.RESULTS / "failing-training.json"
STEPS, LONGER, EVERY = 400, 1000, 10
SHOWN, GROUPS = 100, 5  # held-out digits at each time, and parts of the times
STEP, LOSS = "optimiser.step()", "loss = (z_hat - z).square().mean()"
ZERO = "optimiser.zero_grad()"
CLIPPED = f"torch.nn.utils.clip_grad_norm_(model.parameters(), 1); {STEP}"
CUT = ("embed(t))", "embed(t.clamp(max=100)))")
ROUNDED = f"{STEP}; [p.data.copy_(p.data.bfloat16()) for p in model.parameters()]"


@dataclass(frozen=True)
class Case:
    """What differs from the right program."""

    changes: tuple[tuple[str, str], ...] = ()
    rate: float = study_mistakes.RATE
    batch: int = study_mistakes.BATCH
    copied: bool = False  # the optimiser gets the parameters of a copy
    weights: int | None = None  # the seed of other first weights, after which all draws are the same


def wrong(key, weights=None):
    """A case that is one of the 21 mistakes."""
    return Case(((mistakes.MISTAKES[key].right, mistakes.MISTAKES[key].wrong),), weights=weights)


CASES = {
    "right": Case(),
    **{f"right, first weights {seed}": Case(weights=seed) for seed in range(1, 7)},
    "rate x 30": Case(rate=0.06),
    "rate x 30, clipped": Case(((STEP, CLIPPED),), rate=0.06),
    "rate x 300": Case(rate=0.6),
    "rate / 100": Case(rate=2e-5),
    "no zero_grad": Case(((ZERO, "pass"),)),
    "optimiser of a copy": Case(copied=True),
    "target drawn anew": Case(((LOSS, "loss = (z_hat - torch.randn_like(z)).square().mean()"),)),
    "weights in bfloat16": Case(((STEP, ROUNDED),)),
    "batch of 4": Case(batch=4),
    "pixels of 0 to 255": Case((("x / 127.5 - 1", "x"),)),
    "t / T embedded": wrong("time-as-share"),
    "time not told": wrong("no-time"),
    "t above 100 told as 100": Case((CUT,)),
    "t / T embedded, first weights 1": wrong("time-as-share", weights=1),
    "t above 100 told as 100, first weights 1": Case((CUT,), weights=1),
}
RIGHT = [name for name in CASES if name.startswith("right")]
FOR_LONGER = RIGHT[:4] + [name for name in CASES if name.startswith(("t / T", "t above 100"))]


def train(case, images, labels, steps=STEPS, kept=None):
    """Train, and return the program, its network, and the loss and the gradient's norm of each step while finite.

    The list `kept` gets a copy of the network after STEPS steps.
    """
    program = mistakes.load_program(*case.changes)
    torch.manual_seed(0)
    model = program.Network()
    if case.weights is not None:
        with torch.random.fork_rng():
            torch.manual_seed(case.weights)
            model = program.Network()
    average = deepcopy(model)
    optimiser = torch.optim.Adam((average if case.copied else model).parameters(), case.rate)
    x, losses, norms = program.scale_images(images), [], []
    for step in range(1, steps + 1):
        chosen = torch.randint(len(x), (case.batch,))
        losses.append(program.train_step(model, average, optimiser, x[chosen], labels[chosen], step))
        norms.append(math.hypot(*(float(p.grad.norm()) for p in model.parameters())))
        if not math.isfinite(losses[-1] + norms[-1]):
            break
        if step == STEPS and kept is not None:
            kept.append(deepcopy(model).eval())
    return program, model.eval(), losses, norms


@torch.no_grad()
def measure_by_time(program, model, images, labels):
    """The loss against z at each time, and its means over equal parts of the times."""
    found, x_0 = [], program.scale_images(images[:SHOWN])
    generator = torch.Generator().manual_seed(0)
    for t in range(1, program.T + 1):
        z = torch.randn(x_0.shape, generator=generator)
        now = program.ALPHA_BAR[t]
        z_hat = model(now.sqrt() * x_0 + (1 - now).sqrt() * z, torch.full((len(x_0),), t), labels[:SHOWN])
        found.append(float((z_hat - z).square().mean()))
    return torch.tensor(found).reshape(GROUPS, -1).mean(dim=1).tolist()


def take_means(values):
    """The means of each 10 steps, to four digits."""
    parts = torch.tensor(values, dtype=torch.float64)[: len(values) // EVERY * EVERY].reshape(-1, EVERY)
    return [float(f"{mean:.4g}") for mean in parts.mean(dim=1).tolist()]


def summarise(losses, norms):
    """The means of losses and norms, the first loss, and the step that was not finite, if any."""
    fine = math.isfinite(losses[-1] + norms[-1])
    row = {"losses": take_means(losses), "norms": take_means(norms), "first": float(f"{losses[0]:.4g}")}
    return row | {"not_finite_at": None if fine else len(losses)}


def main():
    torch.set_num_threads(1)
    (train_x, train_y), (test_x, test_y) = load_digits("train"), load_digits("test")
    images, held_out = to_bytes(train_x).float(), to_bytes(test_x).float()
    start, rows, longer = time.process_time(), {}, {}
    for name, case in CASES.items():
        kept = []
        program, model, losses, norms = train(case, images, train_y, LONGER if name in FOR_LONGER else STEPS, kept)
        ends = [(rows, STEPS, (kept or [model])[0])] + ([(longer, LONGER, model)] if name in FOR_LONGER else [])
        for target, steps, network in ends:
            target[name] = summarise(losses[:steps], norms[:steps])
            fine = target[name]["not_finite_at"] is None
            by_time = measure_by_time(program, network, held_out, test_y) if fine else []
            target[name]["by_time"] = [float(f"{loss:.4g}") for loss in by_time]
            print(f"{time.process_time() - start:5.0f} s", name, steps, target[name]["by_time"], flush=True)
    seconds = f"{time.process_time() - start:.0f}"
    table = {"command": "python studies/study_failing_training.py"} | describe_circumstances(torch.device("cpu"))
    table |= {"hardware": f"{name_processor()}, one thread, no GPU", "seconds": seconds, "seed": 0}
    table |= {"steps": STEPS, "every": EVERY, "batch": study_mistakes.BATCH, "rate": study_mistakes.RATE, "rows": rows}
    table["longer"] = {"steps": LONGER, "rows": longer}
    RECORD.write_text(json.dumps(table, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
