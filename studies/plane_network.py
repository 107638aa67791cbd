"""The small network of the widget Learner, and its training as in the page, in PyTorch.

`record_widgets.py` records the samples of its still figure with it, and the tests compare the page with it.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from ddpm_lite.process import ddpm_loss
from ddpm_lite.trainer import ema_decay
from ddpm_lite.viz.noise import gaussians, mix, stream
from ddpm_lite.viz.widgets import Learner

BATCH, RATE = 128, 0.01  # those of mlp.js
WAVES = (0.5, 1.0, 2.0, 4.0)
CLOCK = tuple(k * math.pi / 2 for k in (1, 2, 4, 8))


def draw_step(widget: Learner, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw the same random numbers as step `step` (from 0) in the page: x_0 (128, 2), t (128,) and z (128, 2)."""
    mixture = widget.mixture()
    u = keyed(widget.seed, 1)(np.arange(6 * BATCH) + 6 * BATCH * step).reshape(BATCH, 6)
    t = 1 + np.floor(widget.T * u[:, 0]).astype(np.int64)
    centre = mixture.means.numpy()[np.floor(len(mixture.means) * u[:, 1]).astype(np.int64)]
    x_0 = centre + widget.deviations[widget.data] * gaussians(u[:, 2], u[:, 3])
    return tuple(torch.from_numpy(a) for a in (x_0, t, gaussians(u[:, 4], u[:, 5])))


def train_plane(widget: Learner) -> "Iterator[tuple[int, float, PlaneNetwork]]":
    """Train as the page does, and yield after each step its number, the loss, and the network with averaged weights."""
    model, average = PlaneNetwork(widget.seed), PlaneNetwork(widget.seed)
    schedule = widget.mixture().schedule
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for step in range(1, widget.steps + 1):
        optimizer.param_groups[0]["lr"] = RATE * min(1, step / 50) * (1 - (step - 1) / widget.steps)
        loss = ddpm_loss(model, schedule, *draw_step(widget, step - 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay = ema_decay(step, decay=1.0)
        with torch.no_grad():
            for old, new in zip(average.parameters(), model.parameters(), strict=True):
                old.lerp_(new, 1 - decay)
        yield step, float(loss.detach()), average


class PlaneNetwork(nn.Module):
    """The page's MLP in float64: sines and cosines of x_t and t, two hidden layers with SiLU, two outputs.

    Args:
        seed: the seed of the initial weights, 0..99; those of the last layer start at 0.
    """

    def __init__(self, seed: int = 0):
        super().__init__()
        sizes, start, uniform = (4 * len(WAVES) + 2 * len(CLOCK), 64, 64, 2), 0, keyed(seed, 0)
        self.layers = nn.ModuleList(nn.Linear(a, b).double() for a, b in zip(sizes, sizes[1:], strict=False))
        for layer in self.layers:
            nn.init.zeros_(layer.bias)
            nn.init.zeros_(layer.weight)
        for layer in self.layers[:-1]:
            i = 2 * np.arange(start, start + layer.weight.numel())
            z = gaussians(uniform(i), uniform(i + 1))[:, 0] / layer.in_features**0.5
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(z).reshape(layer.weight.T.shape).T)
            start += layer.weight.numel() + layer.bias.numel()

    def forward(self, x_t: Tensor, t: "int | Tensor", context: None = None) -> Tensor:
        """Estimate z for points (N, 2) at time t, a number or (N,)."""
        place = x_t[:, None] * torch.tensor(WAVES, dtype=torch.float64)[:, None]  # (N, waves, 2)
        time = (
            torch.as_tensor(t, dtype=torch.float64).expand(len(x_t))[:, None]
            / 1000
            * torch.tensor(CLOCK, dtype=torch.float64)
        )
        h = torch.cat([_both(place).flatten(1), _both(time).flatten(1)], dim=1)
        for layer in self.layers[:-1]:
            h = nn.functional.silu(layer(h))
        return self.layers[-1](h)


def keyed(seed: int, purpose: int):
    """Compute numbers i of the uniform sequence for a seed and a purpose, as `keyed` of mlp.js does."""
    return stream(int(mix(np.array([8 * seed + purpose + 1], np.uint32))[0]))


def _both(x: Tensor) -> Tensor:
    """Stack sine and cosine in a new last axis."""
    return torch.stack([x.sin(), x.cos()], dim=-1)
