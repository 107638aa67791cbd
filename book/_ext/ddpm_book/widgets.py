"""Puts the widgets' scripts on the pages that hold widgets, and on no other.

A page opened as a file may not import modules, so each module becomes a classic script that hands itself to host.js.
Heavy widgets are not on the page: press.js loads them, from the same folder, when a reader presses their button.
"""

import re
from functools import cache
from pathlib import Path

from sphinx.util import logging

STATIC = Path(__file__).resolve().parents[3] / "ddpm_lite" / "viz" / "js"
USED = re.compile(r'data-widget="([\w-]+)"(?! data-live)')  # at once, unlike the heavy ones
# A string, as it is; or a comment; or a sign with the spaces around it. Our strings are in double quotes or backticks,
# and no regular expression of ours holds a quote or two slashes.
SPARE = re.compile(r'("(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`)|//.*| ?([{}()\[\],;:=<>?&|*!]) ?')
logger = logging.getLogger(__name__)


def lean(source):
    """JavaScript without indentation, comments, and spaces beside brackets and most signs; a line stays a line."""
    lines = (line.strip() for line in source.splitlines())
    text = "".join(f"{line}\n" for line in lines if line and not line.startswith("//"))
    return SPARE.sub(_spared, text)


def _spared(found):
    string, sign = found[1] or "", found[2] or ""
    if string.startswith("`") and string.count("{") != string.count("}"):
        raise ValueError(f"expected no string in backticks inside another, got {string}")
    return string + sign


def classic(name, source):
    """A module as a classic script."""
    body, count = re.subn(r"^export default ", "return ", source, flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"{name}.js: expected one line that begins with `export default`, got {count}")
    return f'window.ddpmWidgets.define("{name}", (kit) => {{\n{body}}});\n'


def scripts():
    """The files that pages load, by name: host.js (with the kit inside), one script a widget, and the style sheet."""
    sources = {path.stem: path.read_text(encoding="utf8") for path in sorted(STATIC.glob("*.js"))}
    made = {"host.js": f"(() => {{\n{sources.pop('kit')}{sources.pop('host')}}})();\n"}
    made |= {f"{name}.js": classic(name, source) for name, source in sources.items()}
    made = {name: lean(source) for name, source in made.items()}
    return made | {"widgets.css": (STATIC / "widgets.css").read_text(encoding="utf8")}


@cache
def live_scripts():
    """The files that pages load on a reader's press, by name: live/NAME.js, each module from its parts; networks."""
    from ddpm_lite.viz import widgets
    from ddpm_lite.viz.widgets.drawing import NETWORKS, page_file

    made = {f"networks/{name}.js": page_file(name) for name in NETWORKS}
    for widget in (getattr(widgets, name) for name in widgets.__all__):
        if widget.live:
            parts = [(STATIC / "live" / f"{part}.js").read_text(encoding="utf8") for part in widget.live]
            made[f"live/{widget.name}.js"] = lean(classic(widget.name, "".join(parts)))
    return made


def write(folder, files):
    """Write files by name, and the folders that they need."""
    for name, text in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf8")


def write_scripts(app):
    folder = Path(app.doctreedir) / "ddpm_static" / "widgets"
    write(folder, scripts() | live_scripts())
    app.config.html_static_path.append(str(folder.parent))


def first_scripts(page):
    """The scripts that a page loads by itself, in order."""
    return ["host", *sorted(set(USED.findall(page))), *["press"] * ("data-live=" in page)]


def add_scripts(app, pagename, templatename, context, doctree):
    body = context.get("body", "")
    used = sorted(set(USED.findall(body)))
    for name in used:
        if not (STATIC / f"{name}.js").is_file():
            logger.warning("%s: there is no widget %s in ddpm_lite/viz/js", pagename, name)
    if 'data-widget="' in body:
        app.add_css_file("widgets/widgets.css")
        for name in first_scripts(body):
            app.add_js_file(f"widgets/{name}.js", loading_method="defer")


def setup(app):
    app.connect("builder-inited", write_scripts)
    app.connect("html-page-context", add_scripts)
