"""The book's Sphinx extension on a book of two pages."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup
from equations import checks

ROOT = Path(__file__).resolve().parents[2]
EXTENSION, KATEX = ROOT / "book" / "_ext", ROOT / "node_modules" / "katex" / "dist"

CONF = f"""
import sys
sys.path.insert(0, {str(EXTENSION)!r})
extensions = ["myst_parser", "ddpm_book"]
myst_enable_extensions = ["dollarmath"]
ddpm_katex = {str(KATEX)!r}
html_math_renderer = "katex"
html_theme = "basic"
ddpm_checks, ddpm_answers = "checks.py", "answers.json"
"""
INDEX = """# One

```{toctree}
checks
```

$$ a = a $$ (eq-same)

$$ b = c $$ (eq-open)

$$ c = d $$ (eq-name)
"""
CHECKS_PAGE = "# Checks\n\n```{equation-checks}\n```\n\n```{equation-checks} checks\n```\n"
ANSWERS = '{"eq-same": {"links": 2, "proved": 1, "typos": 3, "noticed": 2}}'
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

    def run(check=CHECK, index=INDEX, katex=KATEX):
        conf = CONF.replace(str(KATEX), str(katex))
        files = {"conf.py": conf, "index.md": index, "checks.md": CHECKS_PAGE, "checks.py": check}
        files["answers.json"] = ANSWERS
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


def test_check_shows_its_formula_and_what_it_answered(build):
    _, page = build()
    entry = page("checks.html").find(id="check-eq-same")
    assert entry.select_one(".katex-display annotation").get_text() == "a = a"
    assert entry.select_one(".eqno") is None
    assert entry.select_one(".check-answer").get_text() == (
        "2 equalities hold, 1 of them proved by computer algebra as well. Of 3 deliberate errors, 2 are noticed. "
        "The rest leave it true."
    )
    assert page("checks.html").find(id="check-eq-name").select_one(".check-answer") is None
    assert "Labelled equations: 2. " in page("checks.html").get_text()


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


def test_formulas_are_typeset_while_the_book_is_built(build, tmp_path):
    _, page = build()
    display = page("index.html").select_one("#equation-eq-open")
    assert display.select_one("annotation").get_text() == "b = c"
    assert display.select_one(".katex-display .katex-html[aria-hidden=true] .katex-base")
    assert display.select_one(".eqno").get_text().startswith("(I.2)")
    katex = tmp_path / "out" / "_static" / "katex"
    style = (katex / "katex.css").read_text(encoding="utf8")
    assert set(re.findall(r"fonts/([\w-]+\.\w+)", style)) == {font.name for font in katex.glob("fonts/*")}


@pytest.mark.parametrize(
    ("tex", "rows"),
    [
        (r"""\hat{y} = \sqrt{\frac{a'}{b_t}} \left(x \text{ as in <a x="b;"> } \quad\right)""", 0),
        (r"\frac{x_0}{\hat{x}_0}", 1),  # rows of one element, which are written without the row
        (r"a + \ \; \sum_{i=1}^{t} \frac{1}{2}", 0),  # spaces of several widths, one of them with a blank in it
    ],
)
def test_short_tags_of_a_formula_are_the_elements_that_katex_made(monkeypatch, tex, rows):
    monkeypatch.syspath_prepend(str(EXTENSION))
    from ddpm_book import maths

    texts = []
    for write in (maths.shorten, lambda html: maths.KNOWN.sub("", html)):
        monkeypatch.setattr(maths, "shorten", write)
        typeset = maths.Typesetter(KATEX)
        texts.append(typeset(tex, True))
        typeset.close()

    short, made = (BeautifulSoup(text, "html.parser", multi_valued_attributes=None) for text in texts)

    def read(soup):
        return [
            (tag.name, {name: value.rstrip(";") for name, value in tag.attrs.items()}, tag.string)
            for tag in soup.find_all(True)
        ]

    alone = [row for row in made.select("mrow") if len(row.find_all(True, recursive=False)) == 1]
    assert len(alone) == rows
    for row in alone:
        row.unwrap()
    for tag in short.select("span.pstrut:not([style])"):
        tag["style"] = "height:3em"
    for tag in short.select("span.mspace:not([style]):empty"):
        tag["style"] = "margin-right:0.2222em"
    assert read(short) == read(made)
    assert len(texts[0]) < 0.95 * len(texts[1])


