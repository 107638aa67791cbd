"""Tables of images: rows with names on the left and titles above."""

import re
import textwrap

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from ddpm_lite.viz.axes import EM, WIDTH, measure_label
from ddpm_lite.viz.svg import FONT, SvgFigure
from ddpm_lite.viz.symbols import typeset


def show_table(
    lines: list[list[Tensor]],
    names: list[str],
    titles: list[str],
    size: float,
    title: str = "",
    *,
    each: bool = False,
) -> Figure:
    """Show lines of images, each with its name on the left, and titles above the first line or above each."""
    gap, columns = 0.05, max(map(len, lines))
    if titles and not each and all(re.fullmatch(r"t = \d+", text) for text in titles):
        titles, above = [text.removeprefix("t = ") for text in titles], "$t =$"
    else:
        above = ""
    names = ["\n".join(map(typeset, _wrap(name))) for name in names]
    left = max(map(measure_label, [*names, above])) if any(names) or above else 0.0
    left += 0.8 * EM * bool(left)
    side = min(size, (WIDTH - left) / columns - gap)
    head = [1.5 * EM * bool(titles and (each or not i)) for i in range(len(lines))]
    top = 2 * EM * bool(title)
    spoken = [
        1.15 * EM * (name.count("\n") + 1) for name in names
    ]  # a name of many lines may be higher than its images
    heights = [max(side, room) if name.strip() else side for room, name in zip(spoken, names, strict=True)]
    width, height = left + columns * (side + gap) - gap, top + sum(head) + sum(heights) + gap * (len(lines) - 1)
    figure = plt.figure(figsize=(width, height), layout="none", FigureClass=SvgFigure)
    y = height - top
    if title:
        figure.suptitle(typeset(title), fontsize=FONT, y=1 - 0.3 * EM / height, va="top")
    for i, (line, name) in enumerate(zip(lines, names, strict=True)):
        y -= head[i] + heights[i]
        middle = (y + heights[i] / 2) / height
        for j, image in enumerate(line):
            corner = (left + j * (side + gap)) / width, (y + (heights[i] - side) / 2) / height
            axis = figure.add_axes((*corner, side / width, side / height))
            _show(axis, image)
            text = titles[i * columns + j if each else j] if head[i] else ""
            if text and (
                each or not j or titles[j - 1] != text
            ):  # a title of several neighbours stands once, above all
                run = 1 if each else next((k for k, other in enumerate(titles[j:]) if other != text), len(titles) - j)
                axis.set_title(typeset(text), pad=0.3 * FONT, x=(run + (run - 1) * gap / side) / 2)
        for k, words in enumerate(name.split("\n") if name else ()):
            down = (k - name.count("\n") / 2) * 1.15 * EM / height
            figure.text(0, middle - down, words, va="center_baseline", ha="left")
        if above and not i:
            figure.text(0, (y + heights[i] - (heights[i] - side) / 2 + 0.3 * EM) / height, above, va="baseline")
        y -= gap
    return figure


def _wrap(name: str, width: int = 13) -> list[str]:
    """Break a name into short lines, but no formula."""
    whole = re.sub(r" (=|-|\+) ", "\xa0\\1\xa0", name)
    return [line.replace("\xa0", " ") for line in textwrap.wrap(whole, width, break_on_hyphens=False)]


def _show(axis, image: Tensor) -> None:
    picture = (image.detach().cpu().float().clamp(-1, 1) + 1) / 2
    axis.imshow(picture.permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="none")
    axis.axis("off")
