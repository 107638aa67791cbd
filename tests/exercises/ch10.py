"""Wrong and right answers to the exercises of chapter 10."""

import numpy as np
import torch

from ddpm_lite import guided, q_sample

NONE = 10  # "no label"


def with_other(combine):
    """An away_from that combines the answers for c and for the other label."""

    def away_from(model, other, scale):
        def away(x_t, t, context):
            z_c, z_other = model(x_t, t, context), model(x_t, t, torch.full_like(context, other))
            return combine(z_c, z_other, scale)

        return away

    return away_from


def between(inside, model_outside=None, *, closed=True, inverted=False):
    """A guided_between: which model is asked inside, and which outside."""

    def guided_between(model, scale, none, low, high):
        strong, weak = inside(model, scale, none), (model_outside or (lambda m, n: m))(model, none)

        def choose(x_t, t, context):
            time = int(t[0])
            within = low <= time <= high if closed else low < time < high
            return (strong if within != inverted else weak)(x_t, t, context)

        return choose

    return guided_between


def unlabelled(model, none):
    return lambda x_t, t, context: model(x_t, t, torch.full_like(context, none))


def reader(
    choose=lambda loss: loss.argmin(dim=1), *, noisy=True, measure=torch.square, only=slice(None), labels=10, own=0
):
    """A read_digits with one thing done in another way; `own` shifts the noise against the times."""

    @torch.no_grad()
    def read_digits(model, schedule, x_0, times, z):
        loss = torch.full((len(x_0), 10), torch.inf)
        loss[:, :labels] = 0
        for t, noise in list(zip(times, z.roll(own, dims=0), strict=True))[only]:
            x_t = q_sample(schedule, x_0, t, noise) if noisy else x_0
            for c in range(labels):
                error = noise - model(x_t, t, torch.full((len(x_0),), c))
                loss[:, c] += measure(error).mean(dim=(1, 2, 3))
        return choose(loss)

    return read_digits


@torch.no_grad()
def read_in_one_batch(model, schedule, x_0, times, z):
    """All labels of an image side by side."""
    context = torch.arange(10).repeat(len(x_0))
    loss = torch.zeros(len(x_0), 10, dtype=torch.float64)
    for t, noise in zip(times, z, strict=True):
        noise = noise[: len(x_0)].repeat_interleave(10, dim=0)
        x_t = q_sample(schedule, x_0.repeat_interleave(10, dim=0), t, noise)
        z_hat = model(x_t, torch.full((len(x_t),), t), context)
        loss += torch.nn.functional.mse_loss(z_hat, noise, reduction="none").double().sum(dim=(1, 2, 3)).view(-1, 10)
    return loss.min(dim=1).indices


def read_one_by_one(model, schedule, x_0, times, z):
    """A list of Python numbers."""
    return [int(reader()(model, schedule, x_0[i : i + 1], times, z[:, i : i + 1])[0]) for i in range(len(x_0))]


@torch.no_grad()
def read_by_distance(model, schedule, x_0, times, z):
    """Labels outside, times inside, an array."""
    losses = []
    for c in range(10):
        context, total = torch.full((len(x_0),), c), 0.0
        for i, t in enumerate(times):
            z_hat = model(q_sample(schedule, x_0, t, z[i]), t, context)
            total = total + (z_hat - z[i]).flatten(1).norm(dim=1).numpy() ** 2
        losses.append(total)
    return np.argmin(np.stack(losses), axis=0)


@torch.no_grad()
def last_time_only(model, schedule, x_0, times, z):
    """The loss is set anew at each time."""
    for t, noise in zip(times, z, strict=True):
        x_t = q_sample(schedule, x_0, t, noise)
        errors = [noise - model(x_t, t, torch.full((len(x_0),), c)) for c in range(10)]
        loss = torch.stack([error.square().mean(dim=(1, 2, 3)) for error in errors], dim=1)
    return loss.argmin(dim=1)


