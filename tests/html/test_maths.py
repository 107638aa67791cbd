"""The formulas of the built pages: they can be copied, they are no stops of the Tab key, and they need no script."""

import pytest
from built import SITE

pytestmark = pytest.mark.html


@pytest.fixture(scope="module")
def posterior(open_page):
    """Chapter 3 on a desktop."""
    return open_page("book/03_posterior")


# The script that copies is loaded with the first selection.
COPY = """async (select) => {
  const loaded = new Promise((done) => {
    if (document.querySelector("script[src*='copy.js']")) done();
    document.addEventListener("load", done, true);
  });
  const range = document.createRange();
  const where = eval(select)(range);
  const selection = document.getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
  await loaded;
  const data = new DataTransfer();
  const copied = !document.body.dispatchEvent(
    new ClipboardEvent("copy", { clipboardData: data, bubbles: true, cancelable: true }));
  return copied ? data.getData("text/plain") : null;
}"""


def test_a_copied_paragraph_holds_its_formulas_as_latex(posterior):
    words = posterior.evaluate(
        COPY,
        "(range) => range.selectNode(document.querySelector('.bd-article p:has(.katex)'))",
    )
    first = posterior.locator(".bd-article p:has(.katex) annotation").first.text_content()
    assert f"${first}$" in words
    assert "\n\n\n" not in words


def test_a_copied_equation_is_its_latex_even_when_half_of_it_was_selected(posterior):
    words = posterior.evaluate(
        COPY,
        """(range) => {
          const visible = document.querySelector('#equation-eq-posterior-mean .katex-html');
          range.setStart(visible, 0);
          range.setEnd(visible, 1);
        }""",
    )
    source = posterior.locator("#equation-eq-posterior-mean annotation").text_content()
    assert words == f"$${source}$$"


def test_what_takes_room_in_a_formula_has_the_size_that_katex_gave_it(posterior):
    """The most frequent style of each kind is in the style sheet, and not at the element."""
    sizes = posterior.evaluate("""() => [[".pstrut", "height"], [".mspace:empty", "marginRight"]].map(([kind, side]) =>
      [...document.querySelectorAll(`.katex ${kind}:not([style])`)].map((part) => {
        const style = getComputedStyle(part);
        return parseFloat(style[side]) / parseFloat(style.fontSize);
      }))""")
    for found, size in zip(sizes, (3, 0.2222), strict=True):
        assert len(found) > 50
        assert found == pytest.approx([size] * len(found), rel=1e-2)
    assert posterior.locator(".katex .pstrut[style*='height:3em']").count() == 0


def test_text_without_a_formula_is_copied_as_ever(posterior):
    assert posterior.evaluate(COPY, "(range) => range.selectNode(document.querySelector('.bd-article h1'))") is None


def test_a_formula_is_no_stop_of_the_tab_key(posterior):
    assert posterior.locator(".katex [tabindex], .katex a").count() == 0


def test_formulas_stand_with_scripts_off(browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((SITE / "book" / "03_posterior.html").as_uri())
    box = page.locator("#equation-eq-posterior-mean .katex-html").bounding_box()
    assert box["width"] > 100
    assert box["height"] > 20
    context.close()
