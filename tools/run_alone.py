"""Run every chapter where there is nothing but its file: in an empty folder, with the installed package.

    python tools/run_alone.py                      every chapter
    python tools/run_alone.py book/08_training.ipynb  only this one

The environment needs the wheel with [chapters], and for this script nbclient, ipykernel and pyyaml.

No output is compared, as nbval does that; this finds what a chapter reads from the repository.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import notebooks
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


def run(path):
    """Run a copy of a notebook in an empty folder; the error in a few lines, or None."""
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copy(path, folder)
        notebook = nbformat.read(copy, as_version=4)
        client = NotebookClient(
            notebook, timeout=notebooks.CELL_TIMEOUT, kernel_name="python3", resources={"metadata": {"path": folder}}
        )
        try:
            client.execute()
        except CellExecutionError as error:
            return f"{error.ename}: {error.evalue}"
    return None


def main(arguments):
    import ddpm_lite

    place = Path(ddpm_lite.__file__).resolve()
    if place.is_relative_to(notebooks.ROOT):
        print(f"run_alone: expected the installed wheel, got the working copy {place.parent}", file=sys.stderr)
        return 2
    failed = 0
    for path in [Path(name) for name in arguments] or notebooks.chapters():
        start = time.monotonic()
        error = run(path)
        failed += error is not None
        print(f"{path.stem}: {error or 'ran to its end'} ({time.monotonic() - start:.0f} s)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
