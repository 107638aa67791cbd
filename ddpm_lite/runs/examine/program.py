"""All checks of a program, in the order in which its parts follow from each other."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from ddpm_lite._check import Number, Whole, check_real, check_shape, check_whole
from ddpm_lite.runs.examine.finding import Finding
from ddpm_lite.runs.examine.network import (
    answers_by_mode,
    check_embedding,
    check_guidance,
    check_loss,
    check_network,
)
from ddpm_lite.runs.examine.sampler import check_sampler
from ddpm_lite.runs.examine.tables import check_beta, check_signal, check_tables, read_tables
from ddpm_lite.runs.examine.training import check_average, check_batch, check_dropout, check_range
from ddpm_lite.schedule import Schedule


def examine(
    schedule: Schedule | Mapping[str, Tensor | Sequence[float]] | Tensor | Sequence[float],
    *,
    images: Tensor | None = None,
    batch: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]] | None = None,
    embed: Callable[[Tensor], Tensor] | None = None,
    model: Callable[..., Tensor] | None = None,
    context: Tensor | None = None,
    drop: Callable[[Tensor], Tensor] | None = None,
    p: Number = 0.1,
    guide: Callable[[Tensor, Tensor, float], Tensor] | None = None,
    update: Callable[[nn.Module, nn.Module, int], object] | None = None,
    steps: Whole = 1000,
    sampler: Callable[..., Tensor] | None = None,
    shape: Sequence[int] = (4, 1, 8, 8),
    first: Whole = 1,
    trained: bool = False,
) -> Iterator[Finding]:
    """Check the parts of a diffusion program, those that are given, and yield a `Finding` for each check.

    Args:
        schedule: a Schedule; or the betas of times 1..T, with or without a 0 in front; or the program's own tables,
            {"beta": ..., "alpha_bar": ...}, which are compared with each other.
        images: training images as the network gets them, (N, C, H, W) or points (N, d).
        batch: x_0 -> (x_t, t, z), what the training makes of a batch.
        embed: t -> (B, width), the embedding of the times.
        model: (x_t, t, context) -> z_hat.
        context: for the model, one row for each of the shape's images; None if it needs none.
        drop: labels -> labels, some of which are replaced by "no label".
        p: the probability with which they should be.
        guide: (z_hat with the label, z_hat without, w) -> z_hat, where w = 0 means no guidance.
        update: (average, model, step) -> None, which updates the average of the weights after each step, from 1 on.
        steps: the number of training steps, which decides how much of the first weights is left in that average.
        sampler: (model, shape) -> x_0, which calls the model once in each step.
        shape: of what the model takes; that of four images, if there are images.
        first: the number that the program gives to the first noisy time, 1 or 0.
        trained: the model is trained, so it should do better on the images than one that says nothing.

    Raises:
        ValueError, TypeError: a part that cannot be called in this way, or returns something else.

    Source: the equations that the findings name.
    """
    shape, first = check_shape(shape), check_whole("first", first, 0, 1)
    if images is not None:
        shape = (shape[0], *images.shape[1:])
    beta, alpha_bar = read_tables(schedule)
    yield check_signal(alpha_bar)
    yield check_beta(beta)
    yield check_tables(schedule, alpha_bar)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if images is not None and images.ndim == 4:
            yield check_range(images)
        if batch is not None:
            x_0 = torch.rand(64, *shape[1:]) * 2 - 1 if images is None else images[torch.arange(64) % len(images)]
            yield from check_batch(batch, x_0, alpha_bar, first)
        if embed is not None:
            yield from check_embedding(embed, len(beta) - 1, first)
        if model is not None:
            yield from check_network(model, shape, context, len(beta) - 1, first)
            if trained and images is not None:
                yield check_loss(model, images, context, alpha_bar, first)
        if drop is not None:
            yield check_dropout(drop, check_real("p", p, 0, 1))
        if guide is not None:
            yield check_guidance(guide)
        if update is not None:
            yield from check_average(update, check_whole("steps", steps, 1))
        if sampler is not None:
            by_mode = model is not None and answers_by_mode(model, shape, context, len(beta) - 1, first)
            yield from check_sampler(sampler, shape, alpha_bar, first, by_mode)
