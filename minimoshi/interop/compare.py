"""Layer by layer: the same input through our model and the official one, and where they differ most."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..mimi import MimiAudioCodec
from ..moshi import HierarchicalGenerator
from .table import Row


@dataclass
class Difference:
    """One line of the comparison."""

    layer: str  # our name
    official: str  # theirs
    shape: tuple[int, ...]
    largest: float  # largest absolute difference; for codes, how many differ


@dataclass
class Comparison:
    """Rows in the order of the computation. Prints as a table, shows as one in a notebook."""

    rows: list[Difference]

    @property
    def largest(self) -> float:
        """The largest difference of all layers."""
        return max(row.largest for row in self.rows)

    def __str__(self) -> str:
        cells = [("layer", "official", "shape", "largest difference"), *map(_cells, self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(4)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        )

    def _repr_html_(self) -> str:
        body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in _cells(row)) + "</tr>" for row in self.rows)
        return f"<table><tr><th>layer</th><th>official</th><th>shape</th><th>largest difference</th></tr>{body}</table>"


def _cells(row: Difference) -> tuple[str, str, str, str]:
    return row.layer, row.official, " × ".join(map(str, row.shape)), f"{row.largest:.1e}" if row.largest else "0"


def compare(ours: MimiAudioCodec | HierarchicalGenerator, official: nn.Module, input: Tensor) -> Comparison:
    """Run both models on `input` and compare the output of every layer.

    ours a codec, official a `moshi` MimiModel: input is sound, float [B, 1, S]; it is encoded by both, and our codes
    are decoded by both. ours a generator, official a `moshi` LMModel: input is a time-aligned grid, int64 [B, K, T].
    Logits are compared where the masks hold. ValueError when the two do not have the same layers.
    """
    if isinstance(ours, MimiAudioCodec):
        pairs, run = _codec_pairs(ours), _run_codec
    elif isinstance(ours, HierarchicalGenerator):
        pairs, run = _generator_pairs(ours), _run_generator
    else:
        raise ValueError(f"compare takes a MimiAudioCodec or a HierarchicalGenerator first, got {type(ours).__name__}")
    with torch.inference_mode(), _eager():
        with _outputs(ours, [mine for mine, _ in pairs]) as kept:
            ends, shared = run(ours, input, None)
        with _outputs(official, [theirs for _, theirs in pairs]) as their_kept:
            their_ends, _ = run(official, input, shared)
    rows = [_difference(mine, theirs, kept[mine], their_kept[theirs]) for mine, theirs in pairs]
    rows += [_difference(name, name, ends[name], their_ends[name]) for name in ends]
    return Comparison(rows)


def _codec_pairs(codec: MimiAudioCodec) -> list[tuple[str, str]]:
    """Modules that compute the same, in the order they run."""
    convolutions, layers = dict(n=range(3 * len(codec.config.ratios) + 3)), dict(l=range(codec.config.layers))
    return _names(
        [
            Row("encoder.{n}", "encoder.model.{n}", over=convolutions),
            Row("encoder_transformer.layers.{l}", "encoder_transformer.transformer.layers.{l}", over=layers),
            Row("downsample", "downsample"),
            Row("upsample", "upsample"),
            Row("decoder_transformer.layers.{l}", "decoder_transformer.transformer.layers.{l}", over=layers),
            Row("decoder.{n}", "decoder.model.{n}", over=convolutions),
        ]
    )


def _generator_pairs(generator: HierarchicalGenerator) -> list[tuple[str, str]]:
    config = generator.config
    layers = dict(l=range(config.helium.layers))
    rows = [
        Row("text_model.transformer.layers.{l}", "transformer.layers.{l}", over=layers),
        Row("text_model.out_norm", "out_norm"),
        Row("text_model.head", "text_linear"),
    ]
    if config.depth is not None:
        rows.append(
            Row("audio_model.transformer.layers.{l}", "depformer.layers.{l}", over=dict(l=range(config.depth.layers)))
        )
    return _names(rows)


def _names(rows: list[Row]) -> list[tuple[str, str]]:
    return [(mine, theirs) for row in rows for mine, (theirs,) in row.pairs()]


def _run_codec(codec: Any, wav: Tensor, codes: Tensor | None) -> tuple[dict[str, Tensor], Tensor]:
    found = codec.encode(wav)
    codes = found if codes is None else codes
    return {"codes": found, "sound": codec.decode(codes)}, codes


def _run_generator(model: Any, codes: Tensor, _: Tensor | None) -> tuple[dict[str, Tensor], None]:
    out = model(codes)
    logits, mask = (out.audio_logits, out.audio_mask) if hasattr(out, "audio_logits") else (out.logits, out.mask)
    ends = {"text_mask": out.text_mask, "text_logits": _where(out.text_mask, out.text_logits)}
    return ends | {"audio_mask": mask, "audio_logits": _where(mask, logits)}, None


def _where(mask: Tensor, logits: Tensor) -> Tensor:
    return torch.where(mask[..., None], logits, 0)


@contextmanager
def _outputs(model: nn.Module, names: list[str]) -> Iterator[dict[str, Tensor]]:
    """Collects what the named modules give while the context is open."""
    modules, kept = dict(model.named_modules()), {}
    missing = [name for name in names if name not in modules]
    if missing:
        raise ValueError(f"{type(model).__name__} has no layers {', '.join(missing)}: the two models differ in size")
    with ExitStack() as hooks:
        for name in names:
            handle = modules[name].register_forward_hook(lambda _, __, y, name=name: kept.__setitem__(name, y.clone()))
            hooks.callback(handle.remove)
        yield kept


@contextmanager
def _eager() -> Iterator[None]:
    """The official package compiles some functions on first use; not for one comparison."""
    try:
        from moshi.utils.compile import no_compile
    except ImportError:
        yield
        return
    with no_compile():
        yield


def _difference(layer: str, official: str, mine: Tensor, theirs: Tensor) -> Difference:
    if mine.shape != theirs.shape:
        raise ValueError(
            f"{layer} gives {list(mine.shape)} here and {list(theirs.shape)} in the official {official}; "
            "the two models differ in size"
        )
    if not mine.numel():
        return Difference(layer, official, tuple(mine.shape), 0.0)
    if mine.is_floating_point():
        largest = float((mine - theirs).abs().max())
    else:
        largest = float((mine != theirs).sum())
    return Difference(layer, official, tuple(mine.shape), largest)
