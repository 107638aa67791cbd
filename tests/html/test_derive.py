"""Derive it yourself, as a reader does it: in a built page, with the keyboard, from a file, with the network cut."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from built import READY, SITE
from ddpm_book.quick import read_checks
from equations.derivations import DERIVATIONS
from stands import PATIENCE

pytestmark = pytest.mark.html

CHAPTER = "book/03_posterior"
PANEL = ".ddpm-derive:not([hidden])"
KEPT = "localStorage['ddpm-lite:derive'] ?? ''"
# Five slips of a reader who walks from Bayes' rule to the mean, what each is answered, and the lines that are right.
WALK = [
    (
        "exponent",
        [
            (
                "(x_t - sqrt(a_t) x_{t-1})^2 / b_t + (x_{t-1} - sqrt(abar_t) x_0)^2 / (1 - abar_t)",
                "Look at an index",
            ),
            (
                r"\frac{(x_t - \sqrt{\alpha_t} x_{t-1})^2}{\beta_t}"
                r" + \frac{(x_{t-1} - \sqrt{\bar\alpha_{t-1}} x_0)^2}{1 - \bar\alpha_{t-1}}",
                "Equal",
            ),
            (
                "(a_t/b_t + 1/(1 - abar_{t-1})) x_{t-1}^2"
                " - (sqrt(a_t)/b_t x_t + sqrt(abar_{t-1})/(1 - abar_{t-1}) x_0) x_{t-1} + C",
                "A factor 2 is missing",
            ),
            (
                "(a_t/b_t + 1/(1 - abar_{t-1})) x_{t-1}^2"
                " - (2 sqrt(a_t)/b_t x_t + 2 sqrt(abar_{t-1})/(1 - abar_{t-1}) x_0) x_{t-1} + C",
                "this is the goal",
            ),
        ],
    ),
    (
        "square",
        [
            ("a (x_{t-1} + b/a)^2 + C", "Look at a sign"),
            ("a (x_{t-1} - b/a)^2 - b^2/a + C", "this is the goal"),
        ],
    ),
    (
        "variance",
        [
            ("(1 - abar_t) / (b_t (1 - abar_{t-1}))", "Equal to the line before"),
            ("btilde_t = (1 - abar_t) / (1 - abar_{t-1}) b_t", "A fraction is upside down"),
            ("btilde_t = (1 - abar_{t-1}) / (1 - abar_t) b_t", "this is the goal"),
        ],
    ),
    (
        "mean",
        [
            (
                "a_t (1 - abar_{t-1}) / (1 - abar_t) x_t + sqrt(abar_{t-1}) b_t / (1 - abar_t) x_0",
                "A root is missing",
            ),
            (
                "sqrt(a_t) (1 - abar_{t-1}) / (1 - abar_t) x_t + sqrt(abar_{t-1}) b_t / (1 - abar_t) x_0",
                "this is the goal",
            ),
        ],
    ),
]


@pytest.fixture
def visit(browser):
    """`visit(origin, ...)` opens the chapter, network cut, in a browser that remembers nothing; it ends quiet."""
    contexts, said = [], []

    def open_chapter(origin, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)

        def route(request):
            if request.request.url.startswith((origin, "data:", "blob:")):
                request.continue_()
            else:
                said.append(request.request.url)
                request.abort()

        context.route("**/*", route)
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda message: message.type == "error" and said.append(message.text))
        page.goto(f"{origin}/{CHAPTER}.html")
        if options.get("java_script_enabled", True):
            page.wait_for_function(READY)
        return page

    yield open_chapter
    for context in contexts:
        context.close()
    assert said == []


def press(page, name):
    page.locator(f"[data-derive='{name}']").press("Enter")
    page.locator(f"[data-derive='{name}'][aria-expanded='true']").wait_for()
    return page.locator(PANEL).filter(has_text=DERIVATIONS[name]["title"])


def answer(panel, line):
    """Type a line, press Enter, and read what the live region says."""
    field = panel.get_by_label("Your next line")
    field.fill(line)
    field.press("Enter")
    return panel.get_by_role("status").inner_text()


def test_each_derivation_has_its_button_in_one_place():
    found = [
        (path.stem[:2], name)
        for path in sorted((SITE / "book").glob("*.html"))
        for name in re.findall(r'<button type="button" data-derive="([^"]+)"', path.read_text(encoding="utf8"))
    ]
    assert sorted(name for _, name in found) == sorted(DERIVATIONS)
    assert {chapter for chapter, _ in found} == {"02", "03", "04", "05", "10", "11"}


def test_each_quick_check_has_its_button_in_one_place():
    pages = "".join(path.read_text(encoding="utf8") for path in sorted((SITE / "book").glob("*.html")))
    found = re.findall('data-quick="([^"]+)"', pages)
    assert sorted(found) == sorted(read_checks(SITE.parents[1] / "book" / "quick.json"))


def test_from_bayes_rule_to_the_mean_with_five_slips(visit):
    page = visit(SITE.as_uri())
    assert page.locator("script[src*='derive'], script[src*='katex.min'], script[src*='derivations']").count() == 0
    slips = 0
    for name, lines in WALK:
        panel = press(page, name)
        for line, words in lines:
            before = panel.locator(".ddpm-derive-lines li").count()
            said = answer(panel, line)
            assert words in said, (line, said)
            right = said.startswith("✓")
            slips += not right
            assert panel.locator(".ddpm-derive-lines li").count() == before + right
            assert panel.get_by_label("Your next line").input_value() == ("" if right else line)
            assert panel.locator(".katex-error").count() == 0
        page.locator(f"[data-derive='{name}']").press("Enter")
    assert slips == 5
    # What cannot be read is told with its place, where the cursor goes.
    panel = press(page, "mean")
    said = answer(panel, "x_t + sqrt(a_t x_0")
    assert re.search("Not understood at .*never closed", said)
    assert panel.get_by_label("Your next line").evaluate("field => field.selectionStart") == 10
    page.emulate_media(media="print")
    assert not page.locator("[data-derive='mean']").is_visible()
    assert not panel.is_visible()


def test_lines_are_taken_back_copied_and_kept_on_this_machine(visit, server):
    page = visit(server, permissions=["clipboard-read", "clipboard-write"])
    panel = press(page, "variance")
    first = "(a_t (1 - abar_{t-1}) + b_t) / (b_t (1 - abar_{t-1}))"
    assert "Equal" in answer(panel, first)
    assert "Equal" in answer(panel, "(1 - abar_t) / (b_t (1 - abar_{t-1}))")
    panel.get_by_role("button", name="Copy all as LaTeX").press("Enter")
    page.wait_for_function("() => document.querySelector('.ddpm-derive-verdict').textContent.includes('Copied')")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("\\begin{aligned}\n  \\frac{1}{\\tilde{\\beta}_t} &= ")
    assert copied.count("&=") == 3
    panel.get_by_role("button", name="Take back").press("Enter")
    assert panel.get_by_label("Your next line").input_value() == "(1 - abar_t) / (b_t (1 - abar_{t-1}))"
    assert panel.locator(".ddpm-derive-lines li").count() == 2
    # The hint leads on from the line of the book that was reached, one rule at a time.
    panel.get_by_role("button", name="Hint").press("Enter")
    assert panel.locator(".ddpm-derive-hints li").count() == 2
    page.reload()
    page.wait_for_function(READY)
    panel = press(page, "variance")
    assert panel.locator(".ddpm-derive-lines li").count() == 2
    assert first in page.evaluate(KEPT)
    panel.get_by_role("button", name="Start again").press("Enter")
    assert page.evaluate(KEPT) == ""
    assert panel.locator(".ddpm-derive-lines li").count() == 1


def test_an_open_panel_is_accessible_and_fits(visit, server):
    page = visit(server)
    panel = press(page, "mean")
    answer(panel, "btilde_t (sqrt(a_t) / b_t x_t + sqrt(abar_{t-1}) / (1 - abar_{t-1}) x_0) + ")
    for _ in range(2 * len(DERIVATIONS["mean"]["steps"])):
        panel.locator(".ddpm-derive-actions button").first.press("Enter")
    assert panel.locator(".ddpm-derive-hints li").count() == 2 * len(DERIVATIONS["mean"]["steps"])
    answer(panel, "btilde_t sqrt(a_t) / b_t x_t + btilde_t sqrt(abar_{t-1}) / (1 - abar_{t-1}) x_0")
    for width, scheme, forced in ((1280, "light", "none"), (390, "dark", "none"), (390, "light", "active")):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme, forced_colors=forced)
        answer(panel, "sqrt(a_t) (1 - abar_{t-1}) / (1 - abar_t) x_t + sqrt(abar_t) b_t / (1 - abar_t) x_0")
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        heights = "all => all.map((one) => one.getBoundingClientRect().height)"
        assert min(panel.locator("button, input").evaluate_all(heights)) >= 40
        if forced == "active":
            continue
        # A formula has hundreds of elements, none of them ours; and of the page only the panel is looked at.
        page.evaluate(
            """() => document.querySelectorAll(".katex-html, .bd-article .math, pre, svg").forEach(
              (part) => part.replaceChildren())"""
        )
        options = {"resultTypes": ["violations"], "preload": False}
        found = Axe().run(page, context=".ddpm-derive", options=options).response["violations"]
        told = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]
        assert told == [], (width, scheme, forced)


def test_no_button_without_scripts(visit):
    page = visit(SITE.as_uri(), java_script_enabled=False)
    assert page.locator("[data-derive]").count() == 4
    assert not page.locator("[data-derive]").first.is_visible()
