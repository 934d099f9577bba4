"""The clips that a codec is judged on: sound, words, who speaks, and what the codec may know of the speaker."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from ..config import SAMPLE_RATE

# in the order of the card; the first two were heard in training, the others never
GROUPS = {
    "moshi": "Moshi's voice",
    "seen": "other voices heard in training",
    "unseen": "synthetic voices never heard",
    "human": "real people never heard",
}


@dataclass(frozen=True)
class Clip:
    """One sentence: `wav` float32 [S] at 24 kHz; `phones` are (label, start, end) in seconds, where they are known."""

    file: str
    wav: np.ndarray
    text: str
    speaker: str
    group: str
    phones: list = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return len(self.wav) / SAMPLE_RATE


def load_clips(folder: str | Path) -> list[Clip]:
    """The English clips of a folder with a transcripts.json, group by group, the speakers of a group taking turns.

    The file is a list of {"file", "text", "speaker", "language"}, and for a test set "group" (one of `GROUPS`) and
    "phones"; without a group every speaker is one. FileNotFoundError without that file; ValueError for a clip that is
    not 24 kHz mono.
    """
    folder = Path(folder)
    index = folder / "transcripts.json"
    if not index.exists():
        raise FileNotFoundError(f"{folder} holds no transcripts.json with a list of file, speaker, text, language")
    groups: dict[str, list[dict]] = {}
    for row in json.loads(index.read_text(encoding="utf-8")):
        if row["language"] == "en":
            groups.setdefault(row.get("group", row["speaker"]), []).append(row)
    if not groups:
        raise ValueError(f"{index} lists no English clip, and the judges know English only")
    order = sorted(groups, key=lambda name: list(GROUPS).index(name) if name in GROUPS else len(GROUPS))
    return [_read(folder, row, name) for name in order for row in _in_turns(groups[name])]


def first_of_each(clips: list[Clip], limit: int | None) -> list[Clip]:
    """At most `limit` clips of every group: the first ones."""
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.group, []).append(clip)
    return [clip for own in groups.values() for clip in own[:limit]]


def _in_turns(rows: list[dict]) -> list[dict]:
    """The first clip of every speaker, then the second of every speaker, and so on."""
    taken: dict[str, int] = {}
    place = []
    for row in rows:
        taken[row["speaker"]] = taken.get(row["speaker"], 0) + 1
        place.append(taken[row["speaker"]])
    return [row for _, row in sorted(zip(place, rows, strict=True), key=lambda pair: pair[0])]


def _read(folder: Path, row: dict, group: str) -> Clip:
    path = folder / row["file"]
    if not path.exists():
        raise FileNotFoundError(f"{folder / 'transcripts.json'} names {row['file']}, which is not there")
    wav, rate = soundfile.read(path, dtype="float32")
    if rate != SAMPLE_RATE or wav.ndim != 1:
        raise ValueError(f"{path}: {rate} Hz, shape {wav.shape}; expected 24 kHz mono")
    return Clip(row["file"], wav, row["text"], row["speaker"], group, row.get("phones") or [])
