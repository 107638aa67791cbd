"""The appendix made of docstrings, and links to it: `q_sample` in a chapter leads to how it is called.

Signatures are shown as the source has them, with names of shapes written out: X is Float[Tensor, "batch *shape"].
A label in a docstring, (eq-forward-closed), becomes the number of that equation and leads to it; a label that the book
does not have is an error of the build. A documented name becomes a link wherever it is inline code, and where a cell
imports it. In a table's column that another library heads, the same name is that library's, and on a page whose own
code makes it, it is that code's, so it becomes no link; elsewhere the role {theirs}`sample` says so.
"""

import ast
import inspect
import re
import sys
import textwrap
from pathlib import Path

from docutils import nodes

LABELS = re.compile(r"\((eq-[\w-]*\w(?:, eq-[\w-]*\w)*)\)")
ALGORITHM = re.compile(r"\((alg-[\w-]*\w)\)")
CODE = re.compile(r"`([^`]+)`")
# As Pygments writes "from ddpm_lite import q_sample, q_step", and one name of it.
IMPORT = re.compile(r'<span class="nn">ddpm_lite[\w.]*</span>.*?import</span>(?:[^\n(]*\([^)]*\)|[^\n]*)', re.DOTALL)
NAME = re.compile(r'<span class="n">(\w+)</span>')
# As Sphinx writes the arguments of a long signature: a list of definitions that define nothing.
ARGUMENTS = re.compile(r'<dl>\s*((?:<dd><em class="sig-param.*?</dd>\s*)+)</dl>', re.DOTALL)
# What a docstring says of an error, which begins with the error's name or with several names.
ERROR = r"(?:\w+\.)*[A-Z]\w*"
RAISES = re.compile(rf"(?:^|(?<=[.;] ))({ERROR}(?:, {ERROR})*): ")
CALL = re.compile(r"(?:ddpm_lite\.)?([\w.]+)(?:\(\))?")
# A name that the code of a page makes.
MADE = re.compile(r"^(?:def |class )(\w+)|^(\w+) = ", re.MULTILINE)
# What heads a column of names that are not ours.
THEIRS = re.compile(r"theirs?\b.*|diffusers|denoising-diffusion-pytorch|smalldiffusion|azula|PyTorch")


class WrittenOut(ast.NodeTransformer):
    """Puts what a module's names of types stand for in their place."""

    def __init__(self, names):
        self.names = names

    def visit_Name(self, node):
        return self.visit(self.names[node.id]) if node.id in self.names else node

    def written(self, annotation):
        """An annotation that can be read; one that is quoted as a whole loses its quotes."""
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = ast.parse(annotation.value, mode="eval").body
        return self.visit(annotation)


def parsed(thing):
    return ast.parse(textwrap.dedent(inspect.getsource(thing))).body


