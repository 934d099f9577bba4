"""An episode as stereo sound with timed words, and what is to be judged in it as facts that JSON can hold.

Moshi's channel is put together from the same stretches of the same takes as its tokens (`grids`), so an episode sounds
as it is learnt; the user's channel has their background from end to end.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...config import SAMPLE_RATE
from ..stereo import StereoDialogue, Word
from .coding import AFTER, BEFORE, FRAME, MOSHI, background
from .episodes import SECONDS, Episode, Mark, Placed

_FADE = 120  # samples, 5 ms, in which one take gives way to the next, or to silence
_LOUDEST = 0.99


@dataclass(frozen=True)
class Echo:
    """Moshi's voice as the user's microphone hears it: gain in dB, delay in seconds (paper: 0.1 to 0.5 s)."""

    gain_db: float
    delay: float


def render(episode: Episode, seed: int = 0, gain_db: float = 0.0, echo: Echo | None = None) -> StereoDialogue:
    """Both channels of an episode, `frames` frames long, with the words of both and the facts of `facts_of`.

    seed: of the background noise. gain_db: of all that the user's microphone hears but the echo; what is too loud for
    it is clipped, as in a real one.
    """
    samples = episode.frames * FRAME
    moshi, user = np.zeros(samples, np.float32), np.zeros(samples, np.float32)
    for placed in episode.placed:
        _add(moshi if placed.speaker == MOSHI else user, placed)
    user += background(episode.user.noise, samples, np.random.default_rng(seed))
    user *= np.float32(10 ** (gain_db / 20))
    if echo is not None:
        late = round(echo.delay * SAMPLE_RATE)
        user[late:] += moshi[: samples - late] * np.float32(10 ** (echo.gain_db / 20))
    stereo = np.clip(np.stack([moshi, user]), -_LOUDEST, _LOUDEST)
    seconds = samples / SAMPLE_RATE
    words = [
        Word(w.label, w.start, min(w.end, seconds), placed.speaker)
        for placed in episode.placed
        for w in placed.words
        if w.start < seconds
    ]
    return StereoDialogue(stereo, words, facts_of(episode))


def facts_of(episode: Episode) -> dict[str, Any]:
    """Who the user is, when they speak, and every exchange as it should go; all times in seconds.

    Of an exchange: `start` and `asked`, the user's first and last sound before Moshi is to answer; `pauses` between
    them that do not end the turn; `broken`, when the user `breaks` in, `silenced`, when Moshi fell silent then; `end`,
    the last sound of what is to be answered by the words `expected`; `reply`, that answer's first and last sound.
    """
    said = iter(episode.of("user"))
    exchanges = [_exchange_facts(mark, said) for mark in episode.marks]
    facts = {
        "user": asdict(episode.user),
        "user_speech": [_rounded(*extent(placed)) for placed in episode.of("user")],
        "exchanges": exchanges,
    }
    return facts if episode.of(MOSHI) else facts | {"moshi_silent": True}


def _exchange_facts(mark: Mark, said: Any) -> dict[str, Any]:
    exchange = mark.exchange
    turn = [extent(next(said)) for _ in exchange.user]
    broken = extent(next(said)) if exchange.breaks else None
    asked = turn[-1][1]
    pauses = [(before[1], after[0]) for before, after in zip(turn, turn[1:], strict=False)]
    return {
        "skill": exchange.skill,
        "slots": list(exchange.slots),
        "split": exchange.split,
        "question": " ".join(say.text for say in exchange.user),
        "answer": exchange.answer,
        "expected": exchange.expected,
        "start": round(turn[0][0], 3),
        "asked": round(asked, 3),
        "pauses": [_rounded(*pause) for pause in pauses[1:]],  # the first one is a breath after the instruction
        "breaks": exchange.breaks.text if exchange.breaks else None,
        "broken": _rounded(*broken) if broken else None,
        "stops": exchange.stops,
        "silenced": None if mark.silenced is None else round(mark.silenced * SECONDS, 3),
        "end": round(broken[1] if exchange.stops else asked, 3),
        "reply": _rounded(mark.answer[0] * SECONDS, (mark.answer[1] + 1) * SECONDS),
    }


def extent(placed: Placed) -> tuple[float, float]:
    """When its first and its last sound is, in seconds of the episode."""
    first, last = placed.segments[0], placed.segments[-1]
    start = placed.start * SECONDS + (first.take.lead / SAMPLE_RATE + BEFORE - first.first * SECONDS)
    sound_end = (last.take.lead + len(last.take.sound)) / SAMPLE_RATE - AFTER  # in the take
    end = placed.stop * SECONDS - max(0.0, last.stop * SECONDS - sound_end)
    return max(start, placed.start * SECONDS), end


def _rounded(start: float, end: float) -> list[float]:
    return [round(start, 3), round(end, 3)]


def _add(channel: np.ndarray, placed: Placed) -> None:
    """Add the stretches of takes, each fading out into the next; in its own take a stretch goes on without a seam."""
    at = placed.start * FRAME
    for number, segment in enumerate(placed.segments):
        take, length = segment.take, (segment.stop - segment.first) * FRAME
        begin = segment.first * FRAME - take.lead  # of the take's sound, where it may not have begun yet
        wav = np.zeros(length + _FADE, np.float32)
        piece = take.sound[max(0, begin) : begin + len(wav)].astype(np.float32) / 32767
        wav[max(0, -begin) : max(0, -begin) + len(piece)] = piece
        ramp = np.linspace(0, 1, _FADE, dtype=np.float32)
        if number:
            wav[:_FADE] *= ramp
        wav[length:] *= 1 - ramp
        room = channel[at : at + len(wav)]
        room += wav[: len(room)]
        at += length
