"""`compare_program` finds in the libraries what the tables of chapter 14 say, through their real calls."""

import re
from pathlib import Path

import diffusers
import torch

from ddpm_lite import compare_program, linear_schedule

SCHEDULE = linear_schedule()
ROOT = Path(__file__).resolve().parents[2]


def lines(**parts):
    """What is printed, without the differences."""
    return [re.sub(r" \([\d.e+-]+ % before.*\)$", "", str(found)) for found in compare_program(SCHEDULE, **parts)]


def diffusers_parts(name, jump, **options):
    """The calls of a scheduler that makes steps of this length; k is their time."""
    scheduler = getattr(diffusers, name)(**options)
    scheduler.set_timesteps(1000 // jump)
    return scheduler, {
        "table": scheduler.alphas_cumprod,
        "times": scheduler.timesteps,
        "noisy": lambda x_0, z, k: scheduler.add_noise(x_0, z, torch.tensor([k])),
        "estimate": lambda x, k, answer: scheduler.step(answer, k, x).pred_original_sample,
        "step": lambda x, k, to, answer: scheduler.step(answer, k, x).prev_sample,
    }


INDEX = "1. tables: translated: alpha_bar_t, their index is t - 1"
IMAGE = "3. images: equal: the image is x_t, x_0 in our range"
CLIP = ", x_0_hat in our range, x_0_hat is clipped to [-1, 1]"


def test_ddim_of_diffusers():
    _, parts = diffusers_parts("DDIMScheduler", 20)
    assert lines(**parts) == [
        INDEX,
        "2. times: translated: times leading",
        IMAGE,
        "4 and 6. target and estimate: translated: the answer is z" + CLIP,
        "7. one step without noise: translated: the old z_hat is kept, a step to s, eta = 0 (DDIM)",
        "8. fresh noise: equal: no noise is added",
    ]
