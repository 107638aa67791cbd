"""The receptive field: the record against autograd through the network's parts, and what a reader sees in the page."""

import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from stands import Stand

from ddpm_lite import load_digits, load_pretrained, time_embedding
from ddpm_lite.process import q_sample
from ddpm_lite.viz.widgets import ReceptiveField
from ddpm_lite.viz.widgets.receptive_field import (
    CUTS,
    SHOWN,
    TIMES,
    count_pixels,
    cut_skips,
    encode_influence,
    read_arrays,
    write_record,
)

SETTINGS = [(t, told, skips) for t in TIMES for told in TIMES for skips in CUTS]


@pytest.fixture(scope="module")
def network():
    """The shipped network, 100 digits and their noise, as in the chapter."""
    model, schedule = load_pretrained("digits")
    digits = load_digits("test")[0][:100]
    return model.eval(), schedule, digits, torch.randn(digits.shape, generator=torch.Generator().manual_seed(0))


def answer_by_parts(model, x_t, told, cut):
    """The forward pass as the chapter writes it, with zeros instead of the maps in `cut`."""
    t = torch.full((len(x_t),), told)
    emb = model.time_embedding(time_embedding(t - 1, model.config.channels[0]))
    kept = [model.conv_in(x_t)]
    for down in model.down_blocks:
        kept += down(kept[-1], emb, None)
    h = model.mid_block(kept[-1], emb, None)
    kept = [torch.zeros_like(one) if k in cut else one for k, one in enumerate(kept)]
    for up in model.up_blocks:
        h = up(h, kept, emb, None)
    return model.conv_out(F.silu(model.conv_norm_out(h)))


@pytest.mark.parametrize(("t", "told", "skips"), SETTINGS)
def test_record_is_what_autograd_gives(network, t, told, skips):
    """Three pixels, one backward pass each; a byte is a step of 3.7 %, and processors differ in the last digits."""
    model, schedule, digits, noise = network
    x_t = q_sample(schedule, digits, t, noise)
    with torch.no_grad():
        z_hat = answer_by_parts(model, x_t, told, CUTS[skips])
    error = (noise - z_hat).square().mean(dim=(1, 2, 3))
    view = ReceptiveField(t=t, told=told, skips=skips)
    np.testing.assert_allclose(view.errors(), [error[SHOWN], error.mean()], rtol=1e-3)
    assert np.abs(view.read("answers") - 127.5 * (1 + z_hat[SHOWN, 0].numpy().clip(-2, 2) / 2)).max() <= 0.6
    for view.row, view.column in ((0, 0), (3, 4), (7, 2)):
        x = x_t[SHOWN : SHOWN + 1].clone().requires_grad_()
        answer_by_parts(model, x, told, CUTS[skips])[0, 0, view.row, view.column].backward()
        exact = x.grad[0, 0].abs().double().numpy()
        assert view.share() == pytest.approx(exact[view.row, view.column] / exact.sum(), rel=2e-3, abs=1e-5)
        large = exact > 2e-3
        shown = 10 ** (view.field() / 255 * 4 - 3)
        np.testing.assert_allclose(shown[large], exact[large], rtol=0.025)
        assert (shown[~large] <= 2.1e-3).all()
        ordered = np.sort(exact.ravel())[::-1].cumsum() / exact.sum()
        assert ordered[view.count() - 1] >= 0.9 - 1e-4
        assert view.count() == 1 or ordered[view.count() - 2] < 0.9 + 1e-4


def test_cutting_leaves_the_network_as_it_was(network):
    model, schedule, digits, noise = network
    x_t = q_sample(schedule, digits[:4], 200, noise[:4])
    with torch.no_grad():
        before = model(x_t, 200)
        with cut_skips(model, (0, 1)):
            without = model(x_t, 200)
        with cut_skips(model, ()):
            torch.testing.assert_close(model(x_t, 200), before, rtol=0, atol=0)
        torch.testing.assert_close(model(x_t, 200), before, rtol=0, atol=0)
    assert (without - before).abs().max() > 0.5


def test_scale_and_count_on_numbers_known_in_advance():
    influence = torch.tensor([[1e-9, 0.001, 0.1, 10.0, 99.0]], dtype=torch.float64)
    assert encode_influence(influence).tolist() == [[0, 0, 128, 255, 255]]
    assert count_pixels(torch.tensor([[5.0, 5.0, 0.0], [8.0, 1.5, 0.5], [95.0, 2.0, 3.0]])).tolist() == [2, 2, 1]


def test_what_the_chapter_says_is_in_the_record():
    on, off = ReceptiveField(), ReceptiveField(skips="fine off")
    assert on.read("shares").reshape(8, 8)[:, 0].min() >= 0.715
    assert on.read("shares").reshape(8, 8)[2:6, 2:6].mean() < 0.45
    assert off.mean_share() < 0.05 < 0.5 < on.mean_share()
    assert off.read("counts").mean() > 1.5 * on.read("counts").mean()
    assert off.errors()[1] > 1 > 5 * on.errors()[1]
    for t in (50, 200):
        assert ReceptiveField(t=t, told=500).mean_share() == pytest.approx(ReceptiveField(t=500).mean_share(), abs=0.03)


