"""What the book's first page is made of, besides text.

`front-walk` shows a recorded walk from noise to an image, with a slider and a button; `equation-typos` shows what the
tests answer to typos in a formula of the book; `chapter-map` has a card for each chapter, with the question that opens
it and its minutes; `cite-book` is an entry for a bibliography. All of it is taken from its source while the book is
built, so nothing is typed twice. The directives hold Markdown, so that the notebook can be read in Jupyter too.
"""

import json
import re
import sys
from html import escape
from pathlib import Path

import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

MINUTES = re.compile(r"about (\d+) minutes to read")
TYPO = re.compile(r"^- (?P<words>.+): `(?P<name>[^`]+)`$")
PLAYER = """<div class="front-player pst-js-only">
<canvas class="front-canvas" width="1" height="1" role="img" aria-label="{words}"></canvas>
<div class="front-slide">
<button type="button" class="front-play" aria-label="Play"><span aria-hidden="true"></span></button>
<input type="range" min="0" max="{last}" value="0" aria-label="Time, from noise to image" aria-valuetext="t = {first}">
<output>t = {first}</output>
</div>
<button type="button" class="front-back" hidden>Back to the boot</button>
</div>"""
DRAW = '<button type="button" class="front-draw pst-js-only">Watch it draw clothes here</button>'
STATUS = '<p class="front-status" role="status"></p>'


class FrontWalk(SphinxDirective):
    """The walk of a record: what its paragraphs are is told by what they hold, an image, a link, or words only.

    Options:
        record: a JSON file with the `times` of the pictures in `sheet`.
        sheet: a PNG of square pictures, ten in a row.
    """

    has_content = True
    option_spec = {"record": str, "sheet": str}

    def run(self):
        times = json.loads(self.read("record"))["times"]
        self.read("sheet")
        box = nodes.container(classes=["front-walk"])
        self.state.nested_parse(self.content, self.content_offset, box)
        parts, lead = {}, None
        for part in list(box.children):
            image = next(part.findall(nodes.image), None)
            link = len(part) == 1 and isinstance(part[0], nodes.reference | addnodes.pending_xref)
            kind = "still" if image is not None else "press" if link else "note" if lead else "lead"
            part["classes"].append(f"front-{kind}")
            parts[kind], lead = part, True
        player = PLAYER.format(words="An image at each time of the walk", last=len(times) - 1, first=times[0])
        box.insert(1, nodes.raw("", player, format="html"))
        parts["press"].insert(0, nodes.raw("", DRAW, format="html"))
        box.append(nodes.raw("", STATUS, format="html"))
        from ddpm_lite.data import FASHION_WORDS

        sheet = f"front/{Path(self.options['sheet']).name}"
        data = f'<div class="front-data" data-sheet="{sheet}" data-times="{json.dumps(times)}" '
        data += f'data-kinds="{escape(json.dumps(FASHION_WORDS))}" hidden></div>'
        box.append(nodes.raw("", data, format="html"))
        return [box]

    def read(self, option):
        """The bytes of the file that an option names, relative to the page."""
        _, path = self.env.relfn2path(self.options[option])
        self.env.note_dependency(path)
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise self.error(f"{option}: {error}") from error


def find_equations(root):
    """The package of the tests that read the book's formulas."""
    for folder in ("tools", "tests"):
        if str(root / folder) not in sys.path:
            sys.path.insert(0, str(root / folder))
    from equations import checks, corruptions, source, symbols

    return checks, corruptions, source, symbols


def ask_checks(root, label):
    """What the test of a formula answers: {name of a typo: (its LaTeX, the answer)}, the book's own under "".

    An answer is (kind of error, message), or None where the formula holds.
    """
    checks, corruptions, source, _ = find_equations(root)
    book = {display.label: display.tex for display in source.in_book() if display.label}
    check = next(check for check in checks.collected("CHECKS") if check.label == label)

    def answer(tex):
        try:
            check.run({**book, label: tex})
        except checks.WRONG as error:
            return type(error).__name__, str(error)
        return None

    typos = {"": book[label]} | dict(corruptions.corruptions(book[label]))
    return {name: (tex, answer(tex)) for name, tex in typos.items()}


