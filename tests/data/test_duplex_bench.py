"""The layout of Full-Duplex-Bench: its scripts find what they look for, and a case comes back as it was."""

import json

import pytest
import soundfile
import torch

from minimoshi.data.duplex_bench import Event, find_cases, read_case, write_case, write_output
from minimoshi.data.stereo import Word
from tests.dialogue_toys import tones

USER, MOSHI = map(torch.from_numpy, tones(4.0))
SAID = [Word("count", 0.1, 0.4, "user"), Word("please", 0.5, 0.9, "user")]
ANSWER = [Word("one", 1.2, 1.4), Word("two", 1.6, 1.8), Word("okay", 3.1, 3.5)]
EVENTS = {
    "turn_taking": Event(0.9, 1.4),
    "pause": Event(0.4, 0.5),
    "interrupt": Event(2.0, 2.4, "stop", "count please"),
}


def takes_the_turn(answer):
    """The benchmark's rule: a second of speech, or more than three words."""
    chunks = answer["chunks"]
    return bool(chunks) and (chunks[-1]["timestamp"][-1] - chunks[0]["timestamp"][0] >= 1 or len(chunks) > 3)


@pytest.mark.parametrize("kind", EVENTS)
def test_a_case_comes_back_as_it_was(tmp_path, kind):
    case = write_case(tmp_path, kind, 7, USER, [EVENTS[kind]], SAID)
    back = read_case(case)
    assert back.kind == kind and back.events == [EVENTS[kind]] and back.words == SAID
    assert torch.allclose(back.user, USER, atol=1e-4) and back.moshi is None and back.answer is None
    write_output(case, MOSHI, ANSWER)
    back = read_case(case)
    assert torch.allclose(back.moshi, MOSHI, atol=1e-4)
    assert back.answer == (ANSWER[2:] if kind == "interrupt" else ANSWER)


def test_the_benchmark_finds_what_it_reads(tmp_path):
    cases = {kind: write_case(tmp_path, kind, 1, USER, [event]) for kind, event in EVENTS.items()}
    for case in cases.values():
        write_output(case, MOSHI, ANSWER)
        assert soundfile.info(case / "input.wav").channels == soundfile.info(case / "output.wav").channels == 1
    tasks = ["synthetic_pause_handling", "synthetic_turn_taking", "synthetic_user_interruption"]
    assert sorted(path.name for path in tmp_path.iterdir()) == tasks

    turn = json.loads((cases["turn_taking"] / "turn_taking.json").read_text())
    answer = json.loads((cases["turn_taking"] / "output.json").read_text())
    assert turn == [{"text": "[TURN-TAKING]", "timestamp": [0.9, 1.4]}]
    assert takes_the_turn(answer) and answer["text"] == "one two okay"
    assert answer["chunks"][0]["timestamp"][0] - turn[0]["timestamp"][0] == pytest.approx(0.3)  # its latency

    pause = json.loads((cases["pause"] / "pause.json").read_text())
    assert pause == [{"text": "[PAUSE]", "timestamp": [0.4, 0.5]}]

    interrupt = json.loads((cases["interrupt"] / "interrupt.json").read_text())
    assert interrupt == [{"context": "count please", "interrupt": "stop", "timestamp": [2.0, 2.4]}]
    answer = json.loads((cases["interrupt"] / "output.json").read_text())
    assert answer["text"] == "okay"
    assert answer["chunks"][0]["timestamp"][0] - interrupt[0]["timestamp"][1] == pytest.approx(0.7)


def test_a_silent_moshi_has_an_empty_answer(tmp_path):
    case = write_case(tmp_path, "pause", 1, USER, [EVENTS["pause"]])
    write_output(case, torch.zeros(100), [])
    answer = json.loads((case / "output.json").read_text())
    assert answer == {"text": "", "chunks": []} and not takes_the_turn(answer)
    assert read_case(case).answer == []


def test_cases_are_found_by_number(tmp_path):
    for number in (10, 2):
        write_case(tmp_path, "pause", number, USER, [EVENTS["pause"]])
    write_case(tmp_path, "interrupt", 1, USER, [EVENTS["interrupt"]])
    found = [(case.parent.name, case.name) for case in find_cases(tmp_path)]
    assert found == [
        (f"synthetic_{task}", n) for task, n in zip(["pause_handling"] * 2, "2 10".split(), strict=True)
    ] + [("synthetic_user_interruption", "1")]
    with pytest.raises(FileNotFoundError, match="no test cases"):
        find_cases(tmp_path / "nothing")


def test_existing_cases_are_kept_and_a_new_one_has_no_old_answer(tmp_path):
    case = write_case(tmp_path, "pause", 1, USER, [EVENTS["pause"]], SAID)
    write_output(case, MOSHI, ANSWER)
    for again in (
        lambda **options: write_output(case, USER, [], **options),
        lambda **options: write_case(tmp_path, "pause", 1, MOSHI, [Event(1, 2)], **options),
    ):
        before = {path.name: path.read_bytes() for path in case.iterdir()}
        with pytest.raises(ValueError, match="force"):
            again()
        assert {path.name: path.read_bytes() for path in case.iterdir()} == before
        again(force=True)
    back = read_case(case)
    assert back.moshi is None and back.answer is None and back.words is None and back.events == [Event(1, 2)]


@pytest.mark.parametrize(
    "kind, user, events, said",
    [
        ("backchannel", USER, [Event(0, 1)], "choose one of turn_taking"),
        ("pause", USER[None], [Event(0, 1)], r"\[1, 96000\]"),
        ("pause", USER, [], "at least one event"),
        ("pause", USER, [Event(1, 1)], "start < end"),
        ("pause", USER, [Event(3, 4.5)], "<= 4.00 s"),
        ("interrupt", USER, [Event(1, 2)], "its own words"),
        ("pause", USER * float("nan"), [Event(0, 1)], "NaN"),
    ],
)
def test_what_is_no_case_is_refused(tmp_path, kind, user, events, said):
    with pytest.raises(ValueError, match=said):
        write_case(tmp_path, kind, 1, user, events)
    assert not list(tmp_path.rglob("*.wav"))


def test_damaged_cases_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no test case"):
        read_case(tmp_path)
    case = write_case(tmp_path, "pause", 1, USER, [EVENTS["pause"]])
    for content in ('[{"timestamp": [1]}]', "[1]", "{", '[{"text": "[PAUSE]"}]'):
        (case / "pause.json").write_text(content)
        with pytest.raises(ValueError, match="pause.json"):
            read_case(case)
