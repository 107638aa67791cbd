"""The attention under two labels: the record against the network, the page against Python, and what a reader sees."""

import json
import re

import numpy as np
import pytest
import torch
from stands import Stand, Twin

from ddpm_lite.process import q_sample
from ddpm_lite.runs.models import open_model
from ddpm_lite.viz.widgets import LabelAttention
from ddpm_lite.viz.widgets.attention import attention_maps
from ddpm_lite.viz.widgets.label_attention import (
    LABELS,
    LAYERS,
    TIMES,
    WORDS,
    compare_rows,
    read_arrays,
    shrink_scores,
    write_record,
)


@pytest.fixture(scope="module")
def network():
    """What the network itself gives, (times, layers, labels, 196, keys), and its inputs."""
    import record_widgets

    model, schedule = open_model(record_widgets.FIRST)
    pullover, noise = record_widgets.noisy_pullover()
    pictures = [q_sample(schedule, pullover, t, noise) for t in TIMES]

    def maps(cross):
        found = [
            [attention_maps(model, x_t, t, torch.tensor([label]), cross=cross) for label in LABELS]
            for x_t, t in zip(pictures, TIMES, strict=True)
        ]
        rows = [[[one[f"14 × 14, {name}"][0, 0] for one in row] for name in LAYERS] for row in found]
        return np.array([[[one.double().numpy() for one in row] for row in frame] for frame in rows])

    return maps(False), maps(True), torch.cat(pictures).numpy()


def recorded_weights():
    widget = LabelAttention()
    found = np.zeros((len(TIMES), len(LAYERS), len(LABELS), 196, 196))
    for widget.frame, widget.layer, label in np.ndindex(found.shape[:3]):
        found[widget.frame, widget.layer, label] = widget.weights(label)
    return found


def test_recorded_weights_are_the_networks(network):
    """Short queries and keys keep each weight to 0.02, and misplace half a hundredth of a row's weight on average."""
    exact, found = network[0], recorded_weights()
    np.testing.assert_allclose(found.sum(axis=-1), 1, rtol=1e-9)
    assert np.abs(found - exact).max() <= 0.02
    misplaced = compare_rows(found, exact)
    assert misplaced.mean() <= 0.006
    assert misplaced.max() <= 0.03


def test_tokens_and_pictures_are_the_networks(network):
    arrays = read_arrays()
    np.testing.assert_allclose(arrays["tokens"] / 255, network[1], atol=0.004)
    np.testing.assert_allclose(arrays["pictures"] / 127.5 - 1, network[2].clip(-1, 1), atol=0.01)


def test_label_changes_no_map_before_the_first_cross_attention(network):
    """In the layer on the way down all labels have the same map, in the network and in the record; later none have."""
    exact, which = network[0], read_arrays()["which"]
    assert np.ptp(exact[:, 0], axis=1).max() == 0
    assert (which[:, 0] == which[:, 0, :1]).all()
    assert all(len(set(row)) == len(LABELS) for frame in which[:, 1:] for row in frame.tolist())


def test_mean_shares_that_move_are_the_networks(network):
    """What the page shows as the mean over all queries, to two digits."""
    exact = network[0]
    apart = compare_rows(exact[:, :, :, None], exact[:, :, None]).mean(axis=-1)
    np.testing.assert_allclose(json.loads(write_record())["moved"], apart, atol=0.005)


def test_scores_of_few_numbers_are_kept():
    """Weights of queries and keys that are short come back, whatever is added to the scores of a row."""
    draw = torch.Generator().manual_seed(0)
    scores = torch.randn(30, 8, generator=draw) @ torch.randn(8, 196, generator=draw)
    weights = (scores + 5 * torch.randn(30, 1, generator=draw)).softmax(dim=1)
    q, k, scale = shrink_scores(torch.cat([weights] * 7)[:196])
    again = torch.from_numpy((q * scale).astype(np.float64) @ k.T.astype(np.float64)).softmax(dim=1)
    assert compare_rows(again[:30].numpy(), weights.double().numpy()).max() < 0.05


def test_facts_follow_the_state():
    widget = LabelAttention(t=600, label="pullover", other="sneaker", layer=1, row=7, column=2)
    alike = LabelAttention(t=600, label="bag", other="bag", layer=1)
    early = LabelAttention(t=600, label="pullover", other="sneaker", layer=0)
    assert (alike.moved(), early.moved()) == (0, 0)
    assert widget.moved() > 0.6
    rows = widget.asked(0).reshape(14, 14)
    assert widget.near(0) == pytest.approx(rows[5:10, 0:5].sum())  # two cells to each side, cut off at the edge
    assert widget.tokens().sum() == pytest.approx(1)
    assert "0.69 of the weight" in widget.sentence()


