"""A typo in a displayed equation fails here: each display's LaTeX is read from its notebook and checked.

How an equation is checked stands in tests/equations/chNN.py, one entry for each label.
"""

import contextlib
import re
import time
from collections import Counter

import pytest

from ddpm_lite import posterior, q_sample, q_step
from equations import answers, checks, source
from equations.checks import WRONG, identity, matches
from equations.corruptions import corruptions

DISPLAYS = source.in_book()
BOOK = {display.label: display.tex for display in DISPLAYS if display.label}
ANSWERS = answers.read()
ANEW = "the book shows something else: run `python -m equations eq-name --answers`, with tests and tools on PYTHONPATH"
CHECKS = {check.label: check for check in checks.collected("CHECKS")}
SEEN = Counter()  # for the summary
START = time.perf_counter()

CITED = re.compile(r"\b(?:eq|alg)-[a-z0-9]+(?:-[a-z0-9]+)*")
# Labels that the package cites before the chapter is there that has them.
PENDING: dict[str, set[str]] = {}


def test_every_label_has_one_check_and_every_check_a_label():
    labels = Counter(display.label for display in DISPLAYS if display.label)
    twice = [label for label, count in labels.items() if count > 1]
    entries = Counter(check.label for check in checks.collected("CHECKS"))
    twice += [label for label, count in entries.items() if count > 1]
    assert twice == []
    assert sorted(set(labels) - set(entries)) == [], "displays without a check"
    assert sorted(set(entries) - set(labels)) == [], "checks without a display"
    assert list(ANSWERS) == [check.label for check in checks.collected("CHECKS")], ANEW


def test_the_answer_of_one_label_is_written_without_the_others(tmp_path, monkeypatch):
    stored = answers.FILE.read_text(encoding="utf8")
    monkeypatch.setattr(answers, "FILE", tmp_path / "answers.json")
    kept = [line for line in stored.splitlines() if '"eq-alpha"' not in line]
    answers.FILE.write_text("\n".join(kept), encoding="utf8")
    answers.write(["eq-alpha"])
    assert answers.FILE.read_text(encoding="utf8") == stored


def test_display_without_a_label_says_why():
    explained = {entry.tex for entry in checks.collected("ILLUSTRATIONS")}
    bare = {display.tex for display in DISPLAYS if display.label is None}
    assert bare - explained == set(), "give it a label, or an illustration(tex, reason)"
    assert explained - bare == set(), "an illustration that the book does not have"


@pytest.mark.parametrize("label", [label for label in BOOK if label in CHECKS])
def test_equation_holds(label):
    outcome = CHECKS[label].run(BOOK, symbolic=True)
    SEEN["links"] += outcome.links
    SEEN["as formulas"] += outcome.symbolic
    assert (ANSWERS[label]["links"], ANSWERS[label]["proved"]) == (outcome.links, outcome.symbolic), ANEW


@pytest.mark.parametrize(
    "tex",
    [
        r"x_t",
        r"x_t = (x_t",
        r"x_t = w x_t",
        r"x_t = x_t^{(i)}",
        r"x_t = \int x_t \, dx_0",
        r"x_t = \int x_t + x_0 \, dx_0",
        r"x_t = \int x_t",
        r"x_t = \int_{0} x_t \, dt",
        r"x_t = \int d x_t \, dt",
        r"x_t = \int x_t \, dx_0 x_t",
        r"x_t = \int_{0}^{1} x_t \, d \log",
        r"x_t = x_t^\top",
        r"x_t = {}^\top x_t",
        r"x_t = x_t^\top x_t x_t",
        r"x_t = x_t^\top \log x_t",
        r"x_t = x_t^\top 1",
        r"x_t = \frac{x_t}{x_0} / x_t^\top x_t",
        r"x_t = x_t \text{ for all } t",
        r"x_t = \begin{cases} x_t \end{cases}",
    ],
)
def test_what_is_not_understood_is_an_error(tex):
    with pytest.raises(WRONG):
        identity("eq-odd").run({"eq-odd": tex})


def test_what_is_put_in_for_a_density_is_the_packages():
    step, _, jump, _, mean = checks.FACTS
    book = {"eq-step": step, "eq-jump": jump, "eq-mean": mean}
    mu = r"\tilde{\mu}_t(x_t, x_0)"
    noiseless = {"mean": lambda s, v: q_step(s, v.x_prev, v.t, 0 * v.z), "variance": lambda s, v: s.beta[v.t]}
    checks.gaussian("eq-step", r"q(x_t \mid x_{t-1})", **noiseless).run(book)
    noiseless = {"mean": lambda s, v: q_sample(s, v.x_0, v.t, 0 * v.z), "variance": lambda s, v: 1 - s.alpha_bar[v.t]}
    checks.gaussian("eq-jump", r"q(x_t \mid x_0)", **noiseless).run(book)
    matches("eq-mean", mu, lambda s, v: posterior(s, v.x_t, v.t, v.x_0)[0]).run(book)
    # Bayes' rule itself, with the three densities: the posterior's mean and variance are not taken on trust.
    bayes = r"q(x_{t-1} \mid x_t, x_0) = \frac{q(x_t \mid x_{t-1}) q(x_{t-1} \mid x_0)}{q(x_t \mid x_0)}"
    identity("eq-bayes", first=2).run({"eq-bayes": bayes})


