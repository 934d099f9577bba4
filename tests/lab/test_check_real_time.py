"""The checks of notebook 12: right answers pass under any seed, wrong ones are told why, stubs are no mistake."""

import torch

from minimoshi.lab.check.real_time import clear_numbers, first_silence, token_at, waits
from tests.exercises import ExerciseTests, assert_not_tried


def draw_token(logits, temperature, top_k, u, greedy=True, rescaled=True):
    if temperature == 0:
        return logits.argmax(-1) if greedy else draw_token(logits, 1.0, top_k, u)
    chances = (logits / temperature).softmax(-1)
    if top_k is not None:
        chances = chances * (logits >= logits.topk(top_k).values[:, -1:])
    if rescaled:
        chances = chances / chances.sum(-1, keepdim=True)
    return (chances.cumsum(-1) <= u[:, None]).sum(-1).clamp(max=logits.shape[1] - 1)


def draw_in_place(logits, temperature, top_k, u):
    token = token_at(logits, temperature, top_k, u)
    logits /= 2
    return token


def least_delay(work_ms, misses, queue=True, rest=True):
    free, late = 0, []
    for i, ms in enumerate(work_ms):
        free = (max(free, 80 * i) if rest else free) + ms if queue else 80 * i + ms
        late.append(free - 80 * i)
    return sorted(late)[-1 - misses]


SOLUTIONS = {"draw_token": draw_token, "silent_from": first_silence, "least_delay": least_delay}

# an answer that is wrong, and what the student should read
MISTAKES = [
    ("draw_token", lambda *a: draw_token(*a, greedy=False), "whatever u is"),
    ("draw_token", lambda x, t, k, u: draw_token(x, t, None, u), "not only the likeliest"),
    ("draw_token", lambda x, t, k, u: draw_token(x, 1 / t if t else 0, k, u), "not multiplied"),
    ("draw_token", lambda x, t, k, u: draw_token(x, 1.0 if t else 0, k, u), "temperature had no effect"),
    ("draw_token", lambda *a: draw_token(*a, rescaled=False), "sum to 1 again"),
    ("draw_token", draw_in_place, "work on a copy"),
    ("draw_token", lambda *a: draw_token(*a)[:, None], "[B]"),
    ("draw_token", lambda *a: draw_token(*a).float(), "int64"),
    ("silent_from", lambda levels, asked, floor, n: first_silence(levels, 0, floor, n), "look from `asked` on"),
    ("silent_from", lambda levels, asked, floor, n: first_silence(levels, asked, floor, 1), "a pause is not silence"),
    ("silent_from", lambda *a: first_silence(*a) + 1, "silence begins after two more words"),
    ("silent_from", lambda levels, a, f, n: first_silence([*levels, *[-99] * n], a, f, n), "in a row"),
    ("silent_from", lambda *a: float(first_silence(*a)), "float"),
    ("least_delay", lambda *a: least_delay(*a, queue=False), "also waits until those before it"),
    ("least_delay", lambda *a: least_delay(*a, rest=False), "work cannot begin before the frame is here"),
    ("least_delay", lambda work, misses: least_delay(work, 0), "may be missed"),
    ("least_delay", lambda work, misses: str(least_delay(work, misses)), "number of milliseconds"),
]


class TestRealTimeExercises(ExerciseTests):
    notebooks = ("12",)
    solutions, mistakes = SOLUTIONS, MISTAKES


def test_stubs_are_not_mistakes() -> None:
    assert_not_tried(*SOLUTIONS)


def test_numbers_on_the_line_draw_every_token_with_its_chance() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    u = torch.arange(0.0005, 1, 0.001)
    tokens = token_at(logits.expand(len(u), -1), 1.0, None, u)
    assert torch.allclose(tokens.bincount() / len(u), logits[0].softmax(-1), atol=2e-3)


def test_no_question_stands_on_a_border() -> None:
    shares = torch.full((4, 4), 0.25)
    u = clear_numbers(shares, torch.Generator().manual_seed(0))
    assert (shares.cumsum(-1) - u[:, None]).abs().min() > 1e-5 and u.min() >= 0 and u.max() < 1


def test_a_hiccup_heals_and_a_slow_machine_does_not() -> None:
    assert waits([30, 200, 30, 30, 30, 30]) == [30, 200, 150, 100, 50, 30]
    assert waits([90] * 4) == [90, 100, 110, 120]
