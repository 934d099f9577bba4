"""What the behaviour of a tiny Moshi must reach, and whether it does."""

from __future__ import annotations

from typing import Any

from ..bars import Bar

ACCURACY = {"seen": 0.95, "unseen": 0.85, "human": 0.70, "text": 0.80, "long": 0.95}
TAKEOVER, LATENCY = 0.98, 0.32
PAUSE = 0.05
SILENCE, AFTER_STOP = 0.4, 0.95
MURMUR = 0.95
FALSE_STARTS = 0.1
MANNER = 0.90
CODEC_ADDS, MODEL_ADDS = 0.03, 0.04
STEP_MS, TAIL_MS = 20.0, 60.0


def bars(card: dict[str, Any], system: str = "model") -> list[Bar]:
    """All requirements with what `card` (as in card.json) has to say to them, in the order of the card."""
    own = card["systems"][system]

    def of(*path: str) -> float | None:
        found: Any = own
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    words, time = card.get("intelligibility") or {}, card.get("real_time") or {}
    return [
        *(Bar(f"right answers, {g}", of("accuracy", g, "all", "rate"), limit) for g, limit in ACCURACY.items()),
        Bar("turn taken within 1.5 s", of("takeover", "took", "rate"), TAKEOVER),
        Bar("median latency", of("takeover", "median"), LATENCY, True, " s"),
        Bar("turn taken in the user's pause", of("pauses", "taken", "rate"), PAUSE, True),
        Bar('median time from "stop" to silence', of("stop", "broken", "after"), SILENCE, True, " s"),
        Bar('right answer after "stop"', of("stop", "broken", "right", "rate"), AFTER_STOP),
        Bar('goes on through "mhm"', of("murmur", "broken", "right", "rate"), MURMUR),
        Bar("false starts a minute", of("false_starts", "per_minute"), FALSE_STARTS, True),
        Bar("manner heard", of("manner", "rate"), MANNER),
        Bar("word errors that the codec adds", words.get("codec_adds"), CODEC_ADDS, True),
        Bar("word errors that the model adds to that", words.get("model_adds"), MODEL_ADDS, True),
        Bar("a frame, median", time.get("median_ms"), STEP_MS, True, " ms"),
        Bar("a frame, 99 of 100", time.get("p99_ms"), TAIL_MS, True, " ms"),
    ]
