"""Official language model checkpoints (Moshi, Hibiki, speech-to-text) in and out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoint import CONFIG, WEIGHTS, read_json, read_tensors, widened
from ..config import MoshiConfig
from ..moshi import HierarchicalGenerator
from .kyutai_config import DEFAULTS, MOSHI_7B, condition_name, config_from_kyutai, config_to_kyutai
from .kyutai_mimi import PART, canonical, is_split, norm_row, transformer_rows, weights_file
from .table import BLOCKS, SHARED, STACK, WIDE, Row, load_by_table, save_by_table, shapes_by_table


def kyutai_moshi_rows(config: MoshiConfig, options: dict[str, Any] | None = None, split: bool = False) -> list[Row]:
    """The table of the official names of a language model.

    `options` is the official configuration of the file, where that may differ from `config_to_kyutai(config)`.
    `split`: the names that the official modules have in memory, not in files.
    """
    options = DEFAULTS | (options if options is not None else config_to_kyutai(config))
    helium = config.helium
    rows = [
        Row("text_model.embedding.weight", "text_emb.weight", BLOCKS),
        Row("audio_embedding.weight", "emb.{k}.weight", STACK, dict(k=range(config.n_q))),
        *transformer_rows("text_model.transformer", "transformer", helium.transformer, split),
        norm_row("text_model.out_norm", "out_norm", helium.norm, {}),
        Row("text_model.head.weight", "text_linear.weight"),
    ]
    if config.depth is not None:
        rows += _depth_rows(config, options, split)
    if config.extra_heads:
        rows.append(Row("extra_heads.{k}.weight", "extra_heads.{k}.weight", over=dict(k=range(config.extra_heads))))
    if config.condition_bins:
        theirs = f"condition_provider.conditioners.{condition_name(options)}"
        rows += [
            Row("condition.embedding", f"{theirs}.embed.weight"),
            Row("condition.output_proj.weight", f"{theirs}.output_proj.weight"),
            Row("condition.padding", f"{theirs}.learnt_padding", WIDE),
        ]
    return rows


def _depth_rows(config: MoshiConfig, options: dict[str, Any], split: bool) -> list[Row]:
    depth, sets = config.depth, config.depth.transformer.weight_sets
    codebooks, inputs = dict(k=range(depth.dep_q)), dict(k=range(depth.dep_q - 1))
    several = options["depformer_multi_linear"] or sets == 1
    rows = [
        Row(
            "audio_model.input_proj.weight",
            "depformer_in.{k}.weight",
            STACK if several else SHARED,
            dict(k=range(sets if several else 1)),
        ),
        Row("audio_model.text_embedding.weight", "depformer_text_emb.weight", BLOCKS),
        Row("audio_model.audio_embedding.weight", "depformer_emb.{k}.weight", STACK, inputs),
        *transformer_rows(
            "audio_model.transformer", "depformer", depth.transformer, split, options["depformer_weights_per_step"]
        ),
        Row("audio_model.heads.weight", "linears.{k}.weight", STACK, codebooks),
    ]
    if depth.low_rank is not None:
        rows += [
            Row("audio_model.text_embedding.widen", "depformer_text_emb.low_rank.weight", BLOCKS),
            Row("audio_model.audio_embedding.widen", "depformer_emb.{k}.low_rank.weight", STACK, inputs),
        ]
    if depth.output_norm:
        rows.append(Row("audio_model.out_norms.{k}.{p}", "depformer_norms.{k}.{p}", over=codebooks | dict(p=PART)))
    return rows


def load_kyutai_moshi(
    path: str | os.PathLike, config: dict[str, Any] | str | os.PathLike | None = None, dtype: torch.dtype | None = None
) -> HierarchicalGenerator:
    """An official language model file as a generator.

    `path`: the safetensors file, or a folder with it and its config.json. `config`: the official configuration, a dict
    or a JSON file; Moshi 7B when neither is there. `dtype`: None keeps what the file holds, bfloat16 for the released
    ones; 8-bit integers become what the embeddings are. Tensors that need no rearranging are used in place, so a 7B
    model in bfloat16 needs little more memory than its file has bytes; leave that file alone while the model lives.
    ValueError names all tensors that are missing, unexpected or of the wrong shape at once, and options that minimoshi
    does not have; a pickle is refused.
    """
    folder = Path(path).expanduser()
    if config is None and (folder / CONFIG).exists():
        config = folder / CONFIG
    options = MOSHI_7B if config is None else config if isinstance(config, dict) else _read_options(config)
    ours = config_from_kyutai(options)
    path = weights_file(path, (options.get("moshi_name", WEIGHTS), WEIGHTS))
    tensors = read_tensors(path)
    usual = _main_dtype(tensors, "text_emb.weight")
    tensors = canonical(widened(tensors, str(path), usual))
    rows = kyutai_moshi_rows(ours, options, is_split(tensors))
    return generator_from_rows(ours, rows, tensors, str(path), dtype or usual)


def _read_options(path: str | os.PathLike) -> dict[str, Any]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no configuration file {path}")
    return read_json(path)


def _main_dtype(tensors: dict[str, Tensor], name: str) -> torch.dtype:
    return tensors[name].dtype if name in tensors else torch.float32


def generator_from_rows(
    config: MoshiConfig, rows: list[Row], tensors: dict[str, Tensor], source: str, dtype: torch.dtype
) -> HierarchicalGenerator:
    """A generator filled by a table, without ever holding random weights of its own."""
    with torch.device("meta"):
        generator = HierarchicalGenerator(config)
    load_by_table(generator, rows, tensors, source, dtype)
    # not part of a checkpoint, so still on the meta device
    generator.initial_tokens = torch.tensor([generator.text_model.initial_id] + [config.card] * config.n_q)
    return generator.eval()


def save_kyutai_moshi(
    generator: HierarchicalGenerator,
    path: str | os.PathLike,
    split: bool = False,
    config_path: str | os.PathLike | None = None,
) -> None:
    """Write a generator under the official names, as the released files have them (`split`: as the modules have them).

    `config_path`: also write the official configuration there, as JSON. ValueError where the official model cannot
    express this generator.
    """
    options = config_to_kyutai(generator.config)
    save_by_table(generator, kyutai_moshi_rows(generator.config, options, split), path)
    if config_path is not None:
        Path(config_path).write_text(json.dumps(options, indent=2) + "\n", encoding="utf-8")


def kyutai_moshi_shapes(config: MoshiConfig, split: bool = False) -> dict[str, tuple[int, ...]]:
    """Every tensor of the official file for this configuration: name and shape, nothing allocated."""
    with torch.device("meta"):
        own = HierarchicalGenerator(config).state_dict()
    return shapes_by_table(kyutai_moshi_rows(config, split=split), own)
