"""The mini-world: right answers, splits that hold, takes placed where the rules say, grids that say what was placed."""

import itertools
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from minimoshi import MimiAudioCodec, TextTokenizer
from minimoshi.config import EPAD_ID, PAD_ID
from minimoshi.data.miniworld import (
    SKILLS,
    EpisodeMaker,
    Exchange,
    GridMaker,
    Say,
    Takes,
    bank,
    coding,
    episodes,
    exchange,
    moshi_alone,
    script,
    skills,
    split_of,
    text_alone,
    text_line,
    vocabulary,
)
from minimoshi.data.miniworld.episodes import SECONDS
from minimoshi.data.voices import SAMPLE_RATE, Span, Speech
from minimoshi.moshi.grid import ZERO_TOKEN, text_row

SOME = {"sum": 0.3, "count": 0.1, "stop": 0.2, "murmur": 0.2, "repeat": 0.2}
ASKED = [s for s in skills.user_says() if not s.text.startswith("what is")]
ASKED += [Say("what is one plus two"), Say("what comes after")]
ANSWERS = [("sum", "one plus two is three"), ("stop", "okay")] + [
    ("count", " ".join(skills.NUMBERS[1 : n + 1])) for n in skills.COUNTS
]


def toy_voice(spec: str):
    """Says every word as a fifth of a second of its own tone, a twentieth of silence between words."""

    def say(text: str) -> Speech:
        word, gap = SAMPLE_RATE // 5, SAMPLE_RATE // 20
        time = np.arange(word) / SAMPLE_RATE
        wav, spans = [np.zeros(gap, np.float32)], []
        for label in text.split():
            start = sum(map(len, wav)) / SAMPLE_RATE
            spans.append(Span(label, start, start + word / SAMPLE_RATE))
            tone = np.sin(2 * np.pi * (200 + 13 * sum(map(ord, label)) % 900) * time)
            wav += [0.1 * tone.astype(np.float32), np.zeros(gap, np.float32)]
        return Speech(np.concatenate(wav), spans)

    return say


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A bank of two users and Moshi, spoken by the toy voice, with codes."""
    patch = pytest.MonkeyPatch()
    patch.setattr(bank, "open_voice", toy_voice)
    digits = [("repeat", f"{a} {b} {c}") for a, b, c in zip(skills.DIGITS, skills.DIGITS[3:] + skills.DIGITS[:3],
                                                           skills.DIGITS[7:] + skills.DIGITS[:7], strict=True)]
    patch.setattr(bank, "moshi_says", lambda splits: ANSWERS + digits)
    path = tmp_path_factory.mktemp("bank")
    bank.record_moshi(path, takes=2)
    for name, noise in (("user-000", 0), ("user-001", 2)):
        bank.record_user(path, bank.User(name, "hibari", noise=noise), ASKED)
    patch.undo()
    coding.TAPE_FRAMES, before = 60, coding.TAPE_FRAMES
    coding.encode_bank(path, MimiAudioCodec.from_pretrained("tiny").eval(), progress=False)
    coding.TAPE_FRAMES = before
    return path


@pytest.fixture(scope="module")
def maker(folder):
    return EpisodeMaker(Takes(folder), SOME)


# -------------------------------------------------------------------------------------------------- skills


def test_answers_are_right():
    for e in skills.all_exchanges(("speech", "text", "none")):
        if e.skill == "sum":
            a, sign, b, _, value = e.answer.split()
            a, b, value = map(skills.NUMBERS.index, (a, b, value))
            assert value == (a + b if sign == "plus" else a - b)
        if e.skill == "neighbour":
            side, n, _, beside = e.answer.split()
            step = skills.NUMBERS.index(beside) - skills.NUMBERS.index(n)
            assert step == {"after": 1, "before": -1}[side]
        if e.skill == "opposite":
            a, b = e.answer.split()[3], e.answer.split()[5]
            assert skills.OPPOSITES[b] == a


def test_splits_are_shares_and_hold_in_scripts():
    sums = [e for e in skills.all_exchanges(("speech", "text", "none")) if e.skill == "sum"]
    shares = {s: sum(e.split == s for e in sums) / len(sums) for s in ("speech", "text", "none")}
    assert len(sums) == 155 and 0.8 < shares["speech"] < 0.9 and shares["text"] > 0.04 and shares["none"] > 0.01
    rng = random.Random(0)
    for _ in range(300):
        for e in script(rng, 4):
            asked = [e] if e.skill != "question" else [Exchange(e.slots[1], e.slots[2:], e.user, e.answer)]
            assert all(x.split == "speech" for x in asked)
    assert all(split_of(skill, tuple(slots)) == "speech" for skill, *slots in skills.SHOWN)
    assert split_of("sum", ("one", "plus", "two")) == split_of("sum", ("one", "plus", "two"))


def test_nobody_is_asked_for_a_name_that_they_could_not_tell():
    rng, told = random.Random(0), False
    for _ in range(50):
        found = script(rng, 8, can_ask=lambda e: e.skill in ("recall", "murmur") or "anna" in e.slots)
        names = [e.slots for e in found if e.skill == "name"]
        assert set(names) <= {("anna",)}
        assert {e.slots for e in found if e.skill == "recall"} <= {("anna",), ("",)}
        told |= bool(names)
    assert told and script(rng, 5, can_ask=lambda e: False) == []


def test_a_name_is_remembered_and_an_unknown_one_admitted():
    rng, known, unknown = random.Random(0), 0, 0
    for _ in range(400):
        name = None
        for e in script(rng, 5):
            if e.skill == "recall":
                assert e.answer == (f"your name is {name}" if name else "i do not know your name")
                known, unknown = known + bool(name), unknown + (not name)
            if e.skill == "name":
                name = e.slots[0]
    assert known > 20 and unknown > 20


def test_all_skills_are_drawn_with_the_words_of_the_vocabulary():
    rng, words, seen = random.Random(1), set(vocabulary()), set()
    for _ in range(300):
        exchanges = script(rng, 3)
        seen |= {e.skill for e in exchanges}
        assert set(text_line(exchanges).replace(".", "").split()) <= words
    assert seen == set(SKILLS) and len(words) < 150
    with pytest.raises(ValueError, match="no skill 'dance'"):
        exchange("dance", rng)
    with pytest.raises(ValueError, match="'colour' are heard in training"):
        exchange("colour", rng, ("none",))
    held_out = exchange("question", rng, ("text",))
    assert split_of(held_out.slots[1], held_out.slots[2:]) == "text"


# ---------------------------------------------------------------------------------------------------- bank


def test_takes_keep_their_words_and_their_lead(folder):
    user, takes = bank.read_takes(folder, "user-001")
    assert user.noise == 2 and len(takes) == coding.COPIES * len(ASKED)
    for take in takes:
        assert [w.label for w in take.words] == take.text.split()
        assert take.codes.shape == (8, take.frames) and take.codes.max() < 512
        assert take.lead < coding.FRAME and take.frames - coding.TAIL - 1 <= take.last + 1 <= take.frames
        assert abs(take.words[0].start - take.lead / SAMPLE_RATE - 0.03) < 0.02


def test_a_bank_is_not_recorded_twice_and_refuses_held_out_voices(folder):
    before = (folder / "user-000.i16").read_bytes()
    bank.record_user(folder, bank.User("user-000", "nobody"), ASKED)
    assert (folder / "user-000.i16").read_bytes() == before
    with pytest.raises(ValueError, match="held out"):
        bank.record_user(folder, bank.User("new", "flite:awb"), ASKED)
    with pytest.raises(FileNotFoundError, match="no takes of 'nobody'"):
        bank.read_takes(folder, "nobody")


def test_every_second_user_of_a_bank_is_a_guest_from_any_engine(tmp_path, monkeypatch):
    monkeypatch.setattr(bank, "open_voice", toy_voice)  # the engines themselves need not be there
    monkeypatch.setattr(bank, "record_moshi", lambda folder, seed, clear: None)
    monkeypatch.setattr(bank, "some_says", lambda rng: [Say("hello", "")])
    bank.record_bank(tmp_path, 5)
    names = ["guest-000", "guest-001", *(f"user-{n:03d}" for n in range(3))]
    assert bank.speakers(tmp_path) == sorted([*names, *(f"{name}-twin" for name in names)])
    guests = [bank.guest(random.Random(n), "guest") for n in range(60)]
    engines = {"piper:joe", "festival:ked", "festival:slt", "flite:rms", "flite:slt", "flite:kal16"}
    assert {g.voice.partition(",")[0] for g in guests if not g.voice.startswith("hibari")} == engines
    assert max(g.tempo for g in guests) > 1.15 and min(g.tempo for g in guests) < 0.87
    assert max(g.colour for g in guests) > 8


def test_a_guest_has_a_tempo_and_a_microphone(monkeypatch):
    monkeypatch.setattr(bank, "open_voice", toy_voice)
    plain, quick, coloured = (
        bank.say_as(bank.User("u", "flite:slt", **of), Say("what is one plus two"))
        for of in ({}, {"tempo": 1.25}, {"colour": 10.0})
    )
    assert len(quick.wav) < 0.9 * len(plain.wav)
    lasted, lasts = (speech.words[-1].start - speech.words[0].start for speech in (plain, quick))
    assert lasted / lasts == pytest.approx(1.25, abs=0.01)
    assert len(coloured.wav) == len(plain.wav) and coloured.words == plain.words
    assert np.abs(coloured.wav - plain.wav).max() > 0.02


def test_moshi_says_a_phrase_until_enough_takes_are_clear(tmp_path, monkeypatch):
    monkeypatch.setattr(bank, "open_voice", toy_voice)
    monkeypatch.setattr(bank, "moshi_says", lambda splits: [("greeting", "hello"), ("stop", "okay"), ("name", "paul")])
    asked, leads = Counter(), {"hello": [], "okay": [], "paul": []}

    def clear(phrase: str, speech: Speech, lead: int) -> float:
        asked[phrase] += 1
        leads[phrase].append(lead)
        if phrase == "paul":
            return 1.0 if asked[phrase] in (9, 30) else 0.4
        return float(asked[phrase] % 4 == 0) if phrase == "hello" else 0.5

    bank.record_moshi(tmp_path, takes=3, clear=clear)
    # every fourth is clear; none is, so all that were tried are as good; of two the others would be less than half so
    assert asked == {"hello": 12, "okay": bank._TRIED, "paul": bank._TRIED}
    kept = bank.read_takes(tmp_path, "moshi")[1]
    assert Counter(take.text for take in kept) == {"hello": 3, "okay": 3, "paul": 2}
    paul = [leads["paul"][8], leads["paul"][29]]
    assert [take.lead for take in kept] == [*leads["hello"][3::4], *leads["okay"][:3], *paul]


def test_a_manner_changes_what_it_says(monkeypatch):
    monkeypatch.setattr(bank, "open_voice", toy_voice)
    plain, fast, loud = (
        bank.say_as(bank.User("u", "flite:slt"), Say("how do i sound", m)).wav for m in ("", "fast", "loud")
    )
    assert 0.6 < len(fast) / len(plain) < 0.8
    assert np.sqrt(np.mean(loud**2)) > 2 * np.sqrt(np.mean(plain**2))


def test_slower_is_longer_and_single_words_are_said_again_like_that(monkeypatch, tmp_path):
    monkeypatch.setattr(bank, "open_voice", toy_voice)
    user = bank.User("u", "flite:slt")
    plain, slow = (bank.say_as(u, Say("what is one plus two")) for u in (user, bank.slower(user, 1.5)))
    assert len(slow.wav) > 1.3 * len(plain.wav)
    assert bank.slower(bank.User("u", "hibari:f0=0.9,speed=1.2"), 1.5).voice == "hibari:f0=0.9,speed=0.800"
    says = [Say("minus"), Say("minus", "slow"), Say("what is"), Say("what is one plus two"), Say("seven")]
    again = [bank.dictated(random.Random(n), says) for n in range(60)]
    assert {say for some in again for say, _ in some} == {Say("minus"), Say("what is"), Say("seven")}
    assert all(1.1 <= times <= (1.35 if say.text == "what is" else 1.9) for some in again for say, times in some)
    monkeypatch.setattr(bank, "some_says", lambda rng: [Say("seven")] * 40)
    monkeypatch.setattr(bank, "record_moshi", lambda folder, seed, clear: None)
    monkeypatch.setattr(bank, "random_user", lambda rng, name: bank.User(name, "flite:slt"))
    bank.record_bank(tmp_path, 1)
    lengths = [take.frames for take in bank.read_takes(tmp_path, "user-000")[1] if take.text == "seven"]
    assert len(lengths) > 55 and max(lengths[40:]) > 1.4 * lengths[0]


def test_what_cannot_be_put_together_is_said_again_each_time_a_little_differently():
    user = bank.User("u", "hibari:f0=0.9,speed=1.2")
    again = bank.said_again(random.Random(0), user)
    counts = Counter(say for say, _ in again)
    assert {say.manner for say in counts if say.text == "how do i sound"} == set(skills.MANNERS)
    assert {Say("stop"), Say("mhm"), Say("thank you")} < set(counts) and Say("what is one plus two") not in counts
    assert min(counts.values()) >= 2
    assert len({other.voice for _, other in again}) == len({other.gain_db for _, other in again}) == len(again)
    flite = bank.another_time(random.Random(1), bank.User("u", "flite:slt"))
    assert flite.voice == "flite:slt" and 0.9 < flite.rate < 1.1 and flite.rate != 1


def test_a_twin_says_the_same_in_another_voice_before_another_microphone(tmp_path, monkeypatch):
    monkeypatch.setattr(bank, "open_voice", toy_voice)
    user = bank.User("user-000", "flite:slt", gain_db=3.0)
    bank.record_user(tmp_path, user, [Say("what is one plus two"), Say("how do i sound", "loud")])
    bank.twin(tmp_path, "user-000")
    (known, first), (other, second) = (bank.read_takes(tmp_path, name) for name in ("user-000", "user-000-twin"))
    assert (other.voice, known.rate) == (known.voice, 1.0) and 0.88 < other.rate < 1.13 and other.rate != 1
    assert [(t.text, t.manner) for t in first] == [(t.text, t.manner) for t in second]
    for one, two in zip(first, second, strict=True):
        assert len(two.sound) == pytest.approx(len(one.sound) / other.rate, abs=2)
        lasted, lasts = (take.words[-1].end - take.words[0].start for take in (one, two))
        assert lasts == pytest.approx(lasted / other.rate, abs=0.01)
        decibel = 20 * np.log10(two.sound.astype(float).std() / one.sound.astype(float).std())
        assert decibel == pytest.approx(other.gain_db - known.gain_db, abs=other.colour + 2)
    before = (tmp_path / "user-000-twin.i16").read_bytes()
    bank.twin(tmp_path, "user-000")  # and it is the same whenever it is made
    assert (tmp_path / "user-000-twin.i16").read_bytes() == before
    (tmp_path / "user-000-twin.jsonl").unlink()
    bank.twin(tmp_path, "user-000")
    assert (tmp_path / "user-000-twin.i16").read_bytes() == before


# ------------------------------------------------------------------------------------------------ episodes


def placed_by(episode, speaker):
    return sorted(episode.of(speaker), key=lambda p: p.start)


def test_moshi_answers_one_to_three_frames_after_it_could_have_heard(maker):
    rng, gaps = random.Random(0), []
    for _ in range(100):
        e = maker.play(rng, [skills._sum_of(1, "plus", 2)], "user-000")
        gaps.append(e.of("moshi")[0].start - e.marks[0].user_end)
    assert set(gaps) == {2, 3, 4} and np.mean(gaps) < 3


def test_stop_silences_moshi_and_what_was_not_said_has_no_words(maker):
    rng = random.Random(0)
    for _ in range(60):
        e = maker.play(rng, [exchange("stop", rng)], "user-000")
        count, okay = placed_by(e, "moshi")
        mark = e.marks[0]
        assert count.stop <= mark.silenced and 2 <= mark.silenced - mark.broken[1] <= 4
        assert count.start < mark.broken[0] and okay.start > mark.silenced
        said = [w.label for w in count.words]
        assert said == skills.NUMBERS[1 : len(said) + 1] and len(said) < len(mark.exchange.answer.split())
        assert [w.label for w in okay.words] == ["okay"]


def test_in_training_some_break_in_when_moshi_has_ended_and_a_late_murmur_gets_no_answer(maker):
    shares, late = {"murmur": 0.5, "stop": 0.5}, Counter()
    for number in range(150):
        rng = random.Random(number)
        for mark in (episode := EpisodeMaker(maker.takes, shares).random(rng, 240, silent=0.0)).marks:
            count = next(p for p in placed_by(episode, "moshi") if p.start > mark.user_start)
            late[mark.exchange.skill] += mark.broken[0] > count.last + 1
            after = [p for p in placed_by(episode, "moshi") if mark.broken[1] < p.start <= mark.broken[1] + 20]
            if mark.exchange.skill == "stop":
                assert [w.label for w in after[0].words] == ["okay"]
            else:  # what comes next answers what the user says next
                asked = [p.start for p in episode.of("user") if p.start > mark.broken[1]]
                assert not after or asked and asked[0] < after[0].start
    assert min(late.values()) > 3 and set(late) == {"murmur", "stop"}


def test_a_murmur_changes_nothing(maker):
    rng = random.Random(0)
    for _ in range(30):
        e = maker.play(rng, [exchange("murmur", rng)], "user-001")
        (count,) = e.of("moshi")
        assert " ".join(w.label for w in count.words) == e.marks[0].exchange.answer
        assert count.start < e.marks[0].broken[0] < e.marks[0].broken[1] < count.last + 4


def test_pauses_are_pauses(maker):
    rng = random.Random(0)
    e = maker.play(rng, [exchange("repeat", rng)], "user-000")
    while not all(e.marks[0].pauses):
        e = maker.play(rng, [exchange("repeat", rng)], "user-000")
    assert len(e.marks[0].pauses) == 2
    for first, last in e.marks[0].pauses:
        assert 8 <= last - first + 1 <= 19
        assert not any(p.start <= last and p.last >= first for p in e.placed)
    assert e.of("moshi")[0].start > e.marks[0].user_end


def test_an_answer_is_put_together_from_phrases_that_do_not_tell_how_it_goes_on(maker):
    rng, sources = random.Random(0), set()
    for _ in range(50):
        segments, words = maker.takes.moshi(rng, "one two three four")
        assert [w.label for w in words] == "one two three four".split() == [s.take.text for s in segments]
        assert all(a.end <= b.start + 1e-6 for a, b in zip(words, words[1:], strict=False))
        length = sum(s.stop - s.first for s in segments) * coding.FRAME / SAMPLE_RATE
        assert words[-1].end <= length and all(s.stop <= s.take.frames for s in segments)
        sources.add(tuple((s.take.lead, s.stop) for s in segments))
    assert len(sources) > 5
    with pytest.raises(ValueError, match="never said 'hello'"):
        maker.takes.moshi(rng, "hello anna")


def test_moshi_counts_at_a_steady_pace_that_differs_from_count_to_count(maker):
    paces, steady = Counter(), []
    for seed in range(100):
        segments, _ = maker.takes.moshi(random.Random(seed), "one two three four five six seven")
        first, *others = (s.stop - s.take.last - 1 for s in segments[:-1])
        paces[first] += 1
        steady += [breath == first for breath in others]
    assert len(paces) >= 3
    assert 0.7 < sum(steady) / len(steady) < 0.99


def test_what_depends_on_the_question_is_said_alone():
    assert skills.phrases("you sound high") == ["you sound", "high"]
    assert skills.phrases("the opposite of hot is cold") == ["the opposite of", "hot", "is", "cold"]
    assert skills.phrases("i do not know your name") == ["i do not know your name"]
    assert skills.phrases("three plus four is seven") == "three plus four is seven".split()
    for _, text in skills.moshi_says(("speech", "text", "none")):
        assert " ".join(skills.phrases(text)) == text


def test_a_users_sentence_is_spliced_only_where_that_is_wanted(folder):
    rng, says = random.Random(0), [Say(f"what comes after {number}") for number in skills.DIGITS[1:]]
    whole, spliced = Takes(folder), Takes(folder, splice=1.0)
    assert {len(whole.user(rng, "user-000", say)[0]) for say in says} == {1}
    sources = set()
    for _ in range(50):
        say = rng.choice(says)
        segments, words = spliced.user(rng, "user-000", say)
        assert [w.label for w in words] == say.text.split()
        assert all(a.end <= b.start + 1e-6 for a, b in zip(words, words[1:], strict=False))
        assert {s.take.speaker for s in segments} == {"user-000"}
        assert all(w.label in s.take.text for w, s in zip(words, segments, strict=True))
        sources.add(tuple(s.take.text for s in segments))
    assert len(sources) > len(says) + 3
    segments, _ = spliced.user(rng, "user-000", Say("how do i sound", "high"))
    assert len(segments) == 1  # a manner is heard in the whole sentence


def test_some_words_of_a_sentence_were_said_alone(folder):
    rng, spliced, alone = random.Random(0), Takes(folder, splice=1.0), 0
    for _ in range(100):
        segments, words = spliced.user(rng, "user-000", Say("what comes after three"))
        if segments[-1].take.text == "three":
            alone += 1
            assert segments[-1].stop == segments[-1].take.frames
            shift = (sum(s.stop - s.first for s in segments[:-1])) * SECONDS
            assert words[-1].start == pytest.approx(segments[-1].take.words[0].start + shift)
    assert 5 < alone < 30


def test_some_words_come_from_other_sentences_where_they_stood_alike(folder):
    rng, spliced, lengths = random.Random(0), Takes(folder, splice=1.0), Counter()
    for _ in range(200):
        segments, words = spliced.user(rng, "user-000", Say("what comes after two"))
        last = segments[-1].take
        assert last.words[-1].label == "two" and segments[-1].stop == last.frames
        lengths[len(last.words)] += 1
    assert lengths[5] > 10, "the last word of a sum never ends a shorter question"


def test_two_people_share_a_mixed_sentence(folder):
    rng, say = random.Random(0), Say("what comes after three")
    names = list(Takes(folder).users)
    assert len(names) > 1, "the bank of this test needs two users"
    for mixed, together in ((0.0, 0), (1.0, 20)):
        takes = Takes(folder, splice=1.0, mixed=mixed)
        made = [takes.user(rng, names[0], say) for _ in range(100)]
        shared = [{s.take.speaker for s in segments} for segments, _ in made]
        assert sum(len(people) > 1 for people in shared) >= together
        assert mixed or set().union(*shared) == {names[0]}
        assert all([w.label for w in words] == say.text.split() for _, words in made)
        assert all(a.end <= b.start + 1e-6 for _, words in made for a, b in zip(words, words[1:], strict=False))


def test_a_hesitant_user_ends_later_and_is_answered_later(folder):
    asked = Exchange("x", (), (Say("what comes after three"),), "okay")
    for hesitant, fewest in ((0.0, 0), (1.0, 15)):
        maker = EpisodeMaker(Takes(folder, splice=1.0, hesitant=hesitant), SOME)
        split = 0
        for seed in range(20):
            episode = maker.play(random.Random(seed), [asked], "user-000")
            said, answer = episode.of("user"), episode.of("moshi")[0]
            words = [w for placed in said for w in placed.words]
            assert [w.label for w in words] == asked.user[0].text.split()
            assert all(a.end <= b.start + 1e-6 for a, b in zip(words, words[1:], strict=False))
            gap = [b.start - a.stop for a, b in zip(said, said[1:], strict=False)]
            assert all(0 <= g <= 16 for g in gap) and len(said) <= 2
            assert answer.start > said[-1].last, "an answer before the question's end"
            split += len(said) == 2
        assert fewest <= split <= 20 * (hesitant > 0)


def test_some_sentences_begin_with_words_that_were_said_alone(folder):
    rng, say = random.Random(0), Say("what comes after three")
    for splice, fewest, most in ((0.0, 0, 0), (1.0, 15, 50)):
        takes, begun = Takes(folder, splice=splice), 0
        for _ in range(100):
            segments, words = takes.user(rng, "user-000", say)
            if segments[0].take.text == "what comes after":
                begun += 1
                assert {s.take.text for s in segments[:3]} == {"what comes after"} and len(segments) == 4
                assert all(a.stop == b.first for a, b in zip(segments[:2], segments[1:3], strict=True))
            assert [w.label for w in words] == say.text.split()
            assert all(a.end <= b.start + 1e-6 for a, b in zip(words, words[1:], strict=False))
        assert fewest <= begun <= most


def test_words_that_were_said_make_a_sentence_that_was_not(folder):
    rng, whole, spliced = random.Random(0), Takes(folder), Takes(folder, splice=0.5)
    new = Exchange("x", (), (Say("what comes is the"),), "okay")
    unheard = Exchange("x", (), (Say("what is nine plus nine"),), "okay")
    for takes in (whole, spliced):
        takes.said["user-000"].pop(Say("what comes after three"))
    assert not whole.can_ask("user-000", new) and not spliced.can_ask("user-000", new)
    again = Exchange("x", (), (Say("what comes after three"),), "okay")
    assert not whole.can_ask("user-000", again) and spliced.can_ask("user-000", again)
    assert not spliced.can_ask("user-000", unheard)
    assert [w.label for w in spliced.user(rng, "user-000", again.user[0])[1]] == "what comes after three".split()
    with pytest.raises(ValueError, match="has never said"):
        spliced.user(rng, "user-000", unheard.user[0])


def test_users_of_training_differ_in_what_they_say():
    says = [bank.some_says(random.Random(n)) for n in range(40)]
    assert all({Say("stop"), Say("seven"), Say("my name is anna"), Say("what is my name")} <= set(s) for s in says)
    assert {s for said in says for s in said} == {*skills.user_says(), *map(Say, skills.BEGINNINGS)}
    assert 40 < sum(map(len, says)) / len(says) < 90


# --------------------------------------------------------------------------------------------------- grids


def test_text_alone_keeps_the_words_and_their_times(folder, maker):
    make, rng = GridMaker(folder, TextTokenizer.from_pretrained("tiny")), random.Random(0)
    grid = make(maker.random(rng, 100, silent=0.0), rng)
    bare = text_alone(grid)
    assert torch.equal(bare.codes[0], grid.codes[0]) and (bare.codes[1:] == ZERO_TOKEN).all()
    assert not bare.heard.any() and not bare.speaking.any() and grid.speaking.any()


def test_moshi_alone_keeps_its_side(folder, maker):
    make, rng = GridMaker(folder, TextTokenizer.from_pretrained("tiny")), random.Random(0)
    grid = make(maker.random(rng, 100, silent=0.0), rng)
    alone = moshi_alone(grid)
    assert torch.equal(alone.codes[:9], grid.codes[:9]) and (alone.codes[9:] == ZERO_TOKEN).all()
    assert torch.equal(alone.speaking, grid.speaking) and grid.heard.any() and not alone.heard.any()
    assert (grid.codes[9:] != ZERO_TOKEN).all()


def test_a_grid_says_what_was_placed(folder, maker):
    tokenizer = TextTokenizer.from_pretrained("tiny")
    make, rng = GridMaker(folder, tokenizer), random.Random(0)
    for _ in range(20):
        e = maker.random(rng, 200, silent=0.0)
        grid = make(e, rng)
        assert grid.codes.shape == (17, 200) and grid.codes.min() >= 0
        words = sorted(((w.label, (w.start, w.end)) for p in e.of("moshi") for w in p.words), key=lambda w: w[1])
        assert torch.equal(grid.codes[0], text_row(words, tokenizer, 200))
        heard = [vocabulary()[i - 1] for i in grid.heard[grid.heard > 0]]
        said = [w.label for p in placed_by(e, "user") for w in p.words]
        assert sorted(heard) == sorted(said)
        first = e.of("moshi")[0]
        start = torch.from_numpy(first.segments[0].take.codes[:, 0].astype(int))
        assert torch.equal(grid.codes[1:9, first.start], start)
        assert grid.speaking[first.start] and not grid.speaking[: first.start].any()


def test_an_echo_lies_in_the_users_rows_while_moshi_speaks(folder, maker):
    make, rng = GridMaker(folder, TextTokenizer.from_pretrained("tiny"), echo=1.0), random.Random(0)
    found, broken = set(), 0
    for _ in range(40):
        episode = maker.random(rng, 200, silent=0.0)
        grid = make(episode, rng).codes[9:].numpy()
        users = placed_by(episode, "user")
        for placed, after in itertools.zip_longest(users, users[1:]):
            end = min(placed.stop, after.start if after else 200, 200)  # the next one may begin in its tail
            same = (grid[:, placed.start : end] == _codes(placed)[:, : end - placed.start]).all()
            assert same != (placed.breaks_in and bool(placed.segments[0].take.echoes))
            broken += not same
        for placed in episode.of("moshi")[:1]:
            spoken = placed.segments[0]
            take, first, stop = spoken.take, spoken.first, spoken.stop
            assert take.echoes.keys() == {(noise, loud) for noise in range(4) for loud in range(2)}
            if sum(s.take is take for s in placed.segments) > 1:
                continue  # a digit said twice from one take is found a second time, later
            for late, loud in itertools.product(range(8), range(2)):
                at, echo = placed.start + late, take.echoes[episode.user.noise, loud]
                if np.array_equal(grid[:, at : at + stop - first], echo[:, first:stop]):
                    found.add((late, loud))
    assert {late for late, _ in found} <= set(range(1, 7)) and len(found) > 4
    assert broken > 4


def test_an_echo_is_moshi_softly(folder):
    codec = MimiAudioCodec.from_pretrained("tiny").eval()
    take = bank.read_takes(folder, "moshi")[1][0]
    own, faint, loud = (
        codec.decode(torch.from_numpy(codes.astype(np.int64))[None])[0, 0].square().mean().sqrt()
        for codes in (take.codes, take.echoes[0, 0], take.echoes[0, 1])
    )
    assert faint < 0.5 * loud < 0.5 * own
    for take in bank.read_takes(folder, "user-001")[1]:  # whose noise is of kind 2
        assert take.echoes.keys() == ({(2, 0), (2, 1)} if take.text in ("stop", *skills.MURMURS) else set())
        assert all(codes.shape == take.codes.shape for codes in take.echoes.values())
        assert not any((codes == take.codes).all() for codes in take.echoes.values())


def test_a_bank_without_echoes_says_so(folder, tmp_path):
    for path in folder.iterdir():
        if "echo" not in path.name:
            (tmp_path / path.name).symlink_to(path)
    maker, make = EpisodeMaker(Takes(tmp_path), SOME), GridMaker(tmp_path, TextTokenizer.from_pretrained("tiny"), 1.0)
    with pytest.raises(ValueError, match="have no echoes yet; run encode_bank again"):
        make(maker.random(random.Random(0), 200, silent=0.0), random.Random(0))


def _codes(placed) -> np.ndarray:
    return np.concatenate([s.take.codes[:, s.first : s.stop] for s in placed.segments], axis=1)


def test_a_transcriber_learns_from_one_of_the_two_whose_first_word_comes_soon(folder, maker):
    tokenizer = TextTokenizer.from_pretrained("tiny")
    make, rng = GridMaker(folder, tokenizer), random.Random(0)
    episode = maker.random(rng, 150)
    both = make(episode, rng).codes
    for speaker, sound in ((coding.MOSHI, slice(1, 9)), ("user", slice(9, 17))):
        speaks = torch.zeros(150, dtype=torch.bool)
        for placed in episode.of(speaker):
            speaks[placed.start : placed.stop] = True
        words = sorted((w.start, w.end, w.label) for placed in episode.of(speaker) for w in placed.words)
        row = text_row([(label, (start, end)) for start, end, label in words], tokenizer, 150)
        for _ in range(5):
            one = make.of_one(speaker, episode, rng).codes
            earlier = int((row != PAD_ID).nonzero()[0] - (one[0] != PAD_ID).nonzero()[0])
            assert earlier >= 0 and (one[0] != PAD_ID).nonzero()[0] < 20
            assert torch.equal(one[0].roll(earlier), row)
            assert torch.equal(one[1:].roll(earlier, dims=1)[:, speaks], both[sound, speaks])


@pytest.mark.parametrize(("frames", "longest"), [(200, 60), (480, 144), (1500, 320)])
def test_users_of_training_fall_silent_for_a_while_now_and_then(maker, frames, longest):
    rng = random.Random(0)
    gaps = []
    for _ in range(30_000 // frames):
        placed = sorted(maker.random(rng, frames, silent=0.0).placed, key=lambda p: p.start)
        gaps += [after.start - before.last for before, after in zip(placed, placed[1:], strict=False)]
    assert 0.01 < sum(gap > 25 for gap in gaps) / len(gaps) < 0.1
    assert longest / 2 < max(gaps) < longest + 25


def test_a_told_name_is_asked_for_often_in_some_episodes_and_rarely_in_others(maker, monkeypatch):
    shares = []
    monkeypatch.setattr(episodes, "script", lambda rng, length, skills, *more: shares.append(skills) or [])
    patient = EpisodeMaker(maker.takes, {"recall": 0.4, "sum": 0.6})
    for seed in range(50):
        patient.random(random.Random(seed), 480, silent=0.0)
    recalls = [share["recall"] for share in shares]
    assert 0.05 <= min(recalls) < 0.08 and 0.3 < max(recalls) <= 0.4 and {share["sum"] for share in shares} == {0.6}
    assert patient.skills == {"recall": 0.4, "sum": 0.6}


def test_who_is_hard_to_understand_speaks_in_more_episodes(folder):
    takes = Takes(folder)
    name = next(iter(takes.users))
    for other, gain in (("faint", -16.0), ("fainter", -26.0)):
        takes.users[other] = replace(takes.users[name], name=other, gain_db=gain, noise=3)
        takes.said[other] = takes.said[name]
    takes.users = {n: takes.users[n] for n in (name, "faint", "fainter")}
    assert takes.users[name].above_noise > 40 and 10 < takes.users["faint"].above_noise < 15
    maker, rng = EpisodeMaker(takes, SOME), random.Random(3)
    drawn = Counter(maker.random(rng, 20, silent=1.0).user.name for _ in range(2000))
    shares = [(35 - takes.users[n].above_noise) / 5 for n in ("faint", "fainter")]
    for n, share in zip((name, "faint", "fainter"), (1.0, *shares), strict=True):
        assert drawn[n] / 2000 == pytest.approx(share / (1 + sum(shares)), abs=0.03)


def test_a_script_may_have_a_lull(maker):
    asked = [exchange("count", random.Random(0))] * 2
    plain, waiting = (maker.play(random.Random(3), asked, "user-000", lulls=lulls) for lulls in (None, {1: 100}))
    assert waiting.frames == plain.frames + 100
    assert waiting.marks[0] == plain.marks[0] and waiting.marks[1].user_start == plain.marks[1].user_start + 100


def test_a_silent_episode_is_silent(folder, maker):
    make, rng = GridMaker(folder, TextTokenizer.from_pretrained("tiny")), random.Random(0)
    grid = make(maker.random(rng, 50, silent=1.0), rng)
    assert (grid.codes[0] == PAD_ID).all() and not grid.speaking.any() and not grid.heard.any()
    assert EPAD_ID not in grid.codes[0]


def test_every_take_of_a_user_is_there_twice_in_other_places_of_the_frame(folder):
    takes = bank.read_takes(folder, "user-001")[1]
    for first, second in zip(takes[: len(takes) // 2], takes[len(takes) // 2 :], strict=True):
        assert first.text == second.text and np.array_equal(first.sound, second.sound)
        moved = (second.lead - first.lead) / SAMPLE_RATE
        assert 0.01 < moved % 0.08 < 0.07
        assert second.words[0].start - first.words[0].start == pytest.approx(moved)
        assert second.codes.shape[1] == second.frames and not np.array_equal(second.codes, first.codes)
    moshis = bank.read_takes(folder, "moshi")[1]
    assert len(moshis) == 2 * len({take.text for take in moshis})  # recorded twice, encoded once


def test_codes_must_be_there(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="encode_bank"):
        GridMaker(tmp_path, TextTokenizer.from_pretrained("tiny"))
