"""Data sets of images, (N, C, H, W), with their labels: float32 in [-1, 1] for the digits, uint8 for larger sets.

`train` takes both, and scales uint8 batch by batch. A larger set is read from the folder that you pass; without one,
`files.published` looks for it, and downloads it if needed. `images_from_folder` in `files.pictures` reads
folders of your own pictures.
"""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from ddpm_lite._check import Whole, check_choice, check_images, check_whole, describe, fail, to_whole_numbers
from ddpm_lite.files.pictures import Pictures as Pictures
from ddpm_lite.files.pictures import images_from_folder as images_from_folder
from ddpm_lite.files.pictures import open_pictures as open_pictures
from ddpm_lite.files.pixels import from_bytes
from ddpm_lite.files.published import read_cifar10, read_emoji, read_fashion

Images = Float[Tensor, "N *shape"] | UInt8[Tensor, "N *shape"] | np.ndarray | Dataset | Sequence

TEST_DIGITS = 500

FASHION_WORDS = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle-boot",
)

CIFAR10_WORDS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def load_digits(part: str = "all") -> tuple[Float32[Tensor, "N 1 8 8"], Int64[Tensor, "N"]]:
    """Load 1,797 handwritten digits of 8x8 pixels, and their labels 0..9.

    Args:
        part: "all", or "train" (1,297) or "test" (500), split once and for all by a shuffle with a fixed seed.

    Returns:
        Images, (N, 1, 8, 8) in [-1, 1] (17 grey levels, ink is +1), and labels, (N,).

    Raises:
        ValueError: another part. ImportError: scikit-learn, which includes the images, is not installed.

    Source: Alpaydin and Kaynak (1998), UCI "Optical Recognition of Handwritten Digits", test part; CC BY 4.0.
    """
    check_choice("part", part, "all", "train", "test")
    digits = _import_sklearn_datasets().load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 8 - 1  # 0..16 to -1..1
    labels = torch.from_numpy(digits.target).long()
    if part == "all":
        return images, labels
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    chosen = order[:TEST_DIGITS] if part == "test" else order[TEST_DIGITS:]
    return images[chosen], labels[chosen]


def load_photo(name: str = "china", size: int = 64) -> Float32[Tensor, "1 3 size size"]:
    """Load one real photograph, whose middle square is scaled to size x size pixels.

    Args:
        name: "china" (a temple in trees) or "flower".
        size: 1..427.

    Returns:
        (1, 3, size, size) in [-1, 1].

    Raises:
        ValueError: another name or size. ImportError: scikit-learn or Pillow is not installed.

    Source: scikit-learn's sample images; CC BY 2.0.
    """
    check_choice("name", name, "china", "flower")
    size = check_whole("size", size, 1, 427)
    photo = torch.from_numpy(_import_sklearn_datasets().load_sample_image(f"{name}.jpg").copy())
    photo = from_bytes(photo.permute(2, 0, 1)[None])  # (1, 3, 427, 640)
    left = (photo.shape[3] - photo.shape[2]) // 2
    square = photo[..., left : left + photo.shape[2]]
    small = torch.nn.functional.interpolate(square, (size, size), mode="bilinear", antialias=True)
    return small.clamp(-1, 1)


def load_fashion_mnist(
    part: str = "train", *, folder: str | Path | None = None
) -> tuple[UInt8[Tensor, "N 1 28 28"], Int64[Tensor, "N"]]:
    """Load 60,000 small grey pictures of clothes for training, or 10,000 for testing, and their labels 0..9.

    Args:
        part: "train" or "test".
        folder: the folder of the four files of Fashion-MNIST, *-ubyte.gz; None looks in the places that the head of
            `files.published` lists, and downloads them (31 MB) if they are in none.

    Returns:
        Images, (N, 1, 28, 28) of uint8 with a black background, 0, and labels, (N,): FASHION_WORDS[label].

    Raises:
        ValueError: another part, or a damaged file in the folder. FileNotFoundError: no such file in the folder.
        OSError: the download failed from every server. ImportError: pooch, which downloads, is not installed.

    Source: Xiao, Rasul, Vollgraf (2017), arXiv:1708.07747; MIT licence.
    """
    check_choice("part", part, "train", "test")
    pixels, labels = read_fashion(part, folder)
    return torch.from_numpy(pixels)[:, None], torch.from_numpy(labels)


def load_cifar10(
    part: str = "train", *, folder: str | Path | None = None
) -> tuple[UInt8[Tensor, "N 3 32 32"], Int64[Tensor, "N"]]:
    """Load 50,000 small colour photographs for training, or 10,000 for testing, and their labels 0..9.

    Args:
        part: "train" or "test".
        folder: the folder of CIFAR-10's binary version, cifar-10-binary.tar.gz or the .bin files in it; None looks in
            the places that the head of `files.published` lists, and downloads it (170 MB) if it is in none. For single
            .bin files no SHA-256 is published, so their size and the number of images of each label are checked.

    Returns:
        Images, (N, 3, 32, 32) of uint8, and labels, (N,): CIFAR10_WORDS[label].

    Raises:
        ValueError: another part, or a damaged file in the folder. FileNotFoundError: no such file in the folder.
        OSError: the download failed from every server. ImportError: pooch, which downloads, is not installed.

    Source: Krizhevsky (2009), "Learning multiple layers of features from tiny images".
    """
    check_choice("part", part, "train", "test")
    pixels, labels = read_cifar10(part, folder)
    return torch.from_numpy(pixels), torch.from_numpy(labels)


