"""The checks of every exercise: `check.frame_count(my_function)` says what is wrong, or that it is right."""

from .convolutional import losses_by_ear, mystery_losses, receptive_field, spectral_distance, upsample_step
from .core import EXERCISES, Exercise, Verdict
from .grids import back, count_steps, leaking_rows, stretch
from .helium import leaks, parameters, rotate_pairs
from .hierarchical import frame_work, pair_bits, say_frame
from .mimi import distillation_loss, latency_ms, look_ahead, swap_rows, without_distillation
from .sound import alias, aliasing_by_ear, bitrate, frame_count, mystery_clips, stft
from .start_here import environment, moshi_starts, self_test
from .streaming import conv_step, is_causal, peek, window_cache
from .vector_quantisation import gradient_step, nearest_code, shares_of_the_way, split_busiest

__all__ = [
    "EXERCISES",
    "Exercise",
    "Verdict",
    "alias",
    "aliasing_by_ear",
    "back",
    "bitrate",
    "conv_step",
    "count_steps",
    "distillation_loss",
    "environment",
    "frame_count",
    "frame_work",
    "gradient_step",
    "is_causal",
    "latency_ms",
    "leaking_rows",
    "leaks",
    "look_ahead",
    "losses_by_ear",
    "moshi_starts",
    "mystery_clips",
    "mystery_losses",
    "nearest_code",
    "pair_bits",
    "parameters",
    "peek",
    "receptive_field",
    "rotate_pairs",
    "say_frame",
    "self_test",
    "shares_of_the_way",
    "spectral_distance",
    "split_busiest",
    "stft",
    "stretch",
    "swap_rows",
    "upsample_step",
    "window_cache",
    "without_distillation",
]
