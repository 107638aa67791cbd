"""The mean slope at one place: the package's numbers, their limits, and the page's own formulas beside them."""

import numpy as np
import pytest

from ddpm_lite.viz.widgets import MeanSlope
from ddpm_lite.viz.widgets.flow_paths import MEANS, SHARES, STDS

PLACES = ((0.0, 0.5), (-0.45, 0.2), (1.5, 0.95), (-0.1, 0.3))


def draw_pairs(m, tau, count=4_000_000):
    """Images and slopes of pairs whose line passes near a place, drawn by chance."""
    dice = np.random.default_rng(0)
    left = dice.random(count) < SHARES[0]
    x_0 = np.where(left, MEANS[0], MEANS[1]) + np.where(left, STDS[0], STDS[1]) * dice.standard_normal(count)
    z = dice.standard_normal(count)
    near = abs((1 - tau) * x_0 + tau * z - m) < 0.005
    return x_0[near], (z - x_0)[near], left[near].mean()


@pytest.mark.parametrize(("m", "tau"), [PLACES[0], PLACES[3]])
def test_numbers_are_those_of_pairs_drawn_by_chance(m, tau):
    widget, (x_0, slopes, left) = MeanSlope(m=m, tau=tau), draw_pairs(m, tau)
    assert widget.slope() == pytest.approx(slopes.mean(), abs=0.03)
    assert widget.share() == pytest.approx(left, abs=0.02)
    assert widget.images().mean() == pytest.approx(x_0.mean(), abs=0.02)
    ranks = (np.arange(20) + 0.5) / 20
    assert abs(widget.images() - np.quantile(x_0, ranks))[[0, 1, -2, -1]].max() < 0.04


@pytest.mark.parametrize(("m", "tau"), PLACES)
def test_the_path_passes_with_the_mean_slope(m, tau):
    widget, h = MeanSlope(m=m, tau=tau), 1e-3
    before, here, after = widget.path(np.array([tau - h, tau, tau + h]))
    assert here == pytest.approx(m, abs=1e-3)
    assert (after - before) / (2 * h) == pytest.approx(widget.slope(), abs=0.02)


def test_still_and_sentence():
    widget = MeanSlope(m=0.2, tau=0.4)
    assert widget.still().count("<path") == 4
    assert "come from the left blob" in widget.sentence()
    assert widget.twin() == MeanSlope(m=0.2, tau=0.4).twin()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"m": 1.6}, r"m: expected a number in \[-1.5"),
        ({"m": "0"}, r"m: expected a number in \[-1.5"),
        ({"tau": 0}, r"tau: expected a number in \[0.05"),
        ({"tau": 1}, r"tau: expected a number in \[0.05"),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        MeanSlope(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.html
def test_page_draws_what_the_package_computes(stand):
    page = stand(MeanSlope(), reduced_motion="reduce")
    page.page.get_by_role("button", name="Move the place yourself").click()
    page.page.get_by_role("slider", name="place").wait_for()
    for m, tau in PLACES:
        page.set(m=m, tau=tau)
        widget, facts = MeanSlope(m=m, tau=tau), page.facts()
        texts = [text.replace("\u2212", "-") for text in facts.values()]
        low, _, high = texts[1].partition(" to ")
        slopes = (m - widget.images()) / tau
        assert float(texts[0]) == pytest.approx(widget.slope(), rel=6e-3, abs=1e-4)
        assert (float(low), float(high)) == pytest.approx((slopes[-1], slopes[0]), rel=0.01, abs=0.02)
        assert float(texts[2].removesuffix(" %")) == pytest.approx(100 * widget.share(), abs=0.6)
        assert float(texts[3]) == pytest.approx(m - tau * widget.slope(), rel=6e-3, abs=1e-4)
        assert float(texts[4]) == pytest.approx(widget.path(np.array([0.0]))[0], abs=0.005)
    slider = page.page.get_by_role("slider", name="place")
    slider.focus()
    page.page.keyboard.press("ArrowLeft")
    assert page.get("m") == pytest.approx(-0.15)
    assert "Their images" in page.page.locator("svg[role=img]:visible").nth(1).get_attribute("aria-label")
    assert page.page.locator("[role=group]").get_attribute("aria-label").endswith("?")
