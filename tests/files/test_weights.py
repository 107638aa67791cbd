"""Weights on disk: what comes back is what went in, and nothing else is ever opened."""

import pytest
import torch

from ddpm_lite import ConditionalUNet, LabelEncoder, UNet, UNetConfig, cosine_schedule
from ddpm_lite.files import weights


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = UNet(UNetConfig(8, 1, (8, 16), blocks=1, attention_levels=(1,), context_dim=4))
    path = tmp_path / "a name with spaces 数字.safetensors"
    weights.save(path, model, cosine_schedule(50))
    return path, model


def test_round_trip(saved):
    path, model = saved
    again, schedule = weights.load(path)
    assert again.config == model.config
    assert not again.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert torch.equal(schedule.beta, cosine_schedule(50).beta)
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing left beside it


def test_a_label_encoder_is_kept_too(tmp_path):
    unet = UNet(UNetConfig(8, 1, (8, 16), blocks=1, context_dim=6))
    model = ConditionalUNet(unet, LabelEncoder(10, 6, tokens=3))
    weights.save(tmp_path / "labels.safetensors", model, cosine_schedule(50))
    again, _ = weights.load(tmp_path / "labels.safetensors")
    assert again.none == 10
    assert again.encoder.tokens == 3
    assert not again.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_a_failed_save_keeps_the_old_file(saved, monkeypatch):
    path, model = saved
    before = path.read_bytes()

    def full_disk(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        weights.save(path, model, cosine_schedule(20))
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_damaged_file_is_named(saved):
    path, _ = saved
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"path: expected a whole safetensors file, got 'a name"):
        weights.load(path)


def test_other_formats_are_not_opened(tmp_path):
    for name in ("model.pt", "model.bin", "model.ckpt", "model.pkl"):
        (tmp_path / name).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
        with pytest.raises(ValueError, match="other formats can run code"):
            weights.load(tmp_path / name)


def test_missing_or_foreign_files_get_one_line(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(FileNotFoundError, match="path: expected an existing file"):
        weights.load(tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match="a file written by ddpm_lite"):
        weights.load(tmp_path / "foreign.safetensors")
