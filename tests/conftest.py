"""What is slow to make is made once."""

import pytest

from minimoshi.text import TextTokenizer

SENTENCES = [
    "hello there",
    "what is three plus four",
    "three plus four is seven",
    "my name is anna",
    "count to nine",
    "one two three four five six seven eight nine",
    "the sky is blue",
    "i do not know your name",
    "it is 10 or 42",
]


@pytest.fixture(scope="session")
def tokenizer() -> TextTokenizer:
    """A real tokenizer of about 300 pieces, most of them single bytes."""
    return TextTokenizer.train(SENTENCES, vocab_size=400)
