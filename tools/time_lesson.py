"""Time how long the small U-Net needs to learn in the page, and how responsive the page is meanwhile.

    python tools/time_lesson.py               all 300 steps, with the samples that are drawn on the way
    python tools/time_lesson.py --steps 50    fewer steps, and what all of them would take
    python tools/time_lesson.py --computed    only what the parts of a step make on more cores

As in time_live.py, headless Chromium opens a page from file:// and presses the buttons, with one worker and with two.
Then it does so where WebAssembly is refused, and where workers are, so that the page trains in slices by itself. The
longest block is the longest interval between two calls of a timer that is set every millisecond.

For more cores than there are here, the time is computed from the parts of a training with n workers, each of which is
measured on one core, in a page:

    time = steps (share + messages + serial) + looks (samples + messages)

A share is the gradient of the largest share of the batch, and samples are the largest share of a look, the lead's, who
has the estimates too. Messages are the weights' journey to another worker and the gradient's back, and n - 2 more
copies of the weights, as the lead writes them one after the other. Serial is what the lead does alone: the batch's
draws, n - 1 sums of gradients, Adam with the average, and the packing of the new weights. Nothing is assumed to
overlap; that cores share their memory is left out. For one worker and two, the computed time can be held beside the
measured one.

Other work on the machine makes the times longer. So of the many times of a part, the lower quartile is taken.
"""

import argparse
import json
import tempfile
from pathlib import Path

import chromium
from time_live import BLOCK, CLOCK, PLAIN, REFUSE, ROOT, Stand

from ddpm_lite.viz.export_page import split_script
from ddpm_lite.viz.untrained import write_untrained
from ddpm_lite.viz.widgets import WatchLearn

CORES = "Object.defineProperty(Navigator.prototype, 'hardwareConcurrency', {{ get: () => {} }});"
WAYS = {
    "one worker": CORES.format(1),
    "two workers": CORES.format(2),
    "two, without WebAssembly": CORES.format(2) + PLAIN,
    "without workers": REFUSE,
}
LIMITS = {1: 60, 2: 60, 8: 20}  # seconds, on so many cores
RECORD = ROOT / "book" / "results" / "page-lesson.json"

# In the page: the milliseconds of each part, for `of` workers. A helper answers `nothing` at once, with the gradient.
PARTS = """async ([of, whole, settings, batch]) => {
  const { lesson, readImages } = await import("/shared/lesson.js"), { reach } = await import("/shared/team.js");
  const { drawBatch, optimiser } = await import("/shared/train.js");
  const { firstWeights } = await import("/shared/school.js");
  const { finish } = await import("/shared/turns.js");
  const { net, tasks } = finish(lesson(whole, { of })), file = JSON.parse(whole.text), none = file.labels;
  net.weights.set(firstWeights(file, 0));
  net.renew();
  const data = { images: readImages(file.images), labels: Array.from(file.answers, Number), none };
  const time = async (count, what) => {
    const all = [];
    for (let i = -5; i < count; i++) {
      const start = performance.now();
      await what(i);
      if (i >= 0) all.push(performance.now() - start);
    }
    return all.sort((a, b) => a - b)[Math.floor(count / 4)];
  };
  const code = `import { lesson } from "${location.origin}/shared/lesson.js";
    import { help } from "${location.origin}/shared/team.js";
    import { finish } from "${location.origin}/shared/turns.js";
    onmessage = ({ data: { whole, of, lead } }) => {
      help(lead, finish(lesson(whole, { of })).net, { *nothing() { return {}; } });
      postMessage(0);
    };`;
  const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })), { type: "module" });
  const { port1, port2 } = new MessageChannel();
  await new Promise((done) => {
    worker.onmessage = done;
    worker.postMessage({ whole, of, lead: port2 }, [port2]);
  });
  const { weights, gradient } = net, helper = reach(port1, weights.length), other = Float32Array.from(weights);
  const adam = optimiser(weights);
  const drawn = drawBatch(data, 1000, { seed: 0, batch, dropout: 0.1 }, 1), first = 0;
  adam.rate = 0;
  return {
    share: await time(60, () => finish(tasks.learn({ drawn, first, end: Math.ceil(batch / of) }))),
    samples: await time(6, () => finish(tasks.look({ settings, first, end: Math.ceil(none / of) }))),
    journey: await time(100, () => helper({ task: "nothing" }, weights)),
    copy: (await time(60, () => { for (let n = 0; n < 10; n++) other.set(weights); })) / 10,
    draws: await time(60, (step) => drawBatch(data, 1000, { seed: 0, batch, dropout: 0.1 }, step + 6)),
    sum: await time(60, () => {
      for (let i = 0; i < gradient.length; i++) gradient[i] += other[i];
    }),
    adam: await time(60, () => adam.step(weights, gradient)),
    renew: await time(60, () => net.renew()),
  };
}"""


