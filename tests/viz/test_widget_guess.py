"""Draw your guess: the true curve, the comparison in words, the figure that is covered, and what is kept."""

import json
import re

import numpy as np
import pytest
from ddpm_book.guess import offer_guesses
from ddpm_book.widgets import first_scripts
from stands import TWINS, plotted

from ddpm_lite import linear_schedule
from ddpm_lite.viz.widgets import DrawGuess

SCHEDULE = linear_schedule()
T = list(range(0, 1001, 25))
FIGURE = '<figure id="fig-result"><svg viewBox="0 0 9 9" width="90"></svg><figcaption>It falls.</figcaption></figure>'
PRINTED = '<div class="cell_output"><div class="output stream"><pre>at t = 500: 0.28</pre></div></div>'
KEPT = "JSON.parse(localStorage['ddpm-lite:guess'] ?? '{}')"
STATUS = "p[role=status]"


def make_guess(**changes):
    """The share of the image over time, with five handles."""
    options = {"at": range(0, 1001, 250), "limits": (0, 1), "xlabel": "t", "ylabel": "share", **changes}
    return DrawGuess("share", "How does it fall?", T, SCHEDULE.alpha_bar[::25], **options)


def open_guess(page):
    """Start the widget by its button, and wait for its handles."""
    page.get_by_role("button", name="Draw your guess").press("Enter")
    page.get_by_role("slider").first.wait_for()


def test_heights_and_path_are_the_curve():
    widget = make_guess()
    assert widget.heights == pytest.approx(SCHEDULE.alpha_bar[::250].tolist(), abs=1e-4)
    assert widget.points == ["t = 0", "t = 250", "t = 500", "t = 750", "t = 1000"]
    found = [[float(number) for number in pair.split()] for pair in widget.path[1:].split("L")]
    right = plotted((np.array(T), SCHEDULE.alpha_bar[::25].numpy()), (0, 1000), (0, 1))
    assert found == [pytest.approx(pair, abs=0.06) for pair in right.tolist()]


def test_even_and_logarithmic_axes_place_the_handles():
    options = {"xlabel": "steps", "ylabel": "distance"}
    even = DrawGuess("k", "?", [10, 25, 1000], [1, 2, 4], limits=(1, 4), across="even", log=True, **options)
    assert even.across == [48, 198, 348]
    assert even.heights == [0, 0.5, 1]
    log = DrawGuess("k", "?", [1, 10, 1000], [1, 2, 4], limits=(0, 4), across="log", **options)
    assert log.across == [48, 148, 348]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"limits": (0, 0.9)}, "limits: expected two ends around all of y"),
        ({"limits": (0, 1), "log": True}, "limits: expected"),
        ({"at": (0, 500)}, "at: expected 3 to 9"),
        ({"at": (0, 130, 500)}, "at: expected"),
        ({"across": "square"}, "across: expected one of linear"),
        ({"across": "even"}, "at: expected None"),
        ({"ticks": ["a", "b"]}, "ticks: expected 5 names"),
    ],
)
def test_bad_arguments_are_one_line(changes, words):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        make_guess(**changes)
    assert "\n" not in str(caught.value)


def test_a_page_with_a_cover_loads_no_script_before_the_press():
    """The cover's style sheet and script name the widget; only an element of it would ask for its script."""
    page = next(twin.html for twin in TWINS if 'data-widget="draw-guess"' in twin.html)
    offered = offer_guesses(page, "guess.js")
    assert offered.count("draw-guess") > page.count("draw-guess")
    assert first_scripts(offered) == first_scripts(page) == ["host"]


def test_keys_are_not_used_twice():
    keys = re.findall("&quot;key&quot;:&quot;([^&]*)&quot;", "".join(t.html for t in TWINS if t.name == "draw-guess"))
    assert len(keys) == len(set(keys)) > 0


@pytest.mark.html
def test_a_guess_by_keys_is_compared_in_words_and_kept(stand):
    one = stand(make_guess())
    page = one.page
    open_guess(page)
    handles = page.get_by_role("slider")
    assert handles.count() == 5
    for number, key in enumerate(("End", "PageUp", "ArrowDown", "Home", "PageDown")):
        handles.nth(number).press(key)
    assert one.get("guess") == [1, 0.6, 0.48, 0, 0.4]
    assert handles.nth(1).get_attribute("aria-valuetext") == "0.6"
    assert page.locator(STATUS).last.inner_text() == ""
    page.get_by_role("button", name="Compare").press("Enter")
    told = page.locator(STATUS).last.inner_text()
    # alpha_bar is 1, 0.5241, 0.0786, 0.0034, 0.00004.
    assert told.startswith("Your curve is too high from t = 250 to t = 500 and at t = 1000. The largest miss is ")
    assert "at t = 500: you drew 0.48, and it is 0.079, so your guess is too high by 0.4" in told
    assert "At the other 2 points it is within 0.05" in told
    assert page.locator(".dw-exact.dw-line").get_attribute("d") == make_guess().path
    handles.nth(2).press("End")
    assert one.get("guess")[2] == 0.48, "the answer is shown, so the guess stays"
    assert page.evaluate(KEPT)["share"] == {"guess": [1, 0.6, 0.48, 0, 0.4], "shown": True}
    page.reload()
    open_guess(page)
    assert one.get("guess") == [1, 0.6, 0.48, 0, 0.4]
    page.get_by_role("button", name="Clear my guess").click()
    assert one.get("guess") == []
    assert page.evaluate(KEPT)["share"]["guess"] == []


