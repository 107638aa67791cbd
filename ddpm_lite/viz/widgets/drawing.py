"""Widgets in which the page itself runs a trained network: Algorithm 2 in the reader's browser.

The page's noise is `export_page.normals`, so that the same seed draws the same digit here and there.
"""

from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor

from ddpm_lite._check import check_whole, fail
from ddpm_lite.checkpoint import load_pretrained
from ddpm_lite.condition import ConditionalUNet, guided
from ddpm_lite.export_page import export_page, halved, normals, text_of
from ddpm_lite.sampler import ddim_step, ddpm_step, sample
from ddpm_lite.schedule import Schedule, respace
from ddpm_lite.unet import UNet
from ddpm_lite.viz.widgets import recorded, still
from ddpm_lite.viz.widgets.base import Widget, grey, module, state

NETWORKS = ("digits", "digits-by-label")  # those that the book's pages can load
SAMPLERS = ("ddim", "ddpm")
VARIANCES = ("beta_tilde", "beta")
STEPS = (10, 50, 200, 1000)
SCALES = (-1.0, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0)


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
    """What `walk` of live/unet.js does, by the package's sampler on the page's noise: (t, x_t) from x_T on.

    Args:
        labels: one for each image; a network without labels looks at none of them.
        seeds: of each image's noise.
    """
    model, schedule = opened(network)
    config = (model.unet if isinstance(model, ConditionalUNet) else model).config
    size = config.in_channels, config.sample_size, config.sample_size
    drawn = np.stack([normals(seed, (steps + 1) * int(np.prod(size))).reshape(-1, *size) for seed in seeds])
    noise = torch.from_numpy(drawn).float().transpose(0, 1)  # (steps + 1, B, C, H, W)
    options = {"variance": variance} if sampler == "ddpm" else {"eta": eta}
    rule = partial({"ddpm": ddpm_step, "ddim": ddim_step}[sampler], clip=clip, **options)

    def step(way: Schedule, x_t: Tensor, t: int, s: int, z_hat: Tensor, _: Tensor) -> Tensor:
        return rule(way, x_t, t, s, z_hat, noise[way.T - t + 1])

    context = torch.tensor(labels) if isinstance(model, ConditionalUNet) else None
    asked = guided(model, scale, model.none) if scale else model
    way = schedule if steps == schedule.T else respace(schedule, steps)
    return sample(asked, way, (len(seeds), *size), step=step, x_T=noise[0], context=context)


class Drawing(Widget):
    """What the widgets share that run a network: which one, and what it draws from.

    Args:
        pictures: what the still figure shows, uint8, as recorded.
        network: the name of a model that comes with the package, one of NETWORKS.
        traits: the rest, checked.
    """

    network = state(traitlets.Unicode())
    labels = state(traitlets.Int())
    size = state(traitlets.List())
    seed = state(traitlets.Int())

    def __init__(self, pictures: np.ndarray | None, network: str, seed: int, **checked):
        model, config = _network(network)
        super().__init__(
            network=network,
            labels=model.encoder.labels if isinstance(model, ConditionalUNet) else 0,
            size=[config.in_channels, config.sample_size, config.sample_size],
            seed=check_whole("seed", seed, 0, 99),
            **checked,
        )
        self.pictures = pictures
        self.on_msg(_send)

    @classmethod
    def from_record(cls, path: str | Path, **options) -> "Drawing":
        """The widget with the figure that `python tools/record_widgets.py` recorded; options as above."""
        arrays, _ = recorded.read_record(path, cls.name)
        return cls(arrays["pictures"], **options)

    def files(self) -> tuple[str, ...]:
        return (f"networks/{self.network}",)

    def still(self) -> str:
        return still.figures([recorded.tiles(self.pictures)], [self.caption()], [self.sentence()], self.pixel())

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


def _network(network: str):
    if network not in NETWORKS:
        fail(ValueError, "network", f"one of {', '.join(NETWORKS)}", repr(network))
    model, _ = opened(network)
    return model, (model.unet if isinstance(model, ConditionalUNet) else model).config


def _choice(argument: str, value: object, among: Sequence) -> int:
    """The number of a choice."""
    if value not in among:
        fail(ValueError, argument, f"one of {', '.join(map(str, among))}", repr(value))
    return list(among).index(value)


