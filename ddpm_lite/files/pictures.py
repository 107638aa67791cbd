"""Folders of pictures, of any kind and size, converted to one array: (N, channels, height, width) of bytes.

Pillow reads the files. On its own, its `convert` would clip 16-bit values at 255, show the hidden colours of
transparent pixels, and leave a photograph on its side; `read_picture` handles all three.
"""

import json
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from ddpm_lite._check import Whole, check_bool, check_call, check_whole, describe, fail, to_number, to_path
from ddpm_lite.files.weights import open_whole, write_whole

if TYPE_CHECKING:
    from PIL.Image import Image

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
WHOLE = ("PNG", "PPM")  # formats that Pillow may open in 32-bit mode I, though their values are 0..65535
LARGEST_SIDE = 2**15  # pixels
SQUEEZED = 0.02  # relative change of the aspect ratio; less than that is rounding


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
    file = (
        folder.parent / _name_array(folder, height, width, channels, crop, colour)
        if file is None
        else to_path("file", file)
    )
    if file.suffix != ".npy":
        fail(ValueError, "file", "a name that ends in .npy", f"{file.name!r}")
    if not file.parent.is_dir():
        fail(FileNotFoundError, "file", "a name in an existing folder", f"{str(file)!r}")
    paths, skipped = _find_pictures(folder, {Path(os.path.abspath(own)) for own in (file, _name_list(file))})
    names, broken, squeezed = [], {}, 0
    with open_whole(file) as array:
        _write_header(array, (0, channels, height, width))
        for path in watch(paths):
            name = path.relative_to(folder).as_posix()
            try:
                whole = read_picture(path, colour)
            except ValueError as error:
                broken[name] = str(error)
                continue
            row, changed = scale_picture(whole, height, width, channels, crop=crop)
            array.write(row.tobytes())
            names.append(name)
            squeezed += changed
        if broken and (not skip_broken or not names):
            reasons = [f"{name!r} ({reason})" for name, reason in broken.items()]
            advice = "repair or remove them"
            advice += "" if skip_broken else ", or leave them out with skip_broken=True (--skip-broken)"
            fail(
                ValueError,
                "folder",
                "pictures that can be read",
                f"{len(broken)} broken: {_join_some(reasons)}",
                advice,
            )
        array.seek(0)
        _write_header(array, (len(names), channels, height, width))
    labels, words = _label_pictures(names)
    loose = sum("/" not in name for name in names)
    if loose and len({name.partition("/")[0] for name in names if "/" in name}) > 1:
        line = f"folder: {loose} of {len(names)} pictures are outside of the subfolders, so there are no labels"
        warnings.warn(f"{line}; move them into a subfolder", stacklevel=2)
    listed = {"names": names, "labels": labels, "words": words, "skipped": skipped | broken, "squeezed": squeezed}
    write_whole(_name_list(file), (json.dumps(listed, indent=1) + "\n").encode())
    if skipped or broken:
        warnings.warn(f"folder: {len(skipped | broken)} left out: {_join_some([*skipped, *broken])}", stacklevel=2)
    if squeezed:
        line = f"folder: {squeezed} of {len(names)} pictures have another aspect ratio than {height}x{width}"
        warnings.warn(f"{line} and were distorted; crop=True (--crop) crops them instead", stacklevel=2)
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


def _name_array(folder: Path, height: int, width: int, channels: int, crop: bool, colour: tuple) -> str:
    """Name the array of a folder after all the options that it depends on."""
    parts = [folder.name, f"{height}x{width}", "rgb" if channels == 3 else "grey"]
    parts += ["crop"] * crop + ["on-" + bytes(colour).hex()] * (colour != (255, 255, 255))
    return "-".join(filter(None, parts)) + ".npy"


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


