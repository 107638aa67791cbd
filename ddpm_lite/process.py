"""The forward process and its posterior by Bayes' rule, with one function for each equation. All functions share:

    images    x_0 is the image, x_t the noisy image at time t, z the noise in x_t, and z_hat a network's estimate of z.
              They are floating-point tensors of one shape, (B, C, H, W) or any other whose first axis is the batch.
    t         in 1..T: one whole number for all images, or B of them, as an int64 tensor or a sequence
    estimate  instead of the true x_0, z, v or mean you may pass an estimate of it
    schedule  is copied to the images' device if it is on another
    errors    ValueError or TypeError, in one line that names the argument

Sources: Ho is Ho, Jain, Abbeel (2020); Salimans is Salimans and Ho (2022), "Progressive distillation", section 4.
"""

from jaxtyping import Float
from torch import Tensor

from ddpm_lite._check import Time, check_alike, check_batch, check_loss, check_output, check_schedule, check_t
from ddpm_lite.schedule import Schedule

X = Float[Tensor, "batch *shape"]


def per_image(coefficient: Tensor, x: Tensor) -> Tensor:
    """Reshape one coefficient per image, (B,) or (), so that it multiplies x (B, ...), in x's dtype and device."""
    return coefficient.to(x.device, x.dtype).reshape(-1, *[1] * (x.ndim - 1))


def q_step(schedule: Schedule, x_prev: X, t: Time, z: X) -> X:
    """One forward step to time t, x_t = sqrt(alpha_t) x_{t-1} + sqrt(1 - alpha_t) z (eq-forward-step).

    x_prev is x_{t-1}. Source: Ho, equation 2.
    """
    schedule, t = _check(schedule, t, x_prev=x_prev, z=z)
    return per_image(schedule.alpha[t].sqrt(), x_prev) * x_prev + per_image(schedule.beta[t].sqrt(), z) * z


def q_sample(schedule: Schedule, x_0: X, t: Time, z: X) -> X:
    """Jump to time t, x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) z (eq-forward-closed). Source: Ho (4)."""
    schedule, t = _check(schedule, t, x_0=x_0, z=z)
    signal, noise = _weigh(schedule, t, x_0)
    return signal * x_0 + noise * z


def predict_x_0(schedule: Schedule, x_t: X, t: Time, z_hat: X) -> X:
    """The image that x_t and z_hat imply, (x_t - sqrt(1 - alpha_bar_t) z_hat) / sqrt(alpha_bar_t) (eq-x0-from-z).

    Source: Ho, equation 15. The result is not clipped to [-1, 1]; that is an option of the sampler.
    """
    schedule, t = _check(schedule, t, x_t=x_t, z_hat=z_hat)
    signal, noise = _weigh(schedule, t, x_t)
    return (x_t - noise * z_hat) / signal


def predict_z(schedule: Schedule, x_t: X, t: Time, x_0: X) -> X:
    """The noise that x_t and x_0 imply, (x_t - sqrt(alpha_bar_t) x_0) / sqrt(1 - alpha_bar_t) (eq-z-from-x0)."""
    schedule, t = _check(schedule, t, x_t=x_t, x_0=x_0)
    signal, noise = _weigh(schedule, t, x_t)
    return (x_t - signal * x_0) / noise


def posterior(schedule: Schedule, x_t: X, t: Time, x_0: X) -> tuple[X, Float[Tensor, "..."]]:
    """Mean and variance of q(x_{t-1} | x_t, x_0) (eq-posterior-mean, eq-posterior-variance).

    Returns mu_tilde, of x_t's shape, and beta_tilde, one number per image, shaped to broadcast with x_t.
    Source: Ho, equations 6 and 7. At t = 1 the mean is x_0 and the variance 0.
    """
    schedule, t = _check(schedule, t, x_t=x_t, x_0=x_0)
    variance, before = schedule.one_minus_alpha_bar, t - 1
    weight_x_t = schedule.alpha[t].sqrt() * variance[before] / variance[t]
    weight_x_0 = schedule.alpha_bar[before].sqrt() * schedule.beta[t] / variance[t]
    mu_tilde = per_image(weight_x_t, x_t) * x_t + per_image(weight_x_0, x_t) * x_0
    return mu_tilde, per_image(schedule.beta_tilde[t], x_t)


def mean_from_noise(schedule: Schedule, x_t: X, t: Time, z_hat: X) -> X:
    """mu_tilde from z, (x_t - beta_t / sqrt(1 - alpha_bar_t) z_hat) / sqrt(alpha_t) (eq-mean-from-noise).

    Source: Ho, equation 11. Equals posterior(x_t, t, predict_x_0(x_t, t, z_hat))[0].
    """
    schedule, t = _check(schedule, t, x_t=x_t, z_hat=z_hat)
    weight = per_image(schedule.beta[t] / schedule.one_minus_alpha_bar[t].sqrt(), x_t)
    return (x_t - weight * z_hat) / per_image(schedule.alpha[t].sqrt(), x_t)


