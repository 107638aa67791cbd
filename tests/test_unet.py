"""The network against diffusers' UNet2DModel with the same weights, and what every network of ours must do."""

import pytest
import torch
from diffusers import UNet2DModel

from ddpm_lite import UNet, UNetConfig, time_embedding
from ddpm_lite.attention import MultiHeadAttention, attention, attention_weights

CIFAR10 = UNetConfig(32, 3, (128, 256, 256, 256), blocks=2, attention_levels=(1,), groups=32, dropout=0.1)


def randomise(model, seed=0):
    """Weights that are zero at the start would hide a wrong wire: give every one a value."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.05 + (parameter.ndim == 1) * 0.3
    return model


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters_of_the_papers_cifar10_network():
    with torch.device("meta"):
        model = UNet(CIFAR10)
    assert count(model) == 35_746_307
    assert count(model.time_embedding) == 328_704
    assert count(model.conv_in) == 3_584
    assert count(model.down_blocks) == 10_190_720
    assert count(model.mid_block) == 2_888_704
    assert count(model.up_blocks) == 22_330_880
    assert count(model.conv_norm_out) + count(model.conv_out) == 3_715


CONFIGS = {
    "no attention": UNetConfig(8, 1, (16, 32), attention_levels=()),
    "attention at every level": UNetConfig(8, 1, (16, 32)),
    "one level": UNetConfig(8, 2, (16,), blocks=1, groups=4),
    "three levels, attention at one": UNetConfig(16, 3, (16, 16, 32), blocks=1, attention_levels=(1,)),
    "heads of 8": UNetConfig(8, 3, (16, 32), blocks=3, head_dim=8),
    "dropout": UNetConfig(8, 1, (32, 32), dropout=0.3, norm_eps=1e-5),
}


def in_diffusers(config):
    """The same network there; its own names for the same choices."""
    levels = range(len(config.channels))
    return UNet2DModel(
        sample_size=config.sample_size,
        in_channels=config.in_channels,
        out_channels=config.in_channels,
        block_out_channels=config.channels,
        layers_per_block=config.blocks,
        down_block_types=tuple("AttnDownBlock2D" if config.attends(i) else "DownBlock2D" for i in levels),
        up_block_types=tuple("AttnUpBlock2D" if config.attends(i) else "UpBlock2D" for i in reversed(levels)),
        attention_head_dim=config.head_dim,
        norm_num_groups=config.groups,
        norm_eps=config.norm_eps,
        dropout=config.dropout,
        add_attention=config.middle_attention,
        downsample_padding=config.downsample_padding,
        flip_sin_to_cos=False,
        freq_shift=config.freq_shift,
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_forward_and_gradients_equal_diffusers(name, generator):
    config = CONFIGS[name]
    ours = randomise(UNet(config)).eval()
    theirs = in_diffusers(config).eval()
    theirs.load_state_dict(ours.state_dict())
    x_t = torch.randn(4, config.in_channels, config.sample_size, config.sample_size, generator=generator)
    t = torch.cat([torch.tensor([1, 1000]), torch.randint(2, 1000, (2,), generator=generator)])
    z_hat, reference = ours(x_t, t), theirs(x_t, t - 1).sample
    assert (z_hat - reference).abs().max() <= 1e-5
    z_hat.square().mean().backward()
    reference.square().mean().backward()
    for key, parameter in ours.named_parameters():
        expected = theirs.get_parameter(key).grad
        assert (parameter.grad - expected).abs().max() <= 1e-4 * expected.abs().max() + 1e-7, key


def test_dropout_in_training_equals_diffusers(generator):
    """Without attention: its layers lay the memory out in another way, and the same seed drops other values."""
    config = UNetConfig(8, 1, (32, 32), attention_levels=(), middle_attention=False, dropout=0.3)
    ours = randomise(UNet(config)).train()
    theirs = in_diffusers(config).train()
    theirs.load_state_dict(ours.state_dict())
    x_t, t, found = torch.randn(4, 1, 8, 8, generator=generator), torch.tensor([1, 2, 500, 1000]), []
    for model, time in ((ours, t), (theirs, t - 1)):
        torch.manual_seed(0)
        found.append(model(x_t, time))
    z_hat, reference = found[0], found[1].sample
    assert (z_hat - reference).abs().max() <= 1e-5
    assert (z_hat - ours.eval()(x_t, t)).abs().max() > 1e-2


@pytest.mark.parametrize("name", CONFIGS)
def test_noise_out_has_the_shape_of_the_image_in(name):
    config = CONFIGS[name]
    model = randomise(UNet(config))
    x_t = torch.randn(2, config.in_channels, 2 * config.sample_size, config.sample_size)
    z_hat = model(x_t, 7)
    assert z_hat.shape == x_t.shape
    assert torch.isfinite(z_hat).all()
    z_hat.sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key


def test_a_new_network_says_no_noise():
    assert (UNet(CONFIGS["attention at every level"])(torch.randn(2, 1, 8, 8), 1) == 0).all()


def test_one_t_for_all_equals_one_per_image(generator):
    model = randomise(UNet(CONFIGS["attention at every level"])).eval()
    x_t = torch.randn(3, 1, 8, 8, generator=generator)
    torch.testing.assert_close(model(x_t, 40), model(x_t, torch.full((3,), 40)))
    assert (model(x_t, 40) - model(x_t, 41)).abs().max() > 1e-4


def test_images_of_a_batch_do_not_see_each_other(generator):
    model = randomise(UNet(CONFIGS["attention at every level"])).eval()
    x_t = torch.randn(3, 1, 8, 8, generator=generator)
    t = torch.tensor([5, 500, 1000])
    alone = torch.cat([model(x_t[i : i + 1], t[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(model(x_t, t), alone, rtol=1e-4, atol=1e-5)


def test_context_reaches_every_attention_and_its_order_does_not_matter(generator):
    model = randomise(UNet(UNetConfig(8, 1, (16, 32), context_dim=12)))
    x_t = torch.randn(2, 1, 8, 8, generator=generator)
    context = torch.randn(2, 3, 12, generator=generator)
    z_hat = model(x_t, 9, context)
    torch.testing.assert_close(model(x_t, 9, context[:, [2, 0, 1]]), z_hat, rtol=1e-4, atol=1e-5)
    changed = context.clone()
    changed[:, 1] += 1
    assert (model(x_t, 9, changed) - z_hat).abs().max() > 1e-3
    z_hat.square().mean().backward()
    crossing = [key for key, _ in model.named_parameters() if "cross" in key and "to_k.weight" in key]
    assert len(crossing) == 11  # 2 + 2 on the way down, 1 in the middle, 3 + 3 on the way up
    for key in crossing:
        assert model.get_parameter(key).grad.abs().max() > 0, key


FULL = UNetConfig(8, 3, (16, 32), head_dim=8, context_dim=12)


def full_input(generator, **like):
    x_t, context = torch.randn(2, 3, 8, 8, generator=generator), torch.randn(2, 3, 12, generator=generator)
    return x_t.to(**like), torch.tensor([3, 900]), context.to(**like)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-5), (torch.bfloat16, 0.1), (torch.float16, 0.02)])
def test_dtype_is_the_callers_choice(dtype, atol, generator):
    model = randomise(UNet(FULL)).eval()
    x_t, t, context = full_input(generator)
    z_hat = model(x_t, t, context).detach()
    other = model.to(dtype)(x_t.to(dtype), t, context.to(dtype))
    assert other.dtype == dtype
    torch.testing.assert_close(other.float(), z_hat, rtol=0, atol=atol * z_hat.abs().max().item())
    other.float().square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_autocast_and_memory_format_are_the_callers_choice(generator):
    model = randomise(UNet(FULL)).eval()
    x_t, t, context = full_input(generator)
    z_hat = model(x_t, t, context).detach()
    bound = z_hat.abs().max().item()
    with torch.autocast("cpu", torch.bfloat16):
        other = model(x_t, t, context)
    assert other.dtype == torch.bfloat16
    torch.testing.assert_close(other.float(), z_hat, rtol=0, atol=0.1 * bound)
    other = model.to(memory_format=torch.channels_last)(x_t.to(memory_format=torch.channels_last), t, context)
    torch.testing.assert_close(other, z_hat, rtol=0, atol=1e-5 * bound)
    assert other.is_contiguous(memory_format=torch.channels_last)


def test_nothing_waits_for_a_value():
    """On the meta device tensors have no values: whoever asks for one, as a device synchronisation does, fails."""
    with torch.device("meta"):
        model = UNet(FULL)
        x_t, context = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 12)
        for t in (7, torch.ones(2, dtype=torch.int64)):
            assert model(x_t, t, context).shape == x_t.shape
        model(x_t, t, context).mean().backward()
        with pytest.raises(RuntimeError, match="meta"):
            x_t.sum().item()


def test_freq_shift_moves_the_last_frequency():
    t = torch.tensor([5000])
    for shift, last in ((1, 1e-4), (0, 1e-4 ** (3 / 4))):
        torch.testing.assert_close(
            time_embedding(t, 8, shift)[0, 3], torch.tensor(5000 * last).sin(), rtol=1e-4, atol=0
        )


def test_time_embedding_is_a_positional_embedding():
    rows = time_embedding(torch.arange(1000), 64)
    assert rows.shape == (1000, 64)
    torch.testing.assert_close(rows[0], torch.cat([torch.zeros(32), torch.ones(32)]))
    torch.testing.assert_close(rows[:, 0], torch.arange(1000.0).sin(), atol=1e-4, rtol=0)
    torch.testing.assert_close(rows[:, 31], (torch.arange(1000.0) / 10_000).sin(), atol=1e-6, rtol=0)
    # neighbours differ clearly; with t / T instead of t they would not (facts: 1.94 becomes 0.0020)
    wide = time_embedding(torch.tensor([500, 501]), 128)
    assert (wide[0] - wide[1]).norm() > 1


def test_attention_weights_give_the_fused_output(generator):
    q, k, v = (torch.randn(2, 3, n, 8, generator=generator) for n in (5, 7, 7))
    weights = attention_weights(q, k)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 5), rtol=0, atol=1e-6)
    torch.testing.assert_close(weights @ v, attention(q, k, v), rtol=0, atol=1e-6)


def test_self_attention_does_not_know_where_a_pixel_is(generator):
    layer = randomise(MultiHeadAttention(16, head_dim=4, groups=4))
    h = torch.randn(1, 16, 2, 3, generator=generator)
    order = torch.randperm(6, generator=generator)

    def shuffle(x):
        return x.flatten(2)[:, :, order].reshape(x.shape)

    torch.testing.assert_close(layer(shuffle(h)), shuffle(layer(h)), rtol=1e-5, atol=1e-5)
