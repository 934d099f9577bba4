"""The full-size codec against `moshi`, `rustymimi` and `transformers`."""

from collections.abc import Callable
from pathlib import Path

import pytest
import rustymimi
import torch
import transformers
from moshi.models.loaders import get_mimi
from safetensors.torch import save_file
from torch import Tensor, nn

from minimoshi import MimiAudioCodec, ResidualVectorQuantizer, interop

FRAME = 1920
SAME_CODES = 1e-3  # at most one code in a thousand may differ, and only where two centroids are equally near
SAME_SOUND = 1e-5
TIE = 1e-4  # of the distance: what the single-precision distances of 256 dimensions can blur


@pytest.fixture(scope="module")
def saved(codec: MimiAudioCodec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ours") / "mimi.safetensors"
    interop.save_kyutai_mimi(codec, path)
    return path


def share_of_ties(codec: MimiAudioCodec, wav: Tensor, ours: Tensor, theirs: Tensor) -> float:
    """The share of codes that differ. Each must be a tie: both centroids equally near the latent, up to rounding."""
    assert ours.shape == theirs.shape
    if not torch.equal(ours, theirs):
        latent = codec.to_latent(wav)
        _check_ties(codec.quantizer.semantic, latent, ours[:, :1], theirs[:, :1])
        _check_ties(codec.quantizer.acoustic, latent, ours[:, 1:], theirs[:, 1:])
    return float((ours != theirs).float().mean())


def _check_ties(rvq: ResidualVectorQuantizer, latent: Tensor, ours: Tensor, theirs: Tensor) -> None:
    rest = rvq.input_proj(latent.transpose(1, 2))
    agreed = torch.ones(rest.shape[:2], dtype=torch.bool)  # after its first tie a frame quantises another remainder
    for level, (a, b) in enumerate(zip(ours.unbind(1), theirs.unbind(1), strict=True)):
        near, other = ((rest - rvq.centroids[level, codes]).norm(dim=-1) for codes in (a, b))
        tie = (near - other).abs() <= TIE * near
        assert (tie | (a == b))[agreed].all(), f"level {level} differs where the centroids are not equally near"
        agreed &= a == b
        rest = rest - rvq.centroids[level, a]


def test_a_wrong_code_is_not_taken_for_a_tie(codec: MimiAudioCodec, speech: Tensor) -> None:
    wav = speech[..., : 4 * FRAME]
    right = codec.encode(wav)
    assert share_of_ties(codec, wav, right, right) == 0
    for level in (0, 1, 7):
        wrong = right.clone()
        wrong[1, level, 2] = (wrong[1, level, 2] + 1) % 2048
        with pytest.raises(AssertionError, match="level"):
            share_of_ties(codec, wav, right, wrong)


def frames(wav: Tensor, count: int) -> list[Tensor]:
    return list(wav[..., : count * FRAME].split(FRAME, dim=-1))


def test_official_weights_one_piece(
    codec: MimiAudioCodec, official_mimi: nn.Module, speech: Tensor, within: Callable
) -> None:
    wav = speech[..., :70_000]  # not a whole number of frames: both pad
    expected = official_mimi.encode(wav)
    assert expected.shape == (2, 8, 37)
    assert min(len(book.unique()) for book in expected.unbind(1)) > 20, "the random codec hardly tells sounds apart"
    within(
        "Mimi, one piece: share of codes that differ",
        share_of_ties(codec, wav, codec.encode(wav), expected),
        SAME_CODES,
    )
    sound = official_mimi.decode(expected)
    assert 0.01 < sound.std() < 1, "not as loud as speech: the bar would mean nothing"
    within("Mimi, one piece: sound", float((codec.decode(expected) - sound).abs().max()), SAME_SOUND)
    few = official_mimi.decode(expected[:, :3])
    within("Mimi, 3 codebooks: sound", float((codec.decode(expected[:, :3]) - few).abs().max()), SAME_SOUND)


def test_official_weights_frame_by_frame(
    codec: MimiAudioCodec, official_mimi: nn.Module, speech: Tensor, within: Callable
) -> None:
    wav = speech[..., : 16 * FRAME]
    with official_mimi.streaming(2):
        expected = torch.cat([official_mimi.encode(frame) for frame in frames(wav, 16)], dim=-1)
    with official_mimi.streaming(2):
        sound = torch.cat([official_mimi.decode(codes) for codes in expected.split(1, dim=-1)], dim=-1)
    state = codec.initial_state(2)
    codes = torch.cat([codec.encode(frame, state) for frame in frames(wav, 16)], dim=-1)
    within(
        "Mimi, frame by frame: share of codes that differ",
        share_of_ties(codec, wav, codes, expected),
        SAME_CODES,
    )
    decoded = torch.cat([codec.decode(frame, state) for frame in expected.split(1, dim=-1)], dim=-1)
    within("Mimi, frame by frame: sound", float((decoded - sound).abs().max()), SAME_SOUND)


def test_beyond_the_context(codec: MimiAudioCodec, official_mimi: nn.Module, speech: Tensor, within: Callable) -> None:
    """11.2 s: the transformers look back 10 s. In one piece, and as 9.6 s and then single frames."""
    wav = speech.flatten()[None, None, : 140 * FRAME]
    expected = official_mimi.encode(wav)
    sound = official_mimi.decode(expected)
    within(
        "Mimi, 11 s in one piece: share of codes that differ",
        share_of_ties(codec, wav, codec.encode(wav), expected),
        SAME_CODES,
    )
    within("Mimi, 11 s in one piece: sound", float((codec.decode(expected) - sound).abs().max()), SAME_SOUND)
    cuts, state = [120, *[1] * 20], codec.initial_state()
    codes = torch.cat([codec.encode(chunk, state) for chunk in wav.split([n * FRAME for n in cuts], dim=-1)], dim=-1)
    within(
        "Mimi, 11 s in a stream: share of codes that differ",
        share_of_ties(codec, wav, codes, expected),
        SAME_CODES,
    )
    decoded = torch.cat([codec.decode(chunk, state) for chunk in expected.split(cuts, dim=-1)], dim=-1)
    within("Mimi, 11 s in a stream: sound", float((decoded - sound).abs().max()), SAME_SOUND)


def test_all_32_codebooks(
    codec: MimiAudioCodec, mimi_file: Path, official_mimi: nn.Module, speech: Tensor, within: Callable
) -> None:
    every, wav = interop.load_kyutai_mimi(mimi_file, n_quantizers=32), speech[..., : 10 * FRAME]
    official_mimi.set_num_codebooks(32)
    try:
        expected = official_mimi.encode(wav)
        sound = official_mimi.decode(expected)
    finally:
        official_mimi.set_num_codebooks(8)
    assert expected.shape == (2, 32, 10)
    within(
        "Mimi, 32 codebooks: share of codes that differ",
        share_of_ties(every, wav, every.encode(wav), expected),
        SAME_CODES,
    )
    within("Mimi, 32 codebooks: sound", float((every.decode(expected) - sound).abs().max()), SAME_SOUND)
    assert torch.equal(every.encode(wav)[:, :8], codec.encode(wav))


def test_in_memory_names_and_older_names_give_the_same_codec(
    codec: MimiAudioCodec, official_mimi: nn.Module, tmp_path: Path
) -> None:
    older = {"_initialized": "inited", "cluster_usage": "cluster_size", "embedding_sum": "embed_sum"}
    tensors = {}
    for name, tensor in official_mimi.state_dict().items():  # in memory the projections are called in_projs.0
        stem, _, last = name.rpartition(".")
        tensors[f"{stem}.{older.get(last, last)}"] = tensor
    assert any("in_projs.0" in name for name in tensors) and any(name.endswith("inited") for name in tensors)
    save_file(tensors, tmp_path / "older.safetensors")
    again = interop.load_kyutai_mimi(tmp_path / "older.safetensors")
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in codec.state_dict().items())


