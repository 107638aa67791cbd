"""The guided cloud: its walk against scores by differentiation, the sharpened density, and the page."""

import numpy as np
import pytest
import torch
from javascript import run_module
from scipy.stats import multivariate_normal
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from ddpm_lite.schedule import linear_schedule
from ddpm_lite.viz.widgets import GuidanceCloud
from ddpm_lite.viz.widgets.base import read_noise

CASES = [(-1.0, 0), (0.0, 1), (0.25, 2), (2.0, 0), (8.0, 2)]


def walk_by_scores(widget, w, label):
    """DDIM's steps by hand, along the gradient of log q(x_t given c) + w log q(c given x_t)."""
    bar, table = linear_schedule().alpha_bar, torch.from_numpy(widget.table())
    x = torch.from_numpy(read_noise(widget.start).reshape(-1, 2))
    for t in range(1000, 0, -20):
        means, wide = bar[t] ** 0.5 * table[:, :2], (bar[t] * table[:, 2] ** 2 + 1 - bar[t]) ** 0.5
        each = Independent(Normal(means, wide[:, None].expand(3, 2)), 1)
        own = Independent(Normal(means[label], wide[label].expand(2)), 1)
        every = MixtureSameFamily(Categorical(torch.ones(3, dtype=torch.float64)), each)
        at = x.clone().requires_grad_()
        logs = own.log_prob(at) + w * (own.log_prob(at) - every.log_prob(at))
        z = -((1 - bar[t]) ** 0.5) * torch.autograd.grad(logs.sum(), at)[0]
        x_0 = (x - (1 - bar[t]) ** 0.5 * z) / bar[t] ** 0.5
        x = bar[t - 20] ** 0.5 * x_0 + (1 - bar[t - 20]) ** 0.5 * z
    return x.numpy()


def sharpened_moments(widget, w, label):
    """Mean, towards the class, and deviation of q(x_0 given c) q(c given x_0)^w, from another grid than the page's."""
    axis = np.linspace(-4.7, 4.7, 190)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    each = [multivariate_normal(row[:2], row[2] ** 2).pdf(grid) for row in widget.table()]
    mass = each[label] * (each[label] / sum(each)) ** w
    mass /= mass.sum()
    mean = (mass[..., None] * grid).sum(axis=(0, 1))
    squares = (mass * ((grid - mean) ** 2).sum(axis=-1)).sum()
    towards = widget.table()[label, :2]
    return mean @ towards / np.linalg.norm(towards), (squares / 2) ** 0.5


@pytest.mark.parametrize(("w", "label"), [CASES[0], CASES[2], CASES[4]])
def test_the_walk_follows_the_sharpened_score(w, label):
    widget = GuidanceCloud()
    np.testing.assert_allclose(widget.walk(w, label)[-1], walk_by_scores(widget, w, label), atol=1e-8)


def test_guidance_trades_spread_for_agreement_and_overshoots():
    measured = [GuidanceCloud().measure(w) for w in (-1.0, 0.0, 0.5, 2.0, 8.0)]
    means, spreads, astray = zip(*measured, strict=True)
    assert list(means) == sorted(means)
    assert list(spreads) == sorted(spreads, reverse=True)
    assert 0.6 * 200 < astray[0] < 0.73 * 200
    assert 0.06 * 200 < astray[1] < 0.18 * 200
    assert astray[2] < 5
    assert astray[3:] == (0, 0)
    for w, mean, spread in ((2.0, means[3], spreads[3]), (8.0, means[4], spreads[4])):
        ideal, wide = sharpened_moments(GuidanceCloud(), w, 0)
        assert mean > 1.3 * ideal
        assert spread < 0.85 * wide


def test_scripts_compute_what_the_package_computes():
    widget = GuidanceCloud()
    setup = "const { insist, describe, sharpened, schedule, linear } = modules;"
    code = f"""
      const blobs = Float64Array.from({widget.table().ravel().tolist()});
      const start = Float64Array.from({read_noise(widget.start).tolist()});
      const walk = insist(schedule(linear(1000, [1e-4, 0.02])), blobs, 50);
      return {[list(case) for case in CASES]}.map(([w, c]) => {{
        const x = walk(start, c, w).at(-1), {{ mean, spread }} = sharpened(blobs)(c, w);
        return [x, mean, spread, describe(x, [blobs[4 * c], blobs[4 * c + 1]])];
      }});"""
    for (w, label), (x, *ideal, drawn) in zip(CASES, run_module(["science.js", "insist.js"], setup, code), strict=True):
        np.testing.assert_allclose(np.reshape(x, (-1, 2)), widget.walk(w, label)[-1], atol=1e-9)
        np.testing.assert_allclose(ideal, sharpened_moments(widget, w, label), atol=1e-6)
        mean, spread, _ = GuidanceCloud(w, label=label).measure()
        assert (drawn["mean"], drawn["spread"]) == pytest.approx((mean, spread), abs=1e-9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"w": 8.5}, r"w: expected a number in \[-1"),
        ({"w": "2"}, r"w: expected a number in \[-1"),
        ({"label": 3}, r"label: expected a whole number in 0\.\.2"),
        ({"seed": -1}, r"seed: expected a whole number in 0\.\.1000000"),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        GuidanceCloud(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.html
def test_page_shows_the_packages_points_and_numbers(stand):
    one = stand(GuidanceCloud())
    one.page.get_by_role("button", name="Insist yourself").click()
    slider = one.page.get_by_role("slider", name="strength w")
    slider.wait_for()
    for w, label in CASES:
        one.set(w=w, label=label)
        widget = GuidanceCloud(w, label=label)
        mean, spread, astray = widget.measure()
        ideal, wide = sharpened_moments(widget, w, label)
        *moments, count = one.facts().values()
        for text, numbers in zip(moments, ((mean, 1, ideal), (spread, 0.6, wide)), strict=True):
            words = text.replace("\u2212", "-").replace("(class", "").replace("sharpened density", "").strip(")")
            shown = [float(word) for word in words.replace(",", "").split()]
            assert shown == pytest.approx(numbers, rel=6e-3, abs=2e-4)
        assert count == f"{astray} of 200"
        path = one.page.evaluate("document.querySelector('[role=group] .dw-dot.dw-2').getAttribute('d')")
        spots = np.array([part.split() for part in path.replace("h0", "").lstrip("M").split("M")], float)
        x = widget.walk()[-1]
        np.testing.assert_allclose(
            spots, np.stack([48 + (x[:, 0] + 4) * 37.5, 310 - (x[:, 1] + 4) * 37.5], 1), atol=0.051
        )
        trail = one.curve("[role=group] .dw-line.dw-4")
        assert len(trail) == 51
        assert trail[-1] == pytest.approx(spots[0], abs=0.1)
        assert one.page.locator("[role=group] circle.dw-line:not(.dw-dash)").count() == 2
    slider.press("Home")
    slider.press("ArrowRight")
    assert one.get("w") == -0.75
    one.page.get_by_label("class", exact=True).select_option("lower left")
    words = one.page.locator("[role=group] svg[role=img]").get_attribute("aria-label")
    assert "the class lower left at w = \u22120.75" in words
    assert one.quiet()
