"""A folder of pictures becomes one array on the disk, of which `train` reads only what a batch needs.

images = np.load(images_from_folder("faces", 64), mmap_mode="r")
for state in train(model, schedule, images, config): ...
"""

import os
from pathlib import Path

import numpy as np

from ddpm_lite._check import check_whole, fail

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def images_from_folder(folder: str | Path, size: int, *, file: str | Path | None = None, channels: int = 3) -> Path:
    """Make one array of a folder of pictures, one picture at a time, so it may be larger than the memory.

    Args:
        folder: the pictures, in folders inside it too: .png, .jpg, .jpeg, .webp, .bmp. Their order is that of their
            names. The middle square of each is taken, turned as the camera says, and scaled.
        size: height and width of the images in the array, >= 1.
        file: the .npy file to write; None puts it beside the folder, as in faces-64.npy.
        channels: 3 for colours, 1 for grey.

    Returns:
        The file: an array (N, channels, size, size) of uint8.

    Raises:
        FileNotFoundError: no such folder. ValueError: no pictures in it, a damaged one, or another size, channels or
        ending. ImportError: Pillow is not installed.
    """
    check_whole("size", size, 1)
    if channels not in (1, 3):
        fail(ValueError, "channels", "1 or 3", f"{channels!r}")
    folder = Path(folder)
    file = folder.with_name(f"{folder.name}-{size}.npy") if file is None else Path(file)
    if file.suffix != ".npy":
        fail(ValueError, "file", "a name that ends in .npy", f"{file.name!r}")
    pictures = _pictures(folder)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        shape = (len(pictures), channels, size, size)
        array = np.lib.format.open_memmap(beside, mode="w+", dtype=np.uint8, shape=shape)
        for row, path in zip(array, pictures, strict=True):
            row[:] = _square(path, folder, size, channels)
        array.flush()
        del array, row  # Windows renames no file that is open
        os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)
    return file


def _pictures(folder: Path) -> list[Path]:
    """The files to read, in order."""
    if not folder.is_dir():
        fail(FileNotFoundError, "folder", "an existing folder", f"{str(folder)!r}")
    pictures = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    if not pictures:
        fail(ValueError, "folder", f"pictures ({', '.join(ENDINGS)})", f"none in {str(folder)!r}")
    return pictures


def _square(path: Path, folder: Path, size: int, channels: int) -> np.ndarray:
    """The middle square of a picture, (channels, size, size)."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError("pictures are read by Pillow: pip install 'ddpm-lite[data]'") from error
    try:
        with Image.open(path) as picture:
            whole = ImageOps.exif_transpose(picture).convert("RGB" if channels == 3 else "L")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        got = f"a damaged one, {path.relative_to(folder).as_posix()!r}"
        raise ValueError(f"folder: expected pictures, got {got} ({error}); mend or remove it") from None
    side = min(whole.size)
    left, top = ((length - side) // 2 for length in whole.size)
    square = whole.crop((left, top, left + side, top + side))
    small = square.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(small).reshape(size, size, channels).transpose(2, 0, 1)
