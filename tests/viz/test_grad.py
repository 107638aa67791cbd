"""Backpropagation in the page, run by node, against autograd, for every weight."""

import json

import pytest
import torch
from javascript import run_module
from torch.nn import functional as F

from ddpm_lite.condition import ConditionalUNet, LabelEncoder
from ddpm_lite.files.weights import load_pretrained
from ddpm_lite.process import q_sample
from ddpm_lite.schedule import linear_schedule
from ddpm_lite.unet import UNet, UNetConfig
from ddpm_lite.viz import export_page as exporter
from ddpm_lite.viz.export_page import OPERATIONS, export_page, round_as_page, split_script

MODULES = ["engine.js", "unet.js", "grad.js"]
# The gradients of a loss by all weights, with B images at a time.
GRADIENTS = """const memory = modules.open(given);
const net = modules.trainable(modules.unpack(given.file, memory), memory, given.B);
let loss = 0;
const { x, t, labels, z } = given, size = net.size;
for (let first = 0; first < t.length; first += given.B) {
  const cut = (all, each) => all.slice(first * each, (first + given.B) * each), goal = cut(z, size);
  const answer = net.ask(cut(x, size), cut(t, 1), labels ? cut(labels, 1) : undefined);
  net.backpropagate(answer.map((v, i) => (2 * (v - goal[i])) / z.length));
  answer.forEach((v, i) => (loss += (v - goal[i]) ** 2 / z.length));
}
return { loss, gradient: net.gradient };"""


def file_of(model, schedule):
    written, text = split_script(export_page("net", model, schedule))
    return {"sum": written, "text": text}


def differences(model, *, B, seen, labels=None, simd=True):
    """For each weight the largest difference of the two gradients over the largest entry of autograd's, in float64."""
    model = round_as_page(model).double()
    config = (model.unet if isinstance(model, ConditionalUNet) else model).config
    schedule, generator = linear_schedule(), torch.Generator().manual_seed(3)
    shape = len(seen), config.in_channels, config.sample_size, config.sample_size
    t, x_0, z = (
        torch.tensor(seen),
        torch.rand(shape, generator=generator) * 2 - 1,
        torch.randn(shape, generator=generator),
    )
    x_t = q_sample(schedule, x_0, t, z)
    context = None if labels is None else torch.tensor(labels)
    for parameter in model.parameters():
        parameter.grad = None
    loss = (model(x_t.double(), t, context) - z.double()).square().mean()
    loss.backward()
    given = {"x": x_t.flatten().tolist(), "t": seen, "z": z.flatten().tolist(), "labels": labels, "B": B, "simd": simd}
    given["file"] = file_of(model.float(), schedule)
    found = run_module(MODULES, f"const given = {json.dumps(given)};", GRADIENTS)
    model.double()
    assert found["loss"] == pytest.approx(loss.item(), rel=1e-5)
    flat = torch.tensor(found["gradient"], dtype=torch.float64)
    apart = {}
    for (name, parameter), part in zip(
        model.named_parameters(), flat.split([p.numel() for p in model.parameters()]), strict=True
    ):
        expected, largest = parameter.grad.flatten(), parameter.grad.abs().max()
        apart[name] = float((part - expected).abs().max() / largest), float(largest)
    return apart


def is_zero(name):
    """Biases of keys have gradient 0: they add one number to all logits of a query, which the softmax ignores."""
    return name.endswith("to_k.bias")


