"""What the package promises to other people's networks, pictures and scripts: each case once, as they would write it.

Every case is either done right or refused in one line; none ends in an error of torch, NumPy or Pillow, and none is
silently wrong. The tests of the modules look at each closely; these look from outside.
"""

import copy
import json
import warnings
from collections import deque
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ddpm_lite
from ddpm_lite import (
    ConditionalUNet,
    LabelEncoder,
    TrainConfig,
    UNet,
    UNetConfig,
    cosine_schedule,
    ddim_step,
    ddpm_loss,
    ddpm_step,
    fit,
    from_diffusers,
    guided,
    images_from_folder,
    last,
    linear_schedule,
    load_digits,
    open_pictures,
    predict_x_0,
    q_sample,
    q_step,
    respace,
    sample,
    save_pretrained,
    train,
)
from ddpm_lite.cli import commands as cli
from ddpm_lite.files import weights
from ddpm_lite.runs.models import SHIPPED

PAPER = linear_schedule()
SHORT = respace(PAPER, 4)
DIGITS, LABELS = load_digits("train")
FEW = TrainConfig(steps=2, batch_size=8)
BYTES = ((DIGITS + 1) * 127.5).round().to(torch.uint8)


@pytest.fixture(autouse=True)
def unchecked(plain):
    """As a user has it: no type checker stands before our own lines."""
    torch.manual_seed(0)


def small(channels=1, size=8, **options):
    torch.manual_seed(0)
    return UNet(UNetConfig(size, channels, (8, 16), blocks=1, groups=4, **options))


def labelled():
    return ConditionalUNet(small(context_dim=8), LabelEncoder(10, 8))


def end_of(model, shape=(3, 1, 8, 8), **options):
    """The last images of a short walk."""
    return last(sample(model, SHORT, shape, **options))[1]


def trained(model, images=DIGITS, config=FEW, **options):
    """The last state of a short training; its loss and its average are finite."""
    state = list(train(model, PAPER, images, config, **options))[-1]
    assert np.isfinite(state.loss)
    assert all(torch.isfinite(value.float()).all() for value in state.ema_model.state_dict().values())
    return state


def one_line(call, *words, kind=(ValueError, TypeError)):
    """It is refused in one line of ours, in which these words stand."""
    with pytest.raises(kind) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    assert ": expected " in line, line
    for word in words:
        assert word in line, line
    return line


def works_or_tells(call, argument):
    """What the call gives; None if it was refused in one line that names the argument. Either is a promise kept."""
    try:
        return call()
    except (ValueError, TypeError) as error:
        line = str(error)
    assert line.startswith(f"{argument}: expected "), line
    assert "\n" not in line


# Networks that are not ours


class Convolution(nn.Module):
    """The smallest network of images; what it does to x before is for a subclass."""

    def __init__(self, channels=1):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x, t, context=None):
        return self.conv(x)


class Normalised(Convolution):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(1)

    def forward(self, x, t, context=None):
        return self.conv(self.bn(x))


class Spectral(Convolution):
    def __init__(self):
        super().__init__()
        self.conv = nn.utils.parametrizations.spectral_norm(self.conv)


class Embedded(Convolution):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(1001, 1)

    def forward(self, x, t, context=None):
        return self.conv(x + self.table(t)[:, :, None, None])


class Linear(Convolution):
    def __init__(self):
        super().__init__()
        self.time = nn.Linear(1, 1)

    def forward(self, x, t, context=None):
        return self.conv(x + self.time(t[:, None].float() / 1000)[:, :, None, None])


class Tied(Convolution):
    def __init__(self):
        super().__init__()
        self.again = self.conv

    def forward(self, x, t, context=None):
        return self.again(torch.relu(self.conv(x)))


class Frozen(Convolution):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 1, 1).requires_grad_(False)

    def forward(self, x, t, context=None):
        return self.conv(self.first(x))


class Dropping(Convolution):
    def forward(self, x, t, context=None):
        return self.conv(nn.functional.dropout(x, 0.5, self.training))


class Labelled(Convolution):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 1)

    def forward(self, x, t, context=None):
        return self.conv(x) if context is None else self.conv(x + self.table(context)[:, :, None, None])


NETWORKS = [Convolution, Normalised, Spectral, Embedded, Linear, Tied, Frozen, Dropping]


