"""Rows of the variance that a network learns: two libraries mix the same two logarithms."""

import torch

from ddpm_lite import linear_schedule
from libraries.diffusers import DDPM, ddpm_scheduler
from libraries.row import TIMES, Network, draw, import_peer, rows_of

MIX = "u * beta[t].log() + (1 - u) * beta_tilde[t].log()"
WHY = "twice the channels: `u` is half of the network's second part plus a half; the logarithms are compared, for t > 1"


def give_mix(answer):
    """Log beta_tilde at our later times, and the weight u for the second part of a network's answer."""
    t, u = TIMES[1:].reshape(-1, 1, 1, 1), (answer[1:].double() + 1) / 2
    return linear_schedule().beta_tilde[t].log().expand_as(u), {"u": u, "t": t}


@rows_of("diffusers")(
    "eq-posterior-variance",
    f"{DDPM}._get_variance",
    '`variance_type="learned_range"`',
    "own rule",
    MIX,
    WHY,
    equal=1e-4,
)
def diffusers_learnt():
    scheduler, answer = ddpm_scheduler(variance_type="learned_range"), draw(1)[0].clamp(-1, 1)
    logs = [scheduler._get_variance(int(t) - 1, predicted_variance=answer[i]) for i, t in enumerate(TIMES)]
    return torch.stack(logs)[1:], *give_mix(answer)


@rows_of("denoising-diffusion-pytorch")(
    "eq-posterior-variance",
    "learned_gaussian_diffusion.py: LearnedGaussianDiffusion.p_mean_variance",
    "`p_mean_variance(...)[2]` of `LearnedGaussianDiffusion`",
    "own rule",
    MIX,
    WHY,
    equal=1e-4,
)
def lucid_learnt():
    net = Network(0)
    net.out_dim = 2 * net.channels
    module = import_peer("denoising_diffusion_pytorch.learned_gaussian_diffusion")
    diffusion = module.LearnedGaussianDiffusion(net, image_size=4, objective="pred_noise", beta_schedule="linear")
    x_t, answer = draw(2)
    answer = answer.clamp(-1, 1)
    both = torch.cat([0 * answer, answer], 1)
    logs = diffusion.p_mean_variance(x=x_t, t=TIMES - 1, clip_denoised=False, model_output=both)[2]
    return logs[1:], *give_mix(answer)
