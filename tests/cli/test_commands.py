"""The command line does what the package does, and reports wrong arguments in one line."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from ddpm_lite import (
    ConditionalUNet,
    TrainConfig,
    UNet,
    UNetConfig,
    ddim_step,
    ddpm_step,
    fit,
    guided,
    linear_schedule,
    load_digits,
    load_pretrained,
    open_model,
    respace,
    sample,
    save_pretrained,
)
from ddpm_lite.cli import commands as cli
from ddpm_lite.cli import doctor, pictures
from ddpm_lite.files import weights
from ddpm_lite.runs.models import SHIPPED
from ddpm_lite.runs.presets import PRESETS, network

RESULTS = Path(__file__).resolve().parents[2] / "book" / "results"


def pixels(path):
    return np.asarray(Image.open(path))


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.glob("step-*/*.safetensors")}


# Training


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """A folder with step 3 and step 5 of the digits preset, from two commands."""
    folder = tmp_path_factory.mktemp("runs") / "数字 one"
    for steps in (3, 5):
        assert cli.main(["train", "digits", "--out", str(folder), "--config.steps", str(steps)]) == 0
    return folder


def test_training_goes_on_where_it_stopped(digits_run, run):
    code, out, err = run("train", "digits", "--out", "whole", "--config.steps", 5, "--every", 3)
    assert (code, err) == (0, "")
    assert files(Path("whole")) == files(digits_run)
    assert out.splitlines()[0] == "digits: 1,297 images, 203,665 parameters, on cpu"
    assert out.splitlines()[-1] == "python -m ddpm_lite sample whole --label all"


def test_a_run_starts_from_another_with_other_settings(digits_run, run):
    asked = ["--config.steps", 1, "--config.lr", 1e-3, "--config.lr-decay", "cosine", "--start-from", digits_run]
    assert run("train", "digits", "--out", "new", *asked)[0] == 0
    header = json.loads(weights.check_seal(Path("new/step-000001.safetensors"))["run"])
    assert (header["start"]["folder"], header["start"]["step"]) == (str(digits_run), 5)
    assert header["config"]["lr_decay"] == "cosine"
    code, _, err = run("train", "digits", "--out", "other", "--start-from", "nowhere")
    assert code == 2
    assert err.startswith("start_from: folder: expected a run with a checkpoint")


def test_digits_is_the_recipe_of_the_recorded_run(digits_run):
    record = json.loads((RESULTS / "digits-by-label.json").read_text())
    lines = map(json.loads, (digits_run / "metrics.jsonl").read_text().splitlines())
    losses = {line["step"]: line["loss"] for line in lines}
    assert losses == pytest.approx({3: record["losses"][2], 5: record["losses"][4]}, abs=2e-5)
    assert {key: value for key, value in vars(PRESETS["digits"].config).items() if key in record["config"]} == record[
        "config"
    ]


def test_cifar10_is_the_papers_network_and_recipe():
    preset = PRESETS["cifar10"]
    with torch.device("meta"):
        assert sum(p.numel() for p in network(preset.unet, 10).parameters()) == 35_746_307
    assert (preset.unet.sample_size, preset.unet.in_channels, preset.unet.dropout) == (32, 3, 0.1)
    assert [32 // 2**level for level in range(4) if preset.unet.attends(level)] == [16]
    recipe = TrainConfig(steps=800_000, batch_size=128, lr=2e-4, warmup=5000, grad_clip=1, ema_decay=0.9999, flip=True)
    assert replace(preset.config, label_dropout=0.1) == recipe


def test_presets_suit_their_images():
    for name, size, channels, words in (("fashion", 28, 1, "sneaker"), ("cifar10", 32, 3, "frog")):
        preset = PRESETS[name]
        assert (preset.unet.sample_size, preset.unet.in_channels) == (size, channels)
        assert words in preset.words
        assert len(set(preset.words)) == 10
    assert not PRESETS["fashion"].config.flip
    assert isinstance(network(PRESETS["fashion"].unet, 10), ConditionalUNet)


def test_without_a_context_no_labels_are_told(run):
    small = ["--unet.channels", 8, 16, "--config.batch-size", 8, "--config.steps", 1, "--unet.context-dim", "None"]
    code, out, _ = run("train", "digits", "--out", "plain", *small)
    assert code == 0
    assert out.endswith("sample plain\n")
    assert isinstance(open_model("plain")[0], UNet)


def test_several_processes_get_an_accelerator(monkeypatch):
    asked = cli.parse_arguments(["train", "digits", "--config.mixed-precision", "bf16"])
    assert cli._make_accelerator(asked) is None
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setitem(sys.modules, "accelerate", types.SimpleNamespace(Accelerator=dict))
    assert cli._make_accelerator(asked) == {"mixed_precision": "bf16", "cpu": True}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert not cli._make_accelerator(asked)["cpu"]
    assert cli._make_accelerator(replace(asked, device="cpu"))["cpu"]
    with pytest.raises(ValueError, match="--device: expected auto or cpu with several processes"):
        cli._make_accelerator(replace(asked, device="cuda:1"))
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ImportError, match="several processes need accelerate"):
        cli._make_accelerator(asked)


@pytest.mark.slow
def test_ctrl_c_writes_a_checkpoint_and_a_line(tmp_path):
    command = [sys.executable, "-m", "ddpm_lite", "train", "digits", "--out", "run", "--config.batch-size", "8"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "preset.json").exists():  # written after the first step
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert re.fullmatch(r"stopped after step (\d+); step-0*\1 is written, and fit resumes from there\n", err), err


@pytest.mark.parametrize(
    ("minute", "now", "set_to"),
    [(0.1, 5, None), (8.0, 1, None), (1.2, 3, 3), (9.0, 9, 1), (2.9, None, 1)],
    ids=["just begun", "just over", "one core is taken", "all are", "no /proc"],
)
def test_on_a_busy_machine_as_many_threads_as_cores_are_free(minute, now, set_to, monkeypatch):
    """Four cores; `now` counts what runs at this moment, this program included."""
    chosen = []
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "getloadavg", lambda: (minute, 0, 0), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    read_text = Path.read_text

    def pretend(path, *rest, **options):
        if str(path) != "/proc/loadavg":
            return read_text(path, *rest, **options)
        if now is None:
            raise FileNotFoundError
        return f"{minute} 0.00 0.00 {now}/300 4711\n"

    monkeypatch.setattr(Path, "read_text", pretend)
    cli._leave_busy_cores()
    assert chosen == ([] if set_to is None else [set_to])
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    cli._leave_busy_cores()
    assert len(chosen) <= 1


# Sampling


def test_a_picture_is_what_sample_draws(run):
    model, schedule = load_pretrained("digits-by-label")
    for sampler, step, scale in (("ddim", ddim_step, 0), ("ddpm", ddpm_step, 1.5)):
        words = ["--label", 3, 8, "--count", 2, "--steps", 5, "--sampler", sampler, "--scale", scale, "--seed", 4]
        code, out, err = run("sample", "digits-by-label", *words, "--out", "grid.png")
        assert (code, err) == (0, "")
        assert out.startswith(f"grid.png: 4 images, 5 steps of {sampler}, ")
        context = torch.tensor([3, 3, 8, 8])
        asked = guided(model, scale, model.none)
        *_, (_, x_0) = sample(asked, respace(schedule, 5), (4, 1, 8, 8), step=step, seed=4, context=context)
        picture = pixels("grid.png")
        assert picture.shape == (2 * 64 + 3 * 2, 2 * 64 + 3 * 2)
        assert (picture[:2] == 255).all()
        for number, image in enumerate(x_0):
            row, column = divmod(number, 2)
            block = picture[2 + 66 * row :, 2 + 66 * column :][:64, :64]
            assert (block.reshape(8, 8, 8, 8) == block[::8, None, ::8, None]).all()  # a pixel is a square of eight
            seen = torch.from_numpy(block[::8, ::8].astype(np.float32)) / 127.5 - 1
            torch.testing.assert_close(seen, image[0].clamp(-1, 1), atol=0.005, rtol=0)


def test_the_digits_are_those_asked_for(run):
    assert run("sample", "digits-by-label", "--label", "all", "--count", 4, "--steps", 20)[0] == 0
    picture = pixels("grid.png")[2:, 2:]
    drawn = [picture[66 * row :, 66 * column :][:64:8, :64:8] for row in range(10) for column in range(4)]
    images, labels = load_digits()
    judge = KNeighborsClassifier(3).fit(images.flatten(1).numpy(), labels.numpy())
    answers = judge.predict(np.stack(drawn).reshape(40, 64) / 127.5 - 1)
    assert (answers == np.arange(10).repeat(4)).mean() >= 0.9


def test_a_folder_a_file_and_its_words(run, tmp_path):
    preset = PRESETS["fashion"]
    small = replace(preset.unet, sample_size=8, channels=(8, 16), attention_levels="every")
    torch.manual_seed(0)
    model = network(small, 10)
    images, labels = torch.zeros(10, 1, 8, 8), torch.arange(10)
    config = TrainConfig(steps=2, batch_size=4)
    state = fit(model, linear_schedule(), images, config, "run", labels=labels, none=10, every=1)
    torch.nn.init.normal_(state.ema_model.encoder.table.weight)
    words = ["--count", 1, "--steps", 2, "--out"]
    assert run("sample", "run", "--label", 7, *words, "number.png")[0] == 0
    code, _, err = run("sample", "run", "--label", "sneaker", *words, "word.png")
    assert (code, err) == (2, "--label: expected all, a number in 0..9, got 'sneaker'\n")
    Path("run/preset.json").write_text(json.dumps({"preset": "fashion", "words": preset.words}))
    assert run("sample", "run", "--label", "Sneaker", *words, "word.png")[0] == 0
    assert run("sample", "run/step-000002.safetensors", "--label", "sneaker", *words, "file.png")[0] == 0
    assert Path("number.png").read_bytes() == Path("word.png").read_bytes() == Path("file.png").read_bytes()
    assert "ankle-boot" in run("sample", "run", "--label", "boat", *words, "word.png")[2]


def test_every_way_to_write_is_of_the_same_images(run):
    words = ["sample", "digits-by-label", "--label", 3, 8, "--count", 2, "--steps", 5, "--seed", 4]
    assert run(*words, "--out", "grid.png", "--separate", "images", "--animate", "walk.gif", "--captions")[0] == 0
    assert run(*words, "--out", "images.npy")[0] == 0
    assert run(*words, "--out", "plain.png")[0] == 0
    images = np.load("images.npy")
    assert (images.shape, images.dtype) == ((4, 1, 8, 8), np.float32)
    assert sorted(path.name for path in Path("images").iterdir()) == ["0-3.png", "1-3.png", "2-8.png", "3-8.png"]
    for number, path in enumerate(sorted(Path("images").iterdir())):
        np.testing.assert_allclose(pixels(path) / 127.5 - 1, images[number, 0].clip(-1, 1), atol=0.005)
    captioned, plain = pixels("grid.png"), pixels("plain.png")
    margin = captioned.shape[1] - plain.shape[1]
    assert (captioned[:, margin:] == plain).all()
    assert (captioned[:66, :margin] < 128).any(), "a 3 beside the first row"
    assert (captioned[66:, :margin] < 128).any()
    frames = []
    with Image.open("walk.gif") as walk:
        assert walk.n_frames == 6  # five steps, and the noise they begin with
        for frame in range(6):
            walk.seek(frame)
            frames.append((np.asarray(walk.convert("L")).astype(int), walk.info["duration"]))
    np.testing.assert_allclose(frames[-1][0], plain, atol=1)
    assert frames[-1][1] > 10 * frames[0][1]
    model, schedule = load_pretrained("digits-by-label")
    states = sample(model, respace(schedule, 5), (4, 1, 8, 8), seed=4, context=[3, 3, 8, 8])
    for (_, x_t), (frame, _) in zip(states, frames, strict=True):
        np.testing.assert_allclose(frame[2:66:8, 2:66:8] / 127.5 - 1, x_t[0, 0].clamp(-1, 1), atol=0.01)


def test_a_long_walk_shows_sixty_moments_with_both_ends():
    shown = sorted(pictures.choose_frames(1001))
    assert (len(shown), shown[0], shown[-1]) == (60, 0, 1000)
    assert {b - a for a, b in zip(shown, shown[1:], strict=False)} <= {16, 17}
    assert pictures.choose_frames(1) == {0}
    assert pictures.choose_frames(2) == {0, 1}


def test_without_pillow_a_picture_is_drawn_and_an_animation_asks_for_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert run("sample", "digits", "--count", 1, "--steps", 1)[0] == 0
    for flags in (["--animate", "walk.gif"], ["--label", "3", "--captions"]):
        code, _, err = run("sample", "digits-by-label", "--count", 1, "--steps", 1, *flags)
        assert (code, err.count("\n")) == (1, 1)
        assert err.endswith('needs Pillow: pip install "ddpm-lite[data]"\n')


def test_more_images_than_a_part_are_those_of_one_go(run, monkeypatch):
    words = ["sample", "digits-by-label", "--label", 3, 8, "--count", 5, "--steps", 3, "--scale", 1, "--out"]
    assert run(*words, "whole.npy")[0] == 0
    monkeypatch.setattr(cli, "AT_ONCE", 3)
    assert run(*words, "parts.npy")[0] == 0
    np.testing.assert_allclose(np.load("parts.npy"), np.load("whole.npy"), atol=1e-4)


def test_a_seed_for_each_image(run):
    words = ["sample", "digits", "--steps", 3, "--out"]
    assert run(*words, "three.npy", "--count", 3, "--seed", 5, 6, 7)[0] == 0
    assert run(*words, "one.npy", "--count", 1, "--seed", 7)[0] == 0
    assert run(*words, "two.npy", "--count", 2, "--seed", 7, 5)[0] == 0
    three = np.load("three.npy")
    np.testing.assert_allclose(np.load("two.npy"), three[[2, 0]], atol=1e-4)
    np.testing.assert_allclose(np.load("one.npy"), three[2:], atol=1e-4)  # one image: both ways draw the same noise


def test_a_new_step_needs_a_name_in_one_dictionary(run):
    """The command line, `evaluate` and the widgets read sampler.STEPS."""
    from ddpm_lite import sampler
    from ddpm_lite.cli import options
    from ddpm_lite.viz.widgets import drawing

    code = "from ddpm_lite import sampler; sampler.STEPS['still'] = lambda schedule, x_t, t, s, z_hat, noise: 0 * x_t\n"
    code += "import sys; from ddpm_lite.cli.commands import main; sys.exit(main(sys.argv[1:]))"
    words = ["sample", "digits", "--sampler", "still", "--count", "2", "--steps", "1", "--out", "flat.npy"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (np.load("flat.npy") == 0).all()
    for name in (*sampler.STEPS, "euler"):
        known = name in sampler.STEPS
        for command in ("sample", "evaluate"):
            if known:
                assert options.parse_arguments([command, "digits", "--sampler", name]).sampler == name
            else:
                with pytest.raises(ValueError, match="--sampler"):
                    options.parse_arguments([command, "digits", "--sampler", name])
    assert set(drawing.SAMPLERS) <= set(sampler.STEPS)


def test_the_default_is_what_the_cards_measured():
    asked = cli.parse_arguments(["sample", "fashion"])
    for name in SHIPPED:
        record = json.loads((RESULTS / f"evaluate-{name}.json").read_text(encoding="utf8"))
        assert record["steps"] == asked.steps
        assert record["sampler"] == asked.sampler or (record["sampler"], record["eta"]) == ("ddim", 1), name


def test_apples_gpu_is_said_not_to_be_chosen(run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    code, out, err = run("sample", "digits", "--count", 1, "--steps", 1)
    assert (code, err.count("\n")) == (0, 1)
    assert "--device mps" in err
    assert out.endswith("on cpu\n")
    assert run("sample", "digits", "--count", 1, "--steps", 1, "--device", "cpu")[2] == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_somebody_who_watches_sees_that_it_works(run, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    run("sample", "digits", "--count", 1, "--steps", 3)
    assert "/4" in terminal.getvalue()  # states of the walk


def test_a_folder_of_diffusers_and_colours(run):
    torch.manual_seed(0)
    unet = UNet(UNetConfig(8, 3, (8, 16), blocks=1))
    save_pretrained("pipe", unet, linear_schedule())
    assert run("sample", "pipe", "--count", 9, "--steps", 1)[0] == 0
    assert pixels("grid.png").shape == (2 * 66 + 2, 8 * 66 + 2, 3)


def test_an_older_checkpoint_is_used_and_the_damaged_one_named(digits_run, run, tmp_path):
    shutil.copytree(digits_run, "run")
    damaged = Path("run/step-000005.safetensors")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    code, out, err = run("sample", "run", "--count", 1, "--steps", 1)
    assert code == 0
    assert err.startswith("warning: step-000005.safetensors in 'run' is damaged")
    assert err.count("\n") == 1
    assert run("verify", "run") == (
        1,
        "run/step-000005.safetensors: damaged: it has changed since it was written: its SHA-256 differs\n"
        "run/step-000003.safetensors: undamaged\n",
        "",
    )


def test_verify_says_what_is_whole(digits_run, run):
    code, out, err = run("verify", digits_run)
    assert (code, err) == (0, "")
    assert out == f"{digits_run}/step-000005.safetensors: undamaged\n{digits_run}/step-000003.safetensors: undamaged\n"
    Path("empty").mkdir()
    assert run("verify", "empty") == (1, "", "empty: no checkpoint\n")


def test_examine_says_what_is_wrong_with_a_model(run):
    images = load_digits("train")[0][:64].numpy()
    np.save("right.npy", images)
    np.save("moved.npy", (images + 1) / 2)
    code, out, err = run("examine", "digits-by-label", "--images", "right.npy", "--steps", 5)
    assert (code, err) == (0, "")
    assert "WRONG" not in out
    code, out, _ = run("examine", "digits", "--images", "moved.npy", "--steps", 5, "--sampler", "ddim")
    assert code == 1
    assert [line.split(": ")[1] for line in out.splitlines() if "WRONG" in line] == ["range of the images"]


# Wrong words

WRONG = {
    "nothing": ("", "Expected one of {train, sample, evaluate, export-page, examine, doctor, verify}"),
    "another command": (
        "tran digits",
        "Unrecognized options: tran, digits; there are: train, sample, evaluate, export-page, examine, doctor, verify",
    ),
    "another preset": ("train mnist", "train: expected digits, fashion, cifar10 or an existing folder of pictures"),
    "no preset": ("train", "Expected one of {digits, fashion, cifar10, folder}"),
    "another option": ("train digits --config.step 5", "--config.step, 5; perhaps you meant --config.steps"),
    "no number": ("train digits --config.steps many", "--config.steps: expected a whole number, got 'many'"),
    "steps": ("train digits --config.steps 0", "--config.steps: expected a whole number >= 1, got 0 (int)"),
    "lr": ("train digits --config.lr -1", "--config.lr: expected a number in (0, 1], got -1.0 (float)"),
    "lr is NaN": ("train digits --config.lr nan", "--config.lr: expected a number in (0, 1], got nan (float)"),
    "batch": ("train digits --config.batch-size 0", "--config.batch-size: expected a whole number >= 1, got 0"),
    "precision": ("train digits --config.mixed-precision fp8", '--config.mixed-precision: expected "no" or "bf16"'),
    "channels": ("train digits --unet.channels 12 24", "--unet.channels: expected multiples of groups=8, got 12"),
    "levels": ("train digits --unet.attention-levels 5", "--unet.attention-levels: expected"),
    "size": ("train digits --unet.sample-size 16", "--unet.sample-size: expected 8, the value of the images of digits"),
    "colours": (
        "train digits --unet.in-channels 3",
        "--unet.in-channels: expected 1, the value of the images of digits",
    ),
    "every": ("train digits --every 0", "every: expected a whole number >= 1, got 0 (int)"),
    "tokens": ("train digits --tokens 0", "tokens: expected a whole number >= 1, got 0 (int)"),
    "device": ("train digits --device tpu", "--device: expected auto, or a device that torch can use here"),
    "folder without the data": ("train fashion --data .", "folder: expected a folder with train-images-idx3-ubyte.gz"),
    "no model": ("sample", "Missing from python -m ddpm_lite sample: MODEL"),
    "another model": ("sample digit", "model: expected one of digits, digits-by-label, fashion, a folder with"),
    "not trained yet": ("sample cifar10", "got 'cifar10'; train it first"),
    "a model of another format": ("sample model.ckpt", "model: expected one of digits, digits-by-label"),
    "no such file": ("sample model.safetensors", "path: expected an existing file, got 'model.safetensors'"),
    "no weights": ("sample text.safetensors", "path: expected a whole safetensors file, got 'text.safetensors'"),
    "label": ("sample digits-by-label --label 10", "--label: expected all, a number in 0..9, got '10'"),
    "a label for nothing": (
        "sample digits --label 3",
        "--label: expected none, because this model has no labels, got 3",
    ),
    "scale": ("sample digits-by-label --scale 2", "--scale: expected a --label to guide to, got none"),
    "scale is infinite": ("sample digits-by-label --label 2 --scale inf", "--scale: expected a number in [-100, 100]"),
    "steps of a sampler": ("sample digits --steps 1001", "--steps: expected a whole number in 1..1000, got 1001"),
    "count": ("sample digits --count 0", "--count: expected a whole number in 1..10000, got 0"),
    "a seed that is no number": (
        "sample digits --seed x",
        "--seed: expected whole numbers, got 'x'; see --help",
    ),
    "a scale that is no number": ("sample digits --scale y", "--scale: expected a number, got 'y'; see --help"),
    "a count that is no number": (
        "sample digits --count 2.5",
        "--count: expected a whole number, got '2.5'; see --help",
    ),
    "seeds for other images": (
        "sample digits --seed 1 2 3",
        "--seed: expected one whole number, or 8, one for each",
    ),
    "animation": ("sample digits --animate walk.mp4", "--animate: expected a name that ends in .gif, got 'walk"),
    "animation nowhere": (
        "sample digits --animate no/walk.gif",
        "--animate: expected a file in an existing folder",
    ),
    "images nowhere": ("sample digits --separate no/images", "--separate: expected a folder in an existing folder"),
    "a file for images": (
        "sample digits --separate text.safetensors",
        "--separate: expected a new or existing folder",
    ),
    "captions for nothing": ("sample digits-by-label --captions", "--captions: expected a --label to write, got none"),
    "a typo in a path": ("sample ./digits", "a .safetensors file or a hub id owner/name, got './digits'"),
    "seed": ("sample digits --seed -1", "--seed: expected a whole number in 0.."),
    "sampler": ("sample digits --sampler euler", "invalid choice 'euler' for argument '--sampler'"),
    "picture": (
        "sample digits --out grid.jpg",
        "--out: expected a name that ends in .png, or in .npy for",
    ),
    "picture nowhere": ("sample digits --out no/grid.png", "--out: expected a file in an existing folder"),
    "folder to verify": ("verify nowhere", "folder: expected a folder that train wrote, got 'nowhere'"),
    "no model to evaluate": ("evaluate", "Missing from python -m ddpm_lite evaluate: MODEL"),
    "another model to evaluate": ("evaluate digit", "model: expected one of digits, digits-by-label"),
    "few to evaluate": ("evaluate digits --count 3", "--count: expected 4..1297, the number of training images, got 3"),
    "many to evaluate": ("evaluate digits --count 1298", "--count: expected 4..1297, the number of training images"),
    "steps to evaluate": ("evaluate digits --steps 0", "--steps: expected a whole number in 1..1000, got 0 (int)"),
    "scale to evaluate": ("evaluate digits --scale 2", "--scale: expected 0, because this model has no labels, got 2"),
    "eta": ("evaluate digits --eta 1.5", "--eta: expected a number in [0, 1], got 1.5 (float)"),
    "eta of ddpm": ("evaluate digits --eta 1 --sampler ddpm", "--eta: expected 0 with --sampler ddpm; it is an option"),
    "seeds": ("evaluate digits --seeds 1 -1", "--seeds: expected a whole number in 0..2147483647, got -1 (int)"),
    "no seeds": ("evaluate digits --seeds", "--seeds: expected a whole number in 0..2147483647, got 'none' (str)"),
    "record": ("evaluate digits --out found.txt", "--out: expected a name that ends in .json, got 'found.txt'"),
    "record nowhere": ("evaluate digits --out no/found.json", "--out: expected a file in an existing folder"),
    "no images": (
        "examine digits --images x.png",
        "--images: expected an existing file that ends in .npy, got 'x.png'",
    ),
    "doctor": ("doctor --device abacus", "--device: expected auto, or a device that torch can use here"),
}


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("name", WRONG)
def test_wrong_words_get_one_line(name, run):
    words, expected = WRONG[name]
    Path("text.safetensors").write_text("words")
    code, out, err = run(*words.split())
    assert code == 2
    assert expected in err
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert not re.search("tyro|---|[|─│]", err)
    assert not list(Path.cwd().glob("**/step-*"))


def test_a_terminal_of_letters_only_gets_the_same_line(run, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    in_a_box = run("train", "digits", "--config.step", 0)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert run("train", "digits", "--config.step", 0) == in_a_box


def test_another_run_in_the_folder_is_refused(digits_run, run):
    code, _, err = run("train", "digits", "--out", digits_run, "--config.steps", 5, "--config.lr", 0.1)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("lr: expected 0.004, as in step-000005, got 0.1")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (OSError("the disk is full"), 1, "the disk is full"),
        (torch.OutOfMemoryError("set accumulation=2"), 1, "set accumulation=2"),
        (ImportError("needs pooch"), 1, "needs pooch"),
        (RuntimeError("two\nlines"), 1, "RuntimeError: two lines"),
        (KeyboardInterrupt("stopped after step 3"), 130, "stopped after step 3"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
    ids=repr,
)
def test_what_else_goes_wrong_gets_one_line_too(error, code, line, run, monkeypatch):
    def fails(asked):
        raise error

    monkeypatch.setitem(cli.RUN, cli.Verify, fails)
    assert run("verify", ".") == (code, "", f"{line}\n")


# Help


def options_of(kind, prefix=""):
    names = {f"--{prefix}{field.name.replace('_', '-')}" for field in fields(kind)}
    return names - {"--preset", "--model", "--folder", "--config", "--unet"}


HELP = {
    "train digits": options_of(cli.Train) | options_of(TrainConfig, "config.") | options_of(UNetConfig, "unet."),
    "train cifar10": options_of(cli.Train) | options_of(TrainConfig, "config.") | options_of(UNetConfig, "unet."),
    "sample": options_of(cli.Sample),
    "evaluate": options_of(cli.Evaluate),
    "export-page": options_of(cli.ExportPage),
    "examine": options_of(cli.Examine),
    "doctor": options_of(cli.Doctor),
    "verify": set(),
}


@pytest.mark.parametrize("command", HELP)
def test_help_says_what_every_option_does(command, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(*command.split(), "--help")
    assert (code, err) == (0, "")
    text = re.sub(r"[│╭╮╰╯─]+", " ", out)
    chunks = re.split(r"\n\s+(?=--[a-z])", text)[1:]
    told = {chunk.split()[0].rstrip(","): chunk for chunk in chunks}
    assert set(told) == HELP[command]
    for chunk in chunks:
        words = re.findall(r"[a-z]{3,}", re.sub(r"\(default:.*|--[\w.-]+|\b[A-Z]+\b", "", chunk, flags=re.DOTALL))
        assert len(words) >= 2, chunk


def test_help_names_every_model_that_is_shipped(run):
    assert set(SHIPPED) == {path.stem for path in (Path(cli.weights.PRETRAINED)).glob("*.safetensors")}
    for command in ("sample", "evaluate", "export-page"):
        text = " ".join(re.sub("[│]", " ", run(command, "--help")[1]).split())
        assert f"{', '.join(SHIPPED)}, which come with the package" in text


def test_help_begins_with_examples_that_parse(run):
    code, out, _ = run("--help")
    assert code == 0
    examples = re.findall(r"^ +(?:python|accelerate launch) -m ddpm_lite (.*)", out, re.MULTILINE)
    assert {example.split()[0] for example in examples} == {
        "train",
        "sample",
        "evaluate",
        "export-page",
        "examine",
        "doctor",
        "verify",
    }
    Path("shapes").mkdir()  # a folder of pictures, of which one example tells
    for example in examples:
        kind = type(cli.parse_arguments(example.split())).__name__.lower()
        assert kind == ("trainfolder" if "shapes" in example else example.split()[0].replace("-", ""))
    for name, preset in PRESETS.items():
        assert preset.about.split(".")[0] in " ".join(re.sub("[│]", " ", run("train", name, "--help")[1]).split())


# The doctor


def test_doctor_looks_at_everything(run, monkeypatch):
    monkeypatch.setattr(doctor, "PRESETS", dict.fromkeys(PRESETS, PRESETS["digits"]))
    monkeypatch.setattr(doctor, "_time_three_steps", lambda preset, device, part: 0.01 * part)
    monkeypatch.setattr(doctor, "find_version", lambda name: "?" if name == "pooch" else "1.2")
    code, out, err = run("doctor", "--device", "cpu")
    assert (code, err) == (0, "")
    rows = {line[:13].strip(): line[13:] for line in out.splitlines()}
    assert rows["versions"] == "ddpm-lite 1.2, torch 1.2, numpy 1.2, safetensors 1.2"
    assert rows["extra data"] == 'no pooch: pip install "ddpm-lite[data]"'
    assert "GB free" in rows["disk"]
    assert rows["digits"] == "about 15 minutes for 700 steps of 1.3 s"
    assert "fashion" in rows["data"]
    assert {"python", "device", "parity", "memory", "cifar10", "bf16"} <= set(rows)
    monkeypatch.setattr(doctor, "measure_parity", lambda device: 0.01)
    code, out, _ = run("doctor", "--device", "cpu")
    assert code == 1
    assert "WRONG: parity" in out


def test_parity_sees_a_wrong_device(monkeypatch):
    assert 1e-9 < doctor.measure_parity(torch.device("cpu")) < 1e-5
    conv = torch.nn.Conv2d.forward

    def wrong(layer, x):  # one of a hundred numbers is lost
        answer = conv(layer, x)
        return answer * (torch.arange(answer.numel()).view_as(answer) % 100 > 0) if x.dtype == torch.float32 else answer

    monkeypatch.setattr(torch.nn.Conv2d, "forward", wrong)
    assert doctor.measure_parity(torch.device("cpu")) > doctor.PARITY


def test_seconds_are_scaled_from_a_part_of_the_batch(monkeypatch):
    asked = []

    def pretend(preset, device, part):
        asked.append(part)
        return speed * part

    monkeypatch.setattr(doctor, "_time_three_steps", pretend)
    speed = 1.0  # a slow machine: two images tell
    assert doctor.time_step(PRESETS["cifar10"], torch.device("cpu")) == 128
    assert asked == [2]
    speed, asked[:] = 1e-4, []  # a fast one does the whole batch
    assert doctor.time_step(PRESETS["cifar10"], torch.device("cpu")) == pytest.approx(0.0128)
    assert asked[-1] == 128


def test_seconds_are_measured():
    digits, start = PRESETS["digits"], time.perf_counter()
    seconds = doctor.time_step(digits, torch.device("cpu"), patience=0.05)
    passed = time.perf_counter() - start
    assert 0 < seconds < passed * digits.config.batch_size / 2  # two images are the least that is timed


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 second"), (61, "61 seconds"), (90, "2 minutes"), (3600, "60 minutes"), (7200, "2 hours")]
    + [(86_400, "24 hours"), (172_800, "2 days"), (8e7, "926 days")],
)
def test_times_as_somebody_would_say_them(seconds, words):
    assert doctor.format_duration(seconds) == words


# As programs


def program(*words, without=(), cwd):
    """Run a command in a process where some packages are not installed."""
    blocked = f"import sys; sys.modules.update(dict.fromkeys({without!r}))"
    code = (
        f"{blocked}; sys.argv[1:] = {list(words)!r}; import runpy; runpy.run_module('ddpm_lite', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_a_bare_install_draws_digits(tmp_path):
    words = ["sample", "digits-by-label", "--label", "3", "--steps", "50", "--sampler", "ddim", "--out", "grid.png"]
    others = ("sklearn", "PIL", "pooch", "requests", "accelerate", "tqdm", "matplotlib", "anywidget", "huggingface_hub")
    code, out, err = program(*words, without=others, cwd=tmp_path)
    assert (code, err) == (0, "")
    assert out.startswith("grid.png: 8 images, 50 steps of ddim, ")
    assert Image.open(io.BytesIO((tmp_path / "grid.png").read_bytes())).size == (8 * 66 + 2, 66 + 2)


@pytest.mark.slow
def test_a_program_that_was_given_wrong_words(tmp_path):
    command = [sys.executable, "-m", "ddpm_lite", "train", "digits", "--config.steps", "-3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("--config.steps: expected a whole number >= 1, got -3")
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_a_file_gets_one_line(run, tmp_path):
    picture = tmp_path / "shapes" / "1.png"
    picture.parent.mkdir()
    Image.new("L", (8, 8)).save(picture)
    for out in (picture, picture / "run"):
        code, _, err = run("train", "shapes", "--out", out)
        assert (code, err.count("\n")) == (2, 1), err
        assert err.startswith("--out: expected a folder to write to, got ")


def test_a_home_in_an_option_is_expanded(run, tmp_path, monkeypatch):
    """A shell leaves --out=~/grid.png alone."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    code, _, err = run("sample", "digits", "--count", "1", "--steps", "1", "--out=~/grid.png")
    assert code == 0, err
    assert (tmp_path / "home" / "grid.png").is_file()
