"""The pictures of notebook 11: bars are means, dots are seeds, and a report card shows what was missed."""

import pytest
from matplotlib import pyplot as plt

from minimoshi.lab import plots_training
from minimoshi.lab.figures import GREEN, RED


@pytest.fixture(autouse=True)
def close_figures():  # noqa: ANN201 (a generator)
    yield
    plt.close("all")


def test_a_bar_is_the_mean_of_its_seeds_and_every_seed_a_dot() -> None:
    figure = plots_training.seeds({"a": [[1.0, 2.0, 6.0], [1.0, 1.0, 1.0]]}, ("one", "two"), "loss")
    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [3.0, 1.0]
    dots = [list(line.get_ydata()) for line in axes.lines if line.get_marker() == "o"]
    assert dots == [[1.0, 2.0, 6.0], [1.0, 1.0, 1.0]]


def test_groups_that_do_not_fit_their_names_are_refused() -> None:
    with pytest.raises(ValueError, match="2 lists of values"):
        plots_training.seeds({"a": [[1.0]]}, ("one", "two"), "loss")


def test_what_is_missed_is_red_and_what_was_not_measured_has_no_dot() -> None:
    bar = dict(what="x", limit=0.5, at_most=False, unit="", strict=False)
    rows = [
        bar | dict(value=1.0, passed=True),
        bar | dict(value=0.25, passed=False),
        bar | dict(value=None, passed=None),
    ]
    (axes,) = plots_training.against_bars(rows).axes
    dots = [(line.get_xdata()[0], line.get_color()) for line in axes.lines if line.get_marker() in ("o", "X")]
    assert dots == [(2.0, GREEN), (0.5, RED)]


def test_curves_a_gallery_and_rates_hold_what_they_were_given() -> None:
    (axes,) = plots_training.curves([0, 5], {"a": [2.0, 1.0], "b": [3.0, 2.0]}).axes
    assert [list(line.get_ydata()) for line in axes.lines] == [[2.0, 1.0], [3.0, 2.0]]
    panels = plots_training.gallery({n: {"training": [3.0] * 10, "held out": [3.0, 2.0]} for n in "AB"}).axes
    assert [axes.get_title() + axes.get_title(loc="left") for axes in panels] == ["A", "B"]  # as the style has it
    assert list(panels[0].lines[1].get_xdata()) == [5.0, 10.0]
    (axes,) = plots_training.rates({"seen": (0.5, 0.4, 0.7)}, "share").axes
    assert list(axes.lines[0].get_xdata()) == [0.4, 0.7]
