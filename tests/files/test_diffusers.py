"""The border to diffusers: its folders open here, ours open there, and both sample the same images."""

import json
import os
import re
import subprocess
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_unet import CONFIGS, in_diffusers, randomise

from ddpm_lite import (
    Schedule,
    UNet,
    UNetConfig,
    cosine_schedule,
    ddim_step,
    ddpm_step,
    from_diffusers,
    from_pretrained,
    linear_schedule,
    load_pretrained,
    respace,
    sample,
    save_pretrained,
)
from ddpm_lite.files.diffusers import FILES, WEIGHTS

PAPER = linear_schedule()
TINY = UNetConfig(8, 1, (8, 16), blocks=1, groups=4, attention_levels=(1,))
MORE = {
    "diffusers' own choices": UNetConfig(8, 3, (16, 32), head_dim=8, norm_eps=1e-5, freq_shift=0, downsample_padding=1),
    "no attention in the middle": UNetConfig(8, 1, (16, 32), attention_levels=(0,), middle_attention=False),
}
ALL = CONFIGS | MORE


@pytest.fixture
def folder(tmp_path):
    """A pipeline that we wrote."""
    save_pretrained(tmp_path / "model", randomise(UNet(TINY)), PAPER)
    return tmp_path / "model"


def edit(folder, file, **changes):
    options = json.loads((folder / file).read_text(encoding="utf8"))
    (folder / file).write_text(json.dumps(options | changes), encoding="utf8")


def agree(ours, theirs, config, flipped=False):
    """The same noise to 1e-5, and the same gradient in every tensor to 1e-4, for the same images and times."""
    generator = torch.Generator().manual_seed(2)
    x_t = torch.randn(4, config.in_channels, config.sample_size, config.sample_size, generator=generator)
    t = torch.tensor([1, 2, 500, 1000])
    ours.eval(), theirs.eval()
    z_hat, reference = ours(x_t, t), theirs(x_t, t - 1).sample
    assert (z_hat - reference).abs().max() <= 1e-5 * max(1, reference.abs().max())
    z_hat.square().mean().backward()
    reference.square().mean().backward()
    assert {key for key, _ in ours.named_parameters()} == {key for key, _ in theirs.named_parameters()}
    for key, parameter in ours.named_parameters():
        expected = theirs.get_parameter(key).grad
        if flipped and key == "time_embedding.linear_1.weight":
            expected = torch.cat(expected.chunk(2, dim=1)[::-1], dim=1)
        assert (parameter.grad - expected).abs().max() <= 1e-4 * expected.abs().max() + 1e-7, key


@pytest.mark.parametrize("name", ALL)
def test_our_folder_opens_there(name, tmp_path):
    model = randomise(UNet(ALL[name]))
    save_pretrained(tmp_path / "model", model, PAPER)
    theirs, info = UNet2DModel.from_pretrained(tmp_path / "model", subfolder="unet", output_loading_info=True)
    assert not any(info.values())  # no key missing, none too many
    agree(model, theirs, ALL[name])


@pytest.mark.parametrize("name", ALL)
def test_their_folder_opens_here(name, tmp_path):
    theirs = randomise(in_diffusers(ALL[name]))
    DDPMPipeline(theirs, DDPMScheduler(variance_type="fixed_large", clip_sample=False)).save_pretrained(tmp_path)
    model, schedule, step = from_pretrained(tmp_path)
    assert not model.training
    assert step.func is ddpm_step
    assert step.keywords == {"variance": "beta", "clip": False}
    torch.testing.assert_close(schedule.beta, PAPER.beta, rtol=1e-15, atol=0)
    levels = range(len(model.config.channels))
    assert [model.config.attends(i) for i in levels] == [ALL[name].attends(i) for i in levels]
    agree(model, theirs, ALL[name])


