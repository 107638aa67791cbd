"""What Linux alone offers has a second way; here it is taken away."""

import io
import platform
import re
import sys
from pathlib import Path

import psutil
import pytest
import torch

from ddpm_lite.cli import commands, doctor, report


@pytest.fixture
def without_proc(monkeypatch):
    """A system that has no /proc, as macOS and Windows."""
    read, exists = Path.read_text, Path.exists

    def gone(path):
        return path.parts[:2] == ("/", "proc")

    def refuse(path, *rest, **options):
        if gone(path):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return read(path, *rest, **options)

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(Path, "exists", lambda path, **options: not gone(path) and exists(path, **options))


def test_doctor_asks_psutil_where_there_is_no_proc(without_proc):
    said = doctor._describe_memory(torch.device("cpu"))
    free, total = map(float, re.fullmatch(r"([\d.]+) of ([\d.]+) GB free", said).groups())
    assert total == pytest.approx(psutil.virtual_memory().total / 1e9, abs=0.06)
    assert 0 < free <= total


def test_doctor_says_so_where_nothing_tells(without_proc, monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert doctor._describe_memory(torch.device("cpu")).startswith("unknown on this system")


def test_record_names_the_processor_without_proc(without_proc, monkeypatch):
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert report.describe_circumstances(torch.device("cpu"))["hardware"].startswith("riscv64, ")


def test_program_starts_where_its_output_was_replaced(monkeypatch):
    class Pane(io.StringIO):
        """What IDLE and some notebooks put there: it can be written to, and no more."""

    monkeypatch.setattr(sys, "stdout", Pane())
    monkeypatch.setattr(sys, "argv", ["ddpm-lite", "--help"])
    with pytest.raises(SystemExit) as end:
        commands.start()
    assert not end.value.code
    assert sys.stdout.getvalue().startswith("usage: ddpm-lite")
