"""A run in a folder resumes exactly after kills, damage or a full disk, or its error says why it cannot."""

import ast
import hashlib
import io
import itertools
import json
import os
import pickle
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from ddpm_lite import TrainConfig, UNet, UNetConfig, cosine_schedule, fit, linear_schedule
from ddpm_lite.files import weights
from ddpm_lite.files.diffusers import from_pretrained, save_pretrained
from ddpm_lite.runs.folder import find_checkpoints, verify
from ddpm_lite.trainer import Diverged

PACKAGE = Path(weights.__file__).resolve().parents[1]
STUDIES = Path(__file__).resolve().parents[2] / "studies"
SCHEDULE = linear_schedule(20, 0.005, 0.5)


class Tiny(torch.nn.Module):
    """Small enough to be written a thousand times."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(2, 2)

    def forward(self, x_t, t, context=None):
        return self.linear(x_t)


def images(n=12):
    return torch.rand(n, 1, 2, 2, generator=torch.Generator().manual_seed(1)) * 2 - 1


def config(steps=6, **options):
    return TrainConfig(**{"steps": steps, "batch_size": 4, "lr": 1e-2} | options)


def run(folder, steps=6, model=None, every=2, **options):
    settings = {key: options.pop(key) for key in list(options) if key in vars(config()) and not callable(options[key])}
    return fit(model or Tiny(), SCHEDULE, images(), config(steps, **settings), folder, every=every, **options)


def file_of(folder, step):
    return folder / f"step-{step:06d}.safetensors"


def names(folder):
    return sorted(path.stem if path.name.startswith("step-") else path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "a run, 数字 one"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with two checkpoints, of steps 4 and 6, and the metrics of six steps."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    run(folder, log=1)
    return folder


def at(step, action):
    return lambda state: action() if state.step == step else None


# Stopping and going on


@pytest.mark.slow
def test_six_kills_two_of_them_in_a_save_change_no_bit():
    command = [
        sys.executable,
        STUDIES / "kill_and_resume.py",
        "--kills",
        "6",
        "--in-save",
        "2",
        "--steps",
        "30",
        "--fork",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 kills (4 at a random moment, 2 inside a save) in 30 steps" in done.stdout
    assert done.stdout.count(": equal") == 3
    assert "left: ['.lock', 'metrics.jsonl', 'step-000025.safetensors', 'step-000030.safetensors']" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_step_end_and_writes_a_checkpoint(folder, finished, number):
    handler = signal.getsignal(number)
    with pytest.raises((KeyboardInterrupt, SystemExit)) as caught:
        run(folder, every=100, log=1, on_step=at(3, lambda: os.kill(os.getpid(), number)))
    assert signal.getsignal(number) is handler
    assert names(folder) == [".lock", "metrics.jsonl", "step-000003"]
    if number == signal.SIGINT:
        assert str(caught.value) == "stopped after step 3; step-000003 is written, and fit resumes from there"
    else:
        assert caught.value.code == 128 + signal.SIGTERM
    assert run(folder, log=1).step == 6
    assert file_of(folder, 6).read_bytes() == file_of(finished, 6).read_bytes()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    expected = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"], line["lr"]) for line in lines] == [
        (line["step"], line["loss"], line["lr"]) for line in expected
    ]


def test_a_second_request_to_stop_acts_at_once(folder, monkeypatch):
    monkeypatch.setattr("ddpm_lite.runs.fit.ONE_REQUEST", 0)  # with real pauses: test_signals

    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="^stopped after step 3"):  # in on_step no step is cut in half
        run(folder, every=100, on_step=at(3, twice))

    class Slow(Tiny):
        def forward(self, x_t, t, context=None):
            if self.calls == 2:
                twice()
            self.calls += 1
            return super().forward(x_t, t)

        calls = 0

    with pytest.raises(KeyboardInterrupt) as caught:
        run(folder.with_name("other"), every=100, model=Slow())
    assert str(caught.value) == ""
    assert names(folder.with_name("other")) == [".lock"]


def test_a_finished_run_is_handed_back_and_a_longer_one_goes_on(folder, finished):
    shutil.copytree(finished, folder)
    model = Tiny()
    state = run(folder, model=model)
    assert (state.step, state.model) == (6, model)
    assert state.loss == json.loads((finished / "metrics.jsonl").read_text().splitlines()[-1])["loss"]
    longer, whole = run(folder, 9), run(folder.with_name("whole"), 9)
    assert longer.step == 9
    assert torch.equal(longer.ema_model.linear.weight, whole.ema_model.linear.weight)
    assert names(folder) == [".lock", "metrics.jsonl", "step-000008", "step-000009"]


def test_the_average_opens_as_a_model_of_its_own(folder):
    torch.manual_seed(0)
    model = UNet(UNetConfig(8, 1, (8,), blocks=1))
    pictures = torch.rand(6, 1, 8, 8) * 2 - 1
    state = fit(model, cosine_schedule(30), pictures, TrainConfig(steps=2, batch_size=2, lr=1e-2), folder)
    again, schedule = weights.load(verify(folder))
    assert torch.equal(schedule.beta, cosine_schedule(30).beta)
    x_t = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(again(x_t, 3), state.ema_model(x_t, 3))


def test_modes_follow_the_umask(folder):
    before = os.umask(0o027)
    try:
        run(folder)
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o750
    assert verify(folder).stat().st_mode & 0o777 == 0o640
    assert (folder / "metrics.jsonl").stat().st_mode & 0o777 == 0o640


def test_two_runs_cannot_write_one_folder(folder):
    seen = []

    def second():
        with pytest.raises(ValueError, match=r"^folder: .* no other run "):
            run(folder)
        seen.append(True)

    run(folder, on_step=at(3, second))
    assert seen
    assert run(folder).step == 6  # the lock went with the run
    code = "import fcntl, sys; lock = open(sys.argv[1], 'w'); fcntl.flock(lock, 2); print('held', flush=True); input()"
    command = [sys.executable, "-c", code, folder / ".lock"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match="no other run is writing"):
            run(folder)
        other.kill()  # as after a power cut: no lock stays behind
    assert run(folder).step == 6


def test_without_fcntl_an_open_file_is_the_lock(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    assert run(folder).step == 6
    monkeypatch.setattr(Path, "unlink", lambda *a, **k: (_ for _ in ()).throw(PermissionError()))
    with pytest.raises(ValueError, match="no other run is writing"):
        run(folder)


class Another(Tiny):
    """A network of another class, with the same parameters."""


def test_another_run_is_refused_by_the_first_field_that_differs(folder, finished):
    shutil.copytree(finished, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    labels = torch.zeros(12, dtype=torch.int64)
    advice = "; use the earlier value, or another folder"
    for call, line in (
        (lambda: run(folder, seed=7), "seed: expected 0, as in step-000006, got 7" + advice),
        (lambda: run(folder, warmup=3), "warmup: expected 0, as in step-000006, got 3" + advice),
        (lambda: run(folder, mixed_precision="bf16"), "mixed_precision: expected 'no', as in step-000006, got 'bf16'"),
        (
            lambda: run(folder, steps=5),
            "steps: expected at least 6, because the folder has step-000006, got 5; choose another folder",
        ),
        (
            lambda: fit(Tiny(), linear_schedule(30), images(), config(), folder),
            "T: expected 20, as in step-000006, got 30" + advice,
        ),
        (
            lambda: fit(Tiny(), SCHEDULE, images(13), config(), folder),
            "number of images: expected 12, as in step-000006",
        ),
        (lambda: fit(Tiny(), SCHEDULE, -images(), config(), folder), "images: expected "),
        (lambda: run(folder, labels=labels, none=1), "labels: expected None, as in step-000006, got "),
        (lambda: run(folder, model=Another()), "class: expected 'Tiny', as in step-000006, got 'Another'"),
        (lambda: run(folder, model=Tiny().double()), "type of weights: expected 'float32', as in step-000006"),
    ):
        with pytest.raises(ValueError, match="^" + line.split(";")[0].replace("(", r"\(")) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert run(folder, steps=8, accumulation=2).step == 8


def test_a_parameter_that_the_loss_does_not_reach_is_no_obstacle(folder):
    class Spare(Tiny):
        def __init__(self):
            super().__init__()
            self.spare = torch.nn.Parameter(torch.ones(3))
            self.frozen = torch.nn.Parameter(torch.ones(3), requires_grad=False)

    with pytest.raises(KeyboardInterrupt):
        run(folder, model=Spare(), on_step=at(3, lambda: os.kill(os.getpid(), signal.SIGINT)))
    run(folder, model=Spare())
    run(folder.with_name("whole"), model=Spare())
    assert verify(folder).read_bytes() == verify(folder.with_name("whole")).read_bytes()


# Damage


WAYS = 9


def damage(dice, kind, file, other):
    """Hurt a checkpoint, in one case the other one too, in one of nine ways at a random place."""
    content = bytearray(file.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    if kind == 0:
        file.write_bytes(content[: dice.randrange(len(content))])
    elif kind in (1, 2):
        content[dice.randrange(header if kind == 1 else len(content))] ^= 1 << dice.randrange(8)
        file.write_bytes(content)
    elif kind == 3:
        file.unlink()
    elif kind == 4:
        file.write_bytes(b"")
    elif kind == 5:
        file.write_bytes(other.read_bytes())
        other.write_bytes(content)
    elif kind == 6:
        file.write_bytes(other.read_bytes())
    elif kind == 7:
        start = dice.randrange(len(content))
        file.write_bytes(content[:start] + bytes(min(64, len(content) - start)) + content[start + 64 :])
    else:
        file.write_bytes(content + b"\n" * dice.randrange(1, 9))


def test_none_of_108_damaged_checkpoints_is_loaded_and_the_one_before_is(folder, finished, monkeypatch, plain):
    monkeypatch.setattr("os.fsync", lambda number: None)  # no power cut here
    dice, used = random.Random(0), {4: 0, 6: 0, None: 0}
    original = {step: file_of(finished, step).read_bytes() for step in (4, 6)}
    done = 0
    while done < 108:  # each way six times, in each of the two
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(finished, folder)
        one, two = file_of(folder, 4), file_of(folder, 6)
        kind, pair = done % WAYS, [one, two] if done // WAYS % 2 else [two, one]
        damage(dice, kind, *pair)
        what = kind, pair[0].name
        now = {step: path.read_bytes() if path.exists() else None for step, path in ((4, one), (6, two))}
        whole = [step for step in (6, 4) if now[step] == original[step]]
        if len(whole) == 2:
            continue  # zeros for zeros
        done += 1
        used[whole[0] if whole else None] += 1
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            if not whole:
                with pytest.raises(
                    ValueError, match="folder: expected an undamaged checkpoint, got damaged ones"
                ) as caught:
                    run(folder)
                assert "\n" not in str(caught.value)
                assert now[6] == two.read_bytes(), what
                continue
            assert verify(folder) == file_of(folder, whole[0]), what
            seen = []
            state = run(folder, on_step=lambda state: seen.append(state.step))  # noqa: B023 - used at once
        assert state.step == 6
        assert seen == ([] if whole[0] == 6 else [5, 6]), what
        assert two.read_bytes() == original[6], what  # made again, bit for bit, or left alone
        (hurt,) = {4, 6} - {whole[0]}
        ending = "resuming from step-000004" if hurt == 6 else "not needed"
        for line in said:
            assert str(line.message).startswith(f"step-00000{hurt}.safetensors in "), what
            assert str(line.message).endswith(f"): {ending}; delete that file"), what
        assert len(said) == (0 if now[hurt] is None else 2), what  # verify and fit, each once
    assert used == {4: 48, 6: 48, None: 12}


def test_what_verify_says(folder, finished):
    with pytest.raises(FileNotFoundError, match="^folder: expected a run with a checkpoint, got "):
        verify(folder)
    shutil.copytree(finished, folder)
    assert verify(folder) == file_of(folder, 6)
    assert find_checkpoints(folder) == {file_of(folder, 6): "", file_of(folder, 4): ""}
    file_of(folder, 6).write_bytes(b"")
    os.rename(file_of(folder, 4), file_of(folder, 8))
    found = find_checkpoints(folder)
    assert list(found) == [file_of(folder, 8), file_of(folder, 6)]
    assert found[file_of(folder, 8)] == "it is step-000004 under another name"
    assert found[file_of(folder, 6)].startswith("it has changed since it was written")
    with pytest.raises(
        ValueError, match="damaged ones .step-000008: it is step-000004 under another name; step-000006: "
    ):
        verify(folder)
    weights.save(file_of(folder, 9), small_unet(), SCHEDULE)
    assert find_checkpoints(folder)[file_of(folder, 9)] == "it is not a checkpoint"


def test_a_folder_of_an_earlier_version_is_refused_in_one_line_and_left_as_it_is(folder):
    old = folder / "step-000004"
    old.mkdir(parents=True)
    (folder / ".step-000006.77").mkdir()
    weights.save(old / "ema.safetensors", small_unet(), SCHEDULE)
    for call in (lambda: run(folder), lambda: verify(folder), lambda: find_checkpoints(folder)):
        with pytest.raises(ValueError, match="^folder: .*'step-000004' .*earlier version.*ema.safetensors") as caught:
            call()
        assert "\n" not in str(caught.value)
    assert (folder / ".step-000006.77").exists()
    weights.load(old / "ema.safetensors")  # as the line advises


def test_an_older_checkpoint_goes_only_after_the_newer_was_read_back(folder, monkeypatch):
    run(folder, steps=4)
    genuine = os.fsync

    def lying(number):
        path = Path(os.readlink(f"/proc/self/fd/{number}"))
        if path.name.startswith(".step-000006"):
            path.write_bytes(path.read_bytes()[:-1])  # the disk said yes, and kept less
        genuine(number)

    monkeypatch.setattr("os.fsync", lying)
    expected = "got step-000006.safetensors: .* SHA-256 differs, right after writing it; step-000004 is undamaged"
    with pytest.raises(OSError, match=expected):
        run(folder, steps=6)
    assert names(folder) == [".lock", "metrics.jsonl", "step-000002", "step-000004", "step-000006"]
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="step-000006.safetensors .* is damaged .*: resuming from step-000004"):
        assert run(folder, steps=6).step == 6
    assert names(folder) == [".lock", "metrics.jsonl", "step-000004", "step-000006"]


# The disk


@pytest.mark.parametrize("room", [60, 400, 900])
def test_a_full_disk_keeps_the_last_checkpoint_and_says_one_line(folder, room):
    """A limit on the size of a file: the first checkpoint fits, then no file may be larger than `room` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = at(3, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1])))
    line = r"^folder: expected to write to '.*', got File too large; step-000002 is undamaged: free some space"
    try:
        with pytest.raises(OSError, match=line) as caught:
            run(folder, on_step=limit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert names(folder) == [".lock", "step-000002"]
    whole = run(folder.with_name("whole"))
    assert torch.equal(run(folder).ema_model.linear.weight, whole.ema_model.linear.weight)


def test_free_space_is_looked_at_before_the_first_step(folder, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**5))
    with pytest.raises(OSError, match=r"^folder: expected 0.2 MB .* 3 checkpoints .*, got 0.1 MB"):
        run(folder, on_step=lambda state: pytest.fail("a step was taken"))


