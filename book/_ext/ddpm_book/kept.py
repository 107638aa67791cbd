"""The page of progress: a list of all that a reader can do in the pages, in which a script says what was done.

The list is taken from the built pages: quick checks, derivations and guesses. What a reader did is in the browser only,
under the names that the script reads, a bundle of ddpm_lite/viz/js/page/kept.js; no other page has it. Without scripts
the list is a list of links.
"""

import json
import re
from html import escape, unescape
from pathlib import Path

from .widgets import BUNDLES

PAGE = "book/progress"
# The place as progress.md has it, or as an earlier build left it: a build writes only the pages that changed.
PLACE = re.compile(r'<div id="ddpm-kept">.*?</div>(?:<script>.*?</script>)?', re.DOTALL)
SCRIPT = BUNDLES / "book" / "kept.js"
TITLE = re.compile(r"<title>(.*?) &#8212; ")
EXERCISE = re.compile(r'<div class="exercise[^>]* id="([^"]+)">\s*<p class="admonition-title">(.*?)</p>', re.DOTALL)
QUICK = re.compile(r'data-quick="([^"]+)"')
DERIVE = re.compile(r'data-derive="([^"]+)"[^>]*>Derive it yourself: (.*?)</button>')
GUESS = re.compile(r'<div id="([^"]+)" data-widget="draw-guess"[^>]* data-state="([^"]*)"')
NO_SCRIPT = "<noscript><p>What you have done is listed by a script, and here none runs.</p></noscript>"


def find_offers(html, places):
    """What a page offers, in its order: (kind, name, anchor, words); `places` names where each derivation belongs."""
    titles = {label: " ".join(re.sub(r"<[^>]*>", "", title).split()) for label, title in EXERCISE.findall(html)}
    found = [(m.start(), "quick", m[1], m[1], titles[m[1]]) for m in QUICK.finditer(html)]
    for m in DERIVE.finditer(html):
        anchor = places[m[1]].removeprefix("#") if places[m[1]].startswith("#") else f"equation-{places[m[1]]}"
        found.append((m.start(), "derive", m[1], anchor, f"Derive {m[2]}"))
    for m in GUESS.finditer(html):
        state = json.loads(unescape(m[2]))
        if "key" in state:
            found.append((m.start(), "guess", state["key"], m[1], f"Guess: {escape(state['ask'], quote=False)}"))
    return [offer for _, *offer in sorted(found)]


def list_page(name, html, places):
    """The part of the list for one page, empty if it offers nothing."""
    rows = [
        f'<li data-kind="{kind}" data-name="{key}"><a href="{name}#{anchor}">{words}</a></li>'
        for kind, key, anchor, words in find_offers(html, places)
    ]
    title = TITLE.search(html)[1]
    return f'<p data-page="{name}"><a href="{name}">{title}</a></p><ul>{"".join(rows)}</ul>' if rows else ""


def write_list(app, error):
    """Fill in the list, once all pages are there."""
    page = Path(app.outdir, f"{PAGE}.html")
    if error is not None or app.builder.name != "html" or not page.is_file():
        return
    html = page.read_text(encoding="utf8")
    places = {name: derivation["place"] for name, derivation in app.ddpm_derivations.items()}
    others = [path for path in sorted(page.parent.glob("*.html")) if path != page]
    parts = [list_page(path.name, path.read_text(encoding="utf8"), places) for path in others]
    script = SCRIPT.read_text(encoding="utf8")
    filled = f'<div id="ddpm-kept">{NO_SCRIPT}{"".join(parts)}</div><script>{script}</script>'
    page.write_text(PLACE.sub(lambda found: filled, html, count=1), encoding="utf8")


def setup(app):
    app.connect("build-finished", write_list, priority=900)
