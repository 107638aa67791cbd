"""The forward explorer: its numbers, its twin, and the page, by mouse, finger and keyboard."""

import numpy as np
import pytest
import torch
from stands import corners, plotted

from ddpm_lite import cosine_schedule, linear_schedule
from ddpm_lite.data import load_digits, load_photo
from ddpm_lite.process import q_sample
from ddpm_lite.viz.widgets import ForwardExplorer
from ddpm_lite.viz.widgets.base import grey, read_noise


def explorer(**options):
    """A digit and a photograph, and the three schedules."""
    return ForwardExplorer({"digit": load_digits()[0][3:4], "photo": load_photo()}, **options)


def number(text):
    return float(text.replace("\u2212", "-"))


def test_agrees_with_the_package():
    widget = explorer(image_number=1, schedule_number=1)
    z = torch.from_numpy(read_noise(widget.noise)[-3 * 64 * 64 :].reshape(1, 3, 64, 64))
    for t in (1, 300, 1000):
        expected = q_sample(cosine_schedule(), load_photo().double(), t, z)[0]
        # Half a grey level is lost when the image is stored.
        np.testing.assert_allclose(widget.x_t(t), expected, atol=0.51 / 127.5)


def test_histogram_is_a_density():
    widget = explorer(t=0)
    assert widget.histogram().sum() / 5 == pytest.approx(1)
    assert widget.histogram()[15] > 2  # half of a digit is black: the middle of this bin is -1
    widget.image_number, widget.t = 1, 1000
    middles = np.arange(41) / 5 - 4
    bell = np.exp(-(middles**2) / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(widget.histogram(), bell, atol=4 * np.sqrt(bell.max() * 5 / 12288))


def test_images_come_as_tensor_array_sequence_or_dict():
    digits = load_digits()[0][:3]
    arrays = digits.numpy()
    given = (digits, list(digits), tuple(digits[:, None]), arrays, list(arrays), arrays[:, None], arrays.astype(float))
    assert len({ForwardExplorer(images).twin() for images in given}) == 1
    named = {"a": digits[0], "b": digits[1]}, {"a": arrays[0], "b": arrays[1:2]}
    assert len({ForwardExplorer(images).twin() for images in named}) == 1
    assert ForwardExplorer(digits).names == ("image 1", "image 2", "image 3")
    assert ForwardExplorer({"a": digits[0]}, linear_schedule(10), t=4).T == (10,)


def test_twin_is_the_same_every_time():
    assert explorer().twin() == explorer().twin()
    assert repr(explorer(t=5)) == "ForwardExplorer(image_number=0, schedule_number=0, t=5)"
    assert "the weight of the image is 1, 0.72, 0.28, 0.0064" in explorer().twin()
    assert explorer().twin().count("<img alt=") == 4


def test_traits_can_be_observed():
    widget, seen = explorer(), []
    widget.observe(lambda change: seen.append(change["new"]), "t")
    widget.t = 20
    assert seen == [20]


DIGIT = load_digits()[0][:1]


@pytest.mark.parametrize(
    ("images", "options", "words"),
    [
        ([DIGIT * float("nan")], {}, "images['image 1']: expected finite values, got NaN"),
        ({"dark": DIGIT * 2}, {}, "images['dark']: expected values in [-1, 1], got values in [-2, 1.75]"),
        ([DIGIT.expand(1, 2, 8, 8)], {}, "images['image 1']: expected one channel or three"),
        ([DIGIT[0, 0]], {}, "images['image 1']: expected an image (C, H, W)"),
        (["digit"], {}, "images['image 1']: expected an image (C, H, W) or (1, C, H, W), got str"),
        ({3: DIGIT}, {}, "images: expected names that are strings, got 3"),
        ([], {}, "images: expected at least one item, in a sequence or a dict, got empty list"),
        (
            torch.zeros(0, 1, 8, 8),
            {},
            "images: expected at least one item, in a sequence or a dict, got float32 tensor",
        ),
        (torch.zeros(()), {}, "images: expected at least one"),
        (DIGIT.byte(), {}, "images['image 1']: expected a floating-point tensor"),
        (DIGIT.byte().numpy(), {}, "images['image 1']: expected a floating-point tensor"),
        ([DIGIT[0, 0].numpy()], {}, "images['image 1']: expected an image (C, H, W) or (1, C, H, W), got float32"),
        ({"dark": DIGIT.numpy() * 2}, {}, "images['dark']: expected values in [-1, 1], got values in [-2, 1.75]"),
        (DIGIT.numpy() * np.nan, {}, "images['image 1']: expected finite values, got NaN"),
        (np.array(["digit"]), {}, "images: expected an array of numbers, got an array of <U5"),
        (np.zeros((0, 1, 8, 8)), {}, "images: expected at least one item, in a sequence or a dict, got float64 tensor"),
        (torch.zeros(1, 1, 300, 8), {}, "images['image 1']: expected at most 256 pixels a side"),
        (torch.zeros(1, 1, 0, 8), {}, "images['image 1']: expected a non-empty tensor"),
        (DIGIT, {"schedule": "linear"}, "schedule: expected a Schedule or a dict of them, got str"),
        (DIGIT, {"schedule": {}}, "schedule: expected at least one"),
        (DIGIT, {"schedule": {"linear": 0.1}}, "schedule['linear']: expected a Schedule, got float"),
        (DIGIT, {"t": 1001}, "t: expected a whole number in 0..1000"),
        (DIGIT, {"t": 2.5}, "t: expected a whole number in 0..1000"),
        (DIGIT, {"image_number": 1}, "image_number: expected a whole number in 0..0"),
        (DIGIT, {"schedule_number": 3}, "schedule_number: expected a whole number in 0..2"),
        (DIGIT, {"seed": -1}, "seed: expected a whole number >= 0"),
    ],
)
def test_bad_state_is_one_line(plain, images, options, words):
    with pytest.raises((ValueError, TypeError)) as caught:
        ForwardExplorer(images, **options)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


@pytest.mark.html
def test_page_shows_numpys_pixels_and_numbers(stand):
    widget = explorer()
    page = stand(widget)
    for image, rule, t in ((0, 0, 0), (0, 1, 40), (1, 2, 1), (1, 0, 260), (1, 1, 1000), (0, 2, 1000)):
        page.set(image_number=image, schedule_number=rule, t=t)
        widget.image_number, widget.schedule_number, widget.t = image, rule, t
        x, share = widget.x_t(), float(widget.schedule().alpha_bar[t])
        shown = page.pixels().transpose(2, 0, 1).astype(int)
        assert np.abs(shown - grey(x)).max() <= 1
        z = (read_noise(widget.noise)[64:] if image else read_noise(widget.noise)[:64]).reshape(x.shape)
        for canvas, part in ((1, widget.x_t(0)), (2, z)):
            assert np.abs(page.pixels(canvas).transpose(2, 0, 1).astype(int) - grey(part)).max() <= 1
        words = ", ".join(page.facts().values()).split(", ")
        values = dict(zip(("kept", "added", "ratio", "mean", "deviation"), words, strict=True))
        expected = {"kept": share**0.5, "added": (1 - share) ** 0.5, "mean": x.mean(), "deviation": x.std()}
        if t:
            expected["ratio"] = share / (1 - share)
        else:
            assert values["ratio"] == "infinite"
        for name, value in expected.items():
            assert number(values[name]) == pytest.approx(value, rel=1e-3, abs=1e-12), (name, t)


@pytest.mark.html
def test_page_draws_numpys_histogram_and_curve(stand):
    widget = explorer(image_number=1, t=500)
    page = stand(widget)
    outline = corners(page.page.locator(".dw-bars"))[1:-1]  # each bar's upper corners, between two on the ground
    bins = (widget.histogram().repeat(2), (np.arange(42) / 5 - 4.1).repeat(2)[1:-1])
    np.testing.assert_allclose(outline, plotted(bins[::-1], (-4, 4), (0, 1)), atol=0.051)

    for rule in (0, 1, 2):
        widget.schedule_number = rule
        page.set(schedule_number=rule)
        share, t = widget.schedule().alpha_bar[1:].numpy(), np.arange(1, 1001)
        expected = plotted((t, share / (1 - share)), (0, 1000), (1e-9, 1e5), log=True)
        np.testing.assert_allclose(page.curve(".dw-line.dw-2:not(.dw-dash)"), expected, atol=0.051)
        np.testing.assert_allclose(corners(page.page.locator(".dw-marker")).mean(axis=0), expected[499], atol=0.051)


@pytest.mark.html
def test_a_shorter_schedule_ends_earlier(stand):
    widget = ForwardExplorer(load_digits()[0][:1], {"long": linear_schedule(), "short": linear_schedule(50)}, t=700)
    page = stand(widget)
    page.page.get_by_label("schedule", exact=True).select_option("short")
    assert page.get("t") == 50
    assert page.page.get_by_label("time t", exact=True).get_attribute("max") == "50"
    assert page.page.get_by_label("time t", exact=True).input_value() == "50"
    page.page.get_by_label("schedule", exact=True).select_option("long")
    assert page.get("t") == 50
    assert page.page.get_by_label("time t", exact=True).input_value() == "50"
    widget.t, widget.schedule_number = 50, 0
    assert np.abs(page.pixels()[..., 0].astype(int) - grey(widget.x_t()[0])).max() <= 1


@pytest.mark.html
def test_keyboard_moves_every_control(stand):
    page = stand(explorer(t=300))
    keys = page.page.keyboard
    page.page.get_by_label("image", exact=True).focus()
    for label, key, trait, value in (
        ("image", "ArrowDown", "image_number", 1),
        ("schedule", "ArrowDown", "schedule_number", 1),
        ("time t", "ArrowRight", "t", 301),
    ):
        focused = page.page.evaluate("document.activeElement.id")
        assert focused == page.page.get_by_label(label, exact=True).get_attribute("id")
        keys.press(key)
        assert page.get(trait) == value
        keys.press("Tab")
    page.page.get_by_label("time t", exact=True).focus()
    for key, value in (("End", 1000), ("Home", 0)):
        keys.press(key)
        assert page.get("t") == value
    width = page.page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert float(width.removesuffix("px")) >= 2


@pytest.mark.html
def test_words_follow_the_state(stand):
    page = stand(explorer(t=260))
    labels = [one.get_attribute("aria-label") for one in page.page.locator("[role=img]").all()[-5:]]
    assert labels[0].startswith("digit at t = 260: weight 0.7054 of the image")
    assert labels[1:3] == ["x₀ of digit", "z of digit"]
    assert labels[3].startswith("Histogram of its 64 values")
    assert labels[4] == "Signal-to-noise ratio over t, schedule linear: 0.9905 at t = 260."
    page.set(image_number=1, t=0)
    canvas = page.page.locator("canvas").first
    assert canvas.get_attribute("aria-label") == "photo at t = 0: weight 1 of the image, 0 of the noise."
    assert page.page.get_by_label("time t", exact=True).get_attribute("aria-valuetext") == "0"


@pytest.mark.html
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_finger_moves_the_slider_on_a_phone(stand, theme):
    page = stand(explorer(t=0), theme=theme, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    slider = page.page.get_by_label("time t", exact=True)
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box["height"] >= 24  # a finger's width by WCAG 2.2
    middle = box["y"] + box["height"] / 2
    page.page.touchscreen.tap(box["x"] + box["width"] / 2, middle)
    assert 450 < page.get("t") < 550

    session = page.context.new_cdp_session(page.page)
    for kind, share in (("touchStart", 0.5), ("touchMove", 0.6), ("touchMove", 0.8), ("touchEnd", None)):
        points = [] if share is None else [{"x": box["x"] + share * box["width"], "y": middle}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert 730 < page.get("t") < 870


@pytest.mark.html
def test_two_on_a_page_keep_apart(stand):
    page = stand(explorer(t=10), explorer(t=900, image_number=1))
    page.set(1, t=500)
    assert [page.get("t", i) for i in (0, 1)] == [10, 500]
    assert [page.pixels(i).shape[0] for i in (0, 3)] == [8, 64]  # with x_0 and z beside each


@pytest.mark.html
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("&quot;T&quot;:[1000,1000,1000]", "&quot;T&quot;:[0,1000,1000]", "beta: expected 8012 bytes, got 12012"),
        ("[1,8,8]", "[1,8,9]", "images: expected 12360 bytes, got 12352"),
        ("&quot;t&quot;:300", "&quot;t&quot;:-4", "t: expected a whole number in 0..1000, got -4"),
        ("&quot;t&quot;:300", "&quot;t&quot;:null", "t: expected a whole number in 0..1000, got null"),
        ("&quot;image_number&quot;:0", "&quot;image_number&quot;:2", "image_number: expected a whole number in 0..1"),
        ("&quot;shapes&quot;", "&quot;shape&quot;", "This widget could not start"),
    ],
)
def test_damaged_state_is_one_line_and_leaves_the_figure(stand, old, new, words):
    def damage(twins):
        assert old in twins
        return twins.replace(old, new, 1)

    page = stand(explorer(), explorer(), damage=damage)
    alerts = page.page.get_by_role("alert").all_inner_texts()
    assert len(alerts) == 1
    assert words in alerts[0]
    assert page.page.locator(".ddpm-widget-still").first.is_visible()
    page.set(1, t=20)  # the other one lives
    assert page.facts(1)["Weights \u221a\u1fb1, \u221a(1 \u2212 \u1fb1):"].startswith("0.9971, ")


@pytest.mark.html
def test_without_javascript_the_figure_and_a_sentence(stand):
    page = stand(explorer(image_number=1), java_script_enabled=False)
    assert page.page.locator("img").count() == 4
    assert page.page.locator("img").first.get_attribute("alt") == "photo at t = 0"
    assert page.page.get_by_text("photo, schedule linear: at t = 0, 250, 500, 1000").is_visible()
