"""How codebooks are learnt: k-means to begin with, running averages from then on, and no code left to die.

Centroids get no gradient. Each one follows the average of what it was chosen for (an exponential moving average), and
one that is hardly chosen any more moves to where the data is. The encoder is taught through the choice as if it were
not there (straight-through) and kept close to the centroids by the commitment term (paper §3.3.2; van den Oord 2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..config import Config
from ..mimi.quantizer import ResidualVectorQuantizer, SplitResidualVectorQuantizer
from .modules import groups_of

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
        counts = torch.bincount(owner, minlength=size)
        sums = torch.zeros_like(centroids).index_add_(0, owner, points)
        centroids = sums / counts.clamp(min=1)[:, None]
        empty = torch.nonzero(counts == 0)[:, 0]
        centroids[empty] = points[torch.randint(len(points), (len(empty),), generator=generator)]
    return centroids, torch.bincount(nearest(points, centroids), minlength=size).float()


def residual_kmeans(points: Tensor, levels: int, size: int, rounds: int = 20, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Codebooks [Q, V, d] and their usage [Q, V], each level fitted to what those before it left over."""
    books, usages, residual = [], [], points
    for level in range(levels):
        centroids, counts = kmeans(residual, size, rounds, seed + level)
        residual = residual - centroids[nearest(residual, centroids)]
        books.append(centroids)
        usages.append(counts)
    return torch.stack(books), torch.stack(usages)


# -------------------------------------------------------------------------------------------------- usage


@dataclass(frozen=True)
class Usage:
    """How evenly one codebook is used: a codebook of 512 that is used evenly has perplexity 512, entropy 9 bits."""

    perplexity: float
    entropy: float  # bits
    used: float  # share of the codes that occur at all


def usage(codes: Tensor, size: int) -> Usage:
    """Usage of one level from codes of any shape, or from counts [V] when they are floats. ValueError when empty."""
    counts = codes.flatten() if codes.is_floating_point() else torch.bincount(codes.flatten(), minlength=size).float()
    if counts.numel() != size or not counts.sum() > 0:
        raise ValueError(f"expected codes below {size}, or their {size} counts, with at least one among them")
    nats = float(torch.special.entr(counts / counts.sum()).sum())
    return Usage(math.exp(nats), nats / math.log(2), float((counts > 0).float().mean()))


# ----------------------------------------------------------------------------------------------- learning


@dataclass(frozen=True)
class CodebookOptions(Config):
    """The switches of codebook learning; the defaults are the official ones (paper §3.3.2)."""

    decay: float = 0.99  # of the running averages; what counts is frames a step / (1 - decay) / V
    revive_below: float = 0.1  # a code used less than this share of an even use is dead; 0: never revive
    revive_every: int = 5  # steps between looking for dead codes
    quantised: float = 0.5  # share of sequences that the decoder hears quantised; drawn apart for both groups
    level_dropout: float = 0.0  # share of sequences whose acoustic levels are cut off at random

    def __post_init__(self) -> None:
        self._require(0 < self.decay < 1, f"decay must lie between 0 and 1, got {self.decay}")
        self._require(
            all(0 <= share <= 1 for share in (self.revive_below, self.quantised, self.level_dropout)),
            "revive_below, quantised and level_dropout are shares from 0 to 1",
        )
        self._require(self.revive_every >= 1, f"revive_every must be at least 1, got {self.revive_every}")


@dataclass(frozen=True)
class Quantised:
    """What the learner gives for a latent [B, D, F]."""

    latent: Tensor  # [B, D, F] for the decoder, with a gradient as if nothing had been rounded
    codes: Tensor  # int64 [B, Q, F]
    semantic: Tensor  # [B, F, d] what the semantic level says, straight-through: distillation listens here
    commitment: Tensor  # scalar: mean square distance of the encoder from its centroids, in units of its variance


