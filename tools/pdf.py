"""Make one PDF of the built book: `make book` first, then

    python tools/pdf.py                                     writes _build/ddpm-lite.pdf
    python tools/pdf.py --only 03_posterior --out OUT.pdf   a few chapters, to look at

Chromium prints one long page that holds every chapter. It prints twice, because only the first print tells on which
pages the chapters begin, and the contents say so.
"""

import os
import sys
from html import escape
from pathlib import Path

import forms
from bs4 import BeautifulSoup
from chromium import ARGUMENTS, find

STYLE = Path(__file__).with_name("pdf.css")
FONTS = Path(__file__).with_name("fonts").as_uri()
IN_EVERY_CHAPTER = {"Summary", "Exercises", "References", "Solutions"}  # the outline has them, the contents do not
COVER = forms.ROOT / "book" / "images" / "clothes.png"
# Style sheets that are left out: those for a screen, of the theme and its buttons, and the one for a chapter on paper.
OF_THE_THEME = ("styles/", "print.css", "togglebutton", "copybutton", "mystnb", "exercise.css", "sphinx-design")

# Formulas and tables that are wider than the column become smaller, as on a narrow screen.
FIT = """() => {
  // All widths are read before any size is written: one layout of the whole book, not one for each formula.
  const boxes = [...document.querySelectorAll(".katex-display, table")];
  const shares = boxes.map((box) => {
    const column = box.parentElement.clientWidth - (box.previousElementSibling?.matches(".eqno") ? 70 : 0);
    return (0.98 * column) / (box.matches("table") ? box : box.querySelector(".katex-html")).scrollWidth;
  });
  boxes.forEach((box, number) => {
    if (shares[number] < 0.98) {
      box.style.fontSize = `${Math.max(0.55, shares[number])}em`;
    }
  });
  return document.fonts.ready.then(() => true);
}"""
# The chapters in which something is wider than the column nevertheless.
TOO_WIDE = """() => [...document.querySelectorAll(".chapter")]
  .filter((chapter) => chapter.scrollWidth > chapter.clientWidth + 1).map((chapter) => chapter.id)"""
FILL = """(pages) => document.querySelectorAll(".contents [data-to]").forEach((place) => {
  place.textContent = pages[place.dataset.to] ?? "";
})"""


def prefix(chapter):
    """Make every id of a chapter one of the whole book."""
    mine = {tag["id"] for tag in chapter.article.find_all(id=True)}
    for tag in chapter.article.find_all(True):
        for name, value in list(tag.attrs.items()):
            if name == "id" or (name in ("aria-labelledby", "aria-describedby") and value in mine):
                tag[name] = f"{chapter.name}--{value}"
            elif name in ("href", "xlink:href") and tag.name != "a" and value[:1] == "#":
                tag[name] = f"#{chapter.name}--{value[1:]}"
            elif isinstance(value, str) and "url(#" in value:
                tag[name] = value.replace("url(#", f"url(#{chapter.name}--")


def drop_twins(article):
    """Each formula once, with its LaTeX as the text for those who cannot see it."""
    for formula in article.select(".katex"):
        source = formula.select_one("annotation")
        if formula.select_one(".katex-mathml") is None:
            continue
        visible = formula.select_one(".katex-html")
        del visible["aria-hidden"]
        visible["role"], visible["aria-label"] = "img", source.get_text() if source else formula.get_text()
        formula.select_one(".katex-mathml").decompose()


def write_contents(chapters):
    """The contents, with a place for each page's number."""
    lines = []

    def add(kind, target, words):
        lines.append(
            f'<li class="{kind}"><a href="#{target}">{words}</a><span class="dots"></span>'
            f'<span data-to="{target}"></span></li>'
        )

    for chapter in chapters:
        if chapter.part:
            lines.append(f'<li class="part">{escape(chapter.part)}</li>')
        add("chapter", chapter.name, chapter.article.h1.decode_contents())
        if chapter.name[:2].isdigit():
            for target, heading in chapter.sections():
                if forms.read_plainly(heading) not in IN_EVERY_CHAPTER:
                    add("section", target, heading.decode_contents())
    return f'<nav class="contents"><p class="heading">Contents</p><ul>{"".join(lines)}</ul></nav>'


def quote(text):
    """A text as a string of CSS."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def assemble(chapters, about, site):
    """The whole book as one page."""
    forms.point(chapters, lambda name, anchor, here: f"#{name}--{anchor}" if anchor else f"#{name}")
    heads = []
    for chapter in chapters:
        prefix(chapter)
        drop_twins(chapter.article)
        heads.append(f"@page p{chapter.name} {{ @top-right {{ content: {quote(chapter.title)}; }} }}")
    first = BeautifulSoup((site / "book" / "intro.html").read_text(encoding="utf8"), "html.parser")
    styles = [link["href"] for link in first.select("link[rel=stylesheet]")]
    used = [href for href in styles if not href.partition("_static/")[2].startswith(OF_THE_THEME)]
    if not any("widgets.css" in href for href in used):
        used.append("../_static/widgets/widgets.css")
    links = "".join(f'<link rel="stylesheet" href="{href}">' for href in used)
    where = f"<p>The pages, where the widgets move: {escape(about['address'])}</p>" if about["address"] else ""
    title = f"""<header class="cover"><p class="name">{about["name"]}</p><p class="title">{about["title"]}</p>
