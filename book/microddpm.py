"""microddpm: a diffusion model from end to end, with nothing but Python.

    python microddpm.py          learn from 1,297 digits, then draw 20 new ones
    python microddpm.py 200      the same after 200 steps of training, not 1,000

The digits, of 8x8 pixels, are in digits.txt; (eq-NAME) is an equation of the book.
"""

import math
import random
import sys
import time
from itertools import accumulate
from operator import add, mul
from pathlib import Path


# --- 1. Gradients: a matrix remembers how it was made ---
class Matrix:
    """Rows of numbers, and for each parent the function that computes its gradient."""

    def __init__(self, rows, *parents, learns=False):
        self.rows, self.parents, self.gradient = rows, parents, None
        self.learns = learns or any(parent.learns for parent, _ in parents)

    def __matmul__(self, other):
        rows = product(self.rows, list(zip(*other.rows)))
        to_self = self, lambda g: product(g, other.rows)  # g times other, transposed
        to_other = other, lambda g: product(zip(*self.rows), list(zip(*g)))
        return Matrix(rows, to_self, to_other)

    def __add__(self, other):
        rows = each(add, self.rows, other.rows)
        return Matrix(rows, (self, lambda g: g), (other, lambda g: g))

    def __mul__(self, other):  # entry by entry
        rows = each(mul, self.rows, other.rows)
        to_self = self, lambda g: each(mul, g, other.rows)
        return Matrix(rows, to_self, (other, lambda g: each(mul, g, self.rows)))

    def silu(self):  # (eq-silu)
        gate = each(lambda a: 1 / (1 + math.exp(-max(a, -700.0))), self.rows)
        slope = each(lambda a, s: s * (1 + a * (1 - s)), self.rows, gate)
        return Matrix(each(mul, self.rows, gate), (self, lambda g: each(mul, g, slope)))

    def backward(self, gradient):
        """The chain rule, from this matrix back to the weights."""
        order = []

        def visit(matrix):
            if matrix.learns and matrix not in order:
                for parent, _ in matrix.parents:
                    visit(parent)
                order.append(matrix)  # after all that it was made from

        visit(self)
        self.gradient = gradient
        for matrix in reversed(order):
            for parent, pull in matrix.parents:
                if parent.learns:  # the images need no gradient
                    part, had = pull(matrix.gradient), parent.gradient
                    parent.gradient = each(add, had, part) if had else part


def product(rows, columns):
    return [[sum(map(mul, row, column)) for column in columns] for row in rows]


def each(function, *tables):
    """The function of the entries at each place."""
    return [list(map(function, *rows)) for rows in zip(*tables)]


# --- 2. The process: entry t is for time t, and entry 0 for the clean image ---

T, times = 1000, range(1, 1001)
beta = [0.0] + [1e-4 + (t - 1) / (T - 1) * (0.02 - 1e-4) for t in times]
alpha = [1 - b for b in beta]  # (eq-alpha); beta is (eq-linear-schedule)
alpha_bar = list(accumulate(alpha, mul))  # (eq-alpha-bar)
rest = [1 - a for a in alpha_bar]  # noise's variance; below: (eq-posterior-variance)
beta_tilde = [0.0] + [beta[t] * rest[t - 1] / rest[t] for t in times]


def q_sample(x_0, t, z):
    """The image x_0 with noise for time t (eq-forward-closed)."""
    signal, noise = math.sqrt(alpha_bar[t]), math.sqrt(rest[t])
    return [signal * x + noise * n for x, n in zip(x_0, z)]


def ddpm_step(x_t, t, z_hat, noise):
    """From t to t - 1, with the estimate z_hat and fresh noise (eq-ddpm-step)."""
    signal, sigma = math.sqrt(alpha_bar[t]), math.sqrt(beta_tilde[t])
    x_0_hat = [(x - math.sqrt(rest[t]) * n) / signal for x, n in zip(x_t, z_hat)]
    x_0_hat = [max(-1.0, min(1.0, x)) for x in x_0_hat]  # (eq-x0-from-z), clipped
    a = math.sqrt(alpha[t]) * rest[t - 1] / rest[t]  # a and b: (eq-posterior-mean)
    b = math.sqrt(alpha_bar[t - 1]) * beta[t] / rest[t]
    return [a * x + b * o + sigma * n for x, o, n in zip(x_t, x_0_hat, noise)]


# --- 3. The network: an estimate of z from x_t, the time and the label ---

PIXELS, LABELS, CLOCKS, WIDTH = 64, 10, 8, 96
TOLD = 2 * CLOCKS + LABELS + 1


def tell(t, label):
    """The time (eq-time-embedding), the label, and a 1 whose weights are the biases."""
    angles = [(t - 1) * 10000 ** (-k / (CLOCKS - 1)) for k in range(CLOCKS)]
    clocks = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    return clocks + [float(label == c) for c in range(LABELS)] + [1.0]


