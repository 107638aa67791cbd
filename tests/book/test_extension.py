"""The book's Sphinx extension on a book of two pages."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup
from equations import checks

EXTENSION = Path(__file__).resolve().parents[2] / "book" / "_ext"

CONF = f"""
import sys
sys.path.insert(0, {str(EXTENSION)!r})
extensions = ["myst_parser", "sphinx.ext.mathjax", "ddpm_book"]
myst_enable_extensions = ["dollarmath"]
mathjax_path = "mathjax/tex-chtml.js"
html_theme = "basic"
ddpm_checks, ddpm_checks_page = "checks.py", "checks"
"""
INDEX = """# One

```{toctree}
checks
```

$$ a = a $$ (eq-same)

$$ b = c $$ (eq-open)

$$ c = d $$ (eq-name)
"""
CHECKS_PAGE = "# Checks\n\n```{equation-checks}\n```\n"
CHECK = """
HALF = "a"


def helper(s, v):
    return HALF


CHECKS = [
    matches("eq-same", "a", helper),
    definition("eq-name", "c = d", "names it"),
]
"""


@pytest.fixture
def build(tmp_path):
    """Build the two pages; returns the process, and a function that reads a built page."""

    def run(check=CHECK):
        files = {"conf.py": CONF, "index.md": INDEX, "checks.md": CHECKS_PAGE, "checks.py": check}
        for name, text in files.items():
            (tmp_path / name).write_text(text, encoding="utf8")
        command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", ".", "out"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        return done, lambda name: BeautifulSoup((tmp_path / "out" / name).read_text("utf8"), "html.parser")

    return run


def test_checked_equation_links_to_the_code_of_its_check(build):
    done, page = build()
    assert done.returncode == 0, done.stderr
    mark = page("index.html").select_one("#equation-eq-same .eqno a.eq-check")
    target, anchor = mark["href"].split("#")
    entry = page(target).find(id=anchor)
    # ... with what it names, and back again
    assert entry.pre.get_text() == (
        'HALF = "a"\n\ndef helper(s, v):\n    return HALF\n\nmatches("eq-same", "a", helper)\n'
    )
    assert entry.select_one("a[href$='#equation-eq-same']") is not None


def test_mark_says_what_kind_of_check_it_is(build):
    _, page = build()
    assert page("index.html").select_one("#equation-eq-same .eq-check")["title"].startswith("Checked by machine")
    assert page("index.html").select_one("#equation-eq-name .eq-check")["title"].startswith("Defines")


def test_page_lists_the_checks_that_the_tests_run():
    sys.path.insert(0, str(EXTENSION))
    from ddpm_book.checks import SOURCE, read_checks

    sys.path.remove(str(EXTENSION))
    files = sorted((EXTENSION.parent.parent / "tests" / "equations").glob("ch[0-9]*.py"))
    listed = [(entry.label, entry.words == SOURCE) for path in files for entry in read_checks(path)[1]]
    assert listed == [(check.label, check.from_source) for check in checks.collected("CHECKS")]


def test_equation_without_a_check_bears_no_mark(build):
    _, page = build()
    assert page("index.html").select_one("#equation-eq-open .eqno") is not None
    assert page("index.html").select_one("#equation-eq-open .eq-check") is None


def test_check_of_no_equation_breaks_the_build(build):
    done, _ = build(check=CHECK.replace("eq-same", "eq-gone"))
    assert done.returncode != 0
    assert "eq-gone" in done.stderr


def test_equations_are_numbered_by_page(build):
    _, page = build()
    assert "(I.1)" in page("index.html").select_one("#equation-eq-same .eqno").get_text()
    assert "Equation (I.1)" in page("checks.html").find(id="check-eq-same").get_text()


def test_pages_name_the_home_that_the_project_gives(build, tmp_path):
    build()
    assert (
        BeautifulSoup((tmp_path / "out" / "index.html").read_text("utf8"), "html.parser").select("[rel=canonical]")
        == []
    )
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nDocumentation = "https://example.org/book/"\n', "utf8")
    _, page = build()
    assert page("index.html").select_one("[rel=canonical]")["href"] == "https://example.org/book/index.html"


def test_buttons_lead_to_the_repository_that_the_project_gives(tmp_path):
    from ddpm_book.addresses import take_over

    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://example.org/it"\n', "utf8")
    config = SimpleNamespace(html_theme_options={"show_toc_level": 2})
    take_over(SimpleNamespace(confdir=tmp_path), config)
    assert config.html_theme_options["repository_url"] == "https://example.org/it"
    assert config.html_theme_options["use_repository_button"]
    assert config.html_theme_options["show_toc_level"] == 2


def test_mathjax_comes_along(build, tmp_path):
    build()
    mathjax = tmp_path / "out" / "_static" / "mathjax"
    assert (mathjax / "tex-chtml.js").is_file()
    assert list(mathjax.glob("output/chtml/fonts/woff-v2/*.woff"))
    assert (mathjax / "input/tex/extensions/boldsymbol.js").is_file()
