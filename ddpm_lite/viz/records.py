"""Recorded runs, for figures that take too long to compute on the page."""

import json
from pathlib import Path

from ddpm_lite._check import fail

COMMANDS = "commands.json"  # beside the records: how each of them is made


def read_record(path: str | Path) -> dict:
    """A record of a run: what it found, and the circumstances in which it did.

    Args:
        path: of a .json file.

    Raises:
        FileNotFoundError: it is not there; the one line says which command makes it again.
    """
    path = Path(path)
    if not path.is_file():
        commands = path.parent / COMMANDS
        command = json.loads(commands.read_text(encoding="utf8")).get(path.name) if commands.is_file() else None
        advice = f"make it again: {command}" if command else ""
        fail(FileNotFoundError, "path", "a recorded run", f"{path.as_posix()!r}, which is not there", advice)
    return json.loads(path.read_text(encoding="utf8"))
