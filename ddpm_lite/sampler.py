"""From noise to an image: a step is a function, `sample` is the one loop.

A step is any `(schedule, x_t, t, s, z_hat, noise) -> x_s` with s < t. Bind its options with functools.partial:
`sample(..., step=partial(ddpm_step, variance="beta"))`. The steps here differ in three numbers only:

    x_s = weight_x_t x_t + weight_x_0 x_0_hat + sigma noise

`respace` makes the schedule of a shorter walk; t and s count the steps of the schedule that is walked.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddpm_lite._check import check_alike, check_real, check_whole, describe, fail
from ddpm_lite.schedule import Schedule

X = Float[Tensor, "batch *shape"]


def ddpm_step(
    schedule: Schedule,
    x_t: X,
    t: int,
    s: int,
    z_hat: X,
    noise: X,
    *,
    variance: str = "beta_tilde",
    clip: bool = True,
) -> X:
    """One step back, x_{t-1} = mu + sigma_t noise, with no noise at t = 1 (eq-ddpm-step).

    Args:
        x_t: noisy images.
        t: where they are, 1..T; s: where to go, always t - 1.
        z_hat: the network's noise, x_t's shape.
        noise: fresh noise from N(0, I), x_t's shape.
        variance: sigma_t^2, "beta_tilde" (right if the data were one point) or "beta" (right if it were N(0, I)).
        clip: put the image that z_hat implies into [-1, 1] before the mean is taken; for images only.

    Raises:
        ValueError: s is not t - 1, an unknown variance, t outside 1..T, or shapes that differ.

    Source: Ho et al. (2020), Algorithm 2 and section 3.2. The clipping is in the paper's code, not in its text.
    """
    check_whole("t", t, 1, schedule.T)
    if s != t - 1:
        advice = "re-space the schedule for longer steps"
        fail(ValueError, "s", f"t - 1 = {t - 1}, as a DDPM step goes back by one", f"{s}", advice)
    if variance not in ("beta", "beta_tilde"):
        fail(ValueError, "variance", '"beta" or "beta_tilde"', f"{variance!r}")
    table = schedule.numbers
    rest = table.one_minus_alpha_bar
    weight_x_t = sqrt(table.alpha[t]) * rest[s] / rest[t]  # eq-posterior-mean
    weight_x_0 = sqrt(table.alpha_bar[s]) * table.beta[t] / rest[t]
    sigma_2 = table.beta_tilde[t]
    if variance == "beta":
        sigma_2 = table.beta[t] if s > 0 else 0.0  # the last step adds no noise
    return _put_together(schedule, x_t, t, z_hat, noise, weight_x_t, weight_x_0, sqrt(sigma_2), clip)


def ddim_step(
    schedule: Schedule,
    x_t: X,
    t: int,
    s: int,
    z_hat: X,
    noise: X,
    *,
    eta: float = 0.0,
    clip: bool = True,
) -> X:
    """A leap back from t to any s < t; with eta = 0 nothing in it is random (eq-ddim-step, eq-ddim-sigma).

    Args:
        x_t: noisy images.
        t: where they are, 1..T; s: where to go, 0..t - 1.
        z_hat: the network's noise, x_t's shape.
        noise: fresh noise from N(0, I), x_t's shape; not looked at where sigma is 0.
        eta: 0..1, the share of fresh noise. With eta = 1 and s = t - 1 this is `ddpm_step` with "beta_tilde".
        clip: put the image that z_hat implies into [-1, 1], and take the noise that goes with it; for images only.

    Raises:
        ValueError: t, s or eta out of range, or shapes that differ.

    Source: Song, Meng, Ermon (2021), "Denoising diffusion implicit models", equations 12 and 16. They do not clip; in
    diffusers, this clip is that of `use_clipped_model_output=True`.
    """
    check_whole("t", t, 1, schedule.T)
    check_whole("s", s, 0, t - 1)
    check_real("eta", eta, 0, 1)
    alpha_bar, rest = schedule.numbers.alpha_bar, schedule.numbers.one_minus_alpha_bar
    sigma = eta * sqrt(rest[s] / rest[t] * (1 - alpha_bar[t] / alpha_bar[s]))
    weight_x_t = sqrt(max(rest[s] - sigma**2, 0.0) / rest[t])
    weight_x_0 = sqrt(alpha_bar[s]) - weight_x_t * sqrt(alpha_bar[t])
    return _put_together(schedule, x_t, t, z_hat, noise, weight_x_t, weight_x_0, sigma, clip)


def _put_together(
    schedule: Schedule,
    x_t: X,
    t: int,
    z_hat: X,
    noise: X,
    weight_x_t: float,
    weight_x_0: float,
    sigma: float,
    clip: bool,
) -> X:
    """weight_x_t x_t + weight_x_0 x_0_hat + sigma noise, in as few passes over the pixels as it takes.

    Factors are Python's numbers, from tables in float64: nothing is copied to the device, and nobody waits for it.
    """
    check_alike("z_hat", z_hat, "x_t", x_t)
    check_alike("noise", noise, "x_t", x_t)
    signal, rest = schedule.numbers.alpha_bar[t], schedule.numbers.one_minus_alpha_bar[t]
    x_0_hat = torch.sub(x_t, z_hat, alpha=sqrt(rest)).div_(sqrt(signal))  # eq-x0-from-z
    if clip:
        x_0_hat = x_0_hat.clamp_(-1, 1)
    x_s = x_0_hat.mul_(weight_x_0).add_(x_t, alpha=weight_x_t)
    return x_s.add_(noise, alpha=sigma) if sigma else x_s


def sample(
    model: Callable[..., Tensor],
    schedule: Schedule,
    shape: tuple[int, ...],
    *,
    step: Callable[..., Tensor] = ddpm_step,
    seed: int = 0,
    x_T: Tensor | None = None,
    context: Tensor | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Iterator[tuple[int, Tensor]]:
    """Walk from pure noise to images, and hand out every (t, x_t) from (T, x_T) to (0, x_0) (alg-sampling).

    Args:
        model: any callable (x_t, t, context) -> z_hat. A module is put into eval mode while the loop runs.
        schedule: the schedule that the model was trained with, or one that `respace` made of it.
        shape: of the result, e.g. (16, 1, 8, 8).
        step: what one step does. It is told t and s in the numbers of `schedule`, T..0, also where it is re-spaced.
        seed: the noise, x_T and every step's, follows from it alone.
        x_T: start here; None draws it from N(0, I).
        context: handed to the model.
        device: where to work; None is where the model's parameters are, else the CPU.
        dtype: of x_t.

    Yields:
        (t, x_t), T + 1 times. `*path, (_, x_0) = sample(...)` keeps them all. t is the time that the model was trained
        with: on a schedule re-spaced to 50 of 1000 steps (1000, x_1000), (980, x_980), ..., (20, x_20), (0, x_0).

    Raises:
        ValueError: x_T of another shape; a context that the model's `check_context`, if it has one, does not accept.

    Source: Ho et al. (2020), Algorithm 2. The noise is drawn on the device: the same seed on the same device
    gives the same images.
    """
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    if device is None:
        device = torch.device("cpu") if parameter is None else parameter.device
    generator = torch.Generator(device).manual_seed(seed)
    schedule = schedule.to(device) if torch.device(device).type != "cpu" else schedule
    draw = {"generator": generator, "device": device, "dtype": dtype}
    x_t = torch.randn(shape, **draw) if x_T is None else x_T.to(device, dtype)
    if x_t.shape != tuple(shape):
        fail(ValueError, "x_T", f"shape {tuple(shape)}", describe(x_T))
    if context is not None and hasattr(model, "check_context"):
        model.check_context(context)  # here, as in the loop a look at values would make a device wait
    times = schedule.numbers.times
    yield times[-1], x_t
    for t in range(schedule.T, 0, -1):
        with evaluating(model), torch.no_grad():
            z_hat = model(x_t, times[t], context)
            x_t = step(schedule, x_t, t, t - 1, z_hat, torch.randn(shape, **draw))
        yield times[t - 1], x_t


@contextmanager
def evaluating(model: Callable[..., Tensor]) -> Iterator[None]:
    """A module without its dropout for a while; any other callable as it is."""
    training = [part for part in model.modules() if part.training] if isinstance(model, nn.Module) else []
    if training:
        model.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
