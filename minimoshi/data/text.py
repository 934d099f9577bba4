"""Text to learn from: conversations of the mini-world and everyday English; and the tokenizer that is made of them.

A line is one conversation or one sentence, without its end marker. Training sees the splits "speech" and "text" of the
mini-world; a twentieth of all lines of four words or more, by a hash, is kept for tests.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Collection, Iterator

from ..text import TextTokenizer
from .corpus import is_held_out
from .miniworld.skills import Split, script, text_line, vocabulary
from .sentences import sentence, sentences

IN_TRAINING: tuple[Split, ...] = ("speech", "text")
LONGEST = 6  # exchanges of a conversation

LineSource = Callable[[random.Random], str]


def conversation(rng: random.Random, splits: Collection[Split] = IN_TRAINING) -> str:
    """One to six exchanges of the mini-world as a line: "what is three plus four . three plus four is seven ."."""
    return text_line(script(rng, rng.randint(1, LONGEST), splits=splits))


def line(rng: random.Random, everyday: float = 0.5, held_out: bool = False) -> str:
    """A conversation, or with probability `everyday` an everyday sentence; from what is held out, or from the rest."""
    if not 0 <= everyday <= 1:
        raise ValueError(f"everyday is a share from 0 to 1, got {everyday}")
    while True:
        # everyday English alone, without the sums of `sentences`: those do not respect the splits
        text = sentence(rng, everyday=1.0) if rng.random() < everyday else conversation(rng)
        if is_held_out(text) == held_out:
            return text


def lines(seed: int | str, everyday: float = 0.5, held_out: bool = False) -> Iterator[str]:
    """Endless lines; the same seed gives the same ones."""
    rng = random.Random(seed)
    while True:
        yield line(rng, everyday, held_out)


# how often each skill is drawn for the tokenizer: fixed, so that its pieces stay what they are
_SHARES = dict(
    greeting=0.05, sum=0.20, neighbour=0.06, opposite=0.07, colour=0.05, name=0.10, recall=0.10, count=0.05, stop=0.12,
    question=0.08, murmur=0.09, repeat=0.12, manner=0.09,
)  # fmt: skip


def train_tokenizer() -> TextTokenizer:
    """The shipped tokenizer's 1000 pieces, every word of the mini-world one of them; their order may differ.

    From 6000 conversations, every word of the mini-world 300 times over, and 20,000 sentences.
    """
    rng = random.Random(0)
    texts = [text_line(script(rng, 4, _SHARES, IN_TRAINING)) for _ in range(6000)]
    texts += [word for word in vocabulary() for _ in range(300)]
    texts += itertools.islice(sentences(0, everyday=0.8), 20_000)
    return TextTokenizer.train(texts, vocab_size=1000)
