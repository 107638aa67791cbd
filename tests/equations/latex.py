r"""From the book's LaTeX to SymPy.

SymPy's own parser (sympy.parsing.latex) reads the algebra: +, -, juxtaposition, powers, fractions, roots,
\exp, \log, \cos, \sum, \prod. Before it does, three things are done to a formula here:

1. Every symbol of ours becomes one letterless placeholder, so that the parser never sees a subscript.
   A symbol keeps its canonical name: \bar{\alpha}_{t-1}, x_{0}, z_\theta(x_{t},t), q(x_{t}\mid x_{0}).
2. Every bracket, and every argument of \frac, \sqrt and ^, is read on its own, innermost first. The short flat
   formulas that remain repeat a lot, and each is parsed only once.
3. What SymPy has no word for becomes a function with a name of its own; the table is below (SPECIAL).

What is not understood is an error, never a guess.
"""

import re
from dataclasses import dataclass
from functools import cache

import sympy
from sympy.parsing.latex import parse_latex

# name of the SymPy function: how it is written
SPECIAL = {
    "Density": r"\mathcal{N}(x; mean, variance)",
    "Normal": r"\mathcal{N}(mean, variance)",
    "Expect": r"\mathbb{E}[a], \mathbb{E}_{q}[a], \mathbb{E}[a \mid b]",
    "Var": r"\operatorname{Var}(a), \operatorname{Var}[a \mid b]",
    "Cov": r"\operatorname{Cov}(a, b)",
    "KL": r"D_{\mathrm{KL}}(a \,\|\, b)",
    "Norm": r"\lVert a \rVert",
    "Abs": r"\lvert a \rvert",
    "Minimum": r"\min(a, b), and Maximum",
    "Grad": r"\nabla_{x} a, all of the product that follows",
}
# These take arguments in brackets, which are part of their name; after any other symbol a bracket is a factor.
CALLS = {
    "q", "p", r"p_\theta", r"z_\theta", r"\mu_\theta", r"x_\theta", r"v_\theta", r"s_\theta", "s", "C", "f", "g",
    r"\tilde{\mu}", r"\hat{x}", r"\hat{z}", r"\Sigma_\theta", r"\phi",
}  # fmt: skip
RELATIONS = {
    "=": "=", ":=": "=", r"\coloneqq": "=", r"\equiv": "=", r"\propto": "propto", r"\sim": "sim",
    r"\approx": "approx", r"\le": "<=", r"\leq": "<=", "<": "<", r"\ge": ">=", r"\geq": ">=", ">": ">",
}  # fmt: skip

TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|:=|\d+(?:\.\d+)?|\S", re.S)
SPACES = {
    r"\,", r"\;", r"\:", r"\!", "\\ ", r"\quad", r"\qquad", "~", r"\left", r"\right", r"\middle", r"\displaystyle",
    r"\big", r"\Big", r"\bigl", r"\bigr", r"\Bigl", r"\Bigr", r"\bigg", r"\biggl", r"\biggr", r"\nonumber",
}  # fmt: skip
OPENING = {"(": ")", "[": "]", "{": "}", r"\{": r"\}", r"\lVert": r"\rVert", r"\lvert": r"\rvert"}
ACCENTS = {
    r"\bar", r"\tilde", r"\hat", r"\check", r"\dot", r"\mathbf", r"\boldsymbol", r"\mathrm", r"\mathcal", r"\text",
    r"\operatorname", r"\mathbb",
}  # fmt: skip
FUNCTIONS = {r"\exp", r"\log", r"\ln", r"\cos", r"\sin", r"\tan", r"\tanh"}
OPERATORS = {"+", "-", "/", "*", r"\cdot", r"\times", r"\pi"}
DOTS = {r"\cdots", r"\dots", r"\ldots"}
INDEX = re.compile(r"([a-zA-Z])?((?:[+-]?\d+)*)")
INDEX_LETTERS = set("tsTrkijn")


