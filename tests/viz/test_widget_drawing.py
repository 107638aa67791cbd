"""The widgets that run a network: their records, what the page draws beside PyTorch, and what happens if it cannot."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import record_widgets
import torch
from axe_playwright_python.sync_playwright import Axe

from ddpm_lite.files.weights import PRETRAINED
from ddpm_lite.viz.noise import normals
from ddpm_lite.viz.widgets import DrawDigit, FewerSteps, GuidanceRows
from ddpm_lite.viz.widgets.base import grey
from ddpm_lite.viz.widgets.drawing import open_network, walk_as_page
from ddpm_lite.viz.widgets.recorded import read_widget_record

RECORDS = Path(__file__).resolve().parents[2] / "book" / "results" / "widgets"
KINDS = (DrawDigit, GuidanceRows, FewerSteps)

# What workers post, for a test to look at.
LISTEN = """
window.heard = [];
const Real = Worker;
window.Worker = class extends Real {
  constructor(address) {
    super(address);
    this.addEventListener("message", ({ data }) => window.heard.push(data));
  }
};"""
REFUSE = {
    "at once": "window.Worker = class { constructor() { throw new Error('refused'); } };",
    "later": """window.Worker = class {
      constructor() { setTimeout(() => this.onerror({ preventDefault() {} }), 50); }
      terminate() {}
    };""",
}


def recorded(kind, **options):
    return kind.from_record(RECORDS / f"{kind.name}.safetensors", **options)


def press(one, index=0):
    """Start a widget, and wait until it has drawn."""
    place = one.page.locator("[data-widget]").nth(index)
    place.get_by_role("button").first.click()
    done(place)
    return place


def done(place):
    place.get_by_role("status").filter(has_text="Done: ").wait_for()


def drawn_anew(one, place, **traits):
    """Set traits, as controls would, and wait for the end of the drawing that follows."""
    place.page.evaluate("() => { window.heard = []; }")
    one.set(**traits)
    place.page.wait_for_function("() => window.heard.some((m) => m.done)")
    done(place)
    frames = "window.heard.flatMap((m) => m.frames).map(({ t, which, x, image }) => [t, which, [...x], [...image]])"
    return place.page.evaluate(frames)


@pytest.mark.parametrize("kind", KINDS)
def test_records_come_from_the_shipped_weights(kind):
    _, header = read_widget_record(RECORDS / f"{kind.name}.safetensors", kind.name)
    weights = (PRETRAINED / f"{recorded(kind).network}.safetensors").read_bytes()
    assert header["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert header["command"] == f"python studies/record_widgets.py {kind.name}"


@pytest.mark.parametrize("kind", [DrawDigit, GuidanceRows, pytest.param(FewerSteps, marks=pytest.mark.slow)])
def test_records_are_what_is_drawn_now(kind):
    now, then = kind().pictures, recorded(kind).pictures
    assert now.shape == then.shape
    assert np.abs(now.astype(int) - then).max() <= 1
    assert kind.name in record_widgets.RECORDS


def test_walk_starts_from_the_pages_noise_and_holds_what_the_network_says():
    widget = DrawDigit(recorded(DrawDigit).pictures, label=7, seed=3, steps=10, sampler="ddpm", clip=False)
    frames = list(widget.walk())
    assert [t for t, *_ in frames] == [1000, 900, 800, 700, 600, 500, 400, 300, 200, 100, 0]
    np.testing.assert_allclose(frames[0][1].flatten(), normals(3, 64), rtol=1e-6)
    model, schedule = open_network("digits-by-label")
    t, x_t, x_0_hat, z_hat = frames[4]
    with torch.no_grad():
        torch.testing.assert_close(z_hat, model(x_t, t, torch.tensor([7])))
    back = schedule.alpha_bar[t].sqrt() * x_0_hat + schedule.one_minus_alpha_bar[t].sqrt() * z_hat
    torch.testing.assert_close(back.float(), x_t)
    torch.testing.assert_close(frames[-1][1], frames[-1][2])


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (DrawDigit, {"network": "cifar"}, "network: expected one of digits, .*, got 'cifar'"),
        (DrawDigit, {"label": 11}, r"label: expected a whole number in 0\.\.10"),
        (DrawDigit, {"seed": 100}, r"seed: expected a whole number in 0\.\.99"),
        (DrawDigit, {"sampler": "euler"}, "sampler: expected one of ddim, ddpm, got 'euler'"),
        (DrawDigit, {"variance": "big"}, "variance: expected one of beta_tilde, beta, got 'big'"),
        (DrawDigit, {"spacing": "even"}, "spacing: expected one of trailing, leading, got 'even'"),
        (DrawDigit, {"steps": 11}, "steps: expected one of 10, 50, 200, 1000, got 11"),
        (GuidanceRows, {"scale": 3}, r"scale: expected one of -1\.0, .*, got 3"),
        (GuidanceRows, {"network": "digits"}, "network: expected a network with labels, got 'digits'"),
        (GuidanceRows, {"steps": 1000}, "steps: expected one of 10, 20, 50, got 1000"),
        (FewerSteps, {"sampler": "ddpm", "variance": 1}, "variance: expected one of beta_tilde, beta, got 1"),
    ],
)
def test_bad_state_is_one_line(plain, kind, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        kind(recorded(kind).pictures, **options)
    assert "\n" not in str(caught.value)


def test_no_guidance_without_labels():
    with pytest.raises(ValueError, match="^scale: "):
        walk_as_page("digits", [0], steps=10, seeds=[0], scale=2.0)


@pytest.mark.parametrize("kind", KINDS)
def test_twin_holds_no_network(kind):
    assert len(recorded(kind).twin()) < 10_000


@pytest.mark.html
def test_page_draws_what_pytorch_draws_for_all_ten_labels(stand):
    one = stand(recorded(DrawDigit, label=0), init=LISTEN)
    place = press(one)
    *_, (_, expected) = walk_as_page("digits-by-label", range(10), steps=50, seeds=[8] * 10)
    drawn_anew(one, place, seed=8)
    for label in range(10):
        if label:
            frames = drawn_anew(one, place, label=label)
        else:
            frames = drawn_anew(one, place, clip=False) and drawn_anew(one, place, clip=True)
        assert [t for t, *_ in frames] == list(range(1000, -1, -20))
        np.testing.assert_allclose(frames[-1][2], expected[label].flatten(), atol=1e-4)
    assert one.page.evaluate("document.activeElement.tagName") == "SELECT"


def shown(one, first, images):
    """The canvases from number `first` on show these images, within a grey level."""
    for i, image in enumerate(images):
        assert np.abs(one.pixels(first + i)[..., 0].astype(int) - grey(image[0])).max() <= 1


@pytest.mark.html
@pytest.mark.transports
def test_digit_can_be_walked_step_by_step(stand):
    one = stand(recorded(DrawDigit, steps=10, label=5, seed=1))
    place = press(one)
    frames = list(DrawDigit(recorded(DrawDigit).pictures, steps=10, label=5, seed=1).walk())
    walk = place.get_by_label("progress")
    assert one.get("frame") == 10
    walk.focus()
    for number, key in ((0, "Home"), (1, "ArrowRight"), (10, "End"), (9, "ArrowLeft")):
        one.page.keyboard.press(key)
        assert one.get("frame") == number
        t, *parts = frames[number]
        assert walk.get_attribute("aria-valuetext") == f"t = {t}"
        shown(one, 0, [part[0] for part in parts])
        assert one.facts()["Time t:"] == str(t)
        largest = float(frames[number][2].abs().max())
        assert abs(float(one.facts()["Largest value in x̂₀:"]) - largest) < 2e-3 * largest
        assert one.page.locator("canvas").first.get_attribute("aria-label") == f"xₜ, the noisy image, at t = {t}"
    place.get_by_role("button", name="Step back").press("Enter")
    assert one.get("frame") == 8
    place.get_by_role("button", name="Play").click()
    one.page.wait_for_function("document.querySelector('[data-widget]').model.get('frame') === 10")
    place.get_by_role("button", name="Play").wait_for()
    place.get_by_role("button", name="Draw another").click()
    one.page.wait_for_function("document.querySelector('[data-widget]').model.get('seed') === 2")
    place.get_by_role("status").filter(has_text="Done: a 5 from seed 2 by DDIM in 10 steps").wait_for()
    assert place.get_by_label("variance").is_disabled()
    place.get_by_label("sampler").select_option("DDPM")
    place.get_by_role("status").filter(has_text="by DDPM in 10 steps").wait_for()
    assert place.get_by_label("variance").is_enabled()
    place.get_by_label("times").select_option("leading")
    place.get_by_role("status").filter(has_text="Done: a 5 from seed 2 by DDPM in 10 steps at leading times").wait_for()
    settings = {"steps": 10, "label": 5, "seed": 2, "sampler": "ddpm", "spacing": "leading"}
    frames = list(DrawDigit(recorded(DrawDigit).pictures, **settings).walk())
    assert [t for t, *_ in frames] == [*range(901, 0, -100), 0]
    for number in (0, 9, 10):
        one.set(frame=number)
        t, *parts = frames[number]
        assert one.facts()["Time t:"] == str(t)
        shown(one, 0, [part[0] for part in parts])
    place.get_by_label("steps").select_option("1000")
    assert place.get_by_label("times").is_disabled(), "with all steps there is one list of times"


@pytest.mark.html
def test_less_motion_shows_the_ends_only(stand):
    count = "const put = CanvasRenderingContext2D.prototype.putImageData; window.painted = 0;"
    count += "CanvasRenderingContext2D.prototype.putImageData = function (...a) { painted += 1; put.apply(this, a); };"
    one = stand(recorded(DrawDigit), reduced_motion="reduce", init=count)
    place = press(one)
    assert one.page.evaluate("painted") == 6, "x_T and the end, three pictures each"
    assert not place.get_by_role("button", name="Play").is_visible()
    assert one.get("frame") == 50


@pytest.mark.html
def test_rows_are_drawn_at_the_chosen_scale(stand):
    one = stand(recorded(GuidanceRows, steps=10))
    place = press(one)
    widget = GuidanceRows(recorded(GuidanceRows).pictures, steps=10)
    for scale in (2.0, -1.0):
        if scale < 0:
            place.get_by_label("scale").focus()
            one.page.keyboard.press("Home")
            place.get_by_role("status").filter(has_text="Done: 4 of each label at w = \u22121").wait_for()
            widget.chosen = 0
        x = widget.drawn()
        rows = torch.zeros(10, 1, 8, 35)
        for column in range(4):
            rows[..., 9 * column : 9 * column + 8] = x[:, column]
        shown(one, 0, rows)
        apart = float((x[:, 1:] - x[:, :1]).abs().mean())
        assert abs(float(one.facts()["Mean difference within a label, per pixel:"]) - apart) < 2e-3 * apart
        assert one.facts()["Images:"] == "40"


@pytest.mark.html
@pytest.mark.slow
def test_the_same_noise_in_few_steps_and_in_many(stand):
    one = stand(recorded(FewerSteps))
    press(one)
    x = FewerSteps(recorded(FewerSteps).pictures).drawn()
    shown(one, 0, x)
    far = (x - x[-1]).abs().mean(dim=(1, 2, 3))
    for steps, distance in zip((10, 50, 200), far, strict=False):
        found = float(one.facts()[f"{steps} steps, mean difference from 1000:"])
        assert abs(found - float(distance)) < 2e-3 * float(distance) + 1e-5


@pytest.mark.html
@pytest.mark.parametrize("how", REFUSE)
@pytest.mark.transports
def test_without_workers_the_page_draws_itself(how, stand):
    one = stand(recorded(DrawDigit, steps=10), init=REFUSE[how])
    place = press(one)
    *_, (_, _, image, _) = DrawDigit(recorded(DrawDigit).pictures, steps=10).walk()
    shown(one, 0, [image[0]])
    place.get_by_label("label").select_option("4")
    place.get_by_role("status").filter(has_text="Done: a 4 ").wait_for()


@pytest.mark.html
@pytest.mark.parametrize("change", [lambda text: text.replace("AAA", "AAB", 1), lambda text: text[:-9000] + "');"])
@pytest.mark.transports
def test_damaged_network_is_one_line_and_others_draw(change, stand, tmp_path):
    one = stand(recorded(DrawDigit), recorded(DrawDigit, network="digits", label=None, steps=10))
    path = tmp_path / "networks" / "digits-by-label.js"
    path.write_text(change(path.read_text()))
    first, second = one.page.locator("[data-widget]").all()
    first.get_by_role("button").click()
    first.get_by_role("alert").wait_for()
    words = "This widget could not start, so its figure stays. The network's file is damaged."
    assert first.get_by_role("alert").inner_text() == words
    assert first.locator(".ddpm-widget-still").is_visible()
    press(one, 1)
    assert second.get_by_label("label").count() == 0, "a network without labels"


@pytest.mark.html
def test_networks_share_a_page_and_pass_axe_when_they_have_drawn(stand):
    one = stand(
        recorded(DrawDigit, steps=10), recorded(DrawDigit, network="digits", label=None, steps=10), theme="dark"
    )
    for index in (0, 1):
        press(one, index)
    found = [one.pixels(3 * index)[..., 0] for index in (0, 1)]
    *_, (_, by_label) = walk_as_page("digits-by-label", [3], steps=10, seeds=[0])
    *_, (_, alone) = walk_as_page("digits", [0], steps=10, seeds=[0])
    for image, expected in zip(found, (by_label, alone), strict=True):
        assert np.abs(image.astype(int) - grey(expected[0, 0])).max() <= 1
    response = Axe().run(one.page, options={"resultTypes": ["violations"], "preload": False}).response
    assert [v["id"] for v in response["violations"] if v["impact"] in ("serious", "critical")] == []
