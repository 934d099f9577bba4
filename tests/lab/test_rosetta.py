"""The Rosetta table of notebook 13: every name in it exists where it says, at full size."""

import re
from importlib.util import find_spec

import pytest
import torch

from minimoshi import HierarchicalGenerator, MimiAudioCodec, MimiConfig, MoshiConfig, interop
from minimoshi.lab import official


@pytest.fixture(scope="module")
def table() -> list[official.Name]:
    return official.rosetta()


def every(pattern: str) -> list[str]:
    """`emb.{0..15}.weight` -> sixteen names."""
    found = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if found is None:
        return [pattern]
    return [pattern.replace(found[0], str(i)) for i in range(int(found[1]), int(found[2]) + 1)]


def test_file_keys_and_shapes_are_those_of_the_official_files(table: list[official.Name]) -> None:
    moshi, mimi = MoshiConfig.preset("full"), MimiConfig.preset("full")
    files = interop.kyutai_moshi_shapes(moshi) | interop.kyutai_mimi_shapes(mimi)
    memory = interop.kyutai_moshi_shapes(moshi, split=True) | interop.kyutai_mimi_shapes(mimi, split=True)
    for name in table:
        assert {files[key] for key in every(name.key)} == {name.shape}, name
        assert set(every(name.module)) <= set(memory), name


def test_our_names_are_ours_and_nothing_stands_twice(table: list[official.Name]) -> None:
    with torch.device("meta"):
        own = set(HierarchicalGenerator(MoshiConfig.preset("full")).state_dict())
        own |= set(MimiAudioCodec(MimiConfig.preset("full")).state_dict())
    assert {name.ours for name in table} <= own
    for column in ("paper", "ours", "module", "key"):
        assert len({getattr(name, column) for name in table}) == len(table)


def test_every_kind_of_weight_of_the_language_model_is_in_the_table(table: list[official.Name]) -> None:
    """All tensors but second norms and the depth transformer's outputs, which are named like their neighbours."""
    kinds = {re.sub(r"\.\d+\.", ".0.", name.ours) for name in table}
    rows = interop.kyutai_moshi_rows(MoshiConfig.preset("full"))
    missing = {row.ours.replace("{l}", "0") for row in rows} - kinds
    assert {name.rpartition("layers.0.")[2] for name in missing} == {
        "norm1.weight",
        "norm2.weight",
        "attention.out_proj.weight",
        "feed_forward.linear_out.weight",
    }
    assert all(name.startswith("audio_model") or "norm2" in name for name in missing)


@pytest.mark.skipif(find_spec("moshi") is None, reason="the official package is not installed")
def test_the_official_package_has_these_names_in_memory(table: list[official.Name]) -> None:
    from moshi.models.loaders import get_moshi_lm

    model = get_moshi_lm(None, dict(interop.MOSHI_7B), device="meta", dtype=torch.bfloat16)
    there = set(model.state_dict())
    language_model = table[: len(official.LM_SYMBOLS)]
    assert {name for row in language_model for name in every(row.module)} <= there


def test_the_page_holds_every_name(table: list[official.Name]) -> None:
    page = official.rosetta_html(table)
    assert page.count("<wbr>") > 2 * len(table)  # long names may be parted, or the table would not fit its column
    page = page.replace("<wbr>", "")
    assert all(name.ours in page and name.key in page and name.paper in page for name in table)
