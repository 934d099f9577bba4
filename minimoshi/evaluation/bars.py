"""What a codec must reach to ship, as a table, and whether it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LIMITS = {
    # word errors that the codec may add to those of the original, as a share of all words, by each judge
    "added": {"moshi": 0.03, "seen": 0.08, "unseen": 0.20, "human": 0.20},
    "stoi": {"moshi": 0.87, "seen": 0.84, "unseen": 0.84, "human": 0.80},
    "pesq": {"moshi": 1.8},
}
SMALLEST_USAGE = 0.4  # perplexity over size, of every codebook
SMALLEST_GAIN = 1.3  # phone probe of the first level, with distillation over without
LONGEST_FRAME = 8.0  # ms


@dataclass(frozen=True)
class Bar:
    """One requirement: `value` must be at most or at least `limit`. value None: not measured in this run.

    strict: the limit is another codec's value, and to be as good is not enough.
    """

    what: str
    value: float | None
    limit: float
    at_most: bool = False
    unit: str = ""
    strict: bool = False

    @property
    def passed(self) -> bool | None:
        if self.value is None:
            return None
        if self.value == self.limit:
            return not self.strict
        return (self.value < self.limit) == self.at_most


def bars(card: dict[str, Any]) -> list[Bar]:
    """All requirements, in the order of the card, with what `card` (as in card.json) has to say to them."""
    best, found = f"codec {card['quantizers']}", []
    for group, limit in LIMITS["added"].items():
        for judge in card["judges"]:
            value = _of(card, group, best, "added", judge, "rate")
            found.append(Bar(f"words lost, {group}, {judge}", value, limit, True))
    for judge in card["judges"]:
        own, other = (_of(card, "human", system, "wer", judge, "rate") for system in (best, "codec2"))
        if other is not None:
            found.append(Bar(f"word error rate below that of Codec 2, human, {judge}", own, other, True, strict=True))
    found += [Bar(f"STOI, {group}", _of(card, group, best, "stoi"), limit) for group, limit in LIMITS["stoi"].items()]
    found += [Bar("PESQ, moshi", _of(card, "moshi", best, "pesq"), limit) for limit in LIMITS["pesq"].values()]
    other = _of(card, "moshi", "codec2", "pesq")
    if other is not None:
        found.append(Bar("PESQ above that of Codec 2, moshi", _of(card, "moshi", best, "pesq"), other, strict=True))
    worst = min(card["tokens"]["perplexity"]) / card["codebook_size"]
    found.append(Bar("codebook usage, the least used level", worst, SMALLEST_USAGE))
    found.append(Bar("phone probe of level 1, with distillation over without", _gain(card), SMALLEST_GAIN))
    found.append(Bar("one frame, encode + decode", card["frame_ms"], LONGEST_FRAME, True, " ms"))
    return found


def _gain(card: dict[str, Any]) -> float | None:
    mine, other = card["probes"], card.get("against")
    if not mine or not other:
        return None
    return mine["phone"][0] / other["phone"][0]


def _of(card: dict[str, Any], group: str, system: str, *path: str) -> float | None:
    """A number deep inside the card, None where it was not measured."""
    found: Any = card["groups"].get(group, {}).get("systems", {}).get(system)
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found
