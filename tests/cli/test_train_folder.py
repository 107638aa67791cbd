"""`train FOLDER`: two subfolders of pictures become labels; the run is stopped, resumed, and sampled from by name."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm_lite import open_model, open_pictures
from ddpm_lite.cli import commands as cli
from ddpm_lite.runs import fit as fitting
from ddpm_lite.runs.models import read_words

SMALL = [
    "--size",
    8,
    "--grey",
    "--unet.channels",
    8,
    16,
    "--unet.context-dim",
    8,
    "--unet.groups",
    4,
    "--unet.attention-levels",
    1,
]
SMALL += ["--config.batch-size", 16, "--config.warmup", 10, "--config.lr", 5e-3, "--config.ema-decay", 0.9]


@pytest.fixture
def run(run, tmp_path):
    """The command line beside a folder of pictures."""
    random = np.random.default_rng(0)
    for kind, top in (("Disc", True), ("cross", False)):  # bright above, or bright below
        (tmp_path / "shapes" / kind).mkdir(parents=True)
        for number in range(24):
            square = random.integers(0, 30, (16, 16), np.uint8)
            square[: 8 if top else 16] += np.uint8(200) if top else np.uint8(0)
            if not top:
                square[8:] += np.uint8(200)
            Image.fromarray(square).save(tmp_path / "shapes" / kind / f"{number}.png")
    return run


@pytest.mark.slow
def test_stopped_gone_on_and_drawn_by_name(run, monkeypatch):
    line = ["train", "shapes", *SMALL, "--config.steps", 120]

    def impatient(*args, **options):
        def stop(state):
            options["on_step"](state)
            if state.step == 40:
                raise KeyboardInterrupt

        return fitting.fit(*args, **options | {"on_step": stop})

    with monkeypatch.context() as patch:
        patch.setattr(cli, "fit", impatient)
        code, out, err = run(*line)
    assert code == 130
    assert "step-000040" in err
    assert out.splitlines()[0] == "labels: Disc, cross"
    code, out, err = run(*line)
    assert (code, err) == (0, "")
    assert "shapes: 48 images" in out
    assert out.splitlines()[-1] == "python -m ddpm_lite sample runs/shapes --label all"
    steps = [json.loads(row)["step"] for row in Path("runs/shapes/metrics.jsonl").read_text().splitlines()]
    assert steps == [*range(10, 121, 10)]
    for label, bright_above in (("disc", True), ("cross", False)):
        code, _, err = run("sample", "runs/shapes", "--label", label, "--count", 4, "--steps", 10)
        assert (code, err) == (0, "")
        page = np.asarray(Image.open("grid.png")).astype(float)
        height = page.shape[0]
        above, below = page[4 : height // 2 - 4].mean(), page[height // 2 + 4 : -4].mean()
        assert (above > below + 40) == bright_above, (label, above, below)
        assert (below > above + 40) == (not bright_above), (label, above, below)
    code, _, err = run("sample", "runs/shapes", "--label", "moon")
    assert (code, err.strip()) == (2, "--label: expected all, a number in 0..1 or one of Disc, cross, got 'moon'")


def test_what_is_broken_or_left_out_is_named(run):
    few = [*SMALL, "--config.steps", 1]
    Path("shapes/cross/bad.png").write_bytes(b"\x89PNG")
    Path("shapes/notes.txt").write_text("about")
    code, _, err = run("train", "shapes", *few)
    assert code == 2
    assert "1 broken: 'cross/bad.png'" in err
    assert "--skip-broken" in err
    code, out, err = run("train", "shapes", *few, "--skip-broken")
    assert code == 0
    assert err.splitlines() == ["warning: folder: 2 left out: notes.txt, cross/bad.png"]
    pictures = open_pictures("runs/shapes/pictures.npy")
    assert pictures.images.shape == (48, 1, 8, 8)
    assert set(pictures.skipped) == {"notes.txt", "cross/bad.png"}
    code, _, err = run("train", "shapes", *few, "--size", 9, "--skip-broken", "--out", "odd")
    assert code == 2
    assert len(err.splitlines()) == 2  # the warning, and what the network needs
    assert "sample_size" in err


def test_pictures_in_no_folders_have_no_labels(run):
    code, out, err = run("train", "./shapes/cross", *SMALL, "--config.steps", 1)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith("no labels")
    assert out.endswith("sample runs/cross\n")
    (model, _), words = open_model("runs/cross"), read_words("runs/cross")
    assert words == ()
    assert model.config.in_channels == 1
    assert torch.isfinite(model.conv_in.weight).all()


@pytest.mark.parametrize("words", [["train", "folder", "nowhere"], ["train", "nowhere"], ["train", "folder"]])
def test_no_folder_gets_one_line(words, run):
    code, _, err = run(*words)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert not Path("runs", "nowhere", "pictures.npy").exists()
