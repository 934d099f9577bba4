"""From rows to numbers: what all the judged episodes of one system say together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..measures import bootstrap
from .measures import Row

FELL_SILENT = 1.0  # seconds after "stop" until which Moshi must have fallen silent
_BESIDE = {"exact": "exact", "text": "text_right"}  # told beside the share of right answers
ACCURACY_GROUPS = ("seen", "unseen", "human", "text", "none", "long")
STAMINA = 30  # seconds of a long conversation that are told together


def summarise(cases: Sequence[Row], rows: Sequence[Row]) -> dict[str, Any]:
    """Every measure of behaviour of one system; None, or a missing key, where no episode was about it."""
    long = [row for row in rows if row["group"] == "long"]
    rows = [row for row in rows if row["group"] != "long"]
    played = [row for row in rows if row["group"] != "control"]
    return {
        "episodes": len(cases),
        "accuracy": accuracy([*played, *long]),
        "stamina": _stamina(long),
        "takeover": _takeover(played),
        "pauses": _pauses(played),
        "stop": _breaking(rows, "stop"),
        "question": _breaking(rows, "question"),
        "murmur": _breaking(rows, "murmur"),
        "manner": share(row["right"] for row in played if row["skill"] == "manner" and row["group"] != "human"),
        "false_starts": _false_starts(cases),
        "turns": _turns(cases),
    }


def accuracy(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """{group: {skill or "all": share of right answers}}; of "text" and "none" only the combinations held out there.

    Beside it `exact`, word for word, and `text`, right in the model's own text.
    """
    found: dict[str, dict[str, Any]] = {}
    for group in ACCURACY_GROUPS:
        split = group if group in ("text", "none") else "speech"
        own = [row for row in rows if row["group"] == group and row["split"] == split]
        if own:
            skills = list(dict.fromkeys(row["skill"] for row in own))
            found[group] = {
                name: (share(row["right"] for row in chosen) or {})
                | {key: float(np.mean([row[of] for row in chosen])) for key, of in _BESIDE.items()}
                for name, chosen in [("all", own), *((s, [row for row in own if row["skill"] == s]) for s in skills)]
            }
    return found


def _stamina(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Of long conversations, the share of right answers to what was asked in every STAMINA seconds."""
    parts: dict[int, list[bool]] = {}
    for row in rows:
        parts.setdefault(int(row["asked"] // STAMINA), []).append(row["right"])
    return [{"from": part * STAMINA, "to": (part + 1) * STAMINA, **share(parts[part])} for part in sorted(parts)]


def share(hits: Iterable[bool]) -> dict[str, Any] | None:
    """{"rate", "low", "high", "of"}: how many of them, and where 90 % of the rates of redrawn ones lie."""
    return rate((hit, 1) for hit in hits)


def rate(pairs: Iterable[tuple[float, int]]) -> dict[str, Any] | None:
    """The same of (errors, words) of every sentence: all errors over all words; None without a sentence."""
    pairs = np.array(list(pairs), float)
    if not len(pairs):
        return None
    parts, wholes = pairs.T
    found, low, high = bootstrap(parts, wholes)
    return {"rate": found, "low": low, "high": high, "of": int(wholes.sum())}


def _takeover(rows: Sequence[Row]) -> dict[str, Any]:
    late = [row["latency"] for row in rows if row["latency"] is not None]
    return {
        "took": share(row["latency"] is not None for row in rows),
        "median": _median(late),
        "p90": float(np.quantile(late, 0.9)) if late else None,
        "latencies": late,
    }


def _pauses(rows: Sequence[Row]) -> dict[str, Any]:
    own = [row for row in rows if row["pause_taken"] is not None]
    return {"taken": share(row["pause_taken"] for row in own), "sound": share(row["pause_sound"] for row in own)}


def _breaking(rows: Sequence[Row], skill: str) -> dict[str, Any]:
    """What Moshi does when the user breaks in, beside the same episodes in which they do not.

    `silent`: of the episodes in which Moshi was speaking then, those in which it fell silent within FELL_SILENT of the
    end of the user's words; `after`: the median of that time, below 0 before their end; `right`: the answer then.
    """
    found: dict[str, Any] = {}
    own = [row for row in rows if row["skill"] == skill and row["speaking"] is not None]
    for kind in ("broken", "control"):
        chosen = [row for row in own if (row["group"] == "control") == (kind == "control")]
        after = [row["silent_after"] for row in chosen if row["speaking"]]
        found[kind] = {
            "right": share(row["right"] for row in chosen),
            "speaking": share(row["speaking"] for row in chosen),
            "silent": share(time <= FELL_SILENT for time in after),
            "after": _median(after),
        }
    return found


def _false_starts(cases: Sequence[Row]) -> dict[str, Any] | None:
    silent = [row for row in cases if row["group"] == "silence"]
    minutes = sum(row["seconds"] for row in silent) / 60
    starts = sum(row["starts"] for row in silent)
    return {"starts": starts, "minutes": minutes, "per_minute": starts / minutes} if silent else None


def _turns(cases: Sequence[Row]) -> dict[str, float] | None:
    own = [row for row in cases if row["group"] not in ("silence", "control", "long")]
    if not own:
        return None
    weights = [row["seconds"] for row in own]
    return {key: float(np.average([row["turns"][key] for row in own], weights=weights)) for key in own[0]["turns"]}


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None
