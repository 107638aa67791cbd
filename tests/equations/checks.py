r"""What a check can say about an equation. A chapter's file holds a list of them:

    CHECKS = [
        identity("eq-forward-merge", given=["eq-forward-step"]),
        matches("eq-posterior-mean", r"\tilde{\mu}_t", lambda s, v: posterior(s, v.x_t, v.t, v.x_0)[0]),
        definition("eq-noise", r"z \sim \mathcal{N}(0, \mathbf{I})", "names the noise"),
    ]

identity, matches, proportional and gaussian read the LaTeX of the notebook. definition and by_hand do not: they
hold a second copy of it, so that a typo must be made twice, and say why the first is not enough.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import sympy
import torch

from . import algebra, evaluate, latex, values

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


WRONG = (Mismatch, latex.NotUnderstood, evaluate.Unknown)  # what an equation that does not hold raises
Function = Callable  # (schedule, values) -> tensor, one row for each t


@dataclass(frozen=True)
class Check:
    """One equation and how it is checked."""

    label: str
    kind: str
    run: Callable[[dict[str, str]], "Outcome"] = field(repr=False)
    from_source: bool = True
    algebraic: bool = True
    reason: str = ""


@dataclass
class Outcome:
    """What was verified: how many links of chains, and how many of them also as formulas."""

    links: int = 0
    symbolic: int = 0


@dataclass(frozen=True)
class Illustration:
    """A display without a label: it states no fact."""

    tex: str
    reason: str


@dataclass(frozen=True)
class Equivalent:
    """A corruption that the check cannot notice, because the equation still holds."""

    label: str
    corruption: str
    reason: str


def identity(
    label: str,
    *,
    given: Sequence[str | tuple[str, str]] = (),
    where: dict[str, str | Function] | None = None,
    vector: Sequence[str] = (),
    scalar: Sequence[str] = (),
    positive: Sequence[str] = (),
    random: dict[str, tuple[float, float]] | None = None,
    tables: dict[str, Function] | None = None,
    of: str | None = None,
    within: float | None = None,
    in_distribution: bool = False,
    first: int | None = None,
    last: int = 0,
    pixels: int = 3,
    schedules: Sequence[str] = ("coarse", "paper"),
    kind: str = "identity",
    rewrite: Callable[[list], list] = list,
) -> Check:
    r"""Every link of every chain in the display holds, for all t, in float64.

    Args:
        label: of the display.
        given: what is put in first: labels of other displays, or equations in LaTeX; the symbol on the left is replaced
            by the last member on the right. ("eq-forward-step", "t-1") is that equation at t - 1.
        where: {symbol: LaTeX that it stands for, or a function (schedule, values) of the package that computes it}.
        vector, scalar, positive: symbols that may have any value: one for each pixel, one real number, one > 0.
        random: {symbol: (mean, standard deviation)} of Gaussians, beside the noises z, that expectations run over.
        tables: {symbol without its index: function that computes the whole table, T + 1 rows, first row index 0}.
        of: the variable of a \propto: what does not depend on it may differ.
        within: the relative error that an \approx may have.
        in_distribution: the members are random: their means and their variances are equal.
        first, last: the range of t is first .. T + last; by default all t at which every index is in 0..T.
        pixels: of a picture; 1 where a display speaks of numbers, 3 where a norm or a KL sums over a picture's pixels.
        schedules: names in values.SCHEDULES.
        kind, rewrite: for the checks that are made of this one.
    """

    def run(book: dict[str, str], symbolic: bool = False) -> Outcome:
        outcome = Outcome()
        chains = prepared(rewrite(chains_of(book[label])), book, given, where or {})
        used = set().union(*(side.free_symbols for chain in chains for side in chain.sides))
        for name in schedules:
            given_values = range_of(name, used, first, last, pixels)
            scope = scope_of(given_values, where or {}, vector, scalar, positive, random or {}, tables or {})
            for chain in chains:
                for a, sign, b in zip(chain.sides, chain.relations, chain.sides[1:], strict=False):
                    hold(a, "sim" if in_distribution else sign, b, scope, of=of, within=within)
                    if name == schedules[0]:
                        outcome.links += 1
                        outcome.symbolic += symbolic and sign == "=" and not in_distribution and algebra.same(a, b)
        return outcome

    return Check(label, kind, run)


def matches(label: str, left: str, function: Function | str, **more) -> Check:
    """The display says that `left` equals what `function` of the package computes; each member is compared with it."""
    return identity(label, where={left: function, **more.pop("where", {})}, kind="matches", **more)


def proportional(label: str, *, of: str, **more) -> Check:
    r"""Every \propto of the chain leaves out only what does not depend on `of`."""
    return identity(label, of=of, kind="proportional", **more)


def gaussian(label: str, left: str, mean: Function | str, variance: Function | str, **more) -> Check:
    r"""`left` = \mathcal{N}(x; m, v), or x \sim \mathcal{N}(m, v): m and v are compared, and `left` is what is said.

    A left side that is a density, q(x \mid y), must have the x of its \mathcal{N}(x; ...).
    """

    def rewrite(chains):
        if len(chains) != 1 or chains[0].sides[0] != latex.read(latex.tokens(left)):
            raise Mismatch("{}: the left side is {}, not {}", label, chains[0].sides[0], left)
        told, *sides = chains[0].sides
        density = str(told).partition("(")[2]
        links = []
        for side in sides:
            if str(side.func) not in ("Density", "Normal"):
                raise Mismatch("{}: {} is no Gaussian", label, side)
            if str(side.func) == "Density" and not density.startswith(side.args[0].name + r"\mid"):
                raise Mismatch("{}: {} is no density of {}", label, told, side.args[0])
            mean, variance = side.args[-2:]
            links += [latex.Chain([mean, sympy.Symbol("mean")], ["="])]
            links += [latex.Chain([variance, sympy.Symbol("variance")], ["="])]
        return links

    where = {"mean": mean, "variance": variance, **more.pop("where", {})}
    return identity(label, where=where, kind="gaussian", rewrite=rewrite, **more)


def definition(label: str, tex: str, reason: str) -> Check:
    """The display only defines, or says something that is no formula; `reason` says which."""
    return Check(label, "definition", copy_of(label, tex), from_source=False, algebraic=False, reason=reason)


def by_hand(label: str, tex: str, function: Callable[[], None], reason: str) -> Check:
    """Algebra that cannot be parsed: `function` asserts it in code; `reason` says why it cannot be read."""

    def run(book: dict[str, str], symbolic: bool = False) -> Outcome:
        copy_of(label, tex)(book)
        function()
        return Outcome(links=1)

    return Check(label, "by hand", run, from_source=False, reason=reason)


def illustration(tex: str, reason: str) -> Illustration:
    """A display that needs no label."""
    return Illustration(tex, reason)


def equivalent(label: str, corruption: str, reason: str) -> Equivalent:
    """`corruption` of the label is harmless, as `reason` says. The test prints corruptions as they are written here."""
    return Equivalent(label, corruption, reason)


# ---- the machinery


def copy_of(label, tex):
    def run(book, symbolic=False):
        if latex.tokens(book[label]) != latex.tokens(tex):
            raise Mismatch("{} reads {!r}, and its check {!r}", label, book[label], tex)
        return Outcome()

    return run


def chains_of(text) -> list[latex.Chain]:
    """The chains of a display."""
    return _chains(text)


@lru_cache(maxsize=4096)
def _chains(text):
    return latex.statements(text)


def prepared(chains, book, given, where):
    """The chains with everything put in that is given."""
    rules = []
    for entry in given:
        text, place = (entry, "t") if isinstance(entry, str) else entry
        for chain in chains_of(book[text] if text.startswith("eq-") else text):
            rules.append((latex.at_time(chain.sides[0], "t", place), latex.at_time(chain.sides[-1], "t", place)))
    for left, right in where.items():
        key = sympy.Symbol(left) if left in ("mean", "variance") else latex.read(latex.tokens(left))
        value = latex.read(latex.tokens(right)) if isinstance(right, str) else sympy.Symbol(f"where {left}")
        rules.append((key, value))

    def put_in(side):
        for left, right in rules:
            side = side.xreplace({left: right})
        return with_facts(side)

    return [latex.Chain([put_in(side) for side in chain.sides], chain.relations) for chain in chains]


@lru_cache
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
    for _ in range(2):  # q(x_{t-1} | x_t, x_0) has a mean that is a fact itself
        side = side.xreplace({s: facts()[s.name] for s in side.free_symbols if s.name in facts()})
    return side


@lru_cache
def values_of(name: str, first: int, last: int, pixels: int) -> values.Values:
    return values.Values(values.schedule(name), first, last, pixels)


def range_of(name, used, first, last, pixels) -> values.Values:
    """The schedule's values at those t for which every index that is used exists."""
    found = [evaluate.INDEXED.fullmatch(s.name) for s in used]
    offsets = [int(m["offset"] or 0) for m in found if m and m["letter"] == "t"]
    start = max(1, -min(offsets, default=0)) if first is None else first
    return values_of(name, start, values.schedule(name).T + last - max(0, *offsets, 0), pixels)


