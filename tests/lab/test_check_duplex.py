"""The checks of notebook 10: right answers pass under any seed, wrong ones are told why, stubs are no mistake."""

import pytest
import torch

from minimoshi.lab import check
from minimoshi.lab.check.core import NOT_TRIED
from minimoshi.lab.check.duplex import activity, ends_of_turns, gaps_between, rows_of
from tests.exercises import ExerciseTests, assert_not_tried


def edges(row):
    row = [False, *row.tolist(), False]
    pairs = list(zip(row, row[1:], strict=False))
    return ([i for i, pair in enumerate(pairs) if pair == change] for change in ((False, True), (True, False)))


def answer_gaps(moshi, user, from_end=False, unit=0.01, sign=1, last=False, after=0):
    starts, ends = edges(user)
    own, found = list(edges(moshi))[0], []
    for turn, (start, end) in enumerate(zip(starts, ends, strict=True)):
        until = starts[turn + 1] if turn + 1 < len(starts) else len(user)
        there = [s for s in own if (end if from_end else start + after) <= s < until]
        found.append(sign * unit * (there[-1 if last else 0] - end) if there else None)
    return found


def turn_over(active, patience, early=0, again=False):
    found = []
    for t in range(len(active)):
        before = active[max(0, t + 1 - patience) : t + 1]
        just = t >= patience and bool(active[t - patience])
        if t + 1 > patience and not before.any() and (just or again):
            found.append(t - early)
    return found


def voices(users, codebooks, mixed):
    delays = [0]
    for _ in range(1 if mixed else users + 1):
        delays += [0] + [1] * (codebooks - 1)
    return len(delays), codebooks + 1, tuple(delays)


SOLUTIONS = {"duplex_rows": voices, "answer_gaps": answer_gaps, "turn_over": turn_over}

MISTAKES = [
    ("duplex_rows", lambda *a: voices(*a)[:2], "three things"),
    ("duplex_rows", lambda *a: (voices(*a)[0] - 1, *voices(*a)[1:]), "the text is one, too"),
    ("duplex_rows", lambda *a: (voices(*a)[0], voices(*a)[0], voices(*a)[2]), "nobody predicts it"),
    ("duplex_rows", lambda *a: (*voices(*a)[:2], (0,) * voices(*a)[0]), "row 2"),
    ("duplex_rows", lambda users, codebooks, mixed: voices(users, codebooks, False), "number of rows"),
    ("answer_gaps", lambda *a: answer_gaps(*a, from_end=True), "before the user has ended"),
    ("answer_gaps", lambda *a: answer_gaps(*a, unit=1), "count in seconds"),
    ("answer_gaps", lambda *a: answer_gaps(*a, sign=-1), "below zero"),
    ("answer_gaps", lambda *a: answer_gaps(*a, last=True), "Moshi answers twice"),
    ("answer_gaps", lambda *a: answer_gaps(*a, after=1), "begin in the same window"),
    ("answer_gaps", lambda *a: [g and g + 0.01 for g in answer_gaps(*a)], "first silent window"),
    ("answer_gaps", lambda *a: [g for g in answer_gaps(*a) if g is not None], "one for each turn"),
    ("turn_over", lambda *a: turn_over(*a, early=1), "a frame too early"),
    ("turn_over", lambda active, patience: turn_over(active, patience, early=patience - 1), "silence begins"),
    ("turn_over", lambda *a: turn_over(*a, again=True), "only after sound"),
    ("turn_over", lambda active, patience: len(turn_over(active, patience)), "a list of frames"),
]


class TestDuplexExercises(ExerciseTests):
    notebooks = ("10",)
    solutions, mistakes = SOLUTIONS, MISTAKES


def test_stubs_are_not_mistakes() -> None:
    assert_not_tried(*SOLUTIONS)
    assert check.EXERCISES["duplex_rows"].verdict(lambda *arguments: (..., ..., ...)).state == NOT_TRIED


def test_moshi_and_one_user_make_seventeen_rows_of_which_nine_are_said() -> None:
    rows, predicted, delays = rows_of(users=1, codebooks=8, mixed=False)
    assert (rows, predicted) == (17, 9) and delays == (0, 0, *[1] * 7, 0, *[1] * 7)
    assert rows_of(1, 8, mixed=True)[0] == 9


@pytest.mark.parametrize(("moshi", "gap"), [((24, 30), 0.04), ((15, 30), -0.05), ((0, 30), None)])
def test_an_answer_is_a_start_and_may_come_early(moshi: tuple[int, int], gap: float | None) -> None:
    (found,) = gaps_between(activity([moshi], 40), activity([(10, 20)], 40))
    assert found == (None if gap is None else pytest.approx(gap))


def test_a_timer_never_looks_ahead() -> None:
    row = torch.rand(60, generator=torch.Generator().manual_seed(0)) > 0.7
    whole = ends_of_turns(row, 3)
    assert whole
    for cut in range(60):
        assert ends_of_turns(row[:cut], 3) == [frame for frame in whole if frame < cut]
