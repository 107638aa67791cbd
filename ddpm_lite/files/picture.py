"""One picture of any kind and size, read, put on a background and scaled.

Pillow reads the files. On its own, its `convert` would clip 16-bit values at 255, show the hidden colours of
transparent pixels, and leave a photograph on its side; `read_picture` handles all three.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from ddpm_lite._check import check_whole, fail

if TYPE_CHECKING:
    from PIL.Image import Image

WHOLE = ("PNG", "PPM")  # formats that Pillow may open in 32-bit mode I, though their values are 0..65535
SQUEEZED = 0.02  # relative change of the aspect ratio; less than that is rounding


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
