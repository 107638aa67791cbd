"""Time every widget of the chapters as on a slow machine: from the input event to the repainted page.

    python tools/time_widgets.py                       every control of every widget: medians, 95th percentiles
    python tools/time_widgets.py cloud learner         only these widgets
    python tools/time_widgets.py --throttle 1          without throttling
    python tools/time_widgets.py --moves 1000          drag longer

A real mouse drags each slider, and each curve that is drawn, through headless Chromium, and keys turn lists and
switches. The CPU is throttled (CDP's Emulation.setCPUThrottlingRate, which slows the page's main thread). The clock
starts when the event arrives, before any other listener. It is read in the first task after the frame that the
event led to, with all that a browser does to put it on the screen: a message posted by requestAnimationFrame, which
runs once styles, layout and paint are done and the frame is handed to the compositor. One pixel of the first canvas
is read back there, so that it has really been drawn. Chromium delivers the moves of a mouse at the beginning of a
frame, so hardly any waiting for the screen is in the time, and none of the compositor's own, which is on another
thread and is not throttled. A key waits for the next frame, up to 17 milliseconds, and is pressed when the last one has
been answered. All events count, including the first.

Other work on the machine makes the times longer, and much longer if the CPU is throttled, because Chromium throttles
with a thread that needs its own processor. So the first line says how busy the machine was, and beside each control
is what an empty one of its kind took just before, on a page with nothing else. A slow widget takes much longer than
that, and on a busy machine both are slow.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "viz"), str(ROOT / "book" / "_ext")]

import chromium  # noqa: E402
from stands import TWINS, Stand  # noqa: E402

LIMIT = 16  # milliseconds, of the 95th percentile

BETWEEN = 150  # milliseconds from one key to the next: faster keys would wait for each other, and no reader is faster

# What a reader moves: sliders, lists, switches, and a plot in which a curve is drawn or points are dragged.
CONTROLS = "input[type=range], select, input[type=checkbox], svg:has([role=slider])"
CLOCK = """() => {
  window.frame = [];
  const channel = new MessageChannel(), canvas = document.querySelector('canvas');
  const begin = (event) => {
    if (event.type === 'pointermove' && !(event.buttons && event.target.closest('svg'))) return;
    const start = performance.now();
    requestAnimationFrame(() => channel.port2.postMessage(start));
  };
  for (const type of ['input', 'pointermove']) addEventListener(type, begin, true);
  channel.port1.onmessage = (message) => {
    canvas?.getContext('2d').getImageData(0, 0, 1, 1);
    frame.push(performance.now() - message.data);
  };
}"""


# Controls that nothing listens to; a curve that is drawn is an empty drawing.
EMPTY = """<input type="range" max="1000"><select><option>a<option>b</select><input type="checkbox">
<svg width="300" height="100"><g role="slider"/></svg>"""
QUIET = 1500  # milliseconds from the start of a widget to the first event: a reader has read a line by then


def choose_twins(names=()):
    """One twin of each kind of widget that the chapters show, or of the kinds named."""
    chosen = {}
    for twin in TWINS:
        if not names or twin.name in names:
            chosen.setdefault(twin.name, twin)
    return chosen


def start(page):
    """Start a widget that waits for its button."""
    place = page.locator("[data-widget]").first
    if place.get_attribute("data-live"):
        place.get_by_role("button").first.click()
    place.locator(".ddpm-widget-still").wait_for(state="hidden")


def describe(control):
    """The words beside a control."""
    return control.evaluate(
        "one => one.labels?.[0]?.textContent || one.getAttribute('aria-label')?.slice(0, 40) || one.tagName"
    )


def find_kind(control):
    """What a control is: range, select-one, checkbox or svg."""
    return control.evaluate("one => one.type || one.tagName.toLowerCase()")


def move(page, control, moves):
    """Move a control as a reader would, `moves` times."""
    kind, browser = find_kind(control), page.context.new_cdp_session(page)

    # Not with Playwright's mouse, which adds and removes listeners in the page at each move while a button is down.
    def point(what, x, buttons):
        event = {"x": x, "y": y, "button": "left" if buttons else "none", "buttons": buttons, "clickCount": 1}
        browser.send("Input.dispatchMouseEvent", {"type": what, **event})

    if kind in ("select-one", "checkbox"):
        control.focus()
        for i in range(min(moves, 20)):
            page.keyboard.press("Space" if kind == "checkbox" else "ArrowUp" if i % 2 else "ArrowDown")
            page.wait_for_timeout(BETWEEN)
        return
    control.scroll_into_view_if_needed()
    box = control.bounding_box()
    left, width, y = box["x"] + 10, int(box["width"]) - 20, box["y"] + box["height"] / 2
    if kind == "svg":  # not on its margins
        left, width = box["x"] + 0.15 * box["width"], int(0.8 * box["width"])
    point("mouseMoved", left, 0)
    point("mousePressed", left, 1)
    for i in range(1, moves + 1):
        there, back = divmod(i * max(1, width // moves), width)
        point("mouseMoved", left + (width - back if there % 2 else back), 1)
    browser.send("Input.dispatchMouseEvent", {"type": "mouseReleased", "x": left, "y": y, "button": "left"})


def time_moves(page, control, moves):
    """Measure the milliseconds from each event of a control to the end of its frame."""
    page.evaluate("frame.length = 0")
    move(page, control, moves)
    page.wait_for_timeout(300)
    return page.evaluate("frame")


def throttle_page(page, rate):
    """Slow the page down."""
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": rate})


def measure(browser, twin, throttle, moves):
    """Measure each control of a widget beside an empty one, {the words of a control: ([times], [times])}."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        stand = Stand(browser, Path(folder), [twin], viewport={"width": 1000, "height": 900})
        page, empty = stand.page, browser.new_page(viewport={"width": 1000, "height": 900})
        empty.set_content(EMPTY)
        throttle_page(page, throttle)
        throttle_page(empty, throttle)
        start(page)
        page.wait_for_timeout(QUIET)
        for one in (page, empty):
            one.evaluate(CLOCK)
        live = page.locator(".ddpm-widget:not(.ddpm-widget-still)")
        plain = {find_kind(one): one for one in empty.locator(CONTROLS).all()}
        for control in live.locator(CONTROLS).all():
            if control.is_visible() and control.is_enabled():
                empty.bring_to_front()
                beside = time_moves(empty, plain[find_kind(control)], moves)
                page.bring_to_front()
                found[describe(control)] = time_moves(page, control, moves), beside
        empty.close()
        stand.context.close()
    return found


def main():
    parser = argparse.ArgumentParser(description="Time every widget from the input event to the repainted page.")
    parser.add_argument("widgets", nargs="*", help="names of widgets (all)")
    parser.add_argument("--throttle", type=float, default=4, help="how many times slower the CPU should be (4)")
    parser.add_argument("--moves", type=int, default=120, help="how many moves of the mouse for each slider (120)")
    options = parser.parse_args()
    with chromium.launch_to_time(f", CPU throttled {options.throttle:g} times") as browser:
        for name, twin in choose_twins(options.widgets).items():
            for control, (times, beside) in measure(browser, twin, options.throttle, options.moves).items():
                if not times:
                    print(f"{name:19} {control:26.26} no event")
                    continue
                (middle, late), empty = np.percentile(times, [50, 95]), np.percentile(beside, [50, 95])
                verdict = "within" if late < LIMIT else "over"
                print(
                    f"{name:19} {control:26.26} {len(times):4} events: median {middle:5.1f} ms, 95th percentile "
                    f"{late:5.1f} ms, {verdict} {LIMIT} ms (an empty one: {empty[0]:.1f} and {empty[1]:.1f} ms)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