def test_ours_loads_in_moshi(saved: Path, official_mimi: nn.Module) -> None:
    theirs = get_mimi(saved).state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in official_mimi.state_dict().items())


def test_ours_loads_in_rustymimi(codec: MimiAudioCodec, saved: Path, speech: Tensor, within: Callable) -> None:
    wav, theirs = speech[:1, :, : 20 * FRAME], rustymimi.Tokenizer(str(saved), num_codebooks=8)
    codes = torch.from_numpy(theirs.encode(wav.numpy()).astype("int64"))
    within(
        "ours in rustymimi: share of codes that differ",
        share_of_ties(codec, wav, codec.encode(wav), codes),
        SAME_CODES,
    )
    sound = torch.from_numpy(theirs.decode(codes.numpy().astype("uint32")))
    within("ours in rustymimi: sound", float((codec.decode(codes) - sound).abs().max()), SAME_SOUND)
    theirs.reset()
    state, codes, sounds = codec.initial_state(), [], []
    for frame in frames(wav, 8):
        expected = theirs.encode_step(frame.numpy())
        codes.append((codec.encode(frame, state), torch.from_numpy(expected.astype("int64"))))
        sounds.append((codec.decode(codes[-1][1], state), torch.from_numpy(theirs.decode_step(expected))))
    found, expected = (torch.cat(row, dim=-1) for row in zip(*codes, strict=True))
    within(
        "ours in rustymimi, frame by frame: share of codes that differ",
        share_of_ties(codec, wav[..., : 8 * FRAME], found, expected),
        SAME_CODES,
    )
    within("ours in rustymimi, frame by frame: sound", max(float((a - b).abs().max()) for a, b in sounds), SAME_SOUND)


