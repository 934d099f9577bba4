"""Hugging Face layouts in and out: `MimiModel` and `MoshiForConditionalGeneration` of the transformers package.

A folder holds config.json and model.safetensors (or several files and their index). Transformers turns rotary pairs
(i, i + D/2) where the official models turn (2i, 2i + 1), so the rows of every query and key projection are reordered.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoint import CONFIG, WEIGHTS, read_json, read_tensors, write_tensors
from ..config import MimiConfig, MoshiConfig, TransformerConfig
from ..mimi import MimiAudioCodec
from ..moshi import HierarchicalGenerator
from .huggingface_config import config_from_hf_mimi, config_from_hf_moshi, config_to_hf_mimi, config_to_hf_moshi
from .kyutai_mimi import PART, codec_from_rows
from .kyutai_moshi import generator_from_rows
from .table import BLOCKS, CONV, MARK, SAME, STACK, How, Row, shapes_by_table, to_theirs

INDEX = WEIGHTS + ".index.json"
CODEC = "audio_encoder."  # where a Moshi checkpoint keeps its codec

# The published files are flat; since version 5 transformers nests the same modules in memory.
NESTED = [
    (re.compile("^" + pattern), flat)
    for pattern, flat in [
        (r"encoder\.encoder(_seanet)?\.layers", "encoder.layers"),
        (r"decoder\.decoder(_seanet)?\.layers", "decoder.layers"),
        (r"encoder\.encoder_transformer", "encoder_transformer"),
        (r"decoder\.decoder_transformer", "decoder_transformer"),
        (r"encoder\.downsample", "downsample"),
        (r"decoder\.upsample", "upsample"),
    ]
]


def _qkv(heads: int | None = None) -> How:
    """Fused q, k, v as three; with `heads`, rotary pairs of q and k go from side by side to half a head apart."""

    def move(w: Tensor, pair: tuple[int, int]) -> Tensor:
        return w if heads is None else w.unflatten(-2, (heads, *pair)).transpose(-3, -2).flatten(-4, -2)

    def cut(t: Tensor) -> list[Tensor]:
        q, k, v = t.chunk(3, dim=-2)
        return [move(q, (-1, 2)), move(k, (-1, 2)), v]

    def join(parts: Any, shape: torch.Size) -> Tensor:
        q, k, v = parts
        return torch.cat([move(q, (2, -1)), move(k, (2, -1)), v], dim=-2)

    return How("cut into q, k, v" + ("" if heads is None else ", rotary pairs reordered in q and k"), cut, join)


def _transformer_rows(ours: str, theirs: str, config: TransformerConfig, linear: str = "") -> list[Row]:
    layers = dict(l=range(config.layers))
    ours, theirs = f"{ours}.layers.{{l}}", f"{theirs}.layers.{{l}}"
    part = PART if config.norm == "layer" else PART[:1]
    qkv = _qkv(config.heads if config.max_period else None)
    rows = [
        Row(f"{ours}.norm1.{{p}}", f"{theirs}.input_layernorm.{{p}}", over=layers | dict(p=part)),
        Row(f"{ours}.norm2.{{p}}", f"{theirs}.post_attention_layernorm.{{p}}", over=layers | dict(p=part)),
        Row(
            f"{ours}.attention.in_proj.weight",
            f"{theirs}.self_attn.{{x}}_proj{linear}.weight",
            qkv,
            layers | dict(x="qkv"),
        ),
        Row(f"{ours}.attention.out_proj.weight", f"{theirs}.self_attn.o_proj{linear}.weight", SAME, layers),
        Row(f"{ours}.feed_forward.linear_in.weight", f"{theirs}.mlp.fc1.weight", SAME, layers),
        Row(f"{ours}.feed_forward.linear_out.weight", f"{theirs}.mlp.fc2.weight", SAME, layers),
    ]
    if config.layer_scale is not None:
        rows += [
            Row(f"{ours}.layer_scale1.scale", f"{theirs}.self_attn_layer_scale.scale", SAME, layers),
            Row(f"{ours}.layer_scale2.scale", f"{theirs}.mlp_layer_scale.scale", SAME, layers),
        ]
    return rows


def hf_mimi_rows(config: MimiConfig) -> list[Row]:
    """The table of the published `MimiModel` names."""
    last = 3 * len(config.ratios) + 2
    strided, blocks = range(3, last, 3), range(1, last - 1, 3)
    return [
        Row("encoder.{n}.{p}", "encoder.layers.{n}.conv.{p}", over=dict(n=[0, *strided, last], p=PART)),
        Row("encoder.{n}.{b}.{p}", "encoder.layers.{n}.block.{b}.conv.{p}", over=dict(n=blocks, b=(1, 3), p=PART)),
        *_transformer_rows("encoder_transformer", "encoder_transformer", config.transformer),
        Row("downsample.weight", "downsample.conv.weight"),
        *_quantizer_rows("semantic", 1),
        *_quantizer_rows("acoustic", config.n_codebooks - 1),
        Row("upsample.weight", "upsample.conv.weight"),
        *_transformer_rows("decoder_transformer", "decoder_transformer", config.transformer),
        Row("decoder.{n}.{p}", "decoder.layers.{n}.conv.{p}", over=dict(n=[0, *range(2, last, 3), last], p=PART)),
        Row("decoder.{n}.{b}.{p}", "decoder.layers.{n}.block.{b}.conv.{p}", over=dict(n=strided, b=(1, 3), p=PART)),
    ]


def _quantizer_rows(name: str, levels: int) -> list[Row]:
    ours, theirs, level = f"quantizer.{name}", f"quantizer.{name}_residual_vector_quantizer", dict(q=range(levels))
    return [
        Row(f"{ours}.input_proj.weight", f"{theirs}.input_proj.weight", CONV),
        Row(f"{ours}.output_proj.weight", f"{theirs}.output_proj.weight", CONV),
        Row("", f"{theirs}.layers.{{q}}.codebook.initialized", MARK, level),
        Row(f"{ours}.cluster_usage", f"{theirs}.layers.{{q}}.codebook.cluster_usage", STACK, level),
        Row(f"{ours}.embedding_sum", f"{theirs}.layers.{{q}}.codebook.embed_sum", STACK, level),
    ]


def hf_moshi_rows(config: MoshiConfig) -> list[Row]:
    """The table of the `MoshiForConditionalGeneration` names, without those of its codec."""
    helium, depth = config.helium, config.depth
    return [
        Row("text_model.embedding.weight", "decoder.model.embed_tokens.weight", BLOCKS),
        Row("audio_embedding.weight", "embed_tokens.{k}.weight", STACK, dict(k=range(config.n_q))),
        *_transformer_rows("text_model.transformer", "decoder.model", helium.transformer, ".linear"),
        Row("text_model.out_norm.weight", "decoder.model.norm.weight"),
        Row("text_model.head.weight", "decoder.lm_head.weight"),
        Row("audio_model.input_proj.weight", "depth_decoder.input_projections.weight"),
        Row("audio_model.text_embedding.weight", "depth_decoder.text_embed_tokens.weight", BLOCKS),
        Row(
            "audio_model.audio_embedding.weight",
            "depth_decoder.embed_tokens.{k}.weight",
            STACK,
            dict(k=range(depth.dep_q - 1)),
        ),
        *_transformer_rows("audio_model.transformer", "depth_decoder", depth.transformer, ".linear"),
        Row("audio_model.heads.weight", "depth_decoder.lm_heads.weight"),
    ]


def load_hf_mimi(path: str | os.PathLike, n_quantizers: int = 8) -> MimiAudioCodec:
    """A `MimiModel` checkpoint, or the codec inside a Moshi checkpoint, as a codec in float32.

    `path`: a folder with config.json, or a safetensors file, which is taken to be of full size. Published (flat) and
    in-memory (nested) names are both read. Errors as in `load_kyutai_mimi`.
    """
    options, tensors = _read(path)
    options = options.get("audio_encoder_config", options)
    inside = {name.removeprefix(CODEC): t for name, t in tensors.items() if name.startswith(CODEC)}
    config = config_from_hf_mimi(options).replace(n_quantizers=n_quantizers)
    return codec_from_rows(config, hf_mimi_rows(config), _flat(inside or tensors), str(path))


def load_hf_moshi(path: str | os.PathLike, dtype: torch.dtype | None = None) -> HierarchicalGenerator:
    """The language model inside a `MoshiForConditionalGeneration` checkpoint; `load_hf_mimi` reads its codec.

    `path`: a folder with config.json, or a safetensors file, which is taken to be of full size. `dtype`: None keeps
    what the file holds. Errors as in `load_kyutai_moshi`.
    """
    options, tensors = _read(path)
    config = config_from_hf_moshi(options)
    tensors = {name: t for name, t in tensors.items() if not name.startswith(CODEC)}
    text = tensors.get("decoder.model.embed_tokens.weight")
    dtype = dtype or (torch.float32 if text is None else text.dtype)
    return generator_from_rows(config, hf_moshi_rows(config), tensors, str(path), dtype)


def save_hf_mimi(codec: MimiAudioCodec, folder: str | os.PathLike) -> None:
    """Write a folder that `transformers.MimiModel.from_pretrained` reads."""
    _write(folder, config_to_hf_mimi(codec.config), to_theirs(hf_mimi_rows(codec.config), codec.state_dict()))


def save_hf_moshi(generator: HierarchicalGenerator, codec: MimiAudioCodec, folder: str | os.PathLike) -> None:
    """Write a folder that `transformers.MoshiForConditionalGeneration.from_pretrained` reads, codec included."""
    options = config_to_hf_moshi(generator.config.replace(mimi=codec.config))
    tensors = to_theirs(hf_moshi_rows(generator.config), generator.state_dict())
    inside = to_theirs(hf_mimi_rows(codec.config), codec.state_dict())
    _write(folder, options, tensors | {CODEC + name: t for name, t in inside.items()})


def hf_moshi_shapes(config: MoshiConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of the Hugging Face file for this configuration, codec included: name and shape."""
    with torch.device("meta"):
        own, codec = HierarchicalGenerator(config).state_dict(), MimiAudioCodec(config.mimi).state_dict()
    inside = shapes_by_table(hf_mimi_rows(config.mimi), codec)
    return shapes_by_table(hf_moshi_rows(config), own) | {CODEC + name: shape for name, shape in inside.items()}


def _flat(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    flat = {}
    for name, tensor in tensors.items():
        for pattern, short in NESTED:
            name = pattern.sub(short, name)
        flat[name] = tensor
    return flat


def _read(path: str | os.PathLike) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration (empty for a lone file) and tensors."""
    path = Path(path).expanduser()
    if not path.is_dir():
        return {}, read_tensors(path)
    if not (path / CONFIG).exists():
        raise FileNotFoundError(f"{path} holds no {CONFIG}; expected a folder of the transformers package")
    names = [WEIGHTS]
    if (path / INDEX).exists():
        names = sorted(set(read_json(path / INDEX)["weight_map"].values()))
    tensors: dict[str, Tensor] = {}
    for name in names:
        tensors |= read_tensors(path / name)
    return read_json(path / CONFIG), tensors


def _write(folder: str | os.PathLike, options: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / WEIGHTS, tensors, {"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(options, indent=2) + "\n", encoding="utf-8")
