"""Official Mimi checkpoints (`tokenizer-e351c8d8-checkpoint125.safetensors`) in and out."""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint import WEIGHTS, read_tensors
from ..config import MimiConfig, TransformerConfig
from ..mimi import MimiAudioCodec
from .table import (
    BLOCKS,
    CONV,
    MARK,
    SAME,
    SHARED,
    STACK,
    WIDE,
    How,
    Row,
    load_by_table,
    save_by_table,
    shapes_by_table,
)

MIMI_WEIGHTS = "tokenizer-e351c8d8-checkpoint125.safetensors"  # in the official repositories, beside the language model
PART = ("weight", "bias")

# Names that older files and some tools use for the same tensors; the official loader knows them too.
ALIASES = [
    (re.compile(pattern), name)
    for pattern, name in [
        (r"\b_codebook\.inited$", "_codebook._initialized"),
        (r"\b_codebook\.cluster_size$", "_codebook.cluster_usage"),
        (r"\b_codebook\.embed_(avg|sum)$", "_codebook.embedding_sum"),
        (r"\bself_attn\.in_proj\.weight$", "self_attn.in_proj_weight"),
    ]
]


def kyutai_mimi_rows(config: MimiConfig, split: bool = False) -> list[Row]:
    """The table of the official Mimi names. `split`: the names the official modules have in memory, not in files."""
    last = 3 * len(config.ratios) + 2  # a convolution, three layers per stride, an ELU, a convolution
    strided, blocks = range(3, last, 3), range(1, last - 1, 3)
    return [
        Row("encoder.{n}.{p}", "encoder.model.{n}.conv.conv.{p}", over=dict(n=[0, *strided, last], p=PART)),
        Row("encoder.{n}.{b}.{p}", "encoder.model.{n}.block.{b}.conv.conv.{p}", over=dict(n=blocks, b=(1, 3), p=PART)),
        *transformer_rows("encoder_transformer", "encoder_transformer.transformer", config.transformer, split),
        Row("downsample.weight", "downsample.conv.conv.conv.weight"),
        *_quantizer_rows("semantic", "rvq_first", 1),
        *_quantizer_rows("acoustic", "rvq_rest", config.n_codebooks - 1),
        Row("upsample.weight", "upsample.convtr.convtr.convtr.weight"),
        *transformer_rows("decoder_transformer", "decoder_transformer.transformer", config.transformer, split),
        Row("decoder.{n}.{p}", "decoder.model.{n}.conv.conv.{p}", over=dict(n=(0, last), p=PART)),
        Row("decoder.{n}.{p}", "decoder.model.{n}.convtr.convtr.{p}", over=dict(n=range(2, last, 3), p=PART)),
        Row("decoder.{n}.{b}.{p}", "decoder.model.{n}.block.{b}.conv.conv.{p}", over=dict(n=strided, b=(1, 3), p=PART)),
    ]


def _quantizer_rows(ours: str, theirs: str, levels: int) -> list[Row]:
    ours, theirs, level = f"quantizer.{ours}", f"quantizer.{theirs}", dict(q=range(levels))
    codebook = f"{theirs}.vq.layers.{{q}}._codebook"
    return [
        Row(f"{ours}.input_proj.weight", f"{theirs}.input_proj.weight", CONV),
        Row(f"{ours}.output_proj.weight", f"{theirs}.output_proj.weight", CONV),
        Row("", f"{codebook}._initialized", MARK, level),
        Row(f"{ours}.cluster_usage", f"{codebook}.cluster_usage", STACK, level),
        Row(f"{ours}.embedding_sum", f"{codebook}.embedding_sum", STACK, level),
    ]


