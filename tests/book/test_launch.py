"""A chapter that is opened elsewhere: the cell that installs the package, the links, and what the services read."""

import importlib.util
import tomllib
from pathlib import Path

import install_cell
import notebooks
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
ADDRESS = "https://github.com/somebody/ddpm-lite"


@pytest.mark.form
@pytest.mark.parametrize("path", notebooks.chapters(), ids=lambda path: path.stem)
def test_first_cell_installs_the_package(path):
    cells = notebooks.read(path)["cells"]
    first = next(cell for cell in cells if cell["cell_type"] == "code")
    assert first["id"] == install_cell.CELL
    assert first["source"] == install_cell.make_source(PROJECT), "run: python tools/install_cell.py"
    assert first["outputs"] == []
    assert first["metadata"] == install_cell.METADATA
    assert [cell["id"] for cell in cells].count(install_cell.CELL) == 1
    assert len([line for line in first["source"].splitlines() if line]) <= 4


def run_cell(project):
    """What the cell asks pip for: a list of the lines."""
    asked = []

    class Shell:
        def run_line_magic(self, name, line):
            assert name == "pip"
            asked.append(line)

    exec(install_cell.make_source(project), {"get_ipython": Shell})
    return asked


def test_cell_does_nothing_where_the_package_is():
    assert run_cell(PROJECT) == []


@pytest.mark.parametrize("urls", [{}, {"Repository": ADDRESS}], ids=["no address", "an address"])
def test_cell_installs_where_the_package_is_missing(urls, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (line,) = run_cell(PROJECT | {"urls": urls})
    options, requirement, rest = line.split('"')
    assert (options, rest) == ("install -q ", "")
    wanted = Requirement(requirement)
    assert wanted.name == PROJECT["name"]
    assert wanted.extras <= set(PROJECT["optional-dependencies"])
    assert wanted.url == (f"git+{ADDRESS}" if urls else None)
