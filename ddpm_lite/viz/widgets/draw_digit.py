"""One digit, sampled in the page from the trained network."""

from collections.abc import Iterator

import numpy as np
import torch
import traitlets
from torch import Tensor

from ddpm_lite.process import predict_x_0
from ddpm_lite.viz.widgets.base import grey, state
from ddpm_lite.viz.widgets.drawing import (
    SAMPLERS,
    SPACINGS,
    STEPS,
    VARIANCES,
    Drawing,
    check_listed,
    number_label,
    open_network,
    walk_as_page,
)


class DrawDigit(Drawing):
    """One digit at every step of sampling: x_t, x_0_hat and z_hat (alg-sampling).

    Args:
        pictures: those of the still figure, uint8 (3, times, C, H, W): x_t, x_0_hat and z_hat; None computes them.
        network: one of NETWORKS.
        label: the digit; None is "no label".
        seed: the seed of the noise, 0..99.
        sampler: "ddim" or "ddpm".
        variance: "beta_tilde" or "beta", for DDPM.
        steps: 10, 50, 200 or 1000.
        clip: whether x_0_hat is clipped to [-1, 1] at each step.
        spacing: "trailing" or "leading" times, for fewer than 1000 steps (eq-trailing, eq-leading).

    Raises:
        ValueError: a wrong argument; the message names it.
    """

    name = "draw-a-digit"
    press = "Sample a digit here, from the trained network"
    choices = state(traitlets.List())
    label = state(traitlets.Int())
    sampler = state(traitlets.Int())
    variance = state(traitlets.Int())
    steps = state(traitlets.Int())
    clip = state(traitlets.Bool())
    spacing = state(traitlets.Int())
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
        spacing: str = "trailing",
    ):
        checked = {
            "label": number_label(label, network),
            "sampler": check_listed("sampler", sampler, SAMPLERS),
            "variance": check_listed("variance", variance, VARIANCES),
            "steps": check_listed("steps", steps, STEPS),
            "clip": bool(clip),
            "spacing": check_listed("spacing", spacing, SPACINGS),
        }
        super().__init__(pictures, network, seed, choices=list(STEPS), frame=0, **checked)

    def draw_pictures(self) -> np.ndarray:
        walked, steps = list(self.walk()), self.choices[self.steps]
        picked = [walked[round(i * steps / 8)] for i in range(8)]  # without the end, where there is no z_hat
        return grey(torch.stack([torch.cat((x_t, x_0_hat, z_hat)) for _, x_t, x_0_hat, z_hat in picked], dim=1))

    def walk(self) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
        """Compute what the page does with the present settings: (t, x_t, x_0_hat, z_hat), each (1, C, H, W).

        At t = 0 there is no z_hat, so it is 0, and x_0_hat is the image itself.
        """
        model, schedule = open_network(self.network)
        settings = {
            "sampler": SAMPLERS[self.sampler],
            "variance": VARIANCES[self.variance],
            "clip": self.clip,
            "spacing": SPACINGS[self.spacing],
        }
        context = torch.tensor([self.label]) if self.labels else None
        for t, x_t in walk_as_page(
            self.network, [self.label], steps=self.choices[self.steps], seeds=[self.seed], **settings
        ):
            if t == 0:
                yield t, x_t, x_t, torch.zeros_like(x_t)
                return
            with torch.no_grad():
                z_hat = model(x_t, torch.tensor([t]), context)
            yield t, x_t, predict_x_0(schedule, x_t.double(), t, z_hat.double()).float(), z_hat

    def caption(self) -> str:
        return (
            "Top: the noisy image. Middle: the image that the network estimates. Bottom: the noise that it estimates."
        )

    def sentence(self) -> str:
        what = f"a {self.label}" if self.label < self.labels else "a digit"
        return (
            f"Eight of {self.choices[self.steps]} steps from noise, on the left, to {what}: the noisy image, the image "
            "that the network estimates, and the noise that it estimates."
        )
