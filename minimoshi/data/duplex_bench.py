"""Test cases in the folder layout of Full-Duplex-Bench (v1), so that its evaluation scripts can read them.

    FOLDER/synthetic_pause_handling/7/
        input.wav            the user
        pause.json           when the user pauses: [{"text": "[PAUSE]", "timestamp": [start, end]}]
        transcription.json   what the user says: {"text", "chunks": [{"text", "timestamp": [start, end]}]}
        output.wav           Moshi, once it has answered
        output.json          what Moshi says, as in transcription.json

The other kinds are synthetic_turn_taking with turn_taking.json, whose timestamp begins where the user's turn ends, and
synthetic_user_interruption with interrupt.json: [{"context", "interrupt", "timestamp"}], the user's words before and in
the interruption. Sound is mono at 24 kHz (the benchmark's own files are at 16 or 48 kHz; its scripts resample). All
times are seconds from the start of input.wav.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from ..audio import check_writable, load_audio, save_audio
from ..checkpoint import read_json
from ..config import SAMPLE_RATE
from .stereo import SLACK, Word, write_whole

Kind = Literal["turn_taking", "pause", "interrupt"]
TASKS: dict[str, str] = {
    "turn_taking": "synthetic_turn_taking",
    "pause": "synthetic_pause_handling",
    "interrupt": "synthetic_user_interruption",
}
_MARKS = {"turn_taking": "[TURN-TAKING]", "pause": "[PAUSE]"}


@dataclass(frozen=True)
class Event:
    """What a case is about, from `start` to `end` in seconds: a pause, an interruption, or the time to take the turn.

    text: the words of an interruption; context: the user's words before it. Other kinds need neither.
    """

    start: float
    end: float
    text: str = ""
    context: str = ""


@dataclass
class Case:
    """A test case; `moshi` and `answer` are None until there is an answer."""

    kind: Kind
    user: Tensor  # float [S]
    events: list[Event]
    words: list[Word] | None  # the user's
    moshi: Tensor | None  # float [S']
    answer: list[Word] | None  # Moshi's words


def write_case(
    folder: str | os.PathLike,
    kind: Kind,
    number: int,
    user: Tensor,
    events: Sequence[Event],
    words: Sequence[Word] | None = None,
    force: bool = False,
) -> Path:
    """Write a case without an answer; returns its folder, FOLDER/TASK/NUMBER. Existing cases stay unless `force`.

    user: float [S] at 24 kHz. words: what the user says. ValueError for events that do not fit the kind or the sound.
    """
    if kind not in TASKS:
        raise ValueError(f"there are no cases of kind {kind!r}; choose one of {', '.join(TASKS)}")
    if user.dim() != 1:
        raise ValueError(f"expected the user alone, float [S] at {SAMPLE_RATE} Hz, got shape {list(user.shape)}")
    if not events:
        raise ValueError(f"a case of kind {kind!r} needs at least one event")
    seconds = len(user) / SAMPLE_RATE
    for event in events:
        if not 0 <= event.start < event.end <= seconds + SLACK:
            raise ValueError(f"expected 0 <= start < end <= {seconds:.2f} s, the length of the sound, got {event}")
        if kind == "interrupt" and not (event.text and event.context):
            raise ValueError(f"an interruption needs its own words and the context before it, got {event}")
    case = Path(folder) / TASKS[kind] / str(number)
    case.mkdir(parents=True, exist_ok=True)
    check_writable(case / "input.wav", force)
    for stale in ("transcription.json", "output.wav", "output.json"):  # of a case that was here before
        (case / stale).unlink(missing_ok=True)
    _write_json(case / f"{kind}.json", [_to_json(kind, event) for event in events])
    if words is not None:
        _write_json(case / "transcription.json", _transcript(words))
    save_audio(case / "input.wav", user, force=force)
    return case


def write_output(case: str | os.PathLike, moshi: Tensor, words: Iterable[Word], force: bool = False) -> None:
    """Add Moshi's answer to the folder of a case: float [S'] at 24 kHz, and Moshi's words in order of their start.

    After an interruption only what Moshi says from its end on goes to output.json: the benchmark measures the answer
    to it, and its own transcripts begin there.
    """
    case = Path(case)
    kind, events = _read_events(case)
    if moshi.dim() != 1:
        raise ValueError(f"expected Moshi alone, float [S'] at {SAMPLE_RATE} Hz, got shape {list(moshi.shape)}")
    after = events[0].end if kind == "interrupt" else 0.0
    check_writable(case / "output.wav", force)
    _write_json(case / "output.json", _transcript(word for word in words if word.start >= after))
    save_audio(case / "output.wav", moshi, force=force)


def read_case(case: str | os.PathLike, resample: bool = False) -> Case:
    """Read the folder of a case; `resample` accepts the benchmark's own, which are not sampled at 24 kHz."""
    case = Path(case)
    kind, events = _read_events(case)
    answered = (case / "output.wav").exists()
    return Case(
        kind,
        _read_mono(case / "input.wav", resample),
        events,
        _read_words(case / "transcription.json", "user"),
        _read_mono(case / "output.wav", resample) if answered else None,
        _read_words(case / "output.json", "moshi"),
    )


