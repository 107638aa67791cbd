"""Two humps: the exact step back by three computations, in the package's functions, on a grid and in the page."""

import numpy as np
import pytest
from stands import assert_shown, plotted

from ddpm_lite import linear_schedule
from ddpm_lite.viz.widgets import TwoHumps
from ddpm_lite.viz.widgets.two_humps import UNITS

LIVE = ".ddpm-widget:not(.ddpm-widget-still)"
STATES = [(10, 200, 0.1), (1000, 200, 0.1), (4, 120, 0.0), (50, 700, -1.3), (1000, 1, 0.9), (20, 1000, 2.0)]


def numbers(text):
    return [float(word) for word in text.replace("\u2212", "-").replace("%", "").split() if word[-1].isdigit()]


def bayes_on_a_grid(T, t, x_t):
    """q(x_s | x_t) from the product of two densities of x_s: values, density, s."""
    share = linear_schedule().alpha_bar.numpy()
    s = max(0, t - 1000 // T)
    alpha = share[t] / share[s]
    x = np.linspace(-9, 9, 400_001)

    def bell(v, mean, variance):
        return np.exp(-((v - mean) ** 2) / (2 * variance)) / variance**0.5

    prior = sum(bell(x, share[s] ** 0.5 * centre, share[s] * 0.04 + 1 - share[s]) for centre in (-1, 1))
    density = prior * bell(x_t, alpha**0.5 * x, 1 - alpha)
    return x, density / density.sum(), s


@pytest.mark.parametrize(("T", "t", "x_t"), STATES)
def test_moments_are_those_of_bayes_on_a_grid(T, t, x_t):
    widget = TwoHumps(T=T, t=t, x_t=x_t)
    x, weight, s = bayes_on_a_grid(T, t, x_t)
    mean = (weight * x).sum()
    variance = (weight * (x - mean) ** 2).sum()
    kurtosis = (weight * (x - mean) ** 4).sum() / variance**2
    found = widget.values()
    assert widget.s() == s
    assert found["mean"] == pytest.approx(mean, rel=1e-4, abs=1e-7)
    assert found["variance"] == pytest.approx(variance, rel=1e-4)  # beta travels as float32
    assert found["kurtosis"] == pytest.approx(kurtosis, rel=1e-4)


def test_more_steps_make_one_gaussian():
    """At one noise level: two humps with ten steps, and no visible difference with a thousand."""
    found = {T: TwoHumps(T=T).values() for T in (4, 10, 20, 50, 100, 200, 500, 1000)}
    missed = [one["missed"] for one in found.values()]
    assert missed == sorted(missed, reverse=True)
    assert found[10]["kurtosis"] < 2
    assert found[10]["missed"] > 0.25
    assert found[1000]["kurtosis"] == pytest.approx(3, abs=0.002)
    assert found[1000]["missed"] < 1e-3


def test_still_and_sentence():
    assert TwoHumps().still().count("<path") == 2
    assert "from t = 200 to 100, as a chain of 10 steps" in TwoHumps().sentence()
    assert TwoHumps().twin() == TwoHumps().twin()
    assert len(TwoHumps().twin()) < 16_000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"T": 30}, "T: expected one of 4, 10,"),
        ({"t": 0}, "t: expected a whole number in 1..1000"),
        ({"x_t": 3}, "x_t: expected a number in"),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises((ValueError, TypeError)) as caught:
        TwoHumps(**options)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


@pytest.mark.html
def test_page_shows_the_packages_numbers_and_curves(stand):
    widget = TwoHumps()
    page = stand(widget)
    for T, t, x_t in STATES:
        widget.chosen, widget.t, widget.x_t = widget.lengths.index(T), t, x_t
        page.set(chosen=widget.chosen, t=t, x_t=x_t)
        found, words = widget.values(), page.facts()
        assert numbers(words["one step:"]) == [t, widget.s()]
        assert_shown(numbers(words["mean:"]), found["mean"], 4)
        assert_shown(numbers(words["variance:"]), found["variance"], 4)
        assert_shown(numbers(words["kurtosis (Gaussian: 3):"]), found["kurtosis"], 4)
        np.testing.assert_allclose(numbers(words["missed by the Gaussian:"]), 100 * found["missed"], rtol=6e-3)
        for kind, curve in zip(("dw-exact", "dw-2"), widget.curves(), strict=True):
            right = plotted((UNITS, curve), (-4, 4), (0, 0.8))
            right[:, 1] = right[:, 1].clip(-9999)
            np.testing.assert_allclose(page.curve(f"{LIVE} polyline.{kind}"), right, atol=0.06)
    # What is left if the image is known: beta-tilde
    page.set(chosen=7, t=500)
    assert_shown(numbers(page.facts()["of it, if x\u2080 were known:"]), float(linear_schedule().beta_tilde[500]), 4)


@pytest.mark.html
def test_keyboard_moves_every_control(stand):
    page = stand(TwoHumps())
    for trait, step in (("chosen", 1), ("t", 1), ("x_t", 0.05)):
        before = page.get(trait)
        page.page.locator(f"input[id^=dw-{trait}-]").focus()
        page.page.keyboard.press("ArrowRight")
        assert page.get(trait) == pytest.approx(before + step)
    steps = page.page.locator("input[id^=dw-chosen-]")
    assert steps.get_attribute("aria-valuetext") == "20"


@pytest.mark.html
def test_damaged_state_is_one_line_in_the_page(stand):
    page = stand(TwoHumps(), damage=lambda text: text.replace("&quot;chosen&quot;:1", "&quot;chosen&quot;:9"))
    assert page.page.get_by_role("alert").inner_text().endswith("chosen: expected a whole number in 0..7, got 9")
    assert page.page.locator(".ddpm-widget-still").is_visible()