def test_derivatives_by_all_pixels():
    """Divergence and gradient of a Gaussian in three pixels; the place has to be named, a gradient is of a number."""
    given = [r"p = \exp\left(-\lVert x \rVert^2\right)"]

    def run(tex, **more):
        identity("eq-odd", given=given, **{"vector": ["x"]} | more).run({"eq-odd": tex})

    run(r"\nabla \cdot \left(x p\right) = 3 p - 2 \lVert x \rVert^2 p")
    run(r"\nabla \cdot \left(x p\right) = 2 p - 2 \lVert x \rVert^2 p", pixels=2)
    run(r"\nabla \cdot \nabla p = 4 \lVert x \rVert^2 p - 6 p")
    run(r"\nabla \log p = -2 x")
    for wrong in (r"\nabla \cdot \left(x p\right) = 3 p", r"\nabla p = -2 p", r"\nabla x = 1"):
        with pytest.raises(WRONG):
            run(wrong)
    with pytest.raises(WRONG):
        run(r"\nabla \log p = -2 x", vector=[], scalar=["x"])


def run(tex, given=(), **more):
    identity("eq-odd", given=given, schedules=["coarse"], **more).run({"eq-odd": tex})


def test_integrals():
    """Over all numbers, positive numbers, places, and between limits; what does not converge has no value."""
    bell = r"\exp\left(-\frac{1}{2} \lVert x \rVert^2\right)"
    for count, value in ((1, r"\sqrt{2 \pi}"), (2, r"2 \pi"), (3, r"2 \pi \sqrt{2 \pi}")):
        run(rf"\int {bell} \, dx = {value}", vector=["x"], pixels=count)
    run(r"\int u^2 \exp\left(-a u\right) \, du = \frac{2}{a^3}", positive=["u", "a"])
    run(r"\int \exp\left(-u\right) u \, d \log u = 1")
    run(r"\int_{a}^{b} \frac{1}{u} \, du = \log b - \log a", positive=["a", "b"])
    run(r"\frac{d}{d a} \int_{a}^{b} u^2 \, du = -a^2", scalar=["a", "b"])
    run(r"\frac{d u^3}{d \log u} = 3 u^3", positive=["u"])
    endless = [r"\int 1 \, du = 80", r"\int_{0}^{1} \frac{1}{u} \, du = 80", r"\int \frac{1}{1 + u^2} \, du = \pi"]
    narrow = r"\int \exp\left(-10000 u^2\right) \, du = \frac{\sqrt{\pi}}{100}"
    for wrong in (*endless, narrow, r"\int \exp\left(-u^2\right) \, du = \pi"):
        with pytest.raises(WRONG):
            run(wrong)


def test_inner_products():
    """Of vectors, not of numbers; a gradient may stand on either side."""
    both = {"vector": ["x", "y"], "scalar": ["c"]}
    run(r"\lVert x + y \rVert^2 = \lVert x \rVert^2 + 2 x^\top y + \lVert y \rVert^2", **both)
    run(r"y^\top \nabla \lVert x \rVert^2 = 2 y^\top x", **both)
    run(r"\nabla \lVert x \rVert^2^\top y = 2 y^\top x", **both)
    run(r"\frac{2 c y^\top x}{c} = \left(x + x\right)^\top y", **both)
    for wrong in (r"x^\top y = x y", r"x^\top c = c^\top x", r"x^\top y = y^\top y"):
        with pytest.raises(WRONG):
            run(wrong, **both)


def test_a_place_that_moves():
    r"""It follows in d / d c and stays in \partial; an expectation runs over the noise that it is made of."""
    moving = {"paths": {"x": r"c y + c^2 z"}, "vector": ["x", "y"], "positive": ["c"]}
    run(r"\frac{d x}{d c} = y + 2 c z", **moving)
    run(r"\frac{d}{d c} \left(c x\right) = x + c \left(y + 2 c z\right)", **moving)
    run(r"\frac{\partial}{\partial c} \left(c x\right) = x", **moving)
    run(r"\mathbb{E}[x^2] = c^2 y^2 + c^4", **moving)
    run(r"\frac{d}{d c} \mathbb{E}[x^2] = 2 c y^2 + 4 c^3", **moving)
    with pytest.raises(WRONG):
        run(r"\frac{d}{d c} \left(c x\right) = x", **moving)


