"""Wrong and right answers to the exercises of chapter 17."""

import numpy as np
import torch


def change(x, p, V, b, f=1.0, f_slope=1.0, p_slope=1.0, curved=1.0, x_slope=1.0, p_again=1.0):
    """The change of the density of N(0, V), with the parts of both product rules; or a wrong one."""
    drift = f * b / 2 * (f_slope - p_slope * x**2 / V) * p
    return drift + curved * b / 2 * (p_again * x**2 / V - x_slope) / V * p


def by_variance(x, p, V, b):
    """The variance has the derivative b (1 - V), and the density follows it."""
    return b * (1 - V) * (x**2 / V - 1) / (2 * V) * p


def by_differences(x, p, V, b, h=1e-4):
    """The Fokker-Planck equation on three places around each."""

    def density(y):
        return torch.exp(-(y**2) / (2 * V)) / (2 * np.pi * V) ** 0.5

    flux = [-b / 2 * y * density(y) for y in (x - h, x + h)]
    return -(flux[1] - flux[0]) / (2 * h) + b / 2 * (density(x + h) - 2 * density(x) + density(x - h)) / h**2


def by_autograd(x, p, V, b):
    y = x.clone().requires_grad_()
    density = torch.exp(-(y**2) / (2 * V)) / (2 * np.pi * V) ** 0.5
    (slope,) = torch.autograd.grad(density.sum(), y, create_graph=True)
    (inflow,) = torch.autograd.grad((b / 2 * (y * density + slope)).sum(), y)
    return inflow


def back(x, f, score, b, h, eta, z, count=None, noise=None, sign=-1.0, score_rate=0.5, length=None, start=1.0):
    """A step of the reverse SDE, or a wrong one."""
    count = 1 + eta**2 if count is None else count
    fresh = eta * (b * h) ** 0.5 if noise is None else noise
    return start * x + (h if length is None else length) * (sign * f + score_rate * b * count * score) + fresh * z


def forward_step(x, f, score, b, h, eta, z, share):
    """A step of the forward process, with all its noise or a share."""
    return x + h * f + share * (b * h) ** 0.5 * z


def in_two_moves(x, f, score, b, h, eta, z):
    """First the ODE, then the noise with the velocity that makes up for it."""
    width = eta * (b * h) ** 0.5
    return x - h * (f - b / 2 * score) + width**2 / 2 * score + width * z


def pixel_by_pixel(x, f, score, b, h, eta, z):
    rows = zip(x.tolist(), f.tolist(), score.tolist(), z.tolist(), strict=True)
    return [a + h * ((1 + eta**2) * b / 2 * s - d) + eta * np.sqrt(b * h) * n for a, d, s, n in rows]


