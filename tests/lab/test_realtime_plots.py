"""The pictures of notebook 12: a meter under a conversation, waits that follow each other."""

import pytest
import torch
from matplotlib import pyplot as plt

from minimoshi.lab import plots_realtime


@pytest.fixture(autouse=True)
def close_figures():  # noqa: ANN201 (a generator)
    yield
    plt.close("all")


def test_a_meter_stacks_the_parts_of_every_frame_and_shows_the_line() -> None:
    parts = {"encode": [3.0, 4.0, 5.0], "decode": [1.0, 2.0, 90.0]}
    words = [[("hello", (0.0, 0.1))], [("hi", (0.1, 0.2))]]
    moshi, user, work = plots_realtime.meter(torch.zeros(2, 3 * 1920), parts, "a title", words).axes
    assert [lane.get_ylabel() for lane in (moshi, user)] == ["Moshi", "user"]
    assert [text.get_text() for lane in (moshi, user) for text in lane.texts] == ["hello", "hi"]
    assert [(bar.get_y(), bar.get_height()) for bar in work.patches[3:]] == [(3, 1), (4, 2), (5, 90)]
    assert any(set(line.get_ydata()) == {80.0} for line in work.lines)
    assert work.get_ylim()[1] > 95


def test_a_meter_wants_a_time_for_every_frame() -> None:
    with pytest.raises(ValueError, match="every frame"):
        plots_realtime.meter(torch.zeros(2, 3840), {"encode": [1.0, 2.0], "decode": [1.0]}, "a title")


def test_each_bar_of_a_waterfall_begins_where_the_last_one_ended() -> None:
    _, axes = plt.subplots()
    plots_realtime.waterfall(axes, {"frame": 80, "delay": 80, "work": 20.5}, {"people": 230})
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 80), (80, 80), (160, 20.5)]
    assert [text.get_text().strip() for text in axes.texts] == ["80 ms", "160 ms", "180 ms", "people"]
    assert axes.get_xlim()[1] > 230
