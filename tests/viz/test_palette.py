"""The palette stands out on both grounds, for every kind of colour vision, and is written down once."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from ddpm_book.look import style
from ddpm_book.widgets import scripts, shorten

from ddpm_lite.viz.palette import GROUNDS, PALETTE, write_css
from ddpm_lite.viz.svg import COLORS, STYLE
from ddpm_lite.viz.widgets.base import Widget

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("data", "noise", "model", "exact")
THEMES = ("light", "dark")
# Machado, Oliveira and Fernandes (2009), severity 1, for linear RGB.
VISION = {
    "usual": np.eye(3),
    "no long waves": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no middle waves": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "no short waves": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]


def linear(colour):
    levels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """WCAG's ratio."""
    low, high = sorted(float(linear(colour) @ TO_XYZ[1]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(colour, vision):
    xyz = TO_XYZ @ np.clip(vision @ linear(colour), 0, 1) / [0.95047, 1, 1.08883]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_contrast_is_the_known_one():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#ffffff", "#777777") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", THEMES)
def test_every_colour_is_strong_enough_for_words(theme):
    faint = {
        (name, ground): round(contrast(getattr(PALETTE[name], theme), ground), 2)
        for name in (*ROLES, "ink", "muted")
        for ground in GROUNDS[theme]
    }
    assert {where: ratio for where, ratio in faint.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", THEMES)
def test_the_four_roles_differ_for_every_eye(theme, vision):
    """Twenty units of L*a*b* are a difference that is seen at a glance, between thin lines too."""
    seen = {name: lab(getattr(PALETTE[name], theme), VISION[vision]) for name in ROLES}
    apart = {pair: np.linalg.norm(seen[pair[0]] - seen[pair[1]]) for pair in itertools.combinations(ROLES, 2)}
    assert min(apart.values()) > 20, apart


def test_no_two_colours_are_written_alike():
    """Pages know a colour in a figure by its value for white."""
    values = [colour.light for colour in PALETTE.values()]
    assert len(set(values)) == len(values)


def test_pages_widgets_and_figures_have_the_same_colours():
    for sheet in (style(), Widget._css, scripts()["widgets.css"]):
        assert shorten("sheet.css", sheet).startswith(shorten("palette.css", write_css()))
    declared = re.findall(r"--ddpm-(\w+): ([^;]+);", write_css())
    for name, colour in PALETTE.items():
        assert [value for key, value in declared if key == name] == [*colour[:2], colour.light, colour.forced]
    assert {name: colour.light for name, colour in PALETTE.items()} == COLORS
    assert set(STYLE["axes.prop_cycle"].by_key()["color"]) < set(COLORS.values())


def test_no_style_sheet_has_a_colour_of_its_own_or_one_that_nobody_defines():
    sheets = [*(ROOT / "book/_ext/ddpm_book/assets").glob("*.css"), ROOT / "ddpm_lite/viz/js/widgets.css"]
    values = {value.lower() for colour in PALETTE.values() for value in colour[:2]} - {"#ffffff"}
    for path in sheets:
        text = path.read_text(encoding="utf8").lower()
        assert {value for value in values if value in text} == set(), f"{path.name}: write var(--ddpm-...)"
        assert set(re.findall(r"var\(--ddpm-(\w+)\)", text)) <= set(PALETTE), path.name
