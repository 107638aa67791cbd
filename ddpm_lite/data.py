"""Images in, as the book needs them: float32 in [-1, 1], shape (N, C, H, W)."""

import os
from pathlib import Path

import numpy as np
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


def images_from_folder(folder: str | Path, size: int, *, file: str | Path | None = None, channels: int = 3) -> Path:
    """Make one array of a folder of pictures, for `train`: `np.load(images_from_folder("faces", 64), mmap_mode="r")`.

    Args:
        folder: the pictures, in folders inside it too: .png, .jpg, .jpeg, .webp, .bmp. Their order is that of their
            names. The middle square of each is taken, turned as the camera says, and scaled.
        size: height and width of the images in the array, >= 1.
        file: the .npy file to write; None puts it beside the folder, as in faces-64.npy.
        channels: 3 for colours, 1 for grey.

    Returns:
        The file: an array (N, channels, size, size) of uint8. It is written one picture at a time, so it may be larger
        than the memory, and `train` reads of it only what a batch needs.

    Raises:
        FileNotFoundError: no such folder. ValueError: no pictures in it, a damaged one, or another size, channels or
        ending. ImportError: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError("pictures are read by Pillow: pip install 'ddpm-lite[data]'") from error
    check_whole("size", size, 1)
    if channels not in (1, 3):
        fail(ValueError, "channels", "1 or 3", f"{channels!r}")
    folder = Path(folder)
    if not folder.is_dir():
        fail(FileNotFoundError, "folder", "an existing folder", f"{str(folder)!r}")
    file = folder.with_name(f"{folder.name}-{size}.npy") if file is None else Path(file)
    if file.suffix != ".npy":
        fail(ValueError, "file", "a name that ends in .npy", f"{file.name!r}")
    endings = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
    pictures = sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings)
    if not pictures:
        fail(ValueError, "folder", f"pictures ({', '.join(endings)})", f"none in {str(folder)!r}")
    beside, mode = file.with_name(f".{file.name}.{os.getpid()}"), "RGB" if channels == 3 else "L"
    try:
        shape = (len(pictures), channels, size, size)
        array = np.lib.format.open_memmap(beside, mode="w+", dtype=np.uint8, shape=shape)
        for row, path in zip(array, pictures, strict=True):
            try:
                with Image.open(path) as picture:
                    whole = ImageOps.exif_transpose(picture).convert(mode)
            except (OSError, SyntaxError, Image.DecompressionBombError) as error:
                got = f"a damaged one, {path.relative_to(folder).as_posix()!r}"
                raise ValueError(f"folder: expected pictures, got {got} ({error}); mend or remove it") from None
            side = min(whole.size)
            left, top = ((length - side) // 2 for length in whole.size)
            square = whole.crop((left, top, left + side, top + side))
            small = square.resize((size, size), Image.Resampling.LANCZOS)
            row[:] = np.asarray(small).reshape(size, size, channels).transpose(2, 0, 1)
        array.flush()
        del array, row  # Windows renames no file that is open
        os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)
    return file


def _sklearn_datasets():
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError("this data set comes with scikit-learn: pip install 'ddpm-lite[book]'") from error
    return datasets
