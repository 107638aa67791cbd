"""Quick checks: a button below an exercise that can be done on paper, which opens a field in the page.

book/quick.json has the answers, which tests/exercises/quick.py takes from the chapters' checks. The button, which is
hidden without scripts, loads quick.js, a bundle of ddpm_lite/viz/js/page/quick.js.
"""

import json
from html import escape
from pathlib import Path

from docutils import nodes

from .widgets import BUNDLES, write

PANEL = (
    '<div class="screen-only" data-quick="{check}" data-label="{label}" data-all="{all}"><p class="ddpm-derive-open">'
    '<button type="button" onclick="{load}">Answer with a number, here in the page</button>'
    '<span role="status"></span></p></div>'
)
LOAD = (
    "const s = document.createElement('script'); "
    "s.src = document.querySelector('script[src*=\\'reading.js\\']').src.replace('reading.js', 'quick.js'); "
    "s.onerror = () => { s.remove(); this.nextSibling.textContent = ' It could not be loaded. Press again.'; }; "
    "document.head.append(s);"
)


def read_checks(path):
    """{label: check}, or nothing for a book that has none."""
    return json.loads(path.read_text(encoding="utf8")) if path.is_file() else {}


def write_panel(label, checks):
    """The place of a quick check, with its button."""
    check = escape(json.dumps(checks[label], ensure_ascii=False))
    return PANEL.format(check=check, label=label, all=len(checks), load=escape(LOAD))


def start(app):
    app.ddpm_quick = read_checks(Path(app.confdir) / app.config.ddpm_quick)
    folder = Path(app.doctreedir) / "ddpm_quick"
    write(folder, {"quick.js": (BUNDLES / "book" / "quick.js").read_text(encoding="utf8")})
    app.config.html_static_path.append(str(folder))


def add_panels(app, doctree, docname):
    if app.builder.name != "html":
        return
    for node in list(doctree.findall(nodes.Element)):
        for label in set(node.get("ids", ())) & app.ddpm_quick.keys() if "exercise" in node.get("classes", ()) else ():
            html = write_panel(label, app.ddpm_quick)
            node.parent.insert(node.parent.index(node) + 1, nodes.raw("", html, format="html"))


def setup(app):
    app.add_config_value("ddpm_quick", "book/quick.json", "env")
    app.connect("builder-inited", start)
    app.connect("doctree-resolved", add_panels)
