"""Each line of the derivations in the page follows from the one before, by the machine of the book's displays."""

import pytest
import sympy

from equations import latex, source
from equations.checks import WRONG, identity
from equations.corruptions import corruptions
from equations.derivations import DERIVATIONS, options

BOOK = {display.label: display.tex for display in source.in_book() if display.label}
EACH = pytest.mark.parametrize("derivation", DERIVATIONS.values(), ids=DERIVATIONS)
NEEDED = {"title", "place", "left", "start", "given", "letters", "reach", "rules", "shape", "steps"}


def links(derivation):
    """The equalities that a derivation states: of its left side with the first line, and of each line with the next."""
    before = derivation["left"]
    for line in [derivation["start"], *(step["line"] for step in derivation["steps"])]:
        yield line if "=" in line else f"{before} = {line}"
        before = derivation["left"] if "=" in line else line


def hold(derivation, tex):
    """Let the machine prove an equality, up to what may be left out."""
    more = options(derivation)
    if derivation.get("upto"):
        tex = r" \propto ".join(rf"\exp\left(-\frac{{1}}{{2}} \left[{side}\right]\right)" for side in tex.split("="))
        more["of"] = derivation["upto"]
    identity("eq-link", first=2, last=0, pixels=1, schedules=["coarse"], **more).run({"eq-link": tex})


@EACH
def test_each_line_equals_the_one_before(derivation):
    for tex in links(derivation):
        hold(derivation, tex)


@EACH
def test_a_slip_in_the_last_line_is_noticed(derivation):
    """So that what the lines are compared with is worth something."""
    *_, last = links(derivation)
    missed = []
    for name, wrong in corruptions(derivation["steps"][-1]["line"]):
        tex = wrong if "=" in wrong else f"{derivation['left']} = {wrong}"
        try:
            hold(derivation, tex)
            missed.append(name)
        except WRONG:
            pass
    harmless = [name for name in missed if derivation.get("upto")]
    assert missed == harmless


@EACH
def test_lines_are_those_of_the_book(derivation):
    places = [(derivation.get("from"), derivation["start"])]
    places += [(step.get("label"), step["line"]) for step in derivation["steps"]]
    # Completing the square has letters of its own, for what any two coefficients are.
    assert any(label for label, _ in places) or "a" in derivation["letters"]
    for label, line in places:
        if label:
            sides = [side for chain in latex.statements(BOOK[label]) for side in chain.sides]
            own = latex.statements(line if "=" in line else f"0 = {line}")[0].sides
            assert any(own[-1] in sympy.preorder_traversal(side) for side in sides), (label, line)


@EACH
def test_a_derivation_has_all_that_the_page_needs(derivation):
    assert set(derivation) >= NEEDED
    assert derivation["place"].startswith("#") or derivation["place"] in BOOK
    assert derivation.get("next", "mean") in DERIVATIONS
    assert bool(derivation.get("rest")) == bool(derivation.get("upto"))
    assert all(step["hint"].endswith(".") for step in derivation["steps"])


def test_there_are_nine_in_six_chapters():
    chapters = {display.label: display.chapter for display in source.in_book()}
    assert len(DERIVATIONS) >= 9
    found = {chapters[d["place"]][:2] for d in DERIVATIONS.values() if not d["place"].startswith("#")}
    assert found | {"04"} == {"02", "03", "04", "05", "10", "11"}
