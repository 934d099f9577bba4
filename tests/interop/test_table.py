"""The table of names: complete, reversible, and cheap."""

from pathlib import Path

import pytest
import torch

from minimoshi import HierarchicalGenerator, MimiAudioCodec, MoshiConfig, interop
from minimoshi.interop.table import Row, load_by_table, to_theirs
from tests.helpers import DEPTH, HELIUM, MIMI, MOSHI, assert_same, same_weights

VARIANTS: dict[str, MoshiConfig] = {
    "plain": MOSHI,
    "schedule": MOSHI.replace(depth=DEPTH.replace(schedule=(0, 1, 1))),
    "low rank": MOSHI.replace(depth=DEPTH.replace(low_rank=4)),
    "output norm": MOSHI.replace(depth=DEPTH.replace(output_norm=True)),
    "ungated": MOSHI.replace(helium=HELIUM.replace(gated=False), depth=DEPTH.replace(gated=False, schedule=(0, 0, 0))),
    "layer norm": MOSHI.replace(
        helium=HELIUM.replace(norm="layer", norm_eps=1e-5), depth=DEPTH.replace(norm="layer", norm_eps=1e-5)
    ),
    "odd width": MOSHI.replace(helium=HELIUM.replace(hidden=25), depth=DEPTH.replace(hidden=31)),
    "text only": MOSHI.replace(depth=None, extra_heads=2),
    "condition": MOSHI.replace(condition_bins=5, condition_dim=4),
    "one codebook": MOSHI.replace(depth=DEPTH.replace(dep_q=1)),
    "text head": MOSHI.replace(helium=HELIUM.replace(text_card_out=9)),
    "no positions": MOSHI.replace(helium=HELIUM.replace(max_period=None)),
}


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("name", VARIANTS)
def test_generators_come_back_whole(name: str, split: bool, tmp_path: Path) -> None:
    generator, path = HierarchicalGenerator(VARIANTS[name]), tmp_path / "lm.safetensors"
    interop.save_kyutai_moshi(generator, path, split, config_path=tmp_path / "config.json")
    again = interop.load_kyutai_moshi(path, tmp_path / "config.json")
    assert again.config.replace(mimi=MOSHI.mimi) == generator.config
    assert same_weights(generator, again)
    codes = torch.randint(20, (1, 7, 5))
    assert_same(again(codes).text_logits, generator(codes).text_logits)
    assert all(tensor.device.type == "cpu" for tensor in [*again.parameters(), *again.buffers()])


def test_codecs_come_back_whole(tmp_path: Path) -> None:
    codec = MimiAudioCodec(MIMI)
    for split in (False, True):
        interop.save_kyutai_mimi(codec, tmp_path / "mimi.safetensors", split)
        again = interop.load_kyutai_mimi(tmp_path / "mimi.safetensors", n_quantizers=4, config=MIMI)
        assert same_weights(codec, again) and again.config == MIMI and not again.training
        assert torch.equal(again.quantizer.acoustic.centroids, codec.quantizer.acoustic.centroids)


def test_every_tensor_of_ours_is_in_every_table_once() -> None:
    with torch.device("meta"):
        full, codec = HierarchicalGenerator(MoshiConfig.preset("full")), MimiAudioCodec(MoshiConfig.preset("full").mimi)
    for module, rows in [
        (full, interop.kyutai_moshi_rows(full.config)),
        (full, interop.hf_moshi_rows(full.config)),
        (codec, interop.kyutai_mimi_rows(codec.config)),
        (codec, interop.hf_mimi_rows(codec.config)),
    ]:
        names = [name for row in rows for name, _ in row.pairs() if name]
        theirs = [name for row in rows for _, names in row.pairs() for name in names]
        assert sorted(names) == sorted(module.state_dict()) and len(set(theirs)) == len(theirs)


def test_patterns() -> None:
    row = Row("a.{l}.w", "b.{l}.{k}.w", over=dict(l=(0, 1), k=range(2)))
    assert row.pairs() == [("a.0.w", ["b.0.0.w", "b.0.1.w"]), ("a.1.w", ["b.1.0.w", "b.1.1.w"])]
    assert interop.rosetta([row]).rows == [("a.{0,1}.w", "b.{0,1}.{0,1}.w", "the same")]


def test_rosetta_reads_as_a_table() -> None:
    table = interop.rosetta(interop.kyutai_moshi_rows(MoshiConfig.preset("full")))
    line = next(line for line in str(table).splitlines() if "depformer.layers" in line and "in_proj" in line)
    assert line.startswith("audio_model.transformer.layers.{0..5}.attention.in_proj.weight")
    assert line.endswith("one block below the other")
    assert "<code>emb.{0..15}.weight</code>" in table._repr_html_()


def test_whole_tensors_are_adopted_not_copied() -> None:
    """What lets a 7B model load in little more memory than its file."""
    with torch.device("meta"):
        generator = HierarchicalGenerator(MOSHI)
    rows = interop.kyutai_moshi_rows(MOSHI)
    theirs = to_theirs(rows, HierarchicalGenerator(MOSHI).state_dict())
    alive = list(theirs.values())  # or their places would be given to the copies
    places = {tensor.untyped_storage().data_ptr() for tensor in alive}
    load_by_table(generator, rows, theirs, "memory", torch.float32)
    copied = {
        name for name, tensor in generator.named_parameters() if tensor.untyped_storage().data_ptr() not in places
    }
    assert not theirs  # used up one by one
    linears = (
        f"audio_model.transformer.layers.{n}.feed_forward.linear_{way}.weight" for n in (0, 1) for way in ("in", "out")
    )
    assert copied == {
        "audio_embedding.weight",
        "audio_model.input_proj.weight",
        "audio_model.audio_embedding.weight",
        "audio_model.heads.weight",
        *linears,
    }


def test_half_precision_on_request(tmp_path: Path) -> None:
    generator = HierarchicalGenerator(MOSHI)
    interop.save_kyutai_moshi(generator, tmp_path / "lm.safetensors")
    options = interop.config_to_kyutai(MOSHI)
    half = interop.load_kyutai_moshi(tmp_path / "lm.safetensors", options, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    interop.save_kyutai_moshi(half, tmp_path / "half.safetensors")
    kept = interop.load_kyutai_moshi(tmp_path / "half.safetensors", options)
    assert same_weights(half, kept) and kept.text_model.head.weight.dtype == torch.bfloat16
