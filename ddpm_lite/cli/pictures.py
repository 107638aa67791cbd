"""What `sample` draws, as pictures: a grid, with words beside its rows, and the way from noise as an animation."""

import io
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ddpm_lite.files.pixels import to_bytes

COLUMNS, GAP, SMALLEST = 8, 2, 64  # pixels: between two images, and the least width of one
FRAMES, HOLD = 60, 1500  # of an animation: at most so many, and milliseconds that the last one stays


def enlarge(images: Tensor, zoom: int | None = None) -> np.ndarray:
    """Images in [-1, 1], (N, C, H, W), as bytes (N, H', W', C), each pixel a square of zoom, or of what makes 64."""
    zoom = -(-SMALLEST // images.shape[3]) if zoom is None else zoom
    pixels = to_bytes(images.float()).cpu()
    return pixels.permute(0, 2, 3, 1).numpy().repeat(zoom, axis=1).repeat(zoom, axis=2)


def grid(images: Tensor, columns: int) -> np.ndarray:
    """Images in [-1, 1], (N, C, H, W), side by side on white.

    Args:
        images: grey or coloured.
        columns: images in a row.

    Returns:
        uint8, (height, width) or (height, width, 3).
    """
    pixels = enlarge(images)
    N, height, width, channels = pixels.shape
    columns = min(columns, N)
    rows = -(-N // columns)
    page = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, channels), 255, np.uint8)
    for number, picture in enumerate(pixels):
        top, left = (
            GAP + place * (size + GAP) for place, size in zip(divmod(number, columns), picture.shape, strict=False)
        )
        page[top : top + height, left : left + width] = picture
    return page if channels == 3 else page[:, :, 0]


def write_captions(page: np.ndarray, words: Sequence[str]) -> np.ndarray:
    """The page with a margin on its left, and in it a word for each of its rows."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(14)
    margin = GAP + int(max(font.getlength(word) for word in words)) + 6
    left = Image.new("L", (margin, len(page)), 255)
    draw, height = ImageDraw.Draw(left), (len(page) - GAP) / len(words)
    for row, word in enumerate(words):
        draw.text((margin - 4, GAP + (row + 0.5) * height), word, fill=0, font=font, anchor="rm")
    beside = np.asarray(left)
    if page.ndim == 3:
        beside = beside[:, :, None].repeat(3, axis=2)
    return np.concatenate([beside, page], axis=1)


def choose_frames(total: int) -> set[int]:
    """Which of so many states an animation shows: the first, the last, and others at equal distances."""
    shown = min(total, FRAMES)
    return {round(number * (total - 1) / max(1, shown - 1)) for number in range(shown)}


def animate(pages: Sequence[np.ndarray]) -> bytes:
    """A GIF that shows the pages one after another, the last one longest, and begins again."""
    from PIL import Image

    first, *others = (Image.fromarray(page) for page in pages)
    content, each = io.BytesIO(), 60
    options = {"append_images": others, "duration": [each] * len(others) + [HOLD], "loop": 0}
    first.save(content, format="GIF", save_all=True, **options)
    return content.getvalue()
