"""Train the small U-Net of the page on sets of few and of many pictures, and compare its samples with those pictures.

    python studies/page_set.py      (half a minute on two quiet cores)

This is what the widget TeachYourOwn does, in PyTorch: the same first weights, draws, settings and noise, so
the runs are the page's own up to rounding in float32. The sets are three letters, eight letters, and the first 30
training digits. Each set is trained with the same number of steps. Eight samples are then drawn without labels, each
beside its nearest picture of the set, with the root-mean-square distance per pixel.
Writes book/results/widgets/teach-your-own.safetensors.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import page_lesson
import torch
import train_digits
from safetensors.torch import save
from torch import Tensor, nn

from ddpm_lite import ddim_step, linear_schedule, load_digits, respace, sample
from ddpm_lite.evaluate import nearest
from ddpm_lite.files.pixels import to_bytes
from ddpm_lite.process import ddpm_loss
from ddpm_lite.sampler import last
from ddpm_lite.trainer import ema_decay
from ddpm_lite.viz.noise import normals
from ddpm_lite.viz.untrained import LABELS, make_untrained
from ddpm_lite.viz.widgets.teach_your_own import BATCH, LIMIT, RATE, SAMPLES, SETS, STEPS, read_letters

RECORD = train_digits.RESULTS / "widgets" / "teach-your-own.safetensors"


def learn_set(images: Tensor, seed: int = 0, steps: int = STEPS):
    """Train as the page does, without labels, and yield (step, loss, average of the weights)."""
    model, average = make_untrained(seed), make_untrained(seed)
    labels, schedule = torch.full((len(images),), LABELS), linear_schedule()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for step in range(1, steps + 1):
        optimizer.param_groups[0]["lr"] = RATE * min(1, step / page_lesson.WARMUP)
        loss = ddpm_loss(model, schedule, *page_lesson.draw_step(images, labels, seed, step, BATCH))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            for old, new in zip(average.parameters(), model.parameters(), strict=True):
                old.lerp_(new, 1 - ema_decay(step, 0.9999))
        yield step, float(loss.detach()), average


@torch.no_grad()
def draw_samples(model: nn.Module) -> Tensor:
    """Draw the eight samples of the page, without labels, (8, 1, 8, 8)."""
    x_T = torch.from_numpy(normals(0, 64 * SAMPLES)).float().reshape(-1, 1, 8, 8)
    way, context = respace(linear_schedule(), page_lesson.FEW), torch.full((SAMPLES,), LABELS)
    return last(sample(model, way, x_T.shape, step=ddim_step, x_T=x_T, context=context))[1]


def compare(samples: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each sample the number of its nearest picture, and the distance from it (eq-nearest)."""
    apart, which = nearest(samples.clamp(-1, 1), images)
    return which, apart


def follow(name: str) -> dict[str, Tensor]:
    """Learn a set, and return its arrays in the record."""
    torch.set_num_threads(1)
    kind, number = name.split("-")
    images = (read_letters() if kind == "letters" else load_digits("train")[0])[: int(number)]
    *_, (_, loss, average) = learn_set(images)
    samples = draw_samples(average)
    which, apart = compare(samples, images)
    print(f"{name}, loss {loss:.3f}, {int((apart < LIMIT).sum())} copies:", apart.numpy().round(2), flush=True)
    arrays = {"samples": to_bytes(samples), "nearest": to_bytes(images[which]), "apart": apart.float().contiguous()}
    return {f"{name}-{kind}": values for kind, values in arrays.items()}


def main():
    """Learn all sets, each in a process of its own, and write."""
    torch.set_num_threads(1)
    arrays: dict[str, Tensor] = {}
    with ProcessPoolExecutor(len(SETS), mp_context=get_context("spawn")) as pool:
        for found in pool.map(follow, SETS):
            arrays |= found
    header = train_digits.circumstances("page_set.py") | {"widget": "teach-your-own", "seed": "0", "steps": str(STEPS)}
    RECORD.write_bytes(save(arrays, metadata=header))
    print(f"wrote {RECORD.relative_to(train_digits.ROOT)}")


if __name__ == "__main__":
    main()