def test_ours_loads_in_transformers_and_comes_back(
    codec: MimiAudioCodec, speech: Tensor, tmp_path: Path, within: Callable
) -> None:
    interop.save_hf_mimi(codec, tmp_path / "ours")
    theirs, info = transformers.MimiModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    wav = speech[..., : 20 * FRAME]
    codes = theirs.eval().encode(wav, num_quantizers=8).audio_codes
    within(
        "ours in transformers: share of codes that differ",
        share_of_ties(codec, wav, codec.encode(wav), codes),
        SAME_CODES,
    )
    sound = theirs.decode(codes).audio_values
    within("ours in transformers: sound", float((codec.decode(codes) - sound).abs().max()), SAME_SOUND)

    save_file({name: t.contiguous() for name, t in theirs.state_dict().items()}, tmp_path / "nested.safetensors")
    assert "encoder.encoder_seanet.layers.0.conv.weight" in theirs.state_dict()
    theirs.save_pretrained(tmp_path / "theirs")
    for path in (tmp_path / "ours", tmp_path / "theirs", tmp_path / "nested.safetensors"):
        again = interop.load_hf_mimi(path).state_dict()
        assert all(torch.equal(tensor, again[name]) for name, tensor in codec.state_dict().items())


def test_compare_shows_every_layer(
    codec: MimiAudioCodec, official_mimi: nn.Module, speech: Tensor, within: Callable
) -> None:
    table = interop.compare(codec, official_mimi, speech[:1, :, : 10 * FRAME])
    assert [row.layer for row in table.rows] == [
        *(f"encoder.{n}" for n in range(15)),
        *(f"encoder_transformer.layers.{n}" for n in range(8)),
        "downsample",
        "upsample",
        *(f"decoder_transformer.layers.{n}" for n in range(8)),
        *(f"decoder.{n}" for n in range(15)),
        "codes",
        "sound",
    ]
    within("Mimi, layer by layer", table.largest, 2e-5)
    weight = codec.encoder[3].weight
    weight[0] += 0.1  # the table must point at the first layer that differs
    try:
        broken = interop.compare(codec, official_mimi, speech[:1, :, : 2 * FRAME])
    finally:
        weight[0] -= 0.1
    first = next(row for row in broken.rows if row.largest > 1e-3)
    assert first.layer == "encoder.3" and "encoder.model.3" in str(broken) and "encoder.model.3" in broken._repr_html_()
