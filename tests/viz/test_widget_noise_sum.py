"""The sum of two noises: its points, its formula, and the page."""

import numpy as np
import pytest
from stands import assert_shown, corners, plotted

from ddpm_lite.viz.widgets import NoiseSum
from ddpm_lite.viz.widgets.base import read_noise

LIVE = ".ddpm-widget:not(.ddpm-widget-still)"
STATES = [(0.5, 0.6, 0.8, False), (-2.0, 0.1, 0.0, False), (1.5, 2.0, 2.0, True), (0.0, 1.0, 0.05, True)]


def numbers(text):
    words = text.replace("\u2212", "-").replace(",", " ").split()
    return [float(word) for word in words if word.lstrip("-")[0].isdigit()]


def test_variances_of_independent_noises_add_and_deviations_of_one_noise():
    apart, twice = NoiseSum(points=5000), NoiseSum(points=5000, same=True)
    for widget, right in ((apart, 1.0), (twice, 1.4)):
        assert widget.deviation() == pytest.approx(right)
        assert widget.values().std() == pytest.approx(right, abs=4 * right / 10000**0.5)
        assert widget.values().mean() == pytest.approx(0.5, abs=4 * right / 5000**0.5)


def test_points_are_functions_of_the_parameters():
    """The noise stays, so the derivatives of a point are 1, z and z'."""
    widget = NoiseSum(points=50)
    z, other = read_noise(widget.noise).reshape(2, -1)
    for name, slope in (("mu", 1), ("sigma", z), ("tau", other)):
        before = widget.values()
        setattr(widget, name, getattr(widget, name) + 0.25)
        np.testing.assert_allclose((widget.values() - before) / 0.25, np.broadcast_to(slope, 50), atol=1e-12)


def test_the_opening_view_agrees_with_its_formula():
    x = NoiseSum().values()
    assert abs(x.mean() - 0.5) < 2 / len(x) ** 0.5
    assert abs(x.std() - 1) < 2 / (2 * len(x)) ** 0.5


def test_still_and_sentence():
    assert NoiseSum().still().count("<path") == 2
    assert "two independent noises" in NoiseSum().sentence()
    assert "the same noise, twice" in NoiseSum(same=True).sentence()
    assert NoiseSum().twin() == NoiseSum().twin()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mu": 3}, "mu: expected a number in"),
        ({"sigma": 0}, "sigma: expected a number in"),
        ({"tau": float("nan")}, "tau: expected a number in"),
        ({"same": 1}, "same: expected True or False"),
        ({"points": 3}, "points: expected a whole number in 10..5000"),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises((ValueError, TypeError)) as caught:
        NoiseSum(**options)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


@pytest.mark.html
def test_page_shows_numpys_points(stand):
    widget = NoiseSum()
    page = stand(widget)
    z = read_noise(widget.noise).reshape(2, -1)[:, 0]
    for mu, sigma, tau, same in STATES:
        page.set(mu=mu, sigma=sigma, tau=tau, same=same)
        widget.mu, widget.sigma, widget.tau, widget.same = mu, sigma, tau, same
        x, right, words = widget.values(), widget.deviation(), list(page.facts().values())
        assert_shown(numbers(words[0]), [x.mean(), x.std()], 3)
        assert_shown(numbers(words[1]), [mu, right], 3)
        assert_shown(numbers(words[2]), [z[0], z[0] if same else z[1]], 3)
        assert_shown(numbers(words[3]), x[0], 3)
        edges = mu + np.arange(-19.5, 20) * 0.26 * right
        heights = np.histogram(x, edges)[0].repeat(2) / (len(x) * 0.26) * (2 * np.pi) ** 0.5
        outline = corners(page.page.locator(f"{LIVE} .dw-bars"))[1:-1]
        np.testing.assert_allclose(outline, plotted((edges.repeat(2)[1:-1], heights), (-6, 6), (0, 1.2)), atol=0.051)
        units = np.linspace(-5, 5, 161)
        bell = plotted((mu + units * right, np.exp(-(units**2) / 2)), (-6, 6), (0, 1.2))
        np.testing.assert_allclose(page.curve(f"{LIVE} polyline.dw-exact"), bell, atol=0.051)


@pytest.mark.html
def test_keyboard_moves_every_control(stand):
    page = stand(NoiseSum())
    for trait in ("mu", "sigma", "tau"):
        before = page.get(trait)
        page.page.locator(f"input[id^=dw-{trait}]").focus()
        page.page.keyboard.press("ArrowRight")
        assert page.get(trait) == pytest.approx(before + 0.05)
    page.page.locator("input[type=checkbox]").focus()
    page.page.keyboard.press("Space")
    assert page.get("same") is True
    assert "formula, \u03c3 + \u03c4:" in page.facts()


# What waits for idle time is collected.
IDLE = "window.waiting = []; window.requestIdleCallback = (drawing) => waiting.push(drawing);"
# All that is drawn, and what is said.
SHOWN = """() => [...document.querySelectorAll("[role=group] svg, .dw-facts")].map((one) => one.outerHTML)"""
COUNT = """() => {
  let count = 0;
  for (; waiting.length && count < 99; count++) waiting.shift()();
  return count;
}"""


@pytest.mark.html
def test_drawing_is_repeated_in_idle_time_but_not_for_long(stand):
    """So that the first change finds compiled code; nothing is drawn or said anew by it."""
    page = stand(NoiseSum(), init=IDLE).page
    page.locator(f"{LIVE} dd").first.wait_for()
    before = page.evaluate(SHOWN)
    assert page.evaluate(COUNT) == 10
    assert page.evaluate(SHOWN) == before
