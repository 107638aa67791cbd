"""Wrong and right answers to the exercises of chapter 08."""

import numpy as np
import torch
import torch.nn.functional as F


def loss_with(weights):
    """A loss whose x_t has these weights of (alpha_bar_t, x_0, z)."""
    return lambda model, alpha_bar, x_0, t, z: (
        (z - model(weights(alpha_bar[t].reshape(-1, 1, 1, 1), x_0, z), t)).square().mean()
    )


def x_t(share, x_0, z):
    return share.sqrt() * x_0 + (1 - share).sqrt() * z


def no_reshape(model, alpha_bar, x_0, t, z):
    return (z - model(x_t(alpha_bar[t], x_0, z), t)).square().mean()


def summed(model, alpha_bar, x_0, t, z):
    return (z - model(x_t(alpha_bar[t].reshape(-1, 1, 1, 1), x_0, z), t)).square().sum()


def absolute(model, alpha_bar, x_0, t, z):
    return (z - model(x_t(alpha_bar[t].reshape(-1, 1, 1, 1), x_0, z), t)).abs().mean()


def compared_with_image(model, alpha_bar, x_0, t, z):
    return (x_0 - model(x_t(alpha_bar[t].reshape(-1, 1, 1, 1), x_0, z), t)).square().mean()


def average_with(decay_at, swapped=False):
    """A running average whose decay at step k is decay_at(k, decay)."""

    def answer(history, decay):
        average = history[0]
        for k, weight in enumerate(history[1:], start=1):
            d = decay_at(k, decay)
            d = 1 - d if swapped else d
            average = d * average + (1 - d) * weight
        return average

    return answer


def warm(k, decay):
    return min(decay, (1 + k) / (10 + k))


