"""Keep the pages free of foreign scripts and of what makes them hard to use."""

import re
from pathlib import Path

from docutils import nodes

from .widgets import shorten, write

ASSETS = Path(__file__).parent / "assets"


def assets():
    """The book's own style sheets and scripts, by name: some on every page, some loaded when they are asked for.

    Pages get them without their comments and their indentation.
    """
    return {path.name: shorten(path.name, path.read_text(encoding="utf8")) for path in sorted(ASSETS.iterdir())}


def add_assets(app):
    # Here and not through _static/: Sphinx puts every file of a _static folder into every page.
    folder = Path(app.doctreedir) / "ddpm_assets"
    write(folder, assets())
    app.config.html_static_path.append(str(folder))
    app.add_css_file("book.css")
    app.add_css_file("print.css", media="print")
    app.add_js_file("book.js", loading_method="defer")
    app.add_js_file("reading.js", loading_method="defer")


def drop_thebe(app):
    """Disconnect sphinx-thebe: it puts a CDN's address and a duplicate `const` into every page."""
    app.setup_extension("sphinx_thebe")  # so that what it connects is there to be disconnected
    for listeners in app.events.listeners.values():
        for listener in list(listeners):
            if listener.handler.__module__.startswith("sphinx_thebe"):
                app.disconnect(listener.id)
    app.registry.css_files[:] = [css for css in app.registry.css_files if "thebe" not in css[0]]
    app.registry.js_files[:] = [js for js in app.registry.js_files if "thebe" not in (js[0] or "")]


# What docutils, MyST-NB and the theme write into a text, and what a screen reader can make sense of.
MENDED = {
    # A list must hold list items; the entries are no such thing.
    '<div role="list" class="citation-list">': '<div class="citation-list">',
    # The label hides the words on the button: "Show code cell source".
    '<summary aria-label="Toggle hidden content">': "<summary>",
    # An entry of a list that is none.
    ' role="doc-biblioentry"': "",
}

# A link should not begin with a space, which would be underlined.
LEADING_SPACE = re.compile(r"(Solution to)(<a [^>]*>) ")

# On a phone a table that has to be scrolled squeezes its sentences into columns of single words, and what that saves is
# out of sight anyway. The rule is written into pages with tables, because every page pays for what is in book.css.
TABLE = '<div class="pst-scrollable-table-container">'
ROOM = """<style>
@media screen and (max-width: 600px) {
  .pst-scrollable-table-container[tabindex="0"] td:not(.text-right) {
    min-width: 7rem;
  }
}
</style>"""

# A fold with what a cell printed: opened by hand on the screen, and on paper by a rule for the pages that have one.
FOLD = re.compile(r'<details class="[^"]*\bhide\b[^"]*">(?:(?!</details>).)*?<div class="cell_output', re.DOTALL)
UNFOLDED = """<style media="print">
.cell details.hide:has(.cell_output):not([open]) {
  display: block !important;
}
.cell details.hide:not([open]) .cell_input {
  display: none;
}
.cell details::details-content {
  content-visibility: visible;
}
</style>"""

# The same around the text, in the theme's own parts of every page.
AROUND = {
    # The button says "Search Ctrl+K", and is called so by those who speak to their computer.
    re.compile(r'(<button class="btn search-button-field[^>]*?) aria-label="Search"'): r"\1",
    # One of three icons is seen, and the button has a name.
    re.compile(r'(<i class="theme-switch [^>]*?)\s+title="[^"]*"'): r'\1 aria-hidden="true"',
    # The arrow that opens the pages below a page has a name.
    re.compile(r'<summary>(?=<span class="toctree-toggle")'): '<summary aria-label="Pages below">',
    # All that is read belongs to a landmark.
    re.compile(r'(<div id="pst-primary-sidebar")(?= class)'): r'\1 role="region" aria-label="The book"',
    # On paper a chapter has its number too, because its equations and figures do.
    re.compile(
        r'(<div id="jb-print-docs-body" class="onlyprint">\s*<h1>)(?!\d)'
        r'(?=.*?<h1><span class="section-number">([^<]*)<)',
        re.DOTALL,
    ): r"\1\2",
}


# A percent sign at the start of a line has lost its number.
PERCENT = re.compile(r"(?<=\d) (?=%)")


def join_percent(app, doctree, docname):
    """Keep a number and its percent sign on one line, but leave code as it is, which is copied."""
    for text in list(doctree.findall(nodes.Text)):
        if PERCENT.search(text) and not isinstance(text.parent, (nodes.literal, nodes.FixedTextElement, nodes.math)):
            text.parent.replace(text, nodes.Text(PERCENT.sub("\u00a0", text)))


def mend(app, pagename, templatename, context, doctree):
    for found, better in MENDED.items():
        context["body"] = context.get("body", "").replace(found, better)
    context["body"] = LEADING_SPACE.sub(r"\1 \2", context.get("body", ""))
    if TABLE in context["body"]:
        context["body"] += shorten("room.css", ROOM)
    if FOLD.search(context["body"]):
        context["body"] += shorten("unfolded.css", UNFOLDED)


def mend_around(app, error):
    """Mend the theme's parts of the pages, which are made after the text."""
    if error is not None or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        if "_static" not in path.parts:
            before = after = path.read_text(encoding="utf8")
            for found, better in AROUND.items():
                after = found.sub(better, after)
            if after != before:
                path.write_text(after, encoding="utf8")


def setup(app):
    drop_thebe(app)
    app.connect("doctree-resolved", join_percent)
    app.connect("html-page-context", mend)
    app.connect("build-finished", mend_around)
    app.connect("builder-inited", add_assets)
