"""The engine of the derivations in the page, in node: what SymPy says is equal it accepts, what is not it refuses.

SymPy rearranges and corrupts the lines, and the machine of the book's displays says which of them are equal still.
"""

import json
import random
import re
import tomllib
from functools import cache

import pytest
import sympy
from equations.corruptions import corruptions
from equations.derivations import DERIVATIONS, FILE, read, same
from equations.evaluate import Unknown
from equations.symbols import NotUnderstood
from javascript import run_module
from sympy.printing.latex import LatexPrinter

ACCEPTED = {"equal", "goal", "again"}
SETUP = f"const DERIVATIONS = {json.dumps(tomllib.loads(FILE.read_text(encoding='utf8')))};"
LINES = [(name, step["line"]) for name, d in DERIVATIONS.items() for step in d["steps"]]
PLAIN = {
    r"\bar{\alpha}": "abar", r"\tilde{\beta}": "btilde", r"\tilde{\mu}": "mutilde", r"\alpha": "a", r"\beta": "b",
    r"\sigma": "sigma",
    r"\hat{z}": "zhat", r"z_\theta(x_{t},t,c)": "z_c", r"z_\theta(x_{t},t,\varnothing)": "z_none",
}  # fmt: skip


def judge(lines):
    """What the engine says to [(derivation, line)], in one process."""
    code = f"""
    const made = Object.fromEntries(Object.entries(DERIVATIONS).map(([name, one]) => [name, modules.prepare(one)]));
    return {json.dumps(lines)}.map(([name, line]) => {{
      const {{ tree, ...verdict }} = made[name].judge(line);
      return {{ ...verdict, printed: tree ? modules.print(tree) : null }};
    }});"""
    return run_module(["algebra.js", "reader.js", "judge.js"], SETUP, code)


# ---- Other forms of a line


class Written(LatexPrinter):
    """LaTeX of SymPy, with the book's symbols as they are and its norm."""

    def _print_Symbol(self, expr, style="plain"):
        return expr.name

    def _print_Function(self, expr, exp=None):
        text = rf"\lVert {self.doprint(expr.args[0])} \rVert"
        return f"{text}^{{{exp}}}" if exp else text


def as_latex(e):
    return Written().doprint(e)


def as_text(e, dice=None):
    """Plain text that a reader might type; with dice, terms and factors come in any order."""
    args = list(e.args)
    if dice:
        dice.shuffle(args)
    if e.is_Symbol:
        head, _, index = e.name.rpartition("_{")
        if e.name in PLAIN or not head or not e.name.endswith("}"):
            return PLAIN.get(e.name, e.name)
        return f"{PLAIN.get(head, head)}_{{{index}"
    if e.is_Add:
        return " + ".join(as_text(part, dice) for part in args).replace("+ -", "- ")
    if e.is_Mul:
        top, bottom = sympy.fraction(e)
        if bottom != 1:
            return f"({as_text(top, dice)})/({as_text(bottom, dice)})"
        if e.could_extract_minus_sign() and not (-e).is_Add:
            return f"-{as_text(-e, dice)}"
        return " ".join(
            f"({as_text(part, dice)})" if part.is_Add or part.is_negative else as_text(part, dice) for part in args
        )
    if e.is_Pow:
        base, exponent = e.args
        if exponent == sympy.Rational(1, 2):
            return f"sqrt({as_text(base, dice)})"
        if exponent.is_negative:
            return f"1/({as_text(base**-exponent, dice)})"
        return f"({as_text(base, dice)})^({exponent})"
    if str(e.func) == "Norm":
        return f"norm({as_text(args[0], dice)})"
    return str(e)


def index_of(text, k):
    return sympy.Symbol(f"{text}_{{{k}}}")


ALPHA, BETA, BAR, BEFORE = (
    index_of(*pair) for pair in ((r"\alpha", "t"), (r"\beta", "t"), (r"\bar{\alpha}", "t"), (r"\bar{\alpha}", "t-1"))
)
RULES = [(BETA, 1 - ALPHA), (ALPHA, 1 - BETA), (BAR, ALPHA * BEFORE), (BEFORE, BAR / ALPHA), (ALPHA, BAR / BEFORE)]


