"""Two slips at once, in the panel of a derivation: the page goes on while it looks for them, until a line follows."""

import json
import shutil
import tomllib

import bundle
import pytest
from ddpm_book.hygiene import assets
from equations.derivations import FILE
from stands import PATIENCE

pytestmark = pytest.mark.html

# A clock that goes on 4 ms whenever it is read, so that the search has many parts on a fast machine too.
CLOCK = "let now = 0; performance.now = () => (now += 4);"
WRONG, RIGHT = "btilde_t = abar_{t-1} b_t / abar_t", "btilde_t = (1 - abar_{t-1}) b_t / (1 - abar_t)"
# Lets timers run one after the other, until a page has nothing more to do: more than the search has parts.
ROUNDS = """async (rounds) => {
  for (let i = 0; i < rounds; i++) await new Promise((done) => setTimeout(done));
}"""
# Checks a line, and lists what the live region says after each of the timers that follow.
WATCH = """async (line) => {
  const panel = document.querySelector(".ddpm-derive"), said = panel.querySelector("[role=status]"), seen = [];
  panel.querySelector("input").value = line;
  panel.querySelector("form").requestSubmit();
  while (!said.textContent.includes("Two slips")) {
    seen.push(said.textContent);
    await new Promise((done) => setTimeout(done));
  }
  return seen;
}"""
# Checks a line, and another in the same task.
REPLACE = """([line, other]) => {
  const panel = document.querySelector(".ddpm-derive");
  for (const text of [line, other]) {
    panel.querySelector("input").value = text;
    panel.querySelector("form").requestSubmit();
  }
}"""


@pytest.fixture
def page(browser, tmp_path):
    """A page with the button of one derivation, pressed."""
    shutil.copy(bundle.BUNDLES / "page" / "book" / "derive.js", tmp_path)
    (tmp_path / "derive.css").write_text(assets()["derive.css"], encoding="utf8")
    lessons = json.dumps(tomllib.loads(FILE.read_text(encoding="utf8")))
    (tmp_path / "derivations.js").write_text(f"ddpmDerive.add({lessons});", encoding="utf8")
    (tmp_path / "katex").mkdir()
    shutil.copy(bundle.MODULES / "katex" / "dist" / "katex.min.js", tmp_path / "katex")
    button = '<p><button data-derive="variance" aria-expanded="false">Derive it yourself</button></p>'
    text = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Derive</title>{button}'
    text += '<script src="derive.js"></script><script>document.onclick = window.ddpmDerive;</script></html>'
    (tmp_path / "page.html").write_text(text, encoding="utf8")
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    context.add_init_script(CLOCK)
    opened, errors = context.new_page(), []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto((tmp_path / "page.html").as_uri())
    opened.get_by_role("button").click()
    opened.locator(".ddpm-derive input").wait_for()
    yield opened
    context.close()
    assert errors == []


def test_two_slips_are_named_while_the_page_goes_on(page):
    seen = page.evaluate(WATCH, WRONG)
    assert len(seen) > 3
    assert all("differs from the line before" in words for words in seen)
    words = page.get_by_role("status").inner_text()
    assert words.startswith("✗ Two slips.")
    assert words.count("“1 −” is missing") == 2
    assert page.locator(".ddpm-derive-lines li").count() == 1


def test_a_line_that_follows_ends_the_search(page):
    page.evaluate(REPLACE, [WRONG, RIGHT])
    page.evaluate(ROUNDS, 500)
    assert "this is the goal" in page.get_by_role("status").inner_text()
