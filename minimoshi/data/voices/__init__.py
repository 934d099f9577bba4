"""Speaking voices: speech with the times of its words and phones, made offline.

Five engines, each an optional package:

* `HibariVoice`: one warm 24 kHz voice, Moshi's own. Scaling its pitch and stretching its spectral envelopes
  turns it into any number of other speakers, which serve as users.
* `FliteVoice`: the voices slt, rms, awb and kal16 at 16 kHz.
* `FestivalVoice`: ked and slt, at 16 and 32 kHz.
* `KokoroVoice`: other people at 24 kHz and blends of them; slow.
* `PiperVoice`: Joe, at 22 kHz; an engine under the GPL, for those who install it by hand.

Every voice is called with a sentence and answers with `Speech`. Phones of all engines are written in one
alphabet (the 40 symbols of flite, close to ARPAbet), so that labels of different voices can be mixed. `align`
gives the same times for a recording whose text is known. `CachedVoice` remembers on disk what was said.
"""

from __future__ import annotations

from pathlib import Path

from .alignment import align
from .cache import CachedVoice
from .festival import FestivalVoice
from .flite import FliteVoice
from .hibari import HibariVoice
from .kokoro import KokoroVoice
from .phones import PHONES, SILENCE
from .piper import PiperVoice
from .speech import SAMPLE_RATE, Span, Speech, Voice

__all__ = [
    "PHONES",
    "SAMPLE_RATE",
    "SILENCE",
    "CachedVoice",
    "FestivalVoice",
    "FliteVoice",
    "HibariVoice",
    "KokoroVoice",
    "PiperVoice",
    "Span",
    "Speech",
    "Voice",
    "align",
    "open_voice",
]


def open_voice(spec: str, cache: str | Path | None = None) -> Voice:
    """A voice from its short name.

    `"hibari"`, `"hibari:f0=0.6,formant=0.95,speed=1.1"`, `"flite:rms"`, `"festival:ked"`, `"kokoro:jm_kumo"`,
    `"kokoro:jm_kumo=0.6,jf_alpha=0.4"`, `"kokoro:jm_kumo,speed=1.1"`, `"piper:joe"`. cache: a folder that keeps
    what the voice says. Raises ValueError for an unknown name, ImportError naming a missing package.
    """
    engine, _, rest = spec.partition(":")
    if engine not in _ENGINES:
        raise ValueError(f"voice {spec!r}: expected one of {', '.join(_ENGINES)}, and after a colon which voice")
    voice = _ENGINES[engine](spec, rest)
    return voice if cache is None else CachedVoice(voice, spec, cache)


def _numbers(spec: str, rest: str, example: str) -> dict[str, float]:
    """"a=0.6,b" -> {"a": 0.6, "b": 1.0}."""
    items = [item.partition("=") for item in rest.split(",") if item]
    try:
        return {name: float(value) if equals else 1.0 for name, equals, value in items}
    except ValueError as error:
        raise ValueError(f"voice {spec!r}: expected numbers, for example {example!r}") from error


def _hibari(spec: str, rest: str) -> HibariVoice:
    example = "hibari:f0=0.8,formant=0.94"
    settings = _numbers(spec, rest, example)
    try:
        return HibariVoice(**settings)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"voice {spec!r}: hibari takes f0, f0_range, formant and speed as numbers, for example {example!r}"
        ) from error


def _kokoro(spec: str, rest: str) -> KokoroVoice:
    shares = _numbers(spec, rest or "jm_kumo", "kokoro:jm_kumo=0.6,jf_alpha=0.4")
    speed = shares.pop("speed", 1.0)
    return KokoroVoice(shares, speed)


def _piper(spec: str, rest: str) -> PiperVoice:
    name, _, settings = rest.partition(",")
    settings = _numbers(spec, settings, "piper:joe,speed=1.1")
    if settings.keys() - {"speed"}:
        raise ValueError(f"voice {spec!r}: expected 'piper:joe' or 'piper:joe,speed=1.1'")
    return PiperVoice(name or "joe", **settings)


_ENGINES = {
    "hibari": _hibari,
    "flite": lambda spec, rest: FliteVoice(rest or "slt"),
    "festival": lambda spec, rest: FestivalVoice(rest or "ked"),
    "kokoro": _kokoro,
    "piper": _piper,
}
