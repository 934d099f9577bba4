"""Every clip through every system: the codec with 1 to Q codebooks and without any, Codec 2, Opus, and untouched."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import tqdm

from ..mimi import MimiAudioCodec
from . import baselines, measures
from .clips import Clip
from .codec import idempotence, sound, tokens, unquantised
from .judge import judge, word_errors
from .memo import Memo

ORIGINAL, UNQUANTISED, CODEC2, OPUS = "original", "unquantised", "codec2", "opus"
SOUND = ("stoi", "pesq", "mel")  # cheap: for every system
OPINION = ("mos", "speaker")  # dear: for those that somebody will ask about
SPOKEN_LEVELS = (1, 2, 4, 8)


class Plan:
    """Which systems there are, in order, and which judges and measures each of them gets.

    quick: one judge, and the codec with all codebooks and with none only.
    """

    def __init__(self, quantizers: int, quick: bool = False, baselines: bool = True):
        self.best = f"codec {quantizers}"
        self.judges = ("tiny.en",) if quick else ("tiny.en", "base")
        self._quick, levels = quick, [quantizers] if quick else range(1, quantizers + 1)
        self.levels = {f"codec {level}": level for level in levels}
        self._spoken = {name for name, level in self.levels.items() if level in (*SPOKEN_LEVELS, quantizers)}
        others = (CODEC2, OPUS) if baselines and not quick else ()
        self.systems = (ORIGINAL, *self.levels, UNQUANTISED, *others)

    def judges_of(self, system: str) -> tuple[str, ...]:
        if system in (ORIGINAL, self.best, CODEC2, OPUS):
            return self.judges
        return self.judges[:1] if system in self._spoken or system == UNQUANTISED else ()

    def measures_of(self, system: str) -> tuple[str, ...]:
        if system == ORIGINAL:
            return () if self._quick else ("mos",)
        dear = not self._quick and (system not in self.levels or system in self._spoken)
        return SOUND + OPINION if dear else SOUND


MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "stoi": measures.intelligibility,
    "pesq": measures.quality,
    "mel": measures.log_mel_distance,
    "mos": lambda original, copy: measures.opinion(copy),
    "speaker": measures.same_speaker,
}


def measure_clips(
    codec: MimiAudioCodec, clips: list[Clip], plan: Plan, memo: Memo, cache: str | None = None
) -> list[dict[str, Any]]:
    """One row per clip: {"file", …, "systems": {system: {"heard": {judge: text}, "errors": {judge: n}, "stoi", …}}}.

    Beside them "idempotence": for every level, the share of codes that come back when the sound of all codebooks is
    encoded again, and the same with a shift of 40 ms.
    """
    rows = []
    for clip in tqdm(clips, desc="clips", unit="clip"):
        codes = tokens(codec, clip.wav)
        row: dict[str, Any] = {"file": clip.file, "speaker": clip.speaker, "group": clip.group, "text": clip.text}
        row["words"] = word_errors(clip.text, "")[1]
        row["systems"] = {}
        for system in plan.systems:
            copy = _sound_of(system, plan, codec, clip.wav, codes)
            row["systems"][system] = _measure(clip, copy, system, plan, memo, cache)
            if system == plan.best:
                whole = sound(codec, codes, codes.shape[1] * codec.frame_size)
                same = [idempotence(codec, codes, whole, shift) for shift in (False, True)]
                row["idempotence"] = [s.float().mean(1).tolist() for s in same]
        rows.append(row)
    return rows


def _sound_of(system: str, plan: Plan, codec: MimiAudioCodec, wav: np.ndarray, codes) -> np.ndarray:
    """What `system` makes of `wav` [S], of the same length."""
    if system in plan.levels:
        return sound(codec, codes[: plan.levels[system]], len(wav))
    if system == UNQUANTISED:
        return unquantised(codec, wav)
    return {ORIGINAL: lambda wav: wav, CODEC2: baselines.codec2, OPUS: baselines.opus}[system](wav)


def _measure(clip: Clip, copy: np.ndarray, system: str, plan: Plan, memo: Memo, cache: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {"heard": {}, "errors": {}}
    at_16k = measures.at_16k(copy)
    for name in plan.judges_of(system):
        text = memo(f"heard by {name}", (copy,), lambda name=name: judge(name, cache)(at_16k, measures.RATE))
        found["heard"][name] = text
        found["errors"][name] = word_errors(clip.text, text)[0]
    for name in plan.measures_of(system):
        inputs = (copy,) if name == "mos" else (clip.wav, copy)
        found[name] = memo(f"{name} 1", inputs, lambda name=name: _known(MEASURES[name](clip.wav, copy)))
    return found


def _known(value: float) -> float | None:
    """NaN, a measure that found nothing to measure, is null in JSON."""
    return None if math.isnan(value) else value


def summarise(clips: list[Clip], rows: list[dict[str, Any]], plan: Plan) -> dict[str, dict]:
    """Per group: how much was judged, and every system's error rates with 90 % intervals and mean measures."""
    groups: dict[str, dict] = {}
    for group in dict.fromkeys(clip.group for clip in clips):
        own = [row for row in rows if row["group"] == group]
        groups[group] = {
            "clips": len(own),
            "words": sum(row["words"] for row in own),
            "seconds": sum(clip.seconds for clip in clips if clip.group == group),
            "speakers": sorted({row["speaker"] for row in own}),
            "systems": {system: _summary(own, system, plan) for system in plan.systems},
        }
    return groups


def _summary(rows: list[dict[str, Any]], system: str, plan: Plan) -> dict[str, Any]:
    words = np.array([row["words"] for row in rows])
    found: dict[str, Any] = {"wer": {}, "added": {}}
    for name in plan.judges_of(system):
        errors, before = (np.array([r["systems"][s]["errors"][name] for r in rows]) for s in (system, ORIGINAL))
        for key, counted in (("wer", errors), ("added", errors - before)):
            rate, low, high = measures.bootstrap(counted, words)
            found[key][name] = {"rate": rate, "low": low, "high": high}
    for name in plan.measures_of(system):
        values = [row["systems"][system][name] for row in rows]
        values = [value for value in values if value is not None]
        found[name] = float(np.mean(values)) if values else None
    return found
