"""Data whose best possible network is known exactly: ground truth for losses and samplers.

If every pixel is N(mean, std^2), the least-squares estimate of z is a linear function of x_t. So the reverse chain
stays Gaussian, and its mean and variance follow from two short recursions, with neither training nor Monte Carlo error.
For a mixture of Gaussians the best estimate is a weighted mean of such linear functions.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ddpm_lite._check import (
    Time,
    check_bool,
    check_fields,
    check_kind,
    check_mixture,
    check_pair,
    check_place,
    check_real,
    check_schedule,
    check_t,
    check_variance,
    check_whole,
    describe,
    fail,
)
from ddpm_lite.process import X, per_image, score_from_z
from ddpm_lite.schedule import Schedule

Moments = tuple[Float64[Tensor, "entries"], Float64[Tensor, "entries"]]


@dataclass(frozen=True)
class GaussianChain:
    """Data N(mean, std^2) in every pixel: the exact z and the exact reverse chain.

    Args:
        schedule: the forward process.
        mean, std: those of the data; std > 0.

    Raises:
        ValueError: std <= 0, or a number that is not finite.

    Source: the conditional mean of jointly Gaussian variables, derived in the chapter on sampling.
    """

    schedule: Schedule
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self):
        check_schedule(self.schedule)
        check_fields(self, ("mean",), check_real, -1e6, 1e6)
        check_fields(self, ("std",), check_real, 0, 1e6, ends="(]")

    def line(self) -> tuple[Float64[Tensor, "entries"], Float64[Tensor, "entries"]]:
        """Slope and offset of the best z at each t: z_hat = slope_t x_t + offset_t (eq-oracle-gaussian)."""
        signal, noise = self.schedule.alpha_bar.sqrt(), self.schedule.one_minus_alpha_bar.sqrt()
        slope = noise / (self.schedule.alpha_bar * self.std**2 + self.schedule.one_minus_alpha_bar)
        return slope, -slope * signal * self.mean

    def least_loss(self) -> Float64[Tensor, "entries"]:
        """E[(z - E[z | x_t])^2] per pixel at each t, the least loss of any network (eq-least-loss-gaussian)."""
        signal = self.schedule.alpha_bar * self.std**2
        return signal / (signal + self.schedule.one_minus_alpha_bar)

    def __call__(self, x_t: X, t: Time, context: None = None) -> X:
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
            walk: the steps to take, from `respace(schedule, ...)`; None takes all of them.
            start: mean and variance of x_T.
            last_noise: also add noise in the step from t = 1, a common mistake.

        Returns:
            Two tables with an entry for each time of the walk; entry 0 is the samples.

        Raises:
            ValueError: an unknown variance, or a walk along another schedule.
        """
        walk, slope, offset = self._follow(walk)
        sigma_2 = getattr(walk, check_variance(variance)).clone()
        if not check_bool("last_noise", last_noise):
            sigma_2[1] = 0
        root = walk.alpha.sqrt()
        weight = walk.beta / walk.one_minus_alpha_bar.sqrt()
        # x_{t-1} = ((1 - weight slope) x_t - weight offset) / root + noise
        return _propagate_moments((1 - weight * slope) / root, -weight * offset / root, sigma_2, start)

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
        eta = check_real("eta", eta, 0, 1)
        walk, slope, offset = self._follow(walk)
        rest = walk.one_minus_alpha_bar
        before = rest.roll(1)  # entry t holds time t - 1
        sigma_2 = eta**2 * walk.beta_tilde
        root = walk.alpha.sqrt()
        weight = (before - sigma_2).clamp(min=0).sqrt() - (rest / walk.alpha).sqrt()
        # x_{t-1} = x_t / root + weight (slope x_t + offset) + noise
        return _propagate_moments(1 / root + weight * slope, weight * offset, sigma_2, start)

    def _follow(self, walk: Schedule | None) -> tuple[Schedule, Tensor, Tensor]:
        """Return the schedule of the walk, and slope and offset of the best z at its times."""
        walk = self.schedule if walk is None else check_schedule(walk, "walk")
        slope, offset = self.line()
        own = len(slope) > walk.times[-1] and torch.allclose(walk.alpha_bar, self.schedule.alpha_bar[walk.times])
        if not own:
            fail(ValueError, "walk", "the oracle's schedule, re-spaced", repr(walk), "respace(oracle.schedule, steps)")
        return walk, slope[walk.times], offset[walk.times]