def read_picture(path: Path, background: tuple[int, int, int]) -> "Image":
    """Read a picture in mode RGB; of an animation, or of several pages, the first.

    The orientation that the camera recorded (EXIF tag 274) is applied. Transparent pixels show the background.

    Args:
        path: the path of a file that Pillow can read.
        background: red, green and blue, 0..255 each.

    Raises:
        ValueError: it cannot be read, or its values have no known range; the message says why.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as picture:
            kind, bits = picture.format, getattr(picture, "tag_v2", {}).get(258, (8,))[0]
            if bits in (12, 14):  # Pillow returns such values as if they had 16 bits, so nearly black
                raise ValueError(f"{bits} bits a channel; save it with 8 or 16")
            return flatten(ImageOps.exif_transpose(picture), background, sixteen=kind in WHOLE)
    except Exception as error:  # Pillow's decoders raise almost any class on damaged bytes
        reason = str(error).replace(repr(str(path)), "").replace(str(path), "").strip()
        raise ValueError(" ".join(reason.split()) or type(error).__name__) from None


def flatten(picture: "Image", background: tuple[int, int, int], *, sixteen: bool = False) -> "Image":
    """Convert a picture of any Pillow mode to mode RGB.

    16-bit modes (I;16, I;16B, ...) are scaled, 65535 to 255. 32-bit modes (I and F) are refused, because they do not
    say which value is white.

    Args:
        picture: of any mode.
        background: the colour of transparent pixels.
        sixteen: the values of mode I are 0..65535.

    Raises:
        ValueError: mode F, or mode I with other values.
    """
    from PIL import Image

    transparent = picture.info.get("transparency")
    if picture.mode.startswith("I;16") or (picture.mode == "I" and sixteen):
        values = np.asarray(picture).astype(np.int64)
        grey = Image.fromarray(((values + 128) // 257).astype(np.uint8))
        if isinstance(transparent, int):  # one of the 65,536 values is transparent
            grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
        picture, transparent = grey, None
    if picture.mode in ("I", "F"):
        raise ValueError(f"32 bits a channel (mode {picture.mode}), whose range is not known; save it with 8 or 16")
    if isinstance(transparent, tuple) and max(transparent) > 255:  # a 16-bit colour, while the pixels have 8 bits
        picture = picture.copy()
        picture.info["transparency"] = tuple(value >> 8 for value in transparent)
    if picture.mode in ("La", "RGBa"):  # colours that are already multiplied by alpha
        picture = picture.convert(picture.mode.upper())
    if picture.mode in ("LA", "P", "PA", "RGBA") or transparent is not None:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, (*background, 255)), picture)
    return picture.convert("RGB")


def scale_picture(
    picture: "Image", height: int, width: int, channels: int, *, crop: bool
) -> tuple[UInt8[np.ndarray, "C H W"], bool]:
    """Scale a picture of mode RGB to an array, and say whether that changed its aspect ratio.

    Args:
        picture: of any size.
        height, width: the size of the array.
        channels: 3 for colours, 1 for grey.
        crop: take the largest middle part with the aspect ratio of the array; without it, the whole picture.
    """
    from PIL import Image

    if crop:
        unit = min(picture.width / width, picture.height / height)
        size = [max(1, round(unit * length)) for length in (width, height)]
        left, top = ((whole - part) // 2 for whole, part in zip(picture.size, size, strict=True))
        picture = picture.crop((left, top, left + size[0], top + size[1]))
    squeezed = abs(picture.width * height / (picture.height * width) - 1) > SQUEEZED
    small = picture.convert("RGB" if channels == 3 else "L").resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(small).reshape(height, width, channels).transpose(2, 0, 1), squeezed and not crop


def read_colour(argument: str, colour: str | tuple[int, int, int]) -> tuple[int, int, int]:
    """Convert a colour to red, green and blue, from an HTML name ("white", "#808080") or three numbers.

    Raises:
        ValueError: no such colour. ImportError: Pillow is not installed.
    """
    try:
        from PIL import ImageColor
    except ImportError as error:
        raise ImportError("reading pictures needs Pillow: pip install 'ddpm-lite[data]'") from error
    try:
        named = isinstance(colour, str | bytes)
        found = ImageColor.getrgb(colour) if named else tuple(check_whole(argument, value, 0, 255) for value in colour)
    except (ValueError, TypeError, AttributeError):
        found = ()
    if len(found) != 3 or not all(0 <= value <= 255 for value in found):
        fail(ValueError, argument, 'a colour such as "white", "#808080" or (255, 255, 255)', f"{colour!r}")
    return found