def time_lesson(one, steps, whole):
    """Train in an open page; return its seconds, those of the whole training, and the longest block in ms."""
    one.page.evaluate(CLOCK)
    one.page.get_by_role("button", name=WatchLearn.press).click()
    one.page.get_by_role("button", name="Start").click()
    one.page.evaluate("window.start = performance.now(); window.longest = 0")
    one.page.get_by_text("Done: ").wait_for(timeout=1_200_000)
    spent, block = one.page.evaluate("[(performance.now() - start) / 1000, longest]")
    return spent, spent * whole / steps, block


def measure(browser, steps):
    """Train in each way, and print the times."""
    whole = WatchLearn().steps
    with tempfile.TemporaryDirectory() as folder:
        for name, init in WAYS.items():
            one = Stand(browser, Path(folder), [WatchLearn(steps=steps)], init=init)
            spent, total, block = time_lesson(one, steps, whole)
            verdict = "within" if total < LIMITS[2] and block < BLOCK else "over"
            times = f"{steps} steps in {spent:6.1f} s, {whole} in {total:6.1f} s, longest block {block:4.0f} ms"
            print(f"{name:24} {times}: {verdict} {LIMITS[2]} s and {BLOCK} ms", flush=True)
            one.context.close()


def add_parts(parts, of, steps, looks):
    """The seconds of a training with so many workers, by what they are spent on."""
    messages = (of > 1) * parts["journey"] + max(0, of - 2) * parts["copy"]
    serial = parts["draws"] + (of - 1) * parts["sum"] + parts["adam"] + parts["renew"]
    each = {"shares": steps * parts["share"], "samples": looks * parts["samples"]}
    each |= {"messages": (steps + looks) * messages, "the lead alone": steps * serial}
    return {name: milliseconds / 1000 for name, milliseconds in each.items()}


def legible(record):
    """The images after which all runs with time have 80 % of their digits as asked, to the end."""
    enough = [[row["average"] >= 0.8 * record["count"] for row in run["rows"]] for run in record["runs"] if run["told"]]
    after = max(len(run) - run[::-1].index(False) for run in enough)
    return record["runs"][0]["rows"][after]["images"]


def compute(browser):
    """Measure the parts on one core, and print what they make with 1, 2 and 8 workers."""
    from stands import Served  # time_live.py knows where it is

    widget, record = WatchLearn(), json.loads(RECORD.read_text(encoding="utf8"))
    looks, seen = 1 + -(-widget.steps // widget.every), legible(record) / (widget.steps * record["batch"])
    total, text = split_script(write_untrained())
    served = Served(ROOT / "ddpm_lite" / "viz" / "js")
    try:
        for of, limit in LIMITS.items():
            page = browser.new_page()
            page.goto(f"{served.origin}/")
            given = [of, {"sum": total, "text": text}, {"told": True}, record["batch"]]
            parts = page.evaluate(PARTS, given)
            page.close()
            each = add_parts(parts, of, widget.steps, looks)
            spent = sum(each.values())
            print(f"computed, {of} on {of} cores: {widget.steps} steps in {spent:.1f} s", end="")
            print(f", legible digits in {seen * spent:.1f} s: {'within' if spent < limit else 'over'} {limit} s")
            print("   " + ", ".join(f"{name} {value:.1f} s" for name, value in each.items()))
            print(
                "   one of each, ms: " + ", ".join(f"{name} {value:.2f}" for name, value in parts.items()), flush=True
            )
    finally:
        served.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, help="train so many steps")
    parser.add_argument("--computed", action="store_true", help="do not train, only compute")
    options = parser.parse_args()
    with chromium.launch_to_time() as browser:
        if not options.computed:
            measure(browser, options.steps or WatchLearn().steps)
        compute(browser)


if __name__ == "__main__":
    main()
