"""The posterior explorer: its bells against the package and the page."""

import numpy as np
import pytest
import torch
from stands import assert_shown

from ddpm_lite import linear_schedule, posterior
from ddpm_lite.viz.widgets import PosteriorExplorer

STATES = [(2, 0.5, 1.0), (6, -1.0, -2.5), (100, 0.0, 0.3), (500, 0.85, 3.0), (1000, 1.0, -0.7)]


def numbers(text):
    """The numbers in a line of facts."""
    words = text.replace("\u2212", "-").replace("+", "").replace(",", " ").split()
    return [float(word) for word in words if word.lstrip("-")[0].isdigit()]


def wrong_percent(widget):
    bells = widget.gaussians()
    return 100 * (bells["wrong index"][1] / bells["posterior"][1] - 1)


@pytest.mark.parametrize(("t", "x_0", "z"), STATES)
def test_bells_are_the_packages(t, x_0, z):
    widget, schedule = PosteriorExplorer(t=t, x_0=x_0, z=z), linear_schedule()
    mean, variance = widget.gaussians()["posterior"]
    x_t, image = (torch.tensor([[value]], dtype=torch.float64) for value in (widget.x_t(), x_0))
    right, spread = posterior(schedule, x_t, t, image)
    assert mean == pytest.approx(float(right), abs=1e-6)
    assert variance == pytest.approx(float(spread), rel=1e-5)  # beta travels as float32


@pytest.mark.parametrize(("t", "percent"), [(2, 42), (6, 5.2), (500, 9.4e-4)])
def test_wrong_index_counts_at_small_t_only(t, percent):
    assert wrong_percent(PosteriorExplorer(t=t)) == pytest.approx(percent, rel=1e-2)


