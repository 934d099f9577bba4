"""Linear layers and norms of the transformers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x [..., in] times weight [out, in] -> [..., out].

    On a CPU two rows (a frame of Mimi is two steps at 25 Hz) are multiplied as two columns with the weight on the left:
    BLAS then reads the weight, which is all the work there is, twice as fast.
    """
    if x.numel() == 2 * x.shape[-1] and x.device.type == "cpu" and weight.is_contiguous():
        return (weight @ x.reshape(2, -1).T).T.contiguous().view(*x.shape[:-1], -1)
    return F.linear(x, weight)


class StepLinear(nn.Module):
    """A bias-free linear layer that may hold weights per step (paper §3.4.1: the depth transformer's codebooks).

    schedule None: one weight [out, in], an ordinary linear layer. Otherwise weight [sets, out, in], and step t uses set
    schedule[t]. `steps_per_call`: how many steps come together in a stream. A single row is multiplied up to twice as
    fast when the weight lies transposed in memory, which its shape does not show.
    """

    def __init__(self, in_dim: int, out_dim: int, schedule: tuple[int, ...] | None = None, steps_per_call: int = 1):
        super().__init__()
        self.schedule = schedule
        sets = () if schedule is None else (max(schedule) + 1,)
        one = steps_per_call == 1
        self.weight = nn.Parameter(
            torch.empty(*sets, in_dim, out_dim).mT if one else torch.empty(*sets, out_dim, in_dim)
        )
        nn.init.uniform_(self.weight, -1 / math.sqrt(in_dim), 1 / math.sqrt(in_dim))

    def forward(self, x: Tensor, step: int = 0) -> Tensor:
        """x [B, T, in] -> [B, T, out]; `step` is the index of the first of the T steps."""
        if self.schedule is None:
            return linear(x, self.weight)
        steps = x.shape[1]
        if step + steps > len(self.schedule):
            raise ValueError(
                f"there are weights for {len(self.schedule)} steps; steps {step}..{step + steps - 1} were asked for"
            )
        if steps == 1:
            return linear(x, self.weight[self.schedule[step]])
        return torch.einsum("bti,toi->bto", x, self.weights(step, steps))

    def weights(self, step: int, steps: int) -> Tensor:
        """The weights of consecutive steps, [steps, out, in]."""
        wanted = self.schedule[step : step + steps]
        if wanted == tuple(range(len(self.weight))):
            return self.weight
        return self.weight[list(wanted)]


class RMSNorm(nn.Module):
    """x / rms(x) · weight over the last dimension, computed in single precision whatever the input."""

    def __init__(self, dim: int, eps: float = 1e-8):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        if x.dtype != torch.float32 or weight.dtype != torch.float32:
            return torch.rms_norm(x.float(), weight.shape, weight.float(), self.eps).type_as(x)
        return torch.rms_norm(x, weight.shape, weight, self.eps)


def make_norm(kind: str, dim: int, eps: float) -> nn.Module:
    """The norm named in a TransformerConfig: "rms" or "layer"."""
    return RMSNorm(dim, eps) if kind == "rms" else nn.LayerNorm(dim, eps=eps)
