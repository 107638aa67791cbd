"""The network z_theta(x_t, t): a U-Net that estimates the noise in x_t.

In the order to read it: the time embedding, the residual block, one level, and the whole U-Net last. Names and
operations are those of diffusers' UNet2DModel, so weights can be exchanged. The U-Net does not use the schedule.
"""

import math
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ddpm_lite._check import Time, check_architecture, check_input, check_kind, check_positions, to_times
from ddpm_lite.attention import MultiHeadAttention


@dataclass(frozen=True)
class UNetConfig:
    """The architecture of a U-Net, checked on construction.

    Args:
        sample_size: height and width of the images; each level but the last halves it.
        in_channels: channels of the image, and of the noise that comes out.
        channels: width (number of channels) of each level, from the finest to the coarsest.
        blocks: residual blocks at each level of the downward path; the upward path has one more.
        attention_levels: levels with self-attention after every block, where 0 is the finest, or "every".
        middle_attention: self-attention between the two blocks in the middle.
        head_dim: width of one attention head; None is one head.
        groups: groups of every GroupNorm, a divisor of every width.
        dropout: fraction of the features that are set to zero in training, in [0, 1).
        norm_eps: epsilon of every GroupNorm.
        context_dim: width of context tokens; adds cross-attention after each self-attention.
        freq_shift: with 1 the lowest frequency of the time embedding is 1/10000, as in the paper's code; with 0 it is
            a little higher.
        downsample_padding: 0 pads below and on the right, as the paper's code does, and 1 on every side.

    Raises:
        ValueError: a field out of range; the message names it.
    """

    sample_size: int
    in_channels: int = 1
    channels: tuple[int, ...] = (32, 64)
    blocks: int = 2
    attention_levels: tuple[int, ...] | str = "every"
    middle_attention: bool = True
    head_dim: int | None = None
    groups: int = 8
    dropout: float = 0.0
    norm_eps: float = 1e-6
    context_dim: int | None = None
    freq_shift: int = 1
    downsample_padding: int = 0

    def __post_init__(self):
        check_architecture(self)

    def attends(self, level: int) -> bool:
        """Say whether a level has self-attention."""
        return self.attention_levels == "every" or level in self.attention_levels


def time_embedding(t: Int64[Tensor, "B"], width: int, freq_shift: int = 1) -> Float[Tensor, "B width"]:
    """Embed t as sines and cosines of width/2 frequencies, from 1 down to about 1/10000 (eq-time-embedding).

    Args:
        t: positions, counted from 0.
        width: even, >= 4.
        freq_shift: with 1 the lowest frequency is exactly 1/10000; with 0 it is 10000^(2/width) times that.

    Source: Vaswani et al. (2017), section 3.5, with all the sines first, as in the code of Ho et al. (2020).
    """
    width, freq_shift = check_positions(t, width, freq_shift)
    half = width // 2
    places = torch.arange(half, device=t.device, dtype=torch.float32)
    frequency = torch.exp(-math.log(10_000) * places / (half - freq_shift))
    angle = t[:, None].float() * frequency  # (B, half)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class TimeEmbedding(nn.Module):
    """A two-layer network from the sines and cosines of t to the embedding that every residual block receives."""

    def __init__(self, width: int, width_out: int):
        super().__init__()
        self.linear_1 = nn.Linear(width, width_out)
        self.linear_2 = nn.Linear(width_out, width_out)

    def forward(self, embedding: Float[Tensor, "B width"]) -> Float[Tensor, "B width_out"]:
        return self.linear_2(F.silu(self.linear_1(embedding)))


