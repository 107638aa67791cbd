"""Derive it yourself: a button beside each derivation of book/derivations.toml, which opens a panel in the page.

The button is all that a page has before a press. assets/reading.js then loads derive.js, a bundle of
ddpm_lite/viz/js/page/derive.js, which asks for the derivations and for the typesetter. Without scripts there is no
button.
"""

import json
import shutil
import tomllib
from html import escape
from pathlib import Path

from docutils import nodes

from .widgets import BUNDLES, write

BUTTON = (
    '<p class="ddpm-derive-open screen-only"><button type="button" data-derive="{name}" aria-expanded="false">'
    "Derive it yourself: {title}</button></p>"
)
# What only the tests need of a derivation.
UNUSED = {"place", "from"}


def read_derivations(path):
    """{name: derivation}, or nothing for a book that has none."""
    return tomllib.loads(path.read_text(encoding="utf8")) if path.is_file() else {}


def start(app):
    app.ddpm_derivations = found = read_derivations(Path(app.confdir) / app.config.ddpm_derivations)
    shown = {
        name: {key: value for key, value in derivation.items() if key not in UNUSED}
        for name, derivation in found.items()
    }
    folder = Path(app.doctreedir) / "ddpm_derive"
    script = (BUNDLES / "book" / "derive.js").read_text(encoding="utf8")
    data = f"ddpmDerive.add({json.dumps(shown, ensure_ascii=False)});\n"
    write(folder, {"derive.js": script, "derivations.js": data})
    app.config.html_static_path.append(str(folder))


def find_place(doctree, place):
    """What a button comes after: an equation by its label, or the title of a section by #id; None if it is not here."""
    if not place.startswith("#"):
        return next((node for node in doctree.findall(nodes.math_block) if node.get("label") == place), None)
    section = next((node for node in doctree.findall(nodes.section) if place[1:] in node["ids"]), None)
    return section and section.next_node(nodes.title)


def add_buttons(app, doctree, docname):
    if app.builder.name != "html":
        return
    for name, derivation in app.ddpm_derivations.items():
        node = find_place(doctree, derivation["place"])
        if node is not None:
            html = BUTTON.format(name=name, title=escape(derivation["title"][0].lower() + derivation["title"][1:]))
            node.parent.insert(node.parent.index(node) + 1, nodes.raw("", html, format="html"))


def copy_typesetter(app, error):
    """Put KaTeX's script beside its style sheet; no page loads it before a press."""
    if error is None and app.builder.name == "html" and app.ddpm_derivations:
        target = Path(app.outdir, "_static", "katex")
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(app.ddpm_typeset.katex / "katex.min.js", target)


def setup(app):
    app.add_config_value("ddpm_derivations", "book/derivations.toml", "env")
    app.connect("builder-inited", start)
    app.connect("doctree-resolved", add_buttons)
    app.connect("build-finished", copy_typesetter)
