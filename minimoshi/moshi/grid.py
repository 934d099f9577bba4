"""The token grid: 1 + n_q streams side by side, one column per frame of 80 ms (paper §3.4.2-3.4.4).

Row 0 is text, then Moshi's codebooks, then the user's. A *time-aligned* grid has in column t what belongs to frame t.
The model sees a *delayed* grid: row k is written `delays[k]` columns late, so that an acoustic token is predicted when
its frame's semantic token is already known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ..config import EPAD_ID, PAD_ID
from ..nn.embedding import ZERO_TOKEN
from ..text import TextTokenizer

UNGENERATED = -2  # marks a cell that has not been produced yet; never an input

__all__ = ["UNGENERATED", "ZERO_TOKEN", "delay", "text_row", "undelay"]


def delay(codes: Tensor, delays: Sequence[int], initial: Tensor) -> Tensor:
    """Write row k of codes [B, K, T] `delays[k]` columns later; `initial` int64 [K] fills in, the end falls off."""
    _check_rows(codes, delays)
    out = initial[None, :, None].expand_as(codes).clone()
    for k, d in enumerate(delays):
        if d < codes.shape[2]:
            out[:, k, d:] = codes[:, k, : codes.shape[2] - d]
    return out


def undelay(values: Tensor, delays: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Undo `delay` on [B, K, T, ...]. Returns values and a bool mask [B, K, T], False where the delay left nothing."""
    _check_rows(values, delays)
    frames = values.shape[2]
    out = torch.zeros_like(values)
    mask = torch.zeros(values.shape[:3], dtype=torch.bool, device=values.device)
    for k, d in enumerate(delays):
        if d < frames:
            out[:, k, : frames - d] = values[:, k, d:]
            mask[:, k, : frames - d] = True
    return out, mask


def _check_rows(grid: Tensor, delays: Sequence[int]) -> None:
    if grid.shape[1] != len(delays):
        raise ValueError(f"the grid has {grid.shape[1]} rows but there are {len(delays)} delays")


def text_row(
    words: Iterable[tuple[str, tuple[float, float]]], tokenizer: TextTokenizer, frames: int, frame_rate: float = 12.5
) -> Tensor:
    """Timed words -> the text row of the grid, int64 [T]: the inner monologue (paper §3.4.4).

    A word's tokens start in the frame where the word starts, one per frame; PAD fills the rest, and EPAD stands in the
    frame before a word unless a token is there. A word that starts before the last one's tokens are all out overwrites
    the remainder. `words` are (text, (start, end)) in seconds, in order of their start; a start less than a thousandth
    of a frame before a frame's edge counts as on it.
    """
    row = torch.full((frames,), PAD_ID, dtype=torch.int64)
    last = -float("inf")
    for word, (start, end) in words:
        if start < last or end < start or start < 0:
            raise ValueError(
                f"words must come in order with 0 <= start <= end, got {word!r} at {start}..{end} s after {last} s"
            )
        last, first = start, int(start * frame_rate + 1e-3)
        tokens = tokenizer.encode(word)[: max(0, frames - first)]
        if not tokens:
            continue
        row[first:] = PAD_ID
        row[first : first + len(tokens)] = torch.tensor(tokens)
        if first > 0 and row[first - 1] == PAD_ID:
            row[first - 1] = EPAD_ID
    return row
