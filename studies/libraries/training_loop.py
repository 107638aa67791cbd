"""A training step with diffusers, line by line beside ours."""

from types import SimpleNamespace

import torch

from ddpm_lite import linear_schedule
from ddpm_lite.condition import z_model
from ddpm_lite.process import ddpm_loss, q_sample, velocity
from libraries.row import LOOPS, SEED, Network, Step, T, draw


def give_batch():
    """Images, our noise and our times by the random numbers that the setup will draw, and a network on both sides."""
    x_0, net, theirs = draw(1)[0], Network(), Network(0)
    torch.manual_seed(SEED)
    z, t = torch.randn_like(x_0), torch.randint(1, T + 1, x_0.shape[:1])
    given = {"x_0": x_0, "z": z, "t": t, "x_t": q_sample(linear_schedule(), x_0, t, z), "net": net}
    functions = {"ddpm_loss": ddpm_loss, "velocity": velocity, "z_model": z_model}
    return given | functions | {"unet": lambda x, k: SimpleNamespace(sample=theirs(x, k))}


LOOPS["diffusers"] = Step(
    """\
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from torch.nn.functional import mse_loss

scheduler = DDPMScheduler()
noise = torch.randn_like(x_0)
k = torch.randint(0, scheduler.config.num_train_timesteps, (len(x_0),))
noisy = scheduler.add_noise(x_0, noise, k)
answer = unet(noisy, k).sample
v = scheduler.get_velocity(x_0, noise, k)
early = torch.tensor([0, 19, 49, 99, 199, 499])
snr = compute_snr(scheduler, early)
""",
    (
        ("k", "t - 1", "Theirs are drawn from 0 to `T - 1`, ours from 1 to `T`."),
        ("noisy", "q_sample(schedule, x_0, t, z)", "{eq}`eq-forward-closed`"),
        ("answer", "net(x_t, t)", "Theirs is told `k`; the answer is in `.sample`."),
        ("mse_loss(answer, noise)", "ddpm_loss(net, schedule, x_0, t, z)", "{eq}`eq-simple-loss`"),
        ("v", "velocity(schedule, x_0, t, z)", '{eq}`eq-v`, the target for `"v_prediction"`.'),
        (
            "mse_loss(answer, v)",
            'ddpm_loss(z_model(net, schedule, "v"), schedule, x_0, t, z, weight=1 / schedule.alpha_bar)',
            "The error of `v`, {eq}`eq-weighted-noise-loss`.",
        ),
        (
            "snr.clamp(max=5) / snr",
            "(5 / schedule.snr[early + 1]).clamp(max=1)",
            "Weights of {eq}`eq-min-snr`: below 1 where the SNR is above 5.",
        ),
    ),
    give_batch,
)
