"""Quick checks: a button below an exercise that can be done without Python, which opens a panel in the page.

book/quick.json has what judges the answers, which tests/exercises/quick.py takes from the chapters' checks. The button,
which is hidden without scripts, loads all checks with quick.js, a bundle of ddpm_lite/viz/js/page/quick.js.
"""

import json
from html import escape
from pathlib import Path

from docutils import nodes

from .widgets import BUNDLES, write

PANEL = (
    '<div class="screen-only" data-quick="{label}"><p class="ddpm-derive-open">'
    '<button type="button" onclick="{load}">{words}, here in the page</button>'
    '<span role="status"></span></p></div>'
)
LOAD = (
    "const s = document.createElement('script'); "
    "s.src = document.querySelector('script[src*=\\'reading.js\\']').src.replace('reading.js', 'quick.js'); "
    "s.onload = () => this.click(); "
    "s.onerror = () => { s.remove(); this.nextSibling.textContent = ' It could not be loaded. Press again.'; }; "
    "document.head.append(s);"
)
KINDS = {"choices": "Choose an answer", "right": "Answer with a formula", "value": "Answer with a number"}


def read_checks(path):
    """{label: check}, or nothing for a book that has none."""
    return json.loads(path.read_text(encoding="utf8")) if path.is_file() else {}


def write_panel(label, checks):
    """The place of a quick check, with its button."""
    words = next(words for key, words in KINDS.items() if key in checks[label])
    return PANEL.format(label=label, words=words, load=escape(LOAD))


def write_script(checks):
    """What a press loads: the checks, and the script that asks and judges."""
    data = json.dumps(checks, ensure_ascii=False)
    return f"window.ddpmChecks = {data};\n{(BUNDLES / 'book' / 'quick.js').read_text(encoding='utf8')}"


def start(app):
    app.ddpm_quick = read_checks(Path(app.confdir) / app.config.ddpm_quick)
    folder = Path(app.doctreedir) / "ddpm_quick"
    write(folder, {"quick.js": write_script(app.ddpm_quick)})
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
