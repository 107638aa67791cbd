"""The merge explorer: its numbers, its twin, and the page."""

import numpy as np
import pytest
import traitlets
from ipywidgets import IntSlider
from stands import assert_shown, corners, plotted

from ddpm_lite import linear_schedule
from ddpm_lite.viz.widgets import MergeExplorer
from ddpm_lite.viz.widgets.base import read_schedule


def test_points_follow_the_closed_form():
    widget = MergeExplorer(x_0=0.5, s=200, t=450, points=5000)
    schedule = linear_schedule()
    for x in widget.walked():
        assert abs(x.mean() - 0.5 * float(schedule.alpha_bar[450].sqrt())) < 4 / 5000**0.5
        assert abs(x.std() - float((1 - schedule.alpha_bar[450]).sqrt())) < 4 / 10000**0.5


def test_traits_are_linked_with_widgets_of_jupyter():
    widget, slider = MergeExplorer(t=300), IntSlider(max=1000)
    link = traitlets.link((widget, "t"), (slider, "value"))
    assert slider.value == 300
    slider.value = 420
    assert widget.t == 420
    widget.t = 500
    assert slider.value == 500
    link.unlink()
    slider.value = 10
    assert widget.t == 500


def test_the_opening_view_agrees_with_its_text():
    """A few hundredths, and not more than chance explains."""
    widget = MergeExplorer()
    share = float(linear_schedule().alpha_bar[widget.t])
    for x in widget.walked():
        off = abs(x.mean() - share**0.5 * widget.x_0)
        assert off < 2 * (1 - share) ** 0.5 / widget.points**0.5
        assert off < 0.04


@pytest.mark.parametrize("t", [1, 2, 20, 300, 1000])
def test_bars_are_as_narrow_as_the_curve(t):
    """The tallest bar is about as tall as the peak, at small t too."""
    edges, heights = MergeExplorer(t=t, s=t // 2, points=5000).histograms()
    assert np.diff(edges)[0] == pytest.approx(0.26 * float((1 - linear_schedule().alpha_bar[t]).sqrt()), rel=1e-4)
    assert (heights.max(axis=1) > 0.9).all()
    assert (heights.max(axis=1) < 1.15).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"t": 0}, "t: expected a whole number in 1..1000"),
        ({"s": 300}, "s: expected a whole number in 0..299"),
        ({"x_0": float("nan")}, "x_0: expected a number in"),
        ({"points": 3}, "points: expected"),
        ({"schedule": "linear"}, "schedule: expected a Schedule"),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises((ValueError, TypeError), match=words.replace("..", r"\.\.")) as caught:
        MergeExplorer(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.html
def test_page_shows_numpys_numbers(stand):
    widget = MergeExplorer()
    page = stand(widget)
    for s, t, x_0 in ((100, 300, 0.8), (0, 1, -1.0), (640, 1000, 0.35)):
        page.set(t=t)  # s < t always
        page.set(s=s, x_0=x_0)
        widget.s, widget.t, widget.x_0 = s, t, x_0
        two, one = widget.walked()
        share = float(read_schedule(widget.beta).alpha_bar[t])
        mean, deviation = share**0.5 * x_0, (1 - share) ** 0.5
        expected = {"Two steps:": [two.mean(), two.std()], "One jump:": [one.mean(), one.std()]}
        expected["Formula:"] = [mean, deviation]
        words = page.facts()
        for name, values in expected.items():
            shown = [float(part.split()[1].replace("\u2212", "-")) for part in words[name].split(",")]
            assert_shown(shown, values, 3)

        edges = mean + np.arange(-19.5, 20) * 0.26 * deviation
        peak = 1 / (deviation * (2 * np.pi) ** 0.5)
        for kind, x in (("dw-1", two), ("dw-2", one)):
            outline = corners(page.page.locator(f".dw-bars.{kind}"))[1:-1]  # between two corners on the ground
            heights = np.histogram(x, edges, density=True)[0].repeat(2) / peak
            right = plotted((edges.repeat(2)[1:-1], heights), (-4, 4), (0, 1.2))
            np.testing.assert_allclose(outline, right, atol=0.051)
        units = np.linspace(-5, 5, 161)
        right = plotted((mean + units * deviation, np.exp(-(units**2) / 2)), (-4, 4), (0, 1.2))
        np.testing.assert_allclose(page.curve(".dw-line.dw-exact"), right, atol=0.051)


@pytest.mark.html
def test_keyboard_moves_every_control(stand):
    page = stand(MergeExplorer())
    for trait, step in (("x_0", 0.05), ("s", 1), ("t", 1)):
        before = page.get(trait)
        page.page.locator(f"input[id^=dw-{trait}]").focus()
        page.page.keyboard.press("ArrowRight")
        assert page.get(trait) == pytest.approx(before + step)


@pytest.mark.html
def test_stop_stays_before_the_end(stand):
    page = stand(MergeExplorer(s=100, t=300))
    page.set(t=50)
    assert page.get("s") == 49
