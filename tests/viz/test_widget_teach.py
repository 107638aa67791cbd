"""The set of the reader's own pictures: its steps beside PyTorch's, and the widget on a page."""

import json
from pathlib import Path

import numpy as np
import page_set
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from stands import HIDE, LISTEN
from time_live import REFUSE

from ddpm_lite import load_digits
from ddpm_lite.viz.widgets import TeachYourOwn
from ddpm_lite.viz.widgets.recorded import read_widget_record
from ddpm_lite.viz.widgets.teach_your_own import LIMIT, SAMPLES, SETS, STEPS, read_letters

RECORD = Path(__file__).resolve().parents[2] / "book" / "results" / "widgets" / "teach-your-own.safetensors"


def test_the_record_is_the_figure_and_its_distances_are_those_of_its_pictures():
    arrays, header = read_widget_record(RECORD, "teach-your-own")
    assert header["command"] == "python studies/page_set.py"
    assert header["steps"] == str(STEPS)
    widget = TeachYourOwn.from_record(RECORD)
    for name in SETS:
        samples, nearest = (arrays[f"{name}-{kind}"].astype(float) / 127.5 - 1 for kind in ("samples", "nearest"))
        apart = np.sqrt(((samples - nearest) ** 2).reshape(SAMPLES, -1).mean(1))
        np.testing.assert_allclose(apart, arrays[f"{name}-apart"], atol=0.005)  # the pictures are rounded to bytes
        assert widget.copies(name) == int((arrays[f"{name}-apart"] < LIMIT).sum())
    assert widget.copies("letters-3") > SAMPLES / 2 > widget.copies("letters-8") >= widget.copies("digits-30")
    assert len(widget.twin()) < 14_000


def test_the_letters_differ_by_two_limits_or_more():
    """So no sample, being nearer than one limit to each, is a copy of two of them."""
    letters = read_letters()
    apart = torch.cdist(letters.flatten(1), letters.flatten(1)) / 8
    assert float(apart[~torch.eye(len(letters), dtype=torch.bool)].min()) >= 2 * LIMIT - 1e-6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limit": 0.0}, r"^limit: "),
        ({"seed": 100}, r"^seed: "),
        ({"steps": 0}, r"^steps: "),
        ({"every": 0}, r"^every: "),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        TeachYourOwn(**options)
    assert "\n" not in str(caught.value)


def open_widget(stand, widget, **options):
    one = stand(widget, init=LISTEN, **options)
    assert one.page.evaluate("told.length") == 0, "nothing runs before the press"
    press(one, "Teach it your own pictures")
    one.page.get_by_role("button", name="Learn this set").wait_for()
    return one


def press(one, name):
    one.page.get_by_role("button", name=name, exact=True).click()


def said(one, which):
    """The words below the set (0) or below the buttons of the training (1)."""
    return one.page.locator(".ddpm-widget:not(.ddpm-widget-still) p[role=status]").nth(which).inner_text()


def learnt(one):
    """The set that the training was last told."""
    return one.page.evaluate("told.findLast((one) => one.settings)?.settings.pictures")


def draw_three(one):
    """A stroke of the pointer, another, and a picture by the keyboard alone."""
    box = one.page.get_by_role("grid").bounding_box()
    cell = box["width"] / 8
    for down, right in ((0, 1), (1, 0)):
        one.page.mouse.move(box["x"] + 1.5 * cell, box["y"] + 1.5 * cell)
        one.page.mouse.down()
        one.page.mouse.move(box["x"] + (1.5 + 5 * right) * cell, box["y"] + (1.5 + 5 * down) * cell)
        one.page.mouse.up()
        press(one, "Add to the set")
    one.page.get_by_role("gridcell").and_(one.page.locator("[tabindex='0']")).focus()
    for key in ("Space", "ArrowRight", "Enter", "Enter", "ArrowDown", "ArrowLeft", "Space", "Space", "Space"):
        one.page.keyboard.press(key)
    press(one, "Add to the set")


