"""Whether a link of a chain holds, in float64 and for all t: what is put in, what symbols are worth, the comparison."""

from functools import cache, partial

import numpy as np
import sympy
import torch

from . import evaluate, latex, symbols, values

TOLERANCE = 1e-9  # relative; float64 and at most some ten operations give about 1e-13

# What the book's densities are; where a display uses one, its definition is put in. test_equations.py holds these
# against the package, so nothing is taken on trust.
FACTS = [
    r"q(x_t \mid x_{t-1}) = \mathcal{N}(x_t; \sqrt{\alpha_t} x_{t-1}, \beta_t)",
    r"q(x_t \mid x_{t-1}, x_0) = \mathcal{N}(x_t; \sqrt{\alpha_t} x_{t-1}, \beta_t)",
    r"q(x_t \mid x_0) = \mathcal{N}(x_t; \sqrt{\bar{\alpha}_t} x_0, 1 - \bar{\alpha}_t)",
    r"q(x_{t-1} \mid x_t, x_0) = \mathcal{N}(x_{t-1}; \tilde{\mu}_t(x_t, x_0), \tilde{\beta}_t)",
    r"\tilde{\mu}_t(x_t, x_0) = \frac{\sqrt{\alpha_t} (1 - \bar{\alpha}_{t-1})}{1 - \bar{\alpha}_t} x_t"
    r" + \frac{\sqrt{\bar{\alpha}_{t-1}} \beta_t}{1 - \bar{\alpha}_t} x_0",
]
TIMES = ("t", "t-1", "t+1", "t-2", "T", "s", "s-1", "1", "2")


class Mismatch(AssertionError):
    """The equation on the page does not hold, or does not say what its check says.

    Mismatch("{} is not {}", a, b): the text is put together when it is read, as SymPy takes long to write a formula.
    """

    def __str__(self) -> str:
        return self.args[0].format(*self.args[1:])


WRONG = (Mismatch, symbols.NotUnderstood, evaluate.Unknown)  # what an equation that does not hold raises


@cache
def chains_of(text) -> list[latex.Chain]:
    """The chains of a display."""
    return latex.statements(text)


def prepared(chains, book, given, where) -> list[latex.Chain]:
    """The chains with everything put in: the `given` equations, what stands in `where`, the FACTS."""
    rules = rules_of(book, given, where)
    return [latex.Chain([put_in(side, rules) for side in chain.sides], chain.relations) for chain in chains]


def formulas(told, book, given, where) -> dict[str, sympy.Basic]:
    """{canonical name: expression} of a dict of LaTeX, with everything put in."""
    rules = rules_of(book, given, where)
    return {symbols.canonical(name): put_in(latex.read(symbols.tokens(tex)), rules) for name, tex in told.items()}


def rules_of(book, given, where) -> tuple:
    """What is put in for what, in this order."""
    rules = []
    for entry in given:
        text, place = (entry, "t") if isinstance(entry, str) else entry
        for chain in chains_of(book[text] if text.startswith("eq-") else text):
            rules.append((moved(chain.sides[0], place), moved(chain.sides[-1], place)))
    for left, right in where.items():
        key = sympy.Symbol(left) if left in ("mean", "variance") else latex.read(symbols.tokens(left))
        value = latex.read(symbols.tokens(right)) if isinstance(right, str) else sympy.Symbol(f"where {left}")
        rules.append((key, value))
    return tuple(rules)


@cache
def moved(side, place):
    """The expression with `place` for t."""
    return latex.at_time(side, "t", place)


@cache  # a corruption changes one side of one link: all others are the same again
def put_in(side, rules):
    """The expression after each replacement, in this order, and with the FACTS."""
    for left, right in rules:
        side = side.xreplace({left: right})
    return with_facts(side)


@cache
def facts() -> dict[str, sympy.Basic]:
    """{canonical name: definition} of FACTS at each of TIMES."""
    table = {}
    for text in FACTS:
        left, right = latex.statements(text)[0].sides
        for place in TIMES:
            name = latex.at_time(left, "t", place).name
            table.setdefault(name, latex.at_time(right, "t", place))
    return table


def with_facts(side: sympy.Basic) -> sympy.Basic:
    """The expression with every density of FACTS written out."""
    for _ in range(2):  # q(x_{t-1} | x_t, x_0) has a mean that is a fact itself
        side = side.xreplace({s: facts()[s.name] for s in side.free_symbols if s.name in facts()})
    return side


@cache
def values_of(name: str, first: int, last: int, pixels: int) -> values.Values:
    return values.Values(values.schedule(name), first, last, pixels)


def range_of(name, used, first, last, pixels) -> values.Values:
    """The schedule's values at those t for which every index that is used exists."""
    found = [evaluate.INDEXED.fullmatch(s.name) for s in used]
    offsets = [int(m["offset"] or 0) for m in found if m and m["letter"] == "t"]
    start = max(1, -min(offsets, default=0)) if first is None else first
    return values_of(name, start, values.schedule(name).T + last - max(0, *offsets, 0), pixels)


