"""Make an EPUB 3 of the built book: `make book` first, then

    python tools/epub.py                    writes _build/ddpm-lite.epub

Formulas are the MathML that KaTeX wrote into the pages. There is no script, and nothing is fetched.
"""

import base64
import hashlib
import io
import re
import sys
import time
import zipfile
from html import escape
from pathlib import Path
from urllib.parse import unquote

import forms
from bs4 import NavigableString

from ddpm_lite.viz.palette import PALETTE

STYLE = Path(__file__).with_name("epub.css")
PICTURES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "svg": "image/svg+xml"}
XHTML = "application/xhtml+xml"
MATHML, SVG, XLINK = "http://www.w3.org/1998/Math/MathML", "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# XML tells capitals from small letters, and the parser of HTML wrote small ones.
CAPITALS = {
    name.lower(): name
    for name in re.findall(
        r"\w+",
        """
    viewBox preserveAspectRatio clipPath clipPathUnits linearGradient radialGradient gradientUnits gradientTransform
    markerWidth markerHeight markerUnits refX refY textPath textLength lengthAdjust patternUnits patternTransform
    pathLength foreignObject stdDeviation feGaussianBlur maskUnits spreadMethod""",
    )
}
COLOUR = re.compile(r"var\(--ddpm-(\w+)(?:, *var\([^)]*\)|,[^()]*)?\)")
ALLOWED_ROLES = {"img", "math", "doc-toc"}
PAGE = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"
 lang="{language}" xml:lang="{language}">
<head><meta charset="utf-8"/><title>{title}</title><link rel="stylesheet" href="book.css"/></head>
<body>{body}</body></html>
"""
CONTAINER = """<?xml version="1.0" encoding="utf-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
<rootfile full-path="EPUB/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>
"""


def write_maths(article):
    """Each formula once, as MathML that holds its LaTeX."""
    for formula in article.select(".katex"):
        math = formula.select_one(".katex-mathml > math")
        if math is None:
            continue
        source = math.select_one("annotation")
        math["xmlns"] = MATHML
        math["alttext"] = " ".join(source.get_text().split())
        # Some readers show the annotation beside the formula.
        source.decompose()
        display = formula.find_parent(class_="katex-display")
        if display is not None:
            math["display"] = "block"
        formula.replace_with(math.extract())


def paint(text):
    """Put the colours for a white ground in place of the palette's names: not every reader of books knows those."""
    return COLOUR.sub(lambda found: PALETTE[found[1]].light, text)


def write_svg(article):
    """Make drawings XML: their name space, the capitals of their names, and colours."""
    for drawing in article.select("svg"):
        drawing["xmlns"] = SVG
        for tag in [drawing, *drawing.find_all(True)]:
            tag.name = CAPITALS.get(tag.name, tag.name)
            tag.attrs = {
                CAPITALS.get(name, name): paint(value) if isinstance(value, str) else value
                for name, value in tag.attrs.items()
            }
            if "xlink:href" in tag.attrs:
                drawing["xmlns:xlink"] = XLINK
        for tag in drawing.select("metadata"):
            tag.decompose()
        for tag in drawing.select("style"):
            tag.string = paint(tag.get_text())


def take_picture(image, page_folder, files):
    """Put a picture into the book, and let the page name it there."""
    source = image["src"]
    if source.startswith("data:"):
        head, _, text = source.partition(",")
        content = base64.b64decode(text) if ";base64" in head else unquote(text).encode()
        ending = re.match(r"data:image/(\w+)", head)[1]
        name = f"{hashlib.sha256(content).hexdigest()[:20]}.{ending}"
    else:
        path = page_folder / unquote(source)
        content, name = path.read_bytes(), path.name
    name = f"images/{'p' if name[0].isdigit() else ''}{name}"
    files[name] = content
    image["src"] = name
    for attribute in ("loading", "align", "decoding"):
        del image[attribute]
    for attribute in ("width", "height"):
        if attribute in image.attrs and not image[attribute].isdigit():
            del image[attribute]


