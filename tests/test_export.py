"""torch.compile and torch.export take the whole network: no look at values breaks the graph, any batch size goes."""

import pytest
import torch
from test_unet import randomise

from ddpm_lite import ConditionalUNet, LabelEncoder, UNet, UNetConfig, guided, open_model
from ddpm_lite.runs.models import SHIPPED


def small(labels):
    torch.manual_seed(0)
    unet = UNet(UNetConfig(8, 1, (8,), blocks=1, context_dim=6 if labels else None))
    return randomise(ConditionalUNet(unet, LabelEncoder(10, 6)) if labels else unet).eval()


def inputs(model, count=3):
    config = (model.unet if isinstance(model, ConditionalUNet) else model).config
    generator = torch.Generator().manual_seed(count)
    x = torch.randn(count, config.in_channels, config.sample_size, config.sample_size, generator=generator)
    t, labels = torch.linspace(1, 1000, count).long(), torch.arange(count) % 11
    return (x, t, labels) if isinstance(model, ConditionalUNet) else (x, t)


def agree(model, other):
    for count in (3, 5):
        args = inputs(model, count)
        with torch.no_grad():
            torch.testing.assert_close(other(*args), model(*args), rtol=0, atol=1e-4)


def exported(model):
    batch = torch.export.Dim("batch", min=2, max=512)
    args = inputs(model)
    return torch.export.export(model, args, dynamic_shapes=tuple({0: batch} for _ in args))


@pytest.mark.usefixtures("plain")
@pytest.mark.filterwarnings("default")  # PyTorch's own
@pytest.mark.parametrize("labels", [False, True], ids=["unet", "by label"])
def test_a_network_is_exported_for_any_batch(labels, tmp_path):
    model = small(labels)
    program = exported(model)
    torch.export.save(program, tmp_path / "model.pt2")
    for one in (program, torch.export.load(tmp_path / "model.pt2")):
        agree(model, one.module())


@pytest.mark.usefixtures("plain")
@pytest.mark.filterwarnings("default")
def test_a_network_by_label_and_a_guided_one_compile_as_one_graph():
    model = small(True)
    for whole in (model, guided(model, 1.5, model.none)):
        torch._dynamo.reset()
        other = torch.compile(whole, fullgraph=True, backend="eager")
        args = inputs(model)
        with torch.no_grad():
            torch.testing.assert_close(other(*args), whole(*args), rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("plain")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_model_is_exported(name):
    model, _ = open_model(name)
    agree(model, exported(model).module())
