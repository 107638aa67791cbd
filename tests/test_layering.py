"""Which module may import which, and what `import ddpm_lite` may load."""

import ast
import json
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ddpm_lite"

# Each module or wing and what of ours it may import; `_check` and `files.pixels` may be used by all.
CHECKS = {
    "_check.values": set(),
    "_check.tensors": {"_check.values"},
    "_check.models": {"_check.values", "_check.tensors"},
}
SCIENCE = {
    "schedule": set(),
    "process": {"schedule"},
    "bound": {"schedule"},
    "oracle": {"schedule", "process"},
    "attention": set(),
    "unet": {"attention"},
    "condition": {"schedule", "process", "unet"},
    "sampler": {"schedule"},
    "trainer": {"schedule", "process", "condition", "data"},
    "data": {"files.pictures", "files.published"},
    "evaluate": {"files.features"},
}
WINGS = {
    "files.pixels": set(),
    "files.png": set(),
    "files.features": {"files.weights"},
    "files.weights": {"schedule", "unet", "condition"},
    "files.diffusers": {"schedule", "unet", "condition", "sampler", "files.weights", "files.diffusers_settings"},
    "files.diffusers_settings": {"schedule", "unet"},
    "files.picture": set(),
    "files.pictures": {"files.picture", "files.weights"},
    "files.published": set(),
    "files.records": set(),
    "runs.identity": {"schedule", "trainer", "data", "files.weights"},
    "runs.folder": {"schedule", "trainer", "files.records", "files.weights", "runs.identity"},
    "runs.fit": {"schedule", "trainer", "data", "files.weights", "runs.folder", "runs.identity"},
    "runs.examine.finding": set(),
    "runs.examine.listen": set(),
    "runs.examine.tables": {"schedule", "runs.examine.finding", "runs.examine.listen"},
    "runs.examine.training": {"runs.examine.finding", "runs.examine.listen"},
    "runs.examine.network": {"sampler", "runs.examine.finding", "runs.examine.listen"},
    "runs.examine.sampler": {"runs.examine.finding", "runs.examine.listen", "runs.examine.tables"},
    "runs.examine.program": {
        "schedule",
        "runs.examine.finding",
        "runs.examine.network",
        "runs.examine.sampler",
        "runs.examine.tables",
        "runs.examine.training",
    },
    "runs.compare.translations": {"schedule", "process"},
    "runs.compare.trial": {"schedule", "process", "runs.compare.translations"},
    "runs.compare.step": {"schedule", "process", "runs.compare.translations", "runs.compare.trial"},
    "runs.compare.program": {"schedule", "runs.compare.translations", "runs.compare.step", "runs.compare.trial"},
    "runs.models": {
        "schedule",
        "unet",
        "condition",
        "files.weights",
        "files.diffusers",
        "runs.folder",
        "runs.presets",
    },
    "runs.cost": {"unet"},
    "runs.presets": {"unet", "condition", "trainer", "data"},
    "cli.checks": {"condition", "unet", "cli.options"},
    "cli.pictures": {"cli.options", "files.png", "files.weights"},
    "cli.options": {"sampler", "runs.models", "runs.presets", "trainer", "unet"},
    "cli.examine": {
        "schedule",
        "sampler",
        "files.weights",
        "runs.examine.program",
        "runs.models",
        "cli.options",
    },
    "cli.report": {"schedule", "unet", "condition", "sampler", "data", "evaluate", "files.records", "files.weights"},
    "cli.doctor": {"schedule", "trainer", "files.published", "files.records", "runs.presets"},
}
MAY_IMPORT = CHECKS | SCIENCE | WINGS
FREE = {"__init__", "__main__", "cli.commands"}  # these may import any but viz


def name_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "viz" not in path.parts)


