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
# The model of a rounded image: the mean, shift and variance of two Gaussians, and the level of the noise.
ROUNDED, LEVEL = (0.3, 0.1, 1.6), 0.9


def at_end(i):
    """The density of a Gaussian in three pixels at one end of a path, and the end."""
    bell = r"\frac{1}{W \sqrt{W}} \exp\left(-\frac{\lVert y_i - m \rVert^2}{2 W}\right)"
    lines = (rf"p(y_i, \nu_i) = {bell}", r"y_i = m + \sqrt{W} x", r"W = S + \nu_i^2")
    return [line.replace("W", f"W_{i}").replace("_i", f"_{i}") for line in lines]


def rounded(s, v):
    """The probability of all places that are within eight levels of the image."""
    mean, shift, variance = ROUNDED
    total = torch.zeros(1, dtype=torch.float64)
    for share, centre in ((0.7, shift + mean), (0.3, shift - mean)):
        ends = (v.x_0 + sign * 8 * LEVEL - centre for sign in (1, -1))
        above, below = (torch.special.ndtr(end / variance**0.5) for end in ends)
        total = total + share * (above - below).prod(dim=1)
    return total


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
    identity(
        "eq-rounding-bound",
        given=[
            r"q(y) = \frac{1}{c^2 \sqrt{c^2}} \exp\left(-\frac{\lVert y - x_0 \rVert^2}{2 \nu_1^2}\right)",
            r"c = \sqrt{2 \pi} \nu_1",
            rf"p(y) = \frac{{1}}{{\sqrt{{2 \pi \cdot {ROUNDED[2]}}}}} {bells('y', *map(str, ROUNDED))}",
            rf"\nu_1 = {LEVEL}",
        ],
        where={"P(x_0)": rounded},
        densities={"y": "q(y)"},
        vector=["y"],
    ),
]

EQUIVALENT = [
    equivalent(
        "eq-rounding-bound", "- -> +, 1st", "a probability is at most 1, so its logarithm is below the bound too"
    ),
]
