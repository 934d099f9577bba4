"""The text corpus: nothing of a test is ever read in training, and the tokenizer that ships can be made again."""

import itertools
import random

import pytest

from minimoshi.data.corpus import is_held_out
from minimoshi.data.miniworld.skills import split_of, vocabulary
from minimoshi.data.text import conversation, line, lines, train_tokenizer
from minimoshi.text import TextTokenizer


def some(seed: int | str, count: int = 400, **options) -> list[str]:
    return list(itertools.islice(lines(seed, **options), count))


def sums_in(texts: list[str]) -> set[tuple[str, str, str]]:
    words = [text.split() for text in texts]
    return {
        tuple(row[i - 1 : i + 2])
        for row in words
        for i in range(1, len(row) - 1)
        if row[i] in ("plus", "minus")
    }


def test_the_same_seed_gives_the_same_lines() -> None:
    assert some(1) == some(1) != some(2)


def test_training_and_test_share_no_line() -> None:
    training, test = some(1), some(2, held_out=True, count=100)
    assert not any(map(is_held_out, training)) and all(map(is_held_out, test))
    assert not set(training) & set(test)


@pytest.mark.parametrize(("everyday", "conversations"), [(0.0, 400), (1.0, 0)])
def test_the_share_of_everyday_english(everyday: float, conversations: int) -> None:
    assert sum(text.endswith(" .") for text in some(1, everyday=everyday)) == conversations


def test_combinations_of_neither_split_are_never_read() -> None:
    found = {split_of("sum", slots) for slots in sums_in(some(1, count=3000))}
    assert found == {"speech", "text"}
    rng = random.Random(0)
    spoken = [conversation(rng, splits=("speech",)) for _ in range(500)]
    assert {split_of("sum", slots) for slots in sums_in(spoken)} == {"speech"}


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="got 1.5"):
        line(random.Random(0), everyday=1.5)


def test_the_shipped_tokenizer_can_be_made_again() -> None:
    made, shipped = train_tokenizer(), TextTokenizer.from_pretrained("tiny")
    pieces = [[t.piece(i) for i in range(t.vocab_size)] for t in (made, shipped)]
    # the same pieces; their order moved when "three plus four" came into speech, and the shipped numbers must stay
    assert set(pieces[0]) == set(pieces[1]) and made.vocab_size == 1000
    assert [word for word in vocabulary() if len(made.encode(word)) != 1] == []
    line = some(3)[0]
    assert [made.piece(i) for i in made.encode(line)] == [shipped.piece(i) for i in shipped.encode(line)]
