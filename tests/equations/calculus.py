r"""The reading of derivatives, integrals and inner products. latex.py puts them with its other readers.

Each reader gets `read` of latex.py, the tokens of one term, a position in them, and the position after the word there.
"""

import sympy

from .symbols import OPENING, NotUnderstood, argument, closing, split, symbol

TRANSPOSED = ["^", r"\top"]


def function(name, *args):
    """A function that SymPy knows nothing of, applied."""
    return sympy.Function(name)(*args)


def rest_of_term(seq, start):
    """The position after the product that begins at `start`."""
    end = start
    while end < len(seq) and seq[end] not in "+-":
        end = closing(seq, end) + 1 if seq[end] in OPENING else end + 1
    return end


def transposed(seq, start, end):
    r"""The position of the first ^\top outside brackets, or the end."""
    while start < end:
        if seq[start : start + 2] == TRANSPOSED:
            return start
        start = closing(seq, start) + 1 if seq[start] in OPENING else start + 1
    return end


def gradient(read, seq, i, after):
    r"""\nabla a, \nabla_{x} a, \nabla \cdot a: of all that follows. \nabla a^\top b begins with a gradient of a."""
    name, variables, i = "Gradient", [], after
    if seq[after : after + 1] == ["_"]:
        variable, i = argument(seq, after + 1)
        name, variables = "Grad", [read(variable)]
    elif seq[after : after + 1] == [r"\cdot"]:
        name, i = "Divergence", after + 1
    end = rest_of_term(seq, i)
    if name == "Gradient":
        end = transposed(seq, i, end)  # a gradient is of a number, so what is transposed is the gradient
    return function(name, read(seq[i:end]), *variables), end


def derivative(read, seq, top, bottom, end):
    r"""\frac{d a}{d x}, \frac{\partial a}{\partial x}, \frac{\partial^2 a}{\partial x^2}; or of what follows."""
    name = "Grad" if top[0] == "d" else "Partial"
    top, order = (top[3:], 2) if top[1:3] == ["^", "2"] else (top[1:], 1)
    if order == 2 and bottom[-2:] != ["^", "2"]:
        raise NotUnderstood(f"a second derivative is by x^2: {' '.join(bottom)}")
    variable = read(bottom[1:-2] if order == 2 else bottom[1:])
    if not top:
        start, end = end, rest_of_term(seq, end)
        top = seq[start:end]
    found = read(top)
    for _ in range(order):
        found = function(name, found, variable)
    return found, end


def integral(read, seq, i, after):
    r"""\int a \, d x over all x, or \int_{low}^{high} a \, d x, or by d \log x: d x ends the term."""
    limits = {}
    while after < len(seq) and seq[after] in ("_", "^"):
        limits[seq[after]], after = argument(seq, after + 1)
    pieces, found = split(seq[after:], {"d"})
    if len(found) != 1 or not all(pieces) or len(limits) == 1:
        raise NotUnderstood(rf"an integral is written \int a \, d x or \int_{{b}}^{{c}} a \, d x: {' '.join(seq)}")
    inside, by = pieces
    if symbol(by, start := int(by[0] == r"\log" and len(by) > 1))[1] != len(by) or by[start] == r"\log":
        raise NotUnderstood(f"what is integrated over is one symbol: {' '.join(by)}")
    return function("Integral", read(inside), read(by), *(read(limits[end]) for end in "_^" if limits)), len(seq)


def inner(read, left, seq, i):
    r"""a^\top b, where the vector b ends the term: a symbol, a bracket, or the gradient of all that follows."""
    right = seq[i:]
    if not right:
        raise NotUnderstood(rf"nothing follows ^\top in: {' '.join(seq)}")
    if right[0] in ("(", "["):
        end = closing(right, 0) + 1
    elif right[0] == r"\nabla" and right[1:2] != [r"\cdot"] and transposed(right, 0, len(right)) == len(right):
        end = len(right)
    else:
        end = symbol(right, 0)[1]
    if end != len(right):
        raise NotUnderstood(rf"more than one vector after ^\top in: {' '.join(seq)}")
    return function("Inner", left, read(right))
