"""The flow's paths: the package's walks, their limits, and the page's own formula beside them."""

import numpy as np
import pytest
from scipy.special import ndtr

from ddpm_lite.viz.widgets import FlowPaths
from ddpm_lite.viz.widgets.flow_paths import CLOSE, FIRST, MEANS, SHARES, STDS


def quantile(rank):
    grid = np.linspace(-2, 2, 400_001)
    below = sum(p * ndtr((grid - m) / s) for m, s, p in zip(MEANS, STDS, SHARES, strict=True))
    return np.interp(rank, below, grid)


def end_of_flow(start):
    """Where the flow leads: the quantile of the data that the start is of the noise."""
    return quantile(ndtr((start - (1 - FIRST) * np.dot(SHARES, MEANS)) / np.hypot(FIRST, 0.52 * (1 - FIRST))))


def test_the_curve_ends_near_the_quantile_of_its_start():
    times, places = FlowPaths(start=0.3).path(CLOSE)
    assert (times[0], times[-1]) == (0, FIRST)
    assert places[-1] == pytest.approx(0.3, abs=1e-9)
    assert places[0] == pytest.approx(end_of_flow(0.3), abs=0.02)


def test_one_step_ends_at_the_mean_of_the_data():
    assert FlowPaths(start=1.3).path(1)[1][0] == pytest.approx(np.dot(SHARES, MEANS), abs=0.005)


def test_still_and_sentence():
    widget = FlowPaths(start=0.5, steps=3)
    assert widget.still().count("<path") == 2
    assert "3 straight steps" in widget.sentence()
    assert widget.twin() == FlowPaths(start=0.5, steps=3).twin()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": 2.1}, "start: expected a number in \\[-2"),
        ({"start": "1"}, "start: expected a number in \\[-2"),
        ({"steps": 0}, "steps: expected a whole number in 1..40"),
        ({"steps": 41}, "steps: expected a whole number in 1..40"),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises((ValueError, TypeError), match=words.replace("..", r"\.\.")) as caught:
        FlowPaths(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.html
def test_page_draws_what_the_package_computes(stand):
    page = stand(FlowPaths(), reduced_motion="reduce")
    page.page.get_by_role("button", name="Move a particle yourself").click()
    page.page.get_by_role("slider", name="steps").wait_for()
    for start, steps in ((-0.4, 4), (1.25, 1), (-1.95, 40)):
        page.set(start=start, steps=steps)
        widget, facts = FlowPaths(start=start, steps=steps), page.facts()
        shown = [float(text.replace("\u2212", "-")) for text in facts.values()]
        assert shown[0] == pytest.approx(end_of_flow(start), abs=0.003)
        assert shown[1] == pytest.approx(widget.path(steps)[1][0], rel=6e-3, abs=1e-4)
        assert shown[2] == pytest.approx(abs(shown[0] - shown[1]), rel=0.05, abs=0.002)
    slider = page.page.get_by_role("slider", name="steps")
    slider.focus()
    page.page.keyboard.press("ArrowLeft")
    assert page.get("steps") == 39
    assert "39 straight steps" in page.page.locator("svg[role=img]:visible").first.get_attribute("aria-label")
    assert page.page.locator("[role=group]").get_attribute("aria-label").endswith("?")
