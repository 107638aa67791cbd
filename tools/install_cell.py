"""Write the first code cell of every chapter, which installs the package where it is missing, as in Colab.

    python tools/install_cell.py           write the cell into every notebook where it is missing or another
    python tools/install_cell.py --check   write nothing; name the notebooks that would change

It installs from the repository's address in pyproject.toml, once there is one, and from PyPI until then. Where the
package is installed the cell does nothing, and the pages leave it out.
"""

import sys
import tomllib

import notebooks

EXTRA = "chapters"
CELL = "install"  # its id
METADATA = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["remove-cell"]}
SOURCE = """\
# @title Install the package where it is missing, as in Colab
import importlib.util

if importlib.util.find_spec("ddpm_lite") is None:
    get_ipython().run_line_magic("pip", 'install -q "{what}"')"""


def find_package(project):
    """The requirement that pip gets: the package's name, and where it lies if the project has an address."""
    name = f"{project['name']}[{EXTRA}]"
    repository = project.get("urls", {}).get("Repository")
    return f"{name} @ git+{repository.rstrip('/')}" if repository else name


def make_source(project):
    """The code of the cell."""
    return SOURCE.format(what=find_package(project))


def add(notebook, source):
    """Put the cell before every other cell of code, in place of an older one."""
    cells = [cell for cell in notebook["cells"] if cell["id"] != CELL]
    first = next(index for index, cell in enumerate(cells) if cell["cell_type"] == "code")
    made = {
        "cell_type": "code",
        "execution_count": notebooks.RAN,
        "id": CELL,
        "metadata": METADATA,
        "outputs": [],
        "source": source,
    }
    notebook["cells"] = [*cells[:first], notebooks.nbformat.from_dict(made), *cells[first:]]
    return notebook


def main(arguments):
    text = (notebooks.ROOT / "pyproject.toml").read_text(encoding="utf8")
    source = make_source(tomllib.loads(text)["project"])
    changed = []
    for path in notebooks.chapters():
        whole = notebooks.normalise(add(notebooks.read(path), source))
        if whole != path.read_text(encoding="utf8"):
            changed.append(path.name)
            if arguments != ["--check"]:
                notebooks.write_atomically(path, whole)
    print("\n".join(changed) or "every chapter has the cell")
    return 1 if changed and arguments == ["--check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
