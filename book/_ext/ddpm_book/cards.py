"""What the cards show that open over a link: for each page a script with its equations, figures, terms and references.

assets/reading.js loads assets/cards.js when a reader first points at a link or focuses it, and that loads the script of
the page to which the link leads: a page opened as a file may not fetch another page. Nothing of it is loaded before.
"""

import html
import json
import re
from pathlib import Path

from docutils import nodes
from sphinx_exercise.nodes import exercise_node

FOLDER = "cards"
# In a card a formula is there for the eye and, as MathML, for the ear; its LaTeX is there for those who copy.
SOURCE = re.compile(r"<annotation.*?</annotation>", re.DOTALL)


def fragment(app, node):
    """HTML of a node; links within the book are only words in it, as their addresses hold on their own page only."""
    node = node.deepcopy()
    for link in list(node.findall(nodes.reference)):
        if link.get("internal") or not link.get("refuri"):
            link.replace_self(link.children)
    return app.builder.render_partial(node)["fragment"]


def first_paragraphs(app, node, count=1):
    return "".join(fragment(app, part) for part in list(node.findall(nodes.paragraph))[:count])


def collect(app, doctree):
    """{anchor: HTML} of what links of other pages may lead to."""
    found = {}
    for display in doctree.findall(nodes.math_block):
        if display.get("label") and display.get("number"):
            words = f"<p>Equation ({display['number']})</p>"
            found[f"equation-{display['label']}"] = words + fragment(app, without_number(display))
    for item in doctree.findall(nodes.definition_list_item):
        for term in item.findall(nodes.term):
            for anchor in term["ids"]:
                found[anchor] = f"<p><strong>{html.escape(term.astext())}</strong></p>" + first_paragraphs(app, item)
    for figure in doctree.findall(nodes.figure):
        if captions := list(figure.findall(nodes.caption)):
            for anchor in figure["ids"]:
                found[anchor] = f"<p>{html.escape(captions[0].astext())}</p>"
    for citation in doctree.findall(nodes.citation):
        for anchor in citation["ids"]:
            found[anchor] = first_paragraphs(app, citation)
    for exercise in doctree.findall(exercise_node):
        for anchor in exercise["ids"]:
            found[anchor] = first_paragraphs(app, exercise, 2)
    return {anchor: SOURCE.sub("", text) for anchor, text in found.items() if text}


def without_number(display):
    shown = display.deepcopy()
    shown["number"] = shown["label"] = None
    shown["ids"] = []
    return shown


def write_page(app, doctree, docname):
    if app.builder.format != "html" or app.builder.name != "html":
        return
    if found := collect(app, doctree):
        target = Path(app.outdir, "_static", FOLDER, f"{docname}.js")
        target.parent.mkdir(parents=True, exist_ok=True)
        text = f"ddpmCards.add({json.dumps(docname)}, {json.dumps(found, ensure_ascii=False)});\n"
        target.write_text(text, encoding="utf8")


def setup(app):
    app.connect("doctree-resolved", write_page, priority=900)
