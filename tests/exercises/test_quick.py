"""Quick checks of the pages: their answers are those of the chapters' checks, and the page judges as these do."""

import json
import shutil

import bundle
import pytest
from axe_playwright_python.sync_playwright import Axe
from ddpm_book.hygiene import assets
from ddpm_book.quick import read_checks, write_panel, write_script
from ddpm_book.widgets import BUNDLES
from javascript import run_module
from stands import PATIENCE

from exercises import quick, test_exercises

STORED = read_checks(quick.BOOK / "quick.json")
NUMBERS, CHOICES, FORMULAS = ([label for label in STORED if key in STORED[label]] for key in ("value", "says", "right"))
LEAST = 17  # chapters with a quick check, the page of 200 lines among them
WRONG = 5  # the fewest wrong answers that are tried on a check
PRECISE = 4  # of them are named by a formula's check
STATUS = ".ddpm-derive-verdict"
# What is no answer at all.
NOTHING = {"value": ["", "a third", "1/0", "1/2/3", "1e999"], "right": ["", "x_0 +", "exp(x_0)", "eps", "alert(1)"]}
# The right formula as a reader may type it, one or two for each.
FORMS = {
    "ex-posterior-jump": [
        "(sqrt(abar_t/abar_s) (1 - abar_s) x_t + sqrt(abar_s) (1 - abar_t/abar_s) x_0) / (1 - abar_t)",
        r"\mu = \frac{\sqrt{\bar\alpha_t}(1-\bar\alpha_s)}{\sqrt{\bar\alpha_s}(1-\bar\alpha_t)} x_t"
        r" + \frac{\bar\alpha_s-\bar\alpha_t}{\sqrt{\bar\alpha_s}(1-\bar\alpha_t)} x_0",
    ],
    "ex-mean-1": [
        "sqrt(abar_{t-1}) x_0 + sqrt(a_t) (1 - abar_{t-1}) / sqrt(1 - abar_t) z",
        "mu = sqrt(abar_t/a_t) x_0 + (a_t - abar_t) / sqrt(a_t (1 - abar_t)) z",
    ],
    "ex-mean-2": [
        "(x_t - b_t/sqrt(1 - abar_t) (sqrt(abar_t) v + sqrt(1 - abar_t) x_t)) / sqrt(a_t)",
        "sqrt(1 - b_t) x_t - (1 - a_t) sqrt(abar_{t-1} / (1 - abar_t)) v",
    ],
    "ex-objective-3": [
        "(1/(1 - abar_{t-1}) - 1/(1 - abar_t)) (1 - abar_t) / 2",
        "w = (abar_{t-1} - abar_t) / (2 (1 - abar_{t-1}))",
    ],
    "ex-detective-1": ["b + a sqrt(abar_t) - sqrt(abar_s)", r"w = -\sqrt{\bar{\alpha}_s} + a\sqrt{\bar{\alpha}_t} + b"],
}


@pytest.fixture(autouse=True)
def as_a_reader(plain):
    """No type checker, as for the exercises: wrong answers meet the package as it is installed."""


def judge(trials):
    """What the page says to [(label, answer)], [(kind, words)], in one process."""
    code = f"""
    const checks = {json.dumps(STORED)}, engines = {{}};
    return {json.dumps(trials)}.map(([label, answer]) => {{
      const check = checks[label];
      if (check.choices) return modules.judgeChoice(check, answer);
      if (check.right === undefined) return modules.judgeNumber(check, answer);
      engines[label] ??= modules.prepare(modules.asDerivation(check));
      return modules.judgeFormula(engines[label], answer);
    }});"""
    return [tuple(told[:2]) for told in run_module(["quick.js", "judge.js"], "", code)]


def test_each_chapter_has_one():
    assert set(STORED) == set(quick.ENTRIES)
    in_words = {label for plain in test_exercises.PLAIN.values() for label in plain}
    assert set(STORED) <= set(test_exercises.ALL) | in_words
    assert in_words & set(STORED) <= set(CHOICES)
    chapters = {chapter for chapter, plain in test_exercises.PLAIN.items() if plain.keys() & STORED.keys()}
    chapters |= {test_exercises.ALL[label].chapter for label in STORED if label in test_exercises.ALL}
    assert len(chapters) >= LEAST


@pytest.mark.parametrize("label", quick.ENTRIES)
def test_the_page_has_the_answers_of_the_check(label):
    found, stored = quick.record(label), STORED[label]
    advice = "run `PYTHONPATH=tests:tools:. python -m exercises.quick`"
    if label in NUMBERS:
        for key, near in (("value", 1e-5), ("mistakes", 1e-5), ("limit", 0.1)):
            assert found.pop(key) == pytest.approx(stored[key], rel=near), advice
    assert found.items() <= stored.items(), advice
    assert len(stored["hints"]) >= 2
    assert all(hint.endswith((".", "?")) for hint in stored["hints"])