def replace_some(e, old, new, dice):
    """A symbol's places, some of them, replaced."""
    if e == old:
        return new if dice.random() < 0.6 else e
    return e.func(*(replace_some(part, old, new, dice) for part in e.args)) if e.args else e


def rearrange(e, dice):
    """A formula that is equal to e, by some steps of algebra."""
    for _ in range(dice.randint(1, 4)):
        step = dice.randrange(7)
        if step == 0:
            e = sympy.expand(e)
        elif step == 1:
            e = sympy.factor(e)
        elif step == 2:
            e = sympy.together(e)
        elif step == 3 and e.free_symbols:
            e = sympy.collect(sympy.expand(e), dice.choice(sorted(e.free_symbols, key=str)))
        elif step == 4:
            e = sympy.expand_power_base(e, force=True)
        else:
            e = replace_some(e, *dice.choice(RULES), dice)
    return e


def corrupt(e, dice):
    """A formula with one part of it changed."""
    places = [
        part for part in sympy.preorder_traversal(e) if part.is_Symbol or part.is_Add or part.is_Mul or part.is_Pow
    ]
    old, others = dice.choice(places), sorted(e.free_symbols, key=str)
    new = dice.choice(
        [2 * old, -old, old**2, sympy.sqrt(old), 1 - old, 1 / old, old / 2, dice.choice(others), sympy.Integer(1)]
    )
    if old.is_Add or old.is_Mul:
        left_out = old.func(*dice.sample(old.args, len(old.args) - 1))
        new = dice.choice([new, left_out])
    return e.xreplace({old: new})


@cache
def many(change, seed, wanted, number=200):
    """(derivation, line) for a number of changed lines, each equal or not to its line as wanted."""
    dice, found = random.Random(seed), []
    sides = [(name, line) for name, line in LINES if not DERIVATIONS[name].get("upto") or wanted]
    while len(found) < number:
        name, line = dice.choice(sides)
        right = read(line)
        other = change(right, dice)
        if other.has(sympy.zoo, sympy.nan, sympy.I) or len(as_latex(other)) > 550 or (other == right and not wanted):
            continue
        if same(name, right, other) != wanted:
            assert not wanted, f"{right} was made to {other}"
            continue
        text = as_text(other, dice) if dice.random() < 0.5 else as_latex(other)
        left = line.rpartition("=")[0]
        found.append((name, f"{left} = {text}" if left else text))
    return found


def told(cases, verdicts, wrong):
    return [(name, line, v["kind"], v["words"]) for (name, line), v in zip(cases, verdicts, strict=True) if wrong(v)]


# ---- Tests


def test_right_lines_are_accepted_in_three_other_forms():
    cases = []
    for name, line in LINES:
        left, right = line.rpartition("=")[0], read(line)
        forms = [
            as_text(right),
            as_latex(sympy.expand(right)),
            as_latex(sympy.factor(sympy.expand_power_base(right, force=True))),
        ]
        cases += [(name, f"{left} = {form}" if left else form) for form in forms]
    assert len(cases) >= 3 * 9 * 2
    assert told(cases, judge(cases), lambda v: v["kind"] not in ACCEPTED) == []


def test_the_last_line_of_each_is_its_goal_and_no_line_before_is():
    verdicts = judge(LINES)
    for name, derivation in DERIVATIONS.items():
        kinds = [v["kind"] for (one, _), v in zip(LINES, verdicts, strict=True) if one == name]
        assert kinds == ["equal"] * (len(derivation["steps"]) - 1) + ["goal"], name


