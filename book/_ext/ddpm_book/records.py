"""Stop the build where a recorded run is gone: the page would show figures that nobody could make again."""

import json
from pathlib import Path

from sphinx.errors import ExtensionError


def missing(commands):
    """The recorded runs that are not beside the file with their commands: name -> command."""
    listed = json.loads(commands.read_text(encoding="utf8"))
    return {name: command for name, command in listed.items() if not (commands.parent / name).is_file()}


def look(app):
    if not app.config.ddpm_records:
        return
    commands = Path(app.srcdir) / app.config.ddpm_records
    lost = [f"{commands.parent / name} is missing: run {command}" for name, command in missing(commands).items()]
    if lost:
        raise ExtensionError("\n".join(lost))


def setup(app):
    app.add_config_value("ddpm_records", "", "env", [str])
    app.connect("builder-inited", look)
