"""The checks of notebook 05: right answers pass under any seed, wrong ones are told why, stubs are no mistake."""

import pytest
import torch
from torch.nn.functional import one_hot

from minimoshi.lab import check
from minimoshi.lab.check.core import NOT_TRIED, RIGHT
from tests.exercises import ExerciseTests


def differences(points, codes):
    return points[:, None] - codes[None]


def nearest(points, codes):
    return differences(points, codes).square().sum(-1).argmin(1)


def nearest_by_product(points, codes):
    return (points @ codes.T - codes.square().sum(1) / 2).argmax(1)


def slope(points, owner, codes):
    who = one_hot(owner, len(codes)).float()
    return 2 * (who.sum(0)[:, None] * codes - who.T @ points) / len(points)


def downhill(points, owner, codes, rate):
    return codes - rate * slope(points, owner, codes)


def shares(n, batch, usage, decay, rate):
    fresh = (1 - decay) * n
    return fresh / (decay * usage + fresh), 2 * rate * n / batch


def split(usage, total, below, nudge, again=True):
    shared, places = usage.clone(), total / usage[:, None]
    busiest = usage.argmax()
    for code in (usage < below * usage.mean()).nonzero()[:, 0]:
        busiest = shared.argmax() if again else busiest
        shared[code] = shared[busiest] = (shared[busiest] if again else usage.max()) / 2
        places[code] = places[busiest] + nudge[code]
    return shared, places * shared[:, None]


def forgets_usage(usage, total, below, nudge):
    new_usage, new_total = split(usage, total, below, nudge)
    return new_usage, torch.where((usage < below * usage.mean())[:, None], new_total / new_usage[:, None], new_total)


SOLUTIONS = {
    "nearest_code": nearest,
    "gradient_step": downhill,
    "shares_of_the_way": shares,
    "split_busiest": split,
}

# an answer that is wrong, and what the student should read
MISTAKES = [
    ("nearest_code", lambda points, codes: differences(points, codes).square().sum(-1).argmin(0), "shape: the answer"),
    ("nearest_code", lambda points, codes: differences(points, codes).square().sum(-1).argmax(1), "farthest"),
    ("nearest_code", lambda points, codes: differences(points, codes).abs().sum(-1).argmin(1), "absolute"),
    ("nearest_code", lambda points, codes: differences(points, codes).sum(-1).argmin(1), "squared distance"),
    ("nearest_code", lambda points, codes: (points @ codes.T).argmax(1), "|c|² is missing"),
    ("nearest_code", lambda points, codes: nearest(points, codes).float(), "whole numbers"),
    ("nearest_code", lambda points, codes: nearest(points, codes) + len(codes), "numbers are 0 to"),
    ("nearest_code", lambda points, codes: (points - codes).square().sum(-1), "your code stopped with RuntimeError"),
    ("nearest_code", lambda points, codes: None, "return"),
    ("gradient_step", lambda p, o, c, rate: c + rate * slope(p, o, c), "uphill"),
    ("gradient_step", lambda p, o, c, rate: c - rate * slope(p, o, c) / 2, "half as long"),
    ("gradient_step", lambda p, o, c, rate: c - rate * slope(p, o, c) * len(p), "too long"),
    ("gradient_step", lambda p, o, c, rate: slope(p, o, c), "value: the new codes at"),
    ("shares_of_the_way", lambda *given: shares(*given)[::-1], "by averages is"),
    ("shares_of_the_way", lambda *given: (shares(*given)[0], shares(*given)[1] / 2), "by gradient is"),
    ("shares_of_the_way", lambda *given: shares(*given)[0], "two things"),
    ("shares_of_the_way", lambda *given: ("far", "near"), "two numbers"),
    ("split_busiest", lambda usage, total, below, nudge: (usage, total), "still is"),
    ("split_busiest", lambda usage, total, below, nudge: split(usage, total, below, nudge, again=False), "same busy"),
    ("split_busiest", lambda usage, total, below, nudge: split(usage, total, below, 0 * nudge), "nudge it"),
    ("split_busiest", lambda usage, total, below, nudge: split(usage, total, 5 * below, nudge), "leave it"),
    ("split_busiest", forgets_usage, "the place of code"),
    ("split_busiest", lambda *given: split(*given)[0], "two things"),
]


class TestExercises(ExerciseTests):
    notebooks, solutions, mistakes = ("05",), SOLUTIONS, MISTAKES
    seeds = (0, 7, 123)


def test_the_way_without_a_large_difference_is_right_too() -> None:
    assert check.nearest_code.verdict(nearest_by_product).state == RIGHT


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_stub_is_not_tried(name: str) -> None:
    for stub in (lambda *given: ..., lambda *given: (..., ...)):
        assert check.EXERCISES[name].verdict(stub).state == NOT_TRIED
