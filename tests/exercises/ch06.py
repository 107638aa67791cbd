"""Typical wrong answers to the exercises of chapter 06."""

import torch


def clocks(position, width, *, last=1, share=1, turn=lambda sin, cos: torch.cat([sin, cos], dim=1)):
    half = width // 2
    omega = 10000 ** (-torch.arange(half) / (half - last))
    angle = position[:, None] / share * omega
    return turn(angle.sin(), angle.cos())


def block(c_in, c_out, time_width, *, biases=True, norms=True, time=True, shortcut="where needed"):
    total = 9 * c_in * c_out + 9 * c_out * c_out + 2 * c_out * biases
    total += (2 * c_in + 2 * c_out) * norms + (time_width * c_out + c_out * biases) * time
    needed = shortcut == "always" or (shortcut != "never" and c_in != c_out)
    return total + needed * (c_in * c_out + c_out * biases)


def kept(channels, blocks, *, first=True, halve_last=False):
    found = [channels[0]] * first
    for level, width in enumerate(channels):
        found += [width] * (blocks + (halve_last or level < len(channels) - 1))
    return found


def rows(strides, *, stride_first=False, ignore=False):
    seen, step = 1, 1
    for stride in strides:
        stride = 1 if ignore else stride
        seen += 2 * step * (stride if stride_first else 1)
        step *= stride
    return seen


WRONG = {
    "ex-unet-1": {
        "the share of the way": (lambda t, w: clocks(t, w, share=1000), "the first sine at position 3 is 0.0030"),
        "divided by K": (lambda t, w: clocks(t, w, last=0), "the last clock does not turn"),
        "sines and cosines in turn": (
            lambda t, w: clocks(t, w, turn=lambda sin, cos: torch.stack([sin, cos], dim=2).flatten(1)),
            "not one hand of length 1",
        ),
        "laid together along the batch": (
            lambda t, w: clocks(t, w, turn=lambda sin, cos: torch.cat([sin, cos]).reshape(len(t), w)),
            "other times of the batch",
        ),
        "cosines first": (
            lambda t, w: clocks(t, w, turn=lambda sin, cos: torch.cat([cos, sin], dim=1)),
            "the first sine at position 3 is -0.99",
        ),
        "along the wrong axis": (
            lambda t, w: clocks(t, w, turn=lambda sin, cos: torch.cat([sin, cos])),
            "the shape is",
        ),
    },
    "ex-unet-2": {
        "no biases": (lambda *a: block(*a, biases=False), "the biases are missing"),
        "no norms": (lambda *a: block(*a, norms=False), "the norms are missing"),
        "no time": (lambda *a: block(*a, time=False), "the layer for the time is missing"),
        "no shortcut": (lambda *a: block(*a, shortcut="never"), "how does the input get across"),
        "a shortcut everywhere": (lambda *a: block(*a, shortcut="always"), "nothing is needed"),
        "one convolution": (lambda c_in, c_out, e: block(c_in, c_out, e) - 9 * c_out * c_out, "too few"),
    },
    "ex-unet-3": {
        "the first convolution forgotten": (lambda c, b: kept(c, b, first=False), "the very first map"),
        "the order of the way up": (lambda c, b: kept(c, b)[::-1], "the order in which they are taken"),
        "the last level halved too": (lambda c, b: kept(c, b, halve_last=True), "a wrong length"),
        "the halved maps have the next width": (
            lambda c, b: [c[0]] + [w for i, v in enumerate(c) for w in [v] * b + list(c[i + 1 : i + 2])],
            "a wrong width",
        ),
    },
    "ex-unet-4": {
        "strides ignored": (lambda s: rows(s, ignore=True), "too few"),
        "stride counted too early": (lambda s: rows(s, stride_first=True), "too many"),
        "one side only": (lambda s: (rows(s) + 1) // 2, "too few"),
    },
}
