"""The derivations that readers do in the page, of book/derivations.toml, read and evaluated as the book's displays."""

import tomllib
from functools import cache

import numpy as np
import sympy

from . import evaluate, latex, symbols, verify
from .ch11 import earlier, sigma
from .source import ROOT

FILE = ROOT / "book" / "derivations.toml"
DERIVATIONS = tomllib.loads(FILE.read_text(encoding="utf8"))
# What a letter of a derivation may be worth, where it is no symbol of the book's tables.
SCALARS = ["w", "C(x_t, x_0)"]
POSITIVE = ["a", "b", r"\sigma_t"]


def options(derivation: dict) -> dict:
    """How `checks.identity` evaluates the lines of a derivation."""
    where = {"s": earlier} | ({r"\sigma": sigma} if r"\sigma" in derivation["letters"] else {})
    return {"given": derivation["given"], "where": where, "scalar": SCALARS, "positive": POSITIVE}


def read(line: str) -> sympy.Basic:
    """The formula of a line, of an equation its last side."""
    return latex.read(symbols.tokens(line.rpartition("=")[2]))


@cache
def scope_of(name: str, schedule: str = "coarse") -> tuple:
    """What the symbols are worth, and what is put in for those that are given."""
    derivation = DERIVATIONS[name]
    more = options(derivation)
    values = verify.values_of(schedule, 4, 17, 1)
    scope = verify.scope_of(values, more["where"], (), more["scalar"], more["positive"], {}, {})
    chains = [latex.statements(rule)[0] for rule in derivation["given"]]
    rules = [(chain.sides[0], chain.sides[-1]) for chain in chains]
    rules += [(sympy.Symbol(key), sympy.Symbol(f"where {key}")) for key in more["where"] if key != "s"]
    return scope, tuple(rules)


@np.errstate(all="ignore")
def value_of(name: str, formula: sympy.Basic) -> np.ndarray:
    """A formula of a derivation at each t, with all that is given."""
    scope, rules = scope_of(name)
    return np.broadcast_to(evaluate.evaluate(verify.put_in(formula, rules), scope), (len(scope.given.t), 1))


def same(name: str, one: sympy.Basic, two: sympy.Basic) -> bool:
    """Whether two formulas of a derivation have one value at each t, to rounding."""
    a, b = value_of(name, one), value_of(name, two)
    return bool(np.all(np.abs(a - b) <= 1e-8 * (np.abs(a) + np.abs(b) + 1e-6)))
