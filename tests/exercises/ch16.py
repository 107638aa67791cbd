"""Wrong and right answers to the exercises of chapter 16."""

import numpy as np
import torch


def back(x, score, b, h, eta, z, count=None, noise=None, sign=1.0, score_sign=1.0, half=0.5, start=1.0):
    """A step of the reverse SDE, or a wrong one."""
    count = 1 + eta**2 if count is None else count
    fresh = eta * (b * h) ** 0.5 if noise is None else noise
    return start * x + half * b * h * (sign * x + score_sign * count * score) + fresh * z


def in_two_moves(x, score, b, h, eta, z):
    """First the ODE, then the noise with the velocity that makes up for it."""
    width = eta * (b * h) ** 0.5
    return x + b * h / 2 * (x + score) + width**2 / 2 * score + width * z


def pixel_by_pixel(x, score, b, h, eta, z):
    rows = zip(x.tolist(), score.tolist(), z.tolist(), strict=True)
    return [a + b * h / 2 * (a + (1 + eta**2) * s) + eta * np.sqrt(b * h) * n for a, s, n in rows]


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


def walk(alpha_bar, x_t, t, s, u, clock="tau", scale_in=True, scale_out="s", sign=1.0):
    """A step along the straight path, or a wrong one."""
    signal, noise = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    total = signal + noise
    clocks = {"tau": noise / total, "nu": noise / signal, "variance": 1 - alpha_bar, "all": noise / total}
    leap = clocks[clock][s] - (0 if clock == "all" else clocks[clock][t])
    m = (x_t / total[t] if scale_in else x_t) + sign * leap * u
    return m if scale_out is None else m * total[s if scale_out == "s" else t]


def noise_instead(alpha_bar, x_t, t, s, u):
    signal, nu = alpha_bar.sqrt(), (1 / alpha_bar - 1).sqrt()
    return signal[s] * (x_t / signal[t] + (nu[s] - nu[t]) * u)


def image_of(alpha_bar, x_t, t, s, u):
    total = alpha_bar.sqrt() + (1 - alpha_bar).sqrt()
    return x_t / total[t] - (1 - alpha_bar).sqrt()[t] / total[t] * u


def through_z(alpha_bar, x_t, t, s, u):
    """By DDIM: the image and the noise that x_t and u imply."""
    signal, noise = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    z = (x_t + signal[t] * u) / (signal[t] + noise[t])
    return signal[s] * (z - u) + noise[s] * z


def in_numpy(alpha_bar, x_t, t, s, u):
    a, b = (np.sqrt(part.numpy()) for part in (alpha_bar, 1 - alpha_bar))
    return (a + b)[s] * (x_t.numpy() / (a + b)[t] + (b[s] / (a + b)[s] - b[t] / (a + b)[t]) * u.numpy())


def by_level(alpha_bar, x_t, t, s, u):
    nu = (1 / alpha_bar - 1).sqrt()
    tau = nu / (1 + nu)
    scale = alpha_bar.sqrt() * (1 + nu)
    return scale[s] * (x_t / scale[t] + (tau[s] - tau[t]) * u)


def image(m, tau, p, width=None, shift=None):
    """The mean of x_0 given m."""
    width, shift = tau if width is None else width, 1 - tau if shift is None else shift
    high, low = (torch.exp(-((m - shift * x) ** 2) / (2 * width**2)) for x in (1, -1))
    return (p * high - (1 - p) * low) / (p * high + (1 - p) * low)


def by_tanh(m, tau, p):
    return (m - torch.tanh((1 - tau) * m / tau**2 + np.log(p / (1 - p)) / 2)) / tau


def by_softmax(m, tau, p):
    values = torch.tensor([1.0, -1.0], dtype=m.dtype)
    logs = torch.tensor([p, 1 - p], dtype=m.dtype).log() - (m[:, None] - (1 - tau) * values) ** 2 / (2 * tau**2)
    slopes = (m[:, None] - (1 - tau) * values) / tau - values  # z - x_0 of each
    return (logs.softmax(1) * slopes).sum(1)