def make_valid(article):
    """What HTML allows and XHTML does not, or what means nothing in a book."""
    for tag in article.find_all(True):
        for name in list(tag.attrs):
            if name.startswith(("data-", "on")) or name in ("align", "valign", "border", "tabindex", "aria-live"):
                del tag[name]
        if tag.get("role") and tag["role"] not in ALLOWED_ROLES:
            del tag["role"]
        if tag.get("aria-label") and tag.get("role") != "img" and tag.name != "a":
            del tag["aria-label"]
        if tag.name == "span" and tag.attrs == {} and not tag.contents:
            tag.extract()
    for target in article.select("a[id], span[id]"):
        if not re.match(r"[A-Za-z_]", target["id"]):
            del target["id"]
    for words in article.find_all(string=re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")):
        words.replace_with(NavigableString(re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f]", "", words)))


def draw_cover(about):
    """The cover as PNG: the title over the clothes that a network drew."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    with plt.rc_context({"font.family": "DejaVu Serif"}):
        figure = plt.figure(figsize=(6, 9), dpi=200, facecolor="#ffffff")
        head, _, tail = about["title"].partition(", ")
        figure.text(0.5, 0.88, about["name"], ha="center", size=15, family="DejaVu Sans Mono", color="#222832")
        figure.text(
            0.5, 0.72, head.replace(" models", "\nmodels"), ha="center", size=28, weight="bold", color="#222832"
        )
        figure.text(0.5, 0.66, tail, ha="center", size=21, color="#1450c4")
        axes = figure.add_axes((0.08, 0.24, 0.84, 0.36))
        axes.imshow(plt.imread(forms.ROOT / "book" / "images" / "clothes.png"), cmap="gray", interpolation="nearest")
        axes.set_axis_off()
        figure.text(0.5, 0.12, about["author"], ha="center", size=14, color="#48566b")
        content = io.BytesIO()
        figure.savefig(content, metadata={"Software": None})
        plt.close(figure)
    return content.getvalue()


def write_nav(chapters):
    """The table of contents that readers of books show."""
    items, part = [], None
    for chapter in chapters:
        if chapter.part:
            items.append("</ol></li>" * (part is not None) + f"<li><span>{escape(chapter.part)}</span><ol>")
            part = chapter.part
        sections = chapter.sections() if chapter.name[:2].isdigit() else []
        below = "".join(
            f'<li><a href="{chapter.name}.xhtml#{target}">{escape(forms.read_plainly(heading))}</a></li>'
            for target, heading in sections
        )
        below = f"<ol>{below}</ol>" * bool(below)
        items.append(f'<li><a href="{chapter.name}.xhtml">{escape(chapter.title)}</a>{below}</li>')
    items.append("</ol></li>" * (part is not None))
    return f'<nav epub:type="toc" id="toc" role="doc-toc"><h1>Contents</h1><ol>{"".join(items)}</ol></nav>'


def write_package(about, chapters, files, with_maths, with_drawings):
    """The list of all files, their order, and who wrote the book."""
    entries = ['<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>']
    entries.append('<item id="style" href="book.css" media-type="text/css"/>')
    entries.append('<item id="cover" href="cover.png" media-type="image/png" properties="cover-image"/>')
    entries.append(f'<item id="front" href="front.xhtml" media-type="{XHTML}"/>')
    for chapter in chapters:
        properties = ["mathml"] * (chapter.name in with_maths) + ["svg"] * (chapter.name in with_drawings)
        said = f' properties="{" ".join(properties)}"' if properties else ""
        entries.append(f'<item id="c{chapter.name}" href="{chapter.name}.xhtml" media-type="{XHTML}"{said}/>')
    for number, name in enumerate(sorted(files)):
        kind = PICTURES[name.rpartition(".")[2]]
        entries.append(f'<item id="picture{number}" href="{name}" media-type="{kind}"/>')
    spine = "".join(f'<itemref idref="c{chapter.name}"/>' for chapter in chapters)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    summary = "Formulas are MathML with their LaTeX as alternative text, and every figure says what it shows."
    return f"""<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" xml:lang="{forms.LANGUAGE}">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:identifier id="id">urn:ddpm-lite:{about["version"]}</dc:identifier>
<dc:title>{escape(about["name"])}: {escape(about["title"])}</dc:title>
<dc:creator>{escape(about["author"])}</dc:creator><dc:language>{forms.LANGUAGE}</dc:language>
<dc:rights>{escape(about["licence"])}</dc:rights><meta property="dcterms:modified">{stamp}</meta>
<meta property="schema:accessMode">textual</meta><meta property="schema:accessMode">visual</meta>
<meta property="schema:accessibilityFeature">MathML</meta>
<meta property="schema:accessibilityFeature">alternativeText</meta>
<meta property="schema:accessibilityFeature">tableOfContents</meta>
<meta property="schema:accessibilityHazard">none</meta>
<meta property="schema:accessibilitySummary">{summary}</meta>
<meta name="cover" content="cover"/></metadata>
<manifest>{"".join(entries)}</manifest>
<spine><itemref idref="front"/><itemref idref="nav"/>{spine}</spine></package>
"""


def make(out, names=None, site=forms.SITE):
    """Write the EPUB of all chapters, or of those that are named."""
    about, chapters = forms.find_about(), forms.read_chapters(site, names=names)

    def address(name, anchor, here):
        file = "" if name == here else f"{name}.xhtml"
        return f"{file}#{anchor}" if anchor else f"{name}.xhtml"

    forms.point(chapters, address)
    files, pages, with_maths, with_drawings = {}, {}, set(), set()
    nav = write_nav(chapters)
    for chapter in chapters:
        article = chapter.article
        for picture in article.select(".front-picture"):  # beside the cards of the map, which are a list here
            picture.decompose()
        write_maths(article)
        make_valid(article)
        write_svg(article)
        for image in article.select("img"):
            take_picture(image, site / "book", files)
        if article.select_one("math"):
            with_maths.add(chapter.name)
        if article.select_one("svg"):
            with_drawings.add(chapter.name)
        pages[chapter.name] = PAGE.format(
            language=forms.LANGUAGE, title=escape(chapter.title), body=article.decode_contents()
        )
    words = f"""<section class="front"><img src="cover.png" alt="Cover: {escape(about["title"])}"/>
<p>{escape(about["licence"])} Version {about["version"]}, {about["year"]}.</p>
<p>Widgets are still figures here. Code that draws the figures, and the checks of the exercises, are in the
notebooks.</p>
</section>"""
    text = {
        "EPUB/book.opf": write_package(about, chapters, files, with_maths, with_drawings),
        "EPUB/nav.xhtml": PAGE.format(language=forms.LANGUAGE, title="Contents", body=nav),
        "EPUB/front.xhtml": PAGE.format(language=forms.LANGUAGE, title=escape(about["title"]), body=words),
        "EPUB/book.css": paint(STYLE.read_text(encoding="utf8")),
    } | {f"EPUB/{name}.xhtml": page for name, page in pages.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        # First and as it is: readers tell a book by these bytes.
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        archive.writestr("META-INF/container.xml", CONTAINER)
        for name, content in text.items():
            archive.writestr(name, content)
        archive.writestr("EPUB/cover.png", draw_cover(about))
        for name, content in files.items():
            archive.writestr(f"EPUB/{name}", content)


if __name__ == "__main__":
    sys.exit(forms.run("epub", __doc__, make))
