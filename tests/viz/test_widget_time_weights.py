"""The weights over t: the sums against the records and the package, and the page."""

import math

import numpy as np
import pytest
import torch

from ddpm_lite import GaussianMixture, linear_schedule
from ddpm_lite.bound import bound_weight, gaussian_kl, min_snr_weight
from ddpm_lite.files.records import read_record
from ddpm_lite.viz.widgets import TimeWeights
from ddpm_lite.viz.widgets.time_weights import DATA, RANGES, TIMES, WEIGHTS

SCHEDULE = linear_schedule()
TABLES = dict(zip(WEIGHTS, (torch.ones(1001).double(), bound_weight(SCHEDULE), min_snr_weight(SCHEDULE)), strict=True))
NAMES = ["t = 1", "2 to 10", "11 to 100", "101 to 1000"]


@pytest.fixture(scope="module")
def widget():
    return TimeWeights()


@pytest.fixture(scope="module")
def trained():
    return read_record("results/weights.json")


def divide(weighted):
    """The share of each range in a sum over t = 1..1000."""
    return [float(weighted[low - 1 : high].sum() / weighted.sum()) for low, high in RANGES]


def test_shares_are_those_of_all_thousand_times(widget, trained):
    errors = torch.tensor(read_record("results/bits.json")["models"]["digits"]["errors"]).double()
    for name, table in TABLES.items():
        assert widget.shares(f"weight, {name}") == pytest.approx(divide(table[1:]), abs=1e-6)
        assert widget.shares(f"digits, {name}") == pytest.approx(divide(table[1:] * errors), abs=1e-6)
        above = torch.tensor(trained[name]).double()
        assert widget.shares(f"above, {name}") == pytest.approx(divide(table[1:] * above), abs=1e-6)
        loss = torch.tensor(trained["least"]).double() + above
        assert widget.shares(f"blobs, {name}") == pytest.approx(divide(table[1:] * loss), abs=1e-6)


def test_the_stack_of_bits_is_the_recorded_bound(widget):
    """The sum of the digits' terms, as the study of bits wrote it, and a term from its two parts."""
    found = read_record("results/bits.json")["models"]["digits"]
    upto = widget.rows()["bits"]
    assert upto[0] == pytest.approx(found["beta"]["L_0"], abs=1e-9)
    assert upto[-1] + found["beta"]["L_T"] == pytest.approx(found["beta"]["total"], abs=1e-4)
    terms = np.frombuffer(widget.curves, "<f4").reshape(10, -1)[9]
    t = 10
    constant = gaussian_kl(0.0, SCHEDULE.beta_tilde[t], 0.0, SCHEDULE.beta[t])
    term = float(bound_weight(SCHEDULE)[t] * found["errors"][t - 1] + constant) / math.log(2)
    assert terms[TIMES.index(t)] == pytest.approx(term, rel=1e-6)


def test_the_recorded_floor_is_the_oracles(trained):
    """At three times, by sampling: the oracle's own loss, and a network's is above it."""
    omega, means = torch.tensor([0.3, 0.4, 0.3]), torch.tensor([[-0.8], [0.0], [0.7]])
    blobs = GaussianMixture(SCHEDULE, means, torch.full((3,), 0.1), omega)
    generator = torch.Generator().manual_seed(0)
    for t in (10, 85, 400):
        which = torch.multinomial(omega, 200_000, replacement=True, generator=generator)
        x_0, z = (torch.randn(200_000, 1, generator=generator).double() for _ in range(2))
        x_t = SCHEDULE.alpha_bar[t].sqrt() * (means[which] + 0.1 * x_0) + SCHEDULE.one_minus_alpha_bar[t].sqrt() * z
        off = (z - blobs(x_t, t)).square()
        assert trained["least"][t - 1] == pytest.approx(float(off.mean()), abs=4 * float(off.std()) / 200_000**0.5)
    assert all(min(trained[name]) >= 0 for name in WEIGHTS)


