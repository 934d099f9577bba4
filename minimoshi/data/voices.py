"""Speaking voices: speech with the times of its words and phones, made offline.

Two engines, each an optional package:

* `HibariVoice`: one warm 24 kHz voice, Moshi's own. Scaling its pitch and stretching its spectral envelopes
  turns it into any number of other speakers, which serve as users.
* `FliteVoice`: the voices slt, rms, awb and kal16 at 16 kHz.

Every voice is called with a sentence and answers with `Speech`. Phones of both engines are written in one
alphabet (the 40 symbols of flite, close to ARPAbet), so that labels of different voices can be mixed.
"""

from __future__ import annotations

import ctypes
import functools
import re
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import soxr

SAMPLE_RATE = 24_000
SILENCE = "pau"

_HIBARI_HELP = (
    "Install the speech engine with: pip install 'minimoshi[train]' (hibari-tts, onnx, onnxruntime)"
)
_FLITE_HELP = (
    "Install the speech engine with: sudo apt-get install libflite1 (Debian, Ubuntu), or use a hibari voice"
)

# Kokoro's alphabet (hibari) to flite's. A stress mark belongs to the phone after it, any other unlisted mark
# and a blank too short to be a pause to the phone before it.
_TO_PHONE = dict(
    zip(
        "ə i u ɑ ɔ ɛ ɜ ɪ ʊ ʌ æ A I W Y O ᵊ ɐ ᵻ b d f h j k l m n p s t v w z ɡ ŋ ɹ ʃ ʒ ð θ ʤ ʧ ɾ T ʔ".split(),
        "ax iy uw aa ao eh er ih uh ah ae ey ay aw oy ow ax ax ih b d f hh y k l m n p s t v w z g ng r sh "
        "zh dh th "
        "jh ch d d t".split(),
        strict=True,
    )
)
PHONES = (SILENCE, *sorted(set(_TO_PHONE.values())))
_PUNCTUATION = set(' .,!?;:—…"()“”‘’')
_STRESS = "ˈˌ"
_SHORTEST_PAUSE = 0.06  # seconds
_WORD = re.compile(r"[A-Za-z0-9']+")


@dataclass(frozen=True)
class Span:
    """Something said from `start` to `end`, in seconds: a word or a phone."""

    label: str
    start: float
    end: float


@dataclass(frozen=True)
class Speech:
    """One utterance: `wav` float32 [S] at 24 kHz, and when each word and phone sounds (seconds)."""

    wav: np.ndarray
    words: list[Span] = field(default_factory=list)
    phones: list[Span] = field(default_factory=list)


class Voice(Protocol):
    """Anything that speaks: `voice("hello there")` -> `Speech`."""

    def __call__(self, text: str) -> Speech: ...


def open_voice(spec: str) -> Voice:
    """A voice from its short name: `"hibari"`, `"hibari:f0=0.6,formant=0.95,speed=1.1"`, `"flite:rms"`."""
    engine, _, rest = spec.partition(":")
    if engine == "hibari":
        try:
            settings = {k: float(v) for k, _, v in (item.partition("=") for item in rest.split(",") if item)}
            return HibariVoice(**settings)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"voice {spec!r}: hibari takes f0, f0_range, formant and speed as numbers, "
                "for example 'hibari:f0=0.8,formant=0.94'"
            ) from error
    if engine == "flite":
        return FliteVoice(rest or "slt")
    raise ValueError(f"voice {spec!r}: expected 'hibari[:settings]' or 'flite:NAME'")


# --------------------------------------------------------------------------------------------------- hibari


