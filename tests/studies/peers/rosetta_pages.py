"""What the tests of the Rosetta pages share: the record, and how a page is read."""

import json
from pathlib import Path

from ddpm_lite.files.records import read_record

ROOT = Path(__file__).resolve().parents[3]

RECORD = read_record("results/rosetta.json")

PAGES = ("14_other_peoples_code.ipynb", "rosetta.ipynb")


def find_cell(name):
    """A cell of chapter 14 or of its appendix."""
    pages = [json.loads((ROOT / "book" / page).read_text(encoding="utf8")) for page in PAGES]
    (cell,) = (cell for page in pages for cell in page["cells"] if cell["id"] == name)
    return cell