def transformer_rows(
    ours: str, theirs: str, config: TransformerConfig, split: bool = False, per_step: bool = True
) -> list[Row]:
    """The official names of one transformer.

    A transformer with a schedule has its weights stacked by step here. Official files hold the sets of the attention as
    blocks below each other (fused) or one by one (split), those of the feed-forward always one by one; without
    `per_step` they hold one set that serves all steps.
    """
    layers, sets = dict(l=range(config.layers)), config.weight_sets
    ours, theirs = f"{ours}.layers.{{l}}", f"{theirs}.layers.{{l}}"
    if per_step and config.schedule is not None:
        attention, feed_forward, index = STACK if split else BLOCKS, STACK, ".{k}"
    else:
        attention = feed_forward = SAME if config.schedule is None else BLOCKS if sets == 1 else SHARED
        sets, index = 1, ""
    in_proj, out_proj = (
        ("in_projs.{k}.weight", "out_projs.{k}.weight") if split else ("in_proj_weight", "out_proj.weight")
    )
    linear_in, linear_out = (f"gating{index}.linear_in", f"gating{index}.linear_out")
    if not config.gated:
        linear_in, linear_out = "linear1", "linear2"

    def row(name: str, their: str, how: How) -> Row:
        return Row(
            f"{ours}.{name}.weight", f"{theirs}.{their}", how, layers | (dict(k=range(sets)) if "{k}" in their else {})
        )

    rows = [
        norm_row(f"{ours}.norm1", f"{theirs}.norm1", config.norm, layers),
        norm_row(f"{ours}.norm2", f"{theirs}.norm2", config.norm, layers),
        row("attention.in_proj", f"self_attn.{in_proj}", attention),
        row("attention.out_proj", f"self_attn.{out_proj}", attention),
        row("feed_forward.linear_in", f"{linear_in}.weight", feed_forward),
        row("feed_forward.linear_out", f"{linear_out}.weight", feed_forward),
    ]
    if config.layer_scale is not None:
        rows += [Row(f"{ours}.layer_scale{n}.scale", f"{theirs}.layer_scale_{n}.scale", over=layers) for n in (1, 2)]
    return rows


def norm_row(ours: str, theirs: str, kind: str, over: dict) -> Row:
    """RMSNorm has one tensor, `alpha` there; LayerNorm has two, named alike."""
    if kind == "rms":
        return Row(f"{ours}.weight", f"{theirs}.alpha", WIDE, over)
    return Row(f"{ours}.{{p}}", f"{theirs}.{{p}}", over=over | dict(p=PART))


def canonical(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors with older names replaced by today's."""
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, new in ALIASES:
            name = pattern.sub(new, name)
        if name in renamed:
            raise ValueError(f"the file holds {name} twice, under an older and a newer name; remove one")
        renamed[name] = tensor
    return renamed


def is_split(tensors: dict[str, Tensor]) -> bool:
    """Whether the attention's input projections have their in-memory names."""
    return any(".in_projs." in name for name in tensors)


def weights_file(path: str | os.PathLike, names: tuple[str, ...]) -> Path:
    """A file as it is; in a folder, the first of `names` that it holds."""
    path = Path(path).expanduser()
    if not path.is_dir():
        return path
    found = [path / name for name in names if (path / name).exists()]
    if not found:
        raise FileNotFoundError(f"{path} holds none of {', '.join(names)}; give the weights file itself")
    return found[0]


def load_kyutai_mimi(
    path: str | os.PathLike, n_quantizers: int = 8, config: MimiConfig | None = None
) -> MimiAudioCodec:
    """An official Mimi file as a codec that gives `n_quantizers` of its 32 codebooks, in float32.

    Takes fused and split projection names and the older codebook names. `config` is the `full` preset; another one is
    only needed for files that `save_kyutai_mimi` wrote from a codec of another size. ValueError names all tensors
    that are missing, unexpected or of the wrong shape at once; a pickle is refused.
    """
    path = weights_file(path, (MIMI_WEIGHTS, WEIGHTS))
    config = (config or MimiConfig.preset("full")).replace(n_quantizers=n_quantizers)
    tensors = canonical(read_tensors(path))
    return codec_from_rows(config, kyutai_mimi_rows(config, is_split(tensors)), tensors, str(path))


def codec_from_rows(config: MimiConfig, rows: list[Row], tensors: dict[str, Tensor], source: str) -> MimiAudioCodec:
    """A codec filled by a table."""
    with torch.device("meta"):
        codec = MimiAudioCodec(config)
    load_by_table(codec, rows, tensors, source, torch.float32, copy=True)  # small enough to be free of the file
    return codec.eval()


def save_kyutai_mimi(codec: MimiAudioCodec, path: str | os.PathLike, split: bool = False) -> None:
    """Write a codec under the official names; at full size `moshi` and `rustymimi` load the file as it is."""
    save_by_table(codec, kyutai_mimi_rows(codec.config, split), path)


def kyutai_mimi_shapes(config: MimiConfig, split: bool = False) -> dict[str, tuple[int, ...]]:
    """Every tensor of the official file for this configuration: name and shape, nothing allocated."""
    with torch.device("meta"):
        own = MimiAudioCodec(config).state_dict()
    return shapes_by_table(kyutai_mimi_rows(config, split), own)
