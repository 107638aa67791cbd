"""What every chapter has in the same place: a question, a picture, the box, guesses, a card to take away."""

import re
from statistics import median

import install_cell
import notebooks
import prose
import pytest

CHAPTERS = [path for path in notebooks.chapters() if path.stem[:2].isdigit()]
WIDE = 78  # characters in a line of output, beside both sidebars of a page of 1280 pixels
TYPICAL = 8  # lines of a visible cell
FIELDS = ("**You need** ", "**Time:** ", "**Afterwards you can** ")

HEADING = re.compile(r"^#{1,4} .+$", re.MULTILINE)
BOX = re.compile(r"^:::\{admonition\} Before you start\n(?P<text>.*?)^:::$", re.MULTILINE | re.DOTALL)
CARD = re.compile(
    r"^## Summary\n+:::\{admonition\} To take away\n:class: takeaway\n(?P<text>.*?)^:::$", re.MULTILINE | re.DOTALL
)
GUESS = re.compile(
    r"^[`:]{3,}\{exercise.*\n(?:\s*:.*\n)*?\s*:class:.*\bpredict\b|\*\*Stop and predict[.:]\*\*", re.MULTILINE
)
VERDICT = re.compile(r"\b(?:True|False)\s*$", re.MULTILINE)

every_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
every_page = pytest.mark.parametrize("path", notebooks.chapters(), ids=lambda path: path.stem)


def cells(path):
    return notebooks.read(path)["cells"]


def is_folded(cell):
    return bool(prose.FOLDED & set(cell["metadata"].get("tags", [])))


def visible(path):
    """(index, lines) of the code cells that a reader sees."""
    for index, cell in enumerate(cells(path)):
        if cell["cell_type"] == "code" and not is_folded(cell):
            yield index, cell["source"].splitlines()


def shows_something(cell):
    """True for a cell whose output is a picture or a widget."""
    kinds = [output.get("data", {}) for output in cell.get("outputs", [])]
    return any(mime.startswith("image/") or "data-widget" in str(text) for data in kinds for mime, text in data.items())


@pytest.mark.form
@every_page
def test_a_chapter_opens_with_a_question(path):
    opening = cells(path)[0]["source"]
    title, _, rest = opening.partition("\n\n")
    assert HEADING.fullmatch(title)
    assert "?" in rest.partition("\n\n")[0]


@pytest.mark.form
@every_page
def test_the_setup_is_folded_and_short(path):
    code = (cell for cell in cells(path) if cell["cell_type"] == "code")
    setup = next(cell for cell in code if cell["id"] != install_cell.CELL)
    lines = [line for line in setup["source"].splitlines() if line.strip()]
    assert is_folded(setup)
    assert len(lines) <= 4
    assert all(line.startswith(("import ", "from ")) for line in lines)


@every_chapter
def test_a_picture_comes_before_the_third_heading(path):
    headings = 0
    for cell in cells(path):
        headings += len(HEADING.findall(cell["source"])) if cell["cell_type"] == "markdown" else 0
        if cell["cell_type"] == "code" and shows_something(cell):
            break
    assert headings < 3


@pytest.mark.form
@every_page
def test_the_box_has_its_three_fields(path):
    (box,) = BOX.findall("\n\n".join(cell["source"] for cell in cells(path) if cell["cell_type"] == "markdown"))
    paragraphs = [part for part in box.strip().split("\n\n") if part]
    assert [field for field, text in zip(FIELDS, paragraphs, strict=True) if text.startswith(field)] == list(FIELDS)


@pytest.mark.form
@every_chapter
def test_the_summary_is_a_card(path):
    (card,) = CARD.findall("\n\n".join(cell["source"] for cell in cells(path) if cell["cell_type"] == "markdown"))
    lines = [line for line in card.splitlines() if line.strip()]
    assert 3 <= len(lines) <= 8
    assert any("$" in line for line in lines)


@pytest.mark.form
@every_chapter
def test_a_reader_guesses_before_a_result(path):
    assert any(GUESS.search(cell["source"]) for cell in cells(path) if cell["cell_type"] == "markdown")


@pytest.mark.form
@every_page
def test_visible_code_fits_the_page(path):
    wide = [f"cell {i}: {line}" for i, lines in visible(path) for line in lines if len(line) > prose.WIDEST]
    assert wide == []


@every_page
def test_no_printed_table_is_wider_than_its_box(path):
    """A page breaks a longer line, and a table with broken rows cannot be read. A sentence may be as long as it is."""
    rows = [
        f"cell {index}: {line}"
        for index, cell in enumerate(cells(path))
        for output in cell.get("outputs", [])
        for line in "".join(output.get("text", "")).splitlines()
        if len(line.rstrip()) > WIDE and len(re.findall(r"\S {2,}\S", line)) > 1
    ]
    assert rows == []


@pytest.mark.form
@every_chapter
def test_a_visible_cell_is_typically_short(path):
    assert median(len(lines) for _, lines in visible(path)) <= TYPICAL


@every_page
def test_no_output_is_a_bare_verdict(path):
    found = []
    for index, cell in enumerate(cells(path)):
        for output in cell.get("outputs", []):
            text = output.get("text", "") or output.get("data", {}).get("text/plain", "")
            found += [f"cell {index}: {match[0]}" for match in VERDICT.finditer(text)]
    assert found == [], "print the numbers and the tolerance"


@pytest.mark.form
@pytest.mark.parametrize("path", [path for path in CHAPTERS if path.stem[:2] in ("02", "03")], ids=lambda p: p.stem)
def test_a_long_derivation_has_a_resting_place(path):
    text = "\n\n".join(cell["source"] for cell in cells(path) if cell["cell_type"] == "markdown")
    before, after = text.split("\n## A resting place\n")
    assert len(before) > len(text) / 4
    assert len(after) > len(text) / 4


@pytest.mark.form
@every_chapter
def test_the_errata_do_not_interrupt_a_chapter(path):
    text = "\n\n".join(cell["source"] for cell in cells(path) if cell["cell_type"] == "markdown")
    assert text.count("(errata.ipynb") <= 1
    assert re.findall(r"\{(?:warning|admonition)\}[^\n]*[Ee]rrat", text) == []


@pytest.mark.form
@every_page
def test_other_chapters_are_called_by_number(path):
    text = "\n\n".join(cell["source"] for cell in cells(path) if cell["cell_type"] == "markdown")
    links = re.findall(r"\[([^\]]*)\]\(\d\d_\w+\.ipynb\)", text)
    assert [words for words in links if not re.search(r"\d", words)] == []
    assert re.findall(r"[Cc]hapters? on (?:the )?[\w ]+", text) == []