@pytest.mark.parametrize("kind", NETWORKS)
def test_any_network_trains_samples_and_goes_on(kind, tmp_path):
    torch.manual_seed(0)
    net = kind()
    state = trained(net)
    assert torch.isfinite(end_of(state.ema_model)).all()
    assert torch.isfinite(end_of(net, step=ddim_step)).all()
    torch.manual_seed(0)
    whole = fit(kind(), PAPER, DIGITS, TrainConfig(steps=4, batch_size=8), tmp_path / "whole", progress=False)
    for steps in (2, 4):
        torch.manual_seed(0)
        parts = fit(kind(), PAPER, DIGITS, TrainConfig(steps=steps, batch_size=8), tmp_path / "parts", progress=False)
    for one, other in ((whole.model, parts.model), (whole.ema_model, parts.ema_model)):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name


def test_a_frozen_weight_stays():
    net = Frozen()
    before = net.first.weight.clone()
    assert torch.equal(trained(net).model.first.weight, before)
    assert torch.equal(trained(net).ema_model.first.weight, before)


def test_case_1_the_average_has_the_buffers_of_the_model():
    net = Normalised()
    state = trained(net, config=TrainConfig(steps=50))
    assert net.bn.running_var != 1
    assert torch.equal(state.ema_model.bn.running_var, net.bn.running_var)
    assert torch.equal(state.ema_model.bn.running_mean, net.bn.running_mean)
    assert state.ema_model.bn.num_batches_tracked == 50


def test_case_3_t_is_one_type_in_training_and_sampling():
    seen = []

    class Spy(Convolution):
        def forward(self, x, t, context=None):
            seen.append((type(t), t.dtype, tuple(t.shape) == (len(x),)))
            return self.conv(x)

    end_of(trained(Spy()).ema_model)
    assert set(seen) == {(torch.Tensor, torch.int64, True)}


def test_a_model_may_be_a_function_or_a_bound_method():
    assert torch.isfinite(end_of(lambda x, t, context=None: 0.1 * x)).all()
    assert torch.isfinite(end_of(Convolution().forward)).all()
    loss = ddpm_loss(lambda x, t, context=None: x, PAPER, DIGITS[:4], torch.tensor([1, 2, 3, 4]), DIGITS[4:8])
    assert torch.isfinite(loss)


def test_labels_reach_a_network_of_somebody_elses():
    state = trained(Labelled(), labels=LABELS, none=10)
    assert torch.isfinite(end_of(state.ema_model, context=[1, 2, 3])).all()
    assert torch.isfinite(end_of(guided(state.ema_model, 1.5, 10), context=torch.tensor([1, 2, 3]))).all()


def test_case_6_a_raw_network_of_diffusers_is_told_the_adapter():
    from diffusers import UNet2DModel

    theirs = UNet2DModel(
        8,
        1,
        1,
        down_block_types=2 * ("DownBlock2D",),
        up_block_types=2 * ("UpBlock2D",),
        block_out_channels=(8, 8),
        layers_per_block=1,
        norm_num_groups=4,
    ).eval()
    one_line(lambda: end_of(theirs), "from_diffusers")
    assert torch.isfinite(end_of(from_diffusers(theirs))).all()
    assert torch.isfinite(end_of(trained(from_diffusers(theirs)).ema_model)).all()


def test_points_far_outside_of_minus_one_to_one_are_sampled():
    def towards(x, t, context=None):
        signal, noise = (table[t].sqrt().float()[:, None] for table in (PAPER.alpha_bar, PAPER.one_minus_alpha_bar))
        return (x - 5 * signal) / noise

    for step in (partial(ddim_step, clip=False), partial(ddpm_step, clip=False)):
        assert (end_of(towards, (6, 3), step=step) - 5).abs().max() < 0.5


# Pictures