def z_from_mean(schedule: Schedule, x_t: X, t: Time, mean: X) -> X:
    """The noise that a mean implies, sqrt(1 - alpha_bar_t) / beta_t (x_t - sqrt(alpha_t) mean) (eq-z-from-mean)."""
    schedule, t = _check(schedule, t, x_t=x_t, mean=mean)
    weight = per_image(schedule.one_minus_alpha_bar[t].sqrt() / schedule.beta[t], x_t)
    return weight * (x_t - per_image(schedule.alpha[t].sqrt(), x_t) * mean)


def score_from_z(schedule: Schedule, z_hat: X, t: Time) -> X:
    """The score that a noise implies, -z_hat / sqrt(1 - alpha_bar_t) (eq-score-from-z).

    E[z | x_t] gives the score of q(x_t), the z in x_t that of q(x_t | x_0). Source: Song et al. (2021), section 3.
    """
    schedule, t = _check(schedule, t, z_hat=z_hat)
    return -z_hat / _weigh(schedule, t, z_hat)[1]


def z_from_score(schedule: Schedule, score: X, t: Time) -> X:
    """The noise that a score, the gradient of log q at x_t, implies, -sqrt(1 - alpha_bar_t) score (eq-z-from-score)."""
    schedule, t = _check(schedule, t, score=score)
    return -_weigh(schedule, t, score)[1] * score


def velocity(schedule: Schedule, x_0: X, t: Time, z: X) -> X:
    """v = sqrt(alpha_bar_t) z - sqrt(1 - alpha_bar_t) x_0, the slope of x_t by its angle (eq-v). Source: Salimans."""
    schedule, t = _check(schedule, t, x_0=x_0, z=z)
    signal, noise = _weigh(schedule, t, x_0)
    return signal * z - noise * x_0


def x_0_from_v(schedule: Schedule, x_t: X, t: Time, v: X) -> X:
    """The image that x_t and v imply, sqrt(alpha_bar_t) x_t - sqrt(1 - alpha_bar_t) v (eq-x0-from-v).

    Source: Salimans. There is no division, so an error in v is never enlarged.
    """
    schedule, t = _check(schedule, t, x_t=x_t, v=v)
    signal, noise = _weigh(schedule, t, x_t)
    return signal * x_t - noise * v


def z_from_v(schedule: Schedule, x_t: X, t: Time, v: X) -> X:
    """The noise of x_t and v, sqrt(1 - alpha_bar_t) x_t + sqrt(alpha_bar_t) v (eq-z-from-v). Source: Salimans."""
    schedule, t = _check(schedule, t, x_t=x_t, v=v)
    signal, noise = _weigh(schedule, t, x_t)
    return noise * x_t + signal * v


def flow_from_z(schedule: Schedule, x_t: X, t: Time, z_hat: X) -> X:
    """The slope of the straight path from image to noise, u = z_hat - x_0_hat (eq-flow-slope).

    Source: Liu et al. (2023), "Flow straight and fast", equation 1; their time runs from noise to image.
    """
    return z_hat - predict_x_0(schedule, x_t, t, z_hat)


def z_from_flow(schedule: Schedule, x_t: X, t: Time, u: X) -> X:
    """The noise that x_t and the slope u of the straight path imply (eq-z-from-flow)."""
    schedule, t = _check(schedule, t, x_t=x_t, u=u)
    signal, noise = _weigh(schedule, t, x_t)
    return (x_t + signal * u) / (signal + noise)


def ddpm_loss(model, schedule: Schedule, x_0: X, t: Time, z: X, context=None, weight=None) -> Float[Tensor, ""]:
    """L_simple, the mean of (z - z_hat)^2 over the batch, with z_hat = model(x_t, t, context) (eq-simple-loss).

    The model gets t as an int64 tensor (B,). With a table of T + 1 weights, the error at t is multiplied by weight[t]
    (eq-weighted-noise-loss). Source: Ho, equation 14, with a mean over pixels, so that it does not grow with the image.
    """
    weight = check_loss(model, weight, schedule)
    x_t = q_sample(schedule, x_0, t, z)
    t = check_t(t, x_t, schedule.T, every=True)
    z_hat = check_output(model(x_t, t, context), x_t)
    error = (z.to(z_hat.dtype) - z_hat).square()
    return error.mean() if weight is None else (per_image(weight[t], error) * error).mean()


def _weigh(schedule: Schedule, t: int | Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the weights of image and noise in x_t."""
    return per_image(schedule.alpha_bar[t].sqrt(), x), per_image(schedule.one_minus_alpha_bar[t].sqrt(), x)


def _check(schedule: Schedule, t: Time, **images: Tensor) -> tuple[Schedule, int | Tensor]:
    """Check the images, t and the schedule against one another, and return schedule and t on the images' device."""
    (first, x), *others = images.items()
    check_batch(first, x)
    for name, other in others:
        check_alike(name, other, first, x)
    return check_schedule(schedule).at(x.device), check_t(t, x, schedule.T)
