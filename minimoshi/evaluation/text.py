"""What a text model has learnt: perplexity per word beside n-grams, and answers of the mini-world.

Perplexity is counted per *word* (and line end), however many pieces a tokenizer makes of it, so that models with
different vocabularies can be compared.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.miniworld.skills import Exchange, Split, all_exchanges
from ..nn.embedding import ZERO_TOKEN
from ..text import HeliumModel

START, END, UNKNOWN = "<start>", "<end>", "<unknown>"
END_ID = 2  # SentencePiece's end of a sentence
_ROWS = 16  # lines in one forward pass


class NGram:
    """Counts of words after their last `order - 1` words, smoothed by interpolated absolute discounting.

    Every count gives away `discount`; what is collected is shared out by the next shorter history, the shortest one by
    the uniform distribution over all words seen, the line end and the unknown word.
    """

    def __init__(self, lines: Iterable[str], order: int = 2, discount: float = 0.75):
        if order < 1 or not 0 < discount < 1:
            raise ValueError(f"an n-gram has order 1 or more and a discount between 0 and 1, got {order}, {discount}")
        self.order, self.discount = order, discount
        self.after: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for line in lines:
            words = [START] * (order - 1) + line.split() + [END]
            for place in range(order - 1, len(words)):
                for back in range(order):
                    self.after[tuple(words[place - back : place])][words[place]] += 1
        if not self.after:
            raise ValueError("there is no text to count")
        self.words = {*self.after[()], UNKNOWN}
        self.totals = {history: counts.total() for history, counts in self.after.items()}

    def chance(self, word: str, history: Sequence[str] = ()) -> float:
        """Probability of `word` after the last words of `history`; words never seen share that of the unknown."""
        word = word if word in self.words else UNKNOWN
        history, chance = tuple(history), 1 / len(self.words)
        for back in range(min(self.order - 1, len(history)) + 1):
            counts = self.after.get(history[len(history) - back :])
            if counts is None:
                break  # never seen: the shorter history has the last word
            given_away = self.discount * len(counts) * chance
            total = self.totals[history[len(history) - back :]]
            chance = (max(counts[word] - self.discount, 0) + given_away) / total
        return chance

    def nats(self, line: str) -> float:
        """-log probability of a line and its end."""
        words = [START] * (self.order - 1) + line.split() + [END]
        return -sum(
            math.log(self.chance(words[place], words[place - self.order + 1 : place]))
            for place in range(self.order - 1, len(words))
        )


def _per_word(nats: float, lines: Sequence[str]) -> float:
    if not lines:
        raise ValueError("there are no lines to measure on")
    return math.exp(nats / sum(len(line.split()) + 1 for line in lines))


def ngram_perplexity(ngram: NGram, lines: Sequence[str]) -> float:
    """Per word, line ends counted as words."""
    return _per_word(sum(map(ngram.nats, lines)), lines)


def word_perplexity(helium: HeliumModel, lines: Sequence[str]) -> float:
    """Per word, line ends counted as words: comparable to `ngram_perplexity` on the same lines."""
    return _per_word(sum(line_nats(helium, lines)), lines)


def line_nats(helium: HeliumModel, lines: Sequence[str]) -> list[float]:
    """-log probability of each line and its end, every line on its own after the initial token."""
    rows = [[*helium.tokenizer.encode(line), END_ID] for line in lines]
    found: list[float] = []
    for first in range(0, len(rows), _ROWS):
        targets = _padded(rows[first : first + _ROWS]).to(helium.head.weight.device)
        logits = _predict(helium, targets).flatten(0, 1)
        nats = F.cross_entropy(logits, targets.flatten(), ignore_index=ZERO_TOKEN, reduction="none")
        found += nats.view(targets.shape).sum(1).tolist()
    return found


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """int64 [B, T], short rows filled with the token that stands for none."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[ZERO_TOKEN] * (longest - len(row))] for row in rows])


@torch.inference_mode()
def _predict(helium: HeliumModel, targets: Tensor) -> Tensor:
    """int64 [B, T] -> logits [B, T, V] for each of them, given those before it."""
    start = torch.full_like(targets[:, :1], helium.initial_id)
    return helium(torch.cat([start, targets[:, :-1]], dim=1)).float()


def sums(split: Split) -> list[Exchange]:
    """All sums of the mini-world that belong to this split."""
    return [e for e in all_exchanges((split,)) if e.skill == "sum"]


def answered(helium: HeliumModel, exchanges: Sequence[Exchange]) -> list[bool]:
    """For each exchange: asked at the start of a line, is the model's greedy answer exactly the right one?

    One pass is enough: a greedy answer is the right one exactly when, with the right answer so far before it, the
    likeliest next token is right every time.
    """
    encode = helium.tokenizer.encode
    asked = [encode(" ".join(say.text for say in e.user) + " .") for e in exchanges]
    replies = [encode(e.answer + " .") for e in exchanges]
    found: list[bool] = []
    for first in range(0, len(asked), _ROWS):
        pairs = list(zip(asked[first : first + _ROWS], replies[first : first + _ROWS], strict=True))
        targets = _padded([[*question, *reply] for question, reply in pairs]).to(helium.head.weight.device)
        likeliest = _predict(helium, targets).argmax(-1).tolist()
        found += [row[len(q) : len(q) + len(r)] == r for row, (q, r) in zip(likeliest, pairs, strict=True)]
    return found
