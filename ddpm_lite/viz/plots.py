"""Still figures for the chapters, which plot the numbers that they are given.

Labels are written with the names of the code; figures show the symbols of the book. A figure is as wide as it can be
for its words to be readable on a phone: `WIDTH` inches with words of `FONT` points become 358 pixels with words of 9.
"""

from collections.abc import Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from ddpm_lite._check import describe, fail, to_table
from ddpm_lite.viz.axes import (
    EM,
    WIDTH,
    PowerFormatter,
    choose_dashes,
    frame_cell,
    make_axes,
    make_dots,
    make_scale,
    measure_label,
    use_logs,
    use_style,
    write_names,
)
from ddpm_lite.viz.svg import COLORS, LINES
from ddpm_lite.viz.symbols import typeset
from ddpm_lite.viz.tables import show_table


def image_grid(
    images: Tensor,
    *,
    columns: int = 8,
    titles: Sequence[str] | None = None,
    size: float = 0.9,
    title: str = "",
) -> Figure:
    """Show images in rows; -1 is black and +1 is white, or colours for three channels.

    Args:
        images: (N, 1 or 3, H, W); values outside [-1, 1] are clipped for display.
        columns: images in a row.
        titles: one short text above each image, or None.
        size: inches per image.

    Raises:
        ValueError: another shape, or another number of titles.
    """
    images = to_table("images", images)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        fail(ValueError, "images", "shape (N, 1 or 3, H, W) with N >= 1", describe(images))
    if titles is not None and len(titles) != len(images):
        fail(ValueError, "titles", f"one per image, {len(images)}", f"{len(titles)}")
    columns = min(columns, len(images))
    lines = [list(images[i : i + columns]) for i in range(0, len(images), columns)]
    with use_style():
        return show_table(lines, [""] * len(lines), list(titles or ()), size, title, each=True)


def image_rows(rows: dict[str, Tensor], *, titles: Sequence[str] | None = None, size: float = 0.9) -> Figure:
    """Show several rows of images, each with its name on the left, and one line of titles on top.

    Args:
        rows: name -> (N, 1 or 3, H, W), the same N in each row.
        titles: one short text per column, or None.
        size: inches per image.

    Raises:
        ValueError: rows of different lengths, or another number of titles.
    """
    count = {len(images) for images in rows.values()}
    if len(count) != 1:
        fail(ValueError, "rows", "the same number of images in each row", f"{sorted(count)}")
    columns = count.pop()
    if titles is not None and len(titles) != columns:
        fail(ValueError, "titles", f"one per column, {columns}", f"{len(titles)}")
    with use_style():
        return show_table([list(images) for images in rows.values()], list(rows), list(titles or ()), size)


def curves(
    x: Sequence[float],
    ys: dict[str, Sequence[float]],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    log: str = "",
    size: tuple[float, float] = (WIDTH, 3.2),
    mark: float | None = None,
    roles: Sequence[str] = LINES,
) -> Figure:
    """Plot lines over a common x, distinguished by colour and dashes, with a legend if there are several.

    Args:
        x: (n,) numbers.
        ys: name -> (n,) numbers.
        log: which axes are logarithmic, "", "x", "y" or "xy".
        size: inches; it is no wider than `WIDTH`.
        mark: an x to mark with a thin vertical line.
        roles: what each line is, for its colour: names of the palette, repeated as needed.
    """
    with use_style():
        figure, axis = make_axes(size)
        for (name, y), dash, role in zip(ys.items(), choose_dashes(len(ys)), cycle(roles)):
            axis.plot(np.asarray(x), np.asarray(y), label=typeset(name), linestyle=dash, color=COLORS[role])
        if mark is not None:
            axis.axvline(mark, color=COLORS["muted"], linewidth=1, linestyle=":")
        axis.set(xlabel=typeset(xlabel), ylabel=typeset(ylabel))
        use_logs(axis, log)
        write_names(axis, list(ys) if len(ys) > 1 else [], title)
    return figure


