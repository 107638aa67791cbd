"""The reader draws the curve that they expect, before they see the true one."""

from collections.abc import Sequence
from html import escape

import numpy as np
import traitlets
from torch import Tensor

from ddpm_lite._check import fail
from ddpm_lite.viz.widgets.base import Widget, state
from ddpm_lite.viz.widgets.still import format_tick

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 10, 40  # the margins of the plot, as in still.curves
ROOM = 38  # pixels from one number below the axis to the next
SCALES = ("linear", "log", "even")


class DrawGuess(Widget):
    """Axes on which a reader draws a curve by a few handles, to compare it with the true one.

    A page covers the figure that shows the result, and what is printed before it, until the answer is shown. The guess
    stays in the reader's browser.

    Args:
        key: the name of the guess, one in the whole book, such as "alpha-bar".
        ask: the question, as a sentence.
        x: where the true curve is known, increasing.
        y: the true values there.
        at: the values of `x` that get a handle, 3 to 9 of them; None gives each a handle.
        limits: the two ends of the vertical axis; the true curve is between them.
        xlabel, ylabel: what the axes show.
        point: names a handle's place, with {} for its number.
        log: whether the vertical axis is logarithmic.
        across: "linear", "log", or "even", which places the handles at equal distances whatever their numbers are.
        ticks: names of the handles below the axis; None writes their numbers.
        hides: the name of the figure with the result; "" if the next cell prints it.

    Raises:
        ValueError: a wrong argument; the message names it.
    """

    name = "draw-guess"
    press = "Draw your guess"
    own_button = True
    key = state(traitlets.Unicode())
    ask = state(traitlets.Unicode())
    axes = state(traitlets.Unicode())
    path = state(traitlets.Unicode())
    across = state(traitlets.List())
    points = state(traitlets.List())
    heights = state(traitlets.List())
    limits = state(traitlets.List())
    log = state(traitlets.Bool())
    hides = state(traitlets.Unicode())
    guess = state(traitlets.List())
    shown = state(traitlets.Bool())

    def __init__(
        self,
        key: str,
        ask: str,
        x: Sequence[float] | np.ndarray | Tensor,
        y: Sequence[float] | np.ndarray | Tensor,
        *,
        at: Sequence[float] | None = None,
        limits: tuple[float, float],
        xlabel: str,
        ylabel: str,
        point: str | None = None,
        log: bool = False,
        across: str = "linear",
        ticks: Sequence[str] | None = None,
        hides: str = "",
    ):
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if x.ndim != 1 or x.shape != y.shape or not (np.diff(x) > 0).all():
            fail(ValueError, "x", "increasing numbers, as many as y has", f"shapes {x.shape} and {y.shape}")
        if across not in SCALES:
            fail(ValueError, "across", f"one of {', '.join(SCALES)}", repr(across))
        places = list(range(len(x))) if at is None else [int(np.abs(x - value).argmin()) for value in at]
        if not 3 <= len(places) <= 9 or (at is not None and not np.allclose(x[places], at)):
            fail(ValueError, "at", "3 to 9 values of x", repr(at))
        if across == "even" and len(places) < len(x):
            fail(ValueError, "at", "None, because even distances are those of the handles", repr(at))
        low, high = limits
        if not (low < high and (low > 0 or not log) and (y >= low).all() and (y <= high).all()):
            fail(ValueError, "limits", f"two ends around all of y, {y.min():.3g}..{y.max():.3g}", repr(limits))
        self.words = (xlabel, ylabel)
        right = np.arange(len(x), dtype=np.float64) if across == "even" else np.log10(x) if across == "log" else x
        up = np.log10 if log else np.asarray
        left = self.leave_margin(limits, log)
        # Rounded twice as in still.curves, so that these are the same numbers on every processor.
        px = np.round(left + (right - right[0]) / (right[-1] - right[0]) * (WIDTH - left - RIGHT), 6).round(1)
        share = np.round((up(y) - up(low)) / (up(high) - up(low)), 6).round(4)
        py = np.round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 6).round(1)
        words = (
            [f"{value:g}" if value < 1e4 else f"{value:,g}" for value in x[places]] if ticks is None else list(ticks)
        )
        if len(words) != len(places):
            fail(ValueError, "ticks", f"{len(places)} names, one for each handle", repr(ticks))
        super().__init__(
            key=key,
            ask=ask,
            axes=self.draw_axes(px[places], words, limits, log),
            path="M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(px, py, strict=True)),
            across=px[places].tolist(),
            points=[(point or f"{xlabel} = {{}}").format(word) for word in words],
            heights=share[places].tolist(),
            limits=[float(low), float(high)],
            log=log,
            hides=hides,
        )

    @staticmethod
    def pick_ticks(limits: tuple[float, float], log: bool) -> tuple[float, float, float]:
        """Return the three numbers beside the vertical axis, from below."""
        low, high = limits
        return low, float(low * high) ** 0.5 if log else (low + high) / 2, high

    @classmethod
    def leave_margin(cls, limits: tuple[float, float], log: bool) -> int:
        """Return the pixels left of the plot, so that the axis' name keeps clear of the longest number."""
        longest = max(len(format_tick(value)) for value in cls.pick_ticks(limits, log))
        return LEFT + 17 * max(0, longest - 3) // 2  # there is room for three letters, and each has about 8.5 pixels

    def draw_axes(self, px: np.ndarray, words: list[str], limits: tuple[float, float], log: bool) -> str:
        """Draw the axes with a line above each place of a handle."""
        left = self.leave_margin(limits, log)
        bottom, parts = HEIGHT - BOTTOM, []
        for value, share in zip(self.pick_ticks(limits, log), (0, 0.5, 1), strict=True):
            at = bottom - share * (bottom - TOP)
            parts.append(f'<line class="dw-grid" x1="{left}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"></line>')
            parts.append(f'<text x="{left - 10}" y="{at + 4:.1f}" text-anchor="end">{format_tick(value)}</text>')
        last = len(px) - 1
        kept = [last]
        # From both ends inwards a number is written where there is room for it.
        for number in range(last):
            if all(abs(px[number] - px[other]) >= ROOM for other in kept):
                kept.append(number)
        for number, at in enumerate(px):
            parts.append(f'<line class="dw-grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{bottom}"></line>')
            if number in kept:
                place = f'x="{at + 8 * (number == last):.1f}" y="{bottom + 15}"'
                anchor = "end" if number == last else "middle"
                parts.append(f'<text {place} text-anchor="{anchor}">{escape(words[number])}</text>')
        across, upward = self.words
        middle_x, middle_y = (left + WIDTH - RIGHT) / 2, -(TOP + bottom) / 2
        parts.append(f'<text x="{middle_x:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(across)}</text>')
        parts.append(
            f'<text x="{middle_y:.1f}" y="12" text-anchor="middle" transform="rotate(-90)">{escape(upward)}</text>'
        )
        return "".join(parts)

    def __repr__(self) -> str:
        return f"DrawGuess({self.key!r}, {self.ask!r})"

    def still(self) -> str:
        label = escape(f"Empty axes for your guess: {self.words[1]} over {self.words[0]}.")
        return f'<svg class="dw-plot" role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {HEIGHT}">{self.axes}</svg>'

    def sentence(self) -> str:
        return f"{self.ask} Draw the curve that you expect before you go on."