def find_cases(folder: str | os.PathLike) -> list[Path]:
    """The folders of all cases in FOLDER and below, by kind and number."""
    found = [path.parent for path in Path(folder).rglob("input.wav")]
    if not found:
        raise FileNotFoundError(f"{folder} holds no test cases: no input.wav in it or below")
    return sorted(found, key=lambda case: (case.parent, int(case.name) if case.name.isdecimal() else 0, case.name))


def _read_mono(path: Path, resample: bool) -> Tensor:
    wav = load_audio(path, resample=resample)
    if len(wav) != 1:
        raise ValueError(f"{path} has {len(wav)} channels, one voice is expected")
    return wav[0]


def _read_events(case: Path) -> tuple[Kind, list[Event]]:
    kinds = [kind for kind in TASKS if (case / f"{kind}.json").exists()]
    if len(kinds) != 1:
        expected = ", ".join(f"{kind}.json" for kind in TASKS)
        raise FileNotFoundError(f"{case} is no test case: expected exactly one of {expected} in it")
    path = case / f"{kinds[0]}.json"
    try:
        return kinds[0], [_from_json(kinds[0], item) for item in read_json(path)]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is not a list of {{"timestamp": [start, end], ...}}: {error!r}') from error


def _to_json(kind: Kind, event: Event) -> dict[str, Any]:
    timestamp = [round(event.start, 3), round(event.end, 3)]
    if kind == "interrupt":
        return {"context": event.context, "interrupt": event.text, "timestamp": timestamp}
    return {"text": event.text or _MARKS[kind], "timestamp": timestamp}


def _from_json(kind: Kind, item: dict[str, Any]) -> Event:
    start, end = item["timestamp"]
    if kind == "interrupt":
        return Event(float(start), float(end), item["interrupt"], item["context"])
    text = item.get("text", "")
    return Event(float(start), float(end), "" if text == _MARKS[kind] else text)


def _transcript(words: Iterable[Word]) -> dict[str, Any]:
    chunks = [{"text": word.text, "timestamp": [round(word.start, 3), round(word.end, 3)]} for word in words]
    return {"text": " ".join(chunk["text"] for chunk in chunks), "chunks": chunks}


def _read_words(path: Path, speaker: str) -> list[Word] | None:
    if not path.exists():
        return None
    try:
        return [Word(chunk["text"], *map(float, chunk["timestamp"]), speaker) for chunk in read_json(path)["chunks"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f'{path} has no "chunks": [{{"text", "timestamp": [start, end]}}]: {error!r}') from error


def _write_json(path: Path, content: Any) -> None:
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