def test_case_2_sixteen_bits_and_transparency(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    ink = np.zeros((8, 8, 4), np.uint8)
    ink[2:5, 2:5, 3] = 255
    Image.fromarray(ink).save(tmp_path / "b.png")
    (tmp_path / "._a.png").write_bytes(b"?")
    (tmp_path / ".DS_Store").write_bytes(b"?")
    Image.fromarray(ink).convert("P").save(tmp_path / "c.gif")
    rows = np.load(images_from_folder(tmp_path, 8, channels=1, file=tmp_path / "x.npy"))
    assert len(rows) == 3
    assert np.abs(rows[0, 0].astype(int) - np.round(ramp / 257)).max() <= 1
    assert set(rows[1, 0].ravel().tolist()) == {0, 255}
    assert rows[1, 0, 0, 0] == 255


def test_case_2_here_and_names(tmp_path, monkeypatch):
    (tmp_path / "faces").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "faces" / "x.png")
    monkeypatch.chdir(tmp_path / "faces")
    grey, colour = images_from_folder(".", 8, channels=1), images_from_folder(".", 8)
    assert grey != colour
    assert (np.load(grey).shape[1], np.load(colour).shape[1]) == (1, 3)


def test_case_19_labels_and_what_was_left_out(tmp_path):
    for name in ("disc/1.png", "cross/2.png"):
        (tmp_path / "s" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "s" / name)
    (tmp_path / "s" / "disc" / "bad.tif").write_bytes(b"II*\0")
    (tmp_path / "s" / "cross" / "bad.jpg").write_bytes(b"")
    line = one_line(lambda: images_from_folder(tmp_path / "s", 8), "'cross/bad.jpg'", "'disc/bad.tif'", "skip_broken")
    with pytest.warns(UserWarning, match="cross/bad.jpg, disc/bad.tif"):
        pictures = open_pictures(images_from_folder(tmp_path / "s", 8, skip_broken=True))
    assert (pictures.words, pictures.labels.tolist()) == (("cross", "disc"), [0, 1])
    assert set(pictures.skipped) == {"cross/bad.jpg", "disc/bad.tif"}
    assert "remove them" in line
    state = trained(
        ConditionalUNet(small(3, context_dim=8), LabelEncoder(2, 8)),
        pictures.images,
        TrainConfig(steps=2, batch_size=2),
        labels=pictures.labels,
        none=2,
    )
    assert torch.isfinite(end_of(state.ema_model, (2, 3, 8, 8), context=[0, 1])).all()


# Numbers and containers


@pytest.mark.parametrize("number", [np.int64, np.int32, np.uint8])
def test_case_6_whole_numbers_of_numpy(number, tmp_path):
    x, z = DIGITS[:2], torch.randn(2, 1, 8, 8)
    assert torch.equal(q_sample(PAPER, x, number(5), z), q_sample(PAPER, x, 5, z))
    assert torch.equal(predict_x_0(PAPER, x, number(5), z), predict_x_0(PAPER, x, 5, z))
    assert torch.equal(q_step(PAPER, x, number(5), z), q_step(PAPER, x, 5, z))
    assert TrainConfig(steps=number(5), batch_size=number(4), seed=number(3)) == TrainConfig(5, batch_size=4, seed=3)
    assert torch.equal(respace(PAPER, number(10)).beta, respace(PAPER, 10).beta)
    assert linear_schedule(number(50)).T == cosine_schedule(number(50)).T == 50
    assert torch.equal(end_of(small(), seed=number(3)), end_of(small(), seed=3))
    assert UNetConfig(number(8), number(1), (8, 16), blocks=number(1)) == UNetConfig(8, 1, (8, 16), blocks=1)
    fit(small(), PAPER, DIGITS, TrainConfig(steps=number(1)), tmp_path, every=number(1), progress=False)


@pytest.mark.parametrize("number", [np.float32, np.float64])
def test_case_6_real_numbers_of_numpy(number, tmp_path):
    real = {"lr": 1e-3, "ema_decay": 0.5, "grad_clip": 2, "label_dropout": 0.5}
    config = TrainConfig(steps=1, **{name: number(value) for name, value in real.items()})
    trained(small(), config=config)
    fit(small(), PAPER, DIGITS, config, tmp_path, progress=False)  # what it writes down is JSON
    assert torch.isfinite(end_of(guided(labelled(), number(2), 10), context=[1, 2, 3])).all()
    assert torch.isfinite(end_of(small(), step=partial(ddim_step, eta=number(0.5)))).all()


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor, lambda labels: np.array(labels, np.uint8)])
def test_case_6_labels_in_any_container(kind):
    model = labelled().eval()
    expected = end_of(model, context=torch.tensor([1, 2, 3]))
    assert torch.equal(end_of(model, context=kind([1, 2, 3])), expected)


