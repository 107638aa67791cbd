"""What both widgets promise that train a network in the page: nothing unasked, words, and a page that responds."""

import json
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from javascript import run_module
from stands import CORES, HIDE, LISTEN
from time_live import REFUSE

from ddpm_lite.viz.export_page import split_script
from ddpm_lite.viz.untrained import write_untrained
from ddpm_lite.viz.widgets import TeachYourOwn, WatchLearn
from ddpm_lite.viz.widgets.drawing import write_page_file

RECORDS = Path(__file__).resolve().parents[2] / "book" / "results" / "widgets"
FILE = "networks/digits-untrained.js"
MODULES = [
    "science.js",
    "engine.js",
    "turns.js",
    "unet.js",
    "grad.js",
    "train.js",
    "team.js",
    "school.js",
    "lesson.js",
    "own-set.js",
]

Kind = namedtuple("Kind", "widget start learning done")
KINDS = {
    "watch-it-learn": Kind(WatchLearn, "Start", "Learning. ", "Done: 2 steps, 64 images, in "),
    "teach-your-own": Kind(TeachYourOwn, "Learn this set", "Learning. ", "Done in "),
}
both = pytest.mark.parametrize("name", KINDS)

# In the page: the steps that are done, as it shows them; -1 before it shows any.
STEPS = """() => {
  const bar = document.querySelector("progress");
  const words = document.querySelector(".ddpm-widget:not(.ddpm-widget-still)").textContent.match(/Step (\\d+) of/);
  return bar ? bar.value || -1 : words ? Number(words[1]) : -1;
}"""
# In the page: press the button, and what the last status says at once, before anything else can happen.
PRESS = """(name) => {
  [...document.querySelectorAll("button")].find((one) => one.textContent === name).click();
  return [...document.querySelectorAll("p[role=status]")].map((one) => one.textContent).filter(Boolean).at(-1);
}"""
LOADED = (
    "[...document.scripts].map((one) => one.src).filter((one) => one.includes('live/') || one.includes('networks/'))"
)


def show(stand, name, **options):
    """The widget with its recorded figure, not pressed yet."""
    init = options.pop("init", LISTEN + CORES.format(2))
    return stand(KINDS[name].widget.from_record(RECORDS / f"{name}.safetensors", **options), init=init)


def begin(one, name):
    """Press, and wait until it can learn; one's own set gets eight letters."""
    one.page.get_by_role("button", name=KINDS[name].widget.press).click()
    one.page.get_by_role("button", name=KINDS[name].start, exact=True).wait_for()
    if name == "teach-your-own":
        one.page.get_by_label("ready sets").select_option(label="eight letters")


@pytest.mark.html
@pytest.mark.transports
@both
def test_the_recorded_figure_is_first_and_nothing_is_loaded_or_runs_unasked(name, stand):
    kind, one = KINDS[name], show(stand, name, steps=2, every=2)
    still = one.page.locator(".ddpm-widget-still")
    assert still.is_visible()
    assert still.locator("img").first.evaluate("(one) => one.decode().then(() => one.naturalWidth)") > 8
    one.let_timers_run()
    assert (one.page.evaluate(LOADED), one.page.evaluate("working")) == ([], 0)
    begin(one, name)
    assert one.page.evaluate("hired") == 2
    one.let_timers_run()
    asked = one.page.evaluate("told.filter((one) => one.go || one.settings).length")
    assert (asked, one.page.evaluate("heard.length"), one.page.evaluate(STEPS)) == (0, 0, -1)
    assert one.page.evaluate(PRESS, kind.start).startswith(kind.learning)
    one.page.get_by_text(kind.done).wait_for()
    assert one.page.evaluate("heard.filter((one) => one.loss !== undefined).length") == 2
    assert one.foreign == []


@pytest.mark.html
@pytest.mark.parametrize("damage", ["damaged", "missing"])
@both
def test_a_file_that_fails_is_told_and_may_come_later(name, damage, stand, tmp_path):
    one = show(stand, name)
    path, text = tmp_path / FILE, (tmp_path / FILE).read_text()
    if damage == "damaged":
        path.write_text(text.replace("AAA", "AAB", 1))
    else:
        path.unlink()
    one.page.get_by_role("button", name=KINDS[name].widget.press).click()
    one.page.get_by_role("alert").wait_for()
    words = {"damaged": "The network's file is damaged.", "missing": "digits-untrained.js could not be loaded."}
    assert one.page.get_by_role("alert").inner_text().endswith(words[damage])
    assert one.page.locator(".ddpm-widget-still").is_visible()
    assert one.page.evaluate("working") == 0, "no worker is left behind"
    if damage == "missing":
        path.write_text(text)
        begin(one, name)
        assert one.page.get_by_role("alert").count() == 0
        one.complaints.clear()  # the browser's own word on the missing file


@pytest.mark.html
@both
def test_a_tab_in_the_background_learns_no_further(name, stand):
    """In the page itself, where a step cannot be on its way when the tab is hidden."""
    one = show(stand, name, steps=500, every=500, init=REFUSE)
    begin(one, name)
    one.page.evaluate(PRESS, KINDS[name].start)
    one.page.wait_for_function(f"({STEPS})() > 0")
    one.page.evaluate(HIDE, True)
    kept = one.page.evaluate(STEPS)
    one.let_timers_run()
    assert one.page.evaluate(STEPS) == kept
    one.page.evaluate(HIDE, False)
    one.page.wait_for_function(f"({STEPS})() > {kept}")


