"""Neighbours of the promises: what is nearly right at each public entry is done, or refused in one line of ours.

`test_promises` has the cases that people met. Here each entry is given what a tired reader might give it: the wrong
type, a container, a number in a tensor, the arguments in another order.
"""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from test_promises import DIGITS, FEW, LABELS, PAPER, SHORT, Convolution, end_of, labelled, one_line, small, trained
from torch import nn
from torch.utils.data import Dataset

import ddpm_lite as d
from ddpm_lite import evaluate, train
from ddpm_lite.files import weights
from ddpm_lite.viz import plots

X, Z = DIGITS[:2], DIGITS[2:4]


@pytest.fixture(autouse=True)
def unchecked(plain):
    """As a user has it: no type checker stands before our own lines."""


def network(forward):
    return type("Theirs", (Convolution,), {"forward": forward})()


# The contract of a model and of other functions

WRONG_MODELS = {
    "x alone": network(lambda self, x: self.conv(x)),
    "no context": network(lambda self, x, t: self.conv(x)),
    "one more": network(lambda self, x, t, context, more: self.conv(x)),
    "a needed keyword": network(lambda self, x, t, context, *, y: self.conv(x)),
    "a sequence of layers": nn.Sequential(nn.Conv2d(1, 1, 3, padding=1)),
}


@pytest.mark.parametrize("name", WRONG_MODELS)
def test_a_model_of_other_parameters_is_told_the_contract(name, tmp_path):
    model, contract = WRONG_MODELS[name], "(x_t, t, context) -> z_hat"
    one_line(lambda: trained(model), "model: ", contract)
    one_line(lambda: end_of(model), "model: ", contract)
    one_line(lambda: d.fit(model, PAPER, DIGITS, FEW, tmp_path / "run", progress=False), "model: ", contract)
    assert not (tmp_path / "run").exists()
    one_line(lambda: d.ddpm_loss(model, PAPER, X, 3, Z), "model: ", contract)
    one_line(lambda: d.guided(model, 2, 10), "model: ", contract)
    one_line(lambda: d.in_parts(model, 2), "model: ", contract)
    one_line(lambda: d.z_model(model, PAPER, "v"), "model: ", contract)


@pytest.mark.parametrize("model", [None, "digits", d.UNet, (small(), PAPER), {}], ids=repr)
def test_what_is_no_model_is_told_the_contract(model):
    one_line(lambda: end_of(model), "model: ", "(x_t, t, context) -> z_hat")


def test_what_takes_anything_is_a_model():
    assert torch.isfinite(end_of(network(lambda self, x, *others, **options: self.conv(x)))).all()


def test_a_model_that_works_in_place_leaves_the_walk_alone():
    """An activation with inplace=True may be the first thing that a network does."""
    assert torch.equal(end_of(lambda x, t, context=None: x.mul_(0.5)), end_of(lambda x, t, context=None: x * 0.5))


def test_weights_that_are_not_made_yet_are_told():
    class Lazy(Convolution):
        def __init__(self):
            super().__init__()
            self.conv = nn.LazyConv2d(1, 3, padding=1)

    one_line(lambda: trained(Lazy()), "model: ")
    one_line(lambda: trained(Convolution().to("meta")), "model: ")


