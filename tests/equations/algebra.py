r"""Two expressions compared as formulas, for every value of their symbols at once.

The schedule's symbols are put in terms of few: at each time alpha = u^2, and alpha-bar at the earliest time that occurs
is w^2, so that most roots are gone; the rest, sqrt(1 - alpha-bar_t) and the like, are letters r with r^2 known. What
remains is a fraction of two polynomials, and it is zero or it is not.
"""

import re

import sympy

NAME = re.compile(r"(\\beta|\\alpha|\\bar\{\\alpha\}|\\tilde\{\\beta\})_\{t([+-]\d+)?\}")
LIMIT = 400  # operations: what is longer is left to the numbers


def same(a: sympy.Basic, b: sympy.Basic) -> bool:
    """True if a = b is proved; False says nothing."""
    if isinstance(a, sympy.exp) and isinstance(b, sympy.exp):
        a, b = a.args[0], b.args[0]
    difference = a - b
    plain = all(part.is_Symbol or part.is_Add or part.is_Mul or part.is_Pow or part.is_Number
                for part in sympy.preorder_traversal(difference))  # fmt: skip
    if not plain or sympy.count_ops(difference) > LIMIT:
        return False
    return _is_zero(_few_symbols(difference))


def _few_symbols(e: sympy.Basic) -> sympy.Basic:
    found = {s: match for s in e.free_symbols if (match := NAME.fullmatch(s.name))}
    offsets = [int(m[2] or 0) for m in found.values()]
    if not offsets:
        return e
    # beta-tilde_t needs alpha-bar_{t-1} and alpha_t
    low = min(offsets) - any("tilde" in m[1] for m in found.values())
    w = sympy.Symbol("w", positive=True)

    def alpha(k):
        return sympy.Symbol(f"u{k}", positive=True) ** 2

    def bar(k):
        return w**2 * sympy.prod([alpha(j) for j in range(low + 1, k + 1)])

    def value(kind, k):
        if kind == r"\alpha":
            return alpha(k)
        if kind == r"\beta":
            return 1 - alpha(k)
        if kind == r"\bar{\alpha}":
            return bar(k)
        return (1 - alpha(k)) * (1 - bar(k - 1)) / (1 - bar(k))

    return e.xreplace({s: value(m[1], int(m[2] or 0)) for s, m in found.items()})


def _is_zero(e: sympy.Basic) -> bool:
    """Roots become letters, then the numerator is reduced by what is known of each letter's square."""
    letters = {}

    def letter(power):
        base, exponent = power.args
        root = letters.setdefault(sympy.expand(base), sympy.Symbol(f"r{len(letters)}", positive=True))
        return root ** (2 * exponent)

    halves = lambda p: p.is_Pow and p.exp.is_Rational and p.exp.q == 2  # noqa: E731 - names a condition
    e = e.replace(halves, letter)
    numerator = sympy.expand(sympy.fraction(sympy.together(e))[0])
    for square, root in letters.items():
        numerator = sympy.expand(sympy.rem(numerator, root**2 - square, root))
    return numerator == 0
