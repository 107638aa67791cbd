"""The page of progress forgets all that any script keeps, and its list is that of the pages as they are now."""

import re
from pathlib import Path
from types import SimpleNamespace

from ddpm_book import kept

from ddpm_lite import viz

NAMES = re.compile(r"\bddpm-lite:[\w-]+")
EXERCISE = """<title>{title} &#8212; the book</title>
<div class="exercise admonition" id="ex-one">
<p class="admonition-title">Exercise 1.2  <span>(How  much?)</span></p>
<div data-quick="ex-one"></div></div>"""


def test_all_that_is_kept_is_known_to_the_page():
    package, scripts = Path(kept.__file__).parent, Path(viz.__file__).with_name("js")
    sources = [*package.rglob("*.js"), *package.rglob("*.py"), *scripts.rglob("*.js")]
    sources.remove(scripts / "page" / "kept.js")
    found = {name for path in sources for name in NAMES.findall(path.read_text(encoding="utf8"))}
    assert found == set(NAMES.findall(kept.SCRIPT.read_text(encoding="utf8")))


def test_a_later_build_lists_the_pages_anew(tmp_path):
    """Sphinx writes only what changed, so the page of progress may be that of an earlier build, filled in already."""
    (tmp_path / "book").mkdir()
    page, chapter = tmp_path / "book" / "progress.html", tmp_path / "book" / "01_one.html"
    page.write_text('<p>before</p><div id="ddpm-kept"></div><p>after</p><script>"other"</script>', encoding="utf8")
    app = SimpleNamespace(outdir=tmp_path, builder=SimpleNamespace(name="html"), ddpm_derivations={})
    written = []
    for title in ("Old", "New", "New"):
        chapter.write_text(EXERCISE.format(title=title), encoding="utf8")
        kept.write_list(app, None)
        written.append(page.read_text(encoding="utf8"))
    old, new, again = written
    assert old != new == again
    assert old.replace("Old", "New") == new
    assert new.count('id="ddpm-kept"') == new.count("<noscript>") == 1
    assert new.startswith("<p>before</p>")
    assert new.endswith('</script><p>after</p><script>"other"</script>')
    assert '<a href="01_one.html#ex-one">Exercise 1.2 (How much?)</a>' in new
