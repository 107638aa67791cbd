"""One request to stop, in as many signals as it comes, is answered by a checkpoint; a second request stops at once."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).with_name("signalled.py")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What came of each run."""
    folder = tmp_path_factory.mktemp("signals")
    done = subprocess.run([sys.executable, DRIVER, folder], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.posix
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("one", 130),
        ("one to the group", 130),
        ("timeout", 143),
        ("timeout -s INT", 130),
        ("soon", 130),
        ("three soon", 143),
        ("another soon", 130),
    ],
)
def test_one_request_is_answered_by_a_checkpoint(found, name, code):
    said = "stopped after step 2; step-000002 is written, and fit resumes from there" if code == 130 else ""
    assert found[name] == {"code": code, "said": said, "steps": ["step-000002"]}


@pytest.mark.posix
@pytest.mark.parametrize(
    ("name", "code"), [("late", 130), ("late to the group", -signal.SIGTERM), ("another late", -signal.SIGTERM)]
)
def test_a_second_request_stops_at_once(found, name, code):
    assert found[name] == {"code": code, "said": "", "steps": []}


@pytest.mark.posix
def test_without_a_signal_the_run_ends(found):
    assert found["nothing"] == {"code": 0, "said": "", "steps": ["step-000004"]}
