"""Checks of chapter 12, evaluation."""

from math import exp, lgamma, sqrt

import torch

from ddpm_lite import TrainConfig, mean_from_noise, min_snr_weight, predict_x_0
from ddpm_lite.evaluate import frechet_distance, kernel_distance, nearest, precision_recall
from ddpm_lite.trainer import learning_rate
from equations.checks import by_hand, identity, matches

MU, SIGMA, NU, TAU, RHO = 0.3, 0.7, -0.2, 1.1, 0.4
NUMBERS = {r"\mu": f"{MU}", r"\sigma": f"{SIGMA}", r"\nu": f"{NU}", r"\tau": f"{TAU}", r"\rho": f"{RHO}"}
TWO = {"x": r"\mu + \sigma z", "x'": r"\mu + \sigma z'", **NUMBERS}


def close(a, b, rtol=1e-9):
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), rtol=rtol, atol=1e-12, check_dtype=False)


def two_points(mean, std):
    """The smallest crowd with exactly this mean and standard deviation: two numbers."""
    return torch.tensor([[mean - std / sqrt(2)], [mean + std / sqrt(2)]], dtype=torch.float64)


def between_two(s, v):
    return torch.full((len(v.t),), frechet_distance(two_points(MU, SIGMA), two_points(NU, TAU)), dtype=torch.float64)


def crowds(N=9, M=7, width=3):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, width, generator=generator, dtype=torch.float64)
    y = torch.randn(M, width, generator=generator, dtype=torch.float64)
    return x @ torch.randn(width, width, generator=generator, dtype=torch.float64) + 0.5, y


def root(S):
    """The symmetric root, by Newton's iteration: no eigenvectors, as in the package."""
    Y, Z = S, torch.eye(len(S), dtype=S.dtype)
    for _ in range(15):
        Y, Z = (Y + Z.inverse()) / 2, (Z + Y.inverse()) / 2
    return Y


def moments():
    x, y = crowds()
    return x.mean(0), y.mean(0), x.T.cov(), y.T.cov()


def best_map():
    """The A that sends a crowd with covariance S_1 to one with S_2."""
    _, _, S_1, S_2 = moments()
    r = root(S_1)
    return r.inverse() @ root(r @ S_2 @ r) @ r.inverse()


def pairs_of_vectors():
    """Nine pairs are a distribution of their own: means over them are exact."""
    x, _ = crowds()
    y = x.flip(0) ** 2
    u, v = x - x.mean(0), y - y.mean(0)
    S_1, S_2, C = (a.T @ b / len(x) for a, b in ((u, u), (v, v), (u, v)))
    right = (x.mean(0) - y.mean(0)).square().sum() + S_1.trace() + S_2.trace() - 2 * C.trace()
    close((x - y).square().sum(1).mean(), right)


def square_of_lengths():
    x, _ = crowds()
    u, v, A = x - x.mean(0), (x**2 - (x**2).mean(0)).flip(0), best_map()
    S_1, S_2, C = (a.T @ b / len(x) for a, b in ((u, u), (v, v), (u, v)))
    middle = (u @ root(A) - v @ root(A).inverse()).square().sum(1).mean()
    close(middle, (A @ S_1).trace() + (A.inverse() @ S_2).trace() - 2 * C.trace())
    assert middle >= 0
    close((u @ root(A) - (u @ A) @ root(A).inverse()).abs().max(), 0.0)


def sent_over():
    _, _, S_1, S_2 = moments()
    A = best_map()
    close(A @ S_1 @ A, S_2)
    close(A, A.T)
    assert torch.linalg.eigvalsh(A).min() > 0


def squared_map():
    _, _, S_1, S_2 = moments()
    r = root(S_1)
    one = r @ best_map() @ r
    close(one @ one, r @ S_2 @ r)
    assert torch.linalg.eigvalsh(one).min() > 0  # the root that the derivation calls B