def seed_dots(rows: dict[str, dict[str, Sequence[float]]], *, width: float = 1.9, digits: int = 2) -> Figure:
    """Plot a panel for each measure with a row for each name: a dot for every seed, and the mean as a number.

    Args:
        rows: name -> measure -> the values of the seeds; all names have the same measures.
        width: the least width of a panel, in inches; panels that do not fit beside each other go below.
        digits: decimal places of the means.
    """
    names, measures = list(rows), list(next(iter(rows.values())))
    with use_style():
        left = max(measure_label(typeset(name)) for name in names) + EM
        columns = max(1, min(len(measures), int((WIDTH - left) / min(width, 1.5))))
        lines = -(-len(measures) // columns)
        columns = -(-len(measures) // lines)
        size = (WIDTH, lines * (0.75 + 0.4 * len(names)))
        figure, axes = make_axes(size, lines, columns, sharey=True, squeeze=False)
        for axis in axes.flat[len(measures) :]:
            axis.axis("off")
        for axis, measure in zip(axes.flat, measures, strict=False):
            for place, name in enumerate(names):
                values = np.asarray(rows[name][measure])
                axis.plot(values, np.full(len(values), place), "o", alpha=0.7, color=COLORS["model"], markersize=5)
                axis.annotate(
                    f"{values.mean():.{digits}f}", (values.mean(), place), xytext=(0, 5),
                    textcoords="offset points", ha="center",
                )  # fmt: skip
            axis.set(title=typeset(measure.replace("frechet", "Fréchet")), ylim=(len(names) - 0.5, -0.8))
            axis.xaxis.set_major_locator(MaxNLocator(3))
            axis.margins(x=0.25)
        axes[0][0].set_yticks(range(len(names)), [typeset(name) for name in names])
    return figure


def histogram(
    samples: dict[str, Tensor],
    *,
    density: tuple[Sequence[float], Sequence[float]] | None = None,
    bins: int = 60,
    xlabel: str = "value",
    title: str = "",
    roles: Sequence[str] = LINES,
) -> Figure:
    """Plot histograms as outlines, and a density to compare them with as a dashed line.

    Args:
        samples: name -> values of any shape.
        density: (x, p(x)), the density that they should follow, or None.
        bins: number of bins.
        roles: what each histogram is, for its colour, as in `curves`.
    """
    with use_style():
        figure, axis = make_axes((WIDTH, 3.0))
        for (name, values), role in zip(samples.items(), cycle(roles)):
            look = {"histtype": "step", "linewidth": 1.8, "color": COLORS[role], "label": typeset(name)}
            axis.hist(np.asarray(values).ravel(), bins=bins, density=True, **look)
        if density is not None:
            axis.plot(*map(np.asarray, density), color=COLORS["exact"], linestyle="--", label="exact density")
        axis.set(xlabel=typeset(xlabel), ylabel="density")
        write_names(axis, [*samples, *["exact density"] * (density is not None)], title)
    return figure


def loss_curve(losses: Sequence[float], *, smooth: int = 50, floor: float | None = None) -> Figure:
    """Plot the loss of every step as a thin line, and its mean over the last `smooth` steps as a thick one."""
    values = np.asarray(losses, dtype=float)
    if not len(values):
        fail(ValueError, "losses", "a loss or more", "none")
    window = min(smooth, len(values))
    mean = np.convolve(values, np.ones(window) / window, mode="valid")
    with use_style():
        figure, axis = make_axes((WIDTH, 3.2))
        steps = np.arange(1, len(values) + 1)
        names = ["each step", f"mean of the last {window}"]
        axis.plot(steps, values, color=COLORS["model"], alpha=0.35, linewidth=0.8, label=names[0])
        axis.plot(steps[window - 1 :], mean, color=COLORS["model"], label=names[1])
        if floor is not None:
            names.append("saying nothing (z_hat = 0)")
            axis.axhline(floor, color=COLORS["noise"], linestyle="--", label=typeset(names[-1]))
        axis.set(xlabel="step", ylabel=typeset("mean squared error of z_hat"))
        use_logs(axis, "y")
        write_names(axis, names)
    return figure


def vector_fields(
    points: Tensor,
    fields: dict[str, Tensor],
    *,
    clouds: dict[str, Tensor] | None = None,
    size: float = 2.7,
) -> Figure:
    """Plot arrows at the same points of the plane, one panel for each field, over dots.

    Args:
        points: (N, 2), the starts of the arrows.
        fields: name -> (N, 2), their directions and lengths; the longest of a panel sets its scale.
        clouds: name -> (M, 2), dots behind the arrows of that panel, or None.
        size: inches per panel.
    """
    x, y = np.asarray(points).T
    limits = [(low - 0.15, high + 0.15) for low, high in ((x.min(), x.max()), (y.min(), y.max()))]
    with use_style():
        size = min(size, WIDTH / len(fields))
        figure, axes = make_axes((len(fields) * size, size + 0.3), 1, len(fields), squeeze=False, sharey=True)
        for axis, (name, field) in zip(axes[0], fields.items(), strict=True):
            if clouds is not None:
                axis.add_patch(make_dots(np.asarray(clouds[name], dtype=float)))
            axis.quiver(x, y, *np.asarray(field).T, color=COLORS["exact"], width=0.008, pivot="tail")
            axis.set(title=typeset(name), xlim=limits[0], ylim=limits[1], aspect="equal", xticks=[], yticks=[])
    return figure


def arrows(
    panels: dict[str, dict[str, tuple[float | Tensor, float | Tensor]]], *, axes: tuple[str, str], size: float = 2.6
) -> Figure:
    """Plot named arrows from the origin in the plane of two named axes, one panel for each set of arrows.

    Args:
        panels: title -> name of the arrow -> (right, up), of length about 1.
        axes: names of the axis to the right and of the axis upwards.
        size: inches per panel.
    """
    with use_style():
        size = min(size, WIDTH / len(panels))
        figure, places = make_axes((len(panels) * size, size * 0.75 + 0.3), 1, len(panels), squeeze=False)
        for place, (title, named) in zip(places[0], panels.items(), strict=True):
            place.axhline(0, color=COLORS["muted"], linewidth=1)
            place.axvline(0, color=COLORS["muted"], linewidth=1)
            place.text(1.28, -0.05, typeset(axes[0]), ha="right", va="top", color=COLORS["muted"])
            place.text(0.05, 1.5, typeset(axes[1]), ha="left", va="top", color=COLORS["muted"])
            for (name, tip), role in zip(named.items(), cycle(LINES)):
                color = COLORS[role]
                right, up = (float(part) for part in tip)
                place.annotate("", (right, up), (0, 0), arrowprops={"arrowstyle": "-|>", "color": color, "lw": 2})
                place.text(1.17 * right, 1.17 * up, typeset(name), ha="center", va="center", color=color)
            place.set(title=typeset(title), xlim=(-1.3, 1.3), ylim=(-0.3, 1.5), aspect="equal", xticks=[], yticks=[])
            place.spines[:].set_visible(False)
            place.grid(visible=False)
    return figure


def heatmaps(
    panels: dict[str, Tensor],
    *,
    xlabel: str = "",
    ylabel: str = "",
    colorbar: str = "",
    signed: bool = False,
    log: bool = False,
    limits: tuple[float, float] | None = None,
    marks: dict[str, tuple[int, int]] | None = None,
    columns: int = 4,
    size: tuple[float, float] = (2.2, 2.2),
) -> Figure:
    """Show tables of numbers as colours, with one scale for all panels.

    Args:
        panels: title -> (rows, columns) of numbers.
        colorbar: the label of the colour bar; no bar if empty.
        signed: use two colours around 0 instead of one scale from dark to bright.
        log: use a logarithmic scale; zeros are left grey.
        limits: the ends of the scale, by default the smallest and the largest number.
        marks: title -> (row, column) of a cell to frame.
        columns: panels in a row.
        size: inches per panel, width and height; cells are stretched to fill it.
    """
    tables = {name: np.asarray(table, dtype=float) for name, table in panels.items()}
    norm = make_scale(list(tables.values()), limits, signed=signed, log=log)
    columns = min(columns, len(tables))
    rows = -(-len(tables) // columns)
    beside = 0.9 if colorbar else 0.0
    shrunk = min(1, (WIDTH - beside) / (columns * size[0]))
    with use_style():
        width = columns * size[0] * shrunk + beside
        figure, axes = make_axes((width, rows * (size[1] * shrunk + 0.3)), rows, columns, squeeze=False)
        for axis in axes.flat[len(tables) :]:
            axis.axis("off")
        for axis, (name, table) in zip(axes.flat, tables.items(), strict=False):
            axis.set_facecolor(COLORS["grid"])
            masked = np.ma.masked_where(table <= 0, table) if log else table
            picture = axis.imshow(
                masked, cmap="RdBu_r" if signed else "viridis", norm=norm, aspect="auto", interpolation="none"
            )
            axis.set(title=typeset(name), xlabel=typeset(xlabel), ylabel=typeset(ylabel))
            axis.grid(visible=False)
            axis.set(**({} if xlabel else {"xticks": []}) | ({} if ylabel else {"yticks": []}))
            if marks and name in marks:
                frame_cell(axis, *marks[name])
        if colorbar:
            bar = figure.colorbar(picture, ax=axes, label=typeset(colorbar), shrink=0.9)
            if log:
                bar.ax.yaxis.set_major_formatter(PowerFormatter())
    return figure


def feature_maps(stages: Sequence[tuple[int, int]], links: Sequence[tuple[int, int]] = ()) -> Figure:
    """Draw the stages of a network from left to right; a stage with smaller feature maps is lower.

    Args:
        stages: (channels, side of the map) of each stage, drawn as a bar with the number of channels on it.
        links: (from, to) stages, drawn as brackets.
    """
    sides = sorted({side for _, side in stages}, reverse=True)
    row = [-sides.index(side) for _, side in stages]
    widest = max(channels for channels, _ in stages)
    with use_style():
        figure, axis = make_axes((WIDTH, 1.2 * len(sides)))
        for i, (channels, _) in enumerate(stages):
            half = 0.3 + 0.12 * channels / widest
            axis.add_patch(plt.Rectangle((i - half, row[i] - 0.28), 2 * half, 0.56, color=COLORS["model"]))
            # Digits reach from the base line up; the middle of their line would put them beside the bar.
            axis.text(
                i, row[i], str(channels), rotation=90, rotation_mode="anchor", ha="center", va="center_baseline",
                color=COLORS["paper"],
            )  # fmt: skip
        for i, j in links:
            top = row[i] + 0.3 + 0.4 * (j - i) / len(stages)
            axis.plot([i, i, j, j], [row[i] + 0.28, top, top, row[j] + 0.28], color=COLORS["data"], linewidth=1.2)
        axis.set(xlim=(-0.8, len(stages) - 0.2), ylim=(min(row) - 0.4, 0.75), xticks=[])
        axis.set_yticks([-k for k in range(len(sides))], [f"{side} × {side}" for side in sides])
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
        axis.grid(visible=False)
    return figure
