"""CMU Flite: four voices at 16 kHz from a system library, with exact times of words and phones."""

from __future__ import annotations

import ctypes
import functools

import numpy as np
import soxr

from .speech import SAMPLE_RATE, Span, Speech

_HELP = "Install the speech engine with: sudo apt-get install libflite1 (Debian, Ubuntu), or use a hibari voice"


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
            f"the flite voice needs the system library lib{name}.so.1. {_HELP}"
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