@pytest.mark.html
def test_three_drawings_are_learnt_as_in_pytorch_and_shown_beside_the_nearest(stand):
    one = open_widget(stand, TeachYourOwn(seed=3, steps=6, every=3))
    press(one, "Learn this set")
    assert said(one, 1).startswith("The set is empty")
    draw_three(one)
    assert "3 of at most 300 pictures" in said(one, 0)
    press(one, "Learn this set")
    one.page.get_by_text("Done in ").wait_for()
    row, column, third = learnt(one)
    # rows and columns of the strokes: six cells of ink, from the second to the seventh
    assert row == "A" * 9 + "Q" * 6 + "A" * 49
    assert column == "".join("Q" if i % 8 == 1 and 8 <= i < 56 else "A" for i in range(64))
    assert third.count("Q") == 1
    assert third.count("I") == 1  # grey, by two presses; three presses are paper again
    images = torch.tensor([[ord(letter) - 65 for letter in one] for one in (row, column, third)]) / 8 - 1.0
    run = list(page_set.learn_set(images.reshape(3, 1, 8, 8), seed=3, steps=6))
    losses = one.page.evaluate("heard.filter((one) => one.loss !== undefined).map((one) => one.loss)")
    np.testing.assert_allclose(losses, [loss for _, loss, _ in run], rtol=1e-4)
    samples = np.array(one.page.evaluate("[...heard.findLast((one) => one.samples).samples]"))
    expected = page_set.draw_samples(run[-1][2])
    assert np.abs(samples - expected.flatten().numpy()).max() < 1e-3 * expected.abs().max()
    which, apart = page_set.compare(expected, images.reshape(3, 1, 8, 8))
    captions = one.page.locator(".ddpm-widget:not(.ddpm-widget-still) figcaption").all_inner_texts()
    assert [float(text.split(",")[0]) for text in captions] == pytest.approx(apart.tolist(), abs=0.006)
    shown = one.page.get_by_role("img", name="A sample; picture ").evaluate_all(
        "all => all.map((one) => Number(one.ariaLabel.match(/picture (\\d+)/)[1]) - 1)"
    )
    assert shown == which.tolist()
    assert f"{int((apart < LIMIT).sum())} of 8 samples are copies" in said(one, 1)
    response = Axe().run(one.page, options={"resultTypes": ["violations"], "preload": False}).response
    assert [v["id"] for v in response["violations"] if v["impact"] in ("serious", "critical")] == []


@pytest.mark.html
def test_a_set_is_saved_opened_and_a_damaged_file_is_told(stand, tmp_path):
    one = open_widget(stand, TeachYourOwn(steps=2, every=2), viewport={"width": 390, "height": 800})
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 390
    draw_three(one)
    with one.page.expect_download() as download:
        press(one, "Save the set")
    path = tmp_path / "mine.json"
    download.value.save_as(path)
    press(one, "Empty the set")
    assert "0 of at most 300" in said(one, 0)
    opener = one.page.get_by_label("Open a set").and_(one.page.locator("input"))
    opener.set_input_files(path)
    one.page.get_by_text("Opened. The set has 3 of").wait_for()
    press(one, "Learn this set")
    assert learnt(one) == json.loads(path.read_text())["pictures"]
    press(one, "Cancel")
    assert said(one, 1) == "The weights are random."
    for text, words in (
        (path.read_text()[:-9], "not JSON"),
        ("{}", "another kind"),
        (path.read_text().replace("Q", "Z"), "damaged"),
    ):
        path.write_text(text)
        opener.set_input_files(path)
        one.page.get_by_text(words).wait_for()
        assert said(one, 0).startswith("file: expected a set that was saved here, got ")


