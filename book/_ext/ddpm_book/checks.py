"""A mark beside each equation's number that leads to the code that checks it.

A check names the label it holds for: in a decorator (`@check("eq-snr")`), as a key of a dictionary
(`"eq-snr": ...`), or as the first argument of a call (`identity("eq-snr", ...)`). The files that hold
checks (config value ddpm_checks, a glob) are read, never run. The directive `equation-checks` lists
the checks on the page named by ddpm_checks_page; a check of a label that the book does not have is a
broken reference there, and so an error of the build.
"""

import ast
import re
import textwrap
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

LABEL = re.compile(r"eq-[\w-]+")
# As Sphinx writes a labelled display: the number is the first thing inside.
NUMBER = re.compile(r'(id="equation-(eq-[\w-]+)">\s*<span class="eqno">)')


def _is_label(node):
    return isinstance(node, ast.Constant) and LABEL.fullmatch(str(node.value)) is not None


def _entries(tree):
    """(label, first line, last line) for everything in a file that names a label."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            # The decorators are shown too: they may say what the check reads.
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            for part in (part for d in node.decorator_list for part in ast.walk(d)):
                if _is_label(part):
                    yield part.value, first, node.end_lineno
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if _is_label(key):
                    yield key.value, key.lineno, value.end_lineno
        elif isinstance(node, ast.Call) and node.args and _is_label(node.args[0]):
            yield node.args[0].value, node.lineno, node.end_lineno


def read_checks(paths):
    """{label: source of its check}, in the files' order; of two that name a label, the larger."""
    found = {}
    for path in paths:
        text = path.read_text(encoding="utf8")
        for label, first, last in sorted(_entries(ast.parse(text)), key=lambda e: (e[1], -e[2])):
            lines = text.splitlines()[first - 1 : last]
            found.setdefault(label, textwrap.dedent("\n".join(lines)))
    return found


def load(app):
    app.ddpm_checks = read_checks(sorted(Path(app.confdir).glob(app.config.ddpm_checks)))


class EquationChecks(SphinxDirective):
    """Every check, under the number of its equation."""

    def run(self):
        for path in Path(self.env.app.confdir).glob(self.config.ddpm_checks):
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
    app.add_config_value("ddpm_checks", "tests/equations/ch*.py", "env")
    app.add_config_value("ddpm_checks_page", "book/checks", "html")
    app.add_directive("equation-checks", EquationChecks)
    app.connect("builder-inited", load)
    app.connect("html-page-context", mark)
