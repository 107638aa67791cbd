"""Still figures inside a widget's twin, with the same bytes on every machine, so that nbval can compare them.

Matplotlib's pictures depend on its version, and compressed PNGs on that of zlib. So the numbers are rounded here before
they are drawn, and the PNGs are not compressed.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from ddpm_lite.files.png import png


def image(grey: np.ndarray, alt: str, size: int = 160) -> str:
    """Write an <img> of a uint8 array, `size` CSS pixels wide, with its alt text."""
    data = b64encode(png(grey)).decode()
    return f'<img alt="{escape(alt)}" width="{size}" src="data:image/png;base64,{data}">'


def figures(images: Sequence[np.ndarray], captions: Sequence[str], alts: Sequence[str], size: int = 160) -> str:
    """Write images side by side, each with its caption."""
    parts = zip(images, captions, alts, strict=True)
    cells = [
        f'<figure class="dw-figure">{image(grey, alt, size)}<figcaption>{escape(caption)}</figcaption></figure>'
        for grey, caption, alt in parts
    ]
    return f'<div class="dw-row">{"".join(cells)}</div>'


def curves(
    x: Sequence[float] | np.ndarray,
    ys: Mapping[str, Sequence[float] | np.ndarray],
    *,
    alt: str,
    xlabel: str,
    y: tuple[float, float],
    log: bool = False,
    mark: tuple[float, float] | None = None,
    width: int = 360,
    height: int = 220,
) -> str:
    """Draw curves over x in one SVG, with a legend below; everything is rounded to tenths of a pixel.

    Args:
        y: the ends of the vertical axis, both > 0 if `log` makes it logarithmic.
        mark: a point (x, y) to mark with a dot.
    """
    x = np.asarray(x, dtype=np.float64)
    left, bottom, top, right = 48, 40, 10, 12
    up = np.log10 if log else np.asarray
    low, high = up(y[0]), up(y[1])

    # Rounded first to a millionth, because 59.25 may be slightly less on another processor and would then become 59.2.
    def across(value):
        return np.round(left + (value - x[0]) / (x[-1] - x[0]) * (width - left - right), 6)

    def upward(value):
        return np.round(height - bottom - (up(value) - low) / (high - low) * (height - bottom - top), 6)

    parts = [f'<svg class="dw-plot" role="img" aria-label="{escape(alt)}" viewBox="0 0 {width} {height}">']
    middle = float(10 ** ((low + high) / 2)) if log else (y[0] + y[1]) / 2
    for value in (y[0], middle, y[1]):
        at = upward(value)
        parts.append(f'<line class="dw-grid" x1="{left}" x2="{width - right}" y1="{at:.1f}" y2="{at:.1f}"></line>')
        parts.append(f'<text x="{left - 5}" y="{at + 4:.1f}" text-anchor="end">{format_tick(value)}</text>')
    for value, anchor in ((x[0], "middle"), (x[-1], "end")):
        at = f'x="{across(value):.1f}" y="{height - bottom + 15}"'
        parts.append(
            f'<text {at} text-anchor="{anchor}">{f"{value:.3g}" if abs(value) < 100 else format_tick(value)}</text>'
        )
    parts.append(f'<text x="{(left + width - right) / 2:.1f}" y="{height - 6}" text-anchor="middle">{xlabel}</text>')
    # Clipped to one height of the axis outside the plot, so that no browser has to draw huge numbers.
    ends = (y[0] ** 2 / y[1], y[1] ** 2 / y[0]) if log else (y[0] - 1, y[1] + 1)
    for number, values in enumerate(ys.values(), start=1):
        py = upward(np.clip(np.asarray(values, dtype=np.float64), *ends))
        points = "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(across(x), py, strict=True))
        parts.append(f'<path class="dw-line dw-{number}" d="M{points}"></path>')
    if mark is not None:
        cx, cy = across(mark[0]), upward(np.clip(mark[1], *ends))
        parts.append(f'<circle class="dw-marker" cx="{cx:.1f}" cy="{cy:.1f}" r="5"></circle>')
    names = "".join(f'<span class="dw-key dw-{i}">{escape(name)}</span>' for i, name in enumerate(ys, start=1))
    return "".join(parts) + f'</svg><div class="dw-row">{names}</div>'


def format_tick(value: float) -> str:
    """Format a number for an axis in at most six characters: 4e-5, 0.0012, 32, 3.2e5."""
    size = abs(value)
    spelt = [f"{value:.2g}" if size < 100 else f"{value:.4g}"] if size == 0 or 1e-3 <= size < 1e4 else []
    spelt += ["e".join(f"{float(part):g}" for part in f"{value:.{digits}e}".split("e")) for digits in (1, 0)]
    return next((text for text in spelt if len(text) <= 6), spelt[-1])
