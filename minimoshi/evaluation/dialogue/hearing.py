"""What an independent recogniser hears in a stretch of Moshi's sound, and whether it is what the script wants."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

from ...config import SAMPLE_RATE
from ..judge import normalise, word_errors
from ..memo import Memo

Listener = Callable[[np.ndarray, int], str]
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


class Ear:
    """Listens for words: `ear.hears(wav, start, end, expected)`.

    judges: recognisers by name, the most trusted last. A later one is asked only when the ones before it heard
    something else than what is expected: that one of them mishears a right answer is common, that one mishears a wrong
    answer as exactly the right one is not (`python -m minimoshi.evaluation.dialogue.doubt` counts).
    """

    def __init__(self, judges: Mapping[str, Listener], memo: Memo | None = None):
        if not judges:
            raise ValueError("expected at least one judge")
        self.judges, self.memo = dict(judges), memo or Memo()

    def hears(self, wav: np.ndarray, start: float, end: float, expected: str) -> tuple[bool, dict[str, str]]:
        """Whether the words between two seconds are the expected ones, and what each judge heard."""
        heard: dict[str, str] = {}
        wanted = plain(expected)
        for name in self.judges:
            heard[name] = self.listen(wav, start, end, name)
            if wanted in readings(heard[name]):
                return True, heard
        return False, heard

    def listen(self, wav: np.ndarray, start: float, end: float, name: str | None = None) -> str:
        """What a judge, by default the first, hears between two seconds."""
        name = name or next(iter(self.judges))
        piece = wav[max(0, round((start - _MARGIN) * SAMPLE_RATE)) : round((end + _MARGIN) * SAMPLE_RATE)]
        found = self.memo(f"hear {name}", (piece,), lambda: self.judges[name](piece, SAMPLE_RATE))
        return str(found)