def test_a_place_that_cannot_be_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"folder: expected a folder to write to, got .*/file' \(File exists\)"):
        run(tmp_path / "file")


def test_what_killed_runs_left_is_swept_away(folder):
    run(folder, steps=2)
    (folder / ".step-000004.safetensors.77").write_bytes(b"half")
    (folder / ".metrics.jsonl.77").write_text("half")
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 3, "loss": 1.0}\n{"step": 4, "lo')
    run(folder, steps=2)
    assert names(folder) == [".lock", "metrics.jsonl", "step-000002"]
    assert [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()] == [2]


# What is not finite


def test_a_loss_that_is_not_finite_names_the_last_checkpoint(folder):
    class Breaking(Tiny):
        calls = 0

        def forward(self, x_t, t, context=None):
            self.calls += 1
            return super().forward(x_t, t) * (float("nan") if self.calls == 6 else 1)

    with pytest.raises(Diverged, match=r"^step 6: .* got loss nan .*; the last checkpoint is step-000004: ") as caught:
        run(folder, model=Breaking(), steps=9)
    assert caught.value.step == 6
    assert verify(folder).stem == "step-000004"
    with pytest.raises(Diverged, match=r"; there is no checkpoint yet, so the same folder can be used$"):
        run(folder.with_name("other"), model=Breaking(), steps=9, every=100)


# What is watched


def test_the_bar_is_shown_when_asked_for_or_to_a_terminal(folder, capsys, monkeypatch):
    run(folder, steps=2)
    assert capsys.readouterr().err == ""
    run(folder, steps=4, progress=True)
    assert "4/4" in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run(folder, steps=6)
    assert "6/6" in capsys.readouterr().err
    run(folder, steps=8, progress=False)
    assert capsys.readouterr().err == ""
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match="needs tqdm: pip install"):
        run(folder, steps=9, progress=True)


