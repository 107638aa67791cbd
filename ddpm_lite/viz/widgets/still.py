"""Still figures inside a widget's twin: the same bytes on every machine, so that nbval can compare them.

Matplotlib's pictures differ from version to version, and compressed PNGs from zlib to zlib. What is drawn here is
rounded first, and its PNGs are not compressed.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from ddpm_lite.viz.png import png


def image(grey: np.ndarray, alt: str, size: int = 160) -> str:
    """An <img> of a uint8 array, `size` CSS pixels wide, with the words that say what it shows."""
    data = b64encode(png(grey)).decode()
    return f'<img alt="{escape(alt)}" width="{size}" src="data:image/png;base64,{data}">'


def figures(images: Sequence[np.ndarray], captions: Sequence[str], alts: Sequence[str], size: int = 160) -> str:
    """Images side by side, each with its caption."""
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
    width: int = 360,
    height: int = 220,
) -> str:
    """Curves over x in one SVG, the names of the curves below it; everything rounded to tenths of a pixel."""
    x = np.asarray(x, dtype=np.float64)
    left, bottom, top, right = 48, 40, 10, 12
    px = left + (x - x[0]) / (x[-1] - x[0]) * (width - left - right)
    parts = [f'<svg class="dw-plot" role="img" aria-label="{escape(alt)}" viewBox="0 0 {width} {height}">']
    for value in (y[0], (y[0] + y[1]) / 2, y[1]):
        at = height - bottom - (value - y[0]) / (y[1] - y[0]) * (height - bottom - top)
        parts.append(f'<line class="dw-grid" x1="{left}" x2="{width - right}" y1="{at:.1f}" y2="{at:.1f}"></line>')
        parts.append(f'<text x="{left - 5}" y="{at + 4:.1f}" text-anchor="end">{value:.2g}</text>')
    for value, at in ((x[0], px[0]), (x[-1], px[-1])):
        parts.append(f'<text x="{at:.1f}" y="{height - bottom + 15}" text-anchor="middle">{value:.3g}</text>')
    parts.append(f'<text x="{(left + width - right) / 2:.1f}" y="{height - 6}" text-anchor="middle">{xlabel}</text>')
    for number, values in enumerate(ys.values(), start=1):
        inside = np.clip(np.asarray(values, dtype=np.float64), y[0] - 1, y[1] + 1)
        py = height - bottom - (inside - y[0]) / (y[1] - y[0]) * (height - bottom - top)
        points = "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(px, py, strict=True))
        parts.append(f'<path class="dw-line dw-{number}" d="M{points}"></path>')
    names = "".join(f'<span class="dw-key dw-{i}">{escape(name)}</span>' for i, name in enumerate(ys, start=1))
    return "".join(parts) + f'</svg><div class="dw-row">{names}</div>'
