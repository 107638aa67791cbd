"""Data whose best possible network is known exactly: the ground truth for losses and samplers.

If every pixel is N(mean, std^2), the noise that explains x_t best is a straight line in x_t, so the reverse chain
stays Gaussian, and its mean and variance follow from two short recursions. No network, no statistics, no tolerance.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ddpm_lite._check import check_real, check_t, fail
from ddpm_lite.process import per_image
from ddpm_lite.schedule import Schedule


@dataclass(frozen=True)
class GaussianChain:
    """Data N(mean, std^2) in every pixel: the exact z and the exact reverse chain.

    Args:
        schedule: the forward process.
        mean, std: of the data; std > 0.

    Raises:
        ValueError: std <= 0, or a number that is not finite.

    Source: the conditional mean of jointly Gaussian variables; derived in the chapter on sampling.
    """

    schedule: Schedule
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self):
        check_real("mean", self.mean, -1e6, 1e6)
        check_real("std", self.std, 0, 1e6, ends="(]")

    def line(self) -> tuple[Float64[Tensor, "entries"], Float64[Tensor, "entries"]]:
        """Slope and offset of the best z at each t: z_hat = slope_t x_t + offset_t (eq-oracle-gaussian)."""
        signal, noise = self.schedule.alpha_bar.sqrt(), self.schedule.one_minus_alpha_bar.sqrt()
        slope = noise / (self.schedule.alpha_bar * self.std**2 + self.schedule.one_minus_alpha_bar)
        return slope, -slope * signal * self.mean

    def __call__(
        self, x_t: Float[Tensor, "batch *shape"], t: int | Int64[Tensor, "..."], context: None = None
    ) -> Float[Tensor, "batch *shape"]:
        """E[z | x_t], the z_hat that no network can beat (eq-oracle-gaussian)."""
        check_t(t, x_t, self.schedule.T)
        slope, offset = (table.to(x_t.device)[t] for table in self.line())
        return per_image(slope, x_t) * x_t + per_image(offset, x_t)

    def reverse_moments(
        self,
        variance: str = "beta_tilde",
        *,
        start: tuple[float, float] = (0.0, 1.0),
        last_noise: bool = False,
    ) -> tuple[Float64[Tensor, "entries"], Float64[Tensor, "entries"]]:
        """Mean and variance of x_t at every t when Algorithm 2 runs with the exact z (eq-oracle-chain).

        Args:
            variance: sigma_t^2, "beta" or "beta_tilde".
            start: mean and variance of x_T.
            last_noise: add the noise of t = 1 too, a known mistake.

        Returns:
            Two tables of T + 1 entries; entry 0 is the samples.

        Raises:
            ValueError: an unknown variance.
        """
        if variance not in ("beta", "beta_tilde"):
            fail(ValueError, "variance", '"beta" or "beta_tilde"', f"{variance!r}")
        sigma_2 = getattr(self.schedule, variance)
        slope, offset = self.line()
        root = self.schedule.alpha.sqrt()
        weight = self.schedule.beta / self.schedule.one_minus_alpha_bar.sqrt()
        means, variances = torch.zeros_like(sigma_2), torch.zeros_like(sigma_2)
        means[-1], variances[-1] = start
        for t in range(self.schedule.T, 0, -1):  # x_{t-1} = ((1 - weight slope) x_t - weight offset) / root + noise
            factor = (1 - weight[t] * slope[t]) / root[t]
            means[t - 1] = factor * means[t] - weight[t] * offset[t] / root[t]
            variances[t - 1] = factor**2 * variances[t] + (sigma_2[t] if t > 1 or last_noise else 0)
        return means, variances