def mark_change(symbols, right, wrong):
    """The LaTeX of `wrong` with what differs from `right` in the colour of an error."""
    old, new = symbols.tokens(right), symbols.tokens(wrong)
    start = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), 0)
    end = next((i for i, (a, b) in enumerate(zip(old[:start:-1], new[:start:-1], strict=False)) if a != b), 0)
    changed = new[start : len(new) - end]
    depth = [sum((t == "{") - (t == "}") for t in changed[:i]) for i in range(len(changed) + 1)]
    if not changed or depth[-1] or min(depth) < 0:
        return " ".join(new)
    return " ".join([*new[:start], r"{\color{#b00020}", *changed, "}", *new[len(new) - end :]])


class EquationTypos(SphinxDirective):
    """A formula of the book, typos to choose from, and what the tests answer to each.

    The argument is the formula's label; the content is a list, `- words: name of a typo`, with names as those that
    tests/equations/corruptions.py gives.
    """

    has_content = True
    required_arguments = 1

    def run(self):
        (label,), root = self.arguments, Path(self.env.app.confdir)
        for path in [*root.glob("tests/equations/*.py"), *root.glob("book/[0-9]*.ipynb")]:
            self.env.note_dependency(str(path))
        answers, symbols = ask_checks(root, label), find_equations(root)[3]
        right = answers[""][0]
        chosen = [("Nothing: as it is in the book", "")]
        for line in self.content:
            found = TYPO.match(line)
            if not found or found["name"] not in answers:
                raise self.error(f"no typo of {label}: {line!r}")
            chosen.append((found["words"], found["name"]))
        radios, panels = [], []
        for number, (words, name) in enumerate(chosen):
            tex, answer = answers[name]
            shown = mark_change(symbols, right, tex) if name else right
            checked = " checked" if number == 0 else ""
            radios.append(
                f'<label><input type="radio" name="front-typo" value="{number}"{checked}> {escape(words)}</label>'
            )
            formula = self.env.app.ddpm_typeset(shown, display=True)
            formula = f'<div class="math notranslate">{formula}</div>'
            panels.append(f'<div class="front-panel">{formula}{judge(answer)}</div>')
        noticed = sum(answer is not None for _, answer in answers.values())
        html = (
            '<div class="front-typos"><fieldset><legend>What do you change?</legend>'
            f'{"".join(radios)}</fieldset><div class="front-panels" aria-live="polite">{"".join(panels)}</div></div>'
        )
        made, every = len(answers) - 1, len(self.env.app.ddpm_checks_by_label)
        noticed = "all of them" if noticed == made else noticed
        words = (
            f"This is equation {{eq}}`{label}`. By the rules of the tests, {made} small typos can be made in it, and "
            f"its check notices {noticed}. How each of the book's {every} labelled equations is checked is told on the "
            "page of {doc}`checks </book/checks>`."
        )
        inline, messages = self.parse_inline(words)
        return [nodes.raw("", html, format="html"), nodes.paragraph("", "", *inline, *messages)]


def judge(answer):
    """The words of an answer, as HTML."""
    if answer is None:
        return '<p class="front-verdict holds"><b>✓ The check passes.</b> The formula holds at every time.</p>'
    kind, message = answer
    short = message.rpartition(": ")[2]
    return (
        f'<p class="front-verdict fails"><b>✗ The check fails:</b> {escape(short)}.</p>'
        f"<details><summary>All that the check says</summary><code>{escape(kind)}: {escape(message)}</code></details>"
    )


class ChapterMap(SphinxDirective):
    """A card for each chapter and a line of appendices; they are filled in when every page has been read."""

    def run(self):
        return [ChapterMapPlace()]


class ChapterMapPlace(nodes.General, nodes.Element):
    """Where the cards come."""


def chapters(app):
    """(the numbered pages of the book, the other ones), in reading order."""
    pages = list(app.env.toctree_includes.get(app.config.root_doc, []))
    numbered = [name for name in pages if re.match(r"\d", name.rpartition("/")[2])]
    return numbered, [name for name in pages if name not in numbered]


def as_html(app, parts):
    """Words and formulas as HTML, without links."""
    html = []
    for part in parts:
        if isinstance(part, nodes.math):
            formula = app.ddpm_typeset(part.astext(), display=False)
            html.append(f'<span class="math notranslate">{formula}</span>')
        else:
            html.append(escape(part.astext(), quote=False))
    return "".join(html)


def opening_question(app, doctree):
    """The first question of a chapter's first paragraph, as HTML."""
    paragraph = next(doctree.findall(nodes.paragraph))
    parts = []
    for part in paragraph.children:
        if isinstance(part, nodes.Text) and "?" in part:
            parts.append(nodes.Text(part.partition("?")[0] + "?"))
            break
        if isinstance(part, addnodes.pending_xref) and parts:
            # "..., as in Figure 10.1?": a card has no figure, so its question ends before that clause.
            parts[-1] = nodes.Text(parts[-1].astext().rpartition(",")[0])
            continue
        parts.append(part)
    sentences = as_html(app, parts)
    return re.split(r"(?<=[.!])\s+(?=[A-Z])", sentences)[-1]