def test_case_6_words_are_no_labels():
    one_line(lambda: end_of(labelled(), context=["1", "2", "3"]), "context")
    one_line(lambda: end_of(labelled(), context=[0.5, 1.0, 2.0]), "context")
    one_line(lambda: end_of(labelled(), context=[1, 2]), "context")
    one_line(lambda: end_of(labelled(), context=[1, 2, 11]), "0..9")


def test_case_6_images_in_other_containers_are_taken_or_told():
    """A list, a Dataset, a DataLoader: each works, or the line says how to."""
    pairs = TensorDataset(DIGITS, LABELS)
    for images in (list(DIGITS[:16]), DIGITS[:16].tolist(), TensorDataset(DIGITS), pairs, DataLoader(pairs), None, "x"):
        works_or_tells(lambda images=images: trained(small(), images), "images")


@pytest.mark.parametrize("images", [BYTES, BYTES.numpy(), DIGITS, DIGITS.double()], ids=["u8", "array", "f32", "f64"])
def test_case_6_images_of_any_type_train_a_network_of_floats(images):
    state = trained(small(), images)
    expected = trained(small(), DIGITS)
    assert state.loss == pytest.approx(expected.loss, rel=0.01)


def test_memory_maps_and_read_only_arrays_train(tmp_path):
    np.save(tmp_path / "x.npy", BYTES.numpy())
    loss = trained(small(), BYTES).loss
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert trained(small(), np.load(tmp_path / "x.npy", mmap_mode="r")).loss == loss
        frozen = BYTES.numpy().copy()
        frozen.flags.writeable = False
        assert trained(small(), frozen).loss == loss
        assert trained(small(), BYTES.numpy()[:, :, ::-1, ::-1][:, :, ::-1, ::-1]).loss == loss  # negative strides


def test_images_that_cannot_be_are_refused():
    for images, word in (
        (DIGITS[:0], ""),
        (DIGITS * 255, "scale"),
        (DIGITS / 0, "finite"),
        (BYTES.long(), ""),
        (DIGITS > 0, ""),
        (DIGITS.to(torch.complex64), ""),
    ):
        one_line(lambda images=images: trained(small(), images), "images", word)
    one_line(lambda: trained(small(), DIGITS[:, 0]), "8, 8)")


# Precision, sizes


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_case_6_a_network_of_another_precision_samples(dtype):
    model = small().eval()
    wide = copy.deepcopy(model).to(dtype)
    x_0 = end_of(wide)
    assert x_0.dtype in (dtype, torch.float32)
    assert (x_0.float() - end_of(model)).abs().max() < 0.3


def test_sizes_that_are_not_square_train_and_sample():
    images = torch.rand(16, 3, 8, 12) * 2 - 1
    state = trained(small(3), images)
    assert end_of(state.ema_model, (2, 3, 8, 12)).shape == (2, 3, 8, 12)


def test_a_size_that_the_levels_cannot_halve_is_refused_or_works():
    x_0 = works_or_tells(lambda: end_of(small(), (2, 1, 7, 9)), "x_t")
    assert x_0 is None or x_0.shape == (2, 1, 7, 9)


def test_channels_that_the_network_lacks_are_told():
    one_line(lambda: end_of(small(1), (2, 3, 8, 8)), "(B, 1, H, W)")
    one_line(lambda: trained(small(3)), "(B, 3, H, W)")


def test_a_batch_larger_than_the_data_and_one_image():
    trained(small(), DIGITS[:1], TrainConfig(steps=1, batch_size=4))
    trained(small(), DIGITS[:3], TrainConfig(steps=2, batch_size=8, accumulation=2))


# Files


def test_case_5_wrapped_networks_are_unwrapped_or_refused(tmp_path):
    for name, wrap in (("parallel", nn.DataParallel), ("compiled", partial(torch.compile, backend="eager"))):
        folder = tmp_path / name
        state = works_or_tells(lambda: fit(wrap(small()), PAPER, DIGITS, FEW, folder, progress=False), "model")  # noqa: B023
        if state is not None:
            assert torch.isfinite(end_of(ddpm_lite.open_model(folder)[0])).all()
        works_or_tells(lambda: save_pretrained(tmp_path / f"{name} saved", wrap(small()), PAPER), "model")  # noqa: B023


def test_a_network_of_somebody_else_is_not_saved_as_ours(tmp_path):
    one_line(lambda: save_pretrained(tmp_path / "x", Convolution(), PAPER), "model: ", "Convolution")
    one_line(lambda: weights.save(tmp_path / "x.safetensors", Convolution(), PAPER), "model")
    assert not (tmp_path / "x").exists()


