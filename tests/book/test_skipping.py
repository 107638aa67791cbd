"""A part that a reader may skip is not needed by the code after it: cells that were not run bind no names."""

import builtins
import re
import symtable

import notebooks
import pytest

# "you may skip this section, up to* The heading: *what follows needs ..."
SKIP = re.compile(r"may skip this (?:section|part)[^:]*?, up to\* (?P<end>[^:]+):")


def find_parts():
    """(chapter, index of the cell where a part to skip begins, its first cell after it) of all chapters."""
    for path in notebooks.chapters():
        cells = notebooks.read(path)["cells"]
        for index, cell in enumerate(cells):
            for found in SKIP.finditer(cell["source"]) if cell["cell_type"] == "markdown" else ():
                heading = re.compile(rf"^#+ {re.escape(found['end'])}$", re.MULTILINE)
                ends = [i for i, later in enumerate(cells) if i > index and heading.search(later["source"])]
                assert ends, f"{path.name}: there is no heading {found['end']!r} after the part to skip"
                yield path, index, ends[0]


def read_names(code):
    """The names that code binds at its top, and those that it takes from around it."""
    top = symtable.symtable(code, "cell", "exec")
    bound = {name.get_name() for name in top.get_symbols() if name.is_assigned() or name.is_imported()}
    needed, tables = set(), [top]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        needed |= {name.get_name() for name in table.get_symbols() if name.is_referenced() and name.is_global()}
    return bound, needed - bound - set(vars(builtins)) - {"get_ipython"}


def find_missing(cells, begin, end):
    """{id of a cell: names} that only the cells between bind."""
    bound, missing = set(), {}
    for index, cell in enumerate(cells):
        if cell["cell_type"] == "code" and not begin <= index < end:
            own, needed = read_names(cell["source"])
            if lacks := needed - bound:
                missing[cell["id"]] = lacks
            bound |= own
    return missing


PARTS = list(find_parts())


@pytest.mark.parametrize(("path", "begin", "end"), PARTS, ids=lambda value: getattr(value, "stem", value))
def test_what_follows_needs_nothing_of_a_part_that_may_be_skipped(path, begin, end):
    assert find_missing(notebooks.read(path)["cells"], begin, end) == {}


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
