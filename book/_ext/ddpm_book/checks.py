"""A mark beside each equation's number that leads to the code that checks it.

The checks are the entries of the lists CHECKS in tests/equations/ch02.py and its like (config value ddpm_checks), one
for each label: `identity("eq-snr")`, `definition("eq-noise", ...)`. The files are read, never run; what the checks
answered is stored beside them (ddpm_answers). The directive `equation-checks ch02` shows the checks of that file, each
under its formula, with the helpers that it names; `equation-checks` without a name counts all. A check of a label that
the book does not have is a broken reference there, and so an error of the build.
"""

import ast
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

# As Sphinx writes a labelled display: the number is the first thing inside.
NUMBER = re.compile(r'(id="equation-(eq-[\w-]+)">\s*<span class="eqno">)(?=\(([\w.]+)\))')

# For kinds of check other than "read from the source": the mark, its name, and how the page says it.
SOURCE = ("✓", "Checked by machine, read from its source", "read from its source")
KINDS = {
    "by_hand": ("✓", "Checked by machine, from a copy", "checked by code written by hand"),
    "definition": ("≔", "Defines, or says something that is no formula", "a definition: held by a second copy"),
}


@dataclass(frozen=True)
class Entry:
    """The check of one label: what kind, in which file and line, its code and the helpers that it names."""

    label: str
    kind: str
    file: str
    line: int
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
        entries.append(Entry(call.args[0].value, call.func.id, path.stem, call.lineno, "\n\n".join(parts)))
    about = (ast.get_docstring(tree) or path.stem).partition("\n")[0]
    about = about.removeprefix("Checks of ").removesuffix(".")
    return about[:1].upper() + about[1:], entries


def load(app):
    """Read the checks and what they answered."""
    files = sorted(Path(app.confdir).glob(app.config.ddpm_checks))
    app.ddpm_checks = {path.stem: read_checks(path) for path in files}
    app.ddpm_checks_by_label = {entry.label: entry for _, entries in app.ddpm_checks.values() for entry in entries}
    answers = Path(app.confdir, app.config.ddpm_answers)
    app.ddpm_answers = json.loads(answers.read_text(encoding="utf8")) if answers.is_file() else {}


def plural(count, word):
    """`1 equality`, `2 equalities`."""
    return f"{count} {word}" if count == 1 else f"{count} {word.removesuffix('y')}ies"


def answer(found):
    """What a check answered, in one sentence or two."""
    words = []
    if found.get("links"):
        proved = f", {found['proved']} of them proved by computer algebra as well" if found.get("proved") else ""
        verb = "holds" if found["links"] == 1 else "hold"
        if found["links"] == 1 and proved:
            proved = ", and is proved by computer algebra as well"
        words.append(f"{plural(found['links'], 'equality')} {verb}{proved}.")
    if made := found.get("typos"):
        rest = made - found["noticed"]
        harmless = " The rest leave it true." if rest else ""
        words.append(f"Of {made} deliberate errors, {found['noticed'] if rest else 'all'} are noticed.{harmless}")
    return " ".join(words)


class Formula(nodes.Element):
    """The place of the formula with this label, until all pages are read."""


class EquationChecks(SphinxDirective):
    """The checks of one file, each with its formula; without a name, how many checks there are of each kind."""

    optional_arguments = 1

    def run(self):
        app = self.env.app
        for path in [*Path(app.confdir).glob(self.config.ddpm_checks), Path(app.confdir, self.config.ddpm_answers)]:
            self.env.note_dependency(str(path))
        if self.arguments:
            pages = self.env.ddpm_checks_pages = getattr(self.env, "ddpm_checks_pages", {})
            pages[self.arguments[0]] = self.env.docname
            return [self.shown(entry) for entry in app.ddpm_checks[self.arguments[0]][1]]
        said = Counter(entry.words[2] for entry in app.ddpm_checks_by_label.values())
        listed = "; ".join(f"{words}: {count}" for words, count in said.most_common())
        return [nodes.paragraph("", f"Labelled equations: {said.total()}. {listed[:1].upper()}{listed[1:]}.")]

    def shown(self, entry):
        mark, _, words = entry.words
        title, messages = self.parse_inline(f"{mark} Equation {{eq}}`{entry.label}`, {words}")
        title = nodes.paragraph("", "", *title, *messages, classes=["check-title"])
        box = nodes.container("", title, Formula(label=entry.label), ids=[f"check-{entry.label}"], classes=["check"])
        if words := answer(self.env.app.ddpm_answers.get(entry.label, {})):
            box += nodes.paragraph("", words, classes=["check-answer"])
        box += nodes.literal_block(entry.code, entry.code, language="python")
        place = f"{entry.label}, {entry.file}.py, line {entry.line}"
        box += nodes.paragraph("", place, classes=["check-place"])
        return box


def show_formulas(app, doctree, docname):
    """Put the formulas into the pages of checks: those of the chapters, without their numbers."""
    equations = app.env.get_domain("math").equations
    for place in list(doctree.findall(Formula)):
        label = place["label"]
        shown = [
            nodes.math_block(display.astext(), display.astext(), number=None, nowrap=display.get("nowrap"))
            for display in app.env.get_doctree(equations[label][0]).findall(nodes.math_block)
            if display.get("label") == label
        ] if label in equations else []  # fmt: skip
        place.replace_self(shown)


def merge_pages(app, env, docnames, other):
    """Sphinx may read the pages in several processes."""
    env.ddpm_checks_pages = getattr(env, "ddpm_checks_pages", {}) | getattr(other, "ddpm_checks_pages", {})


def mark(app, pagename, templatename, context, doctree):
    """Put the mark before the number of every equation whose check is on a page."""
    pages = getattr(app.env, "ddpm_checks_pages", {})

    def with_mark(match):
        opening, label, number = match.groups()
        entry = app.ddpm_checks_by_label.get(label)
        if entry is None or entry.file not in pages:
            return opening
        address = f"{app.builder.get_relative_uri(pagename, pages[entry.file])}#check-{label}"
        sign, name, _ = entry.words
        return f'{opening}<a class="eq-check" href="{address}" title="{name}" aria-label="{number}: {name}">{sign}</a> '

    context["body"] = NUMBER.sub(with_mark, context.get("body", ""))


def setup(app):
    app.add_config_value("ddpm_checks", "tests/equations/ch[0-9]*.py", "env")
    app.add_config_value("ddpm_answers", "tests/equations/answers.json", "env")
    app.add_directive("equation-checks", EquationChecks)
    app.connect("builder-inited", load)
    app.connect("doctree-resolved", show_formulas)
    app.connect("env-merge-info", merge_pages)
    app.connect("html-page-context", mark)
