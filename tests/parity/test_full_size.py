"""The released sizes, on the meta device: every tensor name, every shape, every parameter."""

import copy
from typing import Any

import pytest
import torch
from moshi.models.loaders import get_mimi, get_moshi_lm
from torch import nn

from minimoshi import HierarchicalGenerator, MimiAudioCodec, MimiConfig, MoshiConfig, interop
from tests.parity.official import CONDITION

MOSHI = interop.MOSHI_7B
HIBIKI_2B = (
    MOSHI
    | CONDITION
    | {
        "dim": 2560,
        "num_heads": 20,
        "num_layers": 24,
        "max_period": 100000,
        "text_card": 48000,
        "n_q": 32,
        "dep_q": 16,
        "delays": [0] + ([0] + [2] * 15) * 2,
    }
)
HIBIKI_1B = HIBIKI_2B | {
    "dim": 2048,
    "num_heads": 16,
    "num_layers": 16,
    "n_q": 16,
    "dep_q": 8,
    "delays": [0] + ([0] + [2] * 7) * 2,
}
STT_1B = MOSHI | {
    "dim": 2048,
    "num_heads": 16,
    "num_layers": 16,
    "max_period": 100000,
    "context": 750,
    "text_card": 8000,
    "n_q": 32,
    "dep_q": 0,
    "delays": [0] * 33,
    "extra_heads_num_heads": 4,
    "extra_heads_dim": 6,
}
STT_2_6B = STT_1B | {"num_heads": 32, "num_layers": 48, "context": 375, "text_card": 4000, "extra_heads_num_heads": 0}
BOTH_SPEAKERS_7B = MOSHI | {"dep_q": 16}

# Options, parameters, tensors in a released file. A condition adds (31 + 1) · 16 + 16 · dim + dim.
MODELS = {
    "Moshi 7B": (MOSHI, 7_687_729_152, 355),
    "Hibiki 2B": (HIBIKI_2B, 3_729_761_280 + 32 * 16 + 17 * 2560, 446),
    "Hibiki 1B": (HIBIKI_1B, 1_799_872_512 + 32 * 16 + 17 * 2048, 262),
    "STT 1B": (STT_1B, 989_253_632, 135),
    "STT 2.6B": (STT_2_6B, 2_617_118_720, 323),
    "7B, both speakers": (BOTH_SPEAKERS_7B, 8_371_408_896, 475),
}


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def names_and_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name", MODELS)
def test_language_models(name: str) -> None:
    options, count, tensors = MODELS[name]
    config = interop.config_from_kyutai(options)
    official = official_on_meta(options)
    with torch.device("meta"):
        generator = HierarchicalGenerator(config)
    assert parameters(generator) == parameters(official) == count
    assert interop.kyutai_moshi_shapes(config, split=True) == names_and_shapes(official)
    files = interop.kyutai_moshi_shapes(config)
    assert len(files) == tensors and sum(map(size, files.values())) == count
    assert interop.config_from_kyutai(interop.config_to_kyutai(config)) == config


def official_on_meta(options: dict[str, Any]) -> nn.Module:
    return get_moshi_lm(None, copy.deepcopy(options), device="meta", dtype=torch.float32)


def size(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()


def test_the_full_preset_is_moshi_7b() -> None:
    full = MoshiConfig.preset("full")
    assert interop.config_from_kyutai(MOSHI) == full
    again = interop.config_to_kyutai(full)
    assert {key: again[key] for key in MOSHI} == MOSHI
    shapes = interop.kyutai_moshi_shapes(full)
    assert shapes["depformer.layers.5.self_attn.in_proj_weight"] == (8 * 3 * 1024, 1024)
    assert shapes["transformer.layers.31.gating.linear_in.weight"] == (2 * 11_264, 4096)
    assert shapes["out_norm.alpha"] == (1, 1, 4096)


def test_mimi() -> None:
    with torch.device("meta"):
        codec = MimiAudioCodec(MimiConfig.preset("full"))
    official = get_mimi(None)
    assert parameters(codec) == parameters(official) == 79_308_609
    assert interop.kyutai_mimi_shapes(codec.config, split=True) == names_and_shapes(official)
    files = interop.kyutai_mimi_shapes(codec.config)
    assert len(files) == 318
    assert files["encoder_transformer.transformer.layers.7.self_attn.in_proj_weight"] == (1536, 512)
