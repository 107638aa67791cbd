"""Number equations by chapter: the third of book/02_forward_process.ipynb is (2.3), of notation (N.3).

Sphinx counts equations anew on every page, so that (3) would be a different one in each chapter. Figures and exercises
it counts by chapter, and those of all pages without a number in one row: the first figure of microddpm would be 5, and
is M.1.
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
    """Put a page's letter before the numbers of its figures and exercises where it has none, but on the first page."""
    for docname, kinds in env.toc_fignumbers.items():
        for numbers in kinds.values():
            if docname != app.config.root_doc and all(len(number) == 1 for number in numbers.values()):
                for place, name in enumerate(sorted(numbers, key=numbers.get), 1):
                    numbers[name] = (chapter(docname), place)
    return []


def setup(app):
    app.connect("env-get-updated", number_figures, priority=900)  # after Sphinx has counted
    app.connect("doctree-read", number)
