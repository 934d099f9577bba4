"""The checks of every exercise: `check.frame_count(my_function)` says what is wrong, or that it is right."""

from .convolutional import losses_by_ear, mystery_losses, receptive_field, spectral_distance, upsample_step
from .core import EXERCISES, Exercise, Verdict
from .duplex import answer_gaps, duplex_rows, turn_over
from .full_size import first_difference, memory_bytes, official_keys
from .grids import back, count_steps, leaking_rows, stretch
from .helium import leaks, parameters, rotate_pairs
from .hierarchical import frame_work, pair_bits, say_frame
from .mimi import distillation_loss, latency_ms, look_ahead, swap_rows, without_distillation
from .monologue import ablate, delays_for, heard_frames, patient_row
from .museum import (
    audio_loss,
    audio_rows,
    conversation_grid,
    may_look,
    moshis_codes,
    newest,
    revive,
    speak,
    turn_pairs,
    word_row,
)
from .real_time import draw_token, least_delay, silent_from
from .sound import alias, aliasing_by_ear, bitrate, frame_count, mystery_clips, stft
from .start_here import environment, moshi_starts, self_test
from .streaming import conv_step, is_causal, peek, window_cache
from .training import diagnose, overlap_share, weighted_loss
from .vector_quantisation import gradient_step, nearest_code, shares_of_the_way, split_busiest

__all__ = [
    "EXERCISES",
    "Exercise",
    "Verdict",
    "ablate",
    "alias",
    "aliasing_by_ear",
    "answer_gaps",
    "audio_loss",
    "audio_rows",
    "back",
    "bitrate",
    "conv_step",
    "conversation_grid",
    "count_steps",
    "delays_for",
    "diagnose",
    "distillation_loss",
    "draw_token",
    "duplex_rows",
    "environment",
    "first_difference",
    "frame_count",
    "frame_work",
    "gradient_step",
    "heard_frames",
    "is_causal",
    "latency_ms",
    "leaking_rows",
    "leaks",
    "least_delay",
    "look_ahead",
    "losses_by_ear",
    "may_look",
    "memory_bytes",
    "moshi_starts",
    "moshis_codes",
    "mystery_clips",
    "mystery_losses",
    "nearest_code",
    "newest",
    "official_keys",
    "overlap_share",
    "pair_bits",
    "parameters",
    "patient_row",
    "peek",
    "receptive_field",
    "revive",
    "rotate_pairs",
    "say_frame",
    "self_test",
    "shares_of_the_way",
    "silent_from",
    "speak",
    "spectral_distance",
    "split_busiest",
    "stft",
    "stretch",
    "swap_rows",
    "turn_over",
    "turn_pairs",
    "upsample_step",
    "weighted_loss",
    "window_cache",
    "without_distillation",
    "word_row",
]
