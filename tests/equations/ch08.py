"""Checks of chapter 08, training."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from ddpm_lite.trainer import ema_decay, update_ema
from equations.checks import by_hand, equivalent, identity, matches

DECAY = 0.9
STEP = {"k": lambda s, v: v.t}  # the number of a training step, from 1 on


def weights(s, v):
    """theta_0 .. theta_T: any numbers."""
    return torch.randn(s.T + 1, v.pixels, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def averaged(s, v, decay):
    """The weights' running average, as the trainer computes it step by step."""
    values, model = weights(s, v), nn.ParameterList([torch.zeros(v.pixels, dtype=torch.float64)])
    model[0].data.copy_(values[0])
    ema, table = AveragedModel(model), [values[0]]
    for k in range(1, s.T + 1):
        model[0].data.copy_(values[k])
        update_ema(ema, model, decay(k))
        table.append(ema.module[0].detach().clone())
    return torch.stack(table)


GROWING = {
    r"\theta": weights,
    r"\gamma": lambda s, v: torch.tensor([ema_decay(k, DECAY) for k in range(s.T + 1)], dtype=torch.float64),
    r"\bar{\theta}": lambda s, v: averaged(s, v, lambda k: ema_decay(k, DECAY)),
}
CONSTANT = {r"\theta": weights, r"\bar{\theta}": lambda s, v: averaged(s, v, lambda k: DECAY)}


def weight_or_draw():
    """Any weights, losses and probabilities, added up time by time."""
    g = torch.Generator().manual_seed(0)
    w, losses, p = torch.rand(3, 7, dtype=torch.float64, generator=g) + 0.1
    p, T = p / p.sum(), 7
    weighted = sum(w[t] * losses[t] for t in range(T)) / T
    drawn = sum(p[t] * (w[t] / (T * p[t]) * losses[t]) for t in range(T))
    torch.testing.assert_close(weighted, drawn)


CHECKS = [
    by_hand(
        "eq-weight-or-draw",
        r"\frac{1}{T} \sum_{t=1}^{T} w_t L_t = \sum_{t=1}^{T} p_t \left(\frac{w_t}{T p_t} L_t\right)",
        weight_or_draw,
        "a sum over the times, which a check sets",
    ),
    matches("eq-training-loss", "L_t", lambda s, v: (v.z - v.z_hat).square().mean(dim=1)),
    identity("eq-loss-of-nothing"),
    identity(
        "eq-cost-of-repeating",
        given=["eq-forward-closed"],
        where={"v": "0.49"},
        random={"x_0": (0.0, 0.7)},
        scalar=["a"],
    ),
    identity("eq-ema", where=STEP, tables=GROWING),
    identity("eq-ema-twice", where={**STEP, r"\gamma": str(DECAY)}, tables=CONSTANT, first=2),
    identity("eq-ema-sum", where={**STEP, r"\gamma": str(DECAY)}, tables=CONSTANT),
    matches(
        "eq-ema-warmup",
        r"\gamma_k",
        lambda s, v: torch.tensor([ema_decay(int(k), DECAY) for k in v.t], dtype=torch.float64),
        where={**STEP, r"\gamma": str(DECAY)},
    ),
    identity("eq-ema-memory", where=STEP),
]

EQUIVALENT = [
    equivalent("eq-cost-of-repeating", "- -> +, 4th", "image and noise are independent: a sum has the same variance"),
]
