"""The validator finds every planted defect, and nothing else."""

import json

import numpy as np
import pytest
import soundfile

from minimoshi.cli import main
from minimoshi.config import SAMPLE_RATE
from minimoshi.data.stereo import read_manifest, save_dialogue, write_manifest
from minimoshi.data.validate import table, validate
from tests.dialogue_toys import tones, toy_dialogue

MAIN, OTHER = "SPEAKER_MAIN", "SPEAKER_OTHER"


@pytest.fixture
def dataset(tmp_path):
    for name in ("bad", "good", "other"):
        save_dialogue(tmp_path, name, toy_dialogue())
    write_manifest(tmp_path)
    return tmp_path


def sound(samples, rate=SAMPLE_RATE, **options):
    return lambda folder: soundfile.write(folder / "bad.wav", samples, rate, **options)


def words(*items, **more):
    content = {"alignments": list(items), **more}
    return lambda folder: (folder / "bad.json").write_text(json.dumps(content))


def text(content):
    return lambda folder: (folder / "bad.json").write_bytes(content)


def with_nan():
    wav = tones().T.copy()
    wav[100, 1] = np.nan
    return wav


def silent_left():
    return tones().T * np.array([0, 1])


DEFECTS = {
    "mono": (sound(tones()[0]), "1 channel(s)"),
    "many channels": (sound(np.repeat(tones(), 2, 0).T), "4 channel(s)"),
    "rate": (sound(tones(1.0).T, 16_000), "16000 Hz"),
    "missing": (lambda folder: (folder / "bad.wav").unlink(), "not on disk"),
    "duration": (sound(tones(1.4).T), "lasts 1.40 s"),
    "no sound": (lambda folder: (folder / "bad.wav").write_text("no sound"), "cannot be read as sound"),
    "nan": (sound(with_nan(), subtype="FLOAT"), "NaN"),
    "clipped": (sound((tones() * [[5], [1]]).clip(-1, 1).T), "left (Moshi) channel is clipped"),
    "silent": (sound(silent_left()), "left channel (Moshi) is silent"),
    "not json": (text(b"{"), "not readable JSON"),
    "not utf-8": (text(b'{"alignments": [["\xff"]]}'), "not readable JSON"),
    "wrong shape": (text(b"[]"), "not of the form"),
    "malformed word": (words(["a", [0, 1]], ["b", [1, 1.2], MAIN]), "not of the form [word"),
    "no transcript": (lambda folder: (folder / "bad.json").unlink(), "no transcript"),
    "beyond the end": (words(["a", [1.4, 1.9], MAIN]), "beyond the end"),
    "backwards": (words(["a", [1.0, 0.5], MAIN], ["b", [1.1, 1.2], MAIN]), "start <= end"),
    "no length": (words(["a", [1.0, 1.0], MAIN]), "no length"),
    "negative": (words(["a", [-1.0, 0.5], MAIN], ["b", [1.1, 1.2], MAIN]), "start <= end"),
    "overlap": (words(["a", [0.2, 0.5], MAIN], ["b", [0.45, 0.6], MAIN]), "'b' at 0.45..0.6 s begins before"),
    "hidden overlap": (words(["a", [0.2, 0.5], MAIN], ["x", [0.3, 0.4], OTHER], ["b", [0.45, 0.6], MAIN]), "begins"),
    "out of order": (words(["b", [0.6, 0.8], MAIN], ["a", [0.2, 0.5], MAIN]), "comes after"),
    "empty transcript": (words(), "empty"),
    "empty word": (words([" ", [0.2, 0.5], MAIN], ["b", [0.6, 0.8], MAIN]), "is empty"),
    "unknown speaker": (words(["a", [0.2, 0.5], "SPEAKER_3"], ["b", [0.6, 0.8], MAIN]), "'SPEAKER_3'"),
    "no main speaker": (words(["a", [0.2, 0.5], OTHER]), "no word is Moshi's"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_the_one_that_is_found(defect, dataset):
    plant, said = DEFECTS[defect]
    plant(dataset)
    problems = validate(dataset)
    assert len(problems) == 1, problems
    assert said in problems[0].what and problems[0].hint and problems[0].path.stem == "bad"


@pytest.mark.parametrize(
    "plant",
    [
        words(["a", [0.2, 0.5], MAIN], ["b", [0.485, 0.6], MAIN]),  # an overlap within the tolerance
        words(["a", [0.2, 0.9], MAIN], ["b", [0.4, 0.6], OTHER]),  # both speak at once
        words(["a", [1.3, 1.54], MAIN]),
        words(minimoshi={"moshi_silent": True}),
        sound(tones(1.46).T),
        sound(tones().T * np.array([1, 0])),  # a user may be silent
    ],
)
def test_what_is_allowed_is_no_problem(plant, dataset):
    plant(dataset)
    assert validate(dataset) == []


def test_a_moshi_that_is_meant_to_be_silent_is_no_problem(dataset):
    sound(silent_left())(dataset)
    words(["a", [0.2, 0.5], OTHER], minimoshi={"moshi_silent": True})(dataset)
    assert validate(dataset) == []


def test_recordings_none_of_which_has_words_are_no_problem(dataset):
    for path in dataset.glob("*.json"):
        path.unlink()
    assert validate(dataset) == []


def test_one_damaged_file_does_not_hide_the_others(dataset):
    (dataset / "bad.wav").write_text("no sound")
    (dataset / "bad.json").write_text("{")
    (dataset / "good.wav").unlink()
    (dataset / "a.jsonl").write_bytes(b"\xff\xfe")
    (dataset / "b.jsonl").write_text('{\n{"path": "x\\udcff.wav", "duration": 1}\n{"path": "bad.wav"}\n')
    problems = validate(dataset)
    assert {problem.path.name for problem in problems} == {"bad.wav", "bad.json", "good.wav", "a.jsonl", "b.jsonl"}
    lines = [problem.what for problem in problems if problem.path.name == "b.jsonl"]
    assert [line.split(":")[0] for line in lines] == ["line 1", "line 2", "line 3"] and "cannot be printed" in lines[1]
    shown = table(problems, dataset)
    assert len(shown.splitlines()) == 1 + len(problems) and str(dataset) not in shown


def test_many_words_with_one_fault_make_one_problem(dataset):
    words(*(["a", [i / 100, i / 100], MAIN] for i in range(20)))(dataset)
    (problem,) = validate(dataset)
    assert "and 17 more" in problem.what


def test_the_command_counts_and_returns_one_if_there_is_any(dataset, capsys):
    assert main(["data", "validate", str(dataset)]) == 0
    assert "no problems in 3 dialogues" in capsys.readouterr().out
    sound(tones()[0])(dataset)
    (dataset / "good.wav").unlink()
    assert main(["data", "validate", str(dataset / "dialogues.jsonl")]) == 1
    printed = capsys.readouterr().out
    assert "2 problems in 2 files" in printed and "bad.wav" in printed and "two are needed" in printed
    assert main(["data", "validate", str(dataset / "nothing")]) == 2
    assert "write_manifest" in capsys.readouterr().err


def test_validating_changes_nothing(dataset):
    before = {path: path.read_bytes() for path in dataset.iterdir()}
    validate(dataset)
    assert {path: path.read_bytes() for path in dataset.iterdir()} == before
    assert len(list(read_manifest(dataset))) == 3