def test_tensorboard_gets_the_metrics_when_it_is_there(folder, monkeypatch):
    import types

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="tensorboard=True needs TensorBoard: pip install tensorboard"):
        run(folder, tensorboard=True)
    written = []

    class SummaryWriter:
        def __init__(self, path):
            written.append(path)

        def add_scalar(self, key, value, step):
            written.append((key, step))

        def close(self):
            written.append("closed")

    stub = types.ModuleType("torch.utils.tensorboard")
    stub.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stub)
    run(folder, tensorboard=True, steps=4, log=2)
    keys = ("loss", "lr", "images_per_second")
    assert written == [folder / "tensorboard", *itertools.product(keys, [2]), *itertools.product(keys, [4]), "closed"]


# Files that mean harm


RUNS_CODE = ("a pickle", "a pickle, protocol 0", "a zip file of torch", "torch's older format")


def harmful(marker):
    """Ten contents for a file of weights: four would write the marker if anything opened them, six are wrong."""

    class Run:
        def __reduce__(self):
            return (exec, (f"open({str(marker)!r}, 'w').close()",))

    saved = io.BytesIO()
    torch.save({"linear.weight": Run()}, saved)
    old = io.BytesIO()
    torch.save(Run(), old, _use_new_zipfile_serialization=False)

    def packed(head, data=b"\0" * 24):
        text = json.dumps(head).encode() if isinstance(head, dict) else head
        return len(text).to_bytes(8, "little") + text + data

    def tensor(shape, start, end, dtype="F32"):
        return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}

    bias = tensor([2], 16, 24)
    return {
        "a pickle": pickle.dumps(Run()),
        "a pickle, protocol 0": pickle.dumps(Run(), 0),
        "a zip file of torch": saved.getvalue(),
        "torch's older format": old.getvalue(),
        "a pickle in the header's place": packed(pickle.dumps(Run())),
        "a header longer than the file": (2**62).to_bytes(8, "little") + b"{}",
        "tensors on top of each other": packed(
            {"linear.weight": tensor([2, 2], 0, 16), "linear.bias": tensor([2], 8, 16)}
        ),
        "a tensor beyond the end": packed(
            {"linear.weight": tensor([2, 2], 0, 16), "linear.bias": tensor([2**40], 16, 2**42)}
        ),
        "another shape": packed({"linear.weight": tensor([4], 0, 16), "linear.bias": bias}),
        "a tensor too few": packed({"linear.weight": tensor([2, 2], 0, 16)}, b"\0" * 16),
    }


