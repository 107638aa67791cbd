"""Heavy widgets: a button first, and what it takes to run only when the reader presses it."""

import pytest
import traitlets

from ddpm_lite.viz.widgets import still
from ddpm_lite.viz.widgets.base import Widget, state

pytestmark = pytest.mark.html

MODULE = """const { kit } = window.ddpmWidgets;
window.ddpmWidgets.define("probe", {
  render: async ({ model, el }) => {
    if (model.get("n") < 0) throw new Error("n: expected 0 or more");
    const words = kit.el("p", {}, model.file("data").text);
    kit.stage(el, "A probe", kit.slider(model, "n", { label: "count", min: 0, max: 9 }), words);
  },
});"""
DATA = 'window.ddpmWidgets.file("data", "0", "what lies in the file");'


class Probe(Widget):
    """As small as a heavy widget can be."""

    name = "probe"
    press = "Start the probe"
    _esm = "export default { render() {} }"
    n = state(traitlets.Int(3))

    def files(self):
        return ("data",)

    def still(self):
        return still.curves([0, 1], {"a": [0, 1]}, alt="A line that rises", xlabel="x", y=(0, 1))

    def sentence(self):
        return "A line."


@pytest.fixture
def written(tmp_path):
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "probe.js").write_text(MODULE)
    (tmp_path / "data.js").write_text(DATA)


@pytest.mark.transports
def test_first_press_loads_and_starts(stand, written):
    page = stand(Probe(), Probe(n=5)).page
    asked = []
    page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[1]))
    first, second = page.locator("[data-widget]").all()
    assert first.locator(".ddpm-widget-still").is_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    first.get_by_label("count").wait_for()
    assert first.locator(".ddpm-widget-still").is_hidden()
    assert "what lies in the file" in first.inner_text()
    assert page.evaluate("document.activeElement.type") == "range"
    assert asked == ["probe.js", "data.js"]
    assert second.locator(".ddpm-widget-still").is_visible()
    second.get_by_role("button", name="Start the probe").click()
    second.get_by_label("count").wait_for()
    assert second.get_by_label("count").input_value() == "5"
    assert asked == ["probe.js", "data.js"], "nothing is loaded twice"
    assert page.get_by_role("button").count() == 0


@pytest.mark.transports
def test_missing_script_is_one_line_and_may_come_later(stand, written, tmp_path):
    (tmp_path / "data.js").rename(tmp_path / "away.js")
    one = stand(Probe())
    page = one.page
    page.get_by_role("button").click()
    line = page.get_by_role("alert")
    line.wait_for()
    assert line.inner_text() == "This widget could not start, so its figure stays. data.js could not be loaded."
    assert page.locator(".ddpm-widget-still").is_visible()
    (tmp_path / "away.js").rename(tmp_path / "data.js")
    page.get_by_role("button").click()
    page.get_by_label("count").wait_for()
    assert line.count() == 0
    one.complaints.clear()  # the browser's own word on the missing file


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("live/probe.js", "", "Its script is damaged."),
        ("data.js", "", "data.js is damaged."),
        ("live/probe.js", MODULE.replace("< 0", "< 9"), "n: expected 0 or more"),
    ],
)
@pytest.mark.transports
def test_damage_is_one_line_and_the_figure_stays(stand, written, tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    page = stand(Probe()).page
    page.get_by_role("button").click()
    page.get_by_role("alert").wait_for()
    assert page.get_by_role("alert").inner_text() == f"This widget could not start, so its figure stays. {words}"
    assert page.locator(".ddpm-widget-still").is_visible()
    assert page.get_by_role("status").inner_text() == ""
