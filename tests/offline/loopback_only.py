"""No test leaves the machine: every connection and every question for a name but loopback's is refused and noted.

The root's conftest.py installs this where the tests run, and `sitecustomize.py` beside it in every Python that a test
starts (through PYTHONPATH). A note is one line of the file $TESTS_WENT_OUT, as code under test may catch the OSError.
"""

import ipaddress
import os
import socket
import sys

NOTES = "TESTS_WENT_OUT"
CONNECTS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
RESOLVES = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}


def is_loopback(host):
    host = host.decode() if isinstance(host, bytes) else host
    if host in (None, "", "localhost", "0.0.0.0", "::", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse(event, arguments):
    if event in CONNECTS:
        # ("host", port, ...); a path, where a socket of the file system is meant; None, where it is connected already
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None
    elif event in RESOLVES:
        host = arguments[0]
    else:
        return
    if not is_loopback(host) and (notes := os.environ.get(NOTES)):
        with open(notes, "a", encoding="utf8") as file:
            file.write(f"{os.environ.get('PYTEST_CURRENT_TEST', 'no test')} asked for {host!r}\n")
        raise OSError(f"tests stay on this machine: {host!r} was refused")


def install():
    """For good: an audit hook sees every socket of Python's, whichever library opens it, and cannot be taken out."""
    sys.addaudithook(refuse)
