"""What a CUDA device must do as the CPU does. Run with `pytest -m gpu` on a machine that has one."""

import pytest
import torch

from ddpm_lite import TrainConfig, UNet, UNetConfig, linear_schedule, posterior, q_sample, sample, train

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


def test_sampling_repeats_itself():
    model, schedule = model_on("cuda"), linear_schedule(20, 0.005, 0.9)
    *_, (_, first) = sample(model, schedule, (2, 1, 8, 8), seed=1)
    *_, (_, again) = sample(model, schedule, (2, 1, 8, 8), seed=1)
    assert first.is_cuda
    torch.testing.assert_close(first, again, rtol=1e-3, atol=1e-3)
