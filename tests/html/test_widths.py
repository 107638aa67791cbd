"""In windows from a small phone to a desktop nothing is cut: what is wider than its place shows that it goes on."""

import pytest
from built import DOCUMENTS, READY

pytestmark = pytest.mark.html

DESKTOP = 1280
WIDTHS = (390, 320, 768, DESKTOP, 1440)  # a phone first: the page opens in it

# In the page, for a window of a width: each kind of fault, and what has it.
FAULTS = """(desktop) => {
  const beyond = (box) => box.scrollWidth > box.clientWidth + 1;
  const name = (box) => `${box.closest("[id]")?.id} ${box.className} ${box.textContent.slice(0, 60)}`;
  const equations = [...document.querySelectorAll("div.math > .katex-display")].filter((box) => box.clientWidth);
  const boxes = [...document.querySelectorAll(".bd-article pre"), ...[...document.querySelectorAll(".bd-article table")]
    .map((table) => table.closest(".pst-scrollable-table-container, .output") ?? table.parentElement)];
  const wide = boxes.filter((box) => box.checkVisibility() && beyond(box));
  const root = document.documentElement;
  return {
    "an equation is cut": equations.filter(beyond)
      .filter((box) => !box.classList.contains("goes-on") || box.tabIndex !== 0).map(name),
    "an equation is small": equations.map((box) => box.querySelector(":scope > .katex"))
      .filter((maths) => maths && parseFloat(getComputedStyle(maths).fontSize) < 13).map(name),
    "code or a table is cut": wide
      .filter((box) => box.tabIndex !== 0 || !box.closest(".goes-on")).map(name),
    "code or a table is wider than a desktop's column": innerWidth < desktop ? [] : wide.map(name),
    "the page scrolls sideways": root.scrollWidth > root.clientWidth ? [root.scrollWidth] : [],
  };
}"""


@pytest.mark.parametrize("document", DOCUMENTS)
def test_nothing_is_cut_without_a_sign(open_page, document):
    page = open_page(document, WIDTHS[0])
    raw = "() => [...document.querySelectorAll('.bd-article p')].filter((p) => /[|] *-{3}/.test(p.textContent)).length"
    assert page.evaluate(raw) == 0, "Markdown shows as it was written: is it a table?"
    found = []
    for width in WIDTHS:
        if width != WIDTHS[0]:
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate(READY)  # what is far from the window is measured as before printing
        found += [(width, fault, boxes) for fault, boxes in page.evaluate(FAULTS, DESKTOP).items() if boxes]
    assert found == []
    page.context.close()


def test_faults_are_found(open_page):
    """Each kind, made on a page that has none, and looked at before the page can mend it."""
    page = open_page("book/03_posterior", 390)
    made = """() => {
      const article = document.querySelector(".bd-article");
      const add = (html) => article.insertAdjacentHTML("beforeend", html);
      const [long, small] = document.querySelectorAll("div.math > .katex-display");
      long.insertAdjacentHTML("beforeend", "<div style='width: 3000px; height: 1px'></div>");
      long.tabIndex = -1;
      small.querySelector(".katex").style.fontSize = "9px";
      add(`<pre style="overflow: auto; width: 90px">${"a".repeat(300)}</pre>`);
      add("<div style='width: 900px; height: 1px'></div>");
    }"""
    faults = page.evaluate(f"() => {{ ({made})(); return ({FAULTS})(300); }}")
    assert [fault for fault, boxes in faults.items() if not boxes] == []
    page.context.close()
