"""Wrong and right answers to the exercises of chapter 16."""

import numpy as np
import torch


def image(m, tau, p, width=None, shift=None, more=0.0):
    """The mean of x_0 given m."""
    width, shift = tau if width is None else width, 1 - tau if shift is None else shift
    high, low = (torch.exp(-((m - shift * x) ** 2) / (2 * width**2)) for x in (1, -1))
    return (p * high - (1 - p) * low) / (p * high + (1 - p) * low + more)


def density(tau):
    return 1 / (tau * (2 * np.pi) ** 0.5)


def weighted(m, tau, p, factor=1.0):
    """The sum of the images times weights that do not add up to 1."""
    high, low = (torch.exp(-((m - (1 - tau) * x) ** 2) / (2 * tau**2)) for x in (1, -1))
    return factor * (p * high - (1 - p) * low)


def slopes(m, tau, p):
    """The sum of the slopes times weights that do not add up to 1."""
    logs = [np.log(q) - (m - (1 - tau) * x) ** 2 / (2 * tau**2) for q, x in ((p, 1), (1 - p, -1))]
    return sum(log.exp() * (m - x) / tau for log, x in zip(logs, (1, -1), strict=True))


def by_tanh(m, tau, p):
    return (m - torch.tanh((1 - tau) * m / tau**2 + np.log(p / (1 - p)) / 2)) / tau


def by_softmax(m, tau, p):
    values = torch.tensor([1.0, -1.0], dtype=m.dtype)
    logs = torch.tensor([p, 1 - p], dtype=m.dtype).log() - (m[:, None] - (1 - tau) * values) ** 2 / (2 * tau**2)
    slopes = (m[:, None] - (1 - tau) * values) / tau - values  # z - x_0 of each
    return (logs.softmax(1) * slopes).sum(1)


def by_sigmoid(m, tau, p):
    high = torch.sigmoid(2 * (1 - tau) * m / tau**2 + np.log(p / (1 - p)))
    return (m - (2 * high - 1)) / tau


def one_by_one(m, tau, p):
    """The smaller exponent is taken off both."""
    found = []
    for place in m.tolist():
        logs = [np.log(q) - (place - (1 - tau) * x) ** 2 / (2 * tau**2) for q, x in ((p, 1), (1 - p, -1))]
        high, low = np.exp(np.array(logs) - max(logs))
        found.append((place - (high - low) / (high + low)) / tau)
    return found


def foreign(x_t, alpha_bar, D, w, y=None, level=None, edm=None, m=None, r=None, flow=None):
    """The noise by EDM's denoiser and by a flow; or wrong ones, by other places, times or ends."""
    nu = (1 / alpha_bar - 1) ** 0.5
    tau = nu / (1 + nu)
    places = x_t / alpha_bar**0.5, x_t / alpha_bar**0.5 / (1 + nu)
    y, m = (place if choose is None else choose(x_t, *places) for choose, place in zip((y, m), places, strict=True))
    level, r = nu if level is None else level(nu, tau), 1 - tau if r is None else r(nu, tau)
    image, u = D(y, level), -w(m, r)
    first = (y - image) / nu if edm is None else edm(y, image, nu, tau)
    return first, (m + (1 - tau) * u if flow is None else flow(m, u, nu, tau))


def as_tau(choose):
    """A flow with this function of nu for tau, both in its time and in the rest of the way."""
    return {"r": lambda nu, tau: 1 - choose(nu), "flow": lambda m, u, nu, tau: m + (1 - choose(nu)) * u}


def through_the_images(x_t, alpha_bar, D, w):
    """Both estimate the image, and the noise is what is left of x_t."""
    signal, noise = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
    m = x_t / (signal + noise)
    images = D(x_t / signal, noise / signal), m + noise / (signal + noise) * w(m, signal / (signal + noise))
    return [(x_t - signal * image) / noise for image in images]


def by_the_dictionary(x_t, alpha_bar, D, w):
    """The noise from u and x_t, as in eq-z-from-flow."""
    signal, noise = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)
    u = -w(x_t / (signal + noise), signal / (signal + noise))
    return (x_t - signal * D(x_t / signal, noise / signal)) / noise, (x_t + signal * u) / (signal + noise)


def one_place_at_a_time(x_t, alpha_bar, D, w):
    pairs = [foreign(place, alpha_bar, D, w) for place in x_t.tolist()]
    return tuple(torch.tensor(pairs, dtype=torch.float64).T)


