"""Figures as SVG: light, sharp at every width, with words that are words, and in the book with the page's colours."""

import re
from base64 import b64decode, b64encode
from io import BytesIO, StringIO
from typing import Any, cast

import matplotlib.pyplot as plt
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.figure import Figure
from PIL import Image

from ddpm_lite.viz.palette import PALETTE
from ddpm_lite.viz.symbols import CLASSES, write_spans

COLORS = {name: colour.light for name, colour in PALETTE.items()}
LINES = ("data", "noise", "model", "exact", "muted")  # what lines are drawn with that have no role
FONT = 11.0  # points
STYLE: dict[Any, Any] = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "axes.facecolor": "none",
    "axes.edgecolor": COLORS["muted"],
    "axes.grid": True,
    "axes.labelcolor": COLORS["ink"],
    "axes.prop_cycle": plt.cycler(color=[COLORS[name] for name in LINES]),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": FONT,
    "font.size": FONT,
    "grid.color": COLORS["grid"],
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "mathtext.fontset": "cm",
    "text.color": COLORS["ink"],
    "xtick.color": COLORS["muted"],
    "ytick.color": COLORS["muted"],
}

RASTER_DPI = 144  # of what is drawn as pixels: clouds of thousands of dots
WRITTEN: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "ddpm-lite", "svg.image_inline": True}
FONTS = "font-family:system-ui,sans-serif"
MARK = "\ue000{}\ue001"  # no font has these characters, and so no label
MARKED = re.compile("\ue000(\\d+)\ue001")
# What matplotlib writes and no reader needs: the prolog, its own name, and the family of each word.
SUPERFLUOUS = re.compile(
    r"^.*?(?=<svg)|<metadata>.*?</metadata>\s*|<!--.*?-->\s*|; font-family: [^;\"]*|(?<=base64,)\n|\n(?=\s*\n)",
    re.DOTALL,
)


class SvgFigure(Figure):
    """A figure that notebooks show as SVG; `savefig` writes any format."""

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display({"image/svg+xml": write_svg(self), "text/plain": repr(self)}, raw=True)


class _WordsRenderer(RendererSVG):
    """Writes formulas as the words of a text, at the place that matplotlib has found for them."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.formulas = []

    def draw_text(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):
        if ismath:
            self.formulas.append(s)
            s = MARK.format(len(self.formulas) - 1)
        super().draw_text(gc, x, y, s, prop, angle, False, mtext)


LONG = re.compile(r"(?<=[\s\"(-])(\d+\.\d{3,})(?=[\s\")])")
TAG = re.compile(r"<[a-z][^>]*>")


def _shorten(tag: re.Match) -> str:
    """Round the numbers in a tag: hundredths of a point are enough, and in transforms ten-thousandths."""
    digits = 4 if "matrix" in tag[0] else 2
    return LONG.sub(lambda number: f"{float(number[1]):.{digits}f}".rstrip("0").rstrip("."), tag[0])


PICTURE = re.compile(r"(?<=data:image/png;base64,)[^\"]+")
LEVELS = 31  # of each colour of a photograph: noise cannot be compressed, and pages must be light


def _pack(found: re.Match) -> str:
    """Write a picture in few bytes: up to 256 colours without loss, a photograph in 5 bits a channel."""
    with Image.open(BytesIO(b64decode(found[0]))) as opened:
        picture = opened.convert("RGBA")
    if picture.getchannel("A").getextrema() != (255, 255):
        return found[0]  # what is transparent is left as it is
    picture = picture.convert("RGB")
    if colours := picture.getcolors(256):
        picture = picture.quantize(len(colours), dither=Image.Dither.NONE)
    else:
        picture = picture.point([round(round(v / 255 * LEVELS) * 255 / LEVELS) for v in range(256)] * 3)
    packed = BytesIO()
    picture.save(packed, "png", optimize=True)
    return b64encode(packed.getvalue()).decode()


def write_svg(figure: Figure) -> str:
    """Write a figure as an SVG with the same bytes for the same figure, without a prolog."""
    out, dpi = StringIO(), figure.dpi
    width, height = figure.get_size_inches()
    with plt.rc_context(STYLE | WRITTEN):
        figure.dpi = 72
        try:
            words = _WordsRenderer(72 * width, 72 * height, out, image_dpi=RASTER_DPI, metadata={"Date": None})
            renderer = MixedModeRenderer(figure, width, height, RASTER_DPI, words)
            figure.draw(cast(RendererBase, renderer))
            renderer.finalize()
        finally:
            figure.dpi = dpi
    text = TAG.sub(_shorten, SUPERFLUOUS.sub("", out.getvalue()))
    text = PICTURE.sub(_pack, text)
    text = MARKED.sub(lambda mark: write_spans(words.formulas[int(mark[1])]), text)
    style = f"<style>text{{{FONTS}}}{CLASSES}*{{stroke-linejoin:round;stroke-linecap:butt}}</style>"
    return re.sub(r"<style.*?</style>", style, text, count=1, flags=re.DOTALL)
