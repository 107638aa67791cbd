"""The axes of our figures: their style and width, legends, logarithmic scales, dots."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import LogFormatterSciNotation

from ddpm_lite.viz.svg import COLORS, FONT, STYLE, SvgFigure
from ddpm_lite.viz.symbols import typeset

WIDTH = 5.8  # inches
EM = FONT / 72  # inches
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def use_style():
    """Return a context with the style of our figures.

    Jupyter's backend turns interactive mode on while it loads, and rc_context would turn it off again at its end, so
    that no later figure would be shown. Therefore the backend is loaded first.
    """
    plt.draw_if_interactive()
    return plt.rc_context(STYLE)


def make_axes(size: tuple[float, float], rows: int = 1, columns: int = 1, **options):
    """Make a figure that notebooks show as SVG, no wider than the page, and its axes."""
    width, height = size
    return plt.subplots(rows, columns, figsize=(min(width, WIDTH), height), FigureClass=SvgFigure, **options)


def make_dots(points: np.ndarray) -> PathPatch:
    """Make one path of all dots: a line of no length with a round end is a dot, in a tenth of a marker's bytes."""
    ends = np.repeat(points, 2, axis=0)
    ends[1::2, 0] += 1e-3
    codes = np.tile([Path.MOVETO, Path.LINETO], len(points))
    return PathPatch(Path(ends, codes), fill=False, edgecolor=COLORS["muted"], alpha=0.4, linewidth=2, capstyle="round")


def frame_cell(axis, row: int, column: int) -> None:
    """Frame a cell of a table, visibly on dark and on bright cells, in any theme."""
    for color, width in (("#010101", 3.5), ("#fefefe", 1.5)):
        corner = (column - 0.5, row - 0.5)
        axis.add_patch(plt.Rectangle(corner, 1, 1, fill=False, color=color, linewidth=width))


def make_scale(
    tables: Sequence[np.ndarray], limits: tuple[float, float] | None, *, signed: bool, log: bool
) -> Normalize:
    """Make one scale of colours for all tables, from the smallest to the largest number if no limits are given."""
    shown = np.concatenate([table[table > 0] if log else table.ravel() for table in tables])
    low, high = limits or (shown.min(), shown.max())
    if signed and limits is None:
        low, high = -np.abs(shown).max(), np.abs(shown).max()
    return (LogNorm if log else Normalize)(low, high)


def choose_dashes(count: int) -> list[str]:
    """Choose a style for each of several lines; after four they repeat."""
    return [["-", "--", "-.", ":"][i % 4] for i in range(count)]


def use_logs(axis, log: str) -> None:
    """Make the axes that are named in `log`, "", "x", "y" or "xy", logarithmic."""
    for name, scaled in (("x", axis.xaxis), ("y", axis.yaxis)):
        if name in log:
            axis.set(**{f"{name}scale": "log"})
            scaled.set_major_formatter(PowerFormatter())
            scaled.set_minor_formatter(PowerFormatter(labelOnlyBase=False, minor_thresholds=(1.5, 0.4)))


class PowerFormatter(LogFormatterSciNotation):
    """Writes powers of ten as words, 0.01, 10, 10⁻⁴, where matplotlib would write a formula."""

    def __call__(self, x, pos=None):
        if not super().__call__(x, pos):
            return ""
        power = int(np.floor(np.log10(x) + 1e-9))
        if -3 < power < 4:
            return f"{x:g}"
        factor = round(x / 10.0**power, 6)
        small = f"10{str(power).translate(SUPERSCRIPTS)}"
        return small if factor == 1 else f"{factor:g}·{small}"


def write_names(axis, names: Sequence[str], title: str = "") -> None:
    """Put the legend above the axes, where it hides no line, in as many columns as fit, and the title above it."""
    if names:
        wide = [measure_label(typeset(name)) + 3.2 * EM for name in names]
        room = axis.figure.get_figwidth() - 5 * EM
        for columns in range(len(names), 0, -1):
            split = np.array_split(wide, columns)  # as matplotlib does
            if sum(part.max() for part in split) <= room:
                break
        axis.figure.set_figheight(axis.figure.get_figheight() + 1.4 * EM * (len(split[0]) - 1))
        axis.legend(
            loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=columns, borderaxespad=0.1,
            handlelength=1.8, columnspacing=1.2, handletextpad=0.5,
        )  # fmt: skip
    if title:
        axis.figure.suptitle(typeset(title), fontsize=FONT)


def measure_label(label: str) -> float:
    """Return the width of a label in inches; the words of a page are hardly wider."""
    canvas = FigureCanvasAgg(Figure(figsize=(1, 1)))
    text = canvas.figure.text(0, 0, label, fontsize=FONT)
    return text.get_window_extent(canvas.get_renderer()).width / canvas.figure.dpi
