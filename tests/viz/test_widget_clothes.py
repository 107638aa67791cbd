"""Clothes in the page: what it draws beside PyTorch, how it is stopped, paused, and told of a broken download."""

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from ddpm_lite.data import FASHION_WORDS
from ddpm_lite.files.weights import PRETRAINED
from ddpm_lite.sampler import last
from ddpm_lite.viz.noise import normals
from ddpm_lite.viz.widgets import DrawClothes
from ddpm_lite.viz.widgets.base import grey
from ddpm_lite.viz.widgets.drawing import walk_as_page
from ddpm_lite.viz.widgets.recorded import read_widget_record

walk_clothes = partial(walk_as_page, "fashion", spacing="leading")
RECORDS = Path(__file__).resolve().parents[2] / "book" / "results" / "widgets"
BETWEEN = {"view": "between", "label": 9}


def recorded(name="draw-clothes", *, few=0, **options):
    widget = DrawClothes.from_record(RECORDS / f"{name}.safetensors", **options)
    if few:
        widget.choices = [few, 25, 50]
        widget.steps = 0
    return widget


def press(one):
    place = one.page.locator("[data-widget]").first
    place.get_by_role("button").first.click()
    return place


def drawn(place, words="Done: "):
    place.get_by_role("status").filter(has_text=words).wait_for()


@pytest.mark.parametrize(("name", "options"), [("draw-clothes", {}), ("draw-clothes-between", BETWEEN)])
def test_records_come_from_the_shipped_weights(name, options):
    _, header = read_widget_record(RECORDS / f"{name}.safetensors", "draw-clothes")
    assert header["weights_sha256"] == hashlib.sha256((PRETRAINED / "fashion.safetensors").read_bytes()).hexdigest()
    assert header["command"] == f"python studies/record_widgets.py {name}"
    assert len(recorded(name, **options).twin()) < 15_000


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), [("draw-clothes", {}), ("draw-clothes-between", BETWEEN)])
def test_records_are_what_is_drawn_now(name, options):
    then = recorded(name, **options)
    now = grey(then.drawn())[None]
    assert np.abs(now.astype(int) - then.pictures).max() <= 2


def test_starts_turn_from_one_noise_to_the_other():
    def begun(*turns):
        walk = walk_as_page("digits", [0] * len(turns), steps=1, seeds=[3] * len(turns), towards=5, turns=turns)
        return next(walk)[1].flatten(1)

    x = begun(0.0, 0.5, 1.0)
    one, other = (torch.tensor(normals(seed, 64), dtype=torch.float32) for seed in (3, 5))
    torch.testing.assert_close(x[0], one)
    torch.testing.assert_close(x[2], other)
    torch.testing.assert_close(x[1], (one + other) / 2**0.5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"network": "digits"}, "network: expected a network with labels, got 'digits'"),
        ({"view": "all"}, "view: expected one of one, kinds, between, got 'all'"),
        ({"label": 10}, r"label: expected a whole number in 0\.\.9"),
        ({"scale": 8.0}, r"scale: expected one of 0\.0, .*, got 8"),
        ({"other": 100}, r"other: expected a whole number in 0\.\.99"),
        ({"share": 13}, r"share: expected a whole number in 0\.\.12"),
        ({"steps": 1000}, "steps: expected one of 10, 25, 50, got 1000"),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        recorded(**options)


def shown(one, first, images):
    """The canvases from number `first` on show these images, within a grey level."""
    for i, image in enumerate(images):
        assert np.abs(one.pixels(first + i)[..., 0].astype(int) - grey(image[0])).max() <= 1


@pytest.mark.html
def test_the_page_draws_what_pytorch_draws(stand):
    one = stand(recorded(few=1, scale=2.0))
    asked = []
    one.page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[1]))
    one.let_timers_run(2)
    assert asked == [], "nothing is loaded before the press"
    place = press(one)
    drawn(place, f"Done: {len(FASHION_WORDS)} kinds from seed 0 at w = 2 in 1 steps")
    assert [name for name in asked if name.endswith(".js")] == ["draw-clothes.js", "fashion.js"]
    walk = walk_clothes(range(10), steps=1, seeds=[0] * 10, scale=2.0)
    shown(one, 3, last(walk)[1])
    assert place.get_by_text("ankle-boot", exact=True).locator("visible=true").count() == 1
    assert one.facts() == {"Time t:": "0", "Pictures:": "10 of 10"}
    place.get_by_label("draw", exact=True).select_option("one picture")
    place.get_by_label("scale").fill("0")
    place.get_by_label("turned towards it").fill("4")
    drawn(place, "Done: bag from seed 0 at w = 0 in 1 steps")
    walk = walk_clothes([8], steps=1, seeds=[0], towards=1, turns=[1 / 3])
    shown(one, 1, last(walk)[1])


# In the page: what goes from worker to worker, where these have a port to each other.
BETWEEN_WORKERS = """
window.ports = [];
window.jobs = [];
const Real = Worker, wait = setTimeout;
window.setTimeout = (then, later, ...more) => wait(then, later === 5000 ? 300000 : later, ...more);
window.Worker = class extends Real {
  postMessage(message, moved) {
    if (message.port) window.ports.push(message.port);
    if (message.walks) window.jobs.push(message);
    super.postMessage(message, moved);
  }
};"""


