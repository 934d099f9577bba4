"""The pictures of notebook 10: overlaps are found, rows have their roles, bars their heights."""

import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba

from minimoshi.lab import plots_duplex
from minimoshi.lab.figures import BLUE, GREEN, ORANGE, RED


@pytest.fixture(autouse=True)
def close_figures():  # noqa: ANN201 (a generator)
    yield
    plt.close("all")


def filled(axes: plt.Axes, colour: str) -> int:
    return sum(patch.get_facecolor() == to_rgba(colour) for patch in axes.patches)


def test_only_what_both_say_at_once_is_red() -> None:
    rows = {"apart": ([(1.0, 2.0)], [(0.0, 1.0)]), "at once": ([(1.0, 3.0)], [(0.0, 1.5), (2.5, 4.0)])}
    (axes,) = plots_duplex.lanes(rows, seconds=4.0).axes
    red = [line.get_xdata() for line in axes.lines if line.get_color() == RED]
    assert [(list(x)) for x in red] == [[1.0, 1.5], [2.5, 3.0]]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(rows)
    assert filled(axes, ORANGE) == 2 and filled(axes, BLUE) == 3


def test_a_mark_runs_through_all_lanes() -> None:
    (axes,) = plots_duplex.lanes({"one": ([], [])}, seconds=2.0, mark=0.5).axes
    assert [line.get_xdata()[0] for line in axes.lines] == [0.5]


def test_roles_fill_the_rows_they_name() -> None:
    (axes,) = plots_duplex.roles({"read": range(17), "said": range(9)}).axes
    assert (filled(axes, GREEN), filled(axes, ORANGE), filled(axes, BLUE)) == (2, 16, 8)
    with pytest.raises(ValueError, match="rows 0 to 16"):
        plots_duplex.roles({"too many": range(18)})


def test_turns_have_three_bars_a_conversation() -> None:
    found = {"ipu": 50.0, "pause": 6.0, "gap": 4.0, "overlap": 3.0}
    (axes,) = plots_duplex.turns({"people": found, "machine": {**found, "overlap": 0.0}}).axes
    assert [bar.get_height() for bar in axes.patches] == [6.0, 4.0, 3.0, 6.0, 4.0, 0.0]
