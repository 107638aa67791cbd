"""What a page says to those who are not reading it yet: search engines, other sites, and readers of a wrong link.

Each page has a description, its first paragraph, and a picture for links. An address is given only where the project
names one (addresses.py): then there are also a site map, and a page for wrong links that works from any depth.
"""

import re
from html import escape
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from docutils import nodes
from sphinx import addnodes

LONGEST = 300  # characters of a description; what is longer is cut after a sentence or a word
IMAGES = ("favicon.svg", "favicon.png", "preview.png")
PREVIEW = "Five pictures from noise to a boot, and the title of the book: How diffusion models work, line by line"
LOST = """<section id="not-found"><h1>There is no page here</h1>
<p>The address may be mistyped, or the page may have moved. Search the book, or choose a chapter.</p>
<form class="bd-search d-flex align-items-center" action="{search}" method="get" role="search">
<label class="visually-hidden" for="lost-words">Search the book</label>
<input type="search" class="form-control" name="q" id="lost-words" placeholder="Search the book">
<button type="submit" class="lost-search">Search</button></form>
<ul class="lost-map">{links}</ul></section>"""
# What index.html repeats of the first page's head.
KEPT = re.compile(
    r"<title>.*?</title>|<meta (?:name|property)=\"(?:description|og:|twitter:)[^>]*>"
    r"|<link rel=\"(?:icon|canonical)\"[^>]*>"
)
LINK = re.compile(r'(?P<name>\b(?:href|src|action|data-content_root)=")(?P<link>[^"]*)"')
# LaTeX as a sentence without formulas would have it.
PLAIN = (
    (r"\\(?:text|mathrm|mathbf|mathcal|operatorname)\{([^}]*)\}", r"\1"),
    (r"\\bar\{?\\alpha\}?", "alpha-bar"),
    (r"[\\{}$]", ""),
)


def plain(node):
    """The words of a paragraph; a formula is written in plain letters."""
    if isinstance(node, nodes.math):
        text = node.astext()
        for pattern, words in PLAIN:
            text = re.sub(pattern, words, text)
        return text
    if isinstance(node, nodes.Text):
        return node.astext()
    return "".join(plain(child) for child in node.children)


def shorten(text):
    """The text in one line, cut after a sentence, or else after a word, where it is too long."""
    text = " ".join(text.split())
    if len(text) <= LONGEST:
        return text
    cut = text[:LONGEST]
    end = max(cut.rfind(". "), cut.rfind("? "), cut.rfind("! "))
    return cut[: end + 1] if end > LONGEST // 3 else cut.rpartition(" ")[0] + " …"


def describe(doctree):
    """The first paragraph of a page."""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section | nodes.container) and (words := plain(paragraph).strip()):
            return shorten(words)
    for paragraph in doctree.findall(addnodes.desc_content):
        return shorten(plain(paragraph))
    return ""


def tags(app, pagename, context, description):
    """The tags of the page's head."""
    home, resource = app.config.html_baseurl, context["pathto"]
    picture = (
        urljoin(home, "_static/reach/preview.png") if home else resource("_static/reach/preview.png", resource=True)
    )
    title = re.sub(r"<[^>]+>", "", context.get("title", ""))
    properties = {
        "og:type": "book" if pagename == app.config.root_doc else "article",
        "og:site_name": context["docstitle"],
        "og:title": title,
        "og:description": description,
        "og:image": picture,
        "og:image:width": "1200",
        "og:image:height": "630",
        "og:image:alt": PREVIEW,
    }
    if home:
        properties["og:url"] = urljoin(home, app.builder.get_target_uri(pagename))
    names = {"description": description, "twitter:card": "summary_large_image"}
    made = [f'<meta name="{name}" content="{escape(text)}">' for name, text in names.items() if text]
    return made + [f'<meta property="{name}" content="{escape(text)}">' for name, text in properties.items() if text]


