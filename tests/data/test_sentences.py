"""Sentences: reproducible, spelled out, and rich enough in words."""

import itertools
import random

import pytest

from minimoshi.data.corpus import is_held_out
from minimoshi.data.sentences import numbers_in_words, sentence, sentences


def take(count: int, seed: int = 0, everyday: float = 0.6) -> list[str]:
    return list(itertools.islice(sentences(seed, everyday), count))


def test_the_same_seed_says_the_same():
    assert take(50) == take(50)
    assert take(50) != take(50, seed=1)


def test_vocabulary_is_broad_and_numbers_are_words():
    words = {word for text in take(5000) for word in text.split()}
    assert len(words) >= 1000
    assert not [word for word in words if not word.replace("'", "").isalpha()]


def test_mini_world_is_small():
    words = {word for text in take(3000, everyday=0.0) for word in text.split()}
    assert 100 < len(words) < 350


@pytest.mark.parametrize(
    "n, words",
    [
        (0, "zero"),
        (20, "twenty"),
        (47, "forty seven"),
        (100, "one hundred"),
        (536, "five hundred and thirty six"),
    ],
)
def test_numbers_in_words(n, words):
    assert numbers_in_words(n) == words


@pytest.mark.parametrize("n", [-1, 1000])
def test_numbers_outside_the_range_are_refused(n):
    with pytest.raises(ValueError, match=str(n)):
        numbers_in_words(n)


def test_a_twentieth_of_the_sentences_is_held_out():
    texts = {sentence(random.Random(seed), 1.0) for seed in range(4000)}
    long = [text for text in texts if len(text.split()) >= 4]
    share = sum(map(is_held_out, long)) / len(long)
    assert 0.03 < share < 0.07
    assert not any(is_held_out(text) for text in texts if len(text.split()) < 4)
