"""How an answer is read: the package's factors, their limits, and the page's own formulas beside them."""

import re

import numpy as np
import pytest

from ddpm_lite import linear_schedule
from ddpm_lite.viz.widgets import AnswerReader
from ddpm_lite.viz.widgets.answer_reader import ANSWERS, VARIABLES

EVERY = [(variable, answer) for variable in range(len(VARIABLES)) for answer in range(len(ANSWERS))]


@pytest.mark.parametrize(("variable", "answer"), EVERY)
def test_factors_give_image_and_noise_back(variable, answer):
    x_0, z = 0.7, -1.3
    for level in (-2, -0.5, 0, 1, 2):
        widget = AnswerReader(variable=variable, answer=answer, level=level)
        a, b, p, q = (float(weight[0]) for weight in widget.weights(np.array([10**level])))
        x, F = a * x_0 + b * z, p * x_0 + q * z
        image_x, image_F, noise_x, noise_F = widget.factors()
        assert image_x * x + image_F * F == pytest.approx(x_0, abs=1e-9)
        assert noise_x * x + noise_F * F == pytest.approx(z, abs=1e-9)
        assert b / a == pytest.approx(10**level)


@pytest.mark.parametrize("variable", range(len(VARIABLES)))
def test_only_answers_that_mix_image_and_noise_keep_their_errors_small(variable):
    """What chapter 14 says of the curves, whatever the variable is."""
    levels = 10 ** np.linspace(-2, 2, 41)
    for answer in (2, 4):
        assert max(each.max() for each in AnswerReader(variable=variable, answer=answer).errors(levels)) <= 1 + 1e-9
    image, noise = AnswerReader(variable=variable, answer=0).errors(levels)
    assert image == pytest.approx(levels)
    assert noise == pytest.approx(np.ones(41))
    image, noise = AnswerReader(variable=variable, answer=1).errors(levels)
    assert image == pytest.approx(np.ones(41))
    assert noise == pytest.approx(1 / levels)


def test_still_and_sentence():
    widget = AnswerReader(answer=2, level=1)
    assert widget.still().count("<path") == 2
    assert "At the noise level 10" in widget.sentence()
    assert widget.twin() == AnswerReader(answer=2, level=1).twin()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"variable": 3}, r"variable: expected a whole number in 0\.\.2"),
        ({"answer": -1}, r"answer: expected a whole number in 0\.\.4"),
        ({"level": 3}, r"level: expected a number in \[-2"),
        ({"level": "1"}, r"level: expected a number in \[-2"),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        AnswerReader(**options)
    assert "\n" not in str(caught.value)


def read_sum(text):
    """The factors of x and F in a line of the page, 0 for one that is not there."""
    text = text.replace("\u2212", "-").replace("- ", "-").replace("+ ", "")
    found = {name: float(number) for number, name in re.findall(r"(-?[\d.e+-]+) (x|F)", text)}
    return found.get("x", 0.0), found.get("F", 0.0)


@pytest.mark.html
def test_page_draws_what_the_package_computes(stand):
    page = stand(AnswerReader(), reduced_motion="reduce")
    page.page.get_by_role("button", name="Choose a variable and an answer").click()
    page.page.get_by_role("slider", name="noise level").wait_for()
    schedule = linear_schedule()
    for variable, answer in EVERY:
        level = (-1.5, 0.0, 1.24)[(variable + answer) % 3]
        page.set(variable=variable, answer=answer, level=level)
        facts = page.facts()
        shown = [*read_sum(facts["image:"]), *read_sum(facts["noise:"])]
        due = AnswerReader(variable=variable, answer=answer, level=level).factors()
        assert shown == pytest.approx(due, rel=1e-3, abs=1e-9), (variable, answer)
        nearest = int((schedule.noise_level[1:].log() - level * np.log(10)).abs().argmin()) + 1
        assert int(facts["nearest t, linear:"]) == nearest
        assert int(facts["in diffusers:"]) == nearest - 1
    slider = page.page.get_by_role("slider", name="noise level")
    slider.focus()
    page.page.keyboard.press("ArrowLeft")
    assert page.get("level") == pytest.approx(level - 0.02)
    assert "an error of 1" in page.page.locator("svg[role=img]:visible").first.get_attribute("aria-label")
    assert page.page.locator("[role=group]").get_attribute("aria-label").endswith("?")
