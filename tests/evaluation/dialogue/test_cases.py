"""The test episodes: what is in them, that they come back, and that controls differ in one thing only."""

import json
import random

import numpy as np
import pytest

from minimoshi.data.miniworld import SKILLS, exchange
from minimoshi.data.validate import validate
from minimoshi.evaluation.dialogue import human
from minimoshi.evaluation.dialogue.cases import build_cases, load_cases
from minimoshi.evaluation.dialogue.scripts import draw_plans, says_of, users_of


def test_a_whole_set_is_large_and_asks_every_skill_of_everybody():
    plans = draw_plans(human=True)
    assert len(plans) >= 300 and len({plan.name for plan in plans}) == len(plans)
    assert plans == draw_plans(human=True) != draw_plans(seed=1, human=True)
    for group in ("seen", "unseen"):
        asked = {plan.exchanges[-1].skill for plan in plans if plan.group == group}
        assert asked >= set(SKILLS) - {"greeting"}
    for plan in plans:
        if plan.group in ("text", "none"):
            assert plan.exchanges[-1].split == plan.group
        if plan.group == "human":
            assert all(map(human.can_be_asked, plan.exchanges))
        assert len(plan.exchanges) == (26 if plan.group == "long" else min(3, len(plan.exchanges)))
    silent = sum(plan.group == "silence" for plan in plans) * 0.5
    assert silent >= 10  # minutes: enough for a bar of 0.1 false starts a minute


def test_a_name_is_remembered_or_was_never_told():
    plans = [plan for plan in draw_plans() if plan.group != "long"]
    recalls = [plan.exchanges for plan in plans if plan.exchanges and plan.exchanges[-1].skill == "recall"]
    told = [[e.slots[0] for e in asked if e.skill == "name"] for asked in recalls]
    for asked, names in zip(recalls, told, strict=True):
        assert asked[-1].slots == (tuple(names) or ("",)) and len(asked) == (3 if names else 2)
    assert [] in told and any(told)


def test_long_conversations_have_a_silence_and_no_controls():
    plans = draw_plans(each={"long": 6})
    assert len(plans) == 6 and {tuple(plan.lulls.items()) for plan in plans} == {((13, 312),)}
    assert len({plan.exchanges for plan in plans}) == 6


def test_training_and_test_never_share_a_take():
    seen = users_of(0, "seen")
    assert all(user.name.endswith("-new") for user in seen)
    assert {user.voice.partition(":")[0] for user in seen} == {"hibari", "flite"}
    assert not {user.voice for user in users_of(0, "unseen")} & {user.voice for user in seen}
    asked = says_of(draw_plans(), seen[0].name)
    assert len(asked) == len(set(asked)) > 5


def test_numbers_of_episodes_are_checked():
    with pytest.raises(ValueError, match="seen, unseen"):
        draw_plans(each={"sen": 1})
    with pytest.raises(ValueError, match="expected numbers"):
        draw_plans(each={"seen": -1})


def test_the_episodes_are_a_sound_data_set(world):
    assert validate(world.folder) == []
    assert world.folder.with_name("episodes.takes").exists()
    assert {case.group for case in world.cases} == {"seen", "text", "control", "silence"}
    assert [case.name for case in load_cases(world.folder)] == [case.name for case in world.cases]
    silent = [case for case in world.cases if case.group == "silence"]
    assert all(case.facts["moshi_silent"] and not case.exchanges and not case.words for case in silent)


def test_a_build_goes_on_where_it_stopped(world, monkeypatch):
    monkeypatch.setattr("minimoshi.data.miniworld.bank.open_voice", None)  # nothing needs to be said again
    victim = world.case("seen-sum-00").path
    before = victim.read_bytes()
    victim.unlink()
    with pytest.raises(FileNotFoundError, match="1 episodes are not made yet, seen-sum-00"):
        load_cases(world.folder)
    settings = json.loads((world.folder / "cases.json").read_text())
    build_cases(world.folder, seed=settings["seed"], each=settings["each"], progress=False)
    assert victim.read_bytes() == before


def test_one_folder_holds_one_test_set(world, tmp_path):
    with pytest.raises(ValueError, match="choose another folder"):
        build_cases(world.folder, seed=1, each={"seen": 1})
    with pytest.raises(FileNotFoundError, match="minimoshi.evaluation.dialogue.cases"):
        load_cases(tmp_path)


@pytest.mark.parametrize("skill", ["stop", "question", "murmur"])
def test_a_control_differs_by_what_breaks_in_and_nothing_else(world, skill):
    case, control = world.case(f"seen-{skill}-00"), world.case(f"control-seen-{skill}-00")
    assert control.facts["control"] == case.name
    broken, plain = case.exchanges[-1], control.exchanges[-1]
    assert broken["breaks"] and plain["breaks"] is None and plain["expected"] == plain["answer"] == broken["answer"]
    assert case.exchanges[:-1] == control.exchanges[:-1] and broken["asked"] == plain["asked"]
    one, other = case.stereo(), control.stereo()
    until = round((broken["broken"][0] - 0.05) * 24_000)  # the take's margin sounds a little before
    assert np.array_equal(one[1, :until], other[1, :until])
    assert np.array_equal(one[0, :until], other[0, :until])
    assert not np.array_equal(one[1], other[1][: one.shape[1]])


def test_pieces_of_human_questions():
    assert human.pieces_of("what is three plus four") == ["what is", "three", "plus", "four"]
    assert human.pieces_of("repeat after me") == ["repeat after me"]
    assert human.pieces_of("what is the opposite of hot") == human.pieces_of("stop") == []
    assert not human.can_be_asked(exchange("manner", random.Random(0)))
    with pytest.raises(FileNotFoundError, match="asterisk-core-sounds-en-g722"):
        next(human.human_takes(__file__, []))
