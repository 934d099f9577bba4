"""What Moshi did in an episode, heard and timed: one row an exchange, one row an episode.

All times are seconds. The answer to an exchange is whatever stretches of speech begin after the user's turn (or at most
EARLY before its end) and before their next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...config import SAMPLE_RATE
from .activity import Stretch, joined, stretches, turn_statistics
from .cases import Case
from .hearing import Ear, Heard, plain
from .run import Answer

EARLY = 0.4  # seconds before the end of the user's turn from which on Moshi may begin: people overlap too
TAKEOVER = 1.5  # seconds after it until which Moshi must have begun
LONG, MANY = 1.0, 3  # Full-Duplex-Bench: speech in a pause takes the turn from this many seconds on, or with more words
SENTENCE = 0.5  # seconds of silence that end what Moshi says; between its words lie less than 0.45
_TEXT_AHEAD = 0.12  # seconds by which a word of the text may come before its sound

Row = dict[str, Any]


def judge_case(case: Case, answer: Answer, ear: Ear, original: Case | None = None) -> tuple[Row, list[Row]]:
    """The row of an episode and those of its exchanges. original: the episode of which this one is the control."""
    units = stretches(answer.moshi)
    talk = joined(units, SENTENCE)
    seconds = len(answer.moshi) / SAMPLE_RATE
    user = [Stretch(*extent) for extent in case.facts["user_speech"]]
    row = {
        "case": case.name,
        "group": case.group,
        "user": case.facts["user"]["name"],
        "seconds": seconds,
        "talk": [[round(s.start, 2), round(s.end, 2)] for s in talk],
        "starts": len(talk),
        "turns": turn_statistics(units, user, seconds),
    }
    asked_of = original.exchanges if original else case.exchanges
    rows = []
    for place, exchange in enumerate(case.exchanges):
        until = case.exchanges[place + 1]["start"] if place + 1 < len(case.exchanges) else seconds
        rows.append(
            {
                "case": case.name,
                "group": case.group,
                "control": case.facts["control"],
                "user": case.facts["user"]["name"],
                "skill": exchange["skill"],
                "slots": exchange["slots"],
                "split": exchange["split"],
                "asked": exchange["asked"],
                **_turn(talk, exchange),
                **_pauses(talk, exchange, answer, ear),
                **_broken(talk, asked_of[place]),
                **_words(talk, exchange, until, answer, ear),
            }
        )
    return row, rows


def _turn(talk: Sequence[Stretch], exchange: Row) -> Row:
    """When Moshi begins to answer, counted from the user's last sound; below 0 before it."""
    asked = exchange["asked"]
    begun = next((s.start for s in talk if asked - EARLY <= s.start < asked + TAKEOVER), None)
    return {"latency": None if begun is None else round(float(begun - asked), 3)}


def _pauses(talk: Sequence[Stretch], exchange: Row, answer: Answer, ear: Ear) -> Row:
    """Whether Moshi says anything in the user's pauses, and whether that takes the turn."""
    if not exchange["pauses"]:
        return {"pause_sound": None, "pause_taken": None}
    said = [s for s in talk if any(first <= s.start < last for first, last in exchange["pauses"])]
    long = sum(s.seconds for s in said) >= LONG
    many = said and sum(len(ear.listen(answer.moshi, *s).split()) for s in said) > MANY
    return {"pause_sound": bool(said), "pause_taken": bool(long or many)}


def _broken(talk: Sequence[Stretch], exchange: Row) -> Row:
    """When Moshi fell silent after the user broke in (in a control: would have), from the end of what they said.

    None where it was not speaking then. A silence of SENTENCE is one; the words of a count lie closer together.
    """
    if not exchange["broken"]:
        return {"speaking": None, "silent_after": None}
    until = _speaking_until(talk, exchange["broken"][0])
    if until is None:
        return {"speaking": False, "silent_after": None}
    return {"speaking": True, "silent_after": round(float(until - exchange["broken"][1]), 3)}


def _speaking_until(talk: Sequence[Stretch], moment: float) -> float | None:
    return next((s.end for s in talk if s.start <= moment < s.end), None)


def _words(talk: Sequence[Stretch], exchange: Row, until: float, answer: Answer, ear: Ear) -> Row:
    """The answer as it was heard and as Moshi's own text has it."""
    since = exchange["end"] - EARLY
    if exchange["stops"]:  # what began before Moshi fell silent is the answer that was broken off
        since = max(since, _speaking_until(talk, exchange["broken"][0]) or since)
    expected = exchange["expected"]
    said = [s for s in talk if since <= s.start < until]
    written = said[0].start if said and exchange["stops"] else since
    own = " ".join(word.text for word in answer.words if written - _TEXT_AHEAD <= word.start < until)
    heard = ear.hears(answer.moshi, said[0].start, said[-1].end, expected) if said else Heard(False, False, {})
    return {
        "expected": expected,
        "begins": round(float(said[0].start), 3) if said else None,
        "ends": round(float(said[-1].end), 3) if said else None,
        "heard": heard.texts,
        "right": heard.right,
        "exact": heard.exact,
        "text": own,
        "text_right": plain(own) == plain(expected),
    }

