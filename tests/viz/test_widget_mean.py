"""The mean explorer: two ways to one mean, in NumPy, in the package and on the page."""

import numpy as np
import pytest
import torch
from stands import assert_shown, plotted

from ddpm_lite import linear_schedule
from ddpm_lite.process import mean_from_noise, posterior, predict_x_0
from ddpm_lite.viz.widgets import MeanExplorer

LIVE = ".ddpm-widget:not(.ddpm-widget-still)"
STATES = [(1, 1.0), (2, -2.4), (200, 0.3), (600, -0.05), (1000, 2.0)]


def number(text):
    return float(text.split()[0].replace("\u2212", "-"))


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize(("t", "z_hat"), STATES)
def test_values_are_the_packages(t, z_hat, clip):
    schedule = linear_schedule()
    widget = MeanExplorer(x_t=0.7, t=t, z_hat=z_hat, clip=clip)
    x_t, z = (torch.tensor([[value]], dtype=torch.float64) for value in (0.7, z_hat))
    x_0 = predict_x_0(schedule, x_t, t, z)
    x_0 = x_0.clamp(-1, 1) if clip else x_0
    right = [mean_from_noise(schedule, x_t, t, z), x_0, posterior(schedule, x_t, t, x_0)[0]]
    np.testing.assert_allclose(widget.values(), [float(value) for value in right], rtol=1e-5)


@pytest.mark.parametrize(("t", "z_hat"), STATES)
def test_two_ways_lead_to_one_point_if_nothing_is_clipped(t, z_hat):
    direct, _, through = MeanExplorer(t=t, z_hat=z_hat).values()
    assert direct == pytest.approx(through, abs=1e-12)


def test_still_and_sentence():
    assert MeanExplorer().still().count("<path") == 2
    assert "Both ways give the same mean" in MeanExplorer().sentence()
    assert "With clipping, the two ways differ" in MeanExplorer(t=900, clip=True).sentence()
    assert MeanExplorer().twin() == MeanExplorer().twin()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"t": 0}, "t: expected a whole number in 1..1000"),
        ({"x_t": float("inf")}, "x_t: expected a number in"),
        ({"z_hat": "1"}, "z_hat: expected a number in"),
        ({"clip": None}, "clip: expected True or False"),
        ({"schedule": "linear"}, "schedule: expected a Schedule"),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises((ValueError, TypeError), match=words.replace("..", r"\.\.")) as caught:
        MeanExplorer(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.html
def test_page_shows_numpys_numbers(stand):
    widget = MeanExplorer(x_t=0.7)
    page = stand(widget)
    for t, z_hat in STATES:
        for clip in (False, True):
            page.set(t=t, z_hat=z_hat, clip=clip)
            widget.t, widget.z_hat, widget.clip = t, z_hat, clip
            words = page.facts()
            shown = [number(words[name]) for name in ("mean from z:", "x\u0302\u2080:", "mean through x\u0302\u2080:")]
            assert_shown(shown, widget.values(), 4)
            direct, _, through = widget.values()
            assert (words["the two"] == "are equal") == (abs(direct - through) < 1e-9)


@pytest.mark.html
def test_slopes_are_those_at_this_place(stand):
    """By differences of the package's values; where the image is clipped, both ways through it are flat."""
    widget = MeanExplorer(clip=True)
    page = stand(widget)
    flat = 0
    for t, z_hat in ((50, 1.0), (200, 0.3), (900, -2.0), (900, 0.5), (900, 1.0)):
        page.set(t=t, z_hat=z_hat)
        widget.t = t
        steps = np.array([z_hat - 1e-5, z_hat + 1e-5])
        slopes = [np.diff(values)[0] / 2e-5 for values in widget.values(steps)]
        words = page.facts()
        for name, slope in zip(
            ("slopes here: mean from z", "x\u0302\u2080", "mean through x\u0302\u2080"), slopes, strict=True
        ):
            shown = number(words[name])
            flat += shown == 0
            assert shown == pytest.approx(slope, rel=6e-3, abs=1e-9), (t, z_hat, name)
    assert flat == 4  # two at -2 and two at 1 of t = 900


@pytest.mark.html
def test_lines_of_the_page_are_numpys(stand):
    widget = MeanExplorer(x_t=0.7)
    page = stand(widget)
    reach = 0  # one axis for all t
    for widget.t in range(1, 1001):
        reach = max(reach, np.abs(widget.values(np.array([-3.0, 3.0]))[0] - widget.x_t).max())
    z = np.linspace(-3, 3, 121)
    for t, _ in STATES:
        page.set(t=t, clip=True)  # so that the images stay in their picture
        widget.t, widget.clip = t, True
        direct, x_0, through = widget.values(z)
        for kind, values, ends in (
            ("dw-2:not(.dw-dash)", x_0, (-3, 3)),
            ("dw-1", direct, (0.7 - reach, 0.7 + reach)),
            ("dw-2.dw-dash", through, (0.7 - reach, 0.7 + reach)),
        ):
            curve = page.curve(f"{LIVE} polyline.{kind}")
            np.testing.assert_allclose(curve, plotted((z, values), (-3, 3), ends), atol=0.051)


@pytest.mark.html
def test_dot_and_ring_stand_in_one_place(stand):
    page = stand(MeanExplorer())
    code = """() => Array.from(document.querySelectorAll('[data-widget] svg')[2].querySelectorAll('circle'),
      (c) => [c.getAttribute('cx'), c.getAttribute('cy'), c.getAttribute('r')])"""
    for t in (1, 300, 1000):
        page.set(t=t)
        (dot, ring) = page.page.evaluate(code)
        assert dot[:2] == ring[:2]
        assert (dot[2], ring[2]) == ("5", "9")
    page.set(clip=True)
    (dot, ring) = page.page.evaluate(code)
    assert dot[:2] != ring[:2]


@pytest.mark.html
def test_line_of_images_stays_in_its_picture(stand):
    page = stand(MeanExplorer(t=1000, z_hat=1.0))
    curve = page.curve(".ddpm-widget:not(.ddpm-widget-still) polyline.dw-2")
    assert curve[:, 1].min() >= 9.9
    assert curve[:, 1].max() <= 180.1
    assert "outside the plot" in page.facts()["x\u0302\u2080:"]


@pytest.mark.html
def test_keyboard_moves_every_control(stand):
    page = stand(MeanExplorer())
    for trait, step in (("z_hat", 0.05), ("t", 1)):
        before = page.get(trait)
        page.page.locator(f"input[id^=dw-{trait}]").focus()
        page.page.keyboard.press("ArrowRight")
        assert page.get(trait) == pytest.approx(before + step)
    page.page.locator("input[type=checkbox]").focus()
    page.page.keyboard.press("Space")
    assert page.get("clip") is True


@pytest.mark.html
def test_damaged_state_is_one_line_in_the_page(stand):
    page = stand(MeanExplorer(), damage=lambda text: text.replace("&quot;T&quot;:1000", "&quot;T&quot;:10"))
    assert page.page.get_by_role("alert").inner_text().endswith("beta: expected 44 bytes, got 4004")
    assert page.page.locator(".ddpm-widget-still").is_visible()