MEAN = (
    r"\frac{\sqrt{\alpha_t}(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}x_t"
    r"+\frac{\sqrt{\bar\alpha_{t-1}}(1-\alpha_t)}{1-\bar\alpha_t}x_0"
)
DDIM = "sqrt(abar_s) x_0 + sqrt(1 - abar_s - sigma^2) (x_t - sqrt(abar_t) x_0) / sqrt(1 - abar_t)"
TYPED = [
    ("closed-form", "sqrt(abar_t) x_0 + sqrt(1 - abar_t) z", "goal"),
    ("closed-form", r"x_t = z\sqrt{1-\bar\alpha_t} + \sqrt{\bar\alpha_t}\,x_0", "goal"),
    ("closed-form", "√(abar_t) x_0 + (1 − alpha_bar_t)^{1/2} · z", "goal"),
    ("mean", "(sqrt(a_t) (1 - abar_{t-1}) x_t + sqrt(abar_(t-1)) b_t x_0) / (1 - abar_t)", "goal"),
    ("mean", rf"\tilde\mu_t(x_t, x_0) = {MEAN}", "goal"),
    ("noise", "x_t / sqrt(a_t) - b_t z / (sqrt(1 - abar_t) sqrt(a_t))", "goal"),
    ("variance", "btilde_t = (1 - abar_{t-1}) b_t / (1 - abar_t)", "goal"),
    ("variance", r"\frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\beta_t = \tilde\beta_t", "goal"),
    ("image", "x_0 = x_t / sqrt(abar_t) - sqrt(1 - abar_t) z / sqrt(abar_t)", "goal"),
    ("image", "(x_t - sqrt(1 - abar_t) z) / sqrt(abar_t)", "goal"),
    ("square", "a (x_{t-1} - b/a)^2", "goal"),
    ("weight", "b_t^2 / (2 sigma_t^2 a_t (1 - abar_t)) ||z - z_theta||^2", "goal"),
    ("guidance", "zhat = (1 + w) z_c - w z_none", "goal"),
    ("guidance", "(1 + w) z_c - w z_none", "different"),
    ("ddim", DDIM, "goal"),
    ("mean", r"\tilde\mu_t", "empty"),
    ("mean", r"\tilde\mu_t = \tilde\mu_t", "empty"),
    ("image", "x_0 = x_0", "empty"),
    ("image", "0 = 0", "empty"),
    ("image", "x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) z", "again"),
    ("mean", "z", "unread"),
]
UNREAD = [
    ("mean", "sqrt(a_t x_t", 4, "never closed"),
    ("mean", "x_t)", 3, "closes none"),
    ("mean", "x_t +", 5, "missing"),
    ("mean", "", 0, "nothing"),
    ("mean", r"\frac{1}", 8, "missing"),
    ("mean", "x", 0, "index"),
    ("mean", r"\alpha x_t", 0, "index"),
    ("mean", r"\gamma_t x_t", 0, r"\gamma"),
    ("mean", "exp(x_t)", 0, "exp"),
    ("mean", "epsilon", 0, "z"),
    ("mean", "x_{q}", 2, "q"),
    ("mean", "x_t ; alert(1)", 6, "alert"),
    ("mean", "x_t ; x_0", 4, ";"),
    ("mean", "constructor", 0, "constructor"),
    ("mean", "__proto__", 2, "proto"),
    ("mean", r"\sqrt[3]{x_t}", 5, "square roots"),
    ("mean", "(" * 100, 40, "brackets"),
    ("mean", "x_t " * 400, 1500, "long"),
    ("weight", "z_theta(x_0, t)", 7, "bracket"),
]


@pytest.fixture(scope="module")
def answers():
    """`answers(name, line)`: the verdict."""
    cases = [case[:2] for case in TYPED + UNREAD]
    verdicts = dict(zip(cases, judge(cases), strict=True))
    return lambda name, line: verdicts[name, line]


@pytest.mark.parametrize(("name", "line", "kind"), TYPED)
def test_what_readers_type(answers, name, line, kind):
    assert answers(name, line)["kind"] == kind


@pytest.mark.parametrize(("name", "line", "at", "piece"), UNREAD)
def test_what_is_not_understood_is_told_with_its_place(answers, name, line, at, piece):
    verdict = answers(name, line)
    assert (verdict["kind"], verdict["at"]) == ("unread", at)
    assert piece in verdict["words"]
    assert "\n" not in verdict["words"]


