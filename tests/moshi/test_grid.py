"""The token grid: delays, masks, and words as rows of text tokens."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minimoshi.config import EPAD_ID, PAD_ID
from minimoshi.moshi.grid import delay, text_row, undelay

P, E = PAD_ID, EPAD_ID
FRAME = 0.08


class Letters:
    """A tokenizer that spells: one token per letter, "a" is 10."""

    def encode(self, text: str) -> list[int]:
        return [10 + ord(letter) - ord("a") for letter in text]


def row(frames: int, *words: tuple[str, float]) -> list[int]:
    """The text row of words that start at these frames."""
    return text_row([(word, (start * FRAME, start * FRAME + 0.3)) for word, start in words], Letters(), frames).tolist()


def test_delay_writes_rows_late() -> None:
    codes = torch.tensor([[[1, 2, 3], [4, 5, 6], [7, 8, 9]]])
    delayed = delay(codes, (0, 1, 5), torch.tensor([100, 200, 300]))
    assert delayed.tolist() == [[[1, 2, 3], [200, 4, 5], [300, 300, 300]]]
    assert codes[0, 1].tolist() == [4, 5, 6]


@given(data=st.data(), batch=st.integers(1, 3), frames=st.integers(1, 8))
def test_undelay_undoes_delay_where_its_mask_says_so(data: st.DataObject, batch: int, frames: int) -> None:
    delays = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=5))
    codes = torch.randint(100, (batch, len(delays), frames))
    back, mask = undelay(delay(codes, delays, torch.full((len(delays),), -7)), delays)
    assert torch.equal(back[mask], codes[mask])
    assert mask.sum(-1).tolist() == [[max(0, frames - d) for d in delays]] * batch
    assert not back[~mask].any()
    for k, d in enumerate(delays):  # what is lost is the end
        assert mask[:, k, : max(0, frames - d)].all()


def test_undelay_takes_values_of_any_width() -> None:
    values = torch.randn(2, 3, 5, 7)
    out, mask = undelay(values, (0, 2, 1))
    assert torch.equal(out[:, 1, :3], values[:, 1, 2:]) and torch.equal(out[:, 2, :4], values[:, 2, 1:])
    assert mask[0].tolist() == [[True] * 5, [True] * 3 + [False] * 2, [True] * 4 + [False]]


@pytest.mark.parametrize(
    "function", [lambda grid: delay(grid, (0, 1), torch.zeros(2)), lambda grid: undelay(grid, (0, 1))]
)
def test_every_row_needs_a_delay(function) -> None:
    with pytest.raises(ValueError, match="3 rows but there are 2 delays"):
        function(torch.zeros(1, 3, 4))


@pytest.mark.parametrize(
    "words, expected",
    [
        ([], [P] * 6),
        ([("ab", 2)], [P, E, 10, 11, P, P]),
        ([("ab", 0)], [10, 11, P, P, P, P]),  # nowhere to put an EPAD
        ([("ab", 1), ("c", 4)], [E, 10, 11, E, 12, P]),
        ([("ab", 1), ("c", 3)], [E, 10, 11, 12, P, P]),  # a token is never overwritten by EPAD
        ([("abcd", 1), ("e", 3)], [E, 10, 11, 14, P, P]),  # a word that is too long is cut by the next
        ([("abcd", 1), ("ef", 1)], [E, 14, 15, P, P, P]),  # ... to nothing, if they start together
        ([("abc", 4)], [P, P, P, E, 10, 11]),  # the end of the grid cuts too
        ([("abc", 6)], [P] * 6),
        ([("", 2), ("a", 4)], [P, P, P, E, 10, P]),  # a word of no tokens leaves no trace
    ],
)
def test_words_become_tokens_with_pad_and_epad(words: list, expected: list[int]) -> None:
    assert row(6, *words) == expected


def test_a_word_starts_in_the_frame_it_starts_in() -> None:
    assert row(4, ("a", 1.99)) == [E, 10, P, P]
    assert row(4, ("a", 2.01)) == [P, E, 10, P]


@pytest.mark.parametrize("frame_rate", [12.5, 25.0, 50.0])
def test_a_word_on_the_edge_of_a_frame_belongs_to_that_frame(frame_rate: float) -> None:
    """Whatever the rounding of frame / frame_rate · frame_rate, e.g. 2.32 s · 12.5 = 28.999…"""
    for frame in range(1, 600):
        for seconds in (frame / frame_rate, round(frame / frame_rate, 3), frame * (1 / frame_rate)):
            tokens = text_row([("a", (seconds, seconds + 1))], Letters(), 600, frame_rate)
            assert int((tokens == 10).nonzero()) == frame, f"{seconds} s"


@pytest.mark.parametrize("start, end", [(-0.1, 0.2), (0.5, 0.4)])
def test_impossible_times_are_refused(start: float, end: float) -> None:
    with pytest.raises(ValueError, match="'word' at"):
        text_row([("word", (start, end))], Letters(), 10)


def test_words_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="'b' at 0.4..0.5 s after 0.8 s"):
        text_row([("a", (0.8, 0.9)), ("b", (0.4, 0.5))], Letters(), 10)
