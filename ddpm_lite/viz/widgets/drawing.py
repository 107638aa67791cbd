"""The base of widgets in which the page runs a trained network: Algorithm 2 in the reader's browser.

The page's noise is `noise.normals`, so that the same seed gives the same digit in Python and in the page.
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
from ddpm_lite.viz.export_page import count_labels, export_page, round_as_page, split_script
from ddpm_lite.viz.noise import normals
from ddpm_lite.viz.widgets import recorded, still
from ddpm_lite.viz.widgets.base import Widget, state

NETWORKS = ("digits", "digits-by-label", "fashion")  # the networks that the book's pages can load
SAMPLERS = ("ddim", "ddpm")  # names in sampler.STEPS that js/shared/science.js has too
VARIANCES = ("beta_tilde", "beta")
SPACINGS = ("trailing", "leading")  # of `respace`
STEPS = (10, 50, 200, 1000)


@cache
def open_network(network: str) -> tuple[UNet | ConditionalUNet, Schedule]:
    """Open a network as the page has it, with the weights rounded, and its schedule."""
    model, schedule = load_pretrained(network)
    return round_as_page(model), schedule


@cache
def write_page_file(network: str) -> str:
    """Write the script of a network for pages."""
    return export_page(network, *open_network(network))


def walk_as_page(
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
    spacing: str = "trailing",
    towards: int = 0,
    turns: Sequence[float] | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """Sample as `drawing` of js/shared/unet.js does, with the package's sampler and the page's noise; yield (t, x_t).

    Args:
        labels: one for each image; a network without labels ignores them.
        seeds: the seeds of each image's noise.
        spacing: which times are kept of a walk with fewer steps than T, one of SPACINGS.
        towards: the seed of another noise.
        turns: how far the first noise of each image is turned towards the other, 0..1 of a quarter turn
            (eq-mix-starts); None turns none.

    Raises:
        ValueError: guidance of a network without labels.
    """
    model, schedule = open_network(network)
    config = get_unet(model).config
    size = config.in_channels, config.sample_size, config.sample_size
    drawn = np.stack([normals(seed, (steps + 1) * int(np.prod(size))).reshape(-1, *size) for seed in seeds])
    if turns is not None:
        angles = np.reshape(turns, (-1, 1, 1, 1)) * np.pi / 2
        other = normals(towards, int(np.prod(size))).reshape(size)
        drawn[:, 0] = np.cos(angles) * drawn[:, 0] + np.sin(angles) * other
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
    way = schedule if steps == schedule.T else respace(schedule, steps, spacing)
    return samplers.sample(asked, way, (len(seeds), *size), step=step, x_T=noise[0], context=context)


class Drawing(Widget):
    """The base of the widgets that run a network.

    Args:
        pictures: the recorded pictures of the still figure, uint8; None computes them.
        network: the name of a model that comes with the package, one of NETWORKS.
        seed: the seed of the noise, 0..99.
        checked: the other traits, already checked.
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
        self.on_msg(_send_network)

    @classmethod
    def from_record(cls, path: str | Path, **options) -> "Drawing":
        """Make the widget with the figure from a record of `python studies/record_widgets.py`; options as above."""
        arrays, _ = recorded.read_widget_record(path, cls.name)
        return cls(arrays["pictures"], **options)

    def files(self) -> tuple[str, ...]:
        return (f"networks/{self.network}",)

    def still(self) -> str:
        return still.figures([recorded.tile(self.pictures)], [self.caption()], [self.sentence()], self.pixel())

    def draw_pictures(self) -> np.ndarray:
        """Compute the pictures of the still figure with the present settings, uint8 (rows, columns, C, H, W)."""
        raise NotImplementedError(f"{type(self).__name__} needs pictures")

    def caption(self) -> str:
        """Return the caption of the still figure."""
        raise NotImplementedError(f"{type(self).__name__} needs a caption")

    def pixel(self) -> int:
        """Return the width of the still figure in CSS pixels."""
        return 5 * recorded.tile(self.pictures).shape[1]


def _send_network(widget: Drawing, content: object, buffers: object) -> None:
    """Send the network to the page in Jupyter, which requests it when it first needs it."""
    if content == "network":
        written, text = split_script(write_page_file(widget.network))
        widget.send({"sum": written, "text": text})


def check_network(network: str) -> UNet | ConditionalUNet:
    """Check that the name is one of NETWORKS, and return the network."""
    if network not in NETWORKS:
        fail(ValueError, "network", f"one of {', '.join(NETWORKS)}", repr(network))
    return open_network(network)[0]


def check_listed(argument: str, value: object, among: Sequence) -> int:
    """Check that the value is in the list, and return its index."""
    if value not in among:
        fail(ValueError, argument, f"one of {', '.join(map(str, among))}", repr(value))
    return list(among).index(value)


def number_label(label: int | None, network: str) -> int:
    """Return the number of a label; the number after the last label means "no label"."""
    labels = count_labels(check_network(network))
    return labels if label is None else check_whole("label", label, 0, labels)
