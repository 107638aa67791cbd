"""Checks of chapter 10, conditioning and guidance."""

from unittest import mock

import torch

from ddpm_lite import GaussianMixture, LabelEncoder, drop_labels, guided
from equations.checks import by_hand, identity, matches

# A world with three blobs; the label c stands on the first two of them.
MEANS = torch.tensor([[-0.8, 0.3, 0.1], [0.6, -0.2, 0.9], [0.2, 0.7, -0.5]], dtype=torch.float64)
STDS, WEIGHTS = torch.tensor([[0.3, 0.5, 0.4], [0.25, 0.35, 0.4]], dtype=torch.float64)

SCORE, SCORE_C, SCORE_LABEL, SHARP = (
    rf"\nabla_{{x_t}} \log {density}"
    for density in (r"q(x_t)", r"q(x_t \mid c)", r"q(c \mid x_t)", r"\left(q(x_t \mid c) q(c \mid x_t)^w\right)")
)
MEAN_C, MEAN = r"\mathbb{E}[z \mid x_t, c]", r"\mathbb{E}[z \mid x_t]"
Z_C, Z_NONE = r"z_\theta(x_t, t, c)", r"z_\theta(x_t, t, \varnothing)"
W, P = 1.7, 0.25
LOSSES = {"L_c": 0.3, r"L_\varnothing": 0.8}


def world(s):
    return GaussianMixture(s, MEANS, STDS, WEIGHTS)


def labelled(s):
    return GaussianMixture(s, MEANS[:2], STDS[:2], WEIGHTS[:2] / WEIGHTS[:2].sum())


def log_label(s, x_t, t):
    """log q(c | x_t), from the blobs' densities: those with the label over all."""
    variance = s.alpha_bar[t, None] * STDS**2 + s.one_minus_alpha_bar[t, None]
    squares = (x_t[:, None] - s.alpha_bar[t, None, None].sqrt() * MEANS).square().sum(dim=2)
    log_joint = WEIGHTS.log() - squares / (2 * variance) - 1.5 * variance.log()
    return log_joint[:, :2].logsumexp(dim=1) - log_joint.logsumexp(dim=1)


def slope(log_density):
    """The gradient at x_t of a function (schedule, x_t, t) -> log density, by autograd."""

    def gradient(s, v):
        x_t = v.x_t.clone().requires_grad_()
        return torch.autograd.grad(log_density(s, x_t, v.t).sum(), x_t)[0]

    return gradient


DENSITIES = {
    r"q(c \mid x_t)": lambda s, v: log_label(s, v.x_t, v.t).exp(),
    r"q(x_t \mid c)": lambda s, v: labelled(s).log_density(v.x_t, v.t).exp(),
    "q(c)": lambda s, v: WEIGHTS[:2].sum().expand(len(v.t)),
    "q(x_t)": lambda s, v: world(s).log_density(v.x_t, v.t).exp(),
}
SLOPES = {
    SHARP: slope(lambda s, x, t: labelled(s).log_density(x, t) + W * log_label(s, x, t)),
    SCORE_LABEL: slope(log_label),
    SCORE_C: slope(lambda s, x, t: labelled(s).log_density(x, t)),
    SCORE: slope(lambda s, x, t: world(s).log_density(x, t)),
}
NOISES = {MEAN_C: lambda s, v: labelled(s)(v.x_t, v.t), MEAN: lambda s, v: world(s)(v.x_t, v.t)}
SCALE = {"w": str(W)}


def guided_noise(s, v):
    """What the package makes of two answers: labels 0 (c) and 1 (no label)."""
    answers = torch.stack([v(Z_C), v(Z_NONE)])
    rows = torch.arange(len(v.t)).repeat(2)
    model = guided(lambda x_t, t, context: answers[context, rows[: len(context)]], W, none=1)
    return model(v.x_t, v.t, torch.zeros(len(v.t), dtype=torch.int64))


def loss_of(noise):
    return lambda s, v: (v.z - v(noise)).square().mean(dim=1)


def dropped(s, v):
    """The mean over many coins of the package's: eight labels, and numbers from 0 to 1 at even distances."""
    coins = (torch.arange(8) + 0.5) / 8
    with mock.patch("torch.rand", return_value=coins):
        context = drop_labels(torch.zeros(8, dtype=torch.int64), 1, P)
    return torch.tensor(list(LOSSES.values()), dtype=torch.float64)[context].mean().expand(len(v.t))


def rows_of_table():
    for m in (1, 2, 5):
        encoder = LabelEncoder(4, 3, tokens=m)
        table = encoder.table.weight.reshape(-1, 3)
        for c in range(5):
            tokens = encoder(torch.tensor([c]))[0]
            assert all(torch.equal(tokens[j], table[c * m + j]) for j in range(m))
            assert len(tokens) == m


CHECKS = [
    by_hand(
        "eq-label-encoder",
        r"C(c) = \left(E_{c m}, E_{c m + 1}, \dots, E_{c m + m - 1}\right)",
        rows_of_table,
        "a list with dots, and rows numbered by a product",
    ),
    matches("eq-two-losses", "L_c", loss_of(Z_C), where={r"L_\varnothing": loss_of(Z_NONE)}),
    matches("eq-label-dropout", "L", dropped, where={"p": str(P), **{name: str(x) for name, x in LOSSES.items()}}),
    identity("eq-bayes-label", where=DENSITIES),
    identity("eq-bayes-label-log", where=DENSITIES),
    identity("eq-label-score", where=SLOPES),
    identity("eq-score-with-label", where=SLOPES | NOISES),
    identity("eq-label-score-noise", where=SLOPES | NOISES),
    identity("eq-sharpened-score", where=SLOPES | SCALE),
    identity("eq-sharpened-ratio", where=DENSITIES | SCALE),
    identity("eq-sharpened-noise", where=SLOPES | NOISES | SCALE),
    matches("eq-guidance", r"\hat{z}", guided_noise, where=SCALE),
    matches("eq-guidance-forms", r"\hat{z}", guided_noise, where=SCALE),
]
