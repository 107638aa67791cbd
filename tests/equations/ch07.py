"""Checks of chapter 07, attention: the package's functions give the numbers."""

import itertools

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ddpm_lite.attention import MultiHeadAttention, attention, attention_weights
from equations import values
from equations.checks import by_hand, identity, matches

N, FIRST, SECOND = 6, 4, 2  # keys, and the two that are looked at


def table(name, s, width=1):
    """The numbers that a check's `s_j` or `v_j` has for j = 0..T."""
    return torch.from_numpy(values.dice(name, (s.T + 1, width)))


def softmax(s, v):
    """The weights of keys 1..N, by the package: a query of length 1, and keys that are the scores."""
    scores = table("s", s)[1 : N + 1]
    return attention_weights(torch.ones(1, 1, dtype=torch.float64), scores)[0]


def weight(s, v):
    return softmax(s, v)[FIRST - 1].expand(len(v.t))


def listened(s, v):
    """The package's mean of the values 1..N."""
    scores, said = table("s", s)[1 : N + 1], table("v", s, v.pixels)[1 : N + 1]
    return attention(torch.ones(1, 1, dtype=torch.float64), scores, said).expand(len(v.t), -1)


def whole(number):
    return lambda s, v: torch.full((len(v.t),), number)


KEYS = {"j": whole(FIRST), "n": str(N)}
SOFTMAX = r"\frac{\exp\left(s_%s\right)}{\sum_{r=1}^{n} \exp\left(s_r\right)}"


def parts():
    """Queries, keys and values; scores, weights and outputs by loops."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(shape, dtype=torch.float64) for shape in ((5, 8), (7, 8), (7, 3)))
    scores = torch.zeros(5, 7, dtype=torch.float64)
    for i, j, c in itertools.product(range(5), range(7), range(8)):
        scores[i, j] += q[i, c] * k[j, c] / 8**0.5
    weights = scores.exp() / scores.exp().sum(dim=1, keepdim=True)
    output = torch.zeros(5, 3, dtype=torch.float64)
    for i, j in itertools.product(range(5), range(7)):
        output[i] += weights[i, j] * v[j]
    return q, k, v, scores, weights, output


def score():
    """Scores are the logarithms of the package's weights, up to a number for each query."""
    q, k, _, scores, _, _ = parts()
    difference = attention_weights(q, k).log() - scores
    torch.testing.assert_close(difference, difference[:, :1].expand(5, 7))


def weights():
    q, k, _, _, expected, _ = parts()
    torch.testing.assert_close(attention_weights(q, k), expected)


def output():
    q, k, v, _, _, expected = parts()
    torch.testing.assert_close(attention_weights(q, k) @ v, expected)
    torch.testing.assert_close(attention(q, k, v), expected)


def dot_variance():
    """Numbers of mean 0 and variance 1 that can be counted through: +1 and -1, and three unequal ones."""
    unequal = torch.tensor([-(1.5**0.5), 0.0, 1.5**0.5], dtype=torch.float64)
    signs = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    for d in (1, 2, 3, 4):
        q, k = torch.cartesian_prod(*[signs] * d).reshape(-1, d), torch.cartesian_prod(*[unequal] * d).reshape(-1, d)
        dots = q @ k.T
        torch.testing.assert_close(dots.var(unbiased=False), torch.tensor(float(d), dtype=torch.float64))


def a_layer(context_dim=None):
    """A layer of the package in float64, with no zeros, and its input."""
    torch.manual_seed(0)
    layer = MultiHeadAttention(8, groups=2, context_dim=context_dim).double()
    for parameter in layer.parameters():
        parameter.data = torch.randn_like(parameter)
    return layer, torch.randn(1, 8, 3, 4).double()


def rows(h):
    return h.flatten(2).transpose(1, 2)[0]


def same_qkv(layer, h, context=None):
    tokens = rows(layer.group_norm(h))
    source = tokens if context is None else context[0]
    for linear, found, x in zip(
        (layer.to_q, layer.to_k, layer.to_v), layer.project(h, context), (tokens, source, source), strict=True
    ):
        torch.testing.assert_close(found[0, 0], x @ linear.weight.T + linear.bias)


def self_qkv():
    same_qkv(*a_layer())


def cross_qkv():
    layer, h = a_layer(context_dim=5)
    same_qkv(layer, h, torch.randn(1, 3, 5).double())


def whole_layer():
    layer, h = a_layer()
    out = attention(*layer.project(h))[0, 0]
    last = layer.to_out[0]
    torch.testing.assert_close(rows(layer(h)), rows(h) + out @ last.weight.T + last.bias)


def update():
    """The change of each pixel as the offers of all pixels, added up one by one."""
    layer, h = a_layer()
    q, k, v = (x[0, 0] for x in layer.project(h))
    last, shares = layer.to_out[0], attention_weights(q, k)
    change = rows(layer(h)) - rows(h)
    for i in range(len(v)):
        mean, offers = torch.zeros_like(v[0]), torch.zeros_like(last.bias)
        for j in range(len(v)):
            mean += shares[i, j] * v[j]
            offers += shares[i, j] * (v[j] @ last.weight.T)
        torch.testing.assert_close(change[i], mean @ last.weight.T + last.bias)
        torch.testing.assert_close(change[i], offers + last.bias)


