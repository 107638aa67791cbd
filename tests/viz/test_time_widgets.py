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
    # There and back, because a list may stand at its end.
    times = time_widgets.measure(browser, time_widgets.choose_twins([name])[name], moves=2)
    assert times
    counts = {control: (len(found), len(beside)) for control, (found, _, beside) in times.items()}
    assert all(of_widget and of_empty for of_widget, of_empty in counts.values()), counts


def event(name, begin, lasted=0, worked=None, thread=1, phase="X"):
    """An event of Chromium's trace, in microseconds."""
    return {
        "name": name,
        "ph": phase,
        "pid": 1,
        "tid": thread,
        "ts": begin,
        "dur": lasted,
        "tdur": lasted if worked is None else worked,
    }


def test_all_work_from_the_event_to_its_frame_counts_and_nothing_else():
    key = [
        event("RunTask", 0, 8_000),  # brings the event, half of it before the event's arrival
        event(time_widgets.MARK, 4_000, phase="R"),
        event("RunTask", 9_000, 2_000, worked=1_000),  # something in between, which had to wait for a processor
        event("RunTask", 10_000, 50_000, thread=2),  # the compositor
        event("RunTask", 20_000, 5_000),
        event("Commit", 24_000, 500),
        event("RunTask", 26_000, 9_000),  # after the frame
    ]
    assert time_widgets.read_trace(key) == ([4 + 1 + 5], [])
    two = [event(time_widgets.MARK, 30_000, phase="R"), event("RunTask", 29_000, 4_000), event("Commit", 32_000, 100)]
    assert time_widgets.read_trace(key + two) == ([10, 3 + 5], [])  # the task after the first frame still ran
    assert time_widgets.read_trace(key[:5]) == ([], [])  # no frame has been made
    numbers = [event(time_widgets.NUMBERS, 27_000, phase="R"), event("Commit", 32_000, 100)]
    assert time_widgets.read_trace(key + numbers) == ([10], [10 + 9])  # shown by the second frame
