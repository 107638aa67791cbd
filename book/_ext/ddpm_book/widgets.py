"""Puts the widgets' scripts on the pages that hold widgets, and on no other.

A page opened as a file may not import modules, so each module becomes a classic script that hands itself to host.js.
"""

import re
from pathlib import Path

from sphinx.util import logging

STATIC = Path(__file__).resolve().parents[3] / "ddpm_lite" / "viz" / "static"
USED = re.compile(r'data-widget="([\w-]+)"')
logger = logging.getLogger(__name__)


def lean(source):
    """JavaScript without indentation and lines of comment; no string of ours spans lines."""
    lines = (line.strip() for line in source.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("//"))


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


def write_scripts(app):
    folder = Path(app.doctreedir) / "ddpm_static" / "widgets"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in scripts().items():
        (folder / name).write_text(text, encoding="utf8")
    app.config.html_static_path.append(str(folder.parent))


def add_scripts(app, pagename, templatename, context, doctree):
    used = sorted(set(USED.findall(context.get("body", ""))))
    for name in used:
        if not (STATIC / f"{name}.js").is_file():
            logger.warning("%s: there is no widget %s in ddpm_lite/viz/static", pagename, name)
    if used:
        app.add_css_file("widgets/widgets.css")
        for name in ["host", *used]:
            app.add_js_file(f"widgets/{name}.js", loading_method="defer")


def setup(app):
    app.connect("builder-inited", write_scripts)
    app.connect("html-page-context", add_scripts)
