"""Keep the pages light: a page loads only what it uses.

The theme's icons are some 1,900 drawings in a script of 1.5 MB and in fonts. Once the pages are written, the few icons
that they use are cut out of the fonts into one small font each, and the script, the fonts and the style rules of the
others are removed from the built book. The templates of this folder leave the search index to the page of results.

A formula is some eighty elements, a chapter 35,000. Browsers style and lay out a section of a chapter when it comes
near the window (`content-visibility` in book.css); until then it is as tall as is estimated here, so that the scroll
bar and a place that a reader comes back to are nearly right.

Pygments puts every word of code into an element. Most are names and punctuation, which have the colour of all code, and
are written without one: up to 100 kB less in a chapter.
"""

import io
import logging
import re
import shutil
from base64 import b64decode, b64encode
from html import unescape
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from PIL import Image, ImageChops, ImageStat
from sphinx.util import logging as sphinx_logging

from .hygiene import FOLD

logger = sphinx_logging.getLogger(__name__)
TEMPLATES = Path(__file__).parent / "templates"
# What a page must hold to need a file that Sphinx and its extensions put on all pages.
NEEDED_BY = {
    "design-tabs.js": 'class="sd-',
    "sphinx-design.min.css": 'class="sd-',
    "togglebutton.js": "dropdown",
    "togglebutton.css": "dropdown",
    "clipboard.min.js": '<div class="highlight',
    "copybutton.js": '<div class="highlight',
    "copybutton.css": '<div class="highlight',
    "exercise.css": 'class="exercise',
    "mystnb.": 'class="cell',
}
LARGE = 4_000  # bytes of a PNG that is worth the work
LEVELS = 4  # of 255: a mean error that is seen in no drawing
NOISE = 0.2  # of the standard deviation: the mean error that is not seen in a picture of noise
INLINE = re.compile(r"(data:image/png;base64,)\s*([A-Za-z0-9+/=\s]{8000,})")
# How tall a section is, in rem, fitted to the pages at 1440 and 390 pixels: nine in ten are within a factor of 1.5.
SECTION, HEADING = re.compile(r"<(/?)section\b"), 4.4
TALL = {"<pre": 5.4, "=katex-display>": 2.8, "data-widget=": 25, "<p>": 1.3, "<li>": 0.2, "<h3>": 13}
# What a cell printed behind its button takes no room until it is opened.
FOLDED = re.compile(FOLD.pattern + ".*?</details>", re.DOTALL)
FIGURE = re.compile(r'<svg class="ddpm-figure"[^>]*?viewBox="0 0 ([\d.]+) ([\d.]+)"')
# The classes of names, punctuation and spaces, within code only: the arguments of a signature have them too.
CODE, PLAIN = (
    re.compile(r'<div class="highlight"><pre>.*?</pre>', re.DOTALL),
    re.compile(r'<span class="[npw]">([^<]*)</span>'),
)
NO_LETTERS = re.compile(r"<(pre|svg|table|script|math)\b.*?</\1>|<[^>]*>", re.DOTALL)
# The theme measures what scrolls, box by box, with a layout of the page for each; book.js does it.
MEASURING = re.compile(r"\.forEach\((\w)=>\{\1\.tabIndex=\1\.scrollWidth>[^}]*\}\)")
# This one stays ahead of the scripts within the page that use it.
AT_ONCE = "documentation_options.js"

STYLE, FONTS = Path("styles", "pydata-sphinx-theme.css"), Path("vendor", "fontawesome", "webfonts")
FACE = re.compile(r"@font-face\{[^}]*?/(fa-[\w-]+)\.woff2[^}]*\}")
ICON = re.compile(r"((?:\.fa-[\w-]+:before,)*\.fa-[\w-]+:before)\{content:\"\\([0-9a-f]+)\"\}")
# A class of an icon in a page, and a sign of the icon font in a style sheet.
USED, SIGN = re.compile(r"\bfa-([\w-]+)"), re.compile(r"\\([ef][0-9a-f]{3})\b|([\ue000-\uf8ff])")


