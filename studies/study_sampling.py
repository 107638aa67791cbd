"""Measure the samples of a shipped model for several samplers and guidance scales, with reference rows.

    python studies/study_sampling.py digits-by-label     (about 40 minutes of one core)
    python studies/study_sampling.py fashion --steps 10 25 --scales 0 1     (over an hour; see --help for less)

NAME is a model that comes with the package and takes labels; the labels 0 to 9 are used in turn. Nothing is trained
here. Each row is sampled with several seeds. The reference rows are real images, real images with noise or blur, a
Gaussian, and noise, and also real images compared with different numbers of real images. With --keep FOLDER, the
samples are kept there and not drawn again. Writes book/results/NAME-sampling.json, and a few images with the
training images that are nearest to them to book/results/NAME-sampling.safetensors.
"""

import argparse
import hashlib
import json
import shlex
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
import train_digits
from safetensors.torch import load_file, save_file

from ddpm_lite import (
    ddim_step,
    ddpm_step,
    guided,
    last,
    load_digits,
    load_fashion_mnist,
    load_pretrained,
    respace,
    sample,
)
from ddpm_lite.evaluate import (
    class_agreement,
    features_of,
    floors,
    frechet_distance,
    kernel_distance,
    load_features,
    measure,
    nearest,
)
from ddpm_lite.files.pixels import from_bytes, to_bytes
from ddpm_lite.files.weights import find_shipped, pack_tensors

KINDS = {"DDPM, beta": partial(ddpm_step, variance="beta"), "DDPM, beta_tilde": ddpm_step, "DDIM": ddim_step}
DISTANCES = {"frechet": frechet_distance, "kernel": kernel_distance}
IMAGES = {"digits": 500, "fashion": 1000}  # images of each row, for each data set
SIZES = {"digits": [50, 100, 200, 500, 1000], "fashion": [100, 200, 500, 1000, 2000, 5000]}
SHOWN = 10  # images kept of each scale, one for each label; and as many with their nearest training images
BATCH = {"digits": 500, "fashion": 50}  # images drawn at a time, chosen for the processor's caches


def data(name, part):
    """Load images in [-1, 1] and labels; part is "train" or "test"."""
    if name == "digits":
        return load_digits(part)
    images, labels = load_fashion_mnist(part)
    return from_bytes(images), labels


def drawn(name, kind, steps, scale, seed, count, batch, folder):
    """Sample `count` images, labels 0 to 9 in turn, or read them from the folder; return them and the seconds."""
    path = folder / f"{name}, {kind}, {steps} steps, scale {scale:g}, seed {seed}, {count}.safetensors"
    if not path.exists():
        model, schedule = load_pretrained(name)
        asked, start, parts = torch.arange(count) % 10, time.process_time(), []
        for i, context in enumerate(asked.split(batch)):
            shape = (len(context), model.unet.config.in_channels, *2 * [model.unet.config.sample_size])
            walk, model_ = respace(schedule, steps), guided(model, scale, model.none)
            _, x_0 = last(sample(model_, walk, shape, step=KINDS[kind], seed=1000 * i + seed, context=context))
            parts.append(x_0.clamp(-1, 1))
        seconds = torch.tensor(time.process_time() - start)
        save_file({"x_0": torch.cat(parts), "seconds": seconds}, path)
    found = load_file(path)
    return found["x_0"], float(found["seconds"])


