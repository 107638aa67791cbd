"""The attention viewer: its maps against the chapter's, its records, and the page."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ddpm_lite import attention_weights, linear_schedule
from ddpm_lite.condition import ConditionalUNet, LabelEncoder
from ddpm_lite.unet import UNet, UNetConfig
from ddpm_lite.viz.widgets import AttentionViewer
from ddpm_lite.viz.widgets.attention import attention_maps
from ddpm_lite.viz.widgets.recorded import from_bytes

RECORDS = Path(__file__).resolve().parents[2] / "book" / "results" / "widgets"
RECORDED = ("self-attention", "cross-attention")


def recorded(name, **options):
    return AttentionViewer.from_record(RECORDS / f"{name}.safetensors", **options)


@pytest.fixture
def made():
    """Two frames of a coloured image, 8 wide and 4 high, with a fine layer of two heads, a coarse one, and tokens."""
    draw = torch.Generator().manual_seed(0)

    def rows(*shape):
        return (3 * torch.randn(shape, generator=draw)).softmax(dim=-1)

    maps = {"fine": rows(2, 2, 32, 32), "coarse": rows(2, 1, 8, 8), "tokens": rows(2, 1, 8, 3)}
    return AttentionViewer(torch.randn(2, 3, 4, 8, generator=draw), maps, (5, 10)), maps


def test_rows_add_up_to_one_and_keep_the_weights(made):
    widget, maps = made
    for layer, (name, weights) in enumerate(maps.items()):
        widget.layer = layer
        for widget.frame, widget.head in np.ndindex(weights.shape[:2]):
            kept, exact = widget.weights(), weights[widget.frame, widget.head].double().numpy()
            np.testing.assert_allclose(kept.sum(axis=1), 1, rtol=1e-12, err_msg=name)
            # half a step of the byte, and the sum that is off by as much
            assert np.abs(kept - exact).max() <= exact.max() * weights.shape[-1] / 255
        widget.head = 0


def test_asking_pixel_falls_on_the_coarse_map(made):
    widget, maps = made
    widget.layer, widget.row, widget.column = 1, 3, 5
    assert widget.cell() == (1, 2)
    np.testing.assert_allclose(widget.asked(), maps["coarse"][0, 0, 1 * 4 + 2], atol=0.01)
    assert widget.looked_at().shape == (4, 8)


def test_maps_of_a_model_are_those_of_its_layers():
    torch.manual_seed(0)
    unet = UNet(UNetConfig(sample_size=8, channels=(8, 16), blocks=1, head_dim=4, groups=4, context_dim=6))
    model, x_t, label = ConditionalUNet(unet, LabelEncoder(3, 6, tokens=5)), torch.randn(1, 1, 8, 8), torch.tensor([2])
    for cross, keys in ((False, 64), (True, 5)):
        maps = attention_maps(model, x_t, 7, label, cross=cross)
        names = [
            "8 × 8, on the way down",
            "4 × 4, on the way down",
            "4 × 4, in the middle",
            "4 × 4, on the way up, 1 of 2",
        ]
        assert list(maps)[:4] == names
        assert len(maps) == 7
        assert maps[names[0]].shape == (1, 2, 64, keys)
    layer, caught = unet.mid_block.cross_attentions[0], []
    hook = layer.register_forward_pre_hook(lambda _, inputs: caught.append(inputs))
    with torch.no_grad():
        model(x_t, 7, label)
        q, k, _ = layer.project(*caught[0])
    hook.remove()
    torch.testing.assert_close(maps["4 × 4, in the middle"], attention_weights(q, k))
    widget = AttentionViewer.from_model(model, linear_schedule(), torch.zeros(1, 8, 8), context=label, cross=True)
    assert widget.layers[0] == ["8 × 8, on the way down", 2, 8, 8, 5]
    assert not layer._forward_pre_hooks


@pytest.mark.parametrize("name", RECORDED)
def test_records_round_trip_and_stay_small(name):
    widget = recorded(name)
    assert len(widget.layers) == 7
    assert {layer[4] for layer in widget.layers} == ({0} if name == "self-attention" else {4})
    again = AttentionViewer(
        from_bytes(widget.frames()),
        {key: rows.astype(float) for key, rows in widget.bytes_by_layer().items()},
        widget.times,
    )
    assert (again.images, again.maps) == (widget.images, widget.maps)
    assert len(widget.twin()) < 200_000


def test_record_is_what_the_chapter_computes():
    """The first layer at t = 100 of digit 2, computed here; processors differ in the last digits."""
    import record_widgets

    from ddpm_lite import load_pretrained

    model, schedule = load_pretrained("digits")
    digit, _ = record_widgets.noisy_digit(2)
    fresh = AttentionViewer.from_model(model, schedule, **digit, times=(100,))
    old = recorded("self-attention", frame=2)
    assert old.times[2] == 100
    np.testing.assert_allclose(old.weights(), fresh.weights(), atol=1e-3)
    np.testing.assert_allclose(old.frames()[2], fresh.frames()[0], atol=1)


def test_missing_record_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"'x\.safetensors'.*studies/record_widgets\.py"):
        AttentionViewer.from_record("x.safetensors")


EVEN = torch.full((1, 1, 16, 16), 1 / 16)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"images": torch.zeros(4, 4)}, r"images: expected shape \(frames, C, H, W\)"),
        ({"images": torch.full((1, 1, 4, 4), float("inf"))}, "images: expected finite values"),
        ({"maps": [EVEN]}, "maps: expected a dictionary of layers, got list"),
        ({"maps": {}}, "maps: expected a dictionary of layers"),
        ({"maps": {"a": EVEN * float("nan")}}, r"maps\['a'\]: expected finite values"),
        ({"maps": {"a": -EVEN}}, r"maps\['a'\]: expected weights >= 0"),
        ({"maps": {"a": EVEN.repeat(2, 1, 1, 1)}}, r"maps\['a'\]: expected 1 frames, as in images"),
        ({"maps": {"a": EVEN[:, :, :5]}}, r"maps\['a'\]: expected the pixels of a map k times smaller than 4 x 4"),
        ({"times": (0.5,)}, "times: expected a whole number"),
        ({"layer": 1}, r"layer: expected a whole number in 0\.\.0"),
        ({"head": 1}, r"head: expected a whole number in 0\.\.0"),
        ({"row": 4}, r"row: expected a whole number in 0\.\.3"),
        ({"column": -1}, r"column: expected a whole number in 0\.\.3"),
    ],
)
def test_bad_state_is_one_line(plain, changed, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        AttentionViewer(**{"images": torch.zeros(1, 1, 4, 4), "maps": {"a": EVEN}} | changed)
    assert "\n" not in str(caught.value)


def check(page, widget):
    """Pixels and numbers of the page are NumPy's."""
    seen = np.broadcast_to(widget.frames()[widget.frame].transpose(1, 2, 0), (*widget.size[1:], 3))
    assert np.abs(page.pixels(0) - seen.astype(int)).max() <= 1
    looked = np.repeat(widget.looked_at()[..., None], 3, axis=2)
    assert np.abs(page.pixels(1) - looked.astype(int)).max() <= 1
    _, _, _, width, tokens = widget.layers[widget.layer]
    asked, facts = widget.asked(), page.facts()
    best, row, column = int(asked.argmax()), *widget.cell()
    assert facts["Query:"].startswith(f"row {row + 1}, column {column + 1} of")
    target = f"token {best + 1}" if tokens else f"row {best // width + 1}, column {best % width + 1}"
    words, shown = facts["Largest weight:"].rsplit(", ", 1)
    assert words == target
    assert float(shown) == pytest.approx(asked[best], rel=1e-3)
    bars = page.page.locator("progress:visible").evaluate_all("bars => bars.map((bar) => bar.value)")
    np.testing.assert_allclose(bars, asked if tokens else [], rtol=1e-3)


