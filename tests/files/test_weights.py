"""Weights on disk: what comes back is what went in, and nothing else is ever opened."""

import pytest
import torch
from test_unet import randomise

from ddpm_lite import ConditionalUNet, LabelEncoder, UNet, UNetConfig, cosine_schedule, linear_schedule, z_model
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


@pytest.mark.parametrize("predicts", ["v", "x_0", "score"])
@pytest.mark.parametrize("labels", [False, True], ids=["unet", "by label"])
def test_what_a_network_predicts_is_kept(predicts, labels, tmp_path):
    torch.manual_seed(0)
    unet = UNet(UNetConfig(8, 1, (8,), blocks=1, context_dim=6 if labels else None))
    network, schedule = randomise(ConditionalUNet(unet, LabelEncoder(10, 6)) if labels else unet), cosine_schedule(50)
    model = z_model(network, schedule, predicts).eval()
    weights.save(tmp_path / "z.safetensors", model, schedule)
    again, _ = weights.load(tmp_path / "z.safetensors")
    x, t, context = torch.randn(3, 1, 8, 8), torch.tensor([1, 25, 50]), torch.tensor([1, 2, 10]) if labels else None
    assert torch.equal(again(x, t, context), model(x, t, context))
    assert not torch.allclose(again(x, t, context), network(x, t, context))
    assert not again.training
    assert again.none == (10 if labels else None)


@pytest.mark.filterwarnings("default")  # torch.compile's own
def test_a_z_model_that_could_not_be_opened_is_not_saved(tmp_path, plain):
    unet, schedule, path = UNet(UNetConfig(8, 1, (8,), blocks=1)), cosine_schedule(50), tmp_path / "z.safetensors"
    with pytest.raises(ValueError, match="^schedule: expected the schedule of the z_model"):
        weights.save(path, z_model(unet, schedule, "v"), linear_schedule())
    with pytest.raises(ValueError, match="^model: expected a z_model of the network itself"):
        weights.save(path, z_model(torch.compile(unet), schedule, "v"), schedule)
    theirs = torch.nn.Conv2d(1, 1, 1)
    theirs.forward = lambda x_t, t, context=None: x_t
    with pytest.raises(ValueError, match="^model: expected a UNet or a ConditionalUNet"):
        weights.save(path, z_model(theirs, schedule, "v"), schedule)
    weights.save(path, torch.compile(z_model(unet, schedule, "v")), schedule)
    assert weights.load(path)[0].predicts == "v"
