"""Typical wrong answers to the exercises of chapter 08."""

import numpy as np


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

WRONG = {
    "ex-training-1": {
        "t not shaped to multiply images": (no_reshape, "not inside one"),
        "roots left out": (loss_with(lambda share, x_0, z: share * x_0 + (1 - share) * z), "do not add up to 1"),
        "picture and noise exchanged": (
            loss_with(lambda share, x_0, z: (1 - share).sqrt() * x_0 + share.sqrt() * z),
            "the picture's weight is",
        ),
        "a sum": (summed, "a sum, not a mean"),
        "the absolute value": (absolute, "not compared"),
        "compared with the image": (compared_with_image, "not compared"),
        "the clean image shown": (loss_with(lambda share, x_0, z: x_0), "the picture's weight is"),
    },
    "ex-training-2": {
        "no warm-up": (average_with(lambda k, decay: decay), "no warm-up"),
        "old and new exchanged": (average_with(warm, swapped=True), "changed places"),
        "steps counted from 0": (average_with(lambda k, decay: warm(k - 1, decay)), "steps count from 1"),
        "warm-up without its end": (average_with(lambda k, decay: (1 + k) / (10 + k)), "rises above"),
        "the plain mean": (lambda history, decay: sum(history) / len(history), "counts 0.0476"),
        "the last weight": (lambda history, decay: history[-1], "steps count from 1"),
    },
    "ex-training-3": {
        "factors not squared": (
            lambda share, a, v: abs(1 - a * (1 - share) ** 0.5) + a * share**0.5 * v,
            "than it costs",
        ),
        "the image forgotten": (lambda share, a, v: (1 - a * (1 - share) ** 0.5) ** 2, "less than it costs"),
        "standard deviation for variance": (
            lambda share, a, v: (1 - a * (1 - share) ** 0.5) ** 2 + a**2 * share * v**0.5,
            "more than it costs",
        ),
        "saying nothing is free": (lambda share, a, v: a**2 * (share * v + 1 - share), "with a = 0"),
    },
    "ex-training-4": {
        "steps counted from 0": (steps_from_zero, "each of 12 images once"),
        "drawn with replacement": (
            lambda N, batch_size, step, seed: np.random.default_rng([seed, step]).integers(0, N, batch_size),
            "each of 12 images once",
        ),
        "the same order in each epoch": (
            batch_with(lambda seed, epoch, N: shuffled(seed)(N)),
            "repeats the order",
        ),
        "no seed": (batch_with(lambda seed, epoch, N: shuffled(epoch)(N)), "the seed changes nothing"),
        "random numbers with a memory": (
            batch_with(lambda seed, epoch, N: MEMORY.permutation(N)),
            "each of 12 images once",
        ),
        "all images at once": (lambda N, batch_size, step, seed: np.arange(N), "batches of sizes"),
    },
}
