"""The reverse path: its record, its frames, and the page."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import record_widgets
import torch
from safetensors import safe_open

from ddpm_lite import linear_schedule, sampler
from ddpm_lite.files.weights import load_pretrained
from ddpm_lite.process import predict_x_0
from ddpm_lite.viz.widgets import ReversePath
from ddpm_lite.viz.widgets.base import grey
from ddpm_lite.viz.widgets.recorded import read_widget_record

RECORD = Path(__file__).resolve().parents[2] / "book" / "results" / "widgets" / "reverse-path.safetensors"


@pytest.fixture
def walked():
    """A walk of five frames with three coloured images, in noise that leaves [-1, 1]."""
    rng = np.random.default_rng(0)
    x_t, x_0_hat = rng.normal(size=(2, 5, 3, 3, 6, 4))
    return ReversePath(x_t, x_0_hat, (40, 30, 20, 10, 0))


@pytest.mark.parametrize("name", record_widgets.RECORDS)
def test_records_come_from_the_shipped_weights(name):
    model, _ = record_widgets.RECORDS[name]
    with safe_open(RECORD.with_name(f"{name}.safetensors"), framework="np") as file:
        header = file.metadata()
    if model is None:  # real images, or points of the plane
        assert "weights" not in header
    else:
        weights = record_widgets.find_weights(model).read_bytes()
        assert header["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert header["command"] == f"python studies/record_widgets.py {name}"
    assert int(header["seed"]) >= 0


def test_a_record_is_read_by_its_own_widget_only():
    assert read_widget_record(RECORD, "reverse-path")[1]["widget"] == "reverse-path"
    with pytest.raises(ValueError, match=r"^path: expected a record for guidance-dial, got 'reverse-path.safetensors'"):
        read_widget_record(RECORD, "guidance-dial")


def test_record_starts_as_the_chapters_noise_and_ends_in_one_image(plain):
    widget = ReversePath.from_record(RECORD)
    assert (widget.times[0], widget.times[-1], widget.count, widget.size) == (1000, 0, 8, [1, 8, 8])
    start = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))[:8]
    np.testing.assert_allclose(widget.frames("x_t")[0], grey(start), atol=1)
    np.testing.assert_array_equal(widget.frames("x_t")[-1], widget.frames("x_0_hat")[-1])
    assert widget.from_the_end() > 0.3
    widget.frame = len(widget.times) - 1
    assert widget.from_the_end() == 0
    assert len(widget.twin()) < 250_000


def test_record_is_what_the_model_answers():
    """The second frame, some fifty steps from the noise, computed here; processors differ in the last digits."""
    widget, (model, schedule) = ReversePath.from_record(RECORD), load_pretrained("digits")
    second = widget.times[1]
    assert 900 < second < 1000
    walk = sampler.sample(model, schedule, (16, 1, 8, 8), seed=0)
    x_t = next(x_t for t, x_t in walk if t == second)
    with sampler.evaluating(model), torch.no_grad():
        x_0_hat = predict_x_0(schedule, x_t, second, model(x_t, second, None))
    np.testing.assert_allclose(widget.frames("x_t")[1].astype(int), grey(x_t[:8]), atol=1)
    np.testing.assert_allclose(widget.frames("x_0_hat")[1].astype(int), grey(x_0_hat[:8]), atol=2)


def test_live_model():
    schedule = linear_schedule(20, 0.005, 0.999)
    widget = ReversePath.from_model(lambda x_t, t, context: torch.zeros_like(x_t), schedule, samples=2)
    assert widget.times == list(range(20, -1, -1))
    assert widget.frames("x_t").shape == (21, 2, 1, 8, 8)
    # z_hat = 0, so that x_0_hat is x_t, made larger
    signal = schedule.alpha_bar[1].sqrt()
    x_1, in_mind = (widget.frames(name)[-2] / 127.5 - 1 for name in ("x_t", "x_0_hat"))
    np.testing.assert_allclose(in_mind, np.clip(x_1 / float(signal), -1, 1), atol=2 / 127.5)


def test_observed(walked):
    seen = []
    walked.observe(lambda change: seen.append(change.new), "frame")
    walked.frame = 3
    assert seen == [3]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x_t": torch.zeros(3, 1, 8, 8)}, r"x_t: expected shape \(frames, samples, C, H, W\), got"),
        ({"x_t": torch.full((2, 1, 1, 8, 8), float("nan"))}, "x_t: expected finite values, got NaN or infinity"),
        ({"x_t": torch.zeros(2, 1, 2, 8, 8)}, "x_t: expected one channel or three"),
        ({"x_t": torch.zeros(2, 1, 1, 8, 8, dtype=torch.uint8)}, "x_t: expected a floating-point tensor"),
        ({"x_t": [[0.0]]}, "x_t: expected a tensor or an array"),
        ({"x_0_hat": torch.zeros(2, 2, 1, 8, 8)}, "x_0_hat: expected the shape of x_t"),
        ({"times": (0, 10)}, "times: expected decreasing numbers"),
        ({"times": (10,)}, "times: expected 2 numbers, one for each frame, got 1"),
        ({"frame": 2}, r"frame: expected a whole number in 0\.\.1"),
        ({"sample": 2}, r"sample: expected a whole number in 0\.\.1"),
    ],
)
def test_bad_state_is_one_line(plain, changed, words):
    images = torch.zeros(2, 1, 1, 8, 8)
    good = {"x_t": images, "x_0_hat": images, "times": (10, 0)}
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        ReversePath(**good | changed)
    assert "\n" not in str(caught.value)


def test_missing_or_wrong_record_names_the_command(tmp_path):
    missing = (
        r"path: expected a record for reverse-path, got no file .*; make it with `python studies/record_widgets.py`"
    )
    with pytest.raises(FileNotFoundError, match=missing):
        ReversePath.from_record(tmp_path / "reverse-path.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(RECORD.read_bytes()[:1000])
    with pytest.raises(ValueError, match="got a damaged file, 'damaged.safetensors'; make it with `python"):
        ReversePath.from_record(damaged)
    with pytest.raises(
        ValueError, match="got 'self-attention.safetensors', which is for another widget; make it with `python studies/"
    ):
        ReversePath.from_record(RECORD.with_name("self-attention.safetensors"))


def agrees(page, widget):
    """The visible canvases show what NumPy says, within a grey level."""
    shown = [*widget.shown("x_t"), *widget.shown("x_0_hat")]
    canvases = page.page.evaluate(
        "Array.from(document.querySelectorAll('canvas')).flatMap((c, i) => (c.checkVisibility() ? [i] : []))"
    )
    assert len(canvases) == len(shown)
    for i, image in zip(canvases, shown, strict=True):
        expected = np.broadcast_to(image.transpose(1, 2, 0), (*image.shape[1:], 3)).astype(int)
        assert np.abs(page.pixels(i) - expected).max() <= 1


@pytest.mark.html
def test_page_shows_numpys_pixels_and_numbers(stand, walked):
    page, other = stand(walked), stand(ReversePath.from_record(RECORD))
    for one, widget in ((page, walked), (other, ReversePath.from_record(RECORD))):
        for frame, sample in ((0, 0), (3, 1), (len(widget.times) - 2, widget.count)):
            one.set(frame=frame, sample=sample)
            widget.frame, widget.sample = frame, sample
            agrees(one, widget)
            facts = one.facts()
            assert facts["Time t:"] == str(widget.times[frame])
            changes = float(facts["Mean distance of x̂₀ from the end, per pixel:"].replace("\u2212", "-"))
            assert changes == pytest.approx(widget.from_the_end(), rel=1e-3)


@pytest.mark.html
def test_keyboard(stand, walked):
    page = stand(walked, reduced_motion="reduce")
    slider = page.page.get_by_label("progress")
    slider.focus()
    page.page.keyboard.press("ArrowRight")
    assert page.get("frame") == 1
    assert slider.get_attribute("aria-valuetext") == "t = 30"
    page.page.keyboard.press("End")
    assert page.get("frame") == 4
    assert not page.page.get_by_role("button", name="Play").is_visible()
    page.page.get_by_role("button", name="Step back").press("Enter")
    assert page.get("frame") == 3
    page.page.get_by_role("button", name="Step forward").press("Space")
    assert page.get("frame") == 4
    page.page.get_by_role("button", name="Step back").press("Enter")
    page.page.get_by_label("show").focus()
    page.page.keyboard.press("ArrowDown")
    assert page.get("sample") == 1
    assert page.page.locator("canvas:visible").count() == 2
    assert (
        page.page.locator("canvas:visible").first.get_attribute("aria-label") == "Sample 1 at t = 10: the noisy image"
    )


@pytest.mark.html
def test_play_walks_to_the_end_and_stops(stand, walked):
    page = stand(walked)
    play = page.page.get_by_role("button", name="Play")
    assert play.evaluate("(one) => { one.click(); return one.textContent; }") == "Pause"
    page.page.wait_for_function("document.querySelectorAll('[data-widget]')[0].model.get('frame') === 4")
    page.page.get_by_role("button", name="Play").wait_for()


@pytest.mark.html
def test_touch_on_a_phone(stand):
    page = stand(ReversePath.from_record(RECORD), viewport={"width": 390, "height": 800}, has_touch=True)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    page.page.get_by_label("progress").tap()  # in its middle
    assert 20 < page.get("frame") < 38
    page.page.get_by_role("button", name="Step forward").tap()
    assert page.page.locator("canvas").nth(7).bounding_box()["x"] > 300  # all eight stand in one row


@pytest.mark.html
def test_damaged_state_is_one_line_and_the_figure_stays(browser, tmp_path, walked):
    from stands import Stand

    page = Stand(
        browser,
        tmp_path,
        [walked, walked],
        damage=lambda twins: twins.replace("&quot;count&quot;:3", "&quot;count&quot;:4", 1),
    )
    assert "x_t: expected 1440 bytes, got 1080" in page.page.get_by_role("alert").inner_text()
    assert page.page.locator(".ddpm-widget-still").first.is_visible()
    assert page.page.locator("[role=group]").count() == 1
    assert page.quiet()
    page.context.close()