def _label(label: int | None, network: str) -> int:
    """A label's number; the one after the last says "no label"."""
    model, _ = _network(network)
    labels = model.encoder.labels if isinstance(model, ConditionalUNet) else 0
    return labels if label is None else check_whole("label", label, 0, labels)


class DrawDigit(Drawing):
    """One digit on its way: x_t, x_0_hat and z_hat at every step (alg-sampling).

    Args:
        pictures: of the still figure, uint8 (3, times, C, H, W): x_t, x_0_hat and z_hat; None draws them now.
        network: one of NETWORKS.
        label: which digit; None tells the network no label.
        seed: of the noise, 0..99.
        sampler: "ddim" or "ddpm".
        variance: "beta_tilde" or "beta", for DDPM.
        steps: 10, 50, 200 or 1000.
        clip: whether the image in mind is put into [-1, 1] at each step.

    Raises:
        ValueError: one line names the argument.
    """

    name = "draw-a-digit"
    live = ("unet", "stage", "draw-a-digit")
    press = "Draw a digit here, with the trained network"
    _esm = module(*(f"live/{part}" for part in live))
    choices = state(traitlets.List())
    label = state(traitlets.Int())
    sampler = state(traitlets.Int())
    variance = state(traitlets.Int())
    steps = state(traitlets.Int())
    clip = state(traitlets.Bool())
    frame = state(traitlets.Int())

    def __init__(
        self,
        pictures: np.ndarray | None = None,
        *,
        network: str = "digits-by-label",
        label: int | None = 3,
        seed: int = 0,
        sampler: str = "ddim",
        variance: str = "beta_tilde",
        steps: int = 50,
        clip: bool = True,
    ):
        checked = {
            "label": _label(label, network),
            "sampler": _choice("sampler", sampler, SAMPLERS),
            "variance": _choice("variance", variance, VARIANCES),
            "steps": _choice("steps", steps, STEPS),
            "clip": bool(clip),
        }
        super().__init__(pictures, network, seed, choices=list(STEPS), frame=0, **checked)
        if pictures is None:
            walked = list(self.walk())
            picked = [walked[round(i * steps / 8)] for i in range(8)]  # not the end, where z_hat is none
            self.pictures = np.stack([grey(torch.cat([frame[part] for frame in picked])) for part in range(1, 4)])

    def walk(self) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
        """What the page computes with the settings of now: (t, x_t, x_0_hat, z_hat), each (1, C, H, W).

        At t = 0 there is no z_hat: zeros stand there, and x_0_hat is the image itself.
        """
        model, schedule = opened(self.network)
        settings = {"sampler": SAMPLERS[self.sampler], "variance": VARIANCES[self.variance], "clip": self.clip}
        context = torch.tensor([self.label]) if self.labels else None
        for t, x_t in page_walk(
            self.network, [self.label], steps=self.choices[self.steps], seeds=[self.seed], **settings
        ):
            if t == 0:
                yield t, x_t, x_t, torch.zeros_like(x_t)
                return
            with torch.no_grad():
                z_hat = model(x_t, t, context)
            signal, rest = schedule.alpha_bar[t].sqrt(), schedule.one_minus_alpha_bar[t].sqrt()
            yield t, x_t, ((x_t.double() - rest * z_hat) / signal).float(), z_hat

    def caption(self) -> str:
        return "Top: what we see. Middle: the image in mind. Bottom: the noise that the network sees."

    def sentence(self) -> str:
        what = f"a {self.label}" if self.label < self.labels else "a digit"
        return (
            f"Eight moments of {self.choices[self.steps]} steps from noise, on the left, to {what}: what we see, the "
            "image that the network has in mind, and the noise that it sees."
        )


