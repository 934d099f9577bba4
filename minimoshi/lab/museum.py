"""The museum of bugs: ten functions that are wrong, each in a way in which people really go wrong.

Do not use anything of this file. The notebook `museum_of_bugs` shows how each of them sounds, shows its code, and lets
the reader mend it; `check/museum.py` judges the mended one. The machines that make them sound are in `exhibits.py`.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Encode = Callable[[Tensor], Tensor]


def may_look(frames: int, context: int) -> Tensor:
    """bool [T, T]: may step t (row) look at step s (column)? Itself and the context - 1 before."""
    step = torch.arange(frames)
    age = step[:, None] - step[None, :]
    return age.abs() < context


def speak(codec: Any, codes: Tensor) -> Tensor:
    """[1, 8, F] -> sound [1, 1, S], frame by frame, as it goes out to a listener."""
    sound = []
    for frame in codes.split(1, dim=-1):
        state = codec.initial_state()
        sound.append(codec.decode(frame, state))
    return torch.cat(sound, dim=-1)


def moshis_codes(late: Tensor, delays: tuple[int, ...]) -> Tensor:
    """Delayed grid [17, T + longest delay], its 17 delays -> Moshi's eight rows, aligned [8, T]."""
    frames = late.shape[1] - max(delays)
    rows = zip(late[1:9], delays[:8], strict=True)
    return torch.stack([row[d : d + frames] for row, d in rows])


def audio_rows(stereo: Tensor, encode: Encode) -> Tensor:
    """[2, S], left Moshi, right the user -> [16, T].
    `encode` takes [B, 1, S] and gives [B, 8, T]."""
    mono = stereo.mean(0)
    codes = encode(mono[None, None])[0]
    return torch.cat([codes, codes])


def revive(total: Tensor, usage: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
    """Sums [V, d], counts [V], points [N, d] -> both again.
    Code i stands at total[i] / usage[i]."""
    dead = usage < 0.1 * usage.mean()
    total = total.clone()
    total[dead] = batch[torch.randint(len(batch), (int(dead.sum()),))]
    return total, usage


def word_row(words: list[tuple[int, list[int]]], frames: int) -> Tensor:
    """(first frame, text tokens) of each word -> text row [T].
    PAD is 3; EPAD, "a word is next", is 0."""
    row = torch.zeros(frames, dtype=torch.int64)
    for first, tokens in words:
        row[first : first + len(tokens)] = torch.tensor(tokens)
        if first > 0 and row[first - 1] == 3:
            row[first - 1] = 0
    return row


def conversation_grid(stereo: Tensor, text: Tensor, encode: Encode) -> Tensor:
    """[2, S], left Moshi, right the user; text row [T] -> [17, T]: text, Moshi, user."""
    user, moshi = encode(stereo[:, None])
    return torch.cat([text[None], moshi, user])


def audio_loss(losses: Tensor, semantic_weight: float) -> Tensor:
    """Losses of nine rows, text first -> weighted mean of the eight audio rows.
    Acoustic rows weigh 1."""
    weights = torch.ones(9)
    weights[0] = semantic_weight
    return (weights[1:] * losses[1:]).sum() / weights[1:].sum()


def turn_pairs(x: Tensor, angles: Tensor) -> Tensor:
    """Turn the pairs of channels of x [T, D] by angles [T, D/2].
    This model's pair i is 2i and 2i + 1."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def newest(z: Tensor, lengths: Tensor) -> Tensor:
    """[B, T, D], conversations of `lengths` [B] columns, padded to T
    -> [B, D] to draw the next column from."""
    return z[:, -1]
