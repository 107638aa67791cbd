"""Recorded runs, for figures that take too long to compute in a chapter.

They are part of the package, so that a chapter finds its records by name wherever it is opened.
"""

import json
import platform
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor

from ddpm_lite._check import fail
from ddpm_lite.files.pixels import from_bytes

COMMANDS = "commands.json"  # beside the records: the command that makes each of them
PACKAGE = Path(__file__).resolve().parents[1]
# Where to look if nothing is at the given path: in an installed package, and in the repository.
PLACES = (PACKAGE / "results", PACKAGE.parent / "book" / "results")


def read_record(path: str | Path) -> dict:
    """Read the record of a run: its results, and the hardware, versions and command that produced them.

    Args:
        path: the path of a .json file.

    Raises:
        FileNotFoundError: there is no such record; the message gives the command that makes it.
    """
    return json.loads(_locate(path).read_text(encoding="utf8"))


def read_pictures(path: str | Path) -> dict[str, Tensor]:
    """Read the images of a record, by name, (N, C, H, W) in [-1, 1].

    Args:
        path: the path of a .safetensors file of bytes.

    Raises:
        FileNotFoundError: as in `read_record`.
    """
    from safetensors import safe_open

    with safe_open(_locate(path), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    return {name: from_bytes(values) for name, values in tensors.items() if values.dtype == torch.uint8}


def find_record(path: str | Path) -> Path:
    """Find the record at this path, or the record of the same name that comes with the package.

    Args:
        path: the path of a file in a folder named results, as in "results/steps.json".

    Returns:
        The path of an existing file, or the given path if the package has no record of that name either.
    """
    path = Path(path)
    if not path.is_file() and "results" in path.parts:
        name = path.parts[len(path.parts) - path.parts[::-1].index("results") :]
        for place in PLACES:
            if name and place.joinpath(*name).is_file():
                return place.joinpath(*name)
    return path


def _locate(path: str | Path) -> Path:
    """Return the path of an existing record, or raise an error with the command that makes it."""
    path = find_record(path)
    if not path.is_file():
        command = ""
        for folder in path.parents[:2]:  # a record may be in a subfolder beside the list
            listed = folder / COMMANDS
            if listed.is_file():
                made = json.loads(listed.read_text(encoding="utf8"))
                command = command or made.get(path.relative_to(folder).as_posix(), "")
        advice = f"make it again: {command}" if command else ""
        fail(FileNotFoundError, "path", "a recorded run", f"{path.as_posix()!r}, which does not exist", advice)
    return path


def name_processor() -> str:
    """Return the system's name for this machine's processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def find_version(name: str) -> str:
    """Return the version of an installed package, or "?" for one that runs from its source without an installation."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "?"
