"""Train the small U-Net that learns in the page, in PyTorch, and record what its samples are worth on the way.

    python studies/page_lesson.py      (about seven minutes of one core)

The first weights, the images of each step, the times, the noises and the dropped labels are those of the page
(ddpm_lite/viz/js/shared/train.js), so the run is the page's own, up to rounding in float32. After every 25 steps, 200
digits, 20 of each label, are sampled in 25 steps of DDIM with guidance w = 1, and the classifier that comes with the
package says how many it reads as the digit that was asked for. Writes book/results/page-lesson.json, and the figure of
the widget, book/results/widgets/watch-it-learn.safetensors.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import train_digits
from safetensors.torch import save
from torch import Tensor, nn

from ddpm_lite import ddim_step, guided, linear_schedule, load_digits, respace, sample
from ddpm_lite.evaluate import class_agreement
from ddpm_lite.files.features import load_features
from ddpm_lite.files.pixels import to_bytes
from ddpm_lite.process import ddpm_loss, predict_x_0, q_sample
from ddpm_lite.sampler import last
from ddpm_lite.trainer import ema_decay
from ddpm_lite.viz.noise import gaussians, normals
from ddpm_lite.viz.untrained import HELD_OUT, LABELS, keyed, make_untrained

BATCH, RATE, WARMUP, DROPOUT, FEW, GUIDANCE, TIMES = 32, 4e-3, 20, 0.1, 25, 1.0, (100, 300, 600)  # those of lesson.js
STEPS, EVERY, EACH, STAGES = 300, 25, 20, (25, 75, 150, 300)
ORDER, TIME, NOISE = 1, 2, 3  # the purposes of the page's random numbers, in train.js
RECORD = train_digits.RESULTS / "page-lesson.json"
PICTURES = train_digits.RESULTS / "widgets" / "watch-it-learn.safetensors"


def draw_step(
    images: Tensor, labels: Tensor, seed: int, step: int, batch: int = BATCH
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw what step `step`, from 1, draws in the page: x_0, t, z, and labels of which some are dropped."""
    positions = np.arange((step - 1) * batch, step * batch)
    chosen = [_permute(len(images), seed, p // len(images))[p % len(images)] for p in positions.tolist()]
    i, uniform = np.arange(batch), keyed(seed, TIME, step)
    t = 1 + np.floor(1000 * uniform(2 * i)).astype(np.int64)
    dropped = torch.from_numpy(uniform(2 * i + 1) < DROPOUT)
    x_0, pairs = images[chosen], 2 * np.arange(batch * images[0].numel() // 2)
    noise = keyed(seed, NOISE, step)
    z = torch.from_numpy(gaussians(noise(pairs), noise(pairs + 1))).float().reshape(x_0.shape)
    return x_0, torch.from_numpy(t), z, torch.where(dropped, LABELS, labels[chosen])


_ORDERS: dict[tuple[int, int, int], list[int]] = {}


def _permute(n: int, seed: int, epoch: int) -> list[int]:
    """Shuffle 0..n-1 as `batchIndices` of train.js does (Fisher and Yates)."""
    if (n, seed, epoch) not in _ORDERS:
        order, places = list(range(n)), np.arange(n)
        chosen = np.floor((places + 1) * keyed(seed, ORDER, epoch)(places)).astype(int)
        for i in range(n - 1, 0, -1):
            j = chosen[i]
            order[i], order[j] = order[j], order[i]
        _ORDERS[n, seed, epoch] = order
    return _ORDERS[n, seed, epoch]


class Timeless(nn.Module):
    """The network, told t = 1 whatever the time is."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model, self.none = model, model.none

    def forward(self, x_t: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        return self.model(x_t, torch.ones_like(t), context)


def learn(seed: int = 0, *, steps: int = STEPS, told: bool = True, rate: float = RATE) -> Iterator[tuple]:
    """Train as the page does, and yield (step, loss, model, average) from step 0 on; without time if it is not told."""
    model, average = (make_untrained(seed) if told else Timeless(make_untrained(seed)) for _ in range(2))
    (images, labels), schedule = load_digits("train"), linear_schedule()
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    yield 0, None, model, average
    for step in range(1, steps + 1):
        optimizer.param_groups[0]["lr"] = rate * min(1, step / WARMUP)
        loss = ddpm_loss(model, schedule, *draw_step(images, labels, seed, step))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            for old, new in zip(average.parameters(), model.parameters(), strict=True):
                old.lerp_(new, 1 - ema_decay(step, 0.9999))
        yield step, float(loss.detach()), model, average


@torch.no_grad()
def draw_digits(model: nn.Module, each: int = 1) -> tuple[Tensor, Tensor]:
    """Sample so many digits of each label as the page samples one: images, and the labels that they were asked for."""
    labels = torch.arange(LABELS).repeat(each)
    x_T = torch.from_numpy(normals(0, 64 * len(labels))).float().reshape(-1, 1, 8, 8)
    way = respace(linear_schedule(), FEW)
    asked = guided(model, GUIDANCE, model.none)
    _, x_0 = last(sample(asked, way, x_T.shape, step=ddim_step, x_T=x_T, context=labels))
    return x_0, labels


@torch.no_grad()
def estimate(model: nn.Module) -> Tensor:
    """Estimate the held-out digit of the page from x_t at its three times, without a label, (3, 1, 8, 8)."""
    x_0, schedule = load_digits("test")[0][HELD_OUT : HELD_OUT + 1], linear_schedule()
    z = torch.from_numpy(normals(0, 64 * (LABELS + 1))[-64:]).float().reshape(x_0.shape)
    found = []
    for t in TIMES:
        x_t = q_sample(schedule, x_0, t, z)
        found.append(predict_x_0(schedule, x_t, t, model(x_t, torch.tensor([t]), torch.tensor([LABELS]))))
    return torch.cat(found)


def count_legible(model: nn.Module, net, each: int = EACH) -> int:
    """Count the digits, of `each` for every label, that the classifier reads as what was asked for."""
    x_0, labels = draw_digits(model, each)
    return round(class_agreement(net, x_0.clamp(-1, 1), labels) * len(labels))


def follow(seed: int, told: bool, net) -> tuple[dict, dict[int, Tensor]]:
    """Follow one run: legible digits at every look, by average and last weights; and ten digits at some stages."""
    losses, rows, pictures, spent = [], [], {}, 0.0
    start = time.process_time()
    for step, loss, model, average in learn(seed, told=told):
        losses += [] if loss is None else [round(loss, 5)]
        if step and step % EVERY == 0:
            spent += time.process_time() - start
            row = {"images": step * BATCH, "average": count_legible(average, net), "last": count_legible(model, net)}
            rows.append(row | {"loss": round(float(np.mean(losses[-EVERY:])), 4), "seconds": round(spent, 1)})
            if step in STAGES:
                pictures[step] = draw_digits(average)[0]
            print(f"seed {seed}, {'with' if told else 'without'} time, {rows[-1]}", flush=True)
            start = time.process_time()
    return {"seed": seed, "told": told, "rows": rows}, pictures


def main():
    """Train, sample, write."""
    torch.set_num_threads(1)
    net, about = load_features("digits"), train_digits.circumstances("page_lesson.py")
    found, pictures = follow(0, True, net)
    runs = [found] + [follow(seed, told, net)[0] for seed, told in ((1, True), (2, True), (0, False))]
    settings = {"batch": BATCH, "rate": RATE, "warmup": WARMUP, "dropout": DROPOUT, "sampler_steps": FEW}
    record = about | settings | {"guidance": GUIDANCE, "count": EACH * LABELS, "runs": runs}
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    arrays = {
        "pictures": to_bytes(torch.stack(list(pictures.values()))),
        "steps": torch.tensor(list(pictures)),
    }
    header = about | {"widget": "watch-it-learn", "seed": "0"}
    PICTURES.write_bytes(save(arrays, metadata=header))
    for path in (RECORD, PICTURES):
        print(f"wrote {Path(path).relative_to(train_digits.ROOT)}")


if __name__ == "__main__":
    main()
