"""Time how long the small U-Net needs to learn in the page, and how responsive the page is meanwhile.

    python tools/time_lesson.py               all 300 steps, with the samples that are drawn on the way
    python tools/time_lesson.py --steps 50    fewer steps, and what all of them would take

As in time_live.py, headless Chromium opens a page from file:// and presses the buttons; then it does so where
WebAssembly is refused, and where workers are, so that the page trains in slices by itself. The longest block is the
longest interval between two calls of a timer that is set every millisecond.
"""

import argparse
import tempfile
from pathlib import Path

import chromium
from time_live import BLOCK, CLOCK, PLAIN, REFUSE, Stand

from ddpm_lite.viz.widgets import WatchLearn

WAYS = {"with a worker and SIMD": "", "without WebAssembly": PLAIN, "without workers": REFUSE}
LIMIT = 60  # seconds


def time_lesson(one, steps, whole):
    """Train in an open page; return its seconds, those of the whole training, and the longest block in ms."""
    one.page.evaluate(CLOCK)
    one.page.get_by_role("button", name=WatchLearn.press).click()
    one.page.get_by_role("button", name="Start").click()
    one.page.evaluate("window.start = performance.now(); window.longest = 0")
    one.page.get_by_text("Done: ").wait_for(timeout=1_200_000)
    spent, block = one.page.evaluate("[(performance.now() - start) / 1000, longest]")
    return spent, spent * whole / steps, block


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, help="train so many steps")
    whole = WatchLearn().steps
    steps = parser.parse_args().steps or whole
    with chromium.launch_to_time() as browser, tempfile.TemporaryDirectory() as folder:
        for name, init in WAYS.items():
            one = Stand(browser, Path(folder), [WatchLearn(steps=steps)], init=init)
            spent, total, block = time_lesson(one, steps, whole)
            verdict = "within" if total < LIMIT and block < BLOCK else "over"
            times = f"{steps} steps in {spent:6.1f} s, {whole} in {total:6.1f} s, longest block {block:4.0f} ms"
            print(f"{name:24} {times}: {verdict} {LIMIT} s and {BLOCK} ms", flush=True)
            one.context.close()


if __name__ == "__main__":
    main()
