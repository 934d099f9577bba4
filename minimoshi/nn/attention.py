"""Causal self-attention over a bounded past, with rotary positions and a ring of keys and values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import TransformerConfig
from .linear import StepLinear
from .state import State


class Rotary:
    """Rotary positions on interleaved pairs (2i, 2i+1): the pair turns by position · max_period^(-2i/D).

    Angles are computed in double precision: after ten hours a position is near 450,000 and single precision would blur
    the fastest pair by two degrees.
    """

    def __init__(self, head_dim: int, max_period: float):
        self.exponents = [-math.log(max_period) * i / head_dim for i in range(0, head_dim, 2)]

    def __call__(self, positions: Tensor) -> Tensor:
        """int [B, T] -> complex [B, T, D/2], the turns as unit complex numbers."""
        exact = positions.device if positions.device.type != "mps" else "cpu"  # MPS has no double precision
        speeds = torch.tensor(self.exponents, dtype=torch.float64, device=exact).exp()
        angles = positions.to(exact, torch.float64)[..., None] * speeds
        return torch.polar(torch.ones_like(angles), angles).to(torch.complex64).to(positions.device)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the pairs of x [B, T, ..., D] by turns [B, T, D/2]."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    turns = turns.reshape(*turns.shape[:2], *[1] * (x.dim() - 3), turns.shape[-1])
    return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)


@dataclass
class RingCache(State):
    """Keys and values of one layer: a ring of fixed size; position p lives in slot p mod capacity."""

    ring: Tensor  # [B, 2, H, capacity, D]: keys, values

    def extend(self, kv: Tensor, window: Window) -> Tensor:
        """Take in new keys and values [B, 2, H, T, D]; returns all that the new steps may look at."""
        if not window.joined:
            self._write(kv, window.slots)
            return self.ring.narrow(3, 0, window.filled)
        everything = torch.cat([self.ring.narrow(3, 0, window.filled), kv], dim=3)
        self._write(kv[:, :, :, -window.kept :].detach(), window.slots)  # a state carries values, not gradients
        return everything

    def _write(self, kv: Tensor, slots: Tensor) -> None:
        """`slots` int [T] are the same for all rows, or [B, T]."""
        if slots.dim() == 1:
            self.ring.index_copy_(3, slots, kv)
        else:
            rows = torch.arange(len(slots), device=slots.device)[:, None]
            self.ring[rows, :, :, slots] = kv.permute(0, 3, 1, 2, 4)


@dataclass
class Window:
    """Which keys a call may look at, worked out once for all layers of a transformer."""

    turns: Tensor | None  # complex [1 or B, T, D/2]
    mask: Tensor | None  # bool [1 or B, 1, T, keys]; None: everything, or plain causality where `causal`
    causal: bool = False
    slots: Tensor | None = None  # where the ring takes the new keys
    kept: int = 0  # of the T new steps, the last `kept` go into the ring
    filled: int = 0  # slots of the ring that have been used
    joined: bool = False  # attend to ring + new rather than write first and attend to the ring


class Attention(nn.Module):
    """Multi-head attention. x [B, T, D] -> [B, T, D]."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.heads = config.heads
        self.in_proj = StepLinear(config.dim, 3 * config.dim, config.schedule, config.steps_per_call)
        self.out_proj = StepLinear(config.dim, config.dim, config.schedule, config.steps_per_call)

    def forward(self, x: Tensor, window: Window, cache: RingCache | None, step: int) -> Tensor:
        qkv = self.in_proj(x, step).view(*x.shape[:2], 3, self.heads, -1)  # [B, T, 3, H, D]
        if window.turns is not None:
            qkv = torch.cat([rotate(qkv[:, :, :2], window.turns), qkv[:, :, 2:]], dim=2)
        q, kv = qkv.permute(0, 2, 3, 1, 4).split([1, 2], dim=1)
        if cache is not None:
            kv = cache.extend(kv, window)
        k, v = kv.unbind(1)  # each [B, H, keys, D]
        y = F.scaled_dot_product_attention(q[:, 0], k, v, attn_mask=window.mask, is_causal=window.causal)
        return self.out_proj(y.transpose(1, 2).flatten(2), step)
