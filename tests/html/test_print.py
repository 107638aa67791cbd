"""A chapter on paper: light, whole, without what only works on a screen, and short."""

import re

import pytest

pytestmark = pytest.mark.html

# The width between the margins of A4, in CSS pixels.
PAPER = 658

# What a reader could press, drag or fold.
DEAD = """() => [...document.querySelectorAll("button, input, select, summary, progress, .headerlink")]
  .filter((element) => element.checkVisibility())
  .map((element) => element.outerHTML.slice(0, 80))"""
# Formulas and code that are wider than their place.
CUT = """() => [...document.querySelectorAll("div.math > .katex-display, .bd-article pre")]
  .filter((box) => box.scrollWidth > box.clientWidth + 1)
  .map((box) => box.closest("[id]").id)"""
BROKEN = """() => [...document.querySelectorAll(
    ".bd-article :is(div.math, pre, figure, .cell_input, [class*=highlight-], tr)")]
  .filter((box) => box.checkVisibility() && getComputedStyle(box).breakInside !== "avoid")
  .map((box) => box.outerHTML.slice(0, 80))"""
PAINT = """() => {
  const colour = (selector) => getComputedStyle(document.querySelector(selector)).color;
  return [colour(".bd-article p"), colour(".bd-article pre"), getComputedStyle(document.body).backgroundColor];
}"""


@pytest.fixture(scope="module", params=["02_forward_process", "03_posterior"])
def paper(request, open_page):
    """A chapter as it goes to the printer from a dark screen."""
    page = open_page(f"book/{request.param}", 1440)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": PAPER, "height": 1000})
    return page


def test_nothing_on_paper_can_be_pressed(paper):
    assert paper.evaluate(DEAD) == []


def test_no_formula_or_code_is_cut_on_paper_or_split(paper):
    assert paper.evaluate(CUT) == []
    assert paper.evaluate(BROKEN) == []


def test_paper_is_light_from_a_dark_screen_too(paper):
    for colour, dark in zip(paper.evaluate(PAINT), (True, True, False), strict=True):
        levels = [int(part) for part in re.findall(r"\d+", colour)[:3]]
        assert (max(levels) < 110) if dark else (min(levels) > 240 or colour == "rgba(0, 0, 0, 0)"), colour


def test_each_widget_is_its_figure_with_a_key(paper):
    for place in paper.locator("[data-widget]").all():
        assert place.locator(".ddpm-widget-still").is_visible()
        assert place.locator(".ddpm-widget:visible").count() == 1
    keys = paper.locator(".dw-key:visible")
    assert keys.count() > 0
    # a border, since a background is printed only if the reader asks for it
    width = "(key) => parseFloat(getComputedStyle(key, '::before').borderTopWidth)"
    assert all(key.evaluate(width) >= 2 for key in keys.all())


def test_solutions_are_open_and_after_all_the_rest(paper):
    order = paper.evaluate("""() => [...document.querySelectorAll(".bd-article :is(.exercise, .solution)")]
      .map((box) => box.classList.contains("solution"))""")
    assert order == sorted(order)
    assert True in order
    for solution in paper.locator(".bd-article .solution").all():
        assert solution.locator(".admonition-title ~ *").first.is_visible()


def test_what_a_folded_cell_printed_is_on_paper_without_its_code(open_page):
    page = open_page("book/11_fewer_steps", PAPER)
    folded = page.locator(".cell details.hide:has(.cell_output)").first
    assert not folded.locator(".cell_output").is_visible()
    page.emulate_media(media="print")
    assert folded.locator(".cell_output").is_visible()
    assert not folded.locator(".cell_input").is_visible()


@pytest.mark.parametrize(("chapter", "most"), [("02_forward_process", 24), ("03_posterior", 28)])
def test_a_chapter_takes_few_pages_and_comes_back_from_the_printer(open_page, chapter, most):
    page = open_page(f"book/{chapter}", 1440)
    order = "() => [...document.querySelectorAll('.bd-article *')].map((element) => element.id || element.tagName)"
    before = page.evaluate(order)
    paper = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type /Page\b", paper)) <= most
    assert page.evaluate(order) == before
    assert page.evaluate("() => document.documentElement.dataset.theme") == "light"