class CodebookLearner(nn.Module):
    """Trains the codebooks of a quantiser while sound passes through them.

    In training mode every call moves the centroids; in evaluation mode it only quantises. All chance comes from the
    generator of the call, so that a run can be repeated.
    """

    def __init__(
        self,
        quantizer: SplitResidualVectorQuantizer | ResidualVectorQuantizer,
        options: CodebookOptions | None = None,
    ):
        super().__init__()
        self.quantizer, self.options = quantizer, options or CodebookOptions()
        self.groups = groups_of(quantizer)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.register_buffer("revived", torch.zeros((), dtype=torch.int64))  # codes so far

    def forward(
        self, latent: Tensor, generator: torch.Generator | None = None, quantised: float | None = None
    ) -> Quantised:
        """latent [B, D, F]; `quantised` overrides the option of that name (0: the decoder hears no rounding at all)."""
        share = self.options.quantised if quantised is None else quantised
        share = share if self.training else 1.0
        found = [self._group(group, latent, generator, share) for group in self.groups]
        if self.training:
            self.step += 1
        heard = sum(group.output_proj(one.heard) for group, one in zip(self.groups, found, strict=True))
        codes = torch.cat([one.codes for one in found], 1)
        commitment = sum(one.commitment * one.codes.shape[1] for one in found) / codes.shape[1]
        return Quantised(heard.transpose(1, 2), codes, found[0].first, commitment)

    def _group(
        self, group: ResidualVectorQuantizer, latent: Tensor, generator: torch.Generator | None, quantised: float
    ) -> _Group:
        projected = group.input_proj(latent.transpose(1, 2))  # [B, F, d]
        variance = projected.detach().var(dim=(0, 1)).mean().clamp(min=1e-6)
        residual, codes, chosen, commitment = projected, [], [], projected.new_zeros(())
        for level in range(group.n_quantizers):
            with torch.no_grad():
                points = residual.detach().flatten(0, 1)
                index = nearest(points, group.centroids[level])
                vectors = group.centroids[level][index].view_as(projected)
                if self.training:
                    self._learn(group, level, points, index, generator)
            # dividing by the variance keeps a growing latent from drowning every other loss
            commitment = commitment + (residual - vectors).square().mean() / variance
            residual = residual - vectors
            codes.append(index.view(projected.shape[:2]))
            chosen.append(vectors)
        if self.training:
            group.refresh()
        vectors = torch.stack(chosen)  # [Q, B, F, d]
        rounded = projected + (vectors.sum(0) - projected).detach()
        heard = self._dropped(vectors, projected, generator) if self.training else rounded
        if quantised < 1:
            exact = torch.rand(len(projected), generator=generator) >= quantised
            heard = torch.where(exact.to(projected.device)[:, None, None], projected, heard)
        first = projected + (vectors[0] - projected).detach()
        return _Group(torch.stack(codes, 1), heard, first, commitment / group.n_quantizers)

    def _dropped(self, vectors: Tensor, projected: Tensor, generator: torch.Generator | None) -> Tensor:
        """The sum of the first few levels, cut at random where level dropout says so; straight-through."""
        levels, batch = vectors.shape[:2]
        cut = torch.rand(batch, generator=generator) < self.options.level_dropout
        kept = torch.where(cut, torch.randint(1, levels + 1, (batch,), generator=generator), levels)
        mask = (torch.arange(levels)[:, None] < kept).to(vectors)[..., None, None]
        return projected + ((vectors * mask).sum(0) - projected).detach()

    def _learn(self, group: ResidualVectorQuantizer, level: int, points: Tensor, index: Tensor, generator) -> None:
        """Move the running averages of one level towards the points that chose each code; revive dead ones."""
        size, decay = group.codebook_size, self.options.decay
        counts = torch.bincount(index, minlength=size).to(points.dtype)
        sums = torch.zeros_like(group.embedding_sum[level]).index_add_(0, index, points)
        group.cluster_usage[level].lerp_(counts, 1 - decay)
        group.embedding_sum[level].lerp_(sums, 1 - decay)
        if self.options.revive_below and int(self.step) % self.options.revive_every == self.options.revive_every - 1:
            even = group.cluster_usage[level].sum() / size
            dead = torch.nonzero(group.cluster_usage[level] < self.options.revive_below * even)[:, 0]
            places = points[torch.randint(len(points), (len(dead),), generator=generator).to(points.device)]
            group.cluster_usage[level, dead] = even
            group.embedding_sum[level, dead] = places * even
            self.revived += len(dead)

    @torch.no_grad()
    def fit(self, latents: Tensor, rounds: int = 20, seed: int = 0) -> None:
        """Place all centroids by residual k-means on latents [N, D]; 20,000 frames or more keep codes from dying."""
        for group in self.groups:
            points = group.input_proj(latents)
            books, counts = residual_kmeans(points, group.n_quantizers, group.codebook_size, rounds, seed)
            for level, (book, count) in enumerate(zip(books, counts, strict=True)):
                group.set_centroids(level, book, count / count.sum())


@dataclass(frozen=True)
class _Group:
    codes: Tensor  # [B, Q, F]
    heard: Tensor  # [B, F, d] what goes on to the decoder
    first: Tensor  # [B, F, d] what the first level says
    commitment: Tensor
