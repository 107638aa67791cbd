"""Code, tables, captions: what is wide fits, or shows that it goes on; what is read needs no stop of the Tab key."""

import re

import pytest
from built import DOCUMENTS, READY

pytestmark = pytest.mark.html

# Boxes of code and tables that are wider than their place: all, and those without a sign and a tab stop.
WIDE = """() => {
  const boxes = [...document.querySelectorAll(".bd-article pre"), ...[...document.querySelectorAll(".bd-article table")]
    .map((table) => table.closest(".pst-scrollable-table-container, .output") ?? table.parentElement)];
  const wide = boxes.filter((box) => box.checkVisibility() && box.scrollWidth > box.clientWidth + 1);
  const silent = wide.filter((box) => box.tabIndex !== 0
    || (!box.classList.contains("goes-on") && !box.closest(".goes-on")));
  return [wide, silent].map((some) => some.map((box) => `${box.className} ${box.textContent.slice(0, 60)}`));
}"""


@pytest.mark.parametrize("document", DOCUMENTS)
def test_code_and_tables_fit_a_desktop_and_scroll_with_a_sign_on_a_phone(open_page, document):
    page = open_page(document, 1440)
    raw = "() => [...document.querySelectorAll('.bd-article p')].filter((p) => /[|] *-{3}/.test(p.textContent)).length"
    assert page.evaluate(raw) == 0, "Markdown shows as it was written: is it a table?"
    for width in (1440, 1280, 768, 390, 320):
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate(READY)  # what is far from the window is measured as before printing
        wide, silent = page.evaluate(WIDE)
        assert silent == [], width
        assert width < 1280 or wide == [], width
    page.close()


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
    page = open_page("book/14_other_peoples_code", 390)
    cells = page.locator('.pst-scrollable-table-container[tabindex="0"] td:not(.text-right)')
    widths = cells.evaluate_all(
        """(all) => all.map((cell) => cell.getBoundingClientRect().width
          / parseFloat(getComputedStyle(document.documentElement).fontSize))"""
    )
    assert len(widths) > 50
    assert min(widths) >= 6.9
    page.close()
