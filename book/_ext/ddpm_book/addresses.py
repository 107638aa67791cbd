"""The project's addresses, from [project.urls] of pyproject.toml: where the pages live, and the buttons to the code."""

import tomllib
from pathlib import Path

GITHUB = "https://github.com/"
# Where the theme's buttons open a chapter: binder/environment.yml is what Binder installs.
LAUNCH = {
    "notebook_interface": "jupyterlab",
    "binderhub_url": "https://mybinder.org",
    "colab_url": "https://colab.research.google.com",
}


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
        if urls["Repository"].startswith(GITHUB):  # the services open nothing else
            config.html_theme_options["launch_buttons"] = LAUNCH


def add_codespaces(app, pagename, templatename, context, doctree):
    """Beside Colab and Binder, which the theme writes: a machine of the reader's own, with the whole repository."""
    for group in context.get("header_buttons", []):
        if group.get("label") == "launch-buttons":
            name = app.config.html_theme_options["repository_url"].removeprefix(GITHUB).strip("/")
            url = f"https://codespaces.new/{name}?quickstart=1"
            button = {"type": "link", "text": "Codespaces", "tooltip": "Launch on Codespaces", "url": url}
            group["buttons"].append(button | {"icon": "fab fa-github"})


def setup(app):
    app.connect("config-inited", take_over, priority=100)
    app.connect("html-page-context", add_codespaces, priority=900)  # after the theme's own buttons