def names_of_types(module):
    """{"X": what it stands for} for the assignments of a module that hold a type, and for those that it imports."""
    found, nodes = {}, parsed(module)
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module.startswith("ddpm_lite."):
            theirs = names_of_types(sys.modules[node.module])
            found |= {alias.name: theirs[alias.name] for alias in node.names if alias.name in theirs}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp):
            found |= {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
    return found


def source_of_signature(thing):
    """(arguments, what is returned or None) as ast nodes; the fields of a dataclass are its arguments."""
    (node,) = parsed(thing)
    if isinstance(node, ast.FunctionDef):
        return node.args, node.returns
    made = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
    if made:
        return made[0].args, None
    fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
    given = [ast.arg(arg=field.target.id, annotation=field.annotation) for field in fields]
    defaults = [field.value for field in fields if field.value is not None]
    return ast.arguments([], given, None, [], [], None, defaults), None


def show_signature(app, what, name, thing, options, signature, returned):
    """What autodoc should print: the source's own words instead of what the types look like when they run."""
    if what not in ("function", "method", "class"):
        return None
    thing = inspect.unwrap(thing)
    arguments, returns = source_of_signature(thing)
    types = WrittenOut(names_of_types(sys.modules[thing.__module__]))
    if what != "function" and arguments.args and arguments.args[0].arg == "self":
        arguments.args = arguments.args[1:]
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
        if argument.annotation is not None:
            argument.annotation = types.written(argument.annotation)
    shown = ast.unparse(types.written(returns)) if returns is not None else None
    return f"({ast.unparse(arguments)})", shown


def list_errors(lines):
    """Give each error of a docstring one line, because napoleon takes every line of the section for another error."""
    if "Raises:" not in lines:
        return lines
    start = lines.index("Raises:") + 1
    end = next((k for k in range(start, len(lines)) if lines[k] and not lines[k].startswith(" ")), len(lines))
    before, *found = RAISES.split(" ".join(line.strip() for line in lines[start:end] if line.strip()))
    if before.strip():
        raise ValueError(f"Raises: expected 'Name: when', got {before!r}")
    errors = [f"    {name}: {when.strip()}" for name, when in zip(found[::2], found[1::2], strict=True)]
    return [*lines[:start], *errors, "", *lines[end:]]


def show_docstring(app, what, name, thing, options, lines):
    """Our docstrings are plain text with `code` and labels; what reStructuredText would read into them is escaped."""

    def plain(text):
        text = re.sub(r"([*|]|_(?=\W|$))", r"\\\1", text)
        # The number of an equation brings its parentheses.
        text = LABELS.sub(lambda match: ", ".join(f":eq:`{label}`" for label in match[1].split(", ")), text)
        return ALGORITHM.sub(r"(:ref:`algorithm <\1>`)", text)

    if what == "module":  # what is set off there is a table
        text = "\n".join(lines)
        lines[:] = re.sub(r"\n\n(?=    )", "\n\n::\n\n", text).split("\n")
    lines[:] = list_errors(lines)
    for number, line in enumerate(lines):
        if what == "module" and line.startswith("    "):
            continue
        parts = CODE.split(line)  # text, code, text, ...
        shown = [f"``{part}``" if odd % 2 else plain(part) for odd, part in enumerate(parts)]
        lines[number] = "".join(shown)
    if what == "property":  # napoleon would take the words before its first colon for a type
        app.env.temp_data["ddpm_property"] = lines[:]
        lines.clear()


def give_back(app, what, name, thing, options, lines):
    """What was kept from napoleon."""
    if what == "property":
        lines[:] = app.env.temp_data.pop("ddpm_property")


def find_address(app, docname, name):
    """Where a class or function is described, seen from a page; None if it is not."""
    for full, entry in app.env.get_domain("py").objects.items():
        if entry.objtype in ("class", "function") and full.rpartition(".")[2] == name:
            return f"{app.builder.get_relative_uri(docname, entry.docname)}#{entry.node_id}"
    return None


def find_around(node, *kinds):
    """The nearest of these kinds that the node lies in, or None."""
    while node is not None and not isinstance(node, kinds):
        node = node.parent
    return node


def is_theirs(code):
    """Whether the code is marked as another library's, or is in a column of names of one."""
    if "theirs" in code["classes"]:
        return True
    cell = find_around(code, nodes.entry)
    head = next(find_around(cell, nodes.tgroup).findall(nodes.thead), None) if cell else None
    return bool(head) and bool(THEIRS.fullmatch(head[0][cell.parent.index(cell)].astext().strip()))


def mark_theirs(name, rawtext, text, lineno, inliner, options=None, content=()):
    """The role of inline code that is another library's, although a function of ours may have the same name."""
    return [nodes.literal(rawtext, text, classes=["theirs"])], []


def list_own(doctree):
    """The names that the code of a page itself makes; ours of the same name are not meant there."""
    blocks = doctree.findall(nodes.literal_block)
    return {name for block in blocks for pair in MADE.findall(block.astext()) for name in pair}


def link_code(app, doctree, docname):
    """Make every inline `name` of what is documented a link to its entry, unless it is part of a link or a heading."""
    own = list_own(doctree)
    for code in list(doctree.findall(nodes.literal)):
        match = CALL.fullmatch(code.astext())
        free = match and find_around(code, nodes.reference, nodes.title) is None and not is_theirs(code)
        free = free and match[1] not in own
        address = find_address(app, docname, match[1]) if free else None
        if address:
            link = nodes.reference("", "", internal=True, refuri=address, classes=["api"])
            code.replace_self(link)
            link += code


def finish_page(app, pagename, templatename, context, doctree):
    """Link the names that cells import from the package; make plain lines of a signature's arguments."""

    def linked(match):
        address = find_address(app, pagename, match[1])
        return f'<a class="api" href="{address}">{match[0]}</a>' if address else match[0]

    def lines(match):
        return match[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")

    body = IMPORT.sub(lambda found: NAME.sub(linked, found[0]), context.get("body", ""))
    context["body"] = ARGUMENTS.sub(lines, body)


def find_package(app, config):
    """The package that lies beside the book is the one that is described."""
    if (Path(app.confdir) / "ddpm_lite").is_dir():
        sys.path.insert(0, str(app.confdir))


def setup(app):
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("sphinx.ext.napoleon")
    app.add_role("theirs", mark_theirs)
    app.connect("config-inited", find_package)
    app.connect("autodoc-process-signature", show_signature)
    app.connect("autodoc-process-docstring", show_docstring, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", give_back, priority=600)
    app.connect("doctree-resolved", link_code)
    app.connect("html-page-context", finish_page)
