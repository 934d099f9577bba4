"""What the codec makes of a clip: its sound with any number of codebooks, without any, and its tokens."""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch
from torch import Tensor

from ..mimi import MimiAudioCodec

_HALF_FRAME = 0.04  # seconds, the shift of the paper's test (appendix on watermarking)


@torch.inference_mode()
def through(codec: MimiAudioCodec, wav: np.ndarray, quantizers: int | None = None) -> np.ndarray:
    """float [S] -> float [S]: encoded and decoded again, with the first `quantizers` codebooks."""
    return sound(codec, tokens(codec, wav)[:quantizers], len(wav))


@torch.inference_mode()
def tokens(codec: MimiAudioCodec, wav: np.ndarray) -> Tensor:
    """float [S] -> int64 [Q, F]."""
    return codec.encode(torch.from_numpy(np.ascontiguousarray(wav))[None, None])[0]


@torch.inference_mode()
def sound(codec: MimiAudioCodec, codes: Tensor, samples: int) -> np.ndarray:
    """int64 [Q, F] -> float [S], the first `samples` of what is decoded."""
    return codec.decode(codes[None])[0, 0, :samples].clamp(-1, 1).numpy()


@torch.inference_mode()
def unquantised(codec: MimiAudioCodec, wav: np.ndarray) -> np.ndarray:
    """float [S] -> float [S] through both projections of the quantiser but no codebook: the ceiling of the codes."""
    latent = codec.to_latent(torch.from_numpy(np.ascontiguousarray(wav))[None, None]).transpose(1, 2)
    groups = (codec.quantizer.semantic, codec.quantizer.acoustic)
    kept = sum(group.output_proj(group.input_proj(latent)) for group in groups)
    return codec.from_latent(kept.transpose(1, 2))[0, 0, : len(wav)].clamp(-1, 1).numpy()


@torch.inference_mode()
def latents(codec: MimiAudioCodec, codes: Tensor) -> Tensor:
    """int64 [Q, F] -> float [Q, F, D]: the latent that the decoder gets with one codebook, with two, and so on."""
    return torch.stack([codec.quantizer.decode(codes[None, :q])[0].T for q in range(1, len(codes) + 1)])


def idempotence(codec: MimiAudioCodec, codes: Tensor, decoded: np.ndarray, shift: bool = False) -> Tensor:
    """bool [Q, F]: which codes come back when the `decoded` sound is encoded once more (paper, table of appendix D).

    shift: after taking away the first 40 ms, so that every frame begins in the middle of an old one.
    """
    start = round(_HALF_FRAME * codec.sample_rate) if shift else 0
    again = tokens(codec, decoded[start:])
    frames = min(again.shape[1], codes.shape[1])
    return again[:, :frames] == codes[:, :frames]


def frame_milliseconds(codec: MimiAudioCodec, frames: int = 100) -> float:
    """Median processor time to encode and decode one frame of a stream: what it takes on one core of its own."""
    wav = 0.1 * torch.randn(frames + 10, codec.frame_size, generator=torch.Generator().manual_seed(0))
    state, seconds = codec.initial_state(), []
    with torch.inference_mode():
        for frame in wav:
            start = time.process_time()
            codec.decode(codec.encode(frame[None, None], state), state)
            seconds.append(time.process_time() - start)
    return 1000 * statistics.median(seconds[10:])
