r"""What a check can say about an equation. A chapter's file holds a list of them:

    CHECKS = [
        identity("eq-forward-merge", given=["eq-forward-step"]),
        matches("eq-posterior-mean", r"\tilde{\mu}_t", lambda s, v: posterior(s, v.x_t, v.t, v.x_0)[0]),
        definition("eq-noise", r"z \sim \mathcal{N}(0, \mathbf{I})", "names the noise"),
    ]

identity, matches and gaussian read the LaTeX of the notebook. definition and by_hand do not: they
hold a second copy of it, so that a typo must be made twice, and say why the first is not enough.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sympy

from . import algebra, latex, symbols, verify
from .verify import FACTS, WRONG, Mismatch

__all__ = ["FACTS", "WRONG", "by_hand", "definition", "equivalent", "gaussian", "identity", "illustration", "matches"]

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
    densities: dict[str, str] | None = None,
    paths: dict[str, str] | None = None,
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
        densities: {place: LaTeX of its density}, for an expectation of what depends on the place, with nothing given.
        paths: {place: LaTeX in a clock}, a place that moves: it follows in d / d clock, and stays in \partial.
        of: the variable of a \propto: what does not depend on it may differ.
        within: the relative error that an \approx may have.
        in_distribution: the members are random: their means and their variances are equal.
        first, last: the range of t is first .. T + last; by default all t at which every index is in 0..T.
        pixels: of a picture; 1 where a display speaks of numbers, 3 where a norm or a KL sums over a picture's pixels.
        schedules: names in values.SCHEDULES.
        kind, rewrite: for the checks that are made of this one.
    """

    scopes = {}

    def run(book: dict[str, str], symbolic: bool = False) -> Outcome:
        outcome = Outcome()
        chains = verify.prepared(rewrite(verify.chains_of(book[label])), book, given, where or {})
        used = set().union(*(side.free_symbols for chain in chains for side in chain.sides))
        for name in schedules:
            given_values = verify.range_of(name, used, first, last, pixels)
            if given_values not in scopes:
                more = (verify.formulas(told or {}, book, given, where or {}) for told in (densities, paths))
                scopes[given_values] = verify.scope_of(
                    given_values, where or {}, vector, scalar, positive, random or {}, tables or {}, *more
                )
            for chain in chains:
                for a, sign, b in zip(chain.sides, chain.relations, chain.sides[1:], strict=False):
                    verify.hold(a, "sim" if in_distribution else sign, b, scopes[given_values], of=of, within=within)
                    if name == schedules[0]:
                        outcome.links += 1
                        outcome.symbolic += symbolic and sign == "=" and not in_distribution and algebra.same(a, b)
        return outcome

    return Check(label, kind, run)


def matches(label: str, left: str, function: Function | str, **more) -> Check:
    """The display says that `left` equals what `function` of the package computes; each member is compared with it."""
    return identity(label, where={left: function, **more.pop("where", {})}, kind="matches", **more)


def gaussian(label: str, left: str, mean: Function | str, variance: Function | str, **more) -> Check:
    r"""`left` = \mathcal{N}(x; m, v), or x \sim \mathcal{N}(m, v): m and v are compared, and `left` is what is said.

    A left side that is a density, q(x \mid y), must have the x of its \mathcal{N}(x; ...).
    """

    def rewrite(chains):
        if len(chains) != 1 or chains[0].sides[0] != latex.read(symbols.tokens(left)):
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


def copy_of(label, tex):
    def run(book, symbolic=False):
        if symbols.tokens(book[label]) != symbols.tokens(tex):
            raise Mismatch("{} reads {!r}, and its check {!r}", label, book[label], tex)
        return Outcome()

    return run


def chapters():
    """The modules ch01, ch02, ... that exist."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("ch[0-9]*.py"))
    return [importlib.import_module(f"equations.{name}") for name in names]


def collected(kind: str) -> list:
    """All entries of CHECKS, ILLUSTRATIONS or EQUIVALENT, in the order of the chapters."""
    return [entry for module in chapters() for entry in getattr(module, kind, [])]
