"""What the codec's latents should be, found before the codec is trained.

The paper trains Mimi end to end, its first codebook distilled from WavLM (§3.3.3). On a laptop it pays to
decide first what the tokens mean. `SpeechTeacher` turns 80 ms of sound into two vectors: an acoustic one, the
principal components of its log-mel patch, and a semantic one, the inside of a small network that was taught
to name phones. Neither looks into the future, so a causal encoder can learn to give the same. Residual
k-means over many frames makes the codebooks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.voices import PHONES
from ..nn import StreamingConv1d
from .losses import LogMel

BANDS, COLUMNS = 56, 4  # of the log-mel patch of one frame: 20 ms columns
Batches = Callable[
    [np.random.Generator, bool], tuple[Tensor, Tensor]
]  # (rng, spoken) -> wav [B,1,S], phones [B,F]


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
        features = self.bottleneck(x.transpose(1, 2).unflatten(1, (-1, COLUMNS)).flatten(2))
        return self.phones(F.gelu(features)), features


class SpeechTeacher(nn.Module):
    """Sound [B, 1, S] -> (semantic, acoustic) target latents, each [B, F, d], of unit variance overall."""

    def __init__(self, dim: int, frame_size: int = 1920):
        super().__init__()
        self.mel = LogMel(1024, frame_size // COLUMNS, BANDS, low=40.0, high=11_800.0, causal=True)
        self.phone_net = PhoneNet(dim)
        patch = BANDS * COLUMNS
        self.register_buffer("basis", torch.eye(patch, dim))
        self.register_buffer("mean", torch.zeros(patch))
        self.register_buffer("semantic_mean", torch.zeros(dim))
        self.register_buffer("scales", torch.ones(2))  # of the semantic and the acoustic latent

    def columns(self, wav: Tensor) -> Tensor:
        """[B, 1, S] -> log-mel columns [B, M, 4F], so scaled that silence is 0."""
        return (self.mel(wav[:, 0]) - math.log(self.mel.floor)) / 3.0

    def forward(self, wav: Tensor) -> tuple[Tensor, Tensor]:
        columns = self.columns(wav)
        semantic = (self.phone_net(columns)[1] - self.semantic_mean) / self.scales[0]
        acoustic = (self.patches(columns) - self.mean) @ self.basis / self.scales[1]
        return semantic, acoustic

    @staticmethod
    def patches(columns: Tensor) -> Tensor:
        """Columns [B, M, 4F] -> one patch a frame [B, F, 4M]."""
        return columns.transpose(1, 2).unflatten(1, (-1, COLUMNS)).flatten(2)

    def to_columns(self, acoustic: Tensor) -> Tensor:
        """The way back, as far as the principal components go: [B, F, d] -> log-mel columns [B, M, 4F]."""
        patches = acoustic * self.scales[1] @ self.basis.T + self.mean
        return patches.unflatten(-1, (COLUMNS, BANDS)).flatten(1, 2).transpose(1, 2)


def train_phone_net(
    teacher: SpeechTeacher, batches: Batches, seconds: float, seed: int = 0, steps: int | None = None
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


@torch.no_grad()
def fit_statistics(
    teacher: SpeechTeacher, batches: Batches, frames: int, seed: int = 1
) -> tuple[Tensor, Tensor]:
    """Set principal components, means and scales from so many frames; returns their latents, each [N, d]."""
    columns, semantic = [], []
    count, step = 0, 0
    while count < frames:
        wav, _ = batches(np.random.default_rng([seed, step]), False)
        part = teacher.columns(wav)
        columns.append(teacher.patches(part).flatten(0, 1))
        semantic.append(teacher.phone_net(part)[1].flatten(0, 1))
        count, step = count + len(columns[-1]), step + 1
    patches, features = torch.cat(columns)[:frames], torch.cat(semantic)[:frames]
    teacher.mean.copy_(patches.mean(0))
    centred = patches - teacher.mean
    vectors = torch.linalg.eigh(centred.T @ centred / len(centred))[1]
    teacher.basis.copy_(vectors.flip(1)[:, : teacher.basis.shape[1]])
    acoustic = centred @ teacher.basis
    teacher.semantic_mean.copy_(features.mean(0))
    semantic_latent = features - teacher.semantic_mean
    teacher.scales.copy_(torch.stack([semantic_latent.std(), acoustic.std()]))
    return semantic_latent / teacher.scales[0], acoustic / teacher.scales[1]


# ------------------------------------------------------------------------------------------------ k-means


def nearest(points: Tensor, centroids: Tensor) -> Tensor:
    """Index [N] of the centroid [V, d] nearest to each point [N, d]."""
    half_square = centroids.square().sum(1) / 2
    return torch.cat([(part @ centroids.T - half_square).argmax(1) for part in points.split(16_384)])


def kmeans(points: Tensor, size: int, rounds: int = 20, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Centroids [V, d] and how many points each has [V]. A centroid without points moves to a random one."""
    if len(points) < size:
        raise ValueError(f"{size} centroids need at least as many points, got {len(points)}")
    generator = torch.Generator().manual_seed(seed)
    centroids = points[torch.randperm(len(points), generator=generator)[:size]].clone()
    for _ in range(rounds):
        owner = nearest(points, centroids)
        usage = torch.bincount(owner, minlength=size)
        sums = torch.zeros_like(centroids).index_add_(0, owner, points)
        centroids = sums / usage.clamp(min=1)[:, None]
        empty = torch.nonzero(usage == 0)[:, 0]
        centroids[empty] = points[torch.randint(len(points), (len(empty),), generator=generator)]
    return centroids, torch.bincount(nearest(points, centroids), minlength=size).float()


def residual_kmeans(
    points: Tensor, levels: int, size: int, rounds: int = 20, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Codebooks [Q, V, d] and their usage [Q, V], each level fitted to what those before it left over."""
    books, usages, residual = [], [], points
    for level in range(levels):
        centroids, usage = kmeans(residual, size, rounds, seed + level)
        residual = residual - centroids[nearest(residual, centroids)]
        books.append(centroids)
        usages.append(usage)
    return torch.stack(books), torch.stack(usages)
