"""Folders of pictures, of any kind and size, converted to one array: (N, channels, height, width) of bytes.

A picture by itself is read by `files.picture`.
"""

import json
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from ddpm_lite._check import Whole, check_bool, check_call, check_whole, describe, fail, to_number, to_path
from ddpm_lite.files.picture import read_colour, read_picture, scale_picture
from ddpm_lite.files.weights import open_whole, write_whole

# Endings of picture files. If a file with one of them cannot be read, it is damaged; other files are skipped.
ENDINGS: tuple[str, ...] = (
    ".png",
    ".jpg",
    ".jpeg",
    ".jfif",
    ".webp",
    ".avif",
    ".gif",
    ".bmp",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".pbm",
)
ENDINGS += (".pnm", ".tga", ".jp2", ".ico")
LARGEST_SIDE = 2**15  # pixels


class Pictures(NamedTuple):
    """The result of `images_from_folder`.

    images: the array in the file, (N, channels, height, width) of uint8, whose rows are read when they are accessed.
    labels: (N,) in 0..len(words) - 1, or None, see `images_from_folder`. words: the names of the labels.
    names: the file of each row, relative to the folder. skipped: the other files there, and why they were left out.
    """

    images: UInt8[np.ndarray, "N C H W"]
    labels: Int64[Tensor, "N"] | None
    words: tuple[str, ...]
    names: tuple[str, ...]
    skipped: dict[str, str]