@pytest.mark.html
def test_one_stroke_draws_the_curve_and_a_right_one_is_praised(stand):
    one = stand(make_guess(), viewport={"width": 390, "height": 800})
    page = one.page
    open_guess(page)
    box = page.locator("svg[role=group]").bounding_box()
    spots = list(zip(make_guess().across, make_guess().heights, strict=True))
    where = [(box["x"] + x / 360 * box["width"], box["y"] + (180 - 170 * h) / 220 * box["height"]) for x, h in spots]
    page.mouse.move(*where[0])
    page.mouse.down()
    for spot in where[1:]:
        page.mouse.move(*spot)
    assert one.get("guess") == pytest.approx(make_guess().heights, abs=0.015)
    assert page.evaluate(KEPT) == {}, "a stroke is stored when it ends"
    page.mouse.up()
    assert page.evaluate(KEPT)["share"]["guess"] == one.get("guess")
    assert one.get("guess") == pytest.approx(make_guess().heights, abs=0.015)
    page.get_by_role("button", name="Compare").click()
    assert page.locator(STATUS).last.inner_text().startswith("Well guessed: at all 5 points")


@pytest.mark.html
def test_the_result_is_covered_until_it_is_asked_for(stand):
    def with_figure(twins):
        return PRINTED.replace("500", "100") + twins + PRINTED + FIGURE + PRINTED.replace("500", "900")

    page = stand(make_guess(hides="fig-result"), damage=with_figure).page
    caption, button = page.get_by_text("It falls."), page.get_by_role("button", name="Show this without")
    number = page.get_by_text("at t = 500: 0.28")
    assert not caption.is_visible()
    assert not number.is_visible(), "what is printed between the guess and the figure is a part of the result"
    assert page.get_by_text("at t = 100").is_visible()
    assert page.get_by_text("at t = 900").is_visible()
    framed = page.locator(".dw-covered").evaluate_all("all => all.map((one) => getComputedStyle(one).outlineStyle)")
    assert framed == ["dashed", "dashed"], "a gap without a frame looks like a mistake"
    page.emulate_media(media="print")
    assert caption.is_visible()
    page.emulate_media(media="screen")
    open_guess(page)
    page.get_by_role("button", name="Show the answer").click()
    assert caption.is_visible()
    assert number.is_visible()
    assert button.count() == 0
    page.reload()
    assert caption.is_visible(), "it was shown before"
    page.evaluate("localStorage.clear()")
    page.reload()
    button.click()
    assert caption.is_visible()
    page.evaluate("localStorage.clear()")
    page.evaluate("location.hash = 'fig-result'")
    page.reload()
    assert caption.is_visible(), "a link leads to it"


@pytest.mark.html
def test_without_a_figure_the_next_printed_text_is_covered(stand):
    page = stand(make_guess(), damage=lambda twins: twins + PRINTED + PRINTED.replace("500", "900")).page
    number = page.get_by_text("at t = 500: 0.28")
    assert not number.is_visible()
    assert page.get_by_text("at t = 900").is_visible()
    page.get_by_role("button", name="Show this without").click()
    assert number.is_visible()


@pytest.mark.html
def test_without_scripts_and_without_a_store_all_can_be_seen(stand):
    def with_figure(twins):
        return twins + FIGURE

    bare = stand(make_guess(hides="fig-result"), damage=with_figure, java_script_enabled=False).page
    assert bare.get_by_text("It falls.").is_visible()
    refuse = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('refused'); } })"
    one = stand(make_guess(hides="fig-result"), damage=with_figure, init=refuse)
    open_guess(one.page)
    one.page.get_by_role("slider").first.press("End")
    one.page.get_by_role("button", name="Compare").click()
    assert one.page.get_by_text("It falls.").is_visible()


@pytest.mark.html
def test_what_somebody_else_stored_is_ignored(stand):
    for text in ("{", "[]", json.dumps({"share": {"guess": [7, "x"], "shown": 3}}), json.dumps({"share": 5})):
        one = stand(make_guess(), init=f"try {{ localStorage['ddpm-lite:guess'] = {json.dumps(text)}; }} catch {{}}")
        open_guess(one.page)
        assert one.page.get_by_role("slider").count() == 5
        assert one.get("guess") == []
