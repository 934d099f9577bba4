"""The measures: an oracle has no faults, a silent model no answers, and every planted fault is found."""

import numpy as np
import pytest

from minimoshi.config import SAMPLE_RATE
from minimoshi.data.miniworld.skills import moshi_says
from minimoshi.data.stereo import Word
from minimoshi.evaluation.dialogue.activity import Stretch, stretches, turn_statistics
from minimoshi.evaluation.dialogue.bars import bars
from minimoshi.evaluation.dialogue.card import _stamina
from minimoshi.evaluation.dialogue.hearing import Ear, errors, means, plain, readings
from minimoshi.evaluation.dialogue.measures import judge_case
from minimoshi.evaluation.dialogue.run import Answer, script_answer
from minimoshi.evaluation.dialogue.summary import summarise


def judged(world, answer_of):
    """The summary of a system that answers by `answer_of(case)`, and its rows by case."""
    by_name = {case.name: case for case in world.cases}
    cases, rows = [], []
    for case in world.cases:
        row, own = judge_case(case, answer_of(case), world.ear, by_name.get(case.facts["control"]))
        cases.append(row)
        rows += own
    return summarise(cases, rows), {row["case"]: row for row in rows}


@pytest.fixture(scope="module")
def oracle(world):
    return judged(world, script_answer)


def test_the_script_has_no_faults(oracle):
    found, rows = oracle
    for group in ("seen", "text"):
        assert found["accuracy"][group]["all"]["rate"] == found["accuracy"][group]["all"]["text"] == 1
    assert found["takeover"]["took"]["rate"] == 1 and 0.1 < found["takeover"]["median"] < 0.35
    assert found["pauses"]["taken"]["rate"] == found["pauses"]["sound"]["rate"] == 0
    assert found["false_starts"] == {"starts": 0, "minutes": 1, "per_minute": 0}
    assert found["manner"]["rate"] == 1
    stop = found["stop"]
    assert stop["broken"]["silent"]["rate"] == stop["broken"]["right"]["rate"] == 1
    assert 0.05 < stop["broken"]["after"] < 0.45
    assert rows["control-seen-stop-00"]["silent_after"] > rows["seen-stop-00"]["silent_after"]
    assert found["murmur"]["broken"]["right"]["rate"] == found["murmur"]["control"]["right"]["rate"] == 1
    assert found["question"]["broken"]["silent"]["rate"] == found["question"]["broken"]["right"]["rate"] == 1
    passed = {bar.what: bar.passed for bar in bars({"systems": {"model": found}})}
    assert passed["right answers, seen"] and passed["turn taken in the user's pause"]
    assert passed["right answers, human"] is None and passed["a frame, median"] is None


def test_long_conversations_are_told_by_the_half_minute_and_apart(world, oracle):
    found, rows = oracle
    asked = [dict(rows["seen-stop-00"], group="long", asked=at, right=at < 60) for at in (3.0, 29.0, 41.0, 95.0)]
    summary = summarise([], [*rows.values(), *asked])
    assert [(part["from"], part["to"], part["rate"], part["of"]) for part in summary["stamina"]] == [
        (0, 30, 1.0, 2), (30, 60, 1.0, 1), (90, 120, 0.0, 1)
    ]
    assert summary["accuracy"]["long"]["all"]["rate"] == 0.75 and found["stamina"] == []
    assert summary["stop"] == summarise([], list(rows.values()))["stop"]


def test_who_says_nothing_answers_nothing_and_disturbs_nobody(world):
    found, _ = judged(world, lambda case: Answer(np.zeros_like(case.stereo()[0]), []))
    assert found["accuracy"]["seen"]["all"]["rate"] == found["takeover"]["took"]["rate"] == 0
    assert found["takeover"]["median"] is None and found["false_starts"]["starts"] == 0
    assert found["pauses"]["taken"]["rate"] == 0
    assert found["stop"]["broken"]["speaking"]["rate"] == 0 and found["stop"]["broken"]["silent"] is None


