"""Checks of chapter 18, how probable is an image?"""

import torch

from equations.ch17 import bells
from equations.checks import equivalent, identity

# A density of three pixels that is carried along v, and stretched by s, as the clock c goes on; V is its velocity.
STRETCHED = [
    "p(x, c) = p",
    r"V = 2 c v + \frac{2 c}{s} \left(x - m\right)",
    r"p = \frac{1}{s^3} " + bells(r"\frac{x - m}{s}", "0.6", "0", "1"),
    "m = c^2 v",
    "s = 1 + c^2",
]
# The density of y given the image, up to a constant, for the images m and 0.
K_M, K_0 = (rf"\exp\left(-\frac{{\lVert {place} \rVert^2}}{{2 \nu^2}}\right)" for place in ("y - m", "y"))
# The model of a rounded image: mean and variance of a Gaussian in each pixel, and the distance of two grey values.
ROUNDED, DISTANCE = (0.3, 0.8), 0.4


def at_end(i):
    """The density of a Gaussian in three pixels at one end of a path, and the end."""
    bell = r"\frac{1}{W \sqrt{W}} \exp\left(-\frac{\lVert y_i - m \rVert^2}{2 W}\right)"
    lines = (rf"p(y_i, \nu_i) = {bell}", r"y_i = m + \sqrt{W} x", r"W = S + \nu_i^2")
    return [line.replace("W", f"W_{i}").replace("_i", f"_{i}") for line in lines]


def rounded(s, v):
    """The probability of all places that are within half the distance of the image in each pixel."""
    mean, variance = ROUNDED
    above, below = (torch.special.ndtr((v.x_0 + sign * DISTANCE / 2 - mean) / variance**0.5) for sign in (1, -1))
    share = above - below
    return share.prod(dim=1) if share.dim() > 1 else share


CHECKS = [
    identity(
        "eq-divergence-product",
        given=[r"V = \lVert x \rVert^2 x + v", f"p = {bells('x', '0.6', 'v', '1')}"],
        vector=["x", "v"],
    ),
    identity("eq-log-density-path", given=STRETCHED, paths={"x": "m + s y"}, vector=["x", "y", "v"], positive=["c"]),
    # One Gaussian, so that the path is known; m is the mean of the image, S its variance.
    identity(
        "eq-log-density-ode",
        given=[r"\mathbb{E}[z \mid y] = \frac{\nu \left(y - m\right)}{S + \nu^2}", *at_end("1"), *at_end("T")],
        paths={"y": r"m + \sqrt{S + \nu^2} x"},
        vector=["y", "m", "x"],
        positive=["S", r"\nu_1", r"\nu_T"],
    ),
    # Two images, black (0) and m, equally frequent; q is the probability of m where y is given.
    identity(
        "eq-divergence-spread",
        given=[
            r"\mathbb{E}[z \mid y] = \frac{y - q m}{\nu}",
            r"\mathbb{E}[x_0^\top \left(x_0 - y\right) \mid y] = q m^\top \left(m - y\right)",
            rf"\mathbb{{E}}[k] = \frac{{1}}{{2}} \left({K_M} + {K_0}\right)",
            rf"\mathbb{{E}}[k x_0] = \frac{{1}}{{2}} {K_M} m",
            rf"\mathbb{{E}}[k x_0^\top \left(x_0 - y\right)] = \frac{{1}}{{2}} {K_M} m^\top \left(m - y\right)",
            r"\mathbb{E}[\lVert x_0 - \mathbb{E}[x_0 \mid y] \rVert^2 \mid y]"
            r" = q \lVert m - q m \rVert^2 + \left(1 - q\right) \lVert q m \rVert^2",
            r"\mathbb{E}[x_0 \mid y] = q m",
            r"q = \frac{1}{1 + \exp\left(\frac{\lVert y - m \rVert^2 - \lVert y \rVert^2}{2 \nu^2}\right)}",
        ],
        vector=["y", "m"],
        positive=[r"\nu"],
    ),
    # exp(-(z_1^2 + z_2^2) / 4) has the density 2 s between 0 and 1: q grows from 0 at one end of the cell to the other.
    identity(
        "eq-variational-dequantisation",
        given=[
            r"\log p(y) = -\frac{\left(y - m\right)^2}{2 S} - \frac{1}{2} \log\left(2 \pi S\right)",
            r"q(y) = \frac{2}{w} \left(\frac{y - x_0}{w} + \frac{1}{2}\right)",
            rf"S = {ROUNDED[1]}",
            rf"m = {ROUNDED[0]}",
            r"y = x_0 + w \left(\exp\left(-\frac{z_1^2 + z_2^2}{4}\right) - \frac{1}{2}\right)",
            rf"w = {DISTANCE}",
        ],
        where={"P(x_0)": rounded},
        pixels=1,
    ),
    # exp(-(z_1^2 + z_2^2) / 2) is uniform between 0 and 1, so y is uniform in each pixel around x_0.
    identity(
        "eq-rounding-bound",
        given=[
            r"\log p(y) = -\frac{\lVert y - m \rVert^2}{2 S} - \frac{3}{2} \log\left(2 \pi S\right)",
            rf"S = {ROUNDED[1]}",
            rf"m = {ROUNDED[0]}",
            r"y = x_0 + w \left(\exp\left(-\frac{z_1^2 + z_2^2}{2}\right) - \frac{1}{2}\right)",
            rf"w = {DISTANCE}",
        ],
        where={"P(x_0)": rounded},
    ),
]

EQUIVALENT = [
    equivalent(label, "- -> +, 1st", "a probability is at most 1, so its logarithm is below the bound too")
    for label in ("eq-variational-dequantisation", "eq-rounding-bound")
]
