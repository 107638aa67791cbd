"""Typical wrong answers to the exercises of chapter 10."""

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
            within = low <= t <= high if closed else low < t < high
            return (strong if within != inverted else weak)(x_t, t, context)

        return choose

    return guided_between


def unlabelled(model, none):
    return lambda x_t, t, context: model(x_t, t, torch.full_like(context, none))


def reader(choose=lambda loss: loss.argmin(dim=1), *, noisy=True, squared=True, first_only=False):
    """A read_digits with one thing done in another way."""

    @torch.no_grad()
    def read_digits(model, schedule, x_0, times, z):
        loss = torch.zeros(len(x_0), 10)
        for t, noise in list(zip(times, z, strict=True))[: 1 if first_only else None]:
            x_t = q_sample(schedule, x_0, t, noise) if noisy else x_0
            for c in range(10):
                error = noise - model(x_t, t, torch.full((len(x_0),), c))
                loss[:, c] += (error.square() if squared else error).mean(dim=(1, 2, 3))
        return choose(loss)

    return read_digits


@torch.no_grad()
def last_time_only(model, schedule, x_0, times, z):
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


WRONG = {
    "ex-guidance-1": {
        "a sign is lost": (with_other(lambda c, o, w: c + w * (c + o)), "not yet: 10 and 1"),
        "the difference turned round": (lambda m, o, w: guided(m, -w, o), "drawn to the other label"),
        "the other convention": (with_other(lambda c, o, w: o + w * (c - o)), "at scale 0"),
        "away from no label": (lambda m, o, w: guided(m, w, NONE), 'away from "no label"'),
        "the other is not asked": (with_other(lambda c, o, w: (1 + w) * c), "the other label is not asked"),
    },
    "ex-guidance-2": {
        "guided outside": (between(guided, inverted=True), "at t = 250, between 200 and 300"),
        "guided always": (lambda m, w, none, low, high: guided(m, w, none), "outside 200 to 300"),
        "open ends": (between(guided, closed=False), "both ends are included"),
        "no label outside": (between(guided, unlabelled), "it is not the conditional model"),
        "the other convention": (between(lambda m, w, none: guided(m, w - 1, none)), "4 with the label and 10"),
    },
    "ex-guidance-3": {
        "the largest loss": (reader(lambda loss: loss.argmax(dim=1)), "are read as"),
        "no noise put on": (reader(noisy=False), "are read as"),
        "errors not squared": (reader(squared=False), "are read as"),
        "the first time only": (reader(first_only=True), "not at [100, 300]"),
        "the last time only": (last_time_only, "one time alone decides"),
        "fresh noise for each label": (fresh_noise, "the same noise"),
        "the losses themselves": (reader(lambda loss: loss), "are read as"),
    },
}
