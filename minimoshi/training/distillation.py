"""Distillation: the first level of the codec learns what a teacher hears (paper §3.3.2).

A linear head reads the output of the semantic level, and of nothing else, and predicts the teacher's features of the
same 80 ms. The head is thrown away after training; what stays is a codebook whose tokens mean something. The gradient
goes straight through the quantiser into the encoder; that is how a causal encoder learns from a teacher that hears the
future.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MODES = ("cosine", "regression", "phones")
IGNORED = -100  # the label of a frame whose phone is not known


def cosine_distance(prediction: Tensor, target: Tensor) -> Tensor:
    """1 - cosine of the angle between [..., D] and [..., D], averaged: 0 for equal directions, 1 for unrelated ones.

    Below length 1 a prediction counts by its length too. So the gradient stays bounded at zero, where the head begins,
    and nothing changes for the lengths that training leads to.
    """
    cosines = (F.normalize(prediction, dim=-1, eps=1.0) * F.normalize(target, dim=-1)).sum(-1)
    return 1 - cosines.mean()


def phone_loss(logits: Tensor, phones: Tensor) -> Tensor:
    """Cross-entropy in nats of scores [B, F, P] and phones int64 [B, F]; frames labelled -100 do not count.

    0, with a gradient of 0, when no frame has a label: human recordings have none.
    """
    total = F.cross_entropy(logits.flatten(0, 1), phones.flatten(), ignore_index=IGNORED, reduction="sum")
    return total / (phones != IGNORED).sum().clamp(min=1)


class Distillation(nn.Module):
    """The loss of the semantic level: `distillation(semantic, targets)` -> scalar.

    semantic: what the first level gives, quantised and straight-through, [B, F, d] (or behind its output projection,
    [B, F, D]; `dim` is its width). mode:

    * "cosine", the paper's: targets are a teacher's features [B, F, target_dim], compared by direction;
    * "regression": the same targets, mean square error over their variance;
    * "phones": targets are phones int64 [B, F], -100 where unknown, and target_dim is how many there are.

    The first two are 1 as long as nothing is learnt. Every frame of the latent is normalised before the head, every
    feature of the teacher by its running mean and variance, so that neither scale matters; the head begins at zero, so
    that an untrained one does not push the encoder about. ValueError for another mode or for shapes that do not match.
    """

    def __init__(self, dim: int, target_dim: int, mode: str = "cosine"):
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"distillation mode {mode!r}: expected one of {', '.join(MODES)}")
        self.dim, self.target_dim, self.mode = dim, target_dim, mode
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.head = nn.Linear(dim, target_dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.standardise = None if mode == "phones" else nn.BatchNorm1d(target_dim, affine=False)

    def predict(self, semantic: Tensor) -> Tensor:
        """[B, F, d] -> standardised features or scores of phones, [B, F, target_dim]."""
        if semantic.dim() != 3 or semantic.shape[-1] != self.dim:
            raise ValueError(f"expected the semantic level's output [B, F, {self.dim}], got {list(semantic.shape)}")
        return self.head(self.norm(semantic))

    def forward(self, semantic: Tensor, targets: Tensor) -> Tensor:
        prediction = self.predict(semantic)
        expected = prediction.shape[:2] if self.mode == "phones" else prediction.shape
        if targets.shape != expected:
            raise ValueError(f"{self.mode}: expected targets {list(expected)}, got {list(targets.shape)}")
        if self.mode == "phones":
            return phone_loss(prediction, targets)
        with torch.no_grad():
            features = self.standardise(targets.to(prediction).flatten(0, 1)).view_as(prediction)
        if self.mode == "regression":
            return F.mse_loss(prediction, features)
        return cosine_distance(prediction, features)
