"""The appendix made of docstrings: whole, readable, and linked with chapters and equations both ways."""

import builtins
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from bs4 import BeautifulSoup
from ddpm_book import api

import ddpm_lite
from ddpm_lite.trainer import Diverged

ROOT = Path(__file__).resolve().parents[2]
CONF = f"""
import sys
sys.path[:0] = [{str(ROOT / "book/_ext")!r}, {str(ROOT)!r}]
extensions = ["myst_parser", "ddpm_book"]
myst_enable_extensions = ["dollarmath"]
ddpm_katex = {str(ROOT / "node_modules/katex/dist")!r}
html_math_renderer = "katex"
python_maximum_signature_line_length = 88
html_theme = "basic"
"""
INDEX = """# One `q_sample`

```{toctree}
api
```

$$ a = a $$ (eq-forward-closed)

The function `q_sample(...)` is no name, `q_sample` and `ddpm_lite.q_sample()` are, [`q_sample`](https://example.org)
leads elsewhere, and `numpy` is not ours. In other code, {theirs}`q_sample` is another function.

| this book | diffusers | theirs, in a file |
|---|---|---|
| `q_sample` | `Schedule` | `q_sample()` |

```python
from ddpm_lite import (
    Schedule,
    q_sample,
)
from ddpm_lite.process import q_sample
from elsewhere import q_sample
x_t = q_sample(schedule, x_0, t, z)
```
"""
API = """
API
===

.. autofunction:: ddpm_lite.q_sample

.. autoclass:: ddpm_lite.Schedule
   :members: numbers, to
"""


def build(folder, index=INDEX):
    """Build the two pages; the process, and what they hold."""
    for name, text in {"conf.py": CONF, "index.md": index, "api.rst": API}.items():
        (folder / name).write_text(text, encoding="utf8")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", ".", "out"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done, [
        BeautifulSoup((folder / "out" / name).read_text("utf8"), "html.parser") for name in ("index.html", "api.html")
    ]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    done, pages = build(tmp_path_factory.mktemp("book"))
    assert done.returncode == 0, done.stderr
    return pages


def test_every_public_name_has_its_entry():
    listed = re.findall(r"^\.\. auto(?:function|class):: (\S+)$", (ROOT / "book/api.rst").read_text("utf8"), re.M)
    assert len(set(listed)) == len(listed)
    assert set(ddpm_lite.__all__) <= {name.rpartition(".")[2] for name in listed}


def test_signature_shows_shapes_as_the_source_has_them(pages):
    signature = pages[1].find(id="ddpm_lite.q_sample")
    lines = [line.get_text() for line in signature.select(".sig-line")]
    shape = "Float[Tensor, 'batch *shape']"
    assert [lines[0], lines[1], lines[3]] == ["schedule: Schedule,", f"x_0: {shape},", f"z: {shape},"]
    assert lines[2].startswith("t: ")
    assert "Int64[Tensor" in lines[2]  # the name Time, written out though another module holds it
    assert signature.select_one(".sig-return").get_text().endswith(shape)
    assert pages[1].find(id="ddpm_lite.Schedule.to").select_one(".sig-return").get_text().endswith(" Schedule")
    assert pages[1].select("dt dl") == []


def test_docstring_leads_to_its_equation(pages):
    text = pages[1].find(id="ddpm_lite.q_sample").parent
    link = text.select_one("a[href='index.html#equation-eq-forward-closed']")
    assert link.get_text() == "(I.1)"
    assert "x_0 + sqrt(1 - alpha_bar_t) z (I.1)." in text.get_text()


def test_property_with_a_colon_has_no_type_made_of_its_sentence(pages):
    said = pages[1].find(id="ddpm_lite.Schedule.numbers").parent.dd.get_text()
    assert said.strip().startswith("The tables and times as lists of Python")
    assert "Type:" not in said


def test_inline_code_of_a_public_name_is_a_link(pages):
    links = pages[0].select("section > p a.api")
    assert [link.get_text() for link in links] == ["q_sample", "ddpm_lite.q_sample()"]
    assert {link["href"] for link in links} == {"api.html#ddpm_lite.q_sample"}
    assert pages[0].select("h1 a.api") == []


