"""The project's addresses, from [project.urls] of pyproject.toml: where the pages live, and the buttons to the code."""

import tomllib
from pathlib import Path


def take_over(app, config):
    """Before the theme reads its options. Without an address there is no button, and pages name no home."""
    path = Path(app.confdir) / "pyproject.toml"
    urls = tomllib.loads(path.read_text(encoding="utf8"))["project"].get("urls", {}) if path.is_file() else {}
    if "Documentation" in urls:
        config.html_baseurl = urls["Documentation"]
    if "Repository" in urls:
        buttons = {"use_repository_button": True, "use_issues_button": True}
        where = {"repository_url": urls["Repository"], "repository_branch": "main", "repository_provider": "github"}
        config.html_theme_options |= where | buttons


def setup(app):
    app.connect("config-inited", take_over, priority=100)
