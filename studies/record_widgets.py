"""Record outputs of the trained models for the widgets and figures in the pages.

    python studies/record_widgets.py              (all records, about a quarter of an hour on one idle core)
    python studies/record_widgets.py reverse-path (one of them)

Processors round differently, and after a thousand steps the difference is visible, so the pages show these recorded
bytes. Writes book/results/widgets/NAME.safetensors. The header of each names the widget, the weights, the seed and this
command. Only `clothes`, which consists of real images, needs Fashion-MNIST.
"""

import argparse
import hashlib
from functools import partial

import numpy as np
import torch
import train_digits
from plane_network import train_plane
from safetensors.numpy import save

from ddpm_lite import ddim_step, last, respace, sample
from ddpm_lite.data import FASHION_WORDS, load_digits, load_fashion_mnist
from ddpm_lite.files.pixels import from_bytes, to_bytes
from ddpm_lite.files.records import read_pictures
from ddpm_lite.files.weights import PRETRAINED
from ddpm_lite.runs.models import open_model
from ddpm_lite.viz import plots
from ddpm_lite.viz.widgets import (
    AttentionViewer,
    DrawClothes,
    DrawDigit,
    FewerSteps,
    GuidanceDial,
    GuidanceRows,
    LabelAttention,
    Learner,
    ReceptiveField,
    ReversePath,
    label_attention,
    receptive_field,
)

FOLDER = train_digits.RESULTS / "widgets"
FIRST = train_digits.RESULTS / "fashion-first.safetensors"  # has attention at 14x14 pixels, as chapter 7 shows
SEED = 0
TIMES = (1, 50, 100, 200, 300, 400, 600, 1000)  # at which attention is recorded
ON_THE_WAY = ("sneaker", "pullover", "bag", "dress")
FEWER = (10, 25, 50, 100, 1000)
LEARNT = (50, 300, 3000)  # training steps after which the small network is sampled


def noisy_digit(which):
    """Return held-out digit number `which`, its label, and its noise in the chapter on attention."""
    digits, labels = load_digits("test")
    noise = torch.randn((200, *digits.shape[1:]), generator=torch.Generator().manual_seed(SEED))
    return {"x_0": digits[which], "noise": noise[which]}, labels[which : which + 1]


def reverse_path(model, schedule):
    """Sample sixteen images, as in the chapter on sampling, and keep the first eight."""
    widget = ReversePath.from_model(model, schedule, samples=16, seed=SEED)
    x_t, x_0_hat = (widget.frames(name)[:, :8] for name in ("x_t", "x_0_hat"))
    return widget, {"x_t": x_t, "x_0_hat": x_0_hat, "times": np.array(widget.times, np.int64)}


def self_attention(model, schedule):
    """Record the self-attention on digit 2 of the chapter's figure, a 5."""
    digit, _ = noisy_digit(2)
    return attention(AttentionViewer.from_model(model, schedule, **digit, times=TIMES))


def cross_attention(model, schedule):
    """Record the cross-attention on the same digit, in the model with labels."""
    digit, label = noisy_digit(2)
    return attention(AttentionViewer.from_model(model, schedule, **digit, times=TIMES, context=label, cross=True))


def attention(widget):
    """Return the arrays of an attention viewer: the images, the times, and one array for each layer, by its name."""
    return widget, {"images": widget.frames(), "times": np.array(widget.times, np.int64), **widget.bytes_by_layer()}


def noisy_pullover():
    """Return the held-out pullover of the chapter on attention and its noise, (1, 1, 28, 28) each."""
    pullover = read_pictures(FOLDER / "clothes.safetensors")["images"][2:3]
    return pullover, torch.randn(pullover.shape, generator=torch.Generator().manual_seed(SEED))


def label_attention_maps(model, schedule):
    """Record the self- and cross-attention on the pullover under several labels."""
    return LabelAttention, label_attention.measure_maps(model, schedule, *noisy_pullover())


def receptive_fields(model, schedule):
    """Record the gradients of each pixel of the answer for one of a hundred digits, with and without the skips."""
    digits, _ = load_digits("test")
    noise = torch.randn((100, *digits.shape[1:]), generator=torch.Generator().manual_seed(SEED))
    return ReceptiveField, receptive_field.measure_fields(model, schedule, digits[:100], noise)


def guidance(model, schedule):
    """Sample six images for each label and scale."""
    widget = GuidanceDial.from_model(model, schedule, seed=SEED)
    return widget, {"images": widget.grid(), "scales": np.array(widget.scales, np.float64)}


def in_bytes(x):
    """Convert images in [-1, 1] to uint8; values outside are clipped."""
    return to_bytes(x).numpy()


def clothes():
    """Take one held-out real image of each label, the first in the file."""
    images, labels = load_fashion_mnist("test")
    first = [int((labels == label).nonzero()[0]) for label in range(len(FASHION_WORDS))]
    return None, {"images": images[first].numpy()}


def clothes_grid(model, schedule):
    """Sample eight images of each label in 250 steps; the README and the covers of the books show some."""
    labels, short = torch.arange(10).repeat_interleave(8), respace(schedule, 250)
    _, x_0 = last(sample(model, short, (80, 1, 28, 28), seed=SEED, context=labels))
    return None, {"images": in_bytes(x_0)}


