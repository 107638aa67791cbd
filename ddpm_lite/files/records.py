"""Recorded runs, for figures that take too long to compute on the page.

The package brings them along, so a chapter finds its records by their names wherever it is opened.
"""

import json
import platform
from pathlib import Path

import torch
from torch import Tensor

from ddpm_lite._check import fail
from ddpm_lite.files.pixels import from_bytes

COMMANDS = "commands.json"  # beside the records: how each of them is made
PACKAGE = Path(__file__).resolve().parents[1]
# Where they are when the path leads nowhere: in an installed package, and in the repository.
PLACES = (PACKAGE / "results", PACKAGE.parent / "book" / "results")


def read_record(path: str | Path) -> dict:
    """A record of a run: what it found, and the circumstances in which it did.

    Args:
        path: of a .json file.

    Raises:
        FileNotFoundError: it is not there; the one line says which command makes it again.
    """
    return json.loads(_there(path).read_text(encoding="utf8"))


def read_pictures(path: str | Path) -> dict[str, Tensor]:
    """The images of a record, by name, (N, C, H, W) in [-1, 1].

    Args:
        path: of a .safetensors file of bytes.

    Raises:
        FileNotFoundError: as in `read_record`.
    """
    from safetensors import safe_open

    with safe_open(_there(path), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    return {name: from_bytes(values) for name, values in tensors.items() if values.dtype == torch.uint8}


def find_record(path: str | Path) -> Path:
    """The record at this path; if there is none, that of the same name which comes with the package.

    Args:
        path: of a file in a folder named results, as in "results/steps.json".

    Returns:
        The path of a file that is there; the path that was given if the package has none of that name either.
    """
    path = Path(path)
    if not path.is_file() and "results" in path.parts:
        name = path.parts[len(path.parts) - path.parts[::-1].index("results") :]
        for place in PLACES:
            if name and place.joinpath(*name).is_file():
                return place.joinpath(*name)
    return path


def _there(path: str | Path) -> Path:
    """The path of a record that is there."""
    path = find_record(path)
    if not path.is_file():
        command = ""
        for folder in path.parents[:2]:  # a record may lie in a folder beside the list
            listed = folder / COMMANDS
            if listed.is_file():
                made = json.loads(listed.read_text(encoding="utf8"))
                command = command or made.get(path.relative_to(folder).as_posix(), "")
        advice = f"make it again: {command}" if command else ""
        fail(FileNotFoundError, "path", "a recorded run", f"{path.as_posix()!r}, which is not there", advice)
    return path


def name_processor() -> str:
    """What the system calls this machine's processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
