"""What a preset costs: parameters, memory, arithmetic per frame. Counted on the meta device: `full` needs no memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from .config import MoshiConfig, TransformerConfig
from .mimi import MimiAudioCodec
from .moshi import HierarchicalGenerator
from .nn import StreamingConv1d, StreamingConvTranspose1d


@dataclass(frozen=True)
class Costs:
    """Sizes of one preset; `str` makes a table of them."""

    preset: str
    parameters: dict[str, int]  # by component
    flops_per_frame: dict[str, float]  # multiply and add count as two
    cache_bytes: int  # keys and values at full context, single precision
    bits_per_second: float

    def __str__(self) -> str:
        lines = [
            f"{self.preset}: {self.bits_per_second:.0f} bit/s of speech tokens",
            f"  {'':<24}{'parameters':>15}{'fp32':>10}{'bf16':>10}{'MFLOP per frame':>18}",
        ]
        for name, count in {**self.parameters, "all": sum(self.parameters.values())}.items():
            work = self.flops_per_frame.get(name, sum(self.flops_per_frame.values()))
            lines.append(f"  {name:<24}{count:>15,}{_size(4 * count):>10}{_size(2 * count):>10}{work / 1e6:>18,.1f}")
        return "\n".join(lines) + f"\n  keys and values at full context: {_size(self.cache_bytes)} in fp32\n"


def costs(preset: str) -> Costs:
    """Count the preset "tiny", "small" or "full"."""
    config = MoshiConfig.preset(preset)
    with torch.device("meta"):
        codec, generator = MimiAudioCodec(config.mimi), HierarchicalGenerator(config)
    parts = {
        "Mimi encoder side": [codec.encoder, codec.encoder_transformer, codec.downsample],
        "Mimi quantiser": [codec.quantizer],
        "Mimi decoder side": [codec.upsample, codec.decoder_transformer, codec.decoder],
        "temporal transformer": [generator.text_model, generator.audio_embedding],
        "depth transformer": [generator.audio_model],
    }
    parameters = {name: sum(p.numel() for m in modules for p in m.parameters()) for name, modules in parts.items()}
    cache = _cache_values(config.helium.transformer) + 2 * _cache_values(config.mimi.transformer)
    return Costs(preset, parameters, _flops(config, codec, generator), 4 * cache, config.mimi.bits_per_second)


def _cache_values(c: TransformerConfig) -> int:
    return 2 * c.layers * c.context * c.dim


def _flops(config: MoshiConfig, codec: MimiAudioCodec, generator: HierarchicalGenerator) -> dict[str, float]:
    """Work per frame of 80 ms: each weight of a layer is used once per step of that layer's clock."""
    mimi, helium, depth = config.mimi, config.helium, config.depth
    steps = mimi.downsample  # bottleneck transformer steps per frame
    bottleneck = steps * _transformer_flops(mimi.transformer)
    lookup = mimi.n_quantizers * mimi.codebook_size * mimi.codebook_dim * 2
    return {
        "Mimi encoder side": _conv_flops(codec.encoder, mimi.frame_size)
        + bottleneck
        + 2 * codec.downsample.weight.numel(),
        "Mimi quantiser": lookup + 2 * sum(p.numel() for p in codec.quantizer.parameters()),
        "Mimi decoder side": _conv_flops(codec.decoder, steps) + bottleneck + 2 * codec.upsample.weight.numel(),
        "temporal transformer": _transformer_flops(helium.transformer) + 2 * generator.text_model.head.weight.numel(),
        "depth transformer": depth.dep_q
        * (_transformer_flops(depth.transformer) + 2 * depth.dim * (depth.input_dim + depth.card)),
    }


def _transformer_flops(c: TransformerConfig) -> float:
    """One step at full context: the weights of one set, and the products with keys and values."""
    weights = 4 * c.dim**2 + (3 if c.gated else 2) * c.dim * c.hidden
    return 2 * c.layers * (weights + 2 * c.context * c.dim)


def _conv_flops(chain: nn.Module, steps: int) -> float:
    total = 0.0
    for layer in chain.modules():
        if isinstance(layer, StreamingConv1d):
            steps //= layer.stride[0]
            total += 2 * steps * layer.weight.numel()
        elif isinstance(layer, StreamingConvTranspose1d):
            total += 2 * steps * layer.weight.numel()
            steps *= layer.stride
    return total


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
