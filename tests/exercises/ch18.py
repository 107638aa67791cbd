"""Wrong and right answers to the exercises of chapter 18."""

import torch


def density(log_p, divergences, nu, sign=-1.0, first=0.5, second=0.5, width=None, start=1.0):
    """The log density at the end of a walk to the image, or a wrong one."""
    mean = first * divergences[:-1] + second * divergences[1:]
    width = (nu[1:] - nu[:-1])[:, None] if width is None else width
    return start * log_p + sign * (width * mean).sum(0)


def by_trapz(log_p, divergences, nu):
    return log_p - torch.trapezoid(divergences, nu, dim=0)


def from_the_image(log_p, divergences, nu):
    return log_p + torch.trapezoid(divergences.flip(0), nu.flip(0), dim=0)


def step_by_step(log_p, divergences, nu):
    for i in range(len(nu) - 1):
        log_p = log_p + (nu[i] - nu[i + 1]) * (divergences[i] + divergences[i + 1]) / 2
    return log_p


WRONG = {
    "ex-fresh-likelihood": {
        "the sign": (lambda *g: density(*g, sign=1.0), "back to the image nu falls"),
        "only the change": (lambda *g: density(*g, start=0.0), "add it to that of the starts"),
        "minus the change": (lambda *g: density(*g, sign=1.0, start=0.0), "with the wrong sign"),
        "no widths": (lambda *g: density(*g, sign=1.0, width=1.0), "multiply by the widths"),
        "no widths, and the sign": (lambda *g: density(*g, width=1.0), "the sign, and multiply"),
        "the beginning": (lambda *g: density(*g, first=1.0, second=0.0), "not only the beginning"),
        "the end": (lambda *g: density(*g, first=0.0, second=1.0), "not only the end"),
        "the beginning, and the sign": (lambda *g: density(*g, 1.0, 1.0, 0.0), "the beginning only, and the sign"),
        "the end, and the sign": (lambda *g: density(*g, 1.0, 0.0, 1.0), "the end only, and the sign"),
        "no half": (lambda *g: density(*g, first=1.0, second=1.0), "half their sum"),
        "no half, and the sign": (lambda *g: density(*g, 1.0, 1.0, 1.0), "half the sum, and the sign"),
        "the mean of the steps": (lambda *g: density(*g, sign=-1 / (len(g[2]) - 1)), "do not divide by their number"),
        "the mean width": (lambda *g: density(*g, width=(g[2][-1] - g[2][0]) / (len(g[2]) - 1)), "differ in length"),
        "the levels": (lambda *g: density(*g, sign=1.0, width=g[2][:-1, None]), "not by the levels"),
        "the levels of the ends": (lambda *g: density(*g, sign=1.0, width=g[2][1:, None]), "the levels at their ends"),
        "over log nu": (lambda *g: density(*g, width=g[2].log().diff()[:, None]), "not of log nu"),
        "over log nu, and the sign": (lambda *g: g[0] + torch.trapezoid(g[1], g[2].log(), dim=0), "not of log nu, and"),
        "the rule over log nu": (
            lambda *g: g[0] - torch.trapezoid(g[2][:, None] * g[1], g[2].log(), dim=0),
            "over nu, not log nu",
        ),
        "the rule over log nu, and the sign": (
            lambda *g: g[0] + torch.trapezoid(g[2][:, None] * g[1], g[2].log(), dim=0),
            "the sign (nu falls), and take the rule",
        ),
        "one column": (lambda *g: density(*g)[:, None], "one number for each image"),
        "the widths beside the images": (lambda *g: density(*g, width=g[2].diff()), "give them a second dimension"),
        "over the images": (
            lambda *g: g[0] - (g[2].diff()[:, None] * (g[1][:-1] + g[1][1:]) / 2).sum(1),
            "not over the",
        ),
        "one sum for all": (lambda *g: g[0] + density(0 * g[0], *g[1:]).sum(), "each image has its own sum"),
        "times a factor": (lambda *g: g[0] * density(0 * g[0], *g[1:]).exp(), "not of p"),
    },
}
RIGHT = {
    "ex-fresh-likelihood": {
        "directly": density,
        "by the trapezoidal rule": by_trapz,
        "from the image": from_the_image,
        "step by step": step_by_step,
    },
}
