"""The forward process and its Bayes posterior: one function, one equation.

Symbols as in the book: x_0 the image, x_t the image at time t, z the noise that made x_t, z_hat a network's
estimate of z. Images are (B, C, H, W) or any shape whose first axis counts them. t is one whole number for
all images, or an int64 tensor (B,), one per image; always in 1..T.
"""

from jaxtyping import Float, Int64
from torch import Tensor

from ddpm_lite._check import check_alike, check_float, check_t, fail
from ddpm_lite.schedule import Schedule

X = Float[Tensor, "batch *shape"]
Time = int | Int64[Tensor, "..."]


def per_image(coefficient: Tensor, x: Tensor) -> Tensor:
    """A coefficient per image, (B,) or (), shaped to multiply x (B, ...) and rounded to x's dtype."""
    return coefficient.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))


def q_step(schedule: Schedule, x_prev: X, t: Time, z: X) -> X:
    """One forward step, x_t = sqrt(alpha_t) x_{t-1} + sqrt(1 - alpha_t) z (eq-forward-step).

    Args:
        x_prev: x_{t-1}.
        t: the time that is reached, 1..T.
        z: fresh noise from N(0, I), x_prev's shape.

    Raises:
        ValueError, TypeError: one line that names the argument.

    Source: Ho et al. (2020), equation 2.
    """
    _check(schedule, x_prev, t, "x_prev", z=z)
    return per_image(schedule.alpha[t].sqrt(), x_prev) * x_prev + per_image(schedule.beta[t].sqrt(), z) * z


def q_sample(schedule: Schedule, x_0: X, t: Time, z: X) -> X:
    """Jump to time t, x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) z (eq-forward-closed).

    Args:
        x_0: the clean images, floating point.
        t: 1..T.
        z: noise from N(0, I), x_0's shape.

    Raises:
        ValueError, TypeError: one line that names the argument.

    Source: Ho et al. (2020), equation 4.
    """
    _check(schedule, x_0, t, "x_0", z=z)
    signal = per_image(schedule.alpha_bar[t].sqrt(), x_0)
    noise = per_image(schedule.one_minus_alpha_bar[t].sqrt(), z)
    return signal * x_0 + noise * z


def predict_x_0(schedule: Schedule, x_t: X, t: Time, z_hat: X) -> X:
    """The image in x_t, (x_t - sqrt(1 - alpha_bar_t) z_hat) / sqrt(alpha_bar_t) (eq-x0-from-z).

    Args:
        x_t: noisy images.
        t: 1..T.
        z_hat: noise or its estimate, x_t's shape.

    Raises:
        ValueError, TypeError: one line that names the argument.

    Source: Ho et al. (2020), equation 15. Not clipped to [-1, 1]; the sampler decides that.
    """
    _check(schedule, x_t, t, "x_t", z_hat=z_hat)
    noise = per_image(schedule.one_minus_alpha_bar[t].sqrt(), x_t)
    signal = per_image(schedule.alpha_bar[t].sqrt(), x_t)
    return (x_t - noise * z_hat) / signal


def predict_z(schedule: Schedule, x_t: X, t: Time, x_0: X) -> X:
    """The noise that x_t and x_0 imply, (x_t - sqrt(alpha_bar_t) x_0) / sqrt(1 - alpha_bar_t) (eq-z-from-x0).

    Args:
        x_t: noisy images.
        t: 1..T.
        x_0: clean images or their estimate, x_t's shape.

    Raises:
        ValueError, TypeError: one line that names the argument.

    Source: Ho et al. (2020), equation 4 solved for the noise.
    """
    _check(schedule, x_t, t, "x_t", x_0=x_0)
    noise = per_image(schedule.one_minus_alpha_bar[t].sqrt(), x_t)
    signal = per_image(schedule.alpha_bar[t].sqrt(), x_t)
    return (x_t - signal * x_0) / noise


