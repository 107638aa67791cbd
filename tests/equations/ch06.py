"""Checks of chapter 06, the U-Net: the package's layers give the numbers."""

import torch
import torch.nn.functional as F
from torch import nn

from ddpm_lite.unet import ResBlock, TimeEmbedding, UNetConfig, time_embedding
from equations.checks import by_hand, identity, matches

K = 30  # clocks


def clocks(s, v):
    """The package's embedding of t, in float64: sines of K clocks, then cosines."""
    omega = 10_000.0 ** (-torch.arange(K, dtype=torch.float64) / (K - 1))
    angle = (v.t - 1)[:, None] * omega
    exact = torch.cat([angle.sin(), angle.cos()], dim=1)
    torch.testing.assert_close(time_embedding(v.t - 1, 2 * K), exact.float(), atol=2e-4, rtol=0)
    return exact


def speeds(s, v):
    """The angle by which each clock turns in one step, read off the package's embedding of position 1."""
    sin, cos = time_embedding(torch.tensor([1]), 2 * K).double().chunk(2, dim=1)
    measured = torch.atan2(sin, cos)
    exact = 10_000.0 ** (-torch.arange(K, dtype=torch.float64) / (K - 1))
    torch.testing.assert_close(measured[0], exact, rtol=1e-5, atol=0)
    return exact.expand(len(v.t), K)


def neighbours(s, v):
    """The distance of the embeddings of t and t + 1."""
    distance = (clocks(s, v)[1] - clocks(s, v)[0]).norm()
    return distance.expand(len(v.t))


CLOCK = {"k": lambda s, v: torch.arange(K).expand(len(v.t), K), "K": str(K)}


def a_block(width_in=16, width_out=16):
    """A residual block of the package in float64, with no zeros, and a map and a time vector to put in."""
    torch.manual_seed(0)
    block = ResBlock(width_in, width_out, 12, UNetConfig(8)).double()
    for parameter in block.parameters():
        parameter.data = torch.randn_like(parameter)
    return block, torch.randn(2, width_in, 12, 12).double(), torch.randn(2, 12).double()


def half(norm, conv, h):
    """f_i: norm, bend, convolve."""
    return conv(F.silu(norm(h)))


def parts_of_block(s, v):
    """{symbol: value} of eq-resblock, as rows of numbers; the block's result is the package's."""
    block, h, tau = a_block()
    g = block.time_emb_proj(F.silu(tau))[:, :, None, None].expand_as(h)
    f_1 = half(block.norm1, block.conv1, h)
    f_2 = half(block.norm2, block.conv2, f_1 + g)
    found = {"h": h, "f_1(h)": f_1, r"g(\tau)": g, "u": f_1 + g, "f_2(u)": f_2, "h'": block(h, tau)}
    rows = len(v.t)
    return {name: value.flatten().detach()[: 3 * rows].reshape(rows, 3) for name, value in found.items()}


def part(name):
    return lambda s, v: parts_of_block(s, v)[name]


def halves():
    """Two halves and the time make the package's block; the time is the same for every pixel."""
    for widths in ((16, 16), (16, 24)):
        block, h, tau = a_block(*widths)
        u = half(block.norm1, block.conv1, h) + block.time_emb_proj(F.silu(tau))[:, :, None, None]
        across = block.conv_shortcut(h) if block.conv_shortcut else h
        torch.testing.assert_close(block(h, tau), across + half(block.norm2, block.conv2, u))


def two_layers():
    net = TimeEmbedding(6, 24).double()
    e = torch.randn(3, 6).double()
    W_1, b_1, W_2, b_2 = net.parameters()
    x = e @ W_1.T + b_1
    torch.testing.assert_close(net(e), x / (1 + (-x).exp()) @ W_2.T + b_2)


def time_projection():
    """With f_1 and f_2 silenced, what is left of a block's u is g(tau)."""
    block, h, tau = a_block()
    for parameter in block.conv1.parameters():
        parameter.data.zero_()
    seen = []
    block.norm2.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    block(h, tau)
    W, b = block.time_emb_proj.parameters()
    g = tau / (1 + (-tau).exp()) @ W.T + b
    torch.testing.assert_close(seen[0], g[:, :, None, None].expand_as(h))


def normalised(s, v):
    """The package's kind of norm, the numbers of one group in a row."""
    u = v.x_t[:, None, :]  # (n, 1 channel, pixels)
    return nn.GroupNorm(1, 1, eps=0.01).double()(u)[:, 0].detach()


def weights_of_convolution(s, v):
    number = sum(p.numel() for p in nn.Conv2d(7, 11, 3).parameters())
    return torch.full((len(v.t),), number)


CHECKS = [
    matches("eq-time-frequency", r"\omega_k", speeds, where=CLOCK, pixels=K),
    identity(
        "eq-time-embedding",
        given=["eq-time-frequency"],
        where={
            "e_k": lambda s, v: clocks(s, v)[:, :K],
            "e_{K+k}": lambda s, v: clocks(s, v)[:, K:],
            **CLOCK,
        },
        pixels=K,
        kind="matches",
    ),
    identity("eq-clock-step", scalar=["a", "w"]),
    matches("eq-time-distance", "D", neighbours, given=["eq-time-frequency"], where={"K": str(K)}),
    by_hand("eq-time-mlp", r"\tau = W_2 \phi\left(W_1 e + b_1\right) + b_2", two_layers, "products of matrices"),
    matches("eq-silu", r"\phi(x)", lambda s, v: F.silu(v.x_t), where={"x": lambda s, v: v.x_t}),
    by_hand("eq-time-projection", r"g(\tau) = W \phi(\tau) + b", time_projection, "a product with a matrix"),
    by_hand(
        "eq-resblock-half",
        r"f_i(h) = \mathrm{conv}_i\left(\phi\left(\mathrm{norm}_i(h)\right)\right)",
        halves,
        "layers inside of each other",
    ),
    identity(
        "eq-resblock",
        where={name: part(name) for name in ("h", "f_1(h)", r"g(\tau)", "u", "f_2(u)", "h'")},
        kind="matches",
    ),
    matches(
        "eq-group-norm",
        "y'",
        normalised,
        where={
            "y": lambda s, v: v.x_t,
            "m": lambda s, v: v.x_t.mean(dim=1),
            "v": lambda s, v: v.x_t.var(dim=1, unbiased=False),
            "c": "0.01",
        },
    ),
    identity("eq-skip-count", scalar=["L", "B"]),
    matches("eq-conv-count", "n", weights_of_convolution, where={"C": "7", "C'": "11"}),
]
