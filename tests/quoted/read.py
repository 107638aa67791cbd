"""The numbers that a chapter's prose quotes, and the values that its cells print, write or read."""

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import notebooks

ROOT = Path(__file__).resolve().parents[2]

# What is no prose: code, displayed formulas, options and names of directives, the targets of links and roles.
FENCE = re.compile(r"^(?P<f>`{3,})(?!\{)[^\n]*\n.*?^(?P=f)\s*$|`[^`\n]*`", re.M | re.S)
DISPLAY = re.compile(r"\$\$.+?\$\$[ \t]*(?:\([^)\s]+\))?|^[`:]{3,}\{math\}.*?^[`:]{3,}\s*$", re.M | re.S)
MARKUP = re.compile(
    r"^[`:]{3,}.*$|^:[\w-]+:.*$|^\([\w-]+\)=$|\{[\w:-]+\}`[^`]*`|\]\([^)]*\)|<[^>\n]+>|https?://\S+", re.M
)
# Where a sentence names a place instead of a quantity, and marks of lists.
PLACE = re.compile(
    r"\b(?:[Cc]hapters?|[Ss]ections?|[Aa]ppendix|[Aa]lgorithms?|[Tt]able|[Ff]igure|[Ll]ines?|[Pp]ages?|arXiv:?)\s+[\d.]+"
    r"(?:(?:,| and| to| or)\s+[\d.]+)*|^\s*\d+\.\s|\[\d+\. |\|\s*\d{1,2}(?:,\s*\d{1,2})*\s*(?=\|)"
    r"|\b(?:19|20)\d\d\b|CC BY 4\.0|\b\d+[Dd]\b|CIFAR-\d+|Fashion-?MNIST",
    re.M,
)
# Names that end in a digit: x_0, z_1, float32, L_2.
NAME = re.compile(r"(?:[A-Za-z}\\]_?|_)\{?-?\d+\}?|\^\{?-?\d+\}?")
NUMBER = re.compile(
    r"(?<![\w.,])(?P<sign>[-\u2212])?(?P<digits>\d{1,3}(?:(?:,|\{,\})\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
    r"(?P<unit>\s?(?:\\?%|per cent))?(?!\w|[.,]\d)"
)
PRINTED = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?(?:[eE][-+]?\d+)?(?!\w)")
RECORD = re.compile(r"results/[\w./{}-]+?\.json")
COUNTING = 12  # whole numbers up to here are words: "four columns"


@dataclass(frozen=True)
class Quoted:
    """One number of a sentence: where it is, how it is written, its value and the place of its last digit."""

    chapter: str
    section: int
    cell: int
    sentence: str
    written: str
    value: Fraction
    unit: Fraction
    percent: bool

    @property
    def digits(self):
        """How many significant digits are written, a whole number's closing zeros left out."""
        digits = self.written.translate(str.maketrans("", "", "-\u2212,{}% ")).replace("per cent", "")
        return len(digits.replace(".", "").lstrip("0")) if "." in digits else len(digits.rstrip("0"))

    def agrees(self, value):
        """Whether a value rounds to what is written: words may give the sign; per cent may quote a share."""
        if self.value >= 0:
            value = abs(value)
        return abs(value - self.value) <= self.unit / 2 or (
            self.percent and abs(100 * value - self.value) <= self.unit / 2
        )


def _prose(text):
    text = DISPLAY.sub(" ", FENCE.sub(" ", text))
    return PLACE.sub(" ", MARKUP.sub(" ", text))


def _value(digits):
    plain = digits.replace("{,}", "").replace(",", "")
    return Fraction(plain), Fraction(1, 10 ** len(plain.partition(".")[2]))


def quoted(cells, chapter):
    """Every number in the prose of a notebook's cells that is not a name, a place or a small count."""
    for section, index, cell in sections(cells):
        if cell["cell_type"] != "markdown":
            continue
        for sentence in re.split(r"(?<=[.:?!])\s+|\n{2,}|\n(?=[-|])", _prose(cell["source"])):
            if sentence.lstrip().startswith("**Time:**"):
                continue  # tools/prose.py writes the minutes
            for found in NUMBER.finditer(NAME.sub(lambda name: " " * len(name[0]), sentence)):
                value, unit = _value(found["digits"])
                if unit == 1 and value <= COUNTING and not found["unit"]:
                    continue
                if found["sign"]:
                    value = -value
                words = " ".join(sentence.split())
                yield Quoted(chapter, section, index, words, found[0].strip(), value, unit, bool(found["unit"]))


def sections(cells):
    """(number of the section that begins with ##, index, cell)."""
    section = 0
    for index, cell in enumerate(cells):
        if cell["cell_type"] == "markdown":
            section += len(re.findall(r"^## ", cell["source"], re.M))
        yield section, index, cell


def _numbers(text):
    for found in PRINTED.findall(text):
        yield Fraction(found.replace(",", "").rstrip("."))


def _leaves(record):
    if isinstance(record, dict):
        for value in record.values():
            yield from _leaves(value)
    elif isinstance(record, list):
        for value in record:
            yield from _leaves(value)
    elif isinstance(record, (int, float)) and record == record and abs(record) != float("inf"):
        yield Fraction(record)
    elif isinstance(record, str):
        yield from _numbers(record)


def values(cells):
    """(numbers set by the code, for each cell those of its code, outputs or formulas, those of the records read)."""
    settings, computed, recorded = set(), [], set()
    for _, _, cell in sections(cells):
        here = set()
        computed.append(here)
        if cell["cell_type"] == "markdown":
            here.update(n for shown in DISPLAY.findall(cell["source"]) for n in _numbers(NAME.sub(" ", shown)))
            continue
        code = re.sub(r"(?<=\d)_(?=\d)", "", re.sub(r"(?m)#.*$", "", cell["source"]))
        here.update(_numbers(NAME.sub(" ", code)))
        settings |= here
        for output in cell["outputs"]:
            data = output.get("data", {})
            # Of a table the cells; of a widget's twin only the words, for its data are coded.
            words = re.sub(r"<script.*?</script>|<[^>]+>", " ", data.get("text/html", ""), flags=re.S)
            here.update(_numbers("\n".join([output.get("text", ""), data.get("text/plain", ""), words])))
        for name in RECORD.findall(cell["source"]):
            for path in sorted((ROOT / "book").glob(re.sub(r"\{[^}]*\}", "*", name))):
                recorded.update(_leaves(json.loads(path.read_text(encoding="utf8"))))
    return settings, computed, recorded


def chapters():
    """(name, cells) of every notebook of the table of contents."""
    return [(path.stem, notebooks.read(path)["cells"]) for path in notebooks.chapters(ROOT)]


def name_source(entry):
    """What the text calls an entry of the bibliography: ("Ho et al.", "2020")."""
    people = [" ".join(person.last_names).strip("{}") for person in entry.persons["author"]]
    names = {1: people[0], 2: " and ".join(people)}.get(len(people), f"{people[0]} et al.")
    return names, entry.fields["year"]
