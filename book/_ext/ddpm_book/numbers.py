"""Number equations by chapter: the third of book/02_forward_process.ipynb is (2.3), of notation (N.3).

Sphinx counts anew on every page, so that (3) would be a different equation in each chapter.
"""

from docutils import nodes


def chapter(docname):
    """The number that a chapter's file begins with, or the first letter of another page."""
    name = docname.rpartition("/")[2]
    first = name.partition("_")[0]
    return str(int(first)) if first.isdigit() else name[0].upper()


def number(app, doctree):
    """Put the chapter before the number of every display that has one."""
    equations = app.env.get_domain("math").equations
    for display in doctree.findall(nodes.math_block):
        if display.get("number"):
            display["number"] = f"{chapter(app.env.docname)}.{display['number']}"
            equations[display["label"]] = (app.env.docname, display["number"])


def setup(app):
    app.connect("doctree-read", number)
