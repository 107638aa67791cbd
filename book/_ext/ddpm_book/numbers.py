"""Number equations by chapter: the third of book/02_forward_process.ipynb is (2.3), of notation (N.3).

Sphinx counts equations anew on every page, so that (3) would be a different one in each chapter. Figures it counts by
chapter, and those of all pages without a number in one row: the first of microddpm would be Figure 5, and is M.1.
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


def number_figures(app, env):
    """Put a page's letter before the numbers of its figures where it has no number; the first page has none before."""
    for docname, kinds in env.toc_fignumbers.items():
        figures = kinds.get("figure", {})
        if docname != app.config.root_doc and all(len(number) == 1 for number in figures.values()):
            for place, name in enumerate(sorted(figures, key=figures.get), 1):
                figures[name] = (chapter(docname), place)
    return []


def setup(app):
    app.connect("env-get-updated", number_figures, priority=900)  # after Sphinx has counted
    app.connect("doctree-read", number)