@pytest.mark.html
def test_page_shows_numpys_pixels_and_numbers(stand, made):
    states = ((0, 1, 1, 0, 0), (1, 0, 0, 3, 7), (2, 0, 1, 2, 5))
    walks = [(made[0], states)]
    walks += [(recorded(name), ((0, 0, 0, 4, 4), (2, 0, 4, 7, 0), (6, 0, 7, 1, 6))) for name in RECORDED]
    for widget, states in walks:
        page = stand(widget)
        for layer, head, frame, row, column in states:
            now = {"layer": layer, "head": head, "frame": frame, "row": row, "column": column}
            page.set(**now)
            for trait, value in now.items():
                setattr(widget, trait, value)
            check(page, widget)


@pytest.mark.html
def test_arrow_keys_move_the_pixel_and_stop_at_the_edges(stand):
    page = stand(recorded("self-attention", row=1, column=6))
    picker = page.page.get_by_role("application")
    page.page.get_by_label("time").focus()
    page.page.keyboard.press("Tab")
    assert picker.evaluate("(one) => one === document.activeElement && getComputedStyle(one).outlineStyle") == "solid"
    for key, ends in (("ArrowUp", (0, 6)), ("ArrowRight", (0, 7)), ("ArrowDown", (7, 7)), ("ArrowLeft", (7, 0))):
        for _ in range(9 if key in ("ArrowDown", "ArrowLeft") else 2):
            page.page.keyboard.press(key)
        assert (page.get("row"), page.get("column")) == ends
    assert page.page.evaluate("scrollY") == 0
    assert page.facts()["Query:"] == "row 8, column 1 of 8 × 8"
    page.page.keyboard.press("Tab")  # and out of it again
    assert not picker.evaluate("(one) => one === document.activeElement")


