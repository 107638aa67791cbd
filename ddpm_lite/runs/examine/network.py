"""Checks of the network, of what it is told, and of guidance."""

from collections.abc import Callable, Iterator
from copy import deepcopy

import torch
from torch import Tensor, nn

from ddpm_lite._check import check_call, fail
from ddpm_lite.runs.examine.finding import Finding
from ddpm_lite.runs.examine.listen import Table
from ddpm_lite.sampler import evaluating

NEIGHBOURS = 0.02  # the least distance of neighbouring times, as a share of the length of their embeddings
NEW = 1e-3  # tensors whose largest number is below this may be new; PyTorch draws within 1 / sqrt(n) for n inputs


def check_embedding(embed: Callable, T: int, first: int) -> Iterator[Finding]:
    """Each time should have a row of its own, and neighbouring times different ones (eq-time-embedding)."""
    check_call("embed", embed, "(t) -> embedding")
    t = torch.arange(first, first + T)
    rows = embed(t).double()
    if rows.ndim != 2 or len(rows) != T:
        fail(ValueError, "embed", f"a tensor (B, width) for B = {T} times", f"shape {tuple(rows.shape)}")
    alone = torch.cat([embed(t[i : i + 1]).double() for i in (0, T // 2, T - 1)])
    mixed = float((rows[[0, T // 2, T - 1]] - alone).abs().max())
    text = "each row depends on its own time" if mixed < 1e-4 else "a row depends on the other times of the batch"
    advice = "" if mixed < 1e-4 else "; sines and cosines have to be joined along the last axis"
    yield Finding(mixed < 1e-4, "rows of the embedding", text + advice)
    single = torch.cat([embed(t[i : i + 1]).double() for i in range(min(T, 64))])
    apart = float(single.diff(dim=0).norm(dim=1).min() / single.norm(dim=1).mean())
    text = f"neighbouring times are {apart:.2g} of their length apart"
    advice = "; give it t, not t / T, or shorter periods"
    yield Finding(apart >= NEIGHBOURS, "scale of the embedding", text + ("" if apart >= NEIGHBOURS else advice))


def check_network(model: Callable, shape: tuple, context, T: int, first: int) -> Iterator[Finding]:
    """The output should have x_t's shape, depend on t and on no other image, and use every weight."""
    check_call("model", getattr(model, "forward", model), "(x_t, t, context) -> z_hat")
    like = next(model.parameters(), torch.zeros(1)) if isinstance(model, nn.Module) else torch.zeros(1)
    x = torch.randn(shape).to(like.device, like.dtype)
    t = torch.linspace(first + T // 10, first + T - 1, len(x)).long().to(like.device)
    with evaluating(model):
        z_hat = model(x, t, context)
        parameters = [p for p in getattr(model, "parameters", list)() if p.requires_grad]
        fine = z_hat.shape == x.shape and bool(torch.isfinite(z_hat).all())
        text = f"{tuple(z_hat.shape)} for x_t of {tuple(x.shape)}"
        yield Finding(
            fine, "output of the network", text if fine else f"{text}; expected finite numbers of x_t's shape"
        )
        if not fine:
            return
        if parameters and z_hat.requires_grad:
            used = torch.autograd.grad(z_hat.sum(), parameters, allow_unused=True)
            named = [name for name, p in getattr(model, "named_parameters", dict)() if p.requires_grad]
            idle = [name for name, gradient in zip(named, used, strict=True) if gradient is None]
            text = (
                f"all {len(named)} tensors take part" if not idle else f"{', '.join(idle[:4])}: made but never called"
            )
            yield Finding(not idle, "weights of the network", text)
        with torch.no_grad():
            z_hat, own = z_hat.detach(), None if context is None else context[:1]
            size = float(z_hat.norm()) + 1e-12
            if size < 1e-6:
                yield Finding(
                    True, "time in the network", "the output is still 0, as of a new network; train it a little"
                )
                return
            apart = float((model(x[:1], t[:1], own) - z_hat[:1]).norm()) / size
            text = f"one image alone differs by {apart:.1g} from the same image in a batch"
            fine = apart < 1e-3
            yield Finding(fine, "images of a batch", text if fine else f"{text}; rows of the batch are mixed")
            if float((model(x.flatten().flip(0).view_as(x), t, context) - z_hat).norm()) / size < 1e-6:
                yield Finding(False, "x_t in the network", "another x_t does not change the output")
            told = float((model(x, t.flip(0), context) - z_hat).norm()) / size
            if told <= 1e-3 and isinstance(model, nn.Module):  # layers that begin near zero may hide it
                filled = fill_new(model)
                z_hat = filled(x, t, context)
                told = float((filled(x, t.flip(0), context) - z_hat).norm() / z_hat.norm())
            text = f"the same x_t at other times: the output changes by {told:.1g}"
            yield Finding(
                told > 1e-3, "time in the network", text + ("" if told > 1e-3 else "; it is not told the time")
            )


def answers_by_mode(model: Callable, shape: tuple, context, T: int, first: int) -> bool:
    """Whether the model answers otherwise in training mode, as one with dropout or batch norm does."""
    if not isinstance(model, nn.Module):
        return False
    model = fill_new(model)  # and batch norm keeps a mean of what it sees
    like = next(model.parameters(), torch.zeros(1))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        x = torch.randn(shape).to(like.device, like.dtype)
        t = torch.full((len(x),), first + T // 2, device=like.device)
        fixed, other = model.eval()(x, t, context), model.train()(x, t, context)
    return not torch.allclose(fixed, other, rtol=1e-3, atol=1e-5, equal_nan=True)


def fill_new(model: nn.Module) -> nn.Module:
    """Copy the model, with random numbers in each tensor that begins at or near zero: it hides what it gets."""
    model = deepcopy(model)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for p in model.parameters():
            if p.numel() and p.abs().max() < NEW:
                nn.init.normal_(p, std=0.05)
    return model


def check_loss(model: Callable, images: Tensor, context, alpha_bar: Table, first: int) -> Finding:
    """A trained network should find noise where there is little else; 0 as answer costs 1 (eq-loss-of-nothing)."""
    like = next(model.parameters(), torch.zeros(1)) if isinstance(model, nn.Module) else torch.zeros(1)
    n = 64 if context is None else len(context)
    x_0 = images[torch.arange(n) % len(images)].to(like.device, like.dtype)
    z, time = torch.randn_like(x_0), int((alpha_bar > 0.05).sum())  # the first time with little of the image
    time = min(time, len(alpha_bar) - 1)
    signal = float(alpha_bar[time])
    with evaluating(model), torch.no_grad():
        t = torch.full((n,), time + first - 1, device=like.device)
        loss = float((model(signal**0.5 * x_0 + (1 - signal) ** 0.5 * z, t, context) - z).square().mean())
    text = f"{loss:.3f} at t = {time + first - 1}; a network that says nothing has 1"
    return Finding(loss < 0.5, "loss", text if loss < 0.5 else f"{text}; it has not learnt, or other images or times")


def check_guidance(guide: Callable) -> Finding:
    """At w = 0 guidance should change nothing, and at w = 1 add the whole difference (eq-guidance)."""
    check_call("guide", guide, "(z_with, z_without, w) -> z_hat")
    z_with, z_without = torch.randn(2, 4, 1, 8, 8)

    def off(w: float, expected: Tensor) -> float:
        return float((guide(z_with.clone(), z_without.clone(), w) - expected).abs().max())

    if max(off(w, z_with + w * (z_with - z_without)) for w in (0.0, 1.0, 3.0)) < 1e-3:
        return Finding(True, "guidance", "w = 0 changes nothing")
    text = "w = 0 does not give the estimate with the label"
    if off(0.0, z_without) < 1e-3 and off(1.0, z_with) < 1e-3:
        text = "w = 0 ignores the label and w = 1 means no guidance, so its w is that of the equation plus 1"
    elif off(0.0, z_with) < 1e-3:
        text = "w = 1 does not add the difference of the two estimates"
    return Finding(False, "guidance", text)
