"""Widgets and a chapter in a running JupyterLab: the page follows Python, and Python the page."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import nbformat
import notebooks
import pytest
from playwright.sync_api import TimeoutError
from stands import PATIENCE

pytestmark = pytest.mark.html

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = ROOT / "book" / "02_forward_process.ipynb"

MAKE = """
from ddpm_lite import load_digits
from ddpm_lite.viz.widgets import Cloud, ForwardExplorer, MergeExplorer
from ipywidgets import IntText, jslink
merge, forward = MergeExplorer(t=300), ForwardExplorer(load_digits("test")[0][:2], t=300)
seen = []
merge.observe(lambda change: seen.append(change["new"]), "t")
forward.observe(lambda change: seen.append(-change["new"]), "t")
"""
DRAW = """
from ddpm_lite.viz.widgets import DrawDigit
DrawDigit(steps=10, label=5)
"""
LINK = """
merge.s, number = 100, IntText()
jslink((merge, "s"), (number, "value"))
number
"""
CELLS = [MAKE, "merge", "forward", "print('observed', seen)", "merge.t = 700; forward.t = 600; print('set')", DRAW]
SHOW = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from twins import made
shown = list(made())
display(*shown)
print("shown:", len(shown))
"""
CELLS += ["Cloud()", LINK, SHOW]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab, as `make lab` starts it, on a folder with one notebook of widgets and a chapter; its address."""
    folder = tmp_path_factory.mktemp("lab")
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in CELLS]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "widgets.ipynb")
    shutil.copy(CHAPTER, folder)
    homes = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR")
    environment = os.environ | {home: str(folder / home.lower()) for home in homes}
    environment |= {"JUPYTER_PREFER_ENV_PATH": "1", "OMP_NUM_THREADS": "1", "IPYTHONDIR": str(folder / "ipython")}
    port = free_port()
    options = ["--no-browser", "--allow-root", "--ServerApp.token=", "--ServerApp.password=", "--LabApp.news_url="]
    options += ["--expose-app-in-browser", f"--ServerApp.port={port}", f"--notebook-dir={folder}"]
    command = [sys.executable, ROOT / "tools" / "lab.py", *options]
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE / 1000
    while True:
        assert server.poll() is None, (folder / "lab.log").read_text()
        with suppress(OSError):
            urllib.request.urlopen(f"{address}/api", timeout=PATIENCE / 1000).close()
            break
        assert time.monotonic() < end, (folder / "lab.log").read_text()
        time.sleep(0.3)
    yield address
    server.terminate()
    server.wait(timeout=PATIENCE / 1000)


@pytest.fixture(scope="module")
def notebook(lab, browser):
    """The notebook, open in the browser, with all cells but the last run."""
    context = browser.new_context(viewport={"width": 1200, "height": 1600})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{lab}/lab/tree/widgets.ipynb?reset")
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
    # The kernel is there when its status says so; cells that are run earlier would wait without a word.
    page.wait_for_selector(
        ".jp-NotebookPanel [data-status='idle'], .jp-Notebook-ExecutionIndicator[data-status='idle']"
    )
    yield page
    context.close()


def run_cell(page, number):
    """Run the cell with this number and wait until the kernel has answered."""
    cell = page.locator(".jp-NotebookPanel .jp-Cell").nth(number)
    prompt = """([i, source, old]) => {
      const cell = document.querySelectorAll('.jp-NotebookPanel .jp-Cell')[i];
      const text = cell.querySelector('.jp-InputPrompt').textContent;
      return text !== old && new RegExp(source).test(text);
    }"""
    old = cell.locator(".jp-InputPrompt").text_content()  # the number of an earlier run
    for _ in range(10):  # while the notebook is still being put together, a key may reach nobody
        cell.locator(".jp-InputArea-editor .cm-content").click()
        page.keyboard.press("Control+Enter")
        with suppress(TimeoutError):
            page.wait_for_function(prompt, arg=[number, r"\[(\d+|\*)\]", old], timeout=5_000)
            break
    page.wait_for_function(prompt, arg=[number, r"\[\d+\]", old])
    return cell


def test_widgets_live_in_jupyterlab(notebook):
    page = notebook
    for number in range(3):
        run_cell(page, number)
    for number, name in ((1, "merge"), (2, "forward")):
        cell = page.locator(".jp-NotebookPanel .jp-Cell").nth(number)
        slider = cell.locator("input[id^=dw-t]")
        slider.wait_for()
        assert cell.locator(".ddpm-widget-still").count() == 0, f"{name}: the live widget, not its twin"
        slider.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert slider.input_value() == "302"
    for _ in range(5):  # the last value may still be on its way to the kernel
        observed = run_cell(page, 3).locator(".jp-OutputArea").inner_text()
        if "-302" in observed:
            break
    # Each widget sends its second value once the kernel has taken the first, so those of two widgets may alternate.
    seen = [int(value) for value in re.findall(r"-?\d+", observed)]
    assert [value for value in seen if value > 0] == [301, 302]
    assert [value for value in seen if value < 0] == [-301, -302]
    run_cell(page, 4)
    for number, value in ((1, "700"), (2, "600")):
        cell = page.locator(".jp-NotebookPanel .jp-Cell").nth(number)
        page.wait_for_function(
            "([i, v]) => document.querySelectorAll('.jp-NotebookPanel .jp-Cell')[i]"
            ".querySelector('input[id^=dw-t]').value === v",
            arg=[number, value],
        )
        assert value in cell.locator("output[for^=dw-t]").inner_text()


def test_python_sends_the_network_and_the_page_draws(notebook):
    cell = run_cell(notebook, 5)
    cell.get_by_role("button", name="Draw", exact=True).click()
    cell.get_by_role("status").filter(has_text="Done: a 5 from seed 0 by DDIM in 10 steps").wait_for()
    assert cell.get_by_label("progress").input_value() == "10"
    cell.get_by_label("label").select_option("7")
    cell.get_by_role("status").filter(has_text="Done: a 7 from seed 0").wait_for()


def test_keys_of_a_control_are_its_own(notebook):
    """JupyterLab itself has uses for the arrow keys and for Enter."""
    run_cell(notebook, 0)
    explorer, cloud = run_cell(notebook, 2), run_cell(notebook, 6)
    schedules = explorer.get_by_label("schedule", exact=True)
    schedules.focus()
    notebook.keyboard.press("ArrowDown")
    assert schedules.input_value() == "1"
    cloud.get_by_role("button", name="Step forward").focus()
    notebook.keyboard.press("Enter")
    assert cloud.locator("input[id^=dw-t]").input_value() == "5"
    notebook.keyboard.press("Space")
    assert cloud.locator("input[id^=dw-t]").input_value() == "10"
    arrows = cloud.get_by_label("arrows: the score")
    arrows.focus()
    notebook.keyboard.press("Space")
    assert arrows.is_checked()
    assert notebook.evaluate("document.activeElement.type") == "checkbox"


def test_a_trait_is_linked_with_a_widget_of_jupyter(notebook):
    run_cell(notebook, 0)
    merge, linked = run_cell(notebook, 1), run_cell(notebook, 7)
    number, stop = linked.locator("input[type=number]"), merge.locator("input[id^=dw-s]")
    number.wait_for()
    assert number.input_value() == "100"
    stop.focus()
    notebook.keyboard.press("ArrowRight")
    assert number.input_value() == "101"
    number.fill("250")
    number.press("Tab")
    notebook.wait_for_function("(one) => one.value === '250'", arg=stop.element_handle())
    assert stop.locator("xpath=following-sibling::output").inner_text() == "250"


def test_a_chapter_opens_with_boxes_and_numbers_and_unchanged(lab, browser):
    """As readers meet it who opened it and did nothing yet."""
    context = browser.new_context(viewport={"width": 1200, "height": 1600})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(f"{lab}/lab/tree/{CHAPTER.name}?reset")
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel")
    # What JupyterLab writes into a notebook by itself comes with the kernel's first words; a cell is put together when
    # it comes into sight, so each is shown once.
    page.evaluate(
        """async () => {
          const { content, sessionContext, revealed } = jupyterapp.shell.currentWidget;
          await Promise.all([revealed, sessionContext.ready]);
          await Promise.all([sessionContext.session.kernel.info, sessionContext.session.kernel.spec]);
          for (const [index, cell] of content.widgets.entries()) {
            await content.scrollToItem(index);
            await cell.ready;
          }
        }"""
    )
    texts = [cell["source"] for cell in notebooks.read(CHAPTER)["cells"] if cell["cell_type"] == "markdown"]
    page.wait_for_function(
        """(count) => {
          const shown = document.querySelectorAll(".jp-NotebookPanel .jp-MarkdownCell .myst");
          return shown.length === count && Array.from(shown).every((one) => one.textContent.trim());
        }""",
        arg=len(texts),
    )
    chapter = page.locator(".jp-NotebookPanel .jp-Notebook")
    assert ":::" not in chapter.inner_text()
    assert chapter.locator("aside.myst-admonition").count() == sum(text.count(":::{admonition}") for text in texts) > 0
    labels = re.findall(r"\$\$[ \t]*\((eq-[\w-]+)\)", "\n".join(texts))
    numbers = chapter.locator("[id^=eq-] > div > a[href^='#eq-']").all_text_contents()
    assert numbers == [f"({number})" for number in range(1, len(labels) + 1)] != []
    assert not page.evaluate("jupyterapp.shell.currentWidget.context.model.dirty")
    assert page.locator(".lm-TabBar-tab.jp-mod-dirty").count() == 0
    context.close()


def test_every_kind_of_widget_stands_in_jupyterlab(notebook):
    cell = run_cell(notebook, 8)
    said = cell.locator("pre").filter(has_text="shown: ")
    said.wait_for()
    count = int(said.inner_text().split()[1])
    assert count >= 12
    notebook.wait_for_function(
        """(count) => {
          const cell = document.querySelectorAll('.jp-NotebookPanel .jp-Cell')[8];
          return cell.querySelectorAll('.ddpm-widget:not(.ddpm-widget-still)').length === count;
        }""",
        arg=count,
    )
    # "TypeError: ...", or "Error displaying widget"; a widget may speak of the error of a network.
    assert cell.get_by_text(re.compile(r"[a-z]Error\b|Error displaying")).count() == 0