@pytest.mark.html
def test_other_controls_by_keyboard(stand, made):
    page = stand(made[0])
    page.page.get_by_label("time").focus()
    page.page.keyboard.press("ArrowRight")
    assert page.get("frame") == 1
    page.page.get_by_label("head").focus()
    page.page.keyboard.press("ArrowRight")
    assert page.get("head") == 1
    page.page.get_by_label("layer").focus()
    page.page.keyboard.press("ArrowDown")
    assert (page.get("layer"), page.get("head")) == (1, 0)  # the coarse layer has one head
    assert not page.page.get_by_label("head").is_visible()


@pytest.mark.html
def test_pointer_picks_and_drags(stand):
    page = stand(recorded("cross-attention"))
    box = page.page.get_by_role("application").bounding_box()
    at = lambda row, column: (box["x"] + (column + 0.5) * box["width"] / 8, box["y"] + (row + 0.5) * box["height"] / 8)  # noqa: E731
    page.page.mouse.click(*at(2, 5))
    assert (page.get("row"), page.get("column")) == (2, 5)
    page.page.mouse.move(*at(0, 0))  # no button is down
    assert (page.get("row"), page.get("column")) == (2, 5)
    page.page.mouse.down()
    page.page.mouse.move(*at(6, 3))
    page.page.mouse.up()
    assert (page.get("row"), page.get("column")) == (6, 3)


@pytest.mark.html
@pytest.mark.parametrize("name", RECORDED)
def test_touch_on_a_phone(stand, name):
    page = stand(recorded(name), viewport={"width": 390, "height": 800}, has_touch=True)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.page.get_by_role("application").bounding_box()
    page.page.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + 0.1 * box["height"])
    assert (page.get("row"), page.get("column")) == (0, 7)


@pytest.mark.html
def test_damaged_state_is_one_line(browser, tmp_path, made):
    from stands import Stand

    page = Stand(
        browser, tmp_path, [made[0]], damage=lambda twins: twins.replace("&quot;times&quot;:[5,", "&quot;times&quot;:[")
    )
    assert "images: expected 96 bytes, got 192" in page.page.get_by_role("alert").inner_text()
    assert page.quiet()
    page.context.close()
