"""The official wire: binary WebSocket messages whose first byte says what they are (rust/protocol.md of moshi)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from ..sampling import Sampling

PATH = "/api/chat"


class Kind(IntEnum):
    """First byte of a message. Receivers leave out kinds they do not know."""

    HANDSHAKE = 0  # server: listening now
    AUDIO = 1  # Ogg-Opus, 24 kHz, mono
    TEXT = 2  # UTF-8 piece of Moshi's words
    CONTROL = 3  # one byte, see Control
    METADATA = 4  # JSON
    ERROR = 5  # UTF-8
    PING = 6


class Control(IntEnum):
    """The byte of a control message."""

    START = 0
    END_TURN = 1
    PAUSE = 2
    RESTART = 3


@dataclass(frozen=True)
class Message:
    """One message. `kind` is an int, since unknown kinds are legal."""

    kind: int
    payload: bytes = b""

    def pack(self) -> bytes:
        return bytes([self.kind]) + self.payload

    @property
    def text(self) -> str:
        """The payload as UTF-8; ValueError where it is not."""
        try:
            return self.payload.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"a message of kind {self.kind} must hold UTF-8 text: {error}") from error


def unpack(data: bytes) -> Message:
    """Read a message; ValueError for an empty one."""
    if not data:
        raise ValueError("a message must have at least one byte, its kind")
    return Message(data[0], data[1:])


@dataclass(frozen=True)
class Wish:
    """What a client asks for in the address."""

    sampling: Sampling
    seed: int | None
    numbers: bool = False  # every second how the server fares, as metadata, which the official client would remark on


# what the official web client sends -> (a field of Sampling, smallest, largest)
_NUMBERS = {
    "text_temperature": ("text_temperature", 0.0, 2.0),
    "text_topk": ("text_top_k", 1, 100_000),
    "audio_temperature": ("temperature", 0.0, 2.0),
    "audio_topk": ("top_k", 1, 100_000),
    "pad_mult": ("pad_bonus", -20.0, 20.0),
    "repetition_penalty": ("repetition_penalty", 1.0, 10.0),
    "repetition_penalty_context": ("repetition_context", 0, 10_000),
}
_SEEDS = ("audio_seed", "text_seed")  # one conversation draws from one seed: the first given counts


def _number(name: str, text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ValueError(f"{name}={text}: expected a number from {low:g} to {high:g}")
    return value


def read_query(query: Mapping[str, str], usual: Sampling | None = None) -> Wish:
    """Sampling and seed from the address; what is not given is as `usual`.

    Names that the server does not use are ignored, as the official ones do.

    Raises ValueError for numbers that are none or out of range.
    """
    usual, fields = usual or Sampling(), {}
    for name, (field, low, high) in _NUMBERS.items():
        if name in query:
            value = _number(name, query[name], low, high)
            fields[field] = int(value) if isinstance(low, int) else value
    if "pad_bonus" in fields:  # officially it multiplies PAD's chance after the temperature; ours moves its logit
        fields["pad_bonus"] *= fields.get("text_temperature", usual.text_temperature)
    seeds = [int(_number(name, query[name], 0, 2**63 - 1)) for name in _SEEDS if name in query]
    return Wish(replace(usual, **fields), seeds[0] if seeds else None, "numbers" in query)
