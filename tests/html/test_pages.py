"""The built pages in a real browser with the network cut: `make book`, then `pytest -m html`."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urldefrag

import notebooks
import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from built import DOCUMENTS, ROOT, SITE, TOC
from stands import PATIENCE
from visits import Visit, check_whole, check_widgets

# axe looks at every element. A formula has hundreds and a figure too, none of them ours to name, and of the coloured
# words in code one of each kind is enough.
THIN_OUT = """() => {
  document.querySelectorAll('.katex').forEach((formula) => formula.replaceChildren());
  const shapes = 'svg :is(path, use, circle, line, polyline, polygon, clipPath)';
  document.querySelectorAll(shapes).forEach((shape) => shape.remove());
  const seen = new Set();
  document.querySelectorAll('pre span').forEach((token) => {
    if (seen.has(token.className)) token.replaceWith(...token.childNodes);
    seen.add(token.className);
  });
}"""
# Of what has the same colours as something before it the first is kept: elements are alike if they and all around them
# have the same tags, classes, styles and other attributes. Of numbers, names and addresses only the attribute counts.
ONE_OF_EACH = """() => {
  const seen = new Set();
  const isNew = (one, around) => {
    const said = [...one.attributes].filter(({ name }) => name !== "id").map(({ name, value }) => {
      const own = /^(href|src|alt|title|content|value|for|aria-.*)$/.test(name) || /\\d/.test(value);
      return own && !["class", "style"].includes(name) ? name : `${name}=${value}`;
    });
    const kind = [around, one.tagName, ...said].join(" ");
    const first = !seen.has(kind);
    seen.add(kind);
    const parts = [...one.children].map((part) => isNew(part, kind) || (part.remove(), false));
    return first || parts.includes(true);
  };
  isNew(document.body, "");
}"""
# A label stands after the closing dollars: $$ ... $$ (eq-name)
LABEL = re.compile(r"\$\$[ \t]*\((eq-[^)\s]+)\)")

pytestmark = pytest.mark.html


@cache
def read_page(path):
    """A built page, without running it."""
    return BeautifulSoup(path.read_text(encoding="utf8"), "html.parser")


@cache
def find_ids(path):
    """{id: element} of a page."""
    return {element["id"]: element for element in read_page(path).find_all(id=True)}


@pytest.fixture(scope="module", params=DOCUMENTS)
def over_http(request, browser, server):
    visit = Visit(browser, server, request.param)
    yield visit
    visit.context.close()


def test_page_is_whole_over_http(over_http):
    check_whole(over_http)


def test_widgets_of_the_chapter_live_over_http(over_http):
    check_widgets(over_http)


# Rules that axe leaves out unless it is asked: experimental ones, and some of the strictest level.
MORE = (
    "css-orientation-lock",
    "hidden-content",
    "identical-links-same-purpose",
    "label-content-name-mismatch",
    "p-as-heading",
    "table-fake-caption",
    "target-size",
    "td-has-header",
)
# What depends on colours, in both themes, and the rest.
COLOURS = ["color-contrast", "link-in-text-block"]
REST = {"rules": {name: {"enabled": True} for name in MORE} | {name: {"enabled": False} for name in COLOURS}}


def _violations(page, rules):
    page.emulate_media(reduced_motion="reduce")  # no half-faded colours
    # What lies behind a word is measured: all sections must have their true height for that.
    page.add_style_tag(content=".bd-article section { content-visibility: visible !important; }")
    found = Axe().run(page, options={"resultTypes": ["violations"], **rules}).response["violations"]
    return [f"{violation['id']}: {node['html']}" for violation in found for node in violation["nodes"]]


def _faint(page, theme):
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.wait_for_function(f"() => document.documentElement.dataset.theme === '{theme}'")
    page.evaluate(ONE_OF_EACH)
    return _violations(page, {"runOnly": COLOURS})


def test_page_is_accessible(over_http):
    over_http.page.evaluate(THIN_OUT)
    assert _violations(over_http.page, REST) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_stand_out(over_http, theme):
    """Last, because of each kind only the first is left."""
    assert _faint(over_http.page, theme) == []


def test_a_faint_word_of_a_kind_of_its_own_is_found(browser, server):
    visit = Visit(browser, server, "book/glossary")
    assert _faint(visit.page, "light") == []
    visit.page.reload()
    visit.page.evaluate("""() => {
      const [word] = document.querySelectorAll(".bd-article dd p");
      word.insertAdjacentHTML("beforeend", "<b style='color: #bbb'>faint</b>");
    }""")
    assert len(_faint(visit.page, "light")) == 1
    visit.context.close()


def test_found_pages_are_accessible(browser, server):
    visit = Visit(browser, server, "search")
    visit.page.goto(f"{server}/search.html?q=posterior")
    visit.page.wait_for_selector("#search-results ul.search li a")
    visit.page.wait_for_function("() => !document.querySelector('#search-progress')?.textContent.includes('.')")
    assert _violations(visit.page, REST) == []
    assert [_faint(visit.page, theme) for theme in ("light", "dark")] == [[], []]
    visit.context.close()


def test_widgets_scripts_are_on_their_pages_only():
    for path in (SITE / "book").glob("*.html"):
        page = read_page(path)
        places = page.select("[data-widget]")
        used = {place["data-widget"] for place in places if "data-live" not in place.attrs}
        loaded = {Path(tag["src"].split("?")[0]).stem for tag in page.select("script[src*='_static/widgets/']")}
        shared = {"host"} if places else set()
        shared |= {"press"} if page.select("[data-press]") else set()
        assert loaded == used | shared, path.name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_link_begins_or_ends_with_a_space(document):
    """The space would be underlined as if it were a word."""
    links = [link.get_text() for link in read_page(SITE / f"{document}.html").select(".bd-article a[href]")]
    assert [text for text in links if text.strip() and text != text.strip()] == []


def test_links_and_pictures_lead_somewhere():
    pages = {path: read_page(path) for path in SITE.rglob("*.html") if "_static" not in path.parts}
    anchors = {path: set(find_ids(path)) for path in pages}
    broken = []
    for path, page in pages.items():
        links = [(tag["href"], True) for tag in page.select("a[href]")]
        links += [(tag["src"], False) for tag in page.select("[src]")]
        links += [(tag["href"], False) for tag in page.select("link[href]")]
        for link, may_leave in links:
            url, anchor = urldefrag(unquote(link))
            if url.startswith("data:"):
                continue
            if re.match(r"https?:|mailto:", url):
                broken += [] if may_leave else [f"{path.name}: {link} is fetched from elsewhere"]
                continue
            target = (path.parent / url.split("?")[0]).resolve() if url else path
            if not target.is_file():
                broken.append(f"{path.name}: {link}")
            elif anchor and anchor not in anchors.get(target, {anchor}):
                broken.append(f"{path.name}: {link}: no such anchor")
    assert broken == []


def test_every_labelled_equation_has_a_number_of_its_own_and_a_mark_that_leads_to_its_check():
    numbers = {}
    for path in notebooks.chapters(ROOT):
        places = find_ids(SITE / "book" / f"{path.stem}.html")
        markdown = [c["source"] for c in notebooks.read(path)["cells"] if c["cell_type"] == "markdown"]
        for label in LABEL.findall("\n".join(markdown)):
            assert f"equation-{label}" in places, f"{path.name}: {label}"
            place = places[f"equation-{label}"].select_one(".eqno")
            (number,) = re.findall(r"\([A-Z\d]+\.\d+\)", place.get_text())
            assert number not in numbers, f"{label} and {numbers[number]} are both {number}"
            numbers[number] = label
            mark = place.select_one("a.eq-check")
            assert mark is not None, f"{label} has no mark that leads to its check"
            folder, anchor = mark["href"].split("#")
            assert anchor == f"check-{label}"
            entry = find_ids((SITE / "book" / folder).resolve())[anchor]
            assert (
                entry.select_one(".katex-display annotation").get_text()
                == place.parent.select_one("annotation").get_text()
            )
            assert entry.select_one(f"a[href='../{path.stem}.html#equation-{label}']") is not None


def test_chapters_figures_and_exercises_are_numbered_by_chapter():
    chapters = [path for path in notebooks.chapters(ROOT) if path.stem[:2].isdigit()]
    for number, path in enumerate(chapters, 1):
        page = read_page(SITE / "book" / f"{path.stem}.html")
        assert page.select_one("article .section-number").get_text() == f"{number}. "
        sidebar = [link.get_text(" ", strip=True) for link in page.select("nav.bd-links a")]
        assert sum(bool(re.match(rf"{number}\. ", entry)) for entry in sidebar) == 1
        for kind in ("Figure", "Exercise"):
            places = page.select(".caption-number")
            found = [place.get_text().split()[1] for place in places if place.get_text().startswith(kind)]
            assert found == [f"{number}.{count}" for count in range(1, len(found) + 1)]
    for name in DOCUMENTS[:1] + DOCUMENTS[1 + len(chapters) :]:
        assert read_page(SITE / f"{name}.html").select_one("article .section-number") is None


def test_index_opens_the_book(browser, server):
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(f"{server}/index.html")
    page.wait_for_url(f"{server}/{TOC['root']}.html")
    assert page.locator(".bd-article h1").count() == 1
    context.close()


def test_search_finds_a_chapter(browser, server):
    visit = Visit(browser, server, "search")
    visit.page.goto(f"{server}/search.html?q=forward")
    visit.page.wait_for_selector("#search-results ul.search li a")
    assert visit.foreign + visit.failed + visit.complaints == []
    visit.page.goto(f"{server}/search.html?q=posterior")
    visit.page.wait_for_selector("#search-results ul.search li a")
    found = visit.page.eval_on_selector_all("#search-results ul.search li a", "links => links.map(link => link.href)")
    assert not any("checks.html" in link for link in found), "the page of checks repeats every name of the book"
    visit.context.close()


def test_keyboard_reaches_text_and_chapters(browser, server):
    visit = Visit(browser, server, TOC["root"])
    page = visit.page
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent.trim()") == "Skip to main content"
    page.keyboard.press("Enter")
    page.wait_for_function("() => location.hash === '#main-content'")

    page.goto(f"{server}/{TOC['root']}.html")
    inside = "() => document.activeElement.closest('.bd-sidebar-primary .bd-links') !== null"
    for _ in range(15):
        page.keyboard.press("Tab")
        if page.evaluate(inside):
            break
    assert page.evaluate(inside), "15 tab stops do not reach the list of chapters"
    visit.context.close()
