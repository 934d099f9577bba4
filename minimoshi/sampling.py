"""Drawing a token from logits."""

from __future__ import annotations

import torch
from torch import Tensor


def sample(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, generator: torch.Generator | None = None
) -> Tensor:
    """Logits [..., V] -> int64 [...]. Temperature 0 takes the most likely token; top_k keeps only that many."""
    if temperature < 0:
        raise ValueError(f"temperature must be 0 (greedy) or positive, got {temperature}")
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits.float()
    kept = None
    if top_k is not None and 0 < top_k < logits.shape[-1]:
        logits, kept = logits.topk(top_k, dim=-1, sorted=False)
    chances = torch.softmax(logits / temperature, dim=-1)
    # dividing by exponential noise and taking the largest draws each token with its chance, without building a table
    noise = torch.empty_like(chances).exponential_(generator=generator)
    drawn = (chances / noise).argmax(-1, keepdim=True)
    return (drawn if kept is None else kept.gather(-1, drawn))[..., 0]