def posterior(schedule: Schedule, x_t: X, t: Time, x_0: X) -> tuple[X, Float[Tensor, "..."]]:
    """Mean and variance of q(x_{t-1} | x_t, x_0) (eq-posterior-mean, eq-posterior-variance).

    Args:
        x_t: noisy images.
        t: 1..T.
        x_0: clean images or their estimate, x_t's shape.

    Returns:
        mu_tilde of x_t's shape, and beta_tilde, one number per image, shaped to broadcast with x_t.

    Raises:
        ValueError, TypeError: one line that names the argument.

    Source: Ho et al. (2020), equations 6 and 7. At t = 1 the mean is x_0 and the variance 0.
    """
    _check(schedule, x_t, t, "x_t", x_0=x_0)
    variance = schedule.one_minus_alpha_bar
    weight_x_t = schedule.alpha[t].sqrt() * variance[t - 1] / variance[t]
    weight_x_0 = schedule.alpha_bar[t - 1].sqrt() * schedule.beta[t] / variance[t]
    mu_tilde = per_image(weight_x_t, x_t) * x_t + per_image(weight_x_0, x_t) * x_0
    return mu_tilde, per_image(schedule.beta_tilde[t], x_t)


def mean_from_noise(schedule: Schedule, x_t: X, t: Time, z_hat: X) -> X:
    """mu_tilde from z, (x_t - beta_t / sqrt(1 - alpha_bar_t) z_hat) / sqrt(alpha_t) (eq-mean-from-noise).

    Args:
        x_t: noisy images.
        t: 1..T.
        z_hat: noise or its estimate, x_t's shape.

    Raises:
        ValueError, TypeError: one line that names the argument.

    Source: Ho et al. (2020), equation 11. Equals posterior(x_t, t, predict_x_0(x_t, t, z_hat))[0].
    """
    _check(schedule, x_t, t, "x_t", z_hat=z_hat)
    weight = per_image(schedule.beta[t] / schedule.one_minus_alpha_bar[t].sqrt(), x_t)
    return (x_t - weight * z_hat) / per_image(schedule.alpha[t].sqrt(), x_t)


def z_from_mean(schedule: Schedule, x_t: X, t: Time, mean: X) -> X:
    """The noise in a mean, sqrt(1 - alpha_bar_t) / beta_t (x_t - sqrt(alpha_t) mean) (eq-z-from-mean).

    Args:
        x_t: noisy images.
        t: 1..T.
        mean: mu_tilde or its estimate, x_t's shape.

    Raises:
        ValueError, TypeError: one line that names the argument.

    Source: Ho et al. (2020), equation 11 solved for the noise.
    """
    _check(schedule, x_t, t, "x_t", mean=mean)
    weight = per_image(schedule.one_minus_alpha_bar[t].sqrt() / schedule.beta[t], x_t)
    return weight * (x_t - per_image(schedule.alpha[t].sqrt(), x_t) * mean)


def score_from_z(schedule: Schedule, z_hat: X, t: Time) -> X:
    """The score that a noise implies, -z_hat / sqrt(1 - alpha_bar_t) (eq-score-from-z).

    Args:
        z_hat: E[z | x_t] or its estimate gives the score of q(x_t), the z in x_t that of q(x_t | x_0).
        t: 1..T.

    Raises:
        ValueError, TypeError: one line that names the argument.

    Source: Song et al. (2021), "Score-based generative modeling", section 3; Ho et al. (2020), section 3.2.
    """
    _check(schedule, z_hat, t, "z_hat")
    return -z_hat / per_image(schedule.one_minus_alpha_bar[t].sqrt(), z_hat)


def z_from_score(schedule: Schedule, score: X, t: Time) -> X:
    """The noise that a score implies, -sqrt(1 - alpha_bar_t) score (eq-z-from-score).

    Args:
        score: gradient of log q at x_t, or its estimate.
        t: 1..T.

    Raises:
        ValueError, TypeError: one line that names the argument.

    Source: the inverse of `score_from_z`.
    """
    _check(schedule, score, t, "score")
    return -per_image(schedule.one_minus_alpha_bar[t].sqrt(), score) * score