@pytest.mark.parametrize(("name", "simd"), [("digits", False), ("digits-by-label", True)])
def test_gradients_are_autograds(name, simd):
    model, _ = load_pretrained(name)
    labels = [3, 10, 0, 7] if name == "digits-by-label" else None
    apart = differences(model, B=2, seen=[1, 100, 500, 1000], labels=labels, simd=simd)
    assert len(apart) == len(list(model.parameters()))
    for weight, (difference, largest) in apart.items():
        if is_zero(weight):
            assert max(largest, difference * largest) < 1e-7, weight
        else:
            assert difference < 1e-4, weight


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        (UNetConfig(8, channels=(8, 16), blocks=1, head_dim=4, context_dim=6, groups=4), 3),
        (UNetConfig(12, 3, (8, 12), 1, (1,), False, groups=4, norm_eps=1e-3, downsample_padding=1), None),
    ],
    ids=["heads and labels", "colours and padding"],
)
def test_gradients_of_any_config(config, labels):
    model = (
        UNet(config) if labels is None else ConditionalUNet(UNet(config), LabelEncoder(labels, config.context_dim, 2))
    )
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():  # a new network has zeros, which would hide errors
        size = parameter[0].numel() ** 0.5 if parameter.ndim > 1 else 3
        parameter.data = torch.randn(parameter.shape, generator=generator) / size
    apart = differences(model, B=3, seen=[1, 400, 1000], labels=None if labels is None else [0, 3, 2])
    for weight, (difference, largest) in apart.items():
        if is_zero(weight):
            assert max(largest, difference * largest) < 1e-7, weight
        else:
            assert difference < 1e-4, weight


class Odd(torch.nn.Module):
    """What U-Nets do not do with their weights: sines, products, and operands that are stretched."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        shapes = (1, 4, 4), (4, 1), ()
        self.a, self.b, self.c = (torch.nn.Parameter(torch.randn(s, generator=generator)) for s in shapes)

    def forward(self, x_t):
        h = (x_t * self.a).sin() - (self.b * x_t).cos() * (x_t - self.c)
        h = F.interpolate(h, scale_factor=2.0, mode="nearest").transpose(2, 3)
        h = F.pad(h, (1, 0, 2, 1)).flatten(2)
        return torch.cat((h, h), 1) + self.c


ODD = """const inputs = given.inputs.map((shape) => ({ shape }));
const weights = given.weights.map((shape, i) => ({ shape, data: Float32Array.from(given.values[i]) }));
const net = modules.trainable({ file: given.file, inputs, weights, constants: [] }, modules.open({ simd: false }), 2);
const answer = Array.from(net.ask(given.x, [1, 1]));
net.backpropagate(given.slope);
return { answer, gradient: net.gradient };"""


def test_the_other_operations_have_gradients_too():
    model, generator = Odd(), torch.Generator().manual_seed(1)
    one, parameters = torch.zeros(1, 1, 4, 4), list(model.parameters())
    with exporter._Recorder() as recorder, torch.no_grad():
        model(one)
    values, operations = [one, torch.ones(1), *parameters], []
    for call in recorder.calls:
        name, operands, settings = exporter._spell(call)
        where = [next(i for i, value in enumerate(values) if value is operand) for operand in operands]
        operations.append([name, where, list(call[-1].shape), settings])
        values.append(call[-1])
    of_unets = {"conv2d", "linear", "group_norm", "silu", "embedding", "scaled_dot_product_attention"}
    assert {name for name, *_ in operations} | of_unets == OPERATIONS, "an operation without a test of its gradient"
    x = torch.randn(2, 1, 1, 4, 4, generator=generator)
    answers = torch.stack([model(image) for image in x])
    slope = torch.randn(answers.shape, generator=generator)
    (answers * slope).sum().backward()
    given = {
        "file": {"operations": operations, "output": len(values) - 1, "labels": 0},
        "inputs": [[1, 1, 4, 4], [1]],
        "weights": [list(p.shape) for p in parameters],
        "values": [p.detach().flatten().tolist() for p in parameters],
        "x": x.flatten().tolist(),
        "slope": slope.flatten().tolist(),
    }
    found = run_module(MODULES, f"const given = {json.dumps(given)};", ODD)
    torch.testing.assert_close(torch.tensor(found["answer"]), answers.detach().flatten())
    expected = torch.cat([p.grad.flatten() for p in parameters])
    torch.testing.assert_close(torch.tensor(found["gradient"]), expected, rtol=1e-4, atol=1e-5)
