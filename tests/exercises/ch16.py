"""Wrong and right answers to the exercises of chapter 16."""

import numpy as np
import torch


def back(x, f, score, b, h, eta, z, count=None, noise=None, sign=-1.0, score_rate=0.5, length=None, start=1.0):
    """A step of the reverse SDE, or a wrong one."""
    count = 1 + eta**2 if count is None else count
    fresh = eta * (b * h) ** 0.5 if noise is None else noise
    return start * x + (h if length is None else length) * (sign * f + score_rate * b * count * score) + fresh * z


def in_two_moves(x, f, score, b, h, eta, z):
    """First the ODE, then the noise with the velocity that makes up for it."""
    width = eta * (b * h) ** 0.5
    return x - h * (f - b / 2 * score) + width**2 / 2 * score + width * z


def pixel_by_pixel(x, f, score, b, h, eta, z):
    rows = zip(x.tolist(), f.tolist(), score.tolist(), z.tolist(), strict=True)
    return [a + h * ((1 + eta**2) * b / 2 * s - d) + eta * np.sqrt(b * h) * n for a, d, s, n in rows]


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


def read_edm(y, nu, std, F, skip=None, out=None, noise=None, slope=None):
    """The noise and the slope by EDM's network; or wrong ones, by other factors or another end."""
    square = nu**2 + std**2
    skip = std**2 / square if skip is None else skip
    x_0 = skip * y + (nu * std / square**0.5 if out is None else out) * F
    z = (y - x_0) / nu
    return (z if noise is None else noise(y, nu, x_0, z)), (z - x_0 if slope is None else slope(y, nu, x_0, z))


def through_tau(y, nu, std, F):
    """The slope is that from the image to the mix, by the flow time."""
    z, _ = read_edm(y, nu, std, F)
    x_0, tau = y - nu * z, nu / (1 + nu)
    return z, (y / (1 + nu) - x_0) / tau


def through_factors(y, nu, std, F):
    """The skip connection leaves nu / (nu^2 + std^2) of y in the noise, and the slope is a mix of both."""
    root = np.sqrt(nu**2 + std**2)
    z = nu / root**2 * y - std / root * F
    return z, (1 + nu) * z - y


def in_numpy(y, nu, std, F):
    return tuple(read_edm(y.numpy(), nu, std, F.numpy()))


