"""Algorithm 1 in the page, run by node, against ddpm_lite.trainer: the same draws give the same ten steps."""

import json

import numpy as np
import pytest
import torch
from javascript import run_module
from scipy.stats import kstest

from ddpm_lite.condition import ConditionalUNet, LabelEncoder
from ddpm_lite.data import TrainingImages, load_digits
from ddpm_lite.schedule import linear_schedule
from ddpm_lite.trainer import TrainConfig, draw_batch, train
from ddpm_lite.unet import UNet, UNetConfig
from ddpm_lite.viz.export_page import export_page, round_as_page, split_script

MODULES = ["science.js", "engine.js", "unet.js", "grad.js", "train.js"]
SMALL = UNetConfig(sample_size=8, channels=(8, 16), blocks=1, attention_levels=(), context_dim=8, groups=4)
CLIP = 1.9
# Ten steps with recorded draws, then the losses, the weights and their average.
STEPS = """const memory = modules.open(), read = modules.unpack(given.file, memory);
const net = modules.trainable(read, memory);
const adam = modules.optimiser(net.weights, given), losses = [], norms = [];
for (const batch of given.batches) {
  losses.push(modules.addGradient(net, read.way, batch));
  norms.push(adam.step(net.weights, net.gradient));
  net.renew();
}
return { losses, norms, weights: net.weights, average: adam.average };"""


@pytest.fixture(scope="module")
def runs():
    """Ten steps in PyTorch and in JavaScript from the same weights and with the same draws."""
    torch.manual_seed(0)
    model = round_as_page(ConditionalUNet(UNet(SMALL), LabelEncoder(10, SMALL.context_dim)))
    schedule, (images, labels) = linear_schedule(), load_digits("train")
    # A gradient that is clipped in the first steps and not in the last ones, and a rate that grows
    config = TrainConfig(steps=10, batch_size=20, lr=4e-3, warmup=5, grad_clip=CLIP, seed=3, label_dropout=0.3)
    data, like, batches = TrainingImages(images), next(model.parameters()), []
    for step in range(1, 11):
        ((x_0, t, z, context, _),) = draw_batch(data, labels, model.none, schedule, config, None, None, like, step)
        names = {"x_0": x_0.flatten(), "t": t, "z": z.flatten(), "labels": context}
        batches.append({name: values.tolist() for name, values in names.items()})
    written, text = split_script(export_page("small", model, schedule))
    given = {"file": {"sum": written, "text": text}, "batches": batches}
    given |= {"rate": config.lr, "warmup": config.warmup, "clip": config.grad_clip, "most": config.ema_decay}
    first = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    found = run_module(MODULES, f"const given = {json.dumps(given)};", STEPS)
    model.train()
    losses = []
    for state in train(model, schedule, images, config, labels=labels, none=model.none):
        losses.append(state.loss)
    flat = {"first": first, "weights": list(state.model.parameters()), "average": list(state.ema_model.parameters())}
    names = [name for name, p in model.named_parameters() for _ in range(p.numel())]
    expected = {k: torch.cat([p.detach().flatten() for p in v]) if isinstance(v, list) else v for k, v in flat.items()}
    return expected | {"losses": losses, "names": names, "labels": batches[0]["labels"]}, found


def test_ten_steps_are_those_of_pytorch(runs):
    expected, found = runs
    assert found["losses"] == pytest.approx(expected["losses"], rel=1e-4)
    for name in ("weights", "average"):
        difference, moved = (
            (torch.tensor(found[name]) - expected[name]).abs(),
            (expected[name] - expected["first"]).abs(),
        )
        assert float(moved.median()) > 1e-3, "the ten steps are to change the weights"
        assert float(difference.max()) < 1e-4 * float(moved.max()), expected["names"][difference.argmax()]


def test_the_ten_steps_use_what_they_test(runs):
    """Some gradients are clipped and some are not, and some labels are dropped."""
    expected, found = runs
    assert min(found["norms"]) < CLIP < max(found["norms"])
    assert 10 in expected["labels"]


EPOCHS = """return [1, 2].map((seed) => {
  const steps = Array.from({ length: 12 }, (_, i) => Array.from(modules.batchIndices(30, 10, seed, i + 1)));
  return { steps, long: Array.from(modules.batchIndices(7, 20, seed, 2)) };
});"""


def test_epochs_show_every_image_once_and_follow_from_the_seed():
    one, other = run_module(MODULES, "", EPOCHS)
    for shown in (one, other):
        epochs = np.array(shown["steps"]).reshape(4, 30)
        assert (np.sort(epochs) == np.arange(30)).all()
        assert len({tuple(epoch) for epoch in epochs}) == 4
        assert len(shown["long"]) == 20, "a batch that is longer than an epoch"
        assert set(shown["long"]) == set(range(7))
    assert one != other


DRAWS = """const data = { images: new Float32Array(4 * 100), labels: new Int32Array(100).fill(3), none: 10 };
const settings = { seed: 1, batch: 100, dropout: 0.1 };
return Array.from({ length: 40 }, (_, i) => modules.drawBatch(data, 1000, settings, i + 1));"""


def test_draws_have_the_right_distributions():
    batches = run_module(MODULES, "", DRAWS)
    t, z, labels = (np.concatenate([batch[name] for batch in batches]) for name in ("t", "z", "labels"))
    assert t.min() >= 1
    assert t.max() <= 1000
    assert kstest(t / 1000, "uniform").pvalue > 0.01
    assert kstest(z, "norm").pvalue > 0.01
    assert set(labels) == {3, 10}
    assert abs((labels == 10).mean() - 0.1) < 0.02
    for shift in (1, 100):  # neighbours in a batch, and the same place in the next
        assert abs(np.corrcoef(t[:-shift], t[shift:])[0, 1]) < 0.05
