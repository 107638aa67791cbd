"""The effect of guidance, by label and scale."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor

from ddpm_lite._check import check_images, check_real, check_whole, describe, fail
from ddpm_lite.condition import ConditionalUNet, guided
from ddpm_lite.sampler import ddpm_step, last, sample
from ddpm_lite.schedule import Schedule
from ddpm_lite.viz.widgets import recorded, still
from ddpm_lite.viz.widgets.base import Widget, grey, state

MEASURES = ("as_asked", "diversity", "distance")


class GuidanceDial(Widget):
    """Samples for each label at several scales of guidance, and what was measured at each scale.

    Args:
        images: (labels, scales, samples, C, H, W) in [-1, 1].
        scales: the scales, increasing; w as in eq-guidance.
        measured: rows {"scale": w, "as_asked": ..., "diversity": ..., "distance": ...}; a scale may have none.
        label: the first label to be shown.
        chosen: the index in `scales` of the first scale to be shown.

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "guidance-dial"
    labels = state(traitlets.Int())
    count = state(traitlets.Int())
    size = state(traitlets.List())
    scales = state(traitlets.List())
    measured = state(traitlets.List())
    images = state(traitlets.Bytes())
    label = state(traitlets.Int())
    chosen = state(traitlets.Int())

    def __init__(
        self,
        images: np.ndarray | Tensor,
        scales: Sequence[float],
        measured: Iterable[Mapping] = (),
        *,
        label: int = 0,
        chosen: int = 0,
    ):
        images = recorded.as_pictures("images", images, "labels, scales, samples, C, H, W")
        check_images("images", images.flatten(0, 2))
        scales = [check_real("scales", scale, -1e6, 1e6) for scale in scales]
        if len(scales) != images.shape[1]:
            fail(ValueError, "scales", f"{images.shape[1]} numbers, as in images", f"{len(scales)}")
        if scales != sorted(set(scales)):
            fail(ValueError, "scales", "increasing numbers", f"{scales}")
        super().__init__(
            labels=images.shape[0],
            count=images.shape[2],
            size=list(images.shape[3:]),
            scales=scales,
            measured=_list_rows(measured, scales),
            images=grey(images).tobytes(),
            label=check_whole("label", label, 0, images.shape[0] - 1),
            chosen=check_whole("chosen", chosen, 0, len(scales) - 1),
        )

    @classmethod
    def from_record(cls, path: str | Path, measured: Iterable[Mapping] = (), **options) -> "GuidanceDial":
        """Make the widget from a record of `python studies/record_widgets.py`; `measured` and options as above."""
        arrays, _ = recorded.read_widget_record(path, cls.name)
        scales = arrays["scales"].tolist()
        return cls(recorded.from_bytes(arrays["images"]), scales, measured, **options)

    @classmethod
    def from_model(
        cls,
        model: ConditionalUNet,
        schedule: Schedule,
        scales: Sequence[float] = (-1, 0, 0.5, 1, 2, 4, 8),
        *,
        samples: int = 6,
        seed: int = 0,
        **options,
    ) -> "GuidanceDial":
        """Draw the samples from a model, in T steps for each scale; all labels and scales get the same noise."""
        if not isinstance(model, ConditionalUNet):
            fail(TypeError, "model", "a ConditionalUNet", type(model).__name__)
        labels, shape = model.encoder.labels, [model.unet.config.in_channels] + [model.unet.config.sample_size] * 2
        x_T = torch.randn(check_whole("samples", samples, 1), *shape, generator=torch.Generator().manual_seed(seed))
        walk = partial(
            sample,
            schedule=schedule,
            shape=(labels * samples, *shape),
            step=partial(_step_with_same_noise, samples=samples),
            seed=seed,
            x_T=x_T.repeat(labels, 1, 1, 1),
            context=torch.arange(labels).repeat_interleave(samples).to(model.encoder.table.weight.device),
        )
        ends = []
        for scale in scales:
            _, x_0 = last(walk(guided(model, scale, model.none)))
            ends.append(x_0.cpu().clamp(-1, 1).unflatten(0, (labels, samples)))
        return cls(torch.stack(ends, dim=1), scales, **options)

    def grid(self) -> np.ndarray:
        """Decode all images, uint8 (labels, scales, samples, C, H, W)."""
        return np.frombuffer(self.images, np.uint8).reshape(self.labels, len(self.scales), self.count, *self.size)

    def shown(self) -> np.ndarray:
        """Return the images that the page shows, uint8 (samples, C, H, W)."""
        return self.grid()[self.label, self.chosen]

    def still(self) -> str:
        sheet = recorded.tile(self.grid()[:, :, 0].swapaxes(0, 1))
        marks = ", ".join(f"{scale:g}" for scale in self.scales)
        return still.figures(
            [sheet], [f"Scales from top to bottom: {marks}"], [self.sentence()], size=4 * sheet.shape[1]
        )

    def sentence(self) -> str:
        return (
            f"One image of each of the {self.labels} labels in every row; from row to row the guidance scale increases "
            f"from {self.scales[0]:g} to {self.scales[-1]:g}, with the same noise in each column."
        )


def _list_rows(measured: Iterable[Mapping], scales: list[float]) -> list[list[float]]:
    """List the numbers of MEASURES for each scale; the list is empty if nothing was measured."""
    found = {}
    for row in measured:
        if not isinstance(row, Mapping) or not {"scale", *MEASURES} <= set(row):
            fail(ValueError, "measured", f"rows with scale, {', '.join(MEASURES)}", describe(row))
        found[row["scale"]] = [round(check_real(name, row[name], 0, 1e6), 6) for name in MEASURES]
    return [found.get(scale, []) for scale in scales]


def _step_with_same_noise(
    schedule: Schedule, x_t: Tensor, t: int, s: int, z_hat: Tensor, noise: Tensor, *, samples: int
) -> Tensor:
    """Take a DDPM step in which every label gets the noise of the first."""
    return ddpm_step(schedule, x_t, t, s, z_hat, noise[:samples].repeat(len(noise) // samples, 1, 1, 1))