def scope_of(given, where, vector, scalar, positive, random, tables, densities=None, paths=None) -> evaluate.Scope:
    """The book's symbols, and those that the check declares."""
    own = {
        " random": {symbols.canonical(k): v for k, v in random.items()},
        " densities": densities or {},
        " paths": paths or {},
        " positive": {symbols.canonical(name) for name in positive},
        " tables": {symbols.canonical(head): _computed(table, given)(None) for head, table in tables.items()},
    }
    if vector:
        own[" place"] = symbols.canonical(vector[0])
    for left, right in where.items():
        if callable(right):
            own[f"where {left}"] = own[left] = _computed(right, given)
    for names, pixels, shaped in ((vector, given.pixels, np.array), (scalar, 1, np.array), (positive, 1, np.exp)):
        for tex in names:
            symbol = symbols.canonical(tex)
            own[symbol] = _drawn(symbol, pixels, shaped, given)
    for name, path in (paths or {}).items():
        own[name] = partial(evaluate.evaluate, path)
    return evaluate.Scope(given, own)


_COMPUTED = {}


def _computed(function, given):
    """A check's function, called once for each range of t."""

    def value(scope):
        key = (id(function), id(given))
        if key not in _COMPUTED:
            result = torch.as_tensor(function(given.schedule, given), dtype=torch.float64).numpy()
            _COMPUTED[key] = (function, result[:, None] if result.ndim == 1 else result)
        return _COMPUTED[key][1]

    return value


def _drawn(symbol, pixels, shaped, given):
    """Random values of a symbol; one that has an index gets a table, so that every index has its value."""
    found = evaluate.INDEXED.fullmatch(symbol)
    if not found:
        return lambda scope: shaped(values.dice(symbol, (1, pixels)))
    table = shaped(values.dice(found["head"], (given.schedule.T + 1, pixels)))
    return lambda scope: scope.at(table, found["letter"], int(found["offset"] or 0))


@np.errstate(all="ignore")  # what is not finite is found by looking
def hold(a, sign, b, scope, *, of=None, within=None):
    """One link, in numbers; raises Mismatch with the t at which it fails."""
    if sign == "sim" or "Normal" in (str(a.func), str(b.func)):
        (m, v), (n, w) = evaluate.moments(a, scope), evaluate.moments(b, scope)
        compare(v, w, scope, TOLERANCE, "the variance of {} and of {}", (a, b))
        compare(m, n, scope, TOLERANCE, "the mean of {} and of {}", (a, b), floor=np.sqrt(np.mean(v)))
    elif sign == "propto":
        ratio_is_constant(a, b, scope, of)
    else:
        one, two = scope.known(a), scope.known(b)
        if sign in ("=", "approx"):
            if sign == "approx" and within is None:
                raise Mismatch("{} is about {}: give `within`", a, b)
            compare(one, two, scope, TOLERANCE if sign == "=" else within, "{} = {}", (a, b))
        else:
            true = {"<": one < two, "<=": one <= two, ">": one > two, ">=": one >= two}[sign]
            if not np.all(true):
                raise Mismatch("{} {} {} is false", a, sign, b)


def compare(one, two, scope, tolerance, what, members, floor=0.0):
    """Equal to `tolerance`, relative to the value, or to a thousandth of the mean value, or to `floor`."""
    one, two = np.broadcast_arrays(one, two)
    bad = ~(np.isfinite(one) & np.isfinite(two))
    if bad.any():
        raise Mismatch(what + ": not finite{}; give `first` if it is meant", *members, _at(bad, scope))
    scale = np.maximum(np.abs(one), np.abs(two)) + 1e-3 * np.abs(one).mean() + floor + 1e-300
    error = np.abs(one - two) / scale
    if error.max() > tolerance:
        raise Mismatch(what + ": relative error {:.2g}{}", *members, error.max(), _at(error == error.max(), scope))


def _at(where, scope):
    if where.ndim != 2 or len(where) != len(scope.given.t):
        return ""
    return f" at t = {int(scope.given.t[int(np.argmax(where.any(axis=1)))])} of T = {scope.given.schedule.T}"


def ratio_is_constant(a, b, scope, of):
    """a over b does not change when `of` does, and a does."""
    if of is None:
        raise Mismatch("{} is proportional to {}: in which variable? Give `of`", a, b)
    name = symbols.canonical(of)
    differences, sizes = [], []
    for k in range(4):
        moved = scope.with_bound(
            {name: scope.symbol(name) + values.dice(f"draw {k}", (1, scope.given.pixels))}, scope.axes
        )
        one, two = np.broadcast_arrays(evaluate.log_of(a, moved), evaluate.log_of(b, moved))
        differences.append(one - two)
        sizes.append(one)
    spread = np.ptp(np.array(differences), axis=0)
    size = np.ptp(np.array(sizes), axis=0)
    if not np.all(np.isfinite(spread)) or not np.all(size > 0):
        raise Mismatch("{} over {}: not finite, or neither depends on {}", a, b, of)
    if (spread / size).max() > TOLERANCE:
        raise Mismatch("{} over {} depends on {}: its logarithm varies by {:.2g}", a, b, of, (spread / size).max())
