"""Types and shapes of the package are checked while tests run; `plain` turns that off for one test."""

import signal
import sys
from pathlib import Path

import numpy as np
from jaxtyping import config, install_import_hook

install_import_hook("ddpm_lite", "typechecker.check")

import pytest  # noqa: E402 - the hook must be there before anything imports the package
import torch  # noqa: E402

CLOTHES = Path(__file__).parent / "fashion" / "held_out.npz"

# A shell starts what runs in the background with Ctrl-C ignored, and children inherit that. The tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """What the system lacks for a test, said where it is left out."""
    if sys.platform == "win32":
        for item in items:
            if item.get_closest_marker("posix"):
                item.add_marker(pytest.mark.skip(reason="needs signals, forks or limits that Windows lacks"))


@pytest.fixture
def plain():
    """As a user runs it, with no type checker: bad input meets our own one-line messages."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture
def generator():
    """Random numbers that are the same in every run."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def clothes():
    """1,000 held-out images of Fashion-MNIST as `load_fashion_mnist` gives them, and their labels: no download."""
    with np.load(CLOTHES) as held_out:
        return torch.from_numpy(held_out["images"]), torch.from_numpy(held_out["labels"].astype(np.int64))


@pytest.fixture(autouse=True)
def bare_machine(request, monkeypatch, tmp_path_factory):
    """No test finds the data sets that this machine happens to have, but those that ask for them by their marker."""
    if not request.node.get_closest_marker("fulldata"):
        monkeypatch.setattr("ddpm_lite.files.published.FASHION_PACKAGE", Path("no such package"))
        monkeypatch.setenv("DDPM_LITE_DATA", str(tmp_path_factory.getbasetemp() / "no data"))


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """`run("sample", ...)` in an empty folder: the exit code, and what was printed on both streams."""
    from ddpm_lite.cli import commands

    monkeypatch.chdir(tmp_path)

    def command(*words):
        try:
            code = commands.main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return command


@pytest.fixture(scope="session")
def browser():
    """Chromium; only the tests marked html need it."""
    import chromium
    from playwright.sync_api import sync_playwright

    path = chromium.find()
    assert path, "there is no Chromium: run `python tools/chromium.py`, it says what to do"
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=chromium.ARGUMENTS)


def pytest_generate_tests(metafunc):
    """Pages of `stand` are opened as files, which may do less than pages of a server; where it can matter, as both."""
    if "stand" in metafunc.fixturenames:
        both = metafunc.definition.get_closest_marker("transports") is not None
        metafunc.parametrize("stand", ["file", "http"] if both else ["file"], indirect=True)


@pytest.fixture
def stand(request, browser, tmp_path):
    """`stand(widget, ...)` shows widgets on a page; it ends quiet."""
    from stands import Served, Stand

    served = Served(tmp_path) if request.param == "http" else None
    made = []

    def open_page(*widgets, **options):
        made.append(Stand(browser, tmp_path, widgets, origin=served and served.origin, **options))
        return made[-1]

    yield open_page
    for one in made:
        one.context.close()
    if served:
        served.close()
    assert [(one.foreign, one.complaints) for one in made] == [([], [])] * len(made)