def slope():
    """The derivatives of the package's weights, by PyTorch."""
    torch.manual_seed(0)
    scores = torch.randn(N, 1, dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    found = torch.autograd.functional.jacobian(lambda s: attention_weights(one, s)[0], scores)[:, :, 0]
    e = scores[:, 0].exp()
    u = e.sum()
    w = e / u
    for j, i in itertools.product(range(N), range(N)):
        quotient = (e[j] * u - e[j] ** 2) / u**2 if i == j else -e[j] * e[i] / u**2
        short = w[j] * (1 - w[j]) if i == j else -w[j] * w[i]
        torch.testing.assert_close(found[j, i], quotient)
        torch.testing.assert_close(found[j, i], short)


SIDE, WIDTH = 6, 8


def counted(module):
    """Multiplications on a map of SIDE x SIDE pixels, counted by PyTorch."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.randn(1, WIDTH, SIDE, SIDE))
    return counter.get_total_flops() // 2


def cost_of_convolution(s, v):
    return torch.full((len(v.t),), counted(nn.Conv2d(WIDTH, WIDTH, 3, padding=1)))


def cost_of_attention(s, v):
    layer = MultiHeadAttention(WIDTH, groups=2)

    def by_products(h):
        q, k, v = layer.project(h)
        return layer.to_out[0]((attention_weights(q, k) @ v).transpose(1, 2).flatten(2))

    return torch.full((len(v.t),), counted(by_products))


MAP = {"n": str(SIDE**2), "C": str(WIDTH)}

CHECKS = [
    by_hand(
        "eq-attention-score",
        r"s_j = \frac{1}{\sqrt{d}} \sum_{c=1}^{d} q_c k_{jc}",
        score,
        "two indices on one letter",
    ),
    matches("eq-softmax", "w_j", weight, scalar=["s_j", "s_i"], where=KEYS),
    matches(
        "eq-attention-mean",
        "o",
        listened,
        given=["eq-softmax"],
        scalar=["s_j", "s_i"],
        vector=["v_j"],
        where={"n": str(N)},
    ),
    by_hand(
        "eq-attention-weights",
        r"A = \operatorname{softmax}\left(\frac{Q K^\top}{\sqrt{d}}\right)",
        weights,
        "matrices",
    ),
    by_hand("eq-attention", "O = A V", output, "matrices"),
    identity("eq-softmax-shift", scalar=["u", "s_j", "s_i"], where=KEYS),
    identity(
        "eq-softmax-ratio",
        where={"w_j": SOFTMAX % "j", "w_i": SOFTMAX % "i", "i": whole(SECOND), **KEYS},
        scalar=["s_j", "s_i", "s_r"],
    ),
    identity("eq-product-variance", random={"a": (0.0, 1.0), "b": (0.0, 1.0)}),
    by_hand(
        "eq-dot-variance",
        r"\operatorname{Var}\left(\sum_{c=1}^{d} q_c k_c\right) = \sum_{c=1}^{d} \operatorname{Var}(q_c k_c) = d",
        dot_variance,
        "a variance of a sum over an index",
    ),
    identity("eq-score-variance", random={"s": (0.0, 3**0.5)}, pixels=3),
    by_hand(
        "eq-softmax-slope",
        (
            r"\begin{aligned} "
            r"\frac{\partial w_j}{\partial s_j} &= \frac{\exp\left(s_j\right) u - \exp\left(s_j\right)^2}{u^2} "
            r"= w_j \left(1 - w_j\right) \\ "
            r"\frac{\partial w_j}{\partial s_i} &= -\frac{\exp\left(s_j\right) \exp\left(s_i\right)}{u^2} = -w_j w_i "
            r"\end{aligned}"
        ),
        slope,
        "derivatives by two indices",
    ),
    by_hand(
        "eq-self-qkv",
        r"Q = P W_Q + b_Q, \quad K = P W_K + b_K, \quad V = P W_V + b_V",
        self_qkv,
        "matrices",
    ),
    by_hand("eq-attention-layer", "h' = h + O W_O + b_O", whole_layer, "matrices"),
    by_hand(
        "eq-attention-update",
        (
            r"\begin{aligned} "
            r"h'_i - h_i &= \left(\sum_{j=1}^{n} w_{ij} v_j\right) W_O + b_O \\ "
            r"&= \sum_{j=1}^{n} w_{ij} \left(v_j W_O\right) + b_O "
            r"\end{aligned}"
        ),
        update,
        "matrices",
    ),
    by_hand(
        "eq-cross-qkv",
        r"Q = P W_Q + b_Q, \quad K = Y W_K + b_K, \quad V = Y W_V + b_V",
        cross_qkv,
        "matrices",
    ),
    identity("eq-softmax-of-one", scalar=["s"]),
    matches("eq-convolution-cost", "M", cost_of_convolution, where=MAP),
    matches("eq-attention-cost", "M", cost_of_attention, where=MAP),
    identity("eq-cost-break-even", where={"n": r"\frac{5}{2} C"}, positive=["C"]),
]
