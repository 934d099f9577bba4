"""How close a sound is to its original, each measure one function of two sounds [S] at 24 kHz.

`log_mel_distance` compares spectra, `intelligibility` (STOI) the envelopes that carry words, `quality` (PESQ) what an
ear on the telephone would mind. `opinion` (DNSMOS) never sees the original and says how a listener would rate the
sound alone; `same_speaker` says whether it is still the same person.
"""

from __future__ import annotations

import functools
import math
import sys
import types
import warnings

import numpy as np
import soxr

from ..config import SAMPLE_RATE

RATE = 16_000  # of STOI, PESQ, DNSMOS and the speaker encoder
MEL_WINDOW, _HOP, _BANDS = 1024, 240, 80
_FLOOR = 1e-6  # power of a band that counts as silence, 60 dB below full scale
_WORST_QUALITY = 1.0
_OPINION_SAMPLES = int(9.01 * RATE)  # DNSMOS looks at pieces of this length


def at_16k(wav: np.ndarray) -> np.ndarray:
    """24 kHz -> 16 kHz."""
    return soxr.resample(np.asarray(wav, np.float32), SAMPLE_RATE, RATE)


def log_mel_distance(original: np.ndarray, copy: np.ndarray) -> float:
    """Mean absolute difference of 80-band log-mel spectrograms in dB; 0 for equal sounds.

    Windows of 43 ms every 10 ms; powers below -60 dB all count as silence. ValueError for sounds of unequal length,
    or shorter than a window.
    """
    import librosa

    original, copy = (np.asarray(wav, np.float32) for wav in (original, copy))
    if original.shape != copy.shape or original.ndim != 1 or len(original) < MEL_WINDOW:
        raise ValueError(
            f"expected two sounds [S] of one length, at least {MEL_WINDOW} samples; "
            f"got {list(original.shape)} and {list(copy.shape)}"
        )
    levels = []
    for wav in (original, copy):
        mel = librosa.feature.melspectrogram(y=wav, sr=SAMPLE_RATE, n_fft=MEL_WINDOW, hop_length=_HOP, n_mels=_BANDS)
        levels.append(librosa.power_to_db(mel, ref=1.0, amin=_FLOOR, top_db=None))
    return float(np.abs(levels[0] - levels[1]).mean())


def intelligibility(original: np.ndarray, copy: np.ndarray) -> float:
    """STOI, from 0 to 1; NaN where the original holds fewer than 0.4 s of speech."""
    from pystoi import stoi

    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            return float(stoi(at_16k(original), at_16k(copy), RATE, extended=False))
        except RuntimeWarning:
            return math.nan


def quality(original: np.ndarray, copy: np.ndarray) -> float:
    """PESQ, wide band, from 1 to 4.6; 1 for a copy without any speech, NaN where the original has none."""
    from pesq import PesqError, pesq

    pair = [at_16k(original), at_16k(copy)]
    if not pair[0].any():
        return math.nan
    try:
        return float(pesq(RATE, *pair, "wb"))
    except (PesqError, ValueError):  # no speech in one of the two; or a copy so quiet that its score is not a number
        pass
    try:
        pesq(RATE, pair[0], pair[0], "wb")
    except PesqError:
        return math.nan
    return _WORST_QUALITY


def opinion(wav: np.ndarray) -> float:
    """The rating from 1 to 5 that DNSMOS (P.808) expects of listeners, who would hear `wav` alone."""
    import librosa

    network = _opinion_network()
    wav = at_16k(wav)
    wav = np.tile(wav, -(-_OPINION_SAMPLES // len(wav)))  # a short clip is heard again and again
    ratings = []
    for start in range(0, len(wav) - _OPINION_SAMPLES + 1, RATE):
        piece = wav[start : start + _OPINION_SAMPLES - 160]
        mel = librosa.feature.melspectrogram(y=piece, sr=RATE, n_fft=321, hop_length=160, n_mels=120)
        columns = (librosa.power_to_db(mel, ref=np.max) + 40) / 40
        ratings.append(network.run(None, {"input_1": columns.T.astype(np.float32)[None]})[0].item())
    return float(np.mean(ratings))


@functools.lru_cache(maxsize=1)
def _opinion_network():
    """DNSMOS from the package speechmos; run here, because the package would run a second, slower network with it."""
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec("speechmos")
    if spec is None:
        raise ImportError("the predicted opinion needs a package: pip install speechmos onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = Path(spec.submodule_search_locations[0]) / "dnsmos_models" / "model_v8.onnx"
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def same_speaker(original: np.ndarray, copy: np.ndarray) -> float:
    """Cosine between the speaker embeddings (Resemblyzer) of two sounds; different people are at .5 to .8."""
    encoder = _speaker_encoder()
    a, b = (encoder.embed_utterance(at_16k(wav)) for wav in (original, copy))
    return float(a @ b / max(1e-9, np.linalg.norm(a) * np.linalg.norm(b)))


@functools.lru_cache(maxsize=1)
def _speaker_encoder():
    absent = "webrtcvad" not in sys.modules
    try:
        # Resemblyzer wants webrtcvad only to trim recordings, and webrtcvad no longer imports beside a new setuptools
        if absent:
            sys.modules["webrtcvad"] = types.ModuleType("webrtcvad")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from resemblyzer import VoiceEncoder
    except ImportError as error:
        raise ImportError("speaker similarity needs a package: pip install --no-deps resemblyzer") from error
    finally:
        if absent:
            sys.modules.pop("webrtcvad", None)
    return VoiceEncoder("cpu", verbose=False)


def bootstrap(errors: np.ndarray, words: np.ndarray, draws: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """(rate, low, high): errors over words of all clips, and where 90 % of the rates of redrawn clips lie.

    errors [N] or a difference of errors, words [N]: per clip.
    """
    errors, words = np.asarray(errors, float), np.asarray(words, float)
    if not len(errors) or errors.shape != words.shape or words.sum() <= 0:
        raise ValueError(f"expected errors and words of at least one clip, got {errors.shape} and {words.shape}")
    drawn = np.random.default_rng(seed).integers(len(errors), size=(draws, len(errors)))
    rates = errors[drawn].sum(1) / np.maximum(1, words[drawn].sum(1))
    low, high = np.quantile(rates, (0.05, 0.95))
    return float(errors.sum() / words.sum()), float(low), float(high)
