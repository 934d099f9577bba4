"""The bars: each in its direction, and what was not measured neither reached nor missed."""

import pytest

from minimoshi.evaluation.bars import LIMITS, Bar, bars
from minimoshi.evaluation.clips import GROUPS


@pytest.mark.parametrize(
    "value, at_most, passed",
    [(1.0, False, True), (0.99, False, False), (1.0, True, True), (1.01, True, False), (None, True, None)],
)
def test_a_bar(value, at_most, passed):
    assert Bar("x", value, 1.0, at_most).passed is passed


def test_to_be_as_good_as_another_codec_is_not_better():
    assert Bar("x", 1.0, 1.0, True, strict=True).passed is False
    assert Bar("x", 1.0, 1.0, False, strict=True).passed is False
    assert Bar("x", 0.9, 1.0, True, strict=True).passed is True
    assert Bar("x", 1.1, 1.0, False, strict=True).passed is True


def system(wer: float, added: float, stoi: float = 0.9, pesq: float | None = 2.0) -> dict:
    rates = {"wer": wer, "added": added}
    return {key: {"tiny.en": {"rate": rate}} for key, rate in rates.items()} | {"stoi": stoi, "pesq": pesq}


@pytest.fixture
def card() -> dict:
    systems = {"codec 3": system(0.1, 0.02), "codec2": system(0.3, 0.2, pesq=1.2)}
    return {
        "quantizers": 3,
        "codebook_size": 100,
        "judges": ["tiny.en"],
        "frame_ms": 7.0,
        "groups": {group: {"systems": dict(systems)} for group in GROUPS},
        "tokens": {"perplexity": [60.0, 50.0, 41.0]},
        "probes": {"phone": [0.6, 0.4, 0.3]},
        "against": {"phone": [0.4, 0.4, 0.3]},
    }


def verdicts(card: dict) -> dict[str, bool | None]:
    return {bar.what: bar.passed for bar in bars(card)}


def test_a_good_card_reaches_all_bars(card):
    found = verdicts(card)
    assert set(found.values()) == {True}
    assert len(found) == sum(map(len, LIMITS.values())) + 5


@pytest.mark.parametrize(
    "change, missed",
    [
        (lambda c: c["groups"]["moshi"]["systems"].update({"codec 3": system(0.2, 0.031)}), "words lost, moshi"),
        (lambda c: c["groups"]["human"]["systems"].update(codec2=system(0.09, 0.0)), "below that of Codec 2"),
        (lambda c: c["groups"]["seen"]["systems"].update({"codec 3": system(0.1, 0, stoi=0.83)}), "STOI, seen"),
        (lambda c: c["groups"]["moshi"]["systems"].update({"codec 3": system(0.1, 0, pesq=1.7)}), "PESQ, moshi"),
        (lambda c: c["groups"]["moshi"]["systems"].update(codec2=system(0.1, 0, pesq=2.1)), "PESQ above"),
        (lambda c: c["tokens"].update(perplexity=[60.0, 39.0, 41.0]), "least used"),
        (lambda c: c["against"].update(phone=[0.5, 0.1, 0.1]), "phone probe"),
        (lambda c: c.update(frame_ms=8.1), "one frame"),
    ],
)
def test_one_miss_is_one_missed_bar(card, change, missed):
    change(card)
    wrong = [what for what, passed in verdicts(card).items() if passed is not True]
    assert len(wrong) == 1 and missed in wrong[0]


def test_what_was_not_measured_has_no_verdict(card):
    del card["against"], card["groups"]["unseen"]
    card["groups"]["moshi"]["systems"]["codec 3"]["pesq"] = None
    for group in card["groups"].values():
        group["systems"].pop("codec2")
    found = verdicts(card)
    assert {what for what, passed in found.items() if passed is None} == {
        "words lost, unseen, tiny.en",
        "STOI, unseen",
        "PESQ, moshi",
        "phone probe of level 1, with distillation over without",
    }
    assert not any("Codec 2" in what for what in found)
