"""open_model: one way to open a model, by name, folder, file, folder of diffusers or hub id."""

import pytest
import torch
from test_unet import randomise

import ddpm_lite.files.diffusers as border
from ddpm_lite import (
    ConditionalUNet,
    LabelEncoder,
    TrainConfig,
    UNet,
    UNetConfig,
    fit,
    linear_schedule,
    load_pretrained,
    open_model,
    save_pretrained,
)
from ddpm_lite.files import weights
from ddpm_lite.runs.models import SHIPPED, read_words

TINY = UNetConfig(8, 1, (8, 16), blocks=1)
SCHEDULE = linear_schedule(20, 0.005, 0.5)


def same(one, other):
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    assert not one.training


def test_by_name():
    for name in SHIPPED:
        model, schedule = open_model(name)
        same(model, load_pretrained(name)[0])
        assert schedule.T == 1000
    assert read_words("fashion")[7] == "sneaker"
    assert read_words("digits-by-label") == tuple("0123456789")


def test_a_run_a_file_and_a_folder_of_diffusers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = torch.zeros(10, 1, 8, 8)
    state = fit(UNet(TINY), SCHEDULE, images, TrainConfig(steps=2, batch_size=2), "runs/tiny", progress=False)
    for source in ("runs/tiny", tmp_path / "runs/tiny"):
        model, schedule = open_model(source)
        same(model, state.ema_model.eval())
        assert torch.equal(schedule.beta, SCHEDULE.beta)
    weights.save("tiny.safetensors", model, schedule)
    save_pretrained("theirs", model, schedule)
    for source in ("tiny.safetensors", "theirs", tmp_path / "theirs"):
        same(open_model(source)[0], model)
    assert read_words("runs/tiny") == read_words("tiny.safetensors") == ()


def test_a_hub_id(tmp_path, monkeypatch):
    """The hub itself is stood in for; tests/files asks a server."""
    asked, model = [], randomise(UNet(TINY))
    save_pretrained(tmp_path / "cached", model, SCHEDULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(border, "_download", lambda source, revision: asked.append(source) or tmp_path / "cached")
    same(open_model("me/flat")[0], model.eval())
    assert asked == ["me/flat"]
    (tmp_path / "runs").mkdir()
    with pytest.raises(ValueError, match=r"^model: expected one of digits, .* or a hub id owner/name, got 'runs/typo'"):
        open_model("runs/typo")  # beside folders that are there nobody means the hub
    assert asked == ["me/flat"]


@pytest.mark.parametrize("source", ["digit", "", ".", "a/b/c", "model.ckpt", "no such/model"])
def test_what_is_no_model_gets_one_line(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^model: expected one of digits, digits-by-label, fashion, ") as caught:
        open_model(source)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"^path: expected an existing file"):
        open_model("absent.safetensors")


def test_labels_and_words_come_back(tmp_path):
    model = ConditionalUNet(UNet(UNetConfig(8, 1, (8, 16), blocks=1, context_dim=6)), LabelEncoder(3, 6))
    weights.save(tmp_path / "kinds.safetensors", model, SCHEDULE)
    assert open_model(tmp_path / "kinds.safetensors")[0].encoder.labels == 3
    (tmp_path / "preset.json").write_text('{"preset": "mine", "words": ["disc", "square", "star"]}')
    assert read_words(tmp_path / "kinds.safetensors") == ("disc", "square", "star")
    (tmp_path / "preset.json").write_text("half of a fi")
    assert read_words(tmp_path / "kinds.safetensors") == ()
