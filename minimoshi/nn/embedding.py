"""Token embeddings: several tables at once, with one id that means "nothing"."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ZERO_TOKEN = -1  # embeds to exactly zero and is left out of every loss


class TokenEmbedding(nn.Module):
    """`tables` embedding tables of `rows` tokens each. int64 [B, K, T] -> [B, K, T, D]; ZERO_TOKEN gives zeros.

    With `low_rank` the tables are that narrow and a linear layer per table widens them: far fewer weights for a large
    vocabulary.
    """

    def __init__(self, tables: int, rows: int, dim: int, low_rank: int | None = None):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(tables, rows, low_rank or dim))
        self.widen = None if low_rank is None else nn.Parameter(torch.empty(tables, dim, low_rank))
        for weight in (self.weight, self.widen):
            if weight is not None:
                init_truncated(weight, weight.shape[-1])

    def forward(self, tokens: Tensor, first: int = 0) -> Tensor:
        """Row k of `tokens` [B, K, T] is looked up in table first + k."""
        rows = self.weight.shape[1]
        starts = torch.arange(first * rows, (first + tokens.shape[1]) * rows, rows, device=tokens.device)
        x = F.embedding(tokens.clamp(min=0) + starts[:, None], self.weight.flatten(0, 1)) * (tokens >= 0)[..., None]
        if self.widen is not None:
            x = torch.einsum("bktr,kdr->bktd", x, self.widen[first : first + tokens.shape[1]])
        return x


def init_truncated(weight: Tensor, fan_in: int) -> None:
    """Truncated normal of deviation 1 / sqrt(fan_in), cut at three deviations: how the official models start."""
    std = 1 / math.sqrt(fan_in)
    nn.init.trunc_normal_(weight, std=std, a=-3 * std, b=3 * std)
