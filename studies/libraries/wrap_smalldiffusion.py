"""A network that predicts z from x_t and our time, for smalldiffusion.

The chapter prints this file; it is complete, so that a reader can copy it.
"""

import torch
from smalldiffusion.model import ModelMixin
from torch import nn

from ddpm_lite import linear_schedule


class TimeOfLevel(nn.Module, ModelMixin):
    """Is given a noise level, and calls the network with its time."""

    def __init__(self, net, input_dims):
        super().__init__()
        self.net, self.input_dims = net, input_dims
        self.levels = linear_schedule().noise_level

    def forward(self, x, sigma, cond=None):
        sigma = torch.as_tensor(sigma).double().reshape(-1, 1)
        t = (self.levels - sigma).abs().argmin(1)
        return self.net(x, t.expand(len(x)), cond)


# In Scaled(TimeOfLevel)(net, (1, 4, 4)), the network gets x_t, not x.
