"""A SymPy expression in float64, for all t at once.

Arrays end in the axes (t, pixel). A sum, a product or an expectation puts an axis in front while its inside is
evaluated, and takes it away again. Derivatives, integrals and what else is about places stands in fields.py.
"""

import math
import re

import numpy as np
import sympy

from . import fields, values
from .fields import Unknown

# Gauss-Hermite nodes: an expectation of a polynomial of degree <= 9 in each noise is exact, not sampled.
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
INDEXED = re.compile(r"(?P<head>.*)_\{(?P<letter>[a-zA-Z])?(?P<offset>[+-]?\d+)?\}")

FUNCTIONS = {
    sympy.exp: np.exp,
    sympy.cos: np.cos,
    sympy.sin: np.sin,
    sympy.tan: np.tan,
    sympy.tanh: np.tanh,
}


class Scope:
    """Where a symbol is looked up: bound letters and nodes first, then the check's own, then the book's tables."""

    def __init__(self, given: values.Values, own: dict | None = None, bound: dict | None = None, axes: int = 2):
        self.given, self.own, self.bound, self.axes = given, own or {}, bound or {}, axes
        self.values = {}

    def known(self, e: sympy.Basic) -> np.ndarray:
        """The value of a whole side, computed once."""
        if e not in self.values:
            self.values[e] = evaluate(e, self)
        return self.values[e]

    def with_bound(self, more: dict, axes: int) -> "Scope":
        """The same, with `more` names bound inside and this many axes."""
        return Scope(self.given, self.own, {**self.bound, **more}, axes)

    def value(self, e: sympy.Basic) -> np.ndarray:
        """The value of an expression, with the axes (t, pixel)."""
        return evaluate(e, self)

    def value_with(self, more: dict, e: sympy.Basic, axes: int = 0) -> np.ndarray:
        """The value of an expression with `more` names bound, which may have this many axes in front."""
        return evaluate(e, self.with_bound(more, self.axes + axes))

    def symbol(self, name: str) -> np.ndarray:
        if name in self.bound:
            return self.bound[name]
        if name in self.own:
            return self.own[name](self)
        if name == "t":
            return self.given.t.numpy()[:, None].astype(float)
        if name == "T":
            return np.array([[float(self.given.schedule.T)]])
        if name == "d":
            return np.array([[float(self.given.pixels)]])
        found = INDEXED.fullmatch(name)
        table = self.table(found["head"]) if found else None
        if table is not None:
            return self.at(table, found["letter"], int(found["offset"] or 0))
        if r"_\theta" in name or "_{\\theta" in name:  # a network's output: any vector, another for each t
            return values.dice(name, (self.given.schedule.T + 1, self.given.pixels))[self.given.t]
        if values.is_noise(name):
            return values.dice(name, (1, self.given.pixels)) * np.ones((len(self.given.t), 1))
        raise Unknown(f"{name} has no value: name it in `vector`, `scalar`, `positive`, `where` or `given`")

    def table(self, head: str) -> np.ndarray | None:
        """The values of a symbol that has an index, the check's own or the book's."""
        own = self.own.get(" tables", {})
        return own[head] if head in own else self.given.table(head)

    def at(self, table: np.ndarray, letter: str | None, offset: int) -> np.ndarray:
        """table[letter + offset]; what is outside 0..T is not a number, and so never equal to anything."""
        place = offset + (self.symbol(letter) if letter else np.zeros((1, 1)))
        place = place[..., 0].astype(int)
        outside = (place < 0) | (place >= len(table))
        return np.where(outside[..., None], np.nan, table[np.where(outside, 0, place)])


def evaluate(e: sympy.Basic, scope: Scope) -> np.ndarray:
    """The value of an expression, with the axes (t, pixel)."""
    if e.is_Symbol:
        return scope.symbol(e.name)
    if e.is_number and not e.args:
        return np.array([[float(e)]])
    if e.is_Add:
        return sum(evaluate(part, scope) for part in e.args)
    if e.is_Mul:
        return math.prod(evaluate(part, scope) for part in e.args)
    if e.is_Pow:
        return _power(evaluate(e.base, scope), e.exp, scope)
    if isinstance(e, sympy.log):
        base = np.log(evaluate(e.args[1], scope)) if len(e.args) > 1 else 1.0
        return log_of(e.args[0], scope) / base
    if isinstance(e, (sympy.Sum, sympy.Product)):
        return _many(e, scope)
    if e.func in FUNCTIONS:
        return FUNCTIONS[e.func](evaluate(e.args[0], scope))
    special = fields.RULES.get(str(e.func)) or globals().get(f"_{str(e.func).lower()}")
    if special is None:
        raise Unknown(f"no rule for {e.func} in {e}")
    return special(e, scope)


def _power(base: np.ndarray, exponent: sympy.Basic, scope: Scope) -> np.ndarray:
    power = evaluate(exponent, scope)
    if exponent.is_Integer:
        return base ** int(exponent) if int(exponent) >= 0 else 1 / base ** -int(exponent)
    return base**power


def _many(e, scope):
    """A sum or product: its letter gets an axis of its own, with every value that the limits ever take."""
    if len(e.limits) != 1:
        raise Unknown(f"more than one letter in {e}")
    letter, first, last = e.limits[0]
    low, high = evaluate(first, scope), evaluate(last, scope)
    shape = (-1,) + (1,) * scope.axes
    numbers = np.arange(low.min(), high.max() + 1).reshape(shape)
    inside = evaluate(e.function, scope.with_bound({letter.name: numbers}, scope.axes + 1))
    used = (numbers >= low) & (numbers <= high)
    if isinstance(e, sympy.Sum):
        return np.where(used, inside, 0).sum(axis=0)
    return np.where(used, inside, 1).prod(axis=0)