def imports_of(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        assert getattr(node, "level", 0) == 0, f"{path}: no relative imports, which this map does not read"
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ddpm_lite"):
            file = PACKAGE.parent / (node.module.replace(".", "/") + ".py")
            whole = file.is_file() or node.module == "ddpm_lite._check"  # whose rooms nobody else enters
            names |= {node.module} if whole else {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.startswith("ddpm_lite")}
    return {name.removeprefix("ddpm_lite.") for name in names} - {"_check", "files.pixels"}


def test_every_module_is_on_the_map():
    modules = {name_of(path) for path in MODULES if path.stem != "__init__"} - FREE
    assert modules == set(MAY_IMPORT)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_one_way(path):
    found = imports_of(path)
    if name_of(path) not in FREE and path.stem != "__init__":
        assert found == MAY_IMPORT[name_of(path)]  # and no permission that nobody uses
    if name_of(path) != "cli.commands":
        assert not {name for name in found if name.startswith("viz")}


def test_the_border_of_the_checks_has_no_name_that_nobody_uses():
    """The files of `viz` are outside too."""
    used = set()
    for path in (path for path in PACKAGE.rglob("*.py") if path.parent.name != "_check"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ddpm_lite._check"):
                assert node.module == "ddpm_lite._check", path
                used |= {alias.name for alias in node.names}
    border = ast.parse((PACKAGE / "_check" / "__init__.py").read_text(encoding="utf8"))
    assert {alias.name for node in border.body if isinstance(node, ast.ImportFrom) for alias in node.names} == used


def test_no_import_closes_a_circle():
    TopologicalSorter(MAY_IMPORT).prepare()  # raises CycleError where one does


def test_the_house_has_twenty_rooms_at_most():
    assert len([path for path in PACKAGE.iterdir() if path.name != "__pycache__"]) <= 20


def test_importing_the_package_loads_nothing_heavy():
    heavy = {"matplotlib", "ipywidgets", "anywidget", "accelerate", "diffusers", "sklearn", "PIL", "IPython", "tqdm"}
    heavy |= {"tyro", "pooch", "requests"}
    # torch itself may load tqdm and others; what counts is what comes on top
    code = "import json, sys, torch; torch_alone = {*sys.modules}; import ddpm_lite; "
    code += "print(json.dumps(sorted({*sys.modules} - torch_alone)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert "ddpm_lite.trainer" in loaded
    assert not heavy & loaded


def test_public_names_exist_and_are_documented():
    import ddpm_lite

    for name in ddpm_lite.__all__:
        assert getattr(ddpm_lite, name).__doc__, name


def code_of(path):
    """Numbers of the lines that a reader must follow: neither blank, nor comment, nor docstring."""
    source = path.read_text(encoding="utf8")
    prose = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            prose |= set(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(source.splitlines(), start=1)
    return {n for n, line in lines if line.strip() and not line.strip().startswith("#") and n not in prose}


def length_of(function):
    """Lines from the first decorator to the last line, comments and blank lines included, without the docstring."""
    first = min(node.lineno for node in (function, *function.decorator_list))
    said = function.body[0] if ast.get_docstring(function) is not None else None
    return function.end_lineno - first + 1 - (said.end_lineno - said.lineno + 1 if said else 0)


@pytest.mark.parametrize("folder", ["ddpm_lite", "studies", "tools", "tests", "benchmarks", "book"])
def test_functions_are_short(folder):
    """Signature, comments and blank lines count; what a docstring says of many arguments is no code."""
    long = {}
    for path in (PACKAGE.parent / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length_of(node) > 60:
                long[f"{path.stem}.{node.name}"] = length_of(node)
    assert long == {}


def test_files_are_short():
    """A longer module has a seam. Drafts of the trainer in two pieces made every trip of the data longer."""
    long = {}
    for path in PACKAGE.rglob("*.py"):
        lines = len(path.read_text(encoding="utf8").splitlines())
        long |= {name_of(path): lines} if lines > 350 else {}
    assert list(long) == ["trainer"]
    assert long["trainer"] <= 360


def test_the_loop_of_training_fits_a_glance():
    path = PACKAGE / "trainer.py"
    (train,) = (n for n in ast.parse(path.read_text(encoding="utf8")).body if getattr(n, "name", "") == "train")
    loop = next(node for node in ast.walk(train) if isinstance(node, ast.For))
    assert loop.end_lineno - loop.lineno + 1 <= 20
    assert len((PACKAGE / "process.py").read_text(encoding="utf8").splitlines()) <= 170


def test_the_science_stays_small():
    """What the chapters derive; checks of input, data, files and other people's formats are beside it.

    Imports are not counted: a name in a line of its own is the formatter's choice, and nothing to follow.
    """
    count = 0
    for path in (PACKAGE / f"{name}.py" for name in SCIENCE if name != "data"):
        tree = ast.parse(path.read_text(encoding="utf8"))
        taken = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        count += len(code_of(path) - {n for node in taken for n in range(node.lineno, node.end_lineno + 1)})
    assert count < 1050
