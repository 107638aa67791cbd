"""The chapters' sources, without running them: what a reader would find unfinished or broken.

That the stored outputs are what the code gives is nbval's business, the built pages are
test_html.py's.
"""

import ast
import re
from collections import Counter
from pathlib import Path

import notebooks
import pytest

ROOT = Path(__file__).resolve().parents[2]
PATHS = notebooks.chapters(ROOT)
LONGEST_CELL = 20  # lines; what is longer is two ideas, or belongs in the package
FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell"}

# A folder that exists on the author's machine only, or a file inside an environment.
MACHINE = re.compile(r"(?<![\w.])/(?:home|root|Users|tmp|work|opt|mnt)/\w|site-packages|\b[A-Z]:\\\w")
# What a browser or a cell would fetch; a link that a reader may follow is fine.
FETCHED = re.compile(r"!\[[^\]]*\]\(https?:|\bsrc\s*=\s*[\"']?https?:|<(?:script|iframe|link)\b|@import")
FIGURE_FILE = re.compile(r"\.(?:png|jpe?g|svg|gif)\b|[0-9a-f]{16}", re.IGNORECASE)

CODE = re.compile(r"^(?P<fence>`{3,})(?!\{)[^`\n]*\n.*?^(?P=fence)\s*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
DISPLAY = re.compile(r"\$\$(?P<tex>.+?)\$\$[ \t]*(?:\((?P<label>[^)\s]+)\))?", re.DOTALL)
EXERCISE = re.compile(r"^[`:]{3,}\{exercise(?:-start)?\}.*\n(?:\s*:.*\n)*?\s*:label:\s*(\S+)", re.MULTILINE)
BARE_EXERCISE = re.compile(r"^[`:]{3,}\{exercise(?:-start)?\}", re.MULTILINE)
SOLUTION = re.compile(r"^[`:]{3,}\{solution(?:-start)?\}\s*(\S+)", re.MULTILINE)
CHAPTER_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<number>\d\d)_\w+\.ipynb[^)]*\)")
CHAPTER_NUMBER = re.compile(r"(?:[Cc]hapters? |^)(\d+)\b")
TARGET = re.compile(r"^\(([\w-]+)\)=\s*$", re.MULTILINE)

every_chapter = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def cells(path, kind=None):
    """(index, cell) of a notebook, of one kind if asked."""
    for index, cell in enumerate(notebooks.read(path)["cells"]):
        if kind in (None, cell["cell_type"]):
            yield index, cell


def prose(path):
    """The notebook's Markdown as one text, without code: an example of maths is no maths."""
    return "\n\n".join(CODE.sub("", cell["source"]) for _, cell in cells(path, "markdown"))


def outputs(path):
    """(index, cell, output) for every output of a notebook."""
    for index, cell in cells(path, "code"):
        for output in cell["outputs"]:
            yield index, cell, output


def texts(output):
    """The texts that a reader sees of an output."""
    if output["output_type"] == "stream":
        return [output["text"]]
    if output["output_type"] == "error":
        return [output["evalue"]]
    return [text for mime, text in output["data"].items() if mime.startswith("text/")]


def test_every_notebook_is_in_the_contents():
    assert set(ROOT.glob("book/*.ipynb")) == set(PATHS)


@every_chapter
def test_notebook_is_in_normal_form(path):
    assert notebooks.is_normal(path), f"run: python tools/notebooks.py {path.relative_to(ROOT)}"


@every_chapter
def test_every_cell_was_run(path):
    never = [i for i, cell in cells(path, "code") if cell["source"].strip() and cell["execution_count"] is None]
    assert never == []


@every_chapter
def test_errors_are_meant(path):
    unexpected = [
        f"cell {index}: {output['ename']}: {output['evalue']}"
        for index, cell, output in outputs(path)
        if output["output_type"] == "error" and "raises-exception" not in cell["metadata"].get("tags", [])
    ]
    assert unexpected == []


@every_chapter
def test_nothing_is_warned_of(path):
    warned = [
        f"cell {index}: {output['text']}"
        for index, _, output in outputs(path)
        if output["output_type"] == "stream" and output["name"] == "stderr"
    ]
    assert warned == []


@pytest.mark.form
@every_chapter
def test_cell_ids_are_unique(path):
    counts = Counter(cell["id"] for _, cell in cells(path))
    assert [name for name, count in counts.items() if count > 1] == []


def list_stores(tree):
    """The names that a cell sets at its top level, and the functions and classes that it defines there."""
    names, made, todo = set(), set(), list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            made.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif not isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)):
            todo += ast.iter_child_nodes(node)
    return names, made


def list_reads(tree):
    """The names that the functions of a cell read from outside of them."""
    found = set()
    for each in (node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))):
        inner = list(ast.walk(each))
        names = [node for node in inner if isinstance(node, ast.Name)]
        own = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        own |= {node.arg for node in inner if isinstance(node, ast.arg)}
        own |= {node.name for node in inner if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node is not each}
        found |= {node.id for node in names} - own
    return found


def list_overwritten(sources):
    """The functions that others call, and whose name becomes a variable in a later cell: then the others would stop."""
    trees = [ast.parse(source) for source in sources]
    called, found, made = set().union(*map(list_reads, trees)), set(), set()
    for names, new in map(list_stores, trees):
        found |= names & made & called
        made |= new
    return sorted(found)


