"""Quick checks of the pages: their answers are those of the chapters' checks, and the page judges as these do."""

import json

import pytest
from ddpm_book.quick import read_checks, write_panel
from ddpm_book.widgets import BUNDLES

from exercises import quick, test_exercises

STORED = read_checks(quick.BOOK / "quick.json")
LEAST = 12  # chapters with a quick check
STATUS = ".ddpm-derive-verdict"


@pytest.fixture(autouse=True)
def as_a_reader(plain):
    """No type checker, as for the exercises: wrong answers meet the package as it is installed."""


def test_most_chapters_have_one():
    assert set(STORED) == set(quick.ENTRIES) <= set(test_exercises.ALL)
    assert len({test_exercises.ALL[label].chapter for label in STORED}) >= LEAST


@pytest.mark.parametrize("label", quick.ENTRIES)
def test_the_page_has_the_answers_of_the_check(label):
    found, stored = quick.record(label), STORED[label]
    advice = "run `PYTHONPATH=tests:tools:. python -m exercises.quick`"
    assert found["ask"] == stored["ask"], advice
    assert found["right"] == pytest.approx(stored["right"], rel=1e-6), advice
    assert found["limit"] == pytest.approx(stored["limit"], rel=0.1), advice
    assert found["mistakes"] == pytest.approx(stored["mistakes"], rel=1e-5), advice
    assert len(stored["mistakes"]) >= 4
    assert stored["limit"] < 0.01 * abs(stored["right"])


@pytest.mark.html
def test_a_number_is_judged_in_the_page_and_kept_there(browser, tmp_path):
    labels = ["ex-images-keep-variance", "ex-posterior-combine"]
    (tmp_path / "quick.js").write_text((BUNDLES / "book" / "quick.js").read_text(encoding="utf8"), encoding="utf8")
    for name in ("reading.js", "derive.css"):
        (tmp_path / name).write_text("", encoding="utf8")
    panels = "".join(write_panel(label, STORED) for label in labels)
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Quick</title>'
    text = f'{head}<script src="reading.js"></script><main>{panels}</main></html>'
    (tmp_path / "page.html").write_text(text, encoding="utf8")
    context = browser.new_context(viewport={"width": 390, "height": 800})
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    page.get_by_role("button", name="Answer with a number").last.press("Enter")
    page.locator("section").last.wait_for()
    assert page.evaluate("document.activeElement.tagName") == "INPUT"
    assert page.locator("section").count() == 2

    def answer(text):
        page.keyboard.press("Control+a")
        page.keyboard.type(text)
        page.keyboard.press("Enter")
        return page.locator(STATUS).last.inner_text().strip()

    assert answer("a third") == "Write one number, such as 0.381 or 8/21."
    for words, value in STORED[labels[1]]["mistakes"].items():
        first = next(
            w for w, v in STORED[labels[1]]["mistakes"].items() if abs(v - value) <= STORED[labels[1]]["limit"]
        )
        assert answer(f"{value:.6f}") == f"✗ Not yet: {first}.", words
    assert answer("0.6").startswith("✗ Not yet: the result is off by 0.22")
    for right in ("0.381", "0,38095", "8/21"):
        assert answer(right) == "✓ Correct."
    assert f"1 of {len(STORED)} quick checks" in page.locator("section").last.inner_text()
    kept = json.loads(page.evaluate("localStorage['ddpm-lite:quick']"))
    assert kept == {labels[1]: {"answer": "8/21", "right": True}}
    page.reload()
    page.get_by_role("button", name="Answer with a number").first.click()
    page.locator("section").last.wait_for()
    assert page.locator("input").last.input_value() == "8/21"
    page.get_by_role("button", name="Forget my answers").last.click()
    assert page.evaluate("localStorage['ddpm-lite:quick']") is None
    assert f"0 of {len(STORED)} quick checks" in page.locator("section").last.inner_text()
    context.close()
    assert complaints == []
