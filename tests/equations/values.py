"""The values of an equation's symbols: a schedule's tables, one random path of images, random numbers.

Everything is float64 with one row for each t of the range, and a few pixels as columns. So one evaluation
looks at all t at once, and an index that is off by one meets another row.
"""

import zlib
from functools import cached_property, lru_cache

import numpy as np
import torch

from ddpm_lite.schedule import Schedule, cosine_schedule, linear_schedule

from . import symbols

# The coarse one comes first: its steps are large, so a wrong index shows at once.
SCHEDULES = {
    "coarse": lambda: linear_schedule(T=20, beta_1=0.005, beta_T=0.9),
    "paper": lambda: linear_schedule(T=1000),
    "cosine": lambda: cosine_schedule(T=100, beta_max=0.9999),
    "cosine, s = 0": lambda: cosine_schedule(T=100, s=1e-9),
}

# The book's symbols with an index, and the table of Schedule that each one reads.
TABLES = {
    r"\beta": "beta",
    r"\alpha": "alpha",
    r"\bar{\alpha}": "alpha_bar",
    r"\tilde{\beta}": "beta_tilde",
    r"\mathrm{SNR}": "snr",
}
# Standard Gaussian noise, whatever its index or mark: the random numbers of an expectation.
NOISE = ("z", r"\epsilon", r"\varepsilon", r"\bar{z}", r"\tilde{z}", r"\hat{z}")


@lru_cache
def schedule(name: str) -> Schedule:
    return SCHEDULES[name]()


def is_noise(name: str) -> bool:
    """Is this canonical name one of the standard Gaussian noises (z, z_t, z', z_1)?"""
    return name.partition("_")[0].rstrip("'") in NOISE and r"\theta" not in name


def dice(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Standard Gaussian numbers that depend on the name only."""
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)


class Values:
    """The worth of each symbol for t = first..T of a schedule.

    In a check's function `v.x_t`, `v.x_0`, `v.z`, `v.t`, ... are torch tensors, ready for the package's functions
    (one image for each t); `v(r"\\bar{\\alpha}_{t-1}")` is any symbol.
    """

    def __init__(self, schedule: Schedule, first: int, last: int, pixels: int):
        self.schedule, self.pixels = schedule, pixels
        self.t = torch.arange(first, last + 1)

    @cached_property
    def path(self) -> np.ndarray:
        """x_0 .. x_T, each made from the one before by a forward step with the noise z_1 .. z_T."""
        x = np.empty((self.schedule.T + 1, self.pixels))
        x[0] = np.clip(dice("x_0", (self.pixels,)) / 2, -1, 1)
        for t in range(1, len(x)):
            alpha = float(self.schedule.alpha[t])
            x[t] = alpha**0.5 * x[t - 1] + (1 - alpha) ** 0.5 * self.noise("z")[t]
        return x

    def noise(self, head: str) -> np.ndarray:
        """A noise for each t."""
        return dice(head, (self.schedule.T + 1, self.pixels))

    def table(self, head: str) -> np.ndarray | None:
        """(T + 1, 1 or pixels): the values of a symbol that has an index, or None."""
        if head in TABLES:
            return getattr(self.schedule, TABLES[head]).numpy()[:, None]
        if head == "x":
            return self.path
        return self.noise(head) if head in NOISE else None

    def __call__(self, tex: str) -> torch.Tensor:
        """The values of a symbol written in LaTeX: (number of t's, pixels), or (number of t's,) for a table."""
        from .evaluate import Scope

        value = Scope(self).symbol(symbols.canonical(tex))
        value = np.broadcast_to(value, (len(self.t), value.shape[-1]))
        return torch.from_numpy(value.copy())[..., 0] if value.shape[-1] == 1 else torch.from_numpy(value.copy())

    x_0 = property(lambda self: self("x_0"))
    x_t = property(lambda self: self("x_t"))
    x_prev = property(lambda self: self("x_{t-1}"))
    z = property(lambda self: self("z"))
    z_hat = property(lambda self: self(r"z_\theta(x_t, t)"))
