"""A visit to a built page, and what is looked at on each, whether it came over http or from a file."""

import re
from pathlib import Path

from built import READY, SITE
from stands import PATIENCE, TWINS

OPENED = "() => document.fonts.ready.then(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))))"
# What a browser has styled and laid out, and how tall it takes the text to be: the rest waits in its sections.
STYLED = """() => [
  [...document.body.querySelectorAll("*")].filter((one) => one.checkVisibility({ contentVisibilityAuto: true })).length,
  document.querySelector(".bd-article")?.offsetHeight,
]"""
# The text a reader sees, without code and without formulas, which hold their LaTeX for those who copy it.
PROSE = """() => {
  const copy = document.body.cloneNode(true);
  copy.querySelectorAll('pre, code, script, style, noscript, .katex, .bibtex')
      .forEach((element) => element.remove());
  return copy.textContent;
}"""


class Visit:
    """One page in a tab of its own: what it asked for when it opened, and what it complained of.

    `styled` is the number of elements that were styled and laid out when it had opened, `height` the article's then.
    """

    def __init__(self, browser, origin, document, width=1280):
        asked, self.foreign, self.failed, self.complaints = [], [], [], []
        self.origin, self.document = origin, document
        self.context = browser.new_context(viewport={"width": width, "height": 900})
        self.context.set_default_timeout(PATIENCE)
        self.context.route("**/*", self._route)
        self.page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("request", lambda request: asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._response)
        self.page.goto(f"{origin}/{document}.html")
        self.page.evaluate(OPENED)
        self.opening = tuple(asked)
        self.styled, self.height = self.page.evaluate(STYLED)
        self.page.wait_for_function(READY)

    def _route(self, route):
        url = route.request.url
        if url.startswith((self.origin, "data:", "blob:")):
            route.continue_()
        else:
            self.foreign.append(url)
            route.abort()

    def _console(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _failed(self, request):
        # A page that is left while it still fetches its icon stops the request: nothing was missing.
        if request.failure != "net::ERR_ABORTED":
            self.failed.append(request.url)

    def _response(self, response):
        if response.status >= 400:
            self.failed.append(f"{response.status} {response.url}")


def check_whole(visit):
    """Nothing asked of another host, nothing missing, no complaint, all maths typeset."""
    assert visit.foreign == []
    assert visit.failed == []
    assert visit.complaints == []
    page = visit.page
    typeset = page.locator(".math .katex-html").count()
    # An inline or displayed formula is one element of class "math" each in the page's source.
    source = Path(SITE, f"{visit.document}.html").read_text("utf8")
    assert typeset == len(re.findall(r'<(?:span|div) class="math ', source))
    assert page.locator(".katex-error").count() == 0
    assert re.findall(r"\\[a-zA-Z(\[]+|\$\$", page.evaluate(PROSE)) == []


def check_widgets(visit):
    """The page holds its chapter's widgets, in order; each stands and moves, or waits for its press."""
    page = visit.page
    places = page.locator("[data-widget]")
    names = places.evaluate_all("places => places.map((place) => place.dataset.widget)")
    assert names == [twin.name for twin in TWINS if twin.chapter == Path(visit.document).name]
    for place, name in zip(places.all(), names, strict=True):
        assert place.get_by_role("alert").count() == 0, name
        still = place.locator(".ddpm-widget-still")
        if place.get_attribute("data-live"):
            assert still.is_visible(), name
            assert place.get_by_role("button", name=place.get_attribute("data-press")).is_visible(), name
            continue
        assert still.is_hidden(), name
        assert place.get_by_role("group").is_visible(), name
        _check_slider(place.locator("input[type=range]").first)
    assert visit.complaints == []


def _check_slider(slider):
    """A key moves it by one step, and the words beside it follow."""
    shown = slider.locator("xpath=following-sibling::output")
    value, words = slider.input_value(), shown.inner_text()
    slider.press("ArrowRight" if value != slider.get_attribute("max") else "ArrowLeft")
    assert slider.input_value() != value
    assert shown.inner_text() != words
