"""The baseline that full duplex is compared with: voice activity, recogniser, rules, synthetic voice, in a chain.

Every link is as good as the mini-world allows: the rules know every answer and remember the name. What is left is what
a cascade cannot do: it must wait until silence has lasted long enough to be the end of a turn, it hears words and not
how they are said, and to its voice activity "mhm" is no different from "stop".
"""

from __future__ import annotations

import difflib
import itertools
import time
from collections.abc import Iterator

import numpy as np

from ...config import SAMPLE_RATE
from ...data.miniworld.bank import trim
from ...data.miniworld.skills import DIGITS, MURMURS, NAMES, SPLITS, STOPS, all_exchanges
from ...data.stereo import Word
from ...data.voices import Speech, open_voice
from .activity import Stretch, stretches
from .cases import Case
from .hearing import Listener, plain, readings
from .run import Answer

SILENCE = 0.7  # seconds that end the user's turn
_BARGE_IN = 0.25  # seconds of the user's sound that silence the voice
_ABOVE_NOISE_DB = 12.0
_QUIETEST_DB = -55.0
_CLOSE = 0.75  # how alike a transcript and a question must be


class Rules:
    """The mini-world's right answers by text, with a memory for the name; `rules(text)` -> answer or None."""

    def __init__(self) -> None:
        self.answers = {
            plain(" ".join(say.text for say in e.user)): e.answer
            for e in all_exchanges(SPLITS)
            if e.skill not in ("name", "recall", "manner")
        }
        self.answers |= {plain(word): "" for word in MURMURS} | {plain(word): "okay" for word in STOPS}
        self.name: str | None = None

    def __call__(self, text: str) -> str | None:
        found = readings(text)
        for reading in found:
            if reading in self.answers:
                return self.answers[reading]
        return next((answer for reading in found if (answer := self._nearest(reading)) is not None), None)

    def _nearest(self, text: str) -> str | None:
        words = text.split()
        for name in NAMES:
            if name in words:
                self.name = name
                return f"hello {name}"
        if _alike(text, "what is my name"):
            return f"your name is {self.name}" if self.name else "i do not know your name"
        digits = [word for word in words if word.isdigit()]
        if "repeat" in words and digits:
            return " ".join(DIGITS[int(d)] for d in digits)
        close = difflib.get_close_matches(text, self.answers, 1, _CLOSE)
        return self.answers[close[0]] if close else None


def _alike(a: str, b: str) -> bool:
    return difflib.SequenceMatcher(None, a, b).ratio() >= _CLOSE


class Cascade:
    """`cascade(case)` -> Answer. hear: the recogniser; compute: whether its own time delays the answer, as it would."""

    def __init__(self, hear: Listener, compute: bool = True):
        self.hear, self.compute = hear, compute
        self._said: dict[str, Speech] = {}

    def __call__(self, case: Case) -> Answer:
        user = case.stereo()[1]
        rules, moshi, words = Rules(), np.zeros_like(user), []
        talk = user_stretches(user)
        for turn in _turns(talk):
            started = time.perf_counter()
            text = self.hear(user[round(turn.start * SAMPLE_RATE) : round(turn.end * SAMPLE_RATE)], SAMPLE_RATE)
            answer = rules(text)
            speech = self._say(answer) if answer else None
            begin = turn.end + SILENCE + (time.perf_counter() - started if self.compute else 0.0)
            if speech is not None:
                self._speak(moshi, words, speech, begin, _silenced(talk, begin))
        return Answer(moshi, words)

    def _say(self, text: str) -> Speech:
        if text not in self._said:
            self._said[text] = trim(open_voice("hibari")(text))
        return self._said[text]

    @staticmethod
    def _speak(moshi: np.ndarray, words: list[Word], speech: Speech, begin: float, until: float) -> None:
        start, until = round(begin * SAMPLE_RATE), min(until, len(moshi) / SAMPLE_RATE)
        stop = min(round(until * SAMPLE_RATE), start + len(speech.wav))
        if stop > start:
            moshi[start:stop] += speech.wav[: stop - start]
            words += [
                Word(w.label, w.start + begin, min(w.end + begin, until))
                for w in speech.words
                if w.start + begin < stop / SAMPLE_RATE
            ]


def user_stretches(user: np.ndarray) -> list[Stretch]:
    """Where the user sounds, float [S]: well above the quietest fifth of the recording."""
    step = SAMPLE_RATE // 100
    power = np.square(user[: len(user) // step * step]).reshape(-1, step).mean(1)
    floor = 10 * np.log10(np.quantile(power, 0.2) + 1e-12)
    return stretches(user, max(floor + _ABOVE_NOISE_DB, _QUIETEST_DB))


def _turns(talk: list[Stretch]) -> Iterator[Stretch]:
    """The user's turns: sound until a silence of SILENCE seconds."""
    start = None
    for one, following in itertools.zip_longest(talk, talk[1:]):
        start = one.start if start is None else start
        if following is None or following.start - one.end >= SILENCE:
            yield Stretch(start, one.end)
            start = None


def _silenced(talk: list[Stretch], begin: float) -> float:
    """When the user's sound stops a voice that begins to speak at `begin`."""
    return min((max(s.start, begin) + _BARGE_IN for s in talk if s.end >= begin + _BARGE_IN), default=float("inf"))
