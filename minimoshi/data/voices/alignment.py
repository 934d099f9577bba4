"""When each word and phone of a recording sounds, given its text: forced alignment with PocketSphinx."""

from __future__ import annotations

import functools
import re

import numpy as np
import soxr

from ..sentences import numbers_in_words
from .phones import PHONES, SILENCE
from .speech import SAMPLE_RATE, Span, Speech

_RATE = 16_000
_STEP = 0.01  # seconds
_PAD = 0.25  # seconds of silence on both sides, without which a word at the edge may not be found
_HELP = "Install it with: pip install 'minimoshi[train]' (pocketsphinx)"


@functools.lru_cache(maxsize=1)
def _decoder():
    try:
        from pocketsphinx import Decoder
    except ImportError as error:
        raise ImportError(f"forced alignment needs the package {error.name!r}. {_HELP}") from error
    # cmn: the level of one recording must not depend on those heard before
    return Decoder(samprate=_RATE, loglevel="FATAL", cmn="batch")


def plain_words(text: str) -> list[str]:
    """Lower-case words as a pronouncing dictionary has them; longer numbers than 999 are read digit by digit."""
    text = re.sub(r"\d+", _spelled, text.lower().replace("’", "'"))
    return re.findall(r"[a-z]+(?:'[a-z]+)*", text)


def _spelled(number: re.Match) -> str:
    numbers = [number[0]] if len(number[0]) <= 3 else number[0]
    return f" {' '.join(numbers_in_words(int(n)) for n in numbers)} "


def align(wav: np.ndarray, text: str) -> Speech:
    """The recording `wav` [S] at 24 kHz as `Speech`, with the times of its English words and phones.

    Times are in steps of 10 ms. The dictionary writes every reduced vowel as "ah". Raises ValueError when a
    word is not in the dictionary or the text does not fit the sound, ImportError naming the missing package.
    """
    decoder = _decoder()
    words = plain_words(text)
    unknown = [word for word in words if decoder.lookup_word(word) is None]
    if unknown or not words:
        raise ValueError(f"{text!r}: cannot be aligned; not in the dictionary: {', '.join(unknown) or 'no words'}")
    padded = np.pad(soxr.resample(wav, SAMPLE_RATE, _RATE), round(_PAD * _RATE))
    pcm = (np.clip(padded, -1, 1) * 32767).astype("<i2").tobytes()
    try:
        decoder.set_align_text(" ".join(words))
        _hear(decoder, pcm)
        decoder.set_alignment()  # the second time for the phones inside the words
        _hear(decoder, pcm)
        found = [
            (word.name, word.start, word.duration, [(p.name, p.start, p.duration) for p in word])
            for word in decoder.get_alignment()
        ]
    except RuntimeError as error:
        raise ValueError(f"{text!r}: the text does not fit the recording ({error})") from error
    finally:
        decoder.activate_search()
    spoken = [f for f in found if f[0][0] not in "<[("]
    if len(spoken) != len(words):
        raise ValueError(f"{text!r}: {len(spoken)} of {len(words)} words were found in the recording")
    last = len(wav) / SAMPLE_RATE

    def span(label: str, start: int, length: int) -> Span:
        begin, end = (min(max(0.0, step * _STEP - _PAD), last) for step in (start, start + length))
        return Span(label, begin, end)

    spans = [span(word, start, length) for word, (_, start, length, _) in zip(words, spoken, strict=True)]
    phones = [span(_phone(name), start, length) for _, _, _, inside in found for name, start, length in inside]
    return Speech(wav, spans, [p for p in phones if p.end > p.start])


def _hear(decoder, pcm: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()


def _phone(name: str) -> str:
    return name.lower() if name.lower() in PHONES else SILENCE