def test_config_and_weights_come_back_as_they_were(folder):
    model, schedule, step = from_pretrained(folder)
    assert model.config == TINY
    assert torch.equal(schedule.beta, PAPER.beta)
    assert step.keywords == {"variance": "beta_tilde", "clip": True}
    for name, tensor in randomise(UNet(TINY)).state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name
    with safe_open(folder / f"unet/{WEIGHTS}", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_cosines_first_are_turned_around_and_go_back(tmp_path):
    """flip_sin_to_cos is diffusers' default: read it, write it back as sines first, and the noise is the same."""
    levels = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    theirs = randomise(UNet2DModel(8, 3, 3, block_out_channels=(32, 64), **levels))
    assert theirs.config.flip_sin_to_cos
    DDPMPipeline(theirs, DDPMScheduler()).save_pretrained(tmp_path / "theirs")
    model, schedule, _ = from_pretrained(tmp_path / "theirs")
    assert (model.config.freq_shift, model.config.downsample_padding, model.config.head_dim) == (0, 1, 8)
    agree(model, theirs, model.config, flipped=True)
    save_pretrained(tmp_path / "back", model, schedule)
    back = UNet2DModel.from_pretrained(tmp_path / "back", subfolder="unet")
    assert not back.config.flip_sin_to_cos
    model.zero_grad()
    agree(model, back, model.config)


def test_published_folders_of_2022_open(folder):
    """No subfolders, few settings, old names of blocks and tensors: as in google/ddpm-cifar10-32."""
    tensors = load_file(folder / f"unet/{WEIGHTS}")
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {re.sub(r"to_q|to_k|to_v|to_out\.0", lambda m: names[m[0]], name): v for name, v in tensors.items()}
    assert old.keys() != tensors.keys()
    save_file(old, folder / WEIGHTS, metadata={"format": "pt"})
    config = json.loads((folder / "unet/config.json").read_text())
    blocks = ["UNetResDownBlock2D", "UNetResAttnDownBlock2D"], ["UNetResAttnUpBlock2D", "UNetResUpBlock2D"]
    config |= {"down_block_types": blocks[0], "up_block_types": blocks[1]}
    for newer in ("dropout", "add_attention", "class_embed_type", "upsample_type", "resnet_time_scale_shift"):
        del config[newer]
    (folder / "config.json").write_text(json.dumps(config))
    scheduler = {"_class_name": "DDPMScheduler", "_diffusers_version": "0.1.1", "beta_end": 0.02, "beta_start": 1e-4}
    scheduler |= {"timestep_values": None, "tensor_format": "pt", "predict_epsilon": True, "trained_betas": None}
    (folder / "scheduler_config.json").write_text(json.dumps(scheduler))
    for file in FILES[1:]:
        (folder / file).unlink()
    (folder / "unet").rmdir()
    (folder / "scheduler").rmdir()
    model, schedule, _ = from_pretrained(folder)
    assert torch.equal(schedule.beta, PAPER.beta)
    agree(model, UNet2DModel.from_pretrained(folder), TINY)


SCHEDULES = {
    "linear": {"beta_start": 2e-4, "beta_end": 0.03},
    "scaled_linear": {"beta_schedule": "scaled_linear", "beta_start": 8.5e-4, "beta_end": 0.012},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "sigmoid": {"beta_schedule": "sigmoid"},
    "a list": {"trained_betas": [0.1, 0.25, 0.5], "num_train_timesteps": 3},
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_their_schedules_are_read(name, folder):
    theirs = DDPMScheduler(**SCHEDULES[name])
    theirs.save_pretrained(folder / "scheduler")
    _, schedule, _ = from_pretrained(folder)
    torch.testing.assert_close(schedule.beta[1:].float(), theirs.betas, rtol=2e-5, atol=1e-8)


@pytest.mark.parametrize(
    "schedule", [linear_schedule(50, 1e-3, 0.3), cosine_schedule(40), linear_schedule(1), "own"], ids=repr
)
def test_our_schedules_are_written(schedule, tmp_path):
    if schedule == "own":
        schedule = Schedule(torch.tensor([0.0, 0.1, 0.03, 0.7], dtype=torch.float64))
    save_pretrained(tmp_path, UNet(TINY), schedule)
    theirs = DDPMScheduler.from_pretrained(tmp_path, subfolder="scheduler")
    assert theirs.config.num_train_timesteps == schedule.T
    torch.testing.assert_close(theirs.betas, schedule.beta[1:].float(), rtol=2e-5, atol=1e-8)
    assert torch.equal(from_pretrained(tmp_path)[1].beta, schedule.beta)


def paths(folder, seed=3, kind=DDPMPipeline, steps=None, options=None, **bound):
    """Every image on the way here and in diffusers, from one folder and one seed: both draw the same noises."""
    model, schedule, step = from_pretrained(folder, steps=steps)
    shape = (2, model.config.in_channels, model.config.sample_size, model.config.sample_size)
    _, *ours = (x for _, x in sample(model, schedule, shape, step=partial(step, **bound), seed=seed))
    pipe = kind.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    theirs, their_step = [], pipe.scheduler.step

    def kept(*args, **kwargs):
        theirs.append(their_step(*args, **kwargs))
        return theirs[-1]

    pipe.scheduler.step = kept
    generator = torch.Generator().manual_seed(seed)
    images = pipe(2, generator=generator, num_inference_steps=schedule.T, output_type="pt", **options or {}).images
    theirs = [out.prev_sample for out in theirs]
    torch.testing.assert_close(images, (theirs[-1] / 2 + 0.5).clamp(0, 1))
    assert len(ours) == len(theirs) == schedule.T
    return ours, theirs


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("variance", ["beta_tilde", "beta"])
def test_a_thousand_steps_agree_with_their_pipeline(variance, tmp_path):
    """Each of 1,000 images on the way, not only the last. What differs is their float32 tables (1 - alpha_bar)."""
    config = UNetConfig(8, 1, (8,), blocks=1, groups=4, attention_levels=(), middle_attention=False)
    save_pretrained(tmp_path, randomise(UNet(config)), PAPER, variance=variance)
    ours, theirs = paths(tmp_path)
    worst = max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True))
    assert worst < 1e-3
    assert theirs[-1].std() > 0.2  # an image, not a constant


