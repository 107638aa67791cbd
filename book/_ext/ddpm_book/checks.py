"""A mark beside each equation's number that leads to the code that checks it.

The checks are functions of one Python file (config value ddpm_checks), each under a decorator that
names the labels it holds for: `@check("eq-posterior-mean")`. The file is read, never run. The
directive `equation-checks` lists them on the page named by ddpm_checks_page; a check of a label that
the book does not have is a broken reference there, and so an error of the build.
"""

import ast
import re
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

LABEL = re.compile(r"eq-[\w-]+")
# As Sphinx writes a labelled display: the number is the first thing inside.
NUMBER = re.compile(r'(id="equation-(eq-[\w-]+)">\s*<span class="eqno">)')


def read_checks(path):
    """{label: source of its check} in the file's order."""
    text = path.read_text(encoding="utf8")
    found = {}
    for function in ast.parse(text).body:
        if isinstance(function, ast.FunctionDef):
            # The whole definition, its decorators included: they may say what the check reads.
            first = min([function.lineno, *(d.lineno for d in function.decorator_list)])
            source = "\n".join(text.splitlines()[first - 1 : function.end_lineno])
            for part in (node for d in function.decorator_list for node in ast.walk(d)):
                if isinstance(part, ast.Constant) and LABEL.fullmatch(str(part.value)):
                    found.setdefault(part.value, source)
    return found


def load(app):
    path = Path(app.confdir, app.config.ddpm_checks)
    app.ddpm_checks = read_checks(path) if path.is_file() else {}


class EquationChecks(SphinxDirective):
    """Every check, under the number of its equation."""

    def run(self):
        path = Path(self.env.app.confdir, self.config.ddpm_checks)
        self.env.note_dependency(str(path))
        entries = []
        for label, source in self.env.app.ddpm_checks.items():
            title, messages = self.parse_inline(f"Equation {{eq}}`{label}`, `{label}`")
            entry = nodes.container("", nodes.paragraph("", "", *title, *messages), ids=[f"check-{label}"])
            entry += nodes.literal_block(source, source, language="python")
            entries.append(entry)
        return entries


def mark(app, pagename, templatename, context, doctree):
    """Put the mark before the number of every equation that has a check."""
    page = app.config.ddpm_checks_page
    if page not in app.env.found_docs:
        return

    def with_mark(match):
        opening, label = match.groups()
        if label not in app.ddpm_checks:
            return opening
        address = f"{app.builder.get_relative_uri(pagename, page)}#check-{label}"
        name = "How this equation is checked"
        return f'{opening}<a class="eq-check" href="{address}" title="{name}" aria-label="{name}">✓</a> '

    context["body"] = NUMBER.sub(with_mark, context.get("body", ""))


def setup(app):
    app.add_config_value("ddpm_checks", "tests/test_equations.py", "env")
    app.add_config_value("ddpm_checks_page", "book/checks", "html")
    app.add_directive("equation-checks", EquationChecks)
    app.connect("builder-inited", load)
    app.connect("html-page-context", mark)
