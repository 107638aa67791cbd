"""The variational bound on -log p(x_0) (the negative ELBO), term by term, for Gaussian steps.

    L = L_T + L_{T-1} + ... + L_1 + L_0                            (eq-bound-terms)

L_T compares x_T with the prior and has no parameters, each L_{t-1} is a weighted squared error of the noise, and L_0
is the code length of a pixel's value given x_1. Logarithms are natural (nats) unless a name says bits.
"""

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import pad

from ddpm_lite._check import (
    Number,
    check_errors,
    check_nll,
    check_real,
    check_schedule,
    check_variance,
    describe,
    fail,
    to_values,
)
from ddpm_lite.schedule import Schedule, Table

Value = float | Float[Tensor, "..."]


def gaussian_kl(mean_1: Value, variance_1: Value, mean_2: Value, variance_2: Value) -> Float[Tensor, "..."]:
    """KL(N(mean_1, variance_1) || N(mean_2, variance_2)) for each number, in nats (eq-kl-gaussians).

    Args:
        mean_1, variance_1: of the distribution over which the expectation is taken.
        mean_2, variance_2: of the distribution that is compared with it. All four broadcast; variances > 0.

    Returns:
        One divergence per number; those of independent components of a vector add up.

    Raises:
        ValueError: a variance that is not finite and > 0.

    Source: Ho et al. (2020), section 3, "closed form expressions"; derived in the chapter on the objective.
    """
    mean_1, variance_1, mean_2, variance_2 = to_values(
        mean_1=mean_1, variance_1=variance_1, mean_2=mean_2, variance_2=variance_2
    )
    for name, variance in (("variance_1", variance_1), ("variance_2", variance_2)):
        if not (torch.isfinite(variance) & (variance > 0)).all():
            got = describe(variance) if variance.ndim else f"{variance.item():g}"
            fail(ValueError, name, "finite values > 0", got)
    ratio = variance_1 / variance_2
    return 0.5 * (ratio - 1 - ratio.log() + (mean_1 - mean_2).square() / variance_2)


def bound_weight(schedule: Schedule, variance: str = "beta") -> Float64[Tensor, "entries"]:
    """The bound's weight of ||z - z_hat||^2, beta^2 / (2 sigma^2 alpha (1 - alpha_bar)) (eq-bound-weight).

    Args:
        schedule: the forward process.
        variance: sigma_t^2 of the reverse step, "beta" or "beta_tilde".

    Returns:
        A table of T + 1 entries; entry 0 is unused. With "beta_tilde" entry 1 is infinite: beta_tilde_1 = 0.

    Raises:
        ValueError: an unknown variance.

    Source: Ho et al. (2020), equation 12.
    """
    check_variance(variance)
    weight = torch.zeros_like(check_schedule(schedule).beta)
    beta, alpha, rest = (table[1:] for table in (schedule.beta, schedule.alpha, schedule.one_minus_alpha_bar))
    weight[1:] = beta**2 / (2 * getattr(schedule, variance)[1:] * alpha * rest)
    return weight


def bound_terms(schedule: Schedule, errors: Table, variance: str = "beta") -> Float64[Tensor, "entries"]:
    """L_{t-1} for each number of an image, in nats, from the errors of its noise (eq-weighted-noise-loss).

    Args:
        schedule: the forward process.
        errors: mean squared errors of the noise for t = 0..T; the first two are not used.
        variance: sigma_t^2 of the reverse step, "beta" or "beta_tilde".

    Returns:
        A table of T + 1 entries; 0 and 1 are 0, because L_0 has another form.

    Raises:
        ValueError: another number of errors, or an unknown variance.

    Source: Ho et al. (2020), equation 12, with the constant that it leaves out.
    """
    weight = bound_weight(schedule, variance)
    error = check_errors(errors, weight)
    constant = gaussian_kl(0.0, schedule.beta_tilde[2:], 0.0, getattr(schedule, variance)[2:])
    return pad(weight[2:] * error[2:] + constant, (2, 0))


def min_snr_weight(schedule: Schedule, gamma: Number = 5.0) -> Float64[Tensor, "entries"]:
    """min(1, gamma / snr), the weight of the error of z that gives the error of x_0 min(snr, gamma) (eq-min-snr).

    Args:
        schedule: the forward process.
        gamma: > 0; 5 in the paper.

    Returns:
        A table of T + 1 entries for `train(..., weight=min_snr_weight)`; entry 0 is unused.

    Raises:
        ValueError: a gamma that is not > 0.

    Source: Hang et al. (2023), "Efficient Diffusion Training via Min-SNR Weighting Strategy", section 3.4.
    """
    return check_schedule(schedule).snr.clamp(max=check_real("gamma", gamma, 0, math.inf, ends="()")) / schedule.snr


def prior_bits_per_dim(schedule: Schedule, second_moment: float = 1 / 3) -> float:
    """L_T = KL(q(x_T | x_0) || N(0, I)), in bits for each pixel, averaged over x_0 (eq-prior-bits).

    Args:
        schedule: the forward process; only alpha_bar_T matters.
        second_moment: E[x_0^2] of a pixel; 1/3 is that of a uniform value in [-1, 1].

    Raises:
        ValueError: a second moment below 0 or not finite.

    Source: Ho et al. (2020), section 4.2: about 1e-5 bits per dimension for their schedule.
    """
    second_moment = check_real("second_moment", second_moment, 0, 1e12)
    signal = check_schedule(schedule).alpha_bar[-1] * second_moment
    centred = gaussian_kl(0.0, schedule.one_minus_alpha_bar[-1], 0.0, 1.0)
    return float(centred + signal / 2) / math.log(2)


def decoder_nll(
    x_0: Float[Tensor, "..."], mean: Float[Tensor, "..."], std: float, levels: int = 256
) -> Float[Tensor, "..."]:
    """-log of the probability of the grey level x_0 under N(mean, std^2), in nats for each pixel (eq-decoder).

    Args:
        x_0: pixels, each one of `levels` equally spaced values from -1 to 1.
        mean: mu_theta(x_1, 1), x_0's shape.
        std: sigma_1, > 0.
        levels: grey levels, >= 2; the bin of each reaches 1 / (levels - 1) to both sides, and the outer two are open.

    Raises:
        ValueError: std <= 0, or levels < 2.

    Source: Ho et al. (2020), equation 13. This is exact in the far tails too, where the paper's code clamps
    probabilities at 1e-12.
    """
    std, levels = check_nll(x_0, mean, std, levels)
    half = 1 / (levels - 1)
    low = torch.where(x_0 < -1 + half, -torch.inf, (x_0 - half - mean) / std)
    high = torch.where(x_0 > 1 - half, torch.inf, (x_0 + half - mean) / std)
    mirrored = low + high > 0  # mirror to the lower tail, where both logarithms are accurate
    low, high = torch.where(mirrored, -high, low), torch.where(mirrored, -low, high)
    log_low, log_high = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    return -(log_high + torch.log1p(-torch.exp(log_low - log_high)))
