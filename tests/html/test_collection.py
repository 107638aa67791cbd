"""The tests of the pages are found before there are pages: on a bare machine the other tests run first."""

import shutil
import subprocess
import sys

from built import ROOT


def test_tests_of_the_pages_are_found_where_no_book_was_built(tmp_path):
    for name in ("tests", "tools", "book"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    for name in ("pyproject.toml", "conftest.py", "_toc.yml", "_config.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "html",
        "tests/html",
    ]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
