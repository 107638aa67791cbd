"""What turns one model into another: labels as a context, guidance, and a network that predicts something else.

A model is any callable (x_t, t, context) -> z_hat, of x_t's shape, with t an int64 tensor (B,) in 1..T: that is how
the trainer, the sampler, guidance and the widgets call it. A label becomes a few learnt tokens, its context. One more
row of tokens means "no label": training uses it instead of a label now and then, so that one network learns the
conditional and the unconditional answer, and guidance can tell them apart.
"""

from collections.abc import Callable, Iterable
from itertools import repeat

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ddpm_lite._check import (
    Number,
    Several,
    Time,
    Whole,
    check_output,
    check_real,
    check_whole,
    describe,
    fail,
    to_context,
    to_times,
)
from ddpm_lite.process import predict_z, z_from_score, z_from_v
from ddpm_lite.schedule import Schedule
from ddpm_lite.unet import UNet

Labels = Int64[Tensor, "B"] | Several


class LabelEncoder(nn.Module):
    """Labels 0..labels-1, or "no label", as context tokens for cross-attention (eq-label-encoder).

    Args:
        labels: how many there are, >= 1.
        width: width of a token, the U-Net's context_dim.
        tokens: tokens per label. With a single token the softmax over keys is always 1, so the query cannot change
            what it gets.

    Raises:
        ValueError: a label outside 0..labels-1 that is not "no label" either, or labels of another dtype or shape.

    Source: Ho and Salimans (2022), section 3, with tokens instead of an embedding added to that of t.
    """

    def __init__(self, labels: int, width: int, tokens: int = 4):
        super().__init__()
        self.labels, self.width = check_whole("labels", labels, 1), check_whole("width", width, 1)
        self.tokens = check_whole("tokens", tokens, 1)
        self.table = nn.Embedding(labels + 1, tokens * width)  # the last row: no label

    @property
    def none(self) -> int:
        """The number that means "no label", the first after the labels."""
        return self.labels

    def forward(self, labels: Int64[Tensor, "B"]) -> Float[Tensor, "B tokens width"]:
        """The tokens of each label. Values are read on the CPU only: on a GPU reading them would stop the queue.

        A compiler cannot follow a branch on values, so a compiled or exported network leaves it out.
        """
        if labels.dtype != torch.int64 or labels.ndim != 1:
            fail(ValueError, "labels", "an int64 tensor of shape (B,)", describe(labels))
        if labels.device.type == "cpu" and not torch.compiler.is_compiling():
            self.check(labels)
        return self.table(labels).unflatten(1, (self.tokens, self.width))

    def check(self, labels: Int64[Tensor, "B"]) -> None:
        """Read every label, on any device; `sample` does it once, before its loop."""
        if labels.numel() and not (labels.min() >= 0 and labels.max() <= self.none):
            expected = f'every label in 0..{self.labels - 1}, or {self.none} for "no label"'
            fail(ValueError, "labels", expected, f"values in {int(labels.min())}..{int(labels.max())}")


