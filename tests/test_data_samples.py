"""Every clip is what its transcript and its licence row say, and nothing else lies in the folder."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

FOLDER = Path(__file__).parents[1] / "data_samples"
DIALOGUE = "dialogue_stereo.flac"
PAGES = {"LICENSES.md", "transcripts.json", "dialogue_stereo.json", "make_dialogue.py"}
CLIPS = json.loads((FOLDER / "transcripts.json").read_text(encoding="utf-8"))
NAMES = [clip["file"] for clip in CLIPS]
LICENSES = (FOLDER / "LICENSES.md").read_text(encoding="utf-8")


def make_dialogue():  # noqa: ANN201 (a module)
    spec = importlib.util.spec_from_file_location("make_dialogue", FOLDER / "make_dialogue.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words_in(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def test_nothing_is_missing_and_nothing_is_extra() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.is_file()} == {*NAMES, DIALOGUE, *PAGES}
    assert 8 <= len(NAMES) <= 12
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("clip", CLIPS, ids=NAMES)
def test_clip_is_what_its_row_says(clip: dict) -> None:
    info = soundfile.info(FOLDER / clip["file"])
    assert (info.samplerate, info.channels, info.subtype) == (24000, 1, "PCM_16")
    assert 2 <= info.duration <= 6
    assert clip["seconds"] == pytest.approx(info.duration, abs=1e-3)
    assert clip["text"].strip() and clip["speaker"] == clip["file"].split("_")[0]
    assert clip["language"] in ("en", "fr", "it") and clip["sex"] in ("female", "male", None)


@pytest.mark.parametrize("clip", [clip for clip in CLIPS if clip["language"] == "en"], ids=lambda clip: clip["file"])
def test_word_times_spell_the_transcript_and_lie_on_sound(clip: dict) -> None:
    assert [word for word, _ in clip["words"]] == words_in(clip["text"])
    times = [time for _, span in clip["words"] for time in span]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= clip["seconds"]
    samples, rate = soundfile.read(FOLDER / clip["file"])
    speech = samples[int(times[0] * rate) : int(times[-1] * rate)]
    assert np.square(speech).sum() > 0.99 * np.square(samples).sum()


def test_several_speakers_of_both_sexes() -> None:
    assert {(clip["speaker"], clip["sex"]) for clip in CLIPS} >= {
        ("allison", "female"),
        ("june", "female"),
        ("carlo", "male"),
    }
    assert len({clip["speaker"] for clip in CLIPS}) >= 4


@pytest.mark.parametrize("name", [*NAMES, DIALOGUE])
def test_every_sound_has_one_complete_licence_row(name: str) -> None:
    rows = [line for line in LICENSES.splitlines() if line.startswith(f"| `{name}` |")]
    assert len(rows) == 1
    file, author, source, licence, change = (cell.strip() for cell in rows[0].strip("|").split("|"))
    assert author and source and change
    assert licence in ("CC BY-SA 3.0", "CC BY 3.0", "BSD-2-Clause")
    assert f"| {licence} |" in LICENSES.split("## File by file")[0]


def test_dialogue_is_two_speakers_with_an_overlap_and_a_pause() -> None:
    stereo, rate = soundfile.read(FOLDER / DIALOGUE)
    info = soundfile.info(FOLDER / DIALOGUE)
    assert (rate, info.channels, info.subtype) == (24000, 2, "PCM_16")
    assert 6 <= info.duration <= 12 and len(stereo) % 1920 == 0
    frames = np.abs(stereo).reshape(-1, 1920, 2).max(axis=1) > 0.02  # who is heard in each 80 ms
    both, nobody = frames.all(axis=1), ~frames.any(axis=1)
    assert both.sum() >= 3
    pauses = [len(run) for run in "".join("_" if quiet else "x" for quiet in nobody).strip("_").split("x") if run]
    assert max(pauses) >= 6


def test_dialogue_can_be_built_again() -> None:
    stereo, alignments = make_dialogue().build()
    stored, _ = soundfile.read(FOLDER / DIALOGUE, dtype="int16")
    np.testing.assert_array_equal(stereo, stored)
    assert json.loads((FOLDER / "dialogue_stereo.json").read_text(encoding="utf-8")) == {"alignments": alignments}


def test_dialogue_words_are_heard_on_their_speakers_channel() -> None:
    alignments = json.loads((FOLDER / "dialogue_stereo.json").read_text(encoding="utf-8"))["alignments"]
    stereo, rate = soundfile.read(FOLDER / DIALOGUE)
    assert {speaker for *_, speaker in alignments} == {"SPEAKER_MAIN", "SPEAKER_USER"}
    for word, (start, end), speaker in alignments:
        channel = stereo[int(start * rate) : int(end * rate), ("SPEAKER_MAIN", "SPEAKER_USER").index(speaker)]
        assert np.abs(channel).max() > 0.02, f"{word} at {start} s is silent"
