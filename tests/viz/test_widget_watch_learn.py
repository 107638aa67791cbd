"""The U-Net that learns in the page: its first weights and its steps beside PyTorch's, and the widget on a page."""

import json
from pathlib import Path

import numpy as np
import page_lesson
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from javascript import run_module
from stands import CORES, HIDE, LISTEN
from time_lesson import add_parts, legible

from ddpm_lite import load_digits
from ddpm_lite.condition import ConditionalUNet, LabelEncoder
from ddpm_lite.unet import UNet
from ddpm_lite.viz.export_page import split_script
from ddpm_lite.viz.untrained import CONFIG, LABELS, make_untrained, write_untrained
from ddpm_lite.viz.widgets import WatchLearn
from ddpm_lite.viz.widgets.recorded import read_widget_record

RESULTS = Path(__file__).resolve().parents[2] / "book" / "results"
RECORD = RESULTS / "widgets" / "watch-it-learn.safetensors"
MODULES = ["science.js", "engine.js", "turns.js", "unet.js", "grad.js", "train.js", "team.js", "school.js", "lesson.js"]
REFUSE = "window.Worker = class { constructor() { throw new Error('refused'); } };"


def whole():
    written, text = split_script(write_untrained())
    return {"sum": written, "text": text}


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def close(found, expected, *, within):
    """The largest difference, over the largest entry that is expected."""
    expected = np.asarray(expected)
    assert np.abs(np.asarray(found).reshape(expected.shape) - expected).max() < within * np.abs(expected).max()


def test_first_weights_and_draws_are_those_of_pytorch():
    code = """const file = JSON.parse(given.text);
    const images = Float32Array.from(file.images, (letter) => (letter.charCodeAt(0) - 65) / 8 - 1);
    const data = { images, labels: Array.from(file.answers, Number), none: 10 };
    const batch = modules.drawBatch(data, 1000, { seed: 7, batch: 32, dropout: 0.1 }, 41);
    return { weights: modules.firstWeights(file, 7), batch };"""
    found = run_module(MODULES, f"const given = {json.dumps(whole())};", code)
    np.testing.assert_allclose(found["weights"], flat(make_untrained(7)), rtol=1e-6, atol=1e-7)
    drawn = page_lesson.draw_step(*load_digits("train"), 7, 41)  # step 41 has images of two epochs
    for name, values in zip(("x_0", "t", "z", "labels"), drawn, strict=True):
        np.testing.assert_allclose(found["batch"][name], values.flatten(), atol=1e-6)


# Training with so many members of a team, which are in one thread here: what the lead yields, and its last weights.
TEAM = """const run = async (of, file, settings) => {
  const channels = Array.from({ length: of - 1 }, () => new MessageChannel());
  for (const { port2 } of channels) {
    const { net, tasks } = modules.finish(modules.lesson(file, { of }));
    modules.help(port2, net, tasks);
  }
  const lead = modules.finish(modules.lesson(file, { ports: channels.map(({ port1 }) => port1), of })), news = [];
  for (const value of lead.learn(settings)) {
    if (value instanceof Promise) await value;
    else if (value) news.push(value);
  }
  channels.forEach(({ port1 }) => port1.close());
  return { news, weights: lead.net.weights };
};"""


@pytest.fixture(scope="module")
def ten_steps():
    """Ten steps in PyTorch: the losses, the weights before and after, the average, and what is seen with that."""
    run = [(loss, flat(model), average) for _, loss, model, average in page_lesson.learn(3, steps=10)]
    average = run[-1][2]
    losses, weights = [loss for loss, *_ in run[1:]], (run[0][1], run[-1][1])
    return losses, weights, page_lesson.draw_digits(average)[0], page_lesson.estimate(average)


@pytest.mark.parametrize("members", [1, 2, 3, 8])
def test_ten_steps_of_a_team_are_ten_in_pytorch(ten_steps, members):
    settings = {"seed": 3, "told": True, "average": True, "steps": 10, "every": 10, "rate": page_lesson.RATE}
    code = f"return run({members}, given, {json.dumps(settings)});"
    found = run_module(MODULES, f"const given = {json.dumps(whole())}; {TEAM}", code)
    losses, (first, weights), samples, guesses = ten_steps
    *steps, look = found["news"][1:]
    assert [one["loss"] for one in steps] == pytest.approx(losses, rel=1e-4)
    off, moved = (torch.tensor(found["weights"]) - weights).abs(), (weights - first).abs()
    assert float(moved.median()) > 1e-3, "the ten steps are to change the weights"
    assert float(off.max()) < 1e-4 * float(moved.max())
    close(look["samples"], samples, within=1e-3)
    close(look["guesses"], guesses, within=1e-3)