def batch_with(order):
    """Batches cut from order(seed, epoch, N), steps counted from 1."""

    def answer(N, batch_size, step, seed):
        epoch, place = divmod(step - 1, N // batch_size)
        return order(seed, epoch, N)[place * batch_size : (place + 1) * batch_size]

    return answer


def shuffled(*numbers):
    return lambda N: np.random.default_rng(list(numbers)).permutation(N)


def steps_from_zero(N, batch_size, step, seed):
    epoch, place = divmod(step, N // batch_size)
    return shuffled(seed, epoch)(N)[place * batch_size : (place + 1) * batch_size]


MEMORY = np.random.default_rng(0)


def loss_of(*, time=lambda t, T: t, index=lambda t: t, target="z", after=lambda e: e.square().mean(), told=True):
    """A loss that tells the model another time, looks up another entry, or compares in another way."""

    def answer(model, alpha_bar, x_0, t, z):
        share = alpha_bar[index(t)].reshape(-1, 1, 1, 1)
        noisy = share.sqrt() * x_0 + (1 - share).sqrt() * z
        z_hat = model(noisy, time(t, len(alpha_bar) - 1)) if told else model(noisy)
        return after({"z": z, "x_0": x_0, "x_t": noisy}[target] - z_hat)

    return answer


def loss_by_keyword(model, alpha_bar, x_0, t, z):
    share = alpha_bar[t][:, None, None, None]
    x_t = torch.sqrt(share) * x_0 + torch.sqrt(1 - share) * z
    return F.mse_loss(model(x_t, t=t), z)


def loss_image_by_image(model, alpha_bar, x_0, t, z):
    signal, rest = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
    x_t = torch.einsum("b,bchw->bchw", signal, x_0) + torch.einsum("b,bchw->bchw", rest, z)
    error = (model(x_t, t, None) - z) ** 2
    return torch.stack([each.mean() for each in error]).mean()


def loss_in_float64(model, alpha_bar, x_0, t, z):
    share = alpha_bar.double()[t].view(len(t), 1, 1, 1)
    x_t = share**0.5 * x_0.double() + (1 - share) ** 0.5 * z.double()
    return (z.double() - model(x_t.float(), t).double()).pow(2).mean()


def average_by_weights(history, decay):
    """The sum of all weights, each with the product of the later decays."""
    n = len(history) - 1
    decays = [min(decay, (1 + k) / (10 + k)) for k in range(1, n + 1)]
    factors = [np.prod(decays[k:]) * (1 - decays[k - 1] if k else 1.0) for k in range(n + 1)]
    return sum(f * h for f, h in zip(factors, history, strict=True))


def average_by_lerp(history, decay):
    average = torch.tensor(history[0], dtype=torch.float64)
    for k in range(1, len(history)):
        average = average.lerp(torch.tensor(history[k], dtype=torch.float64), 1 - min(decay, (1 + k) / (10 + k)))
    return average


def cost_expanded(alpha_bar_t, a, v):
    """The square multiplied out."""
    return 1 - 2 * a * (1 - alpha_bar_t) ** 0.5 + a**2 * (1 - alpha_bar_t + alpha_bar_t * v)


def cost_by_tensors(alpha_bar_t, a, v):
    share = torch.tensor(alpha_bar_t)
    return (1 - a * (1 - share).sqrt()).square() + a * a * share * v


def batch_by_position(N, batch_size, step, seed):
    first = (step - 1) * batch_size
    order = np.random.default_rng([seed, first // N]).permutation(N)
    return torch.from_numpy(order)[first % N : first % N + batch_size]


def batch_as_list(N, batch_size, step, seed):
    per_epoch = N // batch_size
    order = np.random.default_rng([seed, (step - 1) // per_epoch]).permutation(N).tolist()
    return order[(step - 1) % per_epoch :: per_epoch]


WRONG = {
    "ex-training-1": {
        "t not shaped to multiply images": (no_reshape, "not for each column"),
        "roots left out": (loss_with(lambda share, x_0, z: share * x_0 + (1 - share) * z), "roots are missing"),
        "picture and noise exchanged": (
            loss_with(lambda share, x_0, z: (1 - share).sqrt() * x_0 + share.sqrt() * z),
            "are swapped",
        ),
        "a sum": (summed, "the sum over all pixels"),
        "the absolute value": (absolute, "absolute value"),
        "compared with the image": (compared_with_image, "with the image"),
        "compared with x_t": (loss_of(target="x_t"), "with x_t"),
        "the clean image shown": (loss_with(lambda share, x_0, z: x_0), "clean image"),
        "only noise shown": (loss_with(lambda share, x_0, z: z), "the noise alone"),
        "the model is not told t": (loss_of(told=False), "not told the time"),
        "told t - 1": (loss_of(time=lambda t, T: t - 1), "told t - 1"),
        "told t / 1000": (loss_of(time=lambda t, T: t / 1000), "told t / "),
        "told the share of the way": (loss_of(time=lambda t, T: t / T), "told t / T"),
        "told the same time always": (loss_of(time=lambda t, T: torch.full_like(t, 500)), "the model is told"),
        "the entry before": (loss_of(index=lambda t: t - 1), "not t - 1"),
        "a root": (loss_of(after=lambda e: e.square().mean().sqrt()), "root of the mean"),
        "half": (loss_of(after=lambda e: e.square().mean() / 2), "half the mean"),
        "never asked": (lambda model, alpha_bar, x_0, t, z: z.square().mean(), "never asked"),
    },
    "ex-training-2": {
        "the average starts from 0": (lambda h, decay: average_with(warm)([0.0, *h[1:]], decay), "not from 0"),
        "no warm-up": (average_with(lambda k, decay: decay), "warm-up is missing"),
        "old and new exchanged": (average_with(warm, swapped=True), "are swapped"),
        "steps counted from 0": (average_with(lambda k, decay: warm(k - 1, decay)), "not from 0"),
        "steps counted from 2": (average_with(lambda k, decay: warm(k + 1, decay)), "not from 2"),
        "warm-up without its end": (average_with(lambda k, decay: (1 + k) / (10 + k)), "decay rises above"),
        "the plain mean": (lambda history, decay: sum(history) / len(history), "plain mean"),
        "the last weight": (lambda history, decay: history[-1], "last weight"),
        "the larger": (average_with(lambda k, decay: max(decay, (1 + k) / (10 + k))), "decay 0.99"),
        "k over 10 + k": (average_with(lambda k, decay: min(decay, k / (10 + k))), "(1 + k) / (10 + k)"),
        "all averages": (lambda history, decay: [average_with(warm)(history, decay)] * 2, "shape"),
    },
    "ex-training-3": {
        "factors not squared": (
            lambda share, a, v: abs(1 - a * (1 - share) ** 0.5) + a * share**0.5 * v,
            "come out squared",
        ),
        "the image forgotten": (lambda share, a, v: (1 - a * (1 - share) ** 0.5) ** 2, "image's part"),
        "the noise forgotten": (lambda share, a, v: a**2 * share * v, "noise's part"),
        "standard deviation for variance": (
            lambda share, a, v: (1 - a * (1 - share) ** 0.5) ** 2 + a**2 * share * v**0.5,
            "no root of it",
        ),
        "variance squared": (
            lambda share, a, v: (1 - a * (1 - share) ** 0.5) ** 2 + a**2 * share * v**2,
            "do not square it",
        ),
        "saying nothing is free": (
            lambda share, a, v: a**2 * (share * v + 1 - share),
            "noise z of the loss is missing",
        ),
        "no root": (lambda share, a, v: (1 - a * (1 - share)) ** 2 + a**2 * share * v, "is missing"),
        "a sign": (lambda share, a, v: (1 + a * (1 - share) ** 0.5) ** 2 + a**2 * share * v, "wrong sign"),
        "a not squared": (lambda share, a, v: (1 - a * (1 - share) ** 0.5) ** 2 + a * share * v, "not squared"),
        "exchanged": (
            lambda share, a, v: (1 - a * share**0.5) ** 2 + a**2 * (1 - share) * v,
            "1 - alpha_bar are swapped",
        ),
    },
    "ex-training-4": {
        "one order, rotated": (
            lambda N, size, step, seed: np.roll(
                np.random.default_rng(seed).permutation(N), (step - 1) // (N // size)
            ).reshape(-1, size)[(step - 1) % (N // size)],
            "only rotates",
        ),
        "steps counted from 0": (steps_from_zero, "images once"),
        "drawn with replacement": (
            lambda N, batch_size, step, seed: np.random.default_rng([seed, step]).integers(0, N, batch_size),
            "images once",
        ),
        "the same order in each epoch": (
            batch_with(lambda seed, epoch, N: shuffled(seed)(N)),
            "repeats the order",
        ),
        "no seed": (batch_with(lambda seed, epoch, N: shuffled(epoch)(N)), "the seed changes nothing"),
        "random numbers with a memory": (
            batch_with(lambda seed, epoch, N: MEMORY.permutation(N)),
            "images once",
        ),
        "all images at once": (lambda N, batch_size, step, seed: np.arange(N), "batches of sizes"),
        "indices from 1": (batch_with(lambda seed, epoch, N: 1 + shuffled(seed, epoch)(N)), "indices run from 0"),
        "no shuffling at first": (
            batch_with(lambda seed, epoch, N: shuffled(seed, epoch)(N) if epoch else np.arange(N)),
            "not shuffled",
        ),
        "the first batch always": (lambda N, batch_size, step, seed: np.arange(batch_size), "images once"),
    },
}

RIGHT = {
    "ex-training-1": {
        "t by keyword": loss_by_keyword,
        "image by image": loss_image_by_image,
        "float64": loss_in_float64,
        "the definition": loss_of(),
        "as a float": lambda *a: float(loss_of()(*a)),
    },
    "ex-training-2": {
        "one step after the other": average_with(warm),
        "by weights": average_by_weights,
        "by lerp": average_by_lerp,
        "an array of one": lambda history, decay: np.array([average_with(warm)(np.array(history), decay)]),
    },
    "ex-training-3": {
        "multiplied out": cost_expanded,
        "tensors": cost_by_tensors,
        "float32": lambda share, a, v: torch.tensor(cost_expanded(share, a, v), dtype=torch.float32),
        "keywords": lambda alpha_bar_t, a=1.0, v=1.0: cost_expanded(alpha_bar_t, a, v),
    },
    "ex-training-4": {
        "by position": batch_by_position,
        "a list, every third": batch_as_list,
        "a tuple": lambda *a: tuple(batch_as_list(*a)),
        "an array": batch_with(lambda seed, epoch, N: shuffled(seed, epoch)(N)),
    },
}