STEPS = {
    "a name": "ddim",
    "none": None,
    "two parameters": lambda x, t: x,
    "an option of another step": partial(d.ddim_step, variance="beta"),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_of_other_parameters_is_told_the_contract(name):
    one_line(lambda: end_of(small(), step=STEPS[name]), "step: ", "(schedule, x_t, t, s, z_hat, noise) -> x_s")


@pytest.mark.parametrize("step", [lambda *a: None, lambda s, x, *a: x[:1], lambda s, x, *a: x.long()])
def test_what_a_step_gives_is_an_image(step):
    one_line(lambda: end_of(small(), step=step), "the step's output: ")


def test_other_functions_are_told_their_contract(tmp_path):
    for lr in (1e-3, "cosine", lambda: 1e-3, lambda step: None, lambda step: -1.0, lambda step: float("nan")):
        one_line(lambda lr=lr: trained(small(), lr=lr), "lr: ")
    for weight in ("min_snr", lambda: 1, lambda s: None, lambda s: [1.0], lambda s: -s.snr[1:]):
        one_line(lambda weight=weight: trained(small(), weight=weight), "weight: ")
    one_line(lambda: d.fit(small(), PAPER, DIGITS, FEW, tmp_path, on_step=3, progress=False), "on_step: ")
    one_line(lambda: trained(small(), accelerator="cuda"), "accelerator: ")


def test_weights_of_t_may_lie_in_any_container():
    expected = trained(small(), weight=d.min_snr_weight).loss
    table = d.min_snr_weight(PAPER)
    for weight in (table, lambda s: table.numpy(), lambda s: table.tolist()):
        assert trained(small(), weight=weight).loss == expected
    loss = d.ddpm_loss(small(), PAPER, X, 3, Z, weight=table)
    for weight in (table.tolist(), d.min_snr_weight):
        assert torch.equal(d.ddpm_loss(small(), PAPER, X, 3, Z, weight=weight), loss)
    one_line(lambda: d.ddpm_loss(small(), PAPER, X, 3, Z, weight=table[:3]), "weight: ")


# A number in a tensor or an array


@pytest.mark.parametrize("boxed", [torch.tensor, np.array])
def test_a_tensor_without_axes_is_its_number(boxed):
    assert torch.equal(end_of(small(), seed=boxed(3)), end_of(small(), seed=3))
    assert torch.equal(d.q_sample(PAPER, X, boxed(3), Z), d.q_sample(PAPER, X, 3, Z))
    assert torch.equal(small()(X, boxed(3)), small()(X, 3))
    assert d.TrainConfig(steps=boxed(3), lr=boxed(0.5)) == d.TrainConfig(steps=3, lr=0.5)
    assert d.UNetConfig(boxed(8), 1, (8, boxed(16))) == d.UNetConfig(8, 1, (8, 16))
    assert torch.equal(d.respace(PAPER, boxed(10)).beta, d.respace(PAPER, 10).beta)
    guided = d.guided(labelled(), boxed(2.5), boxed(10))
    assert torch.equal(end_of(guided, context=[1, 2, 3]), end_of(d.guided(labelled(), 2.5, 10), context=[1, 2, 3]))
    trained(labelled(), labels=LABELS, none=boxed(10))


def test_a_number_of_another_kind_in_a_tensor_is_refused():
    for seed in (torch.tensor(3.0), torch.tensor(True), torch.tensor([1.5, 2, 3]), torch.tensor([[1], [2], [3]])):
        one_line(lambda seed=seed: end_of(small(), seed=seed), "seed: ")
    for t in (torch.tensor(2.5), np.array(1001), torch.tensor(0)):
        one_line(lambda t=t: d.q_sample(PAPER, X, t, Z), "t: ")


# Images


class Items(Dataset):
    """20 items, each what the function says."""

    def __init__(self, item):
        self.item = item

    def __len__(self):
        return 20

    def __getitem__(self, i):
        return self.item(i)


WRONG_IMAGES = {
    "dict of tensors": {"image": DIGITS, "label": LABELS},
    "list of dicts": [{"image": DIGITS[0]}, {"image": DIGITS[1]}],
    "dataset of dicts": Items(lambda i: {"image": DIGITS[i]}),
    "dataset of numbers": Items(lambda i: 3),
    "images and labels": (DIGITS, LABELS),
    "generator": (image for image in DIGITS),
    "sparse": DIGITS[:8].to_sparse(),
    "without numbers": DIGITS.to("meta"),
}


@pytest.mark.parametrize("name", WRONG_IMAGES)
def test_containers_that_hold_no_images_are_refused(name):
    one_line(lambda: trained(small(), WRONG_IMAGES[name]), "images: ")


# Each entry, each argument

THREE = {"context": [1, 2, 3]}
REFUSED = {
    "device": [
        lambda: end_of(small(), device="gpu"),
        lambda: end_of(small(), device="meta"),
        lambda: end_of(small(), device=7),
    ],
    "dtype": [lambda: end_of(small(), dtype="float64"), lambda: end_of(small(), dtype=torch.int64)],
    "x_T": [
        lambda: end_of(small(), x_T=torch.zeros(3, 1, 8, 8, dtype=torch.complex64)),
        lambda: end_of(small(), x_T="x"),
    ],
    "x_t": [
        lambda: small()(X.double(), 3),
        lambda: d.GaussianChain(PAPER)(np.zeros((2, 2)), 3),
        lambda: d.GaussianMixture(PAPER, [[0.0, 1.0]], [0.5])(np.zeros((2, 2)), 3),
    ],
    "schedule": [
        lambda: d.bound_weight(None),
        lambda: d.min_snr_weight(None),
        lambda: d.prior_bits_per_dim(None),
        lambda: d.save_pretrained("pipeline", small(), None),
        lambda: weights.save("a.safetensors", small(), None),
    ],
    "times": [lambda: d.Schedule([0, 0.1], "ab"), lambda: d.Schedule([0, 0.1], [0.0, 1.5])],
    "context": [
        lambda: end_of(labelled(), context={"label": [1, 2, 3]}),
        lambda: end_of(labelled(), context="cat"),
        lambda: end_of(labelled(), context=3),
        lambda: labelled()(X, 3, "cat"),
        lambda: end_of(d.guided(labelled(), 2, 10), context="cat"),
        lambda: small(context_dim=8)(X, 3, [1, 2]),
    ],
    "none": [lambda: d.guided(labelled(), 2, "none"), lambda: d.guided(labelled(), 2, None)],
    "predicts": [lambda: d.z_model(small(), PAPER, ["v"])],
    "unet": [lambda: d.ConditionalUNet(d.LabelEncoder(10, 8), small(context_dim=8))],
    "config": [lambda: d.UNet({"sample_size": 8}), lambda: d.UNet(8)],
    "attention_levels": [lambda: d.UNetConfig(8, 1, (8, 16), attention_levels=([1],))],
    "t": [lambda: d.time_embedding(3, 8), lambda: small()(X, None)],
    "width": [lambda: d.time_embedding(torch.tensor([1]), 7)],
    "q": [lambda: d.attention([[1.0]], [[1.0]], [[1.0]])],
    "k": [lambda: d.attention_weights(torch.zeros(1, 2, 3), torch.zeros(1, 2, 4))],
    "v": [lambda: d.attention(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), torch.zeros(1, 4, 3))],
    "mean_1": [lambda: d.gaussian_kl("a", 1, 0, 1), lambda: d.gaussian_kl(None, 1, 0, 1)],
    "x_0": [lambda: d.decoder_nll(X.numpy(), X.numpy(), 0.1), lambda: d.decoder_nll((X > 0).long(), X, 0.1)],
    "mean": [lambda: d.decoder_nll(X, DIGITS[:3], 0.1)],
    "means": [lambda: d.GaussianMixture(PAPER, 3, [0.5])],
    "folder": [lambda: d.load_fashion_mnist(folder=3), lambda: d.fit(small(), PAPER, DIGITS, FEW, "", progress=False)],
    "source": [lambda: d.from_pretrained(None), lambda: d.open_model("")],
    "file": [lambda: d.open_pictures(None)],
    "model": [lambda: d.from_diffusers(small()), lambda: d.save_pretrained("pipeline", PAPER, small())],
    "images": [lambda: plots.image_grid((0, DIGITS[:4])), lambda: evaluate.nearest([1], DIGITS)],
    "losses": [lambda: plots.loss_curve([])],
}