class ResBlock(nn.Module):
    """h + two convolutions of h, with the time embedding added between them (eq-resblock).

    Args:
        width_in, width_out: channels before and after; if they differ, the shortcut is a 1x1 convolution.
        time_width: width of the time embedding.
        config: groups, norm_eps and dropout.

    Source: He et al. (2016); in this form Ho et al. (2020), appendix B.
    """

    def __init__(self, width_in: int, width_out: int, time_width: int, config: UNetConfig):
        super().__init__()
        self.norm1 = nn.GroupNorm(config.groups, width_in, eps=config.norm_eps)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.time_emb_proj = nn.Linear(time_width, width_out)
        self.norm2 = nn.GroupNorm(config.groups, width_out, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(width_in, width_out, 1) if width_in != width_out else None
        nn.init.zeros_(self.conv2.weight)  # so a new block is its shortcut plus a constant

    def forward(self, h: Float[Tensor, "B C_in H W"], emb: Float[Tensor, "B E"]) -> Float[Tensor, "B C_out H W"]:
        x = self.conv1(F.silu(self.norm1(h)))
        x = x + self.time_emb_proj(F.silu(emb))[:, :, None, None]  # the same for every pixel
        x = self.conv2(self.dropout(F.silu(self.norm2(x))))
        return x + (h if self.conv_shortcut is None else self.conv_shortcut(h))


class Downsample(nn.Module):
    """Halve height and width by a convolution of stride 2, padded on every side, or below and on the right."""

    def __init__(self, width: int, padding: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=padding)

    def forward(self, h: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H/2 W/2"]:
        return self.conv(h if self.conv.padding[0] else F.pad(h, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Double height and width: repeat every pixel in a 2x2 square, then convolve."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, h: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C 2*H 2*W"]:
        return self.conv(F.interpolate(h, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """The blocks of one resolution: a ResBlock each, with self- and cross-attention if the config has them."""

    def __init__(self, widths: list[tuple[int, int]], attentions: int, time_width: int, config: UNetConfig):
        super().__init__()
        width = widths[-1][1]
        attention = partial(
            MultiHeadAttention, width, head_dim=config.head_dim, groups=config.groups, eps=config.norm_eps
        )
        crossings = 0 if config.context_dim is None else attentions
        self.resnets = nn.ModuleList(ResBlock(w_in, w_out, time_width, config) for w_in, w_out in widths)
        self.attentions = nn.ModuleList(attention() for _ in range(attentions))
        self.cross_attentions = nn.ModuleList(attention(context_dim=config.context_dim) for _ in range(crossings))

    def block(self, j: int, h: Tensor, emb: Tensor, context: Tensor | None) -> Tensor:
        """Apply the j-th block: a residual block, then self-attention, then cross-attention to the context."""
        h = self.resnets[j](h, emb)
        if j < len(self.attentions):
            h = self.attentions[j](h)
        if j < len(self.cross_attentions):
            h = self.cross_attentions[j](h, context)
        return h


class DownLevel(Level):
    """A level of the downward path, which returns every result for the skip connections."""

    def __init__(self, widths: list[tuple[int, int]], attentions: int, last: bool, time_width: int, config: UNetConfig):
        super().__init__(widths, attentions, time_width, config)
        self.downsamplers = nn.ModuleList([] if last else [Downsample(widths[-1][1], config.downsample_padding)])

    def forward(self, h: Tensor, emb: Tensor, context: Tensor | None) -> list[Tensor]:
        kept = []
        for j in range(len(self.resnets)):
            h = self.block(j, h, emb, context)
            kept.append(h)
        for downsample in self.downsamplers:
            kept.append(downsample(kept[-1]))
        return kept


class UpLevel(Level):
    """A level of the upward path, in which every block takes one skip connection beside its input."""

    def __init__(self, widths: list[tuple[int, int]], attentions: int, last: bool, time_width: int, config: UNetConfig):
        super().__init__(widths, attentions, time_width, config)
        self.upsamplers = nn.ModuleList([] if last else [Upsample(widths[-1][1])])

    def forward(self, h: Tensor, skips: list[Tensor], emb: Tensor, context: Tensor | None) -> Tensor:
        for j in range(len(self.resnets)):
            h = self.block(j, torch.cat([h, skips.pop()], dim=1), emb, context)
        for upsample in self.upsamplers:
            h = upsample(h)
        return h


class Middle(Level):
    """The level between the two paths, at the coarsest resolution: block, attention, block."""

    def forward(self, h: Tensor, emb: Tensor, context: Tensor | None) -> Tensor:
        return self.block(1, self.block(0, h, emb, context), emb, context)


class UNet(nn.Module):
    """z_hat = z_theta(x_t, t): an estimate of the noise in x_t, of the same shape.

    Args:
        config: the architecture.

    Raises:
        ValueError: x_t with other channels, or a size that the levels cannot halve; t of a wrong shape.

    Source: Ho et al. (2020), appendix B, after Ronneberger et al. (2015). With the paper's settings for CIFAR-10 it has
    35,746,307 parameters.
    """

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = check_kind("config", config, UNetConfig)
        widths, time_width = config.channels, 4 * config.channels[0]
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(widths[0], time_width)

        width, kept = widths[0], [widths[0]]  # kept: widths of the skip connections, a stack
        self.down_blocks = nn.ModuleList()
        for level, width_out in enumerate(widths):
            last = level == len(widths) - 1
            pairs = [(width if j == 0 else width_out, width_out) for j in range(config.blocks)]
            attentions = config.blocks if config.attends(level) else 0
            self.down_blocks.append(DownLevel(pairs, attentions, last, time_width, config))
            width = width_out
            kept += [width] * (config.blocks if last else config.blocks + 1)

        self.mid_block = Middle([(width, width)] * 2, int(config.middle_attention), time_width, config)

        self.up_blocks = nn.ModuleList()
        for level, width_out in reversed(list(enumerate(widths))):
            pairs = []
            for _ in range(config.blocks + 1):
                pairs.append((width + kept.pop(), width_out))
                width = width_out
            attentions = config.blocks + 1 if config.attends(level) else 0
            self.up_blocks.append(UpLevel(pairs, attentions, level == 0, time_width, config))

        self.conv_norm_out = nn.GroupNorm(config.groups, width, eps=config.norm_eps)
        self.conv_out = nn.Conv2d(width, config.in_channels, 3, padding=1)
        for parameter in self.conv_out.parameters():
            nn.init.zeros_(parameter)  # so a new network returns 0

    def forward(
        self,
        x_t: Float[Tensor, "B C H W"],
        t: Time,
        context: Float[Tensor, "B tokens width"] | None = None,
    ) -> Float[Tensor, "B C H W"]:
        """Estimate the noise in x_t at times t; a context is required exactly if the config has a `context_dim`."""
        t = to_times(t, x_t)  # the package passes a tensor; a number is convenient in a notebook
        check_input(self.config, self.conv_in.weight, x_t, t, context)
        # positions start at 0 and times at 1; in the paper's code and diffusers, times start at 0 too
        waves = time_embedding(t - 1, self.config.channels[0], self.config.freq_shift)
        emb = self.time_embedding(waves.to(x_t.dtype))

        skips = [self.conv_in(x_t)]
        for down in self.down_blocks:
            skips += down(skips[-1], emb, context)
        h = self.mid_block(skips[-1], emb, context)
        for up in self.up_blocks:
            h = up(h, skips, emb, context)
        return self.conv_out(F.silu(self.conv_norm_out(h)))