def test_case_13_a_single_changed_pixel_is_noticed(tmp_path):
    images = BYTES.clone()
    fit(small(), PAPER, images, FEW, tmp_path, progress=False)
    images[-2, 0, 3, 3] += 1  # the last one has always been looked at
    images[701, 0, 3, 3] ^= 255
    more = TrainConfig(steps=3, batch_size=8)
    one_line(lambda: fit(small(), PAPER, images, more, tmp_path, progress=False), "images")


def test_case_4_the_advice_of_a_diverged_run_can_be_followed(tmp_path):
    from ddpm_lite.trainer import Diverged

    class Fragile(Convolution):
        calls = 0

        def forward(self, x, t, context=None):
            self.calls += 1
            return self.conv(x) * (1 if self.calls == 1 else float("nan"))

    config = TrainConfig(steps=5, batch_size=8, lr=1e-2)
    with pytest.raises(Diverged) as caught:
        fit(Fragile(), PAPER, DIGITS, config, tmp_path / "a", every=1, progress=False)
    line = str(caught.value)
    assert "step-000001" in line
    assert "start_from" in line or "start-from" in line
    lower = TrainConfig(steps=2, batch_size=8, lr=1e-4, warmup=10)
    fit(Convolution(), PAPER, DIGITS, lower, tmp_path / "b", start_from=tmp_path / "a", progress=False)


# Samplers and states


def test_case_7_no_ratio_where_noise_is_not_clearly_above_real(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["evaluate", "digits", "--count", "4", "--steps", "2", "--seeds", "0"]) == 0
    assert "times that of" not in capsys.readouterr().out


def test_case_8_the_end_of_a_walk_keeps_no_path():
    states = sample(small(), SHORT, (2, 1, 8, 8))
    s, x_0 = last(states)
    assert s == 0
    *_, (_, same) = sample(small(), SHORT, (2, 1, 8, 8))
    assert torch.equal(x_0, same)


def test_case_12_a_state_is_the_readers_to_change():
    model = small().eval()
    walk, whole = sample(model, SHORT, (2, 1, 8, 8), seed=1), end_of(model, (2, 1, 8, 8), seed=1)
    for _, x_t in walk:
        kept = x_t.clone()
        x_t.fill_(7)
    assert torch.equal(kept, whole)


def test_case_12_a_respaced_schedule_of_floats_is_exact():
    short = respace(PAPER.to("cpu"), 10)
    torch.testing.assert_close(short.alpha_bar.double(), respace(PAPER, 10).alpha_bar.double(), rtol=1e-6, atol=0)


def test_seeds_give_the_same_images_in_any_batch():
    model = small().eval()
    many = end_of(model, (4, 1, 8, 8), seed=[0, 1, 2, 3], step=ddpm_step)
    one = end_of(model, (1, 1, 8, 8), seed=[2], step=ddpm_step)
    torch.testing.assert_close(many[2:3], one, atol=1e-5, rtol=0)


def test_case_22_a_learning_rate_that_is_set_is_not_overwritten_in_silence():
    states = train(small(), PAPER, DIGITS, TrainConfig(steps=4, batch_size=8, lr=1e-3, warmup=0))
    state = next(states)
    state.optimizer.param_groups[0]["lr"] = 1e-5
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        state = works_or_tells(lambda: next(states), "lr")
    assert state is None or told or state.optimizer.param_groups[0]["lr"] == 1e-5


@pytest.mark.parametrize("steps", [0, -1, 1001, 2.5, "4", True, None])
def test_steps_that_cannot_be_are_refused(steps):
    one_line(lambda: respace(PAPER, steps))


@pytest.mark.parametrize("shape", [(), (0, 1, 8, 8), (-1, 1, 8, 8), (2.0, 1, 8, 8), "8", 8, None])
def test_shapes_that_cannot_be_are_refused(shape):
    one_line(lambda: end_of(small(), shape), "shape")


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "0", None, [1, 2]])
def test_seeds_that_cannot_be_are_refused(seed):
    one_line(lambda: end_of(small(), seed=seed), "seed")


