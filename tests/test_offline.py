"""The guard of the other tests refuses connections to other machines, and names the test that tried one."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import loopback_only
import pytest

ROOT = Path(__file__).resolve().parents[1]
ASKING = """
import socket, subprocess, sys
import pytest

def test_name():
    with pytest.raises(OSError, match="stay on this machine"):
        socket.getaddrinfo("example.org", 443)

def test_caught():
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    except OSError:
        pass

def test_datagram():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plug, pytest.raises(OSError, match="stay"):
        plug.sendto(b"x", ("192.0.2.1", 53))

def test_child():
    done = subprocess.run([sys.executable, "-c", "import socket; socket.create_connection(('192.0.2.1', 80))"])
    assert done.returncode == 1

def test_quiet():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1])).close()

@pytest.mark.fulldata
def test_large():
    raise AssertionError("not to be run")
"""


def test_a_test_that_asks_another_machine_is_named(tmp_path):
    """In a worker of pytest-xdist, which runs the tests of `make test`; the report comes from its parent."""
    for part in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / part, tmp_path)
    shutil.copytree(ROOT / "tests" / "offline", tmp_path / "tests" / "offline")
    (tmp_path / "test_asking.py").write_text(ASKING, encoding="utf8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # they take seconds to load
    command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist", "-n", "1", "test_asking.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "5 passed" in done.stdout
    assert "4 errors" in done.stdout
    for name, host in {"name": "example.org", **dict.fromkeys(("caught", "datagram", "child"), "192.0.2.1")}.items():
        assert f"test_asking.py::test_{name} tried to leave the machine" in done.stdout
        assert f"test_asking.py::test_{name} (call) asked for '{host}'" in done.stdout
    assert "1 test left out" in done.stdout


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.0.1", "localhost", "::1", b"localhost", None, "", socket.gethostname()]
)
def test_loopback_is_no_other_machine(host):
    assert loopback_only.is_loopback(host)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "example.org", b"example.org", "localhost.example.org"])
def test_other_machines(host):
    assert not loopback_only.is_loopback(host)
