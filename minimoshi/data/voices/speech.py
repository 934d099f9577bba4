"""What a voice says, and how to ask it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ...config import SAMPLE_RATE

__all__ = ["SAMPLE_RATE", "Span", "Speech", "Voice"]


@dataclass(frozen=True)
class Span:
    """Something said from `start` to `end`, in seconds: a word or a phone."""

    label: str
    start: float
    end: float


@dataclass(frozen=True)
class Speech:
    """One utterance: `wav` float32 [S] at 24 kHz, and when each word and phone sounds (seconds)."""

    wav: np.ndarray
    words: list[Span] = field(default_factory=list)
    phones: list[Span] = field(default_factory=list)


class Voice(Protocol):
    """Anything that speaks: `voice("hello there")` -> `Speech`. The same text gives the same samples."""

    def __call__(self, text: str) -> Speech: ...
