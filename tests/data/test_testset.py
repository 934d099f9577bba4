"""The test set: balanced, held out, resumable, and made of the recordings that its packages have."""

import gzip
import json
from collections import Counter

import numpy as np
import pytest
import soundfile

from minimoshi.data import testset
from minimoshi.data.corpus import is_held_out
from minimoshi.data.testset import build_test_set, main
from minimoshi.data.voices import SAMPLE_RATE, Span, Speech
from tests.speech_toys import tone_voice

PROMPTS = {
    "one": "Please press one to go on.",
    "short": "Go on.",
    "beep": "Speak after the beep and then press one.",
    "note": "[tones] and then please press one now.",
    "folder/two": "Please press 2 to  go back: now.",
    "missing": "There is no recording of these many words.",
}


@pytest.fixture(autouse=True)
def tones(monkeypatch):
    def known(wav, text):
        if "back" in text:
            raise ValueError("not in the dictionary: back")
        return Speech(wav, [], [Span("aa", 0.1, 99.0)])

    monkeypatch.setattr(testset, "open_voice", tone_voice)
    monkeypatch.setattr(testset, "align", known)


def read_wav_too(path):
    return soundfile.read(path, dtype="float32")[0]


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """The packages as Debian unpacks them; the recordings are WAV files, whatever they are called."""
    monkeypatch.setattr(testset, "read_recording", read_wav_too)
    root = tmp_path / "packages"
    texts = root / "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
    sounds = root / "usr/share/asterisk/sounds/en_US_f_Allison"
    texts.parent.mkdir(parents=True)
    lines = ["; Core Sounds", "", *(f"{name}: {text}" for name, text in PROMPTS.items())]
    texts.write_bytes(gzip.compress("\n".join(lines).encode()))
    wav = tone_voice("")("hello there").wav
    for name in PROMPTS.keys() - {"missing"}:
        path = sounds / f"{name}.g722"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, wav, SAMPLE_RATE, format="WAV")
    for name, stem in (("librivox", "austen-0870"), ("cards", "001")):
        folder = root / "usr/share/pocketsphinx/test/data" / name
        folder.mkdir(parents=True)
        soundfile.write(folder / f"{stem}.wav", wav, SAMPLE_RATE)
        index = "transcription" if name == "librivox" else "cards.transcription"
        (folder / index).write_text(f"<s> ten of clubs  </s> ({stem})\n")
    return root


def test_groups_are_balanced_and_sentences_held_out(tmp_path):
    rows = build_test_set(tmp_path, clips=8)
    assert Counter(row["group"] for row in rows) == {"moshi": 8, "seen": 8, "unseen": 8}
    speakers = Counter(row["speaker"] for row in rows)
    assert speakers == {
        "heart": 8, "crowd": 2, "slt": 2, "rms": 2, "kal16": 2, "kumo": 3, "blend": 3, "awb": 2
    }  # fmt: skip
    assert all(is_held_out(row["text"]) for row in rows)
    for group in testset.GROUPS:
        assert len({row["text"] for row in rows if row["group"] == group}) == 8
    assert json.loads((tmp_path / "transcripts.json").read_text()) == rows


def test_clips_are_flac_of_24_khz_and_phones_lie_inside(tmp_path):
    for row in build_test_set(tmp_path, clips=1):
        info = soundfile.info(tmp_path / row["file"])
        assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", SAMPLE_RATE, 1)
        assert row["language"] == "en" and row["phones"]
        for _, start, end in row["phones"]:
            assert 0 <= start < end <= info.duration + 1e-3


def test_the_seed_decides(tmp_path):
    one, again, other = (build_test_set(tmp_path / name, seed=int(name[0]), clips=3) for name in ("1a", "1b", "2"))
    assert one == again
    assert [row["text"] for row in one] != [row["text"] for row in other]


def test_an_interrupted_build_goes_on(tmp_path, monkeypatch):
    whole = build_test_set(tmp_path / "whole", clips=3)
    spoken = []

    def tiring(spec):
        if len(spoken) == 4:
            raise KeyboardInterrupt
        spoken.append(spec)
        return tone_voice(spec)

    monkeypatch.setattr(testset, "open_voice", tiring)
    with pytest.raises(KeyboardInterrupt):
        build_test_set(tmp_path / "cut", clips=3)
    assert not (tmp_path / "cut" / "transcripts.json").exists()
    with open(tmp_path / "cut" / "build.jsonl", "a") as lines:
        lines.write('{"file": "half a li')
    monkeypatch.setattr(testset, "open_voice", lambda spec: spoken.append(spec) or tone_voice(spec))
    assert build_test_set(tmp_path / "cut", clips=3) == whole
    assert len(spoken) == 9  # each clip once
    for path in sorted((tmp_path / "whole").iterdir()):
        assert (tmp_path / "cut" / path.name).read_bytes() == path.read_bytes()


def test_another_test_set_is_not_mixed_in(tmp_path):
    build_test_set(tmp_path, clips=1)
    with pytest.raises(ValueError, match="choose another folder"):
        build_test_set(tmp_path, seed=1, clips=1)


def test_human_recordings_with_their_texts(tmp_path, packages):
    rows = build_test_set(tmp_path / "out", {"allison": packages, "librivox": packages}, clips=2)
    human = [row for row in rows if row["group"] == "human"]
    assert {row["file"]: row["text"] for row in human} == {
        "allison_one.flac": "Please press one to go on.",
        "allison_folder-two.flac": "Please press 2 to go back: now.",
        "librivox_0870.flac": "ten of clubs",
        "cards_001.flac": "ten of clubs",
    }
    phones = {row["file"]: row["phones"] for row in human}
    assert phones["allison_folder-two.flac"] == []  # a word that the aligner does not know
    wav, _ = soundfile.read(tmp_path / "out" / "cards_001.flac")
    assert phones["cards_001.flac"] == [["aa", 0.1, round(len(wav) / SAMPLE_RATE, 3)]]
    assert np.sqrt(np.mean(wav**2)) == pytest.approx(0.07, rel=0.01)


def test_missing_recordings_are_named(tmp_path, packages):
    for name, package in (("allison", "asterisk-core-sounds-en"), ("librivox", "pocketsphinx-testdata")):
        with pytest.raises(FileNotFoundError, match=f"apt-get download {package}"):
            build_test_set(tmp_path / "out", {name: tmp_path / "nowhere"}, clips=1)
    with pytest.raises(FileNotFoundError, match="2 prompts of 6 to 30 words, expected at least 3"):
        build_test_set(tmp_path / "more", {"allison": packages}, clips=3)
    with pytest.raises(ValueError, match="expected 'allison', 'librivox'"):
        build_test_set(tmp_path / "who", {"june": packages})


def test_the_command_prints_what_it_made(tmp_path, packages, capsys):
    main([str(tmp_path / "out"), "--allison", str(packages), "--clips", "1"])
    out = capsys.readouterr().out
    assert [line.split()[:3] for line in out.splitlines()] == [
        [group, "1", "clips"] for group in ("moshi", "seen", "unseen", "human")
    ]
