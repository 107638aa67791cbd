"""Bad input raises an error of one line: the argument, what was expected, and what it got."""

import re

import pytest
import torch

from ddpm_lite import (
    ConditionalUNet,
    GaussianChain,
    LabelEncoder,
    MultiHeadAttention,
    Schedule,
    TrainConfig,
    UNet,
    UNetConfig,
    cosine_schedule,
    ddpm_loss,
    ddpm_step,
    drop_labels,
    fit,
    guided,
    linear_schedule,
    load_digits,
    load_photo,
    posterior,
    q_sample,
    q_step,
    sample,
    train,
)

pytestmark = pytest.mark.usefixtures("plain")

PAPER = linear_schedule()
X = torch.zeros(2, 1, 8, 8)
UINT8 = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
SMALL = UNetConfig(8, 1, (8, 16), blocks=1)


def first_state(images, model=None):
    return next(train(model or UNet(SMALL), PAPER, images, TrainConfig(steps=1, batch_size=2)))


def labelled(labels, none=10, **options):
    config = TrainConfig(steps=1, batch_size=2, **options)
    return next(train(UNet(SMALL), PAPER, X, config, labels=labels, none=none))


def with_bad_value(value, shape=(3, 1, 8, 8)):
    images = torch.zeros(shape)
    images[1, 0, 0, 0] = value
    return images