@torch.no_grad()
def fresh_noise(model, schedule, x_0, times, z):
    loss = torch.zeros(len(x_0), 10)
    for t in times:
        for c in range(10):
            noise = torch.randn_like(x_0)
            x_t = q_sample(schedule, x_0, t, noise)
            error = noise - model(x_t, t, torch.full((len(x_0),), c))
            loss[:, c] += error.square().mean(dim=(1, 2, 3))
    return loss.argmin(dim=1)


def by_two_calls(model, scale, none, low, high):
    """The formula itself, with the time as a float."""

    def choose(x_t, t, context):
        z_c = model(x_t, t, context)
        if not low <= float(t.double().mean()) <= high:
            return z_c
        return (1 + scale) * z_c - scale * model(x_t, t, torch.full_like(context, none))

    return choose


def by_a_mask(model, scale, none, low, high):
    """A strength for each image."""

    def choose(x_t, t, context):
        w = scale * ((t >= low) & (t <= high)).to(x_t.dtype)
        z_c, z_none = model(x_t, t, context), model(x_t, t, torch.full_like(context, none))
        return z_c + w.reshape(-1, *[1] * (x_t.ndim - 1)) * (z_c - z_none)

    return choose


class Between(torch.nn.Module):
    """A module that is guided between two times."""

    def __init__(self, model, scale, none, low, high):
        super().__init__()
        self.model, self.times = model, range(low, high + 1)
        self.strong = guided(model, scale, none)

    def forward(self, x_t, t, context):
        return (self.strong if int(t.flatten()[0]) in self.times else self.model)(x_t, t, context)


def by_start(model, scale, none, low, high):
    """The scale is chosen first."""
    return lambda x_t, t, c: guided(model, scale if low <= t.max() <= high else 0, none)(x_t, t, c)


def away_in_one_batch(model, other, scale):
    def away(x_t, t, context):
        both = torch.cat([context, torch.full_like(context, other)])
        z_c, z_o = model(torch.cat([x_t, x_t]), t, both).split(len(x_t))
        return torch.lerp(z_o, z_c, 1 + scale)

    return away


def third(model, other, scale):
    """Guided away from the other label, with the answer for "no label" as a start."""

    def away(x_t, t, context):
        z_c, z_o, z_none = (model(x_t, t, torch.full_like(context, 1) * label) for label in (context, other, NONE))
        return z_none + scale * (z_c - z_o)

    return away