def one_by_one(m, tau, p):
    found = []
    for place in m.tolist():
        high = p * np.exp(-((place - 1 + tau) ** 2) / (2 * tau**2))
        low = (1 - p) * np.exp(-((place + 1 - tau) ** 2) / (2 * tau**2))
        found.append((place - (high - low) / (high + low)) / tau)
    return found


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
        "nothing": (lambda x, p, V, b: 0 * x, "the density does change"),
        "V = 1": (lambda x, p, V, b: change(x, p, 1.0, b), "the density does change"),
        "one V only": (lambda x, p, V, b: change(x, p, 0.6, b), "off by"),
        "one rate only": (lambda x, p, V, b: change(x, p, V, 0.8), "off by"),
    },
    "ex-flows-3": {
        "the ODE's drift": (lambda *g: back(*g, count=1), "noise acts like a velocity"),
        "twice": (lambda *g: back(*g, count=2), "for eta = 1 only"),
        "eta^2 times": (lambda *g: back(*g, count=g[4] ** 2), "one is missing"),
        "eta without a square": (lambda *g: back(*g, count=1 + g[4]), "the square of eta"),
        "full noise": (lambda *g: back(*g, noise=(g[2] * g[3]) ** 0.5), "multiplied by eta"),
        "eta in the root": (lambda *g: back(*g, noise=(g[4] * g[2] * g[3]) ** 0.5), "outside the root"),
        "h without a root": (lambda *g: back(*g, noise=g[4] * g[2] ** 0.5 * g[3]), "h has a root"),
        "a variance": (lambda *g: back(*g, noise=g[4] * g[2] * g[3]), "variance of the noise"),
        "the forward drift of x": (lambda *g: back(*g, sign=-1.0), "of x has the other sign"),
        "forward": (lambda *g: back(*g, half=-0.5), "the way to noise"),
        "away from the density": (lambda *g: back(*g, score_sign=-1.0), "plus"),
        "the whole rate": (lambda *g: back(*g, half=1.0), "half the rate"),
        "no length": (lambda *g: back(*g, half=0.5 / g[3]), "multiply it by h"),
        "no noise": (lambda *g: back(*g, noise=0.0), "where is the fresh noise"),
        "only the change": (lambda *g: back(*g, start=0.0), "add it to x"),
    },
    "ex-flows-1": {
        "not divided": (lambda *g: walk(*g, scale_in=False), "divide it first"),
        "not multiplied": (lambda *g: walk(*g, scale_out=None), "x_s is not"),
        "the sum at t": (lambda *g: walk(*g, scale_out="t"), "at t, not at s"),
        "the other sign": (lambda *g: walk(*g, sign=-1.0), "wrong direction"),
        "noise levels": (lambda *g: walk(*g, clock="nu"), "noise levels as the clock"),
        "variances": (lambda *g: walk(*g, clock="variance"), "the clock has roots"),
        "a network of z": (noise_instead, "taken for the noise"),
        "all of tau": (lambda *g: walk(*g, clock="all"), "difference of two times"),
        "the image": (image_of, "this is the estimated image"),
        "no step": (lambda *g: walk(*g, sign=0.0), "only scaled"),
    },
    "ex-flows-2": {
        "the prior's mean": (lambda m, tau, p: (m - (2 * p - 1)) / tau, "without looking at m"),
        "a variance": (lambda m, tau, p: (m - image(m, tau, p, width=tau**0.5)) / tau, "is a standard deviation"),
        "fixed centres": (lambda m, tau, p: (m - image(m, tau, p, shift=1)) / tau, "no longer at 1 and -1"),
        "no p": (lambda m, tau, p: (m - image(m, tau, 0.5)) / tau, "p is not used"),
        "p turned around": (lambda m, tau, p: (m - image(m, tau, 1 - p)) / tau, "changed places"),
        "the image": (image, "this is the mean image"),
        "the noise": (lambda m, tau, p: (m - (1 - tau) * image(m, tau, p)) / tau, "this is the mean noise"),
        "the other sign": (lambda m, tau, p: (image(m, tau, p) - m) / tau, "mean of x_0 - z"),
        "not divided": (lambda m, tau, p: m - image(m, tau, p), "divide by it"),
        "the other time": (lambda m, tau, p: (m - image(m, tau, p)) / (1 - tau), "takes the time tau"),
        "the nearest": (lambda m, tau, p: (m - m.sign()) / tau, "nearest image"),
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
    "ex-flows-1": {"directly": walk, "by DDIM": through_z, "numpy": in_numpy, "by the noise level": by_level},
    "ex-flows-2": {
        "by Bayes' rule": lambda m, tau, p: (m - image(m, tau, p)) / tau,
        "tanh": by_tanh,
        "softmax over both": by_softmax,
        "one by one": one_by_one,
    },
}
