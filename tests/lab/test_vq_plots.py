"""The pictures of notebook 05, and the slider that is heard: everything has words, nothing is drawn out of true."""

import re

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from minimoshi import lab
from minimoshi.lab import figures, plots_codec


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict, dict]]:
    """(data, metadata) of everything that is put on the page."""
    page: list[tuple[dict, dict]] = []
    for module in (figures, plots_codec):
        monkeypatch.setattr(
            module, "display", lambda data, metadata=None, raw=False: page.append((data, metadata or {}))
        )
    lab.style()
    return page


def number(place: int) -> plt.Figure:
    figure, axes = plt.subplots()
    axes.text(0.5, 0.5, f"{place}")
    return figure


def sounds(count: int = 3) -> torch.Tensor:
    return 0.1 * torch.randn(count, 1, 4_800, generator=torch.Generator().manual_seed(0))


WORDS = dict(transcript="[noise]", title="Hiss", alt="A number in the middle of an empty picture.")


def test_a_slider_that_is_heard_holds_every_sound_and_picture(shown: list) -> None:
    plots_codec.listen(sounds(), number, "hiss", ["a", "b", "c"], 1, **WORDS)
    (data, metadata), _ = shown
    page = data["text/html"]
    assert page.count("<audio") == 1 and "[noise]" in page
    assert page.count('"a"') == page.count('"c"') == 1 and 'max="2" value="1"' in page
    assert '["b", null, null]' in page  # the default stands in the page already
    assert data["text/plain"] == "▶ Hiss, slider over hiss, shown: b: “[noise]” (0.20 s, 24000 Hz)"
    assert next(iter(metadata.values()))["alt"] == WORDS["alt"]
    sizes = [len(sound) for sound in re.findall(r'"([A-Za-z0-9+/=]{500,})"', page)]
    assert len(sizes) == 4  # two pictures and two sounds beside the default's


def test_a_slider_refuses_what_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="a label per sound"):
        plots_codec.listen(sounds(), number, "hiss", ["a", "b"], 0, **WORDS)
    with pytest.raises(ValueError, match="equally long"):
        plots_codec.listen([torch.zeros(1, 100), torch.zeros(1, 99)], number, "hiss", ["a", "b"], 0, **WORDS)
    with pytest.raises(ValueError, match="transcript"):
        plots_codec.listen(sounds(), number, "hiss", list("abc"), 0, **WORDS | {"transcript": " "})


def test_every_point_is_tied_to_its_nearest_code() -> None:
    points = torch.tensor([[1.0, 1], [3, 1], [6, 2]])
    codes = torch.tensor([[1.0, 2], [6, 1]])
    _, axes = plt.subplots()
    plots_codec.points_and_codes(axes, points, codes)
    ends = [line.get_xydata()[1].tolist() for line in axes.lines]
    assert ends == [[1, 2], [1, 2], [6, 1]]
    plt.close("all")


def test_usage_is_drawn_from_the_busiest_down() -> None:
    _, axes = plt.subplots()
    plots_codec.usage_bars(axes, torch.tensor([0.1, 0.6, 0.3]))
    assert np.allclose([bar.get_height() for bar in axes.patches], [60, 30, 10])
    plt.close("all")


def test_a_staircase_goes_by_bits() -> None:
    _, axes = plt.subplots()
    plots_codec.staircase(axes, {"six bits a level": (6, torch.tensor([1.0, 0.5, 0.25]))})
    assert axes.lines[0].get_xydata().tolist() == [[0, 100], [6, 50], [12, 25]]
    plt.close("all")