class Study:
    """A model, its training and held-out images, and the feature network that compares them."""

    def __init__(self, name, data_set, count, folder):
        self.name, self.count, self.batch, self.folder = name, count, BATCH[data_set], folder
        self.net = load_features(data_set)
        self.images, self.labels = data(data_set, "train")
        self.reference, unseen = data(data_set, "test")
        self.agreement = class_agreement(self.net, self.reference, unseen)
        self.seen = features_of(self.net, self.reference)
        self.asked = torch.arange(count) % 10

    def drawn(self, kind, steps, scale, seed):
        """Sample with one sampler."""
        return drawn(self.name, kind, steps, scale, seed, self.count, self.batch, self.folder)

    def walks(self, plan):
        """Make a row for each sampler: its settings and its measures."""
        rows = []
        for kind, steps, scale, seed in plan:
            x_0, seconds = self.drawn(kind, steps, scale, seed)
            found = measure(self.net, x_0, self.seen, self.images, self.asked)
            row = {"kind": kind, "steps": steps, "scale": scale, "seed": seed, "cpu_seconds": round(seconds, 1)}
            rows.append(row | rounded(found))
            print(rows[-1], flush=True)
        return rows

    def floors(self, seeds):
        """Make the reference rows, with the same number of images."""
        rows = []
        for seed in seeds:
            found = floors(self.net, self.reference, self.images, self.count, seed, self.labels)
            rows += [{"row": row, "seed": seed} | rounded(numbers) for row, numbers in found.items()]
        return rows

    def bias(self, sizes, seeds):
        """Measure the distances of different numbers of training images from the held-out ones."""
        rows = []
        for seed in seeds:
            order = torch.randperm(len(self.images), generator=torch.Generator().manual_seed(seed))[: max(sizes)]
            known = features_of(self.net, self.images[order])
            for size in sizes:
                found = {name: distance(known[:size], self.seen) for name, distance in DISTANCES.items()}
                rows.append({"images": size, "seed": seed} | rounded(found))
        return rows

    def memory(self, x_0):
        """Measure how near training images are to samples and to held-out images, with the nearest pairs of both."""
        numbers, shown = {}, {}
        for name, crowd in (("drawn", x_0), ("held out", self.reference[: self.count])):
            distances, indices = nearest(crowd, self.images)
            numbers[name] = {f"{q:.0%}": round(float(distances.double().quantile(q)), 5) for q in (0, 0.05, 0.5, 0.95)}
            least = distances.argsort()[:SHOWN]
            shown |= {name: crowd[least], f"{name}: nearest": self.images[indices[least]]}
        return numbers, shown


def rounded(numbers):
    """Round to five decimal places, which is more than these numbers are accurate to."""
    return {key: round(value, 5) if isinstance(value, float) else value for key, value in numbers.items()}


def grey(images):
    """Convert images in [-1, 1] to bytes."""
    return to_bytes(images).contiguous()


def main():
    """Sample, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", help="a model that comes with the package and takes labels")
    parser.add_argument("--data", choices=IMAGES, help="its data set; by default as its name begins")
    parser.add_argument("--count", type=int, help="images of each row; by default 500 digits, 1000 clothes")
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 25, 50, 100, 250, 1000])
    parser.add_argument("--kinds", choices=KINDS, nargs="+", default=list(KINDS), help="of steps")
    parser.add_argument("--scales", type=float, nargs="+", default=[0, 0.5, 1, 2, 4])
    parser.add_argument("--guided-kind", choices=KINDS, default="DDIM", help="the steps for the rows of guidance")
    parser.add_argument("--guided-steps", type=int, default=25, help="how many of them")
    parser.add_argument("--sizes", type=int, nargs="+", help="numbers of real images for real against real")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--keep", type=Path, help="a folder for what is drawn")
    given = parser.parse_args()
    name, seeds, start = given.name, range(given.seeds), time.perf_counter()
    data_set = given.data or name.split("-")[0]
    folder = given.keep or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    study = Study(name, data_set, given.count or IMAGES[data_set], folder)
    walks = study.walks((kind, steps, 0.0, seed) for steps in given.steps for kind in given.kinds for seed in seeds)
    guided_by = given.guided_kind, given.guided_steps
    guidance = study.walks((*guided_by, scale, seed) for scale in given.scales for seed in seeds)
    by_scale = {scale: study.drawn(*guided_by, scale, 0)[0] for scale in given.scales}
    numbers, shown = study.memory(by_scale[min(by_scale)])
    shown |= {f"scale {scale:g}": x_0[:SHOWN] for scale, x_0 in by_scale.items()}
    content = find_shipped(f"{name}.safetensors").read_bytes()
    record = train_digits.circumstances(shlex.join(["study_sampling.py", *command()])) | {
        "weights_sha256": hashlib.sha256(content).hexdigest(),
        "data": data_set,
        "images": study.count,
        "reference": len(study.reference),
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(sum(row["cpu_seconds"] for row in walks + guidance), 1),
        "walks": walks,
        "guidance": guidance,
        "floors": study.floors(seeds),
        "held_out_agreement": round(study.agreement, 5),
        "real against real": study.bias(given.sizes or SIZES[data_set], seeds),
        "memory": numbers,
    }
    path = train_digits.RESULTS / f"{name}-sampling"
    path.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    content = pack_tensors({key: grey(images) for key, images in shown.items()}, {})
    path.with_suffix(".safetensors").write_bytes(content)
    print(f"wrote {path.name}.json and {path.name}.safetensors")


def command():
    """Write the arguments of the command line, without the folder, which does not change the result."""
    words = sys.argv[1:]
    return words[: words.index("--keep")] + words[words.index("--keep") + 2 :] if "--keep" in words else words


if __name__ == "__main__":
    main()