def test_unclipped_steps_agree_too(tmp_path):
    config = UNetConfig(8, 2, (8,), blocks=1, groups=4, attention_levels=())
    schedule = linear_schedule(60, 1e-3, 0.3)
    save_pretrained(tmp_path, randomise(UNet(config)), schedule, variance="beta", clip=False)
    ours, theirs = paths(tmp_path)
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).abs().max() < 1e-3 * max(1, b.abs().max())
    assert theirs[-1].abs().max() > 1.5  # clipping would have been seen


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("kind", [DDPMPipeline, DDIMPipeline])
@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("clip", [True, False])
def test_ddim_folders_go_both_ways(clip, eta, kind, tmp_path):
    """Ours is opened there and theirs here; fifty steps agree, as the folder's own spacing sets them."""
    config = UNetConfig(8, 1, (8,), blocks=1, groups=4, attention_levels=(), middle_attention=False)
    save_pretrained(tmp_path / "ours", randomise(UNet(config)), PAPER, clip=clip, scheduler="ddim")
    pipe = DDIMPipeline.from_pretrained(tmp_path / "ours")
    assert type(pipe.scheduler) is DDIMScheduler
    assert (pipe.scheduler.config.timestep_spacing, pipe.scheduler.config.clip_sample) == ("trailing", clip)
    scheduler = DDIMScheduler(clip_sample=clip, timestep_spacing="leading")
    kind(pipe.unet, scheduler).save_pretrained(tmp_path / "theirs")
    _, schedule, step = from_pretrained(tmp_path / "theirs", steps=50)
    assert (step.func, step.keywords) == (ddim_step, {"clip": clip})
    assert torch.equal(schedule.times, respace(PAPER, 50, "leading").times)

    # DDPMPipeline knows no eta, and does not clip the noise
    options = {"eta": eta, "use_clipped_model_output": clip}
    for folder in ("ours", "theirs"):
        if folder == "ours" or kind is DDIMPipeline:
            ours, theirs = paths(tmp_path / folder, kind=DDIMPipeline, steps=50, options=options, eta=eta)
            worst = max((a - b).abs().max().item() / max(1, b.abs().max()) for a, b in zip(ours, theirs, strict=True))
            assert worst < 1e-3
    if kind is DDPMPipeline and not clip and eta == 0:
        ours, theirs = paths(tmp_path / "theirs", steps=50)
        torch.testing.assert_close(ours[-1], theirs[-1], rtol=2e-3, atol=2e-3)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"schedule": respace(PAPER, 50)},
            "schedule: expected the schedule that the model was trained with, got a re-sp",
        ),
        ({"scheduler": "euler"}, 'scheduler: expected "ddpm" or "ddim", got \'euler\''),
        ({"scheduler": "ddim", "variance": "beta"}, 'variance: expected "beta_tilde", which is eta = 1 of DDIM, got'),
    ],
)
def test_bad_settings_are_not_written(options, message, tmp_path):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        save_pretrained(tmp_path / "a", UNet(TINY), **{"schedule": PAPER} | options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("plain")
def test_a_ddim_folder_s_own_settings_are_refused_by_name(folder):
    model, file = from_pretrained(folder)[0], "scheduler/scheduler_config.json"
    save_pretrained(folder, model, PAPER, scheduler="ddim")
    for key, value, message in (
        ("set_alpha_to_one", False, "expected True, got False"),
        ("steps_offset", 1, "expected 0, got 1"),
        ("variance_type", "fixed_small", "expected no such setting, got 'fixed_small'"),
        ("_class_name", "DDPMScheduler", "expected 'DDIMScheduler', got 'DDPMScheduler'"),
        ("timestep_spacing", "linspace", "expected 'leading' or 'trailing' with steps, got 'linspace'"),
    ):
        before = (folder / file).read_text(encoding="utf8")
        edit(folder, file, **{key: value})
        with pytest.raises(ValueError, match=rf"^{file}: {key}: {re.escape(message)}"):
            from_pretrained(folder, steps=50)
        (folder / file).write_text(before, encoding="utf8")
    edit(folder, "model_index.json", scheduler=["diffusers", "DDPMScheduler"])
    with pytest.raises(ValueError, match=r"model_index\.json: scheduler: expected a DDIMScheduler in a DDIMPipeline"):
        from_pretrained(folder)
    edit(folder, "model_index.json", scheduler=["diffusers", "DDIMScheduler"])
    with pytest.raises(ValueError, match=r"steps: expected a whole number in 1\.\.1000, got 0 \(int\)"):
        from_pretrained(folder, steps=0)


UNSUPPORTED = [
    ("unet/config.json", "act_fn", "gelu", "expected 'silu' or 'swish', got 'gelu'"),
    ("unet/config.json", "resnet_time_scale_shift", "scale_shift", "expected 'default', got 'scale_shift'"),
    ("unet/config.json", "num_class_embeds", 10, "expected None, got 10"),
    ("unet/config.json", "class_embed_type", "timestep", "expected None, got 'timestep'"),
    ("unet/config.json", "downsample_type", "resnet", "expected 'conv', got 'resnet'"),
    ("unet/config.json", "upsample_type", "resnet", "expected 'conv', got 'resnet'"),
    ("unet/config.json", "center_input_sample", True, "expected False, got True"),
    ("unet/config.json", "mid_block_scale_factor", 1.4142, "expected 1, got 1.4142"),
    ("unet/config.json", "mid_block_type", None, "expected 'UNetMidBlock2D', got None"),
    ("unet/config.json", "time_embedding_type", "fourier", "expected 'positional', got 'fourier'"),
    ("unet/config.json", "time_embedding_dim", 100, "expected None or 32, got 100"),
    ("unet/config.json", "freq_shift", 2, "expected 0 or 1, got 2"),
    ("unet/config.json", "downsample_padding", 2, "expected 0 or 1, got 2"),
    ("unet/config.json", "out_channels", 2, "expected 1, got 2"),
    ("unet/config.json", "attn_norm_num_groups", 2, "expected None or 4, got 2"),
    ("unet/config.json", "down_block_types", ["SkipDownBlock2D"] * 2, "got 'SkipDownBlock2D'"),
    ("unet/config.json", "up_block_types", ["UpBlock2D"] * 2, "expected ['AttnUpBlock2D', 'UpBlock2D'], got ['UpBl"),
    ("unet/config.json", "block_out_channels", [8, 16, 16], "expected 2, got 3"),
    ("unet/config.json", "block_out_channels", [8, 18], "expected multiples of groups=4, got 18"),
    ("unet/config.json", "attention_head_dim", 5, "expected a divisor of every width, (8, 16), got 5"),
    ("unet/config.json", "norm_num_groups", None, "expected a whole number >= 1, got None (NoneType)"),
    ("unet/config.json", "sample_size", [8, 16], "expected a whole number >= 1, got [8, 16] (list)"),
    ("unet/config.json", "encoder_hid_dim", 7, "expected no such setting, got 7"),
    ("unet/config.json", "_class_name", "UNet2DConditionModel", "expected 'UNet2DModel', got 'UNet2DConditionModel'"),
    ("scheduler/scheduler_config.json", "_class_name", "DDIMScheduler", "expected 'DDPMScheduler', got 'DDIMSched"),
    ("scheduler/scheduler_config.json", "prediction_type", "v_prediction", "expected 'epsilon', got 'v_prediction'"),
    ("scheduler/scheduler_config.json", "predict_epsilon", False, "expected True, got False"),
    ("scheduler/scheduler_config.json", "variance_type", "learned_range", "'fixed_large', got 'learned_range'"),
    ("scheduler/scheduler_config.json", "variance_type", "fixed_large_log", "'fixed_large', got 'fixed_large_log'"),
    ("scheduler/scheduler_config.json", "thresholding", True, "expected False, got True"),
    ("scheduler/scheduler_config.json", "rescale_betas_zero_snr", True, "expected False, got True"),
    ("scheduler/scheduler_config.json", "clip_sample_range", 2.0, "expected 1.0, got 2.0"),
    ("scheduler/scheduler_config.json", "steps_offset", 1, "expected 0, got 1"),
    ("scheduler/scheduler_config.json", "beta_schedule", "laplace", "or 'sigmoid', got 'laplace'"),
    ("scheduler/scheduler_config.json", "trained_betas", [0.1], "expected num_train_timesteps = 1000 numbers, got 1"),
    ("scheduler/scheduler_config.json", "num_train_timesteps", 0, "expected a whole number >= 1, got 0"),
    ("scheduler/scheduler_config.json", "beta_end", 2, "expected a number in (0, 1), got 2 (int)"),
    (
        "model_index.json",
        "_class_name",
        "StableDiffusionPipeline",
        "expected 'DDPMPipeline' or 'DDIMPipeline', got 'Sta",
    ),
    ("model_index.json", "scheduler", ["diffusers", "PNDMScheduler"], "got ['diffusers', 'PNDMScheduler']"),
    ("model_index.json", "vae", ["diffusers", "AutoencoderKL"], "expected no such setting, got ['diffusers'"),
]


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(("file", "key", "value", "message"), UNSUPPORTED)
def test_what_we_cannot_represent_is_refused_by_name(file, key, value, message, folder):
    edit(folder, file, **{key: value})
    with pytest.raises(ValueError, match=rf"^{file}: {key}: .*{re.escape(message)}") as caught:
        from_pretrained(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("conv_in.bias"), "conv_in.bias: expected [8], got no such tensor; the weights do not fit"),
        (lambda t: t.update({"extra": t["conv_in.bias"] + 0}), "extra: expected no such tensor, got [8]"),
        (lambda t: t.update({"conv_in.bias": torch.zeros(9)}), "conv_in.bias: expected [8], got [9]"),
    ],
)
def test_tensors_that_do_not_fit_are_named(change, message, folder):
    path = folder / f"unet/{WEIGHTS}"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    with pytest.raises(ValueError, match=re.escape(f"unet/{WEIGHTS}: {message}")):
        from_pretrained(folder)


