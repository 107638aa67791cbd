"""Answers to the exercises, one file a chapter: ch02.py, ...

    WRONG = {
        "ex-forward-1": {
            "beta where its root belongs": (lambda x_prev, beta_t, z: ..., "variance beta_t squared"),
        },
    }
    RIGHT = {
        "ex-forward-1": {"in float32": lambda x_prev, beta_t, z: ...},
    }

WRONG: what is wrong with the answer -> (the answer, a piece of the hint that the check must give). RIGHT: right
answers that are written differently from the solution. An exercise wants eight and four of them. An answer is what
the stub defines; for a stub that defines several names it is a dictionary of them.

An exercise of the class `predict` or `explain` has no stub: it asks for a guess before a result is shown, or for an
explanation, and its folded solution is a model answer.
"""

# Chapters whose exercises are not there yet. A chapter leaves the list when its tests pass, and none comes back.
TO_DO: set[str] = set()