def new_weights(rng):
    """Random matrices: with the variance 1/n, a sum of n products keeps its size."""
    shapes = {"in": (PIXELS, WIDTH), "mid": (WIDTH, WIDTH), "out": (WIDTH, PIXELS)}
    shapes |= {f"{name}_told": (TOLD, m) for name, (_, m) in shapes.items()}
    shapes["gate"] = TOLD, PIXELS
    w = {}
    for name, (n, m) in shapes.items():
        scale = (0.1 if m == PIXELS else 1) / math.sqrt(n)  # the first z_hat is near 0
        rows = [[rng.gauss(0, scale) for _ in range(m)] for _ in range(n)]
        w[name] = Matrix(rows, learns=True)
    return w


def network(w, x_t, told):
    """z_hat for the rows of x_t; at large t it is nearly x_t itself, hence the gate."""
    x_t, told = Matrix(x_t), Matrix(told)
    h = (x_t @ w["in"] + told @ w["in_told"]).silu()
    h = h + (h @ w["mid"] + told @ w["mid_told"]).silu()  # h passes by, as in a U-Net
    return h @ w["out"] + told @ w["out_told"] + x_t * (told @ w["gate"])


# --- 4. Training (alg-training) ---
def train(digits, steps, seed=0, batch=32, rate=0.012):
    """Yield the loss and the averaged weights after each step."""
    rng = random.Random(seed)
    w = new_weights(rng)
    mean = {name: [row[:] for row in matrix.rows] for name, matrix in w.items()}
    adam = {name: [([0.0] * len(row),) * 2 for row in mean[name]] for name in w}
    for k in range(1, steps + 1):
        chosen = [(*rng.choice(digits), rng.randint(1, T)) for _ in range(batch)]
        z = [[rng.gauss(0, 1) for _ in range(PIXELS)] for _ in chosen]
        x_t = [q_sample(x_0, t, n) for (_, x_0, t), n in zip(chosen, z)]
        z_hat = network(w, x_t, [tell(t, label) for label, _, t in chosen])
        error = each(lambda a, b: a - b, z_hat.rows, z)
        loss = sum(e * e for row in error for e in row) / (batch * PIXELS)
        z_hat.backward(each(lambda e: 2 * e / (batch * PIXELS), error))
        now = rate * min(1, k / 50) * (1 + math.cos(math.pi * k / steps)) / 2
        now *= math.sqrt(1 - 0.99**k) / (1 - 0.9**k)  # Adam's averages start at 0
        keep = min(0.99, (1 + k) / (10 + k))  # (eq-ema-warmup)
        for name, matrix in w.items():
            for i, (x, g) in enumerate(zip(matrix.rows, matrix.gradient)):
                m, v = adam[name][i]
                m = [0.9 * a + 0.1 * d for a, d in zip(m, g)]
                v = [0.99 * a + 0.01 * d * d for a, d in zip(v, g)]
                x = [c - now * a / (math.sqrt(b) + 1e-8) for c, a, b in zip(x, m, v)]
                matrix.rows[i], adam[name][i] = x, (m, v)
                old = mean[name][i]  # (eq-ema)
                mean[name][i] = [keep * a + (1 - keep) * c for a, c in zip(old, x)]
            matrix.gradient = None
        yield loss, mean  # (eq-training-loss), on average over the batch


# --- 5. Sampling (alg-sampling) ---
def sample(weights, labels, seed=0):
    """An image for each label: T steps from noise."""
    rng = random.Random(seed)
    w = {name: Matrix(rows) for name, rows in weights.items()}
    x = [[rng.gauss(0, 1) for _ in range(PIXELS)] for _ in labels]
    for t in reversed(times):
        z_hat = network(w, x, [tell(t, label) for label in labels]).rows
        noise = [[rng.gauss(0, 1) for _ in range(PIXELS)] for _ in labels]
        x = [ddpm_step(x_t, t, n, fresh) for x_t, n, fresh in zip(x, z_hat, noise)]
    return x


# --- 6. Digits, in from the text file and out to the terminal ---
def load_digits():
    """(label, x_0) of each line; a pixel is a letter, 0 for paper to g (16) for ink."""
    text = Path(__file__).with_name("digits.txt").read_text("utf8")
    lines = [line.split() for line in text.splitlines() if line[0] != "#"]
    return [(int(c), [int(pixel, 17) / 8 - 1 for pixel in ink]) for c, ink in lines]


def show(images):
    """Print the images, five side by side; letters are tall, so a pixel is two wide."""
    for start in range(0, len(images), 5):
        for y in range(0, PIXELS, 8):
            row = [pixel for x in images[start : start + 5] for pixel in x[y : y + 8]]
            inks = ["  .:-+*#%@"[max(0, min(9, int(5 * (x + 1))))] for x in row]
            print("".join(2 * ink for ink in inks).rstrip())


if __name__ == "__main__":
    count, start = int(sys.argv[1]) if len(sys.argv) > 1 else 1000, time.time()
    for k, state in enumerate(train(load_digits(), count), 1):
        if k % 50 == 0:
            print(f"step {k}: loss {state[0]:.3f}, {time.time() - start:.0f} s")
    show(sample(state[1], 2 * list(range(LABELS))))
