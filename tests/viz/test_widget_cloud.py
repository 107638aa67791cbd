"""The cloud: its points and scores in NumPy against the package, and on the page against NumPy."""

import re

import numpy as np
import pytest
import torch
from stands import assert_shown

from ddpm_lite import GaussianMixture, linear_schedule
from ddpm_lite.viz.widgets import Cloud
from ddpm_lite.viz.widgets.cloud import three_blobs

LIVE = ".ddpm-widget:not(.ddpm-widget-still)"
TIMES = (0, 1, 50, 400, 1000)


def tensor(x):
    return torch.from_numpy(np.ascontiguousarray(x))


def test_the_mixture_of_the_page_is_the_one_that_was_given():
    widget, mixture = Cloud().mixture(), three_blobs()
    x = tensor(np.random.default_rng(0).uniform(-3, 3, (200, 2)))
    for t in TIMES[1:]:
        torch.testing.assert_close(widget.score(x, t), mixture.score(x, t), rtol=1e-4, atol=1e-4)  # tables in float32


@pytest.mark.parametrize("t", [1, 2, 300, 1000])
def test_a_step_back_is_algorithm_2(t):
    """Written out in NumPy, from the same points and the same fresh noise."""
    widget, mixture = Cloud(direction="back"), three_blobs()
    beta, share = mixture.schedule.beta.numpy(), mixture.schedule.alpha_bar.numpy()
    x, walk = widget.at(t), widget.walk()
    z_hat = mixture(tensor(x), t).numpy()
    mean = (x - beta[t] / np.sqrt(1 - share[t]) * z_hat) / np.sqrt(1 - beta[t])
    sigma = np.sqrt(beta[t] * (1 - share[t - 1]) / (1 - share[t]))
    np.testing.assert_allclose(walk[t - 1], mean + sigma * widget.fresh(t), atol=1e-5)


def test_fresh_noise_is_gaussian_and_new_in_every_step():
    widget = Cloud(points=2000)
    noise = np.concatenate([widget.fresh(t) for t in range(1, 51)])  # 200,000 numbers
    n = noise.size
    assert abs(noise.mean()) < 4 / n**0.5
    assert abs(noise.var() - 1) < 4 * (2 / n) ** 0.5
    assert abs((noise**4).mean() - 3) < 4 * (96 / n) ** 0.5
    assert abs((noise[:, 0] * noise[:, 1]).mean()) < 4 / (n / 2) ** 0.5
    for lag in (1, 2000):  # the next point, and the same point one step on
        assert abs((noise[lag:] * noise[:-lag]).mean()) < 4 / n**0.5
    assert len(np.unique(noise)) > 0.999 * n
    assert not np.array_equal(widget.fresh(3), Cloud(points=2000, seed=2).fresh(3))