@functools.lru_cache(maxsize=1)
def _hibari_engine():
    """The engine with one more output than it ships with: how long each phone lasts."""
    try:
        import hibari
        import onnx
        from hibari.tts import ASSETS
    except ImportError as error:
        raise ImportError(f"the hibari voice needs the package {error.name!r}. {_HIBARI_HELP}") from error
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

    # The network's phone durations are in 25 ms units and lag its sound by three of them.
    _UNIT, _LAG = 0.025, 0.075

    def __init__(self, f0: float = 1.0, formant: float = 1.0, speed: float = 1.0, f0_range: float = 1.0):
        for name, value in dict(f0=f0, formant=formant, speed=speed).items():
            if not 0.3 <= value <= 3.0:
                raise ValueError(f"{name}={value}: expected a factor between 0.3 and 3")
        self.f0, self.formant, self.speed, self.f0_range = f0, formant, speed, f0_range
        self._engine = _hibari_engine()

    def __call__(self, text: str) -> Speech:
        rng = np.random.default_rng(0)
        wavs, words, phones, offset = [], [], [], 0.0
        for sentence in self._engine.split_sentences(text):
            for symbols in self._engine.phonemize(sentence):
                symbols = "".join(s for s in symbols if s in self._engine.vocab)
                wav, ends = self._synthesise(symbols, rng)
                ends = offset + ends - self._LAG
                starts, ends = ends[:-2], ends[1:-1]
                phones += _phone_spans(symbols, starts, ends)
                words += _word_spans(sentence, symbols, starts, ends)
                wavs.append(wav)
                offset += len(wav) / SAMPLE_RATE
        if not wavs:
            raise ValueError(f"nothing to say in {text!r}")
        return Speech(np.concatenate(wavs).astype(np.float32), words, phones)

    def _synthesise(self, symbols: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Sound [S] and the end time of each network token: the symbols and one pad on either side."""
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
        return wav, np.cumsum(np.asarray(durations).ravel()) * self._UNIT

    def _shift_pitch(self, f0: np.ndarray) -> np.ndarray:
        voiced = f0 > 40
        if not voiced.any():
            return f0
        middle = np.exp(np.log(f0[voiced]).mean())
        shifted = middle * self.f0 * (np.maximum(f0, 1) / middle) ** self.f0_range
        return np.where(voiced, shifted, f0).astype(np.float32)


def _phone_spans(symbols: str, starts: np.ndarray, ends: np.ndarray) -> list[Span]:
    spans: list[Span] = []
    following = symbols[1:] + " "
    for symbol, after, start, end in zip(symbols, following, starts, ends, strict=True):
        before = spans[-1].label if spans else SILENCE
        if symbol in _STRESS:
            label = _TO_PHONE.get(after, before)
        elif symbol == " " and end - start < _SHORTEST_PAUSE:
            label = before
        else:
            label = SILENCE if symbol in _PUNCTUATION else _TO_PHONE.get(symbol, before)
        if end > max(start, 0):
            spans.append(Span(label, max(0.0, float(start)), float(end)))
    return spans


def _word_spans(text: str, symbols: str, starts: np.ndarray, ends: np.ndarray) -> list[Span]:
    """Times of the words of `text`, matched one to one with the groups of phones between blanks.

    A text that the engine expands ("25" becomes two words) cannot be matched; its words then carry no times.
    """
    groups: list[list[float]] = []
    in_word = False
    for symbol, start, end in zip(symbols, starts, ends, strict=True):
        if symbol in _PUNCTUATION:
            in_word = False
        elif in_word:
            groups[-1][1] = float(end)
        else:
            groups.append([max(0.0, float(start)), float(end)])
            in_word = True
    tokens = _WORD.findall(text)
    if len(tokens) != len(groups):
        return []
    return [Span(token, start, end) for token, (start, end) in zip(tokens, groups, strict=True)]


# ---------------------------------------------------------------------------------------------------- flite


class _FliteWave(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    ]


def _load_library(name: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(f"lib{name}.so.1", mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise ImportError(
            f"the flite voice needs the system library lib{name}.so.1. {_FLITE_HELP}"
        ) from error


@functools.lru_cache(maxsize=1)
def _flite_library() -> ctypes.CDLL:
    flite = _load_library("flite")
    for name in ("flite_usenglish", "flite_cmulex"):
        _load_library(name)
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    signatures = {
        "flite_synth_text": (pointer, [text, pointer]),
        "utt_wave": (pointer, [pointer]),
        "utt_relation": (pointer, [pointer, text]),
        "relation_head": (pointer, [pointer]),
        "item_next": (pointer, [pointer]),
        "item_feat_string": (text, [pointer, text]),
        "ffeature_float": (ctypes.c_float, [pointer, text]),
        "delete_utterance": (None, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(flite, name)
        function.restype, function.argtypes = result, arguments
    flite.flite_init()
    return flite


class FliteVoice:
    """A voice of CMU Flite (BSD-like licence, 16 kHz): "slt" (woman), "rms", "awb" (men), "kal16" (diphones).

    Raises ImportError naming the system package when the library is missing, ValueError for an unknown name.
    """

    NAMES = ("slt", "rms", "awb", "kal16")

    def __init__(self, name: str = "slt"):
        if name not in self.NAMES:
            raise ValueError(f"flite voice {name!r}: expected one of {', '.join(self.NAMES)}")
        self._flite = _flite_library()
        register = getattr(_load_library(f"flite_cmu_us_{name}"), f"register_cmu_us_{name}")
        register.restype, register.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
        self._voice = register(None)

    def __call__(self, text: str) -> Speech:
        ctypes.CDLL(None).srand(0)  # its breath noise comes from the C library: the same words, the same sound
        utterance = self._flite.flite_synth_text(text.encode(), self._voice)
        try:
            wave = _FliteWave.from_address(self._flite.utt_wave(utterance))
            pcm = np.ctypeslib.as_array(wave.samples, (wave.num_samples,)).astype(np.float32) / 32768
            wav = soxr.resample(pcm, wave.sample_rate, SAMPLE_RATE)
            first_phone = b"R:SylStructure.daughter1.daughter1.R:Segment.p.end"
            last_phone = b"R:SylStructure.daughtern.daughtern.R:Segment.end"
            words = self._spans(utterance, b"Word", first_phone, last_phone)
            phones = self._spans(utterance, b"Segment", b"p.end", b"end")
        finally:
            self._flite.delete_utterance(utterance)
        return Speech(wav, words, phones)

    def _spans(self, utterance: int, relation: bytes, start: bytes, end: bytes) -> list[Span]:
        flite = self._flite
        item = flite.relation_head(flite.utt_relation(utterance, relation))
        spans = []
        while item:
            label = flite.item_feat_string(item, b"name").decode()
            spans.append(Span(label, flite.ffeature_float(item, start), flite.ffeature_float(item, end)))
            item = flite.item_next(item)
        return spans
