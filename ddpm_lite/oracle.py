"""Data whose best possible network is known exactly: the ground truth for losses and samplers.

If every pixel is N(mean, std^2), the noise that explains x_t best is a straight line in x_t, so the reverse
chain stays Gaussian, and its mean and variance follow from two short recursions. No network, no statistics,
no tolerance. For a mixture of Gaussians the best noise is a weighted mean of such lines.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ddpm_lite._check import Time, check_real, check_t, check_variance, check_whole, describe, fail, to_table
from ddpm_lite.process import per_image
from ddpm_lite.schedule import Schedule

Moments = tuple[Float64[Tensor, "entries"], Float64[Tensor, "entries"]]


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

    def least_loss(self) -> Float64[Tensor, "entries"]:
        """E[(z - E[z | x_t])^2] per pixel at each t: no network is below it (eq-least-loss-gaussian)."""
        signal = self.schedule.alpha_bar * self.std**2
        return signal / (signal + self.schedule.one_minus_alpha_bar)

    def __call__(
        self, x_t: Float[Tensor, "batch *shape"], t: Time, context: None = None
    ) -> Float[Tensor, "batch *shape"]:
        """E[z | x_t], the z_hat that no network can beat (eq-oracle-gaussian)."""
        t = check_t(t, x_t, self.schedule.T)
        slope, offset = (table.to(x_t.device)[t] for table in self.line())
        return per_image(slope, x_t) * x_t + per_image(offset, x_t)

    def reverse_moments(
        self,
        variance: str = "beta_tilde",
        *,
        walk: Schedule | None = None,
        start: tuple[float, float] = (0.0, 1.0),
        last_noise: bool = False,
    ) -> Moments:
        """Mean and variance of x_t at every t when Algorithm 2 runs with the exact z (eq-oracle-chain).

        Args:
            variance: sigma_t^2, "beta" or "beta_tilde".
            walk: the steps to take, `respace(schedule, ...)`; None takes all.
            start: mean and variance of x_T.
            last_noise: add the noise of t = 1 too, a known mistake.

        Returns:
            Two tables with an entry for each time of the walk; entry 0 is the samples.

        Raises:
            ValueError: an unknown variance, or a walk along another schedule.
        """
        check_variance(variance)
        walk, slope, offset = self._along(walk)
        sigma_2 = getattr(walk, variance).clone()
        if not last_noise:
            sigma_2[1] = 0
        root = walk.alpha.sqrt()
        weight = walk.beta / walk.one_minus_alpha_bar.sqrt()
        # x_{t-1} = ((1 - weight slope) x_t - weight offset) / root + noise
        return _chain((1 - weight * slope) / root, -weight * offset / root, sigma_2, start)

    def ddim_moments(
        self, eta: float = 0.0, *, walk: Schedule | None = None, start: tuple[float, float] = (0.0, 1.0)
    ) -> Moments:
        """Mean and variance of x_t at every t when DDIM's steps run with the exact z (eq-ddim-chain).

        Args:
            eta: 0..1, the share of fresh noise.
            walk, start: as in `reverse_moments`.

        Returns:
            Two tables with an entry for each time of the walk; entry 0 is the samples.

        Raises:
            ValueError: eta out of range, or a walk along another schedule.
        """
        check_real("eta", eta, 0, 1)
        walk, slope, offset = self._along(walk)
        rest = walk.one_minus_alpha_bar
        before = rest.roll(1)  # entry t holds time t - 1
        sigma_2 = eta**2 * walk.beta_tilde
        root = walk.alpha.sqrt()
        weight = (before - sigma_2).clamp(min=0).sqrt() - (rest / walk.alpha).sqrt()
        # x_{t-1} = x_t / root + weight (slope x_t + offset) + noise
        return _chain(1 / root + weight * slope, weight * offset, sigma_2, start)

    def _along(self, walk: Schedule | None) -> tuple[Schedule, Tensor, Tensor]:
        """The schedule that is walked, and slope and offset of the best z at its times."""
        walk = self.schedule if walk is None else walk
        slope, offset = self.line()
        own = len(slope) > walk.times[-1] and torch.allclose(walk.alpha_bar, self.schedule.alpha_bar[walk.times])
        if not own:
            fail(ValueError, "walk", "the oracle's schedule re-spaced", repr(walk), "respace(oracle.schedule, steps)")
        return walk, slope[walk.times], offset[walk.times]


def _chain(factor: Tensor, offset: Tensor, sigma_2: Tensor, start: tuple[float, float]) -> Moments:
    """Mean and variance of x_{t-1} = factor_t x_t + offset_t + sigma_t noise, for t = T..1."""
    means, variances = torch.zeros_like(factor), torch.zeros_like(factor)
    means[-1], variances[-1] = start
    for t in range(len(factor) - 1, 0, -1):
        means[t - 1] = factor[t] * means[t] + offset[t]
        variances[t - 1] = factor[t] ** 2 * variances[t] + sigma_2[t]
    return means, variances


if TYPE_CHECKING:  # what is kept: __post_init__ makes a tensor of what may be given
    Weights: TypeAlias = Tensor
else:
    Weights = Float[Tensor, "K"] | None


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Data from K round Gaussian blobs in R^n: the exact z, score and density of x_t, computed in float64.

    Args:
        schedule: the forward process.
        means: (K, *shape), the blobs' centres; shape is that of one data point, (n,) or an image's.
        stds: (K,), the blobs' standard deviations, > 0.
        weights: (K,), how likely each blob is, > 0 and of sum 1; None makes them equal.

    Raises:
        ValueError: shapes that do not fit, a std or weight not finite and > 0, weights of another sum.

    Source: given the blob, everything is Gaussian; Bayes' rule mixes the blobs (eq-oracle-mixture).
    """

    schedule: Schedule
    means: Float[Tensor, "K *shape"]
    stds: Float[Tensor, "K"]
    weights: Weights = None  # type: ignore[assignment] # None makes them equal, and does not stay

    def __post_init__(self):
        K = len(self.means)
        means, stds = to_table("means", self.means).double(), to_table("stds", self.stds).double()
        weights = torch.full((K,), 1 / K) if self.weights is None else to_table("weights", self.weights)
        centres = "finite centres of shape (K, n), one row per blob"
        if means.ndim < 2 or not torch.isfinite(means).all():
            fail(ValueError, "means", centres, describe(self.means))
        for name, value in (("stds", stds), ("weights", weights.double())):
            if value.shape != (K,) or not (torch.isfinite(value) & (value > 0)).all():
                fail(ValueError, name, f"{K} finite numbers > 0, one per blob", f"{value.tolist()}")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "means", means)
        if abs(self.weights.sum() - 1) > 1e-6:
            fail(ValueError, "weights", "a sum of 1", f"{self.weights.sum():g}", "divide them by their sum")
        object.__setattr__(self, "weights", self.weights / self.weights.sum())

    def sample(
        self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "n *shape"]:
        """n data points x_0: a blob by its weight, then a point of the blob."""
        check_whole("n", n, 1)
        blob = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        z = torch.randn((n, *self.means.shape[1:]), generator=generator, dtype=torch.float64)
        return (self.means[blob] + per_image(self.stds[blob], z) * z).to(dtype)

    def __call__(
        self, x_t: Float[Tensor, "batch *shape"], t: Time, context: None = None
    ) -> Float[Tensor, "batch *shape"]:
        """E[z | x_t], the z_hat that no network can beat (eq-oracle-mixture)."""
        t = check_t(t, x_t, self.schedule.T)
        log_joint, from_centre, variance = self._blobs(x_t, t)
        noise = self.schedule.one_minus_alpha_bar.to(x_t.device)[t].sqrt().reshape(-1, 1)
        pull = log_joint.softmax(dim=1) * noise / variance  # (batch, K)
        return (pull[..., None] * from_centre).sum(dim=1).reshape(x_t.shape).to(x_t.dtype)

    def score(self, x_t: Float[Tensor, "batch *shape"], t: Time) -> Float[Tensor, "batch *shape"]:
        """The gradient of log q(x_t) with respect to x_t (eq-score-from-z)."""
        t = check_t(t, x_t, self.schedule.T)
        noise = self.schedule.one_minus_alpha_bar.to(x_t.device)[t].sqrt()
        return -self(x_t, t) / per_image(noise, x_t)

    def log_density(self, x_t: Float[Tensor, "batch *shape"], t: Time) -> Float[Tensor, "batch"]:
        """log q(x_t), in nats (eq-mixture-density)."""
        return self._blobs(x_t, t)[0].logsumexp(dim=1).to(x_t.dtype)

    def _blobs(self, x_t: Tensor, t: Time) -> tuple[Tensor, Tensor, Tensor]:
        """Per image and blob: log of weight times density, x_t from the blob's centre, the blob's variance.

        Their shapes: (batch, K), (batch, K, n), (batch, K).
        """
        t = check_t(t, x_t, self.schedule.T)
        if x_t.shape[1:] != self.means.shape[1:]:
            expected = f"points of the data's shape {tuple(self.means.shape[1:])}"
            fail(ValueError, "x_t", expected, describe(x_t))
        means, stds, weights, alpha_bar, rest = (
            table.to(x_t.device)
            for table in (
                self.means.flatten(1),
                self.stds,
                self.weights,
                self.schedule.alpha_bar,
                self.schedule.one_minus_alpha_bar,
            )
        )
        alpha_bar, rest = alpha_bar[t].reshape(-1, 1), rest[t].reshape(-1, 1)
        variance = alpha_bar * stds**2 + rest
        from_centre = x_t.double().flatten(1)[:, None] - alpha_bar[..., None].sqrt() * means
        n = means.shape[1]
        exponent = from_centre.square().sum(dim=2) / variance + n * torch.log(2 * torch.pi * variance)
        return weights.log() - exponent / 2, from_centre, variance