CASES = {
    "t = 0": (lambda: q_sample(PAPER, X, 0, X), "t: expected a whole number in 1..1000, got 0 (int)"),
    "t = T + 1": (lambda: q_sample(PAPER, X, 1001, X), "t: expected a whole number in 1..1000, got 1001"),
    "t is a float": (lambda: q_sample(PAPER, X, 3.0, X), "t: expected a whole number in 1..1000, got 3.0 (float)"),
    "t is a bool": (lambda: q_step(PAPER, X, True, X), "t: expected a whole number in 1..1000, got True (bool)"),
    "a t of the batch is 0": (
        lambda: q_sample(PAPER, X, torch.tensor([0, 5]), X),
        "t: expected every t in 1..1000, got values in 0..5; this package counts t",
    ),
    "t of another length": (
        lambda: posterior(PAPER, X, torch.tensor([1, 2, 3]), X),
        "t: expected a whole number in 1..1000 or an int64 tensor of shape (2,), one t per image, got int64",
    ),
    "t of another dtype": (
        lambda: q_sample(PAPER, X, torch.tensor([1.0, 2.0]), X),
        "one t per image, got float32 tensor of shape (2,); use t.long()",
    ),
    "x_0 is uint8": (
        lambda: q_sample(PAPER, UINT8, 5, X),
        "x_0: expected a floating-point tensor with values about [-1, 1], got uint8 tensor of shape (2, 1, 8, 8);"
        " for uint8 images use x.float() / 127.5 - 1",
    ),
    "z of another shape": (
        lambda: q_sample(PAPER, X, 5, X[:1]),
        "z: expected the shape of x_0, (2, 1, 8, 8), got float32 tensor of shape (1, 1, 8, 8)",
    ),
    "model's output of another shape": (
        lambda: ddpm_loss(lambda x, t, c: x[:, :, :4], PAPER, X, 5, X),
        "the model's output: expected the shape of x_t, (2, 1, 8, 8), got float32",
    ),
    "T = 0": (lambda: linear_schedule(0), "T: expected a whole number >= 1, got 0 (int)"),
    "T is a float": (lambda: cosine_schedule(10.0), "T: expected a whole number >= 1, got 10.0 (float)"),
    "beta_T = 1": (lambda: linear_schedule(10, 0.1, 1.0), "beta_T: expected a number in (0, 1), got 1.0 (float)"),
    "beta_1 is NaN": (lambda: linear_schedule(10, float("nan")), "beta_1: expected a number in (0, 1), got nan"),
    "a beta is negative": (
        lambda: Schedule(torch.tensor([0.0, 0.1, -0.1])),
        "beta[2]: expected a finite number in (0, 1), got -0.1",
    ),
    "a beta is NaN": (
        lambda: Schedule(torch.tensor([0.0, float("nan")])),
        "beta[1]: expected a finite number in (0, 1), got nan",
    ),
    "a beta is infinite": (
        lambda: Schedule(torch.tensor([0.0, float("inf")])),
        "beta[1]: expected a finite number in (0, 1), got inf",
    ),
    "beta without its zero": (
        lambda: Schedule(torch.tensor([0.1, 0.2])),
        "beta[0]: expected 0 (time 0 is the clean image), got 0.1; put a 0 in front",
    ),
    "beta is one number": (lambda: Schedule(torch.tensor(0.1)), "beta: expected a float tensor of T + 1 >= 2"),
    "training images of whole numbers": (
        lambda: first_state(X.long()),
        "images: expected a floating-point tensor with values about [-1, 1], got int64 tensor of shape (2, 1, 8, 8)",
    ),
    "training images uint8 and flat": (
        lambda: first_state(UINT8.flatten(1)),
        "images: expected non-empty uint8 images of shape (N, C, H, W), got uint8 tensor of shape (2, 64)",
    ),
    "training images in 0..255": (
        lambda: first_state(with_bad_value(255.0)),
        "images: expected values in [-1, 1], got values in [0, 255]; scale them",
    ),
    "training images NaN": (
        lambda: first_state(with_bad_value(float("nan"))),
        "images: expected finite values, got NaN or infinity in image 1",
    ),
    "training images infinite": (
        lambda: first_state(with_bad_value(float("inf"))),
        "images: expected finite values, got NaN or infinity in image 1",
    ),
    "training images flat": (
        lambda: first_state(torch.zeros(5, 64)),
        "x_t: expected shape (B, 1, H, W) with H and W multiples of 2, got float32 tensor of shape (2, 64)",
    ),
    "no training images": (lambda: first_state(torch.zeros(0, 1, 8, 8)), "images: expected a non-empty tensor"),
    "images of another channel count": (
        lambda: first_state(torch.zeros(3, 3, 8, 8)),
        "x_t: expected shape (B, 1, H, W) with H and W multiples of 2, got float32 tensor of shape (2, 3, 8, 8)",
    ),
    "a model with nothing to train": (
        lambda: first_state(X, torch.nn.Identity()),
        "model: expected a module with parameters to train, got Identity()",
    ),
    "size that levels do not divide": (
        lambda: UNetConfig(28, 1, (8, 8, 8, 8)),
        "sample_size: expected a multiple of 8, because 4 levels halve it 3 times, got 28; pad the images or use",
    ),
    "an image that levels do not divide": (
        lambda: UNet(SMALL)(torch.zeros(1, 1, 7, 8), 1),
        "x_t: expected shape (B, 1, H, W) with H and W multiples of 2, got float32 tensor of shape (1, 1, 7, 8)",
    ),
    "channels that groups do not divide": (
        lambda: UNetConfig(8, 1, (12, 16)),
        "channels: expected multiples of groups=8, got 12",
    ),
    "channels is a number": (lambda: UNetConfig(8, 1, 16), "channels: expected a tuple with one width per level"),
    "heads that do not divide": (
        lambda: UNetConfig(8, 1, (8, 16), head_dim=3),
        "head_dim: expected a divisor of every width, (8, 16), got 3",
    ),
    "a level that is not there": (
        lambda: UNetConfig(8, 1, (8, 16), attention_levels=(2,)),
        'attention_levels: expected "every" or a tuple of levels in 0..1, got (2,) (tuple)',
    ),
    "dropout of 1": (lambda: UNetConfig(8, dropout=1.0), "dropout: expected a number in [0, 1), got 1.0 (float)"),
    "context to a network without": (
        lambda: UNet(SMALL)(X, 1, torch.zeros(2, 1, 4)),
        "context: expected None, as the config has no context_dim, got float32 tensor of shape (2, 1, 4)",
    ),
    "no context to a network with": (
        lambda: UNet(UNetConfig(8, 1, (8, 16), context_dim=4))(X, 1),
        "context: expected shape (2, tokens, 4), a row for each image, got None",
    ),
    "context of another width": (
        lambda: UNet(UNetConfig(8, 1, (8, 16), context_dim=4))(X, 1, torch.zeros(2, 3, 5)),
        "context: expected shape (2, tokens, 4), a row for each image, got float32 tensor of shape (2, 3, 5)",
    ),
    "norm_eps of 0": (lambda: UNetConfig(8, norm_eps=0.0), "norm_eps: expected a number in (0, 1], got 0.0"),
    "freq_shift of 2": (lambda: UNetConfig(8, freq_shift=2), "freq_shift: expected a whole number in 0..1, got 2"),
    "t of a network of another length": (
        lambda: UNet(SMALL)(X, torch.tensor([1])),
        "t: expected a whole number or an int64 tensor of shape (2,), got int64 tensor of shape (1,)",
    ),
    "head_dim of attention": (
        lambda: MultiHeadAttention(16, head_dim=5),
        "head_dim: expected a divisor of the 16 channels, got 5",
    ),
    "steps = 0": (lambda: TrainConfig(steps=0), "steps: expected a whole number >= 1, got 0 (int)"),
    "lr = 0": (lambda: TrainConfig(steps=1, lr=0.0), "lr: expected a number in (0, 1], got 0.0 (float)"),
    "ema_decay = 1": (lambda: TrainConfig(steps=1, ema_decay=1.0), "ema_decay: expected a number in [0, 1), got 1.0"),
    "a step that skips": (
        lambda: ddpm_step(PAPER, X, 10, 5, X, X),
        "s: expected t - 1 = 9, because a DDPM step goes back by one, got 5; re-space the schedule",
    ),
    "an unknown variance": (
        lambda: ddpm_step(PAPER, X, 10, 9, X, X, variance="small"),
        'variance: expected "beta" or "beta_tilde", got \'small\'',
    ),
    "x_T of another shape": (
        lambda: next(sample(UNet(SMALL), PAPER, (2, 1, 8, 8), x_T=torch.zeros(1, 1, 8, 8))),
        "x_T: expected shape (2, 1, 8, 8), got float32 tensor of shape (1, 1, 8, 8)",
    ),
    "a label that is not there": (
        lambda: LabelEncoder(10, 4)(torch.tensor([3, 11])),
        'labels: expected every label in 0..9, or 10 for "no label", got values in 3..11',
    ),
    "a label below 0": (
        lambda: LabelEncoder(10, 4)(torch.tensor([-1])),
        'labels: expected every label in 0..9, or 10 for "no label", got values in -1..-1',
    ),
    "labels of another dtype": (
        lambda: LabelEncoder(10, 4)(torch.tensor([1.0])),
        "labels: expected an int64 tensor of shape (B,), got float32 tensor of shape (1,)",
    ),
    "no labels to encode": (lambda: LabelEncoder(0, 4), "labels: expected a whole number >= 1, got 0 (int)"),
    "an encoder of another width": (
        lambda: ConditionalUNet(UNet(UNetConfig(8, 1, (8, 16), context_dim=4)), LabelEncoder(10, 6)),
        "encoder: expected width 4, the U-Net's context_dim, got 6",
    ),
    "p = 1.5": (lambda: drop_labels(torch.tensor([1]), 10, 1.5), "p: expected a number in [0, 1], got 1.5 (float)"),
    "label_dropout = 2": (
        lambda: TrainConfig(steps=1, label_dropout=2),
        "label_dropout: expected a number in [0, 1], got 2 (int)",
    ),
    "training labels of another length": (
        lambda: labelled(torch.tensor([1, 2, 3])),
        "labels: expected shape (2,), one label per image, got int64 tensor of shape (3,)",
    ),
    "training labels out of range": (
        lambda: labelled(torch.tensor([1, 12])),
        "labels: expected labels in 0..9, got values in 1..12",
    ),
    "training labels below 0": (
        lambda: labelled(torch.tensor([1, -2]), None, label_dropout=0.0),
        "labels: expected labels >= 0, got values in -2..1",
    ),
    "no number for no label": (
        lambda: labelled(torch.tensor([1, 2]), None),
        'none: expected the number that means "no label", got None; pass none=model.none, or',
    ),
    "a guidance that is no number": (
        lambda: guided(UNet(SMALL), float("nan"), 10),
        "scale: expected a number in [-1000000.0, 1000000.0], got nan (float)",
    ),
    "guided by nothing": (
        lambda: guided(UNet(SMALL), 1.0, 10)(X, 1),
        "context: expected labels or tokens to guide towards, got None; pass sample(..., context=...)",
    ),
    "an oracle without spread": (lambda: GaussianChain(PAPER, 0.0, 0.0), "std: expected a number in (0, 1000000.0]"),
    "an unknown variance of the oracle": (
        lambda: GaussianChain(PAPER).reverse_moments("large"),
        'variance: expected "beta" or "beta_tilde", got \'large\'',
    ),
    "an unknown part": (lambda: load_digits("valid"), 'part: expected "all", "train" or "test", got \'valid\' (str)'),
    "an unknown photo": (lambda: load_photo("dog"), 'name: expected "china" or "flower", got \'dog\' (str)'),
    "a photo of no size": (lambda: load_photo("china", 0), "size: expected a whole number in 1..427, got 0 (int)"),
}


