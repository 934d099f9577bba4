"""Dialogues on disk, in the format of the official fine-tuning code (moshi-finetune).

A dialogue is a stereo WAV, left Moshi, right the user, and beside it NAME.json with the words:

    {"alignments": [["hello", [0.16, 0.52], "SPEAKER_OTHER"], ["hi", [0.9, 1.1], "SPEAKER_MAIN"]], "minimoshi": {...}}

SPEAKER_MAIN is Moshi; "minimoshi" holds whatever else is known of the dialogue. Manifests, files that end in .jsonl,
list a data set: one line {"path": "NAME.wav", "duration": 12.5} a dialogue, the path relative to the manifest.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from ..audio import check_writable, load_audio
from ..checkpoint import read_json
from ..config import SAMPLE_RATE

MANIFEST = "dialogues.jsonl"
SPEAKERS = {"moshi": "SPEAKER_MAIN", "user": "SPEAKER_OTHER"}  # our name -> the label in the file
SLACK = 0.05  # seconds by which a word may end after its sound does
_NAMES = {label: name for name, label in SPEAKERS.items()}


@dataclass(frozen=True)
class Word:
    """A word that "moshi" or the "user" says from `start` to `end`, in seconds."""

    text: str
    start: float
    end: float
    speaker: str = "moshi"

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError(f"the word at {self.start} s is empty")
        if not 0 <= self.start <= self.end < math.inf:
            raise ValueError(f"word {self.text!r}: expected 0 <= start <= end in seconds, got {self.start}..{self.end}")
        if self.speaker not in SPEAKERS:
            raise ValueError(f"word {self.text!r}: speaker {self.speaker!r} is neither 'moshi' nor 'user'")


@dataclass
class StereoDialogue:
    """Both sides of a conversation and what is known of it.

    stereo: float32 [2, S] at 24 kHz, left Moshi, right the user. words: by both speakers, kept in order of their
    start; None where nobody wrote them down. facts: anything JSON can hold; `{"moshi_silent": true}` says that Moshi
    is meant to say nothing.
    """

    stereo: np.ndarray
    words: list[Word] | None
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wav = self.stereo
        if not isinstance(wav, np.ndarray) or wav.dtype != np.float32 or wav.ndim != 2 or len(wav) != 2 or not wav.size:
            got = f"{wav.dtype} {list(wav.shape)}" if hasattr(wav, "dtype") else type(wav).__name__
            raise ValueError(f"expected the two channels as a float32 array [2, S], left Moshi, right user, got {got}")
        if not np.isfinite(wav).all():
            raise ValueError("the sound holds NaN or infinite samples")
        self.words = self.words and sorted(self.words, key=lambda word: word.start)
        for word in self.words or []:
            if word.start >= self.seconds or word.end > self.seconds + SLACK:
                raise ValueError(
                    f"word {word.text!r} at {word.start}..{word.end} s lies beyond the sound's {self.seconds:.2f} s"
                )

    @property
    def seconds(self) -> float:
        return self.stereo.shape[1] / SAMPLE_RATE

    def said_by(self, speaker: str) -> list[Word]:
        """The words of "moshi" or the "user"."""
        return [word for word in self.words or [] if word.speaker == speaker]


# ------------------------------------------------------------------------------------------------ one dialogue


def save_dialogue(folder: str | os.PathLike, name: str, dialogue: StereoDialogue, force: bool = False) -> Path:
    """Write NAME.wav (16 bit) and NAME.json into `folder`, made if need be; returns the path of the WAV.

    The WAV comes last and in one go: where it is, the dialogue is complete. Existing dialogues stay unless `force`.
    """
    if not name or name != Path(name).name or "\\" in name or not name.isprintable():
        raise ValueError(f"expected a plain file name without folders and ending, got {name!r}")
    peak = np.abs(dialogue.stereo).max()
    if peak > 1:
        raise ValueError(f"{name}: the sound peaks at {peak:.2f} and would be clipped; scale it into -1..1 first")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.wav"
    check_writable(path, force)
    words = dialogue.words and [
        [word.text, [round(word.start, 4), round(word.end, 4)], SPEAKERS[word.speaker]] for word in dialogue.words
    ]
    content = {"alignments": words, **({"minimoshi": dialogue.facts} if dialogue.facts else {})}
    write_whole(folder / f"{name}.json", json.dumps(content, ensure_ascii=False) + "\n")
    unfinished = folder / f"{name}.wav.unfinished"
    soundfile.write(unfinished, dialogue.stereo.T, SAMPLE_RATE, subtype="PCM_16", format="WAV")
    os.replace(unfinished, path)
    return path


def load_dialogue(path: str | os.PathLike, resample: bool = False) -> StereoDialogue:
    """Read a dialogue by the path of its WAV. A WAV without NAME.json has no words.

    `resample` accepts other rates than 24 kHz. Raises FileNotFoundError, and ValueError that names the file.
    """
    path = Path(path)
    stereo = load_audio(path, resample=resample).numpy()
    if len(stereo) != 2:
        raise ValueError(f"{path}: {len(stereo)} channels, expected two: left Moshi, right the user")
    beside = transcript_path(path)
    try:
        words, facts = read_transcript(beside) if beside.exists() else (None, {})
        return StereoDialogue(stereo, words, facts)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; `minimoshi data validate` lists all problems of a data set") from error


def transcript_path(path: Path) -> Path:
    """NAME.wav -> NAME.json."""
    return path.with_suffix(".json")


def read_transcript(path: Path) -> tuple[list[Word] | None, dict[str, Any]]:
    """Words and facts of a NAME.json; ValueError for anything else."""
    alignments, facts = read_alignments(path)
    return alignments and [parse_word(item) for item in alignments], facts


def read_alignments(path: Path) -> tuple[list | None, dict[str, Any]]:
    """The list of words as it stands in the file, each still to be parsed, and the facts."""
    content = read_json(path)
    alignments = content.get("alignments", ...) if isinstance(content, dict) else ...
    if alignments is not None and not isinstance(alignments, list):
        raise ValueError(f'{path} is not of the form {{"alignments": [[word, [start, end], speaker], ...]}}')
    facts = content.get("minimoshi", {})
    if not isinstance(facts, dict):
        raise ValueError(f'{path} has a "minimoshi" that is no object but {type(facts).__name__}')
    return alignments, facts


def parse_word(item: Any) -> Word:
    """[word, [start, end], label] -> Word; ValueError for anything else."""
    match item:
        case [str(text), [int() | float() as start, int() | float() as end], str(label)]:
            if label not in _NAMES:
                raise ValueError(f"word {text!r} has the unknown speaker {label!r}")
            return Word(text, float(start), float(end), _NAMES[label])
    raise ValueError(f"{json.dumps(item)[:60]} is not of the form [word, [start, end], speaker]")


# --------------------------------------------------------------------------------------------------- manifests


class Entry(NamedTuple):
    """A line of a manifest: where a dialogue's WAV is, and how many seconds it lasts."""

    path: Path
    duration: float


