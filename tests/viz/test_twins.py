"""The widgets' twins, made by other programs: on a processor with fewer instructions, and under an older ipywidgets."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ddpm_lite.viz import widgets

ROOT = Path(__file__).resolve().parents[2]
OLDER = Path(sys.prefix) / "ipywidgets7"  # where tools/setup.sh puts ipywidgets 7.7, which Colab has


def run(**environment):
    """What tests/viz/twins.py says in an environment of its own."""
    command = [sys.executable, str(ROOT / "tests" / "viz" / "twins.py")]
    done = subprocess.run(command, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    return said["about"], said["twins"]


@pytest.fixture(scope="module")
def here():
    """On this processor, with two threads."""
    return run(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="2")


def test_every_kind_of_widget_is_made(here):
    _, twins = here
    assert {words.partition("(")[0] for words, _, _ in twins} == set(widgets.__all__)


def test_twins_are_the_same_on_other_processors(here):
    """Without the instructions that newer processors have, and with one thread: PyTorch's and NumPy's plainest code."""
    about, twins = here
    plain = {"ATEN_CPU_CAPABILITY": "default", "NPY_DISABLE_CPU_FEATURES": " ".join(about["numpy"])}
    plainly, others = run(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1", **plain)
    assert (plainly["torch"], plainly["numpy"], plainly["threads"]) == ("DEFAULT", [], 1)
    assert others == twins


def test_widgets_work_under_ipywidgets_7(here):
    """The same twins and views; traits are observed and linked."""
    assert OLDER.is_dir(), "there is no ipywidgets 7: run `bash tools/setup.sh`, which puts it there"
    about, twins = run(PYTHONPATH=os.pathsep.join([str(OLDER), str(ROOT)]))
    assert about["ipywidgets"].startswith("7.7.")
    assert twins == here[1]
    assert about["observed"] == here[0]["observed"] == [400, 400, 500, 500]
    for _, kinds, _ in twins:
        assert "application/vnd.jupyter.widget-view+json" in kinds