def test_who_answers_late_does_not_take_the_turn(world):
    def late(case):
        return Answer(np.roll(case.stereo()[0], 2 * SAMPLE_RATE), [])

    found, rows = judged(world, late)
    assert found["takeover"]["took"]["rate"] < 0.3
    assert rows["text-sum-00"]["right"] and not rows["text-sum-00"]["text_right"]  # late, but right


def with_tone(case, start, seconds):
    moshi = case.stereo()[0]
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    at = round(start * SAMPLE_RATE)
    moshi[at : at + len(time)] += 0.2 * np.sin(2 * np.pi * 1000 * time).astype(np.float32)
    return Answer(moshi, [])


@pytest.mark.parametrize("seconds, taken", [(0.2, False), (1.1, True)])
def test_speech_in_a_pause_takes_the_turn_when_it_is_long(world, seconds, taken):
    case = world.case("seen-repeat-00")
    first, last = case.exchanges[-1]["pauses"][0]
    assert 0.5 < last - first < 1.7
    _, rows = judge_case(case, with_tone(case, first + 0.1, seconds), world.ear)
    assert rows[-1]["pause_sound"] and rows[-1]["pause_taken"] is taken


def test_who_counts_on_does_not_stop(world):
    case, control = world.case("seen-stop-00"), world.case("control-seen-stop-00")
    _, rows = judge_case(case, script_answer(control), world.ear)
    assert rows[-1]["silent_after"] > 0.5 and not rows[-1]["right"] and not rows[-1]["text_right"]


def test_who_is_stopped_by_a_murmur_is_found_out(world):
    case = world.case("seen-murmur-00")
    moshi = case.stereo()[0]
    moshi[round(case.exchanges[-1]["broken"][1] * SAMPLE_RATE) :] = 0
    _, rows = judge_case(case, Answer(moshi, []), world.ear)
    assert not rows[-1]["right"] and rows[-1]["silent_after"] < 0.1


def test_another_answer_is_wrong_and_a_babble_in_silence_a_false_start(world):
    case, other = world.case("seen-sum-00"), world.case("text-sum-00")
    moshi, last = np.zeros_like(case.stereo()[0]), case.exchanges[-1]
    piece = other.stereo()[0][round(other.exchanges[-1]["reply"][0] * SAMPLE_RATE) :]
    at = round((last["end"] + 0.2) * SAMPLE_RATE)
    moshi[at:] = np.pad(piece, (0, len(moshi)))[: len(moshi) - at]
    _, rows = judge_case(case, Answer(moshi, []), world.ear)
    assert rows[-1]["latency"] is not None and rows[-1]["heard"] and not rows[-1]["right"]
    silent = world.case("silence-00")
    row, _ = judge_case(silent, with_tone(silent, 3.0, 0.5), world.ear)
    assert row["starts"] == 1


def test_a_later_judge_is_asked_only_when_the_first_heard_something_else(world):
    asked = []
    ear = Ear({"deaf": lambda wav, rate: "what", "good": lambda wav, rate: asked.append(1) or "three plus four is 7"})
    wav = np.ones(SAMPLE_RATE, np.float32)
    both = {"deaf": "what", "good": "three plus four is 7"}
    assert ear.hears(wav, 0, 1, "three plus four is seven") == (True, True, both)
    assert ear.hears(wav, 0, 1, "what") == (True, True, {"deaf": "what"}) and asked == [1]
    assert not ear.hears(wav, 0, 1, "three plus five is eight").right and asked == [1]  # remembered
    with pytest.raises(ValueError, match="at least one judge"):
        Ear({})


@pytest.mark.parametrize(
    "heard, said",
    [
        ("7-3 is 4.", "seven minus three is four"),
        ("7 − 3 = 4", "seven minus three is four"),
        ("1-2-3-4", "one two three four"),
        ("I don't know your name.", "i do not know your name"),
        ("You're welcome!", "you are welcome"),
        ("2A3", "two eight three"),
        ("Hello Ana", "hello anna"),
        ("For two too", "four two two"),
    ],
)
def test_what_sounds_the_same_is_the_same(heard, said):
    assert plain(said) in readings(heard) and errors(said, heard)[0] == 0


