"""The checks of every exercise: `check.frame_count(my_function)` says what is wrong, or that it is right."""

from .core import EXERCISES, Exercise, Verdict
from .sound import alias, aliasing_by_ear, bitrate, frame_count, mystery_clips, stft
from .start_here import environment, moshi_starts, self_test
from .streaming import conv_step, is_causal, peek, window_cache

__all__ = [
    "EXERCISES",
    "Exercise",
    "Verdict",
    "alias",
    "aliasing_by_ear",
    "bitrate",
    "conv_step",
    "environment",
    "frame_count",
    "is_causal",
    "moshi_starts",
    "mystery_clips",
    "peek",
    "self_test",
    "stft",
    "window_cache",
]
