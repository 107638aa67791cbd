"""A mark beside each equation's number that leads to the code that checks it.

The checks are the entries of the lists CHECKS in tests/equations/ch02.py and its like (config value ddpm_checks), one
for each label: `identity("eq-snr")`, `definition("eq-noise", ...)`. The files are read, never run. The directive
`equation-checks` lists the checks, with the helpers that they name, on the page ddpm_checks_page; a check of a label
that the book does not have is a broken reference there, and so an error of the build.
"""

import ast
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

# As Sphinx writes a labelled display: the number is the first thing inside.
NUMBER = re.compile(r'(id="equation-(eq-[\w-]+)">\s*<span class="eqno">)')

# For kinds of check other than "read from the source": the mark, its name, and how the page says it.
SOURCE = ("✓", "Checked by machine, read from its source", "read from its source")
KINDS = {
    "by_hand": ("✓", "Checked by machine, from a copy", "checked by code written by hand"),
    "definition": ("≔", "Defines, or says something that is no formula", "a definition: held by a second copy"),
}


@dataclass(frozen=True)
class Entry:
    """The check of one label: what kind, where it stands, its code and the helpers that it names."""

    label: str
    kind: str
    place: str
    code: str

    @property
    def words(self):
        """The mark, its name, and how the page says it."""
        return KINDS.get(self.kind, SOURCE)


def read_checks(path):
    """(what the file is about, its entries in their order)."""
    text = path.read_text(encoding="utf8")
    tree, lines = ast.parse(text), text.splitlines()

    def code(node):
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        block = lines[first - 1 : node.end_lineno]
        return "\n".join(line[node.col_offset :] for line in block).rstrip(",")

    helpers = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            helpers[node.name] = node
        elif isinstance(node, ast.Assign):
            helpers |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
    listed = helpers.pop("CHECKS", None)
    calls = []
    for item in listed.value.elts if listed else []:
        # A list that is unpacked into CHECKS, as in [*FLOW, ...], is told item by item.
        calls += helpers.pop(item.value.id).value.elts if isinstance(item, ast.Starred) else [item]

    def named(node, seen):
        """The helpers that a piece of code names, those that they name first."""
        for name in [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]:
            if name in helpers and name not in seen:
                seen.append(name)
                named(helpers[name], seen)
        return seen

    entries = []
    for call in calls:
        needed = sorted(named(call, []), key=lambda name: helpers[name].lineno)
        parts = [code(helpers[name]) for name in needed] + [code(call)]
        place = f"{path.name}, line {call.lineno}"
        entries.append(Entry(call.args[0].value, call.func.id, place, "\n\n".join(parts)))
    about = (ast.get_docstring(tree) or path.stem).partition("\n")[0]
    about = about.removeprefix("Checks of ").removesuffix(".")
    return about[:1].upper() + about[1:], entries


def load(app):
    files = sorted(Path(app.confdir).glob(app.config.ddpm_checks))
    app.ddpm_checks = [read_checks(path) for path in files]
    app.ddpm_checks_by_label = {entry.label: entry for _, entries in app.ddpm_checks for entry in entries}


class EquationChecks(SphinxDirective):
    """Every check, under the number of its equation."""

    def run(self):
        app = self.env.app
        for path in Path(app.confdir).glob(self.config.ddpm_checks):
            self.env.note_dependency(str(path))
        said = Counter(entry.words[2] for entry in app.ddpm_checks_by_label.values())
        listed = "; ".join(f"{words}: {count}" for words, count in said.most_common())
        found = [nodes.paragraph("", f"Labelled equations: {said.total()}. {listed[:1].upper()}{listed[1:]}.")]
        for title, entries in app.ddpm_checks:
            section = nodes.section("", nodes.title("", title), ids=[nodes.make_id(title)], names=[])
            section += [self.shown(entry) for entry in entries]
            found.append(section)
        return found

    def shown(self, entry):
        mark, _, words = entry.words
        inline, messages = self.parse_inline(
            f"{mark} Equation {{eq}}`{entry.label}`, `{entry.label}`, {words} ({entry.place})"
        )
        box = nodes.container("", nodes.paragraph("", "", *inline, *messages), ids=[f"check-{entry.label}"])
        box += nodes.literal_block(entry.code, entry.code, language="python")
        return box


def mark(app, pagename, templatename, context, doctree):
    """Put the mark before the number of every equation that has a check."""
    page = app.config.ddpm_checks_page
    if page not in app.env.found_docs:
        return

    def with_mark(match):
        opening, label = match.groups()
        entry = app.ddpm_checks_by_label.get(label)
        if entry is None:
            return opening
        address = f"{app.builder.get_relative_uri(pagename, page)}#check-{label}"
        sign, name, _ = entry.words
        return f'{opening}<a class="eq-check" href="{address}" title="{name}" aria-label="{name}">{sign}</a> '

    context["body"] = NUMBER.sub(with_mark, context.get("body", ""))


def setup(app):
    app.add_config_value("ddpm_checks", "tests/equations/ch[0-9]*.py", "env")
    app.add_config_value("ddpm_checks_page", "book/checks", "html")
    app.add_directive("equation-checks", EquationChecks)
    app.connect("builder-inited", load)
    app.connect("html-page-context", mark)
