"""The guidance dial: its record, the study's numbers, and the page."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ddpm_lite import linear_schedule
from ddpm_lite.condition import ConditionalUNet, LabelEncoder
from ddpm_lite.files.weights import load_pretrained
from ddpm_lite.sampler import ddpm_step, evaluating, sample
from ddpm_lite.unet import UNet, UNetConfig
from ddpm_lite.viz.widgets import GuidanceDial
from ddpm_lite.viz.widgets.base import grey

RESULTS = Path(__file__).resolve().parents[2] / "book" / "results"
FACTS = ("Label agreement:", "Diversity:", "Distance:")


def recorded(**options):
    study = json.loads((RESULTS / "guidance.json").read_text())
    return GuidanceDial.from_record(
        RESULTS / "widgets" / "guidance-dial.safetensors", study["scales"], **options
    ), study


@pytest.fixture
def made():
    """Two labels, three scales, four coloured samples; the last scale was not measured."""
    images = np.random.default_rng(0).uniform(-1, 1, (2, 3, 4, 3, 5, 6))
    rows = [{"scale": w, "as_asked": 1 - w / 10, "diversity": 0.123456 + w, "distance": 2.5} for w in (0, 0.5)]
    return GuidanceDial(images, (0, 0.5, 7), rows)


def test_record_has_every_label_and_the_studys_scales():
    widget, study = recorded()
    assert widget.grid().shape == (10, 7, 6, 1, 8, 8)
    assert [w for w in widget.scales if w >= 0] == [row["scale"] for row in study["scales"]]
    assert [bool(row) for row in widget.measured] == [w >= 0 for w in widget.scales]
    for scale, row in zip(study["scales"], widget.measured[1:], strict=True):
        np.testing.assert_allclose(row, [scale[name] for name in ("as_asked", "diversity", "distance")], atol=1e-6)
    assert len(widget.twin()) < 100_000


def test_record_shows_what_the_chapter_says():
    """The study and the record ask the same weights; unguided samples of a label differ, and guidance narrows them."""
    widget, study = recorded()
    from ddpm_lite.viz.widgets.recorded import read_widget_record

    _, header = read_widget_record(RESULTS / "widgets" / "guidance-dial.safetensors", "guidance-dial")
    assert header["weights_sha256"] == study["weights_sha256"]
    grid = torch.from_numpy(widget.grid().astype(float)).flatten(3)
    spread = [float(torch.stack([torch.pdist(x) for x in grid[:, i]]).mean()) for i in range(len(widget.scales))]
    zero = widget.scales.index(0)
    assert spread[zero] > spread[-1]
    # without a label, asking for another digit changes nothing: at w = -1 the answers with the label cancel
    np.testing.assert_allclose(widget.grid()[0, 0], widget.grid()[5, 0], atol=3)


@pytest.mark.slow
@pytest.mark.usefixtures("plain")  # the same shapes, a thousand times
def test_a_cell_of_the_record_is_what_the_model_draws():
    """Six images of one label, unguided, by all thousand steps. Other processors may end a few grey levels away."""
    widget, _ = recorded()
    label, chosen = 4, widget.scales.index(0)
    model, schedule = load_pretrained("digits-by-label")
    labels = torch.full((6,), label)
    shape = (60, 1, 8, 8)  # of the record, as the noise of a step depends on it; all labels get that of the first

    def first(x_t, t, context=None):
        with evaluating(model):
            return model(x_t[:6], t[:6], labels).repeat(10, 1, 1, 1)

    def step(schedule, x_t, t, s, z_hat, noise):
        return ddpm_step(schedule, x_t, t, s, z_hat, noise[:6].repeat(10, 1, 1, 1))

    x_T = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)).repeat(10, 1, 1, 1)
    *_, (_, x_0) = sample(first, schedule, shape, step=step, seed=0, x_T=x_T)
    fresh = grey(x_0[:6].clamp(-1, 1)).astype(int)
    far = [[float(np.abs(fresh - cell).mean()) for cell in row] for row in widget.grid()]
    nearest, next_one = sorted(sum(far, []))[:2]
    assert far[label][chosen] == nearest < min(3, next_one / 2), (nearest, next_one)


def test_live_model():
    torch.manual_seed(0)
    unet = UNet(UNetConfig(sample_size=4, channels=(8,), blocks=1, groups=4, context_dim=6))
    torch.nn.init.normal_(unet.conv_out.weight, std=0.1)
    model, schedule = ConditionalUNet(unet, LabelEncoder(3, 6)), linear_schedule(6, 0.01, 0.9)
    widget = GuidanceDial.from_model(model, schedule, (-1, 0, 3), samples=2, label=1)
    assert widget.grid().shape == (3, 3, 2, 1, 4, 4)
    np.testing.assert_allclose(widget.grid()[0, 0], widget.grid()[2, 0], atol=1)  # the same noise, no label
    assert (widget.label, widget.measured) == (1, [[], [], []])


IMAGES = torch.zeros(2, 3, 1, 1, 4, 4)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"images": IMAGES + 2}, r"images: expected values in \[-1, 1\]"),
        ({"images": IMAGES * float("nan")}, "images: expected finite values"),
        ({"images": IMAGES[0]}, r"images: expected shape \(labels, scales, samples, C, H, W\)"),
        ({"scales": (0, 1)}, "scales: expected 3 numbers, as in images, got 2"),
        ({"scales": (0, 2, 1)}, "scales: expected increasing numbers"),
        ({"scales": (0, 1, float("inf"))}, "scales: expected a number in"),
        ({"measured": [{"scale": 0}]}, "measured: expected rows with scale, as_asked, diversity, distance"),
        ({"measured": [{"scale": 0, "as_asked": 1, "diversity": float("nan"), "distance": 1}]}, "diversity: expected"),
        ({"label": 2}, r"label: expected a whole number in 0\.\.1"),
        ({"chosen": 3}, r"chosen: expected a whole number in 0\.\.2"),
    ],
)
def test_bad_state_is_one_line(plain, changed, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        GuidanceDial(**{"images": IMAGES, "scales": (0, 1, 2)} | changed)
    assert "\n" not in str(caught.value)


def test_a_model_without_labels_is_refused(plain):
    with pytest.raises(TypeError, match="model: expected a ConditionalUNet, got UNet"):
        GuidanceDial.from_model(UNet(UNetConfig(sample_size=4, channels=(8,))), linear_schedule(6, 0.01, 0.9))


def test_missing_record_names_the_command():
    with pytest.raises(FileNotFoundError, match=r"'x\.safetensors'.*studies/record_widgets\.py"):
        GuidanceDial.from_record("x.safetensors")


def check(page, widget):
    """Pixels and numbers of the page are NumPy's."""
    for i, image in enumerate(widget.shown()):
        expected = np.broadcast_to(image.transpose(1, 2, 0), (*image.shape[1:], 3)).astype(int)
        assert np.abs(page.pixels(i) - expected).max() <= 1
    facts, row = page.facts(), widget.measured[widget.chosen]
    if row:
        shown = [float(facts[name].removesuffix(" %")) for name in FACTS]
        np.testing.assert_allclose(shown, [100 * row[0], *row[1:]], rtol=1e-3)
    else:
        assert {facts[name] for name in FACTS} == {"not measured"}


