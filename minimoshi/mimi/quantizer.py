"""Residual vector quantisation, and Mimi's split of it into one semantic and several acoustic levels (paper §3.3.2).

A level holds V centroids. The first level names the centroid nearest to the latent, the next the one nearest to what
was left over, and so on; decoding adds the named centroids up.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import MimiConfig

SMALLEST_USAGE = 1e-5


class ResidualVectorQuantizer(nn.Module):
    """Q levels over one projection of the latent. `encode` [B, D, F] -> int64 [B, Q, F]; `decode` the way back.

    Centroids are learnt as running averages, not by gradient, so they are buffers: `embedding_sum` [Q, V, d] over
    `cluster_usage` [Q, V].
    """

    def __init__(self, dim: int = 512, n_quantizers: int = 8, codebook_size: int = 2048, codebook_dim: int = 256):
        super().__init__()
        self.n_quantizers, self.codebook_size = n_quantizers, codebook_size
        self.input_proj = nn.Linear(dim, codebook_dim, bias=False)
        self.output_proj = nn.Linear(codebook_dim, dim, bias=False)
        self.register_buffer("embedding_sum", torch.randn(n_quantizers, codebook_size, codebook_dim))
        self.register_buffer("cluster_usage", torch.ones(n_quantizers, codebook_size))
        self.register_buffer("centroids", torch.empty_like(self.embedding_sum), persistent=False)
        self.register_buffer("half_square", torch.empty_like(self.cluster_usage), persistent=False)
        self.register_load_state_dict_post_hook(lambda module, _: module.refresh())
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Recompute the centroids after their running averages have changed."""
        self.centroids = self.embedding_sum / self.cluster_usage.clamp(min=SMALLEST_USAGE)[..., None]
        self.half_square = self.centroids.square().sum(-1) / 2

    @torch.no_grad()
    def set_centroids(self, level: int, centroids: Tensor, usage: Tensor | None = None) -> None:
        """Place the V centroids [V, d] of one level, e.g. from k-means; `usage` [V] are their counts."""
        usage = torch.ones_like(self.cluster_usage[level]) if usage is None else usage
        self.cluster_usage[level] = usage
        self.embedding_sum[level] = centroids * usage.clamp(min=SMALLEST_USAGE)[:, None]
        self.refresh()

    def encode(self, latent: Tensor, levels: int | None = None) -> Tensor:
        """[B, D, F] -> int64 [B, Q, F] with the first `levels` of Q."""
        return self.quantize(self.input_proj(latent.transpose(1, 2)), levels)

    def quantize(self, projected: Tensor, levels: int | None = None) -> Tensor:
        """An input that is projected already, [B, F, d] -> int64 [B, Q, F]."""
        residual, codes = projected, []
        for level in range(self.n_quantizers if levels is None else levels):
            nearest = self.scores(residual, level).argmax(-1)
            residual = residual - self.centroids[level][nearest]
            codes.append(nearest)
        return torch.stack(codes, dim=1)

    def scores(self, residual: Tensor, level: int) -> Tensor:
        """What a level is to name, [B, F, d] -> [B, F, V]: x·c - |c|²/2, highest for the nearest centroid c."""
        return residual @ self.centroids[level].T - self.half_square[level]

    def lookup(self, codes: Tensor) -> Tensor:
        """int64 [B, Q, F] -> [B, F, d]: the sum of the named centroids of the first Q levels."""
        levels = torch.arange(codes.shape[1], device=codes.device)[:, None]
        return self.centroids[levels, codes].sum(1)

    def decode(self, codes: Tensor) -> Tensor:
        """int64 [B, Q, F] -> [B, D, F]."""
        return self.output_proj(self.lookup(codes)).transpose(1, 2)


class SplitResidualVectorQuantizer(nn.Module):
    """One semantic level beside Q - 1 acoustic levels. Both see the same latent; their outputs add up.

    The semantic level is free of the residual chain, so that it may be taught meaning without spoiling the sound.
    """

    def __init__(self, config: MimiConfig):
        super().__init__()
        shape = dict(dim=config.dim, codebook_size=config.codebook_size, codebook_dim=config.codebook_dim)
        self.semantic = ResidualVectorQuantizer(n_quantizers=1, **shape)
        self.acoustic = ResidualVectorQuantizer(n_quantizers=config.n_codebooks - 1, **shape)

    def encode(self, latent: Tensor, levels: int) -> Tensor:
        """[B, D, F] -> int64 [B, levels, F], semantic first."""
        semantic = self.semantic.encode(latent)
        if levels == 1:
            return semantic
        return torch.cat([semantic, self.acoustic.encode(latent, levels - 1)], dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """int64 [B, Q, F] -> [B, D, F]."""
        latent = self.semantic.decode(codes[:, :1])
        if codes.shape[1] > 1:
            latent = latent + self.acoustic.decode(codes[:, 1:])
        return latent