def _norm(e, scope):
    return np.sqrt(np.sum(fields.pixels_of(evaluate(e.args[0], scope), scope) ** 2, axis=-1, keepdims=True))


def _abs(e, scope):
    return np.abs(evaluate(e.args[0], scope))


def _minimum(e, scope):
    return np.minimum(*(evaluate(part, scope) for part in e.args))


def _maximum(e, scope):
    return np.maximum(*(evaluate(part, scope) for part in e.args))


def _density(e, scope):
    """The density of one pixel: pixels are independent, so what holds for one holds for the picture."""
    x, mean, variance = (evaluate(part, scope) for part in e.args)
    return np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


def _random(expression, scope) -> list[str]:
    """The names in an expression that an expectation runs over."""
    names = {s.name for s in expression.free_symbols}
    paths = scope.own.get(" paths", {})
    names = sorted(
        names.union(*({s.name for s in paths[n].free_symbols} for n in names - set(scope.bound) if n in paths))
    )
    return [n for n in names if (values.is_noise(n) or n in scope.own.get(" random", {})) and n not in scope.bound]


def average(expressions: list, scope: Scope, combine) -> np.ndarray:
    """E[combine(values of the expressions)], by quadrature over every noise in them."""
    names = sorted({name for e in expressions for name in _random(e, scope)})
    if len(names) > 4:
        raise Unknown(f"an expectation over {len(names)} noises")
    nodes, axes = {}, scope.axes
    for name in names:
        mean, spread = scope.own.get(" random", {}).get(name, (0.0, 1.0))
        nodes[name] = mean + spread * NODES.reshape((-1,) + (1,) * axes)
        axes += 1
    inner = scope.with_bound(nodes, axes)
    value = np.asarray(combine(*(evaluate(e, inner) for e in expressions)))
    value = value.reshape((1,) * (axes - value.ndim) + value.shape)
    for _ in names:
        # The noise that was bound last has the first axis; one it does not depend on has length 1 there.
        value = np.tensordot(WEIGHTS, value, axes=(0, 0)) if len(value) > 1 else value[0]
    return value


def _free_of_path(e, scope):
    """E[a | b]: everything of the path x that is left in a must be in b."""
    inside, given = e.args[0], {s.name for part in e.args[1:] for s in part.free_symbols}
    path = {s.name for s in inside.free_symbols if s.name.startswith("x_{")}
    if e.args[1:] and path != given:
        raise Unknown(f"{e}: the average is over all but {sorted(given)}, yet it contains {sorted(path)}")
    return inside


def _expect(e, scope):
    for name, density in scope.own.get(" densities", {}).items():
        if name not in scope.bound and name in {s.name for s in e.args[0].free_symbols} and len(e.args) == 1:
            return evaluate(fields.over(name, density * e), scope)
    return average([_free_of_path(e, scope)], scope, lambda a: a)


def _var(e, scope):
    inside = _free_of_path(e, scope)
    mean = average([inside], scope, lambda a: a)
    return average([inside], scope, lambda a: (a - mean) ** 2)


def _cov(e, scope):
    one, two = (average([part], scope, lambda a: a) for part in e.args)
    return average(list(e.args), scope, lambda a, b: (a - one) * (b - two))


def _gaussian(e):
    return str(e.func) in ("Normal", "Density")


def moments(e, scope) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a distribution: of \\mathcal{N}(m, v), of a density in x, or of an expression in noises."""
    if str(e.func) == "Normal":
        return evaluate(e.args[0], scope), evaluate(e.args[1], scope)
    if str(e.func) == "Density":
        return evaluate(e.args[1], scope), evaluate(e.args[2], scope)
    mean = average([e], scope, lambda a: a)
    return mean, average([e], scope, lambda a: (a - mean) ** 2)


def _kl(e, scope):
    """E_a[log a - log b] of two Gaussians by quadrature (exact: the logarithm is quadratic), summed over pixels.

    Of two densities of the place, which are numbers: the integral over all places.
    """
    one, two = e.args
    place = scope.own.get(" place")
    if sympy.Symbol(str(place)) in one.free_symbols & two.free_symbols and not _gaussian(one) and not _gaussian(two):
        return evaluate(fields.over(place, one * (sympy.log(one) - sympy.log(two))), scope)
    (m, v), (n, w) = (moments(part, scope) for part in e.args)
    total = 0.0
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        x = m + np.sqrt(v) * node
        log_a = -((x - m) ** 2) / (2 * v) - np.log(v) / 2
        log_b = -((x - n) ** 2) / (2 * w) - np.log(w) / 2
        total = total + weight * (log_a - log_b)
    return np.sum(fields.pixels_of(total, scope), axis=-1, keepdims=True)


def log_of(e: sympy.Basic, scope: Scope) -> np.ndarray:
    """log e, taken apart as far as it goes: exp(-10000) is 0 in float64, its logarithm is -10000."""
    if isinstance(e, sympy.exp):
        return evaluate(e.args[0], scope)
    if str(e.func) == "Density":
        x, mean, variance = (evaluate(part, scope) for part in e.args)
        return -((x - mean) ** 2) / (2 * variance) - np.log(2 * np.pi * variance) / 2
    small = any(isinstance(part, sympy.exp) or str(part.func) == "Density" for part in sympy.preorder_traversal(e))
    if e.is_Mul and small:
        return sum(log_of(part, scope) for part in e.args)
    if e.is_Pow and small:
        return evaluate(e.exp, scope) * log_of(e.base, scope)
    return np.log(evaluate(e, scope))