# Settings of a training that cannot be right, each with the end of its line.
SETTINGS = (
    ("steps", "100", "a whole number >= 1, got '100' (str)"),
    ("steps", True, "a whole number >= 1, got True (bool)"),
    ("steps", 1e3, "a whole number >= 1, got 1000.0 (float)"),
    ("batch_size", 0, "a whole number >= 1, got 0 (int)"),
    ("batch_size", 12.5, "a whole number >= 1, got 12.5 (float)"),
    ("batch_size", None, "a whole number >= 1, got None (NoneType)"),
    ("lr", -1e-3, "a number in (0, 1], got -0.001 (float)"),
    ("lr", 2, "a number in (0, 1], got 2 (int)"),
    ("lr", "1e-3", "a number in (0, 1], got '1e-3' (str)"),
    ("lr", float("nan"), "a number in (0, 1], got nan (float)"),
    ("warmup", -1, "a whole number >= 0, got -1 (int)"),
    ("warmup", 0.1, "a whole number >= 0, got 0.1 (float)"),
    ("grad_clip", 0, "a number in (0, inf), got 0 (int)"),
    ("grad_clip", float("inf"), "a number in (0, inf), got inf (float)"),
    ("ema_decay", -0.1, "a number in [0, 1), got -0.1 (float)"),
    ("ema_decay", 9999, "a number in [0, 1), got 9999 (int)"),
    ("seed", -1, "a whole number >= 0, got -1 (int)"),
    ("seed", None, "a whole number >= 0, got None (NoneType)"),
    ("label_dropout", -0.1, "a number in [0, 1], got -0.1 (float)"),
    ("label_dropout", True, "a number in [0, 1], got True (bool)"),
    ("flip", 1, "True or False, got 1 (int)"),
    ("flip", "yes", "True or False, got 'yes' (str)"),
    ("accumulation", 0, "a whole number in 1..128, got 0 (int)"),
    ("accumulation", 129, "a whole number in 1..128, got 129 (int)"),
    ("mixed_precision", "fp16", '"no" or "bf16", got \'fp16\' (str)'),
    ("lr_decay", "linear", '"no" or "cosine", got \'linear\' (str)'),
    ("lr_decay", None, '"no" or "cosine", got None (NoneType)'),
    ("mixed_precision", torch.bfloat16, '"no" or "bf16", got torch.bfloat16 (dtype)'),
    ("compile", "max-autotune", "True or False, got 'max-autotune' (str)"),
)