def load_emoji(
    size: int = 16, *, folder: str | Path | None = None
) -> tuple[UInt8[Tensor, "N 3 size size"], tuple[str, ...]]:
    """Load 1,636 emoji in colour, on white, and their English names, such as "red heart".

    Flags are left out, because their names say nothing about their looks, and so are the variants of skin colour.

    Args:
        size: 8, 16, 32 or 64: the files have 64x64 pixels, of which squares are averaged.
        folder: the folder of the npm packages emoji-datasource-twitter 16.0.0 (the pictures) and unicode-emoji-json
            0.9.0 (the names), two .tgz files; None looks in the places that the head of `files.published` lists, and
            downloads them (62 MB) if they are in none.

    Returns:
        Images, (N, 3, size, size) of uint8, and a name for each.

    Raises:
        ValueError: another size, or a damaged file in the folder. FileNotFoundError: no such file in the folder.
        OSError: the download failed. ImportError: pooch, which downloads, or Pillow is not installed.

    Source: the pictures are Twemoji 16.0.1, copyright Twitter, Inc. and other contributors, licensed under CC BY 4.0;
    the names are those of Unicode's CLDR, from a package with the MIT licence.
    """
    size = check_whole("size", size, 8, 64)
    if 64 % size:
        fail(ValueError, "size", "8, 16, 32 or 64", f"{size}")
    pixels, names = read_emoji(size, folder)
    return torch.from_numpy(pixels), tuple(names)


def _import_sklearn_datasets():
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError("this data set is part of scikit-learn: pip install 'ddpm-lite[data]'") from error
    return datasets


@runtime_checkable
class Items(Protocol):
    """A Dataset with a length and an item for each index from 0, so not a stream."""

    def __len__(self) -> int: ...
    def __getitem__(self, i: int, /) -> object: ...


