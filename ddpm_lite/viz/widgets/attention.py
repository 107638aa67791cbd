"""The attention weights of a network, layer by layer."""

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

ZOOM = 8  # enlarges the still figure, so that a frame fits around a pixel
PLACES: dict[type[Level], str] = {DownLevel: "on the way down", Middle: "in the middle", UpLevel: "on the way up"}


class AttentionViewer(Widget):
    """Pick a query pixel and see its attention weights, for other pixels or for the tokens of a context.

    Each row of weights is encoded as bytes, with its largest weight as 255; divided by its sum, it adds up to 1 again.

    Args:
        images: the network's input, (frames, C, H, W), one frame for each time; or one image, (C, H, W).
        maps: the weights of each layer by its name, (frames, heads, queries, keys), or (heads, queries, keys) for one
            image. The queries are the pixels of a map k times smaller than the image. With as many keys as queries
            it is self-attention, otherwise the keys are tokens.
        times: t of each frame, increasing; None counts the frames.
        layer, head, frame: the first to be shown, from 0.
        row, column: those of the query pixel, from 0.

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "attention-viewer"
    size = state(traitlets.List())
    times = state(traitlets.List())
    layers = state(traitlets.List())  # [name, heads, height, width, tokens] each, with 0 tokens for self-attention
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
            layers.append(_describe_layer(name, weights, frames, H, W))
            parts.append(_encode_rows(weights))
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
        """Make the widget from a record of `python studies/record_widgets.py`; options as above."""
        arrays, _ = recorded.read_widget_record(path, cls.name)
        images, times = recorded.from_bytes(arrays.pop("images")), arrays.pop("times").tolist()
        # "3 4 x 4, on the way up" is the fourth layer, because a safetensors file has no order
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
        """Compute the self-attention or cross-attention weights of a model on x_0 (C, H, W) with noise.

        The noise is the same at all times; None draws it with the seed. The context is that of one image.
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
        """Decode the images, uint8 (frames, C, H, W)."""
        return np.frombuffer(self.images, np.uint8).reshape(-1, *self.size)

    def bytes_by_layer(self) -> dict[str, np.ndarray]:
        """Decode the weights as bytes, uint8 (frames, heads, queries, keys), by "number name" of the layer."""
        result, start, data = {}, 0, np.frombuffer(self.maps, np.uint8)
        for number, (name, heads, height, width, tokens) in enumerate(self.layers):
            shape = (len(self.times), heads, height * width, tokens or height * width)
            result[f"{number} {name}"] = data[start : start + prod(shape)].reshape(shape)
            start += prod(shape)
        return result

    def weights(self) -> np.ndarray:
        """Compute the weights of the chosen layer, head and time, (queries, keys); each row sums to 1."""
        name = f"{self.layer} {self.layers[self.layer][0]}"
        rows = self.bytes_by_layer()[name][self.frame, self.head].astype(np.float64)
        return rows / rows.sum(axis=1, keepdims=True)

    def cell(self) -> tuple[int, int]:
        """Compute the query pixel's row and column on the chosen layer's map."""
        _, _, height, width, _ = self.layers[self.layer]
        return self.row * height // self.size[1], self.column * width // self.size[2]

    def asked(self) -> np.ndarray:
        """Return the weights of the query pixel for each key, which sum to 1."""
        row, column = self.cell()
        return self.weights()[row * self.layers[self.layer][3] + column]

    def looked_at(self) -> np.ndarray:
        """Compute the right-hand picture, uint8 (H, W): the query's weights, the largest of them white.

        With tokens, it has the weight of every pixel for the token that has the query's largest weight; white is 1.
        """
        _, _, height, width, tokens = self.layers[self.layer]
        asked = self.asked()
        values = self.weights()[:, asked.argmax()] if tokens else asked / asked.max()
        tall, wide = self.size[1] // height, self.size[2] // width
        return np.kron(grey(2 * values - 1).reshape(height, width), np.ones((tall, wide), np.uint8))

    def still(self) -> str:
        image = recorded.tile(self.frames()[None, None, self.frame])
        best = f"Weight of token {self.asked().argmax() + 1} for each pixel"
        words = [
            f"Input of the network, t = {self.times[self.frame]}",
            best if self.layers[self.layer][4] else "Weights of the query",
        ]
        alts = [f"{words[0]}; the query pixel is framed", self.sentence()]
        return still.figures([self._draw_frame(image), self._draw_frame(self.looked_at())], words, alts, size=200)

    def _draw_frame(self, image: np.ndarray) -> np.ndarray:
        """Enlarge the image, and draw a white and a black frame around the query's cell."""
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
            f"Layer {name}, t = {self.times[self.frame]}: the framed query pixel, row {row + 1}, column {column + 1}, "
            f"has its largest weight at {target}, {asked[best]:.2g}; a uniform weight would be {1 / len(asked):.2g}."
        )


def attention_maps(
    model: UNet | ConditionalUNet, x_t: Tensor, t: int, context: Tensor | None = None, *, cross: bool = False
) -> dict[str, Tensor]:
    """Compute the weights of each self- or cross-attention layer on x_t: {name: (B, heads, queries, keys)}."""
    layers = [m for m in model.modules() if isinstance(m, MultiHeadAttention) and (m.context_dim is not None) == cross]
    names, maps = _name_layers(model), {}

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


def _name_layers(model: UNet | ConditionalUNet) -> dict[nn.Module, str]:
    """Describe the place of each layer in words."""
    result = {}
    for level in (module for module in model.modules() if isinstance(module, Level)):
        place = PLACES[type(level)]
        for layers in (level.attentions, level.cross_attentions):
            for j, layer in enumerate(layers):
                result[layer] = place if len(layers) == 1 else f"{place}, {j + 1} of {len(layers)}"
    return result


def _describe_layer(name: str, weights: Tensor, frames: int, H: int, W: int) -> list:
    """Make a layer's entry in `layers` from its weights (frames, heads, queries, keys)."""
    argument, (count, heads, queries, keys) = f"maps[{name!r}]", weights.shape
    if count != frames:
        fail(ValueError, argument, f"{frames} frames, as in images", describe(weights))
    shrink = round((H * W / queries) ** 0.5)
    if shrink < 1 or H % shrink or W % shrink or queries != (H // shrink) * (W // shrink):
        fail(ValueError, argument, f"the pixels of a map k times smaller than {H} x {W} as queries", describe(weights))
    if weights.min() < 0 or not bool((weights.sum(dim=-1) > 0).all()):
        fail(ValueError, argument, "weights >= 0, with a sum above 0 in each row", "other weights")
    return [str(name), heads, H // shrink, W // shrink, 0 if keys == queries else keys]


def _encode_rows(weights: Tensor) -> bytes:
    """Encode weights as bytes, with the largest of each row as 255."""
    weights = weights.double()
    return (255 * weights / weights.amax(dim=-1, keepdim=True)).round().byte().numpy().tobytes()