WRONG = {
    "ex-guidance-1": {
        "a sign is lost": (with_other(lambda c, o, w: c + w * (c + o)), "a sum where the difference"),
        "the difference turned round": (lambda m, o, w: guided(m, -w, o), "drawn to the other label"),
        "the other convention": (with_other(lambda c, o, w: o + w * (c - o)), "at scale 0"),
        "the other convention, but at scale 0": (
            with_other(lambda c, o, w: o + w * (c - o) if w else c),
            "there, scale 1 is",
        ),
        "away from no label": (lambda m, o, w: guided(m, w, NONE), 'away from "no label"'),
        "the other is not asked": (with_other(lambda c, o, w: (1 + w) * c), "the other label is not used"),
        "only the other subtracted": (with_other(lambda c, o, w: c - w * o), "only the other answer is subtracted"),
        "the scale ignored": (lambda m, o, w: m, "the scale changes nothing"),
        "a fixed scale": (lambda m, o, w: guided(m, 1, o) if w else m, "off by up to"),
        "no label as the start": (lambda m, o, w: third(m, o, w) if w else m, 'starts from "no label"'),
        "the difference alone": (with_other(lambda c, o, w: w * (c - o) if w else c), "the answer for c is missing"),
        "labels exchanged": (with_other(lambda c, o, w: o + w * (o - c) if w else c), "are swapped"),
        "half the difference": (lambda m, o, w: guided(m, w / 2, o), "half the difference"),
        "a tensor, not a model": (lambda m, o, w: torch.zeros(3), "expected a function"),
    },
    "ex-guidance-2": {
        "guided outside": (between(guided, inverted=True), "t = 250, between 200 and 300"),
        "guided always": (lambda m, w, none, low, high: guided(m, w, none), "outside 200 and 300: it is guided"),
        "guided never": (lambda m, w, none, low, high: m, "it is not guided"),
        "open ends": (between(guided, closed=False), "both ends are included"),
        "no upper end": (
            lambda m, w, none, low, high: between(guided)(m, w, none, low, 10**6),
            "t = 301, outside 200 and 300: it is guided",
        ),
        "no lower end": (
            lambda m, w, none, low, high: between(guided)(m, w, none, 0, high),
            "t = 199, outside 200 and 300: it is guided",
        ),
        "one end open": (
            lambda m, w, none, low, high: between(guided)(m, w, none, low, high - 1),
            "t = 300, between 200 and 300: it is not guided; both ends",
        ),
        "no label outside": (between(guided, unlabelled), "the model without a label answers"),
        "no label inside": (between(lambda m, w, none: unlabelled(m, none)), "the model without a label answers"),
        "the other convention": (between(lambda m, w, none: guided(m, w - 1, none)), "the other convention"),
        "the wrong direction": (between(lambda m, w, none: guided(m, -w, none)), "away from the label"),
        "nothing outside": (
            between(guided, lambda m, none: lambda x_t, t, context: torch.zeros_like(x_t)),
            "the answer is 0",
        ),
        "a sign is lost": (
            between(lambda m, w, none: lambda x, t, c: m(x, t, c) + w * (m(x, t, c) + unlabelled(m, none)(x, t, c))),
            "a sum where the difference",
        ),
        "a fixed scale": (lambda m, w, *rest: between(guided)(m, 2.0, *rest), "off by up to"),
    },
    "ex-guidance-3": {
        "the largest loss": (reader(lambda loss: loss.argmax(dim=1)), "the largest loss"),
        "no noise put on": (reader(noisy=False), "without noise"),
        "errors not squared": (reader(measure=lambda error: error), "without a square"),
        "absolute errors": (reader(measure=torch.abs), "absolute errors"),
        "the first time only": (reader(only=slice(1)), "not at [100, 300]"),
        "the last time only": (last_time_only, "one time alone decides"),
        "fresh noise for each label": (fresh_noise, "the same noise"),
        "the noise of another time": (reader(own=1), "other noise than z[i]"),
        "the losses themselves": (reader(lambda loss: loss), "the shape is (8, 10)"),
        "the least loss, not its label": (reader(lambda loss: loss.amin(dim=1)), "off by up to"),
        "labels from 1": (reader(lambda loss: loss.argmin(dim=1) + 1), "labels count from 0"),
        "nine labels": (reader(labels=9), "[0, 1, 2, 3, 4, 5, 6, 7, 8]"),
        "one label for all": (
            lambda *a: torch.full((len(a[2]),), int(reader(lambda loss: loss.sum(dim=0).argmin())(*a))),
            "one label for the whole batch",
        ),
        "the wrong axis": (reader(lambda loss: loss.argmin(dim=0)), "the shape is (10,)"),
    },
}

RIGHT = {
    "ex-guidance-1": {
        "by the formula": with_other(lambda c, o, w: c + w * (c - o)),
        "multiplied out": with_other(lambda c, o, w: (1 + w) * c - w * o),
        "in one batch": away_in_one_batch,
        "in float32": with_other(lambda c, o, w: c.float() + w * (c - o).float()),
        "arrays": with_other(lambda c, o, w: c.numpy() + w * (c.numpy() - o.numpy())),
        "keywords": lambda model, other, scale: guided(model=model, none=other, scale=scale),
    },
    "ex-guidance-2": {
        "by two calls": by_two_calls,
        "by a mask": by_a_mask,
        "a module": Between,
        "the scale chosen": by_start,
    },
    "ex-guidance-3": {
        "in one batch, float64": read_in_one_batch,
        "one by one, a list": read_one_by_one,
        "an array": read_by_distance,
        "the largest of minus the loss": reader(lambda loss: (-loss).argmax(dim=1)),
        "sorted": reader(lambda loss: loss.sort(dim=1).indices[:, 0]),
    },
}