@pytest.mark.html
def test_ready_sets_signs_images_and_pauses(stand, tmp_path):
    one = open_widget(stand, TeachYourOwn(steps=500, every=400))
    one.page.get_by_label("ready sets").select_option(label="the first 30 digits")
    assert "30 of at most 300" in said(one, 0)
    one.page.get_by_label("letters, symbols or emoji").fill("LT L")
    press(one, "Add these signs")
    assert "32 of at most 300" in said(one, 0)
    picture = tmp_path / "half.svg"
    picture.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"><path fill="#fff" d="M0 0h8v16H0z"/></svg>'
    )
    one.page.get_by_label("Add images").and_(one.page.locator("input")).set_input_files(picture)
    one.page.get_by_text("image: expected a picture").or_(one.page.get_by_text("33 of at most 300")).wait_for()
    press(one, "Next")
    assert "number 1 is in the grid" in said(one, 0)
    press(one, "Remove")
    press(one, "Learn this set")
    pictures = learnt(one)
    digits = (8 * (load_digits("train")[0][:30].flatten(1) + 1)).round().int().tolist()
    assert pictures[:29] == ["".join(chr(65 + level) for level in one) for one in digits[1:]]
    assert max(pictures[29]) == "Q"
    one.page.get_by_text("By its first steps this will take about ").wait_for()
    one.page.evaluate(HIDE, True)
    assert one.page.evaluate("told.at(-1)") == {"go": False}
    one.page.evaluate(HIDE, False)
    assert one.page.evaluate("told.at(-1)") == {"go": True}
    press(one, "Pause")
    assert said(one, 1).startswith("Paused after step ")
    assert one.page.evaluate("told.at(-1)") == {"go": False}


# In the page: what a press of Ctrl-V brings to the field; whether the widget took it.
PASTE = """async (kind) => {
  const paper = new OffscreenCanvas(16, 16), ink = paper.getContext("2d"), data = new DataTransfer();
  ink.fillRect(0, 0, 16, 16);
  ink.fillStyle = "white";
  ink.fillRect(0, 0, 8, 16);
  if (kind === "words") data.setData("text/plain", "AB");
  else {
    const inside = kind === "picture" ? await paper.convertToBlob({ type: "image/png" }) : "nothing";
    data.items.add(new File([inside], "pasted.png", { type: "image/png" }));
  }
  const event = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
  document.querySelector("input[type=text]").dispatchEvent(event);
  return event.defaultPrevented;
}"""


@pytest.mark.html
def test_a_pasted_picture_is_added_and_pasted_words_are_left_to_the_field(stand):
    one = open_widget(stand, TeachYourOwn(steps=2, every=2))
    assert one.page.evaluate(PASTE, "picture")
    one.page.get_by_text("Added. The set has 1 of at most 300").wait_for()
    assert one.page.evaluate(PASTE, "broken")
    one.page.get_by_text("image: expected a picture, got image/png; choose a PNG or JPEG file").wait_for()
    assert not one.page.evaluate(PASTE, "words")
    press(one, "Learn this set")
    (picture,) = learnt(one)
    for row in (picture[i : i + 8] for i in range(0, 64, 8)):
        assert (row[:3], row[5:]) == ("QQQ", "AAA")
        assert row[3] > "I" > row[4], "the edge, where the picture is enlarged, may be a little grey"


@pytest.mark.html
def test_without_workers_the_page_learns_the_set_itself(stand):
    one = stand(TeachYourOwn(seed=3, steps=6, every=3), init=REFUSE)
    press(one, "Teach it your own pictures")
    one.page.get_by_label("ready sets").select_option(label="eight letters")
    press(one, "Learn this set")
    one.page.get_by_text("Done in ").wait_for()
    letters = read_letters()
    expected = page_set.draw_samples(list(page_set.learn_set(letters, seed=3, steps=6))[-1][2])
    _, apart = page_set.compare(expected, letters)
    captions = one.page.locator(".ddpm-widget:not(.ddpm-widget-still) figcaption").all_inner_texts()
    assert [float(text.split(",")[0]) for text in captions] == pytest.approx(apart.tolist(), abs=0.006)