def leave_out(app, pagename, templatename, context, doctree):
    """Take the scripts and style sheets out of a page that it has no use for, and let the rest wait for the text."""
    body = context.get("body", "")

    def used(file):
        name = (getattr(file, "filename", None) or "").rpartition("/")[2]
        return all(needs in body for start, needs in NEEDED_BY.items() if name.startswith(start))

    for kind in ("css_files", "script_files"):
        context[kind] = [file for file in context[kind] if used(file)]
    if pagename != "search":
        context["script_files"] = [waiting(script) for script in context["script_files"]]


def waiting(script):
    """The script as one that runs after the text is there; all pages share the object that Sphinx has of it."""
    name = getattr(script, "filename", None)
    if not name or name.endswith(AT_ONCE) or "async" in script.attributes:
        return script
    return type(script)(name, priority=script.priority, **(script.attributes | {"defer": "defer"}))


def estimate(section):
    """How tall the HTML of a section will be: rem, and letters of running text."""
    section = FOLDED.sub("", section)
    rows = HEADING + sum(tall * section.count(sign) for sign, tall in TALL.items())
    rows += sum(43 * float(height) / max(418, float(width)) for width, height in FIGURE.findall(section))
    return round(rows), len(NO_LETTERS.sub("", section))


def put_off(app, pagename, templatename, context, doctree):
    """Let the sections below a page's title wait until they are seen."""
    body, starts, depth, parts = context.get("body", ""), [], 0, []
    for mark in SECTION.finditer(body):
        if mark[1] and depth == 2:
            starts[-1] += (mark.start(),)
        depth += -1 if mark[1] else 1
        if not mark[1] and depth == 2:
            starts.append((mark.end(),))
    done = 0
    for begin, end in starts:
        rows, letters = estimate(body[begin:end])
        parts += [body[done:begin], f' style="--rows: {rows}; --letters: {letters}"']
        done = begin
    context["body"] = "".join([*parts, body[done:]])


def thin_code(app, pagename, templatename, context, doctree):
    """Write words of code that have the colour of all code without elements of their own."""
    context["body"] = CODE.sub(lambda code: PLAIN.sub(r"\1", code[0]), context.get("body", ""))


def measure_once(app, error):
    """Take the theme's measuring out of its script."""
    script = Path(app.outdir, "_static", "scripts", "pydata-sphinx-theme.js")
    if error is None and app.builder.format == "html" and script.is_file():
        text, found = MEASURING.subn("", script.read_text(encoding="utf8"))
        if not found:
            logger.warning("pydata-sphinx-theme.js: its measuring of boxes is not where it was")
        script.write_text(text, encoding="utf8")


def used_icons(pages, styles):
    """The names of the icons in the pages' classes, and the characters of icon fonts in style sheets."""
    names = {name for page in pages for name in USED.findall(page)}
    signs = {int(code or f"{ord(sign):x}", 16) for style in styles for code, sign in SIGN.findall(style)}
    return names, signs


def cut_font(font, characters, target):
    """Write a font of these characters only; returns whether there are any."""
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # KaTeX's fonts bear no date, which it finds worth a line
    with TTFont(font) as whole:
        characters = characters & set(whole.getBestCmap())
        if characters:
            cutter = subset.Subsetter(subset.Options(layout_features=[], notdef_outline=True))
            cutter.populate(unicodes=characters)
            cutter.subset(whole)
            whole.flavor = "woff"
            whole.save(target)
    return bool(characters)


