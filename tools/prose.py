"""Look for what makes the book's sentences stumble, and count how long they are and how long they take to read.

    python tools/prose.py                              all pages, with a table, and the words of the code
    python tools/prose.py book/08_training.ipynb ...   only these
    python tools/prose.py --write [...]                set the minutes in the box of each chapter

A page's Markdown is read with the parser that also renders the book, so code, options of directives and displayed maths
are no prose, and a formula in a line is one word. Our phrases and numbers are in tools/prose.toml: each finding names
the page, the cell, the words, and what to say instead. Captions, alternative texts, and the comments and strings of
code cells are searched for phrases too, but not counted.

proselint searches the same sentences for what every English text should avoid: doubled words, archaisms, malapropisms,
words that do not exist, redundancies. Only those of its checks are used: others ask for curly quotes, forbid "very"
or a paragraph that starts with "But", which are matters of taste. Vale would do the same with its own rules, but it is
a binary that its package on PyPI downloads when it first runs; proselint is plain Python, pinned like the rest.
"""

import argparse
import ast
import io
import json
import re
import sys
import tokenize
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml
from markdown_it import MarkdownIt
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.front_matter import front_matter_plugin
from mdit_py_plugins.myst_blocks import myst_block_plugin
from mdit_py_plugins.myst_role import myst_role_plugin

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = Path(__file__).with_suffix(".toml")
# Code whose comments and strings are read; tests are not: they quote what is wrong.
CODE = (
    "ddpm_lite/**/*.py",
    "ddpm_lite/viz/js/**/*.js",
    "book/_ext/**/*.py",
    "studies/**/*.py",
    "tools/*.py",
    "benchmarks/*.py",
)
OTHERS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "ddpm_lite/pretrained/*.md", "benchmarks/*.md")

READ = (".ipynb", ".md", ".py", ".js")
FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
WIDEST = 72  # columns of visible code: what fits beside both sidebars
# A section of a file that a page lists line by line, so it is as wide as the file.
LISTING = re.compile(r"# --- \d\. ")
FORMULA = "X"  # what a formula, a piece of code or a reference counts as: one word
HEAD = ("\x02", "\x03")  # around bold text: a sentence that is all bold is a heading that runs on, and not counted
WORD = re.compile(r"\w(?:[\w'’.,-]*\w)?")
# The end of a sentence: not before a small letter, nor after an abbreviation or an initial.
END = re.compile(r"(?<=[.!?])[\"')\]*\x03”]*\s+(?![a-z])")
ABBREVIATED = re.compile(r"(?:\b(?:e\.g|i\.e|et al|etc|cf|vs|ca|Fig|Eq|Eqs|Sec|pp?)|\b(?!X\b)[A-Z])\.[\"')\]*\x03]*$")
SCRIPT = re.compile(r"(?<!:)//(.*)$|\"([^\"\n]*)\"|`([^`]*)`", re.MULTILINE)
MINUTES = re.compile(r"\*\*Time(?::\*\*|\*\*:) (?:about )?[\w ]+? minutes to read")
PROSELINT = (
    "archaism",
    "cliches",
    "hedging",
    "lexical_illusions",
    "malapropisms",
    "mondegreens",
    "nonwords",
    "redundancy",
)


@dataclass
class Block:
    """A paragraph, or another piece of text that is read by itself."""

    cell: int
    text: str
    counted: bool = True  # False for headings, table cells and what stands outside the text


