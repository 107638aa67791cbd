"""Two processes that share a batch compute what one process does, and stop, fail and resume together."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from two_processes import STEPS

from ddpm_lite.cli import commands as cli

DRIVER = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where all the runs were, each in a folder of its name."""
    folder = tmp_path_factory.mktemp("two processes")
    done = subprocess.run([sys.executable, DRIVER, folder], capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def result(folder, name, rank):
    return json.loads((folder / f"{name}-{rank}.json").read_text())


def bytes_of(folder, name):
    return (folder / name / f"step-{STEPS:06d}.safetensors").read_bytes()


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(folder):
    one = result(folder, "one", 0)
    assert len(one["losses"]) == STEPS
    for rank in (0, 1):
        losses = result(folder, "two", rank)["losses"]
        torch.testing.assert_close(torch.tensor(losses), torch.tensor(one["losses"]), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_both_processes_end_with_the_same_weights_and_one_writes(folder):
    """Bit for bit, though they began with different ones."""
    first, second = result(folder, "two", 0), result(folder, "two", 1)
    assert first["weights"] == second["weights"]
    assert first["losses"] == second["losses"]
    assert sorted(p.name for p in (folder / "two").iterdir()) == [
        ".lock",
        "metrics.jsonl",
        "step-000004.safetensors",
        "step-000006.safetensors",
    ]
    lines = [json.loads(line) for line in (folder / "two" / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(STEPS, first["losses"][-1])]


@pytest.mark.slow
def test_both_killed_they_go_on_as_if_they_had_not_been(folder):
    assert not (folder / "killed-0.json").exists()  # SIGKILL at step 5
    assert len(result(folder, "resumed", 1)["losses"]) == 2  # from the checkpoint of step 4
    assert bytes_of(folder, "killed") == bytes_of(folder, "two")
    assert result(folder, "resumed", 0)["weights"] == result(folder, "resumed", 1)["weights"]


@pytest.mark.slow
def test_one_that_is_asked_to_stop_takes_the_other_with_it(folder):
    for rank in (0, 1):
        stopped = result(folder, "asked", rank)
        assert (len(stopped["losses"]), stopped["code"]) == (3, 128 + 15)
        assert len(result(folder, "resumed again", rank)["losses"]) == STEPS - 3
    assert bytes_of(folder, "asked") == bytes_of(folder, "two")


@pytest.mark.slow
def test_a_loss_that_is_no_number_in_one_stops_both(folder):
    for rank in (0, 1):
        said = result(folder, "breaking", rank)["said"]
        assert said.startswith("step 3: expected a finite loss and gradient, got loss nan and a gradient of norm nan")
        advice = "; the last checkpoint is step-000002: continue from it in another folder with start_from="
        assert advice in said if rank == 0 else said.endswith("or no bf16")


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_what_accelerate_launches_is_the_run_of_one_process(tmp_path):
    """The command of the README, on two processes of the CPU: `--multi_gpu` starts several, whatever the device."""
    asked = ["train", "digits", "--unet.channels", "8", "16", "--config.batch-size", "6", "--config.steps", "12"]
    asked += ["--config.warmup", "0", "--device", "cpu", "--out"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    two = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--main_process_port", port]
    two += [
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
    ]  # --multi_gpu: several devices, also where they are CPUs
    launch = [sys.executable, "-m", "accelerate.commands.launch", *two, "-m", "ddpm_lite", *asked, "two"]
    done = subprocess.run(launch, cwd=tmp_path, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("digits: 1,297 images") == 1  # the first process speaks
    assert cli.main([*asked, str(tmp_path / "one")]) == 0
    ours, theirs = metrics(tmp_path / "two"), metrics(tmp_path / "one")
    assert [line["step"] for line in ours] == [line["step"] for line in theirs] == [10, 12]
    losses = [torch.tensor([line["loss"] for line in lines]) for lines in (ours, theirs)]
    torch.testing.assert_close(*losses, rtol=0, atol=1e-5)
    assert not torch.equal(*losses)  # sums in another order: two did share the work
