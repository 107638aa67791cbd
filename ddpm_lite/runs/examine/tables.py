"""Checks of the schedule's tables."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ddpm_lite._check import fail, to_table
from ddpm_lite.runs.examine.finding import Finding
from ddpm_lite.runs.examine.listen import Table
from ddpm_lite.schedule import Schedule

SIGNAL = 0.01  # the largest alpha_bar_T; pure noise has 0, the paper's schedule 4e-5, that of Stable Diffusion 5e-3
CAP = 0.9995  # the largest beta; the cosine schedule is capped at 0.999
ROUNDING = 0.01  # relative; tables in float32 are off by up to 2e-4, those in float16 by 1


def read_tables(
    schedule: Schedule | Mapping[str, Tensor | Sequence[float]] | Tensor | Sequence[float],
) -> tuple[Table, Table]:
    """Read the betas, and compute their exact alpha_bar (eq-alpha-bar); entry 0 of both is the clean image."""
    if isinstance(schedule, Schedule):
        beta = schedule.beta
    elif isinstance(schedule, Mapping):
        names = [name for name in ("beta", "betas") if name in schedule]
        if not names:
            fail(ValueError, "schedule", 'tables with the name "beta"', f"{sorted(schedule)}")
        beta = to_table("schedule", schedule[names[0]])
    else:
        beta = to_table("schedule", schedule)
    if beta.ndim != 1 or len(beta) < 2:
        fail(ValueError, "schedule", "a Schedule, or a table of at least two betas", f"shape {tuple(beta.shape)}")
    beta = beta.detach().double().cpu()
    beta = beta if beta[0] == 0 else torch.cat([beta.new_zeros(1), beta])
    return beta, (1 - beta).cumprod(0)


def check_signal(alpha_bar: Table) -> Finding:
    """x_T should be pure noise: alpha_bar_T, the share of the image's variance in it, about 0 (eq-forward-closed)."""
    left, T = float(alpha_bar[-1]), len(alpha_bar) - 1
    text = f"alpha_bar_T = {left:.2g} of the image's variance is left at T = {T}"
    if left > SIGNAL:
        text += (
            "; sampling starts from noise that the network never saw; betas of 1000 steps have to be scaled by 1000 / T"
        )
    return Finding(left <= SIGNAL, "signal at T", text)


def check_beta(beta: Table) -> Finding:
    """A step should leave something of the image: each beta in (0, 1), and not too close to 1 (eq-cosine-schedule)."""
    wrong = (~((beta[1:] > 0) & (beta[1:] <= CAP))).nonzero().flatten()
    if not len(wrong):
        return Finding(True, "betas", f"from {float(beta[1]):.2g} to {float(beta[-1]):.3g}")
    t = int(wrong[-1]) + 1
    harm = "x_0_hat divides by alpha_bar_t = 0, under a root"
    if beta[t] < 1:
        harm = f"x_0_hat multiplies by {1 / math.sqrt(1 - float(beta[t])):.2g} or more"
    text = f"beta = {float(beta[t]):.6g} at t = {t}, so {harm}"
    return Finding(False, "betas", f"{text}; cap the betas at 0.999, as the cosine schedule does")


def check_tables(schedule: object, exact: Table) -> Finding:
    """A stored alpha_bar should be the product of the alphas, also where 1 - alpha_bar is small (eq-alpha-bar)."""
    names = ("alpha_bar", "alphas_cumprod")
    tables = schedule if isinstance(schedule, Mapping) else {}
    if isinstance(schedule, Schedule):
        tables = {"alpha_bar": schedule.alpha_bar}
    stored = [to_table(name, tables[name]).detach().double().cpu() for name in names if name in tables]
    if not stored:
        return Finding(True, "tables", "alpha_bar is not stored")
    table = stored[0] if len(stored[0]) == len(exact) else torch.cat([exact[:1], stored[0]])
    if len(table) != len(exact):
        return Finding(False, "tables", f"alpha_bar has {len(stored[0])} entries, and beta {len(exact) - 1}")
    # a float32 product of a thousand factors has an absolute error of 1e-6
    error = (table - exact).abs()[1:] / torch.minimum(exact, 1 - exact)[1:].clamp(min=1e-4)
    t = int(error.argmax()) + 1
    text = f"alpha_bar_{t} or 1 - alpha_bar_{t} is off by {float(error.max()):.0%}"
    if error.max() <= ROUNDING:
        return Finding(True, "tables", "alpha_bar is the product of the alphas, within rounding")
    return Finding(False, "tables", f"{text}; compute tables in float64, and neither train nor average them")
