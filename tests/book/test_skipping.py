"""A part that a reader may skip is not needed by the code after it: cells that were not run bind no names."""

import ast
import builtins
import json
import re

import notebooks
from exercises.test_exercises import bound, used

# "you may skip this section, up to* The heading: *what follows needs ..."
SKIP = re.compile(r"may skip this (?:section|part)[^:]*?, up to\* (?P<end>[^:]+):")


def find_parts(paths):
    """(chapter, index of the cell where a part to skip begins, its first cell after it) of these chapters."""
    for path in paths:
        cells = notebooks.read(path)["cells"]
        for index, cell in enumerate(cells):
            for found in SKIP.finditer(cell["source"]) if cell["cell_type"] == "markdown" else ():
                heading = re.compile(rf"^#+ {re.escape(found['end'])}$", re.MULTILINE)
                ends = [i for i, later in enumerate(cells) if i > index and heading.search(later["source"])]
                assert ends, f"{path.name}: there is no heading {found['end']!r} after the part to skip"
                yield path, index, ends[0]


def find_missing(cells, begin, end):
    """{id of a cell: names} that only the cells between bind."""
    known, missing = {*vars(builtins), "get_ipython"}, {}  # what a kernel has by itself
    for index, cell in enumerate(cells):
        if cell["cell_type"] == "code" and not begin <= index < end:
            own = bound(ast.parse(cell["source"]))
            if lacks := used(cell["source"]) - own - known:
                missing[cell["id"]] = lacks
            known |= own
    return missing


def test_what_follows_needs_nothing_of_a_part_that_may_be_skipped():
    for path, begin, end in find_parts(notebooks.chapters()):
        assert find_missing(notebooks.read(path)["cells"], begin, end) == {}, path.name


def test_a_part_that_may_be_skipped_is_found(tmp_path):
    """No chapter has one now, so the test above says something only when one comes."""
    texts = "# One", "*You may skip this part, up to* The end: *it is long.*", "## The end"
    cells = [{"cell_type": "markdown", "id": text[-1], "metadata": {}, "source": text} for text in texts]
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), encoding="utf8")
    assert list(find_parts([path])) == [(path, 1, 2)]


def test_a_name_of_the_part_is_missed():
    cells = [
        {"cell_type": "code", "id": name, "source": code}
        for name, code in (
            ("a", "x = 1"),
            ("b", "import math\ny = x"),
            ("c", "def f():\n    return math.pi\nz = x + y"),
        )
    ]
    assert find_missing(cells, 1, 2) == {"c": {"math", "y"}}
    assert find_missing(cells, 0, 0) == {}
