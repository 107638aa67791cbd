"""Figures hold the numbers that they were given."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ddpm_lite.viz import plots


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_grid_shows_each_image_from_black_to_white():
    images = torch.linspace(-1, 1, 5 * 4).reshape(5, 1, 2, 2)
    figure = plots.image_grid(images, columns=3, titles=list("ABCDE"))
    shown = [axis for axis in figure.axes if axis.images]
    assert len(shown) == 5
    assert [axis.get_title() for axis in shown] == list("ABCDE")
    np.testing.assert_allclose(shown[4].images[0].get_array(), (images[4, 0] + 1) / 2, atol=1e-6)
    assert shown[0].images[0].get_clim() == (0, 1)


def test_grid_shows_colours():
    figure = plots.image_grid(torch.ones(1, 3, 2, 2) * torch.tensor([-1.0, 0.0, 5.0]).reshape(1, 3, 1, 1))
    np.testing.assert_allclose(figure.axes[0].images[0].get_array()[0, 0], [0, 0.5, 1])


def test_rows_are_named():
    figure = plots.image_rows({"x_t": torch.zeros(3, 1, 2, 2), "x_0": torch.ones(3, 1, 2, 2)}, titles="abc")
    assert [text.get_text() for text in figure.texts] == ["$x_t$", "$x_0$"]
    assert figure.axes[2].get_title() == "c"


def test_titles_of_rows_share_what_they_have_in_common():
    images = torch.zeros(3, 1, 2, 2)
    timed = plots.image_rows({"a": images}, titles=["t = 1", "t = 20", "t = 300"])
    assert [axis.get_title() for axis in timed.axes] == ["1", "20", "300"]
    assert "$t =$" in [text.get_text() for text in timed.texts]
    alike = plots.image_rows({"a": images}, titles=["seen", "candidate", "candidate"])
    assert [axis.get_title() for axis in alike.axes] == ["seen", "candidate", ""]


def test_curves_draw_the_numbers_and_tell_lines_apart_without_colour():
    figure = plots.curves([1, 2, 3], {"a": [1, 4, 9], "b": [1, 2, 3]}, xlabel="x", ylabel="y", log="y")
    first, second = figure.axes[0].lines
    assert first.get_ydata().tolist() == [1, 4, 9]
    assert first.get_linestyle() != second.get_linestyle()
    assert figure.axes[0].get_yscale() == "log"


def test_seed_dots_draw_every_seed_and_print_the_mean():
    rows = {"a": {"loss": [1.0, 2.0, 3.0], "recall": [0.5, 0.5, 0.5]}, "b": {"loss": [4.0], "recall": [0.25]}}
    figure = plots.seed_dots(rows)
    loss, recall = figure.axes
    assert [line.get_xdata().tolist() for line in loss.lines] == [[1, 2, 3], [4]]
    assert [text.get_text() for text in recall.texts] == ["0.50", "0.25"]
    assert [tick.get_text() for tick in loss.get_yticklabels()] == ["a", "b"]
    assert loss.get_ylim()[0] > loss.get_ylim()[1]  # the first row is on top


def test_loss_curve_draws_the_running_mean():
    figure = plots.loss_curve([4.0, 2.0, 2.0, 0.5], smooth=2)
    each, mean = figure.axes[0].lines
    assert each.get_ydata().tolist() == [4, 2, 2, 0.5]
    assert mean.get_ydata().tolist() == [3, 2, 1.25]
    assert mean.get_xdata().tolist() == [2, 3, 4]


def test_histogram_has_unit_area():
    figure = plots.histogram({"x": torch.randn(1000)}, density=([-1, 0, 1], [0.2, 0.4, 0.2]))
    outline = figure.axes[0].patches[0].get_xy()
    x, y = outline[:, 0], outline[:, 1]
    assert abs(np.trapezoid(y, x)) == pytest.approx(1, abs=1e-6)


def test_wrong_images_get_one_line():
    with pytest.raises(ValueError, match=r"images: expected shape \(N, 1 or 3, H, W\)"):
        plots.image_grid(torch.zeros(8, 8))
    with pytest.raises(ValueError, match="titles: expected one per image, 2, got 1"):
        plots.image_grid(torch.zeros(2, 1, 8, 8), titles=["a"])


def test_heatmaps_share_one_scale():
    figure = plots.heatmaps({"a": torch.tensor([[0.0, 1.0]]), "b": torch.tensor([[-3.0, 2.0]])}, signed=True)
    assert [axis.get_title() for axis in figure.axes[:2]] == ["a", "b"]
    assert [axis.images[0].get_clim() for axis in figure.axes[:2]] == [(-3, 3)] * 2
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), [[-3, 2]])


def test_heatmaps_leave_zero_out_of_a_logarithmic_scale():
    table = torch.tensor([[0.0, 0.01], [1.0, 10.0]])
    figure = plots.heatmaps({"a": table}, log=True, marks={"a": (0, 1)}, colorbar="weight")
    shown = figure.axes[0].images[0]
    assert shown.get_array().mask.tolist() == [[True, False], [False, False]]
    assert shown.get_clim() == pytest.approx((0.01, 10))
    assert {patch.get_xy() for patch in figure.axes[0].patches} == {(0.5, -0.5)}


def test_feature_maps_stand_lower_when_smaller():
    figure = plots.feature_maps([(4, 8), (8, 4), (4, 8)], links=[(0, 2)])
    axis = figure.axes[0]
    heights = [bar.get_y() for bar in axis.patches]
    assert heights[0] == heights[2] > heights[1]
    assert [text.get_text() for text in axis.texts] == ["4", "8", "4"]
    assert len(axis.lines) == 1


def test_vector_fields_start_where_they_are_told():
    points = torch.tensor([[0.0, 0.0], [1.0, 0.5], [-1.0, 0.2]])
    fields = {"out": points, "up": torch.tensor([[0.0, 1.0]]).expand(3, 2)}
    figure = plots.vector_fields(points, fields, clouds=dict.fromkeys(fields, points + 0.1))
    assert [axis.get_title() for axis in figure.axes] == ["out", "up"]
    (quiver,) = figure.axes[1].collections
    (cloud,) = figure.axes[1].patches
    np.testing.assert_allclose(quiver.XY, points)
    np.testing.assert_allclose(np.stack([quiver.U, quiver.V], 1), fields["up"])
    np.testing.assert_allclose(cloud.get_path().vertices[::2], points + 0.1, rtol=1e-6)


def test_arrows_point_at_their_tips():
    tips = {"x_t": (torch.tensor(0.6), torch.tensor(0.8)), "v": (-0.8, 0.6)}
    figure = plots.arrows({"t = 1": tips, "t = 2": tips}, axes=("x_0", "z"))
    arrows = [text for text in figure.axes[0].texts if getattr(text, "arrow_patch", None) is not None]
    np.testing.assert_allclose([arrow.xy for arrow in arrows], [(0.6, 0.8), (-0.8, 0.6)], rtol=1e-6)
    words = [text.get_text() for text in figure.axes[1].texts]
    assert {"$x_0$", "$z$", "$x_t$", "$v$"} <= set(words)