def clothes_path(model, schedule):
    """Sample four images, one for each of four labels, and keep every other frame, because these images are larger."""
    labels = torch.tensor([FASHION_WORDS.index(word) for word in ON_THE_WAY])
    widget = ReversePath.from_model(model, schedule, (1, 28, 28), samples=4, seed=SEED, context=labels)
    end = len(widget.times) - 1
    kept = [*range(0, end, 2), end]
    frames = {name: widget.frames(name)[kept] for name in ("x_t", "x_0_hat")}
    return widget, {**frames, "times": np.array([widget.times[frame] for frame in kept], np.int64)}


def clothes_guidance(model, schedule):
    """Sample four images for each label and scale, in fifty steps."""
    widget = GuidanceDial.from_model(model, respace(schedule, 50), (0, 0.5, 1, 2, 4), samples=4, seed=SEED)
    return widget, {"images": widget.grid(), "scales": np.array(widget.scales, np.float64)}


def clothes_steps(model, schedule):
    """Sample from the same eight noises by DDIM, with few steps and with many."""
    labels, images = torch.arange(8), {}
    for steps in FEWER:
        short = schedule if steps == schedule.T else respace(schedule, steps)
        _, x_0 = last(sample(model, short, (8, 1, 28, 28), step=ddim_step, seed=SEED, context=labels))
        images[f"{steps:04}"] = in_bytes(x_0)
    return None, images


def learner():
    """Train the page's small network on the spiral as the page does, and record 80 samples at three stages."""
    widget, stages = Learner("spiral", seed=SEED), {}
    short = respace(widget.mixture().schedule, 50)
    for step, _, network in train_plane(widget):
        if step in LEARNT:
            step_back = partial(ddim_step, clip=False)
            _, x_0 = last(sample(network, short, (80, 2), step=step_back, seed=SEED, dtype=torch.float64))
            stages[step] = x_0.numpy()
    samples = np.stack(list(stages.values()))
    return widget, {"steps": np.array(list(stages), np.int64), "samples": (samples * 4096).round().astype(np.int16)}


def drawing(kind):
    """Compute the figure of a widget that samples in the page, in Python with the page's noise."""

    def ask(model, schedule):
        widget = kind()
        return widget, {"pictures": widget.pictures}

    return ask


RECORDS = {  # file: the model, and the function
    "reverse-path": ("digits", reverse_path),
    "self-attention": ("digits", self_attention),
    "cross-attention": ("digits-by-label", cross_attention),
    "label-attention": (FIRST, label_attention_maps),
    "receptive-field": ("digits", receptive_fields),
    "guidance-dial": ("digits-by-label", guidance),
    "clothes": (None, clothes),
    "clothes-grid": ("fashion", clothes_grid),
    "clothes-path": ("fashion", clothes_path),
    "clothes-guidance": ("fashion", clothes_guidance),
    "clothes-steps": ("fashion", clothes_steps),
    "learner": (None, learner),
    "draw-a-digit": ("digits-by-label", drawing(DrawDigit)),
    "draw-clothes": ("fashion", drawing(DrawClothes)),
    "draw-clothes-between": ("fashion", drawing(partial(DrawClothes, view="between", label=9))),
    "guidance-rows": ("digits-by-label", drawing(GuidanceRows)),
    "fewer-steps": ("digits", drawing(FewerSteps)),
}


def find_weights(model):
    """Find the file of a model that comes with the package, or of one that did so first."""
    return FIRST if model is FIRST else PRETRAINED / f"{model}.safetensors"


def record(name):
    """Run the model, and write one record."""
    asked, ask = RECORDS[name]
    weights = find_weights(asked) if asked else None
    widget, arrays = ask(*open_model(weights)) if asked else ask()
    about = train_digits.circumstances(f"record_widgets.py {name}") | {
        "widget": widget.name if widget is not None else "pictures",
        "seed": str(getattr(widget, "seed", SEED)),
    }
    if weights:
        about["weights"] = weights.name
        about["weights_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.safetensors"
    path.write_bytes(save({key: np.ascontiguousarray(array) for key, array in arrays.items()}, metadata=about))
    print(f"wrote {path.relative_to(train_digits.ROOT)}, {path.stat().st_size:,} bytes", flush=True)
    if name == "clothes-grid":
        draw(arrays["images"])


def draw(images):
    """Draw the README's picture: four images of each label, in one column for each label."""
    pictures = from_bytes(torch.from_numpy(images).reshape(10, 8, 1, 28, 28)[:, :4])
    page = plots.image_grid(pictures.transpose(0, 1).flatten(0, 1), columns=10, size=0.8)
    page.savefig(train_digits.ROOT / "book" / "images" / "clothes.png")


def main():
    """Make the records that the command names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RECORDS)}; default all")
    names = parser.parse_args().names or RECORDS
    torch.set_num_threads(1)  # because several threads add in another order
    for name in names:
        if name not in RECORDS:
            parser.error(f"NAME: expected one of {', '.join(RECORDS)}, got {name!r}")
        record(name)


if __name__ == "__main__":
    main()
