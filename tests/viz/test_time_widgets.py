"""The measure of the widgets' speed is complete: it times every control of every widget, however fast it may be."""

import pytest
import time_widgets

from ddpm_lite.viz import widgets

KINDS = sorted(getattr(widgets, name).name for name in widgets.__all__)


def test_every_widget_is_timed():
    assert sorted(time_widgets.choose_twins()) == KINDS
    assert list(time_widgets.choose_twins(["cloud"])) == ["cloud"]


@pytest.mark.html
@pytest.mark.parametrize("name", KINDS)
def test_controls_of_the_widget_are_found_and_their_events_counted(name, browser):
    times = time_widgets.measure(browser, time_widgets.choose_twins([name])[name], throttle=1, moves=3)
    assert times
    counts = {control: (len(found), len(beside)) for control, (found, beside) in times.items()}
    assert all(of_widget and of_empty for of_widget, of_empty in counts.values()), counts
