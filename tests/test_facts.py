"""What was once written in several places is in one; a second copy is found by words that it can hardly do without.

The scale from bytes to [-1, 1] is looked for in tests/files/test_pixels.py.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ("ddpm_lite/**/*.py", "studies/**/*.py", "tools/*.py", "benchmarks/*.py", "book/_ext/**/*.py", "book/*.ipynb")
SCRIPTS = ("ddpm_lite/viz/js/**/*.js", "book/_ext/**/*.js")
SCIENCE = "ddpm_lite/viz/js/shared/science.js"
# What is known, the words of it, and the file that has them; in Python and the chapters' code, then in JavaScript.
FACTS = [
    ("images in hexadecimal", PYTHON, r"\bbytearray\.fromhex\(|tobytes\(\)\.hex", "ddpm_lite/files/pixels.py"),
    ("the U-Net of a network with labels", PYTHON, r"\.unet if isinstance\(", "ddpm_lite/files/weights.py"),
    ("its encoder", PYTHON, r"\.encoder if isinstance\(", "ddpm_lite/files/weights.py"),
    ("the weight of the bound", PYTHON[:2], r"2 \* alpha \* \(|2 \* getattr", "ddpm_lite/bound.py"),
    (
        "write beside, then rename",
        PYTHON,
        r"\bos\.(?:replace|rename)\(|\.rename\(|mkstemp",
        "ddpm_lite/files/weights.py",
    ),
    ("the processor's name", PYTHON, r"/proc/cpuinfo|platform\.processor", "ddpm_lite/files/records.py"),
    ("the names of the variances", PYTHON, r'"beta", "beta_tilde"', "ddpm_lite/_check/values.py"),
    ("where a record is", PYTHON, r"def read_record\b", "ddpm_lite/files/records.py"),
    ("what a model's name means", PYTHON, r"def open_model\b", "ddpm_lite/runs/models.py"),
    ("the product of matrices", SCRIPTS, r"\bmultiply =|\+= \w+ \* [xy];", SCIENCE),
    ("the step of DDIM", SCRIPTS, r"eq-ddim-s", SCIENCE),
    ("the loop of sampling", SCRIPTS, r"t > 0; t--", SCIENCE),
    ("the z of a mixture", SCRIPTS, r"eq-oracle-mixture", SCIENCE),
    ("the hash of a number", SCRIPTS, r"0x85ebca6b", SCIENCE),
    ("the hash of a text", SCRIPTS, r"(?i)0x01000193|16777619|0x811c9dc5|2166136261", SCIENCE),
    ("the generator", SCRIPTS, r"(?i)0x243f6a88|c << 21|0x6d2b79f5|1664525", SCIENCE),
    ("the posterior variance", SCRIPTS, r"eq-posterior-variance|\(1 - \w+\(?\[?k - 1", SCIENCE),
    ("normal numbers from uniform ones", SCRIPTS, r"-2 \* (?:Math\.)?log", SCIENCE),
    ("the closed form", SCRIPTS, r"signal \* \w+ \+ \w+ \* \w+|eq-x0-from-z", SCIENCE),
]


@pytest.mark.parametrize(("where", "words", "place"), [fact[1:] for fact in FACTS], ids=[fact[0] for fact in FACTS])
def test_each_fact_is_in_one_file(where, words, place):
    files = [path for glob in where for path in ROOT.glob(glob)]
    found = {path.relative_to(ROOT).as_posix() for path in files if re.search(words, path.read_text(encoding="utf8"))}
    assert found == {place}