@pytest.mark.form
@every_chapter
def test_no_function_is_overwritten(path):
    assert list_overwritten("".join(cell["source"]) for _, cell in cells(path, "code")) == []


def test_an_overwritten_function_is_noticed():
    later = "for late, b in [(1, 2)]:\n    print([c for a in 'x'])"
    before = "def late(): pass\ndef see(): late(b := 1)\ndef a(): pass"
    assert list_overwritten([before, later]) == ["late"]
    assert list_overwritten([before, later.replace("late", "see")]) == []  # no function calls it


@every_chapter
def test_every_figure_says_what_it_shows(path):
    poor = []
    for index, cell, output in outputs(path):
        if any(mime.startswith("image/") for mime in output.get("data", {})):
            alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
            if len(alt) < 20 or FIGURE_FILE.search(alt):
                poor.append(f"cell {index}: {alt!r}")
    assert poor == [], "metadata mystnb.image.alt: at least 20 characters that say what is seen"


@pytest.mark.form
@every_chapter
def test_visible_cells_are_short(path):
    long = [
        f"cell {index}: {lines} lines"
        for index, cell in cells(path, "code")
        if (lines := len(cell["source"].splitlines())) > LONGEST_CELL
        and not FOLDED & set(cell["metadata"].get("tags", []))
    ]
    assert long == []


@every_chapter
def test_nothing_of_the_authors_machine_is_left(path):
    sources = [(index, cell["source"]) for index, cell in cells(path)]
    shown = [(index, text) for index, _, output in outputs(path) for text in texts(output)]
    found = [f"cell {i}: {m.group()}" for i, text in sources + shown for m in MACHINE.finditer(text)]
    assert found == []


@every_chapter
def test_nothing_is_fetched_from_elsewhere(path):
    sources = [(index, cell["source"]) for index, cell in cells(path, "markdown")]
    shown = [(index, text) for index, _, output in outputs(path) for text in texts(output)]
    found = [f"cell {i}: {m.group()}" for i, text in sources + shown for m in FETCHED.finditer(text)]
    found += [
        f"cell {index}: an address in code"
        for index, cell in cells(path, "code")
        if re.search(r"(?<!\]\()https?://", cell["source"])  # a link that it prints is for the reader to follow
    ]
    assert found == []


@pytest.mark.form
@every_chapter
def test_title_opens_the_chapter(path):
    _, first = next(cells(path))
    titles = re.findall(r"^# .+$", prose(path), re.MULTILINE)
    assert first["source"].startswith("# ")
    assert len(titles) == 1
    # The sidebar shows a title as plain text.
    assert "$" not in titles[0]


@pytest.mark.form
@every_chapter
def test_chapters_are_called_by_their_numbers(path):
    links = [
        (match[0], CHAPTER_NUMBER.findall(match["text"]), match["number"])
        for match in CHAPTER_LINK.finditer(prose(path))
    ]
    wrong = [link for link, said, meant in links if any(int(number) != int(meant) for number in said)]
    assert wrong == []
    # The build numbers figures and exercises: {numref}`fig-name`, {ref}`ex-name`.
    assert re.findall(r"\b(?:Figure|Exercise|Solution) \d[\d.]*", prose(path)) == []


@pytest.mark.form
@every_chapter
def test_displays_are_whole(path):
    text = prose(path)
    # Sphinx cuts a display at a blank line, and numbers a bare align without being asked.
    cut = [m["tex"] for m in DISPLAY.finditer(text) if re.search(r"\n\s*\n", m["tex"].strip())]
    bare = re.findall(r"\\begin\{(?:align|equation|gather)\}", DISPLAY.sub("", text))
    assert cut == []
    assert bare == [], r"write $$\begin{aligned} ... \end{aligned}$$ (eq-name)"


@pytest.mark.form
@every_chapter
def test_every_exercise_has_a_label_and_one_solution(path):
    text = "\n\n".join(cell["source"] for _, cell in cells(path, "markdown"))
    labels = EXERCISE.findall(text)
    assert len(labels) == len(BARE_EXERCISE.findall(text)), "an exercise without :label:"
    assert Counter(SOLUTION.findall(text)) == Counter(labels)


def test_labels_are_unique_in_the_book():
    where = {}
    for path in PATHS:
        text = prose(path)
        labels = [m["label"] for m in DISPLAY.finditer(text) if m["label"]]
        for _, cell in cells(path):
            labels += EXERCISE.findall(cell["source"]) if cell["cell_type"] == "markdown" else []
            figure = cell["metadata"].get("mystnb", {}).get("figure", {})
            labels += [figure["name"]] if "name" in figure else []
        for label in labels + TARGET.findall(text):
            where.setdefault(label, []).append(path.stem)
    assert {label: files for label, files in where.items() if len(files) > 1} == {}


@pytest.mark.form
@every_chapter
def test_equation_labels_are_spelt_alike(path):
    odd = [m["label"] for m in DISPLAY.finditer(prose(path)) if m["label"]]
    assert [label for label in odd if not re.fullmatch(r"eq-[a-z0-9]+(?:-[a-z0-9]+)*", label)] == []
