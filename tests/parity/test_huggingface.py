"""The Hugging Face Moshi: its main and depth decoders with our weights, and its checkpoints read back."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor

from minimoshi import HierarchicalGenerator, MimiAudioCodec, MimiConfig, interop
from minimoshi.moshi.grid import delay
from tests.parity.official import MOSHI

SAME_LOGITS = 1e-4
FRAMES = 40  # as many as the context: in one pass their main decoder looks back without bound, unlike the official one
CODEC = MimiConfig(
    dim=32,
    encoder_filters=4,
    decoder_filters=4,
    layers=1,
    heads=2,
    hidden=48,
    context=20,
    n_codebooks=9,
    n_quantizers=8,
    codebook_size=128,
    codebook_dim=16,
)


@pytest.fixture(scope="module")
def ours() -> tuple[HierarchicalGenerator, MimiAudioCodec]:
    torch.manual_seed(5)
    config = interop.config_from_kyutai(MOSHI | {"card": 128}).replace(mimi=CODEC)
    generator, codec = HierarchicalGenerator(config).eval(), MimiAudioCodec(CODEC).eval()
    for model in (generator, codec):
        for name, weight in model.named_parameters():
            if "norm" in name:
                torch.nn.init.uniform_(weight, 0.5, 1.5)
    return generator, codec


@pytest.fixture(scope="module")
def theirs(
    ours: tuple[HierarchicalGenerator, MimiAudioCodec], tmp_path_factory: pytest.TempPathFactory
) -> transformers.MoshiForConditionalGeneration:
    """Their model, loaded from the folder that we write."""
    folder = tmp_path_factory.mktemp("hf")
    interop.save_hf_moshi(*ours, folder)
    model, info = transformers.MoshiForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.eval()


@pytest.fixture
def grid(speech_codes: Tensor, ours: tuple[HierarchicalGenerator, MimiAudioCodec]) -> Tensor:
    """A delayed grid of real speech, as the model reads it."""
    generator = ours[0]
    text = torch.randint(generator.config.helium.text_card, (2, 1, FRAMES), generator=torch.Generator().manual_seed(3))
    codes = torch.cat([text, speech_codes[..., :FRAMES] % 128, speech_codes.flip(0)[..., -FRAMES:] % 128], dim=1)
    return delay(codes, generator.config.delays, generator.initial_tokens)


def test_main_decoder(
    ours: tuple[HierarchicalGenerator, MimiAudioCodec],
    theirs: transformers.MoshiForConditionalGeneration,
    grid: Tensor,
    within: Callable,
) -> None:
    out = theirs(input_ids=grid[:, 0], moshi_audio_codes=grid[:, 1:9], user_audio_codes=grid[:, 9:])
    z = ours[0].context(grid)
    assert out.logits.shape == (2, FRAMES, 80) and out.logits.std() > 0.1
    within("HF Moshi, main decoder: context", float((z - out.last_hidden_state).abs().max()), SAME_LOGITS)
    within("HF Moshi, main decoder: logits", float((ours[0].text_model.head(z) - out.logits).abs().max()), SAME_LOGITS)


def test_depth_decoder(
    ours: tuple[HierarchicalGenerator, MimiAudioCodec],
    theirs: transformers.MoshiForConditionalGeneration,
    grid: Tensor,
    within: Callable,
) -> None:
    z = ours[0].context(grid)
    tokens = grid[:, :8].transpose(1, 2).flatten(0, 1)  # text, then codebooks 0 to 6: the last is never an input
    out = theirs.depth_decoder(input_ids=tokens, last_hidden_state=z.flatten(0, 1)[:, None]).logits
    expected = out.unflatten(0, (2, FRAMES)).transpose(1, 2)
    found = ours[0].audio_model(z, grid[:, 0], grid[:, 1:9])
    assert found.shape == (2, 8, FRAMES, 128) and found.std() > 0.1
    within("HF Moshi, depth decoder: logits", float((found - expected).abs().max()), SAME_LOGITS)


def test_their_checkpoints_come_back(
    ours: tuple[HierarchicalGenerator, MimiAudioCodec],
    theirs: transformers.MoshiForConditionalGeneration,
    tmp_path: Path,
) -> None:
    theirs.save_pretrained(tmp_path / "one")
    theirs.save_pretrained(tmp_path / "several", max_shard_size="200KB")
    assert (tmp_path / "several" / "model.safetensors.index.json").exists()
    (tmp_path / "memory").mkdir()
    save_file({name: t.contiguous() for name, t in theirs.state_dict().items()}, tmp_path / "memory/model.safetensors")
    (tmp_path / "memory/config.json").write_text((tmp_path / "one/config.json").read_text())
    for folder in ("one", "several", "memory"):
        generator, codec = interop.load_hf_moshi(tmp_path / folder), interop.load_hf_mimi(tmp_path / folder)
        assert generator.config.replace(mimi=CODEC) == ours[0].config and codec.config == CODEC
        for model, again in zip(ours, (generator, codec), strict=True):
            assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_full_size_names_and_shapes() -> None:
    """The published names; the codec inside is covered by loading it."""
    config = interop.MOSHI_7B
    with torch.device("meta"):
        model = transformers.MoshiForConditionalGeneration(transformers.MoshiConfig(audio_vocab_size=2048))
    shapes = interop.hf_moshi_shapes(interop.config_from_kyutai(config))
    theirs = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    outside = {name: shape for name, shape in theirs.items() if not name.startswith("audio_encoder.")}
    assert outside == {name: shape for name, shape in shapes.items() if not name.startswith("audio_encoder.")}
    assert len(shapes) == len(theirs) == 683
    assert sum(p.numel() for p in model.parameters()) == 7_767_037_761 == 7_687_729_152 + 79_308_609


def test_config_goes_both_ways() -> None:
    assert interop.config_from_hf_mimi(transformers.MimiConfig().to_dict()) == MimiConfig.preset("full")
    full = interop.config_from_kyutai(interop.MOSHI_7B)
    assert interop.config_from_hf_moshi(transformers.MoshiConfig(audio_vocab_size=2048).to_dict()) == full
    assert interop.config_from_hf_moshi(json.loads(json.dumps(interop.config_to_hf_moshi(full)))) == full
    assert interop.config_from_hf_mimi(interop.config_to_hf_mimi(CODEC)) == CODEC
