"""The built pages opened as files: whole, light, and no more laid out than is near the window."""

import re
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from built import DOCUMENTS, SITE, weigh
from visits import Visit, check_whole, check_widgets

pytestmark = pytest.mark.html

BUDGET = 600_000
# What comes with the reader's first press, search or look at a link, and what no page of ours uses.
NOT_YET = (
    r"(?:searchindex|searchtools|cards\.|copy\.|progress\.[cj]s|quick\.|state\.|derive\.|derivations\.|katex\.min"
    r"|fontawesome|design-tabs)\S*|fa-\S*woff2"
)


@pytest.fixture(scope="module", params=DOCUMENTS)
def from_file(request, browser):
    visit = Visit(browser, SITE.as_uri(), request.param, width=1440)
    yield visit
    visit.context.close()


def test_page_is_whole_from_file(from_file):
    check_whole(from_file)


def test_a_page_is_light_before_a_press(from_file):
    """What it asks for until it is quiet, and all its pictures, seen or not: each file gzipped."""
    pictures = from_file.page.evaluate("() => [...document.querySelectorAll('.bd-article img')].map((one) => one.src)")
    urls = [url for url in (*from_file.opening, *pictures) if url.startswith("file:")]
    weights = {file.name: weigh(file) for file in {Path(unquote(urlparse(url).path)) for url in urls}}
    names = " ".join(weights)
    assert sum(weights.values()) <= BUDGET, sorted(weights.items(), key=lambda pair: -pair[1])[:12]
    assert re.findall(NOT_YET, names) == []
    # Its menu asks for files that a book does not carry, and keeps the choice for every book of the host.
    assert "mathjax" not in names.lower()


@pytest.mark.parametrize("from_file", [one for one in DOCUMENTS if re.match(r"book/\d\d", one)], indirect=True)
def test_a_chapter_lays_out_what_is_near_the_window(from_file):
    """A formula is some eighty elements: a slow machine would need ten seconds for the 35,000 of chapter 3."""
    assert from_file.styled <= 9_000
    rest = from_file.page.add_style_tag(content=".bd-article section { content-visibility: visible !important; }")
    height = from_file.page.evaluate("() => document.querySelector('.bd-article').offsetHeight")
    rest.evaluate("(tag) => tag.remove()")
    assert height == pytest.approx(from_file.height, rel=0.3)


def test_widgets_of_the_chapter_live_from_file(from_file):
    check_widgets(from_file)


# The table of contents names the pages: the folder of the built book may not be there when tests are collected.
@pytest.mark.parametrize("document", DOCUMENTS)
def test_page_is_light(document):
    """Apart from images, a chapter with its widgets stays under 1.5 MB."""
    text = re.sub(r"data:image/png;base64,[\w+/=]+", "", (SITE / f"{document}.html").read_text(encoding="utf8"))
    assert len(text.encode()) < 1_500_000
