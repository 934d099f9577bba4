"""Our layers beside the official package's: a small official checkpoint with what its own code gives, and the names.

`data_samples/official/mini.safetensors` holds an official language model and an official codec of a few thousand random
weights, under the names of released files, one input for each, and a sample of every layer's output as the official
package computed it. So the comparison runs where that package is not installed. `make_official.py` beside it makes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from IPython.display import display
from torch import Tensor, nn

from .. import interop
from ..config import MimiConfig, MoshiConfig
from ..interop.kyutai_mimi import canonical, codec_from_rows
from ..interop.kyutai_moshi import generator_from_rows
from ..interop.table import Row, to_theirs
from ..mimi import MimiAudioCodec
from ..moshi import HierarchicalGenerator
from .sound import samples_folder

# All options of the 7B, small numbers.
OPTIONS: dict[str, Any] = interop.MOSHI_7B | {
    "dim": 32,
    "num_heads": 2,
    "num_layers": 2,
    "context": 20,
    "card": 32,
    "text_card": 40,
    "depformer_dim": 16,
    "depformer_num_heads": 2,
    "depformer_num_layers": 2,
    "depformer_dim_feedforward": 66,
}
MIMI = MimiConfig(
    dim=32,
    encoder_filters=4,
    decoder_filters=4,
    layers=2,
    heads=2,
    hidden=64,
    n_codebooks=8,
    codebook_size=32,
    codebook_dim=16,
)
KEPT = 64  # numbers kept of each layer's output, spread evenly

Pair = tuple[str, str]  # our module, theirs


@dataclass
class Stored:
    """The stored comparison. Weights and outputs are under the official names."""

    lm_weights: dict[str, Tensor]
    mimi_weights: dict[str, Tensor]
    codes: Tensor  # int64 [1, 17, T]: the language model's input
    wav: Tensor  # float [1, 1, S]: the codec's input
    outputs: dict[str, Tensor]  # layer -> at most KEPT numbers of its output

    def generator(self) -> HierarchicalGenerator:
        """Ours, from these weights."""
        config, weights = interop.config_from_kyutai(OPTIONS), dict(self.lm_weights)
        return generator_from_rows(config, interop.kyutai_moshi_rows(config, OPTIONS), weights, "mini", torch.float32)

    def codec(self) -> MimiAudioCodec:
        """Ours, from these weights."""
        return codec_from_rows(MIMI, interop.kyutai_mimi_rows(MIMI), canonical(dict(self.mimi_weights)), "mini")


def stored() -> Stored:
    """Read the file that travels with the course."""
    from safetensors.torch import load_file

    parts: dict[str, dict[str, Tensor]] = {"lm": {}, "mimi": {}, "out": {}, "in": {}}
    for name, tensor in load_file(samples_folder() / "official" / "mini.safetensors").items():
        kind, _, name = name.partition(":")
        parts[kind][name] = tensor
    given = parts["in"]
    return Stored(parts["lm"], parts["mimi"], given["codes"].long(), given["wav"], parts["out"])


def lm_layers(config: MoshiConfig) -> list[Pair]:
    """Modules of a language model that compute the same, in the order they run."""
    inside = [("norm1", "norm1"), ("attention", "self_attn"), ("norm2", "norm2"), ("feed_forward", "gating")]
    pairs = [("text_model.embedding", "text_emb")]
    for layer in range(config.helium.layers):
        ours, theirs = f"text_model.transformer.layers.{layer}", f"transformer.layers.{layer}"
        pairs += [(f"{ours}.{a}", f"{theirs}.{b}") for a, b in inside] + [(ours, theirs)]
    pairs += [("text_model.out_norm", "out_norm"), ("text_model.head", "text_linear")]
    for layer in range(config.depth.layers):  # their feed-forward is eight modules there, ours one of eight sets
        ours, theirs = f"audio_model.transformer.layers.{layer}", f"depformer.layers.{layer}"
        pairs += [(f"{ours}.{a}", f"{theirs}.{b}") for a, b in inside[:3]] + [(ours, theirs)]
    return pairs


def codec_layers(config: MimiConfig) -> list[Pair]:
    """Modules of a codec that compute the same, in the order they run. (ELUs, which have no weights, left out.)"""
    last = 3 * len(config.ratios) + 2
    bottleneck = [
        [(f"{side}_transformer.layers.{i}", f"{side}_transformer.transformer.layers.{i}") for i in range(config.layers)]
        for side in ("encoder", "decoder")
    ]
    encoder = [0, *(n for i in range(1, last - 1, 3) for n in (i, i + 2)), last]
    decoder = [0, *(n for i in range(2, last, 3) for n in (i, i + 1)), last]
    return [
        *((f"encoder.{n}", f"encoder.model.{n}") for n in encoder),
        *bottleneck[0],
        ("downsample", "downsample"),
        ("upsample", "upsample"),
        *bottleneck[1],
        *((f"decoder.{n}", f"decoder.model.{n}") for n in decoder),
    ]


def outputs(model: nn.Module, names: Iterable[str], run: Callable[[], Any]) -> dict[str, Tensor]:
    """What the named modules give while `run()` runs, copied. A module that never runs is missing in the answer."""
    modules, kept, handles = dict(model.named_modules()), {}, []
    for name in names:
        handles.append(
            modules[name].register_forward_hook(lambda _, __, y, name=name: kept.__setitem__(name, y.clone()))
        )
    try:
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return kept


def spread(values: Tensor) -> Tensor:
    """At most KEPT numbers of a tensor, evenly spread over it, float [N]."""
    flat = values.detach().flatten().float()
    return flat[torch.linspace(0, len(flat) - 1, min(KEPT, len(flat))).long()]


def differences(ours: dict[str, Tensor], theirs: dict[str, Tensor], pairs: Iterable[Pair]) -> dict[str, float]:
    """Largest difference of each layer, relative to its official output's largest number; NaN counts as infinite."""
    found = {}
    for mine, their in pairs:
        got, want = spread(ours[mine]), spread(theirs[their])
        if len(got) != len(want):
            raise ValueError(f"{mine} gives {ours[mine].numel()} numbers, the official {their} not as many")
        gap = ((got - want).abs().max() / want.abs().max()).item()
        found[mine] = gap if gap == gap else float("inf")
    return found


