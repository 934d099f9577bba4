"""The checks of notebook 06: right answers pass under any seed, wrong ones are told why, stubs are no mistake."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from minimoshi.lab import check
from minimoshi.lab.check.core import NOT_TRIED, RIGHT
from minimoshi.lab.check.mimi import encoders
from tests.exercises import ExerciseTests

FRAME = 1920


def cosine_loss(guess, teacher):
    return 1 - cosine_similarity(guess, teacher).mean()


def earliest(encode, n_frames, step=1):
    wav = torch.randn(FRAME * n_frames, generator=torch.Generator().manual_seed(3))
    furthest = 0
    for t in range(step, n_frames, step):
        changed = wav.clone()
        changed[FRAME * t :] = 0
        noticed = (encode(changed) != encode(wav)).nonzero()[:, 0]
        furthest = max(furthest, t - int(noticed.min()))
    return furthest


def swapped(what, how):
    frames = min(what.shape[-1], how.shape[-1])
    return torch.cat([what[:, :1, :frames], how[:, 1:, :frames]], dim=1)


def overwrites(what, how):
    frames = min(what.shape[-1], how.shape[-1])
    how[:, 0, :frames] = what[:, 0, :frames]
    return how[..., :frames]


ANSWERS = {"phones": "falls", "voices": "rises", "lost": "falls", "look-ahead": "stays"}

SOLUTIONS = {
    "distillation_loss": cosine_loss,
    "without_distillation": ANSWERS,
    "look_ahead": earliest,
    "latency_ms": lambda frame, ahead, delay: frame * (1 + ahead + delay),
    "swap_rows": swapped,
}

# an answer that is wrong, and what the student should read
MISTAKES = [
    ("distillation_loss", lambda guess, teacher: 1 - cosine_loss(guess, teacher), "the cosine itself"),
    ("distillation_loss", lambda guess, teacher: (1 - cosine_similarity(guess, teacher)).sum(), "the sum over the"),
    ("distillation_loss", lambda guess, teacher: 1 - (guess * teacher).sum(-1).mean(), "how long the vectors are"),
    ("distillation_loss", lambda g, t: 1 - cosine_similarity(g.flatten(), t.flatten(), dim=0), "every frame has its"),
    ("distillation_loss", lambda guess, teacher: 1 - cosine_similarity(guess, teacher), "one number"),
    ("distillation_loss", lambda guess, teacher: cosine_loss(guess, teacher).detach(), "lost its gradient"),
    ("distillation_loss", lambda guess, teacher: cosine_loss(guess, teacher).item(), "should be a tensor"),
    ("distillation_loss", lambda guess, teacher: cosine_loss(guess, -teacher), "value: the loss is"),
    ("without_distillation", {**ANSWERS, "voices": "falls"}, "voices: look at the second chart"),
    ("without_distillation", {**ANSWERS, "lost": ...}, "not answered: lost"),
    ("without_distillation", {"phones": "falls"}, "the keys phones"),
    ("look_ahead", lambda encode, n: 0, "a codec that waits for the next frame"),
    ("look_ahead", lambda encode, n: 1, "a causal codec"),
    ("look_ahead", lambda encode, n: earliest(encode, n, step=2), "even frames only"),
    ("latency_ms", lambda frame, ahead, delay: frame * (ahead + delay), "the frame itself is missing"),
    ("latency_ms", lambda frame, ahead, delay: frame * (1 + ahead), "is 80, expected 160"),
    ("latency_ms", lambda frame, ahead, delay: "long", "should be a number"),
    ("swap_rows", lambda what, how: swapped(how, what), "the other way round"),
    ("swap_rows", lambda what, how: torch.cat([what[:, :1], how[:, 1:]], dim=1), "RuntimeError"),
    ("swap_rows", overwrites, "has changed"),
    ("swap_rows", lambda what, how: swapped(what, how).transpose(1, 2), "shape"),
    ("swap_rows", lambda what, how: swapped(what, how.roll(1, 1)), "row 1 is not that of the second"),
]


class TestExercises(ExerciseTests):
    notebooks, solutions, mistakes = ("06",), SOLUTIONS, MISTAKES


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_stub_is_not_tried(name: str) -> None:
    stub = dict.fromkeys(ANSWERS, ...) if name == "without_distillation" else lambda *given: ...
    assert check.EXERCISES[name].verdict(stub).state == NOT_TRIED


def test_answers_may_be_written_as_people_write_them() -> None:
    assert check.without_distillation.verdict({**ANSWERS, "phones": " Falls"}).state == RIGHT


@pytest.mark.parametrize("name, ahead, encode", encoders(torch.ones(FRAME)), ids=lambda value: str(value)[:30])
def test_the_codecs_of_the_check_look_ahead_as_far_as_they_say(name: str, ahead: int, encode: object) -> None:
    assert encode(torch.zeros(4 * FRAME)).shape == (4,)
    assert earliest(encode, 12) == ahead