def distance_from_the_map():
    """The formula, the package, and what walking along the map costs."""
    m_1, m_2, S_1, S_2 = moments()
    r = root(S_1)
    formula = (m_1 - m_2).square().sum() + S_1.trace() + S_2.trace() - 2 * root(r @ S_2 @ r).trace()
    close(formula, frechet_distance(*crowds()), rtol=1e-6)
    move = torch.eye(3, dtype=torch.float64) - best_map()
    close(formula, (m_1 - m_2).square().sum() + (move @ S_1 @ move).trace())


def error_of_small_crowds():
    """The exact errors of mean and standard deviation of N Gaussian numbers."""
    for N in (50, 1000):
        right = sqrt(2 / (N - 1)) * exp(lgamma(N / 2) - lgamma((N - 1) / 2))  # E of the measured deviation
        exact = SIGMA**2 / N + SIGMA**2 * (2 - 2 * right)
        close(exact, SIGMA**2 / N + SIGMA**2 / (2 * N), rtol=2 / N)
        close(SIGMA**2 / N + SIGMA**2 / (2 * N), 3 * SIGMA**2 / (2 * N))


def error_of_many_features():
    """Sets of Gaussian vectors against points with exactly their mean and covariance; a missing term is refused."""
    generator = torch.Generator().manual_seed(0)
    for d, N, sets in ((1, 400, 4000), (4, 400, 2000), (24, 2000, 60)):
        axes = torch.eye(d, dtype=torch.float64) * sqrt(d - 0.5)
        exact = torch.cat([axes, -axes])
        close(exact.T.cov().reshape(d, d), torch.eye(d, dtype=torch.float64))
        draws = torch.randn(sets, N, d, generator=generator, dtype=torch.float64)
        found = sum(frechet_distance(x, exact) for x in draws) / sets
        right = (d * d + 5 * d) / (4 * N)
        close(d / N + (2 * d / N + d * (d - 1) / N) / 4, right)
        close(found, right, rtol=0.04)
        if d > 1:
            for wrong in ((d * d + d) / (4 * N), 3 * d / (2 * N), (d * d + 5 * d) / (2 * N)):
                assert abs(found / wrong - 1) > 0.1


def kernel(x, y):
    return (sum(a * b for a, b in zip(x.tolist(), y.tolist(), strict=True)) / len(x) + 1) ** 3


def kernel_of_two():
    """Of two crowds of one member twice, only the mixed terms are open."""
    x, y = crowds()
    one, other = x[:1].repeat(2, 1), y[:1].repeat(2, 1)
    close(kernel_distance(one, other), kernel(x[0], x[0]) + kernel(y[0], y[0]) - 2 * kernel(x[0], y[0]))


def kernel_by_pairs():
    x, y = crowds()
    within = [
        sum(kernel(c[i], c[j]) for i in range(len(c)) for j in range(len(c)) if i != j) / (len(c) * (len(c) - 1))
        for c in (x, y)
    ]
    mixed = sum(kernel(a, b) for a in x for b in y) / (len(x) * len(y))
    close(kernel_distance(x, y), within[0] + within[1] - 2 * mixed)


def among(point, crowd, k=3):
    """Ball by ball, with plain numbers."""

    def apart(a, b):
        return sqrt(sum((p - q) ** 2 for p, q in zip(a.tolist(), b.tolist(), strict=True)))

    for i, member in enumerate(crowd):
        radius = sorted(apart(member, other) for j, other in enumerate(crowd) if j != i)[k - 1]
        if apart(point, member) <= radius:
            return 1
    return 0


def shares_by_balls():
    x, y = crowds(20, 20)
    precision, recall = precision_recall(x, y)
    close(precision, sum(among(point, x) for point in y) / len(y))
    close(recall, sum(among(point, y) for point in x) / len(x))
    assert precision != recall


def nearest_by_pairs():
    x, y = (crowd.reshape(-1, 1, 1, 3).float().clamp(-1, 1) for crowd in crowds())
    found, which = nearest(y, x)
    for image, distance, index in zip(y, found, which, strict=True):
        each = [sqrt(sum(d**2 for d in (image - other).flatten().tolist()) / 3) for other in x]
        close(float(distance), min(each), rtol=1e-5)
        assert each.index(min(each)) == int(index)


