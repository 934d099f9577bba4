"""Which clips of a folder are judged, and in which order."""

import json

import numpy as np
import pytest
import soundfile

from minimoshi.evaluation.clips import first_of_each, load_clips


def write(folder, rows: list[dict]) -> None:
    for row in rows:
        soundfile.write(folder / row["file"], np.zeros(2_400), 24_000)
    (folder / "transcripts.json").write_text(json.dumps(rows))


def row(file: str, speaker: str, **more) -> dict:
    return {"file": f"{file}.flac", "text": "hello", "speaker": speaker, "language": "en"} | more


def files(clips) -> str:
    return "".join(clip.file.removesuffix(".flac") for clip in clips)


def test_groups_in_order_and_speakers_in_turns(tmp_path):
    rows = [row("a", "tom", group="human"), row("b", "slt", group="seen"), row("c", "slt", group="seen")]
    rows += [row("d", "rms", group="seen"), row("e", "heart", group="moshi", phones=[["ae", 0.0, 0.1]])]
    write(tmp_path, rows)
    clips = load_clips(tmp_path)
    assert files(clips) == "ebdca"
    assert files(first_of_each(clips, 2)) == "ebda" and files(first_of_each(clips, None)) == "ebdca"
    assert clips[0].phones == [["ae", 0.0, 0.1]] and clips[1].phones == []
    assert clips[0].seconds == 0.1


def test_without_groups_every_speaker_is_one(tmp_path):
    write(tmp_path, [row("a", "anna"), row("b", "tom"), row("c", "anna"), row("d", "june", language="fr")])
    clips = load_clips(tmp_path)
    assert files(clips) == "acb" and [clip.group for clip in clips] == ["anna", "anna", "tom"]


def test_what_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="transcripts.json"):
        load_clips(tmp_path)
    write(tmp_path, [row("a", "june", language="fr")])
    with pytest.raises(ValueError, match="no English clip"):
        load_clips(tmp_path)
    write(tmp_path, [row("a", "anna")])
    soundfile.write(tmp_path / "a.flac", np.zeros(1_600), 16_000)
    with pytest.raises(ValueError, match="16000 Hz.*expected 24 kHz mono"):
        load_clips(tmp_path)
    (tmp_path / "a.flac").unlink()
    with pytest.raises(FileNotFoundError, match="names a.flac, which is not there"):
        load_clips(tmp_path)
