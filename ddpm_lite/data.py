"""Images in, as the book needs them: float32 in [-1, 1], shape (N, C, H, W)."""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from ddpm_lite._check import check_whole, fail

TEST_DIGITS = 500


def load_digits(part: str = "all") -> tuple[Float32[Tensor, "N 1 8 8"], Int64[Tensor, "N"]]:
    """1,797 handwritten digits of 8x8 pixels, and their labels 0..9.

    Args:
        part: "all", or "train" (1,297) or "test" (500), split once and for all by a shuffle with a fixed seed.

    Returns:
        Images, (N, 1, 8, 8) in [-1, 1] (17 grey levels, ink is +1), and labels, (N,).

    Raises:
        ValueError: another part. ImportError: scikit-learn, which carries the images, is not installed.

    Source: Alpaydin and Kaynak (1998), UCI "Optical Recognition of Handwritten Digits", test part; CC BY 4.0.
    """
    if part not in ("all", "train", "test"):
        fail(ValueError, "part", '"all", "train" or "test"', f"{part!r}")
    digits = _sklearn_datasets().load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 8 - 1  # 0..16 to -1..1
    labels = torch.from_numpy(digits.target).long()
    if part == "all":
        return images, labels
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    chosen = order[:TEST_DIGITS] if part == "test" else order[TEST_DIGITS:]
    return images[chosen], labels[chosen]


def load_photo(name: str = "china", size: int = 64) -> Float32[Tensor, "1 3 size size"]:
    """One real photograph, its middle square scaled to size x size pixels.

    Args:
        name: "china" (a temple in trees) or "flower".
        size: 1..427.

    Returns:
        (1, 3, size, size) in [-1, 1].

    Raises:
        ValueError: another name or size. ImportError: scikit-learn or Pillow is not installed.

    Source: scikit-learn's sample images; CC BY 2.0.
    """
    if name not in ("china", "flower"):
        fail(ValueError, "name", '"china" or "flower"', f"{name!r}")
    check_whole("size", size, 1, 427)
    photo = torch.from_numpy(_sklearn_datasets().load_sample_image(f"{name}.jpg").copy())
    photo = photo.permute(2, 0, 1)[None].float() / 127.5 - 1  # (1, 3, 427, 640)
    left = (photo.shape[3] - photo.shape[2]) // 2
    square = photo[..., left : left + photo.shape[2]]
    small = torch.nn.functional.interpolate(square, (size, size), mode="bilinear", antialias=True)
    return small.clamp(-1, 1)


def _sklearn_datasets():
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError("this data set comes with scikit-learn: pip install 'ddpm-lite[book]'") from error
    return datasets
