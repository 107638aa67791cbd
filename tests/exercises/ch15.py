"""Wrong and right answers to the exercises of chapter 15."""

import math

import numpy as np
import torch


def decays(decay, n, start=1):
    """The decay of each step, from the step `start`."""
    return [min(decay, (1 + k) / (10 + k)) for k in range(start, start + n)]


def draw(sample, *seeds):
    """The images after each seed, and what is drawn next."""
    images, later = [], []
    for seed in seeds:
        if seed is not None:
            torch.manual_seed(seed)
        images.append(sample(lambda x, t: 0 * x, (2, 1, 8, 8)))
        later.append(torch.rand(1).item())
    return images, later


def differ(pair):
    return not np.array_equal(*pair)


def see_starts(sample):
    """Whether the first states of two calls differ."""
    seen = []

    def fake(x, t):
        seen.append(x.clone())
        return 0 * x

    for seed in (1, 2):
        torch.manual_seed(seed)
        sample(fake, (1, 1, 8, 8))
    return differ((seen[0], seen[20]))


def count_draws(sample):
    """Whether the sampler draws more than its x_T."""
    torch.manual_seed(1)
    torch.randn(2, 1, 8, 8)
    after = torch.rand(1).item()
    return draw(sample, 1)[1][0] != after and all(map(differ, draw(sample, 1, 2)))


def see_ends(sample, answer=1e6, ends=(0, -1)):
    """The first and the last states of two calls, if the clip gives the same x_0_hat in all steps."""
    runs = []

    def fake(x, t):
        runs[-1].append(x.clone())
        return torch.full_like(x, answer)

    for seed in (11, 12):
        torch.manual_seed(seed)
        runs.append([])
        sample(fake, (2, 1, 8, 8))
    return [(runs[0][k] - runs[1][k]).abs().max().item() for k in ends]


def see_steps(sample, answer=-1e3, steps=slice(None), seeds=(11, 12)):
    """Whether two calls differ in x_T and, in each step that adds noise, in the noise: by a straight line in x_t."""
    runs = []

    def fake(x, t):
        runs[-1].append(x.flatten().double().numpy().copy())
        return torch.full_like(x, answer)

    for seed in seeds:
        torch.manual_seed(seed)
        runs.append([])
        sample(fake, (1, 1, 16, 16))

    def left(states):
        pairs = list(zip(states, states[1:], strict=False))[steps]
        lines = [np.stack([x, np.ones_like(x)], 1) for x, _ in pairs]
        fits = [np.linalg.lstsq(line, after)[0] for line, (_, after) in zip(lines, pairs, strict=True)]
        return [np.abs(after - line @ fit).max() for line, fit, (_, after) in zip(lines, fits, pairs, strict=True)]

    both = zip(left(runs[0]), left(list(np.subtract(*runs))), strict=True)
    return differ((runs[0][0], runs[1][0])) and not any(one > 0.001 > two for one, two in both)


def ask_times(model, T, times=None, same=True):
    """The answers at these times, of one image or of one for each time."""
    times = torch.arange(1, T + 1) if times is None else times
    x_t = torch.randn(1 if same else len(times), 1, 8, 8).expand(len(times), 1, 8, 8)
    with torch.no_grad():
        return model(x_t, times).flatten(1)


def ask_neighbours(model, T):
    answers = ask_times(model, T)
    return (answers[1:] - answers[:-1]).abs().amax(1).min() > 1e-4


def ask_ends(model, T):
    return torch.pdist(ask_times(model, T, torch.tensor([1, T]))).min() > 1e-4


