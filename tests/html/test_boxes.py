"""Captions and tables can be read on every screen, and what is only read needs no stop of the Tab key."""

import re

import pytest

pytestmark = pytest.mark.html

STOPS = """() => [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex]")]
  .filter((stop) => stop.tabIndex >= 0 && !stop.disabled && stop.checkVisibility({ visibilityProperty: true }))"""


def test_formulas_that_fit_are_no_stops(open_page):
    page = open_page("book/03_posterior", 1440)
    assert page.evaluate(f"({STOPS})().filter((stop) => stop.closest('.katex, .katex-display')).length") == 0
    # In the text alone, because the lists beside it and what is operated grow with the book; there were 622 with all.
    text = "stop.closest('article') && !stop.closest('[data-widget], [data-quick]')"
    assert page.evaluate(f"({STOPS})().filter((stop) => {text}).length") <= 200


def test_captions_stand_out_in_the_dark(open_page):
    page = open_page("book/03_posterior", 1440)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")
    words = page.evaluate("""() => [...document.querySelectorAll(".bd-article figcaption .caption-text")]
      .map((caption) => getComputedStyle(caption)).map(({ color, fontWeight }) => [color, Number(fontWeight)])""")
    assert words
    for colour, weight in words:
        assert min(int(part) for part in re.findall(r"\d+", colour)[:3]) > 180, colour
        assert weight >= 400


def test_a_table_that_is_scrolled_on_a_phone_has_room_for_its_sentences(open_page):
    page = open_page("book/rosetta", 390)
    cells = page.locator('.pst-scrollable-table-container[tabindex="0"] td:not(.text-right)')
    widths = cells.evaluate_all(
        """(all) => all.map((cell) => cell.getBoundingClientRect().width
          / parseFloat(getComputedStyle(document.documentElement).fontSize))"""
    )
    assert len(widths) > 50
    assert min(widths) >= 6.9
    page.close()
