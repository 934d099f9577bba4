"""The corpus: preparation of clips, reproducible and resumable building, crops and their labels."""

import json

import numpy as np
import pytest
import soundfile

from minimoshi.data import corpus
from minimoshi.data.augment import Augmentation
from minimoshi.data.corpus import NoSpeechError, Part, SpeechCrops, build_part, frame_labels, is_held_out, prepare
from minimoshi.data.miniworld.skills import SPLITS, moshi_says, phrases
from minimoshi.data.voices import PHONES, SAMPLE_RATE, SILENCE, Span, Speech
from tests.speech_toys import tone_voice, toy_corpus

PART = Part("heart", "flite:slt", 0.3)


@pytest.fixture(autouse=True)
def tones(monkeypatch):
    monkeypatch.setattr(corpus, "open_voice", tone_voice)


def files(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_prepare_trims_levels_and_moves_the_times():
    tone = 0.01 * np.sin(np.arange(SAMPLE_RATE) * 0.1).astype(np.float32)
    wav = np.concatenate([np.zeros(SAMPLE_RATE, np.float32), tone, np.zeros(SAMPLE_RATE, np.float32)])
    made = prepare(Speech(wav, [Span("word", 1.0, 2.0)], [Span("pau", 0.0, 1.0), Span("aa", 1.0, 2.0)]))
    assert len(made.wav) == pytest.approx(1.2 * SAMPLE_RATE, abs=100)
    assert np.sqrt(np.mean(made.wav**2)) == pytest.approx(corpus.LOUDNESS, rel=1e-3)
    assert made.words[0].start == pytest.approx(0.1, abs=0.005)
    assert [p.label for p in made.phones] == ["pau", "aa"]


@pytest.mark.parametrize("wav", [np.zeros(SAMPLE_RATE), np.zeros(0), np.eye(1, SAMPLE_RATE, 9000)[0]])
def test_silence_is_no_speech(wav):
    with pytest.raises(NoSpeechError, match="expected at least"):
        prepare(Speech(wav.astype(np.float32)))


def test_building_twice_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        build_part(tmp_path / name, PART, seed=3)
    build_part(tmp_path / "c", PART, seed=4)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert files(tmp_path / "a") != files(tmp_path / "c")


def test_an_interrupted_build_goes_on(tmp_path, monkeypatch):
    build_part(tmp_path / "whole", PART)
    spoken = []

    def tiring(spec):
        if len(spoken) == 3:
            raise KeyboardInterrupt
        spoken.append(spec)
        return tone_voice(spec)

    monkeypatch.setattr(corpus, "open_voice", tiring)
    with pytest.raises(KeyboardInterrupt):
        build_part(tmp_path / "cut", PART)
    with open(tmp_path / "cut" / "heart.i16", "ab") as sound:
        sound.write(b"half a clip whose row was never written")
    monkeypatch.setattr(corpus, "open_voice", tone_voice)
    build_part(tmp_path / "cut", PART)
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_a_finished_part_is_left_alone(tmp_path, monkeypatch):
    build_part(tmp_path, PART)
    monkeypatch.setattr(corpus, "open_voice", None)
    build_part(tmp_path, PART)


def test_training_and_held_out_sentences_differ(tmp_path):
    rows = build_part(tmp_path / "train", PART)
    held_out = build_part(tmp_path / "test", PART, held_out=True)
    assert not {row["text"] for row in rows} & {row["text"] for row in held_out}


def test_recordings_become_a_part(tmp_path):
    voice = tone_voice("")
    for name, rate in (("one", 24_000), ("two", 16_000), ("secret", 24_000)):
        soundfile.write(tmp_path / f"{name}.wav", voice("hello there").wav, rate)
    soundfile.write(tmp_path / "silence.wav", np.zeros(24_000), 24_000)
    rows = build_part(tmp_path / "out", Part("human", f"folder:{tmp_path}", 9), exclude={"secret"})
    assert sorted(row["voice"] for row in rows) == ["one", "two"]
    two = next(row for row in rows if row["voice"] == "two")
    assert two["samples"] == pytest.approx(1.5 * SAMPLE_RATE, rel=0.02)
    assert (tmp_path / "out" / "human.i16").stat().st_size == 2 * sum(row["samples"] for row in rows)


def test_bad_recordings_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no recordings"):
        build_part(tmp_path / "out", Part("human", f"folder:{tmp_path / 'nothing'}", 9))
    soundfile.write(tmp_path / "stereo.wav", np.zeros((24_000, 2)), 24_000)
    with pytest.raises(ValueError, match="2 channels, expected a mono"):
        build_part(tmp_path / "out", Part("human", f"folder:{tmp_path}", 9))


def test_crops_repeat_with_the_seed_and_have_the_asked_shape(tmp_path, monkeypatch):
    toy_corpus(tmp_path, monkeypatch)
    crops = SpeechCrops(tmp_path, {"heart": 0.5, "crowd": 0.5}, steady=("heart",))
    first, again = (crops.batch(np.random.default_rng(5), 8, 4 * 1920) for _ in range(2))
    assert first[0].shape == (8, 1, 4 * 1920) and first[0].dtype == np.float32
    assert first[1].shape == (8, 4)
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], crops.batch(np.random.default_rng(6), 8, 4 * 1920)[0])
    assert np.abs(first[0]).max() <= 0.99


