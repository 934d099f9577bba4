"""The pictures of notebooks 07 and 08: grids in boxes, layouts, the monologue, one time step unrolled."""

import pytest
import torch
from matplotlib import pyplot as plt

from minimoshi import DepthConfig
from minimoshi.lab import plots_moshi


@pytest.fixture(autouse=True)
def close_figures():  # noqa: ANN201 (a generator)
    yield
    plt.close("all")


def written(axes: plt.Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_boxes_hold_every_value_that_has_a_colour() -> None:
    _, axes = plt.subplots()
    grid = torch.tensor([[7, 300], [12, -1]])
    plots_moshi.boxes(axes, grid, [["w", "w"], ["w", ""]], ["text", "semantic"], first=5)
    assert written(axes) == ["7", "300", "12"] and len(axes.patches) == 3
    assert [label.get_text() for label in axes.get_xticklabels()] == ["5", "6"]
    with pytest.raises(ValueError, match="row by row"):
        plots_moshi.boxes(axes, grid, [["w"], ["w"]])
    with pytest.raises(ValueError, match="3 names for a grid of 2 rows"):
        plots_moshi.boxes(axes, grid, [["w", "w"], ["w", "w"]], ["a", "b", "c"])


def test_layouts_share_a_scale_and_leave_empty_places_empty() -> None:
    late = torch.tensor([[0, 1, 2, -1], [-1, 0, 1, 2]])
    figure = plots_moshi.layouts({"parallel": late[:, :2], "delayed": late}, ["semantic", "acoustic"])
    above, below = figure.axes
    assert above.get_xlim() == below.get_xlim() and [a.get_title() or a.get_title("left") for a in figure.axes] == [
        "parallel",
        "delayed",
    ]
    assert written(below) == ["0", "1", "2", "0", "1", "2"]
    colours = [patch.get_facecolor() for patch in below.patches]
    assert colours[:3] == colours[3:] and len(set(colours)) == 3


def test_the_monologue_shows_words_inside_its_frames_only() -> None:
    words = [("before", (0.0, 0.2)), ("hello", (0.9, 1.1)), ("later", (9.0, 9.5))]
    (axes,) = plots_moshi.monologue(words, ["", "EPAD", "▁he", "llo", ""], first=9).axes
    assert written(axes) == ["hello", "", "EPAD", "▁he", "llo", ""]
    *_, pad, epad, he, llo, after = [patch.get_facecolor() for patch in axes.patches]
    assert pad == epad == after != he == llo


def test_a_delay_moves_all_words_of_its_row() -> None:
    modes = {"together": (0, 0), "text late": (25, 0)}
    figure = plots_moshi.lead([("hi", (0.4, 0.8))], modes, frames=20)
    lefts = [[patch.get_x() for patch in axes.patches] for axes in figure.axes]
    assert lefts == [[0, 5, 0, 5], [25, 30, 0, 5]]


def test_one_time_step_is_drawn_with_the_numbers_of_its_config() -> None:
    config = DepthConfig.preset("tiny").replace(schedule=(0, 1, 2, 3, 3, 3, 3, 3))
    (axes,) = plots_moshi.unrolled(config).axes
    texts = written(axes)
    assert "depth step 7\nweights 3" in texts and "depth step 3\nweights 3" not in texts
    assert {"semantic", "acoustic 1", "acoustic 7"} <= set(texts)
    assert "temporal transformer: context z [192]" in texts


def test_paired_bars_stand_beside_each_other() -> None:
    _, axes = plt.subplots()
    plots_moshi.paired_bars(axes, ["a b", "c"], {"alone": [2.0, 1.0], "knowing": [1.0, 0.5]}, "bits")
    assert [patch.get_height() for patch in axes.patches] == [2.0, 1.0, 1.0, 0.5]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a\nb", "c"]
    assert axes.patches[0].get_x() < axes.patches[2].get_x() < axes.patches[1].get_x()
