"""Adapters from one model to another: labels as a context, guidance, and networks that predict something other than z.

A model is any callable (x_t, t, context) -> z_hat, of x_t's shape, with t an int64 tensor (B,) in 1..T: that is how
the trainer, the sampler, guidance and the widgets call it. A label is embedded as a few learnt tokens, its context. One
more embedding means "no label". Training sometimes uses it instead of the label, so that one network learns both the
conditional and the unconditional noise, from which classifier-free guidance extrapolates.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ddpm_lite._check import (
    Number,
    Several,
    Time,
    Whole,
    check_choice,
    check_encoder,
    check_model,
    check_none,
    check_numbers,
    check_output,
    check_real,
    check_span,
    check_whole,
    check_whole_schedule,
    describe,
    fail,
    repeat_none,
    to_context,
    to_labels,
    to_numbers,
    to_times,
    to_whole_numbers,
    to_words,
)
from ddpm_lite.process import predict_z, z_from_flow, z_from_score, z_from_v
from ddpm_lite.schedule import Schedule
from ddpm_lite.unet import UNet

Labels = Int64[Tensor, "B"] | Several


class LabelEncoder(nn.Module):
    """Embed labels 0..labels-1, or "no label", as context tokens for cross-attention (eq-label-encoder).

    Args:
        labels: the number of labels, >= 1.
        width: width of a token, the U-Net's context_dim.
        tokens: tokens per label. With a single token the softmax over keys is always 1, so the output does not depend
            on the query.

    Raises:
        ValueError: a label outside 0..labels-1 that is not "no label" either, or labels of another dtype or shape.

    Source: Ho and Salimans (2022), section 3, with tokens instead of an embedding added to that of t.
    """

    def __init__(self, labels: int, width: int, tokens: int = 4):
        super().__init__()
        self.labels, self.width = check_whole("labels", labels, 1), check_whole("width", width, 1)
        self.tokens = check_whole("tokens", tokens, 1)
        self.table = nn.Embedding(self.labels + 1, self.tokens * self.width)  # the last row means "no label"

    @property
    def none(self) -> int:
        """The number that means "no label", the first after the labels."""
        return self.labels

    def forward(self, labels: Int64[Tensor, "B"]) -> Float[Tensor, "B tokens width"]:
        """Look up the tokens of each label.

        The values are checked on the CPU only, because reading them on a GPU would synchronise the device. A compiled
        or exported network omits the check, because a compiler cannot trace a branch on values.
        """
        self.check(check_numbers("labels", labels))
        return self.table(labels).unflatten(1, (self.tokens, self.width))

    def check(self, labels: Int64[Tensor, "B"]) -> None:
        """Check every label; `sample` does so once, before its loop, with labels that it copied to the CPU."""
        expected = f'every label in 0..{self.labels - 1}, or {self.none} for "no label"'
        check_span("labels", labels, expected, 0, self.none)


class NameEncoder(LabelEncoder):
    """Embed names as context tokens, one for each word, without an order.

    Label i stands for names[i], so that `train` takes the names as labels. `embed` makes tokens of any name of known
    words, for the U-Net alone: `sample(model.unet, ..., context=encoder.embed(["green circle"]))`.

    Args:
        names: the names of the labels, of which every word gets a token. Case and punctuation are ignored.
        width: width of a token, the U-Net's context_dim.

    Raises:
        ValueError: no names, a name without words, or, in `read`, an unknown word or more words than in any of `names`.
    """

    def __init__(self, names: Sequence[str], width: int):
        nn.Module.__init__(self)  # another table than that of a LabelEncoder
        words = to_words("names", names, least=1)
        self.names, self.width = tuple(names), check_whole("width", width, 1)
        self.labels, self.tokens = len(words), max(map(len, words))
        # The number of each word; 0 is "no word", which pads a name.
        self.words = {word: number for number, word in enumerate(sorted({word for name in words for word in name}), 1)}
        self.table = nn.Embedding(len(self.words) + 1, self.width)
        self.register_buffer("rows", self.read([*names, ""]), persistent=False)

    def forward(self, labels: Int64[Tensor, "B"]) -> Float[Tensor, "B tokens width"]:
        """Look up the words of each label, and their tokens; values are checked as in `LabelEncoder`."""
        self.check(check_numbers("labels", labels))
        return self.table(self.get_buffer("rows")[labels])

    def read(self, names: Sequence[str]) -> Int64[Tensor, "B tokens"]:
        """Number the words of each name from 1, and fill up with 0; the name "" has no words."""
        return torch.tensor(to_numbers(to_words("names", names), self.words, self.tokens))

    def embed(self, names: Sequence[str]) -> Float[Tensor, "B tokens width"]:
        """Make the tokens of names; those of [""] are the `none` of `guided`."""
        return self.table(self.read(names).to(self.table.weight.device))


class ConditionalUNet(nn.Module):
    """A U-Net conditioned on labels: its context is (B,) int64, which the encoder turns into tokens.

    Args:
        unet: a U-Net with a context_dim.
        encoder: an encoder of that width, a `LabelEncoder` or a `NameEncoder`.

    Raises:
        ValueError: the widths differ, or an error of UNet or LabelEncoder.
    """

    def __init__(self, unet: UNet, encoder: LabelEncoder):
        super().__init__()
        check_encoder(unet, encoder)
        self.unet, self.encoder = unet, encoder

    @property
    def none(self) -> int:
        """The number that means "no label"."""
        return self.encoder.none

    def forward(
        self, x_t: Float[Tensor, "B C H W"], t: Time, context: Labels | None = None
    ) -> Float[Tensor, "B C H W"]:
        """Estimate z for these labels, or for "no label" if the context is None."""
        t = to_times(t, x_t)
        if context is None:
            context = torch.full((len(x_t),), self.none, device=x_t.device)
        context = to_labels(context, x_t.device)
        if context.shape != x_t.shape[:1]:  # with len(), an exported graph would accept only this batch size
            fail(ValueError, "context", f"{len(x_t)} labels, one for each image", describe(context))
        return self.unet(x_t, t, self.encoder(context))

    def check_context(self, context: Int64[Tensor, "B"]) -> None:
        """Check every label."""
        self.encoder.check(to_whole_numbers("context", to_labels(context, "cpu")))


def drop_labels(labels: Labels, none: Whole, p: Number) -> Int64[Tensor, "B"]:
    """Replace each label by `none` with probability p, using torch's global generator (eq-label-dropout).

    Args:
        labels: (B,), or a sequence.
        none: the number that means "no label".
        p: the probability of dropping a label, in [0, 1]; 0.1 is usual. Dropping with 1 - p is a common mistake.

    Raises:
        ValueError, TypeError: p outside [0, 1], a `none` below 0, or labels that are not whole numbers.

    Source: Ho and Salimans (2022), Algorithm 1.
    """
    labels, none, p = to_whole_numbers("labels", labels), check_whole("none", none, 0), check_real("p", p, 0, 1)
    return torch.where(torch.rand(labels.shape, device=labels.device) < p, none, labels)


def guided(model: Callable[..., Tensor], scale: Number, none: Whole | Tensor) -> Callable[..., Tensor]:
    """Apply classifier-free guidance to a model: z_c + scale (z_c - z_none) (eq-guidance).

    Args:
        model: (x_t, t, context) -> z_hat.
        scale: the paper's w; 0 is the conditional model, -1 the unconditional one. Many programs write
            z_none + s (z_c - z_none) instead, and their s is scale + 1.
        none: the context that means "no label": for a model that takes labels its number (`model.none`), otherwise
            tokens, (tokens, width) for all images or (B, tokens, width).

    Returns:
        A model. At scale 0 it is `model` itself; otherwise it calls `model` once, with a batch twice as large.

    Raises:
        ValueError: a scale that is not a finite number, or, when the returned model is called, no context.

    Source: Ho and Salimans (2022), equation 6.
    """
    scale = check_real("scale", scale, -1e6, 1e6)
    return model if scale == 0 else _Guided(model, scale, check_none(none))


class _Wrapped(nn.Module):
    """A model inside another, as a module, so that `sample` finds its device and turns dropout off."""

    def __init__(self, model: Callable[..., Tensor]):
        super().__init__()
        check_model(model)
        self.model = model

    def check_context(self, context: Tensor) -> None:
        """Check the context, if the model inside has such a check."""
        if hasattr(self.model, "check_context"):
            self.model.check_context(context)


class _Guided(_Wrapped):
    """The module that `guided` returns."""

    def __init__(self, model: Callable[..., Tensor], scale: float, none: int | Tensor):
        super().__init__(model)
        self.scale, self.none = scale, none

    def forward(self, x_t: Tensor, t: Time, context: Tensor | Several | None = None) -> Tensor:
        if context is None:
            fail(ValueError, "context", "labels or tokens to guide towards", "None", "pass sample(..., context=...)")
        t, context = to_times(t, x_t), to_labels(context, x_t.device)
        none = repeat_none(self.none, context)
        z_c, z_none = self.model(torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([context, none])).chunk(2)
        return z_c + self.scale * (z_c - z_none)


def in_parts(model: Callable[..., Tensor], at_once: Whole) -> Callable[..., Tensor]:
    """Evaluate a model on a part of the batch at a time, which takes less memory and gives the same result.

    Args:
        model: (x_t, t, context) -> z_hat, which may be a guided model.
        at_once: the largest number of images at a time; a guided model evaluates twice as many.

    Raises:
        ValueError: at_once below 1.
    """
    return _InParts(model, check_whole("at_once", at_once, 1))


class _InParts(_Wrapped):
    """The module that `in_parts` returns."""

    def __init__(self, model: Callable[..., Tensor], at_once: int):
        super().__init__(model)
        self.at_once = at_once

    def forward(self, x_t: Tensor, t: Time, context: Tensor | Several | None = None) -> Tensor:
        t, context, n = to_times(t, x_t), to_context(context, x_t.device), self.at_once
        rows: Iterable[Tensor | None] = repeat(context)  # a context that is not per image is the same for all parts
        if isinstance(context, Tensor) and context.shape[:1] == x_t.shape[:1]:
            rows = context.split(n)
        return torch.cat([self.model(*row) for row in zip(x_t.split(n), t.split(n), rows, strict=False)])


PREDICTS = {
    "z": lambda schedule, x_t, t, z: z,
    "v": z_from_v,
    "flow": z_from_flow,
    "x_0": predict_z,
    "score": lambda schedule, x_t, t, score: z_from_score(schedule, score, t),
}


def z_model(model: Callable[..., Tensor], schedule: Schedule, predicts: str) -> Callable[..., Tensor]:
    """Make a model of z from a network of v, a flow, x_0 or the score (eq-z-from-v, eq-z-from-flow, eq-z-from-x0).

    Args:
        model: (x_t, t, context) -> v, u = z - x_0, x_0 or the score, of x_t's shape.
        schedule: the schedule that the network was trained with, not a re-spaced one.
        predicts: "v", "flow", "x_0" or "score"; with "z" the result is `model` itself.

    Returns:
        A model, with the network at `.model`, to be trained or sampled from like any other. Its `ddpm_loss` is the
        network's own squared error with a weight: alpha_bar_t for v, (1 - flow_time_t)^2 for the flow, the
        signal-to-noise ratio for x_0.

    Raises:
        ValueError: any other word, or a re-spaced schedule.

    Source: Salimans and Ho (2022), section 4.
    """
    check_choice("predicts", predicts, *PREDICTS)
    check_whole_schedule(schedule, "the network")
    return model if predicts == "z" else ZModel(model, schedule, predicts)


class ZModel(_Wrapped):
    """The module that `z_model` returns."""

    def __init__(self, model: Callable[..., Tensor], schedule: Schedule, predicts: str):
        super().__init__(model)
        self.schedule, self.predicts, self.none = schedule, predicts, getattr(model, "none", None)

    def forward(self, x_t: Tensor, t: Time, context: Tensor | Several | None = None) -> Tensor:
        t = to_times(t, x_t)
        answer = check_output(self.model(x_t, t, context), x_t)
        return PREDICTS[self.predicts](self.schedule, x_t, t, answer)
