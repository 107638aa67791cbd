"""What holds for every run, of tests and of chapters: one thread, no network, and a word on what was left out."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

# Before torch is imported, and for whatever the tests start. Two threads that wait for each other are slow on a busy
# machine; as many processes as cores (`-n auto`) are as fast on a quiet one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

OFFLINE = str(Path(__file__).parent / "tests" / "offline")
sys.path.insert(0, OFFLINE)

import loopback_only  # noqa: E402

loopback_only.install()
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (OFFLINE, os.environ.get("PYTHONPATH"))))
NOTES = Path(tempfile.mkdtemp(), "went-out")  # of this process and of what it starts
os.environ[loopback_only.NOTES] = str(NOTES)

LEFT_OUT = pytest.StashKey()


def pytest_configure(config):
    config.stash[LEFT_OUT] = 0


def pytest_itemcollected(item):
    """Have nbval compare no figure: as with its pixels, its last digits depend on the machine."""
    overlooked = getattr(item.parent, "skip_compare", None)
    if overlooked is not None and "image/svg+xml" not in overlooked:
        item.parent.skip_compare = (*overlooked, "image/svg+xml")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """The tests that want a full data set may fetch it: they are asked for by name."""
    if item.get_closest_marker("fulldata"):
        del os.environ[loopback_only.NOTES]
        try:
            return (yield)
        finally:
            os.environ[loopback_only.NOTES] = str(NOTES)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item):
    yield
    if NOTES.exists():
        found = NOTES.read_text(encoding="utf8")
        NOTES.unlink()
        pytest.fail(f"{item.nodeid} tried to leave the machine:\n{found}", pytrace=False)


def pytest_deselected(items):
    for item in items:
        if item.get_closest_marker("fulldata"):
            item.config.stash[LEFT_OUT] += 1


# With pytest-xdist the workers collect, each all of the tests, and one process reports.
def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    left_out = getattr(node, "workeroutput", {}).get("left_out", 0)
    node.config.stash[LEFT_OUT] = max(node.config.stash[LEFT_OUT], left_out)


def pytest_terminal_summary(terminalreporter, config):
    if count := config.stash[LEFT_OUT]:
        what = f"{count} test{'s' * (count > 1)} left out that want a full data set"
        terminalreporter.write_line(f"{what}: python -m pytest -m fulldata (fetches 67 MB if they are not here)")