def test_slips_of_the_catalogue_are_refused_and_named():
    """The corruptions of the displays' tests; those that change nothing, by the same machine, are left out."""
    cases, names = [], []
    for name, line in LINES:
        for what, wrong in corruptions(line):
            try:
                harmless = (
                    "=" not in wrong and not DERIVATIONS[name].get("upto") and same(name, read(line), read(wrong))
                )
            except (NotUnderstood, Unknown):
                harmless = False
            if not harmless:
                cases.append((name, wrong))
                names.append(what)
    verdicts = judge(cases)
    assert told(cases, verdicts, lambda v: v["kind"] in ACCEPTED | {"empty"}) == []
    unnamed = told(cases, verdicts, lambda v: "slip" not in v and "at" not in v)
    assert len(cases) > 800
    assert len(unnamed) <= 0.05 * len(cases), unnamed
    # The engine names what the catalogue did: an index for an index, a root for a root.
    kinds = {
        "index": r".*_(\w|\{[^}]*\}) -> ",
        "root": r"\\sqrt.* -> \(",
        "square": r"\^2 -> nothing",
        "one": "1 - -> nothing",
    }
    for kind, pattern in kinds.items():
        found = [
            v["slip"]["kind"]
            for what, v in zip(names, verdicts, strict=True)
            if "slip" in v and re.match(pattern, what)
        ]
        assert found.count(kind) >= 0.8 * len(found) > 0, (kind, found)


def search(cases):
    """What the engine says to wrong lines, and to those in which it names no slip, its words for two at once."""
    code = f"""
    const made = Object.fromEntries(Object.entries(DERIVATIONS).map(([name, one]) => [name, modules.prepare(one)]));
    return {json.dumps(cases)}.map(([name, line]) => {{
      const {{ tree, ...verdict }} = made[name].judge(line);
      if (verdict.kind !== "different" || verdict.slip) return verdict;
      const steps = made[name].repairTwice(tree);
      for (let count = 1; ; count++) {{
        const step = steps.next();
        if (step.done) return {{ ...verdict, count, twice: step.value ?? "" }};
      }}
    }});"""
    return run_module(["algebra.js", "reader.js", "judge.js"], SETUP, code)


def slip_twice(seed, wanted):
    """(derivation, line, the two slips): lines of the book with two slips of the catalogue, which do not cancel."""
    dice, found = random.Random(seed), []
    lines = [(name, line) for name, line in LINES if not DERIVATIONS[name].get("upto")]
    while len(found) < wanted:
        name, line = dice.choice(lines)
        left, equal, right = line.rpartition("=")
        first, once = dice.choice(list(corruptions(right)))
        second, twice = dice.choice(list(corruptions(once)))
        try:
            if not same(name, read(right), read(twice)):
                found.append((name, left + equal + twice, f"{first}; {second}"))
        except (NotUnderstood, Unknown):  # an index that no symbol has
            continue
    return found


def test_two_slips_of_the_catalogue_are_refused_and_both_named():
    cases = slip_twice(0, 150)
    verdicts = search([case[:2] for case in cases])
    both = list(zip(cases, verdicts, strict=True))
    assert [case for case, v in both if v["kind"] in ACCEPTED | {"empty"}] == []
    searched = [(case, v) for case, v in both if "twice" in v]
    unnamed = [case for case, v in searched if not v["twice"]]
    assert len(searched) > 80
    assert len(unnamed) <= 0.05 * len(searched), unnamed
    assert all(v["twice"].startswith("Two slips. (1) ") and " (2) " in v["twice"] for _, v in searched if v["twice"])
    # It stops between the changes that it tries, so that a page may do something else.
    assert max(v["count"] for _, v in searched) > 50


