"""Measure the variational bound of three networks with the linear schedule, term by term, on held-out images.

    python studies/study_bits.py [--folder FOLDER]    (about a quarter of an hour on one idle core)

For each t from 1 to 1000 the squared error of the noise is measured on some of the held-out images, in turn; by
(eq-weighted-noise-loss) that gives the term of t for both variances of a step back. The decoder's term and L_T use all
the held-out images. Writes book/results/bits.json, in bits per dimension; seed 0. FOLDER is where Fashion-MNIST is.
"""

import argparse
import json
import math
import time

import torch
import train_digits

from ddpm_lite import q_sample
from ddpm_lite.bound import bound_terms, bound_weight, decoder_nll, prior_bits_per_dim
from ddpm_lite.data import load_digits, load_fashion_mnist
from ddpm_lite.files.pixels import from_bytes
from ddpm_lite.process import mean_from_noise
from ddpm_lite.runs.models import open_model

RECORD = train_digits.RESULTS / "bits.json"
CLOTHES = 1000  # the first images of the test set
# Images for each t, and grey levels.
MODELS = {"digits": (100, 17), "digits-by-label": (100, 17), "fashion-first": (10, 256)}


def open_network(name):
    """Open a model that comes with the package, or one that did so first."""
    weights = train_digits.RESULTS / f"{name}.safetensors"
    return open_model(weights if weights.is_file() else name)


def held_out(name, folder=None):
    """Load images, float32 in [-1, 1], and their labels, or None for a network without labels."""
    if name == "fashion-first":
        images, labels = (part[:CLOTHES] for part in load_fashion_mnist("test", folder=folder))
        return from_bytes(images), labels
    images, labels = load_digits("test")
    return images, labels if name == "digits-by-label" else None


@torch.no_grad()
def noise_errors(model, schedule, images, labels, each, generator):
    """Measure for every t the mean squared error of the noise on `each` images, and its standard error."""
    found = torch.zeros(2, schedule.T + 1, dtype=torch.float64)
    for t in range(1, schedule.T + 1):
        chosen = (torch.arange(each) + t * each) % len(images)
        x_0, context = images[chosen], None if labels is None else labels[chosen]
        z = torch.randn(x_0.shape, generator=generator)
        times = torch.full((each,), t)
        z_hat = model(q_sample(schedule, x_0, times, z), times, context)
        errors = (z - z_hat).double().square().flatten(1).mean(1)
        found[0, t], found[1, t] = errors.mean(), errors.std() / each**0.5
    return found


@torch.no_grad()
def decoder_bits(model, schedule, images, labels, levels, variance, generator):
    """Measure L_0 in bits per dimension, with one noise for each image (eq-decoder)."""
    total = 0.0
    for start in range(0, len(images), 100):
        x_0 = images[start : start + 100]
        context = None if labels is None else labels[start : start + 100]
        times = torch.ones(len(x_0), dtype=torch.long)
        x_1 = q_sample(schedule, x_0, times, torch.randn(x_0.shape, generator=generator))
        mean = mean_from_noise(schedule, x_1, times, model(x_1, times, context))
        total += float(decoder_nll(x_0.double(), mean.double(), variance**0.5, levels).sum())
    return total / images.numel() / math.log(2)


def bound(schedule, images, errors, decoder, variance):
    """Compute the three kinds of terms and their sum, with the standard error of the sampling of images."""
    middle = bound_terms(schedule, errors[0], variance) / math.log(2)
    weight = bound_weight(schedule, variance)[2:]
    chance = float((weight * errors[1, 2:]).square().sum().sqrt()) / math.log(2)
    parts = {
        "L_T": prior_bits_per_dim(schedule, float(images.double().square().mean())),
        "middle": float(middle.sum()),
        "L_0": decoder,
    }
    return {name: round(value, 7) for name, value in parts.items()} | {
        "total": round(sum(parts.values()), 4),
        "standard_error": round(chance, 4),
    }


def study(name, folder):
    """Study one network: its errors by t, and the bound for both variances."""
    start, (each, levels) = time.perf_counter(), MODELS[name]
    model, schedule = open_network(name)
    images, labels = held_out(name, folder)
    generator = torch.Generator().manual_seed(0)
    errors = noise_errors(model, schedule, images, labels, each, generator)
    found = {"images": len(images), "images_each_t": each, "levels": levels}
    for variance, sigma_2 in {"beta": schedule.beta[1], "beta_tilde": schedule.beta_tilde[2]}.items():
        decoder = decoder_bits(model, schedule, images, labels, levels, float(sigma_2), generator)
        found[variance] = bound(schedule, images, errors, decoder, variance)
        print(name, variance, found[variance], flush=True)
    found["seconds"] = round(time.perf_counter() - start, 1)
    found["errors"] = [round(float(value), 6) for value in errors[0, 1:]]
    return found


def main():
    """Measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", help="where Fashion-MNIST is; by default where the package looks for it")
    folder = parser.parse_args().folder
    record = train_digits.circumstances("study_bits.py") | {"seed": 0}
    record |= {"models": {name: study(name, folder) for name in MODELS}}
    RECORD.write_text(json.dumps(record) + "\n", encoding="utf8")
    print(f"wrote {RECORD.relative_to(train_digits.ROOT)}")


if __name__ == "__main__":
    main()
