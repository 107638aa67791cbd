"""The presets of the command line: data sets, each with a suitable network and recipe."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ddpm_lite.condition import ConditionalUNet, LabelEncoder
from ddpm_lite.data import CIFAR10_WORDS, FASHION_WORDS, load_cifar10, load_digits, load_fashion_mnist
from ddpm_lite.trainer import TrainConfig
from ddpm_lite.unet import UNet, UNetConfig

TOKENS = 4


@dataclass(frozen=True)
class Preset:
    """A data set, with a suitable network and recipe.

    Args:
        about: its description in --help.
        load: (folder) -> the training images and labels; test images are held out.
        words: the names of the labels 0, 1, ...
        unet: the network, which takes labels if it has a context_dim.
        config: the recipe.
        every: steps between two checkpoints.
    """

    about: str
    load: Callable[[str | Path | None], tuple[Tensor, Tensor]]
    words: tuple[str, ...]
    unet: UNetConfig
    config: TrainConfig
    every: int


PRESETS = {
    # The recipe of the chapter on conditioning, with the same seed.
    "digits": Preset(
        "Handwritten digits of 8x8 pixels, by label, which come with scikit-learn. Takes a minute or two on a laptop.",
        lambda folder: load_digits("train"),
        tuple("0123456789"),
        UNetConfig(sample_size=8, channels=(16, 32), blocks=1, context_dim=32),
        TrainConfig(steps=700, lr=4e-3, warmup=50),
        every=100,
    ),
    # No flips, because nearly all shoes point to the left. Not in bfloat16, which most laptops compute far more slowly;
    # `doctor` measures it.
    "fashion": Preset(
        "Fashion-MNIST, clothes of 28x28 pixels, by label. Takes minutes on a GPU and about an hour on a laptop.",
        lambda folder: load_fashion_mnist("train", folder=folder),
        FASHION_WORDS,
        UNetConfig(sample_size=28, channels=(32, 64, 64), blocks=1, attention_levels=(1, 2), context_dim=32),
        TrainConfig(steps=6000, batch_size=32, lr=2e-3, warmup=100, ema_decay=0.999),
        every=500,
    ),
    # Ho et al. (2020), appendix B, and their code: 35,746,307 parameters, no labels.
    "cifar10": Preset(
        "CIFAR-10, photographs of 32x32 pixels, with the paper's network and recipe. Takes about a day on a good GPU.",
        lambda folder: load_cifar10("train", folder=folder),
        CIFAR10_WORDS,
        UNetConfig(
            sample_size=32,
            in_channels=3,
            channels=(128, 256, 256, 256),
            blocks=2,
            attention_levels=(1,),
            groups=32,
            dropout=0.1,
        ),
        TrainConfig(
            steps=800_000,
            batch_size=128,
            lr=2e-4,
            warmup=5000,
            grad_clip=1.0,
            ema_decay=0.9999,
            label_dropout=0.0,
            flip=True,
        ),
        every=2000,
    ),
}

# The defaults of `train FOLDER`, for any pictures: no flips, and self-attention at the coarsest level only.
FOLDER_UNET = UNetConfig(
    sample_size=32, in_channels=3, channels=(32, 64, 64), blocks=1, attention_levels=(2,), context_dim=32
)
FOLDER_CONFIG = TrainConfig(steps=6000, batch_size=32, lr=2e-3, warmup=100, ema_decay=0.999)


def network(config: UNetConfig, labels: int, tokens: int = TOKENS) -> UNet | ConditionalUNet:
    """Build a new network: a U-Net, with a label encoder if it has a context_dim.

    Args:
        config: the architecture of the U-Net.
        labels: the number of labels.
        tokens: tokens for each label, see `LabelEncoder`.

    Raises:
        ValueError: an argument that LabelEncoder refuses.
    """
    unet = UNet(config)
    if config.context_dim is None:
        return unet
    return ConditionalUNet(unet, LabelEncoder(labels, config.context_dim, tokens))
