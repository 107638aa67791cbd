"""The reverse process, as recorded frames."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor

from ddpm_lite._check import check_whole, describe, fail
from ddpm_lite.process import predict_x_0
from ddpm_lite.sampler import ddpm_step, evaluating, sample
from ddpm_lite.schedule import Schedule
from ddpm_lite.viz.widgets import recorded, still
from ddpm_lite.viz.widgets.base import Widget, grey, state

AXES = "frames, samples, C, H, W"


class ReversePath(Widget):
    """Samples at each step from noise to images, and the network's estimates of the images.

    Args:
        x_t: (frames, samples, C, H, W), from the noisiest to the last.
        x_0_hat: the estimated image at each of them, of the same shape (eq-x0-from-z); at the end, the image itself.
        times: t of each frame, decreasing.
        frame: the first frame to be shown.
        sample: 0 shows all samples in a row, n only the n-th.

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "reverse-path"
    count = state(traitlets.Int())
    size = state(traitlets.List())
    times = state(traitlets.List())
    x_t = state(traitlets.Bytes())
    x_0_hat = state(traitlets.Bytes())
    frame = state(traitlets.Int())
    sample = state(traitlets.Int())

    def __init__(
        self,
        x_t: np.ndarray | Tensor,
        x_0_hat: np.ndarray | Tensor,
        times: Sequence[int],
        *,
        frame: int = 0,
        sample: int = 0,
    ):
        x_t, x_0_hat = recorded.as_pictures("x_t", x_t, AXES), recorded.as_pictures("x_0_hat", x_0_hat, AXES)
        if x_0_hat.shape != x_t.shape:
            fail(ValueError, "x_0_hat", f"the shape of x_t, {tuple(x_t.shape)}", describe(x_0_hat))
        super().__init__(
            count=x_t.shape[1],
            size=list(x_t.shape[2:]),
            times=recorded.check_times(times, len(x_t), falling=True),
            x_t=grey(x_t).tobytes(),
            x_0_hat=grey(x_0_hat).tobytes(),
            frame=check_whole("frame", frame, 0, len(x_t) - 1),
            sample=check_whole("sample", sample, 0, x_t.shape[1]),
        )

    @classmethod
    def from_record(cls, path: str | Path, **options) -> "ReversePath":
        """Make the widget from a record of `python studies/record_widgets.py`; options as above."""
        arrays, _ = recorded.read_widget_record(path, cls.name)
        x_t, x_0_hat = (recorded.from_bytes(arrays[name]) for name in ("x_t", "x_0_hat"))
        return cls(x_t, x_0_hat, arrays["times"].tolist(), **options)

    @classmethod
    def from_model(
        cls,
        model: Callable[..., Tensor],
        schedule: Schedule,
        shape: tuple[int, ...] = (1, 8, 8),
        *,
        samples: int = 8,
        seed: int = 0,
        step: Callable[..., Tensor] = ddpm_step,
        context: Tensor | None = None,
        **options,
    ) -> "ReversePath":
        """Sample from a model and keep some sixty frames, more of them at small t; `shape` is (C, H, W) of an image."""
        walk = sample(
            model, schedule, (check_whole("samples", samples, 1), *shape), step=step, seed=seed, context=context
        )
        times, seen, thought = [], [], []
        for k, (t, x_t) in zip(range(schedule.T, -1, -1), walk, strict=True):
            every = schedule.T // (20 if k > 0.6 * schedule.T else 50 if k > 0.4 * schedule.T else 100)
            if k % max(1, every) and k != schedule.T:
                continue
            with evaluating(model), torch.no_grad():
                at = torch.full((samples,), t, device=x_t.device)
                thought.append(predict_x_0(schedule, x_t, k, model(x_t, at, context)) if k else x_t)
            times.append(t)
            seen.append(x_t)
        return cls(torch.stack(seen), torch.stack(thought), times, **options)

    def frames(self, name: str) -> np.ndarray:
        """Decode all frames of "x_t" or "x_0_hat", uint8 (frames, samples, C, H, W)."""
        return np.frombuffer(getattr(self, name), np.uint8).reshape(-1, self.count, *self.size)

    def shown(self, name: str) -> np.ndarray:
        """Return the images of "x_t" or "x_0_hat" that the page shows, uint8 (samples, C, H, W)."""
        images = self.frames(name)[self.frame]
        return images[self.sample - 1 : self.sample] if self.sample else images

    def from_the_end(self) -> float:
        """Compute the mean absolute difference of the estimated images from the last ones, per pixel."""
        end, chosen = self.frames("x_t")[-1], slice(self.sample - 1, self.sample) if self.sample else slice(None)
        return float((recorded.from_bytes(self.shown("x_0_hat")) - recorded.from_bytes(end[chosen])).abs().mean())

    def still(self) -> str:
        picked = [round(i * (len(self.times) - 1) / 7) for i in range(8)]
        sheets = [recorded.tile(self.frames(name)[picked, :4].swapaxes(0, 1)) for name in ("x_t", "x_0_hat")]
        marks = ", ".join(str(self.times[i]) for i in picked)
        words = ["The noisy image", "The image that the network estimates"]
        return still.figures(sheets, words, [f"{word}, at t = {marks}" for word in words], size=5 * sheets[0].shape[1])

    def sentence(self) -> str:
        shown = min(4, self.count)
        return (
            f"{shown} samples, one in each row, at eight times from t = {self.times[0]} to t = {self.times[-1]}: the "
            "noisy image, and the image that the network estimates, which takes shape much earlier."
        )