class NotUnderstood(Exception):
    """LaTeX outside the documented subset."""


# ---- tokens and brackets


def tokens(tex):
    """The tokens that mean something; spaces and the sizes of brackets do not."""
    tex = re.sub(r"\\(?:begin|end)\{(?:aligned|split|gathered)\}|\{\s*\}", " ", tex)
    tex = re.sub(r"\\(bar|tilde|hat)\s*(\\?[a-zA-Z]+)", r"\\\1{\2}", tex)  # \bar\alpha is \bar{\alpha}
    tex = re.sub(r"\\\\\s*\[[\d.]+[a-z]+\]", r"\\\\", tex)  # a new row with room above it
    return [token for token in TOKEN.findall(tex) if token not in SPACES]


def closing(seq, start):
    """The position of the bracket that closes the one at `start`."""
    close, depth = OPENING[seq[start]], 0
    for i in range(start, len(seq)):
        depth += (seq[i] == seq[start]) - (seq[i] == close)
        if depth == 0:
            return i
    raise NotUnderstood(f"{seq[start]} is never closed in: {' '.join(seq)}")


def split(seq, separators):
    """(pieces, separators found) of seq at the separators that stand outside all brackets."""
    pieces, found, i = [[]], [], 0
    while i < len(seq):
        if seq[i] in OPENING:
            end = closing(seq, i)
            pieces[-1] += seq[i : end + 1]
            i = end + 1
            continue
        if seq[i] in separators:
            found.append(seq[i])
            pieces.append([])
        else:
            pieces[-1].append(seq[i])
        i += 1
    return pieces, found


def argument(seq, i):
    """The tokens of the argument at i, a group or one token, and the position after it."""
    if i >= len(seq):
        raise NotUnderstood(f"something is missing at the end of: {' '.join(seq)}")
    if seq[i] == "{":
        end = closing(seq, i)
        return seq[i + 1 : end], end + 1
    return seq[i : i + 1], i + 1


# ---- symbols


def index(text):
    """`t-1`, `s`, `0`, `T` in one spelling, or None if the subscript is no index: `t-1-1` is `t-2`."""
    found = INDEX.fullmatch(text)
    if not found or not text or (found[1] and found[1] not in INDEX_LETTERS):
        return None
    offset = sum(int(part) for part in re.findall(r"[+-]?\d+", found[2]))
    return f"{found[1] or ''}{offset:+d}" if found[1] and offset else found[1] or str(offset)


def symbol(seq, i):
    """The canonical name of the symbol at i, and the position after it."""
    token = seq[i]
    i += 1
    if token in ACCENTS:
        inner, i = argument(seq, i)
        token = f"{token}{{{name_of(inner)}}}"
    elif not re.fullmatch(r"[a-zA-Z]|\\[a-zA-Z]+", token):
        raise NotUnderstood(f"{token} in: {' '.join(seq)}")
    sub = ""
    while i < len(seq) and seq[i] in ("'", "_", r"\prime"):
        if seq[i] == "_":
            inner, i = argument(seq, i + 1)
            place = index("".join(inner))
            if place is None:
                text = name_of(inner)
                # A label such as \theta is a part of the name and needs no braces.
                token += f"_{text}" if len(inner) == 1 else f"_{{{text}}}"
            else:
                sub = f"_{{{place}}}"
        else:
            token += "'"
            i += 1
    if token in CALLS and i < len(seq) and seq[i] == "(":
        end = closing(seq, i)
        sub += f"({name_of(seq[i + 1 : end])})"
        i = end + 1
    return token + sub, i


def name_of(seq):
    """Tokens as one text, with every symbol in its canonical spelling."""
    text, i = "", 0
    while i < len(seq):
        if re.fullmatch(r"[a-zA-Z]|\\[a-zA-Z]+", seq[i]) and seq[i] not in (r"\mid",):
            part, i = symbol(seq, i)
        else:
            part, i = seq[i], i + 1
        text += part
    return text


