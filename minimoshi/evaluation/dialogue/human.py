"""What a real person can ask: words of recorded prompts, put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ...data.miniworld import Say
from ...data.voices import Speech

SPEAKABLE = ("greeting", "sum", "neighbour", "count", "repeat")


def human_takes(folder: str | Path, says: Iterable[Say]) -> Iterator[tuple[Say, Speech]]:
    raise NotImplementedError
