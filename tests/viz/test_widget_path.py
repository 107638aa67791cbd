"""The path step by step: its ends against exact quantiles, its scale, and the page against the package."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from ddpm_lite import linear_schedule
from ddpm_lite.viz.widgets import PathStepper


def share_below(x, t):
    """The distribution function of q(x_t), from the widget's mixture by hand."""
    bar = float(linear_schedule().alpha_bar[t])
    spread = (bar * 0.12**2 + 1 - bar) ** 0.5
    return 0.4 * norm.cdf((x + 0.8 * bar**0.5) / spread) + 0.6 * norm.cdf((x - 0.7 * bar**0.5) / spread)


@pytest.mark.parametrize("start", [-1.3, -0.4, -0.25, 0.1, 1.2])
def test_the_path_keeps_the_quantile_of_its_start(start):
    rank = share_below(start, 1000)
    right = brentq(lambda x: share_below(x, 0) - rank, -3, 3)
    widget = PathStepper(start)
    assert widget.walk(1000, 1)[-1][1] == pytest.approx(right, abs=2e-3)
    errors = [[abs(widget.walk(n, method)[-1][1] - right) for n in (5, 20)] for method in (0, 1)]
    assert max(errors[0][1], errors[1][1]) < max(errors[0][0], errors[1][0])


def test_a_step_of_eulers_is_a_straight_line_to_the_estimate_in_the_plots_scale():
    widget = PathStepper(-0.4, steps=6)
    walk = widget.walk()
    for (t, x), (s, after) in zip(walk, walk[1:], strict=False):
        share, here = widget.place(t, x)
        rest, there = widget.place(s, after)
        assert rest < share
        assert there == pytest.approx(np.interp(rest, [0, share], [widget.guess(t, x), here]), abs=1e-9)
    assert widget.place(*walk[-1]) == (0, walk[-1][1])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"x_T": 2.0}, "x_T: expected a number in"),
        ({"steps": 0}, r"steps: expected a whole number in 1\.\.20"),
        ({"steps": 3, "taken": 4}, r"taken: expected a whole number in 0\.\.3"),
        ({"method": "RK4"}, 'method: expected "Euler" or "Heun"'),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        PathStepper(**options)
    assert "\n" not in str(caught.value)


def opened(stand, widget):
    one = stand(widget)
    one.page.get_by_role("button", name="Take the steps yourself").click()
    one.page.get_by_role("group").wait_for()
    return one


def number(text):
    return float(text.split(",")[0].replace("\u2212", "-"))


@pytest.mark.html
def test_page_shows_the_packages_walk(stand):
    one = opened(stand, PathStepper())
    for method, steps, x_T in ((0, 8, -0.4), (1, 8, -0.4), (1, 1, 1.5), (0, 20, 0.05), (1, 13, -1.05)):
        widget = PathStepper(x_T, steps=steps, method=("Euler", "Heun")[method])
        walk, exact = widget.walk(), widget.walk(1000, 1)[-1][1]
        for taken in {0, steps // 2, steps}:
            one.set(x_T=x_T, steps=steps, method=method, taken=taken)
            t, x = walk[taken]
            words = one.facts()
            assert words["Steps:"] == f"{taken} of {steps}, at t = {t}"
            assert int(words["Noises asked for:"]) == taken * (1 + method) - (method and taken == steps)
            estimate = widget.guess(t, x) if t else x
            assert number(words["Straight guess of x₀ from here:"]) == pytest.approx(estimate, rel=6e-3, abs=1e-6)
            assert number(words["End of the ODE's path:"]) == pytest.approx(exact, rel=6e-3)
            end = words[f"End by {('Euler', 'Heun')[method]}'s method:"]
            if taken < steps:
                assert end == "not there yet"
            else:
                assert number(end) == pytest.approx(x, rel=6e-3)
                assert float(end.split()[-1]) == pytest.approx(abs(x - exact), rel=6e-3, abs=1e-6)


@pytest.mark.html
def test_steps_are_taken_by_hand_and_taken_back(stand):
    one = opened(stand, PathStepper(steps=3))
    step = one.page.get_by_role("button", name="Take a step")
    for taken in (1, 2, 3, 3):
        step.press("Enter")
        assert one.get("taken") == taken
        assert len(one.curve("[role=group] .dw-line.dw-2:not(.dw-dot)")) == taken + 1
    assert step.get_attribute("aria-disabled") == "true"
    assert step.evaluate("(one) => one === document.activeElement")  # a button that is of no use keeps the focus
    one.page.get_by_role("button", name="Step back").click()
    assert one.get("taken") == 2
    one.page.locator("input[id^=dw-steps]").press("Home")
    assert (one.get("steps"), one.get("taken")) == (1, 1)
    one.page.get_by_role("button", name="Start again").click()
    assert one.get("taken") == 0
    one.page.locator("select[id^=dw-method]").select_option("Heun's")
    one.page.locator("input[id^=dw-x_T]").press("ArrowRight")
    assert one.get("x_T") == pytest.approx(-0.35)
