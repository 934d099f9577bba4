"""The measures know a good copy from a bad one, and say so when they cannot measure."""

import builtins
import math
import sys
import warnings
from importlib.util import find_spec

import numpy as np
import pytest

from minimoshi.evaluation import measures


def voice(seconds: float = 2.0, f0: float = 120.0) -> np.ndarray:
    """A buzz in syllables, loud enough for every measure."""
    time = np.arange(int(seconds * 24_000)) / 24_000
    buzz = sum(np.sin(2 * np.pi * f0 * k * time) / k for k in range(1, 30)) * (np.sin(2 * np.pi * 3 * time) > 0)
    return (0.05 * buzz).astype(np.float32)


@pytest.fixture
def noisy() -> np.ndarray:
    wav = voice()
    return wav + 0.05 * np.random.default_rng(0).standard_normal(len(wav)).astype(np.float32)


def test_the_mel_distance_is_in_decibels(noisy):
    wav = voice()
    assert measures.log_mel_distance(wav, wav) == 0
    assert measures.log_mel_distance(wav, noisy) > 3
    # twice the amplitude is 6.02 dB wherever a band lies above the floor of -60 dB, and nothing below it
    loud = np.random.default_rng(0).standard_normal(48_000).astype(np.float32) * 0.1
    assert measures.log_mel_distance(loud, 2 * loud) == pytest.approx(6.02, abs=0.01)
    assert measures.log_mel_distance(np.zeros(4_800), np.full(4_800, 1e-6)) == 0


@pytest.mark.parametrize("lengths", [(2_000, 2_001), (1_000, 1_000)])
def test_the_mel_distance_refuses_what_it_cannot_compare(lengths):
    with pytest.raises(ValueError, match="one length, at least 1024"):
        measures.log_mel_distance(*(np.zeros(n) for n in lengths))


def test_intelligibility_and_quality_fall_with_noise(noisy):
    for package in ("pesq", "pystoi"):
        pytest.importorskip(package, reason="the measures are in the extra 'train'")
    wav = voice()
    assert measures.intelligibility(wav, wav) > 0.99 > measures.intelligibility(wav, noisy) + 0.05
    assert measures.quality(wav, wav) > 4 > measures.quality(wav, noisy) + 1


def test_what_holds_no_speech_is_not_a_number():
    for package in ("pesq", "pystoi"):
        pytest.importorskip(package, reason="the measures are in the extra 'train'")
    silence = np.zeros(48_000, np.float32)
    assert math.isnan(measures.quality(silence, silence)) and math.isnan(measures.quality(silence, voice()))
    assert math.isnan(measures.intelligibility(voice(0.2), voice(0.2)))
    # but a codec that gives silence for speech has not been spared a measure, it has failed
    assert measures.quality(voice(), silence) == 1 and measures.intelligibility(voice(), silence) < 0.1


def test_the_opinion_prefers_the_clean_voice(noisy):
    pytest.importorskip("speechmos", reason="in the extra 'train'")
    assert 1 <= measures.opinion(noisy) < measures.opinion(voice()) <= 5


@pytest.mark.skipif(find_spec("resemblyzer") is None, reason="in the extra 'train'")
def test_a_speaker_is_like_himself():
    # find_spec, because a plain import stumbles over webrtcvad, which the measure does without
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages that Resemblyzer brings along
        low, high = voice(f0=100), voice(f0=260)
        assert measures.same_speaker(low, low) == pytest.approx(1, abs=1e-5)
        assert measures.same_speaker(low, high) < 0.95


@pytest.mark.parametrize(
    "module, call, hint",
    [
        ("speechmos", measures._opinion_network, "pip install speechmos"),
        ("resemblyzer", measures._speaker_encoder, "pip install --no-deps resemblyzer"),
    ],
)
def test_a_missing_package_is_named(monkeypatch, module, call, hint):
    call.cache_clear()
    real = builtins.__import__

    def without(name, *rest, **options):
        if name.split(".")[0] == module:
            raise ImportError(name=name)
        return real(name, *rest, **options)

    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=hint):
        call()
    assert "webrtcvad" not in sys.modules or hasattr(sys.modules["webrtcvad"], "Vad")


def test_the_bootstrap_covers_the_rate():
    rng = np.random.default_rng(1)
    words = rng.integers(5, 10, 60)
    errors = rng.binomial(words, 0.2)
    rate, low, high = measures.bootstrap(errors, words)
    assert rate == pytest.approx(errors.sum() / words.sum())
    assert low < 0.2 < high and low < rate < high
    assert measures.bootstrap(errors, words) == (rate, low, high)
    assert measures.bootstrap(np.zeros(9), np.ones(9)) == (0, 0, 0)
    few = measures.bootstrap(errors[:10], words[:10])
    assert few[2] - few[1] > high - low
    with pytest.raises(ValueError, match="at least one clip"):
        measures.bootstrap(np.zeros(0), np.zeros(0))