def flow_loss(net, x_0, z, tau, weight=None, place=None, at=None, error=None):
    """The loss of flow matching for a network of the noise; or a wrong one, of other places, times or errors."""
    m = (1 - tau) * x_0 + tau * z if place is None else place(x_0, z, tau)
    z_hat = net(m, tau if at is None else at(tau))
    off = z - z_hat if error is None else error(x_0, z, tau, m, z_hat)
    return (off**2 * ((1 - tau) ** -2 if weight is None else weight(tau))).mean()


def loss_by_slopes(net, x_0, z, tau):
    m = (1 - tau) * x_0 + tau * z
    z_hat = net(m, tau)
    return ((z - x_0 - z_hat + (m - tau * z_hat) / (1 - tau)) ** 2).mean()


def loss_by_the_rest_of_the_way(net, x_0, z, tau):
    """The slope is how far it is to the noise, divided by the time that is left."""
    m = (1 - tau) * x_0 + tau * z
    return torch.nn.functional.mse_loss((net(m, tau) - m) / (1 - tau), z - x_0)


def loss_by_images(net, x_0, z, tau):
    m = (1 - tau) * x_0 + tau * z
    image = (m - tau * net(m, tau)) / (1 - tau)
    return ((x_0 - image) / tau).pow(2).mean()


def loss_one_by_one(net, x_0, z, tau):
    rows = zip(x_0, z, tau, strict=True)
    return sum(flow_loss(net, x, noise, time) for x, noise, time in rows) / len(tau)


def loss_with_detached_image(net, x_0, z, tau):
    m = (1 - tau) * x_0 + tau * z
    z_hat = net(m, tau)
    return ((z - x_0 - z_hat + ((m - tau * z_hat) / (1 - tau)).detach()) ** 2).mean()


def loss_without_graph(*given):
    with torch.no_grad():
        return flow_loss(*given)


def one(tau):
    return 1.0