@pytest.mark.html
def test_two_workers_share_the_evaluations_of_one_guided_picture(stand):
    one = stand(recorded(few=3, view="one", label=8, scale=2.0), init=BETWEEN_WORKERS)
    place = press(one)
    drawn(place, "Done: bag from seed 0 at w = 2 in 3 steps")
    shown(one, 1, last(walk_clothes([8], steps=3, seeds=[0], scale=2.0))[1])
    assert one.page.evaluate("ports.length") == 2
    assert one.page.evaluate("jobs.map((one) => [one.aid, one.walks.length])") == [[True, 1], [True, 0]]
    # many pictures are not shared, and one that follows at once on these is not disturbed by them
    place.get_by_label("draw", exact=True).select_option("one noise in all kinds")
    place.get_by_label("draw", exact=True).select_option("one picture")
    drawn(place, "Done: bag from seed 0 at w = 2 in 3 steps")
    shown(one, 1, last(walk_clothes([8], steps=3, seeds=[0], scale=2.0))[1])
    assert one.page.evaluate("jobs.slice(2).map((one) => one.aid)") == [False, False, True, True]


@pytest.mark.html
def test_another_row_of_pictures_comes_with_its_first_picture(stand):
    one = stand(recorded(few=3, view="one", label=8, scale=0.0))
    place = press(one)
    drawn(place, "Done: bag from seed 0 at w = 0 in 3 steps")
    row = place.locator(".dw-row").filter(has=one.page.locator("figcaption", has_text="bag")).last
    choose = """(list, n) => {
      list.value = n;
      list.dispatchEvent(new Event("input", { bubbles: true }));
      return [...list.closest(".ddpm-widget").querySelectorAll(".dw-row")].map((row) => row.hidden);
    }"""
    listed = place.get_by_label("draw", exact=True)
    assert listed.evaluate(choose, 1).count(True) == 1  # at once: the row is not there yet
    drawn(place, "Done: 10 kinds from seed 0 at w = 0 in 3 steps")
    assert row.is_visible()
    assert row.locator("figure:visible").count() == 10
    assert listed.evaluate(choose, 1).count(True) == 0  # the same row stays
    assert listed.evaluate(choose, 0).count(True) == 1


@pytest.mark.html
def test_pictures_between_two_noises_are_pytorchs_without_workers(stand):
    refused = "window.Worker = class { constructor() { throw new Error('refused'); } };"
    one = stand(recorded("draw-clothes-between", few=1, scale=0.0, seed=4, **BETWEEN), init=refused)
    place = press(one)
    drawn(place, "Done: 7 times ankle-boot from seed 4 to seed 1")
    turns = [stop / 6 for stop in range(7)]
    shown(one, 3, last(walk_clothes([9] * 7, steps=1, seeds=[4] * 7, towards=1, turns=turns))[1])


@pytest.mark.html
def test_a_drawing_says_how_long_it_takes_is_stopped_and_pauses_in_the_background(stand):
    hide = """window.away = false;
    Object.defineProperty(document, "hidden", { get: () => window.away });
    window.hide = (now) => { window.away = now; document.dispatchEvent(new Event("visibilitychange")); };
    window.seen = [];
    new MutationObserver(() => {
      document.querySelectorAll("[role=status]").forEach((line) => window.seen.push(line.textContent));
    }).observe(document, { subtree: true, childList: true, characterData: true });"""
    one = stand(recorded(few=40), init=hide)
    page, place = one.page, press(one)
    bar = "document.querySelector('[data-widget] progress').value"
    place.get_by_role("button", name="Stop").wait_for()
    page.wait_for_function(f"{bar} > 0")
    assert page.evaluate("seen.some((line) => /^Drawing 10 kinds .*, in about [0-9.e+]+ s\\.$/.test(line))")
    page.evaluate("hide(true)")
    one.let_timers_run(4)
    before = page.evaluate(bar)
    one.let_timers_run(8)
    assert page.evaluate(bar) == before, "a tab in the background waits"
    page.evaluate("hide(false)")
    page.wait_for_function(f"{bar} > {before}")
    place.get_by_role("button", name="Stop").click()
    drawn(place, "Stopped after ")
    one.let_timers_run(4)
    before = page.evaluate(bar)
    one.let_timers_run(4)
    assert page.evaluate(bar) == before
    assert place.get_by_role("button", name="Draw another").is_visible()


@pytest.mark.html
def test_a_broken_download_is_told_and_may_be_tried_again(stand, tmp_path):
    one = stand(recorded(few=1, view="one", scale=0.0))
    path = tmp_path / "networks" / "fashion.js"
    whole = path.read_text()
    path.write_text(whole.replace("!", "#", 1))
    place = press(one)
    words = "This widget could not start, so its figure stays. The network's file is damaged."
    place.get_by_role("alert").wait_for()
    assert place.get_by_role("alert").inner_text() == words
    assert place.locator(".ddpm-widget-still").is_visible()
    path.write_text(whole)
    press(one)
    drawn(place)
    assert place.get_by_role("alert").count() == 0