def test_a_team_repeats_its_run_exactly_and_shares_fairly():
    settings = {"seed": 5, "told": False, "average": False, "steps": 3, "every": 3, "rate": 4e-3}
    code = f"""const settings = {json.dumps(settings)}, again = () => run(3, given, settings), one = await again();
    return [one, await again(), [32, 10, 5].map((count) => [1, 3, 8].map((among) => modules.cut(count, among)))];"""
    one, other, shares = run_module(MODULES, f"const given = {json.dumps(whole())}; {TEAM}", code)
    assert one == other
    for count, cuts in zip((32, 10, 5), shares, strict=True):
        for cut in cuts:
            sizes = [end - start for start, end in cut]
            assert [i for start, end in cut for i in range(start, end)] == list(range(count))
            assert max(sizes) - min(sizes) <= 1
            assert sizes[0] == max(sizes), "the lead has no fewer than any other"


def test_the_time_on_more_cores_is_computed_from_its_parts():
    parts = {"share": 100, "samples": 1000, "journey": 2, "copy": 1, "draws": 3, "sum": 4, "adam": 5, "renew": 6}
    # 10 steps and 3 looks; with four workers there are three journeys, of which two only copy, and three sums
    one = {"shares": 1.0, "samples": 3.0, "messages": 0.0, "the lead alone": 0.14}
    four = {"shares": 1.0, "samples": 3.0, "messages": 0.052, "the lead alone": 0.26}
    assert add_parts(parts, 1, steps=10, looks=3) == pytest.approx(one)
    assert add_parts(parts, 4, steps=10, looks=3) == pytest.approx(four)
    record = json.loads((RESULTS / "page-lesson.json").read_text())
    images, enough = legible(record), 0.8 * record["count"]
    for run in record["runs"]:
        after = [row["average"] for row in run["rows"] if row["images"] >= images]
        assert (min(after) >= enough) == run["told"], "those without time never come so far"
    just_before = [
        max((row["images"], row["average"]) for row in run["rows"] if row["images"] < images)[1]
        for run in record["runs"]
        if run["told"]
    ]
    assert min(just_before) < enough


def test_first_weights_have_pytorchs_distribution():
    """For every weight the deviation that PyTorch's own have, within what chance allows."""
    assert sum(weight.numel() for weight in make_untrained().parameters()) == 190_609, "the chapter's number"
    torch.manual_seed(0)
    theirs = ConditionalUNet(UNet(CONFIG), LabelEncoder(LABELS, CONFIG.context_dim)).state_dict()
    for name, weight in make_untrained(3).state_dict().items():
        if weight.numel() > 200:  # the tails of normal numbers have no limit, those of uniform ones have
            assert float(weight.std()) == pytest.approx(float(theirs[name].std()), rel=0.15, abs=1e-9), name
            if "table" not in name:
                assert float(weight.abs().max()) == pytest.approx(float(theirs[name].abs().max()), rel=0.1, abs=1e-9), (
                    name
                )


