"""Time the forward explorer as on a slow machine: from the input event to the repainted canvas.

    python tools/time_widgets.py                    print the medians and the 95th percentiles
    python tools/time_widgets.py --throttle 1       without throttling
    python tools/time_widgets.py --moves 1000       drag longer

A real mouse drags the slider of t through headless Chromium, whose CPU is throttled (CDP's
Emulation.setCPUThrottlingRate, which slows the page's main thread). The clock starts when the slider's input event
arrives, before any other listener. It is read twice. "canvas": after the widget's own listener, when one pixel of the
canvas has been read back, so that the picture has really been drawn. "frame": in the first task after the frame that
the event led to, with all that a browser does to put it on the screen: a message posted by requestAnimationFrame,
which runs once styles, layout and paint are done and the frame is handed to the compositor. Chromium delivers the
moves of a mouse at the beginning of a frame, so hardly any waiting for the screen is in the time, and none of the
compositor's own, which is on another thread and is not throttled. All events count, including the first.

Other work on the machine makes the times longer, and much longer if the CPU is throttled, because Chromium throttles
with a thread that needs its own processor. So the first line says how busy the machine was.
"""

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np
from torch.nn.functional import interpolate

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "viz"), str(ROOT / "book" / "_ext")]

import chromium  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402
from stands import Stand  # noqa: E402

from ddpm_lite.data import load_digits, load_photo  # noqa: E402
from ddpm_lite.viz.widgets import ForwardExplorer  # noqa: E402

LIMITS = 8, 16  # milliseconds: median, 95th percentile

CLOCK = """() => {
  window.canvas = [];
  window.frame = [];
  let begun;
  const channel = new MessageChannel();
  const context = document.querySelector('canvas').getContext('2d');
  addEventListener('input', () => {
    const start = begun = performance.now();
    requestAnimationFrame(() => channel.port2.postMessage(start));
  }, true);
  addEventListener('input', () => {
    context.getImageData(0, 0, 1, 1);
    canvas.push(performance.now() - begun);
  });
  channel.port1.onmessage = (message) => {
    context.getImageData(0, 0, 1, 1);
    frame.push(performance.now() - message.data);
  };
}"""


def drag(browser, images, throttle, moves):
    """Measure the milliseconds from each input event of a drag to the canvas and to the end of its frame, (2, N)."""
    with tempfile.TemporaryDirectory() as folder:
        stand = Stand(browser, Path(folder), [ForwardExplorer(images, t=0)], viewport={"width": 1000, "height": 800})
        page = stand.page
        stand.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": throttle})
        page.evaluate(CLOCK)
        box = page.get_by_label("time t", exact=True).bounding_box()
        left, width, y = box["x"] + 10, int(box["width"]) - 20, box["y"] + box["height"] / 2
        page.mouse.move(left, y)
        page.mouse.down()
        for i in range(1, moves + 1):
            there, back = divmod(i, width)
            page.mouse.move(left + (width - back if there % 2 else back), y)
        page.mouse.up()
        page.wait_for_timeout(500)
        times = page.evaluate("[canvas, frame]")
        stand.context.close()
    return [np.array(one) for one in times]


def main():
    parser = argparse.ArgumentParser(description="Time the forward explorer from input event to repainted canvas.")
    parser.add_argument("--throttle", type=float, default=4, help="how many times slower the CPU should be (4)")
    parser.add_argument("--moves", type=int, default=600, help="how many moves of the mouse (600)")
    options = parser.parse_args()
    path = chromium.find()
    if not path:
        sys.exit("there is no Chromium: run `python tools/chromium.py`, it says what to do")
    digit = interpolate(load_digits()[0][3:4], (28, 28), mode="nearest")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=chromium.ARGUMENTS)
        busy, processors = os.getloadavg()[0], os.cpu_count()
        print(f"Chromium {browser.version} on {platform.machine()}, CPU throttled {options.throttle:g} times")
        print(f"load before the start: {busy:.1f} on {processors} processors")
        for name, images in {"28 x 28 grey": digit, "64 x 64 colour": load_photo()}.items():
            for what, times in zip(
                ("canvas", "frame"), drag(browser, images, options.throttle, options.moves), strict=True
            ):
                middle, late = np.percentile(times, [50, 95])
                verdict = "within" if middle < LIMITS[0] and late < LIMITS[1] else "over"
                print(
                    f"{name:15} {what:7} {len(times)} events: median {middle:.1f} ms, 95th percentile {late:.1f} ms, "
                    f"{verdict} {LIMITS[0]} and {LIMITS[1]} ms"
                )
        browser.close()


if __name__ == "__main__":
    main()
