"""A dialogue of tones, small enough for a test."""

import numpy as np

from minimoshi.config import SAMPLE_RATE
from minimoshi.data.stereo import StereoDialogue, Word

WORDS = (
    Word("hello", 0.1, 0.4, "user"),
    Word("there", 0.4, 0.6, "user"),
    Word("good", 0.8, 1.0),
    Word("morning", 1.0, 1.35),
)


def tones(seconds: float = 1.5, pitches: tuple[float, float] = (220, 330)) -> np.ndarray:
    """float32 [2, S]: another tone on each side."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return np.stack([0.3 * np.sin(2 * np.pi * pitch * time) for pitch in pitches]).astype(np.float32)


def toy_dialogue(seconds: float = 1.5, pitch: float = 220, **facts) -> StereoDialogue:
    return StereoDialogue(tones(seconds, (pitch, 330)), list(WORDS), facts)
