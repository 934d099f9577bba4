"""A chain of streaming and stateless layers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from .state import State


@dataclass
class ChainState(State):
    parts: list[State | None]  # one per layer, None for layers without memory


class StreamingSequential(nn.Sequential):
    """`nn.Sequential` whose layers may carry a state."""

    def initial_state(self, batch_size: int = 1) -> ChainState:
        return ChainState(
            [layer.initial_state(batch_size) if hasattr(layer, "initial_state") else None for layer in self]
        )

    def forward(self, x: Tensor, state: ChainState | None = None) -> Tensor:
        for i, layer in enumerate(self):
            if hasattr(layer, "initial_state"):
                x = layer(x, None if state is None else state.parts[i])
            else:
                x = layer(x)
        return x