@pytest.mark.html
def test_page_shows_numpys_pixels_and_the_studys_numbers(stand, made):
    for widget, states in ((made, ((0, 0), (1, 1), (1, 2))), (recorded()[0], ((3, 0), (0, 2), (9, 6)))):
        page = stand(widget)
        for label, chosen in states:
            page.set(label=label, chosen=chosen)
            widget.label, widget.chosen = label, chosen
            check(page, widget)


@pytest.mark.html
def test_what_was_measured_at_no_scale_is_not_mentioned(stand, made):
    made.measured = [[] for _ in made.scales]
    assert list(stand(made).facts()) == ["s = w + 1:"]


@pytest.mark.html
def test_keyboard(stand, made):
    page = stand(made)
    page.page.get_by_label("label", exact=True).focus()
    page.page.keyboard.press("ArrowRight")
    assert page.get("label") == 1
    scale = page.page.get_by_label("scale", exact=True)
    scale.focus()
    page.page.keyboard.press("End")
    assert page.get("chosen") == 2
    assert scale.get_attribute("aria-valuetext") == "w = 7"
    assert page.page.get_by_text("Label 1, w = 7: guided").is_visible()
    assert page.facts()["s = w + 1:"] == "8"
    assert page.page.locator("canvas").first.get_attribute("aria-label") == "Sample 1: label 1, w = 7"


@pytest.mark.html
def test_touch_on_a_phone(stand):
    page = stand(recorded()[0], viewport={"width": 390, "height": 800}, has_touch=True)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    page.page.get_by_label("scale", exact=True).tap()  # in its middle
    assert page.get("chosen") == 3
    assert page.page.locator("canvas").last.bounding_box()["x"] < 390


@pytest.mark.html
def test_damaged_state_is_one_line(browser, tmp_path, made):
    from stands import Stand

    page = Stand(
        browser, tmp_path, [made], damage=lambda twins: twins.replace("&quot;labels&quot;:2", "&quot;labels&quot;:3")
    )
    assert "images: expected 3240 bytes, got 2160" in page.page.get_by_role("alert").inner_text()
    assert page.page.locator(".ddpm-widget-still").is_visible()
    assert page.quiet()
    page.context.close()
