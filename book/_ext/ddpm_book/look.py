"""One look: the palette as custom properties, and figures and diagrams that follow the reader's theme.

An SVG, a figure of a cell or a diagram of book/images, becomes part of the page. Where it has a colour of the palette
for white, it gets the custom property; it has no ground of its own, and its words are in the page's fonts. Builds for
paper keep the file as it is. Code that is folded and shows nothing shares the bar of the folded code below it.
"""

import re
from html import escape
from itertools import count
from pathlib import Path

from docutils import nodes

from .widgets import write

FIGURE = "figure.css"
GROUND = re.compile(r'<g id="patch_1">.*?</g>', re.DOTALL)
SHEET = re.compile(
    r"<defs>\s*<style.*?</style>\s*</defs>|<style.*?</style>|<title>.*?</title>|<desc>.*?</desc>", re.DOTALL
)
OPENING = re.compile(r"<svg\b[^>]*>")
IDENTITY = re.compile(r'\sid="([^"]*)"')
REFERENCE = re.compile(r'(url\(#|href="#)([^)"]*)')
SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
BLANKS = re.compile(r"\s*\n\s*")


def style():
    """The style sheet: the palette, and the fonts of a figure's words."""
    from ddpm_lite.viz.palette import write_css
    from ddpm_lite.viz.symbols import CLASSES

    words = re.sub(r"(?<=[},])(?=\.)|^(?=\.)", ".ddpm-figure ", CLASSES)
    return f"{write_css()}{words}\n"


def colours():
    """What replaces each colour for white, which is written in lower case."""
    from ddpm_lite.viz.palette import PALETTE

    return {colour.light.lower(): f"var(--ddpm-{name})" for name, colour in PALETTE.items()}


def adapt(svg, alt, prefix):
    """An SVG file's text as part of a page; its ids begin with the prefix, so that no two figures share one."""
    for pattern in (GROUND, SHEET):
        svg = pattern.sub("", svg)
    for colour, name in colours().items():
        svg = re.sub(re.escape(colour) + r"\b", name, svg, flags=re.IGNORECASE)
    used = {match[2] for match in REFERENCE.finditer(svg)}
    svg = IDENTITY.sub(lambda match: f' id="{prefix}{match[1]}"' if match[1] in used else "", svg)
    svg = REFERENCE.sub(rf"\1{prefix}\2", svg)
    box = SIZE.search(svg)
    opening = (
        f'<svg class="ddpm-figure" role="img" aria-label="{escape(alt)}" style="--width: {float(box[1]):g}" '
        f'{box[0]} xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return BLANKS.sub("\n", OPENING.sub(lambda _: opening, svg, count=1)).strip()


def draw_in_page(app, doctree, docname):
    """Put each SVG into the page, instead of a link to its file."""
    if app.builder.format != "html" or app.builder.name == "epub":
        return
    numbers = count(1)
    for image in list(doctree.findall(nodes.image)):
        path = Path(app.srcdir, image["uri"])
        if path.suffix == ".svg" and path.is_file():
            text = adapt(path.read_text(encoding="utf8"), image.get("alt", ""), f"f{next(numbers)}-")
            image.replace_self(nodes.raw("", text, format="html"))


def _is_folded(node):
    """True for a cell whose code is behind a bar."""
    return isinstance(node, nodes.container) and node.get("hide_mode") == "input" and node.children


def share_bars(app, doctree):
    """Put folded code without an output above the folded code that follows, because two bars in a row say nothing."""
    for cell in list(doctree.findall(_is_folded)):
        below = cell.next_node(descend=False, siblings=True)
        if len(cell.children) == 1 and below is not None and _is_folded(below):
            below.children[0].insert(0, cell.children[0].children)
            cell.parent.remove(cell)


def write_style(app):
    folder = Path(app.doctreedir) / "ddpm_look"
    write(folder, {"palette.css": style()})
    app.config.html_static_path.append(str(folder))
    app.add_css_file("palette.css")
    app.add_css_file(FIGURE)


def setup(app):
    app.connect("builder-inited", write_style)
    app.connect("doctree-read", share_bars)
    app.connect("doctree-resolved", draw_in_page)