def add_tags(app, pagename, templatename, context, doctree):
    """A short name for the book, the icons, and the tags of a page."""
    context["docstitle"] = app.config.html_title.partition(":")[0]  # the rest is the title of the first page
    icon = [context["pathto"](f"_static/reach/favicon.{kind}", resource=True) for kind in ("svg", "png")]
    made = [
        f'<link rel="icon" type="image/png" sizes="32x32" href="{icon[1]}">',
        f'<link rel="icon" type="image/svg+xml" sizes="any" href="{icon[0]}">',
    ]
    if pagename == "404":
        app.add_css_file("front.css")
    if pagename in ("book/api", "search"):
        app.add_css_file("reference.css")
    if doctree is not None:
        made += tags(app, pagename, context, describe(doctree))
    elif pagename in ("404", "search", "genindex"):
        made.append('<meta name="robots" content="noindex">')
    context["metatags"] = context.get("metatags", "") + "\n".join(["", *made, ""])


def add_lost_page(app):
    """The page that a server shows for a wrong link."""
    uri = app.builder.get_target_uri
    pages = [app.config.root_doc, *app.env.toctree_includes.get(app.config.root_doc, [])]
    links = ""
    for name in pages:
        number = ".".join(map(str, app.env.toc_secnumbers.get(name, {}).get("", ())))
        words = f"{number}. {app.env.titles[name].astext()}" if number else app.env.titles[name].astext()
        links += f'<li><a href="{uri(name)}">{escape(words)}</a></li>'
    yield "404", {"title": "Page not found", "body": LOST.format(search="search.html", links=links)}, "page.html"


def finish(app, error):
    """What is written when all pages are there: index.html, the site map, and links of the 404 page from the root."""
    if error is not None or app.builder.format != "html":
        return
    out, home = Path(app.outdir), app.config.html_baseurl
    first = app.builder.get_target_uri(app.config.root_doc)
    if first != "index.html" and (out / first).is_file():
        page = (out / first).read_text(encoding="utf8")
        (out / "index.html").write_text(redirect(page, first), encoding="utf8")
    if not home:
        return
    (out / "sitemap.xml").write_text(site_map(app), encoding="utf8")
    lost = out / "404.html"
    if lost.is_file():
        lost.write_text(root_links(lost.read_text(encoding="utf8"), urlsplit(home).path or "/"), encoding="utf8")


def redirect(page, name):
    """The page at the book's address: it leads to the first page, and has what others show of that."""
    up = name.count("/")  # the first page's relative links begin with as many "../"
    kept = [tag.replace("../" * up, "", 1) if up else tag for tag in KEPT.findall(page)]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Refresh" content="0; url={name}">',
            *kept,
            f'</head><body><p><a href="{name}">Open the book</a></p></body></html>',
            "",
        ]
    )


def site_map(app):
    """Every page of the book, for search engines."""
    home, pages = app.config.html_baseurl, sorted(app.env.found_docs)
    urls = [f"<url><loc>{escape(urljoin(home, app.builder.get_target_uri(name)))}</loc></url>" for name in pages]
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">',
            *urls,
            "</urlset>",
            "",
        ]
    )


def root_links(page, root):
    """The page with links that begin at the root of the server, since it is shown at any depth."""

    def absolute(found):
        link = found["link"]
        if re.match(r"[a-z]+:|/|#", link) or (not link and found["name"].startswith(("href", "src"))):
            return found[0]
        return f'{found["name"]}{root}{link.removeprefix("./")}"'

    return LINK.sub(absolute, page)


def add_files(app):
    folder = Path(app.doctreedir) / "ddpm_reach"
    (folder / "reach").mkdir(parents=True, exist_ok=True)
    for name in IMAGES:
        picture = Path(app.confdir) / "book" / "images" / name
        if picture.is_file():
            (folder / "reach" / name).write_bytes(picture.read_bytes())
    app.config.html_static_path.append(str(folder))


def setup(app):
    app.connect("builder-inited", add_files)
    app.connect("html-page-context", add_tags)
    app.connect("html-collect-pages", add_lost_page)
    app.connect("build-finished", finish)