<img alt="Forty small pictures of clothes that a network drew" src="{COVER.as_uri()}">
<p class="author">{about["author"]}</p>
<p class="small">Version {about["version"]}, {about["year"]}. {about["licence"]}</p>{where}
<p class="small">Widgets are still figures here. Code that draws the figures, and the checks of the exercises, are in
the notebooks; the list of the package's names is on the pages.</p></header>"""
    body = "".join(
        f'<div class="chapter" id="{c.name}" style="page: p{c.name}">'
        f"{f'<p class=part-name>{escape(c.part)}</p>' if c.part else ''}{c.article}</div>"
        for c in chapters
    )
    style = STYLE.read_text(encoding="utf8").replace("FONTS", FONTS) + "".join(heads)
    return f"""<!doctype html><html lang="{forms.LANGUAGE}" data-theme="light" data-mode="light"><head>
<meta charset="utf-8">
<meta name="author" content="{escape(about["author"])}"><title>{escape(about["title"])}</title>{links}
<style>{style}</style></head><body class="bd-content">{title}
{write_contents(chapters)}{body}</body></html>"""


def print_twice(page_file, out):
    """Print the page, read where its parts begin, and print it with a contents that says so."""
    import pikepdf
    from playwright.sync_api import sync_playwright

    options = {"prefer_css_page_size": True, "print_background": True}
    asked = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 605, "height": 900})  # the column of pdf.css, 160 mm
        page.set_default_timeout(600_000)
        page.on("request", lambda request: asked.append(request.url))
        page.emulate_media(media="print", color_scheme="light", reduced_motion="reduce")
        page.goto(page_file.as_uri(), wait_until="load")
        page.evaluate(FIT)
        for name in page.evaluate(TOO_WIDE):
            print(f"pdf: {name}: something is wider than the column", file=sys.stderr)
        page.pdf(path=out, **options)
        with pikepdf.open(out) as first:
            number_of = {one.objgen: number for number, one in enumerate(first.pages, start=1)}
            pages = {name[1:]: number_of[place[0].objgen] for name, place in first.Root.Dests.items()}
        page.evaluate(FILL, pages)
        page.pdf(path=out, outline=True, tagged=True, **options)
        browser.close()
    elsewhere = [url for url in asked if not url.startswith(("file:", "data:"))]
    if elsewhere:
        raise RuntimeError(f"the book asks another host: {elsewhere[0]}")


def walk(item):
    """The entries of the outline from this one on, in the order of the book."""
    while item is not None:
        yield item
        if "/First" in item:
            yield from walk(item.First)
        item = item.get("/Next")


def finish(path, about, headings):
    """Say who wrote it and what it is about, which Chromium leaves out, mend the outline, and pack it.

    Chromium writes the words of a heading of several pieces or lines twice. It writes the tags, which say to a screen
    reader what is a heading, a table or a formula, as 135,000 objects of plain text: packed they take a tenth.

    Raises:
        RuntimeError: the outline does not hold every heading.
    """
    import pikepdf

    with pikepdf.open(path, allow_overwriting_input=True) as book:
        entries = list(walk(book.Root.Outlines.First))
        if len(entries) != len(headings):
            raise RuntimeError(f"the outline has {len(entries)} entries for {len(headings)} headings")
        for entry, heading in zip(entries, headings, strict=True):
            entry.Title = pikepdf.String(heading)
        # Readers show the title of the book and not the name of its file.
        book.Root.ViewerPreferences = pikepdf.Dictionary(DisplayDocTitle=True)
        book.docinfo["/Title"] = f"{about['name']}: {about['title']}"
        book.docinfo["/Author"] = about["author"]
        book.docinfo["/Subject"] = f"Version {about['version']}. {about['licence']}"
        book.save(path, object_stream_mode=pikepdf.ObjectStreamMode.generate)


def make(out, names=None, site=forms.SITE):
    """Write the PDF of all chapters, or of those that are named."""
    about = forms.find_about()
    page_file = site / "book" / f"_print-{os.getpid()}.html"  # beside the pages, whose files it names as they do
    chapters = forms.read_chapters(site, names=names)
    headings = [
        forms.read_plainly(tag) for chapter in chapters for tag in chapter.article.select("h1, h2, h3, h4, h5, h6")
    ]
    page_file.write_text(assemble(chapters, about, site), encoding="utf8")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        print_twice(page_file, out)
    finally:
        page_file.unlink(missing_ok=True)
    finish(out, about, headings)


if __name__ == "__main__":
    sys.exit(forms.run("pdf", __doc__, make))
