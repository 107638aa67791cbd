"""Copy MathJax from the package sphinx-mathjax-offline into the book.

Only what a page can ask for is copied: the bundle, its fonts, and the TeX extensions that it loads
on first use (without them \\boldsymbol asks for a file that is not there).
"""

import shutil
from importlib.util import find_spec
from pathlib import Path

from sphinx.errors import ExtensionError

PARTS = ("tex-chtml.js", "output/chtml/fonts", "input/tex/extensions")


def _source():
    # The package's folder is spelt with hyphens, so it cannot be imported by an import statement.
    spec = find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise ExtensionError("MathJax is not installed: pip install sphinx-mathjax-offline")
    return Path(spec.origin).parent / "static" / "mathjax"


def copy(app, error):
    """After a successful build, put MathJax where mathjax_path points to."""
    if error is not None or app.builder.format != "html":
        return
    source, target = _source(), Path(app.outdir, "_static", "mathjax")
    for part in PARTS:
        if not (source / part).exists():
            raise ExtensionError(f"sphinx-mathjax-offline has no {part}: is it version 0.0.2?")
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, dirs_exist_ok=True)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / part, target / part)


def setup(app):
    app.connect("build-finished", copy)
