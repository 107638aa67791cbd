"""Checks of chapter 14, reading other people's code."""

import numpy as np

from equations.ch11 import S, in_mind, still
from equations.checks import by_hand, identity, matches

# A particle of Gaussian data of variance V: its place at the noise level nu, and the estimates there.
ALONG = [
    r"z_\theta = \frac{\nu y}{V + \nu^2}",
    r"\hat{x}_0 = \frac{V y}{V + \nu^2}",
    r"y = C \sqrt{V + \nu^2}",
]


def follow(nu, v=0.6, c=1.3):
    """Such a particle at the noise level nu: the weights of image and noise, its x, and the estimated image."""
    a = 1 / np.sqrt(1 + nu**2)
    y = c * np.sqrt(v + nu**2)
    return a, a * nu, a * y, v * y / (v + nu**2)


def check_image_integral():
    """The exact solution, by Simpson's rule over a thousand parts of the step."""
    for start, end in ((3.0, 1.5), (0.8, 0.05)):
        (_, b_t, x_t, _), (_, b_s, x_s, _) = follow(start), follow(end)
        ell = np.linspace(-np.log(start), -np.log(end), 1001)
        parts = np.exp(ell) * follow(np.exp(-ell))[3]
        width = ell[1] - ell[0]
        integral = width / 3 * (parts[0] + parts[-1] + 4 * parts[1:-1:2].sum() + 2 * parts[2:-1:2].sum())
        assert abs(b_s / b_t * x_t + b_s * integral - x_s) < 1e-10


def check_middle():
    """An estimate that is a line over ell has this value in the middle of the next step."""

    def line(ell):
        return 0.7 - 0.4 * ell

    before, here, after = -1.2, -0.5, 0.4
    h_before, h = here - before, after - here
    found = line(here) + h / (2 * h_before) * (line(here) - line(before))
    assert abs(found - line((here + after) / 2)) < 1e-12


def check_sde():
    """DDIM's step with eta = 1, as a function of ell; the same with the exponents of the step without noise is not."""
    x_t, image, fresh = 0.7, -0.4, 1.1
    for start, end in ((3.0, 1.5), (0.8, 0.05)):
        (a_t, b_t, *_), (a_s, b_s, *_) = follow(start), follow(end)
        sigma = b_s / b_t * np.sqrt(1 - a_t**2 / a_s**2)
        z_hat = (x_t - a_t * image) / b_t
        due = a_s * image + np.sqrt(b_s**2 - sigma**2) * z_hat + sigma * fresh
        h = np.log(a_s / b_s) - np.log(a_t / b_t)

        def step(once, twice, h=h, b_t=b_t, a_s=a_s, b_s=b_s):
            kept = b_s / b_t * np.exp(-once * h) * x_t
            return kept + a_s * (1 - np.exp(-twice * h)) * image + b_s * np.sqrt(1 - np.exp(-twice * h)) * fresh

        assert abs(step(1, 2) - due) < 1e-12
        assert min(abs(step(*wrong) - due) for wrong in ((0, 2), (1, 1), (2, 2))) > 1e-3


def check_karras():
    """The levels go from the largest to the smallest, and their seventh roots are evenly spaced."""
    highest, lowest, n = 80.0, 0.002, 9
    i = np.arange(n)
    nu = (highest ** (1 / 7) + i / (n - 1) * (lowest ** (1 / 7) - highest ** (1 / 7))) ** 7
    assert np.allclose(nu[[0, -1]], [highest, lowest])
    roots = nu ** (1 / 7)
    assert np.allclose(np.diff(roots), np.diff(roots)[0])


def check_rescaled():
    """The first root stays, the last becomes 0, and differences keep their ratios; with half of it, an end is wrong."""
    roots = np.cumprod(np.linspace(0.99999, 0.99, 1000))
    first, last = roots[[0, -1]]
    new = first / (first - last) * (roots - last)
    assert np.allclose(new[[0, -1]], [first, 0])
    assert np.allclose(np.diff(new) / np.diff(roots), np.diff(new)[0] / np.diff(roots)[0])
    assert abs((roots - last)[0] - first) > 1e-4
    assert abs((first / (first - last) * roots)[-1]) > 1e-4


CHECKS = [
    identity(
        "eq-read-answer",
        given=[r"x = a \hat{x}_0 + b z_\theta", r"F = p \hat{x}_0 + q z_\theta"],
        vector=[r"\hat{x}_0", r"z_\theta"],
        scalar=["a", "b", "p", "q"],
    ),
    by_hand(
        "eq-rescaled-roots",
        r"r_t = \frac{\sqrt{\bar{\alpha}_1}}{\sqrt{\bar{\alpha}_1} - \sqrt{\bar{\alpha}_T}}"
        r" \left(\sqrt{\bar{\alpha}_t} - \sqrt{\bar{\alpha}_T}\right)",
        check_rescaled,
        "defines the roots; their ends and ratios are computed",
    ),
    matches(
        "eq-first-order",
        "x_s",
        still,
        where={**S, r"\hat{x}_0": in_mind},
        tables={"a": lambda s, v: s.alpha_bar.sqrt(), "b": lambda s, v: s.one_minus_alpha_bar.sqrt()},
    ),
    identity("eq-quotient-slope", given=ALONG, positive=["C", "V", r"\nu"]),
    by_hand(
        "eq-image-integral",
        r"x_s = \frac{b_s}{b_t} x_t + b_s \int_{\ell_t}^{\ell_s} e^\ell \hat{x}_0(\ell) d \ell",
        check_image_integral,
        "an integral along a path, computed for exact Gaussian data",
    ),
    by_hand(
        "eq-middle-estimate",
        r"\hat{x}_0^{\mathrm{middle}} = \hat{x}_0"
        r" + \frac{h}{2 h_{\mathrm{before}}} \left(\hat{x}_0 - \hat{x}_0^{\mathrm{before}}\right)",
        check_middle,
        "a value on a line, computed for one line",
    ),
    by_hand(
        "eq-sde-step",
        r"x_s = \frac{b_s}{b_t} e^{-h} x_t + a_s (1 - e^{-2 h}) \hat{x}_0 + b_s \sqrt{1 - e^{-2 h}} z'",
        check_sde,
        "another form of DDIM's step with eta = 1, computed for two steps",
    ),
    by_hand(
        "eq-karras-levels",
        r"\nu_i = \left(\nu_{\mathrm{max}}^{1/7}"
        r" + \frac{i}{n - 1} \left(\nu_{\mathrm{min}}^{1/7} - \nu_{\mathrm{max}}^{1/7}\right)\right)^7",
        check_karras,
        "defines the levels; its ends and its spacing are computed",
    ),
]