@pytest.mark.parametrize("t", [0, 1001, -1, 2.5, "5", True, None, [1], [1, 2, 3], torch.tensor([1.0, 2.0])])
def test_times_that_cannot_be_are_refused(t):
    one_line(lambda: q_sample(PAPER, DIGITS[:2], t, DIGITS[2:4]), "t: ")


# The command line


def test_case_16_help_names_every_shipped_model(run):
    shipped = sorted(path.stem for path in weights.PRETRAINED.glob("*.safetensors"))
    _, out, _ = run("sample", "--help")
    text = " ".join(out.replace("│", " ").split())
    assert all(name in text for name in shipped), text
    assert list(SHIPPED) == shipped


def test_case_16_a_seed_that_is_no_number(run):
    code, _, err = run("sample", "digits", "--seed", "x")
    assert code == 2
    assert "invalid literal" not in err
    assert len(err.splitlines()) == 1


def test_case_15_a_run_folder_opens_by_its_name(run):
    fit(small(), PAPER, DIGITS, FEW, "runs/d", progress=False)
    code, _, err = run("sample", "runs/d", "--steps", 2, "--count", 2)
    assert (code, err) == (0, "")
    assert Path("grid.png").is_file()

    assert torch.isfinite(end_of(ddpm_lite.open_model("runs/d")[0])).all()
    assert isinstance(ddpm_lite.open_model("digits")[0], UNet)


def test_case_18_single_images_and_a_path_that_moves(run):
    code, _, err = run("sample", "digits", "--steps", 3, "--count", 2, "--animate", "path.gif")
    assert (code, err) == (0, "")
    with Image.open("path.gif") as moving:
        assert moving.n_frames > 1


def test_case_14_the_default_sampler_is_the_one_that_the_card_measured(run):
    sneaker = run("sample", "fashion", "--label", "sneaker", "--count", 1)
    assert sneaker[0] == 0
    card = (weights.PRETRAINED / "fashion.md").read_text("utf8")
    kind = "ddim" if "ddim" in sneaker[1] else "ddpm"
    assert kind in card.lower()


def test_case_24_the_promise_of_same_images_is_bounded():
    from ddpm_lite.cli import options

    assert "threads" in options.Sample.__doc__


# The wide world: export, and what travels


def test_case_20_a_conditional_network_can_be_exported():
    model, context = labelled().eval(), torch.tensor([1, 2])
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([3, 4])
    exported = torch.export.export(model, (x, t, context)).module()
    torch.testing.assert_close(exported(x, t, context), model(x, t, context), atol=1e-4, rtol=0)
    whole = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(whole(x, t, context), model(x, t, context), atol=1e-4, rtol=0)


def test_case_25_records_are_found_from_anywhere(tmp_path, monkeypatch):
    from ddpm_lite.files.records import read_pictures, read_record

    monkeypatch.chdir(tmp_path)
    assert read_record("results/steps.json")["rows"]
    assert read_pictures("results/widgets/clothes.safetensors")["images"].shape[1:] == (1, 28, 28)


def test_case_26_a_network_told_labels_is_refused_as_a_pipeline(tmp_path):
    one_line(lambda: save_pretrained(tmp_path / "x", labelled(), PAPER), "model")


def test_what_a_run_writes_down_can_be_read(tmp_path):
    fit(small(), PAPER, DIGITS, FEW, tmp_path, progress=False, log=1)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text("utf8").splitlines()]
    assert [line["step"] for line in lines] == [1, 2]


def test_a_start_of_numpys_is_a_start():
    start = np.random.default_rng(0).normal(size=(3, 1, 8, 8))
    model = small().eval()
    assert torch.equal(end_of(model, x_T=start), end_of(model, x_T=torch.from_numpy(start)))


# Neighbours: what is mistaken for what. Each is refused in one line that names the argument.


