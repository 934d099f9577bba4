"""Checkpoints and configurations that do not fit are refused in words that help."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from minimoshi import HierarchicalGenerator, MimiAudioCodec, interop
from tests.helpers import MIMI, MOSHI, refused

OPTIONS = interop.config_to_kyutai(MOSHI)


@pytest.fixture
def mimi_tensors(tmp_path: Path) -> dict[str, torch.Tensor]:
    interop.save_kyutai_mimi(MimiAudioCodec(MIMI), tmp_path / "good.safetensors")
    return load_file(tmp_path / "good.safetensors")


@pytest.fixture
def moshi_tensors(tmp_path: Path) -> dict[str, torch.Tensor]:
    interop.save_kyutai_moshi(HierarchicalGenerator(MOSHI), tmp_path / "good.safetensors")
    return load_file(tmp_path / "good.safetensors")


def test_mimi_names_every_problem_at_once(mimi_tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    del mimi_tensors["encoder.model.0.conv.conv.weight"], mimi_tensors["downsample.conv.conv.conv.weight"]
    mimi_tensors["quantizer.rvq_rest.vq.layers.9._codebook.embedding_sum"] = torch.zeros(2)
    mimi_tensors["decoder.model.0.conv.conv.bias"] = torch.zeros(3)
    mimi_tensors["upsample.convtr.convtr.convtr.weight"][0] = float("nan")
    save_file(mimi_tensors, path)
    with refused(
        None,
        "bad.safetensors",
        "5 problems",
        "missing encoder.model.0.conv.conv.weight [4, 1, 7]",
        "missing downsample.conv.conv.conv.weight",
        "decoder.model.0.conv.conv.bias: expected shape [16], got [3]",
        "unexpected quantizer.rvq_rest.vq.layers.9._codebook.embedding_sum [2]",
        "NaN",
    ):
        interop.load_kyutai_mimi(path, 4, MIMI)


def test_moshi_names_every_problem_at_once(moshi_tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    del moshi_tensors["emb.5.weight"]
    moshi_tensors["depformer.layers.0.self_attn.in_proj_weight"] = torch.zeros(36, 12)
    moshi_tensors["transformer.layers.2.norm1.alpha"] = torch.ones(1, 1, 16)
    save_file(moshi_tensors, path)
    with refused(
        None,
        "3 problems",
        "missing emb.5.weight [33, 16]",
        "unexpected transformer.layers.2.norm1.alpha",
        "depformer.layers.0.self_attn.in_proj_weight: expected shape [108, 12], got [36, 12]",
    ):
        interop.load_kyutai_moshi(path, OPTIONS)


def test_hugging_face_names_every_problem_at_once(tmp_path: Path) -> None:
    interop.save_hf_mimi(MimiAudioCodec(MIMI.replace(ratios=(4, 5, 6, 8))), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["encoder_transformer.layers.0.self_attn.k_proj.weight"]
    tensors["decoder.layers.0.conv.bias"] = torch.zeros(1)
    save_file(tensors, tmp_path / "model.safetensors")
    with refused(
        None,
        "2 problems",
        "missing encoder_transformer.layers.0.self_attn.k_proj.weight [16, 16]",
        "decoder.layers.0.conv.bias: expected shape",
    ):
        interop.load_hf_mimi(tmp_path, 4)


@pytest.mark.parametrize(
    "load", [interop.load_kyutai_mimi, interop.load_kyutai_moshi, interop.load_hf_mimi, interop.load_hf_moshi]
)
def test_pickled_truncated_and_missing_files(load: Any, mimi_tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(mimi_tensors, tmp_path / "pickle.pt")
    with refused(None, "pickle.pt", "pickle", "safetensors"):
        load(tmp_path / "pickle.pt")
    (tmp_path / "renamed.safetensors").write_bytes((tmp_path / "pickle.pt").read_bytes())
    with refused(None, "renamed.safetensors", "pickle"):
        load(tmp_path / "renamed.safetensors")
    (tmp_path / "short.safetensors").write_bytes((tmp_path / "good.safetensors").read_bytes()[:-100])
    with refused(None, "short.safetensors", "truncated"):
        load(tmp_path / "short.safetensors")
    with refused(None, "nowhere.safetensors", error=FileNotFoundError):
        load(tmp_path / "nowhere.safetensors")
    (tmp_path / "empty").mkdir()
    with refused(None, "empty", error=FileNotFoundError):
        load(tmp_path / "empty")


def test_the_same_tensor_under_two_names(mimi_tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    mimi_tensors["quantizer.rvq_first.vq.layers.0._codebook.inited"] = torch.ones(1)
    save_file(mimi_tensors, tmp_path / "twice.safetensors")
    with refused(None, "twice", "_codebook._initialized"):
        interop.load_kyutai_mimi(tmp_path / "twice.safetensors", 4, MIMI)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    generator = HierarchicalGenerator(MOSHI.replace(depth=MOSHI.depth.replace(gated=False)))
    path = tmp_path / "a.safetensors"
    path.write_text("precious")
    with refused(None, "ungated", "gated=True"):
        interop.save_kyutai_moshi(generator, path)
    assert path.read_text() == "precious"
    with refused(None, "nowhere", error=FileNotFoundError):
        interop.save_kyutai_moshi(HierarchicalGenerator(MOSHI), tmp_path / "nowhere" / "a.safetensors")


def test_configuration_files(moshi_tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    with refused(None, "no.json", error=FileNotFoundError):
        interop.load_kyutai_moshi(tmp_path / "good.safetensors", tmp_path / "no.json")
    (tmp_path / "broken.json").write_text("{")
    with refused(None, "broken.json", "JSON"):
        interop.load_kyutai_moshi(tmp_path / "good.safetensors", tmp_path / "broken.json")
    (tmp_path / "list.json").write_text("[1]")
    with refused(None, "dict", "list"):
        interop.load_kyutai_moshi(tmp_path / "good.safetensors", tmp_path / "list.json")
    (tmp_path / "config.json").write_text(json.dumps(OPTIONS))
    with refused(None, "missing emb.15.weight [2049, 4096]"):  # no configuration: Moshi 7B
        interop.load_kyutai_moshi(tmp_path / "good.safetensors")
    generator = interop.load_kyutai_moshi(tmp_path / "good.safetensors", str(tmp_path / "config.json"))
    assert generator.config.helium == MOSHI.helium


def test_a_folder_as_in_the_official_repositories(moshi_tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    options = OPTIONS | {"moshi_name": "good.safetensors", "model_type": "moshi"}
    (tmp_path / "config.json").write_text(json.dumps(options))
    assert interop.load_kyutai_moshi(tmp_path).config.n_q == MOSHI.n_q


LUT = {"type": "lut", "lut": {"n_bins": 4, "dim": 8, "tokenizer": "noop"}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"depformer_dimm": 3}, ["depformer_dimm", "did you mean 'depformer_dim'"]),
        ({"positional_embedding": "sin"}, ["positional_embedding='sin'", "'rope'"]),
        ({"positional_embedding": "rope_concat"}, ["positional_embedding='rope_concat'"]),
        ({"depformer_pos_emb": "sin"}, ["depformer_pos_emb='sin'"]),
        ({"gating": "gelu"}, ["gating='gelu'"]),
        ({"depformer_gating": "relu"}, ["depformer_gating='relu'"]),
        ({"norm": "batch_norm"}, ["norm='batch_norm'", "rms_norm_f32"]),
        ({"depformer_norm": "rms_norm"}, ["depformer_norm='rms_norm'"]),
        ({"layer_scale": 0.1, "kv_repeat": 2}, ["layer_scale=0.1", "kv_repeat=2"]),
        ({"demux_second_stream": True}, ["demux_second_stream=True"]),
        ({"cross_attention": True}, ["cross_attention=True"]),
        ({"lora": True}, ["lora=True"]),
        ({"context": None}, ["context"]),
        ({"depformer_dim_feedforward": [40, 44, 48]}, ["depformer_dim_feedforward"]),
        ({"conditioners": {"a": LUT, "b": LUT}, "fuser": {"sum": ["a", "b"]}}, ["conditioners"]),
        ({"conditioners": {"a": LUT}, "fuser": {"cross": ["a"]}}, ["fuser", "sum"]),
        ({"conditioners": {"a": {"type": "tensor", "tensor": {}}}, "fuser": {"sum": ["a"]}}, ["conditioners", "lut"]),
        ({"delays": [0, 1]}, ["delays", "7"]),
    ],
)
def test_options_that_are_unknown_or_not_there(change: dict[str, Any], words: list[str]) -> None:
    assert interop.config_from_kyutai(OPTIONS) == interop.config_from_kyutai(dict(OPTIONS))
    with refused(None, *words):
        interop.config_from_kyutai(OPTIONS | change)


def test_options_of_hugging_face_that_are_not_there() -> None:
    with refused(None, "use_conv_shortcut=True"):
        interop.config_from_hf_mimi({"use_conv_shortcut": True})
    with refused(None, "hidden_act='gelu'"):
        interop.config_from_hf_moshi({"hidden_act": "gelu"})
    with refused(None, "model_type='llama'"):
        interop.config_from_hf_moshi({"model_type": "llama"})
    with refused(None, "a depth schedule", "depth low_rank", "delays"):
        depth = MOSHI.depth.replace(schedule=(0, 1, 1), low_rank=4)
        interop.config_to_hf_moshi(MOSHI.replace(depth=depth, delays=(0,) * 7))


def test_compare_needs_models_of_one_kind() -> None:
    with refused(None, "MimiAudioCodec", "Linear"):
        interop.compare(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1), torch.zeros(1))
    with refused(None, "encoder.model.0"):
        interop.compare(MimiAudioCodec(MIMI), torch.nn.Linear(1, 1), torch.zeros(1, 1, 24))
