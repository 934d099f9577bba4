"""The two pictures of notebook 06: token rows in pairs, and the codec drawn from the object."""

import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba

from minimoshi import MimiAudioCodec, MimiConfig
from minimoshi.lab import plots_codec
from minimoshi.lab.figures import PALE, SKY


@pytest.fixture(autouse=True)
def close_figures():  # noqa: ANN201 (a generator)
    yield
    plt.close("all")


def test_equal_tokens_are_coloured_and_all_are_written() -> None:
    first, second = torch.tensor([7, 300, 12, 5]), torch.tensor([7, 41, 12, 500])
    words = [("hello", (0.08, 0.24))]
    (axes,) = plots_codec.token_pairs({"semantic": (first, second)}, ("her", "him"), words).axes
    colours = [patch.get_facecolor() for patch in axes.patches]
    row = [to_rgba(SKY), to_rgba(PALE), to_rgba(SKY), to_rgba(PALE)]
    assert colours == row + row
    written = {text.get_text(): text.get_position() for text in axes.texts}
    assert {"7", "300", "41", "500", "her", "him", "semantic"} <= set(written)
    assert written["hello"][0] == pytest.approx(2.0)  # the middle of its frames


def test_mimi_is_drawn_with_the_numbers_of_its_config() -> None:
    config = MimiConfig.preset("tiny").replace(n_quantizers=5, codebook_size=64)
    (axes,) = plots_codec.mimi(MimiAudioCodec(config)).axes
    written = [text.get_text() for text in axes.texts]
    assert "semantic\n1 level of 64" in written and "acoustic\n4 levels of 64" in written
    assert written.count("25 Hz") == 4 and written.count("12.5 Hz") == 2
    assert {"teacher", "discriminator"} <= set(written)