def cut_icons(app, error):
    """Leave the icons in the built book that its pages use."""
    static = Path(app.outdir, "_static")
    sheet = static / STYLE
    if error is not None or app.builder.format != "html" or not sheet.is_file():
        return
    style = sheet.read_text(encoding="utf8")
    if not ICON.search(style):
        return
    pages = [page.read_text(encoding="utf8") for page in Path(app.outdir).rglob("*.html")]
    others = [file.read_text(encoding="utf8") for file in static.rglob("*.css") if "vendor" not in file.parts]
    names, signs = used_icons(pages, [*(text for text in others if text != style), ICON.sub("", style)])

    def keep(rule):
        if names & set(USED.findall(rule[1])):
            signs.add(int(rule[2], 16))
            return rule[0]
        return ""

    style = ICON.sub(keep, style)
    families = {}
    for face in FACE.finditer(style):
        target = sheet.parent / f"{face[1]}.woff"
        if cut_font(static / FONTS / f"{face[1]}.ttf", signs, target):
            families[face[1]] = target.name
    sources = re.compile(r"src:url\([^)]*?(fa-[\w-]+)\.woff2\)[^;}]*")
    style = FACE.sub(lambda face: face[0] if face[1] in families else "", style)
    style = sources.sub(lambda found: f'src:url({families[found[1]]}) format("woff")', style)
    sheet.write_text(style, encoding="utf8")
    shutil.rmtree(static / "vendor", ignore_errors=True)
    for script in (static / "scripts").glob("fontawesome.js*"):
        script.unlink()


def cut_formula_fonts(app, error):
    """Leave in the fonts of the formulas what the book's formulas and its scripts may need."""
    static = Path(app.outdir, "_static")
    sheet = static / "katex" / "katex.css"
    if error is not None or app.builder.format != "html" or not sheet.is_file():
        return
    texts = [page.read_text(encoding="utf8") for page in Path(app.outdir).rglob("*.html")]
    texts += [script.read_text(encoding="utf8") for script in (static / "cards").rglob("*.js")]
    characters = {ord(sign) for text in texts for sign in set(unescape(text))}
    fonts = sheet.parent / "fonts"
    for font in sorted(fonts.glob("*.woff2")):
        if cut_font(app.ddpm_typeset.katex / "fonts" / f"{font.stem}.ttf", characters, fonts / f"{font.stem}.woff"):
            font.unlink()
    style = sheet.read_text(encoding="utf8")
    cut = {font.stem for font in fonts.glob("*.woff")}
    source = re.compile(r"url\(fonts/([\w-]+)\.woff2\) format\(\"woff2\"\)")
    style = source.sub(lambda at: f'url(fonts/{at[1]}.woff) format("woff")' if at[1] in cut else at[0], style)
    sheet.write_text(style, encoding="utf8")


def shrink(png):
    """A PNG with 256 colours, or as it is where that could be seen or would not help."""
    if len(png) < LARGE:
        return png
    with Image.open(io.BytesIO(png)) as picture:
        if picture.mode == "P" or (picture.mode == "RGBA" and picture.getextrema()[3][0] < 255):
            return png
        plain = picture.convert("RGB")
    few = plain.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    error, spread = ImageStat.Stat(ImageChops.difference(plain, few.convert("RGB"))).mean, ImageStat.Stat(plain).stddev
    few.save(made := io.BytesIO(), "png", optimize=True)
    unseen = all(off <= max(LEVELS, NOISE * std) for off, std in zip(error, spread, strict=True))
    return made.getvalue() if unseen and len(made.getvalue()) < len(png) else png


def shrink_pictures(app, error):
    """Shrink the figures: the files, and the images within drawings and pages."""
    if error is not None or app.builder.format != "html":
        return
    for path in sorted(Path(app.outdir, "_images").glob("*.png")):
        path.write_bytes(shrink(path.read_bytes()))
    for path in sorted(Path(app.outdir).rglob("*.html")):
        text = path.read_text(encoding="utf8")
        smaller = INLINE.sub(lambda found: found[1] + b64encode(shrink(b64decode(found[2]))).decode(), text)
        if smaller != text:
            path.write_text(smaller, encoding="utf8")


def setup(app):
    app.connect("config-inited", lambda app, config: config.templates_path.append(str(TEMPLATES)))
    app.connect("html-page-context", leave_out, priority=900)
    app.connect("html-page-context", thin_code, priority=900)  # after names have become links
    app.connect("html-page-context", put_off, priority=900)
    app.connect("build-finished", cut_icons)
    app.connect("build-finished", measure_once)
    app.connect("build-finished", shrink_pictures)
    app.connect("build-finished", cut_formula_fonts)
