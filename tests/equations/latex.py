r"""From the book's LaTeX to SymPy.

SymPy's own parser (sympy.parsing.latex) reads the algebra: +, -, juxtaposition, powers, fractions, roots,
\exp, \log, \cos, \sum, \prod. Before it does, three things are done to a formula here:

1. Every symbol of ours becomes a placeholder, so that the parser never sees a subscript; symbols.py names it.
2. Every bracket, every term of a sum, and every argument of \frac, \sqrt and ^ is read on its own, innermost first.
   The short flat formulas that remain repeat a lot, and each is parsed only once.
3. What SymPy has no word for becomes a function with a name of its own:

    Density  \mathcal{N}(x; mean, variance)          Norm     \lVert a \rVert
    Normal   \mathcal{N}(mean, variance)             Abs      \lvert a \rvert
    Expect   \mathbb{E}[a], \mathbb{E}[a \mid b]     Minimum  \min(a, b)
    Var      \operatorname{Var}(a), also a \mid b    Maximum  \max(a, b)
    Cov      \operatorname{Cov}(a, b)                Inner    a^\top b, which ends a term
    Grad     \nabla_{x} a, all of the product that follows; \frac{d a}{d x}, \frac{d a}{d \log x}
    Partial  \frac{\partial}{\partial x} a: while the places that move with x stay
    Integral \int a \, d x, \int_{b}^{c} a \, d x
    Gradient, Divergence                             \nabla a, \nabla \cdot a: by the pixels of the check's `vector`
    KL       D_{\mathrm{KL}}(a \,\|\, b)

What is not understood is an error, never a guess. Left out are: the subscript of \mathbb{E}, what stands below
an \underbrace, and spaces.
"""

import re
from dataclasses import dataclass
from functools import cache, partial

import sympy
from sympy.parsing.latex import parse_latex

from . import calculus
from .calculus import function
from .symbols import ACCENTS, NotUnderstood, argument, closing, index, renamed, split, symbol, tokens

RELATIONS = {
    "=": "=", ":=": "=", r"\coloneqq": "=", r"\equiv": "=", r"\propto": "propto", r"\sim": "sim",
    r"\approx": "approx", r"\le": "<=", r"\leq": "<=", "<": "<", r"\ge": ">=", r"\geq": ">=", ">": ">",
}  # fmt: skip
FUNCTIONS = {r"\exp", r"\log", r"\ln", r"\cos", r"\sin", r"\tan", r"\tanh"}
OPERATORS = {"+", "-", "/", "*", r"\cdot", r"\times", r"\pi"}
DOTS = {r"\cdots", r"\dots", r"\ldots"}


# ---- statements


@dataclass(frozen=True)
class Chain:
    """a = b = c: the sides as SymPy expressions, and the relations between them."""

    sides: list[sympy.Basic]
    relations: list[str]


def statements(tex):
    """The chains of a display: a row that begins with a relation goes on, any other begins a new one."""
    rows = []
    for row in split(tokens(tex), {r"\\"})[0]:
        bare = [token for token in row if token != "&"]
        if not bare:
            continue
        if rows and (row[0] == "&" or bare[0] in RELATIONS or bare[0] in ("+", "-")):
            rows[-1] += bare
        else:
            rows.append(bare)
    parts = [part for row in rows for part in split(row, {",", "."})[0] if part]
    return [chain(part) for part in parts]


def chain(seq):
    """The chain in the tokens of one statement."""
    pieces, found = split(seq, set(RELATIONS))
    if not found:
        raise NotUnderstood(f"no relation in: {' '.join(seq)}")
    return Chain([read(piece) for piece in pieces], [RELATIONS[sign] for sign in found])


def at_time(expression, letter, place):
    """The whole expression at another time: at_time(e, "t", "t-1")."""
    if place == letter:
        return expression
    moved = {s: sympy.Symbol(renamed(s.name, letter, place)) for s in expression.free_symbols}
    if sympy.Symbol(letter) in moved:
        moved[sympy.Symbol(letter)] = read(tokens(place))
    return expression.xreplace(moved)


