"""What is wrong with a data set of stereo dialogues (`stereo.py`): all of it, not only what comes first."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from tqdm import tqdm

from ..config import SAMPLE_RATE
from .stereo import (
    SLACK,
    Entry,
    Word,
    find_manifests,
    manifest_lines,
    parse_entry,
    parse_word,
    read_alignments,
    transcript_path,
)

OVERLAP = 0.02  # seconds by which a speaker's next word may begin before the last one ends
_FLAT = 3  # samples in a row at full scale: clipped
_SILENT = 1e-3  # full scale is 1
_SHOWN = 3  # words named of each kind of problem
_MANY = 50  # dialogues, from which on progress is shown
_FORM = 'expected {"alignments": [[word, [start, end], "SPEAKER_MAIN" or "SPEAKER_OTHER"], ...]}'
_MEANT = '{}; if Moshi is meant to be silent, add "minimoshi": {{"moshi_silent": true}} to the transcript'


class Problem(NamedTuple):
    """Something wrong with a file, and what to do about it."""

    path: Path
    what: str
    hint: str


def validate(path: str | os.PathLike) -> list[Problem]:
    """All problems of the dialogues that a manifest, or the manifests in a folder and below, list.

    Damaged files are problems, never errors; FileNotFoundError only if there is no manifest.
    """
    problems, entries = [], []
    for manifest in find_manifests(path):
        try:
            lines = manifest_lines(manifest)
        except (ValueError, OSError) as error:
            problems.append(Problem(manifest, _reason(manifest, error), "write the manifest anew"))
            continue
        for number, line in lines:
            try:
                entries.append(parse_entry(manifest, line))
            except ValueError as error:
                hint = 'one line a dialogue: {"path": "NAME.wav", "duration": seconds}'
                problems.append(Problem(manifest, f"line {number}: {error}", hint))
    # recordings without words are fine, as long as all of a data set are so
    words_wanted = any(transcript_path(entry.path).exists() for entry in entries)
    for entry in tqdm(entries, unit="dialogue", disable=len(entries) < _MANY):
        problems += [Problem(*found) for found in _check_dialogue(entry, words_wanted)]
    return problems


def _check_dialogue(entry: Entry, words_wanted: bool) -> Iterator[tuple[Path, str, str]]:
    path, beside = entry.path, transcript_path(entry.path)
    items, facts = None, {}
    if beside.exists():
        try:
            items, facts = read_alignments(beside)
        except (ValueError, OSError) as error:
            yield beside, _reason(beside, error), _FORM
    elif words_wanted and path.is_file():
        yield path, "has no transcript", f"add {beside.name}, as other dialogues here have one"
    moshi_speaks = not facts.get("moshi_silent")
    if path.is_file():
        yield from ((path, *found) for found in _check_sound(entry, moshi_speaks))
    else:
        yield path, "is in the manifest but not on disk", "restore the file or take its line out"
    if items is not None:
        yield from ((beside, *found) for found in _check_words(items, entry.duration, moshi_speaks))


# ------------------------------------------------------------------------------------------------------- sound


def _check_sound(entry: Entry, moshi_speaks: bool) -> Iterator[tuple[str, str]]:
    try:
        info = soundfile.info(entry.path)
        peaks, clipped = _scan(entry.path, info.channels)
    except (soundfile.LibsndfileError, OSError) as error:
        reason = error.error_string if isinstance(error, soundfile.LibsndfileError) else error.strerror
        yield f"cannot be read as sound: {reason}", "restore the file; 16-bit WAV is the safest"
        return
    if info.channels != 2:
        yield f"{info.channels} channel(s)", "two are needed: left Moshi, right the user"
    if info.samplerate != SAMPLE_RATE:
        yield f"{info.samplerate} Hz", f"convert it to {SAMPLE_RATE} Hz, or tokenize with --resample"
    seconds = info.frames / info.samplerate
    if abs(seconds - entry.duration) > SLACK:
        yield (
            f"lasts {seconds:.2f} s, the manifest says {entry.duration:.2f} s",
            "write the manifest anew, or restore the file if it was cut off",
        )
    if not np.isfinite(peaks).all():
        yield "holds NaN or infinite samples", "make the file again"
    elif info.channels == 2:
        for side, flat in zip(("left (Moshi)", "right (user)"), clipped, strict=True):
            if flat:
                yield f"the {side} channel is clipped", "record or mix it at a lower level"
        if peaks[0] < _SILENT and moshi_speaks:
            yield "the left channel (Moshi) is silent", _MEANT.format("swap the channels")


def _scan(path: Path, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """The peak of each channel (NaN if any sample is), and whether it is clipped; an hour takes no more memory."""
    peaks, clipped = np.zeros(channels), np.zeros(channels, bool)
    for block in soundfile.blocks(path, 60 * SAMPLE_RATE, overlap=_FLAT - 1, dtype="float32", always_2d=True):
        loud = np.abs(block)
        peaks = np.maximum(peaks, loud.max(axis=0, initial=0))
        full = loud >= 1 - 2**-15
        clipped |= np.logical_and.reduce([full[i : len(full) - _FLAT + 1 + i] for i in range(_FLAT)]).any(axis=0)
    return peaks, clipped


# ------------------------------------------------------------------------------------------------------- words


def _check_words(items: list[Any], seconds: float, moshi_speaks: bool) -> Iterator[tuple[str, str]]:
    found: dict[str, list[str]] = defaultdict(list)  # hint -> what
    words = []
    for item in items:
        try:
            words.append(parse_word(item))
        except ValueError as error:
            found[f"{_FORM} with 0 <= start < end in seconds"].append(str(error))
    for word in words:
        if word.start >= seconds or word.end > seconds + SLACK:
            found[f"the dialogue lasts {seconds:.2f} s: cut the words, or look for the rest of the sound"].append(
                f"{_span(word)} lies beyond the end"
            )
        if word.start == word.end:
            found["give it a length; as it is, it is left out of the text row"].append(f"{_span(word)} has no length")
    for last, word in zip(words, words[1:], strict=False):
        if word.start < last.start:
            found["sort the words by their start"].append(f"{_span(word)} comes after {_span(last)}")
    for last, word in _neighbours(words):
        if word.start < last.end - OVERLAP:
            found["one speaker says one word at a time: align them anew"].append(
                f"{_span(word)} begins before {_span(last)} ends"
            )
    for hint, faults in found.items():
        more = len(faults) - _SHOWN
        yield "; ".join(faults[:_SHOWN]) + (f"; and {more} more" if more > 0 else ""), hint
    if moshi_speaks and not items:
        yield "the transcript is empty", _MEANT.format("transcribe both channels")
    elif moshi_speaks and words and all(word.speaker != "moshi" for word in words):
        yield "no word is Moshi's", _MEANT.format("label the left channel's words SPEAKER_MAIN")


def _neighbours(words: Iterable[Word]) -> Iterator[tuple[Word, Word]]:
    """Each word with the next of the same speaker, in order of their start."""
    last: dict[str, Word] = {}
    for word in sorted(words, key=lambda word: word.start):
        if word.speaker in last:
            yield last[word.speaker], word
        last[word.speaker] = word


def _reason(path: Path, error: Exception) -> str:
    """An error's message without the path that stands beside it anyway."""
    return str(error).removeprefix(f"{path} ")


def _span(word: Word) -> str:
    return f"{word.text!r} at {word.start:g}..{word.end:g} s"


def table(problems: list[Problem], root: Path) -> str:
    """One row a problem, file names as seen from the folder `root`."""
    rows = [("file", "problem", "what to do")]
    for path, what, hint in problems:
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        rows.append((name.encode("unicode_escape").decode() if not name.isprintable() else name, what, hint))
    widths = [min(60, max(len(row[column]) for row in rows)) for column in (0, 1)]
    return "\n".join(f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}" for row in rows)
