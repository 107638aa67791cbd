"""Time how a built page comes on a slow machine: its first text, its first equation, and all of it.

    python tools/time_pages.py                          chapter 3, CPU throttled four times, five openings
    python tools/time_pages.py --page book/06_unet      another page
    python tools/time_pages.py --site _build/html --site ../other/_build/html      two builds, opened in turns

A page is opened in headless Chromium whose CPU is throttled (CDP's Emulation.setCPUThrottlingRate, which slows the
page's main thread), over loopback http, each time with an empty cache. Seconds from the start of the navigation to

    text        the first paint of text (First Contentful Paint)
    equation    the frame after the first displayed equation is in the document
    written     the end of the load event: everything parsed, every script run, every style sheet and picture there
    quiet       the end of the last task over 50 ms, before two seconds without one: nothing is left to do
    end         after that, from a jump to the last displayed equation to the frame in which it and all above are set

"all" is quiet + end, the longest way to any place of the page: what the browser puts off until it is seen counts too.
Other work on the machine makes the times longer, so the first line says how busy it was. The processor's seconds
(CDP's Performance.getMetrics) hardly depend on that: compare them, and builds opened in turns.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "viz"), str(ROOT / "book" / "_ext")]

import chromium  # noqa: E402
from stands import PATIENCE, Served  # noqa: E402

LIMITS = {"text": 2, "equation": 2, "all": 5}  # seconds
SPENT = {
    "style": "RecalcStyleDuration",
    "layout": "LayoutDuration",
    "script": "ScriptDuration",
    "tasks": "TaskDuration",
}

WATCH = """
  window.busy = 0;
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) busy = Math.max(busy, task.startTime + task.duration);
  }).observe({ type: "longtask", buffered: true });
  const look = () => {
    if (!document.querySelector(".katex-display")) requestAnimationFrame(look);
    else requestAnimationFrame(() => (window.equation = performance.now()));
  };
  requestAnimationFrame(look);
"""
QUIET = """() => {
  const [page] = performance.getEntriesByType("navigation");
  return document.fonts.status === "loaded" && page.loadEventEnd > 0 && window.equation > 0
    && performance.now() - Math.max(busy, page.loadEventEnd) > 2000;
}"""
TIMES = """() => {
  const [page] = performance.getEntriesByType("navigation");
  const [text] = performance.getEntriesByName("first-contentful-paint");
  const written = page.loadEventEnd;
  const times = { text: text.startTime, equation, written, quiet: Math.max(busy, written) };
  return Object.fromEntries(Object.entries(times).map(([name, time]) => [name, time / 1000]));
}"""
# What is put off until it is seen is set when the place stays the same for two frames.
END = """() => new Promise((done) => {
  const begun = performance.now(), place = [...document.querySelectorAll(".katex-display")].at(-1);
  let last = [];
  const look = () => {
    place.scrollIntoView({ behavior: "instant" });
    const { top, bottom } = place.getBoundingClientRect(), now = [top, bottom, scrollY];
    if (place.checkVisibility({ contentVisibilityAuto: true }) && now.every((value, i) => value === last[i]))
      done((performance.now() - begun) / 1000);
    else requestAnimationFrame(look);
    last = now;
  };
  look();
})"""


def open_page(browser, origin, page, throttle, width, height):
    """Open a page with an empty cache; its times and the processor's seconds by name, and the number of its nodes."""
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    session = context.new_cdp_session(tab)
    session.send("Emulation.setCPUThrottlingRate", {"rate": throttle})
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    tab.add_init_script(WATCH)
    tab.goto(f"{origin}/{page}.html", wait_until="commit")
    tab.wait_for_function(QUIET, polling=200)
    times = tab.evaluate(TIMES)
    spent = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    times["end"] = tab.evaluate(END)
    times["all"] = times["quiet"] + times["end"]
    context.close()
    return times | {name: spent[metric] for name, metric in SPENT.items()} | {"nodes": spent["Nodes"]}


def main():
    parser = argparse.ArgumentParser(description="Time how a built page comes on a slow machine.")
    parser.add_argument("--site", action="append", help="a built book; several are opened in turns (_build/html)")
    parser.add_argument("--page", default="book/03_posterior", help="which page (book/03_posterior)")
    parser.add_argument("--throttle", type=float, default=4, help="how many times slower the CPU should be (4)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is opened (5)")
    parser.add_argument("--width", type=int, default=1440, help="of the window, in pixels (1440)")
    options = parser.parse_args()
    sites = [Path(site) for site in options.site or [ROOT / "_build" / "html"]]
    for site in sites:
        if not (site / f"{options.page}.html").is_file():
            sys.exit(f"{site}: there is no {options.page}.html: run `make book` first")
    servers = [Served(site) for site in sites]
    with chromium.launch_to_time(f", CPU throttled {options.throttle:g} times") as browser:
        size = options.width, 900
        found = [[] for _ in sites]
        for _ in range(options.rounds):
            for server, rounds in zip(servers, found, strict=True):
                rounds.append(open_page(browser, server.origin, options.page, options.throttle, *size))
    for server in servers:
        server.close()
    for site, rounds in zip(sites, found, strict=True):
        print(f"{site}, {options.page}, {rounds[0]['nodes']:,.0f} nodes: medians of {len(rounds)} (lowest to highest)")
        for name in rounds[0]:
            if name == "nodes":
                continue
            times = [one[name] for one in rounds]
            limit = LIMITS.get(name)
            verdict = f", {'within' if np.median(times) <= limit else 'over'} {limit} s" if limit else ""
            print(f"  {name:9} {np.median(times):6.2f} s ({min(times):.2f} to {max(times):.2f}){verdict}")


if __name__ == "__main__":
    main()
