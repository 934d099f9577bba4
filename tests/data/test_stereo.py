"""Dialogues on disk: written and read back, readable by the rules of moshi-finetune, and never half there."""

import json
import os

import numpy as np
import pytest
import soundfile

from minimoshi.config import EPAD_ID, PAD_ID, SAMPLE_RATE
from minimoshi.data.stereo import (
    StereoDialogue,
    Word,
    load_dialogue,
    parse_word,
    read_manifest,
    save_dialogue,
    write_manifest,
)
from minimoshi.moshi.grid import text_row
from tests.dialogue_toys import WORDS, tones, toy_dialogue


def moshi_finetune_rows(manifest, tokenizer, frame_rate=12.5):
    """A reader of its own, by the rules of the official fine-tuning code: (stereo, text row) of each dialogue."""
    for line in manifest.read_text().splitlines():
        row = json.loads(line)
        path = os.path.join(os.path.dirname(manifest), row["path"])
        wav, rate = soundfile.read(path, always_2d=True)
        assert rate == SAMPLE_RATE and abs(len(wav) / rate - row["duration"]) < 1e-6
        with open(os.path.splitext(path)[0] + ".json") as file:
            alignments = json.load(file)["alignments"]
        assert alignments == sorted(alignments, key=lambda item: item[1][0])
        text = [PAD_ID] * -(-len(wav) * 10 // 19200)
        for word, (start, end), speaker in alignments:
            if speaker != "SPEAKER_MAIN" or end <= start:
                continue
            first, tokens = int(start * frame_rate), tokenizer.encode(word)
            if first > 0 and text[first - 1] == PAD_ID:
                text[first - 1] = EPAD_ID
            text[first : first + len(tokens)] = tokens[: len(text) - first]
        yield wav.T, text


def test_a_dialogue_comes_back_as_it_was(tmp_path):
    dialogue = toy_dialogue(skill="greeting", answer="good morning", nested={"a": [1, None]})
    path = save_dialogue(tmp_path / "new" / "folder", "one", dialogue)
    back = load_dialogue(path)
    assert path.name == "one.wav" and soundfile.info(path).subtype == "PCM_16"
    assert back.stereo.dtype == np.float32 and back.stereo.shape == dialogue.stereo.shape
    assert np.abs(back.stereo - dialogue.stereo).max() < 1e-4
    assert back.words == list(WORDS) and back.facts == dialogue.facts
    assert [word.text for word in back.said_by("moshi")] == ["good", "morning"]


def test_words_are_kept_in_the_order_of_their_start(tmp_path):
    shuffled = StereoDialogue(tones(), [WORDS[i] for i in (2, 0, 3, 1)])
    assert shuffled.words == list(WORDS)
    path = save_dialogue(tmp_path, "one", shuffled)
    content = json.loads(path.with_suffix(".json").read_text())
    content["alignments"].reverse()
    path.with_suffix(".json").write_text(json.dumps(content))
    assert load_dialogue(path).words == list(WORDS)


def test_the_official_fine_tuning_code_could_read_it(tmp_path, tokenizer):
    for name in ("b", "a"):
        save_dialogue(tmp_path / "sub", name, toy_dialogue())
    manifest = write_manifest(tmp_path)
    rows = list(moshi_finetune_rows(manifest, tokenizer))
    dialogues = [load_dialogue(entry.path) for entry in read_manifest(manifest)]
    assert len(rows) == len(dialogues) == 2
    for (stereo, text), dialogue in zip(rows, dialogues, strict=True):
        assert np.abs(stereo - dialogue.stereo).max() < 1e-6
        words = [(w.text, (w.start, w.end)) for w in dialogue.said_by("moshi")]
        assert text_row(words, tokenizer, len(text)).tolist() == text
        assert tokenizer.encode("good")[0] in text and tokenizer.encode("hello") != text[1:3]


def test_a_recording_without_transcript_has_no_words(tmp_path):
    path = save_dialogue(tmp_path, "one", StereoDialogue(tones(), None, {"source": "a call"}))
    back = load_dialogue(path)
    assert back.words is None and back.facts == {"source": "a call"} and back.said_by("moshi") == []
    path.with_suffix(".json").unlink()
    assert load_dialogue(path).words is None
    silent = save_dialogue(tmp_path, "two", StereoDialogue(tones(), []))
    assert load_dialogue(silent).words == []


def test_an_existing_dialogue_is_kept_and_a_half_written_one_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr("minimoshi.data.stereo.soundfile.write", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_dialogue(tmp_path, "one", toy_dialogue(pitch=500))
    monkeypatch.undo()
    assert not list(tmp_path.glob("*.wav"))
    path = save_dialogue(tmp_path, "one", toy_dialogue(pitch=220))
    with pytest.raises(ValueError, match="force"):
        save_dialogue(tmp_path, "one", toy_dialogue(pitch=500))
    assert np.abs(load_dialogue(path).stereo - toy_dialogue().stereo).max() < 1e-4
    save_dialogue(tmp_path, "one", toy_dialogue(pitch=500), force=True)
    assert np.abs(load_dialogue(path).stereo - toy_dialogue().stereo).max() > 0.1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.json", "one.wav"]


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: StereoDialogue(tones()[:1], []), r"\[1, 36000\]"),
        (lambda: StereoDialogue(tones().astype(np.float64), []), "float64"),
        (lambda: StereoDialogue(tones() * np.float32(np.nan), []), "NaN"),
        (lambda: StereoDialogue(tones()[:, :0], []), r"\[2, 0\]"),
        (lambda: StereoDialogue(tones(), [Word("late", 1.4, 1.7)]), "beyond"),
        (lambda: Word(" ", 0, 1), "empty"),
        (lambda: Word("a", 1, 0.5), "start <= end"),
        (lambda: Word("a", -1, 0.5), "start <= end"),
        (lambda: Word("a", 0, float("nan")), "start <= end"),
        (lambda: Word("a", 0, 1, "SPEAKER_MAIN"), "neither 'moshi' nor 'user'"),
    ],
)
def test_what_cannot_be_a_dialogue_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_sound_that_would_clip_and_strange_names_are_not_written(tmp_path):
    loud = StereoDialogue(tones() * 4, [])
    with pytest.raises(ValueError, match="peaks at 1.20"):
        save_dialogue(tmp_path, "loud", loud)
    for name in ("", "a/b", "a\\b", "tab\there"):
        with pytest.raises(ValueError, match="plain file name"):
            save_dialogue(tmp_path, name, toy_dialogue())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "item",
    [
        ["a", [0, 1]],
        ["a", [0], "SPEAKER_MAIN"],
        ["a", ["0", 1], "SPEAKER_MAIN"],
        [1, [0, 1], "SPEAKER_MAIN"],
        ["a", [0, 1], "SPEAKER_3"],
        "a",
        None,
    ],
)
def test_malformed_words_are_refused(item):
    with pytest.raises(ValueError):
        parse_word(item)