@pytest.mark.parametrize(
    ("t", "other", "moved", "largest"),
    [
        (600, "sneaker", 0.69, 0.055),
        (100, "sneaker", 0.25, 0.062),
        (100, "no label", 0.08, 0.062),
        (900, "bag", 0.13, 0.014),
    ],
)
def test_numbers_of_the_chapter(t, other, moved, largest):
    widget = LabelAttention(t=t, other=other)
    assert widget.moved() == pytest.approx(moved, abs=0.005)
    assert widget.asked(0).max() == pytest.approx(largest, abs=0.0005)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"t": 300}, "t: expected one of 100, 600, 900, got 300"),
        ({"label": "boot"}, "label: expected one of pullover, sneaker, bag, no label, got 'boot'"),
        ({"other": None}, "other: expected one of pullover"),
        ({"layer": 3}, r"layer: expected a whole number in 0\.\.2"),
        ({"row": 14}, r"row: expected a whole number in 0\.\.13"),
        ({"column": -1}, r"column: expected a whole number in 0\.\.13"),
    ],
)
def test_bad_arguments_are_one_line(plain, changed, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        LabelAttention(**changed)
    assert "\n" not in str(caught.value)


def opened(stand, widget=None, **options):
    """A page whose widget was started by its button."""
    page = stand(widget or LabelAttention(), **options)
    page.page.get_by_role("button").first.click()
    page.page.locator(".ddpm-widget-still").wait_for(state="hidden")
    return page


def check(page, widget):
    """Pixels and numbers of the page are NumPy's."""
    seen = read_arrays()["pictures"][widget.frame, 0]
    assert np.abs(page.pixels(0)[..., 0] - seen.astype(int)).max() <= 1
    facts = page.facts()
    assert facts["Query:"] == f"row {widget.row + 1}, column {widget.column + 1} of 14 × 14"
    for i, label in enumerate((widget.label, widget.other)):
        asked = widget.asked(label)
        grey = np.minimum(asked / 0.05, 1).reshape(14, 14) * 255
        assert np.abs(page.pixels(1 + i)[..., 0] - grey).max() <= 1
        name = WORDS[label] if WORDS[label] == "no label" else f"label {WORDS[label]}"
        best = int(asked.argmax())
        largest, row, column, near = re.fullmatch(
            r"largest weight (\S+) \(row (\d+), column (\d+)\), (\S+) within 2 cells", facts[f"{name}:"]
        ).groups()
        assert (int(row), int(column)) == (best // 14 + 1, best % 14 + 1)
        assert float(largest) == pytest.approx(asked[best], rel=0.06)
        assert float(near) == pytest.approx(widget.near(label), abs=0.006)
    moved = facts["Weight that moves with the label:"]
    assert float(moved.partition(",")[0]) == pytest.approx(widget.moved(), abs=0.006)
    assert ("enters after this layer" in moved) == (widget.layer == 0)
    exact = json.loads(write_record())["moved"][widget.frame][widget.layer][widget.label][widget.other]
    assert float(facts["Mean over all queries:"]) == pytest.approx(exact, abs=0.006)
    bars = page.page.locator("progress").evaluate_all("bars => bars.map((bar) => bar.value)")
    np.testing.assert_allclose(bars, widget.tokens(), atol=1e-6)


@pytest.mark.html
def test_page_shows_numpys_maps_and_numbers(stand):
    widget, page = LabelAttention(), opened(stand)
    check(page, widget)
    for state in ((0, 0, 0, 1, 7, 7), (2, 2, 3, 0, 13, 0), (1, 2, 2, 2, 0, 13), (0, 1, 1, 3, 4, 9)):
        now = dict(zip(("frame", "layer", "label", "other", "row", "column"), state, strict=True))
        page.set(**now)
        for trait, value in now.items():
            setattr(widget, trait, value)
        check(page, widget)


@pytest.mark.html
def test_reader_switches_label_time_and_layer_and_sees_the_maps_change(stand):
    page = opened(stand)
    maps = lambda: (page.pixels(1), page.pixels(2))  # noqa: E731
    moved = lambda: float(page.facts()["Weight that moves with the label:"].partition(",")[0])  # noqa: E731
    first, second = maps()
    assert (first != second).any()
    assert moved() > 0.6
    page.page.get_by_label("compared with").select_option("no label")
    third = maps()[1]
    assert (third != second).any()
    assert (maps()[0] == first).all()
    assert 0 < moved() < 0.6
    page.page.get_by_label("label", exact=True).select_option("bag")
    assert (maps()[0] != first).any()
    before, noisy = maps(), page.pixels(0)
    page.page.get_by_label("time").focus()
    page.page.keyboard.press("ArrowLeft")
    assert (page.pixels(0) != noisy).any()
    assert (maps()[0] != before[0]).any()
    page.page.get_by_label("layer").select_option("on the way down")
    assert (maps()[0] == maps()[1]).all()
    assert moved() == 0


@pytest.mark.html
def test_arrow_keys_move_the_query_and_stop_at_the_edges(stand):
    page = opened(stand)
    picker = page.page.get_by_role("application")
    picker.focus()
    before = page.pixels(1)
    for key, at in (("ArrowUp", (6, 2)), ("ArrowRight", (6, 3)), ("End", (6, 13)), ("ArrowRight", (6, 13))):
        page.page.keyboard.press(key)
        assert (page.get("row"), page.get("column")) == at
    assert (page.pixels(1) != before).any()
    for key, at in (("PageDown", (13, 13)), ("ArrowDown", (13, 13)), ("Home", (13, 0)), ("PageUp", (0, 0))):
        page.page.keyboard.press(key)
        assert (page.get("row"), page.get("column")) == at
    assert page.page.evaluate("scrollY") == 0
    assert page.facts()["Query:"] == "row 1, column 1 of 14 × 14"
    page.page.keyboard.press("Tab")
    assert not picker.evaluate("(one) => one === document.activeElement")


@pytest.mark.html
def test_pointer_picks_in_the_picture_and_in_the_maps(stand):
    page = opened(stand)
    for number, (row, column) in enumerate(((2, 5), (9, 12), (13, 0))):
        box = page.page.locator(".dw-pick").nth(number).bounding_box()
        at = lambda r, c: (box["x"] + (c + 0.5) * box["width"] / 14, box["y"] + (r + 0.5) * box["height"] / 14)  # noqa: B023, E731
        page.page.mouse.click(*at(row, column))
        assert (page.get("row"), page.get("column")) == (row, column)
        page.page.mouse.move(*at(0, 0))  # no button is down
        assert (page.get("row"), page.get("column")) == (row, column)
        page.page.mouse.down()
        page.page.mouse.move(*at(6, 3))
        page.page.mouse.up()
        assert (page.get("row"), page.get("column")) == (6, 3)


@pytest.mark.html
def test_touch_on_a_phone_with_both_maps_side_by_side(stand):
    page = opened(stand, viewport={"width": 390, "height": 800}, has_touch=True)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.page.get_by_role("application").bounding_box()
    page.page.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + 0.1 * box["height"])
    assert (page.get("row"), page.get("column")) == (1, 12)
    one, other = (page.page.locator(".dw-pick").nth(n).bounding_box() for n in (1, 2))
    assert one["y"] == other["y"]
    assert one["x"] + one["width"] <= other["x"]


@pytest.mark.html
def test_frame_keeps_its_colours_where_colours_are_forced(stand):
    page = opened(stand, forced_colors="active")
    frame = "getComputedStyle(document.querySelector('.dw-cell'))"
    assert page.page.evaluate(f"{frame}.borderTopColor") == "rgb(255, 255, 255)"
    assert page.page.evaluate(f"{frame}.boxShadow") != "none"


@pytest.mark.html
def test_damaged_record_is_one_line_and_a_whole_one_can_follow(browser, tmp_path):
    twin = LabelAttention().twin()
    page = Stand(browser, tmp_path, [Twin("label-attention", "07", twin)])
    path = tmp_path / "records" / "label-attention.js"
    whole = path.read_text(encoding="utf8")
    path.write_text(whole.replace("keys", "kegs"), encoding="utf8")
    page.page.get_by_role("button").click()
    alert = page.page.get_by_role("alert")
    alert.wait_for()
    assert "records/label-attention.js is damaged" in alert.inner_text()
    path.write_text(whole, encoding="utf8")
    page.page.get_by_role("button").click()
    page.page.locator(".ddpm-widget-still").wait_for(state="hidden")
    assert page.quiet()
    page.context.close()
