"""The widget of CONTRIBUTING, "Add a widget", built as it is written there: it works in Python and on a page."""

import re
import shutil
import subprocess
import sys
from subprocess import CompletedProcess
from types import ModuleType

import bundle
import ddpm_book.widgets
import pytest
import test_widgets
from javascript import copy_scripts
from stands import ROOT
from test_no_science import arithmetic

from ddpm_lite.viz.widgets import base

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf8")
SECTION = TEXT[TEXT.index("## Add a widget") :].partition("\n## ")[0]


def block(language):
    """The one block of code in a language."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", SECTION, flags=re.DOTALL)
    return code


@pytest.fixture
def built(tmp_path_factory, monkeypatch):
    """A folder of bundles, among them the example's."""
    modules = copy_scripts(tmp_path_factory.mktemp("copy"), monkeypatch)
    (modules / "signal-left.js").write_text(block("javascript"), encoding="utf8")
    for name, text in bundle.bundle().items():
        (bundle.BUNDLES / name).write_text(text, encoding="utf8")
    return bundle.BUNDLES


@pytest.fixture
def example(built, monkeypatch):
    """The example's class, and its script where pages look for it."""
    monkeypatch.setattr(base, "BUNDLES", built)
    monkeypatch.setattr(ddpm_book.widgets, "BUNDLES", built / "page")
    module = ModuleType("signal_left")
    monkeypatch.setitem(sys.modules, "signal_left", module)
    exec(compile(block("python"), "signal_left.py", "exec"), vars(module))
    return module.SignalLeft


def test_class_is_a_widget_with_a_twin(example):
    widget = example()
    assert widget.weight(0) == 1
    assert widget.weight(1000) == pytest.approx(0.006353, rel=1e-3)  # sqrt(alpha_bar_1000) of the paper
    assert example(t=200).twin() == example(t=200).twin()
    assert "at t = 300 it is 0.630" in widget.twin()
    assert widget.still().count("<circle") == 1
    with pytest.raises(ValueError, match="t: expected"):
        example(t=1001)


@pytest.mark.html
def test_module_works_on_a_page(example, stand):
    page = stand(example())
    slider = page.page.get_by_label("time t")
    slider.focus()
    page.page.keyboard.press("End")
    assert page.get("t") == 1000
    assert float(page.facts()["Weight of x₀:"]) == pytest.approx(0.006353, rel=1e-3)
    page.page.keyboard.press("Home")
    assert page.facts() == {"Weight of x₀:": "1"}


def test_example_passes_the_checkers(built):
    assert bundle.check() == []


def test_limits_are_those_that_are_held():
    told = [int(number.replace(",", "")) for number in re.findall(r"at most ([\d,]*\d)", SECTION)]
    assert told == [bundle.ALL, bundle.PAGE, bundle.GZIPPED, bundle.ASKED]


def test_command_prints_the_weights_of_today():
    (command,) = re.findall(r"`\.venv/bin/python (tools/bundle\.py --weigh)`", SECTION)
    done = subprocess.run([sys.executable, *command.split()], cwd=ROOT, capture_output=True, text=True, check=True)
    sums = re.findall(r": ([\d,]+) of ([\d,]+) bytes$", done.stdout, flags=re.MULTILINE)
    each = re.findall(r"^  (\S+): ([\d,]+)$", done.stdout, flags=re.MULTILINE)
    *measured, weights = test_widgets.weigh()
    limits = (bundle.ALL, bundle.PAGE, bundle.PAGE, bundle.ASKED)
    assert sums == [(f"{weight:,}", f"{limit:,}") for weight, limit in zip(measured, limits, strict=True)]
    assert dict(each) == {name: f"{weight:,}" for name, weight in weights.items()}


def test_class_computes_no_science():
    assert arithmetic(block("python")) == []


def test_tool_lists_the_example(tmp_path, monkeypatch):
    """Of the three files none is the list of imports, which the tool writes."""
    folder = tmp_path / "widgets"
    shutil.copytree(bundle.WIDGETS, folder)
    monkeypatch.setattr(bundle, "WIDGETS", folder)
    before = (folder / "__init__.py").read_text(encoding="utf8")
    assert bundle.imports() == before
    (folder / "signal_left.py").write_text(block("python"), encoding="utf8")
    lines = set(bundle.imports().splitlines()) - set(before.splitlines())
    assert lines == {"from ddpm_lite.viz.widgets.signal_left import SignalLeft", '    "SignalLeft",'}
    monkeypatch.setattr(bundle, "run_node", lambda *arguments: CompletedProcess(arguments, 0))  # no look at the scripts
    monkeypatch.setattr(bundle, "bundle", dict)
    monkeypatch.setattr(bundle, "stale", lambda made: [])
    (finding,) = bundle.check()
    assert finding.startswith("imports:")
