"""Run the book's notebooks and store them in a normal form, so that a second run changes no byte.

    python tools/notebooks.py                         run and normalise every notebook of _toc.yml
    python tools/notebooks.py book/08_training.ipynb  only this one
    python tools/notebooks.py --check [...]           run nothing; name the files that are not in normal form
    python tools/notebooks.py --tidy [...]            run nothing; rewrite the files in normal form
    python tools/notebooks.py --list                  run nothing; print the notebooks' paths

The book shows the stored outputs, and `pytest --nbval` compares with them. Therefore whatever differs between two runs
or two machines (timings, memory addresses, widget ids, paths in tracebacks) is removed. A chapter's form and format are
checked before it is run, because that takes seconds and the run up to a minute.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parent.parent
# Seconds that one cell may take on a busy machine. A result that takes minutes on an idle one belongs in book/results.
CELL_TIMEOUT = 1800

# The metadata that are kept; editors add folding, scrolling and timings, which are no content.
CELL_METADATA = ("cellView", "jupyter", "mystnb", "tags")  # cellView folds a cell in Colab
NOTEBOOK_METADATA = ("mystnb", "orphan")
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}  # as ipykernel writes it
# For `nbconvert --to script` and editors. Other information of the kernel depends on its Python.
LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"}
RAN = 1  # the same number for every cell, because otherwise an inserted cell would change all later ones
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

ADDRESS = re.compile(r"\b0x[0-9a-f]{6,16}\b")
KERNEL_FILE = re.compile(r"(?<!\S)\S*ipykernel_\d+/\d+\.py")


class NotebookError(Exception):
    """An error in one line: which notebook, which cell, what is wrong."""


def chapters(root=ROOT):
    """List the notebooks of _toc.yml, in reading order."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf8"))
    parts = toc.get("parts", [toc])
    names = [toc["root"], *(entry["file"] for part in parts for entry in part["chapters"])]
    return [path for name in names if (path := root / f"{name}.ipynb").exists()]


def _sanitise(text):
    return KERNEL_FILE.sub("<cell>", ADDRESS.sub("0x0", text))


def _normal_output(output):
    kind = output["output_type"]
    if kind == "stream":
        return {"name": output["name"], "output_type": kind, "text": _sanitise(output["text"])}
    if kind == "error":
        # A traceback has paths of this machine; readers need only its last line.
        value = _sanitise(output["evalue"])
        name = output["ename"]
        trace = [f"{name}: {value}"]
        return {"ename": name, "evalue": value, "output_type": kind, "traceback": trace}
    # A widget's view is the random id of an object in a kernel that has ended, so only the twin is kept.
    data = {
        mime: _sanitise(value) if mime.startswith("text/") else value
        for mime, value in sorted(output["data"].items())
        if mime != WIDGET_VIEW
    }
    metadata = {mime: value for mime, value in output["metadata"].items() if mime in data}
    normal = {"data": data, "metadata": metadata, "output_type": kind}
    if kind == "execute_result":
        normal["execution_count"] = RAN
    return normal


def _merge_streams(outputs):
    """Merge the chunks of a stream, whose boundaries depend on flushing, to one text."""
    merged = []
    for output in outputs:
        last = merged[-1] if merged else None
        same = last and output["output_type"] == last["output_type"] == "stream"
        if same and output["name"] == last["name"]:
            last["text"] += output["text"]
        else:
            merged.append(dict(output))
    return merged


def normalise(notebook):
    """Write a notebook in normal form, as the text of its file."""
    cells = []
    for cell in notebook["cells"]:
        metadata = {k: cell["metadata"][k] for k in CELL_METADATA if cell["metadata"].get(k)}
        normal = {
            "cell_type": cell["cell_type"],
            "id": cell["id"],
            "metadata": metadata,
            "source": cell["source"].strip("\n"),
        }
        if cell["cell_type"] == "code":
            number = None if cell.get("execution_count") is None else RAN
            outputs = [_normal_output(output) for output in _merge_streams(cell["outputs"])]
            normal |= {"execution_count": number, "outputs": outputs}
        elif cell.get("attachments"):
            normal["attachments"] = cell["attachments"]
        cells.append(normal)
    metadata = {k: notebook["metadata"][k] for k in NOTEBOOK_METADATA if k in notebook["metadata"]}
    metadata |= {"kernelspec": KERNELSPEC, "language_info": LANGUAGE}
    normal = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    node = nbformat.from_dict(normal)
    nbformat.validate(node)
    return nbformat.writes(node, version=nbformat.NO_CONVERT).rstrip("\n") + "\n"