class ConditionalUNet(nn.Module):
    """A U-Net conditioned on labels: its context is (B,) int64, and the encoder makes the tokens.

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
        """The number that means "no label"."""
        return self.encoder.none

    def forward(
        self, x_t: Float[Tensor, "B C H W"], t: Time, context: Labels | None = None
    ) -> Float[Tensor, "B C H W"]:
        """z_hat for these labels; without a context, for "no label"."""
        if context is None:
            context = torch.full((len(x_t),), self.none, device=x_t.device)
        context = to_context(context, x_t.device)
        if context.shape != x_t.shape[:1]:  # no len(): an exported graph would take only this batch size
            fail(ValueError, "context", f"{len(x_t)} labels, one for each image", describe(context))
        return self.unet(x_t, t, self.encoder(context))

    def check_context(self, context: Int64[Tensor, "B"]) -> None:
        """Read every label."""
        self.encoder.check(context)


def drop_labels(labels: Int64[Tensor, "B"], none: Whole, p: Number) -> Int64[Tensor, "B"]:
    """Each label becomes `none` with probability p, drawn from torch's random numbers (eq-label-dropout).

    Args:
        labels: (B,).
        none: the number that means "no label".
        p: share of labels to drop, in [0, 1]; 0.1 is usual. Keeping with p and dropping with 1 - p is a known mistake.

    Raises:
        ValueError: p outside [0, 1].

    Source: Ho and Salimans (2022), Algorithm 1.
    """
    check_real("p", p, 0, 1)
    return torch.where(torch.rand(labels.shape, device=labels.device) < p, none, labels)


def guided(model: Callable[..., Tensor], scale: Number, none: Whole | Tensor) -> Callable[..., Tensor]:
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
    scale = check_real("scale", scale, -1e6, 1e6)
    return model if scale == 0 else _Guided(model, scale, none)


class _Wrapped(nn.Module):
    """A model inside another; a module, so that `sample` finds the device and turns dropout off."""

    def __init__(self, model: Callable[..., Tensor]):
        super().__init__()
        self.model = model

    def check_context(self, context: Tensor) -> None:
        """Read the context, if the model inside knows how."""
        if hasattr(self.model, "check_context"):
            self.model.check_context(context)


class _Guided(_Wrapped):
    """`guided` as a module."""

    def __init__(self, model: Callable[..., Tensor], scale: float, none: int | Tensor):
        super().__init__(model)
        self.scale, self.none = scale, none

    def forward(self, x_t: Tensor, t: Time, context: Tensor | Several | None = None) -> Tensor:
        if context is None:
            fail(ValueError, "context", "what to be guided by", "None", "give sample(..., context=...)")
        context, t = to_context(context, x_t.device), to_times(t, x_t)
        if isinstance(self.none, Whole):
            none = torch.full_like(context, self.none)
        else:
            none = self.none.to(context).expand_as(context)
        z_c, z_none = self.model(torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([context, none])).chunk(2)
        return z_c + self.scale * (z_c - z_none)


def in_parts(model: Callable[..., Tensor], at_once: Whole) -> Callable[..., Tensor]:
    """The same model, asked for a part of the batch at a time: less memory for the same images.

    Args:
        model: (x_t, t, context) -> z_hat; a guided one too.
        at_once: the most images that it gets at a time; guidance doubles them.

    Raises:
        ValueError: at_once below 1.
    """
    return _InParts(model, check_whole("at_once", at_once, 1))


class _InParts(_Wrapped):
    """`in_parts` as a module."""

    def __init__(self, model: Callable[..., Tensor], at_once: int):
        super().__init__(model)
        self.at_once = at_once

    def forward(self, x_t: Tensor, t: Time, context: Tensor | Several | None = None) -> Tensor:
        context, n = to_context(context, x_t.device), self.at_once
        rows: Iterable[Tensor | None] = repeat(context)  # one that is not per image goes to all
        if isinstance(context, Tensor) and context.shape[:1] == x_t.shape[:1]:
            rows = context.split(n)
        return torch.cat([self.model(*row) for row in zip(x_t.split(n), to_times(t, x_t).split(n), rows, strict=False)])


PREDICTS = {
    "z": lambda schedule, x_t, t, z: z,
    "v": z_from_v,
    "x_0": predict_z,
    "score": lambda schedule, x_t, t, score: z_from_score(schedule, score, t),
}


def z_model(model: Callable[..., Tensor], schedule: Schedule, predicts: str) -> Callable[..., Tensor]:
    """A model whose z_hat follows from what another network predicts (eq-z-from-v, eq-z-from-x0, eq-z-from-score).

    Args:
        model: (x_t, t, context) -> v, x_0 or the score, of x_t's shape.
        schedule: the schedule that the network was trained with, not a re-spaced one.
        predicts: "v", "x_0", "score"; with "z" it is `model` itself.

    Returns:
        A model, with the network at `.model`; train it or sample from it like any other. `ddpm_loss` of it weights
        the network's own squared error: that of v by alpha_bar_t, that of x_0 by the signal-to-noise ratio.

    Raises:
        ValueError: another word, or a re-spaced schedule.

    Source: Salimans and Ho (2022), section 4.
    """
    if predicts not in PREDICTS:
        fail(ValueError, "predicts", " or ".join(f'"{name}"' for name in PREDICTS), f"{predicts!r}")
    if int(schedule.times[-1]) != schedule.T:
        fail(ValueError, "schedule", "the schedule that the network was trained with", f"a re-spaced one, {schedule!r}")
    return model if predicts == "z" else ZModel(model, schedule, predicts)


class ZModel(_Wrapped):
    """`z_model` as a module."""

    def __init__(self, model: Callable[..., Tensor], schedule: Schedule, predicts: str):
        super().__init__(model)
        self.schedule, self.predicts, self.none = schedule, predicts, getattr(model, "none", None)

    def forward(self, x_t: Tensor, t: Time, context: Tensor | Several | None = None) -> Tensor:
        t = to_times(t, x_t)
        answer = check_output(self.model(x_t, t, context), x_t)
        return PREDICTS[self.predicts](self.schedule, x_t, t, answer)
