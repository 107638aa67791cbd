"""Draw the book's icon: a shoe that comes out of noise.

python tools/favicon.py     writes book/images/favicon.svg and favicon.png
"""

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from ddpm_lite.files.png import png  # noqa: E402 - the line before makes it found

FOLDER = ROOT / "book" / "images"
# Sixteen by sixteen: # is the shoe, + noise, a dot the ground.
GRID = """\
................
.+...+..######..
...+....######..
+....+.+.#####..
..+.....######..
.+..+.+.######..
...+...#######..
+.+..+########..
..+.+#########..
.+.###########..
+.############..
.#############..
.#############..
..++++########..
................
................
""".splitlines()
COLOURS = {".": "#0f161d", "#": "#57eba9", "+": "#f5872a"}


def draw_svg():
    """The icon as rectangles, one for each run of pixels in a row."""
    runs = []
    for y, row in enumerate(GRID):
        x = 0
        while x < len(row):
            end = x
            while end < len(row) and row[end] == row[x]:
                end += 1
            if row[x] != ".":
                runs.append(f'<path fill="{COLOURS[row[x]]}" d="M{x} {y}h{end - x}v1H{x}z"/>')
            x = end
    ground = f'<rect width="16" height="16" rx="2.5" fill="{COLOURS["."]}"/>'
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" shape-rendering="crispEdges">'
    return "\n".join([head, ground, *runs, "</svg>", ""])


def draw_png():
    """The icon in 32 by 32 pixels, for browsers that take no SVG."""
    colours = {sign: tuple(bytes.fromhex(colour[1:])) for sign, colour in COLOURS.items()}
    small = np.array([[colours[sign] for sign in row] for row in GRID], np.uint8)
    return png(small.repeat(2, axis=0).repeat(2, axis=1))


def main():
    """Write both files."""
    (FOLDER / "favicon.svg").write_text(draw_svg(), encoding="utf8", newline="\n")
    (FOLDER / "favicon.png").write_bytes(draw_png())


if __name__ == "__main__":
    main()
