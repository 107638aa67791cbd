"""Figures and diagrams are part of the page: in the reader's theme, and readable on a phone."""

import io
import math

import pytest
from built import DOCUMENTS, ROOT
from PIL import Image

from ddpm_lite.viz.palette import PALETTE

pytestmark = pytest.mark.html

CHAPTERS = [d for d in DOCUMENTS if d.split("/")[-1][:2].isdigit()]
SMALLEST = 9  # pixels, of a word on a phone

# Of every word in a figure: its colour, its height in pixels of the screen, and the word.
WORDS = """() => [...document.querySelectorAll('.ddpm-figure text')].map((word) => [
  getComputedStyle(word).fill,
  parseFloat(getComputedStyle(word).fontSize) * word.getScreenCTM().a / Math.cos(Math.atan2(
    word.getScreenCTM().b, word.getScreenCTM().a)) ** 2,
  word.textContent,
])"""
# Lines and surfaces that have one of the four colours, as the browser sees it.
MARKS = """() => [...document.querySelectorAll('.ddpm-figure path, .ddpm-figure use, .ddpm-figure circle')]
  .flatMap((mark) => [getComputedStyle(mark).stroke, getComputedStyle(mark).fill])"""
# Pictures of cells that are no part of a widget.
PIXELS = """() => [...document.querySelectorAll('.cell_output img')]
  .filter((image) => !image.closest('[data-widget]')).map((image) => image.alt)"""
FRAMES = """() => [...document.querySelectorAll('.ddpm-figure')].map((figure) => {
  const { left, right, width } = figure.getBoundingClientRect();
  return [left, right, width, figure.getAttribute('aria-label') ?? ''];
})"""


def as_browsers_say(colour):
    return "rgb({}, {}, {})".format(*(int(colour[i : i + 2], 16) for i in (1, 3, 5)))


def colours(theme):
    return {name: as_browsers_say(getattr(colour, theme)) for name, colour in PALETTE.items()}


def choose(page, theme):
    page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)


def test_no_chapter_keeps_a_figure_of_pixels():
    kept = {
        d
        for d in DOCUMENTS
        if (ROOT / f"{d}.ipynb").is_file() and '"image/png"' in (ROOT / f"{d}.ipynb").read_text("utf8")
    }
    assert kept == set()


@pytest.fixture(scope="module", params=CHAPTERS)
def dark(request, open_page):
    """A chapter on a phone, in the dark."""
    page = open_page(request.param, 390)
    choose(page, "dark")
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    yield page
    page.context.close()


def test_words_are_in_the_colours_of_the_dark_and_large_enough(dark):
    words = dark.evaluate(WORDS)
    assert words, "a chapter without a figure"
    allowed = set(colours("dark").values())
    assert {(colour, word) for colour, _, word in words if colour not in allowed} == set()
    assert {(word, round(height, 1)) for _, height, word in words if 0 < height < SMALLEST} == set()


def test_no_mark_keeps_a_colour_for_white(dark):
    light = set(colours("light").values()) - set(colours("dark").values()) - {"rgb(255, 255, 255)"}
    assert set(dark.evaluate(MARKS)) & light == set()


def test_figures_fit_and_say_what_they_show(dark):
    frames = dark.evaluate(FRAMES)
    assert [alt for *_, alt in frames if len(alt) < 20] == []
    assert [frame for frame in frames if frame[0] < 0 or frame[1] > 390.5] == []
    assert dark.evaluate(PIXELS) == [], "a figure that does not follow the theme"


