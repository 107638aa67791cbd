"""What makes pages light does no harm: code with fewer elements, icons of their own, and what is laid out later."""

import pytest
from built import SITE, weigh
from stands import PATIENCE
from visits import OPENED

pytestmark = pytest.mark.html


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_code_without_elements_has_the_colour_that_its_elements_would_have(open_page, theme):
    """thin_code of book/_ext drops names, punctuation and spaces; a style with colours of their own would be lost."""
    page = open_page("book/16_from_ddpm_to_flows", 1440)
    colours = page.evaluate(
        """(theme) => {
          document.documentElement.dataset.theme = theme;
          const code = document.querySelector(".cell_input .highlight pre");
          return ["", "n", "p", "w"].map((kind) => {
            const word = code.appendChild(document.createElement("span"));
            word.className = kind;
            const { color } = getComputedStyle(word);
            word.remove();
            return color;
          });
        }""",
        theme,
    )
    assert len(set(colours)) == 1, colours


def test_icons_are_cut_out_of_their_fonts(open_page):
    page = open_page("book/03_posterior", 1440)
    icons = page.locator("i.fa-solid:visible, .admonition > .admonition-title")
    assert icons.count() > 3
    # A sign that the font lacks would be drawn by another font.
    missing = page.evaluate(
        """() => [...document.querySelectorAll("i.fa-solid, i.fa-brands, i.fa-regular")].filter((icon) => {
          const { content, font } = getComputedStyle(icon, "::before");
          return content === "none" || content === "normal" || !document.fonts.check(font, content.slice(1, -1));
        }).map((icon) => icon.className)"""
    )
    assert missing == []
    assert sum(weigh(font) for font in (SITE / "_static" / "styles").glob("fa-*.woff")) < 8_000
    assert not (SITE / "_static" / "vendor").exists()


SETTLED = """async () => {
  for (let last = NaN; last !== scrollY + document.documentElement.scrollHeight; ) {
    last = scrollY + document.documentElement.scrollHeight;
    for (let frames = 0; frames < 3; frames++) await new Promise(requestAnimationFrame);
  }
}"""


@pytest.fixture(scope="module")
def opened(browser):
    """`opened(document, width)`: a page as it opens, when nothing was scrolled yet."""
    contexts = []

    def open_document(document, width=1440, anchor="", **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        contexts[-1].set_default_timeout(PATIENCE)
        contexts[-1].add_init_script(
            """new MutationObserver((changes, observer) => {
              if (!document.querySelector("h1")) return;
              window.first = document.documentElement.dataset.theme;
              observer.disconnect();
            }).observe(document, { childList: true, subtree: true });"""
        )
        page = contexts[-1].new_page()
        page.goto((SITE / f"{document}.html").as_uri() + anchor)
        page.evaluate(OPENED)
        return page

    yield open_document
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_is_known_before_the_text_is_styled(opened, scheme):
    """Else all of a page would be styled twice, and a reader in the dark would see white first."""
    page = opened("book/03_posterior", color_scheme=scheme)
    assert page.evaluate("() => [window.first, document.documentElement.dataset.theme]") == [scheme, scheme]


def test_what_was_put_off_is_there_for_who_goes_to_it(opened):
    """By an address, by the browser's search, back after a reload, and with the sign of what scrolls."""
    last = "() => [...document.querySelectorAll('div.math[id]')].at(-1)"
    for width in (390, 1440):
        page = opened("book/03_posterior", width)
        name = page.evaluate(f"({last})().id")
        assert not page.evaluate(f"({last})().checkVisibility({{contentVisibilityAuto: true}})")
        assert page.evaluate("() => find('What a wrong index costs')")
        page = opened("book/03_posterior", width, f"#{name}")
        page.evaluate(SETTLED)
        where = f"({last})().getBoundingClientRect().top"
        there = page.evaluate(where)
        assert 0 <= there < 300
        page.reload()
        page.evaluate(OPENED)
        page.evaluate(SETTLED)
        assert page.evaluate(where) == pytest.approx(there, abs=200)


def test_an_equation_far_down_shows_that_it_goes_on_when_it_is_near(opened, open_page):
    cut = "() => [...document.querySelectorAll('div.math[id]:has(.goes-on)')].map((one) => one.id)"
    far = open_page("book/11_fewer_steps", 320).evaluate(cut)[-1]
    page = opened("book/11_fewer_steps", 320)
    assert far not in page.evaluate(cut)
    page.evaluate("(name) => document.getElementById(name).scrollIntoView()", far)
    page.wait_for_selector(f"#{far} > .goes-on[tabindex='0']")
