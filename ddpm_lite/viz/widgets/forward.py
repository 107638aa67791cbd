"""The forward process of an image, at any time and for any schedule."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import traitlets
from torch import Tensor

from ddpm_lite._check import check_whole, describe, fail
from ddpm_lite.schedule import Schedule, cosine_schedule, linear_schedule
from ddpm_lite.viz.widgets import recorded, still
from ddpm_lite.viz.widgets.base import (
    Widget,
    beta_bytes,
    grey,
    image_bytes,
    jump,
    noise_bytes,
    read_noise,
    read_schedule,
    state,
)

LARGEST = 256  # pixels a side, because the twin has three bytes for each value
BINS = 41  # of width 0.2, centred, so that black (-1) and white (+1) are in the middle of a bin

Images = np.ndarray | Tensor


class ForwardExplorer(Widget):
    """x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) z at any t, with one z for each image (eq-forward-closed).

    Args:
        images: grey or coloured, in [-1, 1]: a tensor or an array (N, C, H, W), or a sequence or a dict by name of
            images (C, H, W) or (1, C, H, W), which may differ in size.
        schedule: a Schedule, or a dict of them by name, which may differ in T; None is the paper's linear schedule,
            the cosine schedule, and a linear one to 0.002, each of 1000 steps.
        image_number, schedule_number: the first to be shown, from 0.
        t: the first time to be shown, in 0..T.
        seed: the seed of the noise.

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "forward-explorer"
    images = state(traitlets.Bytes())
    shapes = state(traitlets.Tuple())
    names = state(traitlets.Tuple())
    noise = state(traitlets.Bytes())
    schedules = state(traitlets.Tuple())
    T = state(traitlets.Tuple())
    beta = state(traitlets.Bytes())
    image_number = state(traitlets.Int())
    schedule_number = state(traitlets.Int())
    t = state(traitlets.Int())

    def __init__(
        self,
        images: Images | Sequence[Images] | Mapping[str, Images],
        schedule: Schedule | Mapping[str, Schedule] | None = None,
        *,
        image_number: int = 0,
        schedule_number: int = 0,
        t: int = 300,
        seed: int = 0,
    ):
        if schedule is None:
            weak = {"linear to 0.002": linear_schedule(beta_T=0.002)}
            schedule = {"linear": linear_schedule(), "cosine": cosine_schedule()} | weak
        if isinstance(schedule, Schedule):
            schedule = {"schedule": schedule}
        if not isinstance(schedule, Mapping):
            fail(TypeError, "schedule", "a Schedule or a dict of them", type(schedule).__name__)
        schedules = _name_all("schedule", schedule)
        beta = [beta_bytes(f"schedule[{name!r}]", one) for name, one in schedules.items()]
        T = [one.T for one in schedules.values()]
        pictures = {
            name: _check_image(f"images[{name!r}]", image) for name, image in _name_all("images", images).items()
        }
        count = sum(image.numel() for image in pictures.values())
        z = np.random.default_rng(check_whole("seed", seed, 0)).standard_normal(count)
        chosen = check_whole("schedule_number", schedule_number, 0, len(T) - 1)
        super().__init__(
            images=b"".join(image_bytes(f"images[{name!r}]", image[None]) for name, image in pictures.items()),
            shapes=tuple(tuple(image.shape) for image in pictures.values()),
            names=tuple(pictures),
            noise=noise_bytes(z),
            schedules=tuple(schedules),
            T=tuple(T),
            beta=b"".join(beta),
            image_number=check_whole("image_number", image_number, 0, len(pictures) - 1),
            schedule_number=chosen,
            t=check_whole("t", t, 0, T[chosen]),
        )

    def schedule(self) -> Schedule:
        """Decode the chosen schedule, as the page has it."""
        entries = [4 * (T + 1) for T in self.T]
        start = sum(entries[: self.schedule_number])
        return read_schedule(self.beta[start : start + entries[self.schedule_number]])

    def x_t(self, t: int | None = None) -> np.ndarray:
        """Compute the chosen image at time t, (C, H, W), as the page does; None is the time that is shown."""
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        start = sum(sizes[: self.image_number])
        part = slice(start, start + sizes[self.image_number])
        x_0 = recorded.from_bytes(np.frombuffer(self.images, np.uint8)[part]).numpy()
        x = jump(self.schedule(), x_0, self.t if t is None else t, read_noise(self.noise)[part])
        return x.reshape(self.shapes[self.image_number])

    def histogram(self) -> np.ndarray:
        """Compute the density of x_t's values in bins of width 0.2, from the bin around -4 to the bin around 4."""
        x = self.x_t().ravel()
        bins = np.floor((x + 4.1) * 5).astype(int)
        inside = bins[(bins >= 0) & (bins < BINS)]
        return np.bincount(inside, minlength=BINS) * 5 / x.size

    def _choose_times(self) -> list[int]:
        T = self.T[self.schedule_number]
        return sorted({0, T // 4, T // 2, T})

    def still(self) -> str:
        pictures = [grey(self.x_t(t)).transpose(1, 2, 0) for t in self._choose_times()]
        pictures = [picture[..., 0] if picture.shape[2] == 1 else picture for picture in pictures]
        name = self.names[self.image_number]
        captions = [f"t = {t}" for t in self._choose_times()]
        return still.figures(pictures, captions, [f"{name} at {caption}" for caption in captions], 150)

    def sentence(self) -> str:
        name, rule = self.names[self.image_number], self.schedules[self.schedule_number]
        times = ", ".join(map(str, self._choose_times()))
        left = ", ".join(f"{jump(self.schedule(), 1, t, 0):.2g}" for t in self._choose_times())
        return f"{name}, schedule {rule}: at t = {times} the weight of the image is {left}. The rest is noise."


def _name_all(argument: str, many: object) -> dict:
    """Return the items by name; those of a sequence are numbered from 1."""
    many = _to_tensor(argument, many)
    expected = "at least one item, in a sequence or a dict"
    if isinstance(many, Tensor):
        if not many.ndim or not len(many):
            fail(TypeError, argument, expected, describe(many))
    elif not isinstance(many, Mapping | list | tuple):
        fail(TypeError, argument, expected, type(many).__name__)
    elif not many:
        fail(TypeError, argument, expected, f"empty {type(many).__name__}")
    named = many if isinstance(many, Mapping) else {f"image {i}": one for i, one in enumerate(many, start=1)}
    for name in named:
        if not isinstance(name, str):
            fail(TypeError, argument, "names that are strings", repr(name))
    return dict(named)


def _check_image(argument: str, image: object) -> Tensor:
    """Check one image (C, H, W), which must not be too large for a page."""
    image = _to_tensor(argument, image)
    single = image[0] if isinstance(image, Tensor) and image.ndim == 4 and len(image) == 1 else image
    if not isinstance(single, Tensor) or single.ndim != 3:
        got = describe(image) if isinstance(image, Tensor) else type(image).__name__
        fail(TypeError, argument, "an image (C, H, W) or (1, C, H, W)", got)
    if max(single.shape[1:]) > LARGEST:
        fail(ValueError, argument, f"at most {LARGEST} pixels a side", describe(image), "scale it down")
    return single


def _to_tensor(argument: str, x: object) -> object:
    """Convert an array to a tensor; leave anything else as it is."""
    if not isinstance(x, np.ndarray):
        return x
    if x.dtype.kind not in "biuf":
        fail(TypeError, argument, "an array of numbers", f"an array of {x.dtype}")
    return torch.from_numpy(np.array(x))
