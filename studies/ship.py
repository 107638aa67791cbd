"""Add a file of weights to those that come with the package, with its line in SHA256SUMS."""

import hashlib
from pathlib import Path

from ddpm_lite.files.weights import PRETRAINED, SUMS, write_whole


def ship(name: str, content: bytes) -> Path:
    """Write a shipped file, and the SHA-256 that `weights.find_shipped` compares it with.

    Args:
        name: the path below `pretrained`, such as "features/digits.safetensors".
        content: the whole file.
    """
    path = PRETRAINED / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = SUMS.read_text(encoding="ascii").splitlines() if SUMS.is_file() else []
    sums = {line.split()[1]: line.split()[0] for line in lines} | {name: hashlib.sha256(content).hexdigest()}
    write_whole(path, content)
    write_whole(SUMS, "".join(f"{sums[key]}  {key}\n" for key in sorted(sums)).encode("ascii"))
    return path
