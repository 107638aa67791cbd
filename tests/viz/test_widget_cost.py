"""The calculator of costs: its JavaScript against the package, and the page."""

import itertools
import json
import re

import pytest
from javascript import run_module

from ddpm_lite.runs.cost import count_unet
from ddpm_lite.viz.widgets import CostCalculator
from ddpm_lite.viz.widgets.cost import ATTENTION, SIDES, STEPS, WIDENING


def test_it_opens_with_the_papers_network_and_time():
    """Appendix B of the paper: 35.7 million parameters, 10.6 hours."""
    widget = CostCalculator()
    assert widget.cost().weights == 35_746_307
    assert widget.seconds() / 3600 == pytest.approx(10.6, abs=0.05)


def test_the_chapter_quotes_the_calculator():
    """Billions of operations with attention on every level and without any, and what an image leaves behind."""
    more, less = (CostCalculator(side=64, attention=kind).cost().operations / 1e9 for kind in reversed(ATTENTION[::3]))
    assert (round(more), round(less)) == (101, 46)
    assert round(CostCalculator().cost().kept / 1e6, 1) == 53.8


def test_the_page_counts_as_the_package_does():
    """A grid of all shapes, level by level, to the last byte."""
    shapes = itertools.product((8, 64), (16, 48), WIDENING, (1, 2, 4), (1, 3), ATTENTION)
    names = ("side", "width", "widening", "levels", "blocks", "attention")
    configs = [CostCalculator(**dict(zip(names, shape, strict=True))).config() for shape in shapes]
    given = [
        {
            "side": config.sample_size,
            "colours": config.in_channels,
            "channels": config.channels,
            "blocks": config.blocks,
            "levels": config.attention_levels,
            "middle": config.middle_attention,
            "groups": config.groups,
            "dropout": config.dropout > 0,
        }
        for config in configs
    ]
    code = "return given.map((one) => modules.countUnet({ ...one, attends: (level) => one.levels.includes(level) }));"
    found = run_module(["cost.js"], f"const given = {json.dumps(given)};", code)
    assert len(found) == 288
    assert found == [[list(cost) for cost in count_unet(config)] for config in configs]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"side": 28}, "side: expected one of 8, 16"),
        ({"width": 100}, "width: expected a multiple of 16"),
        ({"levels": 5}, "levels: expected a whole number in 1..4"),
        ({"attention": "all"}, "attention: expected one of 'nowhere'"),
        ({"speed": float("nan")}, "speed: expected a number"),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        CostCalculator(**options)
    assert "\n" not in str(caught.value)


def number(text):
    """A number as the page writes it, in the units of the package: bytes and seconds."""
    value, _, unit = text.replace(",", "").partition(" ")
    if unit.startswith("× 10"):
        return float(value) * 10 ** float(unit[4:].translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")))
    scale = {"": 1, "MB": 1e6, "GB": 1e9, "seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400, "years": 3.1536e7}
    return float(value) * scale[unit]


@pytest.mark.html
def test_page_shows_the_packages_numbers(stand):
    page = stand(CostCalculator())
    page.page.get_by_role("button", name="Choose your own network").click()
    page.page.get_by_role("group").wait_for()
    for options in ({}, {"side": 256, "widening": WIDENING[2], "attention": ATTENTION[3]}, {"width": 16, "levels": 1}):
        widget = CostCalculator(images=40, steps=10_000, speed=12.5, **options)
        page.set(**{name: getattr(widget, name) for name in widget.traits(twin=True)})
        words, cost = page.facts(), widget.cost()
        assert words["Weights P:"] == f"{cost.weights:,}"
        assert words["Operations F, one image:"] == f"{cost.operations:,}"
        *levels, _ = count_unet(widget.config())
        for name, i in (("weights", 0), ("operations", 1)):
            assert words[f"{name} by level:"] == ", ".join(f"{round(100 * one[i] / cost[i])} %" for one in levels)
        assert number(words["A, each image:"]) == pytest.approx(cost.kept, rel=5e-3)
        assert number(words["20 P:"]) == pytest.approx(20 * cost.weights, rel=5e-3)
        assert number(words["Memory of a step:"]) == pytest.approx(1e9 * widget.memory(40), rel=5e-3)
        work = 3 * cost.operations * 40 * 10_000
        assert number(words["Operations W of the training:"]) == pytest.approx(work, rel=5e-3)
        assert number(words["Time of the training:"]) == pytest.approx(work / 10**12.5, rel=5e-3)


@pytest.mark.html
def test_every_control_obeys_the_keyboard(stand):
    page = stand(CostCalculator())
    page.page.get_by_role("button", name="Choose your own network").press("Enter")
    page.page.get_by_role("group").wait_for()
    assert (
        page.page.evaluate("document.activeElement.tagName") == "SELECT"
    )  # the first control, not the top of the page
    before = page.facts()
    for trait, key in (("levels", "ArrowLeft"), ("width", "ArrowRight"), ("images", "End"), ("speed", "Home")):
        old = page.get(trait)
        page.page.locator(f"input[id^=dw-{trait}]").press(key)
        assert page.get(trait) != old
    assert (page.get("images"), page.get("speed")) == (256, 9)
    page.page.locator("select[id^=dw-side]").select_option("64 × 64, in colour")
    assert SIDES[page.get("side")] == 64
    assert STEPS[page.get("steps")] == 800_000
    assert page.facts().keys() == before.keys()
    assert not set(page.facts().items()) & set(before.items())
