"""Widgets on a page of their own, as the book shows them: no kernel, no network. Used by the browser tests."""

import re
import threading
from collections import namedtuple
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import notebooks
import numpy as np
from ddpm_book.guess import offer_guesses
from ddpm_book.widgets import first_scripts, live_scripts, scripts, write

ROOT = Path(__file__).resolve().parents[2]
PAGE = """<!doctype html>
<html lang="en" data-theme="{theme}"><head><meta charset="utf-8"><title>Widgets</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><link rel="stylesheet" href="widgets.css">{tags}
<style>html {{ background: #fff; color: #222; }}
html[data-theme="dark"] {{ background: #14181e; color: #ced6dd; }}</style>
</head><body><main><h1>Widgets</h1>{twins}</main></body></html>"""

# Milliseconds that a state may take to come. Nobody waits so long for one that comes: the machine may do much else.
PATIENCE = 300_000

# In the page: the model of the widget with the number i.
MODEL = "document.querySelectorAll('[data-widget]')[i].model"

# To run before a page's own scripts: keeps what workers are told and say, and how many were made and still work. A
# worker that starts late on a slow machine is waited for, instead of being taken for refused after five seconds.
LISTEN = """
Object.assign(window, { heard: [], told: [], hired: 0, working: 0 });
const Real = Worker, wait = setTimeout;
window.setTimeout = (then, later, ...more) => wait(then, later === 5000 ? 300000 : later, ...more);
window.Worker = class extends Real {
  constructor(address) {
    super(address);
    window.hired++;
    window.working++;
    this.addEventListener("message", ({ data }) => window.heard.push(...(data.news ?? [])));
  }
  postMessage(message, handed) {
    window.told.push(message);
    super.postMessage(message, handed);
  }
  terminate() {
    window.working--;
    super.terminate();
  }
};
"""
CORES = "Object.defineProperty(Navigator.prototype, 'hardwareConcurrency', {{ get: () => {} }});"
# In the page: the tab goes to the background, or comes back.
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


Twin = namedtuple("Twin", "name chapter html")
Twin.twin = lambda self: self.html


def stored_twins():
    """The twins in the chapters' outputs."""
    for path in notebooks.chapters(ROOT):
        for cell in notebooks.read(path)["cells"]:
            for output in cell.get("outputs", []):
                html = output.get("data", {}).get("text/html", "")
                for name in re.findall(r'data-widget="([\w-]+)"', html):
                    yield Twin(name, path.stem, html)


TWINS = list(stored_twins())


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


class Served:
    """A folder over loopback http."""

    def __init__(self, folder):
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()
        self.origin = f"http://127.0.0.1:{self.http.server_port}"

    def close(self):
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