def read(path):
    """Read a notebook in the current format; a cell without an id gets one from its position."""
    raw = json.loads(path.read_text(encoding="utf8"))
    raw["nbformat_minor"] = 5
    for index, cell in enumerate(raw["cells"]):
        cell.setdefault("id", f"cell-{index:02d}")
    return nbformat.reads(json.dumps(raw), as_version=4)


def is_normal(path):
    """Say whether the file is byte for byte what this tool would store without running it."""
    return path.read_text(encoding="utf8") == normalise(read(path))


def write_atomically(path, text):
    """Replace path atomically, so that an interrupted run leaves the old file."""
    from ddpm_lite.files.weights import write_whole  # here, because it loads PyTorch, and listing the chapters is quick

    write_whole(path, text.encode("utf8"))


def check_form(path):
    """Check format and style with ruff, and the form with the tests that read a chapter's source, before a run."""
    ruff = [sys.executable, "-m", "ruff"]
    files = ["tests/book/test_chapters.py", "tests/book/test_shape.py", "tests/book/test_launch.py"]
    tests = ["-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", *files, "-m", "form"]
    for command in (
        [*ruff, "format", "--check", path],
        [*ruff, "check", "--quiet", path],
        [sys.executable, "-m", "pytest", *tests, "-k", path.stem],
    ):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            what = " ".join(command[2:4])
            raise NotebookError(f"{path.name} was not run: {what} finds what to mend\n{done.stdout}{done.stderr}")


def execute(path):
    """Run the notebook in a fresh kernel, from the notebook's own folder, as nbval does."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = read(path)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        extra_arguments=["--log-level=CRITICAL"],  # an error of the kernel, not of the chapter
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute()
    except CellExecutionError as error:
        index = next(i for i, c in enumerate(notebook["cells"]) if _failed(c))
        raise NotebookError(f"{path.name}, cell {index}: {error.ename}: {error.evalue}\n{error.traceback}") from None
    except (CellTimeoutError, DeadKernelError) as error:
        raise NotebookError(f"{path.name}: {error}") from None
    return notebook


def _failed(cell):
    tags = cell["metadata"].get("tags", [])
    errors = [o for o in cell.get("outputs", []) if o["output_type"] == "error"]
    return errors and "raises-exception" not in tags


def _quiet_environment(scratch):
    """Return an environment without the user's own configuration, which must not affect the stored outputs."""
    os.environ["PYTHONHASHSEED"] = "0"
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this environment's kernel takes precedence over the user's
    os.environ["IPYTHONDIR"] = scratch
    os.environ.pop("MPLBACKEND", None)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of _toc.yml")
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if a file would")
    parser.add_argument("--tidy", action="store_true", help="run nothing; write the normal form of what is there")
    parser.add_argument("--list", action="store_true", help="print the paths and do nothing")
    options = parser.parse_args(arguments)
    paths = [path.resolve() for path in options.notebooks] or chapters()
    for path in paths:
        if not path.is_file():
            print(f"notebooks: no such notebook: {path}", file=sys.stderr)
            return 2

    if options.list:
        print("\n".join(os.path.relpath(path) for path in paths))
        return 0
    if options.check:
        odd = [path for path in paths if not is_normal(path)]
        for path in odd:
            print(f"not in normal form: {path.name} (run tools/notebooks.py on it)")
        return 1 if odd else 0
    if options.tidy:
        for path in (path for path in paths if not is_normal(path)):
            write_atomically(path, normalise(read(path)))
            print(f"{path.name}: written")
        return 0

    with tempfile.TemporaryDirectory() as scratch:
        _quiet_environment(scratch)
        for path in paths:
            before, start = path.read_text(encoding="utf8"), time.monotonic()
            try:
                if path in chapters():
                    check_form(path)
                text = normalise(execute(path))
            except NotebookError as error:
                print(f"notebooks: {error}", file=sys.stderr)
                return 1
            if text != before:
                write_atomically(path, text)
            seconds = time.monotonic() - start
            print(f"{path.name}: {'unchanged' if text == before else 'written'} ({seconds:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