def images_from_folder(
    folder: str | Path,
    size: int | Sequence[int],
    *,
    file: str | Path | None = None,
    channels: int = 3,
    crop: bool = False,
    background: str | tuple[int, int, int] = "white",
    skip_broken: bool = False,
    watch: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> Path:
    """Convert a folder of pictures to one array in a file, picture by picture, so it may be larger than the memory.

    A list of the pictures that were used and left out is written beside the array; `open_pictures` opens both.

    Args:
        folder: the pictures, including those in subfolders, in the order of their names. If every picture is in a
            subfolder and there are at least two subfolders, their names are the labels.
        size: the size of the images in the array, >= 1: one number for squares, or (height, width).
        file: the .npy file to write; None puts it beside the folder under a name such as faces-64x64-rgb.npy.
        channels: 3 for colours, 1 for grey.
        crop: take the largest middle part of each picture that has the aspect ratio of `size`. Without it the whole
            picture is scaled, which distorts other aspect ratios; a warning says how many there were.
        background: the colour of transparent pixels: a name, "#808080", or (128, 128, 128).
        skip_broken: leave out pictures that cannot be read. Without it, the error names them all.
        watch: wraps the sequence of paths; `watch=tqdm.tqdm` shows a progress bar.

    Returns:
        The path of the file: an array (N, channels, height, width) of uint8. 16-bit values are scaled to 8 bits, the
        camera's orientation is applied, and of animated pictures the first frame is taken.

    Raises:
        FileNotFoundError: no such folder, or no folder for the file. ValueError: no pictures in the folder, broken ones
        (including those with 32 bits a channel), or another size, channels, background or ending. ImportError: Pillow
        is not installed.
    """
    height, width = _split_size(size)
    channels, crop, skip_broken = _check_options(channels, crop, skip_broken, watch)
    folder = Path(os.path.abspath(to_path("folder", "." if isinstance(folder, str) and not folder else folder)))
    colour = read_colour("background", background)
    file = _name_array(folder, height, width, channels, crop, colour) if file is None else to_path("file", file)
    if file.suffix != ".npy":
        fail(ValueError, "file", "a name that ends in .npy", f"{file.name!r}")
    if not file.parent.is_dir():
        fail(FileNotFoundError, "file", "a name in an existing folder", f"{str(file)!r}")
    paths, skipped = _find_pictures(folder, {Path(os.path.abspath(own)) for own in (file, _name_list(file))})

    def read(path: Path) -> tuple[np.ndarray, bool]:
        return scale_picture(read_picture(path, colour), height, width, channels, crop=crop)

    shape = (channels, height, width)
    names, broken, squeezed = _write_array(file, shape, folder, watch(paths), read, skip_broken=skip_broken)
    labels, words = _label_pictures(names)
    listed = {"names": names, "labels": labels, "words": words, "skipped": skipped | broken, "squeezed": squeezed}
    write_whole(_name_list(file), (json.dumps(listed, indent=1) + "\n").encode())
    for line in _list_surprises(names, skipped | broken, squeezed, (height, width)):
        warnings.warn(f"folder: {line}", stacklevel=2)
    return file


def open_pictures(file: str | Path) -> Pictures:
    """Open what `images_from_folder` wrote: the array, which stays on the disk, and the list beside it.

    Raises:
        FileNotFoundError: one of them does not exist. ValueError: they do not belong together.
    """
    file = to_path("file", file)
    for path in (file, _name_list(file)):
        if not path.is_file():
            fail(FileNotFoundError, "file", "an array of images_from_folder, and its list", f"no {str(path)!r}")
    images, listed = np.load(file, mmap_mode="r"), json.loads(_name_list(file).read_text(encoding="utf8"))
    if len(images) != len(listed["names"]):
        got = f"{len(images)} images and a list of {len(listed['names'])}"
        fail(ValueError, "file", "an array and its list", got, "call images_from_folder again")
    labels = None if listed["labels"] is None else torch.tensor(listed["labels"])
    return Pictures(images, labels, tuple(listed["words"]), tuple(listed["names"]), listed["skipped"])


def _check_options(channels: object, crop: object, skip_broken: object, watch: object) -> tuple[int, bool, bool]:
    """Check options of `images_from_folder`, and return the first three."""
    number = to_number(channels)
    if isinstance(number, bool) or not isinstance(number, Whole) or number not in (1, 3):
        fail(ValueError, "channels", "1 or 3", describe(channels))
    check_call("watch", watch, "(paths) -> paths")
    return int(number), check_bool("crop", crop), check_bool("skip_broken", skip_broken)


def _split_size(size: int | Sequence[int]) -> tuple[int, int]:
    """Split a size into height and width."""
    try:
        height, width = (size, size) if not isinstance(size, Sequence) else size
    except ValueError:
        fail(ValueError, "size", "a whole number, or (height, width)", f"{size!r}")
    return check_whole("size", height, 1, LARGEST_SIDE), check_whole("size", width, 1, LARGEST_SIDE)


def _name_array(folder: Path, height: int, width: int, channels: int, crop: bool, colour: tuple) -> Path:
    """Name the array beside a folder after all the options that it depends on."""
    parts = [folder.name, f"{height}x{width}", "rgb" if channels == 3 else "grey"]
    parts += ["crop"] * crop + ["on-" + bytes(colour).hex()] * (colour != (255, 255, 255))
    return folder.parent / ("-".join(filter(None, parts)) + ".npy")


def _name_list(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")


def _write_header(array: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write the header of a .npy file, which has room for a later change of the number of rows."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(array, header)


def _find_pictures(folder: Path, own: set[Path]) -> tuple[list[Path], dict[str, str]]:
    """Find the files to read, in order, and the visible files that are no pictures."""
    if not folder.is_dir():
        fail(FileNotFoundError, "folder", "an existing folder", f"{str(folder)!r}")
    pictures, skipped = [], {}
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).parts):
        parts = path.relative_to(folder).parts
        if path.is_dir() or path in own or any(part.startswith(".") for part in parts):
            continue
        if path.suffix.lower() in ENDINGS:
            pictures.append(path)
        else:
            skipped["/".join(parts)] = "its ending is not that of a picture"
    if not pictures:
        fail(ValueError, "folder", f"pictures ({', '.join(ENDINGS)})", f"none in {str(folder)!r}")
    return pictures, skipped


def _write_array(
    file: Path, shape: tuple[int, ...], folder: Path, paths: Iterable[Path], read: Callable, *, skip_broken: bool
) -> tuple[list[str], dict[str, str], int]:
    """Write the array, picture by picture.

    Returns:
        The names of the pictures in the array, those that are broken with the reasons, and how many were distorted.

    Raises:
        ValueError: pictures are broken and `skip_broken` is not set, or all are.
    """
    names, broken, squeezed = [], {}, 0
    with open_whole(file) as array:
        _write_header(array, (0, *shape))
        for path in paths:
            name = path.relative_to(folder).as_posix()
            try:
                row, changed = read(path)
            except ValueError as error:
                broken[name] = str(error)
                continue
            array.write(row.tobytes())
            names.append(name)
            squeezed += changed
        if broken and (not skip_broken or not names):
            reasons = _join_some([f"{name!r} ({reason})" for name, reason in broken.items()])
            advice = "repair or remove them"
            advice += "" if skip_broken else ", or leave them out with skip_broken=True (--skip-broken)"
            fail(ValueError, "folder", "pictures that can be read", f"{len(broken)} broken: {reasons}", advice)
        array.seek(0)
        _write_header(array, (len(names), *shape))
    return names, broken, squeezed


def _list_surprises(names: list[str], left_out: dict[str, str], squeezed: int, size: tuple[int, int]) -> list[str]:
    """List what a user may not expect of the array, a line each."""
    lines, subfolders = [], {name.partition("/")[0] for name in names if "/" in name}
    loose = sum("/" not in name for name in names)
    if loose and len(subfolders) > 1:
        line = f"{loose} of {len(names)} pictures are outside of the subfolders, so there are no labels"
        lines.append(f"{line}; move them into a subfolder")
    if left_out:
        lines.append(f"{len(left_out)} left out: {_join_some([*left_out])}")
    if squeezed:
        line = f"{squeezed} of {len(names)} pictures have another aspect ratio than {size[0]}x{size[1]}"
        lines.append(f"{line} and were distorted; crop=True (--crop) crops them instead")
    return lines


def _label_pictures(names: list[str]) -> tuple[list[int] | None, list[str]]:
    """Number the subfolders of the pictures, and return these numbers and the names of the subfolders."""
    folders = [name.partition("/")[0] if "/" in name else "" for name in names]
    words = sorted(set(folders))
    if len(words) < 2 or "" in words:
        return None, []
    return [words.index(each) for each in folders], words


def _join_some(names: list[str], most: int = 20) -> str:
    """Join the names, or the first of them if there are very many."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
