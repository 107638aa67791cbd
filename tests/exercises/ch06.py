"""Wrong and right answers to the exercises of chapter 06."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from ddpm_lite import time_embedding


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


def block_with(*, time=lambda x: F.silu(x), back=1, first=True, second=True, active=(True, True), late=False, twice=0):
    """A forward pass of a residual block, but for the parts that are given."""

    def answer(block, h, emb):
        u = block.norm1(h) if first else h
        u = block.conv1(F.silu(u) if active[0] else u)
        g = 0 if time is None else block.time_emb_proj(time(emb))[:, :, None, None]
        u = u if late else u + g
        u = block.norm2(u) if second else u
        u = F.silu(u) if active[1] else u
        u = block.conv2(u + g if late else u)
        across = h if block.conv_shortcut is None else block.conv_shortcut(h)
        return u + back * across + twice * g

    return answer


def half_a_block(block, h, emb):
    across = h if block.conv_shortcut is None else block.conv_shortcut(h)
    return across + block.conv1(F.silu(block.norm1(h))) + block.time_emb_proj(F.silu(emb))[:, :, None, None]


def block_by_hand(block, h, emb):
    """SiLU and the shortcut written out."""

    def silu(x):
        return x * torch.sigmoid(x)

    B, C = len(h), block.conv1.out_channels
    u = block.conv1(silu(block.norm1(h))) + block.time_emb_proj(silu(emb)).reshape(B, C, 1, 1)
    u = block.conv2(silu(block.norm2(u)))
    return u + (block.conv_shortcut(h) if block.conv_shortcut else h)


def add_back(block, h, correction):
    return correction + (h if block.conv_shortcut is None else block.conv_shortcut(h))


def block_with_relu(block, h, emb):
    g = block.time_emb_proj(F.silu(emb))[:, :, None, None]
    return add_back(block, h, block.conv2(F.relu(block.norm2(block.conv1(F.relu(block.norm1(h))) + g))))


def block_with_swapped_half(block, h, emb):
    u = block.conv1(F.silu(block.norm1(h))) + block.time_emb_proj(F.silu(emb))[:, :, None, None]
    return add_back(block, h, block.conv2(block.norm2(F.silu(u))))


def block_from_the_norm(block, h, emb):
    u = block.conv1(F.silu(block.norm1(h))) + block.time_emb_proj(F.silu(emb))[:, :, None, None]
    return add_back(block, block.norm1(h), block.conv2(F.silu(block.norm2(u))))


def forward_with(positions=lambda t: t - 1, *, norm=True, active=True, skips=True, middle=True, plus=0, timed=1):
    def answer(net, x_t, t):
        emb = timed * net.time_embedding(time_embedding(positions(t), net.config.channels[0]))
        kept = [net.conv_in(x_t)]
        for down in net.down_blocks:
            kept += down(kept[-1], emb, None)
        h = net.mid_block(kept[-1], emb, None) if middle else kept[-1]
        kept = kept if skips else [torch.zeros_like(each) for each in kept]
        for up in net.up_blocks:
            h = up(h, kept, emb, None)
        h = net.conv_norm_out(h) if norm else h
        return net.conv_out(F.silu(h) if active else h) + plus * x_t

    return answer


def forward_by_levels(net, x_t, t):
    """The blocks called by keyword, the clocks by hand."""
    half = net.config.channels[0] // 2
    angle = (t.float()[:, None] - 1) * 10000 ** (-torch.arange(half) / (half - 1))
    emb = net.time_embedding(torch.cat([angle.sin(), angle.cos()], dim=1))
    skips = [net.conv_in(x_t)]
    for level in net.down_blocks:
        skips.extend(level(h=skips[-1], emb=emb, context=None))
    h = net.mid_block(h=skips[-1], emb=emb, context=None)
    for level in net.up_blocks:
        h = level(h=h, skips=skips, emb=emb, context=None)
    assert not skips
    return net.conv_out(F.silu(net.conv_norm_out(h)))


def clocks_in_numpy(position, width):
    omega = 10000.0 ** (-np.arange(width // 2) / (width // 2 - 1))
    angle = np.outer(position.numpy(), omega)
    return np.hstack([np.sin(angle), np.cos(angle)])


def clocks_one_by_one(position, width):
    half = width // 2
    omega = [math.exp(-math.log(10000) * k / (half - 1)) for k in range(half)]
    rows = [[math.sin(w * int(t)) for w in omega] + [math.cos(w * int(t)) for w in omega] for t in position]
    return rows


def weights_in_other_order(c_in, c_out, time_width):
    per_channel = 9 * c_in + 9 * c_out + 2 + 2 + time_width + 1
    return c_out * per_channel + 2 * c_in + (c_in != c_out) * c_out * (c_in + 1)


def kept_backwards(channels, blocks):
    found = []
    for level in reversed(range(len(channels))):
        found += [channels[level]] * (blocks + (level < len(channels) - 1))
    return (channels[0], *found[::-1])


def rows_from_the_end(strides):
    """How many rows the last map needs, then the one before it, ..."""
    seen = 1
    for stride in reversed(strides):
        seen = (seen - 1) * stride + 3
    return seen


WRONG = {
    "ex-unet-1": {
        "the share of the way": (lambda t, w: clocks(t, w, share=1000), "divided by 1000"),
        "divided by K": (lambda t, w: clocks(t, w, last=0), "divide by K - 1"),
        "sines and cosines in turn": (
            lambda t, w: clocks(t, w, turn=lambda sin, cos: torch.stack([sin, cos], dim=2).flatten(1)),
            "alternate",
        ),
        "concatenated along the batch": (
            lambda t, w: clocks(t, w, turn=lambda sin, cos: torch.cat([sin, cos]).reshape(len(t), w)),
            "along the batch",
        ),
        "cosines first": (
            lambda t, w: clocks(t, w, turn=lambda sin, cos: torch.cat([cos, sin], dim=1)),
            "cosines first",
        ),
        "along the wrong axis": (
            lambda t, w: clocks(t, w, turn=lambda sin, cos: torch.cat([sin, cos])),
            "the shape is",
        ),
        "1 subtracted": (lambda t, w: clocks(t - 1, w), "1 is subtracted already"),
        "sines only": (lambda t, w: clocks(t, w, turn=lambda sin, cos: torch.cat([sin, sin], dim=1)), "sines only"),
        "the slowest first": (
            lambda t, w: clocks(t, w, turn=lambda sin, cos: torch.cat([sin.flip(1), cos.flip(1)], dim=1)),
            "the slowest first",
        ),
        "a sign": (lambda t, w: clocks(t, w, turn=lambda sin, cos: torch.cat([-sin, cos], dim=1)), "wrong sign"),
        "k from 1": (lambda t, w: clocks(t * 10000 ** (-1 / (w // 2 - 1)), w), "count k from 0"),
    },
    "ex-unet-2": {
        "no biases": (lambda *a: block(*a, biases=False), "the biases are missing"),
        "no norms": (lambda *a: block(*a, norms=False), "the norms are missing"),
        "no time": (lambda *a: block(*a, time=False), "the layer for the time is missing"),
        "no shortcut": (lambda *a: block(*a, shortcut="never"), "convolution of the shortcut is missing"),
        "a shortcut everywhere": (lambda *a: block(*a, shortcut="always"), "no shortcut is needed"),
        "one convolution": (lambda c, d, e: block(c, d, e) - 9 * d * d - d, "one convolution is missing"),
        "one number for a norm": (lambda c, d, e: block(c, d, e) - c - d, "two numbers for each channel"),
        "the second convolution from the old width": (
            lambda c, d, e: block(c, d, e) - 9 * d * d + 9 * c * d,
            "reads the new width",
        ),
        "no bias for the time": (lambda c, d, e: block(c, d, e) - d, "and a bias"),
        "both norms at the new width": (lambda c, d, e: block(c, d, e) + 2 * d - 2 * c, "both norms have the new"),
        "both norms at the old width": (lambda c, d, e: block(c, d, e) + 2 * c - 2 * d, "second norm has the new"),
        "one norm": (lambda c, d, e: block(c, d, e) - 2 * d, "second norm is missing"),
        "a shortcut of 3 by 3": (lambda c, d, e: block(c, d, e) + 8 * c * d * (c != d), "1 by 1, not 3 by 3"),
        "the time at the old width": (lambda c, d, e: block(c, d, e) + (e + 1) * (c - d), "each new channel"),
    },
    "ex-unet-3": {
        "the first convolution forgotten": (lambda c, b: kept(c, b, first=False), "the very first map"),
        "the order of the way up": (lambda c, b: kept(c, b)[::-1], "the order in which they are taken"),
        "the last level halved too": (lambda c, b: kept(c, b, halve_last=True), "the last level is not halved"),
        "the halved maps have the next width": (
            lambda c, b: [c[0]] + [w for i, v in enumerate(c) for w in [v] * b + list(c[i + 1 : i + 2])],
            "the width of its level",
        ),
        "no halved maps": (lambda c, b: [c[0]] + [w for w in c for _ in range(b)], "halved maps are missing"),
        "blocks only": (lambda c, b: [w for w in c for _ in range(b)], "the first map and the halved ones"),
        "one for each level": (lambda c, b: list(c), "one map for each level"),
        "the image's channels first": (lambda c, b: [1, *kept(c, b)[1:]], "the first map has the width"),
        "how many": (lambda c, b: len(kept(c, b)), "cannot use"),
    },
    "ex-unet-4": {
        "strides ignored": (lambda s: rows(s, ignore=True), "strides are not used"),
        "stride counted too early": (lambda s: rows(s, stride_first=True), "still reads the fine map"),
        "one side only": (lambda s: (rows(s) + 1) // 2, "one side"),
        "the pixel itself forgotten": (lambda s: rows(s) - 1, "pixel itself is missing"),
        "three each": (lambda s: 1 + 3 * len(s), "two rows, not three"),
        "multiplied": (lambda s: 3 ** len(s), "do not multiply"),
        "how many convolutions": (len, "number of convolutions"),
        "the step": (lambda s: math.prod(s), "step at the end"),
        "always three": (lambda s: 3, "off by"),
        "the pixel alone": (lambda s: 1, "without any convolution"),
        "from the end": (lambda s: rows(s[::-1]), "taken from the end"),
        "the sum of the strides": (lambda s: 1 + 2 * sum(s), "off by"),
    },
    "ex-unet-5": {
        "no shortcut": (block_with(back=0), "not added back"),
        "no time": (block_with(time=None), "the time is missing"),
        "tau as it is": (block_with(time=lambda x: x), "through the activation"),
        "the time after the norm": (block_with(late=True), "before the second norm"),
        "no second activation": (block_with(active=(True, False)), "second activation"),
        "no first activation": (block_with(active=(False, True)), "first activation"),
        "no second norm": (block_with(second=False), "second norm is not used"),
        "no first norm": (block_with(first=False), "first norm is not used"),
        "half a block": (half_a_block, "second half is missing"),
        "minus": (lambda *a: block_with(back=-1)(*a) * -1, "subtracted"),
        "the time again": (block_with(twice=1), "once more"),
        "ReLU": (block_with_relu, "not ReLU"),
        "norm and activation swapped": (block_with_swapped_half, "before the activation"),
        "the shortcut after the norm": (block_from_the_norm, "before the first norm"),
        "the input": (lambda block, h, emb: h, "shape"),
    },
    "ex-unet-6": {
        "positions from 1": (forward_with(lambda t: t), "subtract 1"),
        "one added": (forward_with(lambda t: t + 1), "added to the time"),
        "subtracted twice": (forward_with(lambda t: t - 2), "subtracted twice"),
        "one time for all": (forward_with(lambda t: t[:1].expand(len(t)) - 1), "the first time"),
        "no time": (forward_with(lambda t: 0 * t), "time is not used"),
        "a share": (forward_with(lambda t: (t - 1) / 1000), "share of 1000"),
        "no embedding": (forward_with(timed=0), "not given the time"),
        "no last norm": (forward_with(norm=False), "last norm"),
        "no last activation": (forward_with(active=False), "last activation"),
        "no skips": (forward_with(skips=False), "skips are not used"),
        "no middle": (forward_with(middle=False), "middle is missing"),
        "plus the input": (forward_with(plus=1), "input plus the answer"),
        "nothing": (lambda net, x_t, t: torch.zeros_like(x_t), "off by"),
    },
}

RIGHT = {
    "ex-unet-1": {
        "torch": clocks,
        "numpy": clocks_in_numpy,
        "a list of lists": clocks_one_by_one,
        "float32 by exponentials": lambda position, width: time_embedding(position, width),
    },
    "ex-unet-2": {
        "as the book adds": block,
        "another order": weights_in_other_order,
        "a float": lambda *a: float(block(*a)),
        "a tensor": lambda c_in, c_out, time_width=32: torch.tensor(block(c_in, c_out, time_width)),
    },
    "ex-unet-3": {
        "a loop": kept,
        "a tuple, from the end": kept_backwards,
        "a tensor": lambda c, b: torch.tensor(kept(c, b)),
        "an array": lambda channels, blocks=2: np.array(kept(channels, blocks)),
    },
    "ex-unet-4": {
        "from the front": rows,
        "from the end": rows_from_the_end,
        "a float": lambda strides: float(rows(strides)),
        "products": lambda s: 1 + 2 * sum(math.prod(s[:i]) for i in range(len(s))),
    },
    "ex-unet-5": {
        "in pieces": block_with(),
        "by hand": block_by_hand,
        "the block itself": lambda block, h, emb: block(h, emb),
        "an array": lambda block, h, emb: block_with()(block, h, emb).detach().numpy(),
    },
    "ex-unet-6": {
        "in pieces": forward_with(),
        "by keyword": forward_by_levels,
        "the network itself": lambda net, x_t, t: net(x_t, t),
        "float64": lambda net, x_t, t: forward_with()(net, x_t, t).double(),
    },
}