def test_inline_code_that_is_marked_as_theirs_is_code_without_a_link(pages):
    (code,) = pages[0].select("code.theirs")
    assert code.get_text() == "q_sample"
    assert code.find_parent("a") is None
    assert code.find_parent("p").get_text().endswith("In other code, q_sample is another function.")


def test_name_of_another_library_is_no_link(pages):
    cells = pages[0].select("td")
    assert [cell.get_text() for cell in cells] == ["q_sample", "Schedule", "q_sample()"]
    assert [len(cell.select("a")) for cell in cells] == [1, 0, 0]
    chapter = (ROOT / "book" / "14_other_peoples_code.ipynb").read_text("utf8")
    heads = re.search(r"\| this book \| (.*) \|\\n", chapter)[1]
    assert [head for head in heads.split(" | ") if not api.THEIRS.fullmatch(head)] == []


@pytest.mark.parametrize("made", ["def q_sample(\n    x,\n): ...", "class q_sample: ...", "q_sample = None"])
def test_name_that_the_page_makes_is_no_link_to_ours(tmp_path, made):
    code = f"```python\n{made}\n\nclass Other:\n    Schedule = None\n```"
    top = "# A page\n\n```{toctree}\napi\n```\n\n$$ a = a $$ (eq-forward-closed)\n\n"
    done, pages = build(tmp_path, f"{top}Here is `q_sample`, and a `Schedule`.\n\n{code}\n")
    assert done.returncode == 0, done.stderr
    assert [link.get_text() for link in pages[0].select("section > p a.api")] == ["Schedule"]


def test_imported_names_are_links(pages):
    code = pages[0].select_one(".highlight pre")
    assert [link.get_text() for link in code.select("a.api")] == ["Schedule", "q_sample", "q_sample"]
    assert code.get_text() == INDEX.partition("```python\n")[2].removesuffix("```\n")


def find_raises(thing):
    """The lines of a docstring's section of errors."""
    lines = api.list_errors(inspect.cleandoc(thing.__doc__).splitlines())
    start = lines.index("Raises:") + 1
    return lines[start : lines.index("", start)]


def test_each_error_of_a_docstring_has_a_line_of_its_own():
    lines = [
        "Do.",
        "",
        "Raises:",
        "    ValueError, TypeError: a size",
        "    below 1. OSError: none.",
        "",
        "Source: A, B: C.",
    ]
    entries = ["    ValueError, TypeError: a size below 1.", "    OSError: none."]
    assert api.list_errors(lines) == [*lines[:3], *entries, "", "Source: A, B: C."]
    assert api.list_errors(["Do."]) == ["Do."]
    with pytest.raises(ValueError, match="expected 'Name: when', got 'As the other.'"):
        api.list_errors(["Raises:", "    As the other."])


@pytest.mark.parametrize("name", sorted(ddpm_lite.__all__))
def test_what_a_docstring_raises_is_an_error(name):
    thing = getattr(ddpm_lite, name)
    if "Raises:" not in (thing.__doc__ or ""):
        return
    known = vars(builtins) | {"Diverged": Diverged, "torch.OutOfMemoryError": torch.OutOfMemoryError}
    for line in find_raises(thing):
        for error in line.partition(":")[0].strip().split(", "):
            assert issubclass(known[error], BaseException), line


@pytest.mark.parametrize("name", sorted(ddpm_lite.__all__))
def test_forward_is_described_in_our_words(name):
    """Without a docstring of its own, a method is shown with PyTorch's, which says that it should be overridden."""
    thing = getattr(ddpm_lite, name)
    if isinstance(thing, type) and issubclass(thing, torch.nn.Module):
        assert thing.forward.__doc__


def test_label_that_the_book_lacks_breaks_the_build(tmp_path):
    done, _ = build(tmp_path, INDEX.replace("eq-forward-closed", "eq-forward-gone"))
    assert done.returncode != 0
    assert "eq-forward-closed" in done.stderr