TWICE = [
    (
        "mean",
        "a_t (1 - abar_{t-1}) / (1 - abar_t) x_t + sqrt(abar_{t-1}) a_t / (1 - abar_t) x_0",
        [
            r"letter: with the other put right, it would be equal with $\beta_t$ where you wrote $\alpha_t$",
            "root is missing",
        ],
    ),
    ("closed-form", "sqrt(abar_{t-1}) x_0 - sqrt(1 - abar_t) z", ["Look at an index", "Look at a sign"]),
    ("guidance", "zhat = (1 - w) z_c + w z_none", ["Look at a sign", "Look at a sign"]),
]


def test_what_is_said_of_two_slips():
    for (name, line, pieces), verdict in zip(TWICE, search([case[:2] for case in TWICE]), strict=True):
        first, _, second = verdict["twice"].partition(" (2) ")
        assert pieces[0] in first, (name, line, verdict)
        assert pieces[1] in second, (name, line, verdict)
        assert "with the first put right" in second


def test_nothing_is_said_of_two_slips_where_there_are_more():
    """A line that has nothing in common with the right one."""
    (verdict,) = search([("mean", "a_s^2 x_0 x_t / (1 + b_s) + 7 - x_0^2")])
    assert (verdict["kind"], verdict["twice"]) == ("different", "")


SWAPPED = [
    (
        "mean",
        r"\frac{\sqrt{\bar{\alpha}_{t-1}} \beta_t}{1 - \bar{\alpha}_t} x_t"
        r" + \frac{\sqrt{\alpha_t} (1 - \bar{\alpha}_{t-1})}{1 - \bar{\alpha}_t} x_0",
        ("x_t", "x_0"),
    ),
    (
        "mean",
        "(sqrt(abar_{t-1}) beta_t x_t + sqrt(alpha_t) (1 - abar_{t-1}) x_0) / (1 - abar_t)",
        ("x_t", "x_0"),
    ),
    ("closed-form", "sqrt(1 - abar_t) x_0 + sqrt(abar_t) z", ("x_0", "z")),
    (
        "noise",
        r"\frac{1}{\sqrt{\alpha_t}} \left(z - \frac{\beta_t}{\sqrt{1 - \bar{\alpha}_t}} x_t\right)",
        ("z", "x_t"),
    ),
    ("image", "x_0 = (z - sqrt(1 - abar_t) x_t) / sqrt(abar_t)", ("z", "x_t")),
]


def test_two_weights_that_changed_places_are_named():
    """A slip of two places at once; the two letters are in boxes."""
    verdicts = judge([case[:2] for case in SWAPPED])
    for (name, line, letters), verdict in zip(SWAPPED, verdicts, strict=True):
        assert verdict["kind"] == "different", (name, line)
        assert verdict["slip"]["kind"] == "weights", (name, line, verdict)
        assert all(f"${letter}$" in verdict["words"] for letter in letters)
        assert verdict["slip"]["shown"].count("boxed") == 2


def test_a_line_that_is_wrong_in_two_ways_is_not_named_after_its_weights():
    """The weights have changed places, and a sign is wrong too."""
    line = "sqrt(abar_{t-1}) beta_t x_t / (1 - abar_t) + sqrt(alpha_t) (1 + abar_{t-1}) x_0 / (1 - abar_t)"
    (verdict,) = judge([("mean", line)])
    assert verdict["kind"] == "different"
    assert verdict.get("slip", {}).get("kind") != "weights"


def test_rearrangements_are_accepted():
    cases = many(rearrange, 0, True)
    assert len(cases) == 200
    assert told(cases, judge(cases), lambda v: v["kind"] not in ACCEPTED) == []


def test_corruptions_are_not_accepted():
    cases = many(corrupt, 1, False)
    assert len(cases) == 200
    assert told(cases, judge(cases), lambda v: v["kind"] in ACCEPTED | {"empty"}) == []


def test_what_is_printed_is_read_as_the_same():
    cases = LINES + many(rearrange, 0, True)
    printed = [v["printed"] for v in judge(cases)]
    again = judge([(name, text) for (name, _), text in zip(cases, printed, strict=True)])
    assert [v["printed"] for v in again] == printed
    assert told(cases, again, lambda v: v["kind"] not in ACCEPTED) == []