def canonical(tex):
    """The canonical name of one symbol written in LaTeX."""
    name, end = symbol(seq := tokens(tex), 0)
    if end != len(seq):
        raise NotUnderstood(f"{tex} is not one symbol")
    return name


def renamed(name, letter, place):
    """The symbol's name at another time: renamed("x_{t-1}", "t", "t-1") is "x_{t-2}"."""
    moved = re.sub(rf"(?<![a-zA-Z\\]){letter}(?![a-zA-Z{{])", place, name)
    return re.sub(r"_\{([^{}]*)\}", lambda m: f"_{{{index(m[1]) or m[1]}}}", moved)


def at_time(expression, letter, place):
    """The whole expression at another time."""
    if place == letter:
        return expression
    moved = {s: sympy.Symbol(renamed(s.name, letter, place)) for s in expression.free_symbols}
    if sympy.Symbol(letter) in moved:
        moved[sympy.Symbol(letter)] = read(tokens(place))
    return expression.xreplace(moved)


# ---- expressions


@cache
def _by_sympy(flat):
    try:
        return parse_latex(flat, strict=True).subs(sympy.Symbol("pi"), sympy.pi)
    except Exception as error:  # the parser raises whatever its grammar runs into
        raise NotUnderstood(f"SymPy cannot read {flat}: {error}") from error


