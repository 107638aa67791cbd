"""Time every widget of the chapters for a slow machine: what the page works from the input event to the painted frame.

    python tools/time_widgets.py                       every control of every widget: medians, 95th percentiles
    python tools/time_widgets.py cloud learner         only these widgets
    python tools/time_widgets.py --slower 1            for a processor like this one
    python tools/time_widgets.py --moves 1000          drag longer

A real mouse drags each slider, and each curve that is drawn, through headless Chromium, and keys turn lists and
switches. Chromium's own trace tells what the page's main thread did, in processor time: all its tasks are added up,
from the arrival of the event, before any other listener, to the end of the task that made the next frame, with styles,
layout, paint, and handing it to the compositor. A processor that is four times slower takes four times as long. All
events count, including the first. What the thread waits for the screen's next frame is left out, up to 17 milliseconds
after a key, and so is the compositor, which is on another thread.

The picture is in that frame. The list of numbers beside it follows 50 milliseconds later, in a frame of its own. What
the page works from the event to that frame, both together, is told too.

Times 4, the work on a fast desktop computer becomes that on a middling phone. Fast means a BenchmarkIndex of 1,500 to
2,000, which Lighthouse prints at the end of its report (docs/throttling.md in GoogleChrome/lighthouse). A machine with
the index i is itself 1750 / i times slower, so there the same phone is --slower i/440.

Two other clocks tell less. A message that the page posts to itself after its frame arrives late while the mouse moves:
Chromium first makes several later frames. And Chromium's own throttling of the processor
(Emulation.setCPUThrottlingRate) needs a processor for itself, so on two of them it measures what else is at work: an
empty list took 14 to 25 milliseconds at a rate of 4.

Beside each control is what an empty one of its kind took just before, on a page with nothing else.
"""

import argparse
import json
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
MARK, NUMBERS = "ddpm-event", "ddpm-numbers"
CLOCK = f"""() => {{
  const begin = (event) => {{
    if (event.type === 'pointermove' && !(event.buttons && event.target.closest('svg'))) return;
    performance.mark('{MARK}');
  }};
  for (const type of ['input', 'pointermove']) addEventListener(type, begin, true);
  const numbers = new MutationObserver(() => performance.mark('{NUMBERS}'));
  for (const list of document.querySelectorAll('.dw-facts')) {{
    numbers.observe(list, {{ subtree: true, childList: true, characterData: true }});
  }}
}}"""
TRACED = ["blink.user_timing", "disabled-by-default-devtools.timeline", "devtools.timeline"]


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


def read_trace(events):
    """Add up the milliseconds of processor time of the page's main thread, from each event to its next frame's end.

    And from the last event before new numbers to the end of the frame that shows them: two lists.
    """
    marks, numbers = ([event for event in events if event["name"] == name] for name in (MARK, NUMBERS))
    if not marks:
        return [], []
    thread = marks[0]["pid"], marks[0]["tid"]
    own = [event for event in events if (event["pid"], event["tid"]) == thread and event["ph"] == "X"]
    tasks = [
        (event["ts"], event["dur"], event.get("tdur", event["dur"])) for event in own if event["name"] == "RunTask"
    ]
    frames = sorted(event["ts"] for event in own if event["name"] == "Commit")

    def add_up(start, ready):
        """From `start` to the end of the first frame after `ready`."""
        drawn = next((frame for frame in frames if frame > ready), None)
        if drawn is None:
            return []
        # Of the task in which the event arrived, its part after that; processor time is taken as even over a task.
        parts = [
            worked * min(1, (begin + lasted - start) / max(lasted, 1))
            for begin, lasted, worked in tasks
            if begin + lasted > start and begin < drawn
        ]
        return [sum(parts) / 1000]

    starts = sorted(mark["ts"] for mark in marks)
    shown = [(max((start for start in starts if start < one["ts"]), default=None), one["ts"]) for one in numbers]
    return (
        [took for start in starts for took in add_up(start, start)],
        [took for start, ready in shown if start is not None for took in add_up(start, ready)],
    )


def time_moves(page, control, moves):
    """Measure the milliseconds of processor time that the page works for each event of a control and its numbers."""
    browser = page.context.browser
    browser.start_tracing(page=page, categories=TRACED)
    move(page, control, moves)
    page.wait_for_timeout(300)
    return read_trace(json.loads(browser.stop_tracing())["traceEvents"])


def measure(browser, twin, moves):
    """Measure each control of a widget beside an empty one, {its words: ([times], [times with numbers], [times])}."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        stand = Stand(browser, Path(folder), [twin], viewport={"width": 1000, "height": 900})
        page, empty = stand.page, browser.new_page(viewport={"width": 1000, "height": 900})
        empty.set_content(EMPTY)
        start(page)
        page.wait_for_timeout(QUIET)
        for one in (page, empty):
            one.evaluate(CLOCK)
        live = page.locator(".ddpm-widget:not(.ddpm-widget-still)")
        plain = {find_kind(one): one for one in empty.locator(CONTROLS).all()}
        for control in live.locator(CONTROLS).all():
            if control.is_visible() and control.is_enabled():
                empty.bring_to_front()
                beside, _ = time_moves(empty, plain[find_kind(control)], moves)
                page.bring_to_front()
                found[describe(control)] = *time_moves(page, control, moves), beside
        empty.close()
        stand.context.close()
    return found


def main():
    parser = argparse.ArgumentParser(description="Time every widget from the input event to the painted frame.")
    parser.add_argument("widgets", nargs="*", help="names of widgets (all)")
    parser.add_argument(
        "--slower",
        type=float,
        default=4,
        help="for a processor that is so many times slower (4, from a fast desktop computer)",
    )
    parser.add_argument("--moves", type=int, default=120, help="how many moves of the mouse for each slider (120)")
    options = parser.parse_args()
    with chromium.launch_to_time(f", processor time times {options.slower:g}") as browser:
        for name, twin in choose_twins(options.widgets).items():
            for control, (times, numbers, beside) in measure(browser, twin, options.moves).items():
                if not times:
                    print(f"{name:19} {control:26.26} no event")
                    continue
                (middle, late), empty = (options.slower * np.percentile(one, [50, 95]) for one in (times, beside))
                verdict = "within" if late < LIMIT else "over"
                whole = f", with the numbers {options.slower * np.percentile(numbers, 95):.1f}" if numbers else ""
                print(
                    f"{name:19} {control:26.26} {len(times):4} events: median {middle:5.1f} ms, 95th percentile "
                    f"{late:5.1f} ms, {verdict} {LIMIT} ms (an empty one: {empty[0]:.1f} and {empty[1]:.1f} ms{whole})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
