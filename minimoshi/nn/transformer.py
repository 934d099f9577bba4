"""The one transformer of the package: pre-norm, causal, bounded context, optional weights per step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import TransformerConfig
from .attention import Attention, RingCache, Rotary, Window
from .linear import StepLinear, make_norm
from .state import State, check_batch, device_and_dtype

# A ring this much longer than the context lets a call of up to SLACK + 1 steps write first and then attend in place.
SLACK = 7


@dataclass
class TransformerState(State):
    offset: Tensor  # int64 [B]: steps each row has seen
    layers: list[RingCache]
    steps: int = 0  # steps of the longest-running row
    aligned: bool = True  # all rows have seen the same number of steps

    @property
    def batch_size(self) -> int:
        return len(self.offset)

    def rewind(self) -> None:
        """Back to step 0 without clearing the rings: a slot is written before it is read again."""
        self.offset.zero_()
        self.steps = 0

    def _on_reset(self, everything: bool) -> None:
        if everything:
            self.steps, self.aligned = 0, True
        else:
            self.aligned = False


class FeedForward(nn.Module):
    """Gated: linear_out(silu(a) · b) with a, b = linear_in(x). Plain: linear_out(gelu(linear_in(x)))."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.gated = config.gated
        width = config.hidden * (2 if config.gated else 1)
        self.linear_in = StepLinear(config.dim, width, config.schedule, config.steps_per_call)
        self.linear_out = StepLinear(config.hidden, config.dim, config.schedule, config.steps_per_call)

    def forward(self, x: Tensor, step: int) -> Tensor:
        h = self.linear_in(x, step)
        if self.gated:
            gate, value = h.chunk(2, dim=-1)
            h = F.silu(gate) * value
        else:
            h = F.gelu(h)
        return self.linear_out(h, step)


class LayerScale(nn.Module):
    """A learnt gain per channel on a residual branch; a small start keeps deep stacks calm."""

    def __init__(self, dim: int, start: float):
        super().__init__()
        self.scale = nn.Parameter(torch.full((dim,), start))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class TransformerLayer(nn.Module):
    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.norm1 = make_norm(config.norm, config.dim, config.norm_eps)
        self.attention = Attention(config)
        self.norm2 = make_norm(config.norm, config.dim, config.norm_eps)
        self.feed_forward = FeedForward(config)
        scaled = config.layer_scale is not None
        self.layer_scale1 = LayerScale(config.dim, config.layer_scale) if scaled else None
        self.layer_scale2 = LayerScale(config.dim, config.layer_scale) if scaled else None

    def forward(self, x: Tensor, window: Window, cache: RingCache | None, step: int) -> Tensor:
        attended = self.attention(self.norm1(x), window, cache, step)
        x = x + (attended if self.layer_scale1 is None else self.layer_scale1(attended))
        fed = self.feed_forward(self.norm2(x), step)
        return x + (fed if self.layer_scale2 is None else self.layer_scale2(fed))


class Transformer(nn.Module):
    """x [B, T, D] -> [B, T, D]. Each step sees itself and the `context - 1` steps before it."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(TransformerLayer(config) for _ in range(config.layers))
        self.rotary = None if config.max_period is None else Rotary(config.dim // config.heads, config.max_period)

    @property
    def capacity(self) -> int:
        """Slots of each ring cache."""
        return self.config.context if self.config.schedule else self.config.context + SLACK

    def initial_state(self, batch_size: int = 1) -> TransformerState:
        place, c = device_and_dtype(self), self.config
        shape = (batch_size, 2, c.heads, self.capacity, c.dim // c.heads)
        rings = [RingCache(torch.zeros(shape, **place)) for _ in range(c.layers)]
        return TransformerState(torch.zeros(batch_size, dtype=torch.int64, device=place["device"]), rings)

    def forward(self, x: Tensor, state: TransformerState | None = None) -> Tensor:
        check_batch(state, x, "Transformer")
        if x.shape[1] == 0:
            raise ValueError("expected at least one step, got none")
        if state is not None and self.config.schedule and not state.aligned:
            raise ValueError("with weights per step all rows move together: reset all of them, not some")
        window = self._whole(x) if state is None else self._streaming(x, state)
        step = 0 if state is None else state.steps
        for i, layer in enumerate(self.layers):
            x = layer(x, window, None if state is None else state.layers[i], step)
        if state is not None:
            state.offset += x.shape[1]
            state.steps += x.shape[1]
        return x

    def _turns(self, positions: Tensor) -> Tensor | None:
        return None if self.rotary is None else self.rotary(positions)

    def _whole(self, x: Tensor) -> Window:
        positions = torch.arange(x.shape[1], device=x.device)[None]
        if x.shape[1] <= self.config.context:
            return Window(self._turns(positions), None, causal=True)
        return Window(self._turns(positions), self._mask(positions, positions))

    def _streaming(self, x: Tensor, state: TransformerState) -> Window:
        steps, capacity = x.shape[1], self.capacity
        offset = state.offset[:1] if state.aligned else state.offset
        positions = offset[:, None] + torch.arange(steps, device=x.device)  # [1 or B, T]
        # writing first saves a copy of the ring, but needs room in it, and loses the gradient of what is written
        joined = steps > capacity - self.config.context + 1 or torch.is_grad_enabled()
        kept = min(steps, capacity)
        slots = positions[:, -kept:] % capacity
        window = Window(
            self._turns(positions),
            None,
            slots=slots[0] if state.aligned else slots,
            kept=kept,
            joined=joined,
            filled=min(state.steps + (0 if joined else steps), capacity),
        )
        if state.aligned and steps == 1 and window.filled + joined <= self.config.context:
            return window  # one step, nothing out of reach: no mask needed
        newest = positions[:, :1] - 1 if joined else positions[:, -1:]
        ring = torch.arange(window.filled, device=x.device)
        held = newest - (newest - ring) % capacity  # the position each slot of the ring holds; negative: none yet
        window.mask = self._mask(positions, torch.cat([held, positions], dim=1) if joined else held)
        return window

    def _mask(self, queries: Tensor, keys: Tensor) -> Tensor:
        distance = queries[:, :, None] - keys[:, None]
        return ((keys[:, None] >= 0) & (distance >= 0) & (distance < self.config.context))[:, None]
