"""One alphabet of phones for all voices: the 40 symbols of flite, close to ARPAbet, and where in time each sounds."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from typing import Any

import numpy as np

from .speech import SAMPLE_RATE, Span, Speech

SILENCE = "pau"

# Kokoro's alphabet (hibari) to flite's. A stress mark belongs to the phone after it, any other unlisted mark
# and a blank too short to be a pause to the phone before it.
_TO_PHONE = dict(
    zip(
        "ə i u ɑ ɔ ɛ ɜ ɪ ʊ ʌ æ A I W Y O ᵊ ɐ ᵻ b d f h j k l m n p s t v w z ɡ ŋ ɹ ʃ ʒ ð θ ʤ ʧ ɾ T ʔ".split(),
        "ax iy uw aa ao eh er ih uh ah ae ey ay aw oy ow ax ax ih b d f hh y k l m n p s t v w z g ng r sh "
        "zh dh th jh ch d d t".split(),
        strict=True,
    )
)
PHONES = (SILENCE, *sorted(set(_TO_PHONE.values())))
_PUNCTUATION = set(' .,!?;:—…"()“”‘’')
_STRESS = "ˈˌ"
_SHORTEST_PAUSE = 0.06  # seconds
# A network of Kokoro's kind counts phone durations in units of 25 ms, and they lag its sound by three units.
_UNIT, _LAG = 0.025, 0.075
_WORD = re.compile(r"[A-Za-z0-9']+")


def speak_in_sentences(
    engine: Any, text: str, vocab: Container[str], synthesise: Callable[[str], tuple[np.ndarray, np.ndarray]]
) -> Speech:
    """Say a text with a network of Kokoro's kind, one sentence after the other.

    engine: hibari's, which splits sentences and spells them in phones; `vocab`: the symbols the network knows.
    synthesise: symbols -> (sound [S], durations of a pad, the symbols and a pad, in the network's units).
    """
    wavs, words, phones, offset = [], [], [], 0.0
    for sentence in engine.split_sentences(text):
        for symbols in engine.phonemize(sentence):
            symbols = "".join(s for s in symbols if s in vocab)
            wav, durations = synthesise(symbols)
            ends = offset + np.cumsum(durations) * _UNIT - _LAG
            starts, ends = ends[:-2], ends[1:-1]
            phones += phone_spans(symbols, starts, ends)
            words += word_spans(sentence, symbols, starts, ends)
            wavs.append(wav)
            offset += len(wav) / SAMPLE_RATE
    if not wavs:
        raise ValueError(f"nothing to say in {text!r}")
    return Speech(np.concatenate(wavs).astype(np.float32), words, phones)


def phone_spans(symbols: str, starts: np.ndarray, ends: np.ndarray) -> list[Span]:
    """The phone of every symbol of Kokoro's alphabet that lasts, with the given times in seconds."""
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


def word_spans(text: str, symbols: str, starts: np.ndarray, ends: np.ndarray) -> list[Span]:
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