class Stand:
    """A page with widgets in a tab of its own; `foreign` and `complaints` stay empty if all is well."""

    def __init__(self, browser, folder, widgets, *, origin=None, theme="light", damage=None, init="", **context):
        twins = "".join(widget.twin() for widget in widgets)
        named = tuple(sorted(set(re.findall(r"networks/([\w-]+)", twins))))
        write(folder, scripts() | live_scripts(named))
        tags = "".join(f'<script defer src="{name}.js"></script>' for name in first_scripts(twins))
        if damage:
            twins = damage(twins)
        twins = offer_guesses(twins, "live/draw-guess.js")
        (folder / "page.html").write_text(PAGE.format(theme=theme, tags=tags, twins=twins), encoding="utf8")
        origin = origin or folder.as_uri()
        self.foreign, self.complaints = [], []
        self.context = browser.new_context(color_scheme=theme, **context)
        self.context.set_default_timeout(PATIENCE)
        self.context.route("**/*", lambda route: self._route(route, origin))
        self.context.add_init_script(init or "0")  # runs before the page's own
        self.page = self.context.new_page()
        self.page.on("console", lambda m: m.type in ("error", "warning") and self.complaints.append(m.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(f"{origin}/page.html")

    def _route(self, route, origin):
        if route.request.url.startswith((origin, "data:", "blob:")):
            route.continue_()
        else:
            self.foreign.append(route.request.url)
            route.abort()

    def get(self, trait, index=0):
        """A trait's value in the page, of the widget with this number."""
        return self.page.evaluate(
            "([i, name]) => document.querySelectorAll('[data-widget]')[i].model.get(name)", [index, trait]
        )

    def set(self, index=0, **traits):
        """Set traits in the page, as a control would."""
        code = f"([i, values]) => Object.entries(values).forEach(([name, value]) => {MODEL}.set(name, value))"
        self.page.evaluate(code, [index, traits])

    def let_timers_run(self, rounds=8):
        """Come back after so many rounds of the page's own timer, each as long as a player's frame.

        What the page would do by itself meanwhile is done then, on a slow machine too: timers keep their order.
        """
        self.page.evaluate(
            """async (rounds) => {
              for (let i = 0; i < rounds; i++) await new Promise((done) => setTimeout(done, 50));
              await new Promise((done) => requestAnimationFrame(done));
            }""",
            rounds,
        )

    def press_when(self, condition, name):
        """Press the button of this name as soon as the condition holds, before the page does anything else."""
        self.page.wait_for_function(
            f"""(name) => {{
              if (!({condition})) return false;
              Array.from(document.querySelectorAll("button")).find((one) => one.textContent === name).click();
              return true;
            }}""",
            arg=name,
        )

    def pixels(self, index=0):
        """What the canvas with this number on the page shows: uint8 (H, W, 3)."""
        width, height, values = self.page.evaluate(
            """(i) => {
              const canvas = document.querySelectorAll('canvas')[i];
              // a copy, as Chromium complains of reading often from one that is there to be seen
              const paper = new OffscreenCanvas(canvas.width, canvas.height);
              const copy = paper.getContext('2d', {willReadFrequently: true});
              copy.drawImage(canvas, 0, 0);
              const data = copy.getImageData(0, 0, canvas.width, canvas.height).data;
              return [canvas.width, canvas.height, Array.from(data)];
            }""",
            index,
        )
        return np.array(values, np.uint8).reshape(height, width, 4)[..., :3]

    def facts(self, index=0):
        """The words and numbers below a widget, {word: value as shown}."""
        code = """(i) => Array.from(document.querySelectorAll('[data-widget]')[i].querySelectorAll('.dw-facts > div'),
          (d) => [d.querySelector('dt').textContent, d.querySelector('dd').textContent])"""
        self.wait_for_numbers()
        return dict(self.page.evaluate(code, index))

    def wait_for_numbers(self):
        """Wait until new facts, which follow 50 milliseconds after their picture, are there."""
        self.page.evaluate("() => new Promise((done) => setTimeout(done, 60))")

    def curve(self, selector, index=0):
        """The points of an SVG polyline, (N, 2), in the plot's own units of pixels."""
        code = "([i, s]) => document.querySelectorAll('[data-widget]')[i].querySelector(s).getAttribute('points')"
        return np.array(self.page.evaluate(code, [index, selector]).split(), float).reshape(-1, 2)

    def quiet(self):
        """Nothing asked of another host, no complaint."""
        return self.foreign == [] and self.complaints == []


def corners(polygon):
    return np.array(polygon.get_attribute("points").split(), float).reshape(-1, 2)


def plotted(values, x, y, log=False):
    """Points in the units of a plot of 360 x 220, {what is on the axes: from where to where}."""
    up = np.log10 if log else np.asarray
    low, high = up(y[0]), up(y[1])
    return np.stack(
        [
            48 + (values[0] - x[0]) / (x[1] - x[0]) * 300,
            180 - (up(values[1]) - low) / (high - low) * 170,
        ],
        axis=1,
    )


def assert_shown(shown, values, digits):
    """The numbers shown are the values, rounded to so many digits; one that lies between two may be either."""
    values = np.atleast_1d(np.asarray(values, dtype=np.float64))
    unit = 10.0 ** (np.floor(np.log10(np.abs(values).clip(1e-12))) + 1 - digits)
    assert (np.abs(np.atleast_1d(shown) - values) <= 0.501 * unit).all(), (shown, values)