WRONG = {
    "ex-flows-foreign": {
        "x_t for y": (lambda *g: foreign(*g, y=lambda x, y, m: x), "x_t is not divided; D"),
        "x_t for y in D": (
            lambda x, a, D, w: (foreign(x, a, lambda y, nu: D(x, nu), w)[0], foreign(x, a, D, w)[1]),
            "D, too, is given y",
        ),
        "no root": (lambda x, a, D, w: foreign(x, a, D, w, y=lambda x, y, m: x / a), "root of alpha_bar"),
        "m for y": (lambda *g: foreign(*g, y=lambda x, y, m: m), "m is the flow's place"),
        "tau for nu": (
            lambda *g: foreign(*g, level=lambda nu, tau: tau, edm=lambda y, D, nu, tau: (y - D) / tau),
            "tau is the flow's time",
        ),
        "tau for nu in D": (lambda *g: foreign(*g, level=lambda nu, tau: tau), "given nu, not tau"),
        "the weight of the noise": (
            lambda x, a, D, w: foreign(
                x, a, D, w, level=lambda *_: (1 - a) ** 0.5, edm=lambda y, D, *_: (y - D) / (1 - a) ** 0.5
            ),
            "over that of the image",
        ),
        "nu squared": (
            lambda *g: foreign(*g, level=lambda nu, tau: nu**2, edm=lambda y, D, nu, tau: (y - D) / nu**2),
            "EDM's time is nu, not its square",
        ),
        "nu squared in D": (lambda *g: foreign(*g, level=lambda nu, tau: nu**2), "given nu, not its square"),
        "the image of EDM": (lambda *g: foreign(*g, edm=lambda y, D, nu, tau: D), "EDM: this is the estimated image"),
        "not divided": (lambda *g: foreign(*g, edm=lambda y, D, nu, tau: y - D), "nu times the noise"),
        "minus the noise": (lambda *g: foreign(*g, edm=lambda y, D, nu, tau: (D - y) / nu), "sign plus"),
        "time not reversed": (lambda *g: foreign(*g, r=lambda nu, tau: tau), "the time is not reversed"),
        "sign not reversed": (
            lambda *g: foreign(*g, flow=lambda m, u, nu, tau: m - (1 - tau) * u),
            "the sign is not reversed",
        ),
        "neither reversed": (
            lambda *g: foreign(*g, r=lambda nu, tau: tau, flow=lambda m, u, nu, tau: m - (1 - tau) * u),
            "the time and the sign",
        ),
        "x_t for m": (lambda *g: foreign(*g, m=lambda x, y, m: x), "x_t is not divided; w"),
        "x_t for m in w": (
            lambda x, a, D, w: (foreign(x, a, D, w)[0], foreign(x, a, D, lambda m, r: w(x, r))[1]),
            "w, too, is given m",
        ),
        "on from x_t": (
            lambda *g: foreign(*g, flow=lambda m, u, nu, tau: m * (1 + nu) / (1 + nu**2) ** 0.5 + (1 - tau) * u),
            "x_t is not divided; go on",
        ),
        "y for m": (lambda *g: foreign(*g, m=lambda x, y, m: y), "the flow's is m"),
        "on from y": (
            lambda *g: foreign(*g, flow=lambda m, u, nu, tau: (1 + nu) * m + (1 - tau) * u),
            "go on from m",
        ),
        "nu for tau": (lambda *g: foreign(*g, r=lambda nu, tau: 1 - nu), "nu is EDM's time; r"),
        "nu for tau twice": (
            lambda *g: foreign(*g, r=lambda nu, tau: 1 - nu, flow=lambda m, u, nu, tau: m + (1 - nu) * u),
            "the flow's is tau",
        ),
        "the slope": (lambda *g: foreign(*g, flow=lambda m, u, nu, tau: u), "this is the slope u"),
        "the place": (lambda x, a, D, w: (foreign(x, a, D, w)[0], x), "this is x_t"),
        "the image of the flow": (lambda *g: foreign(*g, flow=lambda m, u, nu, tau: m - tau * u), "the other way"),
        "the time to the image": (lambda *g: foreign(*g, flow=lambda m, u, nu, tau: m + tau * u), "the time 1 - tau"),
        "the other order": (lambda *g: foreign(*g)[::-1], "first comes EDM's"),
        "m + u": (lambda *g: foreign(*g, flow=lambda m, u, *_: m + u), "only the time 1 - tau is left"),
        "a root too many": (
            lambda x, a, D, w: (foreign(x, a, D, w)[0], a**0.5 * foreign(x, a, D, w)[1]),
            "leave the root out",
        ),
        "no denominator": (
            lambda x, a, D, w: (foreign(x, a, D, w)[0], foreign(x, a, D, w, flow=lambda m, u, *_: x + a**0.5 * u)[1]),
            "the sum of the two weights",
        ),
        "D from x_t, divided by nu": (
            lambda x, a, D, w: foreign(x, a, D, w, edm=lambda y, D, nu, tau: (x - D) / nu),
            "stands for y",
        ),
        "EDM's estimate twice": (lambda x, a, D, w: (foreign(x, a, D, w)[0],) * 2, "EDM's estimate again"),
        "D without its root": (
            lambda x, a, D, w: foreign(x, a, D, w, edm=lambda y, D, *_: (x - D) / (1 - a) ** 0.5),
            "multiply D by it",
        ),
        "a variance for tau": (lambda *g: foreign(*g, **as_tau(lambda nu: nu**2 / (1 + nu**2))), "not 1 - alpha_bar"),
        "a deviation for tau": (
            lambda *g: foreign(*g, **as_tau(lambda nu: nu / (1 + nu**2) ** 0.5)),
            "not the root of 1 - alpha_bar",
        ),
        "a variance for tau in m too": (
            lambda x, a, D, w: foreign(x, a, D, w, m=lambda x, y, m: a * y, **as_tau(lambda nu: 1 - a)),
            "in m too",
        ),
        "a deviation in r": (lambda *g: foreign(*g, r=lambda nu, tau: 1 - nu / (1 + nu**2) ** 0.5), "; r is 1 - tau"),
        "m + w": (lambda *g: foreign(*g, flow=lambda m, u, *_: m - u), "go against it"),
        "three values": (lambda x, a, D, w: (*foreign(x, a, D, w), a), "2 values"),
        "a tensor's root": (lambda x, a, D, w: foreign(x / a.sqrt(), a, D, w), "use ** 0.5 for a root"),
        "one time only": (lambda x, a, D, w: foreign(x, 0.64, D, w), "alpha_bar=0.2"),
    },
    "ex-flows-2": {
        "the prior's mean": (lambda m, tau, p: (m - (2 * p - 1)) / tau, "without looking at m"),
        "the mean of all pairs": (lambda m, tau, p: 0 * m + 1 - 2 * p, "wherever they pass"),
        "the prior's mean added": (
            lambda m, tau, p: (m - image(m, tau, 0.5) - (2 * p - 1)) / tau,
            "enters once, inside the tanh",
        ),
        "a variance": (lambda m, tau, p: (m - image(m, tau, p, width=tau**0.5)) / tau, "is a standard deviation"),
        "the probability of 1": (lambda m, tau, p: (m - (1 + image(m, tau, p)) / 2) / tau, "which is 2 p - 1"),
        "fixed centres": (lambda m, tau, p: (m - image(m, tau, p, shift=1)) / tau, "no longer at 1 and -1"),
        "time reversed": (lambda m, tau, p: (m - image(m, tau, p, width=1 - tau, shift=tau)) / tau, "not the reverse"),
        "no share": (lambda m, tau, p: (m - image(m, tau, 0.5)) / tau, "share is not used"),
        "turned around": (lambda m, tau, p: (m - image(m, tau, 1 - p)) / tau, "changed places"),
        "no half": (
            lambda m, tau, p: (m - torch.tanh(2 * (1 - tau) * m / tau**2 + np.log(p / (1 - p)))) / tau,
            "half the logarithm",
        ),
        "no 2": (lambda m, tau, p: (m - image(m, tau, p, shift=(1 - tau) / 2)) / tau, "differ by 4 (1 - tau) m"),
        "odds twice": (
            lambda m, tau, p: (m - torch.tanh((1 - tau) * m / tau**2 + np.log(p / (1 - p)))) / tau,
            "is halved too",
        ),
        "no half in the exponent": (
            lambda m, tau, p: (m - image(m, tau, p, shift=2 * (1 - tau))) / tau,
            "the factor 1/2",
        ),
        "the image added": (lambda m, tau, p: (m + image(m, tau, p)) / tau, "take the mean image off"),
        "the image": (image, "this is the mean image"),
        "the noise": (lambda m, tau, p: (m - (1 - tau) * image(m, tau, p)) / tau, "this is the mean noise"),
        "the other sign": (lambda m, tau, p: (image(m, tau, p) - m) / tau, "mean of x_0 - z"),
        "not divided": (lambda m, tau, p: m - image(m, tau, p), "divide by it"),
        "the other time": (lambda m, tau, p: (m - image(m, tau, p)) / (1 - tau), "takes the time tau"),
        "the nearest": (lambda m, tau, p: (m - m.sign()) / tau, "nearest image"),
        "the nearest at small times": (
            lambda m, tau, p: (m - m.sign()) / tau if tau < 0.1 else by_tanh(m, tau, p),
            "tau=0.09, share=0.4: this is the slope of the nearest image",
        ),
        "the nearest below 0.05": (
            lambda m, tau, p: (m - m.sign()) / tau if tau < 0.05 else by_tanh(m, tau, p),
            "tau=0.03, share=0.6: this is the slope of the nearest image",
        ),
        "weights not normalised": (
            lambda m, tau, p: (m - weighted(m, tau, p)) / tau,
            "of the images do not add up to 1",
        ),
        "densities not normalised": (
            lambda m, tau, p: (m - weighted(m, tau, p, density(tau))) / tau,
            "prior times density does not",
        ),
        "slopes not normalised": (slopes, "of the slopes do not add up to 1"),
        "slopes by densities": (lambda m, tau, p: density(tau) * slopes(m, tau, p), "the weight of a slope"),
        "a small number below": (lambda m, tau, p: (m - image(m, tau, p, more=1e-12)) / tau, "their ratio is infinite"),
        "both densities": (lambda m, tau, p: (m - image(m, tau, p)) / tau, "their ratio is infinite"),
        "a floor under tau": (lambda m, tau, p: by_tanh(m, max(tau, 0.01), p), "tau=0.001"),
    },
    "ex-flows-loss": {
        "a floor under 1 - tau": (
            lambda *g: flow_loss(*g, weight=lambda tau: (1 - tau).clamp(min=0.01) ** -2),
            "is 1 - tau clamped",
        ),
        "a small floor under 1 - tau": (
            lambda *g: flow_loss(*g, weight=lambda tau: (1 - tau).clamp(min=1e-3) ** -2),
            "is 1 - tau clamped",
        ),
        "z - m": (
            lambda *g: flow_loss(*g, weight=one, error=lambda x, z, tau, m, z_hat: z - x - (z_hat - m)),
            "is not yet u_hat",
        ),
        "divided by tau": (
            lambda *g: flow_loss(*g, weight=one, error=lambda x, z, tau, m, z_hat: z - x - (z_hat - m) / tau),
            "it is 1 - tau, not tau",
        ),
        "DDPM's loss": (lambda *g: flow_loss(*g, weight=one), "this is DDPM's loss"),
        "no square in the weight": (lambda *g: flow_loss(*g, weight=lambda tau: 1 / (1 - tau)), "by (1 - tau)^2"),
        "inverted": (lambda *g: flow_loss(*g, weight=lambda tau: (1 - tau) ** 2), "is inverted: divide"),
        "inverted, no square": (lambda *g: flow_loss(*g, weight=lambda tau: 1 - tau), "has no square"),
        "tau in the weight": (lambda *g: flow_loss(*g, weight=lambda tau: tau**-2), "dividing by tau"),
        "of the image": (lambda *g: flow_loss(*g, weight=lambda tau: (tau / (1 - tau)) ** 2), "error of the image"),
        "z for u": (
            lambda *g: flow_loss(*g, weight=one, error=lambda x, z, tau, m, z_hat: z - x - z_hat),
            "estimates z, not u",
        ),
        "the place reversed": (
            lambda *g: flow_loss(*g, place=lambda x, z, tau: tau * x + (1 - tau) * z),
            "not the reverse",
        ),
        "the place reversed, by slopes": (
            lambda *g: flow_loss(
                *g,
                weight=one,
                place=lambda x, z, tau: tau * x + (1 - tau) * z,
                error=lambda x, z, tau, m, z_hat: z - x - z_hat + (m - tau * z_hat) / (1 - tau),
            ),
            "so is the implied image",
        ),
        "the time reversed": (lambda *g: flow_loss(*g, at=lambda tau: 1 - tau), "not at 1 - tau"),
        "the slope reversed": (
            lambda *g: flow_loss(
                *g, weight=one, error=lambda x, z, tau, m, z_hat: x - z - z_hat + (m - tau * z_hat) / (1 - tau)
            ),
            "both are noise minus image",
        ),
        "the estimate reversed": (
            lambda *g: flow_loss(
                *g, weight=one, error=lambda x, z, tau, m, z_hat: z - x + z_hat - (m - tau * z_hat) / (1 - tau)
            ),
            "both are noise minus image",
        ),
        "the true image": (
            lambda *g: flow_loss(*g, weight=one, error=lambda x, z, tau, m, z_hat: z - x - (z_hat - x)),
            "implies another image",
        ),
        "an image not divided": (
            lambda *g: flow_loss(*g, weight=one, error=lambda x, z, tau, m, z_hat: z - x - z_hat + m - tau * z_hat),
            "is divided by 1 - tau",
        ),
        "no square": (
            lambda net, x, z, tau: ((z - net((1 - tau) * x + tau * z, tau)) / (1 - tau)).mean(),
            "square the error",
        ),
        "the square of the mean": (
            lambda net, x, z, tau: ((z - net((1 - tau) * x + tau * z, tau)) / (1 - tau)).mean() ** 2,
            "squares the mean",
        ),
        "absolute values": (
            lambda net, x, z, tau: ((z - net((1 - tau) * x + tau * z, tau)) / (1 - tau)).abs().mean(),
            "absolute value",
        ),
        "a sum over pixels": (lambda net, x, *g: flow_loss(net, x, *g) * x.shape[1], "not their sum"),
        "a sum": (lambda net, x, *g: flow_loss(net, x, *g) * x.numel(), "the mean, not the sum"),
        "a root": (lambda *g: flow_loss(*g).sqrt(), "the root"),
        "half": (lambda *g: flow_loss(*g) / 2, "factor 1/2"),
        "one weight": (
            lambda net, x, z, tau: flow_loss(net, x, z, tau, weight=one) / ((1 - tau) ** 2).mean(),
            "each image has its own",
        ),
        "a number": (lambda *g: flow_loss(*g).item(), "has no gradient"),
        "without a graph": (loss_without_graph, "has no gradient"),
        "a detached image": (loss_with_detached_image, "is a part of it detached"),
        "a clamped weight": (
            lambda *g: flow_loss(*g, weight=lambda tau: (1 - tau.clamp(max=0.9)) ** -2),
            "tau from 0.3 to 0.95: the result is off",
        ),
        "not averaged": (
            lambda net, x, z, tau: ((z - net((1 - tau) * x + tau * z, tau)) / (1 - tau)) ** 2,
            "expected one number",
        ),
    },
}
RIGHT = {
    "ex-flows-loss": {
        "weighted": flow_loss,
        "by slopes": loss_by_slopes,
        "the rest of the way": loss_by_the_rest_of_the_way,
        "by images": loss_by_images,
        "one by one": loss_one_by_one,
    },
    "ex-flows-foreign": {
        "directly": foreign,
        "through the images": through_the_images,
        "by the dictionary": by_the_dictionary,
        "one place at a time": one_place_at_a_time,
        "numpy": lambda x, *g: foreign(x.numpy(), *g),
    },
    "ex-flows-2": {
        "tanh": by_tanh,
        "sigmoid": by_sigmoid,
        "softmax over both": by_softmax,
        "one by one": one_by_one,
    },
}