def vouch(content, honest):
    """A checkpoint of these tensors, with the header of an honest one and a SHA-256 that agrees."""
    length = int.from_bytes(content[:8], "little")
    entries = json.loads(content[8 : 8 + length])
    with open(honest, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))["__metadata__"]
    entries = {f"weights/{name}": entry for name, entry in entries.items()} | {"__metadata__": header}
    text = json.dumps(entries, separators=(",", ":")).replace(header["sha256"], weights.UNSEALED).encode()
    forged = len(text).to_bytes(8, "little") + text + content[8 + length :]
    seal = f'"sha256":"{hashlib.sha256(forged).hexdigest()}'.encode()
    return forged.replace(f'"sha256":"{weights.UNSEALED}'.encode(), seal)


@pytest.mark.parametrize("name", harmful("x"))
def test_harmful_and_wrong_weights_run_nothing_and_are_refused(name, folder, finished, tmp_path):
    """As a checkpoint, with a SHA-256 that vouches for it where it can have one; alone; and in diffusers' layout."""
    marker = tmp_path / "was here"
    content = harmful(marker)[name]
    shutil.copytree(finished, folder)
    newest = file_of(folder, 6)
    newest.write_bytes(content)
    assert find_checkpoints(folder)[newest].startswith("it has changed since it was written")
    line = r"^step-000006.safetensors(: \w+)?: expected .*, got (another file|other tensors) \(.*\)"
    if content[8:9] == b"{" and name != "a header longer than the file":
        newest.write_bytes(vouch(content, file_of(finished, 6)))
        assert find_checkpoints(folder)[newest] == ""
    else:
        file_of(folder, 4).write_bytes(content)
        line = "^folder: expected an undamaged checkpoint, got damaged ones"
    alone, theirs = tmp_path / "weights.safetensors", tmp_path / "diffusers"
    alone.write_bytes(content)
    save_pretrained(theirs, small_unet(), SCHEDULE)
    (theirs / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(content)
    for call, expected in (
        (lambda: run(folder), line),
        (lambda: weights.load(alone), "^path: expected "),
        (lambda: from_pretrained(theirs), r"^unet/diffusion_pytorch_model.safetensors: .*expected "),
    ):
        with pytest.raises(ValueError, match=expected) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize("name", RUNS_CODE)
def test_the_markers_would_have_been_written(name, tmp_path):
    """The files above do what they are for, when something opens them: the test can fail."""
    marker = tmp_path / "was here"
    content = harmful(marker)[name]
    assert not marker.exists()
    if "torch" in name:
        torch.load(io.BytesIO(content), weights_only=False)
    else:
        pickle.loads(content)
    assert marker.exists()


def small_unet():
    torch.manual_seed(0)
    return UNet(UNetConfig(8, 1, (8,), blocks=1, attention_levels=()))


@pytest.mark.parametrize("kind", ["another shape", "a tensor too few", "a tensor too many"])
def test_whole_files_with_other_tensors_are_refused_by_the_tensors_name(kind, tmp_path):
    """All else is right, the config and the schedule in the header too."""
    from safetensors import safe_open
    from safetensors.torch import load, save_file

    ours, theirs = tmp_path / "weights.safetensors", tmp_path / "diffusers"
    weights.save(ours, small_unet(), SCHEDULE)
    save_pretrained(theirs, small_unet(), SCHEDULE)
    stored = theirs / "unet" / "diffusion_pytorch_model.safetensors"
    for path in (ours, stored):
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
        tensors = load(path.read_bytes())
        bias = tensors.pop("conv_in.bias")
        if kind != "a tensor too few":
            tensors |= (
                {"conv_in.bias": bias[:-1]} if kind == "another shape" else {"conv_in.bias": bias, "more": 2 * bias}
            )
        save_file(tensors, path, metadata=header)
    named = "more" if kind == "a tensor too many" else "conv_in.bias"
    with pytest.raises(ValueError, match=rf"^path: expected a network with its weights, got .*\({named}: expected"):
        weights.load(ours)
    with pytest.raises(ValueError, match=rf"^unet/diffusion_pytorch_model.safetensors: .*{named}"):
        from_pretrained(theirs)


OF_PICKLES = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch.serialization", "torch.hub"}


def opens_pickles(code):
    """The lines of a program that read or write pickles, or could."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
            found += [node.lineno] if node.attr in ("load", "save", "hub", "serialization") else []
        if isinstance(node, ast.Import):
            bad = [a for a in node.names if a.name in OF_PICKLES or (a.name == "torch" and a.asname)]
            found += [node.lineno] if bad else []
        if isinstance(node, ast.ImportFrom):
            names = {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
            found += [node.lineno] if names & (OF_PICKLES | {"torch.load", "torch.save", "torch.*"}) else []
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and node.value.value is not False:
            found.append(node.value.lineno)
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_nothing_in_the_package_reads_or_writes_pickles(path):
    assert opens_pickles(path.read_text(encoding="utf8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(x)",
        "torch.save(x, y)",
        "torch.hub.load(x)",
        "from torch import nn, load",
        "from torch import save as keep",
        "from torch import hub",
        "from torch import *",
        "from torch.serialization import load",
        "import torch as t",
        "import pickle",
        "from pickle import loads",
        "np.load(x, allow_pickle=True)",
    ],
)
def test_every_way_to_a_pickle_is_noticed(line):
    assert opens_pickles(f"import torch\n{line}\n") == [2]


# Networks, data and settings that are not the plain ones


class Normed(Tiny):
    """With statistics of its own, and whole numbers among them."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(1)

    def forward(self, x_t, t, context=None):
        return self.linear(self.norm(x_t))


def same_run(one, two):
    return verify(one).read_bytes() == verify(two).read_bytes()


def stop_at(step):
    return at(step, lambda: os.kill(os.getpid(), signal.SIGINT))


def test_buffers_are_saved_and_a_run_with_them_goes_on_bit_for_bit(folder):
    with pytest.raises(KeyboardInterrupt):
        run(folder, model=Normed(), on_step=stop_at(3))
    state = run(folder, model=Normed())
    whole = run(folder.with_name("whole"), model=Normed())
    assert same_run(folder, folder.with_name("whole"))
    assert torch.equal(state.ema_model.norm.running_var, whole.model.norm.running_var)
    assert int(state.ema_model.norm.num_batches_tracked) == 6


WRAPPED = {"torch.compile": lambda m: torch.compile(m, backend="eager"), "DataParallel": torch.nn.DataParallel}


@pytest.mark.parametrize("name", WRAPPED)
@pytest.mark.usefixtures("plain")
def test_a_wrapped_network_comes_out_as_the_one_inside(name, folder, tmp_path):
    wrap, pictures, config = WRAPPED[name], torch.rand(6, 1, 8, 8) * 2 - 1, TrainConfig(steps=2, batch_size=2, lr=1e-2)
    state = fit(wrap(small_unet()), SCHEDULE, pictures, config, folder)
    again, _ = weights.load(verify(folder))
    assert again.config == small_unet().config
    x_t, t = torch.randn(2, 1, 8, 8), torch.tensor([3, 4])
    with torch.no_grad():
        assert torch.equal(again(x_t, t), state.ema_model(x_t, t))
    longer = TrainConfig(steps=3, batch_size=2, lr=1e-2)
    assert fit(small_unet(), SCHEDULE, pictures, longer, folder).step == 3  # wrapped or not, the run is the same
    weights.save(tmp_path / "one.safetensors", wrap(again), SCHEDULE)
    save_pretrained(tmp_path / "pipe", wrap(again), SCHEDULE)
    for opened in (weights.load(tmp_path / "one.safetensors")[0], from_pretrained(tmp_path / "pipe")[0]):
        with torch.no_grad():
            assert torch.equal(opened(x_t, t), again(x_t, t))


class Rising(Tiny):
    """Breaks down in its sixth call, at a high learning rate."""

    calls = 0

    def forward(self, x_t, t, context=None):
        self.calls += 1
        return super().forward(x_t, t) * (float("nan") if self.calls == 6 else 1)


@pytest.mark.usefixtures("plain")
def test_the_advice_of_a_diverged_run_followed_literally(folder):
    with pytest.raises(Diverged) as caught:
        run(folder, model=Rising(), steps=9)
    words = re.search(r"the last checkpoint is step-000004: .* folder with start_from=('.*?') ", str(caught.value))
    source = ast.literal_eval(words[1])
    assert source == str(folder)
    new = folder.with_name("new")
    settings = TrainConfig(steps=3, batch_size=4, lr=1e-3, warmup=2, ema_decay=0.5, seed=3)
    with pytest.raises(KeyboardInterrupt):
        fit(Tiny(), SCHEDULE, images(), settings, new, start_from=source, on_step=stop_at(1))
    header = json.loads(weights.check_seal(file_of(new, 1))["run"])
    before = weights.check_seal(file_of(folder, 4))
    assert header["start"] == {"folder": source, "step": 4, "sha256": before["sha256"]}
    assert header["config"]["lr"] == 1e-3
    # going on: with the same line, or without the source, which is not asked for again
    state = fit(Tiny(), SCHEDULE, images(), settings, new)
    assert json.loads(weights.check_seal(verify(new))["run"])["start"] == header["start"]
    again = fit(Tiny(), SCHEDULE, images(), settings, folder.with_name("again"), start_from=file_of(folder, 4))
    assert torch.equal(again.ema_model.linear.weight, state.ema_model.linear.weight)
    assert fit(Tiny(), SCHEDULE, images(), settings, new, start_from=source).step == 3
    other, elsewhere = folder.with_name("again"), folder.with_name("x")
    for call, line in (
        (lambda: fit(Tiny(), SCHEDULE, images(), settings, new, start_from=new), "start_from: expected the folder of"),
        (lambda: fit(Tiny(), SCHEDULE, images(), settings, new, start_from=other), "start_from: expected '"),
        (lambda: run(elsewhere, start_from="nowhere"), "start_from: folder: expected a run with a checkpoint"),
        (lambda: run(elsewhere, model=Normed(), start_from=source), "step-000004.safetensors: weights: expected"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match="^" + re.escape(line)) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_a_run_starts_from_the_weights_and_the_average_of_another(folder):
    run(folder, ema_decay=0.9)
    tensors, seen = tensors_of(folder, 6), []
    settings = TrainConfig(steps=1, batch_size=4, lr=1e-9, ema_decay=0.0)
    fit(Tiny(), SCHEDULE, -images(), settings, folder.with_name("new"), start_from=folder, on_step=seen.append)
    torch.testing.assert_close(seen[0].model.linear.weight.data, tensors["weights/linear.weight"], rtol=0, atol=1e-8)
    assert not torch.equal(tensors["weights/linear.weight"], tensors["average/linear.weight"])


def test_the_average_is_taken_over_too(folder):
    from ddpm_lite.runs.folder import read_weights

    run(folder)
    state, moments = read_weights(file_of(folder, 6), Tiny())
    assert state.step == 0
    assert moments
    assert torch.equal(state.ema_model.linear.weight, tensors_of(folder, 6)["average/linear.weight"])
    assert not state.optimizer.state


def tensors_of(folder, step):
    from safetensors.torch import load_file

    return load_file(file_of(folder, step))


# Every byte of the images


@pytest.mark.parametrize("kind", ["tensor", "array", "memory map"])
@pytest.mark.usefixtures("plain")
def test_one_changed_pixel_is_another_run(kind, folder, tmp_path):
    def given(pictures):
        if kind == "tensor":
            return pictures
        np.save(tmp_path / "images.npy", pictures.numpy())
        return np.load(tmp_path / "images.npy", mmap_mode="r" if kind == "memory map" else None)

    pictures = (images(500) * 100 + 100).clamp(0, 255).to(torch.uint8)
    fit(Tiny(), SCHEDULE, given(pictures), config(2), folder)
    assert fit(Tiny(), SCHEDULE, given(pictures), config(3), folder).step == 3
    pictures[333, 0, 1, 1] += 1
    with pytest.raises(ValueError, match="^images: expected '.*', as in step-000003, got '"):
        fit(Tiny(), SCHEDULE, given(pictures), config(4), folder)


def test_a_large_file_is_read_once_for_all_starts_and_again_when_it_changed(folder, tmp_path, monkeypatch):
    from ddpm_lite.runs import identity as of_runs

    np.save(tmp_path / "images.npy", (images(500) * 100 + 100).clamp(0, 255).to(torch.uint8).numpy())
    hashed, real = [], of_runs.hash_images
    monkeypatch.setattr(of_runs, "hash_images", lambda images: hashed.append(1) or real(images))

    def go_on(steps, part=slice(None)):
        return fit(Tiny(), SCHEDULE, np.load(tmp_path / "images.npy", mmap_mode="r")[part], config(steps), folder)

    go_on(1)
    go_on(2)
    assert len(hashed) == 1
    os.utime(tmp_path / "images.npy", (1, 1))
    go_on(3)
    go_on(4)
    assert len(hashed) == 2
    with pytest.raises(ValueError, match="^number of images: expected 500"):
        go_on(5, slice(100))
    with pytest.raises(ValueError, match="^images: expected"):
        go_on(5, slice(None, None, -1))
    assert len(hashed) == 4  # a part of a file is always read


# The loss and the rate of a run


@pytest.mark.usefixtures("plain")
def test_functions_are_written_down_by_their_values(folder):
    from ddpm_lite import bound_weight, min_snr_weight

    run(folder, lr=lambda step: 1e-2 / step, weight=min_snr_weight)
    run(folder, steps=9, lr=lambda step: 1e-2 / step, weight=min_snr_weight)
    for change, key in (
        ({"lr": lambda step: 1e-2, "weight": min_snr_weight}, "lr of step 2"),
        ({"weight": min_snr_weight}, "lr"),
        ({"lr": lambda step: 1e-2 / step}, "weight"),
        ({"lr": lambda step: 1e-2 / step, "weight": bound_weight}, "weight"),
    ):
        with pytest.raises(ValueError, match=f"^{key}: expected .*, as in step-000009, got"):
            run(folder, steps=12, **change)


def test_a_run_whose_rate_ends_at_its_last_step_cannot_be_made_longer(folder):
    run(folder, lr_decay="cosine")
    with pytest.raises(ValueError, match="^steps: expected 6, as in step-000006, got 9; .*start_from"):
        run(folder, steps=9, lr_decay="cosine")


# A Dataset


class Stored(torch.utils.data.Dataset):
    """Draws noise with torch's random numbers, as augmentations do."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, i):
        return 0.9 * self.values[i] + 0.1 * torch.rand(()), i


def test_a_dataset_that_augments_goes_on_bit_for_bit(folder):
    data = Stored(images(50))
    with pytest.raises(KeyboardInterrupt):
        fit(Tiny(), SCHEDULE, data, config(), folder, on_step=stop_at(3))
    fit(Tiny(), SCHEDULE, data, config(), folder)
    fit(Tiny(), SCHEDULE, data, config(), folder.with_name("whole"))
    assert same_run(folder, folder.with_name("whole"))
    with pytest.raises(ValueError, match="^number of images: "):
        fit(Tiny(), SCHEDULE, Stored(images(51)), config(), folder)


LARGE = """
import resource, sys
import numpy as np, torch
from ddpm_lite import TrainConfig, fit, linear_schedule
from ddpm_lite.trainer import train

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, x_t, t, context=None):
        return self.weight * x_t

class Stored(torch.utils.data.Dataset):
    def __init__(self, array):
        self.array = array
    def __len__(self):
        return len(self.array)
    def __getitem__(self, i):
        return torch.from_numpy(np.array(self.array[i]))

def data_of_this_process():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmData")]
    return 1024 * int(line.split()[1])

kind, path, folder = sys.argv[1:]
array = np.load(path, mmap_mode="r")
small = np.zeros((16, *array.shape[1:]), np.uint8)
config = lambda steps: TrainConfig(steps=steps, batch_size=2)
for _ in train(Net(), linear_schedule(), small, config(3)):  # what torch and the first batches need
    pass
fit(Net(), linear_schedule(), small, config(3), folder + "/small", progress=False)
budget = array.nbytes // 10
limit = data_of_this_process() + budget
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
images = {"memory map": lambda: array, "Dataset": lambda: Stored(array), "in memory": lambda: np.array(array)}[kind]
state = fit(Net(), linear_schedule(), images(), config(3 * len(array) // 2), folder + "/large", progress=False)
print(state.step)
"""


@pytest.mark.posix
@pytest.mark.parametrize("kind", ["memory map", "Dataset", "in memory"])
def test_three_epochs_of_ten_times_the_memory_that_there_is(kind, tmp_path):
    """The process may take a tenth of the data set more than it has before the first image is read: 6.5 MB of 65."""
    np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, (1000, 1, 256, 256))
    command = [sys.executable, "-c", LARGE, kind, tmp_path / "images.npy", tmp_path]
    # One heap: two threads that allocate at once can make malloc open another, which counts as data.
    heap = os.environ | {"MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=heap)
    if kind == "in memory":  # the limit is one
        assert done.returncode != 0
        assert "MemoryError" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["1500"]