def test_words_of_code_with_the_colour_of_all_code_have_no_element(build):
    done, page = build(index=f"{INDEX}\n\n```python\nx = [name, 2]  # why\nimport one.two\n```\n\nand `n`\n")
    assert done.returncode == 0, done.stderr
    code = page("index.html").select_one("div.highlight pre")
    assert code.get_text() == "x = [name, 2]  # why\nimport one.two\n"
    kinds = {span["class"][0]: span.get_text() for span in code.select("span[class]")}
    assert kinds == {"o": "=", "mi": "2", "c1": "# why", "kn": "import", "nn": "one.two"}


def test_latex_that_cannot_be_typeset_stops_the_build_and_names_it(build):
    done, _ = build(index=f"{INDEX}\n\nWords $\\frac{{1}}$ and $\\nosuch x$.\n")
    assert done.returncode
    assert r"argument, expected '}' at end of input: \frac{1}" in done.stderr
    assert r"\nosuch" in done.stderr


def test_no_line_begins_with_the_comma_after_a_short_formula(build):
    texts = ("$x$, and", "$y$).) and", "$z$ and", f"${'x + ' * 20}x$, and")
    _, page = build(index="\n\n".join([INDEX, *(f"Words {text} more." for text in texts)]))
    together = page("index.html").select(".together")
    assert [part.select_one("annotation").get_text() + part.find_all(string=True)[-1] for part in together] == [
        "x,",
        "y).)",
    ]


def test_without_katex_the_build_says_how_to_get_it(build):
    done, _ = build(katex="nowhere")
    assert done.returncode
    assert "tools/bundle.py --install" in done.stderr


def test_figures_and_exercises_of_a_page_without_a_number_are_counted_by_page():
    from ddpm_book.numbers import number_figures

    numbers = {
        "book/intro": {"figure": {"a": (1,), "b": (2,)}},
        "book/02_forward": {"figure": {"c": (2, 1)}},
        "book/microddpm": {"figure": {"d": (4,), "e": (3,)}, "exercise": {"f": (1,)}},
        "book/glossary": {},
    }
    app = SimpleNamespace(config=SimpleNamespace(root_doc="book/intro"))
    number_figures(app, SimpleNamespace(toc_fignumbers=numbers))
    assert numbers["book/intro"]["figure"] == {"a": (1,), "b": (2,)}
    assert numbers["book/02_forward"]["figure"] == {"c": (2, 1)}
    assert numbers["book/microddpm"] == {"figure": {"d": ("M", 2), "e": ("M", 1)}, "exercise": {"f": ("M", 1)}}


def test_folded_code_without_an_output_shares_the_bar_below_it():
    from ddpm_book.look import share_bars
    from docutils import nodes
    from docutils.utils import new_document

    def cell(code, *outputs, mode="input"):
        source = nodes.container("", nodes.literal_block(code, code))
        return nodes.container(
            "", source, *(nodes.container("", nodes.paragraph(text=o)) for o in outputs), hide_mode=mode
        )

    page = new_document("page")
    page += [cell("setup"), cell("more"), cell("figure", "drawn"), cell("apart"), nodes.paragraph(text="words")]
    page += [cell("drawing", "drawn"), cell("last"), cell("seen", mode="output")]
    share_bars(None, page)
    shown = [[block.astext() for block in part.findall(nodes.literal_block)] for part in page.children]
    assert shown == [["setup", "more", "figure"], ["apart"], [], ["drawing"], ["last"], ["seen"]]


def test_a_printed_chapter_has_its_number_once(tmp_path):
    from ddpm_book.hygiene import mend_around

    title = '<div id="jb-print-docs-body" class="onlyprint">\n    <h1>Noise</h1>\n</div>'
    number = '<span class="section-number">2. </span>'
    pages = {"numbered": f"<h1>{number}Noise</h1>", "plain": f"<h1>Noise</h1><p>next: {number}More</p>"}
    for name, text in pages.items():
        (tmp_path / f"{name}.html").write_text(title + text, encoding="utf8")
    app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=tmp_path)
    for _ in range(2):  # a page that did not change is not written anew
        mend_around(app, None)
    assert BeautifulSoup((tmp_path / "numbered.html").read_text("utf8"), "html.parser").h1.get_text() == "2. Noise"
    assert BeautifulSoup((tmp_path / "plain.html").read_text("utf8"), "html.parser").h1.get_text() == "Noise"


def test_a_percent_sign_stays_with_its_number_except_in_code():
    from ddpm_book.hygiene import join_percent
    from docutils import nodes

    page = nodes.paragraph("", "")
    page += [nodes.Text("about 30 % of it, "), nodes.literal(text="7 % 5"), nodes.strong(text="5 %, not %")]
    page += nodes.literal_block(text="print(9 % 4)")
    join_percent(None, page, "page")
    assert page.astext() == "about 30\N{NO-BREAK SPACE}% of it, 7 % 55\N{NO-BREAK SPACE}%, not %print(9 % 4)"
