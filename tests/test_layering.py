"""Who may import whom, and what `import ddpm_lite` may load."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ddpm_lite"

# Each module and what of ours it may import; `_check` may be used by all.
MAY_IMPORT = {
    "_check": set(),
    "schedule": set(),
    "process": {"schedule"},
    "bound": {"schedule", "process"},
    "oracle": {"schedule", "process"},
    "attention": set(),
    "unet": {"attention"},
    "condition": {"unet"},
    "sampler": {"schedule", "process"},
    "_memory": set(),
    "trainer": {"schedule", "process", "condition", "_memory"},
    "checkpoint": {"schedule", "unet", "condition", "interop"},
    "run_folder": {"schedule", "trainer", "checkpoint"},
    "run": {"schedule", "trainer", "checkpoint", "run_folder"},
    "interop": {"schedule", "unet", "sampler", "diffusers_settings"},
    "diffusers_settings": set(),
    "data": set(),
    "folder_of_images": set(),
    "presets": {"schedule", "unet", "condition", "trainer", "data"},
    "export_page": {"schedule", "unet", "condition", "sampler"},
    "doctor": {"schedule", "trainer", "data", "presets"},
    "_png": set(),
    "commands": {"presets", "trainer", "unet"},
    "evaluate": {"checkpoint"},
    "report": {"schedule", "unet", "condition", "sampler", "data", "evaluate"},
}


def imports_of(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ddpm_lite"):
            parts = node.module.split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("ddpm_lite.")}
    return names - {"_check"}


def test_every_module_is_on_the_map():
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert modules <= set(MAY_IMPORT)


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_imports_run_one_way(path):
    if path.stem not in ("__init__", "__main__"):
        assert imports_of(path) <= MAY_IMPORT[path.stem]
    assert "viz" not in imports_of(path)


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_importing_the_package_loads_nothing_heavy():
    loaded = python("import json, sys, ddpm_lite; print(json.dumps(sorted(sys.modules)))")
    heavy = {"matplotlib", "ipywidgets", "anywidget", "accelerate", "diffusers", "sklearn", "PIL", "IPython", "tqdm"}
    heavy |= {"tyro", "pooch", "requests"}
    # torch itself may load tqdm and others; what counts is what comes on top
    torch_alone = python("import json, sys, torch; print(json.dumps(sorted(sys.modules)))")
    assert not heavy & (set(loaded) - set(torch_alone))


def test_public_names_exist_and_are_documented():
    import ddpm_lite

    for name in ddpm_lite.__all__:
        assert getattr(ddpm_lite, name).__doc__, name


def code_lines(path):
    """Lines that a reader must follow: neither blank, nor comment, nor docstring."""
    source = path.read_text(encoding="utf8")
    prose = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            prose |= set(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(source.splitlines(), start=1)
    return sum(bool(line.strip()) and not line.strip().startswith("#") and n not in prose for n, line in lines)


def test_the_science_stays_small():
    """What the chapters derive; checks of input, data, files and other people's formats are beside it."""
    beside = {
        "__init__",
        "__main__",
        "commands",
        "_check",
        "_memory",
        "_png",
        "data",
        "checkpoint",
        "run",
        "run_folder",
    }
    beside |= {"interop", "diffusers_settings", "folder_of_images"}
    beside |= {"export_page", "presets", "doctor", "report"}
    assert sum(code_lines(path) for path in PACKAGE.glob("*.py") if path.stem not in beside) < 1200
