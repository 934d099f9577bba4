"""Losses that do not drown each other: each one's pull on the sound is brought to the size its weight asks for.

A weight on a loss says little when one loss has gradients a hundred times larger than another. The balancer looks at
the gradient of each loss at the codec's output and rescales it, so that weights become shares of the whole pull
(Défossez et al. 2022, EnCodec §3.4).
"""

from __future__ import annotations

import torch
from torch import Tensor


class GradientBalancer:
    """`gradient(losses, output)`: one gradient for the output [B, 1, S] out of several losses on it.

    weights: name -> share, whatever they sum to. total_norm: of the whole gradient, per example. decay: of the running
    averages that say how large each loss's gradient usually is; the first step counts fully.
    """

    def __init__(self, weights: dict[str, float], total_norm: float = 1.0, decay: float = 0.999):
        if not weights or min(weights.values()) <= 0:
            raise ValueError(f"the balancer needs positive weights, got {weights}; leave out a loss to switch it off")
        self.weights, self.total_norm, self.decay = dict(weights), total_norm, decay
        self._sums = dict.fromkeys(weights, 0.0)
        self._counts = dict.fromkeys(weights, 0.0)

    def gradient(self, losses: dict[str, Tensor], output: Tensor) -> Tensor:
        """The gradient to hand to `output.backward`. Absent losses leave their share to others."""
        unknown = sorted(set(losses) - set(self.weights))
        if unknown:
            raise ValueError(f"no weight for {', '.join(unknown)}; the balancer knows {', '.join(self.weights)}")
        share = self.total_norm / sum(self.weights[name] for name in losses)
        total = torch.zeros_like(output)
        for name, loss in losses.items():
            (gradient,) = torch.autograd.grad(loss, output, retain_graph=True)
            norm = float(gradient.flatten(1).norm(dim=1).mean())
            self._sums[name] = self.decay * self._sums[name] + norm
            self._counts[name] = self.decay * self._counts[name] + 1
            usual = self._sums[name] / self._counts[name]
            total += gradient * (share * self.weights[name] / max(usual, 1e-12))
        return total

    def state_dict(self) -> dict[str, dict[str, float]]:
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, dict[str, float]]) -> None:
        self._sums.update(state["sums"])
        self._counts.update(state["counts"])
