"""The values of derivatives, integrals and inner products, for evaluate.py.

A derivative by one symbol takes a complex step; those by each pixel of a place are differences. An integral is a sum
over nodes, which is only believed if every second node gives the same.
"""

import numpy as np
import sympy

STEP = 1e-30  # of the complex-step derivative: no difference is taken, so no digit is lost
# Derivatives by each pixel, also of derivatives: central differences of the eighth order, whose error is below 1e-10.
NEAR = 0.02
CENTRAL = [4 / 5, -1 / 5, 4 / 105, -1 / 280]
# Integrals over all numbers, and over all places of one, two or three pixels: how far the nodes reach, and their
# distance. For a smooth function that vanishes at both ends a plain sum is exact to rounding.
LINE = (40.0, 0.04)
PLACES = {1: (9.0, 0.15), 2: (9.0, 0.15), 3: (8.0, 0.4)}


class Unknown(Exception):
    """A symbol that nothing gives a value to, or a value that cannot be found."""


# ---- derivatives


def _grad(e, scope):
    """The derivative by a symbol in each pixel, or by its logarithm, by a complex step: exact to rounding."""
    inside, by = e.args
    symbol = by.args[0] if isinstance(by, sympy.log) and len(by.args) == 1 else by
    if not symbol.is_Symbol:
        raise Unknown(f"the gradient is by {by}: rather give what x_t is not made of, z in terms of x_t")
    if _derivatives_in(inside):  # a complex step within a complex step would be a wrong one
        if scope.own.get(" paths") and str(e.func) == "Grad":
            raise Unknown(f"a derivative of derivatives along a path: {e}")
        return scope.value(_differentiate(e))
    there = scope.symbol(symbol.name)
    moved = there + 1j * STEP * (1 if symbol == by else there)
    return np.imag(scope.value_with({symbol.name: moved}, inside)) / STEP


def _partial(e, scope):
    """The same, while places that move along a path stay where they are."""
    still = {name: scope.symbol(name) for name in scope.own.get(" paths", ())}
    return _grad(e, scope.with_bound(still, scope.axes))


def _derivatives_in(e):
    return [part for part in sympy.preorder_traversal(e) if str(part.func) in ("Grad", "Partial")]


def _differentiate(e):
    """A derivative of derivatives, by SymPy."""
    inside, by = e.args
    if not by.is_Symbol:
        raise Unknown(f"a derivative by {by}")
    return sympy.diff(inside.xreplace({part: _differentiate(part) for part in _derivatives_in(inside)}), by)


def _by_pixel(e, scope):
    """The derivatives of an expression by each pixel of the place, the first name in the check's `vector`."""
    if " place" not in scope.own:
        raise Unknown(f"a derivative by the place in {e}: name the place first in `vector`")
    name, pixels = scope.own[" place"], scope.given.pixels
    place = pixels_of(scope.symbol(name), scope)

    def at(steps, k):
        moved = place + NEAR * steps * (np.arange(pixels) == k)
        return pixels_of(scope.value_with({name: moved}, e), scope)

    for k in range(pixels):
        yield sum(w * (at(i, k) - at(-i, k)) for i, w in enumerate(CENTRAL, 1)) / NEAR


def pixels_of(value: np.ndarray, scope) -> np.ndarray:
    """A value for each pixel, also where all are alike."""
    return np.broadcast_to(value, (*value.shape[:-1], scope.given.pixels))


def _gradient(e, scope):
    """The vector of the derivatives of a number."""
    if scope.value(e.args[0]).shape[-1] != 1:
        raise Unknown(f"the gradient of {e.args[0]}, which is a vector")
    return np.concatenate([value[..., :1] for value in _by_pixel(e.args[0], scope)], axis=-1)


def _divergence(e, scope):
    """The sum of the derivatives of each component of a vector by its own pixel."""
    return sum(value[..., k : k + 1] for k, value in enumerate(_by_pixel(e.args[0], scope)))


def _inner(e, scope):
    """The inner product of two vectors of pixels."""
    one, two = (scope.value(part) for part in e.args)
    if not one.shape[-1] == two.shape[-1] == scope.given.pixels:
        raise Unknown(f"the inner product of {e.args[0]} and {e.args[1]}, of which one is a number")
    return np.sum(one * two, axis=-1, keepdims=True)


# ---- integrals


