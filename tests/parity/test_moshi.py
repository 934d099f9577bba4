"""The language model against `moshi`: training logits and masks, the greedy step stream, files in and out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from moshi.models import LMGen
from moshi.models.loaders import get_moshi_lm
from safetensors.torch import save_file
from torch import Tensor, nn

from minimoshi import HierarchicalGenerator, interop
from minimoshi.checkpoint import narrowed, widened
from tests.parity.official import CONDITION, HIBIKI, LABELS, MOSHI, condition_tensors, fused, greedy, random_lm

SAME_LOGITS = 1e-4
FRAMES = 40

MODELS: dict[str, dict[str, Any]] = {
    "moshi": {},
    "both speakers": {"dep_q": 16},
    "no delay": {"delays": [0] * 17},
    "delay 2": {"delays": [0] + [0, 2, 2, 2, 2, 2, 2, 2] * 2},
    "late text, staircase": {"delays": [2, *range(8), *range(8)]},
    "schedule": {"depformer_weights_per_step_schedule": [0, 1, 2, 2, 3, 3, 3, 3]},
    "low rank": {"depformer_low_rank_embeddings": 8},
    "ungated": {"gating": "none", "depformer_gating": "silu"},
    "special width": {"hidden_scale": 4},
    "rms_norm": {"norm": "rms_norm"},
    "layer_norm": {"norm": "layer_norm"},
    "layer_norm_f32": {"norm": "layer_norm_f32"},
    "no positions": {"positional_embedding": "none"},
    "depformer_norm": {"depformer_norm": "layer_norm"},
    "other text head": {"text_card_out": 7},
    "condition": CONDITION,
    "hibiki": HIBIKI,
    "many options": {
        **HIBIKI,
        "depformer_weights_per_step_schedule": [0, 1, 2, 3, *[4] * 12],
        "norm": "layer_norm",
        "depformer_low_rank_embeddings": 4,
        "depformer_norm": "layer_norm",
        "gating": "none",
    },
}
SHARED_STEPS = {  # the official package can train these, but its stream refuses them
    "ungated, one set of weights": {
        "gating": "none",
        "depformer_gating": "none",
        "depformer_weights_per_step": False,
        "depformer_multi_linear": False,
    },
    "gated, one set of weights": {"depformer_weights_per_step": False, "depformer_multi_linear": False},
    "one set, inputs per codebook": {"depformer_weights_per_step": False},
    "sets per codebook, one input": {"depformer_multi_linear": False},
}


def options_of(name: str) -> dict[str, Any]:
    return MOSHI | (MODELS | SHARED_STEPS)[name]


@pytest.fixture(scope="module")
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[nn.Module, HierarchicalGenerator]:
    """An official model, and ours loaded from its weights under the names of released files."""
    options, path = options_of(request.param), tmp_path_factory.mktemp("lm") / "model.safetensors"
    official = random_lm(options)
    save_file(fused(official.state_dict()), path)
    return official, interop.load_kyutai_moshi(path, options)


def grid(model: nn.Module, speech_codes: Tensor, frames: int) -> Tensor:
    """Codes of real speech spread over all streams, text drawn at random; some cells are missing (-1)."""
    batch, books, _ = speech_codes.shape
    rows = [(speech_codes[:, k % books] * (1 + k // books)).roll(7 * (k // books), dims=-1) for k in range(model.n_q)]
    audio = torch.stack(rows, dim=1)[:, :, :frames] % model.card
    text = torch.randint(model.text_card, (batch, 1, frames), generator=torch.Generator().manual_seed(3))
    codes = torch.cat([text, audio], dim=1)
    codes[0, 0, 4:6] = codes[1, 1, 3] = codes[1, 5:, 8] = -1
    return codes


@pytest.mark.parametrize("pair", [*MODELS, *SHARED_STEPS], indirect=True)
@pytest.mark.parametrize("frames", [45, 1])
def test_training_logits_and_masks(
    pair: tuple[nn.Module, HierarchicalGenerator],
    frames: int,
    speech_codes: Tensor,
    within: Callable,
    request: pytest.FixtureRequest,
) -> None:
    official, generator = pair
    codes = grid(official, speech_codes, 45)[..., :frames]
    name = request.node.callspec.params["pair"]
    for label in (None, "good") if generator.condition is not None else (None,):
        expected = official(codes, condition_tensors(official, label, 2))
        out = generator(codes, LABELS.index(label)) if label else generator(codes)
        assert torch.equal(out.text_mask, expected.text_mask) and torch.equal(out.audio_mask, expected.mask)
        assert out.audio_logits.shape == expected.logits.shape and out.text_logits.shape == expected.text_logits.shape
        for ours, theirs, mask in [
            (out.text_logits, expected.text_logits, out.text_mask),
            (out.audio_logits, expected.logits, out.audio_mask),
        ]:
            if mask.any():
                assert theirs[mask].std() > 0.1
                within(f"LM {name}: logits", float((ours - theirs)[mask].abs().max()), SAME_LOGITS)


@pytest.mark.parametrize("pair", MODELS, indirect=True)
def test_greedy_stream(
    pair: tuple[nn.Module, HierarchicalGenerator],
    speech_codes: Tensor,
    within: Callable,
    request: pytest.FixtureRequest,
) -> None:
    official, generator = pair
    user = grid(official, speech_codes, FRAMES)[:, 1 + official.dep_q :].clamp(min=0)
    label = "very_good" if generator.condition is not None else None
    expected = greedy(official, user, label)
    stream = generator.stream(2, temperature=0, text_temperature=0, condition=label and LABELS.index(label))
    found = [stream.step(user[:, :, t]) for t in range(FRAMES)]
    assert [frame is None for frame in found] == [frame is None for frame in expected]
    assert sum(frame is None for frame in found) == max(official.delays)
    mine, theirs = (torch.stack([f for f in frames if f is not None], dim=-1) for frames in (found, expected))
    assert mine.shape == (2, 1 + official.dep_q, FRAMES - max(official.delays))
    assert min(len(row.unique()) for row in theirs[:, 1:].flatten(1)) > 5, "a stream that hardly changes shows nothing"
    name = request.node.callspec.params["pair"]
    within(f"LM {name}: tokens of the greedy stream that differ", float((mine != theirs).sum()), 0)


@pytest.mark.parametrize("pair", MODELS, indirect=True)
def test_ours_loads_in_moshi(pair: tuple[nn.Module, HierarchicalGenerator], tmp_path: Path) -> None:
    official, generator = pair
    for split in (False, True):
        interop.save_kyutai_moshi(generator, tmp_path / "ours.safetensors", split, config_path=tmp_path / "config.json")
        options = json.loads((tmp_path / "config.json").read_text())
        theirs = get_moshi_lm(tmp_path / "ours.safetensors", options, dtype=torch.float32).state_dict()
        assert theirs.keys() == official.state_dict().keys()
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in official.state_dict().items())
    again = interop.load_kyutai_moshi(tmp_path / "ours.safetensors", tmp_path / "config.json")  # the split names
    assert again.config == generator.config
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in generator.state_dict().items())


def test_speech_to_text(speech_codes: Tensor, tmp_path: Path, within: Callable) -> None:
    """No depth transformer, extra heads: only text comes out."""
    options = MOSHI | {"dep_q": 0, "delays": [0] * 17, "extra_heads_num_heads": 4, "extra_heads_dim": 6}
    official = random_lm(options)
    save_file(fused(official.state_dict()), tmp_path / "stt.safetensors")
    generator = interop.load_kyutai_moshi(tmp_path / "stt.safetensors", options)
    codes = grid(official, speech_codes, FRAMES)
    first = official._get_initial_token().expand(2, -1, -1)
    z, expected = official.forward_text(torch.cat([first, codes[..., :-1]], dim=-1))
    out = generator(codes)
    assert out.audio_logits.shape == (2, 0, FRAMES, 96)
    within("STT: text logits", float((out.text_logits - expected).abs().max()), SAME_LOGITS)
    mine = generator.context(torch.cat([first, codes[..., :-1]], dim=-1))
    heads = [
        (ours(mine) - theirs(z)).abs().max()
        for ours, theirs in zip(generator.extra_heads, official.extra_heads, strict=True)
    ]
    assert len(heads) == 4
    within("STT: extra heads", float(max(heads)), SAME_LOGITS)
    user = codes[:, 1:].clamp(min=0)
    tokens = greedy(official, user)
    stream = generator.stream(2, temperature=0, text_temperature=0)
    found = [stream.step(user[..., t]) for t in range(FRAMES)]
    within(
        "STT: tokens of the greedy stream that differ",
        float(sum((a != b).sum() for a, b in zip(found, tokens, strict=True))),
        0,
    )


def test_forced_tokens_stream_like_the_official_one(speech_codes: Tensor, tmp_path: Path) -> None:
    """Audio tokens put in the place of generated ones: the text goes the same way."""
    official = random_lm(MOSHI)
    save_file(fused(official.state_dict()), tmp_path / "lm.safetensors")
    generator = interop.load_kyutai_moshi(tmp_path / "lm.safetensors", MOSHI)
    codes = grid(official, speech_codes, FRAMES)[:, 1:].clamp(min=0)
    stream, steps = generator.stream(2, temperature=0, text_temperature=0), LMGen(official, use_sampling=False)
    with steps.streaming(2):
        for t in range(FRAMES):
            moshi, user = codes[:, :8, t], codes[:, 8:, t]
            expected = steps.step(user[..., None], depformer_replace_tokens=moshi[..., None])
            found = stream.step(user, audio=moshi)
            assert (found is None) == (expected is None)
            assert found is None or torch.equal(found, expected[..., 0])


def test_half_precision_is_kept(tmp_path: Path, speech_codes: Tensor) -> None:
    official = random_lm(MOSHI).to(torch.bfloat16)
    save_file(fused(official.state_dict()), tmp_path / "lm.safetensors")
    generator = interop.load_kyutai_moshi(tmp_path / "lm.safetensors", MOSHI)
    assert {tensor.dtype for tensor in generator.state_dict().values()} == {torch.bfloat16}
    wide = interop.load_kyutai_moshi(tmp_path / "lm.safetensors", MOSHI, dtype=torch.float32)
    codes = grid(official, speech_codes, 20)
    out, exact = generator(codes), wide(codes)
    assert out.text_logits.dtype == torch.bfloat16 and exact.text_logits.dtype == torch.float32
    assert (out.text_logits.float() - exact.text_logits).abs().max() < 0.1


def test_eight_bit_weights_are_read(tmp_path: Path, speech_codes: Tensor) -> None:
    """As `moshi.utils.quantize` stores them: integers, and the largest magnitude of each row beside them."""
    official = random_lm(MOSHI)
    linear = [f"{name}.weight" for name, module in official.named_modules() if isinstance(module, nn.Linear)]
    whole = official.state_dict()
    some = narrowed({name: whole[name] for name in linear}, torch.int8)
    assert len(linear) > 20 and some[f"{linear[0]}_scb"].dtype == torch.float32
    save_file(whole | some, tmp_path / "q8.safetensors")
    official.load_state_dict(whole | widened(some, "q8"))
    ours = interop.load_kyutai_moshi(tmp_path / "q8.safetensors", MOSHI | {"quantize": True})
    codes = grid(official, speech_codes, 20)
    save_file(fused(official.state_dict()), tmp_path / "lm.safetensors")
    assert torch.equal(
        ours(codes).text_logits, interop.load_kyutai_moshi(tmp_path / "lm.safetensors", MOSHI)(codes).text_logits
    )


def test_compare_shows_every_layer(speech_codes: Tensor, tmp_path: Path, within: Callable) -> None:
    official = random_lm(MOSHI)
    save_file(fused(official.state_dict()), tmp_path / "lm.safetensors")
    generator = interop.load_kyutai_moshi(tmp_path / "lm.safetensors", MOSHI)
    codes = grid(official, speech_codes, 30)
    table = interop.compare(generator, official, codes)
    assert [row.layer for row in table.rows] == [
        "text_model.transformer.layers.0",
        "text_model.transformer.layers.1",
        "text_model.out_norm",
        "text_model.head",
        "audio_model.transformer.layers.0",
        "audio_model.transformer.layers.1",
        "text_mask",
        "text_logits",
        "audio_mask",
        "audio_logits",
    ]
    within("LM, layer by layer", table.largest, SAME_LOGITS)
    generator.audio_model.transformer.layers[1].feed_forward.linear_out.weight[3] += 0.1
    broken = interop.compare(generator, official, codes)
    apart = [row.layer for row in broken.rows if row.largest > 1e-3]
    assert apart == ["audio_model.transformer.layers.1", "audio_logits"]
    deeper = random_lm(MOSHI | {"num_layers": 1})
    with pytest.raises(ValueError, match=r"transformer\.layers\.1"):
        interop.compare(generator, deeper, codes)