def scope_of(given, where, vector, scalar, positive, random, tables) -> evaluate.Scope:
    """The book's symbols, and those that the check declares."""
    own = {
        " random": {latex.canonical(k): v for k, v in random.items()},
        " tables": {latex.canonical(head): _computed(table, given)(None) for head, table in tables.items()},
    }
    for left, right in where.items():
        if callable(right):
            own[f"where {left}"] = own[left] = _computed(right, given)
    for names, pixels, shaped in ((vector, given.pixels, np.array), (scalar, 1, np.array), (positive, 1, np.exp)):
        for tex in names:
            symbol = latex.canonical(tex)
            own[symbol] = _drawn(symbol, pixels, shaped, given)
    return evaluate.Scope(given, own)


def _computed(function, given):
    def value(scope):
        key = (id(function), id(given))
        if key not in _COMPUTED:
            result = torch.as_tensor(function(given.schedule, given), dtype=torch.float64).numpy()
            _COMPUTED[key] = (function, result[:, None] if result.ndim == 1 else result)
        return _COMPUTED[key][1]

    return value


_COMPUTED = {}


def _drawn(symbol, pixels, shaped, given):
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
        one, two = evaluate.evaluate(a, scope), evaluate.evaluate(b, scope)
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
    if of is None:
        raise Mismatch("{} is proportional to {}: in which variable? Give `of`", a, b)
    name = latex.canonical(of)
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


def chapters():
    """The modules ch01, ch02, ... that exist."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("ch[0-9]*.py"))
    return [importlib.import_module(f"equations.{name}") for name in names]


def collected(kind: str) -> list:
    """All entries of CHECKS, ILLUSTRATIONS or EQUIVALENT, in the order of the chapters."""
    return [entry for module in chapters() for entry in getattr(module, kind, [])]
