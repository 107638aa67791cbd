"""A network that predicts z from x_t and our time, for azula.

The chapter prints this file; it is complete, so that a reader can copy it.
"""

import torch
from azula.denoise import Denoiser, DiracPosterior

from ddpm_lite import linear_schedule
from ddpm_lite.process import predict_x_0


def find_time(time, schedule):
    """Our t of their time, which goes from 0 to 1."""
    return (torch.as_tensor(time) * schedule.T).round().long()


class Weights:
    """Our schedule under their interface."""

    def __init__(self):
        self.ours = linear_schedule()

    def __call__(self, time):
        t = find_time(time, self.ours)
        alpha_bar = self.ours.alpha_bar[t]
        return alpha_bar.sqrt(), self.ours.one_minus_alpha_bar[t].sqrt()


class NoiseDenoiser(Denoiser):
    """Answers with the estimate of x_0 that follows from z."""

    def __init__(self, net):
        super().__init__()
        self.net, self.schedule = net, Weights()

    def forward(self, x_t, time, label=None, **others):
        ours = self.schedule.ours
        t = find_time(time, ours).expand(len(x_t))
        z_hat = self.net(x_t, t, label)
        return DiracPosterior(predict_x_0(ours, x_t, t, z_hat))