def test_the_same_crops_as_they_were_said(tmp_path, monkeypatch):
    toy_corpus(tmp_path, monkeypatch)
    disturbed = Augmentation(rate_share=1.0, level_share=1.0, level_db=(-6.0, -6.0), noise_share=1.0)
    heard, said = (
        SpeechCrops(tmp_path, {"heart": 1, "crowd": 1}, augment=changes).batch(np.random.default_rng(7), 12, 4 * 1920)
        for changes in (disturbed, disturbed.only_rate())
    )
    assert np.array_equal(heard[1], said[1]) and not np.array_equal(heard[0], said[0])
    pairs = [(one, other) for one, other in zip(heard[0][:, 0], said[0][:, 0], strict=True) if other.std() > 0.01]
    assert len(pairs) > 6 and all(np.corrcoef(one, other)[0, 1] > 0.5 for one, other in pairs)


def test_a_missing_part_is_named(tmp_path, monkeypatch):
    toy_corpus(tmp_path, monkeypatch)
    with pytest.raises(FileNotFoundError, match="no part called nobody"):
        SpeechCrops(tmp_path, {"heart": 1.0, "nobody": 1.0})


@pytest.mark.parametrize("augment", [False, True])
def test_labels_follow_the_sound(tmp_path, monkeypatch, augment):
    """The tone that sounds in a frame is that of its label, also when the crop is played faster or slower."""
    toy_corpus(tmp_path, monkeypatch)
    crops = SpeechCrops(tmp_path, {"crowd": 1.0}, augment=augment)
    pitches: dict[int, list[float]] = {}
    for seed in range(60):
        crop = crops.draw(np.random.default_rng(seed), 12 * 1920)
        for label, frame in zip(crop.phones, crop.wav.reshape(12, 1920), strict=True):
            spectrum = np.abs(np.fft.rfft(frame * np.hanning(1920)))
            if label != PHONES.index(SILENCE) and spectrum.max() > 5:
                pitches.setdefault(label, []).append(spectrum.argmax() * 12.5)
    assert len(pitches) > 10
    wanted = {PHONES.index(PHONES[1 + n]): 200 + 150 * n for n in range(20)}
    tolerance = 1.31 if augment else 1.02
    right = [1 / tolerance < p / wanted[label] < tolerance for label, ps in pitches.items() for p in ps]
    assert np.mean(right) > 0.9


def test_frame_labels_take_the_longest_phone():
    phones = [["aa", 0.0, 0.05], ["b", 0.05, 0.2]]
    names = [PHONES[i] for i in frame_labels(phones, -0.08, 1.0, 4)]
    assert names == [SILENCE, "aa", "b", SILENCE]
    assert frame_labels([], 0.0, 1.0, 3).tolist() == [-100] * 3


def test_the_index_tells_where_each_clip_is(tmp_path):
    rows = build_part(tmp_path, PART)
    assert [json.loads(line) for line in (tmp_path / "heart.jsonl").read_text().splitlines()] == rows
    for before, after in zip(rows, rows[1:], strict=False):
        assert after["offset"] == before["offset"] + before["samples"]


def test_moshi_gives_its_answers_phrase_by_phrase(tmp_path):
    rows = build_part(tmp_path, Part("phrases", "hibari:phrases", 0.5))
    sound = np.memmap(tmp_path / "phrases.i16", "<i2", "r")
    answers = {text for _, text in moshi_says(SPLITS)}
    assert len(rows) > 3 and {row["text"] for row in rows} <= answers
    assert not any(is_held_out(row["text"]) for row in rows)
    row = max(rows, key=lambda row: len(phrases(row["text"])))
    letters = row["text"].replace(" ", "")
    assert [label for label, _, _ in row["phones"]] == [PHONES[1 + ord(letter) % 20] for letter in letters]
    wav = sound[row["offset"] : row["offset"] + row["samples"]]
    for letter, (_, start, end) in zip(letters, row["phones"], strict=True):
        middle = wav[round((start + end) / 2 * SAMPLE_RATE) :][:960]
        pitch = np.abs(np.fft.rfft(middle)).argmax() * SAMPLE_RATE / 960
        assert pitch == pytest.approx(200 + 150 * (ord(letter) % 20), abs=30)
    between = np.diff([start for _, start, _ in row["phones"]])
    assert (between > 0.101).sum() <= len(phrases(row["text"])) - 1  # a pause between phrases, none within
