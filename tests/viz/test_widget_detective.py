"""The game of the bug detective: its page against the package, and every case solved."""

import re

import pytest
import torch
from playwright.sync_api import expect

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
    return [float(word.replace("−", "-")) for word in re.findall(r"−?\d[\d.]*", text)]


def solve(stand, **state):
    page = stand(BugDetective(**state))
    page.page.get_by_role("button", name="Solve eight cases here").click()
    page.page.get_by_role("group").wait_for()
    wait_for_samples(page)
    return page


def wait_for_samples(page):
    """Wait until what is measured has been drawn, and return the verdict's words."""
    verdict = page.page.locator("p[role=status]").last
    expect(verdict).not_to_have_text("Drawing samples …")
    return verdict.inner_text()


@pytest.mark.html
def test_page_measures_what_the_package_computes(stand):
    """The case without a mistake: moments of the data, and the two equations of a step."""
    page = solve(stand, case=5, instrument=2)
    mean = sum(w * m for m, w in zip(MEANS, WEIGHTS, strict=True))
    deviation = (sum(w * (m**2 + STD**2) for m, w in zip(MEANS, WEIGHTS, strict=True)) - mean**2) ** 0.5
    found = page.facts()
    assert numbers(found["Mean and deviation of the data:"]) == pytest.approx([mean, deviation], abs=1e-3)
    # the fourth moment of the mixture gives the error of the deviation
    fourth = sum(
        w * ((m - mean) ** 4 + 6 * (m - mean) ** 2 * STD**2 + 3 * STD**4) for m, w in zip(MEANS, WEIGHTS, strict=True)
    )
    errors = deviation / 3000**0.5, ((fourth - deviation**4) / (4 * deviation**2 * 3000)) ** 0.5
    for name, exact, error, slack in (("mean", mean, errors[0], 0), ("deviation", deviation, errors[1], 0.01)):
        for line in (f"{name.title()} of the samples:", f"{name} of a right chain:"):
            measured, chance = numbers(found[line])
            assert measured == pytest.approx(exact, abs=4 * error + slack)  # the chain is narrower than the data
            assert chance == pytest.approx(error, abs=1.1e-3)
    page.set(instrument=2)
    wait_for_samples(page)
    for line, text in page.facts().items():
        t, (got, wanted) = int(re.search(r"t = (\d+)", line)[1]), numbers(text)
        assert got == pytest.approx(wanted)
        assert wanted == pytest.approx(float(exact_square(line, t).sqrt()), rel=5e-3)


def exact_square(line, t):
    """The square of what a line of the weights should say."""
    if "fresh" in line:
        return SCHEDULE.beta_tilde[t]
    return (SCHEDULE.alpha_bar if "image" in line else SCHEDULE.one_minus_alpha_bar)[t - 1]


@pytest.mark.html
def test_the_weights_of_case_1_say_that_the_fresh_noise_is_its_variance(stand):
    """Beside no fresh noise at all, the noise as a whole differs only in its third digit."""
    found = solve(stand, case=1, instrument=3).facts()
    for t in (100, 2):
        got, wanted = numbers(found[f"t = {t}, deviation of the fresh noise:"])
        assert got == pytest.approx(wanted**2, rel=0.02)
        assert wanted == pytest.approx(float(SCHEDULE.beta_tilde[t].sqrt()), rel=5e-3)


@pytest.mark.html
@pytest.mark.parametrize(
    ("case", "told", "start", "added"),
    [
        (5, (200, 199, 2, 1), 1.0, 0.0),
        (2, (201, 200, 3, 2), 1.0, 0.0),
        (8, (199, 198, 1, 0), 1.0, 0.0),
        (6, (200, 199, 2, 1), 0.5, 0.0),
        (3, (200, 199, 2, 1), 1.0, float(SCHEDULE.beta[1].sqrt())),
    ],
)
def test_the_log_says_what_was_measured(stand, case, told, start, added):
    found = solve(stand, case=case, instrument=4).facts()
    calls = [numbers(text) for line, text in found.items() if line.startswith("Call")]
    assert [line for line in found if line.startswith("Call")] == [f"Call {k} of 200:" for k in (1, 2, 199, 200)]
    assert tuple(call[0] for call in calls) == told
    assert calls[0][1] == pytest.approx(start, abs=0.05)
    assert numbers(found["Added after the last call, beside x and its estimate:"])[0] == pytest.approx(added, abs=2e-3)
    if case == 3:  # the chapter and the verdict quote it
        assert found["Added after the last call, beside x and its estimate:"] == "deviation 0.023"


@pytest.mark.html
def test_every_case_can_be_solved_by_keyboard(stand):
    page = stand(BugDetective())
    page.page.get_by_role("button", name="Solve eight cases here").press("Enter")
    page.page.get_by_role("group").wait_for()
    case, answer = (page.page.get_by_label(name, exact=True) for name in ("case", "what is wrong?"))
    for number, name in enumerate(RIGHT, start=1):
        case.select_option(str(number))
        answer.select_option("no fresh noise")
        assert wait_for_samples(page).startswith("Not this")
        answer.select_option(name)
        verdict = wait_for_samples(page)
        assert verdict.startswith("Right.")
        assert verdict.endswith(f"Solved: {number} of 8.")
    case.select_option("1")
    assert wait_for_samples(page).startswith("Case 1: measure")
    assert page.get("answer") == 0
