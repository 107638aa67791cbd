"""Record what the trained models answer, for the widgets that show it in the pages.

    python tools/record_widgets.py              (all records, about five minutes on one free core)
    python tools/record_widgets.py reverse-path (one of them)

Other processors round differently, and a thousand steps make that visible, so the pages show these recorded bytes.
Writes book/results/widgets/NAME.safetensors. The header of each names the widget, the weights that were asked, the
seed and this command.
"""

import argparse
import hashlib

import numpy as np
import torch
import train_digits
from safetensors.numpy import save

from ddpm_lite import load_pretrained
from ddpm_lite.checkpoint import PRETRAINED
from ddpm_lite.data import load_digits
from ddpm_lite.viz.widgets import AttentionViewer, GuidanceDial, ReversePath

FOLDER = train_digits.RESULTS / "widgets"
SEED = 0
TIMES = (1, 50, 100, 200, 300, 400, 600, 1000)  # at which attention is looked at


def noisy_digit(which):
    """Held-out digit number `which`, its label, and the noise that the chapter on attention gives it."""
    digits, labels = load_digits("test")
    noise = torch.randn((200, *digits.shape[1:]), generator=torch.Generator().manual_seed(SEED))
    return {"x_0": digits[which], "noise": noise[which]}, labels[which : which + 1]


def reverse_path(model, schedule):
    """Sixteen walk, as in the chapter on sampling; the first eight are kept."""
    widget = ReversePath.from_model(model, schedule, samples=16, seed=SEED)
    x_t, x_0_hat = (widget.frames(name)[:, :8] for name in ("x_t", "x_0_hat"))
    return widget, {"x_t": x_t, "x_0_hat": x_0_hat, "times": np.array(widget.times, np.int64)}


def self_attention(model, schedule):
    """Digit 2 of the chapter's figure, a 5."""
    digit, _ = noisy_digit(2)
    return attention(AttentionViewer.from_model(model, schedule, **digit, times=TIMES))


def cross_attention(model, schedule):
    """The same digit, for the model that is told its label."""
    digit, label = noisy_digit(2)
    return attention(AttentionViewer.from_model(model, schedule, **digit, times=TIMES, context=label, cross=True))


def attention(widget):
    """Arrays of an attention viewer: the images, the times, and one array for each layer, by its name."""
    return widget, {"images": widget.frames(), "times": np.array(widget.times, np.int64), **widget.bytes_by_layer()}


def guidance(model, schedule):
    """Six images for each label and scale."""
    widget = GuidanceDial.from_model(model, schedule, seed=SEED)
    return widget, {"images": widget.grid(), "scales": np.array(widget.scales, np.float64)}


RECORDS = {  # file: which model, and how
    "reverse-path": ("digits", reverse_path),
    "self-attention": ("digits", self_attention),
    "cross-attention": ("digits-by-label", cross_attention),
    "guidance-dial": ("digits-by-label", guidance),
}


def record(name):
    """Ask the model, and write one record."""
    asked, ask = RECORDS[name]
    widget, arrays = ask(*load_pretrained(asked))
    about = train_digits.circumstances(f"record_widgets.py {name}") | {
        "widget": widget.name,
        "weights": f"{asked}.safetensors",
        "weights_sha256": hashlib.sha256((PRETRAINED / f"{asked}.safetensors").read_bytes()).hexdigest(),
        "seed": str(SEED),
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.safetensors"
    path.write_bytes(save({key: np.ascontiguousarray(array) for key, array in arrays.items()}, metadata=about))
    print(f"wrote {path.relative_to(train_digits.ROOT)}, {path.stat().st_size:,} bytes", flush=True)


def main():
    """Record what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RECORDS)}; default all")
    names = parser.parse_args().names or RECORDS
    torch.set_num_threads(1)  # several threads add up in another order
    for name in names:
        if name not in RECORDS:
            parser.error(f"NAME: expected one of {', '.join(RECORDS)}, got {name!r}")
        record(name)


if __name__ == "__main__":
    main()