def check_pairing_singular():
    """Crowds with too few members for their width: the chain of bounds, and its limit, the package's distance."""
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, 3, 5, generator=generator, dtype=torch.float64)
    y = 2 * y + 1
    S_1, S_2 = x.T.cov(), y.T.cov()
    assert torch.linalg.matrix_rank(S_1) == torch.linalg.matrix_rank(S_2) == 2
    best = ((x.mean(0) - y.mean(0)).square().sum() + S_1.trace() + S_2.trace() - frechet_distance(x, y)).item()

    def power(S, exponent):
        values, vectors = torch.linalg.eigh(S)
        return vectors * values**exponent @ vectors.T

    for epsilon in (1.0, 1e-2, 1e-6):
        first, second = (S + epsilon * torch.eye(5) for S in (S_1, S_2))
        middle = power(power(first, 0.5) @ second @ power(first, 0.5), 0.5)
        A = power(first, -0.5) @ middle @ power(first, -0.5)
        bound = (A @ S_1).trace() + (A.inverse() @ S_2).trace()
        assert best <= bound * (1 + 1e-6)
        assert bound <= 2 * middle.trace() * (1 + 1e-9)
    assert abs(2 * middle.trace().item() - best) < 0.02 * best


PAIRING_SINGULAR = (
    r"2 \operatorname{tr} C &\le \operatorname{tr}(A_\varepsilon S_1) + \operatorname{tr}(A_\varepsilon^{-1} S_2)"
    r" \\ &\le 2 \operatorname{tr}\left(\left(S_{1 \varepsilon}^{1/2} S_{2 \varepsilon}"
    r" S_{1 \varepsilon}^{1/2}\right)^{1/2}\right)"
)

IMAGES = {  # the image that follows from the noise, and the one that follows from its estimate
    r"\hat{x}_0": lambda s, v: predict_x_0(s, v.x_t, v.t, v(r"\hat{z}")),
    "x_0": lambda s, v: predict_x_0(s, v.x_t, v.t, v.z),
}


def rates(s, v):
    """The learning rates of a run of T steps, as shares of the first."""
    config = TrainConfig(steps=s.T, lr=1e-3, lr_decay="cosine")
    return torch.tensor([learning_rate(config, int(k)) / config.lr for k in v.t], dtype=torch.float64)


