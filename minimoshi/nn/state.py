"""What a stream remembers, as a plain value.

Every module that runs in time has one `forward(x, state=None)`. A state comes from `module.initial_state(batch_size)`
and the call advances it in place; `state=None` is the whole stream in one piece, from silence. All tensors have the
batch first and start at zero, so a row is sent back to the start of time by zeroing it. A state is memory, not a path
for gradients: train on whole streams.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@dataclasses.dataclass
class State:
    """Base of all states: nested dataclasses, lists and tensors, nothing else."""

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor of this state and of the states inside it."""
        yield from _tensors([getattr(self, f.name) for f in dataclasses.fields(self)])

    @property
    def batch_size(self) -> int | None:
        """Rows B of this state; None where nothing is remembered."""
        return next((t.shape[0] for t in self.tensors()), None)

    def clone(self):
        """An independent copy: a snapshot to return to."""
        return copy.deepcopy(self)

    def reset(self, rows: Tensor | None = None) -> None:
        """Send all rows, or those where the bool tensor `rows` [B] is true, back to the start of time."""
        for tensor in self.tensors():
            tensor[... if rows is None else rows] = 0
        self._on_reset(rows is None or bool(rows.all()))

    @contextmanager
    def standing(self, rows: Tensor | None) -> Iterator[None]:
        """Rows where the bool tensor `rows` [B] is true are after this block as they were before it."""
        kept = [] if rows is None or not rows.any() else [(tensor, tensor[rows]) for tensor in self.moving()]
        yield
        for tensor, before in kept:
            tensor[rows] = before
        if kept:
            self._on_reset(everything=False)

    def moving(self) -> Iterator[Tensor]:
        """The tensors that `standing` must bring back."""
        return self.tensors()

    def _on_reset(self, everything: bool) -> None:
        for part in _states([getattr(self, f.name) for f in dataclasses.fields(self)]):
            part._on_reset(everything)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, State):
        yield from value.tensors()
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def _states(value: Any) -> Iterator[State]:
    if isinstance(value, State):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _states(item)


def check_batch(state: State | None, x: Tensor, what: str) -> None:
    """ValueError when a state made for one batch size meets an input of another."""
    if state is not None and (rows := state.batch_size) is not None and rows != x.shape[0]:
        raise ValueError(
            f"{what}: the state holds {rows} streams but the input has batch size {x.shape[0]}; "
            f"make one with initial_state(batch_size={x.shape[0]})"
        )


def device_and_dtype(module: nn.Module) -> dict[str, Any]:
    """Where a module lives: keyword arguments for the tensors of its fresh state."""
    parameter = next(module.parameters())
    return dict(device=parameter.device, dtype=parameter.dtype if parameter.is_floating_point() else torch.float32)
