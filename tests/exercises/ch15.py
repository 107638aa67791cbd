"""Wrong and right answers to the exercises of chapter 15."""

import math

import numpy as np
import torch


def decays(decay, n, start=1):
    """The decay of each step, from the step `start`."""
    return [min(decay, (1 + k) / (10 + k)) for k in range(start, start + n)]


WRONG = {
    "ex-detective-1": {
        "without the first root": (lambda A, t, s, a, b: a * A[t] + b - A[s] ** 0.5, "in x_t is the root"),
        "without the second root": (lambda A, t, s, a, b: a * A[t] ** 0.5 + b - A[s], "is a root, too"),
        "without roots": (lambda A, t, s, a, b: a * A[t] + b - A[s], "the weight of the image is a root at both times"),
        "b of x_t": (lambda A, t, s, a, b: (a + b) * A[t] ** 0.5 - A[s] ** 0.5, "the image itself"),
        "without b": (lambda A, t, s, a, b: a * A[t] ** 0.5 - A[s] ** 0.5, "b is missing"),
        "t for s": (lambda A, t, s, a, b: a * A[s] ** 0.5 + b - A[t] ** 0.5, "changed places"),
        "the other sign": (lambda A, t, s, a, b: A[s] ** 0.5 - a * A[t] ** 0.5 - b, "turned around"),
        "no sign": (lambda A, t, s, a, b: abs(a * A[t] ** 0.5 + b - A[s] ** 0.5), "may be too small"),
        "not compared": (lambda A, t, s, a, b: a * A[t] ** 0.5 + b, "subtract what it should be"),
        "t - 1 for s": (lambda A, t, s, a, b: a * A[t] ** 0.5 + b - A[t - 1] ** 0.5, "the step goes to s"),
        "the noise": (lambda A, t, s, a, b: a * (1 - A[t]) ** 0.5 + b - (1 - A[s]) ** 0.5, "weight of the noise"),
        "b of x_s": (lambda A, t, s, a, b: a * A[t] ** 0.5 + (b - 1) * A[s] ** 0.5, "b multiplies x_0_hat"),
        "a sum of weights": (lambda A, t, s, a, b: a + b - A[s] ** 0.5, "only a share of the image"),
        "x_t at s": (lambda A, t, s, a, b: a * A[s] ** 0.5 + b - A[s] ** 0.5, "x_t is at time t"),
        "from s to t": (lambda A, t, s, a, b: a * (A[t] / A[s]) ** 0.5 + b - A[s] ** 0.5, "comes from x_0"),
        "the noise in x_t": (lambda A, t, s, a, b: a * (1 - A[t]) ** 0.5 + b - A[s] ** 0.5, "in x_t the image has"),
        "the goal at t": (lambda A, t, s, a, b: (a - 1) * A[t] ** 0.5 + b, "not with that at t"),
        "the goal 1": (lambda A, t, s, a, b: a * A[t] ** 0.5 + b - 1, "not 1"),
        "minus b": (lambda A, t, s, a, b: a * A[t] ** 0.5 - b - A[s] ** 0.5, "so they are added"),
        "as variances": (lambda A, t, s, a, b: a**2 * A[t] + b**2 - A[s], "not their squares"),
        "of squares": (lambda A, t, s, a, b: (a * A[t] ** 0.5 + b) ** 2 - A[s], "difference of the squares"),
        "a ratio": (lambda A, t, s, a, b: (a * A[t] ** 0.5 + b) / A[s] ** 0.5, "this is a ratio"),
        "relative": (lambda A, t, s, a, b: (a * A[t] ** 0.5 + b) / A[s] ** 0.5 - 1, "without dividing"),
        "the table": (lambda A, t, s, a, b: a * A**0.5 + b - A**0.5, "shape"),
    },
    "ex-detective-2": {
        "no warm-up": (lambda decay, n: decay**n, "without warm-up"),
        "no limit": (lambda decay, n: math.prod(decays(1.0, n)), "the decay is its upper limit"),
        "the larger": (lambda decay, n: math.prod(max(decay, d) for d in decays(1.0, n)), "the smaller of the two"),
        "one warm-up": (lambda decay, n: min(decay, (1 + n) / (10 + n)) ** n, "that of step n in every step"),
        "from 0": (lambda decay, n: math.prod(decays(decay, n, 0)), "from 0"),
        "both numbers": (lambda decay, n: decay**n * math.prod(decays(1.0, n)), "the smaller one"),
        "from 2": (lambda decay, n: math.prod(decays(decay, n, 2)), "from 2"),
        "n + 1 steps": (lambda decay, n: math.prod(decays(decay, n + 1)), "n + 1"),
        "0 to n": (lambda decay, n: math.prod(decays(decay, n + 1, 0)), "step 0"),
        "without step 1": (lambda decay, n: math.prod(decays(decay, n)[1:]), "step 1 is missing"),
        "a mean": (lambda decay, n: sum(decays(decay, n)) / n, "not averaged"),
        "the first warm-up": (lambda decay, n: decays(decay, 1)[0] ** n, "of step 1 alone"),
        "new, no warm-up": (lambda decay, n: 1 - decay**n, "and without warm-up"),
        "the last step": (lambda decay, n: decays(decay, n)[-1], "the last step alone"),
        "a sum": (lambda decay, n: sum(decays(decay, n)), "not added"),
        "what is forgotten": (lambda decay, n: 1 - math.prod(decays(decay, n)), "has been forgotten"),
        "the new weights": (lambda decay, n: math.prod(1 - d for d in decays(decay, n)), "shares of the new weights"),
        "one too few": (lambda decay, n: math.prod(decays(decay, n - 1)), "one step is missing"),
    },
}
RIGHT = {
    "ex-detective-1": {
        "by math": lambda A, t, s, a, b: a * math.sqrt(A[t]) + b - math.sqrt(A[s]),
        "as a ratio": lambda A, t, s, a, b: A[s].sqrt() * ((a * A[t].sqrt() + b) / A[s].sqrt() - 1),
        "by the table": lambda A, t, s, a, b: (A.sqrt() * a)[t] + b - A.sqrt()[s],
        "numpy": lambda A, t, s, a, b: np.dot([a, b, -1], [A[t].item() ** 0.5, 1, A[s].item() ** 0.5]),
    },
    "ex-detective-2": {
        "a product": lambda decay, n: math.prod(decays(decay, n)),
        "by logarithms": lambda decay, n: math.exp(sum(map(math.log, decays(decay, n)))),
        "torch": lambda decay, n: torch.tensor(decays(decay, n), dtype=torch.float64).prod(),
        "an average of a one": lambda decay, n: np.cumprod(decays(decay, n))[-1],
    },
}