def write_manifest(folder: str | os.PathLike) -> Path:
    """List every WAV in `folder` and below in its dialogues.jsonl, made anew; returns that path."""
    folder = Path(folder)
    lines = []
    for path in sorted(folder.rglob("*.wav")):
        info = soundfile.info(path)
        row = {"path": path.relative_to(folder).as_posix(), "duration": info.frames / info.samplerate}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    if not lines:
        raise FileNotFoundError(f"{folder} holds no .wav files to list")
    write_whole(folder / MANIFEST, "".join(lines))
    return folder / MANIFEST


def read_manifest(path: str | os.PathLike) -> Iterator[Entry]:
    """The dialogues that a manifest lists; of a folder, those of all manifests in it and below."""
    for manifest in find_manifests(path):
        for number, line in manifest_lines(manifest):
            try:
                yield parse_entry(manifest, line)
            except ValueError as error:
                raise ValueError(f"{manifest} line {number}: {error}") from error


def find_manifests(path: str | os.PathLike) -> list[Path]:
    """The manifest itself, or all in a folder and below; FileNotFoundError if there is none."""
    path = Path(path)
    found = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path] if path.is_file() else []
    if not found:
        what = "holds no manifest, a .jsonl file that lists the dialogues" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"{path} {what}; minimoshi.data.stereo.write_manifest(FOLDER) makes one")
    return found


def manifest_lines(manifest: Path) -> list[tuple[int, str]]:
    """(number from 1, line) for every line that is not blank; ValueError if it is no text."""
    try:
        lines = manifest.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{manifest} is not text in UTF-8: {error}") from error
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def parse_entry(manifest: Path, line: str) -> Entry:
    """One line of `manifest`; ValueError for anything but {"path": ..., "duration": seconds}."""
    try:
        content = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    match content:
        case {"path": str(path), "duration": int() | float() as seconds} if path and 0 < seconds < math.inf:
            if not path.isprintable():
                raise ValueError(f"the name {path!r} holds characters that cannot be printed")
            return Entry(manifest.parent / path, float(seconds))
    raise ValueError(f'{line.strip()[:60]} is not of the form {{"path": "NAME.wav", "duration": seconds}}')


def write_whole(path: Path, text: str) -> None:
    """Write a text file in one go: a kill leaves the old one, or none."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)
