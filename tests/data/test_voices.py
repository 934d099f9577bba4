"""Voices: names, times, missing engines. The engine itself is replaced by a toy where it is not the point."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from minimoshi.data import voices
from minimoshi.data.voices import PHONES, SAMPLE_RATE, SILENCE, FliteVoice, HibariVoice, open_voice


class ToyEngine:
    """Speaks every symbol for 100 ms, and remembers the last spectra it was asked for."""

    vocab = {symbol: i + 1 for i, symbol in enumerate("həlˈO ðɛɹ.")}

    def __init__(self):
        self.sess = SimpleNamespace(run=self.run)

    def split_sentences(self, text):
        return [text]

    def phonemize(self, sentence):
        return ["həlˈO ðˈɛɹ."]

    def ids(self, symbols):
        return [0, *[self.vocab[s] for s in symbols], 0]

    def run(self, _, inputs):
        count = inputs["ids"].shape[1]
        frames = 8 * count  # 12.5 ms each
        spectra = [np.random.default_rng(i).normal(-2, 1, (1, 601, frames)).astype(np.float32) for i in range(5)]
        f0 = np.full((1, frames), 200.0, np.float32)
        return [*spectra, f0, np.full((1, count), 4.0)]


@pytest.fixture
def hibari(monkeypatch):
    """The hibari voice without the package hibari: a toy engine and a toy vocoder that returns the pitch."""
    engine = ToyEngine()
    monkeypatch.setattr(voices, "_hibari_engine", lambda: engine)

    def synth(harmonic, angle, noise, residual, phase, f0, rng):
        return np.repeat(f0, 300).astype(np.float32)

    monkeypatch.setitem(sys.modules, "hibari", SimpleNamespace(dsp=SimpleNamespace(synth=synth)))
    return engine


def test_hibari_words_have_times(hibari):
    speech = open_voice("hibari")("Hello there.")
    assert [w.label for w in speech.words] == ["Hello", "there"]
    hello, there = speech.words
    # token 0 is a pad of 100 ms, the lag is 75 ms: "hello" has five symbols, then one blank
    assert (hello.start, hello.end) == (pytest.approx(0.025), pytest.approx(0.525))
    assert (there.start, there.end) == (pytest.approx(0.625), pytest.approx(1.025))
    assert len(speech.wav) == 13 * 8 * 300


def test_hibari_phones_are_of_the_common_alphabet(hibari):
    phones = open_voice("hibari")("Hello there.").phones
    labels = [p.label for p in phones]
    assert set(labels) <= set(PHONES)
    # the stress mark is part of the vowel after it; the blank between the words is long enough for a pause
    assert labels == ["hh", "ax", "l", "ow", "ow", SILENCE, "dh", "eh", "eh", "r", SILENCE]


def test_hibari_pitch_scales(hibari):
    plain, low = (open_voice(spec)("Hello there.").wav.mean() for spec in ("hibari", "hibari:f0=0.5"))
    assert plain == pytest.approx(200)
    assert low == pytest.approx(100, rel=1e-4)


def test_stretching_moves_a_peak():
    envelope = np.zeros((601, 2), np.float32)
    envelope[100] = 1
    assert voices._stretch(envelope, 1.1)[:, 0].argmax() == 110
    assert voices._stretch(envelope, 0.9)[:, 0].argmax() == 90
    assert voices._stretch(envelope, 1.0) is envelope


@pytest.mark.parametrize("spec", ["espeak:en", "hibari:pitch=2", "hibari:f0=high", "hibari:f0=9", "flite:bob"])
def test_unknown_voices_are_named(hibari, spec):
    with pytest.raises(ValueError, match="expected|takes"):
        open_voice(spec)


def test_a_missing_engine_says_what_to_install(monkeypatch):
    voices._hibari_engine.cache_clear()
    monkeypatch.setitem(sys.modules, "hibari", None)
    with pytest.raises(ImportError, match=r"hibari.*pip install"):
        HibariVoice()
    voices._hibari_engine.cache_clear()


def test_a_missing_library_says_what_to_install(monkeypatch):
    def nothing(name, mode=0):
        raise OSError(f"{name}: cannot open shared object file")

    voices._flite_library.cache_clear()
    monkeypatch.setattr(voices.ctypes, "CDLL", nothing)
    with pytest.raises(ImportError, match=r"libflite.*apt-get install libflite1"):
        FliteVoice("slt")
    voices._flite_library.cache_clear()


def test_the_real_voice_speaks_in_time():
    pytest.importorskip("hibari", reason="the real engine is in the extra 'train'")
    pytest.importorskip("onnx", reason="the real engine is in the extra 'train'")
    speech = open_voice("hibari")("hello there, how are you")
    assert [w.label for w in speech.words] == "hello there how are you".split()
    for before, after in zip(speech.words, speech.words[1:], strict=False):
        assert 0 <= before.start < before.end <= after.start + 1e-6
    assert speech.words[-1].end <= len(speech.wav) / SAMPLE_RATE
    inside = speech.wav[int(speech.words[0].start * SAMPLE_RATE) : int(speech.words[0].end * SAMPLE_RATE)]
    outside = speech.wav[: int(0.1 * SAMPLE_RATE)]
    assert np.abs(inside).mean() > 5 * np.abs(outside).mean()
