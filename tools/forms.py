"""The chapters of the book as the PDF and the EPUB take them: from the built pages, without what only a screen can do.

Formulas, numbers, boxes and figures are therefore the same in every form. A widget is its still figure, folded code and
the checks of exercises stay in the notebooks, and solutions come at the end of their chapter.
"""

import argparse
import copy
import re
import shutil
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "_build" / "html"
LANGUAGE = "en-GB"
OFFER = re.compile(r'<p class="other-forms"[^>]*>.*?</p>', re.DOTALL)
NAMES = {"pdf": "ddpm-lite.pdf", "epub": "ddpm-lite.epub"}

# What does nothing on paper or in a reader of books. A figure that is SVG keeps its style.
DEAD = (
    "script, :not(svg) > style, button, input, select, textarea, label, output, canvas, video, audio, iframe, "
    "template, noscript, link, .headerlink, .toctree-wrapper, .screen-only, .cell.tag_check, "
    ".cell > details:not(:has(.cell_output)), .cell > details .cell_input, .cell > details > summary, .front-press, "
    ".front-panel details, .citation > .label"
)

# Names and signatures, which one searches on a screen, and what a reader did in the pages, which a script says there.
ON_SCREEN = {"api", "progress"}


@dataclass
class Chapter:
    """A page of the book: the name of its file, the part it opens (or ""), and its content."""

    name: str
    part: str
    article: object

    @property
    def title(self):
        """Its heading as plain text, with its number."""
        return read_plainly(self.article.h1)

    def sections(self):
        """(id, heading) of what is directly below the title."""
        return [(heading.parent["id"], heading) for heading in self.article.select("h2") if heading.parent.get("id")]


def read_plainly(tag):
    """The text of a heading, formulas as they look."""
    tag = copy.copy(tag)
    for hidden in tag.select(".katex-mathml, .headerlink"):
        hidden.decompose()
    return " ".join(tag.get_text().split())


def find_about(root=ROOT):
    """Title, author, version, licences, and the address of the pages or None."""
    settings = yaml.safe_load((root / "_config.yml").read_text(encoding="utf8"))
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf8"))["project"]
    name, _, title = settings["title"].partition(": ")
    return {
        "name": name,
        "title": title[:1].upper() + title[1:],
        "author": settings["author"],
        "year": str(settings["copyright"]),
        "version": project["version"],
        "address": project.get("urls", {}).get("Documentation"),
        "licence": "Code under the MIT licence, text and figures under CC BY 4.0.",
    }


def list_pages(root=ROOT):
    """The pages of _toc.yml in its order, without ON_SCREEN: (the part that the page opens, or ""; its document)."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf8"))
    listed = [("", toc["root"])]
    for part in toc["parts"]:
        files = [entry["file"] for entry in part["chapters"] if Path(entry["file"]).stem not in ON_SCREEN]
        listed += zip([part["caption"], *[""] * (len(files) - 1)], files, strict=True)
    return listed


def read_chapters(site=SITE, root=ROOT, names=None):
    """Every page that the forms hold, or those that are named.

    Raises:
        FileNotFoundError: the pages are not built.
    """
    chapters = []
    for part, document in list_pages(root):
        path = site / f"{document}.html"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there: `make book` builds it")
        if names is None or path.stem in names:
            page = BeautifulSoup(path.read_text(encoding="utf8"), "html.parser")
            chapters.append(Chapter(path.stem, part, prepare(page.select_one("article.bd-article"), page)))
    return chapters


def prepare(article, page):
    """Take out of a page what is dead elsewhere, and put its solutions at the end."""
    name_typos(article, page)
    for tag in article.select(DEAD):
        if not tag.decomposed:
            tag.decompose()
    for widget in article.select("[data-widget]"):
        widget.attrs = {"class": ["widget"]}
    for cell in article.select(".cell"):
        if not cell.get_text(strip=True) and not cell.select_one("img, svg, table"):
            cell.decompose()
    for tag in article.select("#exercise-content, #solution-content"):
        tag.name = "div"
        del tag["id"]
    for tag in article.select("[tabindex]"):
        del tag["tabindex"]
    for fold in article.select("details"):
        fold.name = "div"
        del fold["open"]
    for words in article.select("summary"):
        words.name = "p"
    move_solutions(article, page)
    return article


def name_typos(article, page):
    """Put the words of each typo of the first page, which are the labels of its buttons, above what it does."""
    for box in article.select(".front-typos"):
        labels = [" ".join(label.get_text().split()) for label in box.select("label")]
        for words, panel in zip(labels, box.select(".front-panel"), strict=True):
            name = page.new_tag("p", attrs={"class": "front-typo"})
            name.string = f"{words}."
            panel.insert(0, name)
        box.fieldset.decompose()


def move_solutions(article, page):
    """A section of its own for the solutions, and a link to each from its exercise."""
    solutions = article.select(".solution")
    if not solutions:
        return
    section = page.new_tag("section", id="solutions")
    heading = page.new_tag("h2")
    heading.string = "Solutions"
    section.append(heading)
    for solution in solutions:
        solution["class"] = [name for name in solution["class"] if name != "dropdown"]
        section.append(solution.extract())
        target = solution.select_one(".admonition-title a[href^='#']")
        exercise = article.find(id=target["href"][1:]) if target and solution.get("id") else None
        if exercise is not None:
            link = page.new_tag("a", href=f"#{solution['id']}")
            link.string = "Solution"
            words = page.new_tag("p", attrs={"class": "to-solution"})
            words.append(link)
            exercise.append(words)
    article.section.append(section)


def point(chapters, address):
    """Rewrite the links between pages; `address(name, anchor, here)` gives the new one, and "" takes a link away."""
    anchors = {chapter.name: {tag["id"] for tag in chapter.article.find_all(id=True)} for chapter in chapters}
    for chapter in chapters:
        for link in chapter.article.select("a[href]"):
            href = link["href"]
            if re.match(r"[a-z]+:", href):
                continue
            file, _, anchor = href.partition("#")
            name = Path(file).stem if file else chapter.name
            target = "" if file and not file.endswith(".html") else name
            if target in anchors:
                link["href"] = address(name, anchor if anchor in anchors[name] else "", chapter.name)
            else:
                link.unwrap()


def offer(site=SITE):
    """Link the forms that were made from the foot of every page; those that are not there are not named."""
    made = [name for name in NAMES.values() if (site / name).is_file()]
    for path in sorted(site.glob("book/*.html")):
        text = path.read_text(encoding="utf8")
        links = " and ".join(f'<a href="../{name}">{name.rpartition(".")[2].upper()}</a>' for name in made)
        said = (
            f'<p class="other-forms">The whole book as {links}.</p>' if made else '<p class="other-forms" hidden></p>'
        )
        better = OFFER.sub(said, text)
        if better != text:
            path.write_text(better, encoding="utf8")


def run(kind, about, make, arguments=None):
    """The command that makes one form: `make(out, names)` writes it, and the pages then link to it.

    Returns:
        The exit status: 1 if the pages are not built, or a form that is not whole was made.
    """
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these chapters")
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / NAMES[kind])
    options = parser.parse_args(arguments)
    start = time.monotonic()
    try:
        make(options.out.resolve(), options.only)
    except (FileNotFoundError, RuntimeError) as error:
        print(f"{kind}: {error}", file=sys.stderr)
        return 1
    if options.only is None:
        shutil.copy(options.out, SITE / NAMES[kind])
        offer()
    size = options.out.stat().st_size / 1e6
    print(f"{kind}: {options.out}: {size:.1f} MB in {time.monotonic() - start:.0f} s")
    return 0
