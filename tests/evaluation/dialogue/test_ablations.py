"""Ablations: each takes back what it says, all are trained and tested alike."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from minimoshi.config import MoshiConfig
from minimoshi.data.miniworld import bank, coding, skills
from minimoshi.data.miniworld.grids import Grid
from minimoshi.evaluation.dialogue import ablations
from minimoshi.evaluation.dialogue.ablations import VARIANTS, World, table
from minimoshi.moshi.grid import ZERO_TOKEN
from minimoshi.text import TextTokenizer
from tests.data.test_miniworld import toy_voice

USERS = 2 * ablations.HELD_OUT_USERS


def any_codes(index, codec, rng, copy=0):
    """Codes that mean nothing, as many as there must be."""
    rows = [json.loads(line) for line in index.read_text().splitlines()][1:]
    return rng.integers(0, 512, (8, sum(coding.frames_of(coding.lead_of(row, copy), row["samples"]) for row in rows)))


@pytest.fixture(scope="module")
def takes(tmp_path_factory):
    """A bank of toy voices whose users can ask all that the smaller world needs."""
    folder = tmp_path_factory.mktemp("takes")
    says = [say for say in skills.user_says() if "plus" not in say.text and "minus" not in say.text]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank, "open_voice", toy_voice)
        patch.setattr(coding, "_encode", any_codes)
        patch.setattr(coding, "_encode_echoes", lambda *_: None)
        patch.setattr(coding, "TAPE_FRAMES", 60)
        silent = SimpleNamespace(encode=lambda wav: torch.zeros(1, 8, wav.shape[-1] // coding.FRAME, dtype=torch.int64))
        bank.record_moshi(folder, takes=1)
        for number in range(USERS):
            bank.record_user(folder, bank.User(f"user-{number:03d}", "hibari"), says)
        coding.encode_bank(folder, silent, progress=False, copies=1)
    return folder


@pytest.fixture(scope="module")
def world(takes):
    return World(takes, TextTokenizer.from_pretrained("tiny"))


def test_grids_lose_what_is_taken_back():
    codes = torch.arange(17)[:, None] + torch.arange(4)
    grid = Grid(codes, torch.zeros(4, dtype=torch.int64), torch.tensor([False, True, True, False]))
    single = VARIANTS["one stream"].grid(grid).codes
    assert torch.equal(single[:9], codes[:9])  # text and Moshi
    assert (single[9:, 1:3] == ZERO_TOKEN).all() and torch.equal(single[9:, ::3], codes[9:, ::3])
    assert VARIANTS["all of it"].grid(grid) is grid


def test_configs_lose_what_is_taken_back():
    tiny = MoshiConfig.preset("tiny")
    assert VARIANTS["all of it"].config(tiny) == tiny
    assert VARIANTS["acoustic delay 0"].config(tiny).max_delay == 0
    assert VARIANTS["acoustic delay 2"].config(tiny).delays == (0, *(0, 2, 2, 2, 2, 2, 2, 2) * 2)
    shared = VARIANTS["one set of depth weights"].config(tiny)
    assert set(shared.depth.weight_schedule) == {0} and set(tiny.depth.weight_schedule) == set(range(8))


def test_test_users_are_not_trained_with(world):
    assert len(world.known.takes.users) == len(world.new) == ablations.HELD_OUT_USERS
    assert not set(world.known.takes.users) & set(world.new)


def test_cases_are_made_once_and_have_their_controls(world, tmp_path):
    cases = world.cases(tmp_path, 1)
    assert [case.name for case in cases] == ["greeting-00", "colour-00", "opposite-00", "stop-00", "control-stop-00"]
    stop, control = cases[-2:]
    assert stop.exchanges[0]["stops"] and not control.exchanges[0]["stops"] and control.facts["control"] == "stop-00"
    assert stop.exchanges[0]["asked"] == control.exchanges[0]["asked"]  # the same takes at the same time
    before = cases[0].path.stat().st_mtime_ns
    assert np.array_equal(world.cases(tmp_path, 1)[0].stereo(), cases[0].stereo())
    assert cases[0].path.stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["no inner monologue", "one set of depth weights"])
def test_a_variant_is_trained_and_measured_on_new_users(world, tmp_path, monkeypatch, name):
    monkeypatch.setattr(ablations, "RECIPE", ablations.RECIPE | dict(batch=2))
    monkeypatch.setattr(ablations, "_CHECKED", 2)
    generator, losses = ablations.train_variant(name, 0, 2, world, tmp_path)
    assert generator.config == VARIANTS[name].config(MoshiConfig.preset("tiny"))
    assert np.isfinite(list(losses.values())).all() and 4 < losses["codebook_1_held_out"] < 8


def test_the_table_has_means_and_deviations_and_says_what_is_missing():
    run = {"codebook_1_held_out": 1.0, "levels_held_out": 2.0, "right": 0.5, "right_in_text": 0.75}
    run |= {"stops": None, "latency": None}
    text = table({"all of it": [run, run | {"right": 1.0, "latency": 0.25}], "one stream": [run]})
    assert "| all of it | 1.000 ± 0.000 | 2.000 ± 0.000 | 75% ± 35% | 75% ± 0% | – | 0.25 |" in text
    assert text.splitlines()[-1] == "| one stream | 1.000 | 2.000 | 50% | 75% | – | – |"


def test_a_small_bank_is_refused(takes, tmp_path):
    for path in takes.iterdir():
        if not path.name.startswith("user-01"):
            (tmp_path / path.name).hardlink_to(path)
    with pytest.raises(ValueError, match="expected at least 16: record more"):
        World(tmp_path, TextTokenizer.from_pretrained("tiny"))
