"""The committed bundles are what the modules build to, and the modules pass their checkers."""

import json
import re

import bundle
import pytest
from javascript import copy_scripts

from ddpm_lite.viz.widgets.base import BUNDLES


@pytest.fixture(scope="module")
def made():
    """Every bundle, built now."""
    return bundle.bundle()


def test_bundles_are_what_the_modules_build_to(made):
    assert bundle.stale(made) == [], "run `python tools/bundle.py` and commit what it writes"


def test_a_changed_bundle_is_noticed(made):
    name = "page/host.js"
    assert bundle.stale(made | {name: made[name] + " "}) == [name]
    assert bundle.stale({other: text for other, text in made.items() if other != name}) == [name]
    assert bundle.stale(made | {"page/new.js": ""}) == ["page/new.js"]


def test_types_and_style_are_right():
    assert bundle.check() == []


@pytest.mark.parametrize(
    ("damage", "tool"),
    [("export const a = (/** @type {number} */ b) => b.length;", "tsc"), ("var a = 1; export { a };", "eslint")],
)
def test_what_is_wrong_is_reported(damage, tool, tmp_path, monkeypatch):
    (copy_scripts(tmp_path, monkeypatch) / "shared" / "damage.js").write_text(damage)
    (found,) = bundle.check()
    assert found.startswith(f"{tool}:")
    assert "damage.js" in found


def test_jupyter_gets_one_module_without_imports():
    for path in (BUNDLES / "jupyter").glob("*.js"):
        text = path.read_text(encoding="utf8")
        assert not re.search(r"\bimport\s*[\"'{*(]", text), path.name
        assert re.search(r"export\s*\{\s*[\w$]+ as default\s*\}", text), path.name


def test_the_lock_names_no_host():
    """npm asks the registry that a machine is set to, whichever it is."""
    lock = json.loads((bundle.ROOT / "package-lock.json").read_text(encoding="utf8"))
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
    assert all("integrity" in package for name, package in lock["packages"].items() if name)
