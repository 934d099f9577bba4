"""The checks of notebook 07: right answers pass under any seed, wrong ones are told why, stubs are no mistake."""

import pytest
import torch

from minimoshi.lab import check
from minimoshi.lab.check.core import NOT_TRIED
from minimoshi.lab.check.grids import pipelines
from tests.exercises import ExerciseTests


def stretch(grid, delays, initial, after=-1):
    rows, frames = grid.shape
    late = torch.full((rows, frames + max(delays)), after)
    for k, d in enumerate(delays):
        late[k, :d] = initial[k]
        late[k, d : d + frames] = grid[k]
    return late


def back(late, delays, off=0):
    frames = late.shape[1] - max(delays)
    return torch.stack([late[k].roll(-d - off)[:frames] for k, d in enumerate(delays)])


def count_steps(layout, frames, delays, step_ms):
    per_frame = len(delays) if layout == "flatten" else 1
    return frames * per_frame + (max(delays) if layout == "delay" else 0), per_frame * step_ms <= 80


def leaking_rows(inputs_of, delays, frames, step=1):
    codes, found = torch.zeros(len(delays), frames, dtype=torch.int64), []
    for k, d in enumerate(delays):
        for f in range(0, frames - d, step):
            changed = codes.clone()
            changed[k, f] = 7
            columns = (inputs_of(changed) != inputs_of(codes)).any(0).nonzero()[:, 0].tolist()
            if columns and columns[0] <= f + d:
                found.append(k)
                break
    return found


SOLUTIONS = {"stretch": stretch, "back": back, "count_steps": count_steps, "leaking_rows": leaking_rows}

# an answer that is wrong, and what the student should read
MISTAKES = [
    ("stretch", lambda g, d, i: stretch(g, d, i)[:, : g.shape[1]], "[K, T + longest delay]"),
    ("stretch", lambda g, d, i: stretch(g, d, i, after=0), "end with -1"),
    ("stretch", lambda g, d, i: stretch(g, d, i.roll(1)), "begin with its initial id"),
    ("stretch", lambda g, d, i: stretch(g.roll(1, 1), d, i), "hold its tokens from column"),
    ("stretch", lambda g, d, i: stretch(g.fill_(3), d, i), "has changed"),
    ("back", lambda late, delays: back(late, delays, off=1), "expected"),
    ("back", lambda late, delays: late, "shape"),
    ("count_steps", lambda *a: (a[1], count_steps(*a)[1]), "has its last token in step 7"),
    ("count_steps", lambda *a: (count_steps(*a)[0], True), "keeps_up"),
    ("count_steps", lambda *a: count_steps(*a)[0], "two things"),
    ("count_steps", lambda *a: count_steps("delay", *a[1:]), "expected 24"),
    ("leaking_rows", lambda inputs_of, delays, frames: [], "a shift that was forgotten"),
    ("leaking_rows", lambda inputs_of, delays, frames: [0, 1, 2], "the generator's own inputs"),
    ("leaking_rows", lambda *a: leaking_rows(*a, step=20), "forgets the shift after a while"),
    ("leaking_rows", lambda *a: True, "as a list"),
    ("leaking_rows", lambda *a: [(0, 1)], "a whole number each"),
    ("count_steps", lambda *a: (count_steps(*a)[0], a[3] < 80), "needs 80 ms of computing"),
]


class TestExercises(ExerciseTests):
    notebooks, solutions, mistakes = ("07",), SOLUTIONS, MISTAKES


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_stub_is_not_tried(name: str) -> None:
    stub = (lambda *given: (..., ...)) if name == "count_steps" else lambda *given: ...
    assert check.EXERCISES[name].verdict(stub).state == NOT_TRIED


def test_the_pipelines_leak_where_they_say() -> None:
    initial = torch.tensor([1000, 512, 512])
    for name, rows, inputs_of in pipelines((0, 2, 1), initial):
        assert leaking_rows(inputs_of, (0, 2, 1), 16) == rows, name
        assert inputs_of(torch.zeros(3, 16, dtype=torch.int64)).shape == (3, 16), name
