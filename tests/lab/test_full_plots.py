"""The pictures of notebook 13: a verdict per layer, rungs of a ladder, times against a line, a staircase."""

import math

import pytest
import torch
from matplotlib import pyplot as plt

from minimoshi.lab import plots_full
from minimoshi.lab.figures import GREEN, RED


@pytest.fixture(autouse=True)
def close_figures():  # noqa: ANN201 (a generator)
    yield
    plt.close("all")


def test_a_verdict_is_green_only_within_the_bar() -> None:
    (axes,) = plots_full.verdicts({"ours": {"a": 0.0, "b": 3e-7}, "other": {"c": 0.2, "d": math.nan}}, 1e-4).axes
    colours = [patch.get_facecolor() for patch in axes.patches]
    green, red = (plt.matplotlib.colors.to_rgba(colour) for colour in (GREEN, RED))
    assert colours == [green, green, red, red]
    assert [text.get_text() for text in axes.texts] == ["0", "-7", "✗", "✗"]


def test_a_ladder_has_a_panel_per_measure() -> None:
    values = {"parameters": {"tiny": 7e6, "full": 7.7e9}, "work": {"tiny": 0.1, "full": 17.0}}
    figure = plots_full.ladder(values, {"parameters": "numbers", "work": "GFLOP"})
    assert [axes.get_title() or axes.get_title("left") for axes in figure.axes] == [
        "parameters, numbers",
        "work, GFLOP",
    ]
    assert all(axes.get_yscale() == "log" and len(axes.patches) == 2 for axes in figure.axes)


def test_frame_times_lead_from_fresh_to_full_and_show_the_line() -> None:
    _, axes = plt.subplots()
    plots_full.frame_times(axes, {"laptop": [("bf16", 300, 330), ("int4", 70, 100)], "card": [("bf16", 15, 16)]})
    assert [label.get_text() for label in axes.get_yticklabels()] == ["laptop, bf16", "laptop, int4", "card, bf16"]
    assert any("80 ms" in text.get_text() for text in axes.texts)
    assert any(list(line.get_xdata()) == [80.0, 80.0] for line in axes.lines)


def test_a_staircase_shows_every_weight() -> None:
    _, axes = plt.subplots()
    weights = torch.linspace(-1, 1, 9)
    plots_full.staircase(axes, weights, weights.round(), "2 bits")
    assert list(axes.lines[1].get_ydata()) == weights.round().tolist()
