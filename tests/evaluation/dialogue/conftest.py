"""Test episodes in a voice whose words can be read off the sound, so that the judge needs no recogniser."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from minimoshi.config import SAMPLE_RATE
from minimoshi.data.miniworld import vocabulary
from minimoshi.data.miniworld.bank import User
from minimoshi.data.voices import Span, Speech
from minimoshi.evaluation.dialogue import scripts
from minimoshi.evaluation.dialogue.activity import stretches
from minimoshi.evaluation.dialogue.cases import Case, build_cases
from minimoshi.evaluation.dialogue.hearing import Ear

WORDS = vocabulary()
EACH = {"seen": 1, "text": 1, "silence": 2}
_TONE, _WORD = 0.2, 0.24  # seconds of sound, and from one word to the next
_LEAD = 0.05  # seconds of silence before the first


def _pitch(word: str) -> float:
    return 300 + 35 * WORDS.index(word)


def tone_words(spec: str) -> Callable[[str], Speech]:
    """A voice whose every word is a tone of its own."""

    def speak(text: str) -> Speech:
        time = np.arange(round(_TONE * SAMPLE_RATE)) / SAMPLE_RATE
        words = text.replace("umhum", "mhm").split()
        tones = [np.pad(np.sin(2 * np.pi * _pitch(w) * time), (0, round((_WORD - _TONE) * SAMPLE_RATE))) for w in words]
        spans = [Span(w, _LEAD + i * _WORD, _LEAD + i * _WORD + _TONE) for i, w in enumerate(words)]
        silence = np.zeros(round(_LEAD * SAMPLE_RATE))
        return Speech((0.3 * np.concatenate([silence, *tones])).astype(np.float32), spans)

    return speak


def read_tones(wav: np.ndarray, rate: int) -> str:
    """The judge: 0.1 to 0.3 s of one pitch is a word."""
    window = rate // 50
    found = []
    for start, end in stretches(wav, breath=0.015):
        pieces = wav[round(start * rate) : round(end * rate)]
        pieces = pieces[: len(pieces) // window * window].reshape(-1, window)
        pitches = np.abs(np.fft.rfft(pieces * np.hanning(window), 2**14)).argmax(1) * rate / 2**14
        numbers = np.rint((pitches - 300) / 35).astype(int)
        for number, same in itertools.groupby(numbers):
            long = len(list(same))
            found += [WORDS[number]] * round(long / 10) if 0 <= number < len(WORDS) and long >= 5 else []
    return " ".join(found)


@dataclass(frozen=True)
class World:
    """A test set on disk, and somebody to judge it."""

    folder: Path
    cases: list[Case]
    ear: Ear

    def case(self, name: str) -> Case:
        return next(case for case in self.cases if case.name == name)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minimoshi.data.miniworld.bank.open_voice", tone_words)
        patch.setattr(scripts, "random_user", lambda rng, name: User(name, "hibari:speed=1"))
        folder = tmp_path_factory.mktemp("world") / "episodes"
        cases = build_cases(folder, seed=4, each=EACH, progress=False)
    return World(folder, cases, Ear({"tones": read_tones}))