def test_the_way_back_ends_in_the_blobs():
    widget, mixture = Cloud(direction="back", points=2000), three_blobs()
    x, means = widget.at(0), mixture.means.numpy()
    blob = ((x[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    share = np.bincount(blob, minlength=3) / len(x)
    assert abs(share - 1 / 3).max() < 4 * (2 / 9 / len(x)) ** 0.5
    for k, std in enumerate(mixture.stds.tolist()):
        assert x[blob == k].std(axis=0) == pytest.approx(std, rel=0.15)


def test_both_ways_meet_at_the_end():
    widget = Cloud()
    np.testing.assert_array_equal(widget.at(1000, 0), widget.at(1000, 1))


def test_still_and_sentence():
    assert Cloud().still().count("<path") == 3
    assert "end as one round cloud" in Cloud().sentence()
    back = Cloud(direction="back")
    assert back.still().index("t = 1000") < back.still().index("t = 0")
    assert "go back with the exact z" in back.sentence()
    assert back.twin() == Cloud(direction="back").twin()
    assert len(back.twin()) < 40_000


def test_any_mixture_of_the_plane():
    mixture = GaussianMixture(
        linear_schedule(10, 0.04, 0.5),
        torch.tensor([[1.0, 0.0], [-1.0, 0.0]]),
        torch.tensor([0.1, 0.3]),
        torch.tensor([0.9, 0.1]),
    )
    widget = Cloud(mixture, points=1000)
    assert (widget.T, widget.K) == (10, 2)
    assert abs((widget.at(0)[:, 0] > 0).mean() - 0.9) < 4 * (0.09 / 1000) ** 0.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"t": -1}, "t: expected a whole number in 0..1000"),
        ({"points": 5000}, "points: expected a whole number in 10..2000"),
        ({"direction": "up"}, 'direction: expected "forward" or "back"'),
        ({"arrows": 1}, "arrows: expected True or False"),
        ({"simple": None}, "simple: expected True or False"),
        ({"seed": 0.5}, "seed: expected a whole number"),
        ({"mixture": linear_schedule()}, "mixture: expected a GaussianMixture, got Schedule"),
        (
            {"mixture": GaussianMixture(linear_schedule(10), torch.zeros(2, 3), torch.ones(2))},
            "mixture: expected a mixture in the plane",
        ),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises((ValueError, TypeError), match=words.replace("..", r"\.\.")) as caught:
        Cloud(**options)
    assert "\n" not in str(caught.value)


def spots(page, selector, index=0):
    """The points that a path in the page goes through, in the units of the plane."""
    text = page.page.evaluate(
        "([i, s]) => document.querySelectorAll('[data-widget]')[i].querySelector(s).getAttribute('d')",
        [index, f"{LIVE} {selector}"],
    )
    pixels = np.array([[float(v) for v in pair] for pair in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", text)])
    return np.stack([(pixels[:, 0] - 48) / 300 * 7 - 3.5, 3.5 - (pixels[:, 1] - 10) / 300 * 7], axis=1)


def likeliest(x, t):
    """The number of the blob that each point most likely comes from, by the densities of q(x_t)."""
    mixture = three_blobs()
    share = mixture.schedule.alpha_bar[t].item()
    variance = share * mixture.stds.double().numpy() ** 2 + 1 - share
    far = ((x[:, None] - share**0.5 * mixture.means.double().numpy()) ** 2).sum(axis=2)
    return (mixture.weights.double().numpy() / variance * np.exp(-far / (2 * variance))).argmax(axis=1)


def score_of(x, t):
    """The gradient of the log of q(x_t)'s density, by hand and also for the data themselves, at t = 0."""
    mixture = three_blobs()
    share = mixture.schedule.alpha_bar[t].item()
    variance = share * mixture.stds.double().numpy() ** 2 + 1 - share
    pull = (x[:, None] - share**0.5 * mixture.means.double().numpy()) / variance[:, None]
    log = np.log(mixture.weights.double().numpy() / variance) - (pull**2).sum(axis=2) * variance / 2
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    return -(weight[..., None] * pull).sum(axis=1) / weight.sum(axis=1, keepdims=True)


@pytest.mark.html
def test_points_of_the_page_are_numpys(stand):
    widget = Cloud()
    page = stand(widget)
    walk = widget.walk()
    for direction in (0, 1):
        for t in TIMES:
            page.set(direction=direction, t=t)
            right = walk[t] if direction else widget.at(t, 0)
            np.testing.assert_allclose(spots(page, "path.dw-dot"), right, atol=1e-3)
            words = page.facts()
            deviation = right.var(axis=0).mean() ** 0.5
            assert_shown(float(words["standard deviation:"]), deviation, 3)
            counts = [int(count) for count in words["points by component:"].split(", ")]
            assert counts == np.bincount(likeliest(right, t), minlength=3).tolist()
            share = three_blobs().schedule.alpha_bar[t].item()
            for name, expected, digits in (
                ("weights of x₀ and noise:", (share**0.5, (1 - share) ** 0.5), 4),
                ("mean of the points:", right.mean(axis=0), 3),
            ):
                shown = [float(part.replace("\u2212", "-")) for part in words[name].split(", ")]
                assert_shown(shown, expected, digits)


@pytest.mark.html
def test_needles_of_the_page_are_numpys_scores(stand):
    page = stand(Cloud(arrows=True))
    line = np.linspace(-3, 3, 11)
    grid = np.stack([np.tile(line, 11), np.repeat(line, 11)], axis=1)
    for t in TIMES:
        page.set(t=t)
        score = score_of(grid, t)
        longest = np.hypot(*score.T).max()
        tip, left, right = spots(page, "path.dw-marker").reshape(121, 3, 2).swapaxes(0, 1)
        np.testing.assert_allclose((left + right) / 2, grid, atol=1e-3)
        np.testing.assert_allclose(tip - grid, 0.58 * score / longest, atol=1e-3)
        assert_shown(float(page.facts()["longest arrow, a score of"]), longest, 3)


def marks(page):
    """The mark of each point, as its path draws it: a dot, a dash or a bar."""
    text = page.page.evaluate(f"() => document.querySelector('{LIVE} path.dw-dot').getAttribute('d')")
    return np.array(re.findall(r"M[\d.-]+ [\d.-]+([hm].*?)(?=M|$)", text))


@pytest.mark.html
def test_groups_are_told_apart_at_every_time(stand):
    """By where a point starts, or, going back, by where it ends; t changes no mark."""
    widget = Cloud(simple=True)
    page = stand(widget)
    for direction, origin in ((0, widget.at(0, 0)), (1, widget.walk()[0])):
        groups = likeliest(origin, 0)
        for t in (0, 300, 1000):
            page.set(direction=direction, t=t)
            found = marks(page)
            assert [len(set(found[groups == k])) for k in range(3)] == [1, 1, 1]
            assert len(set(found)) == 3
    # Neither the direction nor the score is known where the simple cloud is shown.
    seen = [one.is_visible() for one in page.page.locator(f"{LIVE} :is(input, select)").all()]
    assert seen == [True, False, False]


@pytest.mark.html
def test_scrubbing_comes_back_to_the_same_points(stand):
    page = stand(Cloud(direction="back", t=500))
    first = spots(page, "path.dw-dot")
    for t in (20, 900, 500):
        page.set(t=t)
    np.testing.assert_array_equal(spots(page, "path.dw-dot"), first)


@pytest.mark.html
def test_keyboard_moves_every_control(stand):
    page = stand(Cloud(t=500))
    keyboard, button = page.page.keyboard, lambda name: page.page.get_by_role("button", name=name)
    page.page.locator("input[id^=dw-t]").focus()
    keyboard.press("ArrowRight")
    assert page.get("t") == 501
    button("Step forward").focus()
    keyboard.press("Enter")
    assert page.get("t") == 506
    page.page.locator("select").focus()
    keyboard.press("ArrowDown")
    assert page.get("direction") == 1
    button("Step forward").focus()
    keyboard.press("Enter")
    assert page.get("t") == 501
    button("Step back").focus()
    keyboard.press("Space")
    assert page.get("t") == 506
    page.page.locator("input[type=checkbox]").focus()
    keyboard.press("Space")
    assert page.get("arrows") is True


@pytest.mark.html
def test_play_runs_down_and_pauses(stand):
    page = stand(Cloud(direction="back", t=1000))
    button = page.page.get_by_role("button", name="Play")
    button.focus()
    page.page.keyboard.press("Enter")
    page.press_when("document.querySelector('[data-widget]').model.get('t') < 980", "Pause")
    t = page.get("t")
    assert t > 0
    page.let_timers_run()
    assert page.get("t") == t


@pytest.mark.html
def test_reduced_motion_leaves_the_steps(stand):
    page = stand(Cloud(t=0), reduced_motion="reduce")
    assert page.page.get_by_role("button", name="Play").count() == 0
    page.page.get_by_role("button", name="Step forward").click()
    assert page.get("t") == 5


@pytest.mark.html
def test_touch_on_a_narrow_screen(stand):
    page = stand(Cloud(t=0), viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.page.locator("input[id^=dw-t]").bounding_box()
    page.page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert 400 < page.get("t") < 600
    page.page.get_by_label("arrows: the score").tap()
    assert page.get("arrows") is True


@pytest.mark.html
def test_damaged_state_is_one_line_in_the_page(stand):
    page = stand(
        Cloud(), Cloud(), damage=lambda text: text.replace("&quot;points&quot;:300", "&quot;points&quot;:3", 1)
    )
    assert page.page.get_by_role("alert").inner_text().endswith("x_0: expected 24 bytes, got 2400")
    assert page.facts(1)["standard deviation:"]
