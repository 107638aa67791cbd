"""torch.compile, torch.export and ONNX take the whole network as one graph, with any batch size."""

import onnxruntime
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
@pytest.mark.filterwarnings("default")  # PyTorch's own
@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_model_goes_to_onnx_and_compiles(name, tmp_path):
    """ONNX Runtime, which knows nothing of PyTorch, gives the same z_hat for batches that it never saw."""
    model, _ = open_model(name)
    program = exported(model)
    agree(model, program.module())
    torch.onnx.export(program, f=tmp_path / "model.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    named = [one.name for one in session.get_inputs()]
    assert named == ["x_t", "t", "context"][: len(named)]
    for count in (1, 3, 5):
        args = inputs(model, count)
        (z_hat,) = session.run(None, {key: value.numpy() for key, value in zip(named, args, strict=True)})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(z_hat), model(*args), rtol=0, atol=1e-4)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(*inputs(model)), model(*inputs(model)), rtol=0, atol=1e-4)
