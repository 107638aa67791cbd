"""The learner: its network under node against autograd, its data against the oracle, and the widget on a page."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from javascript import run_module
from plane_network import PlaneNetwork, draw_step, train_plane

from ddpm_lite import linear_schedule
from ddpm_lite.process import ddpm_loss
from ddpm_lite.viz.widgets import Learner
from ddpm_lite.viz.widgets.learner import STEPS

DISTANCE = "distance of the samples from the data:"
RECORD = Path(__file__).resolve().parents[2] / "book" / "results" / "widgets" / "learner.safetensors"

# What the page makes of a widget's data, and helpers.
SETUP = """
const { apart, blobs, energy, gaussians, keyed, learner, respace, samplers, schedule, walk } = modules;
const { beta, centres, deviation, seed, steps } = GIVEN;
const full = schedule(Float64Array.from(beta)), bar = full.alphaBar, data = blobs(centres, deviation, bar);
const student = learner({ bar, data, seed, steps });
// n points from the stream of a seed, in some steps of a sampler
const drawn = (ask, sampler, steps, n, seed) => {
  const uniform = keyed(seed, 2), noise = (i, t) => gaussians(uniform, 2 * n * t + i - (i % 2))[i % 2];
  const start = Float64Array.from({ length: 2 * n }, (_, i) => noise(i, 0));
  const way = steps < full.T ? respace(full, steps) : full;
  return [...walk(ask, way, start, noise, samplers[sampler], { clip: false })].at(-1).x;
};
"""


def node(widget, code):
    """What a function body in JavaScript returns, after SETUP."""
    mixture = widget.mixture()
    given = {
        "beta": mixture.schedule.beta.tolist(),
        "centres": mixture.means.flatten().tolist(),
        "deviation": float(mixture.stds[0]),
        "seed": widget.seed,
        "steps": widget.steps,
    }
    return run_module(["science.js", "mlp.js"], SETUP.replace("GIVEN", json.dumps(given)), code)


def torch_weights(network):
    """The network's weights in the page's order: each layer's matrix (inputs, outputs), then its biases."""
    return torch.cat([part for layer in network.layers for part in (layer.weight.T.flatten(), layer.bias)])


def test_first_weights_and_draws_are_the_pages():
    widget = Learner("mixture", seed=3)
    weights, x, times, z = node(
        widget,
        "const first = student.weights.slice(); student.learn(); return [first, student.x, student.times, student.z];",
    )
    np.testing.assert_allclose(torch_weights(PlaneNetwork(3)).detach(), weights, atol=1e-12)
    x_0, t, noise = draw_step(widget, 0)
    np.testing.assert_array_equal(t, times)
    np.testing.assert_allclose(noise.flatten(), z, atol=1e-12)
    share = widget.mixture().schedule.alpha_bar[t][:, None]
    np.testing.assert_allclose((share.sqrt() * x_0 + (1 - share).sqrt() * noise).flatten(), x, atol=1e-12)


def test_backpropagation_is_autograds():
    """Random weights, the last layer's too, so that every weight has a gradient."""
    widget, network = Learner("spiral", seed=5), PlaneNetwork(5)
    generator = torch.Generator().manual_seed(0)
    for p in network.parameters():
        p.data += 0.3 * torch.randn(p.shape, generator=generator, dtype=torch.float64)
    loss = ddpm_loss(network, linear_schedule(), *draw_step(widget, 0))
    loss.backward()
    layers = [part for layer in network.layers for part in (layer.weight.grad.T.flatten(), layer.bias.grad)]
    code = f"""student.learn();
    student.weights.set({torch_weights(network).tolist()});
    const loss = student.grade();
    return [loss, student.gradient];"""
    found, gradient = node(widget, code)
    assert found == pytest.approx(float(loss.detach()), rel=1e-9)
    right = torch.cat(layers).numpy()
    assert np.abs(right).min() > 0
    error = np.abs(np.array(gradient) - right).max() / np.abs(right).max()
    assert error < 1e-9  # 1e-4 was asked for