def test_damaged_and_missing_files_are_named(folder, tmp_path):
    path = folder / f"unet/{WEIGHTS}"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match=rf"unet/{WEIGHTS}: expected a whole safetensors file"):
        from_pretrained(folder)
    for text in ("{", "[]", '"a"'):
        (folder / "unet/config.json").write_text(text)
        with pytest.raises(ValueError, match=r"unet/config\.json: expected a JSON object, got a damaged file"):
            from_pretrained(folder)
    (folder / "unet/config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"^source: .*unet/config\.json"):
        from_pretrained(folder)
    for source in (tmp_path / "none", "none", str(tmp_path / "none")):
        with pytest.raises(FileNotFoundError, match='source: expected an existing folder or a hub id "owner/name"'):
            from_pretrained(source)


@pytest.mark.parametrize("ending", ["bin", "pt", "ckpt", "pkl"])
def test_pickles_are_not_opened(ending, folder):
    reason = r"only safetensors is read, as opening a \.bin, \.pt, \.ckpt or \.pkl file can run code"
    path = folder / f"unet/{WEIGHTS}"
    path.rename(path.with_suffix(f".{ending}"))
    with pytest.raises(
        FileNotFoundError, match=rf"source: expected .*got \['diffusion_pytorch_model\.{ending}'\]; {reason}"
    ):
        from_pretrained(folder)
    with pytest.raises(ValueError, match=rf"source: expected a folder or a hub id, got .*; {reason}"):
        from_pretrained(path.with_suffix(f".{ending}"))


def everything(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_is_replaced_whole(folder):
    before = everything(folder)
    assert sorted(before) == sorted(FILES)
    save_pretrained(folder, randomise(UNet(TINY), seed=1), cosine_schedule(20))
    assert sorted(everything(folder)) == sorted(FILES)
    assert all(everything(folder)[file] != before[file] for file in (FILES[1], FILES[3]))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("broken", ["os.fsync", "os.replace"])
def test_a_failed_save_keeps_the_old_folder(broken, folder, monkeypatch):
    before = everything(folder)
    real = os.rename

    def full_disk(*args):
        if broken == "os.fsync" or args[0].name.startswith(".") and not args[0].name.endswith(".earlier"):
            raise OSError(28, "No space left on device")
        real(*args)

    monkeypatch.setattr(broken, full_disk)
    with pytest.raises(OSError, match="No space"):
        save_pretrained(folder, UNet(TINY), cosine_schedule(20))
    monkeypatch.undo()
    assert everything(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.usefixtures("plain")
def test_a_folder_with_other_files_is_left_alone(folder):
    (folder / "unet" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"^folder: .*'unet/notes\.txt'"):
        save_pretrained(folder, UNet(TINY), PAPER)
    with pytest.raises(ValueError, match=r"folder: expected a new or empty folder.*got a file; choose another"):
        save_pretrained(folder / "unet" / "notes.txt", UNet(TINY), PAPER)
    assert (folder / "unet" / "notes.txt").read_text() == "mine"


@pytest.mark.usefixtures("plain")
def test_what_diffusers_has_no_counterpart_for_is_not_written(tmp_path):
    crossing = UNet(UNetConfig(8, 1, (8, 16), context_dim=4))
    with pytest.raises(ValueError, match=r"^model: .*context_dim=4"):
        save_pretrained(tmp_path / "a", crossing, PAPER)
    with pytest.raises(ValueError, match=r"model: expected a UNet without context_dim.*got Identity"):
        save_pretrained(tmp_path / "a", torch.nn.Identity(), PAPER)
    with pytest.raises(ValueError, match='variance: expected "beta" or "beta_tilde", got \'learned\''):
        save_pretrained(tmp_path / "a", UNet(TINY), PAPER, variance="learned")
    assert list(tmp_path.iterdir()) == []


class Hub(BaseHTTPRequestHandler):
    """The few answers of the hub that a download asks for: a repository's files, and each file."""

    sha = "0123456789abcdef0123456789abcdef01234567"
    repositories = {}

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        parts = self.path.partition("?")[0].strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        files = self.repositories.get("/".join(parts[2:4] if api else parts[:2]))
        if files is None:
            return self.answer(404, b"{}", **{"X-Error-Code": "RepoNotFound"})
        if api and "tree" in parts:
            tree = [{"type": "file", "path": k, "size": len(v), "oid": str(len(v))} for k, v in files.items()]
            return self.answer(200, json.dumps(tree).encode())
        if api:
            siblings = [{"rfilename": name} for name in files]
            return self.answer(200, json.dumps({"id": "x", "sha": self.sha, "siblings": siblings}).encode())
        return self.answer(200, files["/".join(parts[4:])], ETag=f'"{abs(hash(files["/".join(parts[4:])])):x}"')

    def answer(self, status, content, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), "X-Repo-Commit": self.sha, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *args):
        pass


HUB_CLIENT = """
import sys
from ddpm_lite import from_pretrained

def attempt(source):
    try:
        model, schedule, step = from_pretrained(source)
        print("opened", source, schedule.T, model.config.channels)
    except Exception as error:
        print(type(error).__name__, str(error).replace(chr(10), "<newline>"))

for source in ("me/model", "me/pickled", "me/absent"):
    attempt(source)
print("", flush=True)
input()  # the server goes away
attempt("me/model")
attempt("me/other")
sys.modules["huggingface_hub"] = None
attempt("me/model")
"""


def test_hub_ids_open_through_the_hubs_own_client(folder, tmp_path):
    """huggingface_hub's real path against a server on this machine; then the server goes away."""
    files = everything(folder)
    pickled = {k: v for k, v in files.items() if k != f"unet/{WEIGHTS}"} | {"unet/diffusion_pytorch_model.bin": b"x"}
    Hub.repositories = {"me/model": {**files, "README.md": b"hello"}, "me/pickled": pickled}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05))
    thread.start()
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
    env |= {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HUB_CLIENT], env=env, **pipes) as client:
        opened, no_weights, absent, *_ = iter(client.stdout.readline, "\n")
        server.shutdown()
        thread.join()
        server.server_close()
        rest, errors = client.communicate("\n", timeout=900)
    assert client.returncode == 0, errors
    cached, unreachable, no_client = rest.splitlines()

    assert opened == "opened me/model 1000 (8, 16)\n"
    assert no_weights.startswith(
        f"FileNotFoundError source: expected a folder with unet/{WEIGHTS}, got no weights; only safet"
    )
    for line, source in ((absent, "me/absent"), (unreachable, "me/other")):
        expected = "FileNotFoundError source: expected an existing folder or a hub id that can be reached, got "
        assert line.startswith(f"{expected}{source!r} (")
        assert "<newline>" not in line
    assert cached == "opened me/model 1000 (8, 16)"
    assert no_client == 'ImportError a hub id needs huggingface_hub: pip install "ddpm-lite[hub]"'
    downloaded = {path.name for path in (tmp_path / "home").rglob("snapshots/*/**/*") if not path.is_dir()}
    assert downloaded == {file.rpartition("/")[2] for file in FILES}  # no README, no pickle


