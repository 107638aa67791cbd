"""Still figures of the twins: where a curve, a mark and a number stand, and that nothing leaves the picture."""

import re

import numpy as np
import pytest
from bs4 import BeautifulSoup
from stands import plotted

from ddpm_lite.viz.widgets import still

X = np.array([0.0, 250.0, 1000.0])


def drawing(**options):
    """The figure's SVG."""
    return BeautifulSoup(still.curves(X, alt="A line", xlabel="t", **options), "html.parser").svg


@pytest.mark.parametrize(("y", "log"), [((-2, 3), False), ((1e-4, 10), True)])
def test_line_and_mark_stand_where_the_axes_say(y, log):
    values = np.array([0.5, 2.0, 1e-3])
    svg = drawing(ys={"a": values}, y=y, log=log, mark=(250, 2.0))
    points = [[float(v) for v in part.split()] for part in svg.path["d"].lstrip("M").split("L")]
    right = plotted((X, values), (0, 1000), y, log)
    np.testing.assert_allclose(points, right, atol=0.051)
    (dot,) = svg.select("circle")
    np.testing.assert_allclose([float(dot["cx"]), float(dot["cy"])], right[1], atol=0.051)


@pytest.mark.parametrize(
    ("y", "log", "expected"),
    [
        ((4e-5, 1), True, ["4e-5", "0.0063", "1"]),
        ((1e-9, 1e5), True, ["1e-9", "0.01", "1e5"]),
        ((1.234e-12, 1), True, ["1e-12", "1.1e-6", "1"]),
        ((-1234.5, 0), False, ["-1234", "-617.2", "0"]),
        ((-3, 3), False, ["-3", "0", "3"]),
    ],
)
def test_marks_of_an_axis_are_short(y, log, expected):
    svg = drawing(ys={"a": np.full(3, y[1])}, y=y, log=log)
    marks = [text.get_text() for text in svg.select("text[text-anchor=end]")][:3]
    assert marks == expected
    assert max(len(mark) for mark in marks) <= 6, "more would leave the picture"


def test_what_is_far_outside_stays_near_the_picture():
    for y, log in (((0, 1), False), ((1e-3, 1), True)):
        svg = drawing(ys={"a": [1e-30, 0.5, 1e30]}, y=y, log=log, mark=(0, 1e30))
        numbers = [abs(float(v)) for v in re.findall(r"-?[\d.]+", f"{svg.path['d']} {svg.circle['cy']}")]
        assert max(numbers) < 1000
