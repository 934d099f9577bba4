"""A small network that names the phone of every frame without looking into the future.

Its labels cost nothing: a synthesiser knows when it says what. What it holds just before it names the phone is
the cheapest good idea of "meaning" there is for a codec's first level.
"""

from __future__ import annotations

import math
import time
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...data.voices import PHONES
from ...nn import StreamingConv1d
from ..losses import LogMel
from ..speech import Batches
from .interface import FRAME_SIZE

BANDS, COLUMNS = 56, 4  # of the log-mel patch of one frame: 20 ms columns


class MelColumns(LogMel):
    """[B, 1, S] -> log-mel columns of 20 ms, [B, M, 4F], so scaled that silence is 0."""

    def __init__(self, frame_size: int = FRAME_SIZE, causal: bool = True):
        super().__init__(1024, frame_size // COLUMNS, BANDS, low=40.0, high=11_800.0, causal=causal)

    def forward(self, wav: Tensor) -> Tensor:
        columns = super().forward(wav[:, 0])[..., : wav.shape[-1] // self.hop]  # a centred window gives one more
        return (columns - math.log(self.floor)) / 3.0


def patches(columns: Tensor) -> Tensor:
    """Columns [B, M, 4F] -> one patch a frame [B, F, 4M]."""
    return columns.transpose(1, 2).unflatten(1, (-1, COLUMNS)).flatten(2)


class PhoneNet(nn.Module):
    """Names the phone of each frame from log-mel columns; its 80 ms bottleneck is the semantic teacher."""

    def __init__(self, dim: int, width: int = 128, layers: int = 5, kernel: int = 9):
        super().__init__()
        self.first = StreamingConv1d(BANDS, width, 5)
        self.mix = nn.ModuleList(StreamingConv1d(width, width, kernel, groups=width) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.widen = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(layers))
        self.narrow = nn.ModuleList(nn.Linear(3 * width, width) for _ in range(layers))
        self.bottleneck = nn.Linear(width * COLUMNS, dim)
        self.phones = nn.Linear(dim, len(PHONES))

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Log-mel columns [B, M, 4F], silence at 0 -> (phone logits [B, F, P], bottleneck [B, F, d])."""
        x = self.first(mel)
        for mix, norm, widen, narrow in zip(self.mix, self.norms, self.widen, self.narrow, strict=True):
            hidden = norm(mix(x).transpose(1, 2))
            x = x + narrow(F.gelu(widen(hidden))).transpose(1, 2)
        features = self.bottleneck(patches(x))
        return self.phones(F.gelu(features)), features


class HasPhoneNet(Protocol):
    """What `train_phone_net` trains: a network and the columns it listens to."""

    phone_net: PhoneNet

    def columns(self, wav: Tensor) -> Tensor: ...


def train_phone_net(
    teacher: HasPhoneNet, batches: Batches, seconds: float, seed: int = 0, steps: int | None = None
) -> float:
    """Teach the phones for so many seconds (or steps); returns the frame accuracy of the last tenth."""
    net = teacher.phone_net.train()
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=0.05)
    begin, step, right, seen = time.monotonic(), 0, 0, 0
    while (progress := step / steps if steps else (time.monotonic() - begin) / seconds) < 1:
        optimizer.param_groups[0]["lr"] = 3e-3 * max(0.02, 1 - progress)
        wav, phones = batches(np.random.default_rng([seed, step]), True)
        logits, features = net(teacher.columns(wav))
        loss = F.cross_entropy(logits.flatten(0, 1), phones.flatten(), ignore_index=-100)
        loss = loss + 1e-3 * features.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if progress > 0.9:
            right += int((logits.argmax(-1) == phones).sum())
            seen += phones.numel()
        step += 1
    net.eval()
    return right / max(1, seen)
