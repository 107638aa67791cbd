"""Time the networks in the page: how long a reader waits for a picture, and how responsive the page is meanwhile.

    python tools/time_live.py                 print the times
    python tools/time_live.py --throttle 6    ... and those of a CPU that is six times slower, instead of four

Headless Chromium opens a page from file://, and presses the button of "Draw a digit", which loads the script, the
network's file and the worker, and draws a digit in 50 steps of DDIM. Then it draws one in the 1,000 steps of DDPM, and
one more with the CPU throttled (CDP's Emulation.setCPUThrottlingRate). Chromium throttles only a page's main thread and
not its workers. To imitate a slow machine, the page is therefore opened again without workers, so that it computes in
slices by itself. The page's time is read at the press, and when the status says that the digit is done. Meanwhile a
timer is set every millisecond; the longest interval between two calls is the longest block of the main thread.

Both are repeated where WebAssembly is refused, so that plain JavaScript multiplies the matrices. Last come clothes,
with two workers, where workers are refused, throttled, and without WebAssembly: from the press to the first picture in
25 steps of DDIM, one more picture, one of each of the ten kinds, and one guided picture, which two workers share.

Other work on the machine makes the times longer, so the first line says how busy it was.
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "viz"), str(ROOT / "book" / "_ext")]

import chromium  # noqa: E402
from ddpm_book.widgets import live_scripts  # noqa: E402
from stands import Stand  # noqa: E402

from ddpm_lite.viz.widgets import DrawClothes, DrawDigit  # noqa: E402

RECORDS = ROOT / "book" / "results" / "widgets"
RECORD, CLOTHES = RECORDS / "draw-a-digit.safetensors", RECORDS / "draw-clothes.safetensors"
FILE = "networks/{}.js"
BLOCK = 100  # milliseconds

CLOCK = """() => {
  window.longest = 0;
  let last = performance.now();
  const channel = new MessageChannel();
  channel.port1.onmessage = () => setTimeout(turn, 1);
  const turn = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    channel.port2.postMessage(0);
  };
  turn();
}"""
# Do something, and wait until the status says that a digit is done.
WAIT = """(what) => new Promise((done) => {
  const place = document.querySelector("[data-widget]");
  const start = performance.now();
  window.longest = 0;
  const seen = () => {
    const said = Array.from(place.querySelectorAll("[role=status]"), (line) => line.textContent).join();
    if (said.includes("Done: ") && said.includes(what.words)) done([performance.now() - start, longest]);
    else requestAnimationFrame(seen);
  };
  if (what.press) place.querySelector("button").click();
  for (const [trait, value] of Object.entries(what.traits ?? {})) place.model.set(trait, value);
  seen();
})"""


REFUSE = "window.Worker = class { constructor() { throw new Error('refused'); } };"
# A page and its workers without WebAssembly; a worker is made from a text, which gets a line before it.
PLAIN = """window.WebAssembly = undefined;
const Whole = Blob;
window.Blob = class extends Whole {
  constructor(parts, options) { super(["WebAssembly = undefined;", ...parts], options); }
};"""


def time_clothes(opened, throttle, told):
    """Draw clothes with the widget, one picture and one of each kind, on a page for each kind of machine."""
    widget = DrawClothes.from_record(CLOTHES, view="one", scale=0.0)
    file = FILE.format(widget.network)
    print(f"{file} has {len(live_scripts((widget.network,))[file]):,} bytes")
    for what, init, slow, limits in (
        ("", "", False, (1.5, 8, 1.5)),
        (", workers refused", REFUSE, False, (3, 16, 6)),
        (", workers refused, throttled", REFUSE, True, (12, 64, 24)),
        (", without WebAssembly", PLAIN, False, (15, 80, 15)),
    ):
        one = opened(init, widget)
        if slow:
            throttle(one)
        told(one, f"first press to clothes{what}", limits[0] + 1.5, press=True, words="seed 0 at w = 0 in 25 steps")
        # The network is there now, so this is the drawing alone.
        told(one, f"clothes in 25 steps{what}", limits[0], traits={"seed": 1}, words="seed 1 at w = 0 in 25 steps")
        told(one, f"ten kinds in 25 steps{what}", limits[1], traits={"view": 1}, words="10 kinds from seed 1")
        guided = {"view": 0, "chosen": widget.scales.index(2.0), "seed": 2}
        told(one, f"one guided picture{what}", limits[2], traits=guided, words="seed 2 at w = 2 in 25 steps")
        one.context.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--throttle", type=float, default=4, help="how many times slower the CPU should be (4)")
    options = parser.parse_args()
    with chromium.launch_to_time() as browser, tempfile.TemporaryDirectory() as folder:

        def opened(init="", widget=None):
            one = Stand(browser, Path(folder), [widget or DrawDigit.from_record(RECORD)], init=init)
            one.page.set_default_timeout(600_000)
            one.page.evaluate(CLOCK)
            one.page.wait_for_timeout(500)
            return one

        def throttle(one):
            one.context.new_cdp_session(one.page).send("Emulation.setCPUThrottlingRate", {"rate": options.throttle})

        def told(one, what, limit, **asked):
            spent, block = one.page.evaluate(WAIT, asked)
            verdict = "within" if spent / 1000 < limit and block < BLOCK else "over"
            print(f"{what:48} {spent / 1000:6.2f} s, longest block {block:4.0f} ms: {verdict} {limit} s and {BLOCK} ms")

        one = opened()
        told(one, "first press to a digit in 50 steps of DDIM", 1.5, press=True, words="in 50 steps")
        told(one, "1,000 steps of DDPM", 8, traits={"sampler": 1, "steps": 3}, words="by DDPM in 1000 steps")
        throttle(one)
        slow = f"1,000 steps, page throttled {options.throttle:g} times"
        told(one, slow, 30, traits={"seed": 1}, words="seed 1 by DDPM in 1000 steps")
        one.context.close()
        one = opened(REFUSE)
        told(one, "first press where workers are refused", 1.5, press=True, words="in 50 steps")
        throttle(one)
        slow = f"1,000 steps, all throttled {options.throttle:g} times"
        told(one, slow, 30, traits={"sampler": 1, "steps": 3}, words="by DDPM in 1000 steps")
        one.context.close()
        one = opened(PLAIN)
        told(one, "first press without WebAssembly", 1.5, press=True, words="in 50 steps")
        told(
            one, "1,000 steps without WebAssembly", 8, traits={"sampler": 1, "steps": 3}, words="by DDPM in 1000 steps"
        )
        one.context.close()

        time_clothes(opened, throttle, told)


if __name__ == "__main__":
    main()
