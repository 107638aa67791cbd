"""What the widgets share in which the page itself runs a trained network: Algorithm 2 in the reader's browser.

The page's noise is `noise.normals`, so that the same seed draws the same digit here and there.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor

from ddpm_lite import sampler as samplers
from ddpm_lite._check import check_whole, fail
from ddpm_lite.condition import ConditionalUNet, guided
from ddpm_lite.files.weights import get_unet, load_pretrained
from ddpm_lite.schedule import Schedule, respace
from ddpm_lite.unet import UNet
from ddpm_lite.viz.export_page import count_labels, export_page, halved, text_of
from ddpm_lite.viz.noise import normals
from ddpm_lite.viz.widgets import recorded, still
from ddpm_lite.viz.widgets.base import Widget, state

NETWORKS = ("digits", "digits-by-label")  # those that the book's pages can load
SAMPLERS = ("ddim", "ddpm")  # of sampler.STEPS, those that js/shared/science.js walks too
VARIANCES = ("beta_tilde", "beta")
STEPS = (10, 50, 200, 1000)


@cache
def opened(network: str) -> tuple[UNet | ConditionalUNet, Schedule]:
    """A network as the page has it, in float16's precision, and its schedule."""
    model, schedule = load_pretrained(network)
    return halved(model), schedule


@cache
def page_file(network: str) -> str:
    """The script that brings a network to a page."""
    return export_page(network, *opened(network))


def page_walk(
    network: str,
    labels: Sequence[int],
    *,
    steps: int,
    seeds: Sequence[int],
    sampler: str = "ddim",
    variance: str = "beta_tilde",
    eta: float = 0.0,
    clip: bool = True,
    scale: float = 0.0,
) -> Iterator[tuple[int, Tensor]]:
    """What `drawing` of js/shared/unet.js does, by the package's sampler on the page's noise: (t, x_t) from x_T on.

    Args:
        labels: one for each image; a network without labels looks at none of them.
        seeds: of each image's noise.

    Raises:
        ValueError: guidance of a network without labels.
    """
    model, schedule = opened(network)
    config = get_unet(model).config
    size = config.in_channels, config.sample_size, config.sample_size
    drawn = np.stack([normals(seed, (steps + 1) * int(np.prod(size))).reshape(-1, *size) for seed in seeds])
    noise = torch.from_numpy(drawn).float().transpose(0, 1)  # (steps + 1, B, C, H, W)
    options = {"variance": variance} if sampler == "ddpm" else {"eta": eta}
    rule = partial(samplers.STEPS[sampler], clip=clip, **options)

    def step(way: Schedule, x_t: Tensor, t: int, s: int, z_hat: Tensor, _: Tensor) -> Tensor:
        return rule(way, x_t, t, s, z_hat, noise[way.T - t + 1])

    asked: Callable[..., Tensor] = model
    context = None
    if isinstance(model, ConditionalUNet):
        asked, context = guided(model, scale, model.none), torch.tensor(labels)
    elif scale:
        fail(ValueError, "scale", "0 for a network without labels", f"{scale}")
    way = schedule if steps == schedule.T else respace(schedule, steps)
    return samplers.sample(asked, way, (len(seeds), *size), step=step, x_T=noise[0], context=context)


class Drawing(Widget):
    """What the widgets share that run a network: which one, and what it draws from.

    Args:
        pictures: what the still figure shows, uint8, as recorded; None draws them now.
        network: the name of a model that comes with the package, one of NETWORKS.
        traits: the rest, checked.
    """

    network = state(traitlets.Unicode())
    labels = state(traitlets.Int())
    size = state(traitlets.List())
    seed = state(traitlets.Int())

    def __init__(self, pictures: np.ndarray | None, network: str, seed: int, **checked):
        model = check_network(network)
        config = get_unet(model).config
        super().__init__(
            network=network,
            labels=count_labels(model),
            size=[config.in_channels, config.sample_size, config.sample_size],
            seed=check_whole("seed", seed, 0, 99),
            **checked,
        )
        self.pictures = self.draw_pictures() if pictures is None else pictures
        self.on_msg(_send)

    @classmethod
    def from_record(cls, path: str | Path, **options) -> "Drawing":
        """The widget with the figure that `python studies/record_widgets.py` recorded; options as above."""
        arrays, _ = recorded.read_widget_record(path, cls.name)
        return cls(arrays["pictures"], **options)

    def files(self) -> tuple[str, ...]:
        return (f"networks/{self.network}",)

    def still(self) -> str:
        return still.figures([recorded.tiles(self.pictures)], [self.caption()], [self.sentence()], self.pixel())

    def draw_pictures(self) -> np.ndarray:
        """What the still figure shows, uint8 (rows, columns, C, H, W), drawn with the settings of now."""
        raise NotImplementedError(f"{type(self).__name__} needs pictures")

    def caption(self) -> str:
        """What stands below the still figure."""
        raise NotImplementedError(f"{type(self).__name__} needs a caption")

    def pixel(self) -> int:
        """The still figure's width in CSS pixels."""
        return 5 * recorded.tiles(self.pictures).shape[1]


def _send(widget: Drawing, content: object, buffers: object) -> None:
    """In Jupyter the page asks for the network when it draws for the first time."""
    if content == "network":
        written, text = text_of(page_file(widget.network))
        widget.send({"sum": written, "text": text})


def check_network(network: str) -> UNet | ConditionalUNet:
    """The network of this name, one of NETWORKS."""
    if network not in NETWORKS:
        fail(ValueError, "network", f"one of {', '.join(NETWORKS)}", repr(network))
    return opened(network)[0]


def choice_of(argument: str, value: object, among: Sequence) -> int:
    """The number of a choice."""
    if value not in among:
        fail(ValueError, argument, f"one of {', '.join(map(str, among))}", repr(value))
    return list(among).index(value)


def label_of(label: int | None, network: str) -> int:
    """A label's number; the one after the last says "no label"."""
    labels = count_labels(check_network(network))
    return labels if label is None else check_whole("label", label, 0, labels)
