"""The checks of notebook 13: right answers pass under any seed, wrong ones are told why, stubs are no mistake."""

import pytest
import torch

from minimoshi import HierarchicalGenerator, interop
from minimoshi.config import MoshiConfig
from minimoshi.lab import check
from minimoshi.lab.check.core import NOT_TRIED
from minimoshi.lab.check.full_size import KEYS, NEAR
from tests.exercises import ExerciseTests


def first_difference(ours, theirs, within, relative=True, nan=True, last=False):
    names = []
    for name, want in theirs.items():
        gap = (ours[name] - want).abs().max() / (want.abs().max() if relative else 1)
        if (not gap <= within) if nan else gap > within:
            names.append(name)
    return names[-1 if last else 0] if names else None


def memory_bytes(config, bits, conversations, kinds=2, bit=8, each=True, cached=True):
    with torch.device("meta"):
        weights = sum(p.numel() for p in HierarchicalGenerator(config).parameters())
    helium = config.helium
    one = kinds * helium.layers * helium.context * helium.dim * 2
    return weights * bits * 8 // bit // 8 + (conversations if each else 1) * one * cached


SOLUTIONS = {"official_keys": KEYS, "first_difference": first_difference, "memory_bytes": memory_bytes}

# an answer that is wrong, and what the student should read
MISTAKES = [
    *(
        ("official_keys", KEYS | {question: near}, why[:30])
        for (question, near), why in zip(
            [(list(KEYS)[i], near) for i, near in zip((0, 1, 1, 2, 3, 3, 4), NEAR, strict=True)],
            NEAR.values(),
            strict=True,
        )
    ),
    ("official_keys", {"the text logits": "text_linear.weight"}, "exactly the five questions"),
    ("official_keys", ["text_linear.weight"], "a dictionary"),
    ("first_difference", lambda *a: first_difference(*a, relative=False), "large numbers"),
    ("first_difference", lambda *a: first_difference(*a, nan=False), "a NaN"),
    ("first_difference", lambda *a: first_difference(*a, last=True), "expected"),
    ("first_difference", lambda ours, theirs, within: None, "expected"),
    ("memory_bytes", lambda *a: memory_bytes(*a, bit=1), "bits, not bytes"),
    ("memory_bytes", lambda *a: memory_bytes(*a, kinds=1), "keys *and* values"),
    ("memory_bytes", lambda *a: memory_bytes(*a, each=False), "of its own"),
    ("memory_bytes", lambda *a: memory_bytes(*a, cached=False), "are missing"),
    ("memory_bytes", lambda config, bits, n: "16 GB", "number of bytes"),
]


class TestExercises(ExerciseTests):
    notebooks, solutions, mistakes = ("13",), SOLUTIONS, MISTAKES


@pytest.mark.parametrize("name", ["first_difference", "memory_bytes"])
def test_a_stub_is_not_tried(name: str) -> None:
    assert check.EXERCISES[name].verdict(lambda *given: ...).state == NOT_TRIED


def test_a_dictionary_with_open_places_is_not_tried() -> None:
    assert check.EXERCISES["official_keys"].verdict(KEYS | {"the text logits": ...}).state == NOT_TRIED


def test_the_five_keys_stand_in_the_official_file() -> None:
    assert set(KEYS.values()) <= set(interop.kyutai_moshi_shapes(MoshiConfig.preset("full")))