@dataclass
class Page:
    """What was found on one page; the numbers are of its Markdown."""

    path: Path
    blocks: list = field(default_factory=list)
    equations: int = 0
    exercises: int = 0
    visible_cells: int = 0
    wide: list = field(default_factory=list)  # (cell, line) of visible code, in cells and text, that a page would break

    @property
    def is_chapter(self):
        return bool(re.match(r"\d\d_", self.path.name))

    @property
    def is_page(self):
        """False for what is read beside the book: its lines of code wrap where they are shown."""
        return self.path.suffix == ".ipynb" or "book" in self.path.parts

    @property
    def is_text(self):
        """False for code, of which only comments and strings are read."""
        return self.path.suffix in (".md", ".ipynb")

    @property
    def sentences(self):
        """Number of words of each sentence."""
        split = [sentence for block in self.blocks if block.counted for sentence in sentences(block.text)]
        whole = [sentence for sentence in split if not re.fullmatch(r"\x02[^\x03]*\x03\W*", sentence)]
        return [len(WORD.findall(sentence)) for sentence in whole]

    @property
    def words(self):
        return sum(len(WORD.findall(block.text)) for block in self.blocks if block.counted)

    @property
    def mean(self):
        lengths = self.sentences
        return sum(lengths) / len(lengths) if lengths else 0.0

    @property
    def long(self):
        """The share of sentences of more than 35 words."""
        lengths = self.sentences
        return sum(length > 35 for length in lengths) / len(lengths) if lengths else 0.0

    @property
    def minutes(self):
        """How long the chapter takes, from its counts (tools/prose.toml)."""
        rule = settings()["minutes"]
        whole = (
            self.words / rule["words_a_minute"]
            + self.equations * rule["an_equation"]
            + self.visible_cells * rule["a_visible_cell"]
            + self.exercises * rule["an_exercise"]
        )
        return max(1, round(whole / rule["rounded_to"])) * rule["rounded_to"]


@cache
def settings():
    """The phrases and numbers of tools/prose.toml."""
    return tomllib.loads(SETTINGS.read_text(encoding="utf8"))


@cache
def phrases(*names):
    """[(compiled pattern, what to say instead)] of the lists of these names."""
    lists = settings()["phrases"]
    chosen = {key: advice for name in names for key, advice in lists[name].items()}
    return [(re.compile(key.replace(" ", r"\s+"), re.IGNORECASE), advice) for key, advice in chosen.items()]


@cache
def parser():
    """The Markdown of the book: CommonMark with what MyST adds."""
    markdown = MarkdownIt("commonmark").enable("table")
    for plugin in (front_matter_plugin, colon_fence_plugin, deflist_plugin, myst_block_plugin, myst_role_plugin):
        markdown.use(plugin)
    return markdown.use(amsmath_plugin).use(dollarmath_plugin, allow_labels=True, double_inline=True)


def sentences(text):
    """The sentences of a paragraph."""
    found = []
    for piece in split_ends(text):
        if found and ABBREVIATED.search(found[-1]):
            found[-1] += " " + piece
        elif piece.strip():
            found.append(piece.strip())
    return found


def split_ends(text):
    """A paragraph, cut wherever a sentence may end."""
    start = 0
    for end in END.finditer(text):
        yield text[start : end.end()].strip()
        start = end.end()
    yield text[start:].strip()


def inline(token):
    """The words of a line: what is no text becomes one word; alternative texts are returned apart."""
    words, alternatives = [], []
    for child in token.children or []:
        if child.type == "text":
            words.append(child.content)
        elif child.type == "image":
            alternatives.append(child.content)
        elif child.type in ("code_inline", "math_inline", "math_inline_double", "myst_role"):
            cited = child.type == "myst_role" and child.meta.get("name") == "cite"
            words.append("" if cited else FORMULA)
        elif child.type in ("strong_open", "strong_close"):
            words.append(HEAD[child.type == "strong_close"])
        elif child.type in ("softbreak", "hardbreak"):
            words.append(" ")
    return "".join(words).strip(), alternatives


def read_markdown(page, text, cell=0):
    """Add a piece of Markdown to a page; a directive's content is read like the rest."""
    last, quiet = None, 0
    for token in parser().parse(text):
        kind = token.type
        if kind.startswith("math_block") or kind == "amsmath":
            page.equations += 1
            last = "display"
        elif kind in ("heading_open", "table_open"):
            quiet += 1
        elif kind in ("heading_close", "table_close"):
            quiet -= 1
        elif kind in ("fence", "colon_fence"):
            read_directive(page, token, cell)
            last = None
        elif kind == "inline":
            words, alternatives = inline(token)
            page.blocks += [Block(cell, alternative, counted=False) for alternative in alternatives]
            if last == "display" and page.blocks and re.match(r"[a-z]", words) and page.blocks[-1].cell == cell:
                page.blocks[-1].text += " " + words  # a sentence that goes on after a display
            elif words:
                page.blocks.append(Block(cell, words, counted=not quiet and is_sentence(words, token)))
            last = "text"


