"""open_model opens a model by name, run folder, file, diffusers folder or hub id."""

from dataclasses import replace

import numpy as np
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
    ddim_step,
    fit,
    guided,
    last,
    linear_schedule,
    load_pretrained,
    open_model,
    respace,
    sample,
    save_pretrained,
    z_model,
)
from ddpm_lite.cli import commands as cli
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


@pytest.mark.parametrize("labels", [False, True], ids=["unet", "by label"])
def test_a_run_of_a_network_that_predicts_v(labels, tmp_path, monkeypatch, capsys):
    """It goes on, opens as the model of z that it was, and is drawn from on the command line."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    unet = UNet(replace(TINY, context_dim=6 if labels else None))
    model = z_model(ConditionalUNet(unet, LabelEncoder(10, 6)) if labels else unet, SCHEDULE, "v")
    options = {"labels": torch.arange(10), "none": 10} if labels else {}
    for steps in (1, 2):
        config = TrainConfig(steps=steps, batch_size=2)
        state = fit(model, SCHEDULE, torch.zeros(10, 1, 8, 8), config, "runs/v", progress=False, **options)
    opened, schedule = open_model("runs/v")
    same(opened, state.ema_model.eval())
    context = torch.tensor([3, 4]) if labels else None
    walks = [sample(m, schedule, (2, 1, 8, 8), context=context) for m in (opened, state.ema_model)]
    assert torch.equal(*(last(walk)[1] for walk in walks))
    asked = ["sample", "runs/v", "--steps", "4", "--sampler", "ddim", "--count", "2", "--out", "drawn.npy"]
    assert cli.main(asked + (["--label", "3", "--scale", "1"] if labels else [])) == 0
    context = torch.full((2,), 3) if labels else None
    asked_for = guided(opened, 1.0, opened.none) if labels else opened
    _, expected = last(sample(asked_for, respace(schedule, 4), (2, 1, 8, 8), step=ddim_step, context=context, seed=0))
    np.testing.assert_allclose(np.load("drawn.npy"), expected.numpy(), atol=1e-5)
    capsys.readouterr()
    assert cli.main(["export-page", "runs/v", "--out", "v.js"]) == 2
    assert capsys.readouterr().err.startswith("model: expected a model whose network predicts z")
    other = z_model(model.model, SCHEDULE, "x_0")
    with pytest.raises(ValueError, match="^predicts: expected 'v', as in step-000002, got 'x_0'"):
        fit(other, SCHEDULE, torch.zeros(10, 1, 8, 8), config, "runs/v", progress=False, **options)


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


def test_an_empty_name_does_not_open_the_current_folder():
    with pytest.raises(ValueError, match="^source: expected a path, got an empty string"):
        open_model("")


@pytest.mark.parametrize("source", ["digit", ".", "a/b/c", "model.ckpt", "no such/model"])
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