MISTAKEN = {
    "a number for a schedule": (lambda: end_with(schedule=1000), "schedule"),
    "a name for a schedule": (lambda: q_sample("linear", DIGITS[:2], 5, DIGITS[2:4]), "schedule"),
    "a class for a model": (lambda: trained(UNet), "model"),
    "a function to train": (lambda: trained(lambda x, t, context=None: x), "model"),
    "nothing to train": (lambda: trained(nn.Flatten()), "model"),
    "all weights frozen": (lambda: trained(small().requires_grad_(False)), "model"),
    "a config for a model": (lambda: trained(UNetConfig(8, 1, (8, 16))), "model"),
    "a dictionary for a config": (lambda: trained(small(), config={"steps": 1}), "config"),
    "a word for steps": (lambda: TrainConfig(steps="5"), "steps"),
    "a share for steps": (lambda: TrainConfig(steps=2.5), "steps"),
    "a batch of none": (lambda: TrainConfig(steps=1, batch_size=0), "batch_size"),
    "a rate below zero": (lambda: TrainConfig(steps=1, lr=-1e-3), "lr"),
    "a rate of nan": (lambda: TrainConfig(steps=1, lr=float("nan")), "lr"),
    "a precision that is none": (lambda: TrainConfig(steps=1, mixed_precision="fp8"), "mixed_precision"),
    "labels of another number": (lambda: trained(labelled(), labels=LABELS[:5], none=10), "labels"),
    "labels beyond": (lambda: trained(labelled(), labels=LABELS + 5, none=10), "labels"),
    "labels of words": (lambda: trained(labelled(), labels=["a"] * len(DIGITS), none=10), "labels"),
    "labels dropped to nothing": (lambda: trained(labelled(), labels=LABELS), "none"),
    "x_T of another shape": (lambda: end_of(small(), x_T=torch.zeros(2, 1, 8, 8)), "x_T"),
    "x_T of NumPy's": (lambda: end_of(small(), x_T=np.zeros((9, 1, 8, 8))), "x_T"),
    "words for x_T": (lambda: end_of(small(), x_T="noise"), "x_T"),
    "a scale in words": (lambda: guided(labelled(), "2", 10), "scale"),
    "an eta of two": (lambda: end_of(small(), step=partial(ddim_step, eta=2.0)), "eta"),
    "a variance that is none": (lambda: end_of(small(), step=partial(ddpm_step, variance="learnt")), "variance"),
    "words for T": (lambda: linear_schedule("100"), "T"),
    "T of nothing": (lambda: cosine_schedule(0), "T"),
    "images of bytes for a step": (lambda: q_sample(PAPER, BYTES[:2], 5, DIGITS[:2]), "x_0"),
    "noise of another shape": (lambda: q_sample(PAPER, DIGITS[:2], 5, DIGITS[:1]), "z"),
    "a list for an image": (lambda: q_sample(PAPER, [[0.5]], 5, DIGITS[:1]), "x_0"),
    "a width that groups do not divide": (lambda: UNetConfig(8, 1, (10, 20), groups=8), "channels"),
    "a name that does not ship": (lambda: ddpm_lite.load_pretrained("mnist"), "name"),
    "a path that is not there": (lambda: ddpm_lite.open_model("runs/none/x.safetensors"), "path"),
    "a checkpoint of torch.save": (lambda: weights.load("model.pt"), "path"),
    "nothing to open": (lambda: ddpm_lite.open_model(None), "source"),
    "a network to open": (lambda: ddpm_lite.open_model(small()), "source"),
    "a number for a folder": (lambda: fit(small(), PAPER, DIGITS, FEW, 5), "folder"),
    "a number for pictures": (lambda: ddpm_lite.images_from_folder(3, 8), "folder"),
    "a dtype in words": (lambda: weights.save("a.safetensors", small(), PAPER, dtype="float16"), "dtype"),
    "a folder that is not there": (lambda: weights.save("no/a.safetensors", small(), PAPER), "path"),
    "the last of a number": (lambda: last(5), "states"),
    "every of none": (lambda: fit(small(), PAPER, DIGITS, FEW, "x", every=0), "every"),
}


@pytest.mark.parametrize(
    "labels", [range(2), deque([0, 1]), (0, 1), np.arange(2)], ids=lambda labels: type(labels).__name__
)
def test_labels_to_draw_come_in_any_sequence(labels):
    images = end_of(labelled(), shape=(2, 1, 8, 8), context=labels)
    assert torch.equal(images, end_of(labelled(), shape=(2, 1, 8, 8), context=torch.tensor([0, 1])))


def end_with(schedule):
    return last(sample(small(), schedule, (2, 1, 8, 8)))


@pytest.mark.parametrize("name", MISTAKEN)
def test_what_is_mistaken_gets_one_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, argument = MISTAKEN[name]
    line = one_line(call, kind=(ValueError, TypeError, FileNotFoundError))
    assert line.startswith(argument), line
    assert not list(tmp_path.iterdir())  # refused before anything was written
