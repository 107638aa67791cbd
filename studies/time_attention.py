"""Compare the time of one attention layer and one convolution for growing pictures.

    python studies/time_attention.py     (a minute of one core)

Both have 256 channels, as in the paper's network, and process one picture. They take turns, with one thread, and the
median of the processor time is reported. Writes book/results/attention-cost.json.
"""

import json
import statistics
import time

import torch
import train_digits
from torch import nn

from ddpm_lite.attention import MultiHeadAttention

CHANNELS = 256
SIDES = (8, 16, 25, 32, 64, 128)
ROUNDS = 9


def seconds(layer, h):
    """Measure the processor time of a forward pass of h."""
    start = time.process_time()
    layer(h)
    return time.process_time() - start


def medians(sides, rounds, channels=CHANNELS):
    """Make a row for each size: the median of each layer, and their ratio."""
    layers = {
        "convolution": nn.Conv2d(channels, channels, 3, padding=1),
        "attention": MultiHeadAttention(channels),
    }
    rows = []
    for side in sides:
        h, taken = torch.randn(1, channels, side, side), {name: [] for name in layers}
        for _ in range(rounds + 1):  # the first round warms up
            for name, layer in layers.items():
                taken[name].append(seconds(layer, h))
        row = {name: statistics.median(times[1:]) for name, times in taken.items()}
        ratio = round(row["attention"] / row["convolution"], 3)
        rows.append({"side": side} | {name: round(value, 6) for name, value in row.items()} | {"ratio": ratio})
    return rows


def main():
    """Time, write."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.no_grad():
        rows = medians(SIDES, ROUNDS)
    record = train_digits.circumstances("time_attention.py") | {"channels": CHANNELS, "rounds": ROUNDS, "rows": rows}
    path = train_digits.RESULTS / "attention-cost.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
