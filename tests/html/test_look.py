"""How the built pages look where a machine can tell: headings, captions, folded code."""

import pytest

pytestmark = pytest.mark.html

STYLE = """(selector) => [...document.querySelectorAll(selector)].map((element) => {
  const style = getComputedStyle(element);
  return [parseFloat(style.fontSize), parseFloat(style.fontWeight)];
})"""


@pytest.fixture(scope="module", params=[390, 1440])
def chapter(request, open_page):
    """Chapter 3, on a phone and on a desktop."""
    return open_page("book/03_posterior", request.param)


def test_a_heading_is_larger_than_those_below_it_and_no_lighter(chapter):
    sizes, weights = zip(
        *(chapter.evaluate(STYLE, f".bd-article {level}")[0] for level in ("h1", "h2", "h3")), strict=True
    )
    assert sizes[0] > sizes[1] > sizes[2]
    assert weights[0] >= weights[1] >= weights[2]


def test_captions_weigh_what_the_text_weighs(chapter):
    text = chapter.evaluate(STYLE, ".bd-article section > p")[0][1]
    assert {weight for _, weight in chapter.evaluate(STYLE, ".bd-article figcaption .caption-text")} == {text}
