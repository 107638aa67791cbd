"""What several rooms of these tests need: the computed rows, and the names after the cells of chapter 14."""

import json
import re
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO

import pytest
import torch
from compare_pages import ROOT, SCHEDULE, read_cell

from ddpm_lite import ddim_step, load_pretrained, respace
from ddpm_lite.process import predict_x_0


@pytest.fixture(scope="session")
def computed():
    """All rows, in a process of its own: some libraries want modules that are replaced there by empty ones."""
    command = [sys.executable, str(ROOT / "studies" / "rosetta.py"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def hooked():
    """The names after the cells of the hook, with the network of the digits, and the lines of both boxes of case 4."""
    network, _ = load_pretrained("digits")
    names = {"torch": torch, "network": network, "schedule": SCHEDULE, "respace": respace, "ddim_step": ddim_step}
    names |= {"predict_x_0": predict_x_0}
    exec(read_cell("call-hook") + "\n\n" + read_cell("call-watch").partition("handle =")[0], names)
    text, printed = read_cell("case-pipeline"), []
    for code in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S):
        assert max(map(len, code.splitlines())) <= 72
        with redirect_stdout(StringIO()) as out:
            exec(code, names)
        printed.append(out.getvalue())
    return names, printed, re.findall(r"^```text\n(.*?)^```", text, re.M | re.S)


@pytest.fixture(scope="module")
def solvers(hooked):
    """The names after the code cells of the solvers, beside those of the hook."""
    names = dict(hooked[0])
    cells = "setup", "move-again", "2m", "plms", "order", "ask"
    for cell in (f"solvers-{name}" for name in cells):
        with redirect_stdout(StringIO()):
            exec(read_cell(cell), names)
    return names
