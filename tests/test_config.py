"""Presets, checked construction, and the numbers of the paper."""

import dataclasses
import json
from typing import Any

import pytest
import torch

from minimoshi.config import (
    SAMPLE_RATE,
    Config,
    DepthConfig,
    HeliumConfig,
    MimiConfig,
    MoshiConfig,
    TransformerConfig,
)
from minimoshi.mimi import MimiAudioCodec
from minimoshi.moshi import FullDuplexDialogueModel, HierarchicalGenerator
from tests.helpers import numbers, refused

PRESETS = [
    (kind, name) for kind in (MimiConfig, HeliumConfig, DepthConfig, MoshiConfig) for name in ("tiny", "small", "full")
]
every_preset = pytest.mark.parametrize("kind, name", PRESETS, ids=lambda value: getattr(value, "__name__", value))


@every_preset
def test_presets_exist_and_survive_json(kind: type[Config], name: str) -> None:
    config = kind.preset(name)
    assert isinstance(config, kind)
    assert kind.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    "config",
    [
        MoshiConfig(depth=None, delays=(0,) * 17),
        MoshiConfig(depth=DepthConfig(schedule=(0, 1, 2, 3, 4, 5, 6, 6), low_rank=64), condition_bins=31),
        TransformerConfig(dim=8, layers=1, heads=1, hidden=8, context=4, max_period=None, schedule=(0, 1, 1, 1)),
    ],
)
def test_unusual_values_survive_json(config: Config) -> None:
    assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("name", ["tiny", "small", "full"])
def test_every_size_has_moshi_s_clock_and_streams(name: str) -> None:
    moshi = MoshiConfig.preset(name)
    mimi = moshi.mimi
    assert (mimi.frame_size, mimi.frame_rate, mimi.n_quantizers, SAMPLE_RATE) == (1920, 12.5, 8, 24_000)
    assert (moshi.n_q, moshi.dep_q, moshi.n_user, moshi.max_delay) == (16, 8, 8, 1)
    assert moshi.delays == (0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1)
    assert moshi.card == mimi.codebook_size == moshi.depth.card
    assert (
        mimi == MimiConfig.preset(name)
        and moshi.helium == HeliumConfig.preset(name)
        and moshi.depth == DepthConfig.preset(name)
    )


def test_full_is_the_model_of_the_paper() -> None:
    moshi = MoshiConfig.preset("full")
    temporal, depth, mimi = moshi.helium.transformer, moshi.depth.transformer, moshi.mimi
    assert (temporal.dim, temporal.layers, temporal.heads, temporal.hidden, temporal.context) == (
        4096,
        32,
        32,
        11_264,
        3000,
    )
    assert (depth.dim, depth.layers, depth.heads, depth.hidden, depth.context) == (1024, 6, 16, 2816, 8)
    assert depth.max_period is None and temporal.max_period == 10_000 and depth.weight_sets == 8
    assert (moshi.helium.text_card, moshi.card, temporal.norm, temporal.norm_eps) == (32_000, 2048, "rms", 1e-8)
    assert (mimi.codebook_size, mimi.codebook_dim, mimi.n_codebooks, mimi.dim) == (2048, 256, 32, 512)
    assert mimi.bits_per_second == 1100
    both = mimi.transformer
    assert (both.layers, both.heads, both.hidden, both.context) == (8, 8, 2048, 250)
    assert (both.norm, both.norm_eps, both.gated, both.layer_scale) == ("layer", 1e-5, False, 0.01)


def test_full_has_the_official_number_of_parameters() -> None:
    with torch.device("meta"):
        assert numbers(HierarchicalGenerator(MoshiConfig.preset("full"))) == 7_687_729_152
        codec = MimiAudioCodec(MimiConfig.preset("full"))
    assert numbers(codec) == 79_308_609
    parts = {name: numbers(part) for name, part in codec.named_children()}
    assert parts == {
        "encoder": 12_628_256,
        "encoder_transformer": 25_190_400,
        "downsample": 1_048_576,
        "quantizer": 524_288,
        "upsample": 2_048,
        "decoder_transformer": 25_190_400,
        "decoder": 14_724_641,
    }


