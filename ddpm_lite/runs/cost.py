"""What a U-Net costs, by formula: weights, operations, and the bytes that each image leaves for the backward pass.

Nothing is built or run, so networks that fit on no device can be compared in a moment. A convolution's bias, the
normalisations, activations and additions have no operations here, as in PyTorch's `FlopCounterMode`.
"""

from collections.abc import Iterable
from typing import NamedTuple

from ddpm_lite._check import check_kind, fail
from ddpm_lite.unet import UNetConfig

FLOAT = 4  # bytes of a float32


class Cost(NamedTuple):
    """The cost of a network or of a part of it.

    Args:
        weights: the number of parameters.
        operations: multiplications and additions of a forward pass of one image (eq-conv-flops).
        kept: bytes that the forward pass of one image keeps for the backward pass, in float32 (eq-step-memory).
    """

    weights: int
    operations: int
    kept: int


def total(parts: Iterable[Cost]) -> Cost:
    """Add the costs of several parts."""
    return Cost(*map(sum, zip(*parts, strict=True)))


def count_unet(config: UNetConfig) -> list[Cost]:
    """Count each level of a U-Net without a context; the last entry has what is outside the levels.

    What is outside is the time embedding, the first and the last layers, and the middle. A convolution that halves or
    doubles a map counts for the level from which it leads. Attention is that of a fused kernel, which keeps one number
    for each query and not the matrix of weights. The mask of dropout is a float for each number, as on the CPU; a GPU
    needs a byte. (A single image, or a map of one pixel, keeps a little less, because attention then needs no copies.)

    Raises:
        TypeError: no UNetConfig. ValueError: a config with a context, whose cost depends on the number of tokens.
    """
    check_kind("config", config, UNetConfig)
    if config.context_dim is not None:
        fail(ValueError, "config.context_dim", "None", f"{config.context_dim}", "count the U-Net without its context")
    channels, width = config.channels, config.channels[0]
    pixels = [config.sample_size**2 // 4**level for level in range(len(channels))]
    first = _convolve(config.in_channels, width, 9, pixels[0], keeps=config.in_channels * pixels[0])
    levels: list[list[Cost]] = [[] for _ in channels]
    outside, skips = [*_embed_time(width), first], [width]
    for level, wide in enumerate(channels):
        for _ in range(config.blocks):
            levels[level] += _block(config, width, wide, pixels[level], config.attends(level))
            width = wide
            skips.append(width)
        if level < len(channels) - 1:
            levels[level].append(_halve(config, width, pixels[level]))
            skips.append(width)
    for attends in (config.middle_attention, False):
        outside += _block(config, width, width, pixels[-1], attends)
    for level, wide in reversed(list(enumerate(channels))):
        for _ in range(config.blocks + 1):
            levels[level] += _block(config, width + skips.pop(), wide, pixels[level], config.attends(level))
            width = wide
        if level > 0:
            double = _convolve(width, width, 9, pixels[level - 1], keeps=width * pixels[level - 1])
            levels[level].append(double)
    outside += [_normalise(config, width, 3 * pixels[0]), _convolve(width, config.in_channels, 9, pixels[0])]
    return [total(parts) for parts in (*levels, outside)]


def _convolve(wide_in: int, wide_out: int, window: int, n: int, keeps: int = 0) -> Cost:
    """A convolution with n pixels of output and `window` pixels in its window, which keeps `keeps` numbers."""
    return Cost((window * wide_in + 1) * wide_out, 2 * window * wide_in * wide_out * n, FLOAT * keeps)


def _normalise(config: UNetConfig, width: int, maps: int) -> Cost:
    """A group normalisation, which keeps so many pixels, and a mean and a deviation of each group."""
    return Cost(2 * width, 0, FLOAT * (width * maps + 2 * config.groups))


def _embed_time(width: int) -> list[Cost]:
    """Two layers, which keep the waves, and before and after the activation 4 widths each, and the embedding."""
    return [
        _convolve(width, 4 * width, 1, 1, keeps=width + 4 * width),
        _convolve(4 * width, 4 * width, 1, 1, keeps=4 * width + 4 * width),
    ]


def _block(config: UNetConfig, wide_in: int, wide_out: int, n: int, attends: bool) -> list[Cost]:
    """A residual block, and self-attention if it attends."""
    time_width = 4 * config.channels[0]
    # Each normalisation keeps its input, its output, and the output of the activation, which the convolution reads.
    parts = [
        _normalise(config, wide_in, 3 * n),
        _convolve(wide_in, wide_out, 9, n),
        _convolve(time_width, wide_out, 1, 1, keeps=time_width),
        _normalise(config, wide_out, 3 * n),
        _convolve(wide_out, wide_out, 9, n),
    ]
    if config.dropout > 0:
        parts.append(Cost(0, 0, FLOAT * wide_out * n))
    if wide_in != wide_out:
        parts.append(_convolve(wide_in, wide_out, 1, n))
    if attends:
        heads = 1 if config.head_dim is None else wide_out // config.head_dim
        # Input, normalised input in two layouts, q, k and v, and the output in two layouts
        products = Cost(0, 4 * wide_out * n**2, FLOAT * (6 * wide_out + heads) * n)
        parts += [_normalise(config, wide_out, 2 * n), *[_convolve(wide_out, wide_out, 1, n)] * 4, products]
    return parts


def _halve(config: UNetConfig, width: int, n: int) -> Cost:
    """A convolution of stride 2, which keeps the map, with a margin below and on the right if there is no other."""
    side = round(n**0.5) + 1 - config.downsample_padding
    return _convolve(width, width, 9, n // 4, keeps=width * side**2)