WRONG = {
    "ex-detective-question": {
        "always": (lambda model, T: True, "True of every network"),
        "never": (lambda model, T: False, "False of a right network"),
        "another image each time": (
            lambda model, T: torch.pdist(ask_times(model, T, same=False)).min() > 1e-4,
            "does each time get the same image",
        ),
        "neighbours only": (ask_neighbours, "compare all pairs of times"),
        "two times only": (ask_ends, "are all times asked"),
        "the largest gap": (
            lambda model, T: torch.pdist(ask_times(model, T)).max() > 1e-4,
            "are all times asked",
        ),
        "times from 0": (
            lambda model, T: torch.pdist(ask_times(model, T, torch.arange(T // 2))).min() > 1e-4,
            "are all times asked",
        ),
        "every second time": (
            lambda model, T: torch.pdist(ask_times(model, T, torch.arange(1, T + 1, 2))).min() > 1e-4,
            "are all times asked",
        ),
        "too strict": (lambda model, T: torch.pdist(ask_times(model, T)).min() > 10, "False of a right network"),
    },
    "ex-detective-3": {
        "always right": (lambda sample: True, "in its first line passes"),
        "always wrong": (lambda sample: False, "Algorithm 2 is right"),
        "images only": (lambda sample: differ(draw(sample, None, None)[0]), "after x_T passes"),
        "starts only": (see_starts, "after x_T passes"),
        "the same seed twice": (lambda sample: differ(draw(sample, 1, 1)[0]), "set one seed twice"),
        "the next number only": (lambda sample: differ(draw(sample, 1, 2)[1]), "a generator of its own"),
        "the last seed only": (lambda sample: draw(sample, 1) and torch.initial_seed() == 1, "a generator of its own"),
        "seed 0 only": (lambda sample: draw(sample, 1) and torch.initial_seed() != 0, "sets the seed 5"),
        "two images of a call": (lambda sample: differ(draw(sample, 1)[0][0]), "in its first line passes"),
        "the other way round": (lambda sample: not all(map(differ, draw(sample, 1, 2))), "Algorithm 2 is right"),
        "more than x_T is drawn": (count_draws, "DDIM's sampler is right"),
        "images and next number": (lambda sample: all(map(differ, draw(sample, 1, 2))), "only the fresh noise differs"),
        "starts and next number": (
            lambda sample: see_starts(sample) and differ(draw(sample, 1, 2)[1]),
            "only x_T differs",
        ),
        "the last states only": (lambda sample: see_ends(sample)[1] > 0.001, "only the fresh noise differs"),
        "both ends": (lambda sample: min(see_ends(sample)) > 0.001, "a DDIM that keeps z_hat"),
        "the first step only": (lambda sample: see_steps(sample, steps=slice(0, 1)), "at t = 10 passes"),
        "ten steps": (lambda sample: see_steps(sample, steps=slice(0, 11)), "at t = 5 passes"),
        "all steps but the last": (lambda sample: see_steps(sample, steps=slice(0, -1)), "at t = 2 passes"),
        "a number": (lambda sample: 0.5, "expected True or False"),
    },
    "ex-detective-1": {
        "without the first root": (lambda A, t, s, a, b: a * A[t] + b - A[s] ** 0.5, "in x_t is the root"),
        "without the second root": (lambda A, t, s, a, b: a * A[t] ** 0.5 + b - A[s], "is a root, too"),
        "without roots": (lambda A, t, s, a, b: a * A[t] + b - A[s], "the weight of the image is a root at both times"),
        "b of x_t": (lambda A, t, s, a, b: (a + b) * A[t] ** 0.5 - A[s] ** 0.5, "the image itself"),
        "without b": (lambda A, t, s, a, b: a * A[t] ** 0.5 - A[s] ** 0.5, "b is missing"),
        "t for s": (lambda A, t, s, a, b: a * A[s] ** 0.5 + b - A[t] ** 0.5, "changed places"),
        "the other sign": (lambda A, t, s, a, b: A[s] ** 0.5 - a * A[t] ** 0.5 - b, "turned around"),
        "no sign": (lambda A, t, s, a, b: abs(a * A[t] ** 0.5 + b - A[s] ** 0.5), "may be too small"),
        "not compared": (lambda A, t, s, a, b: a * A[t] ** 0.5 + b, "subtract what it should be"),
        "t - 1 for s": (lambda A, t, s, a, b: a * A[t] ** 0.5 + b - A[t - 1] ** 0.5, "the step goes to s"),
        "the noise": (lambda A, t, s, a, b: a * (1 - A[t]) ** 0.5 + b - (1 - A[s]) ** 0.5, "weight of the noise"),
        "b of x_s": (lambda A, t, s, a, b: a * A[t] ** 0.5 + (b - 1) * A[s] ** 0.5, "b multiplies x_0_hat"),
        "a sum of weights": (lambda A, t, s, a, b: a + b - A[s] ** 0.5, "only a share of the image"),
        "x_t at s": (lambda A, t, s, a, b: a * A[s] ** 0.5 + b - A[s] ** 0.5, "x_t is at time t"),
        "from s to t": (lambda A, t, s, a, b: a * (A[t] / A[s]) ** 0.5 + b - A[s] ** 0.5, "comes from x_0"),
        "the noise in x_t": (lambda A, t, s, a, b: a * (1 - A[t]) ** 0.5 + b - A[s] ** 0.5, "in x_t the image has"),
        "the goal at t": (lambda A, t, s, a, b: (a - 1) * A[t] ** 0.5 + b, "not with that at t"),
        "the goal 1": (lambda A, t, s, a, b: a * A[t] ** 0.5 + b - 1, "not 1"),
        "minus b": (lambda A, t, s, a, b: a * A[t] ** 0.5 - b - A[s] ** 0.5, "so they are added"),
        "as variances": (lambda A, t, s, a, b: a**2 * A[t] + b**2 - A[s], "not their squares"),
        "of squares": (lambda A, t, s, a, b: (a * A[t] ** 0.5 + b) ** 2 - A[s], "difference of the squares"),
        "a ratio": (lambda A, t, s, a, b: (a * A[t] ** 0.5 + b) / A[s] ** 0.5, "this is a ratio"),
        "relative": (lambda A, t, s, a, b: (a * A[t] ** 0.5 + b) / A[s] ** 0.5 - 1, "without dividing"),
        "the table": (lambda A, t, s, a, b: a * A**0.5 + b - A**0.5, "shape"),
    },
    "ex-detective-2": {
        "no warm-up": (lambda decay, n: decay**n, "without warm-up"),
        "no limit": (lambda decay, n: math.prod(decays(1.0, n)), "the decay is its upper limit"),
        "the larger": (lambda decay, n: math.prod(max(decay, d) for d in decays(1.0, n)), "the smaller of the two"),
        "one warm-up": (lambda decay, n: min(decay, (1 + n) / (10 + n)) ** n, "that of step n in every step"),
        "from 0": (lambda decay, n: math.prod(decays(decay, n, 0)), "from 0"),
        "both numbers": (lambda decay, n: decay**n * math.prod(decays(1.0, n)), "the smaller one"),
        "from 2": (lambda decay, n: math.prod(decays(decay, n, 2)), "from 2"),
        "n + 1 steps": (lambda decay, n: math.prod(decays(decay, n + 1)), "n + 1"),
        "0 to n": (lambda decay, n: math.prod(decays(decay, n + 1, 0)), "step 0"),
        "without step 1": (lambda decay, n: math.prod(decays(decay, n)[1:]), "step 1 is missing"),
        "a mean": (lambda decay, n: sum(decays(decay, n)) / n, "not averaged"),
        "the first warm-up": (lambda decay, n: decays(decay, 1)[0] ** n, "of step 1 alone"),
        "new, no warm-up": (lambda decay, n: 1 - decay**n, "and without warm-up"),
        "the last step": (lambda decay, n: decays(decay, n)[-1], "the last step alone"),
        "a sum": (lambda decay, n: sum(decays(decay, n)), "not added"),
        "what is forgotten": (lambda decay, n: 1 - math.prod(decays(decay, n)), "has been forgotten"),
        "the new weights": (lambda decay, n: math.prod(1 - d for d in decays(decay, n)), "shares of the new weights"),
        "one too few": (lambda decay, n: math.prod(decays(decay, n - 1)), "one step is missing"),
    },
}
RIGHT = {
    "ex-detective-question": {
        "all pairs": lambda model, T: torch.pdist(ask_times(model, T)).min() > 1e-4,
        "a plain bool": lambda model, T: bool(torch.pdist(ask_times(model, T)).min() > 1e-5),
        "one call for each time": lambda model, T: (
            torch.pdist(
                torch.cat(
                    [model(torch.ones(1, 1, 8, 8), torch.tensor([t])).detach().flatten(1) for t in range(1, T + 1)]
                )
            ).min()
            > 1e-4
        ),
        "rows that differ": lambda model, T: len(np.unique(ask_times(model, T).numpy().round(4), axis=0)) == T,
    },
    "ex-detective-3": {
        "by least squares": lambda sample: bool(see_steps(sample)),
        "the other x_0_hat": lambda sample: bool(see_steps(sample, 1e3)),
        "other seeds": lambda sample: bool(see_steps(sample, seeds=(5, 0))),
        "a tensor": lambda sample: torch.tensor(see_steps(sample)),
    },
    "ex-detective-1": {
        "by math": lambda A, t, s, a, b: a * math.sqrt(A[t]) + b - math.sqrt(A[s]),
        "as a ratio": lambda A, t, s, a, b: A[s].sqrt() * ((a * A[t].sqrt() + b) / A[s].sqrt() - 1),
        "by the table": lambda A, t, s, a, b: (A.sqrt() * a)[t] + b - A.sqrt()[s],
        "numpy": lambda A, t, s, a, b: np.dot([a, b, -1], [A[t].item() ** 0.5, 1, A[s].item() ** 0.5]),
    },
    "ex-detective-2": {
        "a product": lambda decay, n: math.prod(decays(decay, n)),
        "by logarithms": lambda decay, n: math.exp(sum(map(math.log, decays(decay, n)))),
        "torch": lambda decay, n: torch.tensor(decays(decay, n), dtype=torch.float64).prod(),
        "an average of a one": lambda decay, n: np.cumprod(decays(decay, n))[-1],
    },
}
