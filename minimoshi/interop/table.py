"""One table says how the names and shapes of two implementations correspond; files are read and written by it.

A `Row` pairs a pattern of our names with a pattern of theirs. Placeholders such as `{l}` run over the values in `over`.
A placeholder that only their pattern has spreads one tensor of ours over several of theirs: eight per-codebook weights
that are one stacked tensor here. The same rows load, save, list names and shapes, and print the Rosetta table.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..audio import check_writable
from ..checkpoint import check_tensors, write_tensors


@dataclass(frozen=True)
class How:
    """The way from one tensor of ours to their tensors, and back to our shape."""

    note: str
    cut: Callable[[Tensor], Sequence[Tensor]]
    join: Callable[[Sequence[Tensor], torch.Size], Tensor] = lambda parts, shape: parts[0].reshape(shape)


def _stack(parts: Sequence[Tensor], shape: torch.Size) -> Tensor:
    return torch.stack(list(parts)) if parts else torch.empty(shape)


SAME = How("the same", lambda t: [t])
STACK = How("one of theirs per slice of ours", lambda t: t.unbind(0), _stack)
BLOCKS = How("our slices, one block below the other", lambda t: [t.flatten(0, 1)])
SHARED = How(
    "one of theirs for every slice of ours", lambda t: [t[0]], lambda parts, shape: parts[0].repeat(shape[0], 1, 1)
)
CONV = How("a linear layer as a convolution of kernel 1", lambda t: [t[..., None]])
WIDE = How("with two dimensions of size 1 in front", lambda t: [t[None, None]])
MARK = How("a flag: these centroids are learnt", lambda t: [])


@dataclass(frozen=True)
class Row:
    """One line of a table. `ours` is empty where only they have a tensor."""

    ours: str
    theirs: str
    how: How = SAME
    over: dict[str, Iterable[Any]] = field(default_factory=dict)

    def pairs(self) -> list[tuple[str, list[str]]]:
        """Our names, each with theirs, placeholders filled in."""
        shared = [name for name in self.over if f"{{{name}}}" in self.ours] if self.ours else list(self.over)
        spread = [name for name in self.over if name not in shared]
        return [
            (_fill(self.ours, here), [_fill(self.theirs, here | there) for there in _values(self.over, spread)])
            for here in _values(self.over, shared)
        ]


def _values(over: dict[str, Iterable[Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(over[name] for name in names))]


def _fill(pattern: str, values: dict[str, Any]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: str(values[match[1]]), pattern)


def to_theirs(rows: Iterable[Row], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under their names and in their shapes. On the meta device this costs nothing."""
    theirs: dict[str, Tensor] = {}
    for row in rows:
        for name, names in row.pairs():
            parts = row.how.cut(own[name]) if name else [torch.ones(1) for _ in names]
            theirs.update(zip(names, parts, strict=True))
    return theirs


def load_by_table(
    module: nn.Module,
    rows: Sequence[Row],
    tensors: dict[str, Tensor],
    source: str,
    dtype: torch.dtype,
    copy: bool = False,
) -> None:
    """Fill a module that was built on the meta device from their tensors, which are used up one by one.

    Whole tensors are adopted where shape and dtype allow, unless `copy`. ValueError names every tensor that is missing,
    unexpected or of the wrong shape, by the name it has (or should have) in their file.
    """
    own = module.state_dict()
    expected = {name: tensor.shape for name, tensor in to_theirs(rows, own).items()}
    check_tensors(expected, tensors, source, type(module).__name__)
    ours = {}
    for row in rows:
        for name, names in row.pairs():
            parts = [tensors.pop(theirs) for theirs in names]
            if name:
                ours[name] = row.how.join(parts, own[name].shape).to(dtype, copy=copy)
    module.load_state_dict(ours, assign=True)


def save_by_table(module: nn.Module, rows: Iterable[Row], path: str | os.PathLike) -> None:
    """Write a module under their names. FileNotFoundError when the folder is missing; an old file is replaced whole."""
    check_writable(path, force=True)
    write_tensors(Path(path), to_theirs(rows, module.state_dict()), {"format": "pt"})


def shapes_by_table(rows: Iterable[Row], own: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Their names and shapes."""
    return {name: tuple(tensor.shape) for name, tensor in to_theirs(rows, own).items()}


@dataclass
class Rosetta:
    """The table for people: our pattern, theirs, and how one becomes the other."""

    rows: list[tuple[str, str, str]]

    def __str__(self) -> str:
        widths = [max(len(row[i]) for row in self.rows) for i in (0, 1)]
        return "\n".join(f"{ours:<{widths[0]}}  {theirs:<{widths[1]}}  {note}" for ours, theirs, note in self.rows)

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><td><code>{ours}</code></td><td><code>{theirs}</code></td><td>{note}</td></tr>"
            for ours, theirs, note in self.rows
        )
        return f"<table><tr><th>minimoshi</th><th>theirs</th><th>how</th></tr>{cells}</table>"


def rosetta(rows: Iterable[Row]) -> Rosetta:
    """A table of rows as one can print or show it; `{0..31}` stands for a run of layers or codebooks."""
    shown = []
    for row in rows:
        spans = {name: _span(list(values)) for name, values in row.over.items()}
        shown.append((_fill(row.ours, spans) or "–", _fill(row.theirs, spans), row.how.note))
    return Rosetta(shown)


def _span(values: list[Any]) -> str:
    if len(values) == 1:
        return str(values[0])
    run = len(values) > 2 and values == list(range(values[0], values[-1] + 1))
    return "{" + (f"{values[0]}..{values[-1]}" if run else ",".join(map(str, values))) + "}"
