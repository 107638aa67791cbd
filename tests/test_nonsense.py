"""Nonsense at every public entry is refused in one line that names the argument; nothing of it is taken in silence.

Each argument below is one that a bare `if value:` or an operator of torch would accept or explain badly. What is
nearly right, in another container or type, is in `test_neighbours`.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from test_promises import DIGITS, FEW, LABELS, PAPER, SHORT, end_of, labelled, one_line, small, trained
from torch import nn

import ddpm_lite as d
from ddpm_lite.evaluate import nearest

X, Z = DIGITS[:2], DIGITS[2:4]
POINTS = torch.zeros(2, 2)
CHAIN, MIXTURE = d.GaussianChain(PAPER), d.GaussianMixture(PAPER, torch.tensor([[0.0, 1.0]]), torch.tensor([0.5]))
HEADS, CROSS = d.MultiHeadAttention(8, groups=4), d.MultiHeadAttention(8, groups=4, context_dim=6)
H, TOKENS = torch.zeros(2, 8, 4, 4), torch.zeros(2, 3, 6)


@pytest.fixture(autouse=True)
def unchecked(plain, tmp_path, monkeypatch):
    """As a user has it, in an empty folder."""
    monkeypatch.chdir(tmp_path)


WORDS = ["yes", "", b"x", None, [1, 2], [], {"a": 1}, {1, 2}, object(), Path("x"), torch.float32, small]
ARRAYS = [np.zeros((2, 2)), np.array([None, "a"], dtype=object), np.datetime64("2020-01-01"), torch.zeros(3, 2)]
ARRAYS += [torch.zeros(0), torch.tensor([True, False]), X.to_sparse(), X.to("meta"), torch.zeros(2, dtype=torch.cfloat)]
NUMBERS = [2.5, float("nan"), float("inf"), 10**30, 1e300, 1j, Fraction(1, 3)]
NO_BOOL = [*WORDS, *ARRAYS, *NUMBERS, 0, 1, torch.tensor(1)]
NO_WHOLE = [*WORDS, *ARRAYS, *NUMBERS, True, -1, np.bool_(True), torch.tensor(0.5)]
NO_WORD = [*WORDS, *ARRAYS, *NUMBERS, 0, True]
NO_TENSOR = [*WORDS, *NUMBERS, np.float32(1), X.to_sparse(), torch.tensor(3), torch.zeros(2, dtype=torch.cfloat)]
NO_PATH = ["a\0b", "\ud800", "x" * 5000, None, 3, [], small, X]
NO_SCHEDULE = [*NO_TENSOR, d.Schedule, np.zeros(3), 1000]

# argument: what makes a call with it, and what is put there
ENTRIES = {
    "schedule": (
        [
            lambda v: d.GaussianChain(v),
            lambda v: d.GaussianMixture(v, [[0.0, 1.0]], [0.5]),
            lambda v: d.z_model(small(), v, "v"),
            lambda v: d.ddpm_step(v, X, 5, 4, Z, Z),
            lambda v: d.ddim_step(v, X, 5, 2, Z, Z),
            lambda v: d.respace(v, 10),
            lambda v: d.q_sample(v, X, 3, Z),
            lambda v: d.bound_weight(v),
            lambda v: end_of_other(v),
            lambda v: d.ddpm_loss(small(), v, X, 3, Z),
        ],
        NO_SCHEDULE,
    ),
    "walk": (
        [lambda v: CHAIN.reverse_moments(walk=v), lambda v: CHAIN.ddim_moments(walk=v)],
        [v for v in NO_SCHEDULE if v is not None],
    ),
    "start": (
        [lambda v: CHAIN.reverse_moments(start=v), lambda v: CHAIN.ddim_moments(start=v)],
        [*WORDS[:4], {"a": 1}, [1], [1, 2, 3], [None, 1], [0, -1], [[1], [2, 3]], 3, 2.5, torch.zeros(2, 2), (1, 1j)],
    ),
    "last_noise": ([lambda v: CHAIN.reverse_moments(last_noise=v)], NO_BOOL),
    "clip": (
        [
            lambda v: d.ddpm_step(PAPER, X, 5, 4, Z, Z, clip=v),
            lambda v: d.ddim_step(PAPER, X, 5, 2, Z, Z, clip=v),
            lambda v: d.save_pretrained("pipe", small(), PAPER, clip=v),
        ],
        NO_BOOL,
    ),
    "middle_attention": ([lambda v: d.UNetConfig(8, middle_attention=v)], NO_BOOL),
    "flip": ([lambda v: d.TrainConfig(1, flip=v)], NO_BOOL),
    "compile": ([lambda v: d.TrainConfig(1, compile=v)], NO_BOOL),
    "tensorboard": ([lambda v: d.fit(small(), PAPER, DIGITS, FEW, "r", tensorboard=v)], NO_BOOL),
    "progress": (
        [lambda v: d.fit(small(), PAPER, DIGITS, FEW, "r", progress=v)],
        [v for v in NO_BOOL if v is not None],
    ),
    "crop": ([lambda v: d.images_from_folder(".", 8, crop=v)], NO_BOOL),
    "skip_broken": ([lambda v: d.images_from_folder(".", 8, skip_broken=v)], NO_BOOL),
    "channels": (
        [lambda v: d.images_from_folder(".", 8, channels=v), lambda v: d.MultiHeadAttention(v, groups=1)],
        [*NO_WHOLE, 0],
    ),
    "watch": ([lambda v: d.images_from_folder(".", 8, watch=v)], ["tqdm", None, 3, [], lambda: [], small()]),
    "background": (
        [lambda v: d.images_from_folder(".", 8, background=v)],
        [(1.0, 1.0, 1.0), b"abc", (0, 0), (0, 0, 256), "no colour", None, 3, (True, True, True)],
    ),
    "size": (
        [lambda v: d.images_from_folder(".", v), lambda v: d.load_photo("china", v)],
        [v for v in [*NO_WHOLE, 0] if not isinstance(v, list)],
    ),
    "groups": ([lambda v: d.MultiHeadAttention(8, groups=v), lambda v: d.UNetConfig(8, groups=v)], [*NO_WHOLE, 0]),
    "eps": ([lambda v: d.MultiHeadAttention(8, eps=v)], [*WORDS, *ARRAYS, 0, -1.0, 2.5, float("nan"), True]),
    "context_dim": (
        [lambda v: d.MultiHeadAttention(8, context_dim=v), lambda v: d.UNetConfig(8, context_dim=v)],
        [v for v in [*NO_WHOLE, 0] if v is not None],
    ),
    "h": (
        [HEADS, HEADS.project],
        [*NO_TENSOR, np.zeros((2, 8, 4, 4)), torch.zeros(2, 4, 4, 4), torch.zeros(8, 4, 4), torch.zeros(2, 3)],
    ),
    "context": (
        [lambda v: CROSS(H, v), lambda v: small(context_dim=6)(X, 3, v)],
        [*WORDS, *ARRAYS, 3, 2.5, True, TOKENS[:1], TOKENS[..., :5], TOKENS[0]],
    ),
    "q": ([lambda v: d.attention(v, TOKENS, TOKENS), lambda v: d.attention_weights(v, TOKENS)], NO_TENSOR),
    "k": (
        [lambda v: d.attention(TOKENS, v, TOKENS), lambda v: d.attention_weights(TOKENS, v)],
        [*NO_TENSOR, TOKENS[:1], TOKENS.double(), TOKENS[..., :5]],
    ),
    "v": ([lambda v: d.attention(TOKENS, TOKENS, v)], [*NO_TENSOR, TOKENS[:1], TOKENS.double(), TOKENS[:, :2]]),
    "device": (
        [lambda v: PAPER.to(v)],
        ["nowhere", "", "cuda:99", None, [], {}, 2.5, True, 10**30, np.zeros(3), small],
    ),
    "dtype": (
        [lambda v: PAPER.to("cpu", v), lambda v: MIXTURE.sample(2, dtype=v)],
        [*WORDS[:10], *ARRAYS, torch.int64, torch.cfloat, 3, True, "float32", torch.device("cpu")],
    ),
    "generator": ([lambda v: MIXTURE.sample(2, v)], [v for v in NO_WHOLE if v is not None]),
    "n": ([lambda v: MIXTURE.sample(v)], [*NO_WHOLE, 0]),
    "times": ([lambda v: d.Schedule([0, 0.1, 0.2], v)], ["abc", [0, 2, 1], [0, 1], 3, torch.zeros(3), X.to("meta")]),
    "labels": (
        [
            lambda v: d.drop_labels(v, 10, 0.1),
            lambda v: d.LabelEncoder(10, 8)(v),
            lambda v: trained(labelled(), labels=v, none=10),
        ],
        [
            "yes",
            b"x",
            {"a": 1},
            ["a"],
            [None],
            2.5,
            torch.zeros(2),
            torch.tensor([True, False]),
            [0.5, 1.5],
            [[1], [2, 3]],
        ],
    ),
    "none": (
        [
            lambda v: d.drop_labels([1, 2], v, 0.1),
            lambda v: d.guided(labelled(), 2.0, v if getattr(v, "ndim", 0) != 2 else "tokens"),
            lambda v: trained(small(), none=v if v is not None else "yes"),
        ],
        NO_WHOLE,
    ),
    "p": ([lambda v: d.drop_labels([1, 2], 10, v)], [*WORDS, *ARRAYS, -0.1, 1.5, float("nan"), True]),
    "width": ([lambda v: d.time_embedding(torch.tensor([1]), v)], [*NO_WHOLE, 0, 2, 7]),
    "freq_shift": (
        [lambda v: d.time_embedding(torch.tensor([1]), 8, v), lambda v: d.UNetConfig(8, freq_shift=v)],
        NO_WHOLE,
    ),
    "attention_levels": (
        [lambda v: d.UNetConfig(8, 1, (8, 16), attention_levels=v)],
        [*WORDS[:5], *ARRAYS, 1, [True], [0.0], [2], ["0"]],
    ),
    "t": (
        [
            lambda v: small()(X, v),
            lambda v: labelled()(X, v),
            lambda v: d.in_parts(small(), 1)(X, v),
            lambda v: d.z_model(small(), PAPER, "v")(X, v),
            lambda v: CHAIN(X, v),
            lambda v: d.q_sample(PAPER, X, v, Z),
        ],
        [*WORDS[:4], {"a": 1}, [1, 2, 3], *NUMBERS, True, 0, -1, torch.tensor([0, 5]), torch.tensor([0.5, 1])],
    ),
    "x_t": (
        [
            lambda v: small()(v, 3),
            lambda v: labelled()(v, 3),
            lambda v: d.in_parts(small(), 1)(v, 3),
            lambda v: d.guided(labelled(), 2.0, 10)(v, 3, [1, 2]),
            lambda v: d.z_model(small(), PAPER, "v")(v, 3),
            lambda v: d.ddpm_step(PAPER, v, 5, 4, Z, Z),
            lambda v: d.ddim_step(PAPER, v, 5, 2, Z, Z),
            lambda v: d.predict_x_0(PAPER, v, 3, Z),
            lambda v: CHAIN(v, 3),
            lambda v: MIXTURE.score(v, 3),
        ],
        [*NO_TENSOR, np.zeros((2, 1, 8, 8)), torch.zeros(2, 1, 8, 8, dtype=torch.int64), torch.tensor(0.5)],
    ),
    "x_T": (
        [lambda v: end_of(small(), x_T=v)],
        ["x", [], {}, 3, torch.full((3, 1, 8, 8), torch.nan), X, X.to("meta"), X.to_sparse()],
    ),
    "shape": (
        [lambda v: end_of(small(), v)],
        ["abc", 3, np.array(3), torch.tensor(3), [], [1.5], [True, 1, 8, 8], None, {}],
    ),
    "states": ([d.last], ["abc", b"x", {"a": 1}, {1}, X, np.zeros(3), np.array(3), torch.tensor(3), 3, None, [], ()]),
    "variance": (
        [
            lambda v: d.bound_weight(PAPER, v),
            lambda v: CHAIN.reverse_moments(v),
            lambda v: d.ddpm_step(PAPER, X, 5, 4, Z, Z, variance=v),
            lambda v: d.save_pretrained("pipe", small(), PAPER, variance=v),
        ],
        NO_WORD,
    ),
    "spacing": ([lambda v: d.respace(PAPER, 10, v)], NO_WORD),
    "scheduler": ([lambda v: d.save_pretrained("pipe", small(), PAPER, scheduler=v)], NO_WORD),
    "predicts": ([lambda v: d.z_model(small(), PAPER, v)], NO_WORD),
    "part": ([d.load_digits, d.load_cifar10, d.load_fashion_mnist], NO_WORD),
    "name": ([d.load_photo, d.load_pretrained], NO_WORD),
    "mean_1": (
        [lambda v: d.gaussian_kl(v, 1, 0, 1)],
        ["a", None, {}, torch.tensor(True), X.to_sparse(), X.to("meta"), 1j],
    ),
    "variance_2": (
        [lambda v: d.gaussian_kl(0, 1, 0, v)],
        ["a", None, {}, 0, -1, float("nan"), X.to_sparse(), X.to("meta"), 1j],
    ),
    "start_from": ([lambda v: d.fit(small(), PAPER, DIGITS, FEW, "r", start_from=v)], [3, [], {}, b"x", "", X, small]),
    "weight": (
        [lambda v: trained(small(), weight=v), lambda v: d.ddpm_loss(small(), PAPER, X, 3, Z, weight=v)],
        ["min_snr", 3, [], {}, small(), lambda: 1, torch.zeros(3)],
    ),
    "lr": (
        [lambda v: trained(small(), lr=v), lambda v: d.fit(small(), PAPER, DIGITS, FEW, "r", lr=v)],
        ["cosine", 1e-3, [], {}, small(), lambda: 1, lambda step: None],
    ),
    "accelerator": (
        [
            lambda v: trained(small(), accelerator=v),
            lambda v: d.fit(small(), PAPER, DIGITS, FEW, "r", accelerator=v),
        ],
        [v for v in NO_WORD if v is not None],
    ),
    "folder": (
        [
            lambda v: d.fit(small(), PAPER, DIGITS, FEW, v),
            lambda v: d.save_pretrained(v, small(), PAPER),
            lambda v: d.images_from_folder(v, 8),
        ],
        NO_PATH,
    ),
    "source": ([d.open_model, d.from_pretrained], NO_PATH),
    "file": ([d.open_pictures, lambda v: d.images_from_folder(".", 8, file=v)], [v for v in NO_PATH if v is not None]),
    "training": ([lambda v: nearest(X, v)], [*NO_TENSOR[:-1], X.to("meta"), X[:0]]),
    "images": ([lambda v: nearest(v, X)], [*NO_TENSOR, X.to("meta"), X[:0], X * 9]),
}


def end_of_other(schedule):
    return d.last(d.sample(small(), schedule, (2, 1, 8, 8)))


@pytest.mark.parametrize("argument", ENTRIES)
def test_nonsense_is_refused_in_one_line_that_names_the_argument(argument, tmp_path):
    calls, values = ENTRIES[argument]
    for number, call in enumerate(calls):
        for value in values:
            line = one_line(lambda call=call, value=value: call(value), kind=(ValueError, TypeError, OSError))
            assert line.startswith(f"{argument}"), (number, value, line)
    assert not list(tmp_path.iterdir())


def test_times_in_a_masked_array_are_times():
    loss = d.ddpm_loss(small(), PAPER, X, [3, 5], Z, weight=d.min_snr_weight)
    for t in (np.ma.masked_array([3, 5], [0, 1]), (3, 5), np.array([3, 5])):
        assert torch.equal(d.ddpm_loss(small(), PAPER, X, t, Z, weight=d.min_snr_weight), loss)


def test_a_pair_of_shapes_that_do_not_broadcast_is_told():
    assert one_line(lambda: d.gaussian_kl(torch.zeros(2), torch.ones(3), 0, 1)).startswith("mean_1: ")


# What a model does wrong is seen where it is called


def test_an_output_without_gradient_is_told():
    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x, t, context=None):
            return self.conv(x).detach()

    one_line(lambda: trained(Detached()), "the model's output: ", "no_grad")
    with torch.no_grad():
        one_line(lambda: trained(small()), "the model's output: ", "no_grad")
    trained(small())  # the advice


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning", "ignore:Converting a tensor")
def test_a_traced_model_of_two_arguments_is_told_the_contract():
    traced = torch.jit.trace(small().eval(), (X, torch.tensor([3, 3])), check_trace=False)
    line = one_line(lambda: end_of(traced, (2, 1, 8, 8)), "model: ", "(x_t, t, context) -> z_hat")
    assert line.endswith("wrap it: lambda x_t, t, context=None: model(x_t, t)")
    wrapped = lambda x_t, t, context=None: traced(x_t, t)  # noqa: E731 - the advice, literally
    torch.testing.assert_close(end_of(wrapped, (2, 1, 8, 8)), end_of(small().eval(), (2, 1, 8, 8)))


def test_labels_to_drop_come_in_any_sequence():
    torch.manual_seed(0)
    expected = d.drop_labels(LABELS[:100], 10, 0.5)
    for labels in (LABELS[:100].tolist(), LABELS[:100].numpy(), LABELS[:100].int()):
        torch.manual_seed(0)
        assert torch.equal(d.drop_labels(labels, np.int64(10), np.float32(0.5)), expected)


def test_a_time_of_another_package_is_not_taken_in_silence():
    """diffusers counts from 0; a network that is asked at t = 0 would answer, and be wrong at every time."""
    for t in (0, [0, 5], torch.tensor([0, 5])):
        assert one_line(lambda t=t: small()(X, t)).startswith("t: ")
    encoder, labels = d.LabelEncoder(10, 8), torch.tensor([1, 2])
    assert torch.func.vmap(lambda label: encoder(label[None]))(labels).shape == (2, 1, 4, 8)  # has no values to check


def test_a_schedule_is_found_under_the_name_of_its_device():
    assert PAPER.at("cpu") is PAPER
    assert SHORT.to("cpu", torch.float64) is SHORT


def test_numbers_of_other_kinds_are_stored_as_python_has_them():
    chain = d.GaussianChain(PAPER, np.float32(0.5), Fraction(1, 2))
    assert torch.equal(chain(X, 3), d.GaussianChain(PAPER, 0.5, 0.5)(X, 3))
    assert d.UNetConfig(8, middle_attention=np.bool_(False)).middle_attention is False
