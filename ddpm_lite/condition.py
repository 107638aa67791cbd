"""Where the K and V of cross-attention come from, and how hard to follow them.

A label becomes a few learnt tokens, its context. One more row of tokens says "no label": training puts it in the
place of a label now and then, so that one network learns both answers, and guidance can tell them apart.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ddpm_lite._check import check_real, check_whole, describe, fail
from ddpm_lite.unet import UNet


class LabelEncoder(nn.Module):
    """Labels 0..labels-1, or "no label", as context tokens for cross-attention (eq-label-encoder).

    Args:
        labels: how many there are, >= 1.
        width: width of a token, the U-Net's context_dim.
        tokens: tokens per label. With one alone the softmax over keys is always 1, and the query has no say in
            what it gets.

    Raises:
        ValueError: a label outside 0..labels-1 that is not "no label" either, or labels of another dtype or shape.

    Source: Ho and Salimans (2022), section 3, with tokens in the place of an embedding added to that of t.
    """

    def __init__(self, labels: int, width: int, tokens: int = 4):
        super().__init__()
        self.labels, self.width = check_whole("labels", labels, 1), check_whole("width", width, 1)
        self.tokens = check_whole("tokens", tokens, 1)
        self.table = nn.Embedding(labels + 1, tokens * width)  # the last row: no label

    @property
    def none(self) -> int:
        """The number that stands for "no label", the first after the labels."""
        return self.labels

    def forward(self, labels: Int64[Tensor, "B"]) -> Float[Tensor, "B tokens width"]:
        """The tokens of each label. Values are looked at on the CPU only: on a GPU the look would stop the queue."""
        if labels.dtype != torch.int64 or labels.ndim != 1:
            fail(ValueError, "labels", "an int64 tensor of shape (B,)", describe(labels))
        if labels.device.type == "cpu":
            self.check(labels)
        return self.table(labels).unflatten(1, (self.tokens, self.width))

    def check(self, labels: Int64[Tensor, "B"]) -> None:
        """Look at every label, on any device; `sample` does it once, before its loop."""
        if labels.numel() and not (labels.min() >= 0 and labels.max() <= self.none):
            expected = f'every label in 0..{self.labels - 1}, or {self.none} for "no label"'
            fail(ValueError, "labels", expected, f"values in {int(labels.min())}..{int(labels.max())}")


class ConditionalUNet(nn.Module):
    """A U-Net that is told labels: its context is (B,) int64, and the encoder makes the tokens.

    Args:
        unet: with context_dim.
        encoder: of that width.

    Raises:
        ValueError: widths that differ; what UNet and LabelEncoder raise.
    """

    def __init__(self, unet: UNet, encoder: LabelEncoder):
        super().__init__()
        if unet.config.context_dim != encoder.width:
            fail(ValueError, "encoder", f"width {unet.config.context_dim}, the U-Net's context_dim", f"{encoder.width}")
        self.unet, self.encoder = unet, encoder

    @property
    def none(self) -> int:
        """The number that stands for "no label"."""
        return self.encoder.none

    def forward(
        self, x_t: Float[Tensor, "B C H W"], t: int | Int64[Tensor, "..."], context: Int64[Tensor, "B"] | None = None
    ) -> Float[Tensor, "B C H W"]:
        """z_hat for these labels; without a context, for "no label"."""
        if context is None:
            context = torch.full((len(x_t),), self.none, device=x_t.device)
        return self.unet(x_t, t, self.encoder(context))

    def check_context(self, context: Int64[Tensor, "B"]) -> None:
        """Look at every label."""
        self.encoder.check(context)


def drop_labels(labels: Int64[Tensor, "B"], none: int, p: float) -> Int64[Tensor, "B"]:
    """Each label becomes `none` with probability p, drawn from torch's random numbers (eq-label-dropout).

    Args:
        labels: (B,).
        none: the number that stands for "no label".
        p: share of labels to drop, in [0, 1]; 0.1 is usual. Keeping with p and dropping with 1 - p is a known mistake.

    Raises:
        ValueError: p outside [0, 1].

    Source: Ho and Salimans (2022), Algorithm 1.
    """
    check_real("p", p, 0, 1)
    return torch.where(torch.rand(labels.shape, device=labels.device) < p, none, labels)


def guided(model: Callable[..., Tensor], scale: float, none: int | Tensor) -> Callable[..., Tensor]:
    """A model that exaggerates what the context changes: z_c + scale (z_c - z_none) (eq-guidance).

    Args:
        model: (x_t, t, context) -> z_hat.
        scale: 0 is the conditional model, -1 the unconditional one. This is the paper's w. Many programs write
            z_none + s (z_c - z_none) instead; their s is scale + 1.
        none: the context that says "no label": the number for a model that takes labels (`model.none`), else tokens
            (tokens, width) for all images or (B, tokens, width).

    Returns:
        A model. At scale 0 it is `model` itself; else it asks `model` once, with a batch twice as large.

    Raises:
        ValueError: a scale that is not a finite number. When called: no context.

    Source: Ho and Salimans (2022), equation 6.
    """
    check_real("scale", scale, -1e6, 1e6)
    return model if scale == 0 else _Guided(model, scale, none)


class _Guided(nn.Module):
    """A module, so that `sample` finds the model's device and turns its dropout off."""

    def __init__(self, model: Callable[..., Tensor], scale: float, none: int | Tensor):
        super().__init__()
        self.model, self.scale, self.none = model, scale, none

    def forward(self, x_t: Tensor, t: int | Tensor, context: Tensor | None = None) -> Tensor:
        if context is None:
            fail(ValueError, "context", "what to be guided by", "None", "give sample(..., context=...)")
        alone = isinstance(self.none, int)
        none = torch.full_like(context, self.none) if alone else self.none.to(context).expand_as(context)
        times = torch.cat([t, t]) if isinstance(t, Tensor) else t
        z_c, z_none = self.model(torch.cat([x_t, x_t]), times, torch.cat([context, none])).chunk(2)
        return z_c + self.scale * (z_c - z_none)

    def check_context(self, context: Tensor) -> None:
        """Look at the context, if the model knows how."""
        if hasattr(self.model, "check_context"):
            self.model.check_context(context)