def card(app, builder, page, docname, number):
    """One chapter: its picture, title, question and minutes."""
    doctree = app.env.get_doctree(docname)
    title = as_html(app, app.env.titles[docname].children)
    minutes = MINUTES.search(doctree.astext())
    if minutes is None:
        raise ExtensionError(f"{docname}: no minutes to read in its box")
    link = builder.get_relative_uri(page, docname)
    picture = Path(app.confdir) / "book" / "images" / "thumbnails" / f"{docname.rpartition('/')[2]}.svg"
    inside = picture.read_text(encoding="utf8") if picture.is_file() else ""
    return (
        f'<li class="front-card"><div class="front-picture" aria-hidden="true">{inside}</div>'
        f'<div><a href="{link}"><span class="front-number">{number}</span> {title}</a>'
        f"<p>{opening_question(app, doctree)}</p>"
        f'<p class="front-minutes">{minutes[1]} minutes</p></div></li>'
    )


def fill_map(app, doctree, docname):
    """Put the cards into their place."""
    for place in list(doctree.findall(ChapterMapPlace)):
        numbered, others = chapters(app)
        cards = [card(app, app.builder, docname, name, number) for number, name in enumerate(numbered, 1)]
        links = [
            f'<a href="{app.builder.get_relative_uri(docname, name)}">{as_html(app, app.env.titles[name].children)}</a>'
            for name in others
        ]
        html = f'<ol class="front-map">{"".join(cards)}</ol><p class="front-others">Appendices: {", ".join(links)}.</p>'
        place.replace_self(nodes.raw("", html, format="html"))


def read_map_again(app, env):
    """A page with cards shows what is on other pages: it is written whenever one of them is read."""
    return [name for name, page in env.metadata.items() if page.get("ddpm_front")]


class CiteBook(SphinxDirective):
    """An entry in BibTeX, from CITATION.cff."""

    def run(self):
        path = Path(self.env.app.confdir) / "CITATION.cff"
        self.env.note_dependency(str(path))
        cited = yaml.safe_load(path.read_text(encoding="utf8"))
        authors = " and ".join(f"{{{author['name']}}}" for author in cited["authors"])
        fields = {"author": authors, "title": f"{{{cited['title']}}}", "year": self.config.copyright[:4]}
        fields |= {"version": cited["version"]} | {key: cited[key] for key in ("url", "doi") if key in cited}
        lines = [f"  {name:8}= {{{value}}}," for name, value in fields.items()]
        entry = "\n".join(["@software{ddpm-lite,", *lines, "}"])
        return [nodes.literal_block(entry, entry, language="bibtex")]


def note_front(app, doctree):
    """A page with the walk is the first page: it needs no second list of its headings, and has room without it."""
    if any("front-walk" in box["classes"] for box in doctree.findall(nodes.container)):
        app.env.metadata[app.env.docname] |= {"ddpm_front": "1", "html_theme.sidebar_secondary.remove": "1"}


def add_files(app):
    """The sheet of pictures: a script paints from it, so it is no picture of the page."""
    folder = Path(app.doctreedir) / "ddpm_front"
    images = Path(app.confdir) / "book" / "images"
    target = folder / "front"
    target.mkdir(parents=True, exist_ok=True)
    for name in ("shoe.png",):
        if (images / name).is_file():
            (target / name).write_bytes((images / name).read_bytes())
    app.config.html_static_path.append(str(folder))


def add_scripts(app, pagename, templatename, context, doctree):
    if app.env.metadata.get(pagename, {}).get("ddpm_front"):
        app.add_css_file("front.css")
        app.add_js_file("front.js", loading_method="defer")


def setup(app):
    app.add_node(ChapterMapPlace)
    app.add_directive("front-walk", FrontWalk)
    app.add_directive("equation-typos", EquationTypos)
    app.add_directive("chapter-map", ChapterMap)
    app.add_directive("cite-book", CiteBook)
    app.connect("builder-inited", add_files)
    app.connect("doctree-read", note_front)
    app.connect("env-updated", read_map_again)
    app.connect("doctree-resolved", fill_map)
    app.connect("html-page-context", add_scripts)
