"""A chapter that is opened elsewhere: the cell that installs the package, the links, and what the services read."""

import importlib.util
import json
import tomllib
from pathlib import Path
from types import SimpleNamespace

import install_cell
import notebooks
import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
ADDRESS = "https://github.com/somebody/ddpm-lite"


@pytest.mark.form
@pytest.mark.parametrize("path", notebooks.chapters(), ids=lambda path: path.stem)
def test_first_cell_installs_the_package(path):
    cells = notebooks.read(path)["cells"]
    first = next(cell for cell in cells if cell["cell_type"] == "code")
    assert first["id"] == install_cell.CELL
    assert first["source"] == install_cell.make_source(PROJECT), "run: python tools/install_cell.py"
    assert first["outputs"] == []
    assert first["metadata"] == install_cell.METADATA
    assert [cell["id"] for cell in cells].count(install_cell.CELL) == 1
    assert len([line for line in first["source"].splitlines() if line]) <= 4


def run_cell(project):
    """What the cell asks pip for: a list of the lines."""
    asked = []

    class Shell:
        def run_line_magic(self, name, line):
            assert name == "pip"
            asked.append(line)

    exec(install_cell.make_source(project), {"get_ipython": Shell})
    return asked


def test_cell_does_nothing_where_the_package_is():
    assert run_cell(PROJECT) == []


@pytest.mark.parametrize("urls", [{}, {"Repository": ADDRESS}], ids=["no address", "an address"])
def test_cell_installs_where_the_package_is_missing(urls, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (line,) = run_cell(PROJECT | {"urls": urls})
    options, requirement, rest = line.split('"')
    assert (options, rest) == ("install -q ", "")
    wanted = Requirement(requirement)
    assert wanted.name == PROJECT["name"]
    assert wanted.extras <= set(PROJECT["optional-dependencies"])
    assert wanted.url == (f"git+{ADDRESS}" if urls else None)


def take_over(tmp_path, urls):
    """The theme's options after the extension read a project with these addresses."""
    from ddpm_book import addresses

    lines = "\n".join(f'{name} = "{value}"' for name, value in urls.items())
    (tmp_path / "pyproject.toml").write_text(f"[project.urls]\n{lines}\n", encoding="utf8")
    config = SimpleNamespace(html_theme_options={}, html_baseurl="")
    addresses.take_over(SimpleNamespace(confdir=tmp_path), config)
    return config


@pytest.mark.parametrize("urls", [{}, {"Repository": "https://example.org/r"}], ids=["no address", "another host"])
def test_without_a_repository_that_they_can_open_no_service_is_offered(urls, tmp_path):
    assert "launch_buttons" not in take_over(tmp_path, urls).html_theme_options


def test_with_an_address_each_chapter_can_be_opened_elsewhere(tmp_path):
    from ddpm_book import addresses
    from sphinx_book_theme.header_buttons import launch

    config = take_over(tmp_path, {"Repository": ADDRESS})
    env = SimpleNamespace(
        doc2path=lambda name: str(ROOT / f"{name}.ipynb"), metadata={"book/03_posterior": {"kernelspec": {}}}
    )

    class Config(dict):
        html_theme_options = config.html_theme_options

    app = SimpleNamespace(env=env, config=Config(html_theme_options=config.html_theme_options), outdir=tmp_path)
    context = {
        "pagename": "book/03_posterior",
        "sourcename": "book/03_posterior.ipynb",
        "header_buttons": [],
        # The theme splits repository_url into these when the build begins.
        "github_url": "https://github.com",
        "github_user": "somebody",
        "github_repo": "ddpm-lite",
    }
    launch.add_launch_buttons(app, "book/03_posterior", "", context, None)
    addresses.add_codespaces(app, "book/03_posterior", "", context, None)
    (group,) = context["header_buttons"]
    assert {button["text"]: button["url"] for button in group["buttons"]} == {
        "Binder": "https://mybinder.org/v2/gh/somebody/ddpm-lite/main?urlpath=lab/tree/book/03_posterior.ipynb",
        "Colab": "https://colab.research.google.com/github/somebody/ddpm-lite/blob/main/book/03_posterior.ipynb",
        "Codespaces": "https://codespaces.new/somebody/ddpm-lite?quickstart=1",
    }


def test_services_install_what_a_reader_needs():
    binder = yaml.safe_load((ROOT / "binder/environment.yml").read_text("utf8"))["dependencies"][-1]["pip"]
    index, constraint, package = binder
    assert index.startswith("--extra-index-url ")
    assert (ROOT / "binder" / constraint.removeprefix("-c ")).resolve() == ROOT / "constraints.txt"
    assert package == "-e ..[book]"
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text("utf8"))
    assert container["postCreateCommand"].endswith("pip install -c constraints.txt -e '.[book]'")
    assert (ROOT / container["customizations"]["codespaces"]["openFiles"][0]).is_file()