@pytest.mark.parametrize(("field", "value", "line"), SETTINGS)
def test_a_wrong_setting_gets_one_line(field, value, line):
    with pytest.raises(ValueError, match=f"^{field}: expected {re.escape(line)}$"):
        TrainConfig(**{"steps": 1} | {field: value})


def test_a_run_is_refused_before_a_folder_is_made(tmp_path):
    folder, config = tmp_path / "run", TrainConfig(steps=1)
    for options, line in (
        ({"every": 0}, "every: expected a whole number >= 1, got 0"),
        ({"every": 2.5}, "every: expected a whole number >= 1, got 2.5"),
        ({"log": 0}, "log: expected a whole number >= 1, got 0"),
    ):
        with pytest.raises(ValueError, match="^" + re.escape(line)):
            fit(UNet(SMALL), PAPER, X, config, folder, **options)
    for images, line in (
        (UINT8[0], "images: expected non-empty uint8 images"),
        (X.long(), "images: expected a floating"),
    ):
        with pytest.raises((ValueError, TypeError), match="^" + re.escape(line)):
            fit(UNet(SMALL), PAPER, images, config, folder)
    assert not folder.exists()


@pytest.mark.parametrize("name", CASES)
def test_one_line(name):
    call, message = CASES[name]
    with pytest.raises((ValueError, TypeError), match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_schedule_follows_the_images_and_t_is_to_be_there():
    on_meta = X.to("meta")
    for t in (torch.ones(2, dtype=torch.int64, device="meta"), 1, [1, 2]):
        assert q_sample(PAPER, on_meta, t, on_meta).device.type == "meta"
    with pytest.raises(ValueError, match=r"^t: expected t on meta, where x is, got cpu; use t.to\(x.device\)"):
        q_sample(PAPER, on_meta, torch.ones(2, dtype=torch.int64), on_meta)


def test_missing_scikit_learn_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match="part of scikit-learn: pip install"):
        load_digits()
