"""Puts the widgets' scripts on the pages that hold widgets, and on no other.

They are the bundles of ddpm_lite/viz/bundles/page, classic scripts, as a page opened as a file may not import modules.
host.js starts the widgets. Heavy ones are not on the page: press.js loads them, from the same folder, when a reader
presses their button.
"""

import re
from collections import Counter
from functools import cache
from pathlib import Path

from sphinx.util import logging

VIZ = Path(__file__).resolve().parents[3] / "ddpm_lite" / "viz"
BUNDLES = VIZ / "bundles" / "page"
# An element that loads its script at once, unlike the heavy ones; style sheets and scripts in the page name some, too.
USED = re.compile(r'<div[^<>]* data-widget="([\w-]+)"(?! data-live)')
PLACE = re.compile(r'(<div[^>]*?) data-widget="([\w-]+)"')
# Comments, indentation and the ends of lines are a third of a style sheet's bytes, gzipped, and a tenth of a script's.
# No text of a script may span lines.
BLANK = {
    ".js": re.compile(r"^[ \t]*(?://.*)?\n|^[ \t]+", re.MULTILINE),
    ".css": re.compile(r"(?:^|(?<=[{;])\n)\s*(?:/\*(?:[^*]|\*(?!/))*\*/\s*)+|^\s+|(?<=[{;])\n\s*", re.MULTILINE),
}
logger = logging.getLogger(__name__)


def shorten(name, text):
    """A script or style sheet as pages get it."""
    return BLANK[Path(name).suffix].sub("", text)


def scripts():
    """The files that pages load, by name: host.js, press.js, one script a widget, and the style sheet."""
    from ddpm_lite.viz.palette import write_css

    made = {path.name: path.read_text(encoding="utf8") for path in sorted(BUNDLES.glob("*.js"))}
    style = write_css() + (VIZ / "js" / "widgets.css").read_text(encoding="utf8")
    return made | {"widgets.css": shorten("widgets.css", style)}


@cache
def live_scripts(networks=None):
    """The files that pages load on a reader's press, by name: live/NAME.js, records, and networks, or some of them."""
    from ddpm_lite.viz import untrained
    from ddpm_lite.viz.widgets import label_attention, receptive_field
    from ddpm_lite.viz.widgets.drawing import NETWORKS, write_page_file

    made = {f"live/{path.name}": path.read_text(encoding="utf8") for path in sorted(BUNDLES.glob("live/*.js"))}
    for record in (label_attention, receptive_field):
        made[f"records/{Path(record.RECORD).stem}.js"] = record.write_page_file()
    for name in (*NETWORKS, untrained.NAME) if networks is None else networks:
        made[f"networks/{name}.js"] = untrained.write_untrained() if name == untrained.NAME else write_page_file(name)
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
    return ["host", *sorted(set(USED.findall(page))), *["press"] * ("data-press=" in page)]


def add_scripts(app, pagename, templatename, context, doctree):
    body = context.get("body", "")
    used = sorted(set(USED.findall(body)))
    for name in used:
        if not (BUNDLES / f"{name}.js").is_file():
            logger.warning("%s: no bundle of ddpm_lite/viz/js/%s.js: run tools/bundle.py", pagename, name)
    if 'data-widget="' in body:
        app.add_css_file("widgets/widgets.css")
        for name in first_scripts(body):
            app.add_js_file(f"widgets/{name}.js", loading_method="defer")


def name_widgets(app, pagename, templatename, context, doctree):
    """Give each widget an id, widget-NAME, then widget-NAME-2: assets/state.js links to it."""
    counts = Counter()

    def named(found):
        name = found[2]
        counts[name] += 1
        number = f"-{counts[name]}" if counts[name] > 1 else ""
        return f'{found[1]} id="widget-{name}{number}" data-widget="{name}"'

    context["body"] = PLACE.sub(named, context.get("body", ""))


def setup(app):
    app.connect("builder-inited", write_scripts)
    app.connect("html-page-context", name_widgets)
    app.connect("html-page-context", add_scripts)
