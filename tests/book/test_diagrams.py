"""The drawn diagrams: their symbols are the chapter's, their shapes the network's, and words say what they show."""

import re
from pathlib import Path
from xml.etree import ElementTree

import notebooks
import pytest
import torch

from ddpm_lite import load_pretrained
from ddpm_lite.unet import Downsample, ResBlock, Upsample
from ddpm_lite.viz.palette import PALETTE
from ddpm_lite.viz.symbols import write_spans

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"

# Every formula of each diagram, as the chapter writes it.
FORMULAS = {
    "noise-chain": (
        "02_forward_process",
        ["x_0", "x_{t-1}", "x_t", "x_T", "z", r"q(x_t \mid x_{t-1})", r"q(x_t \mid x_0)"]
        + [r"\sqrt{\bar{\alpha}_t} x_0 + \sqrt{1 - \bar{\alpha}_t} z"],
    ),
    "bayes-triangle": (
        "03_posterior",
        ["x_0", "x_{t-1}", "x_t", r"q(x_{t-1} \mid x_0)", r"q(x_t \mid x_{t-1}, x_0)", r"q(x_t \mid x_0)"]
        + [r"q(x_{t-1} \mid x_t, x_0)"],
    ),
    "unet-shapes": ("06_unet", ["x_t", r"z_\theta(x_t, t)", "t"]),
    "training-loop": ("08_training", ["x_0", "t", "z", "x_t", r"\theta", r"z_\theta(x_t, t)", "L_t"]),
    "sampling-loop": (
        "09_sampling",
        ["x_T", "x_t", r"z_\theta(x_t, t)", r"\sigma_t z'", "x_{t-1}", r"t = T, T - 1, \dots, 1", "x_0"],
    ),
    "guidance-arrow": (
        "10_conditioning_and_guidance",
        [r"z_\theta(x_t, t, \varnothing)", r"z_\theta(x_t, t, c)", "c", "w", r"\hat{z}"],
    ),
}
every_diagram = pytest.mark.parametrize("name", FORMULAS)


def source(name):
    return (ROOT / "book" / "images" / f"{name}.svg").read_text(encoding="utf8")


def prose(chapter):
    cells = notebooks.read(ROOT / "book" / f"{chapter}.ipynb")["cells"]
    return "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")


def test_every_drawing_of_the_book_is_listed():
    drawings = {path.stem for path in (ROOT / "book" / "images").glob("*.svg")}
    assert drawings - {"favicon"} == set(FORMULAS)


@every_diagram
def test_its_formulas_are_those_listed_and_the_chapter_has_them(name):
    chapter, formulas = FORMULAS[name]
    text, written = source(name), prose(chapter)
    for formula in sorted(formulas, key=len, reverse=True):
        assert formula in written, f"{chapter} does not write {formula}"
        spans = write_spans(f"${formula}$")
        assert spans in text, f"{name}.svg does not show {formula}"
        text = text.replace(spans, "")
    assert re.findall(r'<tspan class="[mrs ]+"[^>]*>[^<]*', text) == [], "a formula that is not listed"


@every_diagram
def test_it_is_numbered_named_and_told_in_words(name):
    chapter, _ = FORMULAS[name]
    text = prose(chapter)
    (figure,) = re.findall(rf"```{{figure}} images/{name}\.svg\n(.*?)```", text, re.DOTALL)
    assert f":name: fig-{name}\n" in figure
    assert f"{{numref}}`fig-{name}`" in text
    alt, caption = re.fullmatch(r".*:alt: ([^\n]+)\n\n(.+)\n", figure, re.DOTALL).groups()
    assert len(alt) > 80
    assert caption.endswith(".")


@every_diagram
def test_it_is_whole_and_in_the_colours_of_the_book(name):
    text = source(name)
    root = ElementTree.fromstring(text)
    assert root.find(f"{SVG}title").text
    assert root.find(f"{SVG}desc").text
    assert set(re.findall(r"#[0-9a-f]{6}\b", text)) <= {colour.light for colour in PALETTE.values()}
    width, height = map(float, root.get("viewBox").split()[2:])
    assert width == 418, "as wide as figures, so that words have one size"
    assert {group.get("font-size") for group in root.iter() if group.get("font-size")} == {"11"}
    for word in root.iter(f"{SVG}text"):
        assert 0 <= float(word.get("x")) <= width
        assert 0 <= float(word.get("y")) <= height


def test_shapes_of_the_u_net_are_those_of_the_shipped_network():
    model, _ = load_pretrained("digits")
    shapes = []
    for name, module in model.named_modules():
        if isinstance(module, ResBlock | Downsample | Upsample) or name in ("conv_in", "conv_out"):
            module.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    with torch.no_grad():
        model(torch.zeros(1, 1, 8, 8), t=5)
    drawn = [
        tuple(map(int, word.text.split(" × ")))
        for word in ElementTree.fromstring(source("unet-shapes")).iter(f"{SVG}text")
        if word.get("class") == "shape"
    ]
    assert drawn == shapes
