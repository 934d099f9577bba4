"""A take is as clear as what a listener makes of it once the codec has had it."""

import numpy as np
import pytest

from minimoshi import MimiAudioCodec
from minimoshi.data.voices import Span, Speech
from minimoshi.training import clarity

WAV = np.zeros(9600, np.float32)


@pytest.fixture
def codec() -> MimiAudioCodec:
    return MimiAudioCodec.from_pretrained("tiny")


def test_a_phrase_is_clear_if_it_is_heard_in_the_answers_that_hold_it(codec, monkeypatch):
    monkeypatch.setattr(clarity, "moshi_take", lambda text, speed: Speech(WAV, [Span(text, 0, 0.4)]))
    lengths, texts = [], iter(["before 4 comes three", "The fore before.", "the 4 4 comes 3"])

    def listen(wav: np.ndarray, rate: int) -> str:
        lengths.append(len(wav))
        return next(texts)

    clear = clarity.Clarity(codec, listen, carriers=4)
    assert clear("before", Speech(WAV, []), 0) == 0.5  # the third is the last that is listened to
    assert all(length % codec.frame_size == 0 and length > 4 * len(WAV) for length in lengths)


def test_the_same_answer_is_said_in_other_ways(codec, monkeypatch):
    speeds, heard = [], []
    monkeypatch.setattr(clarity, "moshi_take", lambda text, speed: speeds.append(speed) or Speech(WAV, []))
    clear = clarity.Clarity(codec, lambda wav, rate: heard.append(wav) or "the opposite of old is young")
    assert clear("old", Speech(WAV, []), 0) == 1.0
    assert len(heard) == 12 and len(set(speeds)) > 2  # two answers hold the word
    assert len({len(wav) for wav in heard}) > 2


def test_what_is_heard_went_through_the_codec_where_it_will_lie_on_the_frames(codec):
    noise = (0.1 * np.random.default_rng(0).standard_normal(19_200)).astype(np.float32)
    heard = []
    clear = clarity.Clarity(codec, lambda wav, rate: heard.append(wav) or "okay")
    assert [clear("okay", Speech(noise, []), lead) for lead in (0, 960)] == [1.0, 1.0]  # it is an answer of its own
    for wav, lead in zip(heard, (0, 960), strict=True):
        sound = wav[lead : lead + len(noise)]
        assert np.abs(sound).max() > 0.01 and np.abs(sound - noise).max() > 0.05
    assert not np.array_equal(heard[0], heard[1])
