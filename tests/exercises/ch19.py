"""Wrong and right answers to the exercises of chapter 19."""

import math

import torch
from torch.distributions import Normal


def bell(nu, mean, std):
    """The density of log nu."""
    return Normal(mean, std).log_prob(nu.log()).exp()


def by_tau(nu, mean, std):
    """From the density of the flow time, and an error of the image that is nu times that of z."""
    tau = nu / (1 + nu)
    density_of_tau = Normal(mean, std).log_prob(torch.logit(tau)).exp() / (tau * (1 - tau))
    return nu**2 * density_of_tau * tau * (1 - tau)


def by_hand(nu, mean, std):
    log = nu.log()
    return (2 * log - (log - mean) ** 2 / (2 * std**2)).exp() / (std * math.sqrt(2 * math.pi))


def by_level(nu, mean, std):
    """From the log-normal density of nu, times nu."""
    return nu**3 * torch.distributions.LogNormal(mean, std).log_prob(nu).exp()


def product(weight, nu, mean, std, density=None):
    return weight * (bell(nu, mean, std) if density is None else density)


WRONG = {
    "ex-loss-product": {
        "the density": (bell, "multiply by the weight"),
        "the weight": (lambda nu, mean, std: nu**2, "multiply by the density"),
        "no square": (lambda nu, *g: product(nu, nu, *g), "a factor of nu is missing"),
        "upside down": (lambda nu, *g: product(nu**-2, nu, *g), "upside down"),
        "the density of nu, and the weight": (
            lambda nu, mean, std: nu**2 * torch.distributions.LogNormal(mean, std).log_prob(nu).exp(),
            "a factor of nu is missing",
        ),
        "the density of nu alone": (lambda nu, *g: bell(nu, *g) / nu, "per unit of nu"),
        "the density times nu": (lambda nu, *g: product(nu**3, nu, *g), "do not multiply it by nu"),
        "the density of tau": (lambda nu, *g: product(nu * (1 + nu) ** 2, nu, *g), "not of tau"),
        "a slope too many": (lambda nu, *g: product(nu**3 / (1 + nu) ** 2, nu, *g), "no slope is needed"),
        "the weight of u": (lambda nu, *g: product((1 + nu) ** 2, nu, *g), "a network of u"),
        "the weight of v": (lambda nu, *g: product(1 + nu**2, nu, *g), "a network of v"),
        "tau for nu": (lambda nu, *g: product((nu / (1 + nu)) ** 2, nu, *g), "not tau times"),
        "the variance": (lambda nu, mean, std: nu**2 * bell(nu, mean, std**0.5), "not the variance"),
        "the square of std": (lambda nu, mean, std: nu**2 * bell(nu, mean, std**2), "do not square it"),
        "the Gaussian at nu": (lambda nu, *g: nu**2 * Normal(*g).log_prob(nu).exp(), "not over nu"),
        "the Gaussian at tau": (lambda nu, *g: nu**2 * Normal(*g).log_prob(nu / (1 + nu)).exp(), "not over tau"),
        "another logarithm": (lambda nu, *g: nu**2 * Normal(*g).log_prob(nu.log10()).exp(), "natural logarithm"),
        "no constant": (lambda nu, mean, std: by_hand(nu, mean, std) * std * math.sqrt(2 * math.pi), "its constant"),
        "no std in the constant": (lambda nu, mean, std: by_hand(nu, mean, std) * std, "lacks the standard deviation"),
        "log_prob": (lambda nu, *g: nu**2 * Normal(*g).log_prob(nu.log()), "take exp"),
        "the logarithm": (lambda *g: by_hand(*g).log(), "the logarithm of the product"),
        "the weight of v, inverted": (lambda nu, *g: product(nu**2 / (1 + nu**2), nu, *g), "an error of v, not of z"),
        "squared twice": (lambda nu, *g: product(nu**4, nu, *g), "square the factor nu once"),
        "the root": (lambda *g: by_hand(*g).sqrt(), "the square root of the product"),
        "no std": (lambda nu, mean, std: nu**2 * bell(nu, mean, 1.0), "std is not used"),
        "no mean": (lambda nu, mean, std: nu**2 * bell(nu, 0.0, std), "the mean is not used"),
        "neither": (lambda nu, mean, std: nu**2 * bell(nu, 0.0, 1.0), "neither mean nor std"),
        "the other sign": (lambda nu, mean, std: nu**2 * bell(nu, -mean, std), "the other sign"),
    },
}
RIGHT = {
    "ex-loss-product": {
        "by the Gaussian": lambda nu, *g: product(nu**2, nu, *g),
        "by the flow time": by_tau,
        "by hand": by_hand,
        "by the level": by_level,
    },
}