def test_backpropagation_is_the_slope_of_the_loss():
    """Central differences in the page's own loss, along a random direction and at single weights."""
    code = """for (let i = 0; i < 20; i++) student.learn();
    const { weights } = student, uniform = keyed(0, 6), h = 1e-5;
    student.grade();
    const gradient = student.gradient.slice(), found = [];
    const slope = (way) => {
      const [up, down] = [1, -1].map((sign) => {
        way.forEach((value, i) => (weights[i] += sign * h * value));
        const loss = student.grade();
        way.forEach((value, i) => (weights[i] -= sign * h * value));
        return loss;
      });
      return (up - down) / (2 * h);
    };
    for (let i = 0; i < 12; i++) {
      const way = new Float64Array(weights.length);
      if (i < 4) for (let j = 0; j < way.length; j++) way[j] = uniform(i * way.length + j) - 0.5;
      else way[Math.floor(way.length * uniform(i))] = 1;
      found.push([slope(way), way.reduce((sum, value, j) => sum + value * gradient[j], 0)]);
    }
    return found;"""
    for slope, product in node(Learner("ring"), code):
        assert product == pytest.approx(slope, rel=1e-4, abs=1e-8)


def test_the_page_trains_as_torch_does():
    """Twelve steps of Adam with its warm-up, and the running average."""
    widget = Learner("spiral", seed=1)
    steps = list(itertools.islice(train_plane(widget), 12))
    code = """const losses = [];
    for (let i = 0; i < 12; i++) losses.push(student.learn());
    return [losses, student.average];"""
    losses, average = node(widget, code)
    np.testing.assert_allclose(losses, [loss for _, loss, _ in steps], rtol=1e-6)
    np.testing.assert_allclose(average, torch_weights(steps[-1][2]).detach(), atol=1e-6)


@pytest.mark.parametrize("data", ["ring", "spiral", "mixture", [[0.5, -1.2], [2.0, 0.1]]])
def test_exact_arrows_are_the_oracles(data):
    widget = Learner(data)
    x = np.random.default_rng(0).uniform(-3, 3, (200, 2))
    for t in (1, 20, 200, 700, 1000):
        found = node(widget, f"return {x.tolist()}.map(([x, y]) => data.exact(x, y, {t}));")
        np.testing.assert_allclose(found, widget.mixture()(torch.from_numpy(x), t), rtol=1e-9, atol=1e-9)