def test_record_for_pages_has_all_arrays():
    content = json.loads(write_record())
    assert set(read_arrays()) | {"low", "high", "most", "digits"} == set(content)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"t": 100}, "t: expected one of 50, 200, 500"),
        ({"told": 1}, "told: expected one of 50, 200, 500"),
        ({"skips": "off"}, "skips: expected one of all on"),
        ({"row": 8}, r"row: expected a whole number in 0\.\.7"),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        ReceptiveField(**options)
    assert "\n" not in str(caught.value)


def opened(stand, **context) -> Stand:
    one = stand(ReceptiveField(), **context)
    one.page.get_by_role("button", name="Point at a pixel").click()
    one.page.get_by_role("application").wait_for()
    return one


def assert_as_python(one, view):
    """The pictures and numbers of the page are those of the class."""
    for number, pixels in ((0, view.read("answers")), (1, view.field()), (2, read_arrays()["noisy"][view.frame])):
        assert np.abs(one.pixels(number)[..., 0].astype(int) - pixels).max() <= 1
    facts = one.facts()
    assert facts["Pixel of the answer:"] == f"row {view.row + 1}, column {view.column + 1}"
    shown = [float(re.search(r"[\d.]+", text)[0]) for text in list(facts.values())[1:]]
    expected = [100 * view.share(), 100 * view.mean_share(), view.count()]
    assert np.abs(np.array(shown[:3]) - expected).max() <= 0.051
    np.testing.assert_allclose(shown[4:], view.errors(), rtol=6e-3)
    return facts


@pytest.mark.html
def test_a_reader_points_switches_and_misleads(stand):
    """Pointing changes the map, skips off change the error, and a wrong t changes both."""
    one, view = opened(stand), ReceptiveField()
    start, first = assert_as_python(one, view), one.pixels(1)
    pad = one.page.get_by_role("application")
    box = pad.bounding_box()
    one.page.mouse.click(box["x"] + box["width"] * 6.5 / 8, box["y"] + box["height"] * 0.5 / 8)
    view.row, view.column = 0, 6
    moved = assert_as_python(one, view)
    assert (one.pixels(1) != first).any()
    assert moved["Mean squared error, this digit:"] == start["Mean squared error, this digit:"]
    one.page.locator("select[id^=dw-skips]").select_option("fine off")
    view.skips = 2
    off = assert_as_python(one, view)
    assert float(off["Mean squared error, 100 digits:"]) > 1 > float(start["Mean squared error, 100 digits:"])
    one.page.locator("select[id^=dw-skips]").select_option("all on")
    one.page.locator("select[id^=dw-told]").select_option("500")
    view.skips, view.told = 0, 2
    misled = assert_as_python(one, view)
    assert misled["Mean over all pixels:"] == "77.7 %"
    assert float(misled["Mean squared error, this digit:"]) > 4 * float(start["Mean squared error, this digit:"])
    one.page.locator("select[id^=dw-frame]").select_option("500")
    view.frame = 2
    assert_as_python(one, view)
    assert one.quiet()


@pytest.mark.html
def test_the_grid_is_walked_by_keys(stand):
    one, view = opened(stand), ReceptiveField()
    pad = one.page.get_by_role("application")
    for key, place in (
        ("ArrowUp", (3, 4)), ("ArrowLeft", (3, 3)), ("Home", (3, 0)), ("ArrowLeft", (3, 0)), ("PageDown", (7, 0)),
        ("ArrowDown", (7, 0)), ("End", (7, 7)), ("ArrowRight", (7, 7)), ("PageUp", (0, 7)),
    ):  # fmt: skip
        pad.press(key)
        view.row, view.column = place
        assert_as_python(one, view)
    frames = one.page.locator(".dw-cell").evaluate_all("all => all.map(({style}) => [style.left, style.top])")
    assert frames == [["87.5%", "0%"]] * 4


@pytest.mark.html
def test_a_finger_taps_a_pixel(stand):
    one = opened(stand, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    one.page.get_by_role("application").scroll_into_view_if_needed()
    box = one.page.locator(".dw-pick").nth(1).bounding_box()
    one.page.touchscreen.tap(box["x"] + box["width"] * 1.5 / 8, box["y"] + box["height"] * 5.5 / 8)
    assert (one.get("row"), one.get("column")) == (5, 1)
    assert box["width"] / 8 >= 17


@pytest.mark.html
def test_a_damaged_record_keeps_the_figure(stand, tmp_path):
    one = stand(ReceptiveField())
    (tmp_path / "records" / "receptive-field.js").write_text('ddpmWidgets.file("receptive-field", 1, "{}")')
    one.page.get_by_role("button", name="Point at a pixel").click()
    one.page.get_by_role("alert").wait_for()
    assert "records/receptive-field.js is damaged." in one.page.get_by_role("alert").inner_text()
    assert one.page.locator(".ddpm-widget-still").is_visible()
