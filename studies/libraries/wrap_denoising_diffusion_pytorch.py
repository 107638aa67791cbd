"""A network that predicts z from x_t and our time, for denoising-diffusion-pytorch.

The chapter prints this file; it is complete, so that a reader can copy it.
"""

from torch import nn


class ShiftedNet(nn.Module):
    """Is given their time k, and calls the network with ours."""

    self_condition = False

    def __init__(self, net, channels):
        super().__init__()
        self.net = net
        self.channels = self.out_dim = channels

    def forward(self, x, k, x_self_cond=None):
        return self.net(x, k + 1)


# GaussianDiffusion reads these attributes, and passes three arguments.
