"""What a CUDA device must do as the CPU does. Run with `pytest -m gpu` on a machine that has one."""

from functools import partial

import pytest
import torch

from ddpm_lite import (
    TrainConfig,
    UNet,
    UNetConfig,
    ddim_step,
    ddpm_step,
    fit,
    linear_schedule,
    posterior,
    q_sample,
    respace,
    sample,
    train,
)

pytestmark = pytest.mark.gpu

PAPER = linear_schedule()
CONFIG = UNetConfig(8, 1, (16, 32), blocks=1)


def model_on(device):
    torch.manual_seed(0)
    model = UNet(CONFIG)
    torch.nn.init.normal_(model.conv_out.weight, std=0.1)
    return model.to(device)


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
            torch.cuda.set_sync_debug_mode("error")  # a copy that has to be waited for raises
            try:
                on_gpu = step(schedule, there[0], t, t - 1, there[1], there[2])
            finally:
                torch.cuda.set_sync_debug_mode("default")
            expected = step(schedule, x_t, t, t - 1, z_hat, noise)
            torch.testing.assert_close(on_gpu.cpu(), expected, rtol=1e-5, atol=1e-5)


def test_network_agrees_with_the_cpu(generator):
    x_t = torch.randn(4, 1, 8, 8, generator=generator)
    on_cpu, on_gpu = model_on("cpu").eval()(x_t, 300), model_on("cuda").eval()(x_t.cuda(), 300)
    assert (on_gpu.cpu() - on_cpu).norm() <= 1e-3 * on_cpu.norm()


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


def test_a_run_that_was_stopped_goes_on_on_the_device(tmp_path):
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
    for ours, theirs in zip(again.ema_model.parameters(), whole.ema_model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_sampling_repeats_itself():
    model, schedule = model_on("cuda"), linear_schedule(20, 0.005, 0.9)
    *_, (_, first) = sample(model, schedule, (2, 1, 8, 8), seed=1)
    *_, (_, again) = sample(model, schedule, (2, 1, 8, 8), seed=1)
    assert first.is_cuda
    torch.testing.assert_close(first, again, rtol=1e-3, atol=1e-3)