def test_data_are_drawn_from_the_blobs():
    widget = Learner("mixture")
    x = np.array(
        node(widget, "const u = keyed(2, 3); return Array.from({ length: 20000 }, (_, i) => data.draw(u, 3 * i));")
    )
    means = widget.mixture().means.numpy()
    blob = ((x[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert abs(np.bincount(blob) / len(x) - 0.2).max() < 4 * (0.16 / len(x)) ** 0.5
    for k in range(5):
        assert x[blob == k].std(axis=0) == pytest.approx(0.2, rel=0.05)
        assert abs(x[blob == k].mean(axis=0) - means[k]).max() < 4 * 0.2 / 4000**0.5


def test_energy_distance_is_its_definition():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((40, 2)), rng.standard_normal((30, 2)) + 0.5
    found = node(Learner(), f"return energy({a.flatten().tolist()}, {b.flatten().tolist()});")
    assert found == pytest.approx(energy(a, b), rel=1e-12)


def energy(a, b):
    return 2 * apart(a, b) - apart(a, a) - apart(b, b)


def apart(a, b):
    a, b = (torch.as_tensor(x) for x in (a, b))
    return float(torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").mean())


def fresh_sets(mixture, n, count):
    return [mixture.sample(n, torch.Generator().manual_seed(i), torch.float64) for i in range(count)]


def floor_of(mixture, n):
    """The mean energy distance of two fresh sets of n points: 2 / n times the mean distance of two points."""
    return 2 * apart(*fresh_sets(mixture, 2000, 2)) / n


def test_floor_is_what_two_fresh_sets_are_apart():
    mixture = Learner("spiral").mixture()
    found = [energy(a, b) for a, b in itertools.pairwise(fresh_sets(mixture, 100, 400))]
    assert np.mean(found) == pytest.approx(floor_of(mixture, 100), abs=4 * np.std(found) / 200**0.5)


def exact_samples(data, way, n):
    """Samples under the exact z, by the page's own sampler."""
    code = f"""const ask = (x, t) => {{
      const answer = new Float64Array(x.length);
      for (let i = 0; i < x.length; i += 2) answer.set(data.exact(x[i], x[i + 1], t), i);
      return answer;
    }};
    return drawn(ask, "{way[0].lower()}", {way[1]}, {n}, 9);"""
    return np.array(node(Learner(data), code)).reshape(-1, 2)


@pytest.mark.parametrize("way", [("DDIM", 50), ("DDPM", 1000)], ids=lambda way: way[0])
def test_samples_under_the_exact_z_are_data(way):
    x, mixture = exact_samples("mixture", way, 1000), Learner("mixture").mixture()
    assert np.mean([energy(x, one) for one in fresh_sets(mixture, 1000, 6)]) < 2 * floor_of(mixture, 1000)
    blob = ((x[:, None] - mixture.means.numpy()) ** 2).sum(axis=2).argmin(axis=1)
    assert abs(np.bincount(blob) / len(x) - 0.2).max() < 4 * (0.16 / len(x)) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("data", ["ring", "spiral", "mixture"])
def test_three_thousand_steps_come_near_the_floor(data):
    """Energy distance of 1,000 samples from fresh data, within twice that of two fresh sets; mean of two trainings."""
    ratios, mixture, n = [], Learner(data).mixture(), 1000
    fresh, floor = fresh_sets(mixture, n, 6), floor_of(mixture, n)
    for seed in (0, 1):
        code = f"""for (let i = 0; i < steps; i++) student.learn();
        return [7, 8].map((other) => drawn(student.ask, "ddim", 50, {n}, other));"""
        for samples in node(Learner(data, seed=seed), code):
            x = np.array(samples).reshape(-1, 2)
            ratios.append(np.mean([energy(x, one) for one in fresh]) / floor)
    assert np.mean(ratios) < 2, ratios


def test_state_still_and_sentence():
    widget = Learner(stages={100: np.zeros((5, 2)), 3000: np.full((5, 2), 9.0)})
    assert widget.still().count("<figure") == 3
    assert "after 100 steps" in widget.still()
    assert 'd=""' in widget.still()  # points far away are left out
    assert "100 and 3000 steps" in widget.sentence()
    assert widget.twin() == Learner(stages=widget.stages).twin()
    own = Learner([[1, 2], [0.123, -1]])
    assert own.points == [[1, 2], [0.12, -1]]
    assert own.mixture().means.tolist() == [[1, 2], [0.12, -1]]
    assert "which can be trained" in own.sentence()


def test_recorded_figure_is_light_and_told_by_its_header():
    widget = Learner.from_record(RECORD, data="spiral")
    assert len(widget.twin()) < 5_000
    assert list(widget.stages) == [50, 300, STEPS]
    centres = widget.mixture().means.numpy()
    off_the_line = [np.hypot(*(x[:, None] - centres).T).min(axis=0).mean() for x in widget.stages.values()]
    assert off_the_line[0] > 2 * off_the_line[1] > 2 * off_the_line[2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"data": "star"}, "data: expected one of ring, spiral, mixture, or points"),
        ({"data": [[0, 0, 0]]}, "data: expected 1 to 60 points, shape"),
        ({"data": []}, "data: expected 1 to 60 points, shape"),
        ({"data": [[0, 3.0]]}, "data: expected points in"),
        ({"data": [[0, float("nan")]]}, "data: expected points in"),
        ({"data": object()}, "data: expected one of ring"),
        ({"seed": 100}, "seed: expected a whole number in 0..99"),
        ({"t": 0}, "t: expected a whole number in 1..1000"),
        ({"steps": 0}, "steps: expected a whole number in 1..20000"),
        ({"way": "Euler"}, 'way: expected "DDIM" or "DDPM"'),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises((ValueError, TypeError), match=re.escape(words)) as caught:
        Learner(**options)
    assert "\n" not in str(caught.value)


class Desk:
    """The widget on a page, after the press that loads it."""

    def __init__(self, stand, widget, **options):
        self.stand = stand(widget, **options)
        self.page = self.stand.page
        self.page.get_by_role("button", name="Load the small network").click()
        self.button("Start").wait_for()

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def said(self):
        return self.page.locator("p[role=status]").inner_text()

    def step(self):
        return int(self.stand.facts()["step:"])

    def until(self, step):
        self.page.wait_for_function(
            "(step) => Number(document.querySelector('.dw-facts dd').textContent) >= step", arg=step
        )

    def drawing(self, number):
        """The path data or points of the plot with this number: data and samples, arrows, loss."""
        code = """(i) => Array.from(document.querySelectorAll('.dw-plot')[i].querySelectorAll('path, polyline'),
          (one) => one.getAttribute(one.tagName === 'path' ? 'd' : 'points'))"""
        return self.page.evaluate(code, number)

    def losses(self):
        """The loss curve, a point for every 25 steps, without the last, which may be of fewer."""
        values = self.drawing(2)[0].split()
        return [f"{x} {y}" for x, y in zip(values[::2], values[1::2], strict=True)][:-1]


@pytest.mark.html
def test_nothing_starts_by_itself(stand):
    desk = Desk(stand, Learner())
    assert desk.page.evaluate("document.activeElement.textContent") == "Start"
    desk.stand.let_timers_run()
    assert (desk.step(), desk.said(), desk.drawing(0)[1]) == (0, "Ready.", "")


@pytest.mark.html
def test_start_pause_reset_and_seed_by_keyboard(stand):
    desk = Desk(stand, Learner("ring"))
    keyboard = desk.page.keyboard
    keyboard.press("Enter")
    desk.button("Pause").wait_for()
    assert desk.said() == "Training."
    desk.until(60)
    keyboard.press("Enter")
    desk.button("Start").wait_for()
    step = desk.step()
    assert desk.said() == f"Paused after step {step}."
    desk.stand.let_timers_run()
    assert desk.step() == step
    keyboard.press("Space")
    desk.until(step + 60)
    keyboard.press("Space")
    first = desk.losses()
    assert len(first) >= 4
    desk.button("Reset").focus()
    keyboard.press("Enter")
    assert (desk.step(), desk.said(), desk.drawing(2)[0]) == (0, "Ready.", "")
    # the same seed learns the same, paused or not
    desk.button("Start").press("Enter")
    desk.until(120)
    desk.button("Pause").press("Enter")
    assert desk.losses()[:4] == first[:4]
    desk.page.get_by_label("seed").press("ArrowRight")
    assert (desk.stand.get("seed"), desk.step(), desk.said()) == (1, 0, "Ready.")
    desk.button("Start").press("Enter")
    desk.until(120)
    desk.button("Pause").press("Enter")
    assert desk.losses()[:4] != first[:4]


@pytest.mark.html
@pytest.mark.transports
def test_the_page_learns_what_node_learns(stand):
    desk = Desk(stand, Learner("mixture", seed=4))
    desk.button("Start").click()
    desk.until(110)
    desk.button("Pause").click()
    losses = node(
        Learner("mixture", seed=4), "const l = []; for (let i = 0; i < 100; i++) l.push(student.learn()); return l;"
    )
    heights = 150 - np.array(losses).reshape(4, 25).mean(axis=1) * 140  # the plot's own pixels
    found = [float(point.split()[1]) for point in desk.losses()[:4]]
    np.testing.assert_allclose(found, heights, atol=0.06)
    last = (desk.step() - 1) // 100 * 100  # samples are drawn every 100 steps, and a busy page is paused late
    code = f"for (let i = 0; i < {last}; i++) student.learn(); return drawn(student.ask, 'ddim', 50, 256, 4);"
    samples = np.array(node(Learner("mixture", seed=4), code)).reshape(-1, 2)
    samples = samples[(np.abs(samples) < 3).all(axis=1)]
    marks = re.findall(r"M([\d.-]+) ([\d.-]+)m-2.5", desk.drawing(0)[1])
    seen = np.array([[(float(a) - 48) / 50 - 3, 3 - (float(b) - 10) / 50] for a, b in marks])
    np.testing.assert_allclose(seen, samples, atol=2e-3)


@pytest.mark.html
def test_exact_arrows_of_the_page_are_the_oracles(stand):
    desk = Desk(stand, Learner("spiral", t=300))
    line = 0.54 * (np.arange(11) - 5)
    grid = np.stack([np.tile(line, 11), np.repeat(line, 11)], axis=1)
    # Back at the spiral the time is another than when it was left.
    for data, t in (("spiral", 300), ("spiral", 20), ("ring", 20), ("ring", 900), ("spiral", 900)):
        desk.stand.set(data=["ring", "spiral"].index(data), t=t)
        z = Learner(data).mixture()(torch.from_numpy(grid), t).numpy()
        right = grid - 0.25 * z * np.minimum(1, 2 / np.hypot(*z.T))[:, None]
        tips = re.findall(r"M([\d.-]+) ([\d.-]+)L", desk.drawing(1)[0])
        seen = np.array([[(float(a) - 48) / 50 - 3, 3 - (float(b) - 10) / 50] for a, b in tips])
        np.testing.assert_allclose(seen, right, atol=1.5e-3)


@pytest.mark.html
def test_points_by_click_and_by_keyboard(stand):
    desk = Desk(stand, Learner())
    page, keyboard = desk.page, desk.page.keyboard
    page.get_by_label("data", exact=True).select_option("your own points")
    assert desk.said().startswith("Place points first")
    desk.button("Start").click()
    assert desk.said().startswith("Place points first")
    pad = page.get_by_role("application")
    box = pad.locator("svg").bounding_box()
    scale = box["width"] / 360
    page.mouse.click(box["x"] + (48 + 50 * 4) * scale, box["y"] + (10 + 50 * 1) * scale)
    assert desk.stand.get("points") == [[1, 2]]
    assert desk.said() == "Point 1 at 1, 2."
    pad.focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowDown"):
        keyboard.press(key)
    assert desk.said() == "Cross at 0.8, 1.9."
    keyboard.press("Enter")
    keyboard.press("ArrowRight")
    keyboard.press("Space")
    assert desk.stand.get("points") == [[1, 2], [0.8, 1.9], [0.9, 1.9]]
    keyboard.press("Backspace")
    assert desk.stand.get("points") == [[1, 2], [0.8, 1.9]]
    for _ in range(70):
        keyboard.press("ArrowUp")
    assert desk.said() == "Cross at 0.9, 2.5."
    for _ in range(3):
        keyboard.press("Tab")
    desk.button("Start").press("Enter")
    desk.until(30)
    desk.button("Pause").press("Enter")
    assert desk.drawing(0)[0].count("M") == 256


@pytest.mark.html
def test_touch_on_a_narrow_dark_screen(stand):
    desk = Desk(
        stand, Learner([[0, 0]]), theme="dark", viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True
    )
    assert desk.page.evaluate("document.documentElement.scrollWidth") <= 390
    pad = desk.page.get_by_role("application")
    pad.scroll_into_view_if_needed()
    box = pad.locator("svg").bounding_box()
    desk.page.touchscreen.tap(
        box["x"] + (48 + 50 * 5) / 360 * box["width"], box["y"] + (10 + 50 * 5) / 360 * box["width"]
    )
    (_, (x, y)) = desk.stand.get("points")
    assert (x, y) == (pytest.approx(2, abs=0.06), pytest.approx(-2, abs=0.06))
    desk.button("Start").tap()
    desk.until(20)
    desk.button("Pause").tap()
    assert desk.said().startswith("Paused")


@pytest.mark.html
def test_reduced_motion_paints_at_the_end_only(stand):
    desk = Desk(stand, Learner("mixture"), reduced_motion="reduce")
    before = desk.drawing(1)
    desk.button("Start").click()
    desk.until(60)  # the numbers run
    assert desk.drawing(1) == before
    desk.button("Pause").click()
    assert desk.step() > 0
    assert desk.drawing(1) != before


@pytest.mark.html
def test_the_page_is_never_blocked(stand, browser, tmp_path):
    """No task of the page takes 100 ms of processor time; a clock on the wall would count other programs too."""
    desk = Desk(stand, Learner("spiral"))
    browser.start_tracing(
        page=desk.page, path=tmp_path / "trace.json", categories=["disabled-by-default-devtools.timeline"]
    )
    desk.button("Start").click()
    desk.until(210)
    desk.button("Pause").click()
    browser.stop_tracing()
    events = json.loads((tmp_path / "trace.json").read_text(encoding="utf8"))["traceEvents"]
    times = [event["tdur"] / 1000 for event in events if event["name"] == "RunTask" and "tdur" in event]
    assert len(times) > 100
    assert max(times) < 100


@pytest.mark.html
def test_a_whole_training_ends_near_its_data(stand):
    """A short one, drawn by Algorithm 2 at the end; the next press on Start begins anew."""
    desk = Desk(stand, Learner("mixture", way="DDPM", steps=300))
    desk.button("Start").click()
    desk.page.wait_for_function("document.querySelector('p[role=status]').textContent.startsWith('Done')")
    facts = desk.stand.facts()
    assert desk.said() == (
        f"Done after 300 steps. Loss {facts['loss, last 250 steps:']}, exact z {facts['loss of the exact z:']}; "
        f"distance of the samples {facts[DISTANCE]}, of new data {facts['distance of new data from the data:']}."
    )
    far, fresh = float(facts[DISTANCE]), float(facts["distance of new data from the data:"])
    assert 0 < fresh < 0.05
    assert far < 8 * fresh
    mixture = Learner("mixture").mixture()
    assert fresh == pytest.approx(floor_of(mixture, 256), rel=0.1)
    desk.page.get_by_label("sampler").select_option("DDIM, 50 steps")
    desk.page.wait_for_function("document.querySelector('p[role=status]').textContent === 'Samples drawn.'")
    assert desk.stand.facts()[DISTANCE] != facts[DISTANCE]
    desk.button("Start").evaluate("(one) => { one.click(); one.click(); }")  # starts and pauses, before it ends again
    assert desk.step() < 300
