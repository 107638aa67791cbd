"""Published data sets: the first undamaged copy of them, or a download.

They are looked for in the folder that the caller names. Without one they are looked for in the folder of the variable
DDPM_LITE_DATA (or `ddpm-lite` in the user's cache), then among the system's packages, and finally downloaded from the
first server that works. Every file is checked against its SHA-256 before it is used, and no format here can run code.
"""

import gzip
import hashlib
import io
import json
import os
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from ddpm_lite._check import fail, to_path

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

CIFAR10 = "cifar-10-binary.tar.gz"
CIFAR10_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
CIFAR10_SERVERS = (
    "https://www.cs.toronto.edu/~kriz/",
    "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/",
)
CIFAR10_FILES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
CIFAR10_EACH = {"train": 5000, "test": 1000}  # images of each label
RECORD = 1 + 3 * 32 * 32  # a label, then red, green and blue, each row by row

# Pictures of a package of npm, and CLDR's names for them, of another: emoji-datasource's own names are those of the
# characters, in which a red heart is a "heavy black heart".
EMOJI = {
    "emoji-datasource-twitter-16.0.0.tgz": "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
    "unicode-emoji-json-0.9.0.tgz": "ae7efacb55533385bf8767d613dbd36c71226669759d95919a6e9059f5e4c401",
}
EMOJI_SERVER = "https://registry.npmjs.org/{}/-/"
EMOJI_SIDE = 64  # pixels


def read_fashion(part: str, folder: str | Path | None) -> tuple[UInt8[np.ndarray, "N 28 28"], Int64[np.ndarray, "N"]]:
    """Read the images and labels of Fashion-MNIST, "train" or "test"."""
    start = {"train": "train", "test": "t10k"}[part]
    images, labels = f"{start}-images-idx3-ubyte.gz", f"{start}-labels-idx1-ubyte.gz"
    pixels, numbers = (_parse_idx(_read_one(name, folder)) for name in (images, labels))
    return pixels, numbers.astype(np.int64)


def read_cifar10(part: str, folder: str | Path | None) -> tuple[UInt8[np.ndarray, "N 3 32 32"], Int64[np.ndarray, "N"]]:
    """Read the images and labels of CIFAR-10, "train" or "test"."""
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
    return rows[:, 1:].reshape(-1, 3, 32, 32).copy(), rows[:, 0].astype(np.int64)


def read_emoji(size: int, folder: str | Path | None) -> tuple[UInt8[np.ndarray, "N 3 size size"], list[str]]:
    """Read the pictures of all emoji but flags, scaled to size x size pixels on white, and their names."""
    pictures, names = (_find_archive(name, folder) for name in EMOJI)
    (listed,) = _read_some(names, "data-by-emoji.json").values()
    named = {emoji: about["name"] for emoji, about in json.loads(listed).items() if about["group"] != "Flags"}
    contents = _read_some(pictures, "emoji.json", "img/twitter/64/")
    files = {row["unified"]: f"img/twitter/64/{row['image']}" for row in json.loads(contents["emoji.json"])}
    codes = {"-".join(f"{ord(sign):04X}" for sign in emoji): name for emoji, name in named.items()}
    drawn = {code: name for code, name in codes.items() if code in files}  # the names are a version of Unicode ahead
    return np.stack([_shrink(contents[files[code]], size) for code in drawn]), [*drawn.values()]


def find_data_folder() -> Path:
    """Find the folder of downloaded data: $DDPM_LITE_DATA, or `ddpm-lite` in the user's cache."""
    if os.environ.get("DDPM_LITE_DATA"):
        return Path(os.environ["DDPM_LITE_DATA"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ddpm-lite"


def _read_one(name: str, folder: str | Path | None) -> bytes:
    """Read and unpack one of the four files of Fashion-MNIST."""
    published, content_hash = FASHION[name]

    def unpack(path: Path) -> bytes:
        content = gzip.decompress(path.read_bytes())
        if hashlib.sha256(content).hexdigest() != content_hash:
            raise ValueError("its SHA-256 differs; perhaps it is the file of MNIST, which has the same name")
        return content

    def list_places(folder: Path) -> list[Path]:
        return [folder / name] + ([FASHION_PACKAGE / name] if folder == find_data_folder() else [])

    return _read_first_whole(name, folder, list_places, unpack, FASHION_SERVERS, published)


def _find_archive(name: str, folder: str | Path | None) -> bytes:
    """Read one of the two archives of the emoji, whole."""

    def read(path: Path) -> bytes:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != EMOJI[name]:
            raise ValueError("its SHA-256 differs")
        return content

    server = EMOJI_SERVER.format(name.rpartition("-")[0])
    return _read_first_whole(name, folder, lambda home: [home / name], read, (server,), EMOJI[name])


def _read_some(archive: bytes, *starts: str) -> dict[str, bytes]:
    """Read the files of an npm package whose paths begin with one of these, without unpacking it to the disk."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        paths = ((member, member.name.removeprefix("package/")) for member in members)
        opened = {path: members.extractfile(member) for member, path in paths if path.startswith(starts)}
        return {path: file.read() for path, file in opened.items() if file is not None}


def _shrink(content: bytes, size: int) -> UInt8[np.ndarray, "3 size size"]:
    """Put a picture on white, and average each square of its pixels."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("the emoji are PNG files, which need Pillow: pip install 'ddpm-lite[data]'") from error
    with Image.open(io.BytesIO(content)) as picture:
        rgba = np.asarray(picture.convert("RGBA"), np.float64)
    flat = 255 - (255 - rgba[..., :3]) * rgba[..., 3:] / 255
    part = EMOJI_SIDE // size
    return np.rint(flat.reshape(size, part, size, part, 3).mean((1, 3))).astype(np.uint8).transpose(2, 0, 1)


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
    home, problems = to_path("folder", folder) if folder is not None else find_data_folder(), []
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
