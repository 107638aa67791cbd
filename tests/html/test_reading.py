"""What helps to read: search by number, synonym and in Chinese, cards, progress, links to a widget's state."""

import json
import re

import pytest
from built import READY, SITE
from stands import PATIENCE

pytestmark = pytest.mark.html

CHAPTER = "book/03_posterior"
RESULTS = "#search-results ul.search li a"


@pytest.fixture
def visit(browser, server):
    """`visit(path)` opens a page in a browser that remembers nothing, with the network cut; it ends quiet."""
    contexts, said = [], []

    def route(request):
        if request.request.url.startswith((server, SITE.as_uri(), "data:", "blob:")):
            request.continue_()
        else:
            said.append(request.request.url)
            request.abort()

    def open_page(path, origin=server, **options):
        if not contexts or options:
            contexts.append(browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options)))
            contexts[-1].set_default_timeout(PATIENCE)
            contexts[-1].route("**/*", route)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda message: message.type == "error" and said.append(message.text))
        page.goto(f"{origin}/{path}")
        page.wait_for_function(READY)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def number_of(label):
    """(chapter's page, number) of an equation."""
    for path in sorted((SITE / "book").glob("*.html")):
        if found := re.search(
            rf'id="equation-{label}">.{{0,400}}?\(([A-Z\d]+\.\d+)\)', path.read_text("utf8"), re.DOTALL
        ):
            return path.name, found[1]
    raise AssertionError(label)


@pytest.mark.parametrize("from_file", [False, True], ids=["http", "file"])
def test_search_finds_what_readers_type(visit, from_file):
    page_of_posterior, number = number_of("eq-posterior-mean")
    wanted = {
        "posterior": "03_posterior.html",
        "U-Net": "06_unet.html",
        "ELBO": "glossary.html#term-evidence-lower-bound-ELBO",
        "reparametrization": "glossary.html#term-reparameterisation-trick",
        "reparameterisation": "glossary.html#term-reparameterisation-trick",
        "后验": "glossary.html#term-posterior",
        "扩散": "02_forward_process.html",
        number: f"{page_of_posterior}#equation-eq-posterior-mean",
        f"equation ({number})": f"{page_of_posterior}#equation-eq-posterior-mean",
    }
    page = visit("search.html?q=nothing", **({"origin": SITE.as_uri()} if from_file else {}))
    found = page.evaluate(
        """(queries) => Object.fromEntries(queries.map((query) => {
          const results = Search._performSearch(...Search._parseQuery(query)).reverse();
          return [query, results.slice(0, 8).map(([page, , anchor]) => page.replace("book/", "") + ".html" + anchor)];
        }))""",
        list(wanted),
    )
    assert {query: results[0] if results else None for query, results in found.items()} == wanted
    assert not any("checks" in result for results in found.values() for result in results)
    page.goto(page.url.replace("nothing", "ELBO"))
    page.wait_for_selector(RESULTS)
    assert "evidence-lower-bound" in page.locator(RESULTS).first.get_attribute("href")


CARD = "#ddpm-card"


def test_cards_show_what_a_link_leads_to(visit):
    page = visit(f"{CHAPTER}.html")
    assert page.locator("script[src*='cards']").count() == 0
    # With the mouse, an equation of this page: no other script than the cards' own.
    here = page.locator(".bd-article p a.internal[href^='#equation-']").first
    here.scroll_into_view_if_needed()
    here.hover()
    page.wait_for_selector(f"{CARD} .katex-html")
    box, middle = page.locator(CARD).bounding_box(), page.viewport_size["width"]
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= middle
    page.locator(CARD).hover()  # the card stays under the pointer
    page.wait_for_timeout(400)
    assert page.locator(CARD).count() == 1
    page.keyboard.press("Escape")
    assert page.locator(CARD).count() == 0
    # With the keyboard, an equation of another page, and a reference with its address.
    for selector, shown in (
        ("p a.internal[href^='02_forward_process.html#equation-']", ".katex-html"),
        (".bibtex-citation a, p a.internal[href^='references.html#id']", "a[href^='http']"),
        ("p a.internal[href^='#ex-']", "p"),
    ):
        link = page.locator(f".bd-article {selector}").first
        link.scroll_into_view_if_needed()
        page.keyboard.press("Shift")  # the keyboard is in use: what is focused shows it
        link.focus()
        page.wait_for_selector(f"{CARD} {shown}")
        assert link.get_attribute("aria-describedby") == "ddpm-card"
        assert page.evaluate("() => document.activeElement.tagName") == "A"
        page.keyboard.press("Escape")
        assert page.locator(CARD).count() == 0
        assert link.get_attribute("aria-describedby") is None
    assert page.url.endswith(f"{CHAPTER}.html"), "a card is no jump"


