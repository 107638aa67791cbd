"""What a page loads: the bytes before a press, each file gzipped, and which requests there are."""

import gzip
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from built import DOCUMENTS, SITE

pytestmark = pytest.mark.html

BUDGET = 600_000
# What comes with the reader's first press, search or look at a link, and what no page of ours uses.
NOT_YET = (
    r"(?:searchindex|searchtools|cards\.|copy\.|digit\.|progress\.|state\.|derive\.|derivations\.|katex\.min"
    r"|fontawesome|design-tabs)\S*|fa-\S*woff2"
)


@cache
def weigh(path):
    """Bytes of a file, gzipped as a server sends it."""
    return len(gzip.compress(path.read_bytes(), 6))


@pytest.fixture(scope="module")
def loaded(browser):
    """`loaded(document)`: the files that a page asks for until it is quiet, and all its pictures, seen or not."""

    def files(document):
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page, asked = context.new_page(), []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((SITE / f"{document}.html").as_uri(), wait_until="load")
        page.wait_for_function("() => document.fonts.ready.then(() => true)")
        asked += page.evaluate("() => [...document.querySelectorAll('.bd-article img')].map((image) => image.src)")
        context.close()
        return {Path(unquote(urlparse(url).path)) for url in asked if url.startswith("file:")}

    return files


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_page_is_light_before_a_press(loaded, document):
    files = loaded(document)
    weights = {file.name: weigh(file) for file in files}
    names = " ".join(weights)
    assert sum(weights.values()) <= BUDGET, sorted(weights.items(), key=lambda pair: -pair[1])[:12]
    assert re.findall(NOT_YET, names) == []


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
