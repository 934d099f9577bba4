"""The checks of notebook 11: right answers pass under any seed, wrong ones are told why, stubs are no mistake."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from minimoshi.lab import check
from minimoshi.lab.check.core import NOT_TRIED
from minimoshi.lab.check.training import FAULTS, activities, curves
from tests.exercises import ExerciseTests


def weighted_loss(logits, target, weight, place=0, divide=True):
    levels = torch.stack([cross_entropy(row, wanted) for row, wanted in zip(logits, target, strict=True)])
    weights = torch.ones(len(target))
    weights[place] = weight
    return (levels * weights).sum() / (weights.sum() if divide else 1)


def diagnose(train, held_out, free):
    if abs(train[-1] - train[0]) < 0.2:
        return "frozen"
    if train[-1] > train[0]:
        return "rate too high"
    if held_out[-1] > min(held_out) + 0.3:
        return "by heart"
    return "leak" if free[-1] > 0.8 * free[0] else "healthy"


def overlap_share(moshi, user):
    some = int((moshi | user).sum())
    return int((moshi & user).sum()) / some if some else 0.0


SOLUTIONS = {"weighted_loss": weighted_loss, "diagnose": diagnose, "overlap_share": overlap_share}

MISTAKES = [
    ("weighted_loss", lambda a, b, w: weighted_loss(a, b, 1.0), "every codebook weighs the same"),
    ("weighted_loss", lambda a, b, w: weighted_loss(a, b, w, place=-1), "the semantic one is the first"),
    ("weighted_loss", lambda a, b, w: weighted_loss(a, b, w, divide=False), "divided by the sum of the weights"),
    ("weighted_loss", lambda a, b, w: weighted_loss(a, b, w, divide=False) / len(b), "not by their number"),
    ("weighted_loss", lambda a, b, w: torch.zeros(3), "one number"),
    ("diagnose", lambda *a: "healthy", "were taken for “healthy”"),
    ("diagnose", lambda *a: "broken", "expected one of"),
    ("diagnose", lambda train, held, free: diagnose(train, train, free), "“by heart”"),
    ("diagnose", lambda train, held, free: diagnose(train, held, train), "“leak”"),
    ("overlap_share", lambda a, b: (a & b).float().mean(), "a share of all windows"),
    ("overlap_share", lambda a, b: int((a & b).sum()) / max(1, int(a.sum())), "a share of Moshi's windows"),
    ("overlap_share", lambda a, b: int((a & b).sum()) / int((a | b).sum()), "nobody speaks here"),
    ("overlap_share", lambda a, b: (a & b).sum() / (a | b).sum(), "nobody speaks here"),
    ("overlap_share", lambda a, b: 100 * overlap_share(a, b), "a percentage"),
    ("overlap_share", lambda a, b: (a & b).sum(), "a count"),
]


class TestExercises(ExerciseTests):
    notebooks, solutions, mistakes = ("11",), SOLUTIONS, MISTAKES
    seeds = (0, 7, 123)


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_stub_is_not_tried(name: str) -> None:
    assert check.EXERCISES[name].verdict(lambda *given: ...).state == NOT_TRIED


def test_curves_can_be_told_apart_whatever_the_seed() -> None:
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        for fault in FAULTS:
            given = curves(fault, generator)
            assert [len(row) for row in given] == [12] * 3 and diagnose(*given) == fault, (seed, fault)


def test_voices_speak_and_pause() -> None:
    for voice in activities(torch.Generator().manual_seed(3), 400):
        assert len(voice) == 400 and 0 < voice.float().mean() < 1