def test_still_and_sentence():
    widget = PosteriorExplorer(t=2, wrong_index=True)
    assert widget.still().count("<path") == 4
    assert "42 % larger" in widget.sentence()
    assert PosteriorExplorer().still().count("<path") == 3
    assert widget.twin() == PosteriorExplorer(t=2, wrong_index=True).twin()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"t": 1}, "t: expected a whole number in 2..1000"),
        ({"x_0": 1.5}, "x_0: expected a number in"),
        ({"z": float("nan")}, "z: expected a number in"),
        ({"view": 2}, "view: expected a whole number in 0..1"),
        ({"wrong_index": 1}, "wrong_index: expected True or False"),
        ({"schedule": 1000}, "schedule: expected a Schedule"),
        ({"schedule": linear_schedule(1)}, "schedule: expected two steps or more"),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises((ValueError, TypeError), match=words.replace("..", r"\.\.")) as caught:
        PosteriorExplorer(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.html
def test_page_shows_numpys_numbers_and_bells(stand):
    widget = PosteriorExplorer(wrong_index=True)
    page = stand(widget)
    for t, x_0, z in STATES:
        for view in (1, 0):  # the axis is set anew when the view changes
            page.set(t=t, x_0=x_0, z=z, view=view)
            widget.t, widget.x_0, widget.z, widget.view = t, x_0, z, view
            bells, words = widget.gaussians(), page.facts()
            for name, shown in (("prior", "prior:"), ("likelihood", "likelihood:"), ("posterior", "posterior:")):
                assert_shown(numbers(words[shown]), bells[name], 4)
            assert_shown(numbers(words["wrong index:"]), bells["wrong index"], 4)
            assert_shown(numbers(words["its variance is too large by"].removesuffix(" %")), wrong_percent(widget), 3)
            for number, name in enumerate(bells, start=1):
                curve = page.curve(f".ddpm-widget:not(.ddpm-widget-still) polyline.dw-{number}")
                low, high = widget.ends()
                mean, variance = bells[name]
                # A place is drawn to a fiftieth of a pixel, so the height is that of a place at most half of it away.
                ends = low + (curve[:, :1] + [-0.011, 0.011] - 48) / 300 * (high - low)
                nearest = np.clip(mean, ends[:, :1], ends[:, 1:])
                height = np.exp(-((np.hstack([ends, nearest]) - mean) ** 2) / (2 * variance))
                height = 180 - 170 * height * (bells["posterior"][1] / variance) ** 0.5
                assert (curve[:, 1] > height.min(axis=1) - 0.011).all()
                assert (curve[:, 1] < height.max(axis=1) + 0.011).all()
                # From end to end of the axis, and in steps of at most a fifth of the deviation where the bell is high.
                assert list(curve[[0, -1], 0]) == [48, 348]
                x = (curve[1:-1, 0] - 48) / 300 * (high - low) + low
                assert np.diff(x).max() < 0.2 * variance**0.5 + 0.021 / 300 * (high - low)


@pytest.mark.html
def test_x_0_and_z_are_seen_to_move_the_posterior(stand):
    """The axis rests while they are moved a little, so that the bell moves; it follows before the bell is lost."""
    page = stand(PosteriorExplorer())
    ticks = ".ddpm-widget:not(.ddpm-widget-still) svg text"

    def look():
        curve = page.curve(".ddpm-widget:not(.ddpm-widget-still) polyline.dw-3")
        return curve[curve[:, 1].argmin(), 0], page.page.locator(ticks).all_inner_texts()[:3]

    for trait, value in (("x_0", 0.52), ("z", 1.4)):
        before, axis = look()
        page.set(**{trait: value})
        after, same = look()
        assert after > before + 10  # pixels of the 300 that the axis has
        assert same == axis
    for value in np.linspace(0.5, -1, 31):
        page.set(x_0=float(value))
        assert 48 + 40 < look()[0] < 348 - 40
    page.set(view=1)  # all values: the axis does not move at all
    _, axis = look()
    for value in (-1, 1):
        page.set(x_0=value)
        assert look()[1] == axis


@pytest.mark.html
def test_switch_shows_the_wrong_bell(stand):
    page = stand(PosteriorExplorer(t=2))
    assert "wrong index:" not in page.facts()
    page.page.locator("input[type=checkbox]").focus()
    page.page.keyboard.press("Space")
    assert page.get("wrong_index") is True
    assert numbers(page.facts()["its variance is too large by"]) == [pytest.approx(42.3, abs=0.1)]


@pytest.mark.html
def test_keyboard_moves_every_control(stand):
    page = stand(PosteriorExplorer())
    for trait, step in (("x_0", 0.01), ("z", 0.1), ("t", 1)):
        before = page.get(trait)
        page.page.locator(f"input[id^=dw-{trait}]").focus()
        page.page.keyboard.press("ArrowRight")
        assert page.get(trait) == pytest.approx(before + step)
    page.page.locator("select").focus()
    page.page.keyboard.press("ArrowDown")
    assert page.get("view") == 1
    page.page.get_by_role("button", name="Play").focus()
    page.page.keyboard.press("Enter")
    page.page.wait_for_function("document.querySelector('[data-widget]').model.get('t') > 8")
    page.page.keyboard.press("Space")  # on the same button, which says Pause now
    page.page.get_by_role("button", name="Play").wait_for()
    page.set(t=7)
    page.page.get_by_role("button", name="Step forward").focus()
    page.page.keyboard.press("Enter")
    assert page.get("t") == 8
    page.page.get_by_role("button", name="Step back").focus()
    page.page.keyboard.press("Space")
    assert page.get("t") == 7


@pytest.mark.html
def test_damaged_state_is_one_line_in_the_page(stand):
    page = stand(PosteriorExplorer(), damage=lambda text: text.replace("&quot;T&quot;:1000", "&quot;T&quot;:999"))
    assert page.page.get_by_role("alert").inner_text().endswith("beta: expected 4000 bytes, got 4004")
    assert page.page.locator(".ddpm-widget-still").is_visible()
