"""Record how the shipped clothes network turns noise into a boot, for the book's first page.

    python studies/record_front.py            sample, record, draw: about half a minute on one core
    python studies/record_front.py --draw     draw the preview again from the recorded pictures

Writes book/images/shoe.png, every state of the walk, 28x28 pixels each, ten in a row from t = 1000 to t = 0;
book/images/shoe-row.png, nine of them side by side, for readers without motion, scripts or a screen; and
book/images/preview.png, which other sites show beside a link. book/results/front.json says how they were made.
"""

import argparse
import hashlib
import json
import time

import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import torch
import train_digits

from ddpm_lite import ddpm_step, load_pretrained, respace, sample
from ddpm_lite.data import FASHION_WORDS
from ddpm_lite.files.pixels import to_bytes
from ddpm_lite.files.png import png
from ddpm_lite.files.weights import PRETRAINED

IMAGES, RECORD = train_digits.ROOT / "book" / "images", train_digits.RESULTS / "front.json"
SEED, LABEL, STEPS = 0, "ankle-boot", 100
BATCH, CHOSEN = 8, 4  # the fifth of eight boots, because its sole and heel can be told apart at 28x28 pixels
COLUMNS, GAP = 10, 2
ROW = (1000, 820, 700, 590, 480, 370, 250, 120, 0)  # at equal distances of t nothing would happen in the first half
DARK, LIGHT, ACCENT = "#0f161d", "#f2f5f7", "#f0954e"


def walk():
    """Sample the boots, and return the times and the states of the chosen one, uint8 (N, H, W)."""
    model, schedule = load_pretrained("fashion")
    labels = torch.full((BATCH,), FASHION_WORDS.index(LABEL))
    states = sample(model, respace(schedule, STEPS), (BATCH, 1, 28, 28), step=ddpm_step, seed=SEED, context=labels)
    times, images = zip(*((t, to_bytes(x_t[CHOSEN, 0]).numpy()) for t, x_t in states), strict=True)
    return list(times), np.stack(images)


def tile(frames, columns, gap=0):
    """Put pictures (N, H, W) into rows on black."""
    count, height, width = frames.shape
    rows = -(-count // columns)
    sheet = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap), np.uint8)
    for i, frame in enumerate(frames):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = frame
    return sheet


def cut(sheet, count):
    """Undo `tile`: the first `count` pictures of a sheet with COLUMNS in a row."""
    side = sheet.shape[1] // COLUMNS
    corners = [(i // COLUMNS * side, i % COLUMNS * side) for i in range(count)]
    return np.stack([sheet[top : top + side, left : left + side] for top, left in corners])


def draw_preview(frames, path):
    """Draw the picture for links, 1200x630: the title, and five states from noise to the boot."""
    figure = plt.figure(figsize=(12, 6.3), dpi=100, facecolor=DARK)
    figure.text(0.05, 0.84, "How diffusion models work, line by line", color=LIGHT, fontsize=33, weight="bold")
    figure.text(0.05, 0.745, "A book in which every equation is checked by a machine", color=ACCENT, fontsize=20.5)
    width = 0.168
    for i, frame in enumerate(frames):
        axis = figure.add_axes((0.05 + i * (width + 0.015), 0.24, width, width * 1200 / 630))
        axis.imshow(frame, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.axis("off")
    figure.text(0.05, 0.115, "ddpm-lite", color=LIGHT, fontsize=20.5, weight="bold")
    figure.text(0.95, 0.115, "PyTorch, on a laptop", color=LIGHT, fontsize=20.5, ha="right")
    figure.savefig(path, facecolor=DARK, metadata={"Software": None})
    plt.close(figure)


def main():
    """Sample, record, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draw", action="store_true", help="only draw the preview again")
    if not parser.parse_args().draw:
        torch.set_num_threads(1)  # because several threads add in another order
        start = time.process_time()
        times, frames = walk()
        record = train_digits.circumstances("record_front.py") | {
            "weights": "fashion.safetensors",
            "weights_sha256": hashlib.sha256((PRETRAINED / "fashion.safetensors").read_bytes()).hexdigest(),
            "seed": SEED,
            "label": LABEL,
            "sampler": "ddpm",
            "steps": STEPS,
            "picture": f"number {CHOSEN + 1} of {BATCH}",
            "cpu_seconds": round(time.process_time() - start, 1),
            "times": times,
            "row": list(ROW),
        }
        RECORD.write_text(json.dumps(record) + "\n", encoding="utf8")
        (IMAGES / "shoe.png").write_bytes(png(tile(frames, COLUMNS), compress=True))
        row = tile(frames[[times.index(t) for t in ROW]], len(ROW), GAP)
        (IMAGES / "shoe-row.png").write_bytes(png(row, compress=True))
    times = json.loads(RECORD.read_text(encoding="utf8"))["times"]
    sheet = (matplotlib.image.imread(IMAGES / "shoe.png") * 255).round().astype(np.uint8)
    frames = cut(sheet, len(times))
    draw_preview(frames[[times.index(t) for t in (1000, 590, 430, 250, 0)]], IMAGES / "preview.png")
    for name in ("shoe.png", "shoe-row.png", "preview.png"):
        print(f"wrote book/images/{name}, {(IMAGES / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
