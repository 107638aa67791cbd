"""Data sets of images, (N, C, H, W), with their labels: float32 in [-1, 1] for the digits, uint8 for larger sets.

`train` takes both, and scales uint8 batch by batch. A larger set is looked for in the folder that you pass. Without one
it is looked for in the folder of the variable DDPM_LITE_DATA (or `ddpm-lite` in the user's cache), then among the
system's packages, and finally downloaded from one of two servers. Every file is checked against its SHA-256 before it
is used, and no format here can run code. `images_from_folder` in `files.pictures` reads folders of your own pictures.
"""

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from ddpm_lite._check import Whole, check_choice, check_images, check_whole, describe, fail, to_path, to_whole_numbers
from ddpm_lite.files.pictures import Pictures as Pictures
from ddpm_lite.files.pictures import images_from_folder as images_from_folder
from ddpm_lite.files.pictures import open_pictures as open_pictures
from ddpm_lite.files.pixels import from_bytes

Images = Float[Tensor, "N *shape"] | UInt8[Tensor, "N *shape"] | np.ndarray | Dataset | Sequence

TEST_DIGITS = 500

# SHA-256 of each file as published, for downloads, and of its unpacked content, because Debian compresses it again.
FASHION = {
    "train-images-idx3-ubyte.gz": (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    "train-labels-idx1-ubyte.gz": (
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    "t10k-images-idx3-ubyte.gz": (
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}
FASHION_SERVERS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
FASHION_PACKAGE = Path("/usr/share/datasets/fashion-mnist")  # apt-get install dataset-fashion-mnist
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

CIFAR10 = "cifar-10-binary.tar.gz"
CIFAR10_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
CIFAR10_SERVERS = (
    "https://www.cs.toronto.edu/~kriz/",
    "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/",
)
CIFAR10_WORDS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_FILES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
CIFAR10_EACH = {"train": 5000, "test": 1000}  # images of each label
RECORD = 1 + 3 * 32 * 32  # a label, then red, green and blue, each row by row


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
            this module lists, and downloads them (31 MB) if they are in none.

    Returns:
        Images, (N, 1, 28, 28) of uint8 with a black background, 0, and labels, (N,): FASHION_WORDS[label].

    Raises:
        ValueError: another part, or a damaged file in the folder. FileNotFoundError: no such file in the folder.
        OSError: the download failed from every server. ImportError: pooch, which downloads, is not installed.

    Source: Xiao, Rasul, Vollgraf (2017), arXiv:1708.07747; MIT licence.
    """
    check_choice("part", part, "train", "test")
    start = {"train": "train", "test": "t10k"}[part]
    images, labels = f"{start}-images-idx3-ubyte.gz", f"{start}-labels-idx1-ubyte.gz"
    pixels, numbers = (_parse_idx(_read_fashion(name, folder)) for name in (images, labels))
    return torch.from_numpy(pixels)[:, None], torch.from_numpy(numbers.astype(np.int64))


def load_cifar10(
    part: str = "train", *, folder: str | Path | None = None
) -> tuple[UInt8[Tensor, "N 3 32 32"], Int64[Tensor, "N"]]:
    """Load 50,000 small colour photographs for training, or 10,000 for testing, and their labels 0..9.

    Args:
        part: "train" or "test".
        folder: the folder of CIFAR-10's binary version, cifar-10-binary.tar.gz or the .bin files in it; None looks in
            the places that the head of this module lists, and downloads it (170 MB) if it is in none. For single .bin
            files no SHA-256 is published, so their size and the number of images of each label are checked.

    Returns:
        Images, (N, 3, 32, 32) of uint8, and labels, (N,): CIFAR10_WORDS[label].

    Raises:
        As `load_fashion_mnist`.

    Source: Krizhevsky (2009), "Learning multiple layers of features from tiny images".
    """
    check_choice("part", part, "train", "test")
    names = CIFAR10_FILES[part]

    def read_rows(path: Path) -> np.ndarray:
        contents = [(path / name).read_bytes() for name in names] if path.is_dir() else _read_members(path, names)
        size = 10 * CIFAR10_EACH[part] * RECORD // len(names)
        for name, content in zip(names, contents, strict=True):
            if len(content) != size:
                raise ValueError(f"{name} has {len(content):,} bytes, not {size:,}")
        rows = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, RECORD)
        if np.bincount(rows[:, 0], minlength=10).tolist() != 10 * [CIFAR10_EACH[part]]:
            raise ValueError(f"its labels are not 0..9, {CIFAR10_EACH[part]:,} times each")
        return rows

    def list_places(folder: Path) -> list[Path]:
        unpacked = [place for place in (folder, folder / "cifar-10-batches-bin") if (place / names[0]).is_file()]
        return [folder / CIFAR10, *unpacked]

    rows = _read_first_whole(CIFAR10, folder, list_places, read_rows, CIFAR10_SERVERS, CIFAR10_SHA256)
    labels, pixels = rows[:, 0].astype(np.int64), rows[:, 1:].reshape(-1, 3, 32, 32)
    return torch.from_numpy(pixels.copy()), torch.from_numpy(labels)


def data_folder() -> Path:
    """Find the folder of downloaded data: $DDPM_LITE_DATA, or `ddpm-lite` in the user's cache."""
    if os.environ.get("DDPM_LITE_DATA"):
        return Path(os.environ["DDPM_LITE_DATA"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ddpm-lite"


def _read_fashion(name: str, folder: str | Path | None) -> bytes:
    """Read and unpack one of the four files."""
    published, content_hash = FASHION[name]

    def unpack(path: Path) -> bytes:
        content = gzip.decompress(path.read_bytes())
        if hashlib.sha256(content).hexdigest() != content_hash:
            raise ValueError("its SHA-256 differs; perhaps it is the file of MNIST, which has the same name")
        return content

    def list_places(folder: Path) -> list[Path]:
        return [folder / name] + ([FASHION_PACKAGE / name] if folder == data_folder() else [])

    return _read_first_whole(name, folder, list_places, unpack, FASHION_SERVERS, published)


def _parse_idx(content: bytes) -> np.ndarray:
    """Parse LeCun's idx format: the bytes 0, 0, 8 (for uint8), the number of dimensions, each dimension, the values."""
    if content[:3] != b"\0\0\x08":
        fail(ValueError, "an idx file", "the bytes 0, 0, 8 at its start", f"{list(content[:3])}")
    ends = 4 + 4 * content[3]
    shape = tuple(np.frombuffer(content[4:ends], ">u4").tolist())
    if len(content) != ends + np.prod(shape, dtype=int):
        fail(ValueError, "an idx file", f"{np.prod(shape, dtype=int)} values", f"{len(content) - ends}")
    return np.frombuffer(bytearray(content), np.uint8, offset=ends).reshape(shape)


def _read_members(path: Path, names: list[str]) -> list[bytes]:
    """Read files of the archive in memory, without unpacking it to the disk."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != CIFAR10_SHA256:
        raise ValueError("its SHA-256 differs")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        opened = (archive.extractfile(f"cifar-10-batches-bin/{name}") for name in names)
        return [file.read() for file in opened if file is not None]  # None would be a folder; there are none


def _read_first_whole(
    name: str,
    folder: str | Path | None,
    list_places: Callable[[Path], list[Path]],
    read: Callable,
    servers: tuple[str, ...],
    sha256: str,
):
    """Return what `read` makes of the first undamaged file of `list_places(folder)`, or else of a download.

    If the caller named the folder, nothing else is tried. Otherwise a damaged file is skipped, and replaced only by a
    whole one.
    """
    home, problems = to_path("folder", folder) if folder is not None else data_folder(), []
    for path in list_places(home):
        if path.exists():
            try:
                return read(path)
            except (OSError, EOFError, ValueError, KeyError, zlib.error, tarfile.TarError) as error:
                problems.append(f"{path} is damaged ({error})")
    if folder is not None and problems:
        fail(ValueError, "folder", f"a whole {name}", problems[0], "download it again")
    if folder is not None:
        fail(FileNotFoundError, "folder", f"a folder with {name}", f"{str(home)!r} without it")
    return read(_download(name, home, servers, sha256, problems))


def _download(name: str, home: Path, servers: tuple[str, ...], sha256: str, problems: list[str]) -> Path:
    """Download a file from the first server that works; it gets its name only if its SHA-256 is right."""
    try:
        import pooch
    except ImportError as error:
        line = f'{name} is not in {str(home)!r}, and downloads need pooch: pip install "ddpm-lite[data]"'
        raise ImportError(line) from error
    for server in servers:
        try:
            fetch = pooch.HTTPDownloader(timeout=30)
            return Path(pooch.retrieve(server + name, f"sha256:{sha256}", name, home, downloader=fetch))
        except (OSError, ValueError) as error:
            problems.append(f"{server}: {_explain_download(error)}")
    advice = f"or put the file into {str(home)!r} yourself"
    fail(OSError, name, "to find or download it", "; ".join(problems), f"try again, {advice}")


def _explain_download(error: OSError | ValueError) -> str:
    """Say in a few words why a download failed."""
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code}"
    if isinstance(error, exceptions.ChunkedEncodingError):
        return "incomplete"
    if isinstance(error, exceptions.RequestException):
        return "no connection"
    if isinstance(error, ValueError):
        return "other content, because its SHA-256 differs"
    return error.strerror or str(error)


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
        first = self._read_item(0) if array is None else array[0]
        self.N, self.shape, self.dtype = len(images), tuple(first.shape), str(first.dtype).removeprefix("torch.")
        floats = isinstance(array, np.ndarray) and array.dtype.kind == "f"
        for block in [self.read_some(16)] if array is None else cut_into_blocks(array) if floats else [array]:
            if self.dtype != "uint8":
                check_images("images", _copy_to_tensor(block))
            elif len(self.shape) != 3 or 0 in self.shape:
                fail(ValueError, "images", "non-empty uint8 images of shape (N, C, H, W)", describe(block))

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