WRONG = {
    "ex-flows-gaussian": {
        "no diffusion": (lambda *g: change(*g, curved=0.0), "where is the diffusion"),
        "no drift": (lambda *g: change(*g, f=0.0), "where is the drift"),
        "f outside": (lambda *g: change(*g, f_slope=0.0), "f has a slope too"),
        "p outside": (lambda *g: change(*g, p_slope=0.0), "f p is a product; p has a slope too"),
        "p outside again": (lambda *g: change(*g, p_again=0.0), "-x p / V is a product; p has a slope too"),
        "x outside": (lambda *g: change(*g, x_slope=0.0), "x has a slope too"),
        "f outwards": (lambda *g: change(*g, f=-1.0), "f is negative"),
        "a minus": (lambda *g: change(*g, curved=-1.0), "its sign is plus"),
        "backwards": (lambda *g: -change(*g), "backwards in time"),
        "the whole drift": (lambda *g: change(*g, f=2.0), "the drift has half the rate"),
        "the whole diffusion": (lambda *g: change(*g, curved=2.0), "the diffusion has half the rate"),
        "the whole rate": (lambda *g: 2 * change(*g), "both terms have half the rate"),
        "of the logarithm": (lambda x, p, V, b: change(x, 1.0, V, b), "the change of log p"),
        "a standard deviation": (lambda x, p, V, b: change(x, p, V**2, b), "not the standard deviation"),
        "a root": (lambda x, p, V, b: change(x, p, V**0.5, b), "not by its root"),
        "b squared": (lambda *g: change(*g, curved=g[3]), "do not square it"),
        "x for x^2": (lambda x, p, V, b: b / 2 * (1 - 1 / V) * (1 - x / V) * p, "V, is -x^2 p / V"),
        "no x^2": (lambda x, p, V, b: b / 2 * (1 - 1 / V) ** 2 * p, "both terms have x^2"),
        "V squared under x^2": (
            lambda x, p, V, b: b / 2 * (1 - 1 / V) * (1 - x**2 / V**2) * p,
            "divided by V, not by its square",
        ),
        "the slope without the 2": (lambda x, p, V, b: b / 2 * (1 - 2 / V) * (1 - 2 * x**2 / V) * p, "slope -x p / V"),
        "no slope of p": (lambda x, p, V, b: b / 2 * (1 - 1 / V) * p, "both are products with p"),
        "no slope of p, minus": (lambda x, p, V, b: b / 2 * (1 / V - 1) * p, "have the other sign"),
        "nothing": (lambda x, p, V, b: 0 * x, "off by"),
        "V = 1": (lambda x, p, V, b: change(x, p, 1.0, b), "off by"),
        "one V only": (lambda x, p, V, b: change(x, p, 0.6, b), "off by"),
        "one rate only": (lambda x, p, V, b: change(x, p, V, 0.8), "off by"),
    },
    "ex-flows-3": {
        "the ODE's drift": (lambda *g: back(*g, count=1), "noise acts like a velocity"),
        "twice": (lambda *g: back(*g, count=2), "for eta = 1 only"),
        "Song's": (lambda *g: back(*g, count=2, noise=(g[3] * g[4]) ** 0.5), "the reverse SDE of eta = 1"),
        "the ODE": (lambda *g: back(*g, count=1, noise=0.0), "the ODE, eta = 0"),
        "eta^2 times": (lambda *g: back(*g, count=g[5] ** 2), "one is missing"),
        "twice eta^2": (lambda *g: back(*g, count=2 * g[5] ** 2), "2 eta^2 is right for eta = 1 only"),
        "eta without a square": (lambda *g: back(*g, count=1 + g[5]), "the square of eta"),
        "minus eta^2": (lambda *g: back(*g, count=1 - g[5] ** 2), "count more, not less"),
        "the square of the sum": (lambda *g: back(*g, count=(1 + g[5]) ** 2), "eta is squared alone"),
        "full noise": (lambda *g: back(*g, noise=(g[3] * g[4]) ** 0.5), "multiplied by eta"),
        "eta in the root": (lambda *g: back(*g, noise=(g[5] * g[3] * g[4]) ** 0.5), "outside the root"),
        "no rate in the noise": (lambda *g: back(*g, noise=g[5] * g[4] ** 0.5), "where is b?"),
        "b without a root": (lambda *g: back(*g, noise=g[5] * g[3] * g[4] ** 0.5), "b is the rate of the variance"),
        "no length in the noise": (lambda *g: back(*g, noise=g[5] * g[3] ** 0.5), "where is h?"),
        "b as g": (
            lambda *g: back(*g, score_rate=g[3] / 2, noise=g[5] * g[3] * g[4] ** 0.5),
            "no square in the drift, a root in the noise",
        ),
        "h without a root": (lambda *g: back(*g, noise=g[5] * g[3] ** 0.5 * g[4]), "h has a root"),
        "a variance": (lambda *g: back(*g, noise=g[5] * g[3] * g[4]), "variance of the noise"),
        "eta squared": (lambda *g: back(*g, noise=g[5] ** 2 * (g[3] * g[4]) ** 0.5), "not by its square"),
        "minus the noise": (lambda *g: back(*g, noise=-g[5] * (g[3] * g[4]) ** 0.5), "-z is as likely as z"),
        "a root of numbers": (lambda *g: back(*g, noise=torch.sqrt(g[3] * g[4])), "use ** 0.5 for a root"),
        "the forward drift": (lambda *g: back(*g, sign=1.0), "f has the other sign"),
        "forward": (lambda *g: back(*g, length=-g[4]), "the way to noise"),
        "the forward step": (lambda *g: forward_step(*g, 1.0), "the forward step, from t to t + h"),
        "the forward step, with eta": (
            lambda *g: forward_step(*g, g[5]),
            "the forward step, from t to t + h, with eta",
        ),
        "away from the density": (lambda *g: back(*g, score_rate=-0.5), "plus"),
        "the whole rate": (lambda *g: back(*g, score_rate=1.0), "half the rate"),
        "half of f's rate": (lambda *g: back(*g, sign=-g[3] / 2), "only the score"),
        "the drift of DDPM": (lambda x, f, *g: back(x, -g[1] / 2 * x, *g), "use f"),
        "no length": (lambda *g: back(*g, length=1.0), "multiply it by h"),
        "no length at f": (lambda *g: back(*g, sign=-1 / g[4]), "f is a change per time"),
        "no length at the score": (lambda *g: back(*g, score_rate=0.5 / g[4]), "the score's part is a change"),
        "plain noise": (lambda *g: back(*g, noise=1.0), "needs its width"),
        "no noise": (lambda *g: back(*g, noise=0.0), "where is the fresh noise"),
        "only the change": (lambda *g: back(*g, start=0.0), "add it to x"),
    },
}
RIGHT = {
    "ex-flows-gaussian": {
        "by the product rule": change,
        "by the variance": by_variance,
        "by differences": by_differences,
        "by autograd": by_autograd,
        "numpy": lambda *g: change(*(v.numpy() if torch.is_tensor(v) else v for v in g)),
    },
    "ex-flows-3": {
        "directly": back,
        "in two moves": in_two_moves,
        "pixel by pixel": pixel_by_pixel,
        "numpy": lambda *g: back(*(v.numpy() if torch.is_tensor(v) else v for v in g)),
    },
}