def is_sentence(words, token):
    """True for a paragraph, and for an item of a list that ends like a sentence."""
    return token.level <= 1 or bool(re.search(r"[.!?:][\"')\]*\x03”]*$", words))


def read_directive(page, token, cell):
    """What a directive says: its title and content, if they are prose."""
    match = re.match(r"\{([\w-]+)\}\s*(.*)", token.info.strip())
    code = not match or match[1] in ("code", "code-block", "code-cell")
    if code and page.is_page and not LISTING.match(token.content):
        page.wide += [(cell, line) for line in token.content.splitlines() if len(line) > WIDEST]
    if code or match[1] in ("math", "bibliography", "eval-rst", "mermaid"):
        return
    page.exercises += match[1] == "exercise"
    if match[2] and match[1] not in ("solution", "image", "figure"):
        page.blocks.append(Block(cell, inline(parser().parseInline(match[2])[0])[0], counted=False))
    content = re.sub(r"\A(?:\s*:[\w-]+:[^\n]*(?:\n|\Z))*", "", token.content)
    read_markdown(page, content, cell)


def words_of_code(source):
    """Comments and strings of Python: what a reader may read in a cell, or on its widget."""
    try:
        tree, tokens = ast.parse(source), list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (SyntaxError, tokenize.TokenError):
        return []  # a cell that is meant to fail
    found = [token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT]
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(part.value if isinstance(part, ast.Constant) else FORMULA for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            found.append(node.value)
    return found


def words_of_script(source):
    """Comments and strings of JavaScript, as far as a pattern can tell them from the rest."""
    return [text.strip() for found in SCRIPT.findall(source) for text in found if len(text.split()) > 1]


def read_page(path):
    """The page at path: a notebook, Markdown, or code with its comments and strings."""
    page = Page(path)
    if not page.is_text:
        words = words_of_code if path.suffix == ".py" else words_of_script
        page.blocks = [Block(0, text, counted=False) for text in words(path.read_text(encoding="utf8"))]
        return page
    if path.suffix != ".ipynb":
        read_markdown(page, path.read_text(encoding="utf8"))
        return page
    for index, cell in enumerate(json.loads(path.read_text(encoding="utf8"))["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            read_markdown(page, source, index)
            continue
        if source.strip() and not FOLDED & set(cell["metadata"].get("tags", [])):
            page.visible_cells += 1
            page.wide += [(index, line) for line in source.splitlines() if len(line) > WIDEST]
        said = cell["metadata"].get("mystnb", {})
        outside = [said.get("figure", {}).get("caption", ""), said.get("image", {}).get("alt", "")]
        page.blocks += [Block(index, text, counted=False) for text in outside + words_of_code(source) if text]
    return page


def find_phrases(page):
    """[(cell, words, what to say instead)] by our own list."""
    found = []
    names = ["everywhere", *["pages"] * page.is_text, *["chapters"] * page.is_chapter]
    for block in page.blocks:
        for sentence in sentences(re.sub(r"[\x02\x03]", "", block.text)):
            for pattern, advice in phrases(*names):
                found += [(block.cell, match[0], advice) for match in pattern.finditer(sentence)]
    return found


@cache
def proselint():
    """proselint's settings with the chosen checks."""
    from proselint.checks import __register__
    from proselint.config import DEFAULT
    from proselint.registry import CheckRegistry

    CheckRegistry().register_many(__register__)
    return DEFAULT | {"checks": {name: name in PROSELINT for name in DEFAULT["checks"]}}


def find_common(page):
    """[(cell, words, advice)] by proselint."""
    from proselint.tools import LintFile

    found = []
    for block in page.blocks:
        text = re.sub(r"[\x02\x03]", "", block.text)
        if not text.strip():
            continue
        file = LintFile(source=page.path.name, content=text)
        for result in file.lint(proselint()):
            start, end = result.check_result.span
            words = file.content[start:end].strip()
            if words.isascii() and not re.search(rf"\b{FORMULA}\b", words):  # not what is quoted in Chinese
                found.append((block.cell, words, result.check_result.message))
    return found


def pages():
    """Every page of the book, in reading order, and what is read beside it."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
    names = [toc["root"], *(entry["file"] for part in toc["parts"] for entry in part["chapters"])]
    book = [path for name in names for suffix in (".ipynb", ".md") if (path := ROOT / f"{name}{suffix}").is_file()]
    return book + [path for pattern in OTHERS for path in sorted(ROOT.glob(pattern))]


def sources():
    """The code whose comments and strings are read."""
    return [path for pattern in CODE for path in sorted(ROOT.glob(pattern))]


def set_minutes(path):
    """Write the minutes into the box of a chapter. True if the file changed."""
    page, text = read_page(path), path.read_text(encoding="utf8")
    new = MINUTES.sub(f"**Time:** about {page.minutes} minutes to read", text, count=1)
    if new != text:
        path.write_text(new, encoding="utf8", newline="\n")
    return new != text


def said_minutes(path):
    """The minutes in the box of a chapter, or None."""
    match = re.search(r"\*\*Time:\*\* about (\d+) minutes to read", path.read_text(encoding="utf8"))
    return int(match[1]) if match else None


def judge(page):
    """What is wrong with a page: one line each."""
    name = page.path.relative_to(ROOT).as_posix() if page.path.is_relative_to(ROOT) else str(page.path)
    notebook = page.path.suffix == ".ipynb"
    lines = []
    for cell, words, advice in find_phrases(page) + (find_common(page) if page.is_text else []):
        place = f"{name}:{cell}" if notebook else name
        lines.append(f"{place}: {' '.join(words.split())!r} -> {advice}")
    lines += [f"{name}:{cell}: {line!r} -> at most {WIDEST} columns of visible code" for cell, line in page.wide]
    bounds = settings()["chapters"]
    if page.is_chapter and not bounds["shortest"] <= page.mean <= bounds["longest"]:
        lines.append(f"{name}: {page.mean:.1f} words a sentence -> {bounds['shortest']} to {bounds['longest']}")
    if page.is_chapter and said_minutes(page.path) != page.minutes:
        lines.append(
            f"{name}: the box says {said_minutes(page.path)} minutes -> {page.minutes}: tools/prose.py --write"
        )
    return lines


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("paths", nargs="*", type=Path, help="default: every page, and what is read beside the book")
    parser.add_argument("--write", action="store_true", help="set the minutes in the box of each chapter")
    options = parser.parse_args(arguments)
    paths = [path.resolve() for path in options.paths] or pages() + sources()
    for path in paths:
        if not path.is_file() or path.suffix not in READ:
            print(f"prose: expected a file of {', '.join(READ)}, got {path}", file=sys.stderr)
            return 2
    if options.write:
        for path in paths:
            if re.match(r"\d\d_", path.name) and set_minutes(path):
                print(f"{path.name}: about {said_minutes(path)} minutes to read")
        return 0

    failed, rows = [], []
    for path in paths:
        page = read_page(path)
        lines = judge(page)
        failed += lines
        if page.is_text:
            minutes = page.minutes if page.is_chapter else ""
            counts = (page.words, len(page.sentences), f"{page.mean:.1f}", f"{page.long:.0%}", minutes, len(lines))
            rows.append((path.stem, *counts))
    for line in failed:
        print(line)
    heads = ("page", "words", "sentences", "mean", "over 35", "minutes", "found")
    for row in [heads, *rows]:
        print(f"{row[0]:30}" + "".join(f"{value:>11}" for value in row[1:]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
