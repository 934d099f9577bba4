"""Hibari: Moshi's own voice, and any number of other speakers made from it."""

from __future__ import annotations

import functools

import numpy as np

from .phones import speak_in_sentences
from .speech import Speech

_HELP = "Install the speech engine with: pip install 'minimoshi[train]' (hibari-tts, onnx, onnxruntime)"


@functools.lru_cache(maxsize=1)
def hibari_engine():
    """The engine with one more output than it ships with: how long each phone lasts."""
    try:
        import hibari
        import onnx
        from hibari.tts import ASSETS
    except ImportError as error:
        raise ImportError(f"the hibari voice needs the package {error.name!r}. {_HELP}") from error
    graph = onnx.load(f"{ASSETS}/hibari.onnx")
    durations = onnx.helper.ValueInfoProto()
    durations.name = "/Clip_output_0"
    graph.graph.output.append(durations)
    return hibari.Hibari(model=graph.SerializeToString(), threads=1)


def _stretch(envelope: np.ndarray, factor: float) -> np.ndarray:
    """Move spectral envelopes [bins, frames] up (factor > 1: a shorter vocal tract) or down in frequency."""
    if factor == 1.0:
        return envelope
    source = np.clip(np.arange(len(envelope)) / factor, 0, len(envelope) - 1)
    low = source.astype(int)
    high = np.minimum(low + 1, len(envelope) - 1)
    weight = (source - low)[:, None].astype(np.float32)
    return envelope[low] * (1 - weight) + envelope[high] * weight


class HibariVoice:
    """Hibari's voice "heart" (Apache-2.0, 24 kHz), or another speaker made from it.

    f0: pitch relative to the original (0.58 sounds like a man). f0_range: below 1 flatter, above 1 livelier.
    formant: vocal-tract stretch, above 1 smaller. speed: above 1 faster. Raises ImportError naming the
    missing package.
    """

    def __init__(self, f0: float = 1.0, formant: float = 1.0, speed: float = 1.0, f0_range: float = 1.0):
        for name, value in dict(f0=f0, formant=formant, speed=speed).items():
            if not 0.3 <= value <= 3.0:
                raise ValueError(f"{name}={value}: expected a factor between 0.3 and 3")
        self.f0, self.formant, self.speed, self.f0_range = f0, formant, speed, f0_range
        self._engine = hibari_engine()

    def __call__(self, text: str) -> Speech:
        rng = np.random.default_rng(0)
        return speak_in_sentences(
            self._engine, text, self._engine.vocab, lambda symbols: self._synthesise(symbols, rng)
        )

    def _synthesise(self, symbols: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Sound [S] and how long each network token lasts: the symbols and one pad on either side."""
        from hibari import dsp

        inputs = {
            "ids": np.asarray([self._engine.ids(symbols)], np.int64),
            "speed": np.asarray([self.speed], np.float32),
        }
        *spectra, durations = self._engine.sess.run(None, inputs)
        harmonic, angle, noise, residual, phase, f0 = (part[0] for part in spectra)
        wav = dsp.synth(
            _stretch(harmonic, self.formant),
            angle,
            _stretch(noise, self.formant),
            _stretch(residual, self.formant),
            phase,
            self._shift_pitch(f0),
            rng,
        )
        return wav, np.asarray(durations).ravel()

    def _shift_pitch(self, f0: np.ndarray) -> np.ndarray:
        voiced = f0 > 40
        if not voiced.any():
            return f0
        middle = np.exp(np.log(f0[voiced]).mean())
        shifted = middle * self.f0 * (np.maximum(f0, 1) / middle) ** self.f0_range
        return np.where(voiced, shifted, f0).astype(np.float32)
