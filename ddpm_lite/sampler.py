"""Sampling, from noise to an image: each step is a function, and `sample` is the only loop.

A step is any `(schedule, x_t, t, s, z_hat, noise) -> x_s` with s < t. Bind its options with functools.partial:
`sample(..., step=partial(ddpm_step, variance="beta"))`. The steps here differ only in the two weights and in sigma:

    x_s = weight_x_t x_t + weight_x_0 x_0_hat + sigma noise

A step that evaluates the model again, as Heun's does, has one more parameter, `ask`, which `sample` recognises by name:
`ask(x, s)` is the model's z_hat at x and time s, with the same context, guidance and original times as in the loop.
To give a step a name on the command line, in `evaluate` and in the widgets, add it to STEPS.

`respace` makes the schedule of a shorter walk; t and s are then indices into that schedule.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddpm_lite._check import (
    Number,
    Several,
    Whole,
    check_alike,
    check_batch,
    check_bool,
    check_finite,
    check_model,
    check_output,
    check_place,
    check_real,
    check_schedule,
    check_seeds,
    check_shape,
    check_states,
    check_step,
    check_variance,
    check_whole,
    describe,
    fail,
    to_context,
    to_table,
)
from ddpm_lite.schedule import Schedule

X = Float[Tensor, "batch *shape"]


def ddpm_step(
    schedule: Schedule, x_t: X, t: int, s: int, z_hat: X, noise: X, *, variance: str = "beta_tilde", clip: bool = True
) -> X:
    """One step back, x_{t-1} = mu + sigma_t noise, with no noise at t = 1 (eq-ddpm-step).

    Args:
        x_t: noisy images.
        t: the time of x_t, 1..T.
        s: the time to go to, which has to be t - 1.
        z_hat: the network's estimate of the noise, x_t's shape.
        noise: fresh noise from N(0, I), x_t's shape.
        variance: sigma_t^2, "beta_tilde" (exact if the data are one point) or "beta" (exact if they are N(0, I)).
        clip: clip the x_0 that z_hat implies to [-1, 1] before the mean is computed; for images only.

    Raises:
        ValueError: s is not t - 1, an unknown variance, t outside 1..T, or shapes that differ.

    Source: Ho et al. (2020), Algorithm 2 and section 3.2. Clipping is in the paper's code but not in its text.
    """
    t = check_whole("t", t, 1, check_schedule(schedule).T)
    s = check_whole("s", s, 0, schedule.T)
    if s != t - 1:
        advice = "re-space the schedule for longer steps"
        fail(ValueError, "s", f"t - 1 = {t - 1}, because a DDPM step goes back by one", f"{s}", advice)
    check_variance(variance)
    table = schedule.numbers
    rest = table.one_minus_alpha_bar
    weight_x_t = sqrt(table.alpha[t]) * rest[s] / rest[t]  # eq-posterior-mean
    weight_x_0 = sqrt(table.alpha_bar[s]) * table.beta[t] / rest[t]
    sigma_2 = (table.beta if variance == "beta" and s > 0 else table.beta_tilde)[t]  # the last step adds no noise
    return _combine(schedule, x_t, t, z_hat, noise, (weight_x_t, weight_x_0, sqrt(sigma_2)), clip)


def ddim_step(
    schedule: Schedule, x_t: X, t: int, s: int, z_hat: X, noise: X, *, eta: Number = 0.0, clip: bool = True
) -> X:
    """One step back from t to any s < t, deterministic if eta = 0 (eq-ddim-step, eq-ddim-sigma).

    Args:
        x_t: noisy images.
        t: the time of x_t, 1..T.
        s: the time to go to, 0..t - 1.
        z_hat: the network's estimate of the noise, x_t's shape.
        noise: fresh noise from N(0, I), x_t's shape; unused if sigma is 0.
        eta: 0..1, the share of fresh noise. With eta = 1 and s = t - 1 this is `ddpm_step` with "beta_tilde".
        clip: clip the x_0 that z_hat implies to [-1, 1], and compute the noise from it again; for images only.

    Raises:
        ValueError: t, s or eta out of range, or shapes that differ.

    Source: Song, Meng, Ermon (2021), "Denoising diffusion implicit models", equations 12 and 16. The paper does not
    clip; in diffusers, this clipping is `use_clipped_model_output=True`.
    """
    t = check_whole("t", t, 1, check_schedule(schedule).T)
    s, eta = check_whole("s", s, 0, t - 1), check_real("eta", eta, 0, 1)
    alpha_bar, rest = schedule.numbers.alpha_bar, schedule.numbers.one_minus_alpha_bar
    sigma = eta * sqrt(rest[s] / rest[t] * (1 - alpha_bar[t] / alpha_bar[s]))
    weight_x_t = sqrt(max(rest[s] - sigma**2, 0.0) / rest[t])
    weight_x_0 = sqrt(alpha_bar[s]) - weight_x_t * sqrt(alpha_bar[t])
    return _combine(schedule, x_t, t, z_hat, noise, (weight_x_t, weight_x_0, sigma), clip)


def heun_step(
    schedule: Schedule, x_t: X, t: int, s: int, z_hat: X, noise: X, *, ask: Callable[[X, int], X], clip: bool = True
) -> X:
    """One step back by Heun's method, with the mean of the noises estimated at both ends (eq-heun-step).

    Args:
        x_t, t, s, z_hat, noise, clip: as in `ddim_step`; the noise is unused.
        ask: ask(x, s) is the estimate at x and time s. It is not called for s = 0, where a network was not trained, so
            the last step is DDIM's.

    Raises:
        ValueError: as `ddim_step`.

    Source: Karras et al. (2022), "Elucidating the design space of diffusion-based generative models", Algorithm 1.
    """
    x_s = ddim_step(schedule, x_t, t, s, z_hat, noise, clip=clip)
    return x_s if s == 0 else ddim_step(schedule, x_t, t, s, (z_hat + ask(x_s, s)) / 2, noise, clip=clip)


def _combine(
    schedule: Schedule, x_t: X, t: int, z_hat: X, noise: X, weights: tuple[float, float, float], clip: bool
) -> X:
    """Compute weight_x_t x_t + weight_x_0 x_0_hat + sigma noise, in few passes over the pixels.

    The weights are Python floats, from tables in float64, so nothing is copied to the device or synchronised.
    """
    check_batch("x_t", x_t)
    check_alike("z_hat", z_hat, "x_t", x_t)
    check_alike("noise", noise, "x_t", x_t)
    weight_x_t, weight_x_0, sigma = weights
    signal, rest = schedule.numbers.alpha_bar[t], schedule.numbers.one_minus_alpha_bar[t]
    x_0_hat = torch.sub(x_t, z_hat, alpha=sqrt(rest)).div_(sqrt(signal))  # eq-x0-from-z
    if check_bool("clip", clip):
        x_0_hat = x_0_hat.clamp_(-1, 1)
    x_s = x_0_hat.mul_(weight_x_0).add_(x_t, alpha=weight_x_t)
    return x_s.add_(noise, alpha=sigma) if sigma else x_s


# The names of the steps on the command line, in `evaluate` and in the widgets.
STEPS: dict[str, Callable[..., Tensor]] = {"ddpm": ddpm_step, "ddim": ddim_step, "heun": heun_step}


def sample(
    model: Callable[..., Tensor],
    schedule: Schedule,
    shape: Sequence[int],
    *,
    step: Callable[..., Tensor] = ddpm_step,
    seed: Whole | Several | Tensor = 0,
    x_T: Tensor | None = None,
    context: Tensor | Several | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Iterator[tuple[int, Tensor]]:
    """Go from pure noise to images, and yield every (t, x_t) from (T, x_T) to (0, x_0) (alg-sampling).

    Args:
        model: any callable (x_t, t, context) -> z_hat. A module is in eval mode during each step, and gets x_t
            in the precision of its parameters.
        schedule: the schedule that the model was trained with, or one that `respace` made from it.
        shape: the shape of the result, e.g. (16, 1, 8, 8).
        step: the function of one step. Its t and s are indices into `schedule`, T..0, also if that is re-spaced. The
            steps here clip the x_0 that z_hat implies to [-1, 1]; for other data, such as points in the plane, pass
            partial(ddpm_step, clip=False).
        seed: determines x_T and the noise of every step. One number is for the whole batch, which is fastest, but then
            image 3 of a batch of 8 is not image 3 of a batch of 16. With a sequence of one number for each image, an
            image depends on its own number only, and not on the batch.
        x_T: the start of the walk; None draws it from N(0, I).
        context: passed to the model, on the device; a list or an array of whole numbers becomes an int64 tensor.
        device: the device to compute on; None is that of the model's parameters, or the CPU if it has none.
        dtype: the dtype of x_t.

    Yields:
        (t, x_t), T + 1 times; x_t is a copy, so changing it does not change the walk. `last` keeps only the end. t is
        the time that the model was trained with: on a schedule re-spaced to 50 of 1000 steps, (1000, x_1000),
        (980, x_980), ..., (20, x_20), (0, x_0).

    Raises:
        ValueError, TypeError: x_T of another shape; a context that the model's `check_context`, if it has one, refuses;
        a model's output that is not a tensor of x_t's shape.

    Source: Ho et al. (2020), Algorithm 2. The noise is drawn on the device, so the same seed gives the same images
    on the same device with the same number of threads.
    """
    check_model(model)
    shape = check_shape(shape)
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    own = "cpu" if parameter is None else parameter.device
    device = check_place(own if device is None else device, dtype)
    draw = _seed_noise(seed, shape, device, dtype)
    schedule = check_schedule(schedule).at(device)
    x_t = draw() if x_T is None else check_finite("x_T", to_table("x_T", x_T)).to(device, dtype)
    if x_t.shape != shape:
        fail(ValueError, "x_T", f"shape {shape}", describe(x_T))
    context = to_context(context, device)
    if context is not None and hasattr(model, "check_context"):
        model.check_context(context)  # once here, because reading values in the loop would synchronise a device
    precision = dtype if parameter is None or not parameter.is_floating_point() else parameter.dtype
    times = schedule.numbers.times

    def ask(x: Tensor, s: int) -> Tensor:
        """Estimate z at x and time s of the schedule."""
        t = torch.full(shape[:1], times[s], device=x.device)
        # a copy, as an activation that works in place may be the first thing that a network does
        return check_output(model(x.to(precision, copy=True), t, context), x).to(dtype)

    again = {"ask": ask} if "ask" in check_step(step) else {}
    yield times[-1], x_t.clone()
    for t in range(schedule.T, 0, -1):
        with evaluating(model), torch.no_grad():
            x_t = check_output(step(schedule, x_t, t, t - 1, ask(x_t, t), draw(), **again), x_t, "the step's output")
        yield times[t - 1], x_t.clone()


def _seed_noise(seed, shape: tuple[int, ...], device: torch.device | str, dtype: torch.dtype) -> Callable[[], Tensor]:
    """Return a function that draws fresh noise, from one generator for the batch or from one for each image."""
    seeds, draw = check_seeds(seed, shape[0]), partial(torch.randn, device=device, dtype=dtype)
    if isinstance(seeds, int):
        generator = torch.Generator(device).manual_seed(seeds)
        return lambda: draw(shape, generator=generator)
    generators = [torch.Generator(device).manual_seed(own) for own in seeds]
    return lambda: torch.stack([draw(shape[1:], generator=own) for own in generators])


def last(states: Iterable):
    """Return the last item of an iterator without keeping the others: `_, x_0 = last(sample(...))`.

    Raises:
        ValueError: there are no items.
    """
    kept = deque(check_states(states), maxlen=1)
    if not kept:
        fail(ValueError, "states", "at least one state, as sample yields them", describe(states))
    return kept[0]


@contextmanager
def evaluating(model: Callable[..., Tensor]) -> Iterator[None]:
    """Put a module into eval mode, and its parts back into their modes at the end; other callables stay as they are."""
    training = []
    if isinstance(model, nn.Module):
        training = [part for part in model.modules() if part.training]
        if training:
            model.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
