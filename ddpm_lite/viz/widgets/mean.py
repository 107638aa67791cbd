"""The mean of a step back, from the noise and through the image."""

import numpy as np
import torch
import traitlets

from ddpm_lite._check import check_real, check_whole, fail
from ddpm_lite.process import mean_from_noise, posterior, predict_x_0
from ddpm_lite.schedule import Schedule, linear_schedule
from ddpm_lite.viz.widgets import still
from ddpm_lite.viz.widgets.base import Widget, beta_bytes, read_schedule, state


class MeanExplorer(Widget):
    """A fixed pixel x_t and a variable estimate of its noise: the mean of the step back, computed in two ways.

    Args:
        schedule: the forward process; None is the paper's.
        x_t: the noisy pixel, in [-3, 3].
        z_hat: the estimate of its noise, in [-3, 3].
        t: the time, 1..T.
        clip: clip x_0_hat to [-1, 1] before the mean is computed from it.

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "mean-explorer"
    T = state(traitlets.Int())
    beta = state(traitlets.Bytes())
    x_t = state(traitlets.Float())
    z_hat = state(traitlets.Float())
    t = state(traitlets.Int())
    clip = state(traitlets.Bool())

    def __init__(
        self,
        schedule: Schedule | None = None,
        *,
        x_t: float = 0.5,
        z_hat: float = 1.0,
        t: int = 200,
        clip: bool = False,
    ):
        schedule = linear_schedule() if schedule is None else schedule
        beta = beta_bytes("schedule", schedule)
        if not isinstance(clip, bool):
            fail(TypeError, "clip", "True or False", f"{clip!r}")
        super().__init__(
            T=schedule.T,
            beta=beta,
            x_t=check_real("x_t", x_t, -3, 3),
            z_hat=check_real("z_hat", z_hat, -3, 3),
            t=check_whole("t", t, 1, schedule.T),
            clip=clip,
        )

    def values(self, z_hat: float | np.ndarray | None = None) -> tuple:
        """Compute the mean from z, x_0_hat, and the mean through x_0_hat (eq-mean-from-noise, eq-posterior-mean)."""
        schedule, z = read_schedule(self.beta), np.asarray(self.z_hat if z_hat is None else z_hat, dtype=np.float64)
        flat = torch.from_numpy(z.reshape(-1))
        x_t = torch.full_like(flat, self.x_t)
        x_0 = predict_x_0(schedule, x_t, self.t, flat)
        x_0 = x_0.clamp(-1, 1) if self.clip else x_0
        through, _ = posterior(schedule, x_t, self.t, x_0)
        found = mean_from_noise(schedule, x_t, self.t, flat), x_0, through
        return tuple(value.numpy().reshape(z.shape)[()] for value in found)

    def still(self) -> str:
        z = np.linspace(-3, 3, 61)
        direct, _, through = self.values(z)
        reach = float(np.abs(direct - self.x_t).max()) * 1.5
        return still.curves(
            z,
            {"mean from z": direct, "mean through x_0_hat": through},
            alt=self.sentence(),
            xlabel="estimate of z",
            y=(self.x_t - reach, self.x_t + reach),
        )

    def sentence(self) -> str:
        direct, x_0, through = self.values()
        same = "Both ways give the same mean" if abs(direct - through) < 1e-9 else "With clipping, the two ways differ"
        return (
            f"x_t = {self.x_t:g} at t = {self.t}, and the noise in it is estimated as {self.z_hat:g}. {same}: from z "
            f"it is {direct:.4f}; the image x_0_hat is {x_0:.4f}, and through it the mean is {through:.4f}."
        )