@pytest.mark.parametrize("label", NUMBERS)
def test_a_number_is_as_exact_as_a_reader_can_be(label):
    assert len(STORED[label]["mistakes"]) >= 4
    assert STORED[label]["limit"] < 0.01 * abs(STORED[label]["value"])


@pytest.mark.parametrize("label", CHOICES)
def test_one_choice_is_right_and_it_is_not_always_at_one_place(label):
    says = STORED[label]["says"]
    assert says.count("") == 1
    assert len(set(STORED[label]["choices"])) == len(says)
    assert len({STORED[one]["says"].index("") for one in CHOICES}) > 1


def read_answers(label):
    """The answers that the text of an exercise offers: what is between its last colon and its end, "a, b, or c?"."""
    pages = [json.loads(path.read_text(encoding="utf8")) for path in sorted(quick.BOOK.glob("*.ipynb"))]
    sources = ["".join(cell["source"]) for page in pages for cell in page["cells"]]
    (text,) = (text for text in sources if f":label: {label}\n" in text)
    asked = text.split(f":label: {label}\n")[1].split("\n:::")[0].rstrip()
    last = asked.rpartition(": ")[2]
    return last[:-1].replace(", or ", ", ").split(", ") if ", or " in last and last[-1] == "?" else None


def test_a_prediction_offers_the_answers_of_its_exercise():
    """Where the text of the exercise names them."""
    offered = {label: read_answers(label) for label in CHOICES if "ranges" in quick.ENTRIES[label]}
    named = {label: answers for label, answers in offered.items() if answers}
    assert {"ex-detective-predict", "ex-micro-predict"} <= set(named)
    assert named == {label: STORED[label]["choices"] for label in named}


def test_wrong_answers_are_refused_and_named():
    """Five and more for each check: the mistakes of the chapter's own check, and what is no answer at all."""
    trials = []
    for label in NUMBERS:
        check = STORED[label]
        trials += [(label, repr(value)) for value in check["mistakes"].values()]
        trials += [(label, repr(check["value"] + 3 * check["limit"])), (label, repr(-2.5 * check["value"]))]
        trials += [(label, text) for text in NOTHING["value"]]
    for label in CHOICES:
        says = STORED[label]["says"]
        trials += [(label, place) for place, words in enumerate(says) if words]
        trials += [(label, -1), (label, len(says)), (label, None)]
    for label in FORMULAS:
        trials += [(label, line) for line in quick.ENTRIES[label]["wrong"]]
        trials += [(label, text) for text in NOTHING["right"]]
        trials += [(label, f"{STORED[label]['left']} = {STORED[label]['left']}"), (label, "0")]
    told = judge(trials)
    accepted = [trial for trial, (kind, _) in zip(trials, told, strict=True) if kind == "goal"]
    assert accepted == []
    for label in STORED:
        own = [(trial[1], words) for trial, (_, words) in zip(trials, told, strict=True) if trial[0] == label]
        assert len(own) >= WRONG
        assert all(words for _, words in own)
        if label in FORMULAS:
            hints = {slip["line"]: slip["words"].lower() for slip in STORED[label]["slips"]}
            named = [line for line, words in own if words.lower() == f"not yet: {hints.get(line)}"]
            assert len(named) >= PRECISE, (label, own)


def test_right_answers_are_accepted_however_they_are_written():
    assert set(FORMS) == set(FORMULAS)
    trials = [(label, line) for label, lines in FORMS.items() for line in [STORED[label]["right"], *lines]]
    trials += [(label, STORED[label]["says"].index("")) for label in CHOICES]
    for label in NUMBERS:
        value = STORED[label]["value"]
        short = f"{value:,.0f}" if value == int(value) else f"{value:.4g}"
        trials += [(label, repr(value)), (label, short), (label, f" {value} ".replace(".", ","))]
    assert [(trial, told) for trial, told in zip(trials, judge(trials), strict=True) if told[0] != "goal"] == []


def write_page(tmp_path, labels):
    (tmp_path / "quick.js").write_text(write_script(STORED), encoding="utf8")
    (tmp_path / "derive.js").write_text((BUNDLES / "book" / "derive.js").read_text(encoding="utf8"), encoding="utf8")
    (tmp_path / "katex").mkdir()
    for name in ("katex.min.js", "katex.min.css"):
        shutil.copy(bundle.MODULES / "katex" / "dist" / name, tmp_path / "katex")
    (tmp_path / "reading.js").write_text("", encoding="utf8")
    (tmp_path / "derive.css").write_text(assets()["derive.css"], encoding="utf8")
    panels = "".join(write_panel(label, STORED) for label in labels)
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Quick</title>'
    head += '<link rel="stylesheet" href="katex/katex.min.css"><body class="bd-article">'
    text = f'{head}<script src="reading.js"></script><main><h1>Quick</h1>{panels}</main></body></html>'
    (tmp_path / "page.html").write_text(text, encoding="utf8")


