"""What holds for every widget: where it stands, what it weighs, and what is left when something fails.

The states are those that the chapters store: what a reader meets.
"""

import gzip
import json
import re
from html import escape, unescape
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import bundle
import notebooks
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from ddpm_book.hygiene import assets
from ddpm_book.widgets import BUNDLES, first_scripts, live_scripts, scripts, shorten
from stands import ROOT, TWINS, Twin

from ddpm_lite.viz import widgets

MODULES = ROOT / "ddpm_lite" / "viz" / "js"
KINDS = {name: getattr(widgets, name).name for name in widgets.__all__}  # class: name
STATE = re.compile(r'data-state="([^"]*)"')
LATER = re.compile(r'data-live="([^"]*)"')

# The guesses have one module and differ in their numbers. The first is tested alone, all are on the shared pages.
GUESSES = [twin for twin in TWINS if twin.name == "draw-guess"]
EACH = [twin for twin in TWINS if twin not in GUESSES[1:]]
every_twin = pytest.mark.parametrize("twin", EACH, ids=lambda twin: f"{twin.chapter[:2]}-{twin.name}")


def asked_for(path):
    """The names of the widgets that a chapter's code makes."""
    cells = notebooks.read(path)["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return {KINDS[kind] for kind in re.findall(r"\b([A-Z]\w+)(?:\.from_\w+)?\(", code) if kind in KINDS}


@pytest.mark.parametrize("path", notebooks.chapters(ROOT), ids=lambda path: path.stem)
def test_a_chapter_shows_the_widgets_that_it_makes(path):
    stored = {twin.name for twin in TWINS if twin.chapter == path.stem}
    assert stored == asked_for(path), f"{path.name}: store it anew with `python tools/notebooks.py book/{path.name}`"


@pytest.mark.parametrize("kind", KINDS)
def test_every_widget_has_its_place(kind):
    """A module of its name, which is heavy if a press loads it, and a chapter that shows it."""
    heavy = "live/" if getattr(widgets, kind).press else ""
    assert (MODULES / heavy / f"{KINDS[kind]}.js").is_file(), f"write ddpm_lite/viz/js/{heavy}{KINDS[kind]}.js"
    assert KINDS[kind] in {twin.name for twin in TWINS}, f"show {kind}() in a chapter of book/"


def test_every_widget_can_be_imported_from_the_package():
    """What the files of the folder define, against what the package names; its own names are not looked at."""
    modules = [import_module(f"{widgets.__name__}.{found.name}") for found in iter_modules(widgets.__path__)]
    classes = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    found = {kind.__name__ for kind in classes if issubclass(kind, widgets.base.Widget) and vars(kind).get("name")}
    assert sorted(found) == widgets.__all__, "run `python tools/bundle.py`, which writes their imports"


def test_a_widget_without_a_module_is_told_which_file_to_write():
    with pytest.raises(FileNotFoundError, match=r"Lost\.name: .*write ddpm_lite/viz/js/lost\.js"):

        class Lost(widgets.base.Widget):
            name = "lost"


# Scripts of the book that a page loads only when a reader asks for what they do, and that of the page of results.
ASKED_FOR = {"cards.js", "copy.js", "progress.js", "search.js", "state.js"}


def weigh():
    """All on opening, a page with the heaviest widget, the first page, all that is asked for (gzipped); and each."""
    made = assets() | scripts()
    weights = {name: len(text.encode()) for name, text in made.items() if name.endswith(".js")}
    assert set(weights) >= ASKED_FOR
    first = {name: weight for name, weight in weights.items() if name not in ASKED_FOR}
    together, shared = sum(first.values()), sum(first.pop(name) for name in ("book.js", "reading.js", "host.js"))
    front = shared + first.pop("front.js")
    first.pop("press.js")
    later = sum(len(gzip.compress(made[name].encode(), 6)) for name in ASKED_FOR)
    return together, shared + max(first.values()), front, later, weights


def test_scripts_are_light():
    """All that we add: on every page, on the first, on pages with widgets, the widgets, and what is asked for."""
    together, page, front, later, weights = weigh()
    advice = f"{weights}: CONTRIBUTING.md, Add a widget, tells what counts"
    assert together <= bundle.ALL, advice
    assert page <= bundle.PAGE, advice
    assert front <= bundle.PAGE, advice
    assert later <= bundle.ASKED, advice


@pytest.mark.parametrize(
    ("name", "text", "left"),
    [
        ("a.js", "  // why\n  const a = 1; // here\n\n    b(`//`);\n", "const a = 1; // here\nb(`//`);\n"),
        (
            "a.css",
            "/* why\n * how */\na {\n  /* g */\n  b: c; /* d */\n}\n\ne { f: 1 }\n",
            "a {b: c; /* d */\n}\ne { f: 1 }\n",
        ),
        ("a.css", "a,\nb {\n  c: d;\n  e: f;\n}\n", "a,\nb {c: d;e: f;}\n"),
    ],
)
def test_pages_get_files_without_comments(name, text, left):
    assert shorten(name, text) == left


def test_what_we_add_to_a_page_is_light():
    """The heaviest page with all its widgets, as a server sends it."""
    made = assets() | scripts()
    sizes = {name: len(gzip.compress(text.encode(), 6)) for name, text in made.items() if name not in ASKED_FOR}
    sheets = ("cards.css", "derive.css", "progress.css")  # with their scripts
    elsewhere = {"front.css", "reference.css", *sheets}
    everywhere = {"book.js", "reading.js", *(name for name in sizes if name.endswith(".css"))} - elsewhere
    for chapter in {twin.chapter for twin in TWINS}:
        page = "".join(twin.html for twin in TWINS if twin.chapter == chapter)
        used = everywhere | {f"{name}.js" for name in first_scripts(page)}
        assert sum(sizes[name] for name in used) <= bundle.GZIPPED, (chapter, {name: sizes[name] for name in used})
    front = everywhere - {"widgets.css"} | {"front.js", "front.css"}
    assert sum(sizes[name] for name in front) <= bundle.GZIPPED, {name: sizes[name] for name in front}


def test_heavy_widgets_are_light_until_they_are_pressed():
    """Before the press, under 20 kB beside the still figure: frame, styles, state. After it: the module, a network."""
    frame = sum(len(scripts()[name].encode()) for name in ("host.js", "press.js", "widgets.css"))
    for twin in TWINS:
        if names := LATER.findall(twin.html):
            assert frame + len(twin.html.partition('<div class="ddpm-widget ddpm-widget-still">')[0].encode()) < 20_000
            weights = {name: len(live_scripts()[f"{name}.js"].encode()) for name in names[0].split()}
            # the clothes' network is the large one
            assert sum(weights.values()) < (1_500_000 if "networks/fashion" in weights else 640_000), weights
            assert weights[f"live/{twin.name}"] < 40_000, weights


def test_the_panel_of_derivations_is_light():
    """The script that a press at a derivation loads, beside the typesetter."""
    assert len((BUNDLES / "book" / "derive.js").read_bytes()) <= 30_000


def test_every_script_is_a_widgets():
    names = {Path(name).stem for name in scripts() if name.endswith(".js")} - {"host", "press"}
    names |= {Path(name).stem for name in live_scripts() if name.startswith("live/")} - {"draw"}
    assert names == set(KINDS.values()), "a module in ddpm_lite/viz/js and a class in ddpm_lite/viz/widgets, each alone"


@every_twin
def test_twin_has_a_still_figure_and_a_sentence(twin):
    still = BeautifulSoup(twin.html, "html.parser").select_one(".ddpm-widget-still")
    pictures = still.select("img, svg")
    assert pictures
    for picture in pictures:
        words = picture.get("alt") or picture.get("aria-label") or ""
        assert len(words) >= 12, f"too few words for {picture.name}: {words!r}"
    assert len(still.find_all("p")[-1].get_text()) >= 40


@pytest.mark.html
@every_twin
def test_without_scripts_the_figure_is_there(twin, browser, tmp_path):
    from stands import Stand

    stand = Stand(browser, tmp_path, [twin], java_script_enabled=False)
    picture = stand.page.locator(".ddpm-widget-still img, .ddpm-widget-still svg").first
    box = picture.bounding_box()
    sentence = stand.page.locator(".ddpm-widget-still p:not(.ddpm-derive-open)").last  # book.css hides the button
    assert sentence.is_visible()
    assert len(sentence.inner_text()) >= 40
    stand.context.close()
    assert box["width"] > 50
    assert box["height"] > 20


def broken(twin):
    """Ways in which a page's state can be damaged."""
    state = json.loads(unescape(STATE.search(twin.html)[1]))
    packed = sorted(name for name, value in state.items() if isinstance(value, dict))
    gone = (packed or sorted(state))[0]
    ways = {"no JSON": "{", "a part is missing": json.dumps({k: v for k, v in state.items() if k != gone})}
    if packed:
        ways["bytes are missing"] = json.dumps(state | {gone: {"bytes": state[gone]["bytes"][:-8]}})
    return ways


def press(place):
    """Start a heavy widget, as a reader would."""
    waits = place.get_attribute("data-live") and place.get_by_role("alert").count() == 0
    if waits and place.locator(".ddpm-widget-still").is_visible():  # one press starts all guesses
        place.get_by_role("button").first.click()


def started(page):
    """Start all heavy widgets of a page, and wait until they stand."""
    for place in page.locator("[data-live]").all():
        press(place)
        place.locator(".ddpm-widget-still").wait_for(state="hidden")


@pytest.mark.html
@pytest.mark.parametrize(
    ("twin", "kind"),
    [(twin, kind) for twin in EACH for kind in broken(twin)],
    ids=lambda value: value if isinstance(value, str) else f"{value.chapter[:2]}-{value.name}",
)
def test_damaged_state_is_one_line_and_breaks_nothing_else(twin, kind, stand):
    damaged = broken(twin)[kind].replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    worse = Twin(twin.name, twin.chapter, STATE.sub(lambda _: f'data-state="{damaged}"', twin.html))
    page = stand(worse, twin).page
    places = page.locator("[data-widget]")
    press(places.nth(0))
    line = places.nth(0).locator("[role=alert]")
    line.wait_for()
    assert "could not start" in line.inner_text()
    assert "\n" not in line.inner_text().strip()
    assert places.nth(0).locator(".ddpm-widget-still").is_visible()
    press(places.nth(1))
    places.nth(1).locator(".ddpm-widget-still").wait_for(state="hidden")
    assert places.nth(1).locator("input, select, button, [tabindex]").count() > 0


def spoilt(state):
    """States in which one trait is nothing, or a number far from where it may be."""
    for name, value in state.items():
        wrong = [None] if isinstance(value, bool) or not isinstance(value, int | float) else [None, -9.5, 10**9]
        for bad in wrong:
            yield f"{name}: {bad}", escape(json.dumps(state | {name: bad}))


@pytest.mark.html
@every_twin
def test_every_trait_out_of_range_is_one_line(twin, stand):
    state = json.loads(unescape(STATE.search(twin.html)[1]))
    start, figure, _ = twin.html.partition('<div class="ddpm-widget ddpm-widget-still">')
    bare = f"{start}{figure}<p>The figure.</p></div></div>"  # its pictures once for each way would be many
    ways = dict(spoilt(state))
    damaged = [STATE.sub(lambda _, text=text: f'data-state="{text}"', bare) for text in ways.values()]
    page = stand(*(Twin(twin.name, twin.chapter, html) for html in damaged), twin).page
    *places, good = page.locator("[data-widget]").all()
    for place, way in zip(places, ways, strict=True):
        press(place)
        place.get_by_role("alert").or_(place.get_by_role("group")).wait_for()
        assert place.get_by_role("alert").count() == 1, way
        words = place.get_by_role("alert").inner_text()
        assert words.startswith("This widget could not start, so its figure stays. "), way
        assert "\n" not in words.strip(), way
        assert place.locator(".ddpm-widget-still").is_visible(), way
    press(good)
    good.locator(".ddpm-widget-still").wait_for(state="hidden")
    assert good.get_by_role("alert").count() == 0


@pytest.mark.html
@pytest.mark.transports
def test_all_widgets_share_a_page(stand):
    page = stand(*TWINS).page
    assert page.locator("[data-widget]").count() == len(TWINS)
    started(page)
    assert page.locator("[role=alert]").count() == 0
    assert page.evaluate("() => new Set(Array.from(document.querySelectorAll('[id]'), (e) => e.id)).size") == (
        page.locator("[id]").count()
    )


# In the page: the words of each plot that stand out of it, [words, by how many pixels]; half a pixel is nothing.
CUT = """() => Array.from(document.querySelectorAll("svg.dw-plot text")).map((text) => {
  const { left, right, top, bottom } = text.getBoundingClientRect(), box = text.ownerSVGElement.getBoundingClientRect();
  return [text.textContent, Math.max(box.left - left, right - box.right, box.top - top, bottom - box.bottom)];
}).filter(([words, out]) => words && out > 0.5)"""

# In the page: the names of upright axes that lie on a number of the axis.
MEET = """() => [...document.querySelectorAll("svg.dw-plot text[transform]")].flatMap((name) => {
  const { right, top, bottom } = name.getBoundingClientRect();
  return [...name.ownerSVGElement.querySelectorAll("text:not([transform])")].filter((number) => {
    const box = number.getBoundingClientRect();
    return number.textContent && box.left < right && box.top < bottom && box.bottom > top;
  }).map((number) => [name.textContent, number.textContent]);
})"""


@pytest.mark.html
def test_no_word_of_a_plot_is_cut_off_or_lies_on_an_axis_name(stand):
    page = stand(*TWINS).page
    assert page.evaluate(MEET) == []
    started(page)
    assert page.evaluate(CUT) == []
    assert page.evaluate(MEET) == []
    # the widest marks that an axis may have
    page.evaluate("""() => {
      const { kit } = window.ddpmWidgets;
      for (const y of [[4e-5, 1], [1.234e-12, 9.9e9], [-0.00123, 1234.5], [-99999, -0.5]]) {
        for (const logy of y[0] > 0 ? [true, false] : [false]) {
          const words = { xlabel: "x", ylabel: "y", label: "A plot" };
          const { svg } = kit.plot({ x: [-1000, 1e7], y, logy, ...words });
          document.querySelector("main").append(kit.el("div", { class: "ddpm-widget" }, svg));
        }
      }
    }""")
    assert page.evaluate(CUT) == []
    marks = page.locator(".dw-plot").nth(-6).locator("text").all_text_contents()
    assert "4e\u22125" in marks, marks


@pytest.mark.html
@every_twin
def test_a_widget_that_leaves_takes_its_listeners_along(twin, stand):
    """As anywidget asks: a view may go while its model stays."""
    page = stand(twin).page
    started(page)
    count = "Object.values(document.querySelector('[data-widget]').model.listeners).reduce((n, all) => n + all.size, 0)"
    assert page.evaluate(count) > 0
    page.evaluate("document.querySelector('[data-widget]').leave()")
    assert page.evaluate(count) == 0


@pytest.mark.html
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_widgets_are_accessible(theme, stand):
    page = stand(*TWINS, theme=theme, reduced_motion="reduce").page
    started(page)
    found = Axe().run(page, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
    assert [
        (v["id"], node["html"]) for v in found for node in v["nodes"] if v["impact"] in ("serious", "critical")
    ] == []


# In the page: what is drawn or written in colour, as [what, colour, opacity, the least contrast].
COLOURED = """() => {
  const lines = ".dw-line, .dw-bars, .dw-ring", fills = ".dw-marker:not(.dw-ring)";
  const typed = "input:not([type=range], [type=checkbox]), textarea";
  const words = `label, output, dt, dd, figcaption, button, select, ${typed}, p, .dw-key`;
  const kinds = [[lines, "stroke", "strokeOpacity", 3], [fills, "fill", "fillOpacity", 3]];
  kinds.push([".dw-plot text", "fill", "fillOpacity", 4.5], [words, "color", "opacity", 4.5]);
  return kinds.flatMap(([selector, paint, opacity, least]) => {
    const all = Array.from(document.querySelectorAll(selector));
    return all.filter((one) => one.checkVisibility() && !one.disabled).map((one) => {
      const style = getComputedStyle(one);
      return [one.getAttribute("class") ?? one.tagName, style[paint], Number(style[opacity]), least];
    });
  });
}"""

# In the page: the fields and buttons, as [what, the colour of its own ground]; no ground is that of the page.
GROUNDS = """() => [...document.querySelectorAll(".ddpm-widget :is(button, select, input, textarea)")]
  .filter((one) => one.checkVisibility() && !["range", "checkbox"].includes(one.type))
  .map((one) => [one.type, getComputedStyle(one).backgroundColor])"""


def levels(colour):
    """`rgb(r, g, b)` as three numbers in [0, 1]."""
    assert re.fullmatch(r"rgb\(\d+, \d+, \d+\)", colour), colour
    return np.array([int(part) for part in re.findall(r"\d+", colour)]) / 255


def luminance(rgb):
    """WCAG's relative luminance."""
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


@pytest.mark.html
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_and_lines_stand_out_in_both_themes(theme, stand):
    page = stand(*TWINS, theme=theme, reduced_motion="reduce").page
    started(page)
    ground = levels(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
    found = page.evaluate(COLOURED)
    faint = set()
    for what, colour, opacity, least in found:
        low, high = sorted([luminance(ground), luminance(opacity * levels(colour) + (1 - opacity) * ground)])
        if (high + 0.05) / (low + 0.05) < least:
            faint.add((what, colour, opacity))
    assert faint == set()
    kinds = " ".join(what for what, *_ in found).split()
    assert {"dw-1", "dw-2", "dw-3", "dw-4", "dw-exact", "dw-bars", "dw-dot", "dw-ring", "dw-key"} <= set(kinds)
    grounds = page.evaluate(GROUNDS)
    assert {"button", "select-one", "text"} <= {kind for kind, _ in grounds}
    assert [(kind, colour) for kind, colour in grounds if colour != "rgba(0, 0, 0, 0)"] == []


@pytest.mark.html
@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
@every_twin
def test_nothing_moves_by_itself(twin, motion, stand):
    one = stand(twin, reduced_motion=motion)
    page = one.page
    before = page.locator("main").inner_html()
    one.let_timers_run()
    assert page.locator("main").inner_html() == before
    assert page.evaluate("document.getAnimations().length") == 0


# Widgets with a player, and the trait that it moves.
PLAYERS = {
    path.stem: found[1]
    for path in sorted(MODULES.glob("*.js"))
    if (found := re.search(r'kit\.player\(model, "(\w+)"', path.read_text(encoding="utf8")))
}


@pytest.mark.html
@pytest.mark.parametrize("name", PLAYERS)
def test_readers_who_want_less_motion_get_the_steps(name, stand):
    """From the beginning, and when they say so while something plays."""
    twin = next(twin for twin in TWINS if twin.name == name)
    one = stand(twin)
    page, trait = one.page, PLAYERS[name]
    button = lambda text: page.get_by_role("button", name=text)  # noqa: E731
    before = one.get(trait)
    button("Play").click()
    page.wait_for_function(
        "([name, old]) => document.querySelector('[data-widget]').model.get(name) !== old", arg=[trait, before]
    )
    page.emulate_media(reduced_motion="reduce")
    page.wait_for_function("!Array.from(document.querySelectorAll('button')).some((b) => b.textContent === 'Pause')")
    now = one.get(trait)
    one.let_timers_run()
    assert one.get(trait) == now
    assert button("Play").count() == 0
    calm = stand(twin, reduced_motion="reduce")
    first = calm.get(trait)
    assert calm.page.get_by_role("button", name="Play").count() == 0
    calm.page.get_by_role("button", name="Step forward").click()
    calm.page.get_by_role("button", name="Step forward").click()
    calm.page.get_by_role("button", name="Step back").click()
    assert calm.get(trait) != first


@pytest.mark.html
@every_twin
def test_a_finger_reaches_every_control_on_a_phone(twin, stand):
    page = stand(twin, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True).page
    started(page)
    live = page.locator(".ddpm-widget:not(.ddpm-widget-still)")
    for slider in live.locator("input[type=range]:visible").all():
        slider.scroll_into_view_if_needed()
        box, seen, tries = slider.bounding_box(), set(), 0
        while len(seen) < 2 and tries < 100:  # a drawing that still goes on moves its slider itself
            seen, tries = set(), tries + 1
            for share in (0.3, 0.8):
                page.touchscreen.tap(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
                seen.add(slider.input_value())
        assert len(seen) == 2, slider.get_attribute("id")
    for toggle in live.locator("input[type=checkbox]:visible").all():
        before = toggle.is_checked()
        toggle.tap()
        assert toggle.is_checked() != before
        live.locator(f"label[for={toggle.get_attribute('id')}]").tap()
        assert toggle.is_checked() == before
    for control in live.locator("button:visible, select:visible").all():
        if control.is_disabled():  # such as "back" before the first step
            continue
        control.evaluate("(one) => one.addEventListener('click', () => (one.dataset.tapped = 1))")
        control.tap()
        assert control.get_attribute("data-tapped") == "1"
        page.keyboard.press("Escape")  # an open list of choices lies above the rest


@pytest.mark.html
@every_twin
def test_on_a_phone_nothing_stands_out(twin, stand):
    page = stand(twin, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True).page
    started(page)
    assert page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    for control in page.locator(".ddpm-widget :is(input, button, select)").all():
        if control.is_visible():
            box = control.bounding_box()
            assert min(box["width"], box["height"]) >= 24, control.get_attribute("id")


@pytest.mark.html
@every_twin
def test_every_control_has_a_name_and_is_reached_by_tab(twin, stand):
    page = stand(twin).page
    started(page)
    controls = page.locator(".ddpm-widget:not(.ddpm-widget-still) :is(input, select, button, [tabindex='0'])")
    expected = sum(control.is_visible() and control.is_enabled() for control in controls.all())
    reached = set()
    for _ in range(expected + 2):
        page.keyboard.press("Tab")
        name = page.evaluate("() => document.activeElement.closest('.ddpm-widget') && document.activeElement.outerHTML")
        if name:
            reached.add(name)
    assert len(reached) >= expected > 0