class TrainingImages:
    """Training images in any container, from which one batch at a time is read.

    Args:
        images: (N, C, H, W), floats in [-1, 1] or uint8 in 0..255; or finite floats of another number of axes, such as
            points (N, d), in any range. A tensor; a NumPy array, which may be a memory map (`np.load(file,
            mmap_mode="r")`); a list of images; a torch Dataset whose items are images, or tuples that begin with one.
            Of a TensorDataset, the first tensor is used. Of a Dataset, 16 items are checked here, the first among them.
            A warning tells that float images seem to be scaled to [0, 1].

    Attributes:
        values: a tensor, an array, or a Dataset. shape and dtype: those of one stored image.

    Raises:
        ValueError, TypeError: other images; also a DataLoader or an IterableDataset, because the trainer chooses the
            batches.
    """

    def __init__(self, images: Images):
        if isinstance(images, DataLoader):
            advice = "pass images=loader.dataset; batches are drawn from (seed, epoch), so that a run can be resumed"
            fail(TypeError, "images", "all of the images", "a DataLoader", advice)
        images = images.tensors[0] if isinstance(images, TensorDataset) else images
        images = _stack_images(images) if isinstance(images, list | tuple) else images
        in_memory = images if isinstance(images, np.ndarray) and not isinstance(images, np.memmap) else None
        if in_memory is not None and in_memory.dtype.kind == "f" and in_memory.dtype.itemsize <= 8:
            images = torch.from_numpy(np.require(in_memory, in_memory.dtype.newbyteorder("="), ["C", "W"]))
        if not isinstance(images, Items) or isinstance(images, str | dict | IterableDataset):
            advice = "write a stream to an array first, such as np.lib.format.open_memmap(...)"
            fail(TypeError, "images", "a tensor, an array, a list or a Dataset with a length", describe(images), advice)
        if isinstance(images, np.ndarray) and images.dtype.kind not in "biufc":
            fail(TypeError, "images", "floating-point numbers or bytes (uint8)", describe(images))
        if isinstance(images, Tensor) and (images.is_meta or images.layout != torch.strided):
            got = f"{describe(images)}, {images.layout} on {images.device}"
            fail(ValueError, "images", "a dense tensor that holds numbers", got)
        array = images if isinstance(images, Tensor | np.ndarray) else None
        if array is not None and array.ndim == 0 or len(images) == 0:
            fail(ValueError, "images", "a non-empty tensor, array, list or Dataset", describe(images))
        self.values: Tensor | np.ndarray | Items = images
        if isinstance(images, Tensor):
            self.values = array = images.detach()
        first = self._read_item(0) if array is None else array[0]
        self.N, self.shape, self.dtype = len(images), tuple(first.shape), str(first.dtype).removeprefix("torch.")
        floats, low, high = isinstance(array, np.ndarray) and array.dtype.kind == "f", 1.0, -1.0
        for block in [self.read_some(16)] if array is None else cut_into_blocks(array) if floats else [array]:
            if self.dtype != "uint8":
                lowest, highest = check_images("images", _copy_to_tensor(block))
                low, high = min(low, lowest), max(high, highest)
            elif len(self.shape) != 3 or 0 in self.shape:
                advice = "give grey images their channel: np.stack(images)[:, None]" if len(self.shape) == 2 else ""
                fail(ValueError, "images", "non-empty uint8 images of shape (N, C, H, W)", describe(block), advice)
        if 0 <= low < 0.5 < high:
            line = f"images: all values are in [{low:.2g}, {high:.2g}], so samples will be pale"
            warnings.warn(f"{line}; if they were scaled to [0, 1], use 2 * x - 1", stacklevel=3)

    def _read_item(self, i: int) -> Tensor:
        """Read one image of a Dataset."""
        item = self.values[i]
        item = item[0] if isinstance(item, tuple | list) and len(item) else item
        if not isinstance(item, Tensor | np.ndarray):
            got = f"{type(item).__name__} in item {i}"
            fail(TypeError, "images", "a Dataset of tensors or arrays", got, "convert them in its transform")
        return _copy_to_tensor(item)

    def read(self, rows: Sequence[int] | np.ndarray) -> Tensor | np.ndarray:
        """Read these images as they are stored."""
        if isinstance(self.values, Tensor | np.ndarray):
            return self.values[rows]
        items = [self._read_item(int(row)) for row in rows]
        for row, item in zip(rows, items, strict=True):
            if (item.shape, item.dtype) != (items[0].shape, items[0].dtype):
                fail(ValueError, "images", f"items all like {describe(items[0])}", f"{describe(item)} in item {row}")
        return torch.stack(items)

    def take(self, index: Int64[Tensor, "B"], device: torch.device, dtype: torch.dtype) -> Float[Tensor, "B *shape"]:
        """Read these images as floats on the device; bytes are scaled to [-1, 1]."""
        if isinstance(self.values, Tensor):
            self.values = self.values.to(device)
            x = self.values[index.to(device)]
        else:
            rows, back = np.unique(index.numpy(), return_inverse=True)  # a file is read from front to back
            x = _copy_to_tensor(self.read(rows))[torch.from_numpy(back)]
            x = (x.pin_memory() if device.type == "cuda" else x).to(device, non_blocking=True)
        return (from_bytes(x) if x.dtype == torch.uint8 else x).to(dtype)

    def read_some(self, count: int) -> Tensor | np.ndarray:
        """Read at most `count` images, evenly spaced."""
        return self.read(np.unique(np.linspace(0, len(self.values) - 1, count).astype(int)))


def cut_into_blocks(array: Tensor | np.ndarray) -> Iterator[Tensor | np.ndarray]:
    """Yield all images of an array in blocks of a few megabytes."""
    rows = max(1, 2**22 // max(1, array[0].nbytes))
    for start in range(0, len(array), rows):
        yield array[start : start + rows]


def check_labels(labels: object, N: int, none: Whole | None, p: float) -> Int64[Tensor, "N"]:
    """Check the labels of N images, reading their values once, and return them as an int64 tensor."""
    labels = to_whole_numbers("labels", labels, "cpu")
    if labels.shape != (N,):
        fail(ValueError, "labels", f"shape ({N},), one label per image", describe(labels))
    if none is None and p > 0:
        advice = "pass none=model.none, or set label_dropout=0"
        fail(ValueError, "none", 'the number that means "no label"', "None", advice)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or (none is not None and high > check_whole("none", none, 1)):
        span = "labels >= 0" if none is None else f"labels in 0..{none - 1}"
        fail(ValueError, "labels", span, f"values in {low}..{high}")
    if low == 1 and high == none:
        line = f'labels: they are 1..{none}, but {none} means "no label" and 0 does not occur'
        warnings.warn(f"{line}; if they count from 1, use labels - 1", stacklevel=3)
    return labels


def _copy_to_tensor(x: Tensor | np.ndarray) -> Tensor:
    """Convert an array to a tensor by a copy, because it may be a read-only memory map or have another byte order."""
    try:
        return x if isinstance(x, Tensor) else torch.from_numpy(np.array(x, x.dtype.newbyteorder("=")))
    except TypeError:
        fail(TypeError, "images", "floating-point numbers or bytes (uint8)", describe(x))


def _stack_images(images: Sequence) -> Tensor | np.ndarray:
    """Stack a list of images to one tensor or array."""
    try:
        return torch.stack(list(images)) if isinstance(images[0], Tensor) else np.stack(list(map(np.asarray, images)))
    except (ValueError, TypeError, RuntimeError, IndexError) as error:
        got = f"a list of {len(images)} that cannot be stacked ({' '.join(str(error).split())})"
        fail(ValueError, "images", "a list of images of one shape", got)