# ---- expressions


class Flat:
    """A formula without brackets for SymPy's parser, and what its placeholders stand for."""

    letters = "ABCFGHJKLMNOPQRSTUVW"  # no d, e, i: they mean something to the parser

    def __init__(self):
        self.text, self.meaning = [], {}

    def place(self, expression):
        """A placeholder for the expression."""
        n = len(self.meaning)
        name = "Q" + self.letters[n // len(self.letters)] + self.letters[n % len(self.letters)]
        self.meaning[sympy.Symbol(name)] = expression
        return rf"\mathit{{{name}}}"

    def factor(self, expression):
        r"""A placeholder that is written like a factor, or in brackets if a function such as \exp waits for it."""
        waits = self.text and self.text[-1].lstrip("^_").startswith(("{", *FUNCTIONS))
        place = self.place(expression)
        self.text.append(f"({place})" if waits else place)

    def take(self):
        """The last factor, taken out again."""
        self.text.pop()
        return self.meaning.popitem()[1]

    def parsed(self):
        if not self.text:
            raise NotUnderstood("nothing where a formula should be")
        flat = _by_sympy(" ".join(self.text))
        lost = set(self.meaning) - flat.free_symbols
        if lost:
            raise NotUnderstood(f"SymPy lost {[self.meaning[s] for s in lost]} in {' '.join(self.text)}")
        return flat.xreplace(self.meaning)


@cache
def _by_sympy(flat):
    try:
        return parse_latex(flat, strict=True).subs(sympy.Symbol("pi"), sympy.pi)
    except Exception as error:  # the parser raises whatever its grammar runs into
        raise NotUnderstood(f"SymPy cannot read {flat}: {error}") from error


def read(seq):
    """Tokens of one expression (no relation in it) -> SymPy."""
    return _read(tuple(seq))


@cache
def _read(seq):
    terms, signs = split(list(seq), {"+", "-"})
    if signs and any(terms):
        return _total(terms, signs)
    seq, flat, i = list(seq), Flat(), 0
    while i < len(seq):
        i = _next(flat, seq, i)
    return flat.parsed()


def _total(terms, signs):
    """A sum of terms, each read on its own; the first may have a sign too."""
    flat = Flat()
    for sign, term in zip(["", *signs], terms, strict=True):
        if term or sign:
            flat.text += [sign, flat.place(read(term))] if sign else [flat.place(read(term))]
    return flat.parsed()


def _next(flat, seq, i):
    """Put what begins at i into the flat formula; returns the position after it."""
    token = seq[i]
    if token in OPERATORS:
        flat.text.append(token)
        return i + 1
    if token[0].isdigit():
        flat.text.append(flat.place(sympy.Integer(int(token)) if token.isdigit() else sympy.Float(token)))
        return i + 1
    if token in ("(", "[", "{"):
        end = closing(seq, i)
        flat.factor(read(seq[i + 1 : end]))
        return end + 1
    if token in FUNCTIONS or token == "^":
        return _function(flat, seq, i)
    if token == "e" and seq[i + 1 : i + 2] == ["^"] and seq[i + 2 : i + 3] != [r"\top"]:
        inner, i = argument(seq, i + 2)
        flat.text.append(rf"\exp({flat.place(read(inner))})")
        return i
    if token in (r"\sum", r"\prod"):
        return _sum(flat, seq, i)
    word, after = _word(seq, i)
    reader = READERS.get(word) or (_divergence if seq[i : i + 2] == ["D", "_"] else _symbol)
    expression, i = reader(seq, i, after)
    flat.factor(expression)
    return i


def _word(seq, i):
    """The word at i, such as \\mathbb{E}, and the position after it."""
    if seq[i] in ACCENTS and seq[i + 1 : i + 2] == ["{"]:
        end = closing(seq, i + 1)
        return "".join(seq[i : end + 1]), end + 1
    return seq[i], i + 1


def _function(flat, seq, i):
    r"""A power, a function, the base of a logarithm. A power of a function, \cos^2(a), is left to SymPy."""
    token, i = seq[i], i + 1
    if token == "^":
        inner, i = argument(seq, i)
        if inner == [r"\top"]:
            return _inner_product(flat, seq, i)
        if flat.text and flat.text[-1].startswith(r"\mathit"):
            flat.factor(_alone("{}^{{{}}}", flat.take(), read(inner)))
        else:
            flat.text.append(f"^{{{flat.place(read(inner))}}}")
        return i
    flat.text.append(token)
    if seq[i : i + 1] == ["_"]:
        base, i = argument(seq, i + 1)
        flat.text.append(f"_{{{flat.place(read(base))}}}")
    return i


def _inner_product(flat, seq, i):
    r"""a^\top b, of the factor before and all that follows."""
    if not flat.text or not flat.text[-1].startswith(r"\mathit") or flat.text[-2:-1] == ["/"]:
        raise NotUnderstood(rf"no vector before ^\top in: {' '.join(seq)}")
    flat.factor(calculus.inner(read, flat.take(), seq, i))
    return len(seq)


def _sum(flat, seq, i):
    r"""\sum_{s=1}^{t}: SymPy's parser decides how far it reaches."""
    word, limits, i = seq[i], {}, i + 1
    while i < len(seq) and seq[i] in "_^":
        limits[seq[i]], i = argument(seq, i + 1)
    below = split(limits.get("_", []), {"="})[0]
    if "^" not in limits or len(below) != 2 or len(below[0]) != 1:
        raise NotUnderstood(f"{word} needs limits such as _{{s=1}}^{{t}}")
    first, last = flat.place(read(below[1])), flat.place(read(limits["^"]))
    flat.text.append(f"{word}_{{{below[0][0]}={first}}}^{{{last}}}")
    return i


# ---- readers: (tokens, position, position after the word) -> (expression, position after it)


def _fraction(seq, i, after):
    top, i = argument(seq, after)
    bottom, i = argument(seq, i)
    return _alone(r"\frac{{{}}}{{{}}}", read(top), read(bottom)), i


def _root(seq, i, after):
    inner, i = argument(seq, after)
    return _alone(r"\sqrt{{{}}}", read(inner)), i


def _alone(form, *parts):
    """One fraction, root or power, its parts put into the form."""
    flat = Flat()
    flat.text.append(form.format(*map(flat.place, parts)))
    return flat.parsed()


def _brace(seq, i, after):
    inner, end = argument(seq, after)
    while end < len(seq) and seq[end] in "_^" and seq[i] != r"\boxed":
        _, end = argument(seq, end + 1)
    return read(inner), end


def _identity(seq, i, after):
    return sympy.Integer(1), after  # the identity matrix: the same for every pixel


def _between_bars(seq, i, after):
    end = closing(seq, i)
    return function("Norm" if seq[i] == r"\lVert" else "Abs", read(seq[after:end])), end + 1


def _derivative(seq, i, after):
    top, after = argument(seq, after)
    bottom, end = argument(seq, after)
    if top[:1] not in (["d"], [r"\partial"]) or bottom[:1] != top[:1]:
        return _fraction(seq, i, i + 1)
    return calculus.derivative(read, seq, top, bottom, end)


def _extreme(seq, i, after):
    inner, end = _bracket(seq, after)
    parts = [read(part) for part in split(inner, {","})[0]]
    return function("Minimum" if seq[i] == r"\min" else "Maximum", *parts), end


def _gaussian(seq, i, after):
    inner, end = _bracket(seq, after)
    parts, signs = split(inner, {";", ","})
    if signs not in ([";", ","], [","]):
        raise NotUnderstood(r"\mathcal{N} is written \mathcal{N}(x; mean, variance) or \mathcal{N}(mean, variance)")
    return function("Density" if len(parts) == 3 else "Normal", *map(read, parts)), end


def _mean(seq, i, after):
    if seq[after : after + 1] == ["_"]:
        _, after = argument(seq, after + 1)
    inner, end = _bracket(seq, after)
    return function("Expect", *_conditioned(inner)), end


def _variance(seq, i, after):
    inner, end = _bracket(seq, after)
    return function("Var", *_conditioned(inner)), end


def _covariance(seq, i, after):
    inner, end = _bracket(seq, after)
    return function("Cov", *map(read, split(inner, {","})[0])), end


def _divergence(seq, i, after):
    name, after = argument(seq, after + 1)
    if "".join(name) != r"\mathrm{KL}":
        return _symbol(seq, i, after)
    inner, end = _bracket(seq, after)
    parts, _ = split(inner, {r"\|", r"\Vert", r"\parallel"})
    if len(parts) != 2:
        raise NotUnderstood(r"D_{\mathrm{KL}} is written D_{\mathrm{KL}}(a \,\|\, b)")
    return function("KL", *map(read, parts)), end


def _bracket(seq, i):
    if i >= len(seq) or seq[i] not in ("(", "[", "{", r"\{"):
        raise NotUnderstood(f"a bracket is missing in: {' '.join(seq)}")
    end = closing(seq, i)
    return seq[i + 1 : end], end + 1


def _conditioned(inner):
    r"""`a \mid b, c` -> a, b, c."""
    parts, _ = split(inner, {r"\mid"})
    given = split(parts[1], {","})[0] if len(parts) > 1 else []
    return [read(part) for part in [parts[0], *given]]


def _symbol(seq, i, after):
    name, end = symbol(seq, i)
    return _dots(seq, i) or (sympy.Symbol(name), end)


def _dots(seq, i):
    r"""\alpha_1 \alpha_2 \cdots \alpha_t, or downwards \alpha_t \alpha_{t-1} \cdots \alpha_1: a product, or None."""
    names = []
    while i < len(seq) and len(names) < 2 and seq[i] not in FUNCTIONS | OPERATORS | DOTS | set(READERS):
        if not re.fullmatch(r"[a-zA-Z]|\\[a-zA-Z]+", seq[i]):
            return None
        name, i = symbol(seq, i)
        names.append(name)
    if len(names) < 2 or i >= len(seq) or seq[i] not in DOTS:
        return None
    name, end = symbol(seq, i + 1)
    parts = [re.fullmatch(r"(.*)_\{([^{}]*)\}", name) for name in [*names, name]]
    if not all(parts) or len({part[1] for part in parts}) != 1:
        raise NotUnderstood(f"{' '.join(names)} ... {name} is no product of one symbol")
    first, second, last = (part[2] for part in parts)
    if second == index(f"{first}+1"):
        low, high = first, last
    elif second == index(f"{first}-1"):
        low, high = last, first
    else:
        raise NotUnderstood(f"{' '.join(names)} ... {name}: the second is no neighbour of the first")
    k = sympy.Symbol("k")
    body = sympy.Symbol(f"{parts[0][1]}_{{k}}")
    return sympy.Product(body, (k, read(tokens(low)), read(tokens(high)))), end


READERS = {
    r"\frac": _derivative, r"\dfrac": _fraction, r"\tfrac": _fraction, r"\sqrt": _root, r"\underbrace": _brace,
    r"\overbrace": _brace, r"\boxed": _brace, r"\mathbf{I}": _identity, r"\lVert": _between_bars,
    r"\lvert": _between_bars, r"\nabla": partial(calculus.gradient, read),
    r"\int": partial(calculus.integral, read), r"\min": _extreme, r"\max": _extreme, r"\mathcal{N}": _gaussian,
    r"\mathbb{E}": _mean, r"\operatorname{Var}": _variance, r"\mathrm{Var}": _variance,
    r"\operatorname{Cov}": _covariance, r"\mathrm{Cov}": _covariance,
}  # fmt: skip
