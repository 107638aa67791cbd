"""The formulas of a U-Net's cost against real networks: parameters, PyTorch's counter, and what a pass really keeps."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from ddpm_lite.runs.cost import count_unet, total
from ddpm_lite.runs.presets import FOLDER_UNET, PRESETS
from ddpm_lite.unet import UNet, UNetConfig

GRID = [
    {"sample_size": 8, "channels": (8,), "blocks": 1, "attention_levels": (), "middle_attention": False},
    {"sample_size": 8, "channels": (16, 32), "blocks": 1, "in_channels": 3},
    {"sample_size": 16, "channels": (32, 16), "blocks": 2, "attention_levels": (1,), "head_dim": 8},
    {"sample_size": 16, "channels": (16, 16), "blocks": 3, "attention_levels": (0,), "downsample_padding": 1},
    {"sample_size": 24, "channels": (8, 24, 16), "blocks": 1, "attention_levels": (0, 2), "groups": 4},
    {"sample_size": 16, "channels": (16, 16, 32, 64), "blocks": 1, "attention_levels": "every", "dropout": 0.1},
]


def kept_by(net, images):
    """Bytes that a forward pass saves for the backward pass, each piece of memory once, without the weights."""
    weights, pieces = {id(p.untyped_storage()) for p in net.parameters()}, {}

    def note(tensor):
        pieces[id(tensor.untyped_storage())] = tensor.untyped_storage()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        net(images, 500)
    return sum(piece.nbytes() for name, piece in pieces.items() if name not in weights)


@pytest.mark.parametrize("options", GRID, ids=str)
def test_the_formulas_count_a_real_network(options):
    config = UNetConfig(**options)
    net, image = UNet(config), torch.zeros(1, config.in_channels, config.sample_size, config.sample_size)
    # not on the CPU, whose attention the counter leaves out
    with FlopCounterMode(display=False) as counter:
        UNet(config).to("meta")(image.to("meta"), 500)
    cost = total(count_unet(config))
    assert cost.weights == sum(p.numel() for p in net.parameters())
    assert cost.operations == counter.get_total_flops()
    # one image alone would save two copies of attention
    assert kept_by(net, image.repeat(3, 1, 1, 1)) == 3 * cost.kept


def test_each_level_counts_its_own_blocks():
    config = UNetConfig(**GRID[4])
    net, *costs = UNet(config), *count_unet(config)
    for level, cost in enumerate(costs[:-1]):
        blocks = net.down_blocks[level], net.up_blocks[2 - level]
        assert cost.weights == sum(p.numel() for block in blocks for p in block.parameters())


def test_the_papers_network_has_its_known_numbers():
    assert total(count_unet(PRESETS["cifar10"].unet))[:2] == (35_746_307, 12_443_713_536)


@pytest.mark.parametrize("config", [FOLDER_UNET, None], ids=["a context", "no config"])
def test_what_cannot_be_counted_is_refused(plain, config):
    with pytest.raises((ValueError, TypeError), match="config"):
        count_unet(config)
