"""Tests that need a CUDA device, which has to agree with the CPU. Run them with `pytest -m gpu`."""

import gc
import json
import os
import re
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from ddpm_lite import (
    ConditionalUNet,
    LabelEncoder,
    TrainConfig,
    UNet,
    UNetConfig,
    ddim_step,
    ddpm_step,
    fit,
    guided,
    linear_schedule,
    posterior,
    q_sample,
    respace,
    sample,
    train,
)

pytestmark = pytest.mark.gpu
os.environ.setdefault(
    "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
)  # read when CUDA starts; for the tests that repeat bit for bit

PAPER = linear_schedule()
CONFIG = UNetConfig(8, 1, (16, 32), blocks=1)


def model_on(device):
    torch.manual_seed(0)
    model = UNet(CONFIG)
    torch.nn.init.normal_(model.conv_out.weight, std=0.1)
    return model.to(device)


@pytest.fixture
def repeatable():
    """Only what adds up in the same order each time; some of the fastest ways do not."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True), sdpa_kernel(SDPBackend.MATH):
        yield


def without_waiting(call):
    """What a call gives, in which any copy that has to be waited for raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch says that this mode is a prototype
            torch.cuda.set_sync_debug_mode("error")
        return call()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_equations_agree_with_the_cpu(generator):
    x_0, z = torch.randn(2, 5, 1, 8, 8, generator=generator)
    t = torch.tensor([1, 2, 500, 999, 1000])
    there = PAPER.to("cuda")
    on_gpu = q_sample(there, x_0.cuda(), t.cuda(), z.cuda())
    torch.testing.assert_close(on_gpu.cpu(), q_sample(PAPER, x_0, t, z), rtol=1e-5, atol=1e-6)
    mean, _ = posterior(there, on_gpu, t.cuda(), x_0.cuda())
    expected, _ = posterior(PAPER, on_gpu.cpu(), t, x_0)
    torch.testing.assert_close(mean.cpu(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("step", [ddpm_step, partial(ddim_step, eta=0.5)], ids=["ddpm", "ddim"])
def test_steps_agree_with_the_cpu_and_wait_for_nothing(step, generator):
    x_t, z_hat, noise = torch.randn(3, 4, 1, 8, 8, generator=generator)
    there = [part.cuda() for part in (x_t, z_hat, noise)]
    for schedule in (PAPER, respace(PAPER, 50), PAPER.to("cuda")):
        for t in (1, 2, 25, schedule.T):
            on_gpu = without_waiting(partial(step, schedule, there[0], t, t - 1, there[1], there[2]))
            expected = step(schedule, x_t, t, t - 1, z_hat, noise)
            torch.testing.assert_close(on_gpu.cpu(), expected, rtol=1e-5, atol=1e-5)


def test_network_agrees_with_the_cpu(generator):
    x_t = torch.randn(4, 1, 8, 8, generator=generator)
    on_cpu, on_gpu = model_on("cpu").eval()(x_t, 300), model_on("cuda").eval()(x_t.cuda(), 300)
    assert (on_gpu.cpu() - on_cpu).norm() <= 1e-3 * on_cpu.norm()


def test_waiting_is_noticed():
    """The test below can fail."""
    number = torch.ones((), device="cuda")
    with pytest.raises(RuntimeError, match="synchroniz"):
        without_waiting(number.item)


def labelled():
    torch.manual_seed(0)
    return ConditionalUNet(UNet(UNetConfig(8, 1, (16, 32), blocks=1, context_dim=8)), LabelEncoder(10, 8)).to("cuda")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("kind", ["plain", "labelled", "guided"])
def test_networks_wait_for_nothing(kind, layout, dtype):
    """The processor may run ahead of the card through a whole walk, with a t for all images or one for each."""
    model = (model_on("cuda") if kind == "plain" else labelled()).eval().to(memory_format=layout)
    called = guided(model, 2.0, model.none) if kind == "guided" else model
    context = () if kind == "plain" else (torch.arange(4, device="cuda"),)
    x_t = torch.randn(4, 1, 8, 8, device="cuda").contiguous(memory_format=layout)
    for t in (300, torch.tensor([1, 2, 500, 1000], device="cuda")):
        with torch.no_grad(), torch.autocast("cuda", torch.bfloat16, enabled=dtype == torch.bfloat16):
            called(x_t, t, *context)  # the first call loads what it needs, and waits for that
            assert without_waiting(partial(called, x_t, t, *context)).shape == x_t.shape


def test_training_follows_the_model_to_its_device():
    images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    config = TrainConfig(steps=5, batch_size=8, lr=1e-3)
    *_, state = train(model_on("cuda"), PAPER, images, config)
    assert next(state.ema_model.parameters()).is_cuda
    assert state.loss < 2


def losses(**options):
    images = torch.randint(0, 256, (20, 1, 8, 8), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    pictures = images.numpy() if options.pop("on_the_host", False) else images
    config = TrainConfig(steps=10, batch_size=8, lr=1e-3, flip=True, **options)
    return torch.tensor([state.loss for state in train(model_on("cuda"), PAPER, pictures, config)])


def test_batches_in_parts_from_the_host_and_in_bfloat16_learn_the_same():
    expected = losses()
    torch.testing.assert_close(losses(on_the_host=True), expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(losses(accumulation=3), expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(losses(mixed_precision="bf16"), expected, rtol=5e-2, atol=2e-2)


@pytest.mark.usefixtures("repeatable")
@pytest.mark.parametrize("mixed_precision", ["no", "bf16"])
def test_training_repeats_itself_bit_for_bit(mixed_precision):
    assert torch.equal(losses(mixed_precision=mixed_precision), losses(mixed_precision=mixed_precision))


COMPILED = """
import json, sys, torch, torch._dynamo
from ddpm_lite import TrainConfig, UNet, UNetConfig, linear_schedule, train
torch.manual_seed(0)
model = UNet(UNetConfig(8, 1, (16, 32), blocks=1)).to("cuda")
images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
config = TrainConfig(steps=6, batch_size=8, lr=1e-3, compile=sys.argv[1] == "compile")
losses = [state.loss for state in train(model, linear_schedule(), images, config)]
print(json.dumps([losses, torch._dynamo.utils.counters["frames"].get("ok", 0)]))
"""


def test_a_compiled_network_learns_the_same():
    """In a process of its own, where the functions are as they are without the tests' type checker."""
    found = []
    for word in ("compile", "plain"):
        command = [sys.executable, "-c", COMPILED, word]
        root = Path(__file__).resolve().parent.parent
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout.splitlines()[-1]))
    (losses, frames), (expected, none) = found
    torch.testing.assert_close(torch.tensor(losses), torch.tensor(expected), rtol=1e-3, atol=1e-3)
    assert frames > none == 0  # it was compiled


def wide_losses(**options):
    """The losses of two steps with a batch whose activations take gigabytes."""
    torch.manual_seed(0)
    model = UNet(UNetConfig(32, 3, (64, 128), blocks=1, attention_levels=())).to("cuda")
    images = torch.rand(1024, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    config = TrainConfig(steps=2, batch_size=1024, lr=1e-3, **options)
    return torch.tensor([state.loss for state in train(model, PAPER, images, config)])


def test_memory_that_runs_out_is_told_what_to_halve_and_the_loss_stays():
    """The card is told to have half of what the batch takes; the advice is followed until it fits."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    expected = wide_losses()
    whole = torch.cuda.max_memory_allocated()
    torch.cuda.set_per_process_memory_fraction(0.5 * whole / torch.cuda.get_device_properties(0).total_memory)
    parts, found = 1, None
    try:
        while found is None and parts <= 16:
            gc.collect()
            torch.cuda.empty_cache()
            try:
                found = wide_losses(accumulation=parts)
            except torch.OutOfMemoryError as error:
                line = str(error)
                assert line.startswith("accumulation: expected parts that fit in memory, got no memory left")
                parts = int(re.search(r"set accumulation=(\d+)", line)[1])
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert 2 <= parts <= 16, "the whole batch did not fit, and one of its divisions did"
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("repeatable")
def test_a_run_that_was_stopped_goes_on_on_the_device_bit_for_bit(tmp_path):
    images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    config = TrainConfig(steps=6, batch_size=8, lr=1e-3)

    def stop(state):
        if state.step == 3:
            raise KeyboardInterrupt

    whole = fit(model_on("cuda"), PAPER, images, config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(model_on("cuda"), PAPER, images, config, tmp_path / "stopped", on_step=stop)
    again = fit(model_on("cuda"), PAPER, images, config, tmp_path / "stopped")
    assert again.step == 6
    assert next(again.ema_model.parameters()).is_cuda
    assert again.loss == whole.loss
    for one, other in ((again.model, whole.model), (again.ema_model, whole.ema_model)):
        for ours, theirs in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.usefixtures("repeatable")
def test_sampling_repeats_itself_bit_for_bit():
    model, schedule = model_on("cuda"), linear_schedule(20, 0.005, 0.9)
    *_, (_, first) = sample(model, schedule, (2, 1, 8, 8), seed=1)
    *_, (_, again) = sample(model, schedule, (2, 1, 8, 8), seed=1)
    assert first.is_cuda
    assert torch.equal(first, again)