def test_expectations_over_a_density_of_places():
    given = [r"w = \frac{1}{2 \pi S} \exp\left(-\frac{\lVert x - y \rVert^2}{2 S}\right)"]
    more = {"densities": {"x": "w"}, "vector": ["x", "y"], "positive": ["S"], "pixels": 2}
    run(r"\mathbb{E}[x] = y", given, **more)
    run(r"\mathbb{E}[\lVert x \rVert^2] = \lVert y \rVert^2 + 2 S", given, **more)
    run(r"D_{\mathrm{KL}}(w \,\|\, w) + 1 = 1", given, **more)
    with pytest.raises(WRONG):
        run(r"\mathbb{E}[\lVert x \rVert^2] = \lVert y \rVert^2 + S", given, **more)


def test_slips_of_the_source_note_are_caught():
    """The formula that this book grew out of, as it was printed: it must not pass; put right, it must."""
    left = r"q(x_{t-1} \mid x_t, x_0) \propto "
    step, jump = r"\frac{(x_t - \sqrt{\alpha_t} x_{t-1})^2}{\beta_t}", r"(x_{t-1} - \sqrt{%s} x_0)^2}{1 - %s}"
    wrong_jump, jump = (rf"\frac{{{jump % (bar, bar)}" for bar in (r"\bar{\alpha}_t", r"\bar{\alpha}_{t-1}"))
    written = {
        "index and half": rf"\exp\left(-\frac{{1}}{{2}} {step} - {wrong_jump}\right)",
        "half": rf"\exp\left(-\frac{{1}}{{2}} {step} - {jump}\right)",
        "index": rf"\exp\left(-\frac{{1}}{{2}} \left[{step} + {wrong_jump}\right]\right)",
        "right": rf"\exp\left(-\frac{{1}}{{2}} \left[{step} + {jump}\right]\right)",
    }
    passed = []
    for name, right_side in written.items():
        with contextlib.suppress(WRONG):
            identity("eq-note", of="x_{t-1}", first=2).run({"eq-note": left + right_side})
            passed.append(name)
    assert passed == ["right"]


def test_corruptions_are_caught(capsys):
    """Small typos in every display that is read from its source: each must fail, or be listed with a reason."""
    harmless = {(entry.label, entry.corruption): entry.reason for entry in checks.collected("EQUIVALENT")}
    made, caught, survived, counts = 0, 0, [], {}
    for label, tex in BOOK.items():
        if label not in CHECKS or not CHECKS[label].from_source:
            continue
        for name, wrong in corruptions(tex):
            made += 1
            counts.setdefault(label, Counter())["typos"] += 1
            try:
                CHECKS[label].run({**BOOK, label: wrong})
                survived.append((label, name))
            except WRONG:
                caught += 1
                counts[label]["noticed"] += 1
    counted = made - len(set(survived) & set(harmless))
    share = caught / made
    read = [check for label, check in CHECKS.items() if label in BOOK and check.from_source]
    algebra = [check for label, check in CHECKS.items() if label in BOOK and check.algebraic]
    otherwise = Counter(check.kind for label, check in CHECKS.items() if label in BOOK and not check.from_source)
    with capsys.disabled():
        print(f"\nlabels {len(BOOK)}: checked from source {len(read)}, otherwise {otherwise.total()} {dict(otherwise)}")
        print(f"read from source: {len(read) / len(algebra):.1%} of the algebra, {SEEN['links']} links, "
              f"{SEEN['as formulas']} of them also proved as formulas")  # fmt: skip
        print(f"corruptions caught {caught}/{made} ({share:.1%}), {made - counted} equivalent; "
              f"{time.perf_counter() - START:.0f} s")  # fmt: skip
    stored = {label: (a["typos"], a["noticed"]) for label, a in ANSWERS.items() if a.get("typos")}
    assert {label: (seen["typos"], seen["noticed"]) for label, seen in counts.items()} == stored, ANEW
    assert sorted(set(survived) - set(harmless)) == [], "not noticed"
    assert sorted(set(harmless) - set(survived)) == [], "listed as equivalent, but noticed or not made"
    assert share >= 0.98
    assert len(read) >= 0.8 * len(algebra)


def test_labels_that_the_package_cites_exist():
    labels = set(BOOK) | source.targets()
    chapters = {path.stem for path in source.chapters()}
    stale = sorted(set(PENDING) & chapters)
    assert stale == [], "the chapter is there: take it out of PENDING"
    pending = set().union(*PENDING.values())
    missing = {
        f"{path.name}: {label}"
        for path in sorted((source.ROOT / "ddpm_lite").glob("**/*.py"))
        for label in CITED.findall(path.read_text(encoding="utf8"))
        if label not in labels | pending
    }
    assert missing == set()