# ------------------------------------------------------------------------------------------- the Rosetta table


class Name(NamedTuple):
    """One tensor under all its names, at full size."""

    paper: str  # the paper's symbol or word
    ours: str
    module: str  # the official package, in memory
    key: str  # the official file
    shape: tuple[int, ...]  # in that file


# What the paper calls it -> our tensor. Layer 0 stands for all layers.
LM_SYMBOLS = {
    "text table of the temporal transformer": "text_model.embedding.weight",
    "table of each audio stream": "audio_embedding.weight",
    "temporal attention: Q, K, V": "text_model.transformer.layers.0.attention.in_proj.weight",
    "temporal attention: output": "text_model.transformer.layers.0.attention.out_proj.weight",
    "temporal gate (SiLU) and value": "text_model.transformer.layers.0.feed_forward.linear_in.weight",
    "temporal feed-forward: output": "text_model.transformer.layers.0.feed_forward.linear_out.weight",
    "RMSNorm before the attention": "text_model.transformer.layers.0.norm1.weight",
    "last RMSNorm, gives $z_s$": "text_model.out_norm.weight",
    "text logits $l_{s,1}$": "text_model.head.weight",
    "$z_s$ into depth step $k$": "audio_model.input_proj.weight",
    "text token into depth step 0": "audio_model.text_embedding.weight",
    "code $k-1$ into depth step $k$": "audio_model.audio_embedding.weight",
    "depth attention: Q, K, V, a set per step": "audio_model.transformer.layers.0.attention.in_proj.weight",
    "depth gate and value, a set per step": "audio_model.transformer.layers.0.feed_forward.linear_in.weight",
    "audio logits $l_{s,k}$": "audio_model.heads.weight",
}
MIMI_SYMBOLS = {
    "first convolution of SEANet": "encoder.0.weight",
    "bottleneck attention: Q, K, V": "encoder_transformer.layers.0.attention.in_proj.weight",
    "25 Hz to 12.5 Hz": "downsample.weight",
    "semantic codebook (VQ)": "quantizer.semantic.embedding_sum",
    "acoustic codebooks (RVQ)": "quantizer.acoustic.embedding_sum",
    "last transposed convolution": "decoder.11.weight",
}


def rosetta() -> list[Name]:
    """The table, made from the very rows by which checkpoints are read; shapes are those of the full preset."""
    moshi, mimi = MoshiConfig.preset("full"), MimiConfig.preset("full")
    with torch.device("meta"):
        generator, codec = HierarchicalGenerator(moshi).state_dict(), MimiAudioCodec(mimi).state_dict()
    return [
        *_names(LM_SYMBOLS, generator, lambda split: interop.kyutai_moshi_rows(moshi, split=split)),
        *_names(MIMI_SYMBOLS, codec, lambda split: interop.kyutai_mimi_rows(mimi, split)),
    ]


def _names(symbols: dict[str, str], own: dict[str, Tensor], rows: Callable[[bool], list[Row]]) -> list[Name]:
    module, key = (dict(pair for row in rows(split) for pair in row.pairs() if pair[0]) for split in (True, False))
    shapes = {name: tuple(tensor.shape) for name, tensor in to_theirs(rows(False), own).items()}
    return [
        Name(symbol, ours, _range(module[ours]), _range(key[ours]), shapes[key[ours][0]])
        for symbol, ours in symbols.items()
    ]


def _range(names: list[str]) -> str:
    """`emb.0.weight` … `emb.15.weight` -> `emb.{0..15}.weight`."""
    first, last = (names[i].split(".") for i in (0, -1))
    return ".".join(a if a == b else f"{{{a}..{b}}}" for a, b in zip(first, last, strict=True))


def show_rosetta(names: Iterable[Name]) -> None:
    """Put the table on the page."""
    names = list(names)
    text = "\n".join(f"{n.paper} | {n.ours} | {n.key} | {' × '.join(map(str, n.shape))}" for n in names)
    display({"text/html": rosetta_html(names), "text/plain": text}, raw=True)


def _breakable(name: str) -> str:
    """A long name as code that a narrow column may part at its dots and underscores."""
    parted = re.sub(r"(?<!\.)([._])(?!\.)", r"\1<wbr>", name)
    return f"<code style='white-space:normal'>{parted}</code>"


def rosetta_html(names: Iterable[Name]) -> str:
    """The table as a page shows it; symbols between $ are set by the front end."""
    rows = "".join(
        f"<tr><td style='text-align:left'>{n.paper}</td>"
        + "".join(f"<td style='text-align:left'>{_breakable(cell)}</td>" for cell in (n.ours, n.module, n.key))
        + f"<td style='text-align:left'>{' × '.join(map(str, n.shape))}</td></tr>"
        for n in names
    )
    head = "".join(
        f"<th style='text-align:left'>{title}</th>"
        for title in ("in the paper", "minimoshi", "official package, in memory", "official file", "shape in the file")
    )
    return f"<table style='font-size:0.85em'><tr>{head}</tr>{rows}</table>"
