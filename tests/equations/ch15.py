"""Checks of chapter 15, the bug detective."""

import torch

from ddpm_lite import ddpm_step, predict_x_0
from equations.checks import definition, identity, matches

KEPT = {
    "a": r"\frac{\sqrt{\alpha_t} \left(1 - \bar{\alpha}_{t-1}\right)}{1 - \bar{\alpha}_t}",
    "b": r"\frac{\sqrt{\bar{\alpha}_{t-1}} \beta_t}{1 - \bar{\alpha}_t}",
}


BEFORE = {**KEPT, r"\bar{\alpha}_s": r"\bar{\alpha}_{t-1}"}  # the step of DDPM, to s = t - 1


def step(s, v):
    """The package's step from each t to t - 1, one t after the other."""
    rows = [
        ddpm_step(s, v.x_t[i : i + 1], t, t - 1, v.z_hat[i : i + 1], v("z'")[i : i + 1], clip=False)
        for i, t in enumerate(v.t.tolist())
    ]
    return torch.cat(rows)


CHECKS = [
    definition("eq-visible-shift", r"\delta = \frac{2 \tau}{\sqrt{n}}", "says which shift counts as visible"),
    identity("eq-samples-needed", given=["eq-visible-shift"], positive=[r"\tau", "n"]),
    matches(
        "eq-three-weights",
        "x_s",
        step,
        where={
            **KEPT,
            r"\hat{x}_0": lambda s, v: predict_x_0(s, v.x_t, v.t, v.z_hat),
            r"\sigma": lambda s, v: s.beta_tilde[v.t].sqrt()[:, None],
        },
    ),
    identity("eq-image-kept", where=BEFORE),
    identity("eq-noise-kept", where={**BEFORE, r"\sigma": lambda s, v: s.beta_tilde[v.t].sqrt()[:, None]}),
]
