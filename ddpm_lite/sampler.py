"""From noise to an image: a step is a function, `sample` is the one loop.

A step is any `(schedule, x_t, t, s, z_hat, noise) -> x_s` with s < t. Bind its options with functools.partial:
`sample(..., step=partial(ddpm_step, variance="beta"))`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddpm_lite._check import check_alike, check_whole, describe, fail
from ddpm_lite.process import mean_from_noise, posterior, predict_x_0
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
        fail(ValueError, "s", f"t - 1 = {t - 1}, as a DDPM step goes back by one", f"{s}", "re-space the schedule")
    if variance not in ("beta", "beta_tilde"):
        fail(ValueError, "variance", '"beta" or "beta_tilde"', f"{variance!r}")
    check_alike("noise", noise, "x_t", x_t)
    if clip:
        x_0_hat = predict_x_0(schedule, x_t, t, z_hat).clamp(-1, 1)
        mean, sigma_2 = posterior(schedule, x_t, t, x_0_hat)
    else:
        mean, sigma_2 = mean_from_noise(schedule, x_t, t, z_hat), schedule.beta_tilde[t]
    if variance == "beta":
        sigma_2 = schedule.beta[t] if s > 0 else schedule.beta[0]  # beta_0 = 0: the last step adds no noise
    return mean + sigma_2.sqrt().to(x_t.dtype) * noise


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
        schedule: the schedule that the model was trained with.
        shape: of the result, e.g. (16, 1, 8, 8).
        step: what one step does.
        seed: the noise, x_T and every step's, follows from it alone.
        x_T: start here; None draws it from N(0, I).
        context: handed to the model.
        device: where to work; None is where the model's parameters are, else the CPU.
        dtype: of x_t.

    Yields:
        (t, x_t), T + 1 times. `*path, (_, x_0) = sample(...)` keeps them all.

    Raises:
        ValueError: x_T of another shape.

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
    yield schedule.T, x_t
    for t in range(schedule.T, 0, -1):
        with evaluating(model), torch.no_grad():
            z_hat = model(x_t, t, context)
            x_t = step(schedule, x_t, t, t - 1, z_hat, torch.randn(shape, **draw))
        yield t - 1, x_t


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
