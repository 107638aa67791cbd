"""Precision and recall in the plane: the situations, and the page's counts against the package's."""

import numpy as np
import pytest

from ddpm_lite.viz.widgets import PrecisionBalls
from ddpm_lite.viz.widgets.balls import AROUND, COUNT, SITUATIONS, UNIT


def count(situation, **options):
    return [round(COUNT * share) for share in PrecisionBalls(situation, **options).measure()]


def test_each_situation_shows_what_its_name_says():
    """Against the first situation, in which both sets have one distribution."""
    precision, recall = count("the same distribution")
    assert min(precision, recall) >= 10
    missing, typical, wide = (count(name) for name in ("one kind missing", "too typical", "too wide"))
    assert (missing[0], missing[1]) == (precision, 6)
    assert typical[0] == COUNT > typical[1] + 4
    assert wide[1] == COUNT > wide[0] + 4
    assert count("copies") == [COUNT, COUNT]


def test_an_outlier_makes_balls_that_hold_broken_points():
    widget = PrecisionBalls("one real outlier")
    assert widget.measure()[0] == 1
    points = widget.points.copy()
    points[:2] = PrecisionBalls().points[:2]  # the real point back in its kind
    widget.points = points
    assert widget.measure()[0] <= 0.5


def test_points_stay_in_the_plot_as_whole_numbers():
    for situation in SITUATIONS:
        points = np.array(PrecisionBalls(situation).points)
        assert points.shape == (4 * COUNT,)
        assert np.abs(points).max() <= 3 * UNIT


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"situation": "fine"}, "situation: expected one of"),
        ({"around": "all"}, "around: expected one of 'real', 'drawn'"),
        ({"k": 7}, r"k: expected a whole number in 1\.\.6"),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        PrecisionBalls(**options)
    assert "\n" not in str(caught.value)


def opened(stand, **options):
    one = stand(PrecisionBalls(**options))
    one.page.get_by_role("button", name="Move the points").click()
    one.page.get_by_role("application").wait_for()
    return one


def shown(one):
    """The page's two counts."""
    words = one.facts()
    drawn, real = (
        words[f"{name} points in a ball of a {other} one:"] for name, other in (("Drawn", "real"), ("Real", "drawn"))
    )
    assert float(words["Precision:"]) == pytest.approx(int(drawn.split()[0]) / COUNT, abs=5e-4)
    return [int(text.split()[0]) for text in (drawn, real)]


@pytest.mark.html
def test_page_counts_as_the_package_does(stand):
    """The situations, and points on a coarse grid, where many distances are equal."""
    one, rng = opened(stand), np.random.default_rng(0)
    for i, name in enumerate(SITUATIONS):
        one.set(situation=i)
        assert one.get("points") == PrecisionBalls(name).points
        assert shown(one) == count(name)
    widget = PrecisionBalls()
    for k in (1, 2, 3, 6, 1, 2):
        widget.k, widget.points = k, (20 * rng.integers(-2, 3, 4 * COUNT)).tolist()
        one.set(k=k, points=widget.points)
        assert shown(one) == [round(COUNT * share) for share in widget.measure()]
        hollow = one.page.locator(".dw-marker.dw-ring").count()
        assert hollow == 2 * COUNT - sum(shown(one))
    one.set(around=0)
    assert one.page.locator(".dw-plot .dw-bars.dw-1").count() == COUNT


@pytest.mark.html
def test_points_are_moved_by_pointer_and_keyboard(stand):
    one = opened(stand, situation="the same distribution")
    pad, before = one.page.get_by_role("application"), one.get("points")
    one.page.locator("svg.dw-plot").scroll_into_view_if_needed()
    box = one.page.locator("svg.dw-plot").bounding_box()
    scale = box["width"] / 360
    x, y = before[0] / UNIT, before[1] / UNIT
    start = box["x"] + scale * (198 + 50 * x), box["y"] + scale * (160 - 50 * y)
    one.page.mouse.move(*start)
    one.page.mouse.down()
    one.page.mouse.move(start[0] + scale * 50, start[1] - scale * 100)
    one.page.mouse.up()
    one.page.mouse.move(*start)  # let go
    assert one.get("chosen") in range(COUNT)
    moved = one.get("points")[:2]
    assert np.abs(np.array(moved) - before[:2] - [20, 40]).max() <= 1
    assert one.get("situation") == len(SITUATIONS)
    one.page.locator("input[id^=dw-chosen]").press("End")
    pad.press("ArrowUp")
    pad.press("ArrowLeft")
    assert one.get("points")[-2:] == [before[-2] - 2, before[-1] + 2]
    assert one.facts()["Point drawn 12:"].startswith("at ")
    one.page.locator("select[id^=dw-situation]").select_option("the same distribution")
    assert one.get("points") == before
    one.page.locator("select[id^=dw-around]").select_option(f"the {AROUND[0]} points")
    assert one.page.locator(".dw-plot .dw-bars.dw-1").count() == COUNT
