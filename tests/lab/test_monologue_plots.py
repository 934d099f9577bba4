"""The pictures of notebook 09: text under its sound, a word's place in the grid, words that can be moved."""

import ipywidgets
import pytest
import torch
from matplotlib import pyplot as plt

from minimoshi.lab import plots_monologue
from minimoshi.lab.figures import GREEN, ORANGE


@pytest.fixture(autouse=True)
def close_figures():  # noqa: ANN201 (a generator)
    yield
    plt.close("all")


def written(axes: plt.Axes) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_text()]


def test_a_line_stands_where_a_word_begins() -> None:
    wav = torch.sin(torch.arange(5 * 1920) / 20)
    above, below = plots_monologue.text_under_sound(wav, ["", "EPAD", "▁mon", "key", ""]).axes
    assert written(below) == ["EPAD", "▁mon", "key"]
    assert [line.get_xdata()[0] for line in above.lines] == [pytest.approx(0.16)]
    assert below.get_xlim() == (0, 0.4)


@pytest.mark.parametrize(("lead", "heard"), [(0, 0), (5, 0), (-1, 0), (-3, 2), (-5, 4)])
def test_the_title_counts_complete_frames_and_green_is_the_past(lead: int, heard: int) -> None:
    (axes,) = plots_monologue.sight(lead).axes
    assert f"knowing {heard} of its 4 frames" in axes.get_title("left") + axes.get_title()
    token = 7 + max(0, -lead)
    for patch in axes.patches:
        column = patch.get_x() + 0.46
        if patch.get_facecolor() == plt.matplotlib.colors.to_rgba(GREEN):
            assert column < token - 0.5
        if patch.get_facecolor() == plt.matplotlib.colors.to_rgba(ORANGE):
            assert column > token - 0.5


def test_a_toy_sentence_names_its_words_and_writes_all_codes() -> None:
    grid = torch.tensor([[0, 5, 3, 3, 3, 3], [0, 7, 7, 7, 7, 0]])
    (axes,) = plots_monologue.sentence_grid(grid, ["bado", "kilu"], ["text", "semantic"], first_word=4).axes
    assert written(axes) == ["E", "0", "kilu", "7", "7", "7", "7", "0"]
    codes = [patch.get_facecolor() for patch in axes.patches if patch.get_y() > 0]
    assert codes[1] == codes[4] != codes[0] == codes[5]


def test_a_dragged_word_keeps_its_length_and_words_come_in_order() -> None:
    seen = []

    def draw(words):
        seen.append(words)
        return plt.figure()

    words = [("one", (0.2, 0.5)), ("two", (1.0, 1.2))]
    box = plots_monologue.drag_words(words, draw, "two words, one and two, on a line")
    first = box.children[0]
    assert isinstance(first, ipywidgets.FloatSlider) and seen == [words]
    first.value = 1.5
    assert [word for word, _ in seen[1]] == ["two", "one"]
    assert seen[1][1][1] == (pytest.approx(1.5), pytest.approx(1.8))
    with pytest.raises(ValueError, match="between 0 and 2.0 s"):
        plots_monologue.drag_words([("late", (3.0, 3.2))], draw, "a word that is beyond the sliders")