def by_angle(y, nu, std, F):
    """With the angle of nu / std, the factors are sines and cosines."""
    angle = np.arctan(nu / std)
    x_0 = np.cos(angle) ** 2 * y + std * np.sin(angle) * F
    return [(y - x_0) / nu, (y - x_0) / nu - x_0]


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
        "eta^2 times": (lambda *g: back(*g, count=g[5] ** 2), "one is missing"),
        "eta without a square": (lambda *g: back(*g, count=1 + g[5]), "the square of eta"),
        "full noise": (lambda *g: back(*g, noise=(g[3] * g[4]) ** 0.5), "multiplied by eta"),
        "eta in the root": (lambda *g: back(*g, noise=(g[5] * g[3] * g[4]) ** 0.5), "outside the root"),
        "h without a root": (lambda *g: back(*g, noise=g[5] * g[3] ** 0.5 * g[4]), "h has a root"),
        "a variance": (lambda *g: back(*g, noise=g[5] * g[3] * g[4]), "variance of the noise"),
        "the forward drift": (lambda *g: back(*g, sign=1.0), "f has the other sign"),
        "forward": (lambda *g: back(*g, length=-g[4]), "the way to noise"),
        "away from the density": (lambda *g: back(*g, score_rate=-0.5), "plus"),
        "the whole rate": (lambda *g: back(*g, score_rate=1.0), "half the rate"),
        "half of f's rate": (lambda *g: back(*g, sign=-g[3] / 2), "only the score"),
        "the drift of DDPM": (lambda x, f, *g: back(x, -g[1] / 2 * x, *g), "use f"),
        "no length": (lambda *g: back(*g, length=1.0), "multiply it by h"),
        "no noise": (lambda *g: back(*g, noise=0.0), "where is the fresh noise"),
        "only the change": (lambda *g: back(*g, start=0.0), "add it to x"),
    },
    "ex-flows-1": {
        "F for the image": (lambda *g: read_edm(*g, skip=0.0, out=1.0), "not yet the image"),
        "no skip connection": (lambda *g: read_edm(*g, skip=0.0), "where is the skip connection"),
        "all of y": (lambda *g: read_edm(*g, skip=1.0), "multiplied by c_skip"),
        "all of F": (lambda *g: read_edm(*g, out=1.0), "multiplied by c_out"),
        "std without a square": (lambda *g: read_edm(*g, skip=g[2] / (g[1] ** 2 + g[2] ** 2)), "squared in c_skip"),
        "the share of the noise": (lambda *g: read_edm(*g, skip=g[1] ** 2 / (g[1] ** 2 + g[2] ** 2)), "is large where"),
        "no root": (lambda *g: read_edm(*g, out=g[1] * g[2] / (g[1] ** 2 + g[2] ** 2)), "root in the denominator"),
        "squares": (lambda *g: read_edm(*g, out=(g[1] * g[2]) ** 2 / (g[1] ** 2 + g[2] ** 2) ** 0.5), "not squared"),
        "minus F": (lambda *g: read_edm(*g[:3], -g[3]), "sign of the image"),
        "variance 1": (lambda y, nu, std, F: read_edm(y, nu, 1.0, F), "not 1"),
        "c_in again": (
            lambda *g: read_edm(*g, skip=g[2] ** 2 / (g[1] ** 2 + g[2] ** 2) ** 1.5),
            "which was done before",
        ),
        "the image": (lambda *g: read_edm(*g, noise=lambda y, nu, x_0, z: x_0), "estimated image"),
        "not divided": (lambda *g: read_edm(*g, noise=lambda y, nu, x_0, z: y - x_0), "nu times the noise"),
        "minus the noise": (lambda *g: read_edm(*g, noise=lambda y, nu, x_0, z: -z), "sign plus"),
        "F for the noise": (lambda *g: read_edm(*g, noise=lambda *_: -g[3]), "nearly -z"),
        "the papers' sign": (lambda *g: read_edm(*g, slope=lambda y, nu, x_0, z: x_0 - z), "from image to noise"),
        "y for the image": (lambda *g: read_edm(*g, slope=lambda y, nu, x_0, z: z - y), "this is z - y"),
        "over the noise level": (lambda *g: read_edm(*g, slope=lambda y, nu, x_0, z: z), "slope over nu"),
        "the image again": (lambda *g: read_edm(*g, slope=lambda y, nu, x_0, z: x_0), "leads away from it"),
        "the way": (lambda *g: read_edm(*g, slope=lambda y, nu, x_0, z: nu / (1 + nu) * (z - x_0)), "divide by tau"),
        "y for m": (lambda *g: read_edm(*g, slope=lambda y, nu, x_0, z: (1 + nu) * z), "divide it by 1 + nu"),
        "F in the slope": (lambda *g: read_edm(*g, slope=lambda y, nu, x_0, z: z - g[3]), "not of z and F"),
        "the other order": (lambda *g: read_edm(*g)[::-1], "first comes the noise"),
        "one std only": (lambda y, nu, std, F: read_edm(y, nu, 0.7, F), "off by"),
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
    "ex-flows-1": {
        "directly": read_edm,
        "through tau": through_tau,
        "by the factors of the noise": through_factors,
        "numpy": in_numpy,
        "by the angle": by_angle,
    },
    "ex-flows-2": {
        "by Bayes' rule": lambda m, tau, p: (m - image(m, tau, p)) / tau,
        "tanh": by_tanh,
        "softmax over both": by_softmax,
        "one by one": one_by_one,
    },
}