CHECKS = [
    by_hand("eq-pairing-singular", PAIRING_SINGULAR, check_pairing_singular, "inequalities between matrices"),
    # two crowds of numbers
    by_hand(
        "eq-pair",
        r"x = \mu + \sigma z, \quad y = \nu + \tau \left(\rho z + \sqrt{1 - \rho^2} z'\right)",
        lambda: close(RHO**2 + sqrt(1 - RHO**2) ** 2, 1.0),
        "it defines the pairs; that y has the variance tau^2 is what eq-pair-distance uses",
    ),
    identity("eq-pair-distance", given=["eq-pair"], where=NUMBERS),
    matches("eq-frechet-one", "D", between_two, where=NUMBERS),
    # vectors
    by_hand(
        "eq-pair-distance-many",
        r"""\mathbb{E}\left[\lVert x - y \rVert^2\right] = \lVert m_1 - m_2 \rVert^2
        + \operatorname{tr} S_1 + \operatorname{tr} S_2 - 2 \operatorname{tr} C""",
        pairs_of_vectors,
        "matrices are not parsed",
    ),
    by_hand(
        "eq-pairing-square",
        r"""\begin{aligned}
        0 &\le \mathbb{E}\left[\lVert A^{1/2} u - A^{-1/2} v \rVert^2\right] \\
        &= \operatorname{tr}(A S_1) + \operatorname{tr}(A^{-1} S_2) - 2 \operatorname{tr} C
        \end{aligned}""",
        square_of_lengths,
        "matrices are not parsed",
    ),
    by_hand("eq-pairing-map", r"A S_1 A = S_2", sent_over, "matrices are not parsed"),
    by_hand(
        "eq-pairing-root",
        r"\left(S_1^{1/2} A S_1^{1/2}\right)^2 = S_1^{1/2} S_2 S_1^{1/2}",
        squared_map,
        "matrices are not parsed",
    ),
    by_hand(
        "eq-frechet-distance",
        r"""D = \lVert m_1 - m_2 \rVert^2 + \operatorname{tr} S_1 + \operatorname{tr} S_2
        - 2 \operatorname{tr}\left(\left(S_1^{1/2} S_2 S_1^{1/2}\right)^{1/2}\right)""",
        distance_from_the_map,
        "matrices are not parsed",
    ),
    by_hand(
        "eq-frechet-bias",
        r"\mathbb{E}[D] \approx \frac{\sigma^2}{N} + \frac{\sigma^2}{2 N} = \frac{3 \sigma^2}{2 N}",
        error_of_small_crowds,
        "a mean over crowds is not parsed",
    ),
    by_hand(
        "eq-frechet-bias-many",
        r"""\mathbb{E}[D] \approx \frac{d}{N} + \frac{1}{4} \left(\frac{2 d}{N} + \frac{d \left(d - 1\right)}{N}\right)
        = \frac{d^2 + 5 d}{4 N}""",
        error_of_many_features,
        "a mean over crowds is not parsed",
    ),
    # the kernel distance
    identity("eq-two-of-a-crowd", where=TWO),
    by_hand(
        "eq-kernel",
        r"k(x, y) = \left(\frac{x \cdot y}{d} + 1\right)^3",
        kernel_of_two,
        "a product of vectors is not parsed",
    ),
    by_hand(
        "eq-kernel-distance",
        r"""K = \frac{1}{N \left(N - 1\right)} \sum_{i \ne j} k(x_i, x_j)
        + \frac{1}{M \left(M - 1\right)} \sum_{i \ne j} k(y_i, y_j) - \frac{2}{N M} \sum_{i, j} k(x_i, y_j)""",
        kernel_by_pairs,
        "sums over pairs are not parsed",
    ),
    # shares
    by_hand("eq-among", r"\lVert y - x_i \rVert \le r_i", shares_by_balls, "radii come from the crowd itself"),
    by_hand("eq-precision", r"P = \frac{1}{M} \sum_{j=1}^{M} a_X(y_j)", shares_by_balls, "a_X is a crowd's own"),
    by_hand("eq-recall", r"R = \frac{1}{N} \sum_{i=1}^{N} a_Y(x_i)", shares_by_balls, "a_Y is a crowd's own"),
    by_hand(
        "eq-nearest",
        r"n(x) = \min_i \sqrt{\frac{1}{d} \lVert x - x_i \rVert^2}",
        nearest_by_pairs,
        "a minimum over images is not parsed",
    ),
    # what the network should tell
    identity("eq-loss-of-image", where=IMAGES),
    identity(
        "eq-loss-of-mean",
        where={
            r"\hat{\mu}_t": lambda s, v: mean_from_noise(s, v.x_t, v.t, v(r"\hat{z}")),
            r"\tilde{\mu}_t": lambda s, v: mean_from_noise(s, v.x_t, v.t, v.z),
        },
    ),
    # weights with a limit, and smaller steps
    identity(
        "eq-min-snr-image",
        where={**IMAGES, "w_t": lambda s, v: min_snr_weight(s, 3.5)[v.t], r"\gamma": "3.5"},
    ),
    matches("eq-min-snr", "w_t", lambda s, v: min_snr_weight(s, 3.5)[v.t], where={r"\gamma": "3.5"}),
    matches(
        "eq-cosine-decay", "g_k", rates, where={"k": lambda s, v: v.t, "S": lambda s, v: torch.full((len(v.t),), s.T)}
    ),
]