@pytest.mark.parametrize("argument", REFUSED)
def test_what_cannot_be_meant_is_refused_in_one_line(argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for call in REFUSED[argument]:
        assert one_line(call).startswith(f"{argument}: expected ")
    assert not list(tmp_path.iterdir())


def test_what_is_meant_is_done():
    assert torch.equal(d.gaussian_kl([0.0, 1.0], np.ones(2), 0, 1), torch.tensor([0.0, 0.5], dtype=torch.float64))
    assert d.Schedule([0, 0.1], (0, 5)).times.tolist() == [0, 5]
    plots.image_grid(DIGITS[:4].numpy())
    with torch.autocast("cpu", torch.bfloat16):
        assert small()(X.bfloat16(), 3).shape == X.shape
    assert next(train(small(), PAPER, DIGITS, FEW, lr=lambda step: torch.tensor(1e-3))).step == 1
    assert d.last(d.sample(small(), SHORT, np.array([3, 1, 8, 8]), x_T=np.zeros((3, 1, 8, 8))))[1].shape == (3, 1, 8, 8)


# What people ask about other small libraries of diffusion models: each kind once


def test_a_seed_of_more_than_32_bits_is_another_seed():
    """The CPU's generator drops all but 32 bits, so 2**32 would draw the images of seed 0."""
    drawn = {}
    for seed in (0, 1, 2**32, 2**32 + 1, 2**63 - 1):
        drawn[seed] = end_of(small(), seed=seed)
    assert len({tuple(x.flatten().tolist()) for x in drawn.values()}) == len(drawn)
    assert torch.equal(drawn[2**32], end_of(small(), seed=2**32))
    own = end_of(small(), seed=[0, 2**32, 0])
    assert torch.equal(own[0], own[2])
    assert not torch.equal(own[0], own[1])


def test_labels_that_count_from_1_are_noticed(recwarn):
    with pytest.warns(UserWarning, match="^labels: .* use labels - 1$"):
        trained(labelled(), labels=LABELS + 1, none=10)
    trained(labelled(), labels=LABELS, none=10)
    trained(labelled(), labels=torch.where(LABELS == 3, 10, LABELS), none=10)  # some have no label
    assert not recwarn.list


def test_words_as_labels_are_numbered_by_the_advice():
    labels = ["cat", "dog", "cat"] * 10
    for given in (labels, np.array(labels)):
        line = one_line(lambda given=given: trained(labelled(), DIGITS[:30], labels=given, none=10), "labels: ")
    words, numbered = line.split("number them: words = ")[1].split(", [")
    scope = {"labels": labels, "words": eval(words, {"labels": labels})}
    assert eval("[" + numbered, scope) == [0, 1, 0] * 10


def test_images_that_were_scaled_from_0_to_1_are_noticed(recwarn):
    halved = (DIGITS + 1) / 2
    for images in (halved, halved.numpy(), list(halved[:20])):
        with pytest.warns(UserWarning, match=r"^images: .* use 2 \* x - 1$"):
            trained(small(), images)
    for images in (2 * halved - 1, torch.zeros(9, 1, 8, 8), (halved * 255).round().byte()):
        trained(small(), images)
    assert not recwarn.list


SHAPES = {
    "channels last": (torch.zeros(9, 8, 8, 1), lambda x: x.permute(0, 3, 1, 2)),
    "no channel": (torch.zeros(9, 8, 8), lambda x: x[:, None]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_advice_about_a_shape_fits_the_shape(name):
    images, follow = SHAPES[name]
    line = one_line(lambda: trained(small(), images), "x_t: expected shape (B, 1, H, W)")
    assert "pad" not in line
    trained(small(), follow(images))


def test_channels_and_sizes_get_advice_of_their_own():
    assert one_line(lambda: trained(small(), torch.zeros(9, 3, 8, 8))).endswith("in_channels=3")
    assert "pad the images" in one_line(lambda: trained(small(), torch.zeros(9, 1, 9, 9)))
    assert "channel" in one_line(lambda: trained(small(), [np.zeros((8, 8), np.uint8)] * 9), "images: ")


@pytest.mark.parametrize(
    "whole", [torch.rand(9, 1, 8, 8) > 0.5, torch.full((9, 1, 8, 8), 65535).to(torch.uint16), torch.ones(9, 1, 8, 8)]
)
def test_images_of_whole_numbers_are_scaled_by_the_advice(whole):
    whole = whole.to(torch.int16) * 32767 if whole.is_floating_point() else whole
    line = one_line(lambda: trained(small(), whole), "images: ")
    scaled = eval(line.split("images use ")[1], {"x": whole})
    assert scaled.max() == pytest.approx(1, abs=1e-4)
    trained(small(), scaled)


def test_images_with_a_gradient_train():
    assert trained(small(), DIGITS.clone().requires_grad_()).loss == trained(small(), DIGITS).loss


def test_a_model_that_was_made_in_inference_mode_is_told():
    with torch.inference_mode():
        model = small()
    one_line(lambda: trained(model), "model: ", "copy.deepcopy(model)")
    trained(copy.deepcopy(model))  # the advice


def test_a_home_is_a_home_and_no_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    d.fit(small(), PAPER, DIGITS, FEW, "~/run", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert d.open_model("~/run")[1].T == PAPER.T


def test_a_path_with_a_null_character_is_told():
    one_line(lambda: d.fit(small(), PAPER, DIGITS, FEW, "a\0b", progress=False), "folder: ")
    one_line(lambda: d.open_model("a\0b"), "source: ")


def test_schedules_models_and_adapters_can_be_copied_and_pickled():
    for copied in (copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))):
        assert torch.equal(copied(SHORT).times, SHORT.times)
        assert copied(FEW) == FEW
        for model in (small(), d.guided(labelled(), 2.0, 10), d.z_model(small(), PAPER, "v"), d.in_parts(small(), 2)):
            context = [1, 2, 3] if "Guided" in type(model).__name__ else None
            assert torch.equal(end_of(copied(model), context=context), end_of(model, context=context))