def _propagate_moments(factor: Tensor, offset: Tensor, sigma_2: Tensor, start: tuple[float, float]) -> Moments:
    """Mean and variance of x_{t-1} = factor_t x_t + offset_t + sigma_t noise, for t = T..1."""
    means, variances = torch.zeros_like(factor), torch.zeros_like(factor)
    means[-1], variances[-1] = check_pair("start", start)
    for t in range(len(factor) - 1, 0, -1):
        means[t - 1] = factor[t] * means[t] + offset[t]
        variances[t - 1] = factor[t] ** 2 * variances[t] + sigma_2[t]
    return means, variances


if TYPE_CHECKING:  # __post_init__ converts whatever is given to a tensor
    Weights: TypeAlias = Tensor
else:
    Weights = Float[Tensor, "K"] | None


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Data from K isotropic Gaussians in R^n: the exact z, score and density of x_t, computed in float64.

    Args:
        schedule: the forward process.
        means: (K, *shape), the means of the components; shape is that of one data point, (n,) or an image's.
        stds: (K,), their standard deviations, > 0.
        weights: (K,), their probabilities, > 0 and with the sum 1; None makes them equal.

    Raises:
        ValueError: shapes that do not match, a std or weight that is not finite and > 0, weights with another sum.

    Source: given the component, everything is Gaussian, and Bayes' rule weights the components (eq-oracle-mixture).
    """

    schedule: Schedule
    means: Float[Tensor, "K *shape"]
    stds: Float[Tensor, "K"]
    weights: Weights = None  # type: ignore[assignment] # None is replaced by equal weights

    def __post_init__(self):
        check_schedule(self.schedule)
        for name, value in check_mixture(self.means, self.stds, self.weights).items():
            object.__setattr__(self, name, value)

    def sample(
        self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "n *shape"]:
        """Draw n data points x_0: first a component by its weight, then a point from it."""
        n = check_whole("n", n, 1)
        check_place("cpu", dtype)
        if generator is not None:
            check_kind("generator", generator, torch.Generator)
        component = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        z = torch.randn((n, *self.means.shape[1:]), generator=generator, dtype=torch.float64)
        return (self.means[component] + per_image(self.stds[component], z) * z).to(dtype)

    def __call__(self, x_t: X, t: Time, context: None = None) -> X:
        """E[z | x_t], the z_hat that no network can beat (eq-oracle-mixture)."""
        t = check_t(t, x_t, self.schedule.T)
        log_joint, from_mean, variance = self._compare_components(x_t, t)
        noise = self.schedule.one_minus_alpha_bar.to(x_t.device)[t].sqrt().reshape(-1, 1)
        pull = log_joint.softmax(dim=1) * noise / variance  # (batch, K)
        return (pull[..., None] * from_mean).sum(dim=1).reshape(x_t.shape).to(x_t.dtype)

    def score(self, x_t: X, t: Time) -> X:
        """The gradient of log q(x_t) with respect to x_t (eq-score-from-z)."""
        return score_from_z(self.schedule, self(x_t, t), t)

    def log_density(self, x_t: X, t: Time) -> Float[Tensor, "batch"]:
        """log q(x_t), in nats (eq-mixture-density)."""
        return self._compare_components(x_t, t)[0].logsumexp(dim=1).to(x_t.dtype)

    def _compare_components(self, x_t: Tensor, t: Time) -> tuple[Tensor, Tensor, Tensor]:
        """For each image and component: log(weight * density), x_t minus the mean, and the variance, all at time t.

        The shapes are (batch, K), (batch, K, n) and (batch, K).
        """
        t = check_t(t, x_t, self.schedule.T)
        if x_t.shape[1:] != self.means.shape[1:]:
            expected = f"points of the data's shape {tuple(self.means.shape[1:])}"
            fail(ValueError, "x_t", expected, describe(x_t))
        alpha_bar, rest = self.schedule.alpha_bar, self.schedule.one_minus_alpha_bar
        tables = self.means.flatten(1), self.stds, self.weights, alpha_bar, rest
        means, stds, weights, alpha_bar, rest = (table.to(x_t.device) for table in tables)
        alpha_bar, rest = alpha_bar[t].reshape(-1, 1), rest[t].reshape(-1, 1)
        variance = alpha_bar * stds**2 + rest
        from_mean = x_t.double().flatten(1)[:, None] - alpha_bar[..., None].sqrt() * means
        n = means.shape[1]
        exponent = from_mean.square().sum(dim=2) / variance + n * torch.log(2 * torch.pi * variance)
        return weights.log() - exponent / 2, from_mean, variance