def test_errors_name_the_file_and_the_way_out(tmp_path):
    path = save_dialogue(tmp_path, "one", toy_dialogue())
    for content in ("{", "[]", '{"words": []}', '{"alignments": [1]}', '{"alignments": [], "minimoshi": 3}'):
        path.with_suffix(".json").write_text(content)
        with pytest.raises(ValueError, match=r"one\.wav.*data validate"):
            load_dialogue(path)
    soundfile.write(tmp_path / "mono.wav", tones()[0], SAMPLE_RATE)
    with pytest.raises(ValueError, match="1 channels, expected two"):
        load_dialogue(tmp_path / "mono.wav")
    soundfile.write(tmp_path / "slow.wav", tones().T, 16_000)
    with pytest.raises(ValueError, match="16000 Hz"):
        load_dialogue(tmp_path / "slow.wav")


def test_a_folder_stands_for_all_manifests_below(tmp_path):
    for folder in ("x", "y/z"):
        save_dialogue(tmp_path / folder, "one", toy_dialogue())
        write_manifest(tmp_path / folder)
    entries = list(read_manifest(tmp_path))
    assert [entry.path for entry in entries] == [tmp_path / "x" / "one.wav", tmp_path / "y" / "z" / "one.wav"]
    assert all(entry.duration == 1.5 for entry in entries)
    assert list(read_manifest(tmp_path / "x" / "dialogues.jsonl")) == entries[:1]


def test_bad_manifests_are_refused_by_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="write_manifest"):
        list(read_manifest(tmp_path))
    with pytest.raises(FileNotFoundError, match="no .wav"):
        write_manifest(tmp_path)
    manifest = tmp_path / "m.jsonl"
    good = '{"path": "a.wav", "duration": 1}\n\n'
    for line in ("{", '{"path": "a.wav"}', '{"path": "", "duration": 1}', '{"path": "a.wav", "duration": NaN}'):
        manifest.write_text(good + line)
        with pytest.raises(ValueError, match="line 3"):
            list(read_manifest(manifest))
