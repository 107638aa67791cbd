"""The colours of the book, each with one meaning, in figures, widgets, boxes and diagrams.

    data     what is given: images, points, the process that we choose
    noise    Gaussian noise, and what is made of noise alone
    model    what a network says, and what is sampled with it
    exact    what the mathematics gives: an exact density, score or loss
    ink      lines and words; muted: words beside them, axes; grid: lines behind; shade: a ground behind a group

Each has a value for a white ground and one for a dark ground. The four hues differ in lightness too, so that they are
distinguishable with every kind of colour vision; on both grounds all are dark or bright enough for words (4.5 : 1). A
page uses them as custom properties, `var(--ddpm-data)`, which `write_css` defines; with forced colours they are the
reader's own, of which only four differ (links that were visited look like the others). Figures hold the values for
white, and the book's pages put the custom properties in their place.
"""

from typing import NamedTuple


class Colour(NamedTuple):
    """A colour on white, in the dark, and the system's colour that stands for it where colours are forced."""

    light: str
    dark: str
    forced: str


PALETTE = {
    "data": Colour("#1450c4", "#5aa2ff", "LinkText"),
    "noise": Colour("#b55400", "#f5872a", "Highlight"),
    "model": Colour("#207d56", "#57eba9", "GrayText"),
    "exact": Colour("#7a2a6f", "#e898c8", "CanvasText"),
    "ink": Colour("#222832", "#ced6dd", "CanvasText"),
    "muted": Colour("#48566b", "#9ca4af", "CanvasText"),
    "grid": Colour("#d8dce1", "#39424f", "GrayText"),
    "shade": Colour("#eff2f6", "#222a35", "Canvas"),
    "paper": Colour("#ffffff", "#121212", "Canvas"),
}
GROUNDS = {
    "light": ("#ffffff", "#f3f4f5"),
    "dark": ("#121212", "#29313d"),
}  # the theme's page, and the ground of its boxes
DARK = ('html[data-theme="dark"]', 'body[data-jp-theme-light="false"]')  # the book, and JupyterLab


def write_css() -> str:
    """Write the style sheet that defines the custom properties; print is always light."""

    def define(selectors, values):
        lines = "".join(f"  --ddpm-{name}: {value};\n" for name, value in values.items())
        return f"{', '.join(selectors)} {{\n{lines}}}\n"

    light = {name: colour.light for name, colour in PALETTE.items()}
    dark = {name: colour.dark for name, colour in PALETTE.items()}
    forced = {name: colour.forced for name, colour in PALETTE.items()}
    return (
        define((":root",), light)
        + define(DARK, dark)
        + f"@media print {{\n{define((':root', *DARK), light)}}}\n"
        + f"@media (forced-colors: active) {{\n{define((':root', *DARK), forced)}}}\n"
    )