def run(code):
    total, text = split_script(write_untrained())
    return run_module(MODULES, f"const given = {json.dumps({'sum': total, 'text': text})};", code)


def test_a_turn_of_the_page_ends_with_the_part_in_which_its_time_is_over():
    """By a clock that only the work moves: 15 ms each part, of which a turn of 20 ms has two."""
    code = """let now = 0;
      performance.now = () => now;
      const timers = [], posted = [], turns = [];
      globalThis.setTimeout = (turn) => timers.push(turn);
      const enter = function* () {
        for (let i = 0; i < 9; i++) yield (now += 15) && null;
        return { about: "here", *learn() { for (let step = 1; step < 50; step++) yield (now += 15) && { step }; } };
      };
      const tell = modules.teach((message) => posted.push(message), 20, enter);
      const all = (message) => {
        for (let turn = () => tell(message); turn; turn = timers.shift()) {
          const start = now;
          turn();
          turns.push(now - start);
        }
      };
      all({ file: {} });
      all({ job: 1, settings: {}, go: true });
      return { turns, posted };"""
    found = run(code)
    assert max(found["turns"]) == 30
    assert sum(found["turns"]) == (9 + 49) * 15
    about, *rest = found["posted"]
    assert about == "here"
    assert [one["step"] for message in rest for one in message["news"]] == list(range(1, 50))
    assert [message["done"] for message in rest] == [False] * (len(rest) - 1) + [True]


@pytest.mark.parametrize("course", ["lesson", "setLesson"])
def test_no_part_of_the_work_is_more_than_one_operation_of_eight_images(course):
    code = f"""let made = 0, done = 0, back = 0;
      const counted = (what, add) => what && (() => (add(), what()));
      for (const name of Object.keys(modules.backpropagated)) {{
        const make = modules.backpropagated[name];
        modules.backpropagated[name] = (...given) => {{
          const [forward, backward] = make(...given);
          made++;
          return [counted(forward, () => done++), counted(backward, () => back++)];
        }};
      }}
      const parts = [], all = (work) => {{
        for (;;) {{
          const {{ value, done: ended }} = work.next();
          parts.push([made, done + back]);
          if (ended) return value;
        }}
      }};
      const pupil = all(modules.{course}(given, {{ batch: 20 }})), opened = parts.length, {{ B }} = pupil.net;
      const pictures = Array(3).fill("A".repeat(63) + "Q");
      all(pupil.learn({{ seed: 0, steps: 2, every: 1, rate: 1e-3, told: true, average: true, pictures }}));
      return {{ parts, opened, B, done, back }};"""
    found = run(code)
    each = np.diff(found["parts"], axis=0, prepend=0)
    assert (each.max(axis=0).tolist(), found["B"]) == ([1, 1], 8)
    before = each[found["opened"] :, 1]
    assert not before[:20].any(), "the weights come first, in parts too"
    assert found["done"] > 25 * found["opened"] / 10, "the looks have 25 steps each"
    assert found["back"] > 100


def test_a_network_is_read_and_runs_in_parts_that_a_slow_machine_can_do():
    """By a clock that only the work moves: 15 ms an operation, so that a turn of 18 ms has two."""
    total, text = split_script(write_page_file("fashion"))
    code = """let now = 0, read = 0;
      performance.now = () => now;
      const timers = [], reads = [], turns = [], posted = [];
      globalThis.setTimeout = (turn) => timers.push(turn);
      // The characters of the weights; those of the whole file are read once more, for its checksum.
      const length = JSON.parse(given.text).levels.length, at = String.prototype.charCodeAt;
      String.prototype.charCodeAt = function (i) {
        read += Number(this.length === length);
        return at.call(this, i);
      };
      for (const name of Object.keys(modules.operations)) {
        const make = modules.operations[name];
        modules.operations[name] = (...all) => {
          const step = make(...all);
          return step && (() => ((now += 15), step()));
        };
      }
      const file = modules.unpacking(given, modules.open());
      for (let done = false, before = 0; !done; before = read) {
        ({ done } = file.next());
        reads.push(read - before);
      }
      const tell = modules.serve((message) => posted.push(message), modules.SLICE);
      const all = (message) => {
        tell(message);
        for (let turn = timers.shift(); turn; turn = timers.shift()) {
          const start = now;
          turn();
          turns.push(now - start);
        }
      };
      all({ file: given });
      all({ job: 1, walks: [0, 1].map((which) => [which, { steps: 1, seed: 0, label: which, scale: 2 }]) });
      const said = posted.map(({ job, done, frames }) => [job, done, frames.length]);
      return { reads, turns, now, length, said };"""
    given = f"const given = {json.dumps({'sum': total, 'text': text})};"
    found = run_module(["engine.js", "turns.js", "unet.js", "serve.js"], given, code)
    assert sum(found["reads"]) == found["length"] > 1_000_000
    assert max(found["reads"]) < 5_000
    assert set(found["turns"]) <= {0, 15, 30}
    assert sum(found["turns"]) == found["now"] > 6 * 100 * 15, "six evaluations of the network"
    assert found["said"][-1][:2] == [1, True]
    assert sum(frames for job, _, frames in found["said"] if job) == 4
