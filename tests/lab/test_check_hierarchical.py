"""The checks of notebook 08: right answers pass under any seed, wrong ones are told why, stubs are no mistake."""

import pytest
import torch

from minimoshi import MoshiConfig
from minimoshi.costs import costs
from minimoshi.lab import check
from minimoshi.lab.check.core import NOT_TRIED
from minimoshi.lab.check.hierarchical import step_work, works
from tests.exercises import ExerciseTests


def say_frame(depth, z, text, state, draw, rewind=True, told=None, added=None):
    if rewind:
        state.rewind()
    added, token, codes = depth.project(z) if added is None else added, text, []
    for k in range(depth.config.dep_q):
        token = draw(depth.step(k, added, token if told is None else told(text, k), state))
        codes.append(token)
    return torch.stack(codes, dim=1)


def frame_work(config, squared=True, look_back=None):
    helium, depth, q = config.helium, config.depth, config.dep_q
    temporal = step_work(helium.dim, helium.layers, helium.hidden, helium.context)
    flat = q * step_work(helium.dim, helium.layers, helium.hidden, (q if squared else 1) * helium.context)
    inner = q * step_work(depth.dim, depth.layers, depth.hidden, look_back or q)
    return flat, temporal + inner


def entropy(chances):
    return -(chances * torch.log2(chances.clamp(min=1e-30))).sum().item()


def pair_bits(joint, scale=1.0):
    a, b, both = entropy(joint.sum(1)) * scale, entropy(joint.sum(0)) * scale, entropy(joint) * scale
    return {"parallel": a + b, "a first": (a, both - a), "b first": (b, both - b)}


def naive_bits(joint):
    bits = -(joint * joint.log2()).sum().item()
    return {"parallel": bits, "a first": (bits, bits), "b first": (bits, bits)}


SOLUTIONS = {"say_frame": say_frame, "frame_work": frame_work, "pair_bits": pair_bits}

# an answer that is wrong, and what the student should read
MISTAKES = [
    ("say_frame", lambda *a: say_frame(*a, rewind=False), "`state.rewind()` comes first"),
    ("say_frame", lambda *a: say_frame(*a, told=lambda text, k: text), "every step was told the text token"),
    ("say_frame", lambda *a: say_frame(*a, told=lambda text, k: 0 * text), "code"),
    ("say_frame", lambda *a: say_frame(*a).T, "[B, dep_q]"),
    ("say_frame", lambda *a: say_frame(*a).float(), "whole numbers"),
    ("say_frame", lambda depth, z, text, state, draw: say_frame(depth, -z, text, state, draw), "expected"),
    ("frame_work", lambda config: frame_work(config, squared=False), "dep_q times as many positions"),
    ("frame_work", lambda config: tuple(w / 2 for w in frame_work(config)), "count as two"),
    ("frame_work", lambda config: frame_work(config, look_back=config.helium.context), "looks back over dep_q steps"),
    ("frame_work", lambda config: frame_work(config)[::-1], "that is the other one"),
    ("frame_work", lambda config: 3, "two numbers"),
    ("pair_bits", naive_bits, "is NaN"),
    ("pair_bits", lambda joint: pair_bits(joint, 0.693147), "in nats"),
    ("pair_bits", lambda joint: {**pair_bits(joint), "parallel": entropy(joint)}, "“parallel” for"),
    ("pair_bits", lambda joint: {**pair_bits(joint), "b first": pair_bits(joint)["a first"]}, "“b first” for"),
    ("pair_bits", lambda joint: pair_bits(joint.T), "a lies along the rows"),
    ("pair_bits", lambda joint: {"parallel": 0.0}, "the keys"),
]


class TestExercises(ExerciseTests):
    notebooks, solutions, mistakes = ("08",), SOLUTIONS, MISTAKES


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_stub_is_not_tried(name: str) -> None:
    assert check.EXERCISES[name].verdict(lambda *given: ...).state == NOT_TRIED


def test_the_work_that_is_checked_is_that_of_the_packages_table() -> None:
    """Without the heads and the projection of z, which the exercise leaves out."""
    config = MoshiConfig.preset("tiny")
    helium, depth = config.helium, config.depth
    table = costs("tiny").flops_per_frame
    heads = 2 * helium.dim * helium.text_card
    steps = depth.dep_q * 2 * depth.dim * (depth.input_dim + depth.card)
    split = table["temporal transformer"] + table["depth transformer"] - heads - steps
    assert works(config)[1] == pytest.approx(split)
