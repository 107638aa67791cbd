"""The package's page shows the README. Its pictures and links are relative, so here they get the repository's address.

Without an address, in [project.urls] of pyproject.toml, pictures are left out and links keep their words: nothing there
is broken.
"""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

PICTURE = re.compile(r"!\[([^\]]*)\]\((?!\w+:)([^)]+)\)\n*")
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!\w+:|#)([^)]+)\)")


def describe(readme, repository=None):
    """The README as a page outside of the repository may show it."""
    if not repository:
        return LINK.sub(r"\1", PICTURE.sub("", readme))
    home = repository.rstrip("/")
    readme = PICTURE.sub(lambda found: found[0].replace(f"({found[2]})", f"({home}/raw/main/{found[2]})"), readme)
    return LINK.sub(rf"[\1]({home}/blob/main/\2)", readme)


class Description(MetadataHookInterface):
    """Called by hatchling, which finds the class by its base."""

    def update(self, metadata):
        text = Path(self.root, "README.md").read_text(encoding="utf8")
        repository = metadata.get("urls", {}).get("Repository")
        metadata["readme"] = {"content-type": "text/markdown", "text": describe(text, repository)}