def test_each_weight_is_good_where_it_is_large(trained):
    """What the chapter says of the three networks: near t = 1 that of the bound, at t = 200 and later the others."""
    early, late = (
        {name: float(np.mean(trained[name][part])) for name in WEIGHTS} for part in (slice(50), slice(-500, None))
    )
    assert min(early, key=early.get) == "bound"
    assert max(early, key=early.get) == min(late, key=late.get) == "min-SNR"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"data": "clothes"}, "data: expected one of 'digits, shipped network'"),
        ({"weight": "SNR"}, "weight: expected one of 'simple', 'bound', 'min-SNR'"),
        ({"t": 0}, "t: expected one of 1, 2"),
    ],
)
def test_bad_state_is_one_line(plain, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        TimeWeights(**options)
    assert "\n" not in str(caught.value)


def percents(text):
    """The shares of a fact such as "t = 1: 3 %, ..."."""
    parts = [part.rpartition(": ") for part in text.split(", ")]
    assert [name for name, _, _ in parts] == NAMES
    return [float(share.removesuffix("\u00a0%")) / 100 for _, _, share in parts]


@pytest.mark.html
def test_page_shows_the_records_numbers(stand, widget, trained):
    one = stand(TimeWeights())
    one.page.get_by_role("button", name="Weigh the times yourself").press("Enter")
    one.page.get_by_role("group", name="Which t does this weight train?").wait_for()
    rows, errors = widget.rows(), read_record("results/bits.json")["models"]["digits"]["errors"]
    for w, name in enumerate(WEIGHTS):
        for data in (0, 1):
            at = (12, 30)[data]
            t = TIMES[at]
            one.set(data=data, weight=w, at=at)
            words = one.facts()
            loss = (errors[t - 1], trained["least"][t - 1] + trained[name][t - 1])[data]
            kind = ("digits", "blobs")[data]
            assert words["At t:"] == str(t)
            assert float(words["network's loss:"]) == pytest.approx(loss, rel=5e-3)
            assert float(words["weight:"]) == pytest.approx(float(TABLES[name][t]), rel=5e-3)
            if data:
                assert float(words["loss above the floor:"]) == pytest.approx(trained[name][t - 1], rel=6e-2)
            upto = rows[f"{kind}, {name}"]
            share = float(words["of the weighted loss:"].removesuffix("\u00a0%")) / 100
            assert share == pytest.approx(upto[at] / upto[-1], rel=6e-2)
            assert percents(words["Weighted loss by range:"]) == pytest.approx(
                widget.shares(f"{kind}, {name}"), rel=6e-2
            )
            last, fact = (("bits", "Bits by range:"), (f"above, {name}", "Above the floor by range:"))[data]
            assert percents(words[fact]) == pytest.approx(widget.shares(last), rel=6e-2, abs=1e-5)
    # the widths of the bars are the shares
    live = one.page.locator(".ddpm-widget:not(.ddpm-widget-still) polygon")
    corners = live.nth(6).get_attribute("points").split()
    wide = (float(corners[2]) - float(corners[0])) / 252
    assert wide == pytest.approx(widget.shares("blobs, min-SNR")[2], abs=1e-3)


@pytest.mark.html
def test_a_pointer_and_keys_choose_the_time(stand):
    one = stand(TimeWeights(data=DATA[1]))
    one.page.get_by_role("button").first.click()
    one.page.get_by_role("group").wait_for()
    slider = one.page.locator("input[id^=dw-at]")
    for key, t in (("Home", 1), ("End", 1000), ("ArrowLeft", TIMES[-2])):
        slider.press(key)
        assert one.facts()["At t:"] == str(t) == slider.get_attribute("aria-valuetext").removeprefix("t = ")
    plot = one.page.locator("svg.dw-plot:visible").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    for t in (100, 10):  # the axis is 300 units wide, and logarithmic from 1 to 1000
        one.page.mouse.click(box["x"] + (48 + 100 * math.log10(t)) * box["width"] / 360, box["y"] + box["height"] / 2)
        assert one.facts()["At t:"] == str(t)
    assert one.page.locator("svg.dw-plot:visible").first.locator("text").all_text_contents()[:3] == ["1", "32", "1000"]
