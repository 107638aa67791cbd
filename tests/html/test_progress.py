"""The page of progress lists all that the pages offer, and says what was done in this browser and nowhere else.

Its pages come from a server, as those of the published book do. Chromium 156 shows a few of a hundred pages that are
opened as files as if nothing were kept, until they are loaded again.
"""

import pytest
from built import READY, SITE
from ddpm_book.kept import find_offers
from ddpm_book.quick import read_checks
from equations.derivations import DERIVATIONS
from stands import PATIENCE

pytestmark = pytest.mark.html

SAID = "() => Object.fromEntries([...document.querySelectorAll('#ddpm-kept .ddpm-kept')].map((sign) =>"
SAID += " [sign.parentElement.dataset.name ?? sign.parentElement.dataset.page, sign.textContent.trim()]))"


@pytest.fixture
def book(server):
    """Where the pages of the book are."""
    return f"{server}/book"


@pytest.fixture
def page(browser):
    """A page of a new reader, whose clipboard is closed."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    context.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    yield context.new_page()
    context.close()


def go(page, address):
    page.goto(f"{address}.html")
    page.wait_for_function(READY)


def answer(page, label, typed):
    place = page.locator(f'[data-quick="{label}"]')
    if not place.locator("input").count():
        place.get_by_role("button").first.click()
    place.locator("input").first.fill(typed)
    place.get_by_role("button", name="Check").click()
    place.locator(".ddpm-derive-verdict p").wait_for()


def test_everything_that_the_pages_offer_is_listed_and_its_link_leads_there():
    places = {name: derivation["place"] for name, derivation in DERIVATIONS.items()}
    listed = (SITE / "book" / "progress.html").read_text(encoding="utf8")
    kinds = {"quick": set(), "derive": set(), "guess": set()}
    for path in (SITE / "book").glob("*.html"):
        html = path.read_text(encoding="utf8")
        for kind, name, anchor, words in find_offers(html, places) if path.name != "progress.html" else ():
            assert f'<a href="{path.name}#{anchor}">{words}</a>' in listed
            assert f'id="{anchor}"' in html, anchor
            kinds[kind].add(name)
    assert kinds["quick"] == set(read_checks(SITE.parents[1] / "book" / "quick.json"))
    assert kinds["derive"] == set(DERIVATIONS)
    assert len(kinds["guess"]) >= 15


def test_what_was_done_is_told_copied_and_forgotten(page, book):
    """One check is answered right, one wrong; one derivation ends; a guess is passed over; then all is forgotten."""
    go(page, f"{book}/02_forward_process")
    numbers = [
        (label, check["value"])
        for label, check in read_checks(SITE.parents[1] / "book" / "quick.json").items()
        if "value" in check
    ]
    here = [(label, value) for label, value in numbers if page.locator(f'[data-quick="{label}"]').count()]
    label, value = here[0]
    answer(page, label, str(value + 1000))
    go(page, f"{book}/progress")
    assert page.evaluate(SAID)[label] == "(answered, not right yet)"
    go(page, f"{book}/02_forward_process")
    answer(page, label, str(value))
    go(page, f"{book}/03_posterior")
    page.locator('[data-derive="variance"]').click()
    panel = page.locator(".ddpm-derive:not([hidden])")
    for line in ("(1 - abar_t) / (b_t (1 - abar_{t-1}))", "btilde_t = (1 - abar_{t-1}) / (1 - abar_t) b_t"):
        panel.locator("input").fill(line)
        panel.locator("input").press("Enter")
    panel.get_by_text("this is the goal").wait_for()
    page.get_by_role("button", name="Show this without a guess").first.click()
    go(page, f"{book}/progress")
    said = page.evaluate(SAID)
    assert (said[label], said["variance"]) == ("(✓ answered)", "(✓ derived)")
    assert "(shown without a guess)" in said.values()
    page.get_by_role("button", name="Copy as text").click()
    copied = page.get_by_label("What was done, as text")
    copied.wait_for()
    text = copied.input_value()
    assert f"1 of {len(DERIVATIONS)} derivations" in text
    assert "(✓ derived)" in text
    page.get_by_role("button", name="Forget everything").click()
    page.get_by_role("button", name="Keep them").click()
    assert page.evaluate(SAID) == said
    page.get_by_role("button", name="Forget everything").click()
    page.get_by_role("button", name="Forget them").click()
    assert page.evaluate(SAID) == {}
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('ddpm-lite:'))") == []


def test_a_page_to_which_a_reader_goes_back_says_what_was_done_since(page, book):
    """Browsers keep the page as it was left, and then only tell it that it is shown; those of the tests keep none."""
    page.goto(f"{book}/progress.html")
    page.evaluate("localStorage['ddpm-lite:derive'] = JSON.stringify({ variance: { lines: ['1'], done: true } })")
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    assert page.evaluate(SAID) == {"variance": "(✓ derived)"}


@pytest.mark.parametrize("kept", ["{", "7", "null", '{"variance": 3}', '{"variance": {"lines": "x", "done": "yes"}}'])
def test_what_somebody_else_stored_is_survived(page, book, kept):
    page.goto(f"{book}/progress.html")
    page.evaluate(
        "(kept) => ['quick', 'derive', 'guess', 'read'].forEach((one) => localStorage[`ddpm-lite:${one}`] = kept)", kept
    )
    page.reload()
    assert page.evaluate(SAID) == {}
    assert page.get_by_text("Done in this browser: 0 of").count() == 1
