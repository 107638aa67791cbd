"""Checks of chapter 02, the forward process."""

from ddpm_lite import q_step
from equations.checks import identity, matches

CHECKS = [
    identity("eq-alpha"),
    matches("eq-forward-step", "x_t", lambda s, v: q_step(s, v.x_prev, v.t, v.z)),
]
