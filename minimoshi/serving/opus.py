"""Sound on the wire: frames of 1920 samples to Ogg-Opus pages and back (by sphn, as in the official packages)."""

from __future__ import annotations

import numpy as np

from ..config import SAMPLE_RATE

FRAME = 1920  # samples: 80 ms


def _sphn():
    try:
        import sphn
    except ImportError as error:
        raise ImportError("live sound needs the package sphn: pip install 'minimoshi[serve]'") from error
    return sphn


class Mouth:
    """Frames in, pages out: `mouth(pcm)` float32 [1920] -> bytes."""

    def __init__(self) -> None:
        self._writer = _sphn().OpusStreamWriter(SAMPLE_RATE)

    def __call__(self, pcm: np.ndarray) -> bytes:
        return self._writer.append_pcm(np.ascontiguousarray(np.clip(pcm, -1, 1), dtype=np.float32))


class Ears:
    """Pages in, frames out, whatever the sizes: `ears(data)` -> list of float32 [1920]; ValueError for other data."""

    LARGEST = 1 << 16  # bytes of one message: more than two minutes of speech

    def __init__(self) -> None:
        self._reader = _sphn().OpusStreamReader(SAMPLE_RATE)
        self._rest = np.zeros(0, np.float32)

    def __call__(self, data: bytes) -> list[np.ndarray]:
        if len(data) > self.LARGEST:
            raise ValueError(f"an audio message may hold {self.LARGEST} bytes, got {len(data)}")
        try:
            pcm = self._reader.append_bytes(data)
        except (ValueError, RuntimeError, TypeError) as error:
            raise ValueError(f"audio messages must hold Ogg-Opus pages in order: {error}") from error
        sound = np.concatenate([self._rest, np.nan_to_num(np.asarray(pcm, np.float32).reshape(-1))])
        whole = len(sound) // FRAME * FRAME
        self._rest = sound[whole:]
        return list(sound[:whole].reshape(-1, FRAME))