def test_small_is_a_real_step_between() -> None:
    with torch.device("meta"):
        tiny, small = (FullDuplexDialogueModel(MoshiConfig.preset(name)) for name in ("tiny", "small"))
    assert 10e6 <= numbers(small.codec) <= 20e6
    assert numbers(tiny) < numbers(small) / 5 < 7_767_037_761 / 5


def test_an_unknown_preset_names_those_that_exist() -> None:
    with refused(None, "MimiConfig", "'huge'", "tiny, small, full"):
        MimiConfig.preset("huge")


def test_unknown_keys_are_named_with_a_suggestion() -> None:
    with refused(None, "HeliumConfig", "'layer' (did you mean 'layers'?)", "'zzz'", "text_card"):
        HeliumConfig.from_dict({"layer": 3, "zzz": 1, "dim": 8})
    with refused(None, "DepthConfig", "'dep_g' (did you mean 'dep_q'?)"):
        MoshiConfig.from_dict({"depth": {"dep_g": 3}})


def test_configs_do_not_change() -> None:
    config = MimiConfig.preset("tiny")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.dim = 3
    dim = config.dim
    assert config.replace(dim=2 * dim).dim == 2 * dim and config.dim == dim


@pytest.mark.parametrize(
    "kind, changes, words",
    [
        (TransformerConfig, dict(dim=10, heads=4), ["dim 10", "heads 4"]),
        (TransformerConfig, dict(dim=6, heads=2), ["even head width", "3"]),
        (TransformerConfig, dict(norm="batch"), ["'rms' or 'layer'", "'batch'"]),
        (TransformerConfig, dict(context=0), ["positive"]),
        (TransformerConfig, dict(layers=-1), ["positive"]),
        (TransformerConfig, dict(schedule=()), ["schedule", "()"]),
        (MimiConfig, dict(n_quantizers=33), ["1..32", "33"]),
        (MimiConfig, dict(n_quantizers=0), ["1..32", "0"]),
        (MimiConfig, dict(n_codebooks=1, n_quantizers=1), ["n_codebooks 1"]),
        (MimiConfig, dict(ratios=(4, 0)), ["positive"]),
        (MimiConfig, dict(heads=7), ["dim 512", "heads 7"]),
        (HeliumConfig, dict(text_card=3), ["PAD", "3"]),
        (HeliumConfig, dict(heads=5), ["dim 4096", "heads 5"]),
        (DepthConfig, dict(dep_q=0), ["dep_q", "0"]),
        (DepthConfig, dict(schedule=(0, 1)), ["8 entries", "(0, 1)"]),
        (DepthConfig, dict(schedule=(0, 1, 2, 3, 4, 5, 6, -1)), ["schedule", "-1"]),
        (MoshiConfig, dict(delays=(0, 1)), ["17", "got 2"]),
        (MoshiConfig, dict(delays=(0,) * 16 + (-1,)), ["negative"]),
        (MoshiConfig, dict(depth=DepthConfig(dep_q=20)), ["dep_q 20", "n_q 16"]),
        (MoshiConfig, dict(depth=DepthConfig(input_dim=8)), ["input_dim 8", "4096"]),
        (MoshiConfig, dict(depth=DepthConfig(card=8)), ["card 8", "2048"]),
        (MoshiConfig, dict(depth=DepthConfig(text_card=8)), ["text_card 8", "32000"]),
    ],
)
def test_contradictions_are_refused(kind: type[Config], changes: dict[str, Any], words: list[str]) -> None:
    base = dict(dim=8, layers=1, heads=2, hidden=8, context=4) if kind is TransformerConfig else {}
    with refused(None, "Config: ", *words):
        kind.from_dict(base | changes)