def velocity(schedule: Schedule, x_0: X, t: Time, z: X) -> X:
    """v = sqrt(alpha_bar_t) z - sqrt(1 - alpha_bar_t) x_0, the other axis of the turn that makes x_t (eq-v).

    Args:
        x_0: clean images or their estimate.
        t: 1..T.
        z: the noise in x_t or its estimate, x_0's shape.

    Raises:
        ValueError, TypeError: one line that names the argument.

    Source: Salimans and Ho (2022), "Progressive distillation", section 4.
    """
    _check(schedule, x_0, t, "x_0", z=z)
    signal = per_image(schedule.alpha_bar[t].sqrt(), x_0)
    noise = per_image(schedule.one_minus_alpha_bar[t].sqrt(), x_0)
    return signal * z - noise * x_0


def x_0_from_v(schedule: Schedule, x_t: X, t: Time, v: X) -> X:
    """The image that x_t and v imply, sqrt(alpha_bar_t) x_t - sqrt(1 - alpha_bar_t) v (eq-x0-from-v).

    Args:
        x_t: noisy images.
        t: 1..T.
        v: the velocity or its estimate, x_t's shape.

    Raises:
        ValueError, TypeError: one line that names the argument.

    Source: Salimans and Ho (2022), section 4. Nothing is divided: an error in v is never made larger.
    """
    _check(schedule, x_t, t, "x_t", v=v)
    signal = per_image(schedule.alpha_bar[t].sqrt(), x_t)
    noise = per_image(schedule.one_minus_alpha_bar[t].sqrt(), x_t)
    return signal * x_t - noise * v


def z_from_v(schedule: Schedule, x_t: X, t: Time, v: X) -> X:
    """The noise that x_t and v imply, sqrt(1 - alpha_bar_t) x_t + sqrt(alpha_bar_t) v (eq-z-from-v).

    Args:
        x_t: noisy images.
        t: 1..T.
        v: the velocity or its estimate, x_t's shape.

    Raises:
        ValueError, TypeError: one line that names the argument.

    Source: Salimans and Ho (2022), section 4.
    """
    _check(schedule, x_t, t, "x_t", v=v)
    signal = per_image(schedule.alpha_bar[t].sqrt(), x_t)
    noise = per_image(schedule.one_minus_alpha_bar[t].sqrt(), x_t)
    return noise * x_t + signal * v


def ddpm_loss(model, schedule: Schedule, x_0: X, t: Time, z: X, context=None) -> Float[Tensor, ""]:
    """L_simple, the mean of (z - z_hat)^2 over the batch, with z_hat = model(x_t, t) (eq-simple-loss).

    Args:
        model: any callable (x_t, t, context) -> z_hat of x_t's shape.
        x_0: clean images in [-1, 1].
        t: 1..T.
        z: noise from N(0, I), x_0's shape.
        context: what the model is conditioned on, or None.

    Raises:
        ValueError, TypeError: one line that names the argument; z_hat of another shape than z too.

    Source: Ho et al. (2020), equation 14 and Algorithm 1. A mean, so it does not grow with the image.
    """
    x_t = q_sample(schedule, x_0, t, z)
    z_hat = model(x_t, t, context)
    check_alike("the model's output", z_hat, "x_t", x_t)
    return (z.to(z_hat.dtype) - z_hat).square().mean()


def _check(schedule: Schedule, x: Tensor, t: Time, x_name: str, **others: Tensor) -> None:
    """x is floating point, every other tensor is like it, t fits: the shared first line of each equation."""
    check_float(x_name, x)
    for name, other in others.items():
        check_alike(name, other, x_name, x)
    check_t(t, x, schedule.T)
    if isinstance(t, Tensor) and schedule.beta.device != x.device:
        fail(
            ValueError,
            "schedule",
            f"its tables on {x.device}, where {x_name} is",
            f"{schedule.beta.device}",
            f"use schedule.to({x_name}.device)",
        )
