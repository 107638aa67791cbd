"""The game of the bug detective: its page against the package, and every case solved."""

import re

import pytest
import torch

from ddpm_lite import linear_schedule
from ddpm_lite.viz.widgets import BugDetective
from ddpm_lite.viz.widgets.detective import MEANS, STD, WEIGHTS

RIGHT = ["variance taken for deviation", "the network is told t + 1", "noise in the last step"]
RIGHT += ["the network learnt data in [0, 1]", "nothing is wrong", "it starts from half the noise"]
RIGHT += ["alpha-bar of t for that of t − 1", "the network is told t − 1"]
SCHEDULE = linear_schedule(200, 5e-4, 0.1)


def test_the_still_figure_is_the_data():
    widget, x = BugDetective(), torch.linspace(-1, 1, 9, dtype=torch.float64)
    bells = [w * torch.distributions.Normal(m, STD).log_prob(x).exp() for m, w in zip(MEANS, WEIGHTS, strict=True)]
    ours = widget.density(linear_schedule(1, 1e-9, 1e-9), x)
    torch.testing.assert_close(torch.tensor(ours, dtype=torch.float64), sum(bells), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [{"case": 0}, {"case": 9}, {"instrument": 5}])
def test_bad_state_is_one_line(plain, options):
    (argument,) = options
    with pytest.raises(ValueError, match=f"^{argument}: expected a whole number in 1.."):
        BugDetective(**options)


def numbers(text):
    return [float(word.replace("−", "-")) for word in re.findall(r"[−\d.]+(?:e−?\d+)?", text)]


@pytest.mark.html
def test_page_measures_what_the_package_computes(stand):
    """The case without a mistake: moments of the data, and the two equations of a step."""
    page = stand(BugDetective(case=5, instrument=2))
    page.page.get_by_role("button", name="Solve eight cases here").click()
    page.page.get_by_role("group").wait_for()
    mean = sum(w * m for m, w in zip(MEANS, WEIGHTS, strict=True))
    deviation = (sum(w * (m**2 + STD**2) for m, w in zip(MEANS, WEIGHTS, strict=True)) - mean**2) ** 0.5
    found = page.facts()
    measured, chance = numbers(found["Mean of the samples:"])
    assert measured == pytest.approx(mean, abs=4 * chance)
    assert numbers(found["Deviation of the samples:"])[0] == pytest.approx(deviation, abs=0.03)
    page.set(instrument=2)
    for line, text in page.facts().items():
        t, (got, wanted) = int(re.search(r"t = (\d+)", line)[1]), numbers(text)
        table = SCHEDULE.alpha_bar if "image" in line else SCHEDULE.one_minus_alpha_bar
        assert got == pytest.approx(wanted)
        assert wanted == pytest.approx(float(table[t - 1].sqrt()), rel=5e-3)


@pytest.mark.html
def test_every_case_can_be_solved_by_keyboard(stand):
    page = stand(BugDetective())
    page.page.get_by_role("button", name="Solve eight cases here").press("Enter")
    page.page.get_by_role("group").wait_for()
    case, answer = (page.page.get_by_label(name, exact=True) for name in ("case", "what is wrong?"))
    verdict = page.page.locator("p[role=status]").last
    for number, name in enumerate(RIGHT, start=1):
        case.select_option(str(number))
        answer.select_option("no fresh noise")
        assert verdict.inner_text().startswith("Not this")
        answer.select_option(name)
        assert verdict.inner_text().startswith("Right.")
        assert verdict.inner_text().endswith(f"Solved: {number} of 8.")
    case.select_option("1")
    assert verdict.inner_text().startswith("Case 1: measure")
    assert page.get("answer") == 0