def over(name: str, inside: sympy.Basic) -> sympy.Basic:
    """The integral of an expression over all values of a symbol."""
    return sympy.Function("Integral")(inside, sympy.Symbol(name))


def _integral(e, scope):
    """Over all numbers, over all places if the variable is the place, over all that are positive, or between limits."""
    inside, by, *limits = e.args
    logarithm = isinstance(by, sympy.log)
    by = by.args[0] if logarithm else by
    if not by.is_Symbol or (logarithm and limits):
        raise Unknown(f"an integral over {by}")
    if logarithm:  # over all numbers that the logarithm may be
        nodes, weights, coarse = _everywhere(1, scope.axes, *LINE)
        nodes = np.exp(nodes)
    elif by.name in scope.own.get(" positive", ()) and not limits:
        nodes, weights, coarse = _positive(scope.axes)
    elif limits:
        nodes, weights, coarse = _between(*(scope.value(limit) for limit in limits), scope.axes)
    elif by.name == scope.own.get(" place"):
        if scope.given.pixels not in PLACES:
            raise Unknown(f"an integral over places of {scope.given.pixels} pixels")
        nodes, weights, coarse = _everywhere(scope.given.pixels, scope.axes, *PLACES[scope.given.pixels])
    else:
        nodes, weights, coarse = _everywhere(1, scope.axes, *LINE)
    value = scope.value_with({by.name: nodes}, inside, 1)
    terms = weights * np.broadcast_to(value, np.broadcast_shapes(value.shape, weights.shape))
    total = terms.sum(axis=0)
    if not np.all(np.isfinite(total)):
        raise Unknown(f"no finite value of {e}")
    half = (coarse * terms).sum(axis=0)
    for part in (np.real, np.imag):
        if np.any(np.abs(part(total - half)) > 1e-10 * np.abs(part(terms)).sum(axis=0)):
            raise Unknown(f"{e} has not converged")
    return total


def _everywhere(count, axes, reach, step):
    """Nodes for one number or for all pixels of a place, their weights, and 2^count at every second of all, else 0."""
    steps = round(reach / step)
    line = step * np.arange(-steps, steps + 1)
    grid = np.stack([part.ravel() for part in np.meshgrid(*[line] * count, indexing="ij")], axis=-1)
    every = np.arange(-steps, steps + 1) % 2 == 0
    second = np.stack([part.ravel() for part in np.meshgrid(*[every] * count, indexing="ij")], axis=-1).all(axis=-1)
    # The ends count for nothing in the half sum: a function that does not vanish there has no integral.
    inside = (np.abs(grid) < reach - step / 2).all(axis=-1)
    shape = (-1,) + (1,) * axes
    coarse = (2.0**count * (second & inside)).reshape(shape)
    return grid.reshape((-1,) + (1,) * (axes - 1) + (count,)), np.full(len(grid), step**count).reshape(shape), coarse


def _positive(axes):
    """Nodes that crowd at 0 and reach far (exp-sinh)."""
    step = 1 / 64
    k = np.arange(-4 * 64, 4 * 64 + 1)
    shape = (-1,) + (1,) * axes
    nodes = np.exp(np.pi / 2 * np.sinh(k * step)).reshape(shape)
    weights = nodes * (step * np.pi / 2 * np.cosh(k * step)).reshape(shape)
    inside = (k % 2 == 0) & (np.abs(k) < 4 * 64)
    return nodes, weights, (2.0 * inside).reshape(shape)


def _between(low, high, axes):
    """Nodes that crowd at both ends (tanh-sinh), for limits that may differ with t."""
    step = 1 / 64
    k = np.arange(-4 * 64, 4 * 64 + 1)
    sinh, cosh = np.pi / 2 * np.sinh(k * step), np.pi / 2 * np.cosh(k * step)
    shape = (-1,) + (1,) * axes
    share = (1 / (1 + np.exp(-2 * sinh))).reshape(shape)
    weights = (step * cosh / (2 * np.cosh(sinh) ** 2)).reshape(shape)
    return low + (high - low) * share, (high - low) * weights, (2.0 * (k % 2 == 0)).reshape(shape)


RULES = {
    "Grad": _grad,
    "Partial": _partial,
    "Gradient": _gradient,
    "Divergence": _divergence,
    "Inner": _inner,
    "Integral": _integral,
}
