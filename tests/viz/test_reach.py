"""Widgets under a finger, read aloud, in a narrow window, in forced colours, and when a reader has had enough."""

import numpy as np
import pytest
from stands import TWINS
from test_widgets import PLAYERS, every_twin, started

pytestmark = pytest.mark.html

NARROW = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True}
# What a screen reader would be told, in order: each text of a live region that changed.
HEAR = """() => {
  window.told = [];
  new MutationObserver((changes) => {
    const regions = new Set(changes.map(({ target }) => (target.nodeType === 3 ? target.parentElement : target)
      .closest("[aria-live], [role=status], output")).filter(Boolean));
    for (const region of regions) {
      if (region.getAttribute("aria-live") !== "off") window.told.push(region.textContent);
    }
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


def of(name):
    return next(twin for twin in TWINS if twin.name == name)


@pytest.mark.parametrize("name", PLAYERS)
@pytest.mark.parametrize("touch", ["press a slider", "a key on a slider"])
def test_what_the_reader_touches_stops_play(name, touch, stand):
    one = stand(of(name))
    page = one.page
    slider = page.locator("input[type=range]").first
    slider.focus()
    page.get_by_role("button", name="Play").evaluate("(button) => button.click()")
    assert page.get_by_role("button", name="Pause").count() == 1
    if touch == "press a slider":
        slider.hover()
        page.mouse.down()
    else:
        page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Play").wait_for()
    before = one.get(PLAYERS[name])
    one.let_timers_run()
    assert one.get(PLAYERS[name]) == before


@pytest.mark.parametrize("name", PLAYERS)
def test_nothing_is_told_while_it_plays_and_all_once_at_the_end(name, stand):
    one = stand(of(name))
    page = one.page
    page.evaluate(HEAR)
    page.get_by_role("button", name="Play").evaluate("(button) => button.click()")
    page.wait_for_function(
        "([name, old]) => document.querySelector('[data-widget]').model.get(name) !== old",
        arg=[PLAYERS[name], one.get(PLAYERS[name])],
    )
    one.let_timers_run(30)
    told = page.evaluate("told")
    assert told == [] or page.get_by_role("button", name="Pause").count() == 0
    page.evaluate("""() => Array.from(document.querySelectorAll("button"))
      .filter((button) => button.textContent === "Pause").forEach((button) => button.click())""")
    page.wait_for_function("told.length > 0")
    one.let_timers_run(30)
    assert len(page.evaluate("told")) == 1


def test_a_step_of_a_slider_is_told_once(stand):
    one = stand(of("cloud"))
    page = one.page
    page.evaluate(HEAR)
    slider = page.locator("input[type=range]").first
    slider.press("ArrowRight")
    page.wait_for_function("told.length > 0")
    one.let_timers_run(30)
    (words,) = page.evaluate("told")
    assert words.startswith("weights of x₀ and noise: ")
    assert slider.get_attribute("aria-valuetext") == slider.input_value()


def swipe(page, selector, dx, dy):
    """A finger goes over the page, from the middle of an element."""
    place = page.locator(selector).first
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    x, y = box["x"] + box["width"] * 0.3, box["y"] + box["height"] / 2
    devtools = page.context.new_cdp_session(page)
    touch = lambda kind, points: devtools.send(  # noqa: E731
        "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
    )
    touch("touchStart", [{"x": x, "y": y}])
    for share in np.linspace(0.1, 1, 10):
        touch("touchMove", [{"x": x + share * dx, "y": y + share * dy}])
    touch("touchEnd", [])


TALL = "() => document.querySelector('main').style.setProperty('padding-block', '900px')"


@pytest.mark.parametrize("name", ["attention-viewer", "cloud"])
def test_a_finger_up_the_page_scrolls_it_and_moves_nothing_else(name, stand):
    twin = next(twin for twin in TWINS if twin.name.startswith(name.split("-")[0]))
    one = stand(twin, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page = one.page
    page.evaluate(TALL)
    selector, traits = (".dw-pick", ("row", "column")) if name != "cloud" else ("input[type=range]", ("t",))
    page.locator(selector).first.scroll_into_view_if_needed()
    before, top = [one.get(trait) for trait in traits], page.evaluate("scrollY")
    swipe(page, selector, 5, -150)
    page.wait_for_function("(top) => scrollY > top + 50", arg=top)
    assert [one.get(trait) for trait in traits] == before


def test_a_finger_chooses_a_pixel_with_a_tap(stand):
    twin = next(twin for twin in TWINS if twin.name.startswith("attention"))
    one = stand(twin, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    picture = one.page.locator(".dw-pick").first
    box = picture.bounding_box()
    picture.tap(position={"x": box["width"] * 0.95, "y": box["height"] * 0.05})
    rows = one.page.locator("canvas").first.evaluate("(canvas) => [canvas.height, canvas.width]")
    assert (one.get("row"), one.get("column")) == (0, rows[1] - 1)


@every_twin
def test_nothing_is_cut_in_a_narrow_window(twin, stand):
    page = stand(twin, **NARROW).page
    started(page)
    assert page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    cut = page.evaluate("""() => [...document.querySelectorAll(
      ".ddpm-widget:not(.ddpm-widget-still) :is(input, select, button, label, output, dd)")]
      .filter((part) => part.checkVisibility()).filter((part) => {
        const box = part.getBoundingClientRect(), frame = part.closest(".ddpm-widget").getBoundingClientRect();
        return box.right > frame.right || box.left < frame.left || part.scrollWidth > part.clientWidth + 1
          && part.matches("select, button");
      }).map((part) => part.outerHTML.slice(0, 90))""")
    assert cut == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marks_keep_their_colours_when_the_reader_forces_others(theme, stand):
    page = stand(of("posterior-explorer"), of("cloud"), theme=theme, forced_colors="active").page
    colours = page.evaluate("""() => [...document.querySelectorAll(".ddpm-widget:not(.ddpm-widget-still) .dw-key")]
      .filter((key) => key.checkVisibility())
      .map((key) => [key.className, getComputedStyle(key, "::before").borderTopColor,
        getComputedStyle(key, "::before").borderTopWidth])""")
    shown = {(kind, colour) for kind, colour, _ in colours}
    assert len({colour for _, colour in shown}) >= 3, colours
    assert all(float(width.removesuffix("px")) >= 2 for *_, width in colours)
    drawn = page.evaluate("""() => [...document.querySelectorAll(".ddpm-widget:not(.ddpm-widget-still) .dw-line")]
      .map((line) => [line.getAttribute("class"), getComputedStyle(line).stroke])""")
    lines = {kind.split()[1]: colour for kind, colour in drawn}
    roles = page.evaluate("""() => ["data", "noise", "model", "exact"].map((role) => {
      const key = document.querySelector(".dw-key");
      key.style.setProperty("--dw", `var(--ddpm-${role})`);
      return getComputedStyle(key, "::before").borderTopColor;
    })""")
    assert len(set(roles)) == 4, roles
    assert lines["dw-3"] == dict(colours_of(colours))["dw-3"]
    assert len(set(lines.values())) >= 3


def colours_of(keys):
    return [(kind.split()[1], colour) for kind, colour, _ in keys]


@pytest.mark.parametrize("name", ["guidance-rows", "fewer-steps", "draw-a-digit"])
def test_a_long_drawing_can_be_stopped_and_begun_again(name, stand):
    one = stand(of(name))
    page = one.page
    page.get_by_role("button").first.click()
    if name == "draw-a-digit":
        page.get_by_label("steps").select_option("1000")
    button = page.get_by_role("button", name="Stop", exact=True)
    button.press("Enter")
    status = page.locator("p[role=status]:not(.dw-said)")
    status.filter(has_text="Stopped after ").wait_for()
    one.let_timers_run(20)  # in which the facts so far are told
    words = page.locator("[data-widget]").inner_text()
    one.let_timers_run(20)
    assert page.locator("[data-widget]").inner_text() == words
    assert page.evaluate("document.activeElement.textContent").startswith("Draw ")
    page.keyboard.press("Enter")
    status.filter(has_text="Drawing ").wait_for()
    button.click()
    status.filter(has_text="Stopped after ").wait_for()


@pytest.mark.transports
def test_a_download_that_broke_off_is_made_again(stand, tmp_path):
    one = stand(of("draw-a-digit"))
    (path,) = (tmp_path / "networks").glob("digits-by-label.js")
    whole = path.read_text(encoding="utf8")
    path.write_text(whole[: len(whole) // 2], encoding="utf8")
    page = one.page
    page.get_by_role("button").click()
    page.get_by_role("alert").wait_for()
    path.write_text(whole, encoding="utf8")
    page.get_by_role("button").click()
    page.get_by_role("status").filter(has_text="Done: ").wait_for()
    assert page.get_by_role("alert").count() == 0
    one.complaints.clear()  # the browser's own word on half a script
