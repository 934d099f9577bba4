"""Who sounds when: voice activity by energy, and how a conversation divides into speech, pauses, gaps and overlaps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ...config import SAMPLE_RATE

LEVEL_DB = -45.0  # root mean square of a window that counts as sound, below full scale; Moshi speaks at -23
BREATH = 0.15  # seconds of silence that end a stretch of speech
IPU_SILENCE = 0.2  # the same between inter-pausal units, as in the paper's table of turn statistics
_WINDOW = 240  # samples, 10 ms
_CLICK = 0.05  # seconds; what is shorter is no speech


class Stretch(NamedTuple):
    """Sound without a pause, in seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


def stretches(wav: np.ndarray, level_db: float = LEVEL_DB, breath: float = BREATH) -> list[Stretch]:
    """Where float [S] at 24 kHz sounds: windows of 10 ms above `level_db`, shorter silences than `breath` included.

    For a channel without background, as Moshi's is. Clicks below 50 ms are left out.
    """
    windows = len(wav) // _WINDOW
    power = np.square(np.asarray(wav[: windows * _WINDOW], np.float32)).reshape(windows, _WINDOW).mean(1)
    loud = power > 10 ** (level_db / 10)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(np.int8)))
    step = _WINDOW / SAMPLE_RATE
    return joined((Stretch(a * step, b * step) for a, b in edges.reshape(-1, 2).tolist()), breath)


def joined(found: Iterable[Stretch], breath: float) -> list[Stretch]:
    """Stretches in order of time, those with less than `breath` seconds between them made one, without the clicks."""
    out: list[Stretch] = []
    for one in sorted(found):
        if out and one.start - out[-1].end < breath - 1e-6:
            out[-1] = Stretch(out[-1].start, max(out[-1].end, one.end))
        else:
            out.append(one)
    return [one for one in out if one.seconds >= _CLICK - 1e-6]


def turn_statistics(moshi: Sequence[Stretch], user: Sequence[Stretch], seconds: float) -> dict[str, float]:
    """Seconds per minute of speech (inter-pausal units), pauses, gaps and overlap, both speakers together.

    A silence between two units of one speaker is a pause, between two speakers a gap; silence before the first and
    after the last unit counts as neither.
    """
    units = [joined(own, IPU_SILENCE) for own in (moshi, user)]
    both = sorted((unit, speaker) for speaker, own in enumerate(units) for unit in own)
    speech = sum(unit.seconds for unit, _ in both)
    overlap = sum(
        max(0.0, min(a.end, b.end) - max(a.start, b.start)) for a in units[0] for b in units[1]
    )
    silent = {"pause": 0.0, "gap": 0.0}
    until, last = (both[0][0].end, both[0][1]) if both else (0.0, 0)
    for unit, speaker in both[1:]:
        if unit.start > until:
            silent["pause" if speaker == last else "gap"] += unit.start - until
        if unit.end > until:
            until, last = unit.end, speaker
    minute = 60 / seconds
    return {"ipu": speech * minute, **{k: v * minute for k, v in silent.items()}, "overlap": overlap * minute}
