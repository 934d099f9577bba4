"""Small changes of sound, as a microphone, a room and another pair of lungs make them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..config import SAMPLE_RATE

_LOUDEST = 0.99


@dataclass(frozen=True)
class Augmentation:
    """How often, as a share of all crops, and how much a crop of speech is changed. All ranges are uniform.

    A share of 0 turns a change off.
    """

    rate_share: float = 0.5  # played faster or slower: speed, pitch and vocal tract change together
    rate: float = 0.25  # natural logarithm of the largest factor, up or down
    colour_share: float = 0.5  # through another microphone
    colour_db: tuple[float, float] = (0.0, 10.0)
    level_share: float = 0.5
    level_db: tuple[float, float] = (-20.0, 8.0)
    noise_share: float = 0.35
    noise_db: tuple[float, float] = (-80.0, -42.0)  # of white noise, root mean square below full scale
    room_share: float = 0.2
    room_seconds: tuple[float, float] = (0.1, 0.4)  # until the echo has fallen by 60 dB
    room_db: tuple[float, float] = (-18.0, -6.0)  # energy of the echo below that of the direct sound

    def __post_init__(self):
        for name in ("rate_share", "colour_share", "level_share", "noise_share", "room_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected a share from 0 to 1")
        for name in ("colour_db", "level_db", "noise_db", "room_seconds", "room_db"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}={(low, high)}: expected the smaller number first")
        if self.rate < 0 or self.room_seconds[0] <= 0:
            raise ValueError(f"rate={self.rate}, room_seconds={self.room_seconds}: expected positive numbers")

    def only_rate(self) -> Augmentation:
        """The same without microphone, room, level and noise: what was said, before anything came in between."""
        return replace(self, colour_share=0.0, level_share=0.0, noise_share=0.0, room_share=0.0)

    def draw_rate(self, rng: np.random.Generator) -> float:
        """How many seconds of the original pass in one second of the crop."""
        return math.exp(rng.uniform(-self.rate, self.rate)) if rng.random() < self.rate_share else 1.0

    def change(self, rng: np.random.Generator, wav: np.ndarray) -> np.ndarray:
        """Microphone and room, whose order makes no difference, then level and noise: float32 [S] -> float32 [S]."""
        if rng.random() < self.colour_share:
            wav = coloured(wav, rng, rng.uniform(*self.colour_db))
        if rng.random() < self.room_share:
            seconds, db = rng.uniform(*self.room_seconds), rng.uniform(*self.room_db)
            wav = in_room(wav, room_response(rng, seconds, db))
        if rng.random() < self.level_share:
            wav = wav * np.float32(10 ** (rng.uniform(*self.level_db) / 20))
        if rng.random() < self.noise_share:
            level = 10 ** (rng.uniform(*self.noise_db) / 20)
            wav = wav + rng.standard_normal(len(wav), dtype=np.float32) * np.float32(level)
        return np.clip(wav, -_LOUDEST, _LOUDEST, dtype=np.float32)


def room_response(rng: np.random.Generator, seconds: float, db: float) -> np.ndarray:
    """What a room answers to a click, float32 [S]: the click, then noise that dies away exponentially.

    seconds: until the noise has fallen by 60 dB; db: its energy relative to that of the click. The echo begins
    after 5 ms, the way to a wall and back.
    """
    length = max(1, round(seconds * SAMPLE_RATE))
    decay = np.float32(1e-3) ** np.linspace(0, 1, length, dtype=np.float32)
    tail = rng.standard_normal(length, dtype=np.float32) * decay
    tail *= np.float32(10 ** (db / 20)) / np.linalg.norm(tail)
    gap = np.zeros(SAMPLE_RATE // 200 - 1, np.float32)
    return np.concatenate([np.ones(1, np.float32), gap, tail])


def in_room(wav: np.ndarray, response: np.ndarray) -> np.ndarray:
    """`wav` [S] as it sounds in that room, [S]: echoes may follow it but do not move it."""
    size = 1 << (len(wav) + len(response) - 2).bit_length()
    spectrum = np.fft.rfft(wav, size) * np.fft.rfft(response, size)
    return np.fft.irfft(spectrum, size)[: len(wav)].astype(np.float32)


def coloured(wav: np.ndarray, rng: np.random.Generator, db: float) -> np.ndarray:
    """`wav` [S] through a random smooth filter, up to `db` louder or softer, as every microphone has one."""
    spectrum = np.fft.rfft(wav, 1 << (len(wav) - 1).bit_length())
    octaves = np.log2(np.linspace(30, SAMPLE_RATE / 2, len(spectrum)))
    waves = [np.cos(2 * np.pi * (octaves / rng.uniform(1.5, 6) + rng.random())) for _ in range(3)]
    curve = sum(waves)
    gain = 10 ** (db / 20 * curve / np.abs(curve).max())
    return np.fft.irfft(spectrum * gain)[: len(wav)].astype(np.float32)
