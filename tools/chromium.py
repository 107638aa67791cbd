"""Find the Chromium that the browser tests use, or install one the way this platform allows.

    python tools/chromium.py            print its path; install it first if there is none

Set CHROMIUM to a browser's path to use that one.
"""

import os
import platform
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
# No sandbox, because containers have none, and only our own pages are opened.
# The rest keeps the browser itself from using the network.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def _starts(path):
    # Ubuntu's chromium-browser can be a stub that only recommends a snap, so check its version.
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and b"Chrom" in answer.stdout


def _playwrights_own():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


def find():
    """Find the path of a Chromium that starts, or None."""
    if chosen := os.environ.get("CHROMIUM"):
        return chosen if _starts(chosen) else None
    candidates = [path for name in NAMES if (path := shutil.which(name))]
    candidates += [path for path in APPLICATIONS if Path(path).exists()]
    for path in candidates:
        if _starts(path):
            return path
    own = _playwrights_own()
    return own if Path(own).exists() and _starts(own) else None


def install():
    """Try apt if we are root on Debian or Ubuntu, then playwright's own download."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    attempts = []
    if root and shutil.which("apt-get"):
        attempts += [["apt-get", "update", "-q"]]
        attempts += [["apt-get", "install", "-q", "-y", "--no-install-recommends", "chromium"]]
    with_deps = ["--with-deps"] if root and shutil.which("apt-get") else []
    attempts += [[sys.executable, "-m", "playwright", "install", *with_deps, "chromium"]]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in attempts:
        print("chromium:", " ".join(command), file=sys.stderr, flush=True)
        subprocess.run(command, env=environment, stdout=sys.stderr, check=False)
        if path := find():
            return path
    return None


@contextmanager
def launch_to_time(also=""):
    """A browser in which pages are timed; what it is and how busy the machine is are printed first."""
    from playwright.sync_api import sync_playwright

    path = find()
    if not path:
        sys.exit("there is no Chromium: run `python tools/chromium.py`, it says what to do")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        print(f"Chromium {browser.version} on {platform.machine()}{also}")
        print(f"load before the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        yield browser
        browser.close()


def main():
    path = find()
    if path is None and (chosen := os.environ.get("CHROMIUM")):
        print(f"chromium: CHROMIUM={chosen} does not start", file=sys.stderr)
        return 1
    path = path or install()
    if path is None:
        print(
            "chromium: the browser tests need Chromium or Chrome, none was found and none could be"
            " installed. Install one, or set CHROMIUM to its path.",
            file=sys.stderr,
        )
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