class _Flat:
    """A formula without brackets for SymPy's parser, and what its placeholders stand for."""

    letters = "ABCFGHJKLMNOPQRSTUVW"

    def __init__(self):
        self.text, self.meaning = [], {}

    def place(self, expression):
        """A placeholder for the expression."""
        n = len(self.meaning)
        name = "Q" + self.letters[n // len(self.letters)] + self.letters[n % len(self.letters)]
        self.meaning[sympy.Symbol(name)] = expression
        return rf"\mathit{{{name}}}"

    def factor(self, expression):
        """A placeholder that is written like a factor, or in brackets if a function such as \\exp waits for it."""
        waits = self.text and self.text[-1].lstrip("^_").startswith(("{", *FUNCTIONS))
        place = self.place(expression)
        self.text.append(f"({place})" if waits else place)

    def parsed(self):
        if not self.text:
            raise NotUnderstood("nothing where a formula should be")
        flat = _by_sympy(" ".join(self.text))
        lost = set(self.meaning) - flat.free_symbols
        if lost:
            raise NotUnderstood(f"SymPy lost {[self.meaning[s] for s in lost]} in {' '.join(self.text)}")
        return flat.xreplace(self.meaning)


def function(name, *args):
    """One of the SPECIAL functions, applied."""
    return sympy.Function(name)(*args)


def read(seq):
    """Tokens of one expression (no relation in it) -> SymPy."""
    return _read(tuple(seq))


@cache
def _read(seq):
    seq = list(seq)
    flat, i = _Flat(), 0
    while i < len(seq):
        i = _read_one(flat, seq, i)
    return flat.parsed()


def _read_one(flat, seq, i):
    token = seq[i]
    out = flat.text
    if token in OPERATORS:
        out.append(token)
        return i + 1
    if token[0].isdigit():
        out.append(flat.place(sympy.Integer(int(token)) if token.isdigit() else sympy.Float(token)))
        return i + 1
    if token in ("(", "[", "{"):
        end = closing(seq, i)
        flat.factor(read(seq[i + 1 : end]))
        return end + 1
    if token in (r"\frac", r"\dfrac", r"\tfrac", r"\sqrt"):
        inner, i = argument(seq, i + 1)
        parts = [read(inner)]
        if token != r"\sqrt":
            inner, i = argument(seq, i)
            parts.append(read(inner))
        alone = _Flat()
        alone.text.append(("\\frac" if len(parts) == 2 else token) + "".join(f"{{{alone.place(e)}}}" for e in parts))
        flat.factor(alone.parsed())
        return i
    if token == "^":
        inner, i = argument(seq, i + 1)
        out.append(f"^{{{flat.place(read(inner))}}}")
        return i
    if token == "e" and seq[i + 1 : i + 2] == ["^"]:
        inner, i = argument(seq, i + 2)
        out.append(rf"\exp({flat.place(read(inner))})")
        return i
    if token in FUNCTIONS:
        out.append(token)
        if seq[i + 1 : i + 2] == ["_"]:
            base, i = argument(seq, i + 2)
            out.append(f"_{{{flat.place(read(base))}}}")
            return i
        return i + 1
    if token in (r"\sum", r"\prod"):
        return _read_sum(flat, seq, i)
    if token in (r"\underbrace", r"\overbrace", r"\boxed"):
        inner, i = argument(seq, i + 1)
        flat.factor(read(inner))
        while i < len(seq) and seq[i] in "_^" and token != r"\boxed":
            _, i = argument(seq, i + 1)
        return i
    special = _read_special(seq, i)
    if special is not None:
        expression, i = special
        flat.factor(expression)
        return i
    if seq[i : i + 2] == [r"\mathbf", "{"] and seq[i + 2] == "I":
        flat.factor(sympy.Integer(1))  # the identity matrix: the same for every pixel
        return i + 4
    name, end = symbol(seq, i)
    if end < len(seq) and (dots := _read_dots(seq, i)):
        expression, i = dots
        flat.factor(expression)
        return i
    out.append(flat.place(sympy.Symbol(name)))
    return end


def _read_sum(flat, seq, i):
    """\\sum_{s=1}^{t}: SymPy's parser decides how far it reaches."""
    word, limits, i = seq[i], {}, i + 1
    while i < len(seq) and seq[i] in "_^":
        limits[seq[i]], i = argument(seq, i + 1)
    below = split(limits.get("_", []), {"="})[0]
    if "^" not in limits or len(below) != 2 or len(below[0]) != 1:
        raise NotUnderstood(f"{word} needs limits such as _{{s=1}}^{{t}}")
    first, last = flat.place(read(below[1])), flat.place(read(limits["^"]))
    flat.text.append(f"{word}_{{{below[0][0]}={first}}}^{{{last}}}")
    return i


def _read_dots(seq, i):
    r"""\alpha_1 \alpha_2 \cdots \alpha_t, or downwards \alpha_t \alpha_{t-1} \cdots \alpha_1: a product."""
    one, j = symbol(seq, i)
    if j >= len(seq) or not re.fullmatch(r"[a-zA-Z]|\\[a-zA-Z]+", seq[j]):
        return None
    if seq[j] in FUNCTIONS | OPERATORS | DOTS | {r"\frac", r"\sqrt", r"\sum", r"\prod", r"\lVert", r"\lvert"}:
        return None
    two, j = symbol(seq, j)
    if j >= len(seq) or seq[j] not in DOTS:
        return None
    last, end = symbol(seq, j + 1)
    parts = [re.fullmatch(r"(.*)_\{([^{}]*)\}", name) for name in (one, two, last)]
    if not all(parts) or len({part[1] for part in parts}) != 1:
        raise NotUnderstood(f"{one} {two} ... {last} is no product of one symbol")
    a, b, c = (part[2] for part in parts)
    k = sympy.Symbol("k")
    if b == index(f"{a}+1") or (a.isdigit() and b == str(int(a) + 1)):
        low, high = a, c
    elif b == index(f"{a}-1"):
        low, high = c, a
    else:
        raise NotUnderstood(f"{one} {two} ... {last}: the second is no neighbour of the first")
    body = sympy.Symbol(f"{parts[0][1]}_{{k}}")
    return sympy.Product(body, (k, read(tokens(low)), read(tokens(high)))), end


def _read_special(seq, i):
    """(SymPy function, position after it) for the constructs of SPECIAL, or None."""
    if seq[i] in (r"\lVert", r"\lvert"):
        end = closing(seq, i)
        name = "Norm" if seq[i] == r"\lVert" else "Abs"
        return function(name, read(seq[i + 1 : end])), end + 1
    if seq[i] == r"\nabla":
        if seq[i + 1 : i + 2] != ["_"]:
            raise NotUnderstood(r"\nabla needs its variable: \nabla_{x_t}")
        variable, i = argument(seq, i + 2)
        end = i
        while end < len(seq) and seq[end] not in "+-":
            end = closing(seq, end) + 1 if seq[end] in OPENING else end + 1
        return function("Grad", read(seq[i:end]), read(variable)), end
    if seq[i] in (r"\min", r"\max"):
        inner, end = _bracket(seq, i + 1)
        parts = [read(part) for part in split(inner, {","})[0]]
        return function("Minimum" if seq[i] == r"\min" else "Maximum", *parts), end
    word = "".join(seq[i : i + 4])
    wide = "".join(seq[i : i + 7])
    if word == r"\mathcal{N}":
        inner, end = _bracket(seq, i + 4)
        parts, signs = split(inner, {";", ","})
        if signs == [";", ","]:
            return function("Density", *map(read, parts)), end
        if signs == [","]:
            return function("Normal", *map(read, parts)), end
        raise NotUnderstood(r"\mathcal{N} is written \mathcal{N}(x; mean, variance) or \mathcal{N}(mean, variance)")
    if word == r"\mathbb{E}":
        i += 4
        if seq[i : i + 1] == ["_"]:
            _, i = argument(seq, i + 1)
        inner, end = _bracket(seq, i)
        return function("Expect", *_conditioned(inner)), end
    name = "".join(seq[i + 2 : i + 5]) if seq[i] in (r"\operatorname", r"\mathrm") else ""
    if name in ("Var", "Cov"):
        inner, end = _bracket(seq, i + 6)
        if name == "Var":
            return function("Var", *_conditioned(inner)), end
        parts, _ = split(inner, {","})
        return function("Cov", *map(read, parts)), end
    if wide.startswith(r"D_{\mathrm{KL"):
        inner, end = _bracket(seq, i + 9)
        parts, signs = split(inner, {r"\|", r"\Vert", r"\parallel"})
        if len(parts) != 2:
            raise NotUnderstood(r"D_{\mathrm{KL}} is written D_{\mathrm{KL}}(a \,\|\, b)")
        return function("KL", *map(read, parts)), end
    return None


def _bracket(seq, i):
    if i >= len(seq) or seq[i] not in ("(", "[", "{", r"\{"):
        raise NotUnderstood(f"a bracket is missing in: {' '.join(seq)}")
    end = closing(seq, i)
    return seq[i + 1 : end], end + 1


def _conditioned(inner):
    """`a \\mid b, c` -> a, b, c."""
    parts, _ = split(inner, {r"\mid"})
    given = split(parts[1], {","})[0] if len(parts) > 1 else []
    return [read(part) for part in [parts[0], *given]]


# ---- statements


@dataclass(frozen=True)
class Chain:
    """a = b = c: the sides as SymPy expressions, and the relations between them."""

    sides: list[sympy.Basic]
    relations: list[str]


def chain(seq):
    """The chain in the tokens of one statement."""
    pieces, found = split(seq, set(RELATIONS))
    if not found:
        raise NotUnderstood(f"no relation in: {' '.join(seq)}")
    return Chain([read(piece) for piece in pieces], [RELATIONS[sign] for sign in found])


def statements(tex):
    """The chains of a display: a row that begins with a relation goes on, any other begins a new one."""
    rows, chains = split(tokens(tex), {r"\\"})[0], []
    for row in rows:
        bare = [token for token in row if token != "&"]
        if not bare:
            continue
        goes_on = chains and (row[0] == "&" or bare[0] in RELATIONS or bare[0] in ("+", "-"))
        if goes_on:
            chains[-1] += bare
        else:
            chains.append(bare)
    parts = [part for chain in chains for part in split(chain, {",", "."})[0] if part]
    return [chain(part) for part in parts]
