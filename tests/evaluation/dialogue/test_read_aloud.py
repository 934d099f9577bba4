"""Word errors of text read aloud and of users written down, with a voice and a listener that make known ones."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from minimoshi.evaluation.dialogue import read_aloud as aloud
from minimoshi.evaluation.dialogue.hearing import Ear
from minimoshi.moshi.transcriber import Heard
from tests.evaluation.dialogue.conftest import read_tones, tone_words


def _reader(swallow: int):
    """Says all words of a text but the last `swallow`."""

    def say(text: str, **options) -> SimpleNamespace:
        words = text.split()[: -swallow or None]
        sound = tone_words("")(" ".join(words)).wav if words else np.zeros(24_000, np.float32)
        return SimpleNamespace(stereo=torch.from_numpy(np.stack([sound, 0 * sound])))

    return SimpleNamespace(say=say)


def test_words_that_are_swallowed_are_counted():
    ear = Ear({"tones": read_tones})
    assert aloud.read_aloud(_reader(0), ear)["rate"] == 0
    found = aloud.read_aloud(_reader(1), ear)
    lost = found["rate"] * found["of"]  # one word of each sentence; "seventeen" counts as 1 and 7
    assert aloud.SENTENCES <= round(lost) < 1.3 * aloud.SENTENCES


def test_users_are_compared_with_what_they_said(world):
    cases = [case for case in world.cases if case.group == "seen"][:6]
    said = {len(case.stereo()[1]): [w for w in case.words if w.speaker == "user"] for case in cases}
    many = sum(map(len, said.values()))

    def all_but_one(wav: torch.Tensor) -> list[Heard]:
        return [Heard(word.text, word.start, word.end) for word in said[len(wav)][1:]]

    assert len(said) == len(cases)
    found = aloud.written_down(all_but_one, cases, world.ear)
    assert found.keys() == {"seen"}
    assert found["seen"]["transcriber"]["rate"] == pytest.approx(len(cases) / many)
    assert found["seen"]["judge"]["rate"] < 0.1
    assert aloud.written_down(all_but_one, [], world.ear) == {}