def test_cards_open_from_a_file_and_for_a_term(visit):
    page = visit("book/checks/ch03.html", origin=SITE.as_uri())
    page.keyboard.press("Shift")
    page.locator(".bd-article a.internal[href*='03_posterior.html#equation-']").first.focus()
    page.wait_for_selector(f"{CARD} .katex-html")
    glossary = json.loads((SITE / "_static/cards/book/glossary.js").read_text("utf8").partition(", ")[2].strip()[:-2])
    assert "lower bound" in glossary["term-evidence-lower-bound-ELBO"]


def test_first_tap_shows_the_card_and_its_link_goes_there(visit):
    page = visit(f"{CHAPTER}.html", has_touch=True)
    link = page.locator(".bd-article p a.internal[href^='02_forward_process.html#equation-']").first
    link.scroll_into_view_if_needed()
    link.tap()
    page.wait_for_selector(f"{CARD} .ddpm-card-go")
    assert page.url.endswith(f"{CHAPTER}.html")
    page.locator(".ddpm-card-go").tap()
    page.wait_for_url("**/02_forward_process.html#equation-*")


def test_a_card_stays_on_a_phone_and_is_closed_by_hand(visit):
    page = visit(f"{CHAPTER}.html", has_touch=True, viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    kinds = ("02_forward_process.html#equation-", "#fig-", "references.html#id")
    for kind in kinds:
        link = page.locator(f".bd-article p:not(.admonition-title) a.internal[href*='{kind}']:visible").last
        link.evaluate("(link) => link.scrollIntoView({ block: 'center' })")
        link.tap()
        page.wait_for_selector(f"{CARD} .ddpm-card-go")
        box = page.locator(CARD).bounding_box()
        assert box["x"] >= 0, kind
        assert box["y"] >= 0, kind
        assert box["x"] + box["width"] <= 390, kind
        assert box["y"] + box["height"] <= 844, kind
        assert page.locator(CARD).evaluate("(card) => getComputedStyle(card).animationName") == "none"
        page.touchscreen.tap(150, 20)  # the bar over the text, between its buttons
        page.wait_for_selector(CARD, state="detached")
        link.tap()
        page.wait_for_selector(CARD)
        page.keyboard.press("Escape")
        assert page.locator(CARD).count() == 0
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    # In the title of a solution the exercise's name is a part of the button that opens it.
    solution = page.locator(".solution.dropdown:not(.solution .solution)").first
    assert "toggle-hidden" in solution.get_attribute("class")
    solution.scroll_into_view_if_needed()
    name = solution.locator(".admonition-title a").bounding_box()
    page.touchscreen.tap(name["x"] + name["width"] / 2, name["y"] + name["height"] / 4)
    page.wait_for_function("() => !document.querySelector('.solution.dropdown').matches('.toggle-hidden')")


REFUSED = """Object.defineProperty(window, 'localStorage', {
  configurable: true, get() { throw new DOMException('refused', 'SecurityError'); } });"""


def test_pages_work_where_nothing_may_be_stored(visit):
    """As in a window that keeps no cookies: what asks for the storage gets an error. `visit` hears of each error."""
    page = visit(f"{CHAPTER}.html")
    page.context.add_init_script(REFUSED)
    page.reload()
    page.wait_for_function(READY)
    mode = "() => document.documentElement.dataset.mode"
    assert page.evaluate(mode) == "auto"
    page.locator(".theme-switch-button").first.click()
    page.wait_for_function("() => document.documentElement.dataset.mode !== 'auto'")
    page.evaluate("() => document.querySelectorAll('.bd-article h2')[4].scrollIntoView()")
    page.wait_for_selector(".ddpm-progress")
    slider = page.locator(f"{WIDGET} input[type=range]").first
    before = slider.input_value()
    slider.press("ArrowRight")
    assert slider.input_value() != before
    page.keyboard.press("Shift")
    page.locator(".bd-article p a.internal[href^='#equation-']").first.focus()
    page.wait_for_selector(CARD)


def test_a_chapter_remembers_where_its_reader_was(visit):
    page = visit(f"{CHAPTER}.html")
    assert page.evaluate("() => Object.keys(localStorage).filter((key) => key.startsWith('ddpm-lite'))") == []
    page.evaluate("() => document.querySelectorAll('.bd-article h2')[4].scrollIntoView()")
    page.wait_for_function("() => localStorage['ddpm-lite:read']")
    kept = page.evaluate("() => JSON.parse(localStorage['ddpm-lite:read'])")
    assert list(kept) == ["03_posterior.html"]
    page.wait_for_selector(".bd-sidebar-primary .ddpm-read")
    assert (
        page.evaluate("() => new DOMMatrix(getComputedStyle(document.querySelector('.ddpm-progress')).transform).a")
        > 0.2
    )

    again = visit(f"{CHAPTER}.html")
    again.wait_for_selector(".ddpm-offer")
    assert again.evaluate("() => scrollY") == 0
    again.locator(".ddpm-offer a").click()
    again.wait_for_function("() => scrollY > 500")
    assert again.locator(".ddpm-offer").count() == 0
    again.locator(".ddpm-forget").click()
    assert again.evaluate("() => localStorage['ddpm-lite:read'] ?? null") is None
    assert again.locator(".ddpm-read").count() == 0


def test_what_somebody_else_stored_does_no_harm(visit):
    page = visit(f"{CHAPTER}.html")
    page.evaluate("() => { localStorage['ddpm-lite:read'] = '[broken'; }")
    page.reload()
    page.evaluate("() => document.querySelectorAll('.bd-article h2')[4].scrollIntoView()")
    page.wait_for_function("() => localStorage['ddpm-lite:read'] !== '[broken'")
    assert json.loads(page.evaluate("() => localStorage['ddpm-lite:read']"))["03_posterior.html"]["most"] > 0.2


WIDGET = "#widget-posterior-explorer"


def test_a_link_holds_the_state_of_a_widget(visit):
    page = visit(f"{CHAPTER}.html")
    widget = page.locator(WIDGET)
    widget.scroll_into_view_if_needed()
    widget.locator("input[type=range]").first.focus()
    page.wait_for_selector(f"{WIDGET} .ddpm-state button")
    page.evaluate(f"() => document.querySelector('{WIDGET}').model.set('t', 321)")
    widget.locator(".ddpm-state button").click()
    page.wait_for_function("() => document.querySelector('.ddpm-state [role=status]').textContent")
    assert page.url.endswith(f"{CHAPTER}.html{WIDGET}?t=321")

    # Opened anew: the state is set; what is no number, out of range or unknown is left alone.
    link = page.url.rpartition("/")[2]
    other = visit(f"book/{link}&x_0=nonsense&z=77&beta=1&wrong_index=true")
    other.wait_for_selector(f"{WIDGET} .ddpm-state button")
    state = other.evaluate(f"() => document.querySelector('{WIDGET}').model.state")
    own = json.loads(other.locator(WIDGET).get_attribute("data-state"))
    assert (state["t"], state["wrong_index"]) == (321, True)
    assert (state["x_0"], state["z"]) == (own["x_0"], own["z"])
    assert other.locator(f"{WIDGET} [role=alert]").count() == 0
    assert other.evaluate(f"() => document.querySelector('{WIDGET}').getBoundingClientRect().top") < 900