def press(page, label, words):
    panel = page.locator(f"[data-quick='{label}']")
    panel.get_by_role("button", name=words).press("Enter")
    panel.locator("input:focus").wait_for()
    return panel


def answer(page, panel, text):
    page.keyboard.press("Control+a")
    page.keyboard.type(text)
    page.keyboard.press("Enter")
    return panel.locator(STATUS).inner_text().strip()


def give_number(page, label):
    panel = press(page, label, "Answer with a number")
    assert page.locator("section").count() == 1, "one press opens one panel"

    assert answer(page, panel, "a third") == "Write one number, such as 0.381 or 8/21."
    check = STORED[label]
    for words, value in list(check["mistakes"].items())[:4]:
        first = next(w for w, v in check["mistakes"].items() if abs(v - value) <= check["limit"])
        assert answer(page, panel, f"{value:.6f}") == f"✗ Not yet: {first}.", words
    assert answer(page, panel, "0.6").startswith("✗ Not yet: the result is off by 0.22")
    for right in ("0.381", "0,38095", "8/21"):
        assert answer(page, panel, right) == "✓ Correct."
    hint = panel.get_by_role("button", name="Hint 1 of 2")
    hint.press("Enter")
    assert panel.locator("[aria-live=polite] li").all_inner_texts() == check["hints"][:1]
    panel.get_by_role("button", name="Hint 2 of 2").press("Enter")
    panel.get_by_role("button", name="No more hints").press("Enter")
    assert panel.locator("[aria-live=polite] li").all_inner_texts() == check["hints"]
    assert f"1 of {len(STORED)} quick checks" in panel.inner_text()


def give_choice(page, label):
    panel = press(page, label, "Choose an answer")
    _choices, says = STORED[label]["choices"], STORED[label]["says"]
    page.keyboard.press("Enter")
    assert panel.locator(STATUS).inner_text().strip() == "Choose one of the answers."
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    assert panel.locator(STATUS).inner_text().strip() == f"✗ Not yet: {says[0]}."
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert panel.locator(STATUS).inner_text().strip() == "✓ Correct."


def give_formula(page, label):
    panel = press(page, label, "Answer with a formula")
    assert panel.locator(".ddpm-derive-form > label .katex").count() == 3
    wide = "(one) => one.getBoundingClientRect().width / one.parentElement.getBoundingClientRect().width"
    assert panel.locator("input").evaluate(wide) > 0.5, "the field has the room that the button leaves"
    assert panel.locator(".ddpm-derive-keys").evaluate(wide) == 1
    assert "the weight of z has the wrong sign" in answer(
        page, panel, "sqrt(abar_{t-1}) x_0 - sqrt(a_t) (1 - abar_{t-1}) / sqrt(1 - abar_t) z"
    )
    assert answer(page, panel, "sqrt(abar_{t-1}) x_0 +").startswith("Not understood")
    assert answer(page, panel, FORMS[label][0]) == "✓ Correct."


@pytest.mark.html
def test_answers_are_judged_in_the_page_and_kept_there(browser, tmp_path):
    labels = ["ex-posterior-combine", "ex-scaling-3", "ex-mean-1"]
    write_page(tmp_path, labels)
    context = browser.new_context(viewport={"width": 390, "height": 800})
    context.set_default_timeout(PATIENCE)
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator("script").count() == 1
    give_number(page, labels[0])
    give_choice(page, labels[1])
    give_formula(page, labels[2])
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [(one["id"], [node["html"][:150] for node in one["nodes"]]) for one in found] == []
    page.emulate_media(media="print")
    assert page.locator("section:visible").count() == 0
    page.emulate_media(media="screen")
    kept = json.loads(page.evaluate("localStorage['ddpm-lite:quick']"))
    assert kept == {
        labels[0]: {"answer": "8/21", "right": True},
        labels[1]: {"answer": STORED[labels[1]]["choices"][1], "right": True},
        labels[2]: {"answer": FORMS[labels[2]][0], "right": True},
    }
    page.reload()
    panel = press(page, labels[1], "Choose an answer")
    assert panel.locator("input").nth(1).is_checked()
    panel.get_by_role("button", name="Forget my answer").click()
    assert set(json.loads(page.evaluate("localStorage['ddpm-lite:quick']"))) == {labels[0], labels[2]}
    assert f"2 of {len(STORED)} quick checks" in panel.inner_text()
    context.close()
    assert complaints == []
