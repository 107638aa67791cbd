"""What the command line trains: a data set, with a network and a recipe that suit it."""

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
    """A data set, with the network and the recipe that suit it.

    Args:
        about: what it is, for those who choose.
        load: (folder) -> the images and labels to train with; those to test with are held out.
        words: what the labels 0, 1, ... are called.
        unet: the network; one with a context_dim is told labels.
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
    # The recipe of the chapter on conditioning, seed and all.
    "digits": Preset(
        "Handwritten digits of 8x8 pixels, by label. A minute or two on a laptop; the images come with scikit-learn.",
        lambda folder: load_digits("train"),
        tuple("0123456789"),
        UNetConfig(sample_size=8, channels=(16, 32), blocks=1, context_dim=32),
        TrainConfig(steps=700, lr=4e-3, warmup=50),
        every=100,
    ),
    # No flips: nearly all shoes point to the left, and a mirrored one would be no picture of this set. Not in bfloat16,
    # as most laptops compute that ten times as slowly; `doctor` says where it is faster.
    "fashion": Preset(
        "Fashion-MNIST, clothes of 28x28 pixels, by label. Minutes on a GPU, an hour or so on a laptop.",
        lambda folder: load_fashion_mnist("train", folder=folder),
        FASHION_WORDS,
        UNetConfig(sample_size=28, channels=(32, 64, 64), blocks=1, attention_levels=(1, 2), context_dim=32),
        TrainConfig(steps=6000, batch_size=32, lr=2e-3, warmup=100, ema_decay=0.999),
        every=500,
    ),
    # Ho et al. (2020), appendix B, and their code: 35,746,307 parameters, no labels.
    "cifar10": Preset(
        "CIFAR-10, photographs of 32x32 pixels: the paper's network and recipe. Needs a good GPU, for about a day.",
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

# What `train FOLDER` begins with. Pictures of anything: no flips, and attention on the smallest maps alone.
FOLDER_UNET = UNetConfig(
    sample_size=32, in_channels=3, channels=(32, 64, 64), blocks=1, attention_levels=(2,), context_dim=32
)
FOLDER_CONFIG = TrainConfig(steps=6000, batch_size=32, lr=2e-3, warmup=100, ema_decay=0.999)


def network(config: UNetConfig, labels: int, tokens: int = TOKENS) -> UNet | ConditionalUNet:
    """A new network: a U-Net, and if it has a context_dim, the encoder that tells it labels.

    Args:
        config: of the U-Net.
        labels: how many there are.
        tokens: of a label, see `LabelEncoder`.

    Raises:
        ValueError: what LabelEncoder refuses.
    """
    unet = UNet(config)
    if config.context_dim is None:
        return unet
    return ConditionalUNet(unet, LabelEncoder(labels, config.context_dim, tokens))
