"""Read the weights of a sampler's steps: run it with a model of our own, and listen to the noise that it draws.

A step of a DDPM or DDIM sampler is a sum, x_s = weight_x_t x_t + weight_x_0 x_0_hat + sigma noise. Our model answers
with the z_hat that implies an x_0_hat of our choice, and PyTorch lets us hear which noise was drawn. So everything in
this sum is known but three numbers, for which there are as many equations as pixels.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ddpm_lite._check import fail
from ddpm_lite.files import pixels

Table = Float64[Tensor, "entries"]
WEIGHT = 2e-3  # the largest error of a sampler's weight; float32 tables cause 4e-4
HEARD = 1e-3  # noise of a smaller deviation is rounding
SHARE = 4e-3  # the same, relative to the weight of x_0_hat; float32 tables of 1,000 times cause 8e-4


class Step(NamedTuple):
    """One step of a sampler, x_s = weight_x_t x_t + weight_x_0 x_0_hat + sigma noise, as `read_steps` found it."""

    t: int
    s: int
    weight_x_t: float
    weight_x_0: float
    sigma: float
    doubt: float  # the deviation of noise that was not heard
    error: float  # what that noise makes of the image's weight, as a standard error
    told: int
    noise: int  # which of the draws it is, the first with these numbers; -1 if none was heard


class _Ear(TorchFunctionMode):
    """Keeps a copy of the random numbers that PyTorch draws while it is active."""

    DRAWS = (torch.randn, torch.randn_like, torch.rand, torch.rand_like, torch.normal, Tensor.normal_, Tensor.uniform_)

    def __init__(self):
        super().__init__()
        self.heard: list[Tensor] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func in self.DRAWS:
            self.heard.append(result.detach().clone())
        return result


class _Call(NamedTuple):
    """One call of the model: the time it was told, that of x_t, x_t, the image that z_hat implied, the draws so far.

    `training` is the mode in which the call found the model.
    """

    time: float
    t: int
    x_t: Tensor
    x_0_hat: Tensor
    heard: int
    training: bool


class _StandIn(nn.Module):
    """A function as a model, so that a sampler may call `eval` or ask where the parameters are."""

    def __init__(self, answer: Callable[..., Tensor]):
        super().__init__()
        self.answer = answer
        self.weight = nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, *given, **options) -> Tensor:
        return self.answer(*given, **options)


def walk(sampler: Callable, shape: tuple, alpha_bar: Table, first: int, size: float) -> tuple[list, list, Tensor]:
    """Run the sampler with a model whose z_hat implies images of our choice, of +-size; return calls, draws and x_0.

    A sampler that calls the model T times takes each time once, so the order of the calls says which x_t it has. If it
    tells the model other times, it runs again with answers for the right ones: a wrong time is no wrong weight.
    """
    T = len(alpha_bar) - 1
    calls, heard, x_0 = _run(sampler, shape, alpha_bar, first, size)
    order = list(range(T, 0, -1))
    if len(calls) == T and [call.t for call in calls] != order:
        calls, heard, x_0 = _run(sampler, shape, alpha_bar, first, size, order)
    return calls, heard, x_0


def _run(
    sampler: Callable, shape: tuple, alpha_bar: Table, first: int, size: float, order: list[int] | None = None
) -> tuple[list, list, Tensor]:
    """Run the sampler once, with answers for the times that it tells, or for those of the order."""
    calls: list[_Call] = []
    ear, T = _Ear(), len(alpha_bar) - 1
    chosen = torch.Generator().manual_seed(1)

    def answer(x_t: Tensor, t, context=None, **options) -> Tensor:
        time = float(torch.as_tensor(t).flatten()[0])
        real = order[len(calls)] if order and len(calls) < T else round(time) - first + 1
        signal = alpha_bar[min(max(real, 1), T)]
        image = size * (2.0 * torch.randint(2, x_t.shape, generator=chosen).double() - 1)  # the ear hears no randint
        calls.append(_Call(time, real, x_t.detach().double().cpu().clone(), image, len(ear.heard), model.training))
        return ((calls[-1].x_t - signal.sqrt() * image) / (1 - signal).sqrt()).to(x_t)

    model = _StandIn(answer)
    with ear:
        x_0 = sampler(model, shape)
    if not isinstance(x_0, Tensor) or tuple(x_0.shape) != shape:
        got = tuple(x_0.shape) if isinstance(x_0, Tensor) else type(x_0).__name__
        fail(TypeError, "sampler", f"(model, shape) -> a tensor of shape {shape}", f"{got}")
    times = [call.time for call in calls]
    if len(times) < 2 or any(a <= b for a, b in zip(times, times[1:], strict=False)):
        got = f"{len(times)} calls, at times {', '.join(f'{time:g}' for time in times[:4])}"
        advice = "leave guidance out here (w = 0), and pass it as guide"
        fail(ValueError, "sampler", "one call of the model in each step, from the last time down", f"{got}; {advice}")
    return calls, ear.heard, x_0.detach().double().cpu()


def read_steps(calls: list, heard: list, x_0: Tensor, alpha_bar: Table, first: int) -> list[Step]:
    """Solve each step for its three weights: as many equations as there are pixels, and no noise that is unknown.

    A step that adds noise without drawing it may have kept an earlier draw, so that which is most like it is tried.
    """
    steps, ends = [], [*(call.x_t for call in calls[1:]), x_0]
    draws = {i: noise.double().cpu().flatten() for i, noise in enumerate(heard) if noise.shape == x_0.shape}
    first_of: dict[bytes, int] = {}
    same = [first_of.setdefault(draws[i].numpy().tobytes(), i) if i in draws else -1 for i in range(len(heard))]

    def solve(call: _Call, x_s: Tensor, i: int) -> tuple[Tensor, Tensor, Tensor]:
        """How the weights follow from x_s, the weights with draw i (-1: with none), and what is left of x_s."""
        columns = torch.stack([call.x_t.flatten(), call.x_0_hat.flatten(), *([draws[i]] if i >= 0 else [])], dim=1)
        if not torch.isfinite(columns).all():
            return columns.T, columns.new_full((columns.shape[1],), math.nan), columns.new_full((1,), math.nan)
        inverse = torch.linalg.pinv(columns)
        found = inverse @ x_s.flatten()
        return inverse, found, x_s.flatten() - columns @ found

    for k, (call, x_s) in enumerate(zip(calls, ends, strict=True)):
        until = calls[k + 1].heard if k + 1 < len(calls) else len(heard)
        fresh = max((i for i in range(call.heard, until) if same[i] >= 0), default=-1)
        inverse, found, unheard = solve(call, x_s, fresh)
        rest = float(unheard.square().mean().sqrt())
        if not math.isfinite(rest):
            break
        earlier = {i for i in same[: call.heard] if i >= 0}
        if fresh < 0 and rest > HEARD and earlier:
            like = max(earlier, key=lambda i: abs(float(draws[i] @ unheard)))
            again = solve(call, x_s, like)
            if (less := float(again[2].square().mean().sqrt())) < 0.01 * rest:
                fresh, rest, (inverse, found, _) = like, less, again
        signal = alpha_bar[min(max(call.t, 1), len(alpha_bar) - 1)].sqrt()
        error = rest * float((signal * inverse[0] + inverse[1]).norm())
        sigma = math.hypot(float(found[2]) if fresh >= 0 else 0.0, rest)
        s = calls[k + 1].t if k + 1 < len(calls) else 0
        told = round(call.time) - first + 1
        noise = same[fresh] if fresh >= 0 else -1
        steps.append(Step(call.t, s, float(found[0]), float(found[1]), sigma, rest, error, told, noise))
    return steps


def undo_range(calls: list, heard: list, x_0: Tensor) -> float:
    """Return k if the sampler gives k (x + 1) instead of its last state x, as images in [0, 1] or as bytes; else 0."""
    call = calls[-1]
    drawn = [noise for noise in heard[call.heard :] if noise.shape == x_0.shape][-1:]
    parts = [x.double().cpu().flatten() for x in (call.x_t, call.x_0_hat, *drawn)]
    columns = torch.stack([torch.ones_like(parts[0]), *parts], dim=1)
    if not torch.isfinite(columns).all() or not torch.isfinite(x_0).all():
        return 0.0
    constant = float((torch.linalg.pinv(columns) @ x_0.flatten())[0])
    return next((k for k in (0.5, pixels.HALF) if abs(constant - k) < 0.02 * k), 0.0)


def name_slip(step: Step, alpha_bar: Table) -> str:
    """Say which known slip gives these weights of x_t and z_hat; "" if none does (eq-mean-from-noise)."""
    t = step.t
    now, rest, before = (float(x) for x in (alpha_bar[t], 1 - alpha_bar[t], alpha_bar[t - 1]))
    alpha = now / before
    beta = 1 - alpha

    def weigh(keep: float, beta: float, under: float) -> tuple[float, float]:
        return 1 / keep**0.5, -beta / (under * keep) ** 0.5

    def weigh_at(t: int) -> tuple[float, float]:
        alpha = float(alpha_bar[t] / alpha_bar[t - 1])
        return weigh(alpha, 1 - alpha, float(1 - alpha_bar[t]))

    slips = {
        "alpha_t is used where alpha_bar_t belongs, under the root": weigh(alpha, beta, beta),
        "alpha_t is used where alpha_bar_t belongs, in x_0_hat": (1 / alpha**0.5, -beta / rest * (beta / alpha) ** 0.5),
        "alpha_bar_t is used where alpha_t belongs, in front": weigh(now, beta, rest),
        "alpha_bar_t is used where alpha_bar_{t-1} belongs": (alpha**0.5 + beta / rest, -beta / rest**0.5),
        "alpha_bar_t is used where alpha_bar_{t-1} belongs, in front of x_0_hat": (
            (alpha**0.5 * (1 - before) + beta) / rest,
            -beta / rest**0.5,
        ),
    }
    if t < len(alpha_bar) - 1:
        slips["the step is that of t + 1, so the model is told one time too early"] = weigh_at(t + 1)
    if t > 1:
        slips["the step is that of t - 1, so the model is told one time too late"] = weigh_at(t - 1)
    again = "the predicted noise is added instead of fresh noise"
    sigmas = beta**0.5, (beta * (1 - before) / rest) ** 0.5
    known = [*slips.items(), *((again, (1 / alpha**0.5, sigma - beta / (rest * alpha) ** 0.5)) for sigma in sigmas)]
    got = step.weight_x_t + step.weight_x_0 / now**0.5, -step.weight_x_0 * (rest / now) ** 0.5
    off = math.dist(got, weigh_at(t))
    return next((name for name, weights in known if math.dist(got, weights) < 0.05 * off), "")
