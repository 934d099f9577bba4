"""What an independent recogniser hears in a stretch of Moshi's sound, and whether it is what the script wants."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from ...config import SAMPLE_RATE
from ...data.miniworld.skills import SPLITS, moshi_says
from ..judge import normalise, word_errors
from ..memo import Memo

Listener = Callable[[np.ndarray, int], str]
ALIKE = 0.3  # characters that may differ between what was heard and an answer, of the answer's
_MARGIN = 0.1  # seconds on both sides of a stretch that the recogniser hears too
# What sounds the same is the same: a recogniser that does not know the world can only guess how it is spelled.
_SAME_SOUND = {
    "to": "2",
    "too": "2",
    "for": "4",
    "fore": "4",
    "won": "1",
    "ate": "8",
    "oh": "0",
    "nought": "0",
    "ana": "anna",
    "lucie": "lucy",
    "blew": "blue",
    "read": "red",
    "hi": "high",
    "whet": "wet",
}
_CONTRACTIONS = {"n't": " not", "'re": " are", "'s": " is", "'m": " am"}


def readings(text: str) -> set[str]:
    """The words of a transcript in one spelling; two readings where a dash may be a minus ("7-3", but "1-2-3" too)."""
    text = text.lower().replace("’", "'").replace("−", "-").replace("–", "-")
    for short, long in _CONTRACTIONS.items():
        text = text.replace(short, long)
    subtracted = re.sub(r"(?<=\w)\s*-\s*(?=\w)", " minus ", text)
    return {_plain(text), _plain(subtracted)}


def plain(text: str) -> str:
    """The words of a text that has no dashes, in the spelling of `readings`."""
    return _plain(text.lower())


def _plain(text: str) -> str:
    text = re.sub(r"(?<=\d)a(?=\d)|(?<=\d )a(?= \d)", "8", text)  # "2A3"
    return " ".join(_SAME_SOUND.get(word, word) for word in normalise(text).split())


def errors(reference: str, heard: str) -> tuple[int, int]:
    """(errors, words in the reference), by the reading of what was heard that fits best."""
    return min(word_errors(plain(reference), reading) for reading in readings(heard))


def means(reading: str, expected: str) -> bool:
    """Whether the expected answer is the one that a transcript is nearest to, of all that the mini-world has.

    reading, expected: as `plain` writes them. A recogniser that does not know the world writes "the sun was yellow" or
    "the opposite of clothes is open". Numbers must be the same, and no more than ALIKE of the characters another one.
    """
    if _digits(reading) != _digits(expected):
        return False
    allowed = ALIKE * len(expected)
    distance = _distance(reading, expected)
    others = _answers().get(_digits(expected), set()) - {expected}
    return distance <= allowed and all(_distance(reading, other) > distance for other in others)


def _digits(text: str) -> str:
    return "".join(re.findall(r"\d", text))


@functools.lru_cache(maxsize=1)
def _answers() -> dict[str, set[str]]:
    """All of Moshi's answers by the digits in them."""
    found: dict[str, set[str]] = {}
    for _, text in moshi_says(SPLITS):
        found.setdefault(_digits(plain(text)), set()).add(plain(text))
    return found


def _distance(one: str, other: str) -> int:
    """How many characters must be put in, taken out or exchanged."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


class Heard(NamedTuple):
    """right: the expected answer, as far as a judge can tell; exact: word for word; texts: what each judge wrote."""

    right: bool
    exact: bool
    texts: dict[str, str]


class Ear:
    """Listens for words: `ear.hears(wav, start, end, expected)`.

    judges: recognisers by name, the most trusted last. A later one is asked only when the ones before it heard
    something else than what is expected.
    """

    def __init__(self, judges: Mapping[str, Listener], memo: Memo | None = None):
        if not judges:
            raise ValueError("expected at least one judge")
        self.judges, self.memo = dict(judges), memo or Memo()

    def hears(self, wav: np.ndarray, start: float, end: float, expected: str) -> Heard:
        """What is said between two seconds, and whether it is what is expected."""
        texts: dict[str, str] = {}
        wanted, right = plain(expected), False
        for name in self.judges:
            texts[name] = self.listen(wav, start, end, name)
            found = readings(texts[name])
            if wanted in found:
                return Heard(True, True, texts)
            right = right or any(means(reading, wanted) for reading in found)
            if right:
                break
        return Heard(right, False, texts)

    def listen(self, wav: np.ndarray, start: float, end: float, name: str | None = None) -> str:
        """What a judge, by default the first, hears between two seconds."""
        name = name or next(iter(self.judges))
        piece = wav[max(0, round((start - _MARGIN) * SAMPLE_RATE)) : round((end + _MARGIN) * SAMPLE_RATE)]
        found = self.memo(f"hear {name}", (piece,), lambda: self.judges[name](piece, SAMPLE_RATE))
        return str(found)
