"""Check whether a tag can be released: `python tools/check_release.py v0.1.0`.

It must name the version of pyproject.toml, of the package and of the citation, and the changelog must open with that
version and the day of its release.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def find_faults(tag: str, root: Path = ROOT) -> list[str]:
    """List what prevents a release, one line for each file."""

    def read(name: str) -> str:
        return (root / name).read_text(encoding="utf8")

    version, wanted = tomllib.loads(read("pyproject.toml"))["project"]["version"], tag.removeprefix("v")
    said = {
        "pyproject.toml": [version],
        "ddpm_lite/__init__.py": re.findall(r'^__version__ = "(.+)"$', read("ddpm_lite/__init__.py"), re.M),
        "CITATION.cff": re.findall(r"^version: (.+)$", read("CITATION.cff"), re.M),
        "CHANGELOG.md": re.findall(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", read("CHANGELOG.md"), re.M)[:1],
    }
    return [
        f"{name}: expected version {wanted}, as the tag {tag} says, got {', '.join(found) or 'none that has a date'}"
        for name, found in said.items()
        if found != [wanted]
    ]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/check_release.py TAG")
    sys.exit("\n".join(find_faults(sys.argv[1])) or None)