def test_schedule_of_another_processor_is_still_the_linear_one(tmp_path):
    """Processors round the last digit of beta differently; the folder must say "linear" all the same."""
    beta = linear_schedule().beta.clone()
    beta[1:] *= 1 + 2.3e-16 * torch.randint(-2, 3, (1000,), generator=torch.Generator().manual_seed(0)).double()
    assert not torch.equal(beta, linear_schedule().beta)
    save_pretrained(tmp_path, UNet(UNetConfig(8, channels=(8,), blocks=1)), Schedule(beta))
    settings = json.loads((tmp_path / "scheduler" / "scheduler_config.json").read_text())
    assert settings.get("beta_schedule", "linear") == "linear"
    assert settings.get("trained_betas") is None


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(("scheduler", "kind"), [("ddpm", DDPMPipeline), ("ddim", DDIMPipeline)])
def test_the_shipped_digits_draw_the_same_in_their_pipelines(scheduler, kind, tmp_path):
    """Ours opened there: twenty images on the way agree, and their network, adapted, draws them here once more."""
    model, schedule = load_pretrained("digits")
    save_pretrained(tmp_path, model, schedule, scheduler=scheduler)
    options = {"use_clipped_model_output": True} if scheduler == "ddim" else {}
    ours, theirs = paths(tmp_path, kind=kind, steps=20, options=options)
    worst = max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True))
    assert worst < 2e-3
    assert 0.5 < theirs[-1].std() < 1  # a digit, not grey
    _, short, step = from_pretrained(tmp_path, steps=20)
    network = from_diffusers(UNet2DModel.from_pretrained(tmp_path, subfolder="unet"))
    _, *again = (x for _, x in sample(network, short, (2, 1, 8, 8), step=step, seed=3))
    torch.testing.assert_close(again[-1], ours[-1], rtol=0, atol=1e-3)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("name", ["digits-by-label", "fashion"])
def test_a_shipped_model_by_label_is_refused_there(name, tmp_path):
    """UNet2DModel has no cross-attention."""
    with pytest.raises(ValueError, match=r"^model: .*context_dim.*ConditionalUNet"):
        save_pretrained(tmp_path / "a", *load_pretrained(name))
    assert list(tmp_path.iterdir()) == []
