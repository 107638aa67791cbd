"""What the tests of `compare_program` share: how a page is read, and its programs are run."""

import json
import re
from pathlib import Path

from ddpm_lite import (
    compare_program,
    linear_schedule,
)

SCHEDULE = linear_schedule()

ROOT = Path(__file__).resolve().parents[3]


def shorten(found):
    """What is printed, without the differences."""
    return re.sub(r" \([^()]* -> [\d.]+ %\)$", "", str(found))


def lines(scheduler=None, **parts):
    return [shorten(found) for found in compare_program(SCHEDULE, **parts)]


INDEX = "1. tables: translated: alpha_bar_t, index t - 1"

IMAGE = "3. images: equal: image x_t"

DDIM = [
    INDEX,
    "2. times: translated: times leading",
    IMAGE,
    "4 and 6. estimate: translated: answer z, clipped to [-1, 1]",
    "7. step: translated: old z_hat kept, step to t - 20, eta = 0 (DDIM)",
    "8. fresh noise: equal: none",
]

LINEAR = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}


def read_cell(name, *pages):
    """The source of a cell, of chapter 14 or its pages of solvers, programs and weights if no page is given."""
    pages = pages or ("14_other_peoples_code", "solvers", "cases", "weights")
    files = [ROOT / "book" / f"{page}.ipynb" for page in pages]
    cells = [cell for file in files for cell in json.loads(file.read_text(encoding="utf8"))["cells"]]
    (cell,) = (cell for cell in cells if cell["id"] == name)
    return "".join(cell["source"])


def run_boxes(*cells):
    """What the programs of these cells find, one list for each program; each goes on where the one before ended."""
    every, names = [], {}
    for text in cells:
        for code in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S):
            assert max(map(len, code.splitlines())) <= 72
            every.append([])
            names["print"] = every[-1].append
            exec(code, names)
    return every


def answer_flow(m, tau):
    """The exact z - x_0 of a flow whose pixels have mean 1 and standard deviation 0.5."""
    pull = (m - (1 - tau)) / (0.25 * (1 - tau) ** 2 + tau**2)
    return tau * pull - (1 + 0.25 * (1 - tau) * pull)
