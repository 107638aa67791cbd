"""The first page, and what every page says to those who are not reading it yet."""

import importlib
import json
import re
import shutil
from collections import namedtuple
from functools import cache
from xml.etree import ElementTree

import favicon
import notebooks
import prose
import pytest
from bs4 import BeautifulSoup
from built import DOCUMENTS, READY, ROOT, SITE, TOC
from equations import checks, source
from equations.corruptions import corruptions
from stands import PATIENCE, Served

from ddpm_lite.data import FASHION_WORDS

pytestmark = pytest.mark.html

FRONT = TOC["root"]
CHAPTERS = [path for path in notebooks.chapters(ROOT) if path.stem[:2].isdigit()]
LABEL = "eq-posterior-mean"
# Whether elements lie wholly inside the first screen.
ABOVE = """(selectors) => selectors.filter((selector) => {
  const box = document.querySelector(selector)?.getBoundingClientRect();
  return !(box && box.width && box.top >= 0 && box.bottom <= innerHeight && box.right <= innerWidth && box.left >= 0);
})"""
TIME = "() => document.querySelector('.front-slide output').textContent"
MOVED = "() => document.querySelector('.front-slide output').textContent !== 't = 1000'"
PIXELS = """() => {
  const canvas = document.querySelector('.front-canvas');
  const paper = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
  paper.drawImage(canvas, 0, 0);
  return Array.from(paper.getImageData(0, 0, canvas.width, canvas.height).data);
}"""


def read(name):
    """A built page, without running it."""
    return BeautifulSoup((SITE / f"{name}.html").read_text(encoding="utf8"), "html.parser")


@pytest.fixture(scope="module")
def visit(browser):
    """`visit(address, **context)` gives a page, and what it asked for."""
    contexts = []

    def open_front(address, wait=True, **context):
        contexts.append(browser.new_context(**{"viewport": {"width": 1440, "height": 900}} | context))
        contexts[-1].set_default_timeout(PATIENCE)
        page, asked = contexts[-1].new_page(), []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        if wait:
            page.wait_for_function(READY)
        return page, asked

    yield open_front
    for context in contexts:
        context.close()


@cache
def read_head(name):
    """The head of a built page."""
    head, _, _ = (SITE / f"{name}.html").read_text(encoding="utf8").partition("</head>")
    return BeautifulSoup(head, "html.parser")


# ---- The first screen


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_the_first_screen_has_a_moving_picture_a_sentence_and_two_buttons(visit, width, height):
    page, _ = visit((SITE / f"{FRONT}.html").as_uri(), viewport={"width": width, "height": height})
    there = [".bd-article h1", ".front-lead", ".front-canvas", ".front-slide input", ".front-draw", ".front-press a"]
    assert page.evaluate(ABOVE, there) == []
    page.wait_for_function(MOVED)
    page.wait_for_function("() => document.querySelector('.front-play').ariaLabel === 'Play'")  # it stops by itself
    assert page.evaluate(TIME) == "t = 0"
    page.context.close()