class GuidanceRows(Drawing):
    """A row of digits for every label, drawn at one scale of guidance (eq-guidance).

    Args:
        pictures: of the still figure, uint8 (labels, count, C, H, W); None draws them now.
        network: one of NETWORKS, with labels.
        scale: w, one of SCALES.
        seed: of the noise, 0..99; all labels get the same.
        steps: of DDIM, 10, 20 or 50.

    Raises:
        ValueError: one line names the argument.
    """

    name = "guidance-rows"
    live = ("unet", "stage", "guidance-rows")
    press = "Draw these digits here, at any scale"
    _esm = module(*(f"live/{part}" for part in live))
    scales = state(traitlets.List())
    choices = state(traitlets.List())
    count = state(traitlets.Int())
    chosen = state(traitlets.Int())
    steps = state(traitlets.Int())

    def __init__(
        self,
        pictures: np.ndarray | None = None,
        *,
        network: str = "digits-by-label",
        scale: float = 2.0,
        seed: int = 0,
        steps: int = 20,
    ):
        choices = (10, 20, 50)
        checked = {"chosen": _choice("scale", scale, SCALES), "steps": _choice("steps", steps, choices)}
        super().__init__(pictures, network, seed, scales=list(SCALES), choices=list(choices), count=4, **checked)
        if not self.labels:
            fail(ValueError, "network", "one with labels", repr(network))
        if pictures is None:
            self.pictures = grey(self.drawn())

    def drawn(self) -> Tensor:
        """What the page draws with the settings of now, (labels, count, C, H, W)."""
        labels = [label for label in range(self.labels) for _ in range(self.count)]
        seeds = [self.seed * self.count + column for _ in range(self.labels) for column in range(self.count)]
        walk = page_walk(
            self.network, labels, steps=self.choices[self.steps], seeds=seeds, scale=self.scales[self.chosen]
        )
        *_, (_, x_0) = walk
        return x_0.unflatten(0, (self.labels, self.count))

    def pixel(self) -> int:
        return 4 * recorded.tiles(self.pictures).shape[1]

    def caption(self) -> str:
        return f"Labels 0 to {self.labels - 1} from top to bottom, w = {self.scales[self.chosen]:g}"

    def sentence(self) -> str:
        return (
            f"{self.count} digits of each of the {self.labels} labels, a row each, drawn with guidance at "
            f"w = {self.scales[self.chosen]:g} in {self.choices[self.steps]} steps."
        )


class FewerSteps(Drawing):
    """The same noise walked back in 10, 50, 200 and 1000 steps (eq-ddim-step).

    Args:
        pictures: of the still figure, uint8 (1, 4, C, H, W); None draws them now, which takes a while.
        network: one of NETWORKS.
        label: which digit, for a network that is told labels; None tells it none.
        seed: of the noise, 0..99.
        sampler: "ddim" or "ddpm"; variance: "beta_tilde" or "beta", for DDPM.

    Raises:
        ValueError: one line names the argument.
    """

    name = "fewer-steps"
    live = ("unet", "stage", "fewer-steps")
    press = "Walk back here, in few steps and in many"
    _esm = module(*(f"live/{part}" for part in live))
    choices = state(traitlets.List())
    label = state(traitlets.Int())
    sampler = state(traitlets.Int())

    def __init__(
        self,
        pictures: np.ndarray | None = None,
        *,
        network: str = "digits",
        label: int | None = None,
        seed: int = 3,
        sampler: str = "ddim",
        variance: str = "beta_tilde",
    ):
        way = _choice("sampler", sampler, SAMPLERS)
        way += way and _choice("variance", variance, VARIANCES)
        super().__init__(pictures, network, seed, choices=list(STEPS), label=_label(label, network), sampler=way)
        if pictures is None:
            self.pictures = grey(self.drawn())[None]

    def drawn(self) -> Tensor:
        """What the page draws with the settings of now, (4, C, H, W)."""
        settings = {"sampler": SAMPLERS[min(self.sampler, 1)], "variance": VARIANCES[self.sampler == 2]}
        ends = []
        for steps in self.choices:
            *_, (_, x_0) = page_walk(self.network, [self.label], steps=steps, seeds=[self.seed], **settings)
            ends.append(x_0)
        return torch.cat(ends)

    def pixel(self) -> int:
        return 12 * recorded.tiles(self.pictures).shape[1]

    def caption(self) -> str:
        return f"From left to right: {', '.join(map(str, self.choices))} steps"

    def sentence(self) -> str:
        few = ", ".join(map(str, self.choices[:-1]))
        return f"Four digits from the same noise, drawn in {few} and {self.choices[-1]} steps."
