"""Checks of chapter 02, the forward process."""

import math

from ddpm_lite import q_sample, q_step
from equations.checks import equivalent, identity, matches

ANY_X = {"x_{t-1}": (0.3, 0.7)}  # mean and standard deviation of a random x_{t-1}: no special values
TWO_STEPS = {"a": r"\sqrt{\alpha_t (1 - \alpha_{t-1})}", "b": r"\sqrt{1 - \alpha_t}"}
INDUCTION = TWO_STEPS | {"a": r"\sqrt{\alpha_t (1 - \bar{\alpha}_{t-1})}"}
COSINE = {r"\delta": "0.008"}


def shape(s, v):
    """f_t from the schedule: what alpha-bar_t = f_t / f_0 says of it. Its last beta is capped: leave t = T out."""
    return s.alpha_bar[v.t] * math.cos(0.008 / 1.008 * math.pi / 2) ** 2


def forever(s, v):
    """The variance after 2^50 steps of the rule without the root, all with the same alpha, by doubling."""
    variance, kept = 1 - s.alpha[v.t], s.alpha[v.t].square()
    for _ in range(50):
        variance, kept = variance + kept * variance, kept**2
    return variance


CHECKS = [
    # one step
    identity("eq-alpha"),
    matches("eq-forward-step", "x_t", lambda s, v: q_step(s, v.x_prev, v.t, v.z)),
    identity("eq-forward-step-mean", given=["eq-forward-step"]),
    identity("eq-forward-step-variance", given=["eq-forward-step"]),
    identity("eq-forward-step-density"),
    # why there are roots
    identity("eq-variance-mix", scalar=["a", "b"], random=ANY_X),
    identity("eq-variance-wish", where={"a": r"\sqrt{\alpha_t}", "b": r"\sqrt{1 - \alpha_t}"}),
    identity("eq-variance-share", where={"a": r"\sqrt{\alpha_t}"}),
    identity("eq-variance-step", given=["eq-forward-step"], random=ANY_X),
    identity("eq-variance-gap", given=["eq-forward-step"], random=ANY_X),
    matches("eq-naive-step", "x_t", lambda s, v: v.x_prev + s.beta[v.t].sqrt()[:, None] * v.z),
    identity("eq-naive-variance", given=["eq-naive-step"], random=ANY_X),
    matches("eq-rootless-step", "x_t", lambda s, v: q_step(s, s.alpha[v.t].sqrt()[:, None] * v.x_prev, v.t, v.z)),
    identity("eq-rootless-variance", given=["eq-rootless-step"], random=ANY_X),
    matches("eq-rootless-limit", "v", forever),
    identity("eq-linear-schedule"),
    # two steps in one
    matches("eq-first-of-two", "x_{t-1}", lambda s, v: q_step(s, v("x_{t-2}"), v.t - 1, v("z'")), first=2),
    matches("eq-second-of-two", "x_t", lambda s, v: q_step(s, v.x_prev, v.t, v("z''"))),
    identity("eq-two-steps", given=["eq-second-of-two", "eq-first-of-two"]),
    identity("eq-gaussian-sum", scalar=["a", "b"]),
    identity("eq-merged-noise", scalar=["a", "b"], in_distribution=True),
    identity("eq-two-steps-variance", where=TWO_STEPS),
    identity("eq-two-steps-merged", given=["eq-two-steps", "eq-merged-noise"], where=TWO_STEPS),
    # all steps in one
    identity("eq-alpha-bar"),
    identity("eq-alpha-bar-recursion"),
    matches("eq-forward-closed", "x_t", lambda s, v: q_sample(s, v.x_0, v.t, v.z)),
    identity("eq-induction-base", given=[("eq-forward-step", "1")]),
    identity("eq-induction-hypothesis", given=[("eq-forward-closed", "t-1")], where={"z": "z'"}),
    identity("eq-induction-step", given=["eq-second-of-two", "eq-induction-hypothesis"]),
    identity("eq-induction-variance", where=INDUCTION),
    identity("eq-forward-density"),
    # schedules
    identity("eq-snr"),
    identity("eq-alpha-bar-from-snr"),
    identity("eq-beta-from-alpha-bar"),
    matches("eq-cosine-shape", "f_t", shape, where=COSINE, last=-1, schedules=["cosine"]),
    identity(
        "eq-cosine-alpha-bar",
        given=["eq-cosine-shape", ("eq-cosine-shape", "0")],
        where=COSINE,
        last=-1,
        schedules=["cosine"],
    ),
    identity(
        "eq-cosine-schedule",
        given=["eq-cosine-shape", ("eq-cosine-shape", "t-1")],
        where=COSINE,
        last=-1,
        schedules=["cosine"],
    ),
]

SAME_VARIANCE = "independent noises: a difference has the same variance as the sum"

EQUIVALENT = [
    equivalent("eq-variance-mix", "+ -> -, 1st", SAME_VARIANCE),
    equivalent("eq-gaussian-sum", "+ -> -, 1st", SAME_VARIANCE),
    equivalent("eq-merged-noise", "+ -> -, 1st", "z and -z have one distribution, and so have z'' and -z''"),
    equivalent("eq-induction-base", r"\alpha -> \bar{\alpha}, 1st", "at t = 1 both are alpha_1"),
    equivalent("eq-induction-base", r"\alpha -> \bar{\alpha}, 2nd", "at t = 1 both are alpha_1"),
]