@pytest.mark.parametrize(
    "heard, meant",
    [
        ("The sun was yellow.", "the sun is yellow"),
        ("The opposite of clothes is open.", "the opposite of closed is open"),
        ("Before 3 come 2.", "before three comes two"),
        ("The cold is black.", "the coal is black"),
        ("Hello, pal.", "hello paul"),
    ],
)
def test_what_is_nearest_to_an_answer_means_it_and_no_other(heard, meant):
    answers = {text for _, text in moshi_says(("speech", "text", "none"))}
    found = {answer for answer in answers if any(means(r, plain(answer)) for r in readings(heard))}
    assert found == {meant}


@pytest.mark.parametrize(
    "heard, expected",
    [
        ("the opposite of hot is hot", "the opposite of hot is cold"),
        ("7 plus 3 is 9", "seven plus three is ten"),
        ("hello tom", "hello anna"),
        ("one two three", "one two three four"),
        ("your name is anna", "your name is emma"),
        ("okay one two", "okay"),
        ("", "okay"),
    ],
)
def test_a_wrong_answer_does_not_mean_the_right_one(heard, expected):
    assert not any(means(reading, plain(expected)) for reading in readings(heard))


def test_readings_do_not_hide_errors():
    assert plain("seven plus three is ten") not in readings("7-3 is 10")
    assert errors("seven plus three is ten", "seven plus three is nine") == (2, 6)  # 1 0 against 9


# ---------------------------------------------------------------------------------------------- who sounds when


def sound_at(*spans, seconds=3.0):
    wav = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    for start, end in spans:
        wav[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] = 0.1
    return wav


def test_short_silences_belong_to_a_stretch_and_clicks_do_not_count():
    found = stretches(sound_at((0.5, 0.8), (0.9, 1.2), (1.5, 2.0), (2.5, 2.52)))
    assert np.allclose(found, [(0.5, 1.2), (1.5, 2.0)])
    assert stretches(np.zeros(1000, np.float32)) == stretches(np.zeros(10, np.float32)) == []
    assert stretches(1e-3 * np.ones(24_000, np.float32)) == []  # -60 dB


def test_pauses_lie_within_one_speaker_and_gaps_between_two():
    moshi = [Stretch(0.0, 1.0), Stretch(1.4, 2.0)]
    user = [Stretch(2.3, 4.0), Stretch(3.8, 5.0)]
    found = turn_statistics(moshi, [user[0]], 6.0)
    assert found == pytest.approx({"ipu": 33.0, "pause": 4.0, "gap": 3.0, "overlap": 0.0})
    both = turn_statistics([Stretch(0, 2)], [Stretch(1.5, 3)], 6.0)
    assert both == pytest.approx({"ipu": 35.0, "pause": 0.0, "gap": 0.0, "overlap": 5.0})
    assert turn_statistics([], [], 6.0) == {"ipu": 0, "pause": 0, "gap": 0, "overlap": 0}


def test_text_words_of_the_answer_are_told_from_those_before(world):
    case = world.case("seen-stop-00")
    answer = script_answer(case)
    _, rows = judge_case(case, answer, world.ear)
    assert rows[-1]["text"] == "okay"
    late = Answer(answer.moshi, [*answer.words, Word("okay", case.exchanges[-1]["end"] + 1.0, 99)])
    assert judge_case(case, late, world.ear)[1][-1]["text"] == "okay okay"


def test_the_card_tells_long_conversations_of_whoever_had_them():
    part = {"from": 30, "to": 60, "rate": 0.75, "low": 0.5, "high": 1.0, "of": 4}
    later = {**part, "from": 90, "to": 120, "rate": 0.5}
    systems = {"model": {"stamina": [part, later]}, "codec": {"stamina": []}, "cascade": {"stamina": [later]}}
    lines = _stamina({"systems": systems}).splitlines()
    assert lines[2] == "| right (of), % | 30 to 60 s | 90 to 120 s |"
    assert lines[4:] == ["| model | 75.0 (4) | 50.0 (4) |", "| cascade | – | 50.0 (4) |"]
    assert _stamina({"systems": {"model": {"stamina": []}}}) == ""
