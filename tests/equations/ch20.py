"""Checks of chapter 20, straight paths."""

import numpy as np

from equations.ch16 import MEANS, SHARES, STDS, straight
from equations.checks import by_hand, illustration


def check_reflow_length():
    """The mixture, and pairs of equal rank, which is where particles of one pixel end that follow U exactly."""
    ranks, grid = (np.arange(4000) + 0.5) / 4000, np.linspace(-6, 6, 40_001)
    times = (np.arange(200) + 0.5) / 200
    squares, crossing, places = [], [], []
    second = SHARES @ (MEANS**2 + STDS**2) + 1  # the mean of (z - x_0)^2; their product is 0 on average
    for tau in times:
        p, slope = straight(grid, tau)
        step = grid[1] - grid[0]
        squares.append((p * slope**2).sum() * step)
        # Given m, u is (m - x_0) / tau: its variance is that of the image.
        variance = (1 - tau) ** 2 * STDS**2 + tau**2
        away = grid[:, None] - (1 - tau) * MEANS
        each = SHARES * np.exp(-(away**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
        mean = (tau - (1 - tau) * STDS**2) / variance * away - MEANS
        left = STDS**2 / variance  # variance of u given m, within a component
        crossing.append((each * (left + (mean - slope[:, None]) ** 2)).sum() * step)
        m = np.interp(ranks, np.cumsum(p) * step, grid)
        places.append(np.interp(m, grid, slope))
    ends = [np.interp(ranks, np.cumsum(straight(grid, tau)[0]) * (grid[1] - grid[0]), grid) for tau in (0.0, 1.0)]
    line = ((ends[1] - ends[0]) ** 2).mean()
    np.testing.assert_allclose(np.mean(places, 0), ends[1] - ends[0], atol=0.02)  # the integral of U on each path
    bending = np.var(places, 0).mean()
    np.testing.assert_allclose(line + bending, np.mean(squares), rtol=5e-3)
    np.testing.assert_allclose(np.mean(squares) + np.mean(crossing), second, rtol=1e-3)
    assert line + 0.01 < np.mean(squares) < second - 0.01  # neither is an equality, and neither holds the other way
    assert min(squares) < line  # at a single time it need not hold


CHECKS = [
    by_hand(
        "eq-reflow-length",
        "\\begin{aligned}\n"
        r"\mathbb{E}[\lVert z - m_0 \rVert^2]"
        r" &= \mathbb{E}\left[\left\lVert \int_0^1 U \, d \tau \right\rVert^2\right] \\[6pt]"
        "\n"
        r"&\leq \int_0^1 \mathbb{E}[\lVert U \rVert^2] \, d \tau \\[6pt]"
        "\n"
        r"&\leq \mathbb{E}[\lVert z - x_0 \rVert^2]"
        "\n\\end{aligned}",
        check_reflow_length,
        "integrals along paths, taken for an exact mixture",
    ),
]
ILLUSTRATIONS = [
    illustration(
        "\\begin{aligned}\n"
        r"\mathbb{E}[\lVert m \rVert^2] ={} &\left(1 - \tau\right)^2 \mathbb{E}[\lVert x_0 \rVert^2]"
        r" + \tau^2 \mathbb{E}[\lVert z \rVert^2] \\[6pt]"
        "\n"
        r"&+ 2 \tau \left(1 - \tau\right) \mathbb{E}[x_0^\top z]"
        "\n\\end{aligned}",
        "the square of a sum, term by term",
    ),
]