# Pairs of words of a figure that lie on each other by more than half of the smallest, and words beside the screen.
COLLISIONS = """() => [...document.querySelectorAll('.ddpm-figure')].flatMap((figure) => {
  const words = [...figure.querySelectorAll('text')]
    .filter((word) => word.textContent.trim() && word.getClientRects().length)
    .map((word) => ({ said: word.textContent.trim(), box: word.getBoundingClientRect() }));
  const beside = words.filter(({ box }) => box.left < 0 || box.right > innerWidth).map(({ said }) => [said]);
  const least = Math.min(...words.map(({ box }) => Math.min(box.width, box.height))) / 2;
  const on = words.flatMap((one, i) => words.slice(i + 1).filter((other) => {
    const wide = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
    const high = Math.min(one.box.bottom, other.box.bottom) - Math.max(one.box.top, other.box.top);
    return Math.min(wide, high) > least;
  }).map((other) => [one.said, other.said]));
  return [...beside, ...on];
})"""


def test_no_word_of_a_figure_lies_on_another(dark):
    assert dark.evaluate(COLLISIONS) == []


def test_no_figure_is_a_white_slab_in_the_dark(dark):
    """The corner of a figure is dark like the page beside it."""
    found = {}
    for figure in dark.locator(".ddpm-figure").all():
        if figure.is_visible():
            # The window is pictured: what is laid out when it comes near moves an element while that is pictured.
            for _ in range(2):  # once more, when what is above has been laid out
                figure.evaluate("(one) => one.scrollIntoView({ block: 'center', behavior: 'instant' })")
                dark.wait_for_timeout(150)
            box, shot = figure.bounding_box(), Image.open(io.BytesIO(dark.screenshot())).convert("RGB")
            corner = (int(box["x"]) + 1, min(shot.height, math.ceil(box["y"] + box["height"])) - 2)
            # The lower corner: images reach into the others. A photograph fills its figure, which then has no ground.
            if dark.evaluate("([x, y]) => document.elementFromPoint(x, y)?.tagName", corner) == "image":
                continue
            found[figure.get_attribute("aria-label")[:60]] = shot.getpixel(corner)
            if len(found) == 4:
                break
    assert found
    assert {name: colour for name, colour in found.items() if max(colour) > 60} == {}


@pytest.fixture(scope="module")
def page(open_page):
    """Chapter 3 on a desktop."""
    return open_page("book/03_posterior", 1440)


READ = "(name) => getComputedStyle(document.documentElement).getPropertyValue(`--ddpm-${name}`)"


def test_print_is_light_whatever_the_theme(page):
    choose(page, "dark")
    assert page.evaluate(READ, "ink") == PALETTE["ink"].dark
    page.emulate_media(media="print")
    try:
        assert page.evaluate(READ, "ink") == PALETTE["ink"].light
        assert {colour for colour, *_ in page.evaluate(WORDS)} <= set(colours("light").values())
    finally:
        page.emulate_media(media="screen")


def test_forced_colours_are_the_readers_own(page):
    page.emulate_media(forced_colors="active")
    try:
        assert page.evaluate(READ, "data") == PALETTE["data"].forced
        assert not {colour for colour, *_ in page.evaluate(WORDS)} & set(colours("dark").values())
    finally:
        page.emulate_media(forced_colors="none")


def test_a_letter_with_a_bar_is_seen_with_forced_colours(page):
    """Chromium paints a ground behind each word: that of the bar hid the alpha below it."""
    choose(page, "light")
    formula = page.locator(".bd-article p .katex-html:has(.katex-accent)").first

    def ink():
        return sum(Image.open(io.BytesIO(formula.screenshot())).convert("L").histogram()[:128])

    before = ink()
    page.emulate_media(forced_colors="active")
    try:
        assert ink() == pytest.approx(before, rel=0.2)
    finally:
        page.emulate_media(forced_colors="none")


def test_words_on_a_desktop_are_as_large_as_the_text(page):
    heights = [height for _, height, _ in page.evaluate(WORDS) if height]  # what is folded has none
    text = page.evaluate("parseFloat(getComputedStyle(document.querySelector('.bd-article section > p')).fontSize)")
    assert 0.9 * text < min(heights)
    assert max(heights) < 1.15 * text
