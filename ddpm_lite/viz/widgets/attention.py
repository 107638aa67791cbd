"""Where a pixel looks: the attention of a network, layer by layer."""

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np
import torch
import traitlets
from torch import Tensor, nn

from ddpm_lite._check import check_whole, describe, fail
from ddpm_lite.attention import MultiHeadAttention, attention_weights
from ddpm_lite.condition import ConditionalUNet
from ddpm_lite.process import q_sample
from ddpm_lite.sampler import evaluating
from ddpm_lite.schedule import Schedule
from ddpm_lite.unet import DownLevel, Level, Middle, UNet, UpLevel
from ddpm_lite.viz.widgets import recorded, still
from ddpm_lite.viz.widgets.base import Widget, grey, state

ZOOM = 8  # of the still figure, so that a frame around a pixel fits in
PLACES: dict[type[Level], str] = {DownLevel: "on the way down", Middle: "in the middle", UpLevel: "on the way up"}


class AttentionViewer(Widget):
    """Pick a pixel and see where it looks: at other pixels, or at the tokens of a context.

    Each row of weights travels as bytes, its largest weight as 255. Divided by its sum, a row adds up to 1 again.

    Args:
        images: what the network saw, (frames, C, H, W), one frame for each time; or one image, (C, H, W).
        maps: for each layer's name its weights, (frames, heads, queries, keys), or (heads, queries, keys) of one
            image. The queries are the pixels of a map k times smaller than the image. With as many keys as queries
            it is self-attention, else the keys are tokens.
        times: t of each frame, rising; None counts the frames.
        layer, head, frame: what is shown first, counted from 0.
        row, column: of the asking pixel, counted from 0.

    Raises:
        ValueError, TypeError: one line names the argument.
    """

    name = "attention-viewer"
    size = state(traitlets.List())
    times = state(traitlets.List())
    layers = state(traitlets.List())  # of [name, heads, height, width, tokens]; no tokens: self-attention
    images = state(traitlets.Bytes())
    maps = state(traitlets.Bytes())
    layer = state(traitlets.Int())
    head = state(traitlets.Int())
    frame = state(traitlets.Int())
    row = state(traitlets.Int())
    column = state(traitlets.Int())

    def __init__(
        self,
        images: np.ndarray | Tensor,
        maps: Mapping[str, np.ndarray | Tensor],
        times: Sequence[int] | None = None,
        *,
        layer: int = 0,
        head: int = 0,
        frame: int = 0,
        row: int | None = None,
        column: int | None = None,
    ):
        single = getattr(images, "ndim", 4) == 3
        images = recorded.as_pictures("images", images[None] if single else images, "frames, C, H, W")
        frames, _, H, W = images.shape
        if not isinstance(maps, Mapping) or not maps:
            fail(TypeError, "maps", "a dictionary of layers", type(maps).__name__)
        layers, parts = [], []
        for name, weights in maps.items():
            lone = single and getattr(weights, "ndim", 4) == 3
            weights = recorded.as_tensor(
                f"maps[{name!r}]", weights[None] if lone else weights, "frames, heads, queries, keys"
            )
            layers.append(_layer(name, weights, frames, H, W))
            parts.append(_row_bytes(weights))
        check_whole("layer", layer, 0, len(layers) - 1)
        super().__init__(
            size=list(images.shape[1:]),
            times=recorded.check_times(range(frames) if times is None else times, frames),
            layers=layers,
            images=grey(images).tobytes(),
            maps=b"".join(parts),
            layer=layer,
            head=check_whole("head", head, 0, layers[layer][1] - 1),
            frame=check_whole("frame", frame, 0, frames - 1),
            row=check_whole("row", H // 2 if row is None else row, 0, H - 1),
            column=check_whole("column", W // 2 if column is None else column, 0, W - 1),
        )

    @classmethod
    def from_record(cls, path: str | Path, **options) -> "AttentionViewer":
        """The widget as `python studies/record_widgets.py` recorded it; options as above."""
        arrays, _ = recorded.read_widget_record(path, cls.name)
        images, times = recorded.from_bytes(arrays.pop("images")), arrays.pop("times").tolist()
        # "3 4 x 4, on the way up" is the fourth layer: a safetensors file keeps no order
        ordered = sorted((name.split(" ", 1) for name in arrays), key=lambda pair: int(pair[0]))
        maps = {name: torch.from_numpy(arrays[f"{number} {name}"]).double() for number, name in ordered}
        return cls(images, maps, times, **options)

    @classmethod
    def from_model(
        cls,
        model: UNet | ConditionalUNet,
        schedule: Schedule,
        x_0: Tensor,
        *,
        times: Sequence[int] = (1, 50, 100, 200, 300, 400, 600, 1000),
        noise: Tensor | None = None,
        context: Tensor | None = None,
        cross: bool = False,
        seed: int = 0,
        **options,
    ) -> "AttentionViewer":
        """Look into a model now: at its self-attention, or at its cross-attention, on x_0 (C, H, W) with noise.

        The noise is the same at all times; None draws it with the seed. context is that of one image.
        """
        x_0 = recorded.as_pictures("x_0", x_0, "C, H, W")
        if noise is None:
            noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(seed))
        images = [q_sample(schedule, x_0[None], t, noise[None]) for t in times]
        found = [attention_maps(model, x_t, t, context, cross=cross) for x_t, t in zip(images, times, strict=True)]
        if not found or not found[0]:
            fail(ValueError, "model", f"a model with {'cross' if cross else 'self'}-attention", "none")
        maps = {name: torch.cat([one[name] for one in found]) for name in found[0]}
        return cls(torch.cat(images), maps, times, **options)

    def frames(self) -> np.ndarray:
        """The images, uint8 (frames, C, H, W)."""
        return np.frombuffer(self.images, np.uint8).reshape(-1, *self.size)

    def bytes_by_layer(self) -> dict[str, np.ndarray]:
        """The weights as they travel, uint8 (frames, heads, queries, keys), by "number name" of the layer."""
        result, start, data = {}, 0, np.frombuffer(self.maps, np.uint8)
        for number, (name, heads, height, width, tokens) in enumerate(self.layers):
            shape = (len(self.times), heads, height * width, tokens or height * width)
            result[f"{number} {name}"] = data[start : start + prod(shape)].reshape(shape)
            start += prod(shape)
        return result

    def weights(self) -> np.ndarray:
        """The chosen layer's and head's weights at the chosen time, (queries, keys); each row sums to 1."""
        name = f"{self.layer} {self.layers[self.layer][0]}"
        rows = self.bytes_by_layer()[name][self.frame, self.head].astype(np.float64)
        return rows / rows.sum(axis=1, keepdims=True)

    def cell(self) -> tuple[int, int]:
        """The asking pixel's row and column on the chosen layer's map."""
        _, _, height, width, _ = self.layers[self.layer]
        return self.row * height // self.size[1], self.column * width // self.size[2]

    def asked(self) -> np.ndarray:
        """What the chosen pixel gives to each key; sums to 1."""
        row, column = self.cell()
        return self.weights()[row * self.layers[self.layer][3] + column]

    def looked_at(self) -> np.ndarray:
        """The right-hand picture, uint8 (H, W): where the pixel looks, white its largest weight; with tokens, the
        weight that each pixel gives to the token which the chosen one likes best, white for 1."""
        _, _, height, width, tokens = self.layers[self.layer]
        asked = self.asked()
        values = self.weights()[:, asked.argmax()] if tokens else asked / asked.max()
        tall, wide = self.size[1] // height, self.size[2] // width
        return np.kron(grey(2 * values - 1).reshape(height, width), np.ones((tall, wide), np.uint8))

    def still(self) -> str:
        image = recorded.tiles(self.frames()[None, None, self.frame])
        best = f"Who looks at token {self.asked().argmax() + 1}"
        words = [
            f"What the network saw, t = {self.times[self.frame]}",
            best if self.layers[self.layer][4] else "Where it looks",
        ]
        alts = [f"{words[0]}; the asking pixel is framed", self.sentence()]
        return still.figures([self._framed(image), self._framed(self.looked_at())], words, alts, size=200)

    def _framed(self, image: np.ndarray) -> np.ndarray:
        """The image larger, with a white and a black frame around the asking cell."""
        _, _, height, width, _ = self.layers[self.layer]
        large = image.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
        tall, wide = ZOOM * self.size[1] // height, ZOOM * self.size[2] // width
        row, column = self.cell()
        for inset, colour in ((0, 255), (1, 0)):
            part = large[
                row * tall + inset : (row + 1) * tall - inset, column * wide + inset : (column + 1) * wide - inset
            ]
            part[[0, -1]] = colour
            part[:, [0, -1]] = colour
        return large

    def sentence(self) -> str:
        name, _, _, width, tokens = self.layers[self.layer]
        asked, best = self.asked(), int(self.asked().argmax())
        row, column = self.cell()
        target = f"token {best + 1}" if tokens else f"row {best // width + 1}, column {best % width + 1}"
        return (
            f"Layer {name}, t = {self.times[self.frame]}: the framed pixel, row {row + 1}, column {column + 1}, "
            f"listens most to {target}, with a weight of {asked[best]:.2g}; alike for all is {1 / len(asked):.2g}."
        )


def attention_maps(
    model: UNet | ConditionalUNet, x_t: Tensor, t: int, context: Tensor | None = None, *, cross: bool = False
) -> dict[str, Tensor]:
    """The weights of each self- or cross-attention layer when the model sees x_t: {name: (B, heads, queries, keys)}."""
    layers = [m for m in model.modules() if isinstance(m, MultiHeadAttention) and (m.context_dim is not None) == cross]
    names, maps = _names(model), {}

    def catch(layer, inputs):
        q, k, _ = layer.project(*inputs)
        place = names[layer]
        maps[f"{inputs[0].shape[2]} × {inputs[0].shape[3]}, {place}"] = attention_weights(q, k).cpu()

    hooks = [layer.register_forward_pre_hook(catch) for layer in layers]
    try:
        with evaluating(model), torch.no_grad():
            model(x_t, torch.full((len(x_t),), t, device=x_t.device), context)
    finally:
        for hook in hooks:
            hook.remove()
    return maps


def _names(model: UNet | ConditionalUNet) -> dict[nn.Module, str]:
    """Where each layer is, in words."""
    result = {}
    for level in (module for module in model.modules() if isinstance(module, Level)):
        place = PLACES[type(level)]
        for layers in (level.attentions, level.cross_attentions):
            for j, layer in enumerate(layers):
                result[layer] = place if len(layers) == 1 else f"{place}, {j + 1} of {len(layers)}"
    return result


def _layer(name: str, weights: Tensor, frames: int, H: int, W: int) -> list:
    """A layer's line in `layers`, from its weights (frames, heads, queries, keys)."""
    argument, (count, heads, queries, keys) = f"maps[{name!r}]", weights.shape
    if count != frames:
        fail(ValueError, argument, f"{frames} frames, as images has", describe(weights))
    shrink = round((H * W / queries) ** 0.5)
    if shrink < 1 or H % shrink or W % shrink or queries != (H // shrink) * (W // shrink):
        fail(ValueError, argument, f"the pixels of a map k times smaller than {H} x {W} as queries", describe(weights))
    if weights.min() < 0 or not bool((weights.sum(dim=-1) > 0).all()):
        fail(ValueError, argument, "weights >= 0, in each row some above 0", "others")
    return [str(name), heads, H // shrink, W // shrink, 0 if keys == queries else keys]


def _row_bytes(weights: Tensor) -> bytes:
    """Weights as bytes, the largest of each row as 255."""
    weights = weights.double()
    return (255 * weights / weights.amax(dim=-1, keepdim=True)).round().byte().numpy().tobytes()
