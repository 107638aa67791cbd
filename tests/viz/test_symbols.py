"""The words of figures: the code's names become the book's symbols, and figures are SVG that does not change."""

import re
from xml.etree import ElementTree

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest
import torch

from ddpm_lite.viz import plots
from ddpm_lite.viz.svg import write_svg
from ddpm_lite.viz.symbols import typeset, write_spans


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.mark.parametrize(
    ("label", "expected"),
    {
        "t": "$t$",
        "step t = 1000": "step $t = 1000$",
        "alpha_bar": r"$\bar{\alpha}_t$",
        "sigma^2 = beta_tilde": r"$\sigma_t^2 = \tilde{\beta}_t$",
        "noise: sqrt(1 - alpha_bar)": r"noise: $\sqrt{1 - \bar{\alpha}_t}$",
        "value at t - 1, in standard deviations": "value at $t - 1$, in standard deviations",
        "draw from p: KL(p || q)": r"draw from $p$: KL($p \| q$)",
        "saying nothing (z_hat = 0)": r"saying nothing ($\hat{z} = 0$)",
        "beta_T = 0.002": r"$\beta_T = 0.002$",
        "w = 8, clipped": "$w = 8$, clipped",
        "mean -1, variance 4": "mean −1, variance 4",
        "4 x 4 means": "4 × 4 means",
        "given: $x_t$": "given: $x_t$",
    }.items(),
)
def test_names_of_the_code_become_symbols(label, expected):
    assert typeset(label) == expected


@pytest.mark.parametrize("label", ["T-shirt", "removed by a step", "average / last", "100 digits, held out", "min-SNR"])
def test_words_stay_words(label):
    assert typeset(label) == label


def test_what_a_symbol_shifts_the_next_word_takes_back():
    """The shifts of a line add up to none, in units of the words: a formula is a tenth larger, an index smaller."""
    spans = write_spans(r"from $\tilde{\beta}_t$ on")
    root = ElementTree.fromstring(f"<text>{spans}</text>")
    assert "".join(root.itertext()) == "from β˜t on"
    size = {"m": 1.1, "r": 1.1, "m s": 1.1 * 0.75, None: 1.0}
    shifts = [float(span.get("dy", "0em").removesuffix("em")) * size[span.get("class")] for span in root]
    assert sum(shifts) == pytest.approx(0, abs=2e-3)
    assert shifts[1] < 0 < shifts[2]  # the tilde is raised above a tall letter, the index is lowered


def test_an_unknown_command_is_no_silent_gap():
    with pytest.raises(KeyError, match="frac"):
        write_spans(r"$\frac{1}{2}$")


def test_a_figure_has_words_and_no_outlines_of_them():
    svg = write_svg(plots.curves([1, 2], {"beta": [1, 2], "x": [2, 1]}, xlabel="t", ylabel="loss", log="y"))
    root = ElementTree.fromstring(svg)
    words = {"".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"loss", "t", "βt", "x"} <= words
    assert "glyph" not in svg


def test_the_same_figure_has_the_same_bytes():
    first, second = (write_svg(plots.image_rows({"x_t": torch.zeros(2, 1, 4, 4)})) for _ in range(2))
    assert first == second
    assert re.search(r' d="[^"]*\.\d{3}', first) is None  # hundredths of a point


def test_images_keep_their_own_pixels():
    svg = write_svg(plots.image_grid(torch.zeros(1, 1, 8, 8), size=2.0))
    assert 'width="8" height="8"' in svg
    assert "pixelated" in svg


def test_no_figure_is_wider_than_words_can_be_read_on_a_phone():
    images = torch.zeros(20, 1, 4, 4)
    rows = {f"a name of many words {i}": {m: [1.0, 2.0] for m in "abcdef"} for i in range(3)}
    figures = [
        plots.image_grid(images, columns=20, size=3),
        plots.image_rows({"a very long name of a row of images": images}),
        plots.seed_dots(rows, width=9),
        plots.heatmaps({str(i): torch.eye(4) for i in range(4)}, size=(5, 5), colorbar="weight"),
        plots.curves([1, 2], {"a": [1, 2]}, xlabel="t", ylabel="y", size=(20, 3)),
    ]
    assert {figure.get_figwidth() <= plots.WIDTH + 1e-9 for figure in figures} == {True}
    sizes = {text.get_fontsize() for figure in figures for text in figure.findobj(plt.Text) if text.get_text()}
    assert min(sizes) >= 11