def test_the_record_is_the_figure_and_says_how_it_was_made():
    record = json.loads((RESULTS / "page-lesson.json").read_text())
    arrays, header = read_widget_record(RECORD, "watch-it-learn")
    assert record["command"] == header["command"] == "python studies/page_lesson.py"
    widget = WatchLearn.from_record(RECORD)
    assert list(widget.stages) == list(page_lesson.STAGES)
    assert arrays["pictures"].shape == (len(page_lesson.STAGES), 10, 1, 8, 8)
    assert len(widget.twin()) < 12_000
    assert "25, 75, 150 and 300 steps" in widget.sentence()
    with_time = [run["rows"][-1]["average"] for run in record["runs"] if run["told"]]
    assert min(with_time) >= 0.8 * record["count"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rate": 0.1}, r"^rate: expected one of .*, got 0\.1"),
        ({"seed": 100}, r"^seed: "),
        ({"steps": 0}, r"^steps: "),
        ({"told": 1}, r"^told: "),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        WatchLearn(**options)
    assert "\n" not in str(caught.value)


def open_lesson(stand, widget, **options):
    one = stand(widget, **options)
    assert one.page.evaluate("window.told?.length ?? 0") == 0, "nothing is loaded or runs before the press"
    one.page.get_by_role("button", name="Train a network here").click()
    button(one, "Start").wait_for()
    return one


def button(one, name):
    return one.page.get_by_role("button", name=name, exact=True)


def said(one):
    return one.page.locator(".ddpm-widget p[role=status]").first.inner_text()


def looks(one):
    """What the page has heard: losses, and the samples and estimates of each look."""
    losses = one.page.evaluate("heard.filter((one) => one.loss !== undefined).map((one) => one.loss)")
    seen = one.page.evaluate(
        """heard.filter((one) => one.samples)
        .map(({ step, samples, guesses }) => [step, [...samples], guesses.map((one) => [...one])])"""
    )
    return losses, seen


@pytest.mark.html
@pytest.mark.parametrize("cores", [1, 2, 5])
def test_ten_steps_in_the_page_are_ten_in_pytorch(stand, ten_steps, cores):
    one = open_lesson(stand, WatchLearn(seed=3, steps=10, every=10), init=LISTEN + CORES.format(cores))
    assert one.page.evaluate("hired") == cores
    button(one, "Start").click()
    one.page.get_by_text("Done: 10 steps, 320 images").wait_for()
    found, seen = looks(one)
    losses, _, samples, guesses = ten_steps
    np.testing.assert_allclose(found, losses, rtol=1e-4)
    assert [step for step, *_ in seen] == [0, 10]
    close(seen[1][1], samples, within=1e-3)
    close(seen[1][2], guesses, within=1e-3)
    first = one.pixels(0)[:8, :8, 0].astype(int)
    assert np.abs(first - (np.array(seen[1][1][:64]).reshape(8, 8).clip(-1, 1) + 1) * 127.5).max() <= 1


@pytest.mark.html
def test_pause_reset_settings_and_a_tab_in_the_background(stand):
    one = open_lesson(stand, WatchLearn(steps=200, every=100), init=LISTEN)
    steps = "Number(document.querySelector('progress').value)"
    assert said(one) == "Ready: the weights are random."
    button(one, "Start").press("Enter")
    one.page.wait_for_function(f"{steps} >= 2")
    # in the background nothing runs, and it goes on afterwards
    one.page.evaluate(HIDE, True)
    assert one.page.evaluate("told.at(-1)") == {"go": False}
    one.page.evaluate(HIDE, False)
    assert one.page.evaluate("told.at(-1)") == {"go": True}
    one.page.get_by_label("learning rate").select_option("0.0005")
    assert one.page.evaluate("told.at(-1)") == {"change": {"rate": 0.0005, "average": True}}
    one.page.wait_for_function(f"{steps} >= 4")
    button(one, "Pause").press("Enter")
    assert said(one).startswith("Paused after step ")
    assert one.page.evaluate("told.at(-1)") == {"go": False}
    one.let_timers_run()
    kept = one.page.evaluate(steps)
    one.let_timers_run()
    assert one.page.evaluate(steps) == kept
    one.page.get_by_label("tell the network the time").uncheck()
    assert (one.page.evaluate(steps), said(one)) == (0, "Ready: the weights are random.")
    button(one, "Start").press("Enter")
    assert one.page.evaluate("told.findLast((one) => one.settings).settings.told") is False
    one.page.wait_for_function(f"{steps} >= 1")
    button(one, "Reset").click()
    one.let_timers_run()
    assert one.page.evaluate(steps) == 0
    response = Axe().run(one.page, options={"resultTypes": ["violations"], "preload": False}).response
    assert [v["id"] for v in response["violations"] if v["impact"] in ("serious", "critical")] == []


@pytest.mark.html
def test_without_workers_the_page_learns_itself(stand):
    one = open_lesson(stand, WatchLearn(seed=3, steps=2, every=2), init=REFUSE, viewport={"width": 390, "height": 800})
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 390
    button(one, "Start").click()
    one.page.get_by_text("Done: 2 steps, 64 images").wait_for()
    losses = [loss for _, loss, *_ in page_lesson.learn(3, steps=2)][1:]
    assert float(one.facts()["loss, last 20 steps:"]) == pytest.approx(np.mean(losses), abs=6e-4)


@pytest.mark.html
def test_a_damaged_file_is_told_in_words(stand, tmp_path):
    one = stand(WatchLearn.from_record(RECORD))
    path = tmp_path / "networks" / "digits-untrained.js"
    path.write_text(path.read_text().replace("AAA", "AAB", 1))
    one.page.get_by_role("button", name="Train a network here").click()
    alert = one.page.get_by_role("alert")
    alert.wait_for()
    assert "The network's file is damaged." in alert.inner_text()
    assert one.page.locator(".ddpm-widget-still").is_visible()
