"""The pictures that `sample` writes: a grid, captions beside its rows, and the path from noise as an animation."""

import io
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from ddpm_lite.cli.options import Sample
from ddpm_lite.files.pixels import to_bytes
from ddpm_lite.files.png import png
from ddpm_lite.files.weights import write_whole

COLUMNS, GAP, SMALLEST = 8, 2, 64  # images in a row; pixels between two images; the least width of one
FRAMES, HOLD = 60, 1500  # of an animation: the most frames, and milliseconds that the last one is shown


def enlarge(images: Tensor, zoom: int | None = None) -> np.ndarray:
    """Convert images in [-1, 1], (N, C, H, W), to bytes (N, H', W', C), enlarged by zoom or to a width of >= 64."""
    zoom = -(-SMALLEST // images.shape[3]) if zoom is None else zoom
    pixels = to_bytes(images.float()).cpu()
    return pixels.permute(0, 2, 3, 1).numpy().repeat(zoom, axis=1).repeat(zoom, axis=2)


def make_grid(images: Tensor, columns: int) -> np.ndarray:
    """Arrange images in [-1, 1], (N, C, H, W), in a grid on white.

    Args:
        images: grey or coloured images.
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
    """Add a margin on the left of the page, with a word for each of its rows."""
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
    """Choose the states that an animation shows: the first, the last, and others at equal distances."""
    shown = min(total, FRAMES)
    return {round(number * (total - 1) / max(1, shown - 1)) for number in range(shown)}


def animate(pages: Sequence[np.ndarray]) -> bytes:
    """Make a GIF that shows the pages one after another, the last one longest, in a loop."""
    from PIL import Image

    first, *others = (Image.fromarray(page) for page in pages)
    content, each = io.BytesIO(), 60
    options = {"append_images": others, "duration": [each] * len(others) + [HOLD], "loop": 0}
    first.save(content, format="GIF", save_all=True, **options)
    return content.getvalue()


def keep_pages(states: Iterator, shown: set[int], columns: int, pages: list[np.ndarray]) -> Iterator:
    """Pass the states on, and collect those that the animation shows as pages."""
    for number, (t, x_t) in enumerate(states):
        if number in shown:
            pages.append(make_grid(x_t, columns))
        yield t, x_t


def write_images(asked: Sample, x_0: Tensor, columns: int, pages: list[np.ndarray], named: list[str]) -> None:
    """Write all files that were requested, each of them atomically."""
    if asked.out.suffix == ".npy":
        content = io.BytesIO()
        np.save(content, x_0.float().cpu().numpy())
        write_whole(asked.out, content.getvalue())
    else:
        page = make_grid(x_0, columns)
        page = write_captions(page, named) if asked.captions else page
        write_whole(asked.out, png(page, compress=True))
    if asked.separate is not None:
        asked.separate.mkdir(exist_ok=True)
        for number, picture in enumerate(enlarge(x_0, zoom=1)):
            word = f"-{named[number // asked.count]}" if named else ""
            file = asked.separate / f"{number:0{len(str(len(x_0) - 1))}}{word}.png"
            write_whole(file, png(picture if picture.shape[2] == 3 else picture[:, :, 0], compress=True))
    if asked.animate is not None:
        write_whole(asked.animate, animate(pages))
