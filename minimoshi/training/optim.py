"""Optimisers: Muon for the matrices, AdamW for the rest, and a learning rate that follows the clock."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..nn import StreamingConvTranspose1d
from ..nn.linear import StepLinear

_QUINTIC = (3.4445, -4.775, 2.0315)  # Newton-Schulz coefficients of Muon (Jordan 2024): fast, not exact


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """The [..., m, n] matrices with the same singular vectors and all singular values near 1 (0.7 to 1.2)."""
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    # Each step multiplies x by a polynomial of x xᵀ. Collecting the polynomials first keeps the work to small
    # squares.
    a, b, c = _QUINTIC
    gram, identity = x @ x.mT, torch.eye(x.shape[-2], dtype=x.dtype, device=x.device)
    product = None
    for left in reversed(range(steps)):
        polynomial = a * identity + b * gram + c * gram @ gram
        product = polynomial if product is None else polynomial @ product
        if left:
            gram = polynomial @ gram @ polynomial
    x = product @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, then every direction of a weight matrix moves by the same amount.

    For weights of two or more dimensions, [out, in, ...]; a parameter marked `is_transposed` is [in, out,
    ...], one marked `is_stack` holds a matrix for every step, [steps, out, in]. Since well-scaled weights have a
    largest singular value near one, `lr` is the share of a matrix that a step changes. Decay is AdamW's.
    """

    def __init__(self, parameters, lr: float = 0.02, momentum: float = 0.9, weight_decay: float = 0.0):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(state["momentum"], group["momentum"])
                transposed = getattr(p, "is_transposed", False)
                if transposed:
                    update = update.transpose(0, 1)
                flat = orthogonalise(update if getattr(p, "is_stack", False) else update.flatten(1))
                flat = flat * math.sqrt(max(1.0, flat.shape[-2] / flat.shape[-1]))
                update = flat.view(update.shape)
                if group["weight_decay"]:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update.transpose(0, 1) if transposed else update, alpha=-group["lr"])


class Optimisers:
    """Optimisers that step together: name -> (optimiser, its rate). A group with a `share` has so much of that rate."""

    def __init__(self, parts: dict[str, tuple[torch.optim.Optimizer, float]]):
        self.parts = parts

    def parameters(self) -> list[Tensor]:
        return [p for optimiser, _ in self.parts.values() for group in optimiser.param_groups for p in group["params"]]

    def zero_grad(self) -> None:
        for optimiser, _ in self.parts.values():
            optimiser.zero_grad()

    def step(self, factor: float) -> None:
        """With this factor on all rates."""
        for optimiser, lr in self.parts.values():
            for group in optimiser.param_groups:
                group["lr"] = lr * factor * group.get("share", 1.0)
            optimiser.step()

    def state_dict(self) -> dict:
        return {name: optimiser.state_dict() for name, (optimiser, _) in self.parts.items()}

    def load_state_dict(self, state: dict) -> None:
        for name, (optimiser, _) in self.parts.items():
            optimiser.load_state_dict(state[name])


def split_parameters(modules: list[nn.Module]) -> tuple[list[Tensor], list[Tensor]]:
    """(for Muon, for AdamW): weights of dense convolutions and linear layers, and everything else."""
    matrices, others, seen = [], [], set()
    for module in (m for root in modules for m in root.modules()):
        for name, p in module.named_parameters(recurse=False):
            if id(p) in seen or not p.requires_grad:
                continue
            seen.add(id(p))
            if name == "weight" and p.dim() > 1 and min(p.shape[:2]) > 1:
                p.is_transposed = isinstance(module, StreamingConvTranspose1d)
                p.is_stack = isinstance(module, StepLinear) and p.dim() == 3
                matrices.append(p)
            else:
                others.append(p)
    return matrices, others


def cosine(progress: float, step: int, warm_up: int = 40, floor: float = 0.02) -> float:
    """Factor on the learning rate: a short rise, then half a cosine to `floor` while progress goes 0 to 1."""
    return min(1.0, (step + 1) / warm_up) * max(floor, 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def trapezoid(step: int, steps: int, warm_up: int, decay: float) -> float:
    """Factor on the learning rate: up, level, and down to zero over the last `decay` of all steps."""
    rise = min(1.0, (step + 1) / max(1, warm_up))
    return rise * min(1.0, (steps - step) / max(1.0, decay * steps))


def cycle(step: int, steps: int, cycles: int) -> tuple[int, int]:
    """Where in its cycle a step is, and how many steps that cycle has, if `steps` are divided into `cycles`."""
    length = -(-steps // cycles)
    start = step // length * length
    return step - start, min(length, steps - start)