def test_the_picture_moves_within_the_first_second(browser):
    """By a clock that the test moves: once the pictures are there, a second of the page's time is let pass."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.clock.install(time=0)
    page.clock.pause_at(1000)
    page.goto((SITE / f"{FRONT}.html").as_uri())
    page.wait_for_function("() => document.querySelector('.front-canvas').width === 28", polling=20)
    before = page.evaluate(TIME)
    page.clock.run_for(1000)
    after = page.evaluate(TIME)
    context.close()
    assert before == "t = 1000"
    assert after != before


def test_slider_keys_and_buttons_move_it(visit, server):
    page, asked = visit(f"{server}/{FRONT}.html")
    slider, play = page.locator(".front-slide input"), page.locator(".front-play")
    page.wait_for_function(MOVED)
    slider.focus()
    page.keyboard.press("Home")
    assert page.evaluate(TIME) == "t = 1000"
    noise = page.evaluate(PIXELS)
    page.keyboard.press("ArrowRight")
    assert page.evaluate(TIME) == slider.get_attribute("aria-valuetext") == "t = 990"
    page.keyboard.press("End")
    assert page.evaluate(TIME) == "t = 0"
    assert page.evaluate(PIXELS) != noise
    assert play.get_attribute("aria-label") == "Play"  # the reader's hand stopped it
    play.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('.front-slide output').textContent !== 't = 0'")
    page.keyboard.press("Enter")
    stopped = page.evaluate(TIME)
    page.evaluate("() => new Promise((done) => setTimeout(done, 200))")
    assert page.evaluate(TIME) == stopped

    assert not any("networks/" in url for url in asked), "the network is loaded only when it is asked for"
    page.evaluate("() => { Math.random = () => 0.95; }")  # the last kind, and always the same noise
    page.locator(".front-draw").press("Enter")
    page.wait_for_function("() => /drawn by this page/.test(document.querySelector('.front-status').textContent)")
    assert page.evaluate("() => document.querySelector('.front-canvas').width") == 28
    assert page.locator(".front-status").inner_text().partition(":")[0] == FASHION_WORDS[-1]
    assert slider.get_attribute("max") == "25"
    box = page.locator(".front-status").bounding_box()
    assert box["y"] + box["height"] <= page.locator(".front-still").bounding_box()["y"], "it lies on the row"
    drawn = page.evaluate(PIXELS)[::4]
    assert min(drawn) < 10
    assert max(drawn) > 150
    assert sum(pixel < 10 for pixel in drawn) > 100, "clothes lie on a black ground"
    slider.press("Home")
    assert page.evaluate(PIXELS)[::4] != drawn
    page.locator(".front-back").press("Enter")
    page.wait_for_function(MOVED)  # Home changes nothing at the first picture, and the walk would go on
    slider.press("Home")
    assert page.evaluate(PIXELS) == noise  # of the clothes again
    assert slider.get_attribute("max") == "100"
    assert not page.locator(".front-back").is_visible()
    assert play.evaluate("(button) => button === document.activeElement || button.matches(':focus')") is False
    assert not any(not url.startswith((server, "data:")) for url in asked)


PRESS_AGAIN = """(begun) => {
  const [draw, status] = [".front-draw", ".front-status"].map((name) => document.querySelector(name));
  window.seen = [];
  new MutationObserver(() => {
    window.seen.push([status.textContent, draw.textContent]);
    if (status.textContent.includes(begun) && draw.textContent === "Stop") draw.click();
  }).observe(status, { childList: true, characterData: true, subtree: true });
}"""


@pytest.mark.parametrize(("begun", "frames"), [("Drawing", [100]), ("in about", range(1, 25))])
def test_a_drawing_can_be_stopped_and_looked_at(begun, frames, visit, server):
    """The page presses again by itself: a fast machine has drawn before a second key arrives from here.

    A drawing that is stopped before its first picture leaves the recorded walk where it was.
    """
    page, _ = visit(f"{server}/{FRONT}.html")
    draw, slider = page.locator(".front-draw"), page.locator(".front-slide input")
    page.evaluate(PRESS_AGAIN, begun)
    draw.press("Enter")
    page.wait_for_function("() => document.querySelector('.front-draw').textContent === 'Draw another'")
    assert page.locator(".front-status").inner_text() == "Stopped."
    assert any(words.startswith("Drawing") and button == "Stop" for words, button in page.evaluate("seen"))
    last = int(slider.get_attribute("max"))
    assert last in frames
    slider.press("End")
    assert page.evaluate(TIME) == f"t = {0 if last == 100 else 961 - 40 * last}"  # the page begins at t = 961


def test_without_motion_or_scripts_and_on_paper_the_row_shows(visit):
    address = (SITE / f"{FRONT}.html").as_uri()
    page, _ = visit(address, reduced_motion="reduce")
    off, _ = visit(address, wait=False, java_script_enabled=False)
    for media in ("screen", "print"):
        page.emulate_media(media=media, reduced_motion="reduce" if media == "screen" else "no-preference")
        for width in (1440, 390):
            for shown in (page, off):
                shown.set_viewport_size({"width": width, "height": 900})
                assert shown.locator(".front-still img").is_visible(), (media, width)
                assert not shown.locator(".front-canvas").is_visible(), (media, width)
    assert not off.locator(".front-draw").is_visible()
    assert off.locator(".front-press a").is_visible()


def test_the_walk_is_small_and_recorded():
    record = json.loads((ROOT / "book/results/front.json").read_text(encoding="utf8"))
    assert {"command", "seed", "cpu_seconds", "hardware", "weights_sha256"} <= set(record)
    assert record["times"][0] == 1000
    assert record["times"][-1] == 0
    sheet = SITE / "_static" / read(FRONT).select_one(".front-data")["data-sheet"]
    assert sheet.stat().st_size < 120_000
    assert (SITE / "_static/reach/preview.png").stat().st_size < 120_000


# ---- Typos to try


def test_answers_to_typos_are_those_of_the_tests(visit):
    book = {display.label: display.tex for display in source.in_book() if display.label}
    check = next(check for check in checks.collected("CHECKS") if check.label == LABEL)
    typos = dict(corruptions(book[LABEL]))
    text = next(
        c["source"] for c in notebooks.read(ROOT / f"{FRONT}.ipynb")["cells"] if "equation-typos" in c["source"]
    )
    names = re.findall(r"^- .+: `(.+)`$", text, re.MULTILINE)
    assert len(names) == 5
    page, _ = visit((SITE / f"{FRONT}.html").as_uri())
    panels = page.locator(".front-panel")
    assert panels.count() == page.get_by_role("radio").count() == 6
    assert check.run(book).links > 0  # the book's own formula holds
    assert "passes" in panels.first.inner_text()
    for number, name in enumerate(names, 1):
        with pytest.raises(checks.WRONG) as noticed:
            check.run({**book, LABEL: typos[name]})
        page.get_by_role("radio").nth(number - 1).press("ArrowDown")
        shown = [panel.is_visible() for panel in panels.all()]
        assert shown == [i == number for i in range(6)]
        said = panels.nth(number).locator("code").text_content()
        assert said == f"{noticed.type.__name__}: {noticed.value}"
        assert str(noticed.value).rpartition(": ")[2] in panels.nth(number).locator(".front-verdict").inner_text()
        assert panels.nth(number).locator(".katex-html").is_visible()


# ---- The map


def test_map_has_every_chapter_with_its_question_and_minutes():
    page = read(FRONT)
    cards = page.select(".front-card")
    assert len(cards) == len(CHAPTERS)
    for number, (card, path) in enumerate(zip(cards, CHAPTERS, strict=True), 1):
        for formula in card.select(".math"):
            formula.replace_with(f"${formula.select_one('annotation').get_text()}$")
        title, _, rest = notebooks.read(path)["cells"][0]["source"].partition("\n\n")
        link = card.select_one("a")
        assert link["href"] == f"{path.stem}.html"
        assert " ".join(link.get_text().split()) == f"{number} {title.removeprefix('# ')}"
        question = " ".join(card.select("p")[0].get_text().split())
        assert question.endswith("?")
        opening = re.sub(r",[^,?]*\{numref\}`[^`]*`", "", " ".join(rest.partition("\n\n")[0].split()))
        assert question in opening
        assert card.select("p")[1].get_text() == f"{prose.read_page(path).minutes} minutes"
        assert card.select_one(".front-picture svg") is not None, f"draw it in studies/draw_thumbnails.py: {path.stem}"
    others = [link["href"] for link in page.select(".front-others a")]
    assert others == [
        f"{name.rpartition('/')[2]}.html" for name in DOCUMENTS[1 + len(CHAPTERS) :] if name.count("/") == 1
    ]


def test_pictures_of_the_map_and_the_icon_are_what_their_scripts_draw(monkeypatch):
    folder = ROOT / "book" / "images"
    monkeypatch.syspath_prepend(ROOT / "studies")
    draw_thumbnails = importlib.import_module("draw_thumbnails")
    assert favicon.draw_svg() == (folder / "favicon.svg").read_text(encoding="utf8")
    assert favicon.draw_png() == (folder / "favicon.png").read_bytes()
    drawn = {name: draw_thumbnails.draw(name) for name in draw_thumbnails.PICTURES}
    assert set(drawn) == {path.stem for path in folder.glob("thumbnails/*.svg")}
    number = re.compile(r"-?\d+\.\d")
    for name, svg in drawn.items():
        kept = (folder / "thumbnails" / f"{name}.svg").read_text(encoding="utf8")
        if "base64" in svg:
            continue  # a level of grey may round otherwise on another processor
        assert number.sub("", svg) == number.sub("", kept), f"{name}: run python studies/draw_thumbnails.py"
        pairs = zip(number.findall(svg), number.findall(kept), strict=True)
        assert max((abs(float(a) - float(b)) for a, b in pairs), default=0) <= 0.2, name


# ---- What others show of a page


@pytest.mark.parametrize("document", DOCUMENTS)
def test_page_has_a_title_a_description_a_picture_and_an_icon(document):
    page = read_head(document)
    title = page.title.get_text()
    head, _, book = title.rpartition(" — ")
    assert book == "ddpm-lite"
    assert head
    assert "line by line" not in title or title.count("line by line") == 1
    found = {tag.get("name") or tag.get("property"): tag["content"] for tag in page.select("meta[content]")}
    assert 30 <= len(found["description"]) <= 301, found["description"]
    assert found["og:description"] == found["description"]
    assert not re.search(r"[\\{}$]", found["description"])
    assert found["og:title"] == head
    assert found["twitter:card"] == "summary_large_image"
    assert (SITE / document).parent.joinpath(found["og:image"]).resolve().is_file()
    icons = page.select("link[rel=icon]")
    assert [icon["type"] for icon in icons] == ["image/png", "image/svg+xml"]
    for icon in icons:
        assert (SITE / document).parent.joinpath(icon["href"]).resolve().is_file()


def test_descriptions_are_the_pages_own():
    found = [read_head(name).select_one("meta[name=description]")["content"] for name in DOCUMENTS]
    assert len(set(found)) == len(found)


def test_index_shows_others_what_the_first_page_shows():
    index, front = read("index"), read(FRONT)
    assert index.title == front.title
    for name in ("description", "twitter:card"):
        assert index.select_one(f"meta[name='{name}']") == front.select_one(f"meta[name='{name}']")
    assert (SITE / index.select_one("meta[property='og:image']")["content"]).is_file()
    assert all((SITE / icon["href"]).is_file() for icon in index.select("link[rel=icon]"))
    assert index.select_one("body a")["href"] == f"{FRONT}.html"


def test_without_an_address_there_is_no_site_map_and_the_lost_page_works_at_the_top(visit, server):
    assert not (SITE / "sitemap.xml").exists()
    page, _ = visit(f"{server}/404.html")
    assert page.locator(".lost-map a").count() == len([name for name in DOCUMENTS if name.count("/") == 1])
    page.locator("#lost-words").fill("posterior")
    page.locator("#lost-words").press("Enter")
    page.wait_for_selector("#search-results ul.search li a")


HOME = "https://example.org/books/ddpm/"


def test_with_an_address_there_is_a_site_map_and_the_lost_page_works_at_any_depth(visit, tmp_path):
    """What the end of the build writes, on a copy of the pages at the address's path."""
    from ddpm_book import reach

    out = tmp_path / "books" / "ddpm"
    shutil.copytree(SITE, out, ignore=shutil.ignore_patterns("0*", "1*", "_images", "widgets"))
    config = namedtuple("Config", "html_baseurl root_doc")(HOME, FRONT)
    builder = namedtuple("Builder", "format get_target_uri")("html", lambda name: f"{name}.html")
    env = namedtuple("Env", "found_docs")(set(DOCUMENTS))
    reach.finish(namedtuple("App", "outdir config builder env")(out, config, builder, env), None)
    addresses = [place.text for place in ElementTree.parse(out / "sitemap.xml").iter() if place.tag.endswith("loc")]
    assert sorted(addresses) == sorted(f"{HOME}{name}.html" for name in DOCUMENTS)
    shutil.copy(out / "404.html", tmp_path / "lost.html")
    (tmp_path / "very" / "deep").mkdir(parents=True)
    shutil.copy(out / "404.html", tmp_path / "very" / "deep" / "page.html")
    served = Served(tmp_path)
    try:
        page, asked = visit(f"{served.origin}/very/deep/page.html")
        own = [url for url in asked if url.startswith(served.origin) and not url.endswith("page.html")]
        assert own
        assert all(url.startswith(f"{served.origin}/books/ddpm/") for url in own)
        page.locator(".lost-map a").first.click()
        page.wait_for_url(f"{served.origin}/books/ddpm/{FRONT}.html")
    finally:
        served.close()
