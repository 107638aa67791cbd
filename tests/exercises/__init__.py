"""Typical wrong answers to the exercises, one file a chapter: ch02.py, ...

    WRONG = {
        "ex-forward-1": {
            "beta where its root belongs": (lambda x_prev, beta_t, z: ..., "variance beta_t squared"),
        },
    }

For each exercise: what is wrong with the answer -> (the answer, a piece of the hint that the check must give).
"""
