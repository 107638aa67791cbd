"""Still figures for the chapters, which plot the numbers that they are given."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from torch import Tensor

from ddpm_lite._check import describe, fail, to_table

# The colours of Okabe and Ito, slightly darkened: distinguishable with every kind of colour vision, and on white.
BLUE, ORANGE, GREEN, PINK, GREY = "#0072b2", "#d55e00", "#00795a", "#b3528c", "#5f6368"
DPI = 110

STYLE = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.constrained_layout.use": True,
    "axes.prop_cycle": plt.cycler(color=[BLUE, ORANGE, GREEN, PINK, GREY]),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "lines.linewidth": 1.8,
    "font.size": 11,
    "legend.frameon": False,
}


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
    rows = -(-len(images) // columns)
    with _use_style():
        height = rows * (size + (0.22 if titles else 0)) + (0.35 if title else 0)
        figure, axes = plt.subplots(rows, columns, figsize=(columns * size, height), squeeze=False)
        for axis in axes.flat:
            axis.axis("off")
        for i, image in enumerate(images):
            _show(axes.flat[i], image)
            if titles is not None:
                axes.flat[i].set_title(titles[i], fontsize=9)
        if title:
            figure.suptitle(title, fontsize=11)
    return figure


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
    with _use_style():
        figure, axes = plt.subplots(
            len(rows), columns, figsize=(columns * size + 0.9, len(rows) * size + 0.35), squeeze=False
        )
        for line, (name, images) in zip(axes, rows.items(), strict=True):
            for column, (axis, image) in enumerate(zip(line, images, strict=True)):
                _show(axis, image)
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
                if titles is not None and axis in axes[0]:
                    axis.set_title(titles[column], fontsize=9)
            line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    return figure


def curves(
    x: Sequence[float],
    ys: dict[str, Sequence[float]],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    log: str = "",
    size: tuple[float, float] = (6.2, 3.2),
    mark: float | None = None,
) -> Figure:
    """Plot lines over a common x, distinguished by colour and dashes, with a legend if there are several.

    Args:
        x: (n,) numbers.
        ys: name -> (n,) numbers.
        log: which axes are logarithmic, "", "x", "y" or "xy".
        mark: an x to mark with a thin vertical line.
    """
    with _use_style():
        figure, axis = plt.subplots(figsize=size)
        for (name, y), dash in zip(ys.items(), _choose_dashes(len(ys)), strict=True):
            axis.plot(np.asarray(x), np.asarray(y), label=name, linestyle=dash)
        if mark is not None:
            axis.axvline(mark, color=GREY, linewidth=1, linestyle=":")
        axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
        if "x" in log:
            axis.set_xscale("log")
        if "y" in log:
            axis.set_yscale("log")
        if len(ys) > 1:
            axis.legend()
    return figure


def seed_dots(rows: dict[str, dict[str, Sequence[float]]], *, width: float = 1.9, digits: int = 2) -> Figure:
    """Plot a panel for each measure with a row for each name: a dot for every seed, and the mean as a number.

    Args:
        rows: name -> measure -> the values of the seeds; all names have the same measures.
        width: the width of a panel, in inches.
        digits: decimal places of the means.
    """
    names, measures = list(rows), list(next(iter(rows.values())))
    with _use_style():
        size = (1.2 + width * len(measures), 0.75 + 0.36 * len(names))
        figure, axes = plt.subplots(1, len(measures), figsize=size, sharey=True, squeeze=False)
        for axis, measure in zip(axes[0], measures, strict=True):
            for place, name in enumerate(names):
                values = np.asarray(rows[name][measure])
                axis.plot(values, np.full(len(values), place), "o", alpha=0.7, color="C0")
                axis.annotate(
                    f"{values.mean():.{digits}f}", (values.mean(), place), xytext=(0, 6),
                    textcoords="offset points", ha="center", fontsize=8,
                )  # fmt: skip
            axis.set(title=measure, ylim=(len(names) - 0.5, -0.7))
            axis.margins(x=0.2)
        axes[0][0].set_yticks(range(len(names)), names)
    return figure


def histogram(
    samples: dict[str, Tensor],
    *,
    density: tuple[Sequence[float], Sequence[float]] | None = None,
    bins: int = 60,
    xlabel: str = "value",
    title: str = "",
) -> Figure:
    """Plot histograms as outlines, and a density to compare them with as a dashed line.

    Args:
        samples: name -> values of any shape.
        density: (x, p(x)), the density that they should follow, or None.
        bins: number of bins.
    """
    with _use_style():
        figure, axis = plt.subplots(figsize=(6.2, 3.0))
        for name, values in samples.items():
            axis.hist(
                np.asarray(values).ravel(),
                bins=bins,
                density=True,
                histtype="step",
                linewidth=1.8,
                label=name,
            )
        if density is not None:
            axis.plot(*map(np.asarray, density), color=GREY, linestyle="--", label="exact density")
        axis.set(xlabel=xlabel, ylabel="density", title=title)
        axis.legend()
    return figure


def loss_curve(losses: Sequence[float], *, smooth: int = 50, floor: float | None = None) -> Figure:
    """Plot the loss of every step as a thin line, and its mean over the last `smooth` steps as a thick one."""
    values = np.asarray(losses, dtype=float)
    if not len(values):
        fail(ValueError, "losses", "a loss or more", "none")
    window = min(smooth, len(values))
    mean = np.convolve(values, np.ones(window) / window, mode="valid")
    with _use_style():
        figure, axis = plt.subplots(figsize=(6.2, 3.2))
        steps = np.arange(1, len(values) + 1)
        axis.plot(steps, values, color=BLUE, alpha=0.3, linewidth=0.8, label="each step")
        axis.plot(steps[window - 1 :], mean, color=BLUE, label=f"mean of the last {window}")
        if floor is not None:
            axis.axhline(floor, color=ORANGE, linestyle="--", label="saying nothing (z_hat = 0)")
        axis.set(xlabel="step", ylabel="mean squared error of z_hat", yscale="log")
        axis.legend()
    return figure


def vector_fields(
    points: Tensor,
    fields: dict[str, Tensor],
    *,
    clouds: dict[str, Tensor] | None = None,
    size: float = 2.7,
) -> Figure:
    """Plot arrows at the same points of the plane, one panel for each field, over grey dots.

    Args:
        points: (N, 2), the starts of the arrows.
        fields: name -> (N, 2), their directions and lengths; the longest of a panel sets its scale.
        clouds: name -> (M, 2), dots behind the arrows of that panel, or None.
        size: inches per panel.
    """
    x, y = np.asarray(points).T
    limits = [(low - 0.15, high + 0.15) for low, high in ((x.min(), x.max()), (y.min(), y.max()))]
    with _use_style():
        figure, axes = plt.subplots(
            1, len(fields), figsize=(len(fields) * size, size + 0.3), squeeze=False, sharey=True
        )
        for axis, (name, field) in zip(axes[0], fields.items(), strict=True):
            if clouds is not None:
                axis.scatter(*np.asarray(clouds[name]).T, s=4, color=GREY, alpha=0.35, linewidths=0)
            axis.quiver(x, y, *np.asarray(field).T, color=BLUE, width=0.006, pivot="tail")
            axis.set(title=name, xlim=limits[0], ylim=limits[1], aspect="equal", xticks=[], yticks=[])
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
    with _use_style():
        figure, places = plt.subplots(1, len(panels), figsize=(len(panels) * size, size + 0.3), squeeze=False)
        for place, (title, named) in zip(places[0], panels.items(), strict=True):
            place.axhline(0, color=GREY, linewidth=1)
            place.axvline(0, color=GREY, linewidth=1)
            place.text(1.28, -0.05, axes[0], ha="right", va="top", color=GREY)
            place.text(0.05, 1.5, axes[1], ha="left", va="top", color=GREY)
            for (name, tip), color in zip(named.items(), (BLUE, ORANGE, GREEN, PINK), strict=False):
                right, up = (float(part) for part in tip)
                place.annotate("", (right, up), (0, 0), arrowprops={"arrowstyle": "-|>", "color": color, "lw": 2})
                place.text(1.14 * right, 1.14 * up, name, ha="center", va="center", color=color)
            place.set(title=title, xlim=(-1.3, 1.3), ylim=(-0.3, 1.5), aspect="equal", xticks=[], yticks=[])
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
    shown = np.concatenate([t[t > 0] if log else t.ravel() for t in tables.values()])
    low, high = limits or (shown.min(), shown.max())
    if signed and limits is None:
        low, high = -np.abs(shown).max(), np.abs(shown).max()
    norm = (LogNorm if log else Normalize)(low, high)
    columns = min(columns, len(tables))
    rows = -(-len(tables) // columns)
    with _use_style():
        width = columns * size[0] + (0.9 if colorbar else 0)
        figure, axes = plt.subplots(rows, columns, figsize=(width, rows * (size[1] + 0.3)), squeeze=False)
        for axis in axes.flat[len(tables) :]:
            axis.axis("off")
        for axis, (name, table) in zip(axes.flat, tables.items(), strict=False):
            axis.set_facecolor("#d9dadc")
            masked = np.ma.masked_where(table <= 0, table) if log else table
            picture = axis.imshow(
                masked, cmap="RdBu_r" if signed else "viridis", norm=norm, aspect="auto", interpolation="nearest"
            )
            axis.set(title=name, xlabel=xlabel, ylabel=ylabel)
            axis.grid(visible=False)
            if not xlabel:
                axis.set(xticks=[])
            if not ylabel:
                axis.set(yticks=[])
            if marks and name in marks:
                row, column = marks[name]
                for color, line in (("black", 3.5), ("white", 1.5)):  # visible on dark and on bright
                    frame = plt.Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, color=color, linewidth=line)
                    axis.add_patch(frame)
        if colorbar:
            figure.colorbar(picture, ax=axes, label=colorbar, shrink=0.9)
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
    with _use_style():
        figure, axis = plt.subplots(figsize=(8.2, 1.25 * len(sides)))
        for i, (channels, _) in enumerate(stages):
            half = 0.22 + 0.18 * channels / widest
            axis.add_patch(plt.Rectangle((i - half, row[i] - 0.28), 2 * half, 0.56, color=BLUE))
            axis.text(i, row[i], str(channels), rotation=90, ha="center", va="center", color="white", fontsize=8)
        for i, j in links:
            top = row[i] + 0.3 + 0.4 * (j - i) / len(stages)
            axis.plot([i, i, j, j], [row[i] + 0.28, top, top, row[j] + 0.28], color=ORANGE, linewidth=1.2)
        axis.set(xlim=(-0.8, len(stages) - 0.2), ylim=(min(row) - 0.4, 0.75), xticks=[])
        axis.set_yticks([-k for k in range(len(sides))], [f"{side} × {side}" for side in sides])
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
        axis.grid(visible=False)
    return figure


def _use_style():
    """Return a context with the style of our figures.

    Jupyter's backend turns interactive mode on while it loads, and rc_context would turn it off again at its end, so
    that no later figure would be shown. Therefore the backend is loaded first.
    """
    plt.draw_if_interactive()
    return plt.rc_context(STYLE)


def _show(axis, image: Tensor) -> None:
    picture = (image.detach().cpu().float().clamp(-1, 1) + 1) / 2
    axis.imshow(picture.permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def _choose_dashes(count: int) -> list[str]:
    return [["-", "--", "-.", ":"][i % 4] for i in range(count)]
